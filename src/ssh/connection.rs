//! A verified, authenticated connection to one host, and what can be opened over it.
//!
//! Opening a channel takes one round trip, and starting something in it another, which brings the first output along.
//! Input takes a third: sshd opens its channels with a window of zero, and makes room only once
//! something runs (session.c, channels.c).
//!
//! sshd runs only so many programs on one connection (`MaxSessions`, sshd_config(5)). What it refuses to start is started
//! on a further connection to the same machine, made when it is first needed.

use std::fmt;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};

use russh::client::{Handle, Msg};
use russh::{Channel, ChannelOpenFailure, Disconnect};

use super::auth::authenticate;
use super::channel::{Backlog, ChannelIo, drain};
use super::ending::{Ending, EndingWriter};
use super::error::{ChannelPurpose, ChannelRefusal, LostCause, SshError};
use super::forward::Forward;
use super::handshake::{Client, Verified, handshake};
use super::hop::Proxy;
use super::options::ConnectOptions;
use super::pace::Door;
use super::peer::Peer;
use super::process::Process;
use super::sftp::Sftp;
use super::target::Target;
use super::upload::SftpPool;

/// How much output is kept for a reader that has fallen behind.
const BACKLOG: usize = 16 << 20;

/// How long a host may take to say that it is there.
const PONG: std::time::Duration = std::time::Duration::from_secs(3);

/// How long saying goodbye may take.
const GOODBYE: std::time::Duration = std::time::Duration::from_millis(200);

/// How much is kept of what comes from a host behind this one. Its channels cannot send more than their windows, and
/// nobody here is slower than that for long.
const TUNNEL_BACKLOG: usize = 64 << 20;

/// How much of a stream is kept before the program is held back.
const STREAM_BACKLOG: usize = 1 << 20;

/// A connection. Clones are the same connection, which ends when the last one is dropped.
#[derive(Clone)]
pub struct Connection {
    inner: Arc<Inner>,
}

struct Inner {
    handle: Handle<Client>,
    target: Target,
    peer: Peer,
    server_version: String,
    ending: Ending,
    ending_writer: Arc<EndingWriter>,
    /// What a further connection takes.
    options: ConnectOptions,
    host_key: Vec<u8>,
    /// Connections for what did not fit on this one.
    further: Mutex<Vec<Connection>>,
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Connection({} at {})", self.inner.target, self.inner.peer)
    }
}

