//! Private keys of this run: each file is read, and its passphrase asked for, once.

use std::fmt;

/// Decrypted private keys, shared by all connections of a run.
#[derive(Clone, Default)]
pub struct KeyRing {}

impl fmt::Debug for KeyRing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyRing")
    }
}
