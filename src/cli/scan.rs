//! `shipit hosts --scan`: the keys that the hosts show, with their fingerprints; and from there to the file that the
//! manifest names. What is pinned already is never replaced.
use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::path::Path;

use futures::future::join_all;

use super::error::CliError;
use super::exit_code::Exit;
use super::global::GlobalArgs;
use super::hosts::HostsArgs;
use super::prompt::Asker;
use super::say::say;
use super::{pinned as pinned_keys, selection};
use crate::manifest::{Environment, Host, KnownHosts};
use crate::report::sanitise;
use crate::ssh::PinnedStanding;

/// Runs the command.
pub(super) async fn scan(
    args: &HostsArgs,
    global: &GlobalArgs,
    environment: &Environment,
    hosts: &[Host],
) -> Result<Exit, CliError> {
    let asker = Asker::new(global);
    let pinned = match &environment.known_hosts {
        // It is about to be written.
        Some(KnownHosts::File(path)) if !path.exists() => None,
        _ => pinned_keys::keys(environment)?,
    };
    let reach = selection::reach_by(&args.connect, global, pinned.clone(), hosts, &asker).await?;
    let mut ways = Vec::new();
    for host in hosts {
        ways.push(reach.way(&host.address).await?);
    }
    let scanned = join_all(ways.iter().map(|hop| hop.scan())).await;
    let (mut text, mut missing, mut exit) = (String::new(), Vec::new(), Exit::Done);
    for ((host, hop), result) in hosts.iter().zip(&ways).zip(scanned) {
        // Writing to a string does not fail.
        let _ = writeln!(text, "{} is {}", host.address, hop.known_as());
        let keys = match result {
            Ok(keys) => keys,
            Err(error) => {
                let _ = writeln!(text, "  {error}");
                exit = Exit::most_urgent([exit, Exit::of_ssh(&error)].into_iter());
                continue;
            }
        };
        for key in keys {
            let standing =
                pinned.as_ref().map_or(PinnedStanding::Missing, |pinned| pinned.standing(hop, &key));
            let note = match standing {
                PinnedStanding::Pinned => "pinned",
                PinnedStanding::Missing => "new",
                PinnedStanding::Contradicted => "NOT THE ONE THAT IS PINNED",
            };
            let _ = writeln!(text, "  {} {}  {note}", key.key_type, key.fingerprint);
            match standing {
                PinnedStanding::Pinned => {}
                PinnedStanding::Missing if !missing.contains(&key.line) => missing.push(key.line),
                PinnedStanding::Missing => {}
                PinnedStanding::Contradicted => exit = Exit::most_urgent([exit, Exit::HostKey].into_iter()),
            }
        }
    }
    // Nobody to read it is no reason to stop.
    let _ = io::stdout().write_all(sanitise(&text).as_bytes());
    if !missing.is_empty() {
        offer(args, environment, &missing, &asker)?;
    }
    Ok(exit)
}

/// Writes the lines to the file, if there is one and somebody agrees; or else shows them.
fn offer(
    args: &HostsArgs,
    environment: &Environment,
    lines: &[String],
    asker: &Asker,
) -> Result<(), CliError> {
    let file = match &environment.known_hosts {
        Some(KnownHosts::File(path)) => Some(path),
        Some(KnownHosts::Lines(_)) | None => None,
    };
    let question = |file: &Path| {
        format!(
            "Compare the fingerprints with what the hosts' administrator says. Add the new ones to {}?",
            file.display()
        )
    };
    match file {
        Some(file) if args.yes || asker.confirm(&question(file)) => {
            append(file, lines)
                .map_err(|source| CliError::KnownHostsNotWritten { file: file.clone(), source })?;
            say(&format!("added {} to {}", keys(lines.len()), file.display()));
        }
        _ => {
            let mut text = match file {
                Some(_) => "\nNothing was written. The lines would be:\n".to_owned(),
                None => {
                    "\nThe manifest names no file for them (`known_hosts: ./known_hosts`). The lines are:\n"
                        .to_owned()
                }
            };
            for line in lines {
                // Writing to a string does not fail.
                let _ = writeln!(text, "{line}");
            }
            let _ = io::stdout().write_all(sanitise(&text).as_bytes());
        }
    }
    Ok(())
}

fn keys(count: usize) -> String {
    if count == 1 { "1 key".to_owned() } else { format!("{count} keys") }
}

/// By way of a new file, so that nobody reads half of it. It is no secret, and part of a repository.
fn append(file: &Path, lines: &[String]) -> io::Result<()> {
    let mut text = match std::fs::read(file) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
        Err(error) => return Err(error),
    };
    if !text.is_empty() && !text.ends_with(b"\n") {
        text.push(b'\n');
    }
    for line in lines {
        text.extend_from_slice(line.as_bytes());
        text.push(b'\n');
    }
    let mut name = file.file_name().unwrap_or_default().to_owned();
    name.push(".new");
    let new = file.with_file_name(name);
    std::fs::write(&new, text)?;
    std::fs::rename(new, file)
}
