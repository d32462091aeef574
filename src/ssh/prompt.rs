//! The questions a connection may have for the operator, and who answers them.
//!
//! This module decides when to ask and that questions come one at a time; how a question looks, and
//! whether there is anybody to ask, is up to the implementor of [`Prompt`].

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use secrecy::SecretString;
use tokio::sync::{Mutex, MutexGuard};

use super::{Fingerprint, Target};

/// Whoever can be asked. Called from a blocking thread, one question at a time.
///
/// Where there is no terminal the answers are `None` and [`Answer::Refused`], at once.
pub trait Prompt: Send + Sync {
    /// Whether there is anybody to ask for what a server or a key wants to know.
    fn is_there(&self) -> bool {
        false
    }

    /// The passphrase of an encrypted private key, or `None` if there is nobody to give one.
    fn passphrase(&self, key: &Path) -> Option<SecretString>;

    /// The answer to a question of the server that logs us in, or `None` if there is nobody to give one. It may be empty.
    fn answer(&self, question: &LoginQuestion) -> Option<SecretString> {
        let _ = question;
        None
    }

    /// Whether a key that no known_hosts file has may be trusted from now on.
    fn accept_host_key(&self, question: &HostKeyQuestion) -> Answer;
}

/// A host showed a key that is not on file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostKeyQuestion {
    /// The login that was asked for.
    pub target: Target,
    /// The key's algorithm as in known_hosts, for instance `ssh-ed25519`.
    pub key_type: String,
    /// What to compare with what the host's administrator says.
    pub fingerprint: Fingerprint,
}

/// What a server wants to know before it lets us in. All of its text is the server's, less control characters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoginQuestion {
    /// The login that was asked for.
    pub target: Target,
    /// Lines to read before the question.
    pub preface: Vec<String>,
    /// The question itself, such as `Verification code: `.
    pub text: String,
    /// Whether the answer may be seen while it is typed.
    pub echo: Echo,
}

/// Whether what is typed may be seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Echo {
    /// It may.
    On,
    /// It may not.
    Off,
}

/// What came of a question.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// Yes: the key is written to known_hosts.
    Accepted,
    /// No, or nobody was there to ask.
    Refused,
}

/// Shares one [`Prompt`] between connections, and keeps them from talking over each other.
#[derive(Clone)]
pub struct Prompter {
    prompt: Arc<dyn Prompt>,
    turn: Arc<Mutex<()>>,
}

impl Prompter {
    /// All clones of the result take turns.
    pub fn new(prompt: Arc<dyn Prompt>) -> Self {
        Self { prompt, turn: Arc::new(Mutex::new(())) }
    }

    /// One that there is nobody behind.
    pub(super) fn nobody() -> Self {
        Self::new(Arc::new(Nobody))
    }

    /// Whether there is anybody to ask.
    pub(super) fn is_there(&self) -> bool {
        self.prompt.is_there()
    }

    /// Waits until nobody else is asking.
    pub(super) async fn turn(&self) -> Turn<'_> {
        Turn { prompt: &self.prompt, _turn: self.turn.lock().await }
    }
}

/// `BatchMode yes`.
pub(super) struct Nobody;

impl Prompt for Nobody {
    fn passphrase(&self, _: &Path) -> Option<SecretString> {
        None
    }

    fn accept_host_key(&self, _: &HostKeyQuestion) -> Answer {
        Answer::Refused
    }
}

impl fmt::Debug for Prompter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Prompter")
    }
}

/// The right to ask; held over a question and over what its answer changes, so that the next
/// connection sees the change before it asks the same.
pub(super) struct Turn<'a> {
    prompt: &'a Arc<dyn Prompt>,
    _turn: MutexGuard<'a, ()>,
}

impl Turn<'_> {
    pub(super) async fn passphrase(&self, key: &Path) -> Option<SecretString> {
        let (prompt, key) = (Arc::clone(self.prompt), key.to_owned());
        tokio::task::spawn_blocking(move || prompt.passphrase(&key)).await.ok().flatten()
    }

    pub(super) async fn answer(&self, question: LoginQuestion) -> Option<SecretString> {
        let prompt = Arc::clone(self.prompt);
        tokio::task::spawn_blocking(move || prompt.answer(&question)).await.ok().flatten()
    }

    pub(super) async fn accept_host_key(&self, question: HostKeyQuestion) -> Answer {
        let prompt = Arc::clone(self.prompt);
        tokio::task::spawn_blocking(move || prompt.accept_host_key(&question))
            .await
            .unwrap_or(Answer::Refused)
    }
}
