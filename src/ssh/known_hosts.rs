//! The known_hosts format, as sshd(8), "SSH_KNOWN_HOSTS FILE FORMAT", has it: which lines speak of a host,
//! and what they say about a key. Pure: bytes in, verdict out.
//!
//! Where the manual leaves room, this does as OpenSSH's hostfile.c does, or is stricter:
//! a host with any key on file and another one shown has *changed*, whatever the types of the two;
//! a key revoked under the host's bare name is revoked on every port;
//! a marker may end in a tab, where OpenSSH passes over some of these lines;
//! and a plain key is never trusted through `@cert-authority`, since that vouches for certificates only.

use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use russh::keys::key::parse_public_key;
use russh::keys::{Algorithm, PublicKey};
use sha1::Sha1;

use super::Fingerprint;
use super::host_key_error::KnownKey;
use super::pattern::matches_list;

/// The port that known_hosts leaves out.
pub(super) const DEFAULT_PORT: u16 = 22;

/// How long a SHA-1 is, and the salt that OpenSSH takes.
pub(super) const HASH_LENGTH: usize = 20;

/// A public key of a host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct HostKey {
    /// The algorithm's name, such as `ssh-ed25519`.
    pub(super) key_type: String,
    /// The wire encoding (RFC 4253, section 6.6).
    pub(super) blob: Vec<u8>,
}

impl HostKey {
    /// `None` for a key that has no encoding.
    pub(super) fn of(key: &PublicKey) -> Option<Self> {
        let key_type = match key.algorithm() {
            // What it signs with is no part of its type.
            Algorithm::Rsa { .. } => "ssh-rsa".to_owned(),
            other => other.to_string(),
        };
        Some(Self { key_type, blob: key.to_bytes().ok()? })
    }

    pub(super) fn fingerprint(&self) -> Fingerprint {
        Fingerprint::of(&self.blob)
    }

    /// The last two fields of a line.
    pub(super) fn encode(&self) -> String {
        format!("{} {}", self.key_type, STANDARD.encode(&self.blob))
    }

    /// From the last two fields of a line.
    pub(super) fn parse(key_type: &str, encoded: &str) -> Result<Self, &'static str> {
        let blob = STANDARD.decode(encoded).map_err(|_| "the key is not base64")?;
        // The blob names its own type; a line that says otherwise is damaged.
        let inner = blob
            .first_chunk::<4>()
            .and_then(|length| blob.get(4..)?.get(..usize::try_from(u32::from_be_bytes(*length)).ok()?));
        match inner {
            Some(inner) if inner == key_type.as_bytes() => {}
            _ => return Err("the key is not of the type that the line says"),
        }
        // One that was cut off is nobody's, and must not make a host that shows another look changed.
        match parse_public_key(&blob) {
            Ok(_) => Ok(Self { key_type: key_type.to_owned(), blob }),
            Err(_) => Err("the key is damaged, or of a type that is not known"),
        }
    }

    /// From the last two fields of a line that revokes: a certificate there stands for the key that it is for, as in
    /// OpenSSH (sshkey_equal_public() of sshkey.c). Who revokes the file that a host shows means the host.
    pub(super) fn parse_revoked(key_type: &str, encoded: &str) -> Result<Self, &'static str> {
        let key = Self::parse(key_type, encoded)?;
        let parsed = parse_public_key(&key.blob).ok();
        match parsed.as_ref().and_then(|parsed| parsed.key_data().certificate()) {
            None => Ok(key),
            Some(certificate) => Self::of(&PublicKey::from(certificate.public_key().clone()))
                .ok_or("the certificate is for a key that has no encoding"),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Marker {
    None,
    CertAuthority,
    Revoked,
}

/// The first field of a line.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Names {
    Patterns(String),
    Hashed { salt: Vec<u8>, digest: Vec<u8> },
}

