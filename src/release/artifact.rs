//! A file of a release: its place, its mode, its bytes.
use std::fmt;
use std::fs::Metadata;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;
use std::time::SystemTime;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use thiserror::Error;

use super::blocks::Blocks;
use super::digest::Sha256Digest;
use crate::manifest::{DropInName, ServiceName, UnitName};

/// What a file is for.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Role {
    /// The program of the service.
    Binary,
    /// A unit file.
    Unit(UnitName),
    /// A file that adds to a unit.
    DropIn(UnitName, DropInName),
    /// The file with the service's environment variables.
    EnvFile,
    /// Whatever else `files` of the manifest brings.
    File {
        /// Where it stands in the release.
        path: ReleasePath,
        /// The folder that it came with, where it did not come by itself.
        folder: Option<ReleasePath>,
    },
}

impl Role {
    /// Where a file of this role stands in the release of `service`.
    #[must_use]
    pub fn path(&self, service: &ServiceName) -> ReleasePath {
        // Names can hold nothing that a release path can't.
        ReleasePath(match self {
            Self::Binary => format!("bin/{service}"),
            Self::Unit(name) => format!("units/{name}"),
            Self::DropIn(unit, name) => format!("units/{unit}.d/{name}"),
            Self::EnvFile => format!("env/{service}.conf"),
            Self::File { path, .. } => return path.clone(),
        })
    }

    /// The mode of such a file on the host.
    #[must_use]
    pub fn mode(&self) -> Mode {
        match self {
            Self::Binary => Mode(0o755),
            Self::Unit(_) | Self::DropIn(..) | Self::File { .. } => Mode(0o644),
            // It may hold what others on the host should not read.
            Self::EnvFile => Mode(0o600),
        }
    }
}

/// Where a file stands in a release: relative, with forward slashes, made of plain names.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ReleasePath(String);

/// Why a text is no path in a release.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Error)]
#[error("`{}` is not a path inside a release", .0.escape_debug())]
pub struct ReleasePathError(pub String);

impl ReleasePath {
    /// The path as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for ReleasePath {
    type Err = ReleasePathError;

    fn from_str(text: &str) -> Result<Self, ReleasePathError> {
        // 4096 and 255: PATH_MAX and NAME_MAX of Linux.
        let part_ok = |part: &str| !part.is_empty() && part != "." && part != ".." && part.len() <= 255;
        let bad = text.len() >= 4096 || text.chars().any(char::is_control) || !text.split('/').all(part_ok);
        if bad { Err(ReleasePathError(text.to_owned())) } else { Ok(Self(text.to_owned())) }
    }
}

impl fmt::Display for ReleasePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl Serialize for ReleasePath {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for ReleasePath {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

/// The permission bits of a file, written as four octal digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Mode(u32);

/// Why a text is no file mode.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Error)]
#[error("`{}` is not a file mode of four octal digits", .0.escape_debug())]
pub struct ModeError(pub String);

impl Mode {
    /// The mode with these permission bits; any others are left out.
    #[must_use]
    pub fn of(bits: u32) -> Self {
        Self(bits & 0o777)
    }

    /// The bits.
    #[must_use]
    pub fn bits(self) -> u32 {
        self.0
    }

    /// Whether everybody on the host may read such a file.
    #[must_use]
    pub fn is_for_all(self) -> bool {
        self.bits() & 0o004 != 0
    }
}

impl FromStr for Mode {
    type Err = ModeError;

    fn from_str(text: &str) -> Result<Self, ModeError> {
        let octal = text.len() == 4 && text.bytes().all(|b| matches!(b, b'0'..=b'7'));
        let bits = u32::from_str_radix(text, 8).ok().filter(|_| octal);
        bits.map(Self).ok_or_else(|| ModeError(text.to_owned()))
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04o}", self.0)
    }
}

impl fmt::Debug for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Mode({self})")
    }
}

impl Serialize for Mode {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Mode {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

/// Where the bytes of an artifact are.
#[derive(Clone, PartialEq, Eq)]
pub enum Content {
    /// In a file that was hashed, and must not have changed since.
    File {
        /// The file.
        path: PathBuf,
        /// When it was last written, as seen while it was hashed.
        modified: Option<SystemTime>,
    },
    /// In memory: a small file, perhaps rendered for one host.
    Text(Arc<[u8]>),
}

// The bytes may be secret: they don't belong into a debug print.
impl fmt::Debug for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { path, modified } => {
                f.debug_struct("File").field("path", path).field("modified", modified).finish()
            }
            Self::Text(bytes) => write!(f, "Text({} bytes)", bytes.len()),
        }
    }
}

/// One file of a release.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Artifact {
    /// What it is for.
    pub role: Role,
    /// Where it stands in the release.
    pub path: ReleasePath,
    /// Its mode on the host.
    pub mode: Mode,
    /// How many bytes it has.
    pub size: u64,
    /// Their hash.
    pub sha256: Sha256Digest,
    /// The hashes of their blocks, where there are many.
    pub blocks: Option<Blocks>,
    /// Where they are.
    pub content: Content,
}

impl Artifact {
    /// Whether a file with this metadata still has the size and the time of last change that it had when it was hashed.
    /// An upload asks when it has opened it, and the host hashes what arrived.
    #[must_use]
    pub fn is_still(&self, metadata: &Metadata) -> bool {
        let modified = match &self.content {
            Content::Text(_) => return true,
            Content::File { modified, .. } => modified,
        };
        metadata.len() == self.size && metadata.modified().ok() == *modified
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn paths_stay_inside_the_release() {
        for path in ["bin/simple_api", "units/a@1.service", "units/a\\x2db.service", "x"] {
            assert!(path.parse::<ReleasePath>().is_ok(), "{path}");
        }
        for path in ["", "/bin/x", "bin//x", "../x", "bin/../x", "bin/.", "a\nb", "bin/", "a\0"] {
            assert!(path.parse::<ReleasePath>().is_err(), "{path:?}");
        }
    }

    #[test]
    fn the_paths_of_roles_are_release_paths() {
        let service: ServiceName = "simple_api".parse().unwrap();
        let unit: UnitName = "a\\x2d@b.service".parse().unwrap();
        let drop_in = Role::DropIn(unit.clone(), "limits.conf".parse().unwrap());
        for role in [Role::Binary, Role::EnvFile, Role::Unit(unit), drop_in] {
            let path = role.path(&service);
            assert_eq!(path.as_str().parse::<ReleasePath>(), Ok(path));
        }
    }

    #[test]
    fn modes_are_four_octal_digits() {
        assert_eq!("0755".parse::<Mode>().map(Mode::bits), Ok(0o755));
        assert_eq!(Role::EnvFile.mode().to_string(), "0600");
        for text in ["755", "0o755", "+755", "0788", "", "00755"] {
            assert!(text.parse::<Mode>().is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_accepted_path_leaves(text in "[a-z./\n\\\\]{0,10}") {
            if let Ok(path) = text.parse::<ReleasePath>() {
                let path = std::path::Path::new(path.as_str());
                prop_assert!(path.components().all(|c| matches!(c, std::path::Component::Normal(_))));
            }
        }
    }
}
