//! A folder of the operator's, read: what of it goes into a release.
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ffi::OsStr;
use std::fs::{self, FileType};
use std::io;
use std::path::{Path, PathBuf};

use globset::GlobSet;
use ignore::gitignore::{Gitignore, GitignoreBuilder};

use crate::manifest::text_file::reason;
use crate::manifest::{FileEntry, GlobPattern, SymlinkFault, TreeProblem};

/// The file in a folder that says what of it stays behind, in the words of gitignore(5).
const IGNORE_FILE: &str = ".shipitignore";

/// As many symlinks as Linux follows on one way (path_resolution(7)).
const MOST_LINKS: usize = 40;

/// What a folder has for a release, by paths relative to it.
#[derive(Debug, Default)]
pub(super) struct Tree {
    /// Its files, and where they are here.
    pub(super) files: BTreeMap<String, PathBuf>,
    /// Its symlinks, and what they say.
    pub(super) symlinks: BTreeMap<String, String>,
    /// Its folders with nothing in them. The empty name is the folder itself.
    pub(super) folders: BTreeSet<String>,
}

/// Reads a folder, with all that is wrong about it.
pub(super) fn walk(entry: &FileEntry) -> (Tree, Vec<TreeProblem>) {
    let mut problems = Vec::new();
    let mut walk = match Filter::new(entry) {
        Ok(filter) => Walk { root: &entry.source, filter, tree: Tree::default(), problems: Vec::new() },
        Err(problem) => return (Tree::default(), vec![*problem]),
    };
    let mut open = vec![String::new()];
    while let Some(folder) = open.pop() {
        walk.folder(&folder, &mut open);
    }
    let Walk { tree, problems: found, .. } = walk;
    problems.extend(found);
    let faults = tree.symlinks.iter().filter_map(|(path, target)| {
        let fault = fault(&tree, &entry.source, path)?;
        let path = entry.source.join(path).display().to_string();
        Some(TreeProblem::Symlink { path, target: target.clone(), fault })
    });
    problems.extend(faults);
    (tree, problems)
}

/// What of a folder is sent.
struct Filter {
    include: Option<GlobSet>,
    exclude: GlobSet,
    ignore: Gitignore,
}

impl Filter {
    fn new(entry: &FileEntry) -> Result<Self, Box<TreeProblem>> {
        let path = entry.source.join(IGNORE_FILE);
        let shown = || path.display().to_string();
        let failed = |reason: String| Box::new(TreeProblem::Ignore { path: shown(), reason });
        // Paths are matched as they are below the folder.
        let mut builder = GitignoreBuilder::new("");
        match fs::read_to_string(&path) {
            Ok(text) => {
                for (number, line) in text.lines().enumerate() {
                    let added = builder.add_line(None, line);
                    added.map_err(|error| failed(format!("line {}: {error}", number + 1)))?;
                }
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(failed(reason(&error))),
        }
        let set =
            |patterns: &[GlobPattern]| GlobPattern::set(patterns).map_err(|error| failed(error.to_string()));
        Ok(Self {
            include: if entry.include.is_empty() { None } else { Some(set(&entry.include)?) },
            exclude: set(&entry.exclude)?,
            ignore: builder.build().map_err(|error| failed(error.to_string()))?,
        })
    }

    /// Whether it stays behind, with all that is in it.
    fn leaves_out(&self, path: &str, kind: Kind) -> bool {
        path == IGNORE_FILE
            || self.exclude.is_match(path)
            || self.ignore.matched(path, kind == Kind::Folder).is_ignore()
    }

    /// Whether it, or a folder that it is in, is asked for.
    fn asks_for(&self, path: &str) -> bool {
        self.include.as_ref().is_none_or(|include| {
            let above = path.match_indices('/').map(|(at, _)| &path[..at]);
            above.chain([path]).any(|path| include.is_match(path))
        })
    }
}

/// What a thing in a folder is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    File,
    Folder,
    Symlink,
    Special(&'static str),
}

impl From<FileType> for Kind {
    fn from(file_type: FileType) -> Self {
        use std::os::unix::fs::FileTypeExt as _;
        if file_type.is_file() {
            Self::File
        } else if file_type.is_dir() {
            Self::Folder
        } else if file_type.is_symlink() {
            Self::Symlink
        } else if file_type.is_socket() {
            Self::Special("a socket")
        } else if file_type.is_fifo() {
            Self::Special("a pipe")
        } else {
            Self::Special("a device")
        }
    }
}

struct Walk<'a> {
    root: &'a Path,
    filter: Filter,
    tree: Tree,
    problems: Vec<TreeProblem>,
}

