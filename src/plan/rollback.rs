//! The plan of a rollback: what it takes to have a host run a release that is on it already.
//!
//! Nothing of the operator's machine but the manifest is needed: what the release is made of stands in its own record.
use std::collections::{BTreeMap, BTreeSet};

use super::copies::{Copying, Edits, Original};
use super::deploy::{Operator, Plan};
use super::facts::{Facts, FoundRelease, FoundUnit, Lingering, Standing};
use super::files::{has_its_own_reader, linked_anew, notifications, validations};
use super::health;
use super::layout::{Layout, LinkSpec};
use super::preflight::{
    changed_links, is_enabled, past_links, refuse_host, refuse_other_scope, refuse_sudo, user_step,
};
use super::refusal::{Refusal, ReleaseLine};
use super::step::{FileSum, Reason, Step, WatchedUnit};
use super::units;
use crate::manifest::{Address, Manifest, Scope, UnitKind, UnitName};
use crate::release::{
    RecordedRole, RecordedUnit, ReleaseRecord, Sha256Digest, UnitProcess, UnitStart, UnitWork,
};

/// Everything that the plan of a rollback is made from.
#[derive(Debug, Clone, Copy)]
pub struct RollbackInputs<'a> {
    /// The service.
    pub manifest: &'a Manifest,
    /// The host it is for.
    pub host: &'a Address,
    /// What the probe found, with the records of all releases.
    pub facts: &'a Facts,
    /// Where to go.
    pub destination: &'a Destination,
    /// Whether someone can be asked for a password.
    pub operator: Operator,
    /// What to do about what others have changed.
    pub edits: Edits,
}

/// Where a rollback goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Destination {
    /// To the newest good release that is older than the current one.
    Before,
    /// To the one whose id begins so.
    Named(String),
}

/// Computes the plan, or all the reasons why there can't be one. A host that is on that release already has an empty
/// plan.
pub fn plan_rollback(inputs: &RollbackInputs<'_>) -> Result<Plan, Vec<Refusal>> {
    let RollbackInputs { manifest, host, facts, destination, operator, edits } = *inputs;
    let layout = Layout::new(&facts.home, manifest);
    let mut refusals = refuse_host(manifest, facts)?;
    let release = match choose(facts, destination) {
        Ok(release) => release,
        Err(refusal) => {
            refusals.push(refusal);
            return Err(refusals);
        }
    };
    let current = facts.current.release();
    let mut plan = Plan {
        service: manifest.name.clone(),
        host: host.clone(),
        root: layout.root().clone(),
        from: current.cloned(),
        release: release.id.clone(),
        steps: Vec::new(),
    };
    if current == Some(&release.id) {
        return if refusals.is_empty() { Ok(plan) } else { Err(refusals) };
    }
    let record = match complete_record(release, manifest) {
        Ok(record) => record,
        Err(why) => {
            refusals.push(Refusal::ReleaseIncomplete { release: release.id.clone(), why });
            return Err(refusals);
        }
    };

    let steps = &mut plan.steps;
    if facts.lingering == Lingering::Off {
        steps.push(Step::EnableLingering { user: facts.user.clone() });
    }
    steps.extend(user_step(manifest, facts));
    let sums = record.artifacts.iter().map(|file| FileSum { path: file.path.clone(), sha256: file.sha256 });
    let (sums, skeleton) = (sums.collect(), record.skeleton.clone());
    steps.push(Step::CheckRelease { release: release.id.clone(), sums, skeleton });
    let wanted = links_of(manifest, record);
    let originals = record
        .artifacts
        .iter()
        .map(|file| (file.path.as_str(), Original { sha256: file.sha256, mode: file.mode }));
    let copying = Copying { manifest, facts, layout: &layout, release: &release.id, edits };
    let copies = copying.steps(&originals.collect(), &mut refusals);
    let links = changed_links(&layout, &wanted, facts, &copies, &mut refusals);
    let linked = linked_anew(manifest, &links);
    let copied: Vec<String> = copies.sources().collect();
    let past = past_links(&layout, &wanted, facts, &copies);
    steps.extend(copies.removals);
    steps.extend(links.into_iter().map(Step::Link));
    steps.extend(copies.installs);
    steps.extend(past);
    let units = record.all_units();
    let stays = units.iter().map(|unit| (&unit.name, unit.start)).collect();
    refuse_other_scope(
        &record.users_units,
        &units.iter().map(|unit| &unit.name).collect(),
        facts,
        &mut refusals,
    );
    steps.extend(units::farewell(manifest, &layout, facts, &stays, &wanted));
    steps.push(Step::Switch { from: current.cloned(), to: release.id.clone() });
    let differs = differences(facts, record);
    let differences = Differences::between(manifest, facts, record, &differs);
    let changed = differs.into_iter().chain(linked).chain(copied).collect();
    steps.extend(validations(manifest, &changed));
    steps.push(Step::ReloadManager);
    steps.extend(notifications(manifest, &changed));
    steps.extend(unit_steps(manifest, facts, &differences, record, units));
    steps.extend(health::questions(manifest, steps));

    refuse_sudo(&plan.steps, facts, operator, &mut refusals);
    if refusals.is_empty() { Ok(plan) } else { Err(refusals) }
}

