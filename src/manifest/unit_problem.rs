//! What can be wrong with a unit file.
use thiserror::Error;

use super::problem::Severity;

/// A trap in a unit file.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Error)]
#[non_exhaustive]
pub enum UnitProblem {
    /// A line with `[` that is no section header.
    #[error("line {line} is not a section header, and systemd refuses the unit")]
    BadSection {
        /// The line, from 1.
        line: usize,
    },
    /// An assignment before the first section.
    #[error("line {line} stands before the first section, so systemd ignores it")]
    OutsideSection {
        /// The line, from 1.
        line: usize,
    },
    /// A line that assigns nothing.
    #[error("line {line} has no `=`, so systemd ignores it")]
    NoAssignment {
        /// The line, from 1.
        line: usize,
    },
    /// There is nothing in the file but blank lines and comments.
    #[error("the unit file of `{unit}` says nothing")]
    Empty {
        /// The unit.
        unit: String,
    },
    /// A section that this type of unit doesn't have.
    #[error("a {kind} unit has no section `[{section}]`, so systemd ignores what is in it")]
    UnknownSection {
        /// The section.
        section: String,
        /// The type of the unit.
        kind: &'static str,
    },
    /// A service that starts nothing.
    #[error("`{unit}` has no `ExecStart=`, so systemd refuses it")]
    NoExecStart {
        /// The unit.
        unit: String,
    },
    /// Several programs in a service that may have one.
    #[error("`ExecStart=` is given {count} times, which systemd only takes with `Type=oneshot`")]
    ManyExecStart {
        /// How many there are.
        count: usize,
    },
    /// A command line that can't be read.
    #[error("this command line {reason}, so systemd refuses the unit")]
    BadCommand {
        /// What is wrong, as the end of a sentence.
        reason: &'static str,
    },
    /// A relative path.
    #[error("`{program}` is not an absolute path, so systemd refuses the unit")]
    NotAbsolute {
        /// The program.
        program: String,
    },
    /// A program without a path.
    #[error("`{program}` has no path: systemd looks for it in its own list of folders, not in $PATH")]
    NoPath {
        /// The program.
        program: String,
    },
    /// The binary of the release is not what the unit runs.
    #[error("`{program}` is not the program this release brings, `{link}`")]
    NotTheBinary {
        /// What it runs.
        program: String,
        /// What it should run.
        link: String,
    },
    /// A target that a user's manager doesn't have.
    #[error("a user unit that is wanted by `{target}` never starts at boot")]
    SystemTarget {
        /// The target.
        target: String,
    },
    /// `User=` in a user unit.
    #[error("`{key}=` does not work in a user unit: the user's systemd can't become somebody else")]
    UserSetting {
        /// The setting.
        key: &'static str,
    },
    /// An env file that the release does not bring.
    #[error("nothing in this release provides `{path}`, and without it the service does not start")]
    EnvFileNotProvided {
        /// The file.
        path: String,
    },
    /// The release's env file, in a unit of the login user's of a service of the system's.
    #[error("`{path}` is root's alone: the login user's systemd can't read it, and the unit does not start")]
    EnvFileIsRoots {
        /// The file.
        path: String,
    },
    /// A relative path of an env file.
    #[error("`{path}` is not an absolute path, so systemd ignores it")]
    EnvFileNotAbsolute {
        /// The file.
        path: String,
    },
    /// The env file of the release is read by no unit.
    #[error("no unit of this release reads the env file, `{link}` on the host")]
    EnvFileUnread {
        /// Where it is linked to.
        link: String,
    },
    /// The user of the manifest is not what any service runs as.
    #[error("no service of this release runs as `{user}`")]
    IdleUser {
        /// The user.
        user: String,
    },
    /// A unit that is to be reloaded, and can't be.
    #[error("`{unit}` is to be reloaded on a change, and has no `ExecReload=`")]
    NoReload {
        /// The unit.
        unit: String,
    },
    /// Units that wait for each other.
    #[error("these units wait for each other, so systemd leaves one of them out: {circle}")]
    OrderCircle {
        /// `a.service after b.service after a.service`.
        circle: String,
    },
    /// A unit that is never started by anything.
    #[error("`{unit}` has no `[Install]` section with `WantedBy=`, so it does not start at boot")]
    NoInstall {
        /// The unit.
        unit: String,
    },
}

impl UnitProblem {
    pub(super) fn severity(&self) -> Severity {
        match self {
            Self::UnknownSection { .. }
            | Self::NoPath { .. }
            | Self::NotTheBinary { .. }
            | Self::EnvFileNotProvided { .. }
            | Self::EnvFileUnread { .. }
            | Self::IdleUser { .. }
            | Self::NoInstall { .. } => Severity::Warning,
            Self::BadSection { .. }
            | Self::OutsideSection { .. }
            | Self::NoAssignment { .. }
            | Self::Empty { .. }
            | Self::NoExecStart { .. }
            | Self::ManyExecStart { .. }
            | Self::BadCommand { .. }
            | Self::EnvFileIsRoots { .. }
            | Self::NotAbsolute { .. }
            | Self::SystemTarget { .. }
            | Self::UserSetting { .. }
            | Self::NoReload { .. }
            | Self::OrderCircle { .. }
            | Self::EnvFileNotAbsolute { .. } => Severity::Error,
        }
    }

    pub(super) fn code(&self) -> &'static str {
        match self {
            Self::BadSection { .. } => "bad_section",
            Self::OutsideSection { .. } => "outside_section",
            Self::NoAssignment { .. } => "no_assignment",
            Self::Empty { .. } => "empty",
            Self::UnknownSection { .. } => "unknown_section",
            Self::NoExecStart { .. } => "no_exec_start",
            Self::ManyExecStart { .. } => "many_exec_start",
            Self::BadCommand { .. } => "bad_command",
            Self::NotAbsolute { .. } => "not_absolute",
            Self::NoPath { .. } => "no_path",
            Self::NotTheBinary { .. } => "not_the_binary",
            Self::SystemTarget { .. } => "system_target",
            Self::UserSetting { .. } => "user_setting",
            Self::EnvFileNotProvided { .. } => "env_file_not_provided",
            Self::EnvFileIsRoots { .. } => "env_file_is_roots",
            Self::EnvFileNotAbsolute { .. } => "env_file_not_absolute",
            Self::EnvFileUnread { .. } => "env_file_unread",
            Self::IdleUser { .. } => "idle_user",
            Self::NoReload { .. } => "no_reload",
            Self::OrderCircle { .. } => "order_circle",
            Self::NoInstall { .. } => "no_install",
        }
    }
}