impl Names {
    fn parse(field: &str) -> Result<Self, &'static str> {
        if !field.starts_with('|') {
            return Ok(Self::Patterns(field.to_ascii_lowercase()));
        }
        let (salt, digest) = field
            .strip_prefix("|1|")
            .and_then(|rest| rest.split_once('|'))
            .ok_or("the name is hashed in a way that is not known")?;
        let decode = |part| STANDARD.decode(part).map_err(|_| "the hashed name is not base64");
        let (salt, digest) = (decode(salt)?, decode(digest)?);
        if salt.len() != HASH_LENGTH || digest.len() != HASH_LENGTH {
            return Err("the hashed name is not as long as one is");
        }
        Ok(Self::Hashed { salt, digest })
    }

    /// `name` must be in lower case.
    fn matches(&self, name: &str) -> bool {
        match self {
            Self::Patterns(list) => matches_list(list, name),
            Self::Hashed { salt, digest } => Hmac::<Sha1>::new_from_slice(salt)
                .is_ok_and(|mac| mac.chain_update(name).verify_slice(digest).is_ok()),
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Entry {
    line: usize,
    marker: Marker,
    names: Names,
    key: HostKey,
}

/// A line that could not be understood, and was passed over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct BadLine {
    /// Counted from 1.
    pub(super) line: usize,
    pub(super) reason: &'static str,
    pub(super) weight: Weight,
}

/// What may be lost with a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Weight {
    /// A key: its host is unknown, which is found out.
    Light,
    /// It has a marker, and may have been to revoke a key.
    Heavy,
}

/// One file, parsed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct KnownHostsFile {
    path: PathBuf,
    entries: Vec<Entry>,
    pub(super) bad_lines: Vec<BadLine>,
}

impl KnownHostsFile {
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// What it says must not be believed, and nothing else of it.
    pub(super) fn revocations(mut self) -> Self {
        self.entries.retain(|entry| entry.marker == Marker::Revoked);
        self
    }

    /// Never fails: what cannot be understood is in `bad_lines`.
    pub(super) fn parse(path: PathBuf, content: &[u8]) -> Self {
        let mut file = Self { path, entries: Vec::new(), bad_lines: Vec::new() };
        for (index, bytes) in content.split(|&byte| byte == b'\n').enumerate() {
            // Comments may be in any encoding; what matters is ASCII.
            let text = String::from_utf8_lossy(bytes);
            match parse_line(text.trim_matches([' ', '\t', '\r'])) {
                Ok(None) => {}
                Ok(Some((marker, names, key))) => {
                    file.entries.push(Entry { line: index + 1, marker, names, key });
                }
                Err(reason) => {
                    let marked = text.trim_start_matches([' ', '\t']).starts_with('@');
                    let weight = if marked { Weight::Heavy } else { Weight::Light };
                    file.bad_lines.push(BadLine { line: index + 1, reason, weight });
                }
            }
        }
        file
    }
}

fn parse_line(line: &str) -> Result<Option<(Marker, Names, HostKey)>, &'static str> {
    if line.is_empty() || line.starts_with('#') {
        return Ok(None);
    }
    let mut fields = line.split([' ', '\t']).filter(|field| !field.is_empty());
    let mut next = || fields.next().ok_or("the line ends too early");
    let mut names = next()?;
    let marker = match names {
        "@cert-authority" => Marker::CertAuthority,
        "@revoked" => Marker::Revoked,
        _ if names.starts_with('@') => return Err("the marker is not known"),
        _ => Marker::None,
    };
    if marker != Marker::None {
        names = next()?;
    }
    let (key_type, encoded) = (next()?, next()?);
    let key = match marker {
        Marker::Revoked => HostKey::parse_revoked(key_type, encoded),
        Marker::None | Marker::CertAuthority => HostKey::parse(key_type, encoded),
    };
    Ok(Some((marker, Names::parse(names)?, key?)))
}

/// What the files say about a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum HostKeyVerdict {
    /// It is the host's.
    Known,
    /// They do not speak of the host at all.
    Unknown,
    /// They know the host by other keys, and by none like this.
    Changed { known: Vec<KnownKey> },
    /// The key must not be used any more.
    Revoked { file: PathBuf, line: usize },
}

/// Judges a key that `host` showed on `port`. `host` is the name as the operator has it, not an address found for
/// it, as with OpenSSH's default of `CheckHostIP no`.
pub(super) fn verdict(files: &[KnownHostsFile], host: &str, port: u16, key: &HostKey) -> HostKeyVerdict {
    if let Some((file, line)) = revoked(files, host, port, key) {
        return HostKeyVerdict::Revoked { file: file.to_owned(), line };
    }
    let (exact, bare) = lookup_names(host, port);
    let known: Vec<_> = marked(files, &exact, Marker::None).collect();
    if known.iter().any(|(_, entry)| entry.key == *key) {
        return HostKeyVerdict::Known;
    }
    if !known.is_empty() {
        let known = known.into_iter().map(|(file, entry)| KnownKey {
            file: file.path.clone(),
            line: entry.line,
            key_type: entry.key.key_type.clone(),
            fingerprint: entry.key.fingerprint(),
        });
        return HostKeyVerdict::Changed { known: known.collect() };
    }
    // check_host_key() of sshconnect.c: a host unknown on its port may show the key it is known by without one. When
    // it shows another, it is a second server on that machine: unknown, not changed.
    match bare {
        Some(bare) if marked(files, &bare, Marker::None).any(|(_, entry)| entry.key == *key) => {
            HostKeyVerdict::Known
        }
        _ => HostKeyVerdict::Unknown,
    }
}

