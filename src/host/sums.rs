//! The list of hashes that a host checks a release against.
use std::collections::BTreeSet;

use super::upload::Copies;
use crate::plan::{FileChange, Step, Transfer, is_other};
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
        let unknown = |file: &&FileChange| match copies {
            Copies::Unproven => true,
            Copies::Proven => file.transfer == Transfer::Send || together.contains(&file.path),
            Copies::AllProven => {
                file.transfer == Transfer::Send
                    || (together.contains(&file.path) && !is_other(file.path.as_str()))
            }
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

/// The hash of the list of all that a release of these steps has beside its record, as the host makes it (`contents` in
/// `activation/release.sh`): modes and sizes of files, symlinks, empty folders. For where not all files are hashed. "-" where
/// they are.
pub(super) fn contents(steps: &[Step], copies: Copies) -> String {
    match copies {
        Copies::Unproven | Copies::Proven => return "-".to_owned(),
        Copies::AllProven => {}
    }
    let mut lines = Vec::new();
    for step in steps {
        let Step::Upload { files, .. } = step else { continue };
        lines.extend(files.iter().map(|file| format!("{:o} {} {}", file.mode.bits(), file.size, file.path)));
    }
    let skeleton = skeleton(steps);
    lines.extend(skeleton.lines().map(str::to_owned));
    lines.sort_unstable();
    lines.push(String::new());
    Sha256Digest::of(lines.join("\n").as_bytes()).to_string()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt as _, symlink};
    use std::process::Command;

    use super::*;
    use crate::plan::{Detail, SymlinkChange, TreeChange};
    use crate::release::{Mode, ReleaseId};

    /// What the host makes of a folder with the names that are hardest on it is what is asked of it.
    #[test]
    fn the_host_hashes_the_same_list_of_contents() {
        let names =
            ["a b", "release.json x", "x release.json", "$(id)", "back\\slash", "-rf", "file 1 2 3 4 x"];
        let root = tempfile::tempdir().unwrap();
        let mut files = Vec::new();
        for (number, name) in names.iter().enumerate() {
            let (path, mode) = (root.path().join(name), if number % 2 == 0 { 0o644 } else { 0o700 });
            std::fs::write(&path, vec![b'x'; number]).unwrap();
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
            files.push(FileChange {
                path: name.parse().unwrap(),
                mode: Mode::of(mode),
                size: number as u64,
                sha256: Sha256Digest::of(b""),
                was: None,
                transfer: Transfer::TakeOver,
                folder: None,
                detail: Detail::Opaque,
            });
        }
        std::fs::write(root.path().join("release.json"), "{}").unwrap();
        std::fs::create_dir(root.path().join("empty one")).unwrap();
        symlink("a b", root.path().join("to $(x)")).unwrap();
        let link =
            SymlinkChange { path: "to $(x)".parse().unwrap(), target: "a b".parse().unwrap(), was: None };
        let tree = TreeChange {
            symlinks: vec![link],
            folders: vec!["empty one".parse().unwrap()],
            ..TreeChange::default()
        };
        let release: ReleaseId = "20261120T225301Z-00000000".parse().unwrap();
        let step = Step::Upload { release, files, dropped: Vec::new(), tree };
        let asked = || {
            let program = concat!(
                include_str!("prelude.sh"),
                include_str!("activation/release.sh"),
                "files=$(cd \"$1\" && list_release)\ncontents\n"
            );
            let folder = root.path().to_str().unwrap();
            let output = Command::new("sh").args(["-c", program, "sh", folder]).output().unwrap();
            String::from_utf8(output.stdout).unwrap()
        };
        let steps = [step];
        assert_eq!(asked(), contents(&steps, Copies::AllProven) + "  -\n");
        std::fs::remove_file(root.path().join("-rf")).unwrap();
        assert_ne!(asked(), contents(&steps, Copies::AllProven) + "  -\n");
        assert_eq!(contents(&steps, Copies::Proven), "-");
    }
}
