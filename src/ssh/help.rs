//! What to do about a failed connection: one paragraph for the operator, with the command to run where there is one.

use super::auth_failure::{AttemptOutcome, AuthenticationFailure};
use super::error::{ChannelPurpose, ChannelRefusal, SshError};
use super::host_key_error::{HostKeyError, Refusal, Unproved};
use super::method::Method;
use super::sftp_error::{SftpError, SftpErrorKind, SftpOperation};

impl SshError {
    /// What the operator can do, if anything.
    pub fn help(&self) -> Option<String> {
        Some(match self {
            Self::Resolve { host, .. } => format!("check the spelling of {host}, and the network"),
            Self::Config(error) => return error.help(),
            Self::Connect { to, .. } => {
                format!("is sshd running there, on {}, and does a firewall let it through?", port_of(to))
            }
            Self::ConnectTimeout { to, .. } => {
                format!("is the host up, and does a firewall drop packets to {}?", port_of(to))
            }
            Self::Dropped { .. } => "sshd lets only so many log in at the same time (MaxStartups in its sshd_config), and may \
                                     refuse an address that failed too often: its log says which"
                .to_owned(),
            Self::ProxyCommand { source, said, .. } => match &**source {
                Self::ConnectTimeout { .. } if said.is_empty() => {
                    "try the ProxyCommand by hand: it should print a line that begins with SSH-2.0".to_owned()
                }
                _ => "what the ProxyCommand said is above; try it by hand".to_owned(),
            },
            Self::Jump { hop, source } => match &**source {
                Self::ChannelRefused { reason: ChannelRefusal::ConnectFailed, .. } => {
                    format!("is the host up, and can {} reach it by that name and port?", hop.host)
                }
                Self::ChannelRefused { .. } => format!(
                    "sshd of {} forbids forwarding: AllowTcpForwarding or PermitOpen in its sshd_config",
                    hop.host
                ),
                other => return other.help(),
            },
            Self::HostKey(error) => return error.help(),
            Self::Authentication(failure) => failure.help(),
            Self::ChannelRefused { purpose: ChannelPurpose::Forward { .. }, reason } => match reason {
                ChannelRefusal::ConnectFailed => "nothing on the host takes connections there".to_owned(),
                _ => {
                    "sshd forbids forwarding: AllowTcpForwarding or PermitOpen in its sshd_config".to_owned()
                }
            },
            Self::ChannelRefused { .. } => {
                "sshd runs no programs for this account: MaxSessions in its sshd_config is 0".to_owned()
            }
            Self::NoFurtherConnection { source } => format!(
                "set MaxSessions in the host's sshd_config to 3 or more{}",
                source.help().map(|help| format!("; or: {help}")).unwrap_or_default()
            ),
            Self::ConnectionLost { .. } => {
                "look at the network and at whether the host is up; deploying again begins where things stand"
                    .to_owned()
            }
            Self::RequestRefused { purpose: ChannelPurpose::Sftp } => {
                "sshd needs a line \"Subsystem sftp internal-sftp\" in its sshd_config".to_owned()
            }
            Self::RequestRefused { purpose: ChannelPurpose::Program } => {
                "`ssh HOST true` must work: the account must be one that runs commands".to_owned()
            }
            Self::Sftp(SftpError {
                operation: SftpOperation::Start,
                kind: SftpErrorKind::ServerEnded { .. },
                ..
            }) => "sshd starts what \"Subsystem sftp\" in its sshd_config names; \"Subsystem sftp internal-sftp\" needs no \
                   program on the host"
                .to_owned(),
            Self::Sftp(SftpError {
                operation: SftpOperation::Start, kind: SftpErrorKind::Protocol { .. }, ..
            }) => "does the login shell print something? sshd has it start SFTP, and `ssh HOST true` must print nothing: \
                   in ~/.bashrc and the like, print only to a terminal"
                .to_owned(),
            _ => return None,
        })
    }
}

impl SshError {
    /// What there is to compare: the keys of a host that shows another one, the keys that it did not take.
    pub fn details(&self) -> Vec<String> {
        match self {
            Self::HostKey(error) => error.details(),
            Self::Connect { tried, .. } => {
                tried.iter().map(|(address, outcome)| format!("{address}: {outcome}")).collect()
            }
            Self::Jump { source, .. } => source.details(),
            Self::ProxyCommand { said, source, .. } => {
                said.iter().map(|line| format!("ProxyCommand: {line}")).chain(source.details()).collect()
            }
            Self::Authentication(failure) => {
                let agent = failure.agent.iter().map(|why| format!("agent: {why}"));
                agent.chain(failure.tried.iter().map(ToString::to_string)).collect()
            }
            _ => Vec::new(),
        }
    }
}

