//! The artifacts of one release: what they are, their hashes, the release's id and its record.
//!
//! A [`Release`] is what one host gets: made from the manifest's files by [`Sources`], with the templates rendered
//! for that host. Nothing here connects to a host.
mod artifact;
mod binary;
mod blocks;
mod check;
mod contents;
mod digest;
mod files;
mod history;
mod id;
mod prepared;
mod recipe;
mod record;
mod skeleton;
mod sources;
mod tree;

pub use artifact::{Artifact, Content, Mode, ModeError, ReleasePath, ReleasePathError, Role};
pub use binary::{BinaryError, BinaryKind, GlibcError, GlibcVersion, Linkage, Machine};
pub use blocks::Blocks;
pub use check::check;
pub use digest::{ContentDigest, DigestError, Sha256Digest};
pub use history::{History, HistoryRun, Revision, RunVerdict};
pub use id::{IdError, ReleaseId, RunId};
pub use prepared::Prepared;
pub use recipe::Recipe;
pub use record::{
    RecordError, RecordedArtifact, RecordedRole, RecordedUnit, ReleaseRecord, UnitProcess, UnitStart,
    UnitWork,
};
pub use skeleton::{LinkTarget, LinkTargetError, Skeleton, Symlink};
pub use sources::{Release, Sources};
