//! The steps of a deploy that have to do with units: which of them are enabled and started, why, and how they are watched.
use super::deploy::{Changes, Inputs};
use super::facts::FoundUnit;
use super::preflight::is_enabled;
use super::step::{Reason, Step, WatchedUnit};
use crate::manifest::{OnChange, UnitKind, UnitName, UnitSource};

/// What is done to the units, once `current` points to the release.
pub(super) fn steps(inputs: &Inputs<'_>, changes: &Changes) -> Vec<Step> {
    let Inputs { manifest, facts, release, .. } = *inputs;
    let mut enables = Vec::new();
    let mut starts = Vec::new();
    let mut watched = Vec::new();
    // systemd starts no socket whose service runs already: sockets come first.
    let is_socket = |unit: &&UnitSource| unit.name.kind() == UnitKind::Socket;
    let (sockets, others): (Vec<_>, Vec<_>) = manifest.units.iter().partition(is_socket);
    for unit in sockets.into_iter().chain(others) {
        let found = facts.units.get(&unit.name).cloned().unwrap_or_default();
        if release.wants_enabling(&unit.name) && !is_enabled(&found) {
            enables.push(Step::Enable { unit: unit.name.clone() });
        }
        let executable = release.runs_binary(&unit.name).then(|| release.binary_hash()).flatten();
        // One that goes on over a change may run an older binary for long.
        let proves = executable.is_some() && unit.on_change == OnChange::Restart;
        let reasons = reasons(&unit.name, &found, proves, inputs, changes);
        if reasons.is_empty() {
            continue;
        }
        let on_change = if found.is_up() { unit.on_change } else { OnChange::Restart };
        let unit = unit.name.clone();
        match on_change {
            OnChange::None => continue,
            OnChange::Reload => {
                starts.push(Step::Reload { unit: unit.clone(), reasons });
                watched.push(WatchedUnit { unit, executable: None });
                continue;
            }
            OnChange::Restart => {}
        }
        let only_down = matches!(reasons.as_slice(), [Reason::NotRunning(_)] | [Reason::FirstDeploy]);
        starts.push(if only_down && !found.is_up() {
            Step::Start { unit: unit.clone(), reasons }
        } else {
            Step::Restart { unit: unit.clone(), reasons }
        });
        watched.push(WatchedUnit { unit, executable });
    }
    enables.into_iter().chain(starts).chain(Step::observe(watched, manifest.settle)).collect()
}

fn reasons(
    unit: &UnitName,
    found: &FoundUnit,
    runs_binary: bool,
    inputs: &Inputs<'_>,
    changes: &Changes,
) -> Vec<Reason> {
    let Inputs { facts, release, .. } = *inputs;
    // A job that a timer, a socket or a path has run is not a deploy's to run.
    if release.waits_for_trigger(unit) && !found.is_up() {
        return Vec::new();
    }
    if facts.current.release().is_none() {
        return vec![Reason::FirstDeploy];
    }
    let mut reasons = Vec::new();
    if changes.units.contains(unit) {
        reasons.push(Reason::UnitChanged);
    }
    if unit.kind() == UnitKind::Service {
        if changes.binary {
            reasons.push(Reason::BinaryChanged);
        }
        if changes.env {
            reasons.push(Reason::EnvChanged);
        }
        let wanted = release.binary_hash();
        let stale = found.executable.is_some() && found.executable != wanted;
        if runs_binary && !changes.binary && found.is_up() && stale {
            reasons.push(Reason::StaleExecutable);
        }
    }
    let has_ended_well = found.active_state == "inactive" && found.result == "success";
    let work_is_done = release.is_oneshot(unit) && has_ended_well && !found.invocation.is_empty();
    if !found.is_up() && !work_is_done {
        let state = if found.active_state.is_empty() { "not loaded" } else { &found.active_state };
        reasons.push(Reason::NotRunning(state.to_owned()));
    }
    reasons
}
