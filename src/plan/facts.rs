//! What one probe of a host found. Pure data: [`crate::host::probe`] fills it, [`super::plan`] reads it.
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;

use super::copies::FoundCopy;
use super::holder::Hold;
use super::layout::{LinkPath, RemotePath};
use crate::manifest::{Scope, UnitName};
use crate::release::{GlibcVersion, History, ReleaseId, ReleaseRecord, RunId, Sha256Digest};

/// What a probe found on one host.
#[derive(Clone)]
pub struct Facts {
    /// The login user's home directory.
    pub home: RemotePath,
    /// The login user's name.
    pub user: String,
    /// The login user's number.
    pub uid: u32,
    /// What the host calls itself.
    pub hostname: String,
    /// The kernel's name (`uname -s`).
    pub kernel: String,
    /// The machine, as `uname -m` names it.
    pub machine: String,
    /// The C library that programs can use.
    pub libc: Libc,
    /// The system's service manager.
    pub systemd: Systemd,
    /// The user's own service manager.
    pub manager: Manager,
    /// Whether the user's manager outlives the last login.
    pub lingering: Lingering,
    /// What root's rights can be had for.
    pub sudo: Sudo,
    /// By which program, and how.
    pub elevation: Elevation,
    /// Whether the login user may write where the service's root is, or would be.
    pub root_access: RootAccess,
    /// Bytes free for the login user where the root is; `None` when `df` did not say.
    pub free_bytes: Option<u64>,
    /// Inodes free there; `None` where the file system has no fixed number.
    pub free_inodes: Option<u64>,
    /// What `current` points to.
    pub current: Current,
    /// The current release's `release.json`; `None` when it is missing or unreadable.
    pub record: Option<ReleaseRecord>,
    /// The current release's files as they are now, by their path in the release.
    pub files: BTreeMap<String, FoundFile>,
    /// Its symlinks, by their path in it, and what they say.
    pub symlinks: BTreeMap<String, String>,
    /// Its folders with nothing in them.
    pub folders: BTreeSet<String>,
    /// What the host unpacks archives with.
    pub unpacker: Unpacker,
    /// The text of the current release's units and env file, by their path in the release. May hold secrets.
    pub texts: BTreeMap<String, String>,
    /// An activation that is not over.
    pub pending: Option<PendingRun>,
    /// The complete releases on the host, oldest first.
    pub releases: Vec<FoundRelease>,
    /// The last runs, where they were asked for.
    pub history: History,
    /// Whether the service's lock is held, where that was asked for.
    pub lock: Hold,
    /// Whether people have frozen the service, where that was asked for.
    pub freeze: Hold,
    /// The state of each unit the manifest names.
    pub units: BTreeMap<UnitName, FoundUnit>,
    /// Those of a service of the system's that the login user's manager runs.
    pub users_units: BTreeSet<UnitName>,
    /// The state of each link the release wants.
    pub links: Vec<FoundLink>,
    /// What stands where copies of the release's files are, or are to be.
    pub copies: Vec<FoundCopy>,
    /// The folders that were built on the host and are whole, by their keys.
    pub prepared: BTreeSet<String>,
    /// The user that the manifest's service runs as; `None` where it names none, or there is none of that name.
    pub service_user: Option<FoundUser>,
}

impl Facts {
    /// Whose manager runs a unit of a service in this scope.
    pub(super) fn scope_of(&self, unit: &UnitName, services: Scope) -> Scope {
        if self.users_units.contains(unit) { Scope::User } else { services }
    }

    /// The files of the service that are not as its release brought them: those of the release by their path in it, and
    /// copies of them by theirs. Of what only root may read, nothing is known.
    #[must_use]
    pub fn changed_by_hand(&self) -> Vec<String> {
        let recorded = self.record.iter().flat_map(|record| &record.artifacts);
        let changed = recorded.filter(|file| {
            self.files.get(file.path.as_str()).is_some_and(|found| found.sha256 != file.sha256)
        });
        let copies = self.copies.iter().filter(|copy| copy.is_edited());
        let files = changed.map(|file| format!("current/{}", file.path));
        files.chain(copies.map(|copy| copy.path.to_string())).collect()
    }
}

/// A Linux user of the host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundUser {
    /// The groups that it is in.
    pub groups: Vec<String>,
}

// By hand: `texts` has the env file's values, which no log may show.
impl fmt::Debug for Facts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Facts")
            .field("home", &self.home)
            .field("user", &self.user)
            .field("machine", &self.machine)
            .field("libc", &self.libc)
            .field("systemd", &self.systemd)
            .field("manager", &self.manager)
            .field("lingering", &self.lingering)
            .field("sudo", &self.sudo)
            .field("elevation", &self.elevation)
            .field("free_bytes", &self.free_bytes)
            .field("current", &self.current)
            .field("units", &self.units)
            .field("links", &self.links)
            .finish_non_exhaustive()
    }
}

/// A release on the host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundRelease {
    /// Its id.
    pub id: ReleaseId,
    /// Whether it has proven itself.
    pub standing: Standing,
    /// Its `release.json`; `None` when it was not asked for, is missing or can't be read.
    pub record: Option<ReleaseRecord>,
    /// The sizes of its files by their path in it, where they were asked for.
    pub sizes: BTreeMap<String, u64>,
}

impl FoundRelease {
    /// A release of which no more was asked.
    #[must_use]
    pub fn new(id: ReleaseId, standing: Standing) -> Self {
        Self { id, standing, record: None, sizes: BTreeMap::new() }
    }
}