impl Walk<'_> {
    /// Looks at what is in one folder; the folders in it are still to be looked at.
    fn folder(&mut self, below: &str, open: &mut Vec<String>) {
        let path = self.root.join(below);
        let unreadable = |path: &Path, error: &io::Error| TreeProblem::Unreadable {
            path: path.display().to_string(),
            reason: reason(error),
        };
        let entries = match fs::read_dir(&path) {
            Ok(entries) => entries,
            Err(error) => return self.problems.push(unreadable(&path, &error)),
        };
        let mut has_any = false;
        for entry in entries {
            let entry = match entry {
                Ok(entry) => entry,
                Err(error) => {
                    self.problems.push(unreadable(&path, &error));
                    continue;
                }
            };
            has_any = true;
            let kind = match entry.file_type() {
                Ok(file_type) => Kind::from(file_type),
                Err(error) => {
                    self.problems.push(unreadable(&entry.path(), &error));
                    continue;
                }
            };
            // What is left out may be called what it likes.
            let name = entry.file_name();
            let relative = relative(below, &name.to_string_lossy());
            if self.filter.leaves_out(&relative, kind) {
                continue;
            }
            if kind == Kind::Folder {
                if self.named(&name, &entry.path()) {
                    open.push(relative);
                }
            } else if self.filter.asks_for(&relative) && self.named(&name, &entry.path()) {
                self.take(relative, kind, entry.path());
            }
        }
        if !has_any && self.filter.asks_for(below) {
            self.tree.folders.insert(below.to_owned());
        }
    }

    fn take(&mut self, relative: String, kind: Kind, path: PathBuf) {
        let shown = || path.display().to_string();
        match kind {
            Kind::File => {
                self.tree.files.insert(relative, path);
            }
            Kind::Special(kind) => self.problems.push(TreeProblem::Special { path: shown(), kind }),
            Kind::Symlink => match fs::read_link(&path) {
                Ok(target) => {
                    self.tree.symlinks.insert(relative, target.to_string_lossy().into_owned());
                }
                Err(error) => {
                    self.problems.push(TreeProblem::Unreadable { path: shown(), reason: reason(&error) });
                }
            },
            Kind::Folder => {}
        }
    }

    /// Whether the name can stand in a release.
    fn named(&mut self, name: &OsStr, path: &Path) -> bool {
        let shown = || path.display().to_string();
        let problem = match name.to_str() {
            None => TreeProblem::NameNotUtf8 { path: shown() },
            Some(name) if name.chars().any(char::is_control) => TreeProblem::NameControl { path: shown() },
            Some(_) => return true,
        };
        self.problems.push(problem);
        false
    }
}

fn relative(below: &str, name: &str) -> String {
    if below.is_empty() { name.to_owned() } else { format!("{below}/{name}") }
}

/// What is wrong with a symlink of the tree, if anything is. Follows it as the host will: through what is in the tree,
/// and nothing else.
fn fault(tree: &Tree, root: &Path, link: &str) -> Option<SymlinkFault> {
    let target = tree.symlinks.get(link)?;
    if target.starts_with('/') {
        return Some(SymlinkFault::Absolute);
    }
    if target.contains(|c: char| c.is_control() || c == '\u{fffd}') {
        return Some(SymlinkFault::NotText);
    }
    let mut place: Vec<&str> = link.split('/').collect();
    place.pop();
    let mut ahead: VecDeque<&str> = target.split('/').collect();
    let mut links = 1;
    while let Some(part) = ahead.pop_front() {
        match part {
            "" | "." => continue,
            ".." => {
                if place.pop().is_none() {
                    return Some(SymlinkFault::Leaves);
                }
                continue;
            }
            name => place.push(name),
        }
        let path = place.join("/");
        if let Some(next) = tree.symlinks.get(&path) {
            links += 1;
            if links > MOST_LINKS {
                return Some(SymlinkFault::Circle);
            }
            if next.starts_with('/') {
                return Some(SymlinkFault::Leaves);
            }
            place.pop();
            for part in next.split('/').rev() {
                ahead.push_front(part);
            }
        } else if tree.files.contains_key(&path) {
            if !ahead.is_empty() {
                return Some(SymlinkFault::Dangles);
            }
        } else if !tree.has_folder(&path) {
            let exists = fs::symlink_metadata(root.join(&path)).is_ok();
            return Some(if exists { SymlinkFault::LeftOut } else { SymlinkFault::Dangles });
        }
    }
    None
}

