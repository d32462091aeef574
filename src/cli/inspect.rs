//! The same question to every host of an environment, and an answer from each: for commands that have no run to report.
use std::fmt::Write as _;
use std::io::{self, Write};
use std::sync::Arc;

use futures::future::join_all;
use serde::Serialize;
use tokio::sync::Mutex;

use super::error::CliError;
use super::exit_code::Exit;
use super::global::{ConnectArgs, Format, GlobalArgs};
use super::prompt::Asker;
use super::selection;
use crate::host::{Password, Rights, Session};
use crate::manifest::{Address, Environment, Scope};
use crate::report::{Events, SCHEMA_VERSION, json_line, sanitise};
use crate::rollout::{HostError, HostFailure, Purpose, Reach, SudoPrompt, become_root, connect_host};

/// Who is asked for a sudo password, and the password once it is known.
type Root = (Arc<dyn SudoPrompt>, Mutex<Option<Password>>);

/// An answer, in both the forms it is printed in.
pub(super) trait Answer: Serialize {
    /// For people. What a host said in it need not be cleaned.
    fn text(&self) -> String;
}

/// One host's answer, as `--format json` has it.
#[derive(Debug, Serialize)]
struct HostAnswer<'a, T> {
    v: u32,
    host: &'a Address,
    #[serde(flatten)]
    answer: &'a T,
}

/// Asks all hosts side by side, and prints their answers in the order of the manifest. Failures go to standard error.
pub(super) async fn inspect<T: Answer>(
    environment: &Environment,
    connect: &ConnectArgs,
    global: &GlobalArgs,
    (scope, purpose): (Scope, Purpose),
    question: impl AsyncFn(&mut Session, &Address) -> Result<T, HostError>,
) -> Result<Exit, CliError> {
    let hosts = selection::hosts(environment, connect)?;
    let asker = Asker::new(global);
    let reach = selection::reach(connect, global, environment, &hosts, &asker).await?;
    let root: Option<Root> = (scope == Scope::System && purpose == Purpose::Change)
        .then(|| (Arc::new(asker) as Arc<dyn SudoPrompt>, Mutex::new(None)));
    let asked = hosts.iter().map(|host| ask(&reach, &host.address, scope, root.as_ref(), &question));
    let asked = join_all(asked).await;
    let failed = asked.iter().filter_map(|result| result.as_ref().err());
    let exit = Exit::most_urgent(failed.map(|failure| Exit::of_error(&failure.error)));
    for (host, result) in hosts.iter().zip(asked) {
        match result {
            Ok(answer) => print(&host.address, &answer, global.format),
            // Standard output is for data.
            Err(failure) => {
                let _ = io::stderr().write_all(sanitise(&failure_text(&host.address, &failure)).as_bytes());
            }
        }
    }
    Ok(exit)
}

pub(super) async fn ask<T>(
    reach: &Reach,
    host: &Address,
    scope: Scope,
    root: Option<&Root>,
    question: &impl AsyncFn(&mut Session, &Address) -> Result<T, HostError>,
) -> Result<T, HostFailure> {
    let connection = connect_host(reach, host, &Events::nowhere()).await.map_err(HostFailure::not_reached)?;
    let mut session = Session::new(connection.clone(), scope, Rights::Login)
        .map_err(|error| HostFailure::not_reached(HostError::Random(error)))?;
    if let Some((prompt, known)) = root {
        become_root(&mut session, host, prompt, known).await.map_err(HostFailure::not_reached)?;
    }
    let answer = question(&mut session, host).await.map_err(HostFailure::not_reached);
    connection.close().await;
    answer
}

fn print<T: Answer>(host: &Address, answer: &T, format: Format) {
    let text = match format {
        Format::Text => sanitise(&format!("{host}  {}", indented(&answer.text()))),
        Format::Json => json_line(&HostAnswer { v: SCHEMA_VERSION, host, answer }),
    };
    // `shipit status | head` is fine.
    let _ = io::stdout().write_all(text.as_bytes());
}

/// A text whose lines after the first begin with a blank: what a host says must not look like another host's line.
fn indented(text: &str) -> String {
    let mut lines = text.lines();
    let mut indented = lines.next().unwrap_or_default().to_owned() + "\n";
    for line in lines {
        let _ = writeln!(indented, "{}{line}", if line.starts_with(' ') { "" } else { "  " });
    }
    indented
}

pub(super) fn failure_text(host: &Address, failure: &HostFailure) -> String {
    let report = failure.report();
    let mut text = format!("{host}  {}\n", report.causes.join(": "));
    for detail in &report.details {
        let _ = writeln!(text, "  {detail}");
    }
    if let Some(help) = report.help {
        let _ = writeln!(text, "  help: {}", help.replace('\n', "\n  "));
    }
    text
}

/// Lines of columns, each as wide as its widest cell; indented, and without blanks at their ends.
pub(super) fn columns<const N: usize>(rows: &[[String; N]]) -> String {
    let mut widths = [0; N];
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let mut text = String::new();
    for row in rows {
        let cells: Vec<String> =
            row.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}")).collect();
        let _ = writeln!(text, "  {}", cells.join("  ").trim_end());
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_answer_looks_like_another_hosts() {
        assert_eq!(indented("frozen: x\nweb2  fine\n  it\n"), "frozen: x\n  web2  fine\n  it\n");
        assert_eq!(indented("nothing\n"), "nothing\n");
    }

    #[test]
    fn columns_are_as_wide_as_they_must_be() {
        let rows = [["a".to_owned(), "bb".to_owned()], ["ccc".to_owned(), String::new()]];
        assert_eq!(columns(&rows), "  a    bb\n  ccc\n");
    }
}
