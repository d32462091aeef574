//! Private keys of this run: each file is read once, and its passphrase asked for once, whatever the number of hosts.

use std::collections::HashMap;
use std::fmt;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex as StdMutex, PoisonError};

use russh::keys::{self, PrivateKey, PublicKey};
use secrecy::{ExposeSecret as _, SecretString};
use tokio::sync::Mutex;

use super::auth_failure::AttemptOutcome;
use super::key_text::{self, KeyText, KeyTextError};
use super::prompt::Prompter;

/// As ssh(1) has it (NumberOfPasswordPrompts).
const PASSPHRASE_ATTEMPTS: usize = 3;

/// More than any private key, less than what hurts to read by mistake.
const LARGEST_KEY_FILE: u64 = 1 << 20;

/// Decrypted private keys, shared by all connections of a run. They are wiped from memory when the last clone goes.
#[derive(Clone, Default)]
pub struct KeyRing {
    slots: Arc<StdMutex<HashMap<PathBuf, Arc<Mutex<Slot>>>>>,
}

impl fmt::Debug for KeyRing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyRing")
    }
}

/// What is known of one file.
#[derive(Default)]
enum Slot {
    #[default]
    Unread,
    Missing,
    /// The private half is not here.
    PublicOnly(PublicKey),
    Ready(Arc<PrivateKey>),
    Encrypted {
        pem: SecretString,
        public: Option<PublicKey>,
    },
    /// Read or asked about before, to no avail; not to be tried again.
    Useless {
        outcome: AttemptOutcome,
        public: Option<PublicKey>,
    },
}

/// A private key file, before its passphrase is known.
pub(super) enum KeyFile {
    Missing,
    /// Ready to sign.
    Ready(Arc<PrivateKey>),
    /// A passphrase is needed; the public part can be had in advance, unless the format hides it.
    Encrypted(Option<PublicKey>),
    Useless(AttemptOutcome, Option<PublicKey>),
}

impl KeyRing {
    fn slot(&self, path: &Path) -> Arc<Mutex<Slot>> {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(slots.entry(path.to_owned()).or_default())
    }

    /// What the file holds, without asking anybody.
    pub(super) async fn inspect(&self, path: &Path) -> KeyFile {
        let slot = self.slot(path);
        let mut slot = slot.lock().await;
        if matches!(*slot, Slot::Unread) {
            *slot = read(path);
        }
        match &*slot {
            Slot::Unread | Slot::Missing => KeyFile::Missing,
            Slot::PublicOnly(public) => KeyFile::Useless(AttemptOutcome::OnlyPublic, Some(public.clone())),
            Slot::Ready(key) => KeyFile::Ready(Arc::clone(key)),
            Slot::Encrypted { public, .. } => KeyFile::Encrypted(public.clone()),
            Slot::Useless { outcome, public } => KeyFile::Useless(outcome.clone(), public.clone()),
        }
    }

    /// The key, after asking for its passphrase if need be. Other connections that want the same key wait for the
    /// answer.
    pub(super) async fn unlock(
        &self,
        path: &Path,
        prompter: &Prompter,
    ) -> Result<Arc<PrivateKey>, AttemptOutcome> {
        let slot = self.slot(path);
        let mut slot = slot.lock().await;
        let (pem, public) = match &*slot {
            Slot::Ready(key) => return Ok(Arc::clone(key)),
            Slot::Useless { outcome, .. } => return Err(outcome.clone()),
            Slot::Unread | Slot::Missing => {
                return Err(AttemptOutcome::Unreadable("there is no such file".into()));
            }
            Slot::PublicOnly(_) => return Err(AttemptOutcome::OnlyPublic),
            Slot::Encrypted { pem, public } => (pem.clone(), public.clone()),
        };
        if !prompter.is_there() {
            // For this host; there may be somebody for another.
            return Err(AttemptOutcome::NoPassphrase);
        }
        let turn = prompter.turn().await;
        let mut outcome = AttemptOutcome::WrongPassphrase;
        for _ in 0..PASSPHRASE_ATTEMPTS {
            let Some(passphrase) = turn.passphrase(path).await else {
                outcome = AttemptOutcome::NoPassphrase;
                break;
            };
            let pem = pem.clone();
            let decrypted = tokio::task::spawn_blocking(move || key_text::decrypt(&pem, &passphrase));
            match decrypted.await {
                Ok(Ok(key)) => {
                    let key = Arc::new(key);
                    *slot = Slot::Ready(Arc::clone(&key));
                    return Ok(key);
                }
                Ok(Err(KeyTextError::WrongPassphrase)) | Err(_) => {}
                Ok(Err(error)) => {
                    outcome = AttemptOutcome::Unreadable(error.to_string());
                    break;
                }
            }
        }
        *slot = Slot::Useless { outcome: outcome.clone(), public };
        Err(outcome)
    }
}

fn read(path: &Path) -> Slot {
    let useless = |why: String| Slot::Useless { outcome: AttemptOutcome::Unreadable(why), public: None };
    let metadata = match std::fs::metadata(path) {
        // An agent may have the private half.
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return keys::load_public_key(with_pub(path)).map_or(Slot::Missing, Slot::PublicOnly);
        }
        Err(error) => return useless(error.to_string()),
        Ok(metadata) => metadata,
    };
    if !metadata.is_file() || metadata.len() > LARGEST_KEY_FILE {
        return useless("it is not a private key".into());
    }
    let text = match std::fs::read_to_string(path) {
        Ok(text) => SecretString::from(text),
        Err(error) => return useless(error.to_string()),
    };
    // As with ssh: `IdentityFile` may name the public half of what an agent has.
    if let Ok(public) = PublicKey::from_openssh(text.expose_secret().trim()) {
        return Slot::PublicOnly(public);
    }
    // As sshkey_perm_ok() of OpenSSH: only one's own keys are one's own business.
    if metadata.mode() & 0o077 != 0 && is_own(&metadata) {
        return useless(format!(
            "other users can read it (mode {:04o}); run: chmod 600 {}",
            metadata.mode() & 0o7777,
            path.display()
        ));
    }
    let beside = || keys::load_public_key(with_pub(path)).ok();
    match key_text::read(text.expose_secret()) {
        KeyText::Ready(key) => Slot::Ready(key),
        KeyText::Encrypted { pem, public } => Slot::Encrypted { pem, public: public.or_else(beside) },
        KeyText::Useless(error) => {
            Slot::Useless { outcome: AttemptOutcome::Unreadable(error.to_string()), public: beside() }
        }
    }
}

fn with_pub(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".pub");
    name.into()
}

/// Whether a file belongs to the user we run as; yes, where there is no telling.
fn is_own(metadata: &std::fs::Metadata) -> bool {
    std::fs::metadata("/proc/self").map_or(true, |own| own.uid() == metadata.uid())
}
