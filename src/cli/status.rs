//! `shipit status`: what each host runs.
use std::fmt::Write as _;

use clap::Args;
use jiff::Timestamp;
use serde::Serialize;

use super::error::CliError;
use super::exit_code::Exit;
use super::global::{ConnectArgs, GlobalArgs, ManifestArgs};
use super::inspect::{Answer, inspect};
use super::selection;
use crate::host::{Extent, probe};
use crate::manifest::{Manifest, UnitKind, UnitName};
use crate::plan::{Facts, FoundUnit, Hold, Holder, PendingRun, RunLife};
use crate::release::{ReleaseId, RunId};
use crate::report::{bytes, duration};
use crate::rollout::{Purpose, held_by};

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

/// One host's state.
#[derive(Debug, Serialize)]
struct Status {
    release: Option<ReleaseId>,
    units: Vec<UnitStatus>,
    /// Files that are not as the release brought them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    changed_by_hand: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pending: Option<PendingStatus>,
    #[serde(skip_serializing_if = "Option::is_none")]
    lock: Option<HoldStatus>,
    #[serde(skip_serializing_if = "Option::is_none")]
    freeze: Option<HoldStatus>,
}

#[derive(Debug, Serialize)]
struct UnitStatus {
    unit: UnitName,
    #[serde(flatten)]
    found: FoundUnit,
}

/// An activation that is not over.
#[derive(Debug, Serialize)]
struct PendingStatus {
    run: RunId,
    alive: bool,
}

/// A lock or a freeze; `holder` is null where it can't be read.
#[derive(Debug, Serialize)]
struct HoldStatus {
    holder: Option<Holder>,
}

/// Runs the command.
pub(super) async fn status(args: &StatusArgs, global: &GlobalArgs) -> Result<Exit, CliError> {
    let manifest = selection::load(&args.manifest.manifest, global)?;
    let environment = manifest.environment(args.environment.as_deref())?;
    inspect(environment, &args.connect, global, (manifest.scope, Purpose::Look), async |session, _host| {
        let facts = probe(session, &manifest, Extent::Holds).await?;
        Ok(Status::of(facts, &manifest))
    })
    .await
}

impl Status {
    fn of(facts: Facts, manifest: &Manifest) -> Self {
        let held = |hold| match hold {
            Hold::Free => None,
            Hold::By(holder) => Some(HoldStatus { holder }),
        };
        let changed_by_hand = facts.changed_by_hand();
        let units = facts.units.into_iter().map(|(unit, found)| UnitStatus { unit, found });
        let mut units: Vec<UnitStatus> = units.collect();
        // As the manifest has them, then what releases have besides: an instance 10 comes behind an instance 9.
        units.sort_by_key(|status| {
            let mut wanted = manifest.started_units();
            wanted.position(|(name, _)| *name == status.unit).unwrap_or(usize::MAX)
        });
        Self {
            release: facts.current.release().cloned(),
            units,
            changed_by_hand,
            pending: facts
                .pending
                .map(|PendingRun { id, life }| PendingStatus { run: id, alive: life == RunLife::Alive }),
            lock: held(facts.lock),
            freeze: held(facts.freeze),
        }
    }
}

impl Answer for Status {
    fn text(&self) -> String {
        let release = self.release.as_ref().map_or_else(|| "not deployed".to_owned(), ToString::to_string);
        let mut text = format!("{release}\n");
        for UnitStatus { unit, found } in &self.units {
            unit_line(&mut text, unit, found);
        }
        for path in &self.changed_by_hand {
            let _ = writeln!(text, "  changed by hand: {path}");
        }
        if let Some(PendingStatus { run, alive }) = &self.pending {
            let _ = match alive {
                true => writeln!(text, "  an activation is under way: run {run}"),
                false => writeln!(
                    text,
                    "  an activation was interrupted: run {run}; the next deploy or rollback goes back from it"
                ),
            };
        }
        if let Some(HoldStatus { holder }) = &self.lock {
            let _ = writeln!(text, "  locked{}", held_by(holder.as_ref()));
        }
        if let Some(HoldStatus { holder }) = &self.freeze {
            let _ = writeln!(text, "  frozen{}", held_by(holder.as_ref()));
        }
        text
    }
}

fn unit_line(text: &mut String, name: &UnitName, unit: &FoundUnit) {
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
    if let Some(next) = unit.next_elapse {
        let left = next.duration_since(Timestamp::now());
        let _ = match std::time::Duration::try_from(left) {
            Ok(left) => write!(text, ", next in {}", duration(left)),
            Err(_) => write!(text, ", next now"),
        };
    }
    if name.kind() == UnitKind::Service {
        let _ = write!(text, ", {restarts} restart{}", if *restarts == 1 { "" } else { "s" });
    }
    if !unit_file_state.is_empty() {
        let _ = write!(text, ", {unit_file_state}");
    }
    text.push('\n');
}
