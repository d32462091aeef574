//! From a target to a connection that has proved to be the host, but does not know yet who we are.

use std::borrow::Cow;
use std::net::{Shutdown, SocketAddr, TcpStream as StdTcpStream};
use std::sync::{Arc, Mutex, PoisonError};

use russh::client::{self, DisconnectReason, Handle, Session};
use russh::keys::{Algorithm, HashAlg, PublicKeyOrCertificate};
use russh::{Preferred, cipher};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::ending::{self, Ending, EndingWriter};
use super::error::{LostCause, SshError};
use super::host_keys::{self, Decision};
use super::known_hosts::{self, HostKey};
use super::options::ConnectOptions;
use super::target::Target;

/// What we can receive on a channel before we have to say that there is room again. 2 MiB would cap a download at
/// 50 ms round trip to 40 MB/s.
const WINDOW: u32 = 16 << 20;

/// The largest packet we take; russh does not want more.
const MAXIMUM_PACKET: u32 = 65535;

/// A host that has proved to be itself.
pub(super) struct Verified {
    pub(super) handle: Handle<Client>,
    pub(super) address: SocketAddr,
    pub(super) server_version: String,
    pub(super) ending: Ending,
    pub(super) ending_writer: Arc<EndingWriter>,
    /// The key that it showed.
    pub(super) host_key: Vec<u8>,
}

/// Tries the addresses of a host in turn, and does the handshake with the first that answers.
pub(super) async fn handshake(target: &Target, options: &ConnectOptions) -> Result<Verified, SshError> {
    if let Some(address) = options.address {
        return settle_key(target, options, address).await;
    }
    let resolve = |source| SshError::Resolve { host: target.host.clone(), source };
    let lookup = tokio::net::lookup_host((target.host.as_str(), target.port));
    let addresses: Vec<SocketAddr> = match timeout(options.connect_timeout, lookup).await {
        Ok(found) => found.map_err(resolve)?.collect(),
        Err(_) => return Err(resolve(std::io::ErrorKind::TimedOut.into())),
    };
    let mut failure = resolve(std::io::Error::new(std::io::ErrorKind::NotFound, "the name has no address"));
    for address in addresses {
        match settle_key(target, options, address).await {
            Err(
                error @ (SshError::Connect { .. }
                | SshError::ConnectTimeout { .. }
                | SshError::Handshake { .. }),
            ) => {
                tracing::debug!("{address}: {error}");
                failure = error;
            }
            settled => return settled,
        }
    }
    Err(failure)
}

/// Does the handshake; if it shows a key that the operator has to be asked about, asks, and does it once more.
async fn settle_key(
    target: &Target,
    options: &ConnectOptions,
    address: SocketAddr,
) -> Result<Verified, SshError> {
    match attempt(target, options, address).await? {
        Ok(verified) => return Ok(verified),
        Err(key) => host_keys::ask(target, options, &key).await?,
    }
    // The key is on file now. Whatever is shown this time is judged by that.
    match attempt(target, options, address).await? {
        Ok(verified) => Ok(verified),
        Err(_) => Err(SshError::Handshake {
            address,
            source: "the host showed one key and then another, and neither is known".into(),
        }),
    }
}

/// One handshake. The inner error is a key to ask about.
async fn attempt(
    target: &Target,
    options: &ConnectOptions,
    address: SocketAddr,
) -> Result<Result<Verified, HostKey>, SshError> {
    let after = options.connect_timeout;
    let timed_out = |_| SshError::ConnectTimeout { address, after };
    let refused = |source| SshError::Connect { address, source };
    tracing::debug!("connecting to {address} for {target}");
    let socket = timeout(after, TcpStream::connect(address)).await.map_err(timed_out)?.map_err(refused)?;
    socket.set_nodelay(true).map_err(refused)?;
    let (socket, hang_up) = HangUp::guard(socket).map_err(refused)?;

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
    let result = timeout(after, client::connect_stream(config, socket, client)).await;
    let seen = std::mem::take(&mut *shared.lock().unwrap_or_else(PoisonError::into_inner));
    match (result, seen.decision) {
        (_, Some(Decision::Refuse(error))) => Err(error.into()),
        (_, Some(Decision::Ask(key))) => Ok(Err(key)),
        (Ok(Ok(handle)), Some(Decision::Trust)) => {
            hang_up.disarm();
            tracing::debug!("{address} is {target}, running {}", seen.server_version);
            let Seen { server_version, host_key, .. } = seen;
            Ok(Ok(Verified { handle, address, server_version, ending, ending_writer, host_key }))
        }
        // Cannot be: no handshake ends well without a decision.
        (Ok(Ok(_)), None) => Err(SshError::Handshake { address, source: "no host key was shown".into() }),
        (Ok(Err(error)), _) => Err(SshError::Handshake { address, source: handshake_cause(error) }),
        (Err(elapsed), _) => Err(timed_out(elapsed)),
    }
}

