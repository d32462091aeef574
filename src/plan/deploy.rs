//! The plan of a deploy: what it takes to have a host run a release.
use std::collections::BTreeSet;
use std::path::Path;

use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

use super::copies::{CopySteps, Copying, Edits, Original};
use super::diff::{EnvChange, TextDiff};
use super::facts::{Facts, Libc, Lingering, Standing};
use super::files::{
    Packing, TreeChange, changed_paths, dropped, has_its_own_reader, is_other, linked_anew, notifications,
    validations,
};
use super::health;
use super::layout::{Layout, RemotePath};
use super::preflight::{changed_links, past_links, refuse_host, refuse_other_scope, refuse_sudo, user_step};
use super::refusal::Refusal;
use super::step::{Detail, FileChange, Privilege, Step, Transfer};
use super::units;
use crate::manifest::{Address, EnvFile, HookHosts, HookPoint, HostHook, Manifest, ServiceName, UnitName};
use crate::release::{Artifact, BinaryKind, Release, ReleaseId, Role};

/// Room left on the disk beside the release itself: its record, the folders, what a service writes meanwhile.
const SPARE_BYTES: u64 = 1 << 20;

/// Everything that a plan is made from. Nothing else has an influence on it.
#[derive(Debug, Clone, Copy)]
pub struct Inputs<'a> {
    /// What to deploy.
    pub manifest: &'a Manifest,
    /// The host it is for.
    pub host: &'a Address,
    /// The artifacts, rendered for this host.
    pub release: &'a Release,
    /// What the probe found.
    pub facts: &'a Facts,
    /// The time that the new release's id will carry.
    pub now: Timestamp,
    /// Whether someone can be asked for a password.
    pub operator: Operator,
    /// Where the host stands among those selected.
    pub position: Position,
    /// What to do about what others have changed.
    pub edits: Edits,
}

/// Where a host stands among those of a run. What runs on one host only runs on the first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Position {
    /// It is the first.
    First,
    /// There is one before it.
    Later,
}

/// Whether someone sits at a terminal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operator {
    /// A password can be asked for.
    Present,
    /// Nothing can be asked: CI, or `--no-input`.
    Absent,
}

/// What would be done to one host. Leaves no choice to those who carry it out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Plan {
    /// The service.
    pub service: ServiceName,
    /// The host.
    pub host: Address,
    /// The service's root on it.
    pub root: RemotePath,
    /// What `current` was when the plan was made; it must still be that when the plan is carried out.
    pub from: Option<ReleaseId>,
    /// The release that the host ends on.
    pub release: ReleaseId,
    /// What to do, in order. Empty: the host is as it should be.
    pub steps: Vec<Step>,
}

impl Plan {
    /// Whether there is nothing to do.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }

    /// Bytes that go over the network.
    #[must_use]
    pub fn bytes_to_send(&self) -> u64 {
        let files = self.steps.iter().filter_map(|step| match step {
            Step::Upload { files, .. } => Some(files),
            _ => None,
        });
        files.flatten().filter(|file| file.transfer == Transfer::Send).map(|file| file.size).sum()
    }

    /// The last step that other hosts wait for: a hook before the activation that runs on this host for all of them.
    #[must_use]
    pub fn last_shared_step(&self) -> Option<usize> {
        self.steps.iter().rposition(|step| {
            matches!(step, Step::Hook { when: HookPoint::BeforeActivate, hosts: HookHosts::Once, .. })
        })
    }

    /// Whether any step needs root's rights.
    #[must_use]
    pub fn needs_root(&self) -> bool {
        self.steps.iter().any(|step| step.privilege() == Privilege::Root)
    }
}

