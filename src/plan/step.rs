//! The entries of a plan. Each says what it changes; carrying it out is the host's and the rollout's business.
use std::time::Duration;

use serde::Serialize;

use super::copies::{CopyChange, CopyRemoval};
use super::diff::{EnvChange, TextDiff};
use super::facts::LinkState;
use super::files::TreeChange;
use super::layout::{LinkPath, RemotePath};
use crate::manifest::{HealthCheck, HookHosts, HookPoint, PreparedName, ServiceUser, UnitName, UserName};
use crate::release::{Mode, ReleaseId, ReleasePath, Sha256Digest, Skeleton};

/// One entry of a plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "step", rename_all = "snake_case")]
pub enum Step {
    /// Lets the user's services outlive the last login. Needs root.
    EnableLingering {
        /// Whose.
        user: String,
    },
    /// Makes the user that the service runs as. It stays, whatever becomes of the release.
    MakeUser {
        /// Which, and how.
        user: ServiceUser,
    },
    /// Puts the user that the service runs as into groups.
    JoinGroups {
        /// Whom.
        user: UserName,
        /// The groups that it is not in yet.
        groups: Vec<UserName>,
    },
    /// Puts the release's files on the host, beside everything that runs.
    Upload {
        /// The new release.
        release: ReleaseId,
        /// Every file of it.
        files: Vec<FileChange>,
        /// What of the release that runs it no longer has, by path.
        dropped: Vec<String>,
        /// What it has beside files.
        #[serde(flatten)]
        tree: TreeChange,
    },
    /// Checks every file's hash on the host and gives the release its name.
    Seal {
        /// The new release.
        release: ReleaseId,
    },
    /// Builds a folder of the release on the host, by a program of the operator's.
    Prepare {
        /// What it is called in the release.
        name: PreparedName,
        /// What it is called beside the releases: its name, and the hash of what it is built from.
        key: String,
        /// The text of a shell program.
        run: String,
        /// How long it may run.
        #[serde(serialize_with = "as_milliseconds", rename = "timeout_ms")]
        timeout: Duration,
    },
    /// Checks the hash of every file of a release that is on the host already.
    CheckRelease {
        /// Which.
        release: ReleaseId,
        /// What its own record says of its files.
        sums: Vec<FileSum>,
        /// And of what it has beside them.
        #[serde(skip_serializing_if = "Skeleton::is_empty")]
        skeleton: Skeleton,
    },
    /// Takes away a copy that the release to be switched to does not want.
    Uninstall(CopyRemoval),
    /// Makes or repairs a link.
    Link(LinkChange),
    /// Makes a copy of one of the release's files outside of it, or makes it anew.
    Install(CopyChange),
    /// Stops a unit that the release to be switched to does not have.
    Stop {
        /// Which.
        unit: UnitName,
    },
    /// Has a unit no longer start at boot that the release to be switched to does not have.
    Disable {
        /// Which.
        unit: UnitName,
    },
    /// Removes a link that the release to be switched to does not want, if it still leads where it did.
    Unlink {
        /// Where.
        path: LinkPath,
        /// What it points to.
        target: RemotePath,
    },
    /// Points `current` to the release: from here on, it is what a start would run.
    Switch {
        /// What `current` pointed to.
        from: Option<ReleaseId>,
        /// What it will point to.
        to: ReleaseId,
    },
    /// Sees whether changed files are valid, by a program of the operator's; if not, the host goes back before anybody is
    /// told of them.
    Validate {
        /// The text of a shell program.
        run: String,
        /// How long it may run.
        #[serde(serialize_with = "as_milliseconds", rename = "timeout_ms")]
        timeout: Duration,
    },
    /// Tells of changed files, by a program of the operator's; and again if the host goes back.
    OnChange {
        /// The text of a shell program.
        run: String,
        /// How long it may run.
        #[serde(serialize_with = "as_milliseconds", rename = "timeout_ms")]
        timeout: Duration,
    },
    /// Has the service manager read the unit files again.
    ReloadManager,
    /// Has the unit start at boot.
    Enable {
        /// Which.
        unit: UnitName,
    },
    /// Stops the unit where it runs, and starts it.
    Restart {
        /// Which.
        unit: UnitName,
        /// Why.
        reasons: Vec<Reason>,
    },
    /// Tells the unit, which goes on, to take over what is new.
    Reload {
        /// Which.
        unit: UnitName,
        /// Why.
        reasons: Vec<Reason>,
    },
    /// Starts the unit.
    Start {
        /// Which.
        unit: UnitName,
        /// Why.
        reasons: Vec<Reason>,
    },
    /// Watches units for a while, all at the same time, to see that they stay up and that it is the release's binary
    /// that runs.
    Observe {
        /// Which.
        units: Vec<WatchedUnit>,
        /// How long.
        #[serde(serialize_with = "as_milliseconds", rename = "settle_ms")]
        settle: Duration,
    },
    /// Asks whether the service is well, until the answer is good.
    AskHealth {
        /// What is asked, and how.
        #[serde(flatten)]
        check: HealthCheck,
    },
    /// Runs a program of the operator's on the host.
    Hook {
        /// When it runs: this says what its failure means.
        when: HookPoint,
        /// The text of a shell program.
        run: String,
        /// On which hosts of the run.
        hosts: HookHosts,
        /// How long it may run.
        #[serde(serialize_with = "as_milliseconds", rename = "timeout_ms")]
        timeout: Duration,
    },
    /// Removes old releases.
    Prune {
        /// Which.
        releases: Vec<ReleaseId>,
    },
}

