//! The steps of a deploy that have to do with units: which of them are enabled and started, why, and how they are watched.
use std::cmp::Reverse;
use std::collections::BTreeMap;

use super::deploy::{Changes, Inputs};
use super::facts::{Facts, FoundLink, FoundUnit, LinkState};
use super::layout::{Layout, LinkSpec};
use super::preflight::is_enabled;
use super::step::{Reason, Step, WatchedUnit};
use crate::manifest::{Manifest, OnChange, UnitKind, UnitName};
use crate::release::{ReleaseRecord, UnitStart};

/// What is done, before the switch, to units that the new release does not have.
pub(super) fn leaving(inputs: &Inputs<'_>, layout: &Layout) -> Vec<Step> {
    let Inputs { manifest, facts, release, .. } = *inputs;
    let start = |unit: &UnitName| {
        if release.wants_enabling(unit) { UnitStart::Enabled } else { UnitStart::Deploy }
    };
    let stays = manifest.started_units().map(|(name, _)| (name, start(name))).collect();
    farewell(manifest, layout, facts, &stays, &Layout::links(manifest))
}

/// Stops the units that do not stay, has them no longer start at boot, and removes the links to unit files that are not
/// wanted any more. What is not a link of the service's own is left as it is, and so is the unit that it brings. One that stays
/// and starts at boot no longer is disabled, too, if it was the release before that wanted it.
pub(super) fn farewell(
    manifest: &Manifest,
    layout: &Layout,
    facts: &Facts,
    stays: &BTreeMap<&UnitName, UnitStart>,
    wanted: &[LinkSpec],
) -> Vec<Step> {
    let target_of = |file: &str| layout.root().join(&Layout::unit_target(file));
    let leads_to_us = |found: &FoundLink, file: &str| match &found.state {
        LinkState::Symlink(points_to) => points_to == target_of(file).as_str(),
        _ => false,
    };
    let is_anothers = |unit: &UnitName| {
        // An instance has a file of its own, or its template's.
        let found = [unit.clone(), unit.file()].into_iter().find_map(|file| {
            let path = Layout::unit_link(facts.scope_of(unit, layout.scope()), file.as_str()).path;
            Some((file, facts.links.iter().find(|found| found.path == path)?))
        });
        found.is_some_and(|(file, found)| {
            found.state != LinkState::Missing && !leads_to_us(found, file.as_str())
        })
    };
    // Units of releases that are past may have become somebody else's.
    let recorded = facts.record.as_ref().map(ReleaseRecord::all_units).unwrap_or_default();
    let is_ours = |unit: &UnitName| {
        recorded.iter().any(|known| known.name == *unit)
            || manifest.started_units().any(|(name, _)| name == unit)
    };
    let goes = |unit: &UnitName| is_ours(unit) && !stays.contains_key(unit) && !is_anothers(unit);
    let mut leaving: Vec<(&UnitName, &FoundUnit)> =
        facts.units.iter().filter(|(unit, _)| goes(unit)).collect();
    // What would start others goes first, then in the reverse of the order they were started in.
    let started = |unit: &UnitName| recorded.iter().position(|known| known.name == *unit);
    leaving.sort_by_key(|(unit, _)| (!unit.kind().triggers(), Reverse(started(unit))));
    let runs = |found: &FoundUnit| !matches!(found.active_state.as_str(), "" | "inactive");
    let stops = leaving.iter().filter(|(_, found)| runs(found));
    let was_enabled = |unit: &UnitName| {
        recorded.iter().any(|known| known.name == *unit && known.start == UnitStart::Enabled)
    };
    let loses_boot = |unit: &UnitName| {
        let stays = stays.get(unit).is_some_and(|start| *start != UnitStart::Enabled);
        stays && was_enabled(unit) && !is_anothers(unit)
    };
    let staying = facts.units.iter().filter(|(unit, _)| loses_boot(unit));
    let disables: Vec<&UnitName> = leaving
        .iter()
        .copied()
        .chain(staying)
        .filter(|(_, found)| is_enabled(found))
        .map(|(unit, _)| unit)
        .collect();
    let unlinks = facts.links.iter().filter_map(|found| {
        let (_, file) = Layout::unit_file(&found.path)?;
        let goes = !wanted.iter().any(|spec| spec.path == found.path) && leads_to_us(found, file);
        goes.then(|| Step::Unlink { path: found.path.clone(), target: target_of(file) })
    });
    let stops = stops.map(|(unit, _)| Step::Stop { unit: (*unit).clone() });
    let disables = disables.into_iter().map(|unit| Step::Disable { unit: unit.clone() });
    stops.chain(disables).chain(unlinks).collect()
}

/// What is done to the units, once `current` points to the release.
pub(super) fn steps(inputs: &Inputs<'_>, changes: &Changes) -> Vec<Step> {
    let Inputs { manifest, facts, release, .. } = *inputs;
    let mut enables = Vec::new();
    let mut starts = Vec::new();
    let mut watched = Vec::new();
    for (unit, _) in &release.started {
        let Some((_, source)) = manifest.started_units().find(|(name, _)| *name == unit) else { continue };
        let found = facts.units.get(unit).cloned().unwrap_or_default();
        if release.wants_enabling(unit) && !is_enabled(&found) {
            enables.push(Step::Enable { unit: unit.clone() });
        }
        // What does its work and ends has no process left to look at.
        let lasts = release.runs_binary(unit) && !release.is_oneshot(unit);
        let executable = lasts.then(|| release.binary_hash()).flatten();
        // One that goes on over a change may run an older binary for long.
        let proves = executable.is_some() && source.on_change == OnChange::Restart;
        let reasons = reasons(unit, &found, proves, inputs, changes);
        if reasons.is_empty() {
            continue;
        }
        let on_change = if found.is_up() { source.on_change } else { OnChange::Restart };
        let unit = unit.clone();
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
    // The file and the drop-ins of a template are each instance's.
    if changes.units.contains(unit) || changes.units.contains(&unit.file()) {
        reasons.push(Reason::UnitChanged);
    }
    if unit.kind() == UnitKind::Service {
        if changes.binary {
            reasons.push(Reason::BinaryChanged);
        }
        if changes.env {
            reasons.push(Reason::EnvChanged);
        }
        if changes.others {
            reasons.push(Reason::FilesChanged);
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
