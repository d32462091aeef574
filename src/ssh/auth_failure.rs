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

/// One attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attempt {
    /// What was shown to the server.
    pub credential: Credential,
    /// The key's algorithm and fingerprint, when the public part could be read.
    pub identity: Option<(String, Fingerprint)>,
    /// What came of it.
    pub outcome: AttemptOutcome,
}

/// What can prove who we are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Credential {
    /// A private key file.
    File(PathBuf),
    /// A certificate file.
    Certificate(PathBuf),
    /// A key or a certificate held by ssh-agent, by its comment.
    Agent {
        /// Usually a path or an address.
        comment: String,
    },
    /// A key that was given as text, by the name of where.
    Given(String),
    /// A password.
    Password,
    /// The answers to the server's questions.
    Answers,
}

impl Credential {
    /// Whether it takes a method other than publickey.
    #[must_use]
    pub fn is_key(&self) -> bool {
        match self {
            Self::File(_) | Self::Certificate(_) | Self::Agent { .. } | Self::Given(_) => true,
            Self::Password | Self::Answers => false,
        }
    }
}

impl fmt::Display for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) | Self::Certificate(path) => write!(f, "{}", path.display()),
            Self::Agent { comment } => write!(f, "{comment} (agent)"),
            Self::Given(name) => write!(f, "{name} (environment)"),
            Self::Password => f.write_str("password"),
            Self::Answers => f.write_str("answers to the server's questions"),
        }
    }
}

/// What came of an attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AttemptOutcome {
    /// The server does not take it.
    Refused,
    /// The server does not take it, and there is something about it that may be why.
    RefusedFor(String),
    /// The server took it and wants something more (`AuthenticationMethods` with several).
    Partial,
    /// The file could not be read, or is not a private key.
    Unreadable(String),
    /// There is only the public key, and no agent has the private one.
    OnlyPublic,
    /// The key is encrypted and nobody was there to give the passphrase.
    NoPassphrase,
    /// Three wrong passphrases.
    WrongPassphrase,
    /// The agent or the key could not sign.
    CannotSign(String),
    /// `PubkeyAcceptedAlgorithms` leaves it out.
    NotAllowed,
    /// Nobody was there to answer.
    NobodyToAsk,
    /// Whoever was there did not.
    NoAnswer,
    /// The server hung up before it answered.
    NotAnswered,
}

impl fmt::Display for AttemptOutcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused => f.write_str("refused by the server"),
            Self::RefusedFor(why) => write!(f, "refused by the server; {why}"),
            Self::Partial => f.write_str("accepted, and the server wants more"),
            Self::Unreadable(why) => write!(f, "not usable: {why}"),
            Self::OnlyPublic => {
                f.write_str("not usable: only the public key is here, and no agent has the private one")
            }
            Self::NoPassphrase => f.write_str("skipped: it is encrypted and there is no terminal to ask on"),
            Self::WrongPassphrase => f.write_str("skipped: wrong passphrase"),
            Self::CannotSign(why) => write!(f, "could not sign: {why}"),
            Self::NotAllowed => f.write_str("skipped: PubkeyAcceptedAlgorithms of ssh_config leaves it out"),
            Self::NobodyToAsk => f.write_str("skipped: there is no terminal to ask on"),
            Self::NoAnswer => f.write_str("given up: there was no answer to the server's question"),
            Self::NotAnswered => f.write_str("not answered"),
        }
    }
}

impl fmt::Display for Attempt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.credential)?;
        if let Some((algorithm, fingerprint)) = &self.identity {
            write!(f, " {algorithm} {fingerprint}")?;
        }
        write!(f, ": {}", self.outcome)
    }
}

impl AuthenticationFailure {
    /// Whether the server wants more than one proof, and took the first.
    #[must_use]
    pub fn is_halfway(&self) -> bool {
        self.tried.iter().any(|attempt| attempt.outcome == AttemptOutcome::Partial)
    }

    /// How many keys and certificates the server was shown.
    #[must_use]
    pub fn offered(&self) -> usize {
        let was_shown = |attempt: &&Attempt| {
            attempt.credential.is_key()
                && match attempt.outcome {
                    AttemptOutcome::Refused
                    | AttemptOutcome::RefusedFor(_)
                    | AttemptOutcome::Partial
                    | AttemptOutcome::CannotSign(_)
                    | AttemptOutcome::NotAnswered => true,
                    AttemptOutcome::Unreadable(_)
                    | AttemptOutcome::OnlyPublic
                    | AttemptOutcome::NotAllowed
                    | AttemptOutcome::NoPassphrase
                    | AttemptOutcome::WrongPassphrase
                    | AttemptOutcome::NobodyToAsk
                    | AttemptOutcome::NoAnswer => false,
                }
        };
        self.tried.iter().filter(was_shown).count()
    }
}

impl fmt::Display for AuthenticationFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let target = &self.target;
        if let Some(words) = &self.disconnected {
            return write!(f, "{target} hung up during authentication: {words}");
        }
        if self.is_halfway() {
            return write!(
                f,
                "{target} wants more than one proof, and was not given {}",
                self.remaining.join(" or ")
            );
        }
        let of = |wanted: fn(&Credential) -> bool| {
            self.tried
                .iter()
                .filter(|attempt| attempt.outcome != AttemptOutcome::NobodyToAsk)
                .filter(|attempt| wanted(&attempt.credential))
                .count()
        };
        let keys = match of(Credential::is_key) {
            0 => None,
            1 => Some("the key".to_owned()),
            n => Some(format!("any of {n} keys")),
        };
        let answers = of(|credential| *credential == Credential::Answers);
        let password = of(|credential| *credential == Credential::Password);
        let said = match (answers, password) {
            (0, 0) => None,
            (0, _) => Some("the password"),
            (_, 0) => Some("the answers"),
            _ => Some("the answers and the password"),
        };
        match (keys, said) {
            (None, None) => write!(f, "there is no key to log in with at {target}"),
            (Some(keys), None) => write!(f, "{target} did not accept {keys}"),
            (None, Some(said)) => write!(f, "{target} did not accept {said}"),
            (Some(keys), Some(said)) => write!(f, "{target} did not accept {keys}, nor {said}"),
        }
    }
}

impl std::error::Error for AuthenticationFailure {}