/// A unit that is watched once it was started.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct WatchedUnit {
    /// Which.
    pub unit: UnitName,
    /// What the main process must be running; `None` where the binary is not what runs, as with a script.
    pub executable: Option<Sha256Digest>,
}

/// A file of the release, and how it gets there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FileChange {
    /// Its path in the release.
    pub path: ReleasePath,
    /// Its permission bits.
    pub mode: Mode,
    /// Its size in bytes.
    pub size: u64,
    /// The hash of its bytes.
    pub sha256: Sha256Digest,
    /// The hash of the file of this path in the release that runs.
    pub was: Option<Sha256Digest>,
    /// How it gets to the host.
    pub transfer: Transfer,
    /// The folder of the manifest's `files` that it came with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub folder: Option<ReleasePath>,
    /// What changed inside, where that can be said.
    pub detail: Detail,
}

/// A file of a release that is on the host, and what its bytes must be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FileSum {
    /// Its path in the release.
    pub path: ReleasePath,
    /// The hash of its bytes.
    pub sha256: Sha256Digest,
}

/// How a file gets into the new release.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Transfer {
    /// Over the network.
    Send,
    /// Taken over, on the host, from the release that runs: its bytes are the same.
    TakeOver,
}

/// What changed inside a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Detail {
    /// Nothing that can be shown.
    Opaque,
    /// The file's lines.
    Text(TextDiff),
    /// The env file's keys.
    Env(Vec<EnvChange>),
}

/// A link to be made or repaired.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LinkChange {
    /// Where.
    pub path: LinkPath,
    /// What it will point to.
    pub target: RemotePath,
    /// Whose rights that takes.
    pub privilege: Privilege,
    /// What is there now.
    pub was: LinkState,
}

/// Whose rights a step takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Privilege {
    /// The login user's.
    User,
    /// Root's, by sudo.
    Root,
}

/// Why a unit is started or restarted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// It never ran here.
    FirstDeploy,
    /// The binary is another one.
    BinaryChanged,
    /// The unit file is another one.
    UnitChanged,
    /// The env file is another one.
    EnvChanged,
    /// Something of the manifest's `files` is another one.
    FilesChanged,
    /// It is not up; its `ActiveState`.
    NotRunning(String),
    /// What runs is not the binary of the current release.
    StaleExecutable,
    /// It is to run an earlier release.
    RolledBack,
}