impl HostKeyError {
    fn details(&self) -> Vec<String> {
        match self {
            Self::Changed { key_type, fingerprint, known, .. } => {
                let shown = format!("the host shows {key_type} {fingerprint}");
                let on_file = known.iter().map(|known| {
                    let (file, line) = (known.file.display(), known.line);
                    format!("{file}:{line} has {} {}", known.key_type, known.fingerprint)
                });
                std::iter::once(shown).chain(on_file).collect()
            }
            Self::Revoked { fingerprint, file, line, .. } => {
                let line = line.map(|line| format!(":{line}")).unwrap_or_default();
                vec![format!("{}{line} revokes {fingerprint}", file.display())]
            }
            Self::Unknown { unproved, .. } => match unproved {
                Unproved::NoAuthority => Vec::new(),
                Unproved::NoCertificate => {
                    vec!["a @cert-authority is on file for it, and it shows no certificate".to_owned()]
                }
                Unproved::OtherAuthority(fingerprint) => {
                    vec![format!("its certificate is by {fingerprint}, which is no @cert-authority for it")]
                }
                Unproved::Flaw(flaw) => vec![format!("its certificate does not count: {flaw}")],
            },
            Self::Forged { .. }
            | Self::TooShort { .. }
            | Self::NowhereToRecord { .. }
            | Self::Unreadable { .. } => Vec::new(),
        }
    }

    fn help(&self) -> Option<String> {
        Some(match self {
            Self::Unknown { unproved: Unproved::Flaw(_), .. } => {
                "have the authority sign the host's key anew: ssh-keygen -s CA -h -n NAME -I ID KEY.pub"
                    .to_owned()
            }
            Self::Unknown { refusal: Refusal::NotPinned, .. } => {
                "the manifest names the keys of its hosts (`known_hosts:`). Add this one to them, once its fingerprint is \
                 the host's own; `shipit hosts --scan` shows the lines to add"
                    .to_owned()
            }
            Self::Unknown { target, .. } => format!(
                "compare the fingerprint with the host's own: ssh-keygen -lf /etc/ssh/ssh_host_*_key.pub; \
                     then add it with --accept-new-host-keys, or: ssh -p {} {}@{}",
                target.port, target.user, target.host
            ),
            Self::Changed { name, known, .. } => {
                let mut help =
                    "either the host was set up anew, or somebody is in between. Once you know it is the \
                                former, remove what is on file:"
                        .to_owned();
                let mut files: Vec<_> = known.iter().map(|known| &known.file).collect();
                files.dedup();
                for file in files {
                    help.push_str(&format!(" ssh-keygen -R '{name}' -f {}", file.display()));
                }
                help
            }
            Self::Revoked { .. } | Self::Forged { .. } => {
                "do not connect: whoever has this key may not be the host".to_owned()
            }
            Self::TooShort { .. } => {
                "give the host a longer key, or one of another kind: ssh-keygen -t ed25519 -f /etc/ssh/ssh_host_ed25519_key"
                    .to_owned()
            }
            Self::NowhereToRecord { .. } => {
                "have ssh_config name a file: UserKnownHostsFile; for a key that nothing may keep, /dev/null".to_owned()
            }
            Self::Unreadable { .. } => return None,
        })
    }
}

/// The port at the end of an address, in words.
fn port_of(address: &str) -> String {
    let port = address.split(' ').next().and_then(|address| address.rsplit(':').next());
    port.map_or_else(|| "its port".to_owned(), |port| format!("port {port}"))
}

impl AuthenticationFailure {
    fn help(&self) -> String {
        if self.disconnected.as_ref().is_some_and(|words| words.contains("Too many authentication failures"))
        {
            return format!(
                "sshd counts every key that it is shown and does not take (MaxAuthTries in its sshd_config, 6 unless set), \
                 and was shown {}. Name the right one, so that it comes first: --identity FILE, or IdentityFile in \
                 ssh_config; with IdentitiesOnly yes there as well, the agent's other keys are not shown",
                self.offered()
            );
        }
        let supported = |method: &String| Method::named(method).is_some();
        if !self.remaining.is_empty() && !self.remaining.iter().any(supported) {
            return format!(
                "the server wants {}; supported are keys, passwords and questions (keyboard-interactive)",
                self.remaining.join(" or ")
            );
        }
        let unasked = self.tried.iter().any(|attempt| attempt.outcome == AttemptOutcome::NobodyToAsk);
        let wants_key = self.remaining.iter().any(|method| method == Method::PublicKey.as_str());
        if unasked && !wants_key {
            return "run it on a terminal, or have a program answer: SSH_ASKPASS, with SSH_ASKPASS_REQUIRE=force"
                .to_owned();
        }
        if !wants_key && !self.remaining.is_empty() {
            return format!("the server wants {}", self.remaining.join(" or "));
        }
        if self.tried.iter().any(|attempt| attempt.outcome == AttemptOutcome::NoPassphrase) {
            return "unlock the key in an agent first: ssh-add".to_owned();
        }
        if !self.tried.iter().any(|attempt| attempt.credential.is_key()) {
            return "load a key into an agent with ssh-add, name one with --identity, or make one with ssh-keygen"
                .to_owned();
        }
        let help = format!(
            "add one of the public keys to ~/.ssh/authorized_keys of {}, or name another with --identity",
            self.target.user
        );
        // What ssh may have done by itself.
        let more = ["gssapi-with-mic", "hostbased"];
        match self.remaining.iter().find(|method| more.contains(&&***method)) {
            Some(method) => format!("{help}; ssh itself may log in by {method}, which shipit does not do"),
            None => help,
        }
    }
}
