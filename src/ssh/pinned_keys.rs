//! Keys of hosts that a team has written down in one place, in the format of known_hosts.

use std::path::PathBuf;

use super::hop::Hop;
use super::known_hosts::{self, HostKey, HostKeyVerdict, KnownHostsFile};
use super::scan::ScannedKey;

/// The keys of some hosts, all of them: nobody may add to them while connecting.
#[derive(Debug, Clone)]
pub struct PinnedKeys {
    pub(super) file: KnownHostsFile,
}

impl PartialEq for PinnedKeys {
    fn eq(&self, other: &Self) -> bool {
        self.file == other.file
    }
}

impl Eq for PinnedKeys {}

/// What pinned keys say about a key that a host shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PinnedStanding {
    /// It is among them.
    Pinned,
    /// There is none of this kind for the host.
    Missing,
    /// There is another of this kind for the host, or it is revoked.
    Contradicted,
}

/// A line that is not one of known_hosts.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}:{line}: {reason}", file.display())]
pub struct PinnedKeysError {
    /// Where it stands.
    pub file: PathBuf,
    /// Counted from 1.
    pub line: usize,
    /// What is wrong with it.
    pub reason: &'static str,
}

impl PinnedKeys {
    /// `file` is where the text is from, for messages.
    ///
    /// # Errors
    /// For the first line that can't be understood: what was pinned must not be lost in silence.
    pub fn new(file: PathBuf, text: &str) -> Result<Self, PinnedKeysError> {
        let parsed = KnownHostsFile::parse(file.clone(), text.as_bytes());
        match parsed.bad_lines.first() {
            Some(bad) => Err(PinnedKeysError { file, line: bad.line, reason: bad.reason }),
            None => Ok(Self { file: parsed }),
        }
    }

    /// The lines of a text that can't be understood, counted from 1, and why.
    pub fn bad_lines(text: &[u8]) -> impl Iterator<Item = (usize, &'static str)> {
        let parsed = KnownHostsFile::parse(PathBuf::new(), text);
        parsed.bad_lines.into_iter().map(|bad| (bad.line, bad.reason))
    }

    /// Where they stand.
    #[must_use]
    pub fn path(&self) -> &std::path::Path {
        self.file.path()
    }

    /// What they say about a key that a host has shown.
    #[must_use]
    pub fn standing(&self, hop: &Hop, key: &ScannedKey) -> PinnedStanding {
        let files = std::slice::from_ref(&self.file);
        let (name, port) = hop.options.known_as(&hop.target);
        let mut fields = key.line.split(' ').skip(1);
        let (kind, encoded) = (fields.next().unwrap_or_default(), fields.next().unwrap_or_default());
        let Ok(key) = HostKey::parse(kind, encoded) else { return PinnedStanding::Missing };
        match known_hosts::verdict(files, name, port, &key) {
            HostKeyVerdict::Known => PinnedStanding::Pinned,
            HostKeyVerdict::Unknown => PinnedStanding::Missing,
            HostKeyVerdict::Changed { known } if known.iter().all(|known| known.key_type != key.key_type) => {
                PinnedStanding::Missing
            }
            HostKeyVerdict::Changed { .. } | HostKeyVerdict::Revoked { .. } => PinnedStanding::Contradicted,
        }
    }

    /// Whether any of them is about a host.
    #[must_use]
    pub(super) fn speak_of(&self, name: &str, port: u16) -> bool {
        let files = std::slice::from_ref(&self.file);
        known_hosts::speak_of(files, name, port)
    }
}
