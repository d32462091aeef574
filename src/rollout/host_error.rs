//! What can go wrong on one host.
use super::verdict::NotUp;
use crate::host::{
    FreezeError, HealthError, Holder, ProbeError, RemoveError, SILENCE, SessionError, UploadError,
};
use crate::manifest::Problem;
use crate::plan::Refusal;
use crate::release::{ReleaseId, RunId};
use crate::ssh::SshError;

/// What a freeze says it is for.
const FREEZE: &str = "freeze";

/// What went wrong.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HostError {
    /// No connection, or none that lasted.
    #[error(transparent)]
    Ssh(#[from] SshError),
    /// A program could not be run.
    #[error(transparent)]
    Session(#[from] SessionError),
    /// The facts could not be had.
    #[error(transparent)]
    Probe(#[from] ProbeError),
    /// The host can't be deployed to.
    #[error("{}", list(.0))]
    Refused(Vec<Refusal>),
    /// With the facts of this host, a template can't be rendered, or has become something that can't be deployed.
    #[error("a template does not work for this host{}", problems_of(.0))]
    Template(Vec<Problem>),
    /// Someone else deploys this service to this host.
    #[error("the service is locked on this host{}", held_by(.0.as_ref()))]
    Locked(Option<Holder>),
    /// People have frozen the service.
    #[error("the service is frozen on this host{}", held_by(.0.as_ref()))]
    Frozen(Option<Holder>),
    /// A freeze could not be made or lifted.
    #[error(transparent)]
    Freeze(#[from] FreezeError),
    /// The service could not be taken away.
    #[error(transparent)]
    Remove(#[from] RemoveError),
    /// An activation is under way, and was not to be waited for.
    #[error("an activation of this service is under way on this host (run {0})")]
    UnderWay(RunId),
    /// A run that died could not be brought to its end.
    #[error("an activation that was interrupted (run {run}) could not be brought to its end: {why}")]
    Unrecovered {
        /// Which.
        run: RunId,
        /// What failed.
        why: String,
    },
    /// The host did not commit: it had gone back by itself.
    #[error("the host went back by itself: {0}")]
    WentBack(String),
    /// The folder of the service can't be written to.
    #[error("the service's folder on the host can't be written to, or its disk is full")]
    Unwritable,
    /// The host changed after the plan was made.
    #[error("the host changed since the plan was made: `current` was {was}, and is now {now}")]
    Moved {
        /// When the plan was made.
        was: String,
        /// Under the lock.
        now: String,
    },
    /// The connection was silent for so long that the host let go of our lock.
    #[error("the lock was lost: nothing was heard of this side for more than {} s", SILENCE.as_secs())]
    LockLost,
    /// The sudo password was wrong, or not given.
    #[error("{by} did not take the password")]
    SudoPassword {
        /// sudo, or doas.
        by: &'static str,
    },
    /// Files could not be put there.
    #[error(transparent)]
    Upload(#[from] UploadError),
    /// A step's command failed.
    #[error("could not {what}{}", said_of(in_a_line(said)))]
    Step {
        /// What it was to do: "restart simple_api.service".
        what: String,
        /// What the command said.
        said: Vec<String>,
    },
    /// A changed file is not valid to the program that is to read it.
    #[error("could not {what}{}", said_of(in_a_line(said)))]
    Invalid {
        /// Which command was to tell: "validate the changed files: nginx -t".
        what: String,
        /// What it said.
        said: Vec<String>,
    },
    /// The release to go back to is not what was once sealed.
    #[error("release {release} on the host is not what was deployed{}", said_of(said))]
    Tampered {
        /// Which.
        release: ReleaseId,
        /// What sha256sum said.
        said: Vec<String>,
    },
    /// The activation's program ended without a word about its last step.
    #[error("the activation ended early")]
    ActivationCut,
    /// The unit did not come up.
    #[error(transparent)]
    NotUp(#[from] NotUp),
    /// The service does not answer well.
    #[error(transparent)]
    Health(#[from] HealthError),
    /// A hook that runs once, on the first host, did not succeed.
    #[error("the hook that runs once, on the first host, did not succeed there")]
    FirstHostFailed,
    /// The operator stopped the run.
    #[error("stopped by the operator")]
    Interrupted,
    /// No random number could be had from the system.
    #[error("the system gave no random number")]
    Random(#[source] getrandom::Error),
}

/// What is wrong with templates, each as a line of a log has it.
fn problems_of(problems: &[Problem]) -> String {
    problems.iter().map(|problem| format!(": {problem}")).collect()
}

/// By whom something is held, since when and what for, to follow "locked" or "frozen".
#[must_use]
pub fn held_by(holder: Option<&Holder>) -> String {
    let Some(Holder { who, since, command, job, message }) = holder else { return String::new() };
    let job = job.as_ref().map(|job| format!(" ({job})")).unwrap_or_default();
    let message = message.as_ref().map(|message| format!(": {message}")).unwrap_or_default();
    match command.as_str() {
        // Its own reason.
        FREEZE => format!(" by {who} since {since}{job}{message}"),
        command => format!(" by {who} since {since}, for {command}{job}{message}"),
    }
}

/// What was said, as far as a line has room for it: two lines, or the last. What came before is among the details.
pub(super) fn in_a_line(said: &[String]) -> &[String] {
    match said {
        [] | [_] | [_, _] => said,
        [.., last] => std::slice::from_ref(last),
    }
}

fn said_of(said: &[String]) -> String {
    if said.is_empty() { String::new() } else { format!(": {}", said.join("; ")) }
}

fn list(refusals: &[Refusal]) -> String {
    let texts: Vec<String> = refusals.iter().map(ToString::to_string).collect();
    texts.join("; ")
}