/// Gets there, checks the host's key, logs in.
///
/// # Errors
/// Any of [`SshError`] up to authentication.
pub async fn connect(target: &Target, options: &ConnectOptions) -> Result<Connection, SshError> {
    let door = match &options.proxy {
        Proxy::Direct => Door::Sshd { from: None, host: target.host.clone(), port: target.port },
        Proxy::Jump(hop) => {
            let from = Some(hop.target.to_string());
            Door::Sshd { from, host: target.host.clone(), port: target.port }
        }
        Proxy::Command { written, .. } => Door::Command(written.clone()),
    };
    let _turn = options.pace.turn(door).await;
    let verified = handshake(target, options).await?;
    let Verified { mut handle, peer, server_version, ending, ending_writer, host_key } = verified;
    authenticate(&mut handle, target, options, &ending, &host_key).await?;
    let (target, options, further) = (target.clone(), options.clone(), Mutex::default());
    Ok(Connection {
        inner: Arc::new(Inner {
            handle,
            target,
            peer,
            server_version,
            ending,
            ending_writer,
            options,
            host_key,
            further,
        }),
    })
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

    /// As [`Connection::start`], with the first of the input. It leaves as soon as sshd has room for it, one round trip
    /// after the request; returns when it has left. Keep it below 1 MiB, or a program that does not
    /// read holds this up.
    ///
    /// # Errors
    /// As there.
    pub async fn start_with_input(&self, command: &'static str, input: Vec<u8>) -> Result<Process, SshError> {
        self.program(command, input, Backlog::Fail(BACKLOG)).await
    }

    /// As [`Connection::start_with_input`], for a program that may never end: output that nobody reads holds back
    /// the program, **and with it everything else on this connection**. Give it a connection of its own.
    ///
    /// # Errors
    /// As there.
    pub async fn start_stream(&self, command: &'static str, input: Vec<u8>) -> Result<Process, SshError> {
        self.program(command, input, Backlog::HoldBack(STREAM_BACKLOG)).await
    }

    /// Opens an SFTP channel.
    ///
    /// # Errors
    /// [`SshError::ChannelRefused`], [`SshError::RequestRefused`], [`SshError::ConnectionLost`].
    pub async fn sftp(&self) -> Result<Sftp, SshError> {
        let (channel, ending) = self.session(ChannelPurpose::Sftp).await?;
        Self::start_sftp(channel, ending).await
    }

    async fn start_sftp(channel: Channel<Msg>, ending: Ending) -> Result<Sftp, SshError> {
        if channel.request_subsystem(true, "sftp").await.is_err() {
            return Err(ending.error().await);
        }
        let drained = drain(channel, ChannelPurpose::Sftp, Backlog::Fail(BACKLOG), ending.clone());
        let io = ChannelIo::new(drained);
        let refused = io.refused();
        match Sftp::start(io, ending).await {
            Err(_) if refused.load(Ordering::Acquire) => {
                Err(SshError::RequestRefused { purpose: ChannelPurpose::Sftp })
            }
            started => Ok(started?),
        }
    }

    /// Opens up to `channels` SFTP channels, fewer if the server refuses more (`MaxSessions`).
    ///
    /// # Errors
    /// As [`Connection::sftp`], when not even one could be opened.
    pub async fn sftp_pool(&self, channels: usize) -> Result<SftpPool, SshError> {
        let here = async || {
            let channel = self.session_here(&ChannelPurpose::Sftp).await?;
            Self::start_sftp(channel, self.inner.ending.clone()).await
        };
        let opened = futures::future::join_all((0..channels.max(1)).map(|_| here())).await;
        let mut granted = Vec::with_capacity(opened.len());
        for result in opened {
            match result {
                Ok(sftp) => granted.push(sftp),
                Err(SshError::ChannelRefused { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        if granted.len() < channels {
            tracing::debug!("{}: {} SFTP channels of {channels}", self.inner.target, granted.len());
        }
        let mut granted = granted.into_iter();
        match granted.next() {
            Some(first) => Ok(SftpPool::new(first, granted)),
            // One is worth a further connection.
            None => Ok(SftpPool::new(self.sftp().await?, [])),
        }
    }

    /// Has the host connect to `host:port`, as it sees them.
    ///
    /// # Errors
    /// [`SshError::ChannelRefused`] with
    /// [`ConnectFailed`](super::ChannelRefusal::ConnectFailed) when nothing listens there,
    /// [`SshError::ConnectionLost`].
    pub async fn forward(&self, host: &str, port: u16) -> Result<Forward, SshError> {
        self.open_forward(host, port, BACKLOG).await
    }

    /// The same for a stream that another connection goes through.
    pub(super) async fn tunnel(&self, host: &str, port: u16) -> Result<Forward, SshError> {
        self.open_forward(host, port, TUNNEL_BACKLOG).await
    }

    async fn open_forward(&self, host: &str, port: u16, backlog: usize) -> Result<Forward, SshError> {
        let purpose = ChannelPurpose::Forward { host: host.to_owned(), port };
        // The originator is for the server's log; there is no socket here that it could name.
        let opened = self.inner.handle.channel_open_direct_tcpip(host, port.into(), "127.0.0.1", 0).await;
        let channel = self.opened(opened, &purpose).await?;
        let drained = drain(channel, purpose, Backlog::Fail(backlog), self.inner.ending.clone());
        Ok(Forward::new(ChannelIo::new(drained)))
    }

    /// Who was logged in, and on which host.
    pub fn target(&self) -> &Target {
        &self.inner.target
    }

    /// Where the connection goes to.
    pub fn peer(&self) -> &Peer {
        &self.inner.peer
    }

    /// Whether the host still answers.
    pub(super) async fn answers(&self) -> bool {
        let ping = tokio::time::timeout(PONG, self.inner.handle.send_ping()).await;
        matches!(ping, Ok(Ok(()))) && !self.is_over()
    }

    /// Whether the two are clones of one.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.inner, &other.inner)
    }

    /// Whether it has ended.
    pub(super) fn is_over(&self) -> bool {
        self.inner.ending.known_cause().is_some()
    }

    /// How the server names itself: `SSH-2.0-OpenSSH_9.2p1 Debian-2`.
    pub fn server_version(&self) -> &str {
        &self.inner.server_version
    }

    /// Says goodbye, without waiting for an answer. Other clones are cut off as well.
    pub async fn close(self) {
        let further = std::mem::take(&mut *self.further());
        futures::future::join_all(further.into_iter().map(|connection| Box::pin(connection.close()))).await;
        self.inner.ending_writer.set(LostCause::ClosedHere);
        // Until the message is on its way, which takes no round trip; and never for long: on a link that takes nothing more
        // there is not even room for the message.
        let _ = tokio::time::timeout(GOODBYE, async {
            if self.inner.handle.disconnect(Disconnect::ByApplication, "", "").await.is_ok() {
                self.inner.ending.socket_closed().await;
            }
        })
        .await;
    }

    async fn program(
        &self,
        command: &'static str,
        input: Vec<u8>,
        backlog: Backlog,
    ) -> Result<Process, SshError> {
        let (channel, ending) = self.session(ChannelPurpose::Program).await?;
        // The answer to this comes with the output; waiting for it would cost a round trip.
        if channel.exec(true, command).await.is_err() {
            return Err(ending.error().await);
        }
        let drained = drain(channel, ChannelPurpose::Program, backlog, ending);
        let mut process = Process::new(drained);
        if !input.is_empty() {
            match process.write(input).await {
                // It has ended without reading; its output says more than this error.
                Ok(()) | Err(SshError::InputClosed) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(process)
    }

    /// A channel to run something in, here or on a further connection; and the ending of the one it is on.
    async fn session(&self, purpose: ChannelPurpose) -> Result<(Channel<Msg>, Ending), SshError> {
        match self.session_here(&purpose).await {
            Err(SshError::ChannelRefused { .. }) => {}
            opened => return Ok((opened?, self.inner.ending.clone())),
        }
        let further = self.further().clone();
        for connection in further {
            if let Ok(channel) = connection.session_here(&purpose).await {
                return Ok((channel, connection.inner.ending.clone()));
            }
        }
        tracing::info!("{}: it runs no more on this connection, so another one is made", self.inner.target);
        let connection = match self.again().await {
            Ok(connection) => connection,
            Err(error) => return Err(SshError::NoFurtherConnection { source: Box::new(error) }),
        };
        // Refused on a connection of its own, it is not a matter of how many there are.
        let channel = connection.session_here(&purpose).await?;
        let ending = connection.inner.ending.clone();
        self.further().push(connection);
        Ok((channel, ending))
    }

    async fn session_here(&self, purpose: &ChannelPurpose) -> Result<Channel<Msg>, SshError> {
        let opened = self.inner.handle.channel_open_session().await;
        self.opened(opened, purpose).await
    }

    /// Another connection to the same machine. A name may have several addresses, and several machines behind one.
    async fn again(&self) -> Result<Self, SshError> {
        let address = match &self.inner.peer {
            Peer::Address(address) => Some(*address),
            // Whoever looked the name up does so again.
            Peer::Behind { .. } | Peer::ByCommand { .. } => None,
        };
        let options = ConnectOptions { address, ..self.inner.options.clone() };
        let connection = Box::pin(connect(&self.inner.target, &options)).await?;
        if connection.inner.host_key != self.inner.host_key {
            connection.close().await;
            let to = self.inner.peer.to_string();
            return Err(SshError::Handshake { to, source: "another machine answered".into() });
        }
        Ok(connection)
    }

    fn further(&self) -> std::sync::MutexGuard<'_, Vec<Self>> {
        self.inner.further.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn opened(
        &self,
        opened: Result<Channel<Msg>, russh::Error>,
        purpose: &ChannelPurpose,
    ) -> Result<Channel<Msg>, SshError> {
        match opened {
            Ok(channel) => Ok(channel),
            Err(russh::Error::ChannelOpenFailure(reason)) => {
                let reason = match reason {
                    ChannelOpenFailure::AdministrativelyProhibited => {
                        ChannelRefusal::AdministrativelyProhibited
                    }
                    ChannelOpenFailure::ConnectFailed => ChannelRefusal::ConnectFailed,
                    ChannelOpenFailure::UnknownChannelType => ChannelRefusal::UnknownType,
                    ChannelOpenFailure::ResourceShortage => ChannelRefusal::ResourceShortage,
                    ChannelOpenFailure::Other { .. } => ChannelRefusal::Other,
                };
                Err(SshError::ChannelRefused { purpose: purpose.clone(), reason })
            }
            Err(_) => Err(self.inner.ending.error().await),
        }
    }
}
