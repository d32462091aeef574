//! Private keys as text, from files and from variables of the environment: repaired where the damage is harmless, and a
//! word for what is wrong where it is not.

use std::fmt;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use russh::keys::{self, Algorithm, Certificate, PrivateKey, PublicKey};
use secrecy::zeroize::Zeroizing;
use secrecy::{ExposeSecret as _, SecretString};

use super::Fingerprint;

/// The variable that a private key can be given in.
pub const KEY_VARIABLE: &str = "SHIPIT_SSH_KEY";

/// The variable that its passphrase can be given in.
pub const PASSPHRASE_VARIABLE: &str = "SHIPIT_SSH_KEY_PASSPHRASE";

/// What no program that we start inherits.
pub(super) const SECRET_VARIABLES: [&str; 2] = [KEY_VARIABLE, PASSPHRASE_VARIABLE];

/// What stands in the first and the last line of a private key, in the formats that are read.
const LABELS: [&str; 6] = [
    "OPENSSH PRIVATE KEY",
    "RSA PRIVATE KEY",
    "EC PRIVATE KEY",
    "DSA PRIVATE KEY",
    "PRIVATE KEY",
    "ENCRYPTED PRIVATE KEY",
];

/// What a text turned out to be.
pub(super) enum KeyText {
    /// A key that can sign.
    Ready(Arc<PrivateKey>),
    /// A passphrase is needed. The format may hide the public part.
    Encrypted {
        pem: SecretString,
        public: Option<PublicKey>,
    },
    Useless(KeyTextError),
}

/// Why a text is of no use as a private key. Nothing of the text itself is in it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyTextError {
    /// Nothing but blanks.
    #[error("it is empty")]
    Empty,
    /// The other half.
    #[error("it is a public key, and the private one is wanted: the file without .pub")]
    Public,
    /// Something about the other half.
    #[error("it is a certificate, and the private key is wanted")]
    Certificate,
    /// Where the key is, and not the key.
    #[error("it is the name of a file, and the text of the private key is wanted")]
    FileName,
    /// One shell command too many.
    #[error("it is a private key in base64 once more: decode it with base64 -d")]
    Base64,
    /// Something else.
    #[error("it is not a private key: there is no line -----BEGIN ... PRIVATE KEY-----")]
    NotAKey,
    /// Copied or pasted in part.
    #[error("it is cut off: there is no line -----END {label}-----")]
    CutOff {
        /// What stands in the first line.
        label: &'static str,
    },
    /// Begins and ends as it should.
    #[error("it is damaged: {why}")]
    Damaged {
        /// What the reader said.
        why: String,
    },
    /// It takes a passphrase.
    #[error("it is encrypted, and there is no passphrase for it")]
    Encrypted,
    /// It takes another passphrase.
    #[error("it is encrypted with another passphrase")]
    WrongPassphrase,
    /// Encrypted as before OpenSSL 1.0 and OpenSSH 7.8, with what can't be undone here.
    #[error("its encryption is outdated; convert it with ssh-keygen -p")]
    OutdatedEncryption,
    /// A handle for a hardware token.
    #[error("it needs its hardware token, which only an agent can use: add it there with ssh-add")]
    Token,
}

/// A private key that was given as text, under the name of where it came from.
#[derive(Clone)]
pub struct GivenKey {
    /// For instance the name of a variable.
    pub name: String,
    pub(super) key: Arc<PrivateKey>,
}

impl fmt::Debug for GivenKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "GivenKey({})", self.name)
    }
}

impl GivenKey {
    /// Reads it, with line ends repaired.
    ///
    /// # Errors
    /// When it is not a private key, or its passphrase is another.
    pub fn read(
        name: &str,
        text: &SecretString,
        passphrase: Option<&SecretString>,
    ) -> Result<Self, KeyTextError> {
        let key = match (read(text.expose_secret()), passphrase) {
            (KeyText::Ready(key), _) => key,
            (KeyText::Useless(error), _) => return Err(error),
            (KeyText::Encrypted { .. }, None) => return Err(KeyTextError::Encrypted),
            (KeyText::Encrypted { pem, .. }, Some(passphrase)) => Arc::new(decrypt(&pem, passphrase)?),
        };
        Ok(Self { name: name.to_owned(), key })
    }

    /// Its algorithm and its fingerprint, which tell it from others and are no secret.
    #[must_use]
    pub fn identity(&self) -> Option<(String, Fingerprint)> {
        let public = self.key.public_key();
        Some((public.algorithm().to_string(), Fingerprint::of(&public.to_bytes().ok()?)))
    }
}

/// Takes the key out of its encryption. This takes a good part of a second, by intent.
pub(super) fn decrypt(pem: &SecretString, passphrase: &SecretString) -> Result<PrivateKey, KeyTextError> {
    let key = keys::decode_secret_key(pem.expose_secret(), Some(passphrase.expose_secret()));
    usable(key.map_err(|_| KeyTextError::WrongPassphrase)?)
}

pub(super) fn read(text: &str) -> KeyText {
    match understand(text) {
        Ok(key) => key,
        Err(error) => KeyText::Useless(error),
    }
}