/// The release to go to.
fn choose<'a>(facts: &'a Facts, destination: &Destination) -> Result<&'a FoundRelease, Refusal> {
    let current = facts.current.release();
    let nothing_before = || Refusal::NothingToGoBackTo {
        current: current.cloned(),
        releases: ReleaseLine::list(&facts.releases, current),
    };
    match destination {
        Destination::Before => {
            let current = current.ok_or_else(nothing_before)?;
            let earlier = facts.releases.iter().filter(|release| release.id < *current);
            let good = earlier.filter(|release| release.standing == Standing::Good);
            good.max_by(|a, b| a.id.cmp(&b.id)).ok_or_else(nothing_before)
        }
        Destination::Named(wanted) => {
            let fits = |release: &&FoundRelease| release.id.to_string().starts_with(wanted.as_str());
            let found: Vec<&FoundRelease> = facts.releases.iter().filter(fits).collect();
            match found.as_slice() {
                [one] => Ok(one),
                [] => Err(Refusal::NoSuchRelease {
                    wanted: wanted.clone(),
                    releases: ReleaseLine::list(&facts.releases, current),
                }),
                several => Err(Refusal::AmbiguousRelease {
                    wanted: wanted.clone(),
                    releases: ReleaseLine::list(several.iter().copied(), current),
                }),
            }
        }
    }
}

/// The release's record, when every file in it is there and has its size; else what is wrong. That the bytes are right
/// is for the host to check, under the lock.
fn complete_record<'a>(release: &'a FoundRelease, manifest: &Manifest) -> Result<&'a ReleaseRecord, String> {
    let record = release.record.as_ref().ok_or("its release.json is missing or can't be read")?;
    if record.id != release.id || record.service != manifest.name {
        return Err(format!("its release.json is that of release {} of {}", record.id, record.service));
    }
    for file in &record.artifacts {
        match release.sizes.get(file.path.as_str()) {
            Some(size) if *size == file.size => {}
            Some(size) => return Err(format!("{} has {size} bytes, and not {}", file.path, file.size)),
            None => return Err(format!("{} is missing", file.path)),
        }
    }
    Ok(record)
}

/// The links that the manifest wants and that would lead somewhere, and those to the release's units.
fn links_of(manifest: &Manifest, record: &ReleaseRecord) -> Vec<LinkSpec> {
    let leads = |link: &LinkSpec| {
        let path = link.target.strip_prefix("current/").unwrap_or(&link.target);
        // A link may lead to a folder.
        let is_there = |found: &str| {
            found.strip_prefix(path).is_some_and(|below| below.is_empty() || below.starts_with('/'))
        };
        record.artifacts.iter().any(|file| is_there(file.path.as_str()))
            || record.skeleton.folders.iter().any(|folder| is_there(folder.as_str()))
            || record.skeleton.symlinks.iter().any(|link| is_there(link.path.as_str()))
    };
    let units = record.artifacts.iter().filter_map(|file| file.path.as_str().strip_prefix("units/"));
    // A drop-in stands in its unit's folder.
    let unit_of = |file: &str| file.split_once(".d/").map_or(file, |(unit, _)| unit).to_owned();
    let is_users = |file: &str| record.users_units.iter().any(|unit| *unit.as_str() == unit_of(file));
    let scope = |file: &str| if is_users(file) { Scope::User } else { manifest.scope };
    let units = units.map(|file| Layout::unit_link(scope(file), file));
    Layout::program_links(manifest).into_iter().filter(leads).chain(units).collect()
}