/// The file and the line that say that a key, or a key of an authority, must not be believed for this host.
pub(super) fn revoked<'a>(
    files: &'a [KnownHostsFile],
    host: &str,
    port: u16,
    key: &HostKey,
) -> Option<(&'a Path, usize)> {
    let (exact, bare) = lookup_names(host, port);
    let names = [Some(exact), bare];
    names.iter().flatten().find_map(|name| {
        let (file, entry) = marked(files, name, Marker::Revoked).find(|(_, entry)| entry.key == *key)?;
        Some((file.path.as_path(), entry.line))
    })
}

/// Whether this authority may vouch for the host. One for the name without a port may where none is named for the port.
pub(super) fn vouches(files: &[KnownHostsFile], host: &str, port: u16, authority: &HostKey) -> bool {
    let (exact, bare) = lookup_names(host, port);
    let mut found = marked(files, &exact, Marker::CertAuthority).peekable();
    match (found.peek(), bare) {
        (None, Some(bare)) => {
            marked(files, &bare, Marker::CertAuthority).any(|(_, entry)| entry.key == *authority)
        }
        _ => found.any(|(_, entry)| entry.key == *authority),
    }
}

/// The algorithms of the keys by which the files know a host, less those that are revoked.
pub(super) fn known_types<'a>(files: &'a [KnownHostsFile], host: &str, port: u16) -> Vec<&'a str> {
    let (exact, _) = lookup_names(host, port);
    let good = |key: &HostKey| revoked(files, host, port, key).is_none();
    marked(files, &exact, Marker::None)
        .filter(|(_, entry)| good(&entry.key))
        .map(|(_, entry)| entry.key.key_type.as_str())
        .collect()
}

/// Whether an authority is trusted to vouch for the host.
pub(super) fn has_authority(files: &[KnownHostsFile], host: &str, port: u16) -> bool {
    has(files, host, port, Marker::CertAuthority)
}

/// Whether anything is revoked for the host.
pub(super) fn has_revoked(files: &[KnownHostsFile], host: &str, port: u16) -> bool {
    has(files, host, port, Marker::Revoked)
}

/// Whether there is a key or an authority for the host.
pub(super) fn speak_of(files: &[KnownHostsFile], host: &str, port: u16) -> bool {
    has(files, host, port, Marker::None) || has_authority(files, host, port)
}

fn has(files: &[KnownHostsFile], host: &str, port: u16, marker: Marker) -> bool {
    let (exact, bare) = lookup_names(host, port);
    [Some(exact), bare].iter().flatten().any(|name| marked(files, name, marker).next().is_some())
}

/// What a host is called in these files: `host`, or `[host]:port` for any other port than 22.
pub(super) fn host_field(host: &str, port: u16) -> String {
    let host = host.to_ascii_lowercase();
    if port == DEFAULT_PORT { host } else { format!("[{host}]:{port}") }
}

/// The same, in a form that does not tell the name: what `HashKnownHosts` asks for.
pub(super) fn hashed_field(host: &str, port: u16, salt: &[u8; HASH_LENGTH]) -> Option<String> {
    let mac = Hmac::<Sha1>::new_from_slice(salt).ok()?.chain_update(host_field(host, port));
    Some(format!("|1|{}|{}", STANDARD.encode(salt), STANDARD.encode(mac.finalize().into_bytes())))
}

fn lookup_names(host: &str, port: u16) -> (String, Option<String>) {
    (host_field(host, port), (port != DEFAULT_PORT).then(|| host_field(host, DEFAULT_PORT)))
}

/// The lines that speak of a host, in one way.
fn marked<'a>(
    files: &'a [KnownHostsFile],
    name: &str,
    marker: Marker,
) -> impl Iterator<Item = (&'a KnownHostsFile, &'a Entry)> {
    files.iter().flat_map(move |file| {
        let entries = file.entries.iter();
        entries
            .filter(move |entry| entry.marker == marker && entry.names.matches(name))
            .map(move |entry| (file, entry))
    })
}

#[cfg(test)]
#[path = "known_hosts_tests.rs"]
mod tests;
