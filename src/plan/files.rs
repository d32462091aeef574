//! What of a release is neither its program nor a unit nor its env file: the files and folders of `files`.
use std::collections::BTreeSet;
use std::time::Duration;

use serde::Serialize;

use super::facts::{Facts, Unpacker};
use super::step::{FileChange, LinkChange, Step, Transfer};
use crate::manifest::{FileEntry, Manifest, Outside};
use crate::release::{LinkTarget, Release, ReleasePath};

/// A file below this size costs more for being a file than for its bytes.
const SMALL: u64 = 64 << 10;

/// So many small files are worth an archive.
const MANY: usize = 32;

/// So many small files are copied on the host sooner together, and their hashes checked, than one by one and compared.
const SEVERAL: usize = 8;

/// What an upload puts on the host beside files.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct TreeChange {
    /// Every symlink of the release.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub symlinks: Vec<SymlinkChange>,
    /// Every folder of it that has nothing in it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub folders: Vec<ReleasePath>,
    /// How its small files travel.
    #[serde(skip_serializing_if = "Packing::is_single")]
    pub packing: Packing,
}

/// A symlink of the release.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SymlinkChange {
    /// Its path in the release.
    pub path: ReleasePath,
    /// What it says.
    pub target: LinkTarget,
    /// What the symlink of this path says in the release that runs.
    pub was: Option<String>,
}

impl SymlinkChange {
    /// Whether the release that runs has the same one.
    #[must_use]
    pub fn is_kept(&self) -> bool {
        self.was.as_deref() == Some(self.target.as_str())
    }
}

/// How small files travel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Packing {
    /// Each by itself: they are few.
    #[default]
    Single,
    /// Many in one archive, which is unpacked on the host.
    Bundles,
    /// Each by itself: they are many, but the host has no tar.
    NoTar,
}

impl Packing {
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks so")]
    fn is_single(&self) -> bool {
        *self == Self::Single
    }

    /// What is best for these files.
    pub(super) fn of(files: &[FileChange], unpacker: Unpacker) -> Self {
        let small = files.iter().filter(|file| file.transfer == Transfer::Send && file.is_small());
        match (small.count() >= MANY, unpacker) {
            (false, _) => Self::Single,
            (true, Unpacker::Tar) => Self::Bundles,
            (true, Unpacker::Missing) => Self::NoTar,
        }
    }
}

impl FileChange {
    /// Whether it costs more for being a file than for its bytes.
    #[must_use]
    pub fn is_small(&self) -> bool {
        self.size < SMALL
    }

    /// The files that the host takes over all at once, and whose hashes it has to check like those of new ones. There are
    /// none where there are few.
    #[must_use]
    pub fn taken_together(files: &[Self]) -> Vec<&Self> {
        let small = |file: &&Self| file.transfer == Transfer::TakeOver && file.is_small();
        let together: Vec<&Self> = files.iter().filter(small).collect();
        if together.len() >= SEVERAL { together } else { Vec::new() }
    }

    /// What it takes on a disk, roughly.
    pub(super) fn room(&self) -> u64 {
        if self.folder.is_some() { self.size.next_multiple_of(4096) } else { self.size }
    }
}

impl TreeChange {
    /// What the release has beside files, and what of that the host has already.
    pub(super) fn between(release: &Release, facts: &Facts) -> Self {
        let symlinks = release.skeleton.symlinks.iter().map(|link| SymlinkChange {
            path: link.path.clone(),
            target: link.target.clone(),
            was: facts.symlinks.get(link.path.as_str()).cloned(),
        });
        Self {
            symlinks: symlinks.collect(),
            folders: release.skeleton.folders.clone(),
            packing: Packing::default(),
        }
    }

    /// What of it the release that runs lacks, by path.
    pub(super) fn new_paths<'a>(&'a self, facts: &'a Facts) -> impl Iterator<Item = &'a str> {
        let symlinks = self.symlinks.iter().filter(|link| !link.is_kept()).map(|link| link.path.as_str());
        let folders = self.folders.iter().map(ReleasePath::as_str);
        symlinks.chain(folders.filter(|folder| !facts.folders.contains(*folder)))
    }
}

