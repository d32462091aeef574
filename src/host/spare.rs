//! What of a release that runs a new one can begin with, without a copy: the one that the host made when its run was
//! over (`activation/spare.sh`).
use std::collections::{BTreeMap, BTreeSet};

use crate::plan::{FileChange, Transfer, TreeChange, is_other};
use crate::release::ReleaseRecord;

/// What is to be removed from the copy of a release for a new one: the paths of its files and symlinks that are not taken
/// over. `None` when the copy is of no use, since the release on the host was not as its record has it.
pub(super) fn unwanted<'a>(
    record: &'a ReleaseRecord,
    files: &[FileChange],
    tree: &TreeChange,
) -> Option<BTreeSet<&'a str>> {
    let others = record.artifacts.iter().filter(|artifact| is_other(artifact.path.as_str()));
    let mut left: BTreeMap<&str, _> = others.map(|artifact| (artifact.path.as_str(), artifact)).collect();
    let mut links: BTreeSet<&str> = record.skeleton.symlinks.iter().map(|link| link.path.as_str()).collect();
    let taken = files.iter().filter(|file| file.transfer == Transfer::TakeOver);
    for file in taken.filter(|file| is_other(file.path.as_str())) {
        let recorded = left.remove(file.path.as_str())?;
        if recorded.sha256 != file.sha256 || recorded.mode != file.mode {
            return None;
        }
    }
    for link in tree.symlinks.iter().filter(|link| link.is_kept()) {
        if !links.remove(link.path.as_str()) {
            return None;
        }
    }
    links.extend(left.into_keys());
    Some(links)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::plan::{Detail, SymlinkChange};
    use crate::release::{Artifact, Content, Mode, ReleaseId, Role, Sha256Digest, Skeleton, Symlink};

    fn artifact(path: &str, bytes: &[u8]) -> Artifact {
        let path: crate::release::ReleasePath = path.parse().unwrap();
        Artifact {
            role: Role::File { path: path.clone(), folder: None },
            path,
            mode: Mode::of(0o644),
            size: bytes.len() as u64,
            sha256: Sha256Digest::of(bytes),
            blocks: None,
            content: Content::Text(Arc::from(bytes)),
        }
    }

    fn record(artifacts: &[Artifact], links: &[(&str, &str)]) -> ReleaseRecord {
        let id: ReleaseId = "20261120T225301Z-00000000".parse().unwrap();
        let symlinks = links
            .iter()
            .map(|(path, target)| Symlink { path: path.parse().unwrap(), target: target.parse().unwrap() });
        let skeleton = Skeleton { symlinks: symlinks.collect(), folders: Vec::new() };
        let mut record = ReleaseRecord::new(id, "api".parse().unwrap(), artifacts);
        record.skeleton = skeleton;
        record
    }

    fn change(artifact: &Artifact, transfer: Transfer) -> FileChange {
        FileChange {
            path: artifact.path.clone(),
            mode: artifact.mode,
            size: artifact.size,
            sha256: artifact.sha256,
            was: None,
            transfer,
            folder: None,
            detail: Detail::Opaque,
        }
    }

    #[test]
    fn what_is_changed_or_gone_is_not_wanted_and_what_is_no_other_file_is_not_there() {
        let old = [artifact("bin/api", b"x"), artifact("a", b"1"), artifact("b", b"2"), artifact("c", b"3")];
        let record = record(&old, &[("kept", "a"), ("turned", "a"), ("gone", "a")]);
        let files = [
            change(&old[0], Transfer::TakeOver),
            change(&old[1], Transfer::TakeOver),
            change(&artifact("b", b"new"), Transfer::Send),
        ];
        let link = |path: &str, target: &str| SymlinkChange {
            path: path.parse().unwrap(),
            target: target.parse().unwrap(),
            was: Some("a".to_owned()),
        };
        let tree =
            TreeChange { symlinks: vec![link("kept", "a"), link("turned", "b")], ..Default::default() };
        let unwanted = unwanted(&record, &files, &tree).unwrap();
        assert_eq!(Vec::from_iter(unwanted), ["b", "c", "gone", "turned"]);
    }

    #[test]
    fn a_release_that_is_not_as_its_record_has_it_is_not_what_was_copied() {
        let old = [artifact("a", b"1"), artifact("b", b"2")];
        let record = record(&old, &[]);
        let none = TreeChange::default();
        // Edited by hand to what the new release has; made executable; put there by hand.
        let edited = change(&artifact("a", b"new"), Transfer::TakeOver);
        let mode = FileChange { mode: Mode::of(0o755), ..change(&old[1], Transfer::TakeOver) };
        let added = change(&artifact("d", b"4"), Transfer::TakeOver);
        for file in [edited, mode, added] {
            assert_eq!(unwanted(&record, &[file], &none), None);
        }
    }
}
