//! What an error on a host is called, and what to do about it.
use super::host_error::HostError;
use crate::host::{FreezeError, HealthError, NoRoot, ProbeError, RemoveError, SessionError, UploadError};
use crate::manifest::Problem;
use crate::plan::{Refusal, RemotePath};
use crate::ssh::{ChannelPurpose, SftpError, SftpErrorKind, SftpOperation, SshError};

impl HostError {
    /// A stable name for the kind of error.
    #[must_use]
    pub fn code(&self) -> String {
        if let Some(error) = self.ssh() {
            return ssh_code(error).to_owned();
        }
        let code = match self {
            Self::Ssh(error) => ssh_code(error),
            Self::Session(SessionError::NoShell { .. })
            | Self::Freeze(FreezeError::Session(SessionError::NoShell { .. }))
            | Self::Probe(ProbeError::Session(SessionError::NoShell { .. })) => "shipit::preflight::no_shell",
            Self::Freeze(_) => "shipit::lock::freeze",
            Self::Remove(_) => "shipit::remove",
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

    /// What is wrong with the connection, where that is what failed. Not so of a removal: what was done by then is done.
    #[must_use]
    pub fn ssh(&self) -> Option<&SshError> {
        match self {
            Self::Ssh(error)
            | Self::Session(SessionError::Ssh(error))
            | Self::Probe(ProbeError::Session(SessionError::Ssh(error)))
            | Self::Freeze(FreezeError::Session(SessionError::Ssh(error)))
            | Self::Upload(UploadError::Ssh(error) | UploadError::Session(SessionError::Ssh(error)))
            | Self::Health(HealthError::Ssh(error) | HealthError::Session(SessionError::Ssh(error))) => {
                Some(error)
            }
            _ => None,
        }
    }

    pub(super) fn help(&self) -> Option<String> {
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
            Self::Remove(RemoveError::Left { copies, .. }) if !copies.is_empty() => Some(
                "run it again as somebody who may use sudo there, or on a terminal, where it can ask for the password: \
                 what stood there before is still known, and comes back"
                    .to_owned(),
            ),
            Self::Remove(RemoveError::Left { links, untold, .. }) => {
                let then: String = untold.iter().map(|command| format!("; and then: {command}")).collect();
                let words: Vec<String> = links.iter().map(RemotePath::as_word).collect();
                Some(format!("they lead nowhere now; on the host: sudo rm {}{then}", words.join(" ")))
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
