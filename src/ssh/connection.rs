//! A verified, authenticated connection to one host, and what can be opened over it.

use std::net::SocketAddr;

use super::error::SshError;
use super::forward::Forward;
use super::options::ConnectOptions;
use super::process::Process;
use super::sftp::{Sftp, SftpPool};
use super::target::Target;

/// A connection. Clones are the same connection, which ends when the last one is dropped.
#[derive(Debug, Clone)]
pub struct Connection {}

/// Connects, checks the host's key, logs in. All addresses of the host are tried in turn.
///
/// # Errors
/// Any of [`SshError`] up to authentication.
pub async fn connect(target: &Target, options: &ConnectOptions) -> Result<Connection, SshError> {
    let _ = (target, options);
    todo!()
}

impl Connection {
    /// Starts a program by way of the login shell. The command is a constant by its type: no value from
    /// anywhere can become shell text here.
    ///
    /// Output that nobody reads is kept, up to 16 MiB; more is [`SshError::BacklogExceeded`].
    ///
    /// # Errors
    /// [`SshError::ChannelRefused`], [`SshError::ConnectionLost`].
    pub async fn start(&self, command: &'static str) -> Result<Process, SshError> {
        self.start_with_input(command, Vec::new()).await
    }

    /// As [`Connection::start`], with the first of the input travelling along with the request: one round trip less
    /// than writing it later.
    ///
    /// # Errors
    /// As there.
    pub async fn start_with_input(&self, command: &'static str, input: Vec<u8>) -> Result<Process, SshError> {
        let _ = (command, input);
        todo!()
    }

    /// As [`Connection::start_with_input`], for a program that may never end: output that nobody reads holds back
    /// the program, **and with it everything else on this connection**. Give it a connection of its own.
    ///
    /// # Errors
    /// As there.
    pub async fn start_stream(&self, command: &'static str, input: Vec<u8>) -> Result<Process, SshError> {
        let _ = (command, input);
        todo!()
    }

    /// Opens an SFTP channel.
    ///
    /// # Errors
    /// [`SshError::ChannelRefused`], [`SshError::RequestRefused`], [`SshError::ConnectionLost`].
    pub async fn sftp(&self) -> Result<Sftp, SshError> {
        todo!()
    }

    /// Opens up to `channels` SFTP channels, fewer if the server refuses more (`MaxSessions`).
    ///
    /// # Errors
    /// As [`Connection::sftp`], when not even one could be opened.
    pub async fn sftp_pool(&self, channels: usize) -> Result<SftpPool, SshError> {
        let _ = channels;
        todo!()
    }

    /// Has the host connect to `host:port`, as it sees them.
    ///
    /// # Errors
    /// [`SshError::ChannelRefused`] with
    /// [`ConnectFailed`](super::ChannelRefusal::ConnectFailed) when nothing listens there,
    /// [`SshError::ConnectionLost`].
    pub async fn forward(&self, host: &str, port: u16) -> Result<Forward, SshError> {
        let _ = (host, port);
        todo!()
    }

    /// Where the connection goes to.
    pub fn address(&self) -> SocketAddr {
        todo!()
    }

    /// How the server names itself: `SSH-2.0-OpenSSH_9.2p1 Debian-2`.
    pub fn server_version(&self) -> &str {
        todo!()
    }

    /// Says goodbye, without waiting for an answer. Other clones are cut off as well.
    pub async fn close(self) {
        todo!()
    }
}
