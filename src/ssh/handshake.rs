//! From a target to a connection that has proved to be the host, but does not know yet who we are.

use std::borrow::Cow;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use russh::Preferred;
use russh::client::{self, DisconnectReason, Handle, Session};
use russh::keys::PublicKeyOrCertificate;
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

use super::dial::{addresses, dial, first_to_answer, one_unreachable};
use super::ending::{self, Ending, EndingWriter};
use super::error::{LostCause, SshError};
use super::hop::{Hop, Proxy};
use super::host_certificate::HostCertificate;
use super::host_key_algorithms;
use super::host_key_error::HostKeyError;
use super::host_keys::{self, Decision, Shown};
use super::known_hosts::HostKey;
use super::options::ConnectOptions;
use super::peer::Peer;
use super::proxy_command::{Complaints, ProxyCommand};
use super::rsa_size;
use super::target::Target;
use super::wire::{Grip, Opening, Stream, Wire, patience};

/// What we can receive on a channel before we have to say that there is room again. 2 MiB would cap a download at
/// 50 ms round trip to 40 MB/s.
const WINDOW: u32 = 16 << 20;

/// The largest packet we take; russh does not want more.
const MAXIMUM_PACKET: u32 = 65535;

/// How long to wait before asking an sshd again that had too much to do, each time; and half as much again, by chance, so
/// that those who were turned away together do not come back together.
const WAITS: [Duration; 5] = [
    Duration::from_millis(250),
    Duration::from_millis(500),
    Duration::from_secs(1),
    Duration::from_secs(2),
    Duration::from_secs(4),
];

/// A host that has proved to be itself.
pub(super) struct Verified {
    pub(super) handle: Handle<Client>,
    pub(super) peer: Peer,
    pub(super) server_version: String,
    pub(super) ending: Ending,
    pub(super) ending_writer: Arc<EndingWriter>,
    /// The key that it showed.
    pub(super) host_key: Vec<u8>,
}

/// Gets there, and does the handshake. An sshd that hangs up at once, as one with too many connections does, is asked again
/// for as long as one may wait for an answer.
pub(super) async fn handshake(target: &Target, options: &ConnectOptions) -> Result<Verified, SshError> {
    let begun = Instant::now();
    let mut waits = WAITS.iter();
    loop {
        match by_the_way(target, options).await {
            Err(error) if error.may_be_overload() && begun.elapsed() < options.connect_timeout => {
                let Some(wait) = waits.next() else { return Err(error) };
                let wait = *wait + by_chance(*wait / 2);
                tracing::debug!("{target}: {error}; again in {wait:?}");
                sleep(wait).await;
            }
            settled => return settled,
        }
    }
}

/// Between nothing and so much.
fn by_chance(most: Duration) -> Duration {
    let mut random = [0];
    // Without chance it is at least not too long.
    let _ = getrandom::fill(&mut random);
    most * u32::from(random[0]) / 256
}

async fn by_the_way(target: &Target, options: &ConnectOptions) -> Result<Verified, SshError> {
    match &options.proxy {
        Proxy::Direct => directly(target, options).await,
        Proxy::Jump(hop) => settle_key(target, options, Way::Jump(hop)).await,
        Proxy::Command { command, .. } => settle_key(target, options, Way::Command(command)).await,
    }
}

/// The address that answers first; when there is no sshd behind it, the others.
async fn directly(target: &Target, options: &ConnectOptions) -> Result<Verified, SshError> {
    let mut left = addresses(target, options).await?;
    let mut failure = None;
    loop {
        let (address, stream) = match first_to_answer(&mut left, target, options).await {
            Ok(winner) => winner,
            // What was found behind an address says more than that the rest is silent.
            Err(error) => return Err(failure.unwrap_or(error)),
        };
        match settle_key(target, options, Way::Address(address, Some(stream))).await {
            Err(
                error @ (SshError::Connect { .. }
                | SshError::ConnectTimeout { .. }
                | SshError::Dropped { .. }
                | SshError::Handshake { .. }),
            ) => {
                tracing::debug!("{address}: {error}");
                if left.is_empty() {
                    return Err(error);
                }
                failure = Some(error);
            }
            settled => return settled,
        }
    }
}