/// Computes the plan, or all the reasons why there can't be one.
pub fn plan(inputs: &Inputs<'_>) -> Result<Plan, Vec<Refusal>> {
    let Inputs { manifest, facts, release, .. } = *inputs;
    let layout = Layout::new(&facts.home, manifest);
    let mut refusals = refuse_host(manifest, facts)?;
    refuse_binary(inputs, &mut refusals);
    refuse_other_scope(
        &release.users_units,
        &manifest.started_units().map(|(name, _)| name).collect(),
        facts,
        &mut refusals,
    );

    let current = facts.current.release();
    let changes = Changes::between(inputs);
    let target = match current {
        Some(id) if changes.none() => id.clone(),
        _ => ReleaseId::new(time_of_next(facts, inputs.now), &release.digest),
    };

    let mut steps = Vec::new();
    if facts.lingering == Lingering::Off {
        steps.push(Step::EnableLingering { user: facts.user.clone() });
    }
    steps.extend(user_step(manifest, facts));
    if !changes.none() || current.is_none() {
        steps.push(Step::Upload {
            release: target.clone(),
            files: changes.files.clone(),
            dropped: changes.dropped.clone(),
            tree: changes.tree.clone(),
        });
        steps.push(Step::Seal { release: target.clone() });
        steps.extend(builds(release, facts));
        refuse_room(&changes, &layout, facts, &mut refusals);
    }
    let switched = current != Some(&target);
    let hooks = |when: HookPoint| if switched { hook_steps(inputs, when) } else { Vec::new() };
    steps.extend(hooks(HookPoint::BeforeActivate));
    let copies = copy_steps(inputs, &layout, &target, &mut refusals);
    let links = changed_links(&layout, &Layout::links(manifest), facts, &copies, &mut refusals);
    let units_linked = links.iter().any(|link| Layout::unit_file(&link.path).is_some());
    let linked = linked_anew(manifest, &links);
    let copied: Vec<String> = copies.sources().collect();
    let past = past_links(&layout, &Layout::links(manifest), facts, &copies);
    steps.extend(copies.removals);
    steps.extend(links.into_iter().map(Step::Link));
    steps.extend(copies.installs);
    steps.extend(past);
    let leaving = units::leaving(inputs, &layout);
    let units_left = !leaving.is_empty();
    steps.extend(leaving);
    if switched {
        steps.push(Step::Switch { from: current.cloned(), to: target.clone() });
    }
    let mut changed = changed_paths(&changes.files, &changes.tree, &changes.dropped, facts);
    changed.extend(linked.into_iter().chain(copied));
    steps.extend(validations(manifest, &changed));
    // Reading all units of the user anew takes a while. Other files are read when a unit starts.
    let units_new = switched && (changes.units_changed() || current.is_none());
    if units_new || units_linked || units_left {
        steps.push(Step::ReloadManager);
    }
    steps.extend(notifications(manifest, &changed));
    steps.extend(units::steps(inputs, &changes));
    steps.extend(hooks(HookPoint::AfterActivate));
    steps.extend(health::questions(manifest, &steps));

    refuse_sudo(&steps, facts, inputs.operator, &mut refusals);
    if !refusals.is_empty() {
        return Err(refusals);
    }
    if switched {
        let releases = superfluous(facts, &target, manifest.keep_releases.get() as usize);
        if !releases.is_empty() {
            steps.push(Step::Prune { releases });
        }
    }
    steps.extend(hooks(HookPoint::AfterDeploy));
    steps.extend(hooks(HookPoint::OnFailure));
    Ok(Plan {
        service: manifest.name.clone(),
        host: inputs.host.clone(),
        root: layout.root().clone(),
        from: current.cloned(),
        release: target,
        steps,
    })
}

/// What is done about copies of the release's files.
fn copy_steps(
    inputs: &Inputs<'_>,
    layout: &Layout,
    target: &ReleaseId,
    refusals: &mut Vec<Refusal>,
) -> CopySteps {
    let Inputs { manifest, facts, release, edits, .. } = *inputs;
    let originals = release
        .artifacts
        .iter()
        .map(|file| (file.path.as_str(), Original { sha256: file.sha256, mode: file.mode }));
    Copying { manifest, facts, layout, release: target, edits }.steps(&originals.collect(), refusals)
}

/// What has to be built on the host for the release: what it has not been built from yet.
fn builds(release: &Release, facts: &Facts) -> impl Iterator<Item = Step> {
    let missing = release.prepared.iter().filter(|prepared| !facts.prepared.contains(&prepared.key));
    missing.map(|prepared| Step::Prepare {
        name: prepared.name.clone(),
        key: prepared.key.clone(),
        run: prepared.how.run.clone(),
        timeout: prepared.how.timeout,
    })
}