impl Tree {
    /// Whether anything is sent that makes this folder.
    fn has_folder(&self, path: &str) -> bool {
        let below = format!("{path}/");
        let in_it = |first: Option<&str>| first.is_some_and(|first| first.starts_with(&below));
        let first =
            |map: &BTreeMap<String, PathBuf>| map.range(below.clone()..).next().map(|(path, _)| path.clone());
        self.folders.contains(path)
            || in_it(first(&self.files).as_deref())
            || in_it(self.symlinks.range(below.clone()..).next().map(|(path, _)| path.as_str()))
            || in_it(self.folders.range(below.clone()..).next().map(String::as_str))
    }

    /// Whether there is nothing in it.
    pub(super) fn is_empty(&self) -> bool {
        self.files.is_empty() && self.symlinks.is_empty() && self.folders.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use proptest::prelude::*;
    use tempfile::TempDir;

    use super::*;

    fn entry(folder: &TempDir, include: &[&str], exclude: &[&str]) -> FileEntry {
        let patterns = |texts: &[&str]| texts.iter().map(|text| text.parse().unwrap()).collect();
        FileEntry {
            source: folder.path().to_owned(),
            path: "site".parse().unwrap(),
            mode: None,
            include: patterns(include),
            exclude: patterns(exclude),
            outside: None,
            validate: None,
            on_change: None,
        }
    }

    fn folder(files: &[&str]) -> TempDir {
        let folder = TempDir::new().unwrap();
        for file in files {
            let path = folder.path().join(file);
            if file.ends_with('/') {
                fs::create_dir_all(path).unwrap();
            } else {
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                fs::write(path, "x").unwrap();
            }
        }
        folder
    }

    fn files(tree: &Tree) -> Vec<&str> {
        tree.files.keys().map(String::as_str).collect()
    }

    #[test]
    fn all_of_a_folder_is_taken_but_what_is_left_out() {
        let folder = folder(&[
            "a.html",
            "css/b.css",
            "css/b.css.map",
            "node_modules/x/y.js",
            "empty/",
            "dir/keep",
            "dir/drop",
            ".hidden",
        ]);
        let (tree, problems) = walk(&entry(&folder, &[], &["*.map", "/node_modules"]));
        assert_eq!(problems, []);
        assert_eq!(files(&tree), [".hidden", "a.html", "css/b.css", "dir/drop", "dir/keep"]);
        assert_eq!(tree.folders.iter().collect::<Vec<_>>(), ["empty"]);
        let (tree, _) = walk(&entry(&folder, &["css", "*.html"], &["*.map"]));
        assert_eq!((files(&tree), tree.folders.len()), (vec!["a.html", "css/b.css"], 0));
        fs::write(folder.path().join(IGNORE_FILE), "# not these\nnode_modules/\ndir/*\n!dir/keep\n*.map\n")
            .unwrap();
        let (tree, problems) = walk(&entry(&folder, &[], &[".hidden"]));
        assert_eq!((files(&tree), problems), (vec!["a.html", "css/b.css", "dir/keep"], vec![]));
    }

    #[test]
    fn symlinks_lead_to_what_is_sent_or_are_refused() {
        let folder = folder(&["a/file", "b/left", "outside"]);
        let link = |target: &str, at: &str| symlink(target, folder.path().join("a").join(at)).unwrap();
        for (target, at) in
            [("file", "good"), ("../a", "up"), ("good", "chain"), ("up/up/file", "far"), (".", "self")]
        {
            link(target, at);
        }
        let root = entry(&folder, &[], &["/b"]);
        let (tree, problems) = walk(&root);
        assert_eq!((problems, tree.symlinks.len()), (vec![], 5));
        for (target, fault) in [
            ("/etc/passwd", SymlinkFault::Absolute),
            ("../../x", SymlinkFault::Leaves),
            ("up/../../x", SymlinkFault::Leaves),
            ("nothing", SymlinkFault::Dangles),
            ("file/x", SymlinkFault::Dangles),
            ("../b/left", SymlinkFault::LeftOut),
            ("bad", SymlinkFault::Circle),
            ("a\nb", SymlinkFault::NotText),
        ] {
            link(target, "bad");
            let (_, problems) = walk(&root);
            let path = folder.path().join("a/bad").display().to_string();
            assert_eq!(problems, [TreeProblem::Symlink { path, target: target.to_owned(), fault }]);
            fs::remove_file(folder.path().join("a/bad")).unwrap();
        }
    }

    #[test]
    fn what_is_no_file_is_refused_unless_it_is_left_out() {
        use std::os::unix::ffi::OsStrExt as _;
        let folder = folder(&["a"]);
        let bad = [OsStr::from_bytes(b"caf\xe9"), OsStr::new("new\nline"), OsStr::new("tab\t")];
        for name in bad {
            fs::write(folder.path().join(name), "x").unwrap();
        }
        let _socket = std::os::unix::net::UnixListener::bind(folder.path().join("socket")).unwrap();
        let (tree, problems) = walk(&entry(&folder, &[], &[]));
        let codes: BTreeSet<String> = problems
            .iter()
            .map(|problem| format!("{problem}").replace(&folder.path().display().to_string(), ""))
            .collect();
        assert_eq!(files(&tree), ["a"]);
        let codes: Vec<_> = codes.iter().map(String::as_str).collect();
        assert_eq!(
            codes,
            [
                "`/caf\u{fffd}` has a name that is not UTF-8",
                "`/new\\nline` has a control character in its name",
                "`/socket` is a socket, and can't be sent",
                "`/tab\\t` has a control character in its name",
            ]
        );
        assert_eq!(walk(&entry(&folder, &[], &["caf*", "new*", "tab*", "socket"])).1, []);
        assert_eq!(walk(&entry(&folder, &["a"], &[])).1, []);
    }

    #[test]
    fn an_ignore_file_that_is_none_is_an_error() {
        let folder = folder(&["a"]);
        fs::write(folder.path().join(IGNORE_FILE), "a\n{b\n").unwrap();
        let (_, problems) = walk(&entry(&folder, &[], &[]));
        assert!(
            matches!(&problems[..], [TreeProblem::Ignore { reason, .. }] if reason.starts_with("line 2: "))
        );
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(128))]
        /// What a symlink of a tree leads to here, it leads to in a copy of what is sent; and no further.
        #[test]
        fn a_link_is_good_if_and_only_if_the_copy_has_what_it_leads_to(
            targets in proptest::collection::vec("(\\.\\./|\\./|[abl]/){0,3}([ablf]|\\.\\.)", 1..4)
        ) {
            let folder = folder(&["top/a/f", "top/b/f", "top/a/b/f", "f"]);
            let root = folder.path().join("top");
            for (index, target) in targets.iter().enumerate() {
                let _ = symlink(target, root.join(["a/l", "l", "b/l"][index]));
            }
            let entry = FileEntry { source: root.clone(), ..entry(&folder, &[], &[]) };
            let (tree, problems) = walk(&entry);
            let bad: BTreeSet<String> = problems.iter().map(|problem| match problem {
                TreeProblem::Symlink { path, .. } => path.clone(),
                other => panic!("{other}"),
            }).collect();
            for path in tree.symlinks.keys() {
                let here = root.join(path);
                // Where the folder is called otherwise, what leaves it and comes back does not lead there.
                let found = fs::canonicalize(&here).is_ok_and(|found| found.starts_with(fs::canonicalize(&root).unwrap()));
                let good = !bad.contains(&here.display().to_string());
                prop_assert!(!good || found, "{path} is good, and leads nowhere");
                let leaves = targets.iter().any(|target| target.contains(".."));
                prop_assert!(good || !found || leaves, "{path} is refused for nothing");
            }
        }
    }
}
