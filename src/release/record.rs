//! `release.json`: what a release on a host is made of, in one line, for `plan` to compare with.
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::artifact::{Artifact, Mode, ReleasePath, Role};
use super::blocks::Blocks;
use super::digest::{ContentDigest, Sha256Digest};
use super::id::ReleaseId;
use super::skeleton::Skeleton;
use super::sources::Release;
use crate::manifest::{ServiceName, UnitName};

/// The form of the record this shipit writes.
const SCHEMA: u32 = 1;
/// A record larger than this is not one: 5,000 files take 1 MB.
const MAX_BYTES: usize = 32 * 1024 * 1024;

/// What stands in `release.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReleaseRecord {
    schema: u32,
    /// The release.
    pub id: ReleaseId,
    /// The service it belongs to.
    pub service: ServiceName,
    /// The hash of all that is in it.
    pub content: ContentDigest,
    /// When it was made.
    pub created: Timestamp,
    /// The version of shipit that made it.
    pub shipit: String,
    /// Its files, sorted by path.
    pub artifacts: Vec<RecordedArtifact>,
    /// What it has beside them.
    #[serde(default, skip_serializing_if = "Skeleton::is_empty")]
    pub skeleton: Skeleton,
    /// What has to be known of its units to go back to it, when the files it was made from are gone.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub units: Vec<RecordedUnit>,
    /// The units, templates and instances that the login user's manager runs, in a service of the system's.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub users_units: Vec<UnitName>,
}

/// What a record says of a unit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordedUnit {
    /// Its name.
    pub name: UnitName,
    /// What has it start.
    #[serde(default)]
    pub start: UnitStart,
    /// What its main process is.
    #[serde(default)]
    pub process: UnitProcess,
    /// Whether it ends by itself.
    #[serde(default)]
    pub work: UnitWork,
}

/// What has a unit start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UnitStart {
    /// It is enabled: the boot, or the target that wants it.
    Enabled,
    /// Another unit of the release: a timer, a socket, a path.
    Trigger,
    /// Nothing but a deploy.
    #[default]
    #[serde(other)]
    Deploy,
}

/// What a unit's main process is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UnitProcess {
    /// The release's binary, so that `/proc/PID/exe` can prove it.
    Binary,
    /// Something else, such as an interpreter.
    #[default]
    #[serde(other)]
    Other,
}

/// Whether a unit ends by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UnitWork {
    /// It does its work and ends (`Type=oneshot`).
    Oneshot,
    /// It stays up.
    #[default]
    #[serde(other)]
    Lasting,
}

/// One file of the record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordedArtifact {
    /// Where it stands in the release.
    pub path: ReleasePath,
    /// What it is for.
    pub role: RecordedRole,
    /// For a unit, its name; for a drop-in, that of its unit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unit: Option<UnitName>,
    /// Its mode.
    pub mode: Mode,
    /// How many bytes it has.
    pub size: u64,
    /// Their hash.
    pub sha256: Sha256Digest,
    /// The hashes of their blocks, where there are many.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub blocks: Option<Blocks>,
}

/// What a recorded file is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RecordedRole {
    /// The program.
    Binary,
    /// A unit file.
    Unit,
    /// A file that adds to a unit.
    DropIn,
    /// The file with environment variables.
    EnvFile,
    /// Whatever else `files` of the manifest has brought.
    File,
    /// Something a newer shipit knows.
    #[serde(other)]
    Other,
}

/// Why a text is no record.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum RecordError {
    /// It is no JSON, or lacks something.
    #[error("the release record can't be read: {0}")]
    Malformed(String),
    /// A newer shipit wrote it in a form this one does not know.
    #[error("the release record has schema {found}; this shipit reads schema {SCHEMA}")]
    Schema {
        /// The schema it has.
        found: u64,
    },
    /// It is too large to be one.
    #[error("the release record has {bytes} bytes, more than the {MAX_BYTES} allowed")]
    TooLarge {
        /// How many bytes it has.
        bytes: usize,
    },
}

impl ReleaseRecord {
    /// The record of a release made of these artifacts.
    #[must_use]
    pub fn new(id: ReleaseId, service: ServiceName, artifacts: &[Artifact]) -> Self {
        let mut recorded: Vec<RecordedArtifact> = artifacts.iter().map(RecordedArtifact::from).collect();
        recorded.sort_by(|a, b| a.path.cmp(&b.path));
        Self {
            schema: SCHEMA,
            created: id.created(),
            id,
            service,
            content: ContentDigest::of(artifacts),
            shipit: env!("CARGO_PKG_VERSION").to_owned(),
            artifacts: recorded,
            skeleton: Skeleton::default(),
            units: Vec::new(),
            users_units: Vec::new(),
        }
    }