fn unit_steps(
    manifest: &Manifest,
    facts: &Facts,
    differences: &Differences,
    record: &ReleaseRecord,
    units: Vec<RecordedUnit>,
) -> Vec<Step> {
    let (mut enables, mut starts, mut watched) = (Vec::new(), Vec::new(), Vec::new());
    for unit in units {
        let found = facts.units.get(&unit.name).cloned().unwrap_or_default();
        if unit.start == UnitStart::Enabled && !is_enabled(&found) {
            enables.push(Step::Enable { unit: unit.name.clone() });
        }
        let executable = match (unit.process, unit.work) {
            (UnitProcess::Binary, UnitWork::Lasting) => record.binary_hash(),
            (UnitProcess::Binary, UnitWork::Oneshot) | (UnitProcess::Other, _) => None,
        };
        if !is_to_start(&unit, &found, executable, differences) {
            continue;
        }
        let name = unit.name;
        let reasons = vec![Reason::RolledBack];
        starts.push(if found.is_up() {
            Step::Restart { unit: name.clone(), reasons }
        } else {
            Step::Start { unit: name.clone(), reasons }
        });
        watched.push(WatchedUnit { unit: name, executable });
    }
    enables.into_iter().chain(starts).chain(Step::observe(watched, manifest.settle)).collect()
}

/// Whether the unit would run something else than it does, or does not run and should.
fn is_to_start(
    unit: &RecordedUnit,
    found: &FoundUnit,
    executable: Option<Sha256Digest>,
    differences: &Differences,
) -> bool {
    // A job that a timer, a socket or a path has run is not a rollback's to run.
    if unit.start == UnitStart::Trigger && !found.is_up() {
        return false;
    }
    let has_ended_well = found.active_state == "inactive" && found.result == "success";
    let work_is_done = unit.work == UnitWork::Oneshot && has_ended_well && !found.invocation.is_empty();
    let is_service = unit.name.kind() == UnitKind::Service;
    let changed_files = [&unit.name, &unit.name.file()].iter().any(|name| differences.units.contains(name));
    let changed = changed_files || (is_service && differences.program);
    let stale = executable.is_some() && found.executable.is_some() && found.executable != executable;
    changed || stale || !(found.is_up() || work_is_done)
}

/// The paths that are not the same in the release that runs and in the one to go to.
fn differences(facts: &Facts, record: &ReleaseRecord) -> BTreeSet<String> {
    let files = record.artifacts.iter().map(|file| (file.path.to_string(), (file.sha256, file.mode.bits())));
    let files: BTreeMap<_, _> = files.collect();
    let found = facts.files.iter().map(|(path, file)| (path.clone(), (file.sha256, file.mode)));
    let found: BTreeMap<_, _> = found.collect();
    let links = record.skeleton.symlinks.iter();
    let links: BTreeMap<_, _> = links.map(|link| (link.path.to_string(), link.target.to_string())).collect();
    let folders: BTreeSet<String> = record.skeleton.folders.iter().map(ToString::to_string).collect();
    let files_differ = files.keys().chain(found.keys()).filter(|path| files.get(*path) != found.get(*path));
    let links_differ = links
        .keys()
        .chain(facts.symlinks.keys())
        .filter(|path| links.get(*path) != facts.symlinks.get(*path));
    let folders_differ = folders.symmetric_difference(&facts.folders);
    files_differ.chain(links_differ).chain(folders_differ).cloned().collect()
}

/// What is different between the release that runs and the one to go to.
struct Differences {
    units: Vec<UnitName>,
    /// The binary, the env file, or anything else that is no unit and that no other program is told of.
    program: bool,
}

impl Differences {
    /// `paths` are those of all that differs.
    fn between(manifest: &Manifest, facts: &Facts, record: &ReleaseRecord, paths: &BTreeSet<String>) -> Self {
        let running: BTreeMap<&str, Sha256Digest> =
            facts.files.iter().map(|(path, file)| (path.as_str(), file.sha256)).collect();
        let is_programs = |path: &String| !path.starts_with("units/") && !has_its_own_reader(manifest, path);
        let mut differences = Self { units: Vec::new(), program: paths.iter().any(is_programs) };
        for file in &record.artifacts {
            if running.get(file.path.as_str()) == Some(&file.sha256) {
                continue;
            }
            match (file.role, &file.unit) {
                (RecordedRole::Unit | RecordedRole::DropIn, Some(unit)) => {
                    differences.units.push(unit.clone());
                }
                (RecordedRole::Unit | RecordedRole::DropIn, None)
                | (
                    RecordedRole::Binary | RecordedRole::EnvFile | RecordedRole::File | RecordedRole::Other,
                    _,
                ) => {}
            }
        }
        // What runs may have a drop-in that the other one has not.
        let kept: BTreeSet<&str> = record.artifacts.iter().map(|file| file.path.as_str()).collect();
        let gone = running.keys().filter(|path| !kept.contains(*path));
        let drop_ins = gone.filter_map(|path| path.strip_prefix("units/")?.split_once(".d/"));
        differences.units.extend(drop_ins.filter_map(|(unit, _)| unit.parse().ok()));
        differences
    }
}
