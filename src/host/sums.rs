//! The list of hashes that a host checks a release against.
use std::collections::BTreeSet;

use super::upload::Copies;
use crate::plan::{FileChange, Step, Transfer};
use crate::release::{ReleasePath, Sha256Digest, Skeleton, Symlink};

/// The list that `sha256sum --check` reads: every file of the upload whose bytes are not known yet.
pub(super) fn sums(steps: &[Step], copies: Copies) -> String {
    let files = steps.iter().filter_map(|step| match step {
        Step::Upload { files, .. } => Some(files),
        _ => None,
    });
    let mut lines = Vec::new();
    for files in files {
        let together = FileChange::taken_together(files);
        let together: BTreeSet<&ReleasePath> = together.into_iter().map(|file| &file.path).collect();
        let unknown = |file: &&FileChange| {
            copies == Copies::Unproven || file.transfer == Transfer::Send || together.contains(&file.path)
        };
        lines.extend(files.iter().filter(unknown).map(|file| sum(&file.sha256, file.path.as_str())));
    }
    lines.join("\n")
}

/// A line as sha256sum(1) writes it: a name with a backslash (as `systemd-escape` makes them) is escaped, and the
/// line says so by beginning with one.
pub(super) fn sum(hash: &Sha256Digest, path: &str) -> String {
    if path.contains('\\') {
        format!("\\{hash}  {}", path.replace('\\', r"\\"))
    } else {
        format!("{hash}  {path}")
    }
}

/// The list of symlinks and empty folders that a release of these steps must have, as the host lists them; without a
/// line where there are none.
pub(super) fn skeleton(steps: &[Step]) -> String {
    let trees = steps.iter().filter_map(|step| match step {
        Step::Upload { tree, .. } => Some(tree),
        _ => None,
    });
    let mut skeleton = Skeleton::default();
    for tree in trees {
        skeleton.folders.extend(tree.folders.iter().cloned());
        let symlinks = tree.symlinks.iter();
        skeleton
            .symlinks
            .extend(symlinks.map(|link| Symlink { path: link.path.clone(), target: link.target.clone() }));
    }
    skeleton.lines().join("\n")
}