fn handshake_cause(error: russh::Error) -> Box<dyn std::error::Error + Send + Sync> {
    match ending::error_cause(&error) {
        LostCause::Protocol { .. } => Box::new(error),
        cause => Box::new(cause),
    }
}

fn config(target: &Target, options: &ConnectOptions) -> Result<client::Config, SshError> {
    Ok(client::Config {
        window_size: WINDOW,
        maximum_packet_size: MAXIMUM_PACKET,
        keepalive_interval: Some(options.keepalive_interval),
        keepalive_max: options.keepalive_max,
        preferred: Preferred {
            key: Cow::Owned(host_key_algorithms(target, options)?),
            // AES has instructions of its own on nearly every machine, which makes these the fastest.
            cipher: Cow::Borrowed(&[
                cipher::AES_128_GCM,
                cipher::AES_256_GCM,
                cipher::CHACHA20_POLY1305,
                cipher::AES_256_CTR,
                cipher::AES_192_CTR,
                cipher::AES_128_CTR,
            ]),
            compression: Cow::Borrowed(&[russh::compression::NONE]),
            ..Preferred::DEFAULT
        },
        nodelay: true,
        ..client::Config::default()
    })
}

/// Asks for the kinds of key first that are on file for the host, as order_hostkeyalgs() of OpenSSH does: a server shows
/// one key only, and it should be one that we can compare. Signatures with SHA-1 are not asked for at all.
fn host_key_algorithms(target: &Target, options: &ConnectOptions) -> Result<Vec<Algorithm>, SshError> {
    let files = host_keys::load(&options.known_hosts)?;
    let known = known_hosts::known_types(&files, &target.host, target.port);
    let on_file = |algorithm: &Algorithm| {
        let key_type = match algorithm {
            // The key's type is the same whatever it signs with (RFC 8332, section 3).
            Algorithm::Rsa { .. } => "ssh-rsa",
            other => other.as_str(),
        };
        known.contains(&key_type)
    };
    let safe =
        Preferred::DEFAULT.key.iter().filter(|algorithm| !matches!(algorithm, Algorithm::Rsa { hash: None }));
    let (mut first, last): (Vec<_>, Vec<_>) = safe.cloned().partition(on_file);
    first.extend(last);
    debug_assert!(first.contains(&Algorithm::Rsa { hash: Some(HashAlg::Sha512) }));
    Ok(first)
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
        // Certificates are not asked for, so none should come; none is believed.
        let PublicKeyOrCertificate::PublicKey { key, .. } = shown else { return Ok(false) };
        let blob = key.to_bytes().map_err(russh::keys::Error::from)?;
        let key_type = match key.algorithm() {
            Algorithm::Rsa { .. } => "ssh-rsa".to_owned(),
            other => other.to_string(),
        };
        self.seen().host_key.clone_from(&blob);
        let decision = host_keys::decide(&self.target, &self.options, HostKey { key_type, blob }).await;
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

/// Ends the TCP connection of a handshake that is given up. Dropping russh's future is not enough: its task would wait
/// for a silent server for ever.
struct HangUp(Option<StdTcpStream>);

impl HangUp {
    fn guard(socket: TcpStream) -> std::io::Result<(TcpStream, Self)> {
        let socket = socket.into_std()?;
        let guard = Self(Some(socket.try_clone()?));
        Ok((TcpStream::from_std(socket)?, guard))
    }

    fn disarm(mut self) {
        self.0 = None;
    }
}

impl Drop for HangUp {
    fn drop(&mut self) {
        if let Some(socket) = &self.0 {
            let _ = socket.shutdown(Shutdown::Both);
        }
    }
}
