//! The folders of a release that are built on the host: which ones, and what they are built from.
//!
//! Such a folder stands beside the releases, under a name that says what it was built from, and a symlink in the release
//! leads to it. So it has one path for as long as it is used, which a virtualenv needs, and the next release that is built
//! from the same has it already.
use super::artifact::{Artifact, ReleasePath};
use super::digest::Sha256Digest;
use super::skeleton::{Skeleton, Symlink};
use crate::manifest::{Manifest, Prepare, PreparedName, Problem, TreeProblem};

/// A folder that a release wants built.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prepared {
    /// What it is called in the release.
    pub name: PreparedName,
    /// What it is called beside the releases: the name, and the hash of what it is built from.
    pub key: String,
    /// How it is built.
    pub how: Prepare,
}

/// The folders that the manifest wants built for a release of these files, and adds the symlinks to them.
pub(super) fn prepared(
    manifest: &Manifest,
    artifacts: &[Artifact],
    skeleton: &mut Skeleton,
    problems: &mut Vec<Problem>,
) -> Vec<Prepared> {
    let mut all = Vec::new();
    for (index, how) in manifest.prepare.iter().enumerate() {
        let mut at = |kind: TreeProblem, span: String| {
            problems.push(Problem::new(kind, &manifest.source).at_maybe(manifest.spans.get(&span)));
        };
        let Ok(path) = how.name.as_str().parse::<ReleasePath>() else { continue };
        let below = format!("{path}/");
        let taken = |other: &ReleasePath| *other == path || other.as_str().starts_with(&below);
        let others = skeleton.symlinks.iter().map(|link| &link.path).chain(&skeleton.folders);
        if artifacts.iter().map(|artifact| &artifact.path).chain(others).any(taken) {
            at(TreeProblem::Collision { path: path.to_string() }, "prepare".to_owned());
            continue;
        }
        let mut text = format!("shipit prepare 1\n{}\n{}\n", how.name, Sha256Digest::of(how.run.as_bytes()));
        for (number, input) in how.inputs.iter().enumerate() {
            let below = format!("{input}/");
            let is_input = |path: &str| path == input || path.starts_with(&below);
            let mut files: Vec<&Artifact> =
                artifacts.iter().filter(|artifact| is_input(artifact.path.as_str())).collect();
            if files.is_empty() {
                let span = format!("prepare[{index}].inputs[{number}]");
                at(TreeProblem::NoInput { path: input.clone() }, span);
            }
            files.sort_by(|a, b| a.path.cmp(&b.path));
            for file in files {
                text.push_str(&format!("{} {} {}\n", file.sha256, file.mode, file.path));
            }
            for link in skeleton.symlinks.iter().filter(|link| is_input(link.path.as_str())) {
                text.push_str(&format!("symlink {} {}\n", link.target, link.path));
            }
        }
        let hash = Sha256Digest::of(text.as_bytes()).to_string();
        let key = format!("{}-{}", how.name, hash.get(..16).unwrap_or_default());
        if let Ok(target) = format!("../../prepared/{key}").parse() {
            skeleton.symlinks.push(Symlink { path, target });
        }
        all.push(Prepared { name: how.name.clone(), key, how: how.clone() });
    }
    all
}