/// Whether what brings this path of a release says who is to be told of a change. Then nobody else is: the services are
/// not restarted for it.
pub(super) fn has_its_own_reader(manifest: &Manifest, path: &str) -> bool {
    let brings = |entry: &&FileEntry| {
        path.strip_prefix(entry.path.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    // Of a folder and a file in it, the file's own entry counts.
    let entry = manifest.files.iter().filter(brings).max_by_key(|entry| entry.path.as_str().len());
    entry.is_some_and(|entry| entry.on_change.is_some())
}

/// The paths in the release of what is linked anew: to those who read it there, that is a change.
pub(super) fn linked_anew(manifest: &Manifest, links: &[LinkChange]) -> Vec<String> {
    let is_new = |entry: &&FileEntry| {
        let Some(Outside::Link(place)) = &entry.outside else { return false };
        links.iter().any(|link| link.path.as_str() == place.as_str())
    };
    manifest.files.iter().filter(is_new).map(|entry| entry.path.to_string()).collect()
}

/// How long a command about a file may take.
const COMMAND_TIMEOUT: Duration = Duration::from_secs(60);

/// The entries with a command that are affected by the change of these paths.
fn affected<'a>(
    manifest: &'a Manifest,
    changed: &'a BTreeSet<String>,
) -> impl Iterator<Item = &'a FileEntry> {
    manifest.files.iter().filter(move |entry| {
        let path = entry.path.as_str();
        let below = format!("{path}/");
        changed.contains(path)
            || changed.range(below.clone()..).next().is_some_and(|first| first.starts_with(&below))
    })
}

/// The steps that see whether changed files are valid, before anybody is told of them.
pub(super) fn validations(manifest: &Manifest, changed: &BTreeSet<String>) -> Vec<Step> {
    let commands = affected(manifest, changed).filter_map(|entry| entry.validate.as_ref());
    each_once(commands).map(|run| Step::Validate { run, timeout: COMMAND_TIMEOUT }).collect()
}

/// The steps that tell of changed files.
pub(super) fn notifications(manifest: &Manifest, changed: &BTreeSet<String>) -> Vec<Step> {
    let commands = affected(manifest, changed).filter_map(|entry| entry.on_change.as_ref());
    each_once(commands).map(|run| Step::OnChange { run, timeout: COMMAND_TIMEOUT }).collect()
}

/// Several files of one program have the same command: it is run once.
fn each_once<'a>(commands: impl Iterator<Item = &'a String>) -> impl Iterator<Item = String> {
    let mut seen = BTreeSet::new();
    commands.filter(move |command| seen.insert(*command)).cloned()
}

/// The paths of what is not the same in the new release and in the one that runs.
pub(super) fn changed_paths(
    files: &[FileChange],
    tree: &TreeChange,
    dropped: &[String],
    facts: &Facts,
) -> BTreeSet<String> {
    let unlike = |file: &&FileChange| {
        let found = facts.files.get(file.path.as_str());
        !found.is_some_and(|found| found.sha256 == file.sha256 && found.mode == file.mode.bits())
    };
    let files = files.iter().filter(unlike).map(|file| file.path.to_string());
    files.chain(tree.new_paths(facts).map(str::to_owned)).chain(dropped.iter().cloned()).collect()
}

/// What the release that runs has and the new one has not, by path.
pub(super) fn dropped(release: &Release, facts: &Facts) -> Vec<String> {
    if facts.current.release().is_none() {
        return Vec::new();
    }
    let files = release.artifacts.iter().map(|artifact| artifact.path.as_str());
    let symlinks = release.skeleton.symlinks.iter().map(|link| link.path.as_str());
    let folders = release.skeleton.folders.iter().map(ReleasePath::as_str);
    let stays: BTreeSet<&str> = files.chain(symlinks).chain(folders).collect();
    // A folder that has something in it now is no empty one any more, and that is all.
    let has_filled = |folder: &str| {
        let below = format!("{folder}/");
        stays.range(below.as_str()..).next().is_some_and(|first| first.starts_with(&below))
    };
    let folders = facts.folders.iter().filter(|folder| !has_filled(folder));
    let found: BTreeSet<&String> = facts.files.keys().chain(facts.symlinks.keys()).chain(folders).collect();
    found.into_iter().filter(|path| !stays.contains(path.as_str())).cloned().collect()
}

/// Whether a path of a release is neither its program nor a unit nor its env file.
pub(crate) fn is_other(path: &str) -> bool {
    !["bin/", "units/", "env/"].iter().any(|own| path.starts_with(own))
}
