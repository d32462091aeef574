//! What can go wrong on one host, what state that leaves the host in, and what to do then.
use std::error::Error;

use super::verdict::NotUp;
use jiff::Timestamp;

use crate::host::{
    FreezeError, HealthError, Holder, JournalEntry, NoRoot, ProbeError, RemoveError, SILENCE, SessionError,
    UploadError,
};
use crate::manifest::{Problem, Scope};
use crate::plan::{Refusal, RemotePath};
use crate::release::{ReleaseId, RunId};
use crate::report::{Failure, Verdict};
use crate::ssh::{ChannelPurpose, SftpError, SftpErrorKind, SftpOperation, SshError};

/// What a freeze says it is for.
const FREEZE: &str = "freeze";

/// The causes that a chain of errors may have before it is taken for endless.
const LONGEST_CHAIN: usize = 16;

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
    #[error("the service's folder on the host can't be written to")]
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
fn in_a_line(said: &[String]) -> &[String] {
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
        /// The one that failed.
        failed: ReleaseId,
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
            Self::RevertFailed { failed, why, .. } => {
                write!(f, "the host was switched to release {failed}, and going back failed: {why}")
            }
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

impl HostError {
    /// A stable name for the kind of error.
    #[must_use]
    pub fn code(&self) -> String {
        let code = match self {
            Self::Ssh(error)
            | Self::Session(SessionError::Ssh(error))
            | Self::Probe(ProbeError::Session(SessionError::Ssh(error)))
            | Self::Health(HealthError::Ssh(error) | HealthError::Session(SessionError::Ssh(error))) => {
                ssh_code(error)
            }
            Self::Freeze(FreezeError::Session(SessionError::Ssh(error))) => ssh_code(error),
            Self::Freeze(_) => "shipit::lock::freeze",
            Self::Remove(RemoveError::Session(SessionError::Ssh(error))) => ssh_code(error),
            Self::Remove(_) => "shipit::remove",
            Self::Session(SessionError::NoShell { .. })
            | Self::Probe(ProbeError::Session(SessionError::NoShell { .. })) => "shipit::preflight::no_shell",
            Self::Session(SessionError::NoRoot { .. }) => "shipit::preflight::no_root",
            Self::Session(_) => "shipit::host::session",
            Self::Probe(ProbeError::Home { .. }) => "shipit::preflight::home",
            Self::Probe(_) => "shipit::host::probe",
            Self::Refused(refusals) => refusals.first().map_or("shipit::preflight", Refusal::code),
            Self::Template(problems) => {
                return problems.first().map_or_else(|| "shipit::template".to_owned(), Problem::code);
            }
            Self::Locked(_) => "shipit::lock::held",
            Self::Frozen(_) => "shipit::lock::frozen",
            Self::UnderWay(_) => "shipit::activation::under_way",
            Self::Unrecovered { .. } => "shipit::activation::unrecovered",
            Self::WentBack(_) => "shipit::activation::went_back",
            Self::Unwritable => "shipit::preflight::not_writable",
            Self::Moved { .. } => "shipit::plan::outdated",
            Self::LockLost => "shipit::lock::lost",
            Self::SudoPassword { .. } => "shipit::sudo::password",
            Self::Upload(error) => upload_code(error),
            Self::Step { .. } => "shipit::activation::step",
            Self::Invalid { .. } => "shipit::activation::invalid",
            Self::Tampered { .. } => "shipit::rollback::release_tampered",
            Self::ActivationCut => "shipit::activation::cut",
            Self::NotUp(_) => "shipit::verdict::not_up",
            Self::Health(_) => "shipit::verdict::health",
            Self::FirstHostFailed => "shipit::hook::first_host",
            Self::Interrupted => "shipit::interrupted",
            Self::Random(_) => "shipit::system::random",
        };
        code.to_owned()
    }

    /// What is wrong with the connection, where that is what failed.
    fn ssh(&self) -> Option<&SshError> {
        match self {
            Self::Ssh(error)
            | Self::Session(SessionError::Ssh(error))
            | Self::Probe(ProbeError::Session(SessionError::Ssh(error)))
            | Self::Freeze(FreezeError::Session(SessionError::Ssh(error)))
            | Self::Remove(RemoveError::Session(SessionError::Ssh(error)))
            | Self::Upload(UploadError::Ssh(error) | UploadError::Session(SessionError::Ssh(error)))
            | Self::Health(HealthError::Ssh(error) | HealthError::Session(SessionError::Ssh(error))) => {
                Some(error)
            }
            _ => None,
        }
    }

    fn help(&self) -> Option<String> {
        if let Some(error) = self.ssh() {
            return error.help();
        }
        match self {
            Self::Ssh(_) => None,
            Self::Session(SessionError::NoShell { .. })
            | Self::Probe(ProbeError::Session(SessionError::NoShell { .. }))
            | Self::Freeze(FreezeError::Session(SessionError::NoShell { .. })) => Some(
                "`ssh HOST /bin/sh -c true` must work: the account needs a login shell that runs commands, sshd_config no \
                 ForceCommand for it, and its key no command= in authorized_keys"
                    .to_owned(),
            ),
            Self::Session(SessionError::NoRoot { why: NoRoot::PasswordWanted, .. }) => Some(
                "a service with `scope: system` takes root's rights: run shipit on a terminal, where it can ask for the \
                 password, allow the login user sudo without one (NOPASSWD, sudoers(5)), or log in as root"
                    .to_owned(),
            ),
            Self::Session(SessionError::NoRoot { why: NoRoot::Refused, .. }) => Some(
                "a service with `scope: system` takes root's rights: allow the login user sudo (or doas) for all commands, \
                 or log in as root"
                    .to_owned(),
            ),
            Self::Probe(ProbeError::Home { .. }) => Some(
                "it has to be absolute, UTF-8, and without control characters: see $HOME, and `usermod --home`".to_owned(),
            ),
            Self::Session(_) | Self::Probe(_) => Some(
                "try again with -v; if it stays, `ssh HOST true` shows whether the host is well".to_owned(),
            ),
            Self::Refused(refusals) => {
                let mut helps: Vec<String> = refusals.iter().map(Refusal::help).collect();
                helps.dedup();
                Some(helps.join("\n"))
            }
            Self::Template(problems) => {
                let mut helps: Vec<String> = problems.iter().filter_map(|problem| problem.help.clone()).collect();
                helps.push("`shipit render --host HOST` shows what templates become for it".to_owned());
                Some(helps.join("\n"))
            }
            Self::Locked(_) => {
                Some("wait for it to end, or let shipit wait: --lock-wait 5m. A client that died frees it within 20 s".to_owned())
            }
            Self::Tampered { .. } => Some(
                "choose another one (`shipit releases` lists them), or deploy it anew from its sources".to_owned(),
            ),
            Self::Frozen(_) => Some("`shipit unlock` lifts it, once that is agreed with whoever froze it".to_owned()),
            Self::UnderWay(_) => Some("it ends by itself; without --no-wait shipit waits for it".to_owned()),
            Self::Unrecovered { .. } => Some(
                "see what is left on the host with `systemctl --user status` (`systemctl status` for scope: system), and in the run's folder below runs/".to_owned(),
            ),
            Self::Moved { .. } => {
                Some("look at what changed with `shipit plan`, and deploy again".to_owned())
            }
            Self::LockLost => Some("deploy again; `shipit history` shows whether someone else was here meanwhile".to_owned()),
            Self::SudoPassword { .. } => Some("try again; the log of sudo, or doas, on the host says more".to_owned()),
            Self::Upload(UploadError::Sftp { source, free_bytes }) => sftp_help(source, *free_bytes),
            Self::Upload(UploadError::LocalChanged { .. }) => {
                Some("let the build end first, and deploy again".to_owned())
            }
            Self::Health(HealthError::NoWay { .. }) => Some(
                "set AllowTcpForwarding yes (or local) in the host's sshd_config, or install curl or bash there; or \
                 use another kind of health check: `command`, `journal`, `unit`"
                    .to_owned(),
            ),
            Self::Health(_) => Some("the journal above says what the service was doing".to_owned()),
            Self::Step { said, .. } if said.iter().any(|line| misses_the_network(line)) => Some(
                "the host does not reach what the program wants from the network: send it along with `files`, such as wheels \
                 that `pip download` has fetched, and have the program take it from there"
                    .to_owned(),
            ),
            Self::Invalid { .. } => Some(
                "nobody was told of the file; `shipit render` shows what a template became, with the line that is meant"
                    .to_owned(),
            ),
            Self::Remove(RemoveError::Left { paths, untold }) => {
                let then: String = untold.iter().map(|command| format!("; and then: {command}")).collect();
                Some(format!("they lead nowhere now; on the host: sudo rm {}{then}", paths.join(" ")))
            }
            Self::Remove(RemoveError::Untold { command, .. }) => {
                Some(format!("its files are gone, and whoever read them is to know; on the host: {command}"))
            }
            Self::Remove(_) => Some("run it again: it goes on where it stopped".to_owned()),
            Self::Freeze(_)
            | Self::Upload(_)
            | Self::Step { .. }
            | Self::ActivationCut
            | Self::WentBack(_)
            | Self::Unwritable
            | Self::NotUp(_)
            | Self::FirstHostFailed
            | Self::Interrupted
            | Self::Random(_) => None,
        }
    }
}

/// Whether this is how programs say that there is no network: what the C library says of it (gai_strerror(3), strerror(3)),
/// and curl.
fn misses_the_network(line: &str) -> bool {
    const PHRASES: [&str; 6] = [
        "Temporary failure in name resolution",
        "Name or service not known",
        "Network is unreachable",
        "No route to host",
        "Could not resolve host",
        "Connection timed out",
    ];
    PHRASES.iter().any(|phrase| line.contains(phrase))
}

fn upload_code(error: &UploadError) -> &'static str {
    match error {
        UploadError::Session(SessionError::Ssh(error)) | UploadError::Ssh(error) => ssh_code(error),
        UploadError::Sftp { .. } => "shipit::upload::sftp",
        UploadError::Local { .. } => "shipit::upload::local",
        UploadError::LocalChanged { .. } => "shipit::upload::local_changed",
        _ => "shipit::upload",
    }
}

