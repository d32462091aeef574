//! Root's rights for a session, where the service is the system's.
use std::sync::Arc;

use tokio::sync::Mutex;

use super::failure::HostError;
use super::host_run::SudoPrompt;
use crate::host::{NoRoot, Password, Session, SessionError};
use crate::manifest::Address;
use crate::plan::Elevation;

/// How often a password is asked for.
const TRIES: usize = 3;

/// Has the session's programs run as root. Without a password where that works; else with the one that is known, or that
/// the operator is asked for: once for all hosts that take it.
pub async fn become_root(
    session: &mut Session,
    host: &Address,
    prompt: &Arc<dyn SudoPrompt>,
    known: &Mutex<Option<Password>>,
) -> Result<(), HostError> {
    let wanted =
        |error: &SessionError| matches!(error, SessionError::NoRoot { why: NoRoot::PasswordWanted, .. });
    let mut error = match session.become_root(None).await {
        Ok(()) => return Ok(()),
        Err(error) if wanted(&error) => error,
        Err(error) => return Err(error.into()),
    };
    // Held over the question: one operator, one question at a time.
    let mut known = known.lock().await;
    for attempt in 0..=TRIES {
        if attempt > 0 || known.is_none() {
            let (prompt, host) = (Arc::clone(prompt), host.clone());
            let asked = move || prompt.sudo_password(&host, Elevation::Sudo, attempt > 0);
            *known = tokio::task::spawn_blocking(asked).await.ok().flatten();
        }
        let Some(password) = known.clone() else { break };
        match session.become_root(Some(password)).await {
            Ok(()) => return Ok(()),
            Err(again) if wanted(&again) => error = again,
            Err(other) => return Err(other.into()),
        }
    }
    *known = None;
    Err(error.into())
}
