//! A failure on one host: what went wrong, what state that leaves the host in, and what to do then.
use std::error::Error;

use jiff::Timestamp;

use super::host_error::{HostError, in_a_line};
use crate::host::{HealthError, JournalEntry};
use crate::manifest::Scope;
use crate::plan::{Refusal, RemotePath};
use crate::release::{ReleaseId, RunId};
use crate::report::{Failure, Verdict};
use crate::ssh::SshError;

/// The causes that a chain of errors may have before it is taken for endless.
const LONGEST_CHAIN: usize = 16;

/// What state a failure leaves the host in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HostState {
    /// We never got as far as being able to change it.
    NotReached,
    /// Nothing that runs was changed; what ran before, if anything, runs on.
    Untouched {
        /// What runs.
        current: Option<ReleaseId>,
        /// What was done all the same, and stays: "lingering is on".
        left: Vec<String>,
    },
    /// The new release was switched to, failed, and the one before is back.
    Reverted {
        /// The one that failed.
        failed: ReleaseId,
        /// The one that runs again; `None`: nothing was deployed before.
        back_to: Option<ReleaseId>,
        /// What could not be removed, and does no harm.
        left: Vec<String>,
    },
    /// The one before could not be brought back.
    RevertFailed {
        /// The service's root.
        root: RemotePath,
        /// Whose service manager runs it.
        scope: Scope,
        /// What could not be undone as a whole.
        undone: Undone,
        /// The one that was to come back.
        back_to: Option<ReleaseId>,
        /// What could not be done.
        why: String,
    },
    /// The connection broke while the run was under way, and the host could not be reached again.
    Unknown {
        /// The run.
        run: RunId,
        /// By when the host has settled.
        settled_by: Timestamp,
    },
}

/// What a way back that failed was from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Undone {
    /// A switch to this release.
    Switch(ReleaseId),
    /// What was made ready for one.
    Preparations,
    /// A run of somebody's that had not come to its end.
    EarlierRun,
}

/// A failure on one host: what, the state it leaves, and what was said around it.
#[derive(Debug)]
pub struct HostFailure {
    /// What went wrong.
    pub error: Box<HostError>,
    /// What state the host is in.
    pub state: HostState,
    /// The unit's journal, when a unit is what failed.
    pub journal: Vec<JournalEntry>,
}

impl HostFailure {
    /// A failure before anything was changed.
    pub fn untouched(error: impl Into<HostError>, current: Option<ReleaseId>) -> Self {
        let state = HostState::Untouched { current, left: Vec::new() };
        Self { error: Box::new(error.into()), state, journal: Vec::new() }
    }

    /// A failure before there was a connection.
    pub fn not_reached(error: impl Into<HostError>) -> Self {
        Self { error: Box::new(error.into()), state: HostState::NotReached, journal: Vec::new() }
    }

    /// How the host ended.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        match self.state {
            HostState::NotReached => Verdict::Unreachable,
            HostState::Untouched { .. } => Verdict::FailedUntouched,
            HostState::Reverted { .. } => Verdict::Reverted,
            HostState::RevertFailed { .. } | HostState::Unknown { .. } => Verdict::NeedsAttention,
        }
    }

    /// Whether it is the service itself that did not do well.
    pub(super) fn is_of_the_service(&self) -> bool {
        matches!(&*self.error, HostError::NotUp(_) | HostError::Health(_))
    }

    /// The failure in the parts that every reader needs.
    #[must_use]
    pub fn report(&self) -> Failure {
        let mut causes = Vec::new();
        let mut next: Option<&(dyn Error + 'static)> = Some(&*self.error);
        while let Some(error) = next.filter(|_| causes.len() < LONGEST_CHAIN) {
            let text = error.to_string();
            // A transparent error shows as its source does.
            if causes.last() != Some(&text) {
                causes.push(text);
            }
            next = error.source();
        }
        if let HostError::NotUp(error) = &*self.error
            && let Some(cause) = error.cause()
        {
            causes.push(format!("usually: {cause}"));
        }
        Failure {
            code: self.error.code(),
            causes,
            state: self.state.to_string(),
            help: self.help(),
            details: match &*self.error {
                HostError::Health(HealthError::NotWell { shown, .. }) => shown.clone(),
                HostError::Refused(refusals) => refusals.iter().flat_map(Refusal::details).collect(),
                HostError::Step { said, .. } | HostError::Invalid { said, .. } => {
                    said[..said.len() - in_a_line(said).len()].to_vec()
                }
                error => error.ssh().map_or_else(Vec::new, SshError::details),
            },
        }
    }

    /// What to do: about the error, or else about the state.
    fn help(&self) -> Option<String> {
        let mut parts = Vec::new();
        parts.extend(self.error.help());
        parts.extend(self.state.help());
        (!parts.is_empty()).then(|| parts.join("\n"))
    }
}

impl std::fmt::Display for HostState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::NotReached => f.write_str("nothing was changed on the host"),
            Self::Untouched { current, left } => {
                match current {
                    Some(id) => {
                        write!(f, "the service was not touched: release {id} is still the current one")?;
                    }
                    None => f.write_str("nothing was activated: the service is not deployed on the host")?,
                }
                if left.is_empty() {
                    Ok(())
                } else {
                    write!(f, "; done before the failure: {}", left.join(", "))
                }
            }
            Self::Reverted { failed, back_to, left } => {
                match back_to {
                    Some(id) => write!(
                        f,
                        "the host went back from release {failed}: release {id} runs again, as before"
                    )?,
                    None => write!(
                        f,
                        "the host went back from release {failed}: the service is not deployed, as before"
                    )?,
                }
                if left.is_empty() { Ok(()) } else { write!(f, "; left behind: {}", left.join(", ")) }
            }
            Self::RevertFailed { undone, why, .. } => match undone {
                Undone::Switch(release) => {
                    write!(f, "the host was switched to release {release}, and going back failed: {why}")
                }
                Undone::Preparations => {
                    write!(f, "the host was not switched, and undoing what was prepared failed: {why}")
                }
                Undone::EarlierRun => write!(f, "going back from an earlier run failed: {why}"),
            },
            Self::Unknown { run, settled_by } => write!(
                f,
                "the connection broke during run {run}, and the host could not be reached again: by {settled_by} it has \
                 gone back to the old release by itself, unless it had the word to keep the new one"
            ),
        }
    }
}

impl HostState {
    fn help(&self) -> Option<String> {
        match self {
            Self::NotReached | Self::Untouched { .. } | Self::Reverted { .. } => None,
            Self::RevertFailed { root, scope, back_to: Some(id), .. } => Some(format!(
                "this host needs a person. To bring release {id} back, on the host:\n  {by}ln -sfT releases/{id} {back} && \
                 {by}mv -fT {back} {current} && {systemctl} daemon-reload, then start the units again \
                 ({systemctl} restart UNIT) and see `{systemctl} status UNIT`; or mend the release and deploy it. The \
                 next deploy, rollback or boot of the host tries to go back first",
                back = root.join(".back").as_word(),
                current = root.join("current").as_word(),
                systemctl = scope.commands().0,
                by = scope.commands().1,
            )),
            Self::RevertFailed { root, scope, back_to: None, .. } => Some(format!(
                "this host needs a person. To take the service away, on the host: {} disable --now UNIT; {}rm {}",
                scope.commands().0,
                scope.commands().1,
                root.join("current").as_word()
            )),
            Self::Unknown { .. } => Some(
                "`shipit status` shows what runs; deploying again brings the host to a known state"
                    .to_owned(),
            ),
        }
    }
}
