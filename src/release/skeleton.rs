//! What a release has beside its files: symlinks, and folders with nothing in them.
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use thiserror::Error;

use super::artifact::ReleasePath;

/// The symlinks and the empty folders of a release, each sorted by path. All other folders come with what is in them.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Skeleton {
    /// The symlinks.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub symlinks: Vec<Symlink>,
    /// The folders that are empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub folders: Vec<ReleasePath>,
}

/// A symlink inside a release.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Symlink {
    /// Where it stands.
    pub path: ReleasePath,
    /// What it says.
    pub target: LinkTarget,
}

/// What a symlink of a release says: relative, and text on one line.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct LinkTarget(String);

/// Why a text is not what a symlink of a release can say.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("`{}` is not what a symlink in a release can say", .0.escape_debug())]
pub struct LinkTargetError(pub String);

impl LinkTarget {
    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for LinkTarget {
    type Err = LinkTargetError;

    fn from_str(text: &str) -> Result<Self, LinkTargetError> {
        let fits = !text.is_empty()
            && text.len() < 4096
            && !text.starts_with('/')
            && !text.chars().any(char::is_control);
        if fits { Ok(Self(text.to_owned())) } else { Err(LinkTargetError(text.to_owned())) }
    }
}

impl fmt::Display for LinkTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl Serialize for LinkTarget {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for LinkTarget {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

impl Skeleton {
    /// Whether there is neither.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.symlinks.is_empty() && self.folders.is_empty()
    }

    /// Puts both in order, so that equal ones are equal.
    pub(super) fn sort(&mut self) {
        self.symlinks.sort();
        self.folders.sort();
    }

    /// A line for each, as the host lists them, sorted by their bytes.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        let symlinks = self.symlinks.iter().map(|link| format!("symlink {}\t{}", link.path, link.target));
        let folders = self.folders.iter().map(|path| format!("folder {path}"));
        let mut lines: Vec<String> = folders.chain(symlinks).collect();
        lines.sort();
        lines
    }
}