fn understand(text: &str) -> Result<KeyText, KeyTextError> {
    let pem = repaired(text);
    if pem.starts_with("PuTTY-User-Key-File-") {
        return Err(KeyTextError::Damaged {
            why: "it has PuTTY's format; convert it with puttygen -O private-openssh".to_owned(),
        });
    }
    let label = match begin(&pem) {
        // One of ours, since it is shown: where lines have run together, a part of the key may stand in its place.
        Some((_, label, _)) if label.ends_with("PRIVATE KEY") => LABELS.iter().find(|known| **known == label),
        Some((_, label, _)) if label.ends_with("PUBLIC KEY") => return Err(KeyTextError::Public),
        _ => return Err(instead_of_a_key(&pem)),
    };
    let Some(&label) = label else {
        let why = "its first line is not one that private keys have".to_owned();
        return Err(KeyTextError::Damaged { why });
    };
    if !pem.contains(&format!("-----END {label}-----")) {
        return Err(KeyTextError::CutOff { label });
    }
    if label == "OPENSSH PRIVATE KEY" {
        let key = PrivateKey::from_openssh(pem.as_bytes()).map_err(damaged)?;
        if key.is_encrypted() {
            let public = key.public_key().clone();
            // What takes a token to sign is no better without its encryption.
            refuse_token(&public.algorithm())?;
            return Ok(KeyText::Encrypted { pem: secret(&pem), public: Some(public) });
        }
        return usable(key).map(|key| KeyText::Ready(Arc::new(key)));
    }
    if pem.contains("Proc-Type: 4,ENCRYPTED") {
        // russh undoes this kind for RSA keys only.
        let can_be_undone = label == "RSA PRIVATE KEY" && pem.contains("DEK-Info: AES-128-CBC");
        return if can_be_undone {
            Ok(KeyText::Encrypted { pem: secret(&pem), public: None })
        } else {
            Err(KeyTextError::OutdatedEncryption)
        };
    }
    if label == "ENCRYPTED PRIVATE KEY" {
        return Ok(KeyText::Encrypted { pem: secret(&pem), public: None });
    }
    usable(keys::decode_secret_key(&pem, None).map_err(damaged)?).map(|key| KeyText::Ready(Arc::new(key)))
}

fn damaged(error: impl fmt::Display) -> KeyTextError {
    KeyTextError::Damaged { why: error.to_string() }
}

fn secret(pem: &str) -> SecretString {
    SecretString::from(pem)
}

fn usable(key: PrivateKey) -> Result<PrivateKey, KeyTextError> {
    refuse_token(&key.algorithm()).map(|()| key)
}

fn refuse_token(algorithm: &Algorithm) -> Result<(), KeyTextError> {
    match algorithm {
        Algorithm::SkEd25519 | Algorithm::SkEcdsaSha2NistP256 => Err(KeyTextError::Token),
        _ => Ok(()),
    }
}

/// What stands where a key should.
fn instead_of_a_key(text: &str) -> KeyTextError {
    let text = text.trim();
    let one_line = !text.contains('\n');
    if text.is_empty() {
        KeyTextError::Empty
    } else if text.contains("-----END ") {
        KeyTextError::Damaged { why: "its first line is missing".to_owned() }
    } else if Certificate::from_openssh(text).is_ok() {
        KeyTextError::Certificate
    } else if PublicKey::from_openssh(text).is_ok() {
        KeyTextError::Public
    } else if one_line && (text.starts_with(['/', '~', '.']) || text.ends_with(".pem")) {
        KeyTextError::FileName
    } else if is_base64_of_a_key(text) {
        KeyTextError::Base64
    } else {
        KeyTextError::NotAKey
    }
}

fn is_base64_of_a_key(text: &str) -> bool {
    let text: Zeroizing<String> = Zeroizing::new(text.split_whitespace().collect());
    let decoded = STANDARD.decode(text.as_bytes()).map(Zeroizing::new);
    decoded.is_ok_and(|bytes| bytes.starts_with(b"-----BEGIN "))
}

/// The text before the first line, what stands in it, and the text after it.
fn begin(text: &str) -> Option<(&str, &str, &str)> {
    let (before, rest) = text.split_once("-----BEGIN ")?;
    let (label, after) = rest.split_once("-----")?;
    (!label.contains('\n')).then_some((before, label, after))
}

/// With the damage undone that variables and web forms do: lines that end in CRLF or in `\n` written out, no line ends at
/// all, blanks around, quotes, no line end at the end.
fn repaired(text: &str) -> Zeroizing<String> {
    let text = text.trim_start_matches('\u{feff}').trim();
    let unquoted = ['"', '\''].iter().find_map(|quote| text.strip_prefix(*quote)?.strip_suffix(*quote));
    let text = Zeroizing::new(unquoted.unwrap_or(text).replace("\\r", "").replace("\\n", "\n"));
    let text = Zeroizing::new(text.replace("\r\n", "\n").replace('\r', "\n"));
    let mut lines = Zeroizing::new(String::with_capacity(text.len() + 64));
    for line in text.lines() {
        lines.push_str(line.trim());
        lines.push('\n');
    }
    flattened(&lines).unwrap_or(lines)
}

/// A key whose lines became words of one line.
fn flattened(text: &str) -> Option<Zeroizing<String>> {
    let (before, label, rest) = begin(text)?;
    let (body, after) = rest.split_once("-----END ")?;
    let one_line = before.is_empty() && !body.contains('\n') && !body.contains(':');
    if !one_line || !after.starts_with(label) {
        return None;
    }
    let mut key = Zeroizing::new(String::with_capacity(text.len() + 64));
    key.push_str("-----BEGIN ");
    key.push_str(label);
    key.push_str("-----\n");
    let body: Zeroizing<String> = Zeroizing::new(body.split_whitespace().collect());
    // Lines as OpenSSH and OpenSSL make them; readers insist.
    let width = if label == "OPENSSH PRIVATE KEY" { 70 } else { 64 };
    let characters: Zeroizing<Vec<char>> = Zeroizing::new(body.chars().collect());
    for line in characters.chunks(width) {
        key.extend(line);
        key.push('\n');
    }
    key.push_str("-----END ");
    key.push_str(label);
    key.push_str("-----\n");
    Some(key)
}

#[cfg(test)]
#[path = "key_text_tests.rs"]
mod tests;
