//! SHA-256 of files and of a whole release, in the form `sha256sum` prints.
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use sha2::{Digest, Sha256};
use thiserror::Error;

use super::artifact::Artifact;
use super::skeleton::Skeleton;

/// The hash of a file's bytes.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Sha256Digest([u8; 32]);

/// Why a text is no SHA-256.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Error)]
#[error("`{}` is not a SHA-256 of 64 lower-case hex digits", .0.escape_debug())]
pub struct DigestError(pub String);

impl Sha256Digest {
    /// The digest with these bytes.
    #[must_use]
    pub fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The hash of bytes in memory.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }

    /// Its bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The first 8 hex digits, enough for a person to tell two apart.
    #[must_use]
    pub fn short(&self) -> String {
        let [a, b, c, d, ..] = self.0;
        format!("{a:02x}{b:02x}{c:02x}{d:02x}")
    }
}

impl fmt::Display for Sha256Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Sha256Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Sha256Digest {
    type Err = DigestError;

    fn from_str(text: &str) -> Result<Self, DigestError> {
        let error = || DigestError(text.chars().take(80).collect());
        let digit = |byte: u8| match byte {
            b'0'..=b'9' => Some(byte - b'0'),
            b'a'..=b'f' => Some(byte - b'a' + 10),
            _ => None,
        };
        if text.len() != 64 {
            return Err(error());
        }
        let mut bytes = [0; 32];
        for (byte, pair) in bytes.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
            match pair {
                [high, low] => {
                    *byte = digit(*high).zip(digit(*low)).map(|(h, l)| h << 4 | l).ok_or_else(error)?;
                }
                _ => return Err(error()),
            }
        }
        Ok(Self(bytes))
    }
}

impl Serialize for Sha256Digest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Sha256Digest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

/// The hash of all that a release is: two releases with the same one are the same to a host.
///
/// It is the SHA-256 of one line for each artifact, sorted by the bytes of the path:
///
/// ```text
/// <SHA-256 of the bytes, 64 hex digits> <mode, 4 octal digits> <path>\n
/// ```
///
/// after the first line `shipit content 1\n`, and then, sorted in the same way, a line for each symlink, which has the
/// hash of what it says and `link` for a mode, and one for each empty folder, which has the hash of nothing and `fold`.
/// A path can't hold a line break and everything before it has a fixed width, so different releases never give the same
/// text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ContentDigest(Sha256Digest);

impl ContentDigest {
    /// The digest of these artifacts, whatever their order.
    #[must_use]
    pub fn of(artifacts: &[Artifact]) -> Self {
        Self::with_skeleton(artifacts, &Skeleton::default())
    }

    /// The digest of these artifacts, and of symlinks and empty folders, whatever their order.
    #[must_use]
    pub fn with_skeleton(artifacts: &[Artifact], skeleton: &Skeleton) -> Self {
        let mut sorted: Vec<&Artifact> = artifacts.iter().collect();
        sorted.sort_by(|a, b| a.path.cmp(&b.path));
        let mut text = "shipit content 1\n".to_owned();
        for Artifact { path, mode, sha256, .. } in sorted {
            text.push_str(&format!("{sha256} {mode} {path}\n"));
        }
        let mut skeleton = skeleton.clone();
        skeleton.sort();
        for link in &skeleton.symlinks {
            let says = Sha256Digest::of(link.target.as_str().as_bytes());
            text.push_str(&format!("{says} link {}\n", link.path));
        }
        for path in &skeleton.folders {
            text.push_str(&format!("{} fold {path}\n", Sha256Digest::of(b"")));
        }
        Self(Sha256Digest::of(text.as_bytes()))
    }

    /// The first 8 hex digits: the end of a release id.
    #[must_use]
    pub fn short(&self) -> String {
        self.0.short()
    }
}

impl fmt::Display for ContentDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for ContentDigest {
    type Err = DigestError;

    fn from_str(text: &str) -> Result<Self, DigestError> {
        text.parse().map(Self)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::artifact::{Content, Role};
    use super::super::skeleton::Symlink;
    use super::*;

    const EMPTY: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    fn artifact(role: Role, bytes: &[u8]) -> Artifact {
        Artifact {
            path: role.path(&"api".parse().unwrap()),
            mode: role.mode(),
            role,
            size: bytes.len() as u64,
            sha256: Sha256Digest::of(bytes),
            blocks: None,
            content: Content::Text(Arc::from(bytes)),
        }
    }

    #[test]
    fn digests_are_what_sha256sum_prints() {
        let digest = Sha256Digest::of(b"");
        assert_eq!(digest.to_string(), EMPTY);
        assert_eq!(EMPTY.parse(), Ok(digest));
        assert_eq!(digest.short(), "e3b0c442");
        for text in ["", "e3b0", &EMPTY.to_uppercase(), &format!("{EMPTY} "), &"é".repeat(32)] {
            assert!(text.parse::<Sha256Digest>().is_err(), "{text}");
        }
    }

    #[test]
    fn the_content_digest_is_the_documented_text() {
        let text = format!("shipit content 1\n{EMPTY} 0755 bin/api\n{EMPTY} 0600 env/api.conf\n");
        let release = [artifact(Role::EnvFile, b""), artifact(Role::Binary, b"")];
        assert_eq!(ContentDigest::of(&release).0, Sha256Digest::of(text.as_bytes()));
    }

    #[test]
    fn order_means_nothing_and_everything_else_does() {
        let (a, b) = (artifact(Role::Binary, b"1"), artifact(Role::EnvFile, b"2"));
        let digest = ContentDigest::of(&[a.clone(), b.clone()]);
        assert_eq!(digest, ContentDigest::of(&[b.clone(), a.clone()]));
        assert_ne!(digest, ContentDigest::of(std::slice::from_ref(&a)));
        assert_ne!(digest, ContentDigest::of(&[a.clone(), artifact(Role::EnvFile, b"3")]));
        let mode = Artifact { mode: "0644".parse().unwrap(), ..b.clone() };
        assert_ne!(digest, ContentDigest::of(&[a.clone(), mode]));
        let path = Artifact { path: "env/other.conf".parse().unwrap(), ..b.clone() };
        assert_ne!(digest, ContentDigest::of(&[a.clone(), path]));
        let files = [a, b];
        let link = |path: &str, target: &str| {
            let symlinks = vec![Symlink { path: path.parse().unwrap(), target: target.parse().unwrap() }];
            ContentDigest::with_skeleton(&files, &Skeleton { symlinks, folders: Vec::new() })
        };
        let folder = Skeleton { symlinks: Vec::new(), folders: vec!["a".parse().unwrap()] };
        let all = [
            digest,
            link("a", "b"),
            link("a", "c"),
            link("b", "b"),
            ContentDigest::with_skeleton(&files, &folder),
        ];
        let different: std::collections::BTreeSet<_> = all.into_iter().collect();
        assert_eq!(different.len(), all.len());
    }
}