/// How to get a stream to the host, as often as it takes.
enum Way<'a> {
    /// An address, with the connection that it has answered.
    Address(SocketAddr, Option<TcpStream>),
    Jump(&'a Arc<Hop>),
    Command(&'a str),
}

/// A stream to the host.
struct Reached {
    stream: Box<dyn Stream>,
    peer: Peer,
    complaints: Option<Complaints>,
}

impl Way<'_> {
    async fn stream(&mut self, target: &Target, options: &ConnectOptions) -> Result<Reached, SshError> {
        let (host, port) = (target.host.clone(), target.port);
        match self {
            Self::Address(address, answered) => {
                let stream = match answered.take() {
                    Some(stream) => stream,
                    None => dial(*address, options)
                        .await
                        .map_err(|error| one_unreachable(*address, error, options.connect_timeout))?,
                };
                Ok(Reached { stream: Box::new(stream), peer: Peer::Address(*address), complaints: None })
            }
            Self::Jump(hop) => {
                let stream = hop.reach(target, options).await?;
                let peer = Peer::Behind { host, port, hop: hop.target.clone() };
                Ok(Reached { stream: Box::new(stream), peer, complaints: None })
            }
            Self::Command(command) => {
                tracing::debug!("ProxyCommand: {command}");
                let peer = Peer::ByCommand { host, port };
                let (stream, complaints) = ProxyCommand::start(command).map_err(|source| {
                    SshError::Connect { to: peer.to_string(), tried: Vec::new(), source }
                })?;
                Ok(Reached { stream: Box::new(stream), peer, complaints: Some(complaints) })
            }
        }
    }
}

/// Does the handshake; if it shows a key that the operator has to be asked about, asks, and does it once more.
async fn settle_key(
    target: &Target,
    options: &ConnectOptions,
    mut way: Way<'_>,
) -> Result<Verified, SshError> {
    let reached = way.stream(target, options).await?;
    match attempt(target, options, reached).await? {
        Ok(verified) => return Ok(verified),
        Err(key) => host_keys::ask(target, options, &key).await?,
    }
    // The key is accepted now. Whatever is shown this time is judged by that.
    let reached = way.stream(target, options).await?;
    let to = reached.peer.to_string();
    match attempt(target, options, reached).await? {
        Ok(verified) => Ok(verified),
        Err(_) => Err(SshError::Handshake {
            to,
            source: "the host showed one key and then another, and neither is known".into(),
        }),
    }
}

/// One handshake. The inner error is a key to ask about.
async fn attempt(
    target: &Target,
    options: &ConnectOptions,
    reached: Reached,
) -> Result<Result<Verified, Box<Shown>>, SshError> {
    let Reached { stream, peer, complaints } = reached;
    let (wire, grip) = Wire::new(stream, patience(options.keepalive_interval, options.keepalive_max));
    let config = Arc::new(config(target, options)?);
    let (ending_writer, ending) = ending::ending();
    let ending_writer = Arc::new(ending_writer);
    let shared = Arc::new(Mutex::new(Seen::default()));
    let client = Client {
        target: target.clone(),
        options: options.clone(),
        seen: Arc::clone(&shared),
        ending: Arc::clone(&ending_writer),
    };
    let after = options.connect_timeout;
    let result = timeout(after, client::connect_stream(config, wire, client)).await;
    let seen = std::mem::take(&mut *shared.lock().unwrap_or_else(PoisonError::into_inner));
    let to = || peer.to_string();
    let error = match (result, seen.decision) {
        (_, Some(Decision::Refuse(error))) => return Err(error.into()),
        (_, Some(Decision::Ask(key))) => return Ok(Err(key)),
        (Ok(Ok(handle)), Some(Decision::Trust)) => {
            grip.let_go();
            tracing::debug!("{peer} is {target}, running {}", seen.server_version);
            let Seen { server_version, host_key, .. } = seen;
            return Ok(Ok(Verified { handle, peer, server_version, ending, ending_writer, host_key }));
        }
        // Cannot be: no handshake ends well without a decision.
        (Ok(Ok(_)), None) => SshError::Handshake { to: to(), source: "no host key was shown".into() },
        (Ok(Err(error)), None) => before_the_key(to(), &grip, error),
        (Ok(Err(error)), Some(Decision::Trust)) => {
            SshError::Handshake { to: to(), source: handshake_cause(error) }
        }
        (Err(_), _) => SshError::ConnectTimeout { to: to(), after },
    };
    match complaints {
        Some(complaints) => {
            // Its pipes are closed, so it comes to its last words.
            drop(grip);
            Err(SshError::ProxyCommand { to: to(), said: complaints.all().await, source: Box::new(error) })
        }
        None => Err(error),
    }
}

