//! The list of hashes that a host checks a release against.
use super::upload::Copies;
use crate::plan::{FileChange, Step, Transfer};
use crate::release::Sha256Digest;

/// The list that `sha256sum --check` reads: every file of the upload whose bytes are not known yet.
pub(super) fn sums(steps: &[Step], copies: Copies) -> String {
    let files = steps.iter().filter_map(|step| match step {
        Step::Upload { files, .. } => Some(files),
        _ => None,
    });
    let unknown = |file: &&FileChange| copies == Copies::Unproven || file.transfer == Transfer::Send;
    let lines: Vec<String> =
        files.flatten().filter(unknown).map(|file| sum(&file.sha256, file.path.as_str())).collect();
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
