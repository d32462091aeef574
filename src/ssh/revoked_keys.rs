//! `RevokedHostKeys`: a list of public keys, or a key revocation list (PROTOCOL.krl of OpenSSH) as `ssh-keygen -k` makes it.
//!
//! A file that can't be understood whole is an error: a key that it means to revoke must not be believed.

use std::io;
use std::path::Path;

use sha1::Sha1;
use sha2::{Digest as _, Sha256};

use super::host_keys::Shown;
use super::known_hosts::HostKey;

const MAGIC: &[u8] = b"SSHKRL\n\0";

/// The kinds of section that speak of keys and certificates.
const CERTIFICATES: u8 = 1;
const KEYS: u8 = 2;
const SHA1: u8 = 3;
const SIGNATURE: u8 = 4;
const SHA256: u8 = 5;

/// Inside a section about certificates.
const SERIAL_LIST: u8 = 0x20;
const SERIAL_RANGE: u8 = 0x21;
const SERIAL_BITMAP: u8 = 0x22;
const KEY_IDS: u8 = 0x23;

/// What must not be believed.
#[derive(Debug)]
pub(super) struct RevokedKeys {
    content: Vec<u8>,
}

impl RevokedKeys {
    pub(super) fn read(path: &Path) -> io::Result<Self> {
        Ok(Self { content: std::fs::read(path)? })
    }

    #[cfg(any(test, fuzzing))]
    pub(super) fn of(content: Vec<u8>) -> Self {
        Self { content }
    }

    /// Whether the key, its certificate, or the authority behind that is among them.
    pub(super) fn hold(&self, shown: &Shown) -> io::Result<bool> {
        match self.content.strip_prefix(MAGIC) {
            Some(rest) => Reader(rest)
                .list(shown)
                .ok_or_else(|| invalid("it is a KRL that is damaged, or of a kind that is not known")),
            None => in_list(&self.content, shown),
        }
    }
}

fn invalid(why: impl Into<String>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why.into())
}

/// A key and a comment a line.
fn in_list(content: &[u8], shown: &Shown) -> io::Result<bool> {
    let authority = shown.certificate.as_ref().map(|certificate| &certificate.authority);
    for (index, line) in content.split(|&byte| byte == b'\n').enumerate() {
        let line = String::from_utf8_lossy(line);
        let line = line.trim_matches([' ', '\t', '\r']);
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let mut fields = line.split([' ', '\t']).filter(|field| !field.is_empty());
        let (key_type, encoded) = (fields.next().unwrap_or_default(), fields.next().unwrap_or_default());
        let key = HostKey::parse_revoked(key_type, encoded)
            .map_err(|why| invalid(format!("line {} is no public key: {why}", index + 1)))?;
        if key == shown.key || Some(&key) == authority {
            return Ok(true);
        }
    }
    Ok(false)
}

/// What is left to read. `None` from any of its functions is for a file that ends too early or says what is not known.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    fn byte(&mut self) -> Option<u8> {
        self.take(1)?.first().copied()
    }

    fn u32(&mut self) -> Option<u32> {
        Some(u32::from_be_bytes(self.take(4)?.try_into().ok()?))
    }

    fn u64(&mut self) -> Option<u64> {
        Some(u64::from_be_bytes(self.take(8)?.try_into().ok()?))
    }

    fn string(&mut self) -> Option<&'a [u8]> {
        let length = usize::try_from(self.u32()?).ok()?;
        self.take(length)
    }

    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// All behind the magic.
    fn list(mut self, shown: &Shown) -> Option<bool> {
        if self.u32()? != 1 {
            return None;
        }
        // The number of the list, when it was made, flags.
        self.take(24)?;
        let (_reserved, _comment) = (self.string()?, self.string()?);
        let mut revoked = false;
        while !self.is_empty() {
            let (kind, section) = (self.byte()?, Reader(self.string()?));
            let found = match kind {
                CERTIFICATES => section.certificates(shown)?,
                KEYS => section.any(shown, <[u8]>::to_vec)?,
                SHA1 => section.any(shown, |blob| Sha1::digest(blob).to_vec())?,
                SHA256 => section.any(shown, |blob| Sha256::digest(blob).to_vec())?,
                // Signatures are at the end, and sign for nobody that ssh would ask.
                SIGNATURE => return Some(revoked),
                _ => return None,
            };
            revoked |= found;
        }
        Some(revoked)
    }

    /// A section of keys in some form.
    fn any(mut self, shown: &Shown, form: impl Fn(&[u8]) -> Vec<u8>) -> Option<bool> {
        let authority = shown.certificate.as_ref().map(|certificate| &certificate.authority);
        let wanted: Vec<_> =
            [Some(&shown.key), authority].into_iter().flatten().map(|key| form(&key.blob)).collect();
        let mut found = false;
        while !self.is_empty() {
            let key = self.string()?;
            found |= wanted.iter().any(|wanted| wanted == key);
        }
        Some(found)
    }

    /// Certificates of one authority; of any, where it is not named.
    fn certificates(mut self, shown: &Shown) -> Option<bool> {
        let authority = self.string()?;
        let _reserved = self.string()?;
        let mut found = false;
        while !self.is_empty() {
            let (kind, mut section) = (self.byte()?, Reader(self.string()?));
            let of_it = shown
                .certificate
                .as_ref()
                .filter(|certificate| authority.is_empty() || authority == certificate.authority.blob);
            let (serial, id) =
                of_it.map_or((0, None), |certificate| (certificate.serial, Some(&certificate.key_id)));
            // A certificate that was given no number has 0, and is not meant by any.
            let numbered = id.is_some() && serial != 0;
            match kind {
                SERIAL_LIST => {
                    while !section.is_empty() {
                        found |= section.u64()? == serial && numbered;
                    }
                }
                SERIAL_RANGE => {
                    let range = section.u64()?..=section.u64()?;
                    found |= numbered && range.contains(&serial);
                }
                SERIAL_BITMAP => {
                    let offset = section.u64()?;
                    let bits = section.string()?;
                    let place = serial.checked_sub(offset).and_then(|place| usize::try_from(place).ok());
                    // A big number: its last bit is the first.
                    let byte =
                        place.and_then(|place| bits.iter().rev().nth(place / 8).map(|byte| (byte, place)));
                    found |= numbered && byte.is_some_and(|(byte, place)| byte >> (place % 8) & 1 == 1);
                }
                KEY_IDS => {
                    while !section.is_empty() {
                        let named = section.string()?;
                        found |= id.is_some_and(|id| id.as_bytes() == named);
                    }
                }
                _ => return None,
            }
            if !section.is_empty() {
                return None;
            }
        }
        Some(found)
    }
}
