//! `shipit status`: what each host runs.
use std::fmt::Write as _;
use std::io::{self, Write};
use std::sync::Arc;

use clap::Args;
use futures::future::join_all;
use serde::Serialize;

use super::error::CliError;
use super::exit_code::Exit;
use super::global::{ConnectArgs, Format, GlobalArgs, ManifestArgs};
use super::prompt::Asker;
use super::selection;
use crate::host::{Session, probe};
use crate::manifest::{Address, Host, Manifest, UnitName};
use crate::plan::{Facts, FoundUnit};
use crate::release::ReleaseId;
use crate::report::{Events, bytes, duration, sanitise};
use crate::rollout::{HostError, HostFailure, Reach, connect_host};

/// Show the release, the units' state, uptime, memory and restarts on every host
#[derive(Debug, Args)]
pub(super) struct StatusArgs {
    /// The environment; may be left out when there is only one
    pub environment: Option<String>,
    /// Which manifest.
    #[command(flatten)]
    pub(crate) manifest: ManifestArgs,
    /// How to connect, and to which hosts.
    #[command(flatten)]
    pub connect: ConnectArgs,
}

/// One host's state, as `--format json` has it.
#[derive(Debug, Serialize)]
struct HostStatus<'a> {
    v: u32,
    host: &'a Address,
    release: Option<&'a ReleaseId>,
    units: Vec<UnitStatus<'a>>,
}

#[derive(Debug, Serialize)]
struct UnitStatus<'a> {
    unit: &'a UnitName,
    #[serde(flatten)]
    found: &'a FoundUnit,
}

/// Runs the command.
pub(super) async fn status(args: &StatusArgs, global: &GlobalArgs) -> Result<Exit, CliError> {
    let manifest = Arc::new(selection::load(&args.manifest.manifest, global)?);
    let environment = manifest.environment(args.environment.as_deref())?;
    let hosts = selection::hosts(environment, &args.connect)?;
    let asker = Asker::new(global.can_ask());
    let reach = selection::reach(&args.connect, global, &hosts, &asker)?;

    let asked = join_all(hosts.iter().map(|host| facts(&reach, &manifest, host))).await;
    let failed = asked.iter().filter_map(|result| result.as_ref().err());
    let exit = Exit::most_urgent(failed.map(|failure| Exit::of_error(&failure.error)));
    for (host, result) in hosts.iter().zip(asked) {
        let text = match (&result, global.format) {
            (Ok(facts), Format::Text) => text(&host.address, facts),
            (Ok(facts), Format::Json) => json(&host.address, facts),
            (Err(failure), _) => {
                let report = failure.report();
                let mut text = format!("{}  {}\n", host.address, report.causes.join(": "));
                for detail in &report.details {
                    let _ = writeln!(text, "  {detail}");
                }
                if let Some(help) = report.help {
                    let _ = writeln!(text, "  help: {}", help.replace('\n', "\n  "));
                }
                // Standard output is for data.
                let _ = io::stderr().write_all(sanitise(&text).as_bytes());
                continue;
            }
        };
        // `shipit status | head` is fine.
        let _ = io::stdout().write_all(text.as_bytes());
    }
    Ok(exit)
}

async fn facts(reach: &Reach, manifest: &Manifest, host: &Host) -> Result<Facts, HostFailure> {
    let (events, _nobody) = Events::channel();
    let connection = connect_host(reach, &host.address, &events).await.map_err(HostFailure::not_reached)?;
    let mut session = Session::new(connection.clone())
        .map_err(|error| HostFailure::not_reached(HostError::Random(error)))?;
    let facts = probe(&mut session, manifest).await.map_err(HostFailure::not_reached);
    connection.close().await;
    facts
}

fn text(host: &Address, facts: &Facts) -> String {
    let release = facts.current.release().map_or_else(|| "not deployed".to_owned(), ToString::to_string);
    let mut text = format!("{host}  {release}\n");
    for (name, unit) in &facts.units {
        let FoundUnit { active_state, sub_state, unit_file_state, restarts, .. } = unit;
        let state = if unit.load_state == "not-found" { "not found" } else { active_state };
        let _ = write!(text, "  {name}  {state}");
        if !sub_state.is_empty() && unit.load_state != "not-found" {
            let _ = write!(text, " ({sub_state})");
        }
        if let Some(time) = unit.active_for.filter(|_| unit.is_up()) {
            let _ = write!(text, ", up {}", duration(time));
        }
        if let Some(memory) = unit.memory.filter(|_| unit.is_up()) {
            let _ = write!(text, ", {}", bytes(memory));
        }
        let _ = write!(text, ", {restarts} restart{}", if *restarts == 1 { "" } else { "s" });
        if !unit_file_state.is_empty() {
            let _ = write!(text, ", {unit_file_state}");
        }
        text.push('\n');
    }
    sanitise(&text)
}

fn json(host: &Address, facts: &Facts) -> String {
    let units = facts.units.iter().map(|(unit, found)| UnitStatus { unit, found }).collect();
    let status = HostStatus { v: 1, host, release: facts.current.release(), units };
    serde_json::to_string(&status).map_or_else(|_| String::new(), |line| line + "\n")
}
