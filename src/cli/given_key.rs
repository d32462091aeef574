//! The variables that carry secrets to shipit.
use secrecy::zeroize::Zeroizing;
use secrecy::{ExposeSecret as _, SecretString};

use super::error::CliError;
use super::prompt::Asker;
use crate::ssh::{GivenKey, KEY_VARIABLE, KeyTextError, PASSPHRASE_VARIABLE};

/// How often the passphrase is asked for, as ssh(1) has it.
const ATTEMPTS: usize = 3;

/// The private key in `SHIPIT_SSH_KEY`, where there is one. Its passphrase is in `SHIPIT_SSH_KEY_PASSPHRASE`, or asked for
/// before anything is connected to.
pub(super) fn given_key(asker: &Asker) -> Result<Option<GivenKey>, CliError> {
    let Some(text) = secret(KEY_VARIABLE)? else { return Ok(None) };
    let passphrase = secret(PASSPHRASE_VARIABLE)?;
    let failed = |error| CliError::GivenKey { error };
    match GivenKey::read(KEY_VARIABLE, &text, passphrase.as_ref()) {
        Ok(key) => Ok(Some(key)),
        Err(KeyTextError::Encrypted) if asker.is_available() => {
            let mut error = KeyTextError::Encrypted;
            for attempt in 0..ATTEMPTS {
                let Some(passphrase) = asker.given_passphrase(KEY_VARIABLE, attempt > 0) else { break };
                match GivenKey::read(KEY_VARIABLE, &text, Some(&passphrase)) {
                    Ok(key) => return Ok(Some(key)),
                    Err(wrong) => error = wrong,
                }
            }
            Err(failed(error))
        }
        Err(error) => Err(failed(error)),
    }
}

/// What a variable holds. One that is not set is not the same as one that is set to nothing, which a step of CI does when it
/// may not see the secret.
fn secret(name: &'static str) -> Result<Option<SecretString>, CliError> {
    let Some(value) = std::env::var_os(name) else { return Ok(None) };
    match value.into_string() {
        Ok(text) => {
            let text = Zeroizing::new(text);
            let secret = SecretString::from(text.as_str());
            // An empty passphrase is none.
            let is_set = name != PASSPHRASE_VARIABLE || !secret.expose_secret().is_empty();
            Ok(is_set.then_some(secret))
        }
        Err(_) => Err(CliError::GivenKey { error: KeyTextError::NotAKey }),
    }
}
