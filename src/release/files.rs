//! From `files` of a manifest to parts of a release.
use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::artifact::{Artifact, Content, Mode, ReleasePath, Role};
use super::digest::Sha256Digest;
use super::skeleton::{LinkTarget, Skeleton, Symlink};
use super::sources::{executable, hash, read_text};
use super::tree;
use crate::manifest::problem::any_error;
use crate::manifest::template::{self, TemplateContext};
use crate::manifest::text_file::{self, reason};
use crate::manifest::{FileEntry, Manifest, Outside, Problem, ProblemKind, SourceText, TreeProblem};

/// How many threads hash files.
const HASHING: usize = 4;

/// What `files` brings, read once for all hosts.
#[derive(Debug, Clone, Default)]
pub(super) struct OtherFiles {
    /// The files as they are.
    artifacts: Vec<Artifact>,
    /// Those that are rendered for each host.
    templates: Vec<Template>,
    /// The rest of the folders.
    skeleton: Skeleton,
}

#[derive(Debug, Clone)]
struct Template {
    path: ReleasePath,
    mode: Mode,
    /// The mode of its copy outside of the release, where that is another one.
    installed: Option<Mode>,
    source: Arc<SourceText>,
}

/// What a place in a release is taken by.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Taken {
    /// Something that nothing can stand below.
    Leaf,
    /// A folder.
    Folder,
}

impl OtherFiles {
    /// Reads all entries.
    pub(super) fn open(manifest: &Manifest, problems: &mut Vec<Problem>) -> Self {
        let mut reader = Reader { files: Self::default(), to_hash: Vec::new(), taken: BTreeMap::new() };
        for (index, entry) in manifest.files.iter().enumerate() {
            let span = manifest.spans.get(&format!("files[{index}].source"));
            let mut at = |kind: ProblemKind| {
                problems.push(problem(manifest, kind, span.clone()));
            };
            match std::fs::metadata(&entry.source) {
                Ok(metadata) if metadata.is_dir() => match &entry.outside {
                    Some(Outside::Install(_)) => {
                        at(TreeProblem::InstalledFolder { path: entry.source.display().to_string() }.into());
                    }
                    Some(Outside::Link(_)) | None => reader.folder(entry, &mut at),
                },
                Ok(_) | Err(_) if template::is_template(&entry.source) => reader.template(entry, &mut at),
                Ok(_) | Err(_) => reader.file(entry, &mut at),
            }
        }
        for (unit, credential) in manifest
            .units
            .iter()
            .flat_map(|unit| unit.credentials.iter().map(move |credential| (unit, credential)))
        {
            let span = manifest.spans.get(&format!("units.{}", unit.name));
            let mut at = |kind: ProblemKind| problems.push(problem(manifest, kind, span.clone()));
            if let Some(path) = reader.place(&unit.credential_path(credential), Taken::Leaf, &mut at) {
                let source = unit.credential_template(credential);
                reader.files.templates.push(Template {
                    path,
                    mode: Mode::of(0o600),
                    installed: None,
                    source,
                });
            }
        }
        if any_error(problems) {
            return Self::default();
        }
        let Reader { mut files, to_hash, .. } = reader;
        for (path, result) in hash_all(&to_hash) {
            match result {
                Ok(artifact) => files.artifacts.push(artifact),
                Err(error) => {
                    let path = path.display().to_string();
                    let kind = TreeProblem::Unreadable { path, reason: reason(&error) };
                    problems.push(problem(manifest, kind, manifest.spans.get("files")));
                }
            }
        }
        files.skeleton.sort();
        files
    }