    /// The record of a release under this id.
    #[must_use]
    pub fn of(id: ReleaseId, release: &Release) -> Self {
        let units = release.started.iter().map(|(name, _)| RecordedUnit {
            name: name.clone(),
            start: if release.waits_for_trigger(name) {
                UnitStart::Trigger
            } else if release.wants_enabling(name) {
                UnitStart::Enabled
            } else {
                UnitStart::Deploy
            },
            process: if release.runs_binary(name) { UnitProcess::Binary } else { UnitProcess::Other },
            work: if release.is_oneshot(name) { UnitWork::Oneshot } else { UnitWork::Lasting },
        });
        Self {
            units: units.collect(),
            users_units: release.users_units.clone(),
            content: release.digest,
            skeleton: release.skeleton.clone(),
            ..Self::new(id, release.service.clone(), &release.artifacts)
        }
    }

    /// Its units that are started, in the order they were started in.
    #[must_use]
    pub fn all_units(&self) -> Vec<RecordedUnit> {
        if !self.units.is_empty() {
            return self.units.clone();
        }
        // One that is older than what is on record about units has their files.
        let files = self.artifacts.iter().filter(|artifact| artifact.role == RecordedRole::Unit);
        let units = files.filter_map(|artifact| artifact.unit.clone()).filter(|name| !name.is_template());
        let units = units.map(|name| RecordedUnit {
            name,
            start: UnitStart::default(),
            process: UnitProcess::default(),
            work: UnitWork::default(),
        });
        units.collect()
    }

    /// The hash of the binary, if the release has one.
    #[must_use]
    pub fn binary_hash(&self) -> Option<Sha256Digest> {
        self.artifacts.iter().find(|artifact| artifact.role == RecordedRole::Binary).map(|found| found.sha256)
    }

    /// The bytes of all its files.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.artifacts.iter().fold(0, |sum, artifact| sum.saturating_add(artifact.size))
    }

    /// The file at `path`, if the release has one.
    #[must_use]
    pub fn artifact(&self, path: &ReleasePath) -> Option<&RecordedArtifact> {
        self.artifacts.iter().find(|artifact| artifact.path == *path)
    }

    /// The record as one line of JSON, without the line break at its end.
    ///
    /// # Errors
    ///
    /// Never in practice: every part of it has a JSON form.
    pub fn to_json(&self) -> Result<String, RecordError> {
        serde_json::to_string(self).map_err(|error| RecordError::Malformed(error.to_string()))
    }

    /// Reads a record. Keys it does not know are ignored, so that a later shipit may add some.
    ///
    /// # Errors
    ///
    /// When it is no record, or one of another schema.
    pub fn from_json(text: &str) -> Result<Self, RecordError> {
        /// The part that every schema has.
        #[derive(Deserialize)]
        struct Versioned {
            schema: u64,
        }
        if text.len() > MAX_BYTES {
            return Err(RecordError::TooLarge { bytes: text.len() });
        }
        let malformed = |error: serde_json::Error| RecordError::Malformed(error.to_string());
        let Versioned { schema } = serde_json::from_str(text).map_err(malformed)?;
        if schema != u64::from(SCHEMA) {
            return Err(RecordError::Schema { found: schema });
        }
        serde_json::from_str(text).map_err(malformed)
    }
}

