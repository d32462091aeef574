//! How long RSA keys have to be, of hosts and of operators: `RequiredRSASize`.

use russh::keys::ssh_key::public::KeyData;

/// What ssh has by default, and never goes below.
pub(super) const DEFAULT: u32 = 1024;

/// The length of a key in bits, if that is too little.
pub(super) fn too_short(key: &KeyData, required: u32) -> Option<u32> {
    match key {
        KeyData::Rsa(rsa) => Some(rsa.key_size()).filter(|bits| *bits < required.max(DEFAULT)),
        // All others have one length each.
        _ => None,
    }
}
