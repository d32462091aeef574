//! Root's rights on a host, where they take a password: who is asked for it, and how often.
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Mutex, MutexGuard};

use super::host_error::HostError;
use crate::host::{NoRoot, Password, Session, SessionError};
use crate::manifest::Address;
use crate::plan::Elevation;

/// How often a password is asked for again.
const RETRIES: usize = 3;

/// How long sudo may take to look at a password: it may ask a directory on the network, and takes its time over a wrong one.
const CHECK: Duration = Duration::from_secs(30);

/// Who is asked for a sudo password. Called from a blocking thread, one question at a time.
pub trait SudoPrompt: Send + Sync {
    /// The password for this host's sudo, or doas; `None` when there is nobody to ask.
    fn sudo_password(&self, host: &Address, by: Elevation, again: bool) -> Option<Password>;
}

/// The passwords to try on a host: the one that is known, then what the operator says.
struct Passwords<'a> {
    host: &'a Address,
    by: Elevation,
    prompt: &'a Arc<dyn SudoPrompt>,
    // Held over the questions: one operator, one question at a time, and one password for all hosts that take it.
    known: MutexGuard<'a, Option<Password>>,
    tried: usize,
}

impl<'a> Passwords<'a> {
    async fn new(
        host: &'a Address,
        by: Elevation,
        prompt: &'a Arc<dyn SudoPrompt>,
        known: &'a Mutex<Option<Password>>,
    ) -> Self {
        Self { host, by, prompt, known: known.lock().await, tried: 0 }
    }

    /// The next to try, after the one before was not taken. With `None` there is no more, and none is known any longer.
    async fn next(&mut self) -> Option<Password> {
        if self.tried > RETRIES {
            *self.known = None;
        } else if self.tried > 0 || self.known.is_none() {
            let (prompt, host, by, again) =
                (Arc::clone(self.prompt), self.host.clone(), self.by, self.tried > 0);
            let asked = tokio::task::spawn_blocking(move || prompt.sudo_password(&host, by, again));
            *self.known = asked.await.ok().flatten();
        }
        self.tried += 1;
        self.known.clone()
    }
}

/// Asks for the password that single commands of the session need to be root's. A wrong one is asked for again, three times.
pub async fn give_password(
    session: &mut Session,
    host: &Address,
    by: Elevation,
    prompt: &Arc<dyn SudoPrompt>,
    known: &Mutex<Option<Password>>,
) -> Result<(), HostError> {
    let mut passwords = Passwords::new(host, by, prompt, known).await;
    while let Some(password) = passwords.next().await {
        if session.set_sudo_password(&password, CHECK).await? {
            return Ok(());
        }
    }
    Err(HostError::SudoPassword { by: by.program() })
}

/// Has the session's programs run as root, without a password where that works.
pub async fn become_root(
    session: &mut Session,
    host: &Address,
    prompt: &Arc<dyn SudoPrompt>,
    known: &Mutex<Option<Password>>,
) -> Result<(), HostError> {
    let mut refused = match session.become_root(None).await {
        Err(error @ SessionError::NoRoot { why: NoRoot::PasswordWanted, .. }) => error,
        done => return Ok(done?),
    };
    let mut passwords = Passwords::new(host, Elevation::Sudo, prompt, known).await;
    while let Some(password) = passwords.next().await {
        match session.become_root(Some(password)).await {
            Err(error @ SessionError::NoRoot { why: NoRoot::PasswordWanted, .. }) => refused = error,
            done => return Ok(done?),
        }
    }
    Err(refused.into())
}
