//! Which keys a host shows, asked for one kind after the other. Nothing of what it shows is believed, and it does not
//! learn who asks.

use super::error::SshError;
use super::fingerprint::Fingerprint;
use super::handshake::handshake;
use super::hop::Hop;
use super::host_key_error::{HostKeyError, Refusal};
use super::known_hosts;
use super::options::{ConnectOptions, HostKeyRules, KnownHostsFiles, UnknownHostKey};

/// The kinds, as `HostKeyAlgorithms` has them.
const KINDS: [&str; 3] = [
    "ssh-ed25519",
    "ecdsa-sha2-nistp256,ecdsa-sha2-nistp384,ecdsa-sha2-nistp521",
    "rsa-sha2-512,rsa-sha2-256",
];

/// A key that a host has shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScannedKey {
    /// The key's algorithm.
    pub key_type: String,
    /// What to compare with what the host's administrator says.
    pub fingerprint: Fingerprint,
    /// The line of known_hosts that makes it known.
    pub line: String,
}

impl Hop {
    /// All keys of the host. Jump hosts on the way have to prove who they are, as ever.
    ///
    /// # Errors
    /// When it can't be reached, or shows no key at all.
    pub async fn scan(&self) -> Result<Vec<ScannedKey>, SshError> {
        let mut keys = Vec::new();
        let mut failure = None;
        for kind in KINDS {
            let options = ConnectOptions {
                known_hosts: KnownHostsFiles::default(),
                host_keys: HostKeyRules { algorithms: Some(kind.to_owned()), ..HostKeyRules::default() },
                unknown_host_key: UnknownHostKey::Refuse,
                ..self.options.clone()
            };
            match handshake(&self.target, &options).await {
                Err(SshError::HostKey(error)) => match *error {
                    HostKeyError::Unknown {
                        key_type,
                        fingerprint,
                        known_hosts_line,
                        refusal: Refusal::NotAsked,
                        ..
                    } => keys.push(ScannedKey { key_type, fingerprint, line: known_hosts_line }),
                    // ssh would not take it, whatever is on file; it may have others.
                    other @ HostKeyError::TooShort { .. } => failure = Some(other.into()),
                    other => return Err(other.into()),
                },
                // It has no key of this kind.
                Err(error @ SshError::Handshake { .. }) => failure = Some(error),
                Err(error) => return Err(error),
                // Not reached: nothing is known.
                Ok(_) => {}
            }
        }
        match failure {
            Some(error) if keys.is_empty() => Err(error),
            _ => Ok(keys),
        }
    }

    /// What known_hosts calls the host: a name, and a port if it is not 22.
    #[must_use]
    pub fn known_as(&self) -> String {
        let (name, port) = self.options.known_as(&self.target);
        known_hosts::host_field(name, port)
    }
}