impl Step {
    /// The step that watches these units; none where nothing was started.
    #[must_use]
    pub(super) fn observe(units: Vec<WatchedUnit>, settle: Duration) -> Option<Self> {
        (!units.is_empty()).then_some(Self::Observe { units, settle })
    }

    /// The step's name, as JSON has it.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::EnableLingering { .. } => "enable_lingering",
            Self::MakeUser { .. } => "make_user",
            Self::JoinGroups { .. } => "join_groups",
            Self::Upload { .. } => "upload",
            Self::Seal { .. } => "seal",
            Self::Prepare { .. } => "prepare",
            Self::CheckRelease { .. } => "check_release",
            Self::Uninstall(_) => "uninstall",
            Self::Link(_) => "link",
            Self::Install(_) => "install",
            Self::Stop { .. } => "stop",
            Self::Disable { .. } => "disable",
            Self::Unlink { .. } => "unlink",
            Self::Switch { .. } => "switch",
            Self::Validate { .. } => "validate",
            Self::OnChange { .. } => "on_change",
            Self::ReloadManager => "reload_manager",
            Self::Enable { .. } => "enable",
            Self::Restart { .. } => "restart",
            Self::Reload { .. } => "reload",
            Self::Start { .. } => "start",
            Self::Observe { .. } => "observe",
            Self::AskHealth { .. } => "ask_health",
            Self::Hook { .. } => "hook",
            Self::Prune { .. } => "prune",
        }
    }

    /// Whose rights the step takes.
    #[must_use]
    pub fn privilege(&self) -> Privilege {
        match self {
            Self::EnableLingering { .. } => Privilege::Root,
            Self::Link(link) => link.privilege,
            Self::Install(copy) => copy.place.privilege,
            Self::Uninstall(copy) => copy.place.privilege,
            Self::MakeUser { .. }
            | Self::JoinGroups { .. }
            | Self::Upload { .. }
            | Self::Seal { .. }
            | Self::Prepare { .. }
            | Self::CheckRelease { .. }
            | Self::Stop { .. }
            | Self::Disable { .. }
            | Self::Unlink { .. }
            | Self::Switch { .. }
            | Self::Validate { .. }
            | Self::OnChange { .. }
            | Self::ReloadManager
            | Self::Enable { .. }
            | Self::Restart { .. }
            | Self::Reload { .. }
            | Self::Start { .. }
            | Self::Observe { .. }
            | Self::AskHealth { .. }
            | Self::Hook { .. }
            | Self::Prune { .. } => Privilege::User,
        }
    }

    /// Whether the step changes what runs, or what a start would run. Until the first such step, a failure leaves
    /// the service untouched.
    #[must_use]
    pub fn touches_service(&self) -> bool {
        match self {
            Self::Stop { .. }
            | Self::Disable { .. }
            | Self::Unlink { .. }
            | Self::Switch { .. }
            | Self::Validate { .. }
            | Self::OnChange { .. }
            | Self::ReloadManager
            | Self::Enable { .. }
            | Self::Restart { .. }
            | Self::Reload { .. }
            | Self::Start { .. }
            | Self::Observe { .. }
            | Self::AskHealth { .. }
            | Self::Prune { .. } => true,
            // Those after the switch come behind a step that does.
            Self::Hook { .. }
            | Self::EnableLingering { .. }
            | Self::MakeUser { .. }
            | Self::JoinGroups { .. }
            | Self::Upload { .. }
            | Self::Seal { .. }
            | Self::Prepare { .. }
            | Self::CheckRelease { .. }
            | Self::Link(_)
            | Self::Install(_)
            | Self::Uninstall(_) => false,
        }
    }
}

fn as_milliseconds<S: serde::Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u64(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX))
}
