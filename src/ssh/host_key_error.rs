//! Why a host was not believed.

use std::io;
use std::path::PathBuf;

use super::{CertificateFlaw, Fingerprint, Target};

/// The host's key was not accepted. The connection was closed before anything about the operator was sent.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HostKeyError {
    /// No file knows the host.
    #[error("the host key of {target} is not known ({key_type} {fingerprint})")]
    Unknown {
        /// The login.
        target: Target,
        /// The key's algorithm.
        key_type: String,
        /// The key's fingerprint.
        fingerprint: Fingerprint,
        /// The line of known_hosts that would make it known.
        known_hosts_line: String,
        /// What a person said when asked, or that nobody was.
        refusal: Refusal,
        /// Why no authority's word helped.
        unproved: Unproved,
    },
    /// The files know the host by other keys.
    #[error("the host key of {target} is not the one on file")]
    Changed {
        /// The login.
        target: Target,
        /// What the files call the host.
        name: String,
        /// The shown key's algorithm.
        key_type: String,
        /// The shown key's fingerprint.
        fingerprint: Fingerprint,
        /// What is on file instead.
        known: Vec<KnownKey>,
    },
    /// The key, or that of the authority that vouches for it, is marked `@revoked` or stands in `RevokedHostKeys`.
    #[error("the host key of {target} has been revoked")]
    Revoked {
        /// The login.
        target: Target,
        /// The key's fingerprint.
        fingerprint: Fingerprint,
        /// The file that says so.
        file: PathBuf,
        /// Counted from 1, where the file has lines.
        line: Option<usize>,
    },
    /// The host showed a certificate that nobody has signed.
    #[error("the host certificate of {target} is forged or damaged: its signature is wrong")]
    Forged {
        /// The login.
        target: Target,
    },
    /// An RSA key that is shorter than `RequiredRSASize`.
    #[error("the host key of {target} is too short: RSA with {bits} bits, and RequiredRSASize is {required}")]
    TooShort {
        /// The login.
        target: Target,
        /// How long it is.
        bits: u32,
        /// How long it has to be.
        required: u32,
    },
    /// The key was accepted, and there is no file to write it to: `UserKnownHostsFile none`. ssh gives up as well.
    #[error("the host key of {target} is new, and there is no known_hosts file to keep it in")]
    NowhereToRecord {
        /// The login.
        target: Target,
    },
    /// A known_hosts file is there and cannot be read. It might hold a revocation.
    #[error("cannot read {}", file.display())]
    Unreadable {
        /// The file.
        file: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// Why there was no proof by a certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unproved {
    /// No `@cert-authority` line speaks of the host.
    NoAuthority,
    /// One does, and the host shows no certificate.
    NoCertificate,
    /// The host shows a certificate by somebody else, with this key.
    OtherAuthority(Fingerprint),
    /// The certificate does not count.
    Flaw(CertificateFlaw),
}

/// One key on file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownKey {
    /// The file.
    pub file: PathBuf,
    /// Counted from 1.
    pub line: usize,
    /// The key's algorithm.
    pub key_type: String,
    /// The key's fingerprint.
    pub fingerprint: Fingerprint,
}

/// Who turned an unknown key down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// The options said not to ask.
    NotAsked,
    /// The manifest has the keys of its hosts, and this is not among them.
    NotPinned,
    /// The operator said no, or there was no terminal.
    ByOperator,
}