/// The time in the next release's id: now, and later than that of every release on the host. So no id is taken twice,
/// as it would be by a repair in the second of the deploy, and ids sort by age even when clocks differ.
fn time_of_next(facts: &Facts, now: Timestamp) -> Timestamp {
    let known = facts.releases.iter().map(|release| &release.id);
    let newest = known.chain(facts.current.release()).map(ReleaseId::created).max();
    let next = newest.and_then(|newest| newest.checked_add(SignedDuration::from_secs(1)).ok());
    next.map_or(now, |next| next.max(now))
}

/// What is different between the release on the host and the one to be there.
pub(super) struct Changes {
    files: Vec<FileChange>,
    pub(super) binary: bool,
    pub(super) env: bool,
    pub(super) units: BTreeSet<UnitName>,
    /// Files of another kind, which the services may read.
    pub(super) others: bool,
    /// Files that other programs read, and are told of.
    told: bool,
    dropped: Vec<String>,
    tree: TreeChange,
    instances: bool,
}

impl Changes {
    fn between(inputs: &Inputs<'_>) -> Self {
        let Inputs { manifest, release, facts, .. } = *inputs;
        let mut changes = Self {
            files: Vec::new(),
            binary: false,
            env: false,
            units: BTreeSet::new(),
            others: false,
            told: false,
            dropped: dropped(release, facts),
            tree: TreeChange::between(release, facts),
            instances: false,
        };
        for artifact in &release.artifacts {
            let file = change_of(artifact, release, facts);
            // By hash and by mode: a file that was edited on the host, or made readable to others, is put right.
            let found = facts.files.get(artifact.path.as_str());
            let same = found.is_some_and(|f| f.sha256 == artifact.sha256 && f.mode == artifact.mode.bits());
            if !same {
                match &artifact.role {
                    Role::Binary => changes.binary = true,
                    Role::EnvFile => changes.env = true,
                    Role::File { path, .. } => changes.other(manifest, path.as_str()),
                    Role::Unit(name) | Role::DropIn(name, _) => {
                        changes.units.insert(name.clone());
                    }
                }
            }
            changes.files.push(file);
        }
        changes.tree.packing = Packing::of(&changes.files, facts.unpacker);
        // A file that the new release no longer has is a change, too.
        let dropped = changes.dropped.iter().filter(|path| is_other(path)).cloned();
        let paths: Vec<String> = changes.tree.new_paths(facts).map(str::to_owned).chain(dropped).collect();
        paths.iter().for_each(|path| changes.other(manifest, path));
        changes.binary |= changes.dropped.iter().any(|path| path.starts_with("bin/"));
        changes.env |= changes.dropped.iter().any(|path| path.starts_with("env/"));
        // "units/api.service.d/limits.conf": the unit is another one without it.
        let folders =
            changes.dropped.iter().filter_map(|path| path.strip_prefix("units/")?.split_once(".d/"));
        changes.units.extend(folders.filter_map(|(unit, _)| unit.parse().ok()));
        // More instances of a template, or fewer, are a change that no file shows.
        if let Some(record) = &facts.record {
            let recorded: BTreeSet<_> = record.all_units().into_iter().map(|unit| unit.name).collect();
            changes.instances = recorded != release.started.iter().map(|(name, _)| name.clone()).collect();
        }
        changes
    }

    /// A file that is neither the program nor a unit nor the env file.
    fn other(&mut self, manifest: &Manifest, path: &str) {
        if has_its_own_reader(manifest, path) {
            self.told = true;
        } else {
            self.others = true;
        }
    }

    fn units_changed(&self) -> bool {
        !self.units.is_empty() || self.dropped.iter().any(|path| path.starts_with("units/"))
    }

    fn none(&self) -> bool {
        !self.binary
            && !self.env
            && !self.others
            && !self.told
            && self.units.is_empty()
            && self.dropped.is_empty()
            && !self.instances
    }
}