impl From<&Artifact> for RecordedArtifact {
    fn from(artifact: &Artifact) -> Self {
        let (role, unit) = match &artifact.role {
            Role::Binary => (RecordedRole::Binary, None),
            Role::Unit(name) => (RecordedRole::Unit, Some(name.clone())),
            Role::DropIn(unit, _) => (RecordedRole::DropIn, Some(unit.clone())),
            Role::EnvFile => (RecordedRole::EnvFile, None),
            Role::File { .. } => (RecordedRole::File, None),
        };
        Self {
            path: artifact.path.clone(),
            role,
            unit,
            mode: artifact.mode,
            size: artifact.size,
            sha256: artifact.sha256,
            blocks: artifact.blocks.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use proptest::prelude::*;

    use super::super::artifact::Content;
    use super::super::skeleton::Symlink;
    use super::*;

    fn record() -> ReleaseRecord {
        let service: ServiceName = "api".parse().unwrap();
        let roles = [Role::Unit("api.service".parse().unwrap()), Role::Binary, Role::EnvFile];
        let artifacts = roles.map(|role| Artifact {
            path: role.path(&service),
            mode: role.mode(),
            role,
            size: 2,
            sha256: Sha256Digest::of(b"hi"),
            blocks: None,
            content: Content::Text(Arc::from(&b"hi"[..])),
        });
        let created = "2026-11-20T22:53:01Z".parse().unwrap();
        let id = ReleaseId::new(created, &ContentDigest::of(&artifacts));
        ReleaseRecord::new(id, service, &artifacts)
    }

    #[test]
    fn a_record_is_one_line_and_reads_back() {
        let json = record().to_json().unwrap();
        assert!(!json.contains('\n'));
        assert!(json.contains(r#""mode":"0755""#), "{json}");
        assert!(json.contains(r#""role":"unit","unit":"api.service""#), "{json}");
        assert_eq!(ReleaseRecord::from_json(&json), Ok(record()));
        assert_eq!(record().content.short(), record().id.digest_prefix());
    }

    #[test]
    fn a_later_shipit_may_add_keys_and_roles() {
        let json = record().to_json().unwrap();
        let newer = json.replacen('{', r#"{"links":[1],"#, 1).replace("env_file", "certificate");
        let read = ReleaseRecord::from_json(&newer).unwrap();
        assert_eq!(read.artifacts[1].role, RecordedRole::Other);
    }

    #[test]
    fn units_are_on_record_and_words_of_a_later_shipit_are_taken_for_the_usual() {
        let bare = record().all_units().remove(0);
        assert_eq!(bare.name.as_str(), "api.service");
        assert_eq!((bare.start, bare.process, bare.work), Default::default());
        let units =
            r#"{"units":[{"name":"api.service","start":"enabled","process":"wasm","work":"oneshot"}],"#;
        let read = ReleaseRecord::from_json(&record().to_json().unwrap().replacen('{', units, 1)).unwrap();
        let unit = read.all_units().remove(0);
        assert_eq!(
            (unit.start, unit.process, unit.work),
            (UnitStart::Enabled, UnitProcess::Other, UnitWork::Oneshot)
        );
        assert_eq!(ReleaseRecord::from_json(&read.to_json().unwrap()), Ok(read));
    }

    #[test]
    fn another_schema_is_said_to_be_one() {
        assert_eq!(ReleaseRecord::from_json(r#"{"schema":2,"x":{}}"#), Err(RecordError::Schema { found: 2 }));
    }

    #[test]
    fn rubbish_is_refused() {
        let json = record().to_json().unwrap();
        for bad in [
            String::new(),
            "{}".to_owned(),
            "[".repeat(100_000),
            json.replace("bin/api", "../api"),
            json.replace("0755", "rwx"),
            json.replace("20261120T225301Z", "now"),
            json[..json.len() / 2].to_owned(),
        ] {
            assert!(matches!(ReleaseRecord::from_json(&bad), Err(RecordError::Malformed(_))), "{bad:.40}");
        }
        let large = " ".repeat(MAX_BYTES + 1);
        assert!(matches!(ReleaseRecord::from_json(&large), Err(RecordError::TooLarge { .. })));
    }

    #[test]
    fn symlinks_and_empty_folders_are_on_record_and_hostile_ones_are_refused() {
        let mut record = record();
        assert!(!record.to_json().unwrap().contains("skeleton"), "older ones have none, and are the same");
        let link = Symlink { path: "site/a b".parse().unwrap(), target: "../$(x)".parse().unwrap() };
        record.skeleton = Skeleton { symlinks: vec![link], folders: vec!["site/empty".parse().unwrap()] };
        let json = record.to_json().unwrap();
        assert_eq!(ReleaseRecord::from_json(&json).as_ref(), Ok(&record));
        assert_eq!(record.skeleton.lines(), ["folder site/empty", "symlink site/a b\t../$(x)"]);
        for (from, to) in
            [("../$(x)", "/etc"), ("../$(x)", "a\\nb"), ("site/empty", "../up"), ("site/a b", "a\\tb")]
        {
            let bad = json.replace(from, to);
            assert!(matches!(ReleaseRecord::from_json(&bad), Err(RecordError::Malformed(_))), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn nothing_panics(text in "\\PC{0,80}", cut in 0usize..900, put in "[{}\\[\\]\",:0-9a-z]{0,4}") {
            let _ = ReleaseRecord::from_json(&text);
            let mut json = record().to_json().unwrap();
            let cut = cut.min(json.len());
            json.insert_str(cut, &put);
            let _ = ReleaseRecord::from_json(&json);
            let _ = ReleaseRecord::from_json(&json[..cut]);
        }
    }
}
