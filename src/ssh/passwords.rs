//! Passwords that were given in this run, for those who come to the same login again.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use secrecy::SecretString;

use super::target::Target;

/// Passwords that a server has taken, shared by all connections of a run. They are wiped from memory when the last clone
/// goes. What may be a one-time code never gets in.
#[derive(Clone, Default)]
pub struct Passwords {
    taken: Arc<Mutex<HashMap<(Asker, String), SecretString>>>,
}

/// Who asks for a password: a login, on a machine that has proved to have this key. Behind two jump hosts, or under one
/// `HostKeyAlias` and another, the same name and port may be those of two machines, and what was typed for one is none of
/// the other's business.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Asker {
    pub(super) login: Target,
    pub(super) host_key: Vec<u8>,
}

impl fmt::Debug for Passwords {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Passwords")
    }
}

impl Passwords {
    /// The one that this login took when it asked in these words.
    pub(super) fn get(&self, asker: &Asker, words: &str) -> Option<SecretString> {
        let taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        taken.get(&(asker.clone(), words.to_owned())).cloned()
    }

    pub(super) fn keep(&self, asker: &Asker, words: String, password: SecretString) {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner).insert((asker.clone(), words), password);
    }

    pub(super) fn forget(&self, asker: &Asker, words: &str) {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner).remove(&(asker.clone(), words.to_owned()));
    }
}

/// Whether the words ask for the password that the user always has. Only what is certain to: a one-time code, or a new
/// password, must never be answered with something old.
pub(super) fn asks_for_password(words: &str) -> bool {
    let words = words.trim().trim_end_matches(':').trim_end();
    let words = match words.strip_prefix('(').and_then(|rest| rest.split_once(')')) {
        Some((_, rest)) => rest.trim_start(),
        None => words,
    };
    let words: Vec<String> = words.split_whitespace().map(str::to_lowercase).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["password"] | ["unix" | "ldap" | "kerberos" | "login" | "system", "password"] => true,
        ["password", "for", _] => true,
        [whose, "password"] => whose.ends_with("'s"),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::asks_for_password;

    #[test]
    fn passwords_are_told_from_codes() {
        for words in [
            "Password: ",
            "password:",
            "(deploy@web1) Password: ",
            "deploy@web1's password: ",
            "Password for deploy@web1:",
            "UNIX password: ",
            "LDAP Password:",
        ] {
            assert!(asks_for_password(words), "{words}");
        }
        for words in [
            "",
            "One-time password: ",
            "One-time password (OATH) for `deploy': ",
            "OTP password:",
            "Verification code: ",
            "New password: ",
            "Current password: ",
            "Retype new password: ",
            "Password & verification code: ",
            "Password + token:",
            "Passcode or option (1-3): ",
            "Enter password from your device:",
            "Password for the next 30 seconds:",
            "(current) UNIX password changed; new password:",
        ] {
            assert!(!asks_for_password(words), "{words}");
        }
    }
}