fn change_of(artifact: &Artifact, release: &Release, facts: &Facts) -> FileChange {
    let path = artifact.path.as_str();
    let found = facts.files.get(path);
    let same_bytes = found.is_some_and(|f| f.sha256 == artifact.sha256);
    // `cp -p` keeps the mode: a file whose mode must change is sent again.
    let taken_over = found.is_some_and(|f| same_bytes && f.mode == artifact.mode.bits());
    let old = facts.texts.get(path).map(String::as_str);
    let detail = match (&artifact.role, same_bytes) {
        (_, true) | (Role::Binary, false) => Detail::Opaque,
        // Of files there is an old text only where one was asked for.
        (Role::Unit(_) | Role::DropIn(..) | Role::File { .. }, false) => match (old, artifact.text()) {
            (Some(old), Some(new)) => TextDiff::between(old, new, path).map_or(Detail::Opaque, Detail::Text),
            _ => Detail::Opaque,
        },
        (Role::EnvFile, false) => {
            let old = EnvFile::parse(Path::new(path), old.unwrap_or_default().as_bytes());
            let new = release.env.as_ref().map(|env| env.entries.as_slice()).unwrap_or_default();
            Detail::Env(EnvChange::between(&old.entries, new))
        }
    };
    FileChange {
        path: artifact.path.clone(),
        mode: artifact.mode,
        size: artifact.size,
        sha256: artifact.sha256,
        was: found.map(|f| f.sha256),
        transfer: if taken_over { Transfer::TakeOver } else { Transfer::Send },
        folder: match &artifact.role {
            Role::File { folder, .. } => folder.clone(),
            Role::Binary | Role::Unit(_) | Role::DropIn(..) | Role::EnvFile => None,
        },
        detail,
    }
}

/// The hooks of a point that run on this host. They go with a new release, and with nothing else.
fn hook_steps(inputs: &Inputs<'_>, when: HookPoint) -> Vec<Step> {
    let here = |hook: &&HostHook| match hook.hosts {
        HookHosts::Every => true,
        HookHosts::Once => inputs.position == Position::First,
    };
    let hooks = inputs.manifest.hooks.host_at(when).filter(here);
    let steps = hooks.map(|hook| Step::Hook {
        when,
        run: hook.text.clone(),
        hosts: hook.hosts,
        timeout: hook.timeout,
    });
    steps.collect()
}

fn refuse_room(changes: &Changes, layout: &Layout, facts: &Facts, refusals: &mut Vec<Refusal>) {
    let needs = changes.files.iter().map(FileChange::room).sum::<u64>() + SPARE_BYTES;
    if let Some(has) = facts.free_bytes
        && has < needs
    {
        refusals.push(Refusal::DiskFull { needs, has, root: layout.root().clone() });
    }
    // The files, their folders, the release's own folder and record, `current` and the links; the run's folder and its
    // files, and the unit that goes back after a power cut.
    let tree = &changes.tree;
    let needs = 2 * (changes.files.len() + tree.symlinks.len() + tree.folders.len()) as u64 + 24;
    if let Some(has) = facts.free_inodes
        && has < needs
    {
        refusals.push(Refusal::NoInodes { needs, has, root: layout.root().clone() });
    }
}

fn refuse_binary(inputs: &Inputs<'_>, refusals: &mut Vec<Refusal>) {
    let Inputs { facts, release, .. } = *inputs;
    if let Some(BinaryKind::Elf { machine, glibc, .. }) = &release.binary {
        if !machine.runs_on(&facts.machine) {
            refusals.push(Refusal::WrongMachine { needs: machine.to_string(), has: facts.machine.clone() });
        } else if let (Some(needs), Libc::Glibc(has)) = (glibc, &facts.libc)
            && needs > has
        {
            refusals.push(Refusal::GlibcTooOld { needs: *needs, has: *has });
        }
    }
}

/// The releases that go. Of the good ones so many of the newest stay as the manifest says, the new one and the one
/// before it among them; of the others, which take no good one's place, the newest, to be looked at.
fn superfluous(facts: &Facts, target: &ReleaseId, keep: usize) -> Vec<ReleaseId> {
    let current = facts.current.release();
    let stays = |id: &ReleaseId| id == target || Some(id) == current;
    // There is no pruning unless the new one is good; and the one before stays, whatever it is.
    let mut good = if current.is_some_and(|current| current != target) { 2 } else { 1 };
    let mut unproven = 0;
    let mut newest_first: Vec<_> = facts.releases.iter().filter(|release| !stays(&release.id)).collect();
    newest_first.sort_by(|a, b| b.id.cmp(&a.id));
    let mut releases = Vec::new();
    for release in newest_first {
        let (count, most) = match release.standing {
            Standing::Good => (&mut good, keep),
            Standing::Unproven => (&mut unproven, 1),
        };
        if *count < most {
            *count += 1;
        } else {
            releases.push(release.id.clone());
        }
    }
    releases.sort();
    releases
}
