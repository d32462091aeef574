//! The account of a refused login: every key that was tried, and what came of it.

use std::fmt;
use std::path::PathBuf;

use super::{Fingerprint, Target};

/// Every way in was tried, and none was open.
#[derive(Debug, Clone)]
pub struct AuthenticationFailure {
    /// The login.
    pub target: Target,
    /// What was tried, in order. Empty when there was nothing to try.
    pub tried: Vec<Attempt>,
    /// The methods the server would still have taken (RFC 4252, section 5.1), such as `publickey`.
    pub remaining: Vec<String>,
    /// Set when the server hung up instead of letting us go on: its parting words.
    pub disconnected: Option<String>,
    /// Why the agent was of no use, when one was named.
    pub agent: Option<String>,
}

/// One key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attempt {
    /// Where the key comes from.
    pub key: KeySource,
    /// The key's algorithm and fingerprint, when the public part could be read.
    pub identity: Option<(String, Fingerprint)>,
    /// What came of it.
    pub outcome: AttemptOutcome,
}

/// Where a key comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeySource {
    /// A private key file.
    File(PathBuf),
    /// A key held by ssh-agent, by its comment.
    Agent {
        /// Usually a path or an address.
        comment: String,
    },
}

impl fmt::Display for KeySource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "{}", path.display()),
            Self::Agent { comment } => write!(f, "{comment} (agent)"),
        }
    }
}

/// What came of offering a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AttemptOutcome {
    /// The server does not take it.
    Refused,
    /// The server took it and wants something more (`AuthenticationMethods` with several).
    Partial,
    /// The file could not be read, or is not a private key.
    Unreadable(String),
    /// The key is encrypted and nobody was there to give the passphrase.
    NoPassphrase,
    /// Three wrong passphrases.
    WrongPassphrase,
    /// The agent or the key could not sign.
    CannotSign(String),
    /// The server hung up before it answered.
    NotAnswered,
}

impl fmt::Display for AttemptOutcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused => f.write_str("refused by the server"),
            Self::Partial => f.write_str("accepted, but the server wants more than a key"),
            Self::Unreadable(why) => write!(f, "not usable: {why}"),
            Self::NoPassphrase => f.write_str("skipped: it is encrypted and there is no terminal to ask on"),
            Self::WrongPassphrase => f.write_str("skipped: wrong passphrase"),
            Self::CannotSign(why) => write!(f, "could not sign: {why}"),
            Self::NotAnswered => f.write_str("not answered"),
        }
    }
}

impl fmt::Display for Attempt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.key)?;
        if let Some((algorithm, fingerprint)) = &self.identity {
            write!(f, " {algorithm} {fingerprint}")?;
        }
        write!(f, ": {}", self.outcome)
    }
}

impl fmt::Display for AuthenticationFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.disconnected, self.tried.len()) {
            (Some(words), _) => write!(f, "{} hung up during authentication: {words}", self.target),
            (None, 0) => write!(f, "there is no key to log in with at {}", self.target),
            (None, 1) => write!(f, "{} did not accept the key", self.target),
            (None, n) => write!(f, "{} accepted none of {n} keys", self.target),
        }
    }
}

impl std::error::Error for AuthenticationFailure {}