/// Whether a release has proven itself on the host. The host keeps the mark (`releases/<id>/good`): made when a run to
/// the release is committed, removed when one is reverted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// The last run to it was kept.
    Good,
    /// It never ran, or the last run to it was reverted.
    Unproven,
}

/// An activation that is not over: it waits for its client's word, or it died.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PendingRun {
    /// Which.
    pub id: RunId,
    /// Whether it is still at work.
    pub life: RunLife,
}

/// Whether a run is at work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RunLife {
    /// Its unit runs; it ends by itself.
    Alive,
    /// A crash or a power cut ended it in the middle.
    Dead,
}

/// The host's C library.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Libc {
    /// GNU libc of this version.
    Glibc(GlibcVersion),
    /// Another one, or none that says so.
    Other,
}

/// The host's service manager.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Systemd {
    /// systemd runs the machine, in this version.
    Running(u32),
    /// systemd is installed, but something else runs the machine (a container without it, say).
    NotBooted,
    /// There is no systemd.
    Missing,
}

/// The user's own service manager (`systemd --user`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Manager {
    /// It answers; its `SystemState`.
    Answers(String),
    /// It can't be reached; what systemctl said.
    Unreachable(String),
}

/// Whether a user's services go on when the last session ends (loginctl(1), `enable-linger`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lingering {
    /// They start at boot and stay.
    On,
    /// They end with the last session.
    Off,
}

/// How root's rights can be had.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sudo {
    /// The login user is root.
    Root,
    /// `sudo -n` works.
    Passwordless,
    /// Nothing on this host wants root, so it was not asked.
    NotNeeded,
    /// `sudo -n` was refused; what it said. A password may help.
    Refused(String),
    /// They can't be had, whatever is typed; why.
    Denied(String),
    /// There is neither sudo nor doas.
    Missing,
}

/// How commands are run as root.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Elevation {
    /// By sudo.
    #[default]
    Sudo,
    /// By sudo on a terminal, which it insists on (`requiretty`, sudoers(5)).
    SudoOnTerminal,
    /// By doas, in place of sudo.
    Doas,
}

impl Elevation {
    /// The program that people run.
    #[must_use]
    pub fn program(self) -> &'static str {
        match self {
            Self::Sudo | Self::SudoOnTerminal => "sudo",
            Self::Doas => "doas",
        }
    }
}

/// What a host unpacks archives with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unpacker {
    /// tar.
    Tar,
    /// There is none.
    Missing,
}

/// Whether the login user may write somewhere by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// It may.
    Direct,
    /// Only root may.
    Root,
}

/// Whether the login user may write where the service's root is, or would be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RootAccess {
    /// It may.
    Writable,
    /// Only others may.
    Denied,
    /// Nobody may: the file system is mounted read-only.
    ReadOnly,
}

/// What the link `current` is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Current {
    /// There is none: nothing is deployed.
    Nothing,
    /// A release of shipit's.
    Release(ReleaseId),
    /// A link to something else; its target.
    Foreign(String),
    /// Not a link at all.
    Blocked,
}

impl Current {
    /// The release, when it is one.
    #[must_use]
    pub fn release(&self) -> Option<&ReleaseId> {
        match self {
            Self::Release(id) => Some(id),
            Self::Nothing | Self::Foreign(_) | Self::Blocked => None,
        }
    }
}

/// A file of the current release, as it is on the disk now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundFile {
    /// The hash of its bytes.
    pub sha256: Sha256Digest,
    /// Its permission bits.
    pub mode: u32,
    /// Its size in bytes.
    pub size: u64,
}

/// A unit's state, as `systemctl show` tells it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct FoundUnit {
    /// `loaded`, `not-found`, `bad-setting`, `masked`...
    pub load_state: String,
    /// `active`, `failed`, `inactive`...
    pub active_state: String,
    /// `running`, `auto-restart`, `dead`...
    pub sub_state: String,
    /// `enabled`, `linked`, `static`...
    pub unit_file_state: String,
    /// Why it last ended: `success`, `exit-code`, `start-limit-hit`...
    pub result: String,
    /// How often systemd has restarted it by itself.
    pub restarts: u32,
    /// The id of this start; empty when it was never started.
    pub invocation: String,
    /// For how long it has been active.
    pub active_for: Option<Duration>,
    /// Bytes of memory in use, where systemd counts them.
    pub memory: Option<u64>,
    /// When a timer elapses next.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_elapse: Option<Timestamp>,
    /// The main process.
    pub main_pid: Option<u32>,
    /// The hash of the executable that runs as the main process.
    pub executable: Option<Sha256Digest>,
}

impl FoundUnit {
    /// Whether it is active now, and not between two tries of `Restart=`.
    #[must_use]
    pub fn is_up(&self) -> bool {
        matches!(self.active_state.as_str(), "active" | "reloading") && self.sub_state != "auto-restart"
    }
}

/// A link's state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundLink {
    /// Where it should be.
    pub path: LinkPath,
    /// Who may write there.
    pub access: Access,
    /// What is there.
    pub state: LinkState,
}

/// What stands where a link should be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "is", content = "target")]
pub enum LinkState {
    /// Nothing.
    Missing,
    /// A symlink with this target.
    Symlink(String),
    /// A file that is not shipit's to replace.
    File,
    /// A folder.
    Folder,
}