    /// Adds the files to those of a host.
    pub(super) fn render(
        &self,
        context: &TemplateContext,
        artifacts: &mut Vec<Artifact>,
        problems: &mut Vec<Problem>,
    ) -> Skeleton {
        artifacts.extend(self.artifacts.iter().cloned());
        for Template { path, mode, installed: _, source } in &self.templates {
            match template::render(source, source, context) {
                Ok(text) => artifacts.push(Artifact {
                    role: Role::File { path: path.clone(), folder: None },
                    path: path.clone(),
                    mode: *mode,
                    size: text.len() as u64,
                    sha256: Sha256Digest::of(text.as_bytes()),
                    blocks: None,
                    content: Content::Text(Arc::from(text.as_bytes())),
                }),
                Err(problem) => problems.push(*problem),
            }
        }
        self.skeleton.clone()
    }

    /// The templates among them: each with the text that its problems point into, and what it is if everybody can read it.
    pub(super) fn templates(
        &self,
    ) -> impl Iterator<Item = (&Arc<SourceText>, &Arc<SourceText>, Option<&'static str>)> {
        self.templates.iter().map(|Template { mode, installed, source, .. }| {
            let modes = mode.bits() | installed.map_or(0, Mode::bits);
            let for_all = (modes & 0o004 != 0).then_some("a file without a `mode` such as `\"0640\"`");
            (source, source, for_all)
        })
    }
}

fn problem(manifest: &Manifest, kind: impl Into<ProblemKind>, span: Option<Range<usize>>) -> Problem {
    let kind = kind.into();
    let help = match &kind {
        ProblemKind::File(_) => Some("relative paths are relative to the manifest's folder"),
        ProblemKind::Tree(TreeProblem::Symlink { .. }) => Some(
            "a symlink may lead to what is sent along with it, by a relative path; leave others out with `exclude`, \
             or put a copy in their place",
        ),
        ProblemKind::Tree(TreeProblem::Collision { .. }) => {
            Some("give one of them another `path`, or leave the file out of the other with `exclude`")
        }
        ProblemKind::Tree(TreeProblem::Nothing { .. }) => {
            Some("see whether `include`, `exclude` and `.shipitignore` say what you mean")
        }
        ProblemKind::Tree(
            TreeProblem::Special { .. } | TreeProblem::NameNotUtf8 { .. } | TreeProblem::NameControl { .. },
        ) => Some("leave it out with `exclude`, or in `.shipitignore`"),
        ProblemKind::Tree(TreeProblem::InstalledFolder { .. }) => {
            Some("name its files one by one, or have a `link` lead to the folder")
        }
        _ => None,
    };
    Problem::new(kind, &manifest.source).at_maybe(span).help(help.map(str::to_owned))
}

struct Reader {
    files: OtherFiles,
    to_hash: Vec<Unhashed>,
    taken: BTreeMap<String, Taken>,
}

/// A file that is still to be read.
struct Unhashed {
    from: PathBuf,
    path: ReleasePath,
    folder: Option<ReleasePath>,
    mode: Option<u32>,
}

type At<'a> = dyn FnMut(ProblemKind) + 'a;

impl Reader {
    fn folder(&mut self, entry: &FileEntry, at: &mut At<'_>) {
        let (tree, problems) = tree::walk(entry);
        if problems.is_empty() && (tree.is_empty() || tree.folders.contains("")) {
            at(TreeProblem::Nothing { path: entry.source.display().to_string() }.into());
        }
        problems.into_iter().for_each(|problem| at(problem.into()));
        let Ok(top) = entry.path.as_str().parse::<ReleasePath>() else { return };
        let below = |path: &str| if path.is_empty() { top.to_string() } else { format!("{top}/{path}") };
        for path in tree.folders.iter().map(String::as_str).chain(tree.is_empty().then_some("")) {
            if let Some(path) = self.place(&below(path), Taken::Folder, at) {
                self.files.skeleton.folders.push(path);
            }
        }
        for (path, target) in &tree.symlinks {
            let path = self.place(&below(path), Taken::Leaf, at);
            // One that is no target was reported as such.
            if let (Some(path), Ok(target)) = (path, target.parse::<LinkTarget>()) {
                self.files.skeleton.symlinks.push(Symlink { path, target });
            }
        }
        for (path, from) in tree.files {
            if let Some(path) = self.place(&below(&path), Taken::Leaf, at) {
                self.to_hash.push(Unhashed { from, path, folder: Some(top.clone()), mode: entry.mode });
            }
        }
    }

