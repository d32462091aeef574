//! stub, to be replaced
use super::*;
use crate::manifest::*;
use std::sync::Arc;
/// stub
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct GlibcVersion {
    /// x
    pub major: u32,
    /// x
    pub minor: u32,
}
impl std::fmt::Display for GlibcVersion {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}
impl std::str::FromStr for GlibcVersion {
    type Err = ();
    fn from_str(s: &str) -> Result<Self, ()> {
        let (a, b) = s.split_once('.').ok_or(())?;
        Ok(Self { major: a.parse().map_err(|_| ())?, minor: b.parse().map_err(|_| ())? })
    }
}
/// stub
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Machine(
    /// x
    pub String,
);
impl Machine {
    /// x
    pub fn runs_on(&self, u: &str) -> bool {
        self.0 == u
    }
}
impl std::fmt::Display for Machine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}
/// stub
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BinaryKind {
    /// x
    Elf {
        /// x
        machine: Machine,
        /// x
        glibc: Option<GlibcVersion>,
        /// x
        linkage: (),
    },
    /// x
    Script {
        /// x
        interpreter: String,
    },
}
/// stub
#[derive(Debug, Clone)]
pub struct Release {
    /// x
    pub service: ServiceName,
    /// x
    pub artifacts: Vec<Artifact>,
    /// x
    pub digest: ContentDigest,
    /// x
    pub binary: Option<BinaryKind>,
    /// x
    pub env: Option<EnvFile>,
}
impl Release {
    /// x
    pub fn wants_enabling(&self, _u: &UnitName) -> bool {
        true
    }
    /// x
    pub fn runs_binary(&self, _u: &UnitName) -> bool {
        true
    }
    /// x
    pub fn binary_hash(&self) -> Option<Sha256Digest> {
        self.artifacts.iter().find(|a| a.role == Role::Binary).map(|a| a.sha256)
    }
}
impl Artifact {
    /// x
    pub fn text(&self) -> Option<&str> {
        match &self.content {
            Content::Text(t) => std::str::from_utf8(t).ok(),
            Content::File { .. } => None,
        }
    }
}
/// stub
#[derive(Debug, Clone)]
pub struct EnvFile {
    /// x
    pub entries: Vec<(String, String)>,
}
impl EnvFile {
    /// x
    pub fn parse(_b: &[u8]) -> Self {
        Self { entries: vec![] }
    }
}
/// stub
#[derive(Debug)]
pub struct Sources;
impl Sources {
    /// x
    pub fn open(_m: &Manifest) -> Result<Self, Vec<Problem>> {
        Err(vec![])
    }
    /// x
    pub fn release(&self, _m: &Manifest, _e: &Environment, _h: &Host) -> Result<Release, Vec<Problem>> {
        Err(vec![])
    }
}
#[allow(unused)]
fn x(_: Arc<()>) {}

/// stub
#[derive(Debug, thiserror::Error)]
#[error("x")]
pub struct SourcesError;
