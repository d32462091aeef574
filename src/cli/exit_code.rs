//! The exit codes, which scripts and CI rely on. `docs/exit-codes.md` is their reference.
use std::process::ExitCode;

use crate::host::{FreezeError, ProbeError, SessionError};
use crate::report::Verdict;
use crate::rollout::{HostError, Outcome};
use crate::ssh::{ChannelPurpose, SftpError, SftpOperation, SshError};

/// How a run of shipit ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// Done, or nothing to do.
    Done,
    /// It failed, and no service was touched.
    Failed,
    /// The command line, the manifest, or a file it names is wrong.
    Usage,
    /// A host failed and went back to the release before.
    Reverted,
    /// A host needs a person.
    NeedsAttention,
    /// A host could not be reached, or would not let us in.
    Unreachable,
    /// A host's key was refused.
    HostKey,
    /// Another deploy is under way.
    Locked,
    /// A host can't be deployed to.
    Refused,
    /// Interrupted; no host is half way.
    Interrupted,
}

impl Exit {
    /// All of them, in the order of the numbers.
    pub const ALL: [Self; 10] = [
        Self::Done,
        Self::Failed,
        Self::Usage,
        Self::Reverted,
        Self::NeedsAttention,
        Self::Unreachable,
        Self::HostKey,
        Self::Locked,
        Self::Refused,
        Self::Interrupted,
    ];

    /// The number.
    #[must_use]
    pub fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Failed => 1,
            Self::Usage => 2,
            Self::Reverted => 3,
            Self::NeedsAttention => 4,
            Self::Unreachable => 5,
            Self::HostKey => 6,
            Self::Locked => 7,
            Self::Refused => 8,
            Self::Interrupted => 130,
        }
    }

    /// The one code for several hosts: what needs a person most, first.
    #[must_use]
    pub fn of_outcomes(outcomes: &[Outcome]) -> Self {
        Self::most_urgent(outcomes.iter().map(Self::of_outcome))
    }

    /// The one that needs a person most.
    #[must_use]
    pub fn most_urgent(exits: impl Iterator<Item = Self>) -> Self {
        const URGENCY: [Exit; 10] = [
            Exit::NeedsAttention,
            Exit::Reverted,
            Exit::Interrupted,
            Exit::HostKey,
            Exit::Unreachable,
            Exit::Refused,
            Exit::Locked,
            Exit::Usage,
            Exit::Failed,
            Exit::Done,
        ];
        let exits: Vec<Self> = exits.collect();
        URGENCY.into_iter().find(|exit| exits.contains(exit)).unwrap_or(Self::Done)
    }

    fn of_outcome(outcome: &Outcome) -> Self {
        let failure = match &outcome.result {
            Ok(Verdict::Unchanged | Verdict::Deployed | Verdict::Planned) => return Self::Done,
            Ok(_) => return Self::Failed,
            Err(failure) => failure,
        };
        match failure.verdict() {
            Verdict::NeedsAttention => return Self::NeedsAttention,
            Verdict::Reverted => return Self::Reverted,
            _ => {}
        }
        match Self::of_error(&failure.error) {
            Self::Failed if failure.verdict() == Verdict::Unreachable => Self::Unreachable,
            exit => exit,
        }
    }

    /// The code for what went wrong on a host that is as it was.
    #[must_use]
    pub fn of_error(error: &HostError) -> Self {
        if let Some(error) = error.ssh() {
            return Self::of_ssh(error);
        }
        match error {
            HostError::Session(SessionError::NoShell { .. } | SessionError::NoRoot { .. })
            | HostError::Probe(ProbeError::Session(SessionError::NoShell { .. }))
            | HostError::Freeze(FreezeError::Session(SessionError::NoShell { .. })) => Self::Refused,
            HostError::Probe(ProbeError::Home { .. }) => Self::Refused,
            HostError::Refused(_)
            | HostError::Template(_)
            | HostError::SudoPassword { .. }
            | HostError::Tampered { .. } => Self::Refused,
            HostError::Locked(_) | HostError::Frozen(_) | HostError::UnderWay(_) => Self::Locked,
            HostError::Interrupted => Self::Interrupted,
            _ => Self::Failed,
        }
    }

    /// The code for a connection that failed.
    #[must_use]
    pub fn of_ssh(error: &SshError) -> Self {
        match error {
            SshError::HostKey(_) => Self::HostKey,
            SshError::NoFurtherConnection { source } => Self::of_ssh(source),
            // It let us in, and runs nothing for us.
            SshError::ChannelRefused { purpose: ChannelPurpose::Program | ChannelPurpose::Sftp, .. }
            | SshError::RequestRefused { .. }
            | SshError::Sftp(SftpError { operation: SftpOperation::Start, .. }) => Self::Refused,
            SshError::Config(_) => Self::Usage,
            SshError::Jump { source, .. } => Self::of_ssh(source),
            SshError::Sftp(_) => Self::Failed,
            _ => Self::Unreachable,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One that was left out would be a success.
    #[test]
    fn every_code_counts_for_several_hosts() {
        for exit in Exit::ALL {
            assert_eq!(Exit::most_urgent([Exit::Done, exit].into_iter()), exit);
        }
    }

    /// The reference can't go stale.
    #[test]
    fn every_code_is_in_the_reference() {
        let reference = include_str!("../../docs/exit-codes.md");
        for exit in Exit::ALL {
            let row = format!("| {} |", exit.code());
            assert!(reference.contains(&row), "docs/exit-codes.md has no row {row} ({exit:?})");
        }
    }
}
