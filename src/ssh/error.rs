//! What can go wrong between here and a program on a host, before that program itself has a say.

use std::error::Error;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use super::auth_failure::AuthenticationFailure;
use super::config::ConfigError;
use super::host_key_error::HostKeyError;
use super::sftp_error::SftpError;
use super::target::Target;

/// A connection could not be made, or did not last. `Display` is one line and leaves the cause to `source`;
/// [`SshError::help`] says what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SshError {
    /// The name has no address.
    #[error("cannot find the address of {host}")]
    Resolve {
        /// The name as it was given.
        host: String,
        /// What the resolver said.
        source: io::Error,
    },
    /// It can't be known how to reach the host. Nothing was connected to.
    #[error(transparent)]
    Config(Box<ConfigError>),
    /// No address of the host took the connection.
    #[error("cannot connect to {to}")]
    Connect {
        /// The address that was tried; the name where there are several.
        to: String,
        /// Each of several addresses, with what came of it.
        tried: Vec<(SocketAddr, String)>,
        /// What the system said.
        source: io::Error,
    },
    /// Nothing answered, or what answered did not finish the SSH handshake in time.
    #[error("{to} did not answer within {} s", after.as_secs_f32())]
    ConnectTimeout {
        /// What was tried.
        to: String,
        /// How long it was given.
        after: Duration,
    },
    /// What answered hung up before it had shown a key.
    #[error("{to} hung up before the handshake{}", said.as_ref().map_or_else(String::new, |words| format!(": {words}")))]
    Dropped {
        /// What was tried.
        to: String,
        /// What it said.
        said: Option<String>,
    },
    /// What answered does not speak SSH, or none of the algorithms that are safe to use.
    #[error("the SSH handshake with {to} failed")]
    Handshake {
        /// What was tried.
        to: String,
        /// What went wrong.
        source: Box<dyn Error + Send + Sync>,
    },
    /// A jump host on the way could not be reached, or could not reach further.
    #[error("no way through the jump host {hop}")]
    Jump {
        /// The jump host.
        hop: Target,
        /// What went wrong there. All hosts behind it share this.
        source: Arc<Self>,
    },
    /// The ProxyCommand did not lead to an sshd.
    #[error("the ProxyCommand does not lead to {to}")]
    ProxyCommand {
        /// What was tried.
        to: String,
        /// What it said on standard error.
        said: Vec<String>,
        /// What went wrong.
        source: Box<Self>,
    },
    /// The host could not show that it is the one that was meant. Nothing about the operator was sent.
    #[error(transparent)]
    HostKey(#[from] Box<HostKeyError>),
    /// The host would not let us in.
    #[error(transparent)]
    Authentication(Box<AuthenticationFailure>),
    /// The host did not answer an authentication request.
    #[error("no answer to an authentication request within {} s", after.as_secs_f32())]
    AuthenticationTimeout {
        /// How long it was given.
        after: Duration,
    },
    /// The host would not open another channel.
    #[error("the host refused to open {purpose}{}", why_refused(purpose, *reason))]
    ChannelRefused {
        /// What the channel was for.
        purpose: ChannelPurpose,
        /// The reason it gave.
        reason: ChannelRefusal,
    },
    /// The host would not open another channel on the connection, and there is no other connection to be had.
    #[error("the host runs only so much on one connection, and another one can't be made")]
    NoFurtherConnection {
        /// Why not.
        source: Box<SshError>,
    },
    /// The host opened a channel and would not start anything in it (`ForceCommand`, no SFTP subsystem...).
    #[error("the host refused to start {purpose}")]
    RequestRefused {
        /// What was asked for.
        purpose: ChannelPurpose,
    },
    /// More output piled up than is kept for a reader that has fallen behind.
    #[error("more than {limit} bytes of output are waiting to be read")]
    BacklogExceeded {
        /// In bytes.
        limit: usize,
    },
    /// The program, or its channel, had already ended when input was to be written to it.
    #[error("the program at the other end no longer takes input")]
    InputClosed,
    /// The connection is gone.
    #[error("the connection was lost")]
    ConnectionLost {
        /// Why, as far as is known.
        #[source]
        source: LostCause,
    },
    /// A file operation failed.
    #[error(transparent)]
    Sftp(#[from] SftpError),
}

/// "Connect failed" is the reason with the number 2; of a session, sshd means by it only that it opens none.
fn why_refused(purpose: &ChannelPurpose, reason: ChannelRefusal) -> String {
    match (purpose, reason) {
        (ChannelPurpose::Program | ChannelPurpose::Sftp, ChannelRefusal::ConnectFailed) => String::new(),
        _ => format!(": {reason}"),
    }
}

impl From<ConfigError> for SshError {
    fn from(error: ConfigError) -> Self {
        Self::Config(Box::new(error))
    }
}

impl SshError {
    /// Whether it may be an sshd that has too many connections under way, so that it is worth trying again. A refused login
    /// never is.
    pub(super) fn may_be_overload(&self) -> bool {
        match self {
            Self::Dropped { .. } => true,
            // What ssh says when that happens to it.
            Self::ProxyCommand { said, .. } => {
                said.iter().any(|line| line.contains("kex_exchange_identification"))
            }
            _ => false,
        }
    }
}

impl From<HostKeyError> for SshError {
    fn from(error: HostKeyError) -> Self {
        Self::HostKey(Box::new(error))
    }
}

/// What a channel is opened for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ChannelPurpose {
    /// A program on the host.
    Program,
    /// The SFTP subsystem.
    Sftp,
    /// A TCP connection made by the host.
    Forward {
        /// Where to, as the host would resolve it.
        host: String,
        /// The TCP port.
        port: u16,
    },
}

impl std::fmt::Display for ChannelPurpose {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Program => f.write_str("a channel for a program"),
            Self::Sftp => f.write_str("a channel for SFTP"),
            Self::Forward { host, port } => write!(f, "a connection to {host}:{port}"),
        }
    }
}

/// The reasons of RFC 4254, section 5.1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChannelRefusal {
    /// Forbidden by the server's configuration.
    AdministrativelyProhibited,
    /// For a forwarded connection: the host could not make it. For a session, sshd says this
    /// when there are `MaxSessions` already.
    ConnectFailed,
    /// The server does not know this kind of channel.
    UnknownType,
    /// The server is short of something.
    ResourceShortage,
    /// Some other reason.
    Other,
}

impl std::fmt::Display for ChannelRefusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::AdministrativelyProhibited => "administratively prohibited",
            Self::ConnectFailed => "connect failed",
            Self::UnknownType => "unknown channel type",
            Self::ResourceShortage => "resource shortage",
            Self::Other => "no reason given",
        })
    }
}

/// How a connection ended. One ending is reported to everybody who was using the connection, so this is `Clone`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LostCause {
    /// The other end closed it without a word.
    #[error("the other end closed the connection")]
    Closed,
    /// The server said goodbye (SSH_MSG_DISCONNECT).
    #[error("the server ended it: {message}")]
    Disconnected {
        /// What it said.
        message: String,
    },
    /// The server stopped answering.
    #[error("the host stopped answering")]
    KeepaliveTimeout,
    /// The network failed.
    #[error("{message}")]
    Network {
        /// What kind of failure.
        kind: io::ErrorKind,
        /// What the system said.
        message: String,
    },
    /// The two ends stopped understanding each other.
    #[error("protocol error: {message}")]
    Protocol {
        /// What went wrong.
        message: String,
    },
    /// Closed by this end.
    #[error("it was closed from this end")]
    ClosedHere,
}