/// Why there was no key to judge.
fn before_the_key(to: String, grip: &Grip, error: russh::Error) -> SshError {
    let hung_up = match ending::error_cause(&error) {
        LostCause::Closed => true,
        LostCause::Network { kind, .. } => matches!(
            kind,
            std::io::ErrorKind::ConnectionReset
                | std::io::ErrorKind::ConnectionAborted
                | std::io::ErrorKind::BrokenPipe
        ),
        _ => false,
    };
    // What an sshd says that has too many connections, and one that is cross with our address.
    let overload = |words: &str| words.contains("MaxStartups") || words.contains("Not allowed at this time");
    match grip.opening() {
        Opening::Silence | Opening::Ssh if hung_up => SshError::Dropped { to, said: None },
        Opening::Words(words) if hung_up && overload(&words) => SshError::Dropped { to, said: Some(words) },
        Opening::Words(words) => SshError::Handshake {
            to,
            source: format!("what is there does not speak SSH: it says {words:?}").into(),
        },
        Opening::Silence | Opening::Ssh => SshError::Handshake { to, source: handshake_cause(error) },
    }
}

fn handshake_cause(error: russh::Error) -> Box<dyn std::error::Error + Send + Sync> {
    match ending::error_cause(&error) {
        LostCause::Protocol { .. } => Box::new(error),
        cause => Box::new(cause),
    }
}

fn config(target: &Target, options: &ConnectOptions) -> Result<client::Config, SshError> {
    let files = host_keys::load(&options.known_hosts)?;
    let (name, port) = options.known_as(target);
    let wanted = host_key_algorithms::wanted(&files, name, port, &options.host_keys);
    Ok(client::Config {
        window_size: WINDOW,
        maximum_packet_size: MAXIMUM_PACKET,
        keepalive_interval: Some(options.keepalive_interval),
        keepalive_max: options.keepalive_max,
        preferred: Preferred {
            key: Cow::Owned(wanted.plain),
            host_key_certificates: Cow::Owned(wanted.certificates),
            ..options.transport.preferred()
        },
        nodelay: true,
        ..client::Config::default()
    })
}

/// What a handshake brought to light.
#[derive(Default)]
struct Seen {
    decision: Option<Decision>,
    server_version: String,
    host_key: Vec<u8>,
}

/// The callbacks of a connection.
pub(super) struct Client {
    target: Target,
    options: ConnectOptions,
    seen: Arc<Mutex<Seen>>,
    ending: Arc<EndingWriter>,
}

impl Client {
    fn seen(&self) -> std::sync::MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl client::Handler for Client {
    type Error = russh::Error;

    async fn check_server_key(&mut self, shown: &PublicKeyOrCertificate) -> Result<bool, Self::Error> {
        let Some(key) = HostKey::of(&shown.public_key()) else { return Ok(false) };
        self.seen().host_key.clone_from(&key.blob);
        let required = self.options.required_rsa_size;
        if let Some(bits) = rsa_size::too_short(shown.public_key().key_data(), required) {
            let error = HostKeyError::TooShort { target: self.target.clone(), bits, required };
            self.seen().decision = Some(Decision::Refuse(error.into()));
            return Ok(false);
        }
        let decision = match shown.certificate() {
            None => host_keys::decide(&self.target, &self.options, Shown { key, certificate: None }).await,
            Some(certificate) => match HostCertificate::verified(certificate) {
                Some(certificate) => {
                    let shown = Shown { key, certificate: Some(certificate) };
                    host_keys::decide(&self.target, &self.options, shown).await
                }
                None => Decision::Refuse(HostKeyError::Forged { target: self.target.clone() }.into()),
            },
        };
        let trusted = matches!(decision, Decision::Trust);
        self.seen().decision = Some(decision);
        Ok(trusted)
    }

    async fn kex_done(
        &mut self,
        _: Option<&[u8]>,
        _: &russh::Names,
        session: &mut Session,
    ) -> Result<(), Self::Error> {
        let version = String::from_utf8_lossy(session.remote_sshid());
        self.seen().server_version = ending::printable(&version);
        Ok(())
    }

    async fn auth_banner(&mut self, banner: &str, _: &mut Session) -> Result<(), Self::Error> {
        for line in banner.lines() {
            tracing::info!("{}: {}", self.target, ending::printable(line));
        }
        Ok(())
    }

    async fn disconnected(&mut self, reason: DisconnectReason<Self::Error>) -> Result<(), Self::Error> {
        self.ending.over(ending::lost_cause(&reason));
        Ok(())
    }
}