fn ssh_code(error: &SshError) -> &'static str {
    match error {
        SshError::Resolve { .. } => "shipit::ssh::resolve",
        SshError::Connect { .. } => "shipit::ssh::connect",
        SshError::ConnectTimeout { .. } => "shipit::ssh::timeout",
        SshError::Handshake { .. } | SshError::Dropped { .. } => "shipit::ssh::handshake",
        SshError::Config(_) => "shipit::ssh::config",
        SshError::Jump { source, .. } => ssh_code(source),
        SshError::ProxyCommand { .. } => "shipit::ssh::proxy_command",
        SshError::HostKey(_) => "shipit::ssh::host_key",
        SshError::Authentication(_) | SshError::AuthenticationTimeout { .. } => "shipit::ssh::authentication",
        SshError::ConnectionLost { .. } => "shipit::ssh::lost",
        SshError::RequestRefused { purpose: ChannelPurpose::Sftp }
        | SshError::Sftp(SftpError { operation: SftpOperation::Start, .. }) => "shipit::preflight::no_sftp",
        SshError::RequestRefused { purpose: ChannelPurpose::Program }
        | SshError::ChannelRefused { purpose: ChannelPurpose::Program, .. } => "shipit::preflight::no_shell",
        SshError::NoFurtherConnection { .. } => "shipit::ssh::further",
        _ => "shipit::ssh",
    }
}

/// sftp-server says "Failure" of a full disk, a quota and a good deal else; how much is free tells them apart.
fn sftp_help(error: &SftpError, free_bytes: Option<u64>) -> Option<String> {
    match (&error.kind, free_bytes) {
        (SftpErrorKind::Failure { .. }, Some(free)) if free < 1 << 20 => {
            Some(format!("the disk is full ({} KiB free): make room and deploy again", free / 1024))
        }
        (SftpErrorKind::Failure { .. }, Some(free)) => Some(format!(
            "{} MiB are free on the disk; a quota may be reached, or inodes used up: see `quota` and `df -i` on the host",
            free >> 20
        )),
        (SftpErrorKind::PermissionDenied { .. }, _) => {
            Some("the folder of the service on the host is not yours to write".to_owned())
        }
        _ => None,
    }
}