    fn file(&mut self, entry: &FileEntry, at: &mut At<'_>) {
        if let Err(kind) = text_file::open("the file", &entry.source) {
            return at((*kind).into());
        }
        if let Some(path) = self.place(entry.path.as_str(), Taken::Leaf, at) {
            let from = entry.source.clone();
            self.to_hash.push(Unhashed { from, path, folder: None, mode: entry.mode });
        }
    }

    fn template(&mut self, entry: &FileEntry, at: &mut At<'_>) {
        match read_text("the template", &entry.source) {
            Ok(source) => {
                let executable = std::fs::metadata(&entry.source).is_ok_and(|metadata| executable(&metadata));
                if let Some(path) = self.place(entry.path.as_str(), Taken::Leaf, at) {
                    let mode = mode(entry.mode, executable);
                    let installed = match &entry.outside {
                        Some(Outside::Install(installation)) => installation.mode.map(Mode::of),
                        Some(Outside::Link(_)) | None => None,
                    };
                    self.files.templates.push(Template { path, mode, installed, source });
                }
            }
            Err(kind) => at((*kind).into()),
        }
    }

    /// Takes a place in the release, with the folders that it is in.
    fn place(&mut self, path: &str, as_what: Taken, at: &mut At<'_>) -> Option<ReleasePath> {
        let Ok(placed) = path.parse::<ReleasePath>() else {
            at(TreeProblem::PathTooLong { path: path.to_owned() }.into());
            return None;
        };
        for (end, _) in path.match_indices('/') {
            let above = path.get(..end).unwrap_or_default();
            match self.taken.get(above) {
                Some(Taken::Folder) => {}
                Some(Taken::Leaf) => {
                    at(TreeProblem::Collision { path: above.to_owned() }.into());
                    return None;
                }
                None => {
                    self.taken.insert(above.to_owned(), Taken::Folder);
                }
            }
        }
        match (self.taken.insert(path.to_owned(), as_what), as_what) {
            (None, _) | (Some(Taken::Folder), Taken::Folder) => Some(placed),
            (Some(_), _) => {
                at(TreeProblem::Collision { path: path.to_owned() }.into());
                None
            }
        }
    }
}

fn mode(wanted: Option<u32>, executable: bool) -> Mode {
    Mode::of(wanted.unwrap_or(if executable { 0o755 } else { 0o644 }))
}

/// Reads files and hashes them, several at once.
fn hash_all(files: &[Unhashed]) -> Vec<(&Path, std::io::Result<Artifact>)> {
    let each = files.len().div_ceil(HASHING).max(1);
    std::thread::scope(|scope| {
        let threads: Vec<_> = files
            .chunks(each)
            .map(|chunk| {
                scope.spawn(move || chunk.iter().map(|file| (file.from.as_path(), file.hash())).collect())
            })
            .collect();
        let lost = || vec![(Path::new(""), Err(std::io::ErrorKind::Other.into()))];
        threads.into_iter().flat_map(|thread| thread.join().unwrap_or_else(|_| lost())).collect()
    })
}

impl Unhashed {
    fn hash(&self) -> std::io::Result<Artifact> {
        let metadata = std::fs::metadata(&self.from)?;
        let (sha256, size, blocks) = hash(&self.from)?;
        let content = Content::File { path: self.from.clone(), modified: metadata.modified().ok() };
        let mode = mode(self.mode, executable(&metadata));
        let role = Role::File { path: self.path.clone(), folder: self.folder.clone() };
        Ok(Artifact { role, path: self.path.clone(), mode, size, sha256, blocks, content })
    }
}
