//! A login that is ready to be used, and the one connection that all hosts behind it share.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::Mutex;
use tokio::time::timeout;

use super::config::{Found, Login};
use super::connection::{Connection, connect};
use super::error::SshError;
use super::forward::Forward;
use super::options::ConnectOptions;
use super::peer::Peer;
use super::target::Target;

/// For how long a failure to connect is that of everybody who wants to: hosts by the dozen behind a jump host that is down
/// would otherwise wait for it one after the other.
const SHARED_FAILURE: Duration = Duration::from_secs(2);

/// How the bytes get to a host.
#[derive(Debug, Clone, Default)]
pub enum Proxy {
    /// By a TCP connection of our own.
    #[default]
    Direct,
    /// Through a connection that goes on at this jump host.
    Jump(Arc<Hop>),
    /// By a program.
    Command {
        /// As the configuration has it. Names the program in what the operator sees.
        written: String,
        /// With tokens replaced: text for a shell.
        command: String,
    },
}

/// Where to go, and how: a host, or a jump host on the way to one.
pub struct Hop {
    /// As it was asked for.
    pub login: Login,
    /// Whom to log in as, and where.
    pub target: Target,
    /// With which keys, and by way of what.
    pub options: ConnectOptions,
    /// What the configuration says.
    pub found: Arc<Found>,
    line: Mutex<Line>,
}

/// The connection for those behind.
#[derive(Default)]
struct Line {
    open: Option<Connection>,
    failure: Option<(Instant, Arc<SshError>)>,
}

impl fmt::Debug for Hop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Hop({})", self.target)
    }
}

impl Hop {
    /// Nothing is connected to yet.
    pub(super) fn new(login: Login, target: Target, options: ConnectOptions, found: Arc<Found>) -> Self {
        Self { login, target, options, found, line: Mutex::default() }
    }

    /// A connection of its own.
    ///
    /// # Errors
    /// As [`connect`].
    pub async fn connect(&self) -> Result<Connection, SshError> {
        connect(&self.target, &self.options).await
    }

    /// How the first of the jump hosts is reached; or this host itself, where there are none.
    #[must_use]
    pub fn first_proxy(&self) -> &Proxy {
        let mut proxy = &self.options.proxy;
        while let Proxy::Jump(hop) = proxy {
            proxy = &hop.options.proxy;
        }
        proxy
    }

    /// The jump hosts on the way, the first one first.
    #[must_use]
    pub fn way(&self) -> Vec<Arc<Self>> {
        let mut way = Vec::new();
        let mut proxy = &self.options.proxy;
        while let Proxy::Jump(hop) = proxy {
            way.push(Arc::clone(hop));
            proxy = &hop.options.proxy;
        }
        way.reverse();
        way
    }

    /// A stream from this jump host to a host behind it.
    pub(super) async fn reach(&self, behind: &Target, options: &ConnectOptions) -> Result<Forward, SshError> {
        let named = |source| SshError::Jump { hop: self.target.clone(), source };
        let mut again = true;
        loop {
            let connection = self.line().await.map_err(named)?;
            let opening = connection.tunnel(&behind.host, behind.port);
            let after = options.connect_timeout;
            match timeout(after, opening).await {
                Ok(Ok(stream)) => return Ok(stream),
                // It ended just now: there is still time to make another.
                Ok(Err(SshError::ConnectionLost { .. })) if again => again = false,
                Ok(Err(error)) => return Err(named(Arc::new(error))),
                // Whoever does not answer at all went away without a word.
                Err(_) if again && !connection.answers().await => {
                    again = false;
                    self.forget(&connection).await;
                }
                Err(_) => {
                    let (host, port) = (behind.host.clone(), behind.port);
                    let peer = Peer::Behind { host, port, hop: self.target.clone() };
                    return Err(SshError::ConnectTimeout { to: peer.to_string(), after });
                }
            }
        }
    }

    /// Those behind who use it may still find out for themselves.
    async fn forget(&self, connection: &Connection) {
        let mut line = self.line.lock().await;
        if line.open.as_ref().is_some_and(|open| open.is_same(connection)) {
            line.open = None;
        }
    }

    async fn line(&self) -> Result<Connection, Arc<SshError>> {
        let mut line = self.line.lock().await;
        if let Some(connection) = line.open.as_ref().filter(|connection| !connection.is_over()) {
            return Ok(connection.clone());
        }
        if let Some((since, failure)) = &line.failure
            && since.elapsed() < SHARED_FAILURE
        {
            return Err(Arc::clone(failure));
        }
        // Through a box: a jump host may be behind another.
        let connected = Box::pin(self.connect()).await.map_err(Arc::new);
        *line = match &connected {
            Ok(connection) => Line { open: Some(connection.clone()), failure: None },
            Err(error) => Line { open: None, failure: Some((Instant::now(), Arc::clone(error))) },
        };
        connected
    }
}
