//! Who is at the other end of a stream, as far as that can be told.

use std::fmt;
use std::net::SocketAddr;

use super::target::Target;

/// Where a connection goes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Peer {
    /// An address that we connected to.
    Address(SocketAddr),
    /// A name that a jump host connected to.
    Behind {
        /// The name, as it was given to the jump host.
        host: String,
        /// The TCP port.
        port: u16,
        /// The jump host.
        hop: Target,
    },
    /// Whatever the ProxyCommand connected to.
    ByCommand {
        /// The name that was asked for.
        host: String,
        /// The TCP port.
        port: u16,
    },
}

impl Peer {
    /// `address:port`, or `name:port` where somebody else looked the name up.
    #[must_use]
    pub fn address(&self) -> String {
        match self {
            Self::Address(address) => address.to_string(),
            Self::Behind { host, port, .. } | Self::ByCommand { host, port } => with_port(host, *port),
        }
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.address())?;
        match self {
            Self::Address(_) => Ok(()),
            Self::Behind { hop, .. } => write!(f, " behind {hop}"),
            Self::ByCommand { .. } => f.write_str(" by the ProxyCommand"),
        }
    }
}

/// `host:port`, with brackets around what has colons of its own.
pub(super) fn with_port(host: &str, port: u16) -> String {
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}
