//! From a manifest's files to the release of one host.
//!
//! [`Sources::open`] reads every file once: the binary is hashed as a stream, so its size doesn't matter; unit files
//! and the env file are small and kept. [`Sources::release`] then renders the templates for a host.
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::sync::Arc;

use sha2::{Digest, Sha256};

use super::artifact::{Artifact, Content, Role};
use super::binary::{BinaryError, BinaryKind};
use super::blocks::{BlockHasher, Blocks};
use super::digest::{ContentDigest, Sha256Digest};
use super::files::OtherFiles;
use super::prepared::{Prepared, prepared};
use super::skeleton::Skeleton;
use crate::manifest::env_file::masked_template;
use crate::manifest::problem::{BinaryProblem, FileProblem, any_error};
use crate::manifest::template::{self, Needs, TemplateContext, TemplateInputs, Used};
use crate::manifest::text_file::{self, Limit};
use crate::manifest::{
    EnvFile, Environment, Host, Manifest, Problem, ServiceName, SourceText, UnitFile, UnitFiles, UnitName,
    lint,
};

/// systemd itself takes 1 MiB of a line; a unit or env file has a few KB.
const MAX_TEXT: Limit = Limit { bytes: 1024 * 1024, words: "1 MiB" };

/// The files of a manifest, read once.
#[derive(Debug, Clone)]
pub struct Sources {
    binary: Option<(Artifact, BinaryKind)>,
    units: Vec<(Role, Arc<SourceText>)>,
    env_file: Option<EnvSource>,
    others: OtherFiles,
    /// Problems that don't stop a deploy.
    pub warnings: Vec<Problem>,
}

#[derive(Clone)]
enum EnvSource {
    Plain(Arc<SourceText>),
    Template { source: Arc<SourceText>, shown: Arc<SourceText> },
}

// The text may be secret.
impl std::fmt::Debug for EnvSource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Plain(_) => "Plain",
            Self::Template { .. } => "Template",
        })
    }
}

/// All that one host gets.
#[derive(Debug, Clone)]
pub struct Release {
    /// The service.
    pub service: ServiceName,
    /// Its files: the binary, the units in the manifest's order, the env file, then all others.
    pub artifacts: Vec<Artifact>,
    /// What it has beside files.
    pub skeleton: Skeleton,
    /// The folders that are built for it on the host.
    pub prepared: Vec<Prepared>,
    /// The hash of all of them.
    pub digest: ContentDigest,
    /// What kind of program the binary is.
    pub binary: Option<BinaryKind>,
    /// The units that are started, in the order they are started in, each as systemd will see it: its file, or that of
    /// its template, and its drop-ins.
    pub started: Vec<(UnitName, UnitFile)>,
    /// The units, templates and instances that the login user's manager runs, in a service of the system's.
    pub users_units: Vec<UnitName>,
    /// The env file, read.
    pub env: Option<EnvFile>,
    /// Problems that don't stop a deploy.
    pub warnings: Vec<Problem>,
}

impl Sources {
    /// Reads the files.
    ///
    /// # Errors
    ///
    /// When a file is missing, can't be read, or is not what it should be: with all such problems at once, and the
    /// warnings among them.
    pub fn open(manifest: &Manifest) -> Result<Self, Vec<Problem>> {
        let mut problems = Vec::new();
        let binary = manifest.binary.as_deref().and_then(|path| open_binary(manifest, path, &mut problems));
        let mut units = Vec::new();
        let files = manifest.units.iter().map(|unit| (Role::Unit(unit.name.clone()), &unit.path));
        let drop_ins = manifest
            .drop_ins
            .iter()
            .map(|drop_in| (Role::DropIn(drop_in.unit.clone(), drop_in.name.clone()), &drop_in.path));
        for (role, path) in files.chain(drop_ins) {
            let (what, name) = match &role {
                Role::DropIn(unit, name) => ("the drop-in", format!("{unit}.d/{name}")),
                Role::Unit(name) => ("the unit file", name.to_string()),
                Role::Binary | Role::EnvFile | Role::File { .. } => continue,
            };
            let span = manifest.spans.get(&format!("units.{name}"));
            match read_text(what, path) {
                Ok(source) => units.push((role, source)),
                Err(kind) => problems.push(at(manifest, *kind, span)),
            }
        }
        for unit in &manifest.units {
            if let Some(name) = unit.credentials_drop_in() {
                units.push((Role::DropIn(unit.name.clone(), name), manifest.credentials_text(unit)));
            }
        }
        let env_file =
            manifest.env_file.as_deref().and_then(|path| open_env_file(manifest, path, &mut problems));
        let others = OtherFiles::open(manifest, &mut problems);
        if any_error(&problems) {
            return Err(problems);
        }
        Ok(Self { binary, units, env_file, others, warnings: problems })
    }

    /// Makes the release of one host: renders the templates, and looks at what they became.
    ///
    /// # Errors
    ///
    /// When a template fails, or a unit or the env file has an error in it.
    pub fn release(
        &self,
        manifest: &Manifest,
        environment: &Environment,
        host: &Host,
        inputs: &TemplateInputs,
    ) -> Result<Release, Vec<Problem>> {
        let context = TemplateContext::new(manifest, environment, host, inputs);
        let mut problems = self.lint_templates();
        let mut artifacts = Vec::new();
        if let Some((artifact, _)) = &self.binary {
            artifacts.push(artifact.clone());
        }
        let mut units = UnitFiles::default();
        for (role, source) in &self.units {
            let text = match rendered(source, source, &context) {
                Ok(text) => text,
                Err(problem) => {
                    problems.push(*problem);
                    continue;
                }
            };
            artifacts.push(small(role.clone(), manifest, text.text.as_bytes()));
            let (file, found) = UnitFile::parse(&text);
            problems.extend(found);
            match role {
                Role::Unit(name) => units.files.push((name.clone(), file)),
                Role::DropIn(unit, name) => units.drop_ins.push((unit.clone(), name.clone(), file)),
                Role::Binary | Role::EnvFile | Role::File { .. } => {}
            }
        }
        // A unit that could not be rendered may be the one that another rule misses.
        if units.files.len() + units.drop_ins.len() == self.units.len() {
            problems.extend(lint::lint(manifest, &units));
        }
        let env = match self.env_file.as_ref().map(|source| source.render(&context)) {
            None => None,
            Some(Ok(text)) => {
                artifacts.push(small(Role::EnvFile, manifest, text.text.as_bytes()));
                let mut env = EnvFile::parse(&text.path, text.text.as_bytes());
                problems.append(&mut env.problems);
                problems.extend(self.mangled(&context, &text, &env));
                Some(env)
            }
            Some(Err(problem)) => {
                problems.push(*problem);
                None
            }
        };
        let mut skeleton = self.others.render(&context, &mut artifacts, &mut problems);
        let prepared = prepared(manifest, &artifacts, &mut skeleton, &mut problems);
        if any_error(&problems) {
            return Err(problems);
        }
        Ok(Release {
            service: manifest.name.clone(),
            digest: ContentDigest::with_skeleton(&artifacts, &skeleton),
            artifacts,
            skeleton,
            prepared,
            binary: self.binary.as_ref().map(|(_, kind)| kind.clone()),
            started: units.started(manifest),
            users_units: manifest.users_units().cloned().collect(),
            env,
            warnings: problems,
        })
    }

    /// What the templates among the files use.
    pub(super) fn used(&self) -> Vec<Used> {
        self.templates().map(|(source, ..)| template::used(source)).collect()
    }

    /// What each of the templates among the files needs.
    #[must_use]
    pub fn needs(&self) -> Vec<Needs> {
        self.templates().map(|(source, ..)| template::needs(source)).collect()
    }

    /// Whether the file at `path` can only be made once the host was looked at.
    #[must_use]
    pub fn needs_host(&self, manifest: &Manifest, path: &Path) -> bool {
        self.templates().any(|(source, ..)| source.path == path && template::needs(source).host(manifest))
    }

    /// The templates: each with the text that its problems point into, and what it is if everybody can read it.
    fn templates(&self) -> impl Iterator<Item = (&Arc<SourceText>, &Arc<SourceText>, Option<&'static str>)> {
        let env = match &self.env_file {
            Some(EnvSource::Template { source, shown }) => Some((source, shown, None)),
            Some(EnvSource::Plain(_)) | None => None,
        };
        let units = self.units.iter().map(|(_, source)| (source, source, Some("a unit file")));
        let templates = units.chain(env).filter(|(source, ..)| template::is_template(&source.path));
        templates.chain(self.others.templates())
    }

    fn lint_templates(&self) -> Vec<Problem> {
        self.templates().flat_map(|(source, shown, for_all)| template::lint(source, shown, for_all)).collect()
    }

    /// The secrets that would not come through the env file as they are.
    fn mangled(&self, context: &TemplateContext, text: &SourceText, env: &EnvFile) -> Vec<Problem> {
        match &self.env_file {
            Some(EnvSource::Template { source, shown }) => {
                template::mangled(source, shown, context, &text.text, &env.entries)
            }
            Some(EnvSource::Plain(_)) | None => Vec::new(),
        }
    }
}

impl EnvSource {
    fn render(&self, context: &TemplateContext) -> Result<Arc<SourceText>, Box<Problem>> {
        match self {
            Self::Plain(source) => Ok(Arc::clone(source)),
            Self::Template { source, shown } => rendered(source, shown, context),
        }
    }
}

fn rendered(
    source: &Arc<SourceText>,
    shown: &Arc<SourceText>,
    context: &TemplateContext,
) -> Result<Arc<SourceText>, Box<Problem>> {
    if !template::is_template(&source.path) {
        return Ok(Arc::clone(source));
    }
    let text = template::render(source, shown, context)?;
    Ok(SourceText::rendered(&source.path, text, context.host()))
}

fn small(role: Role, manifest: &Manifest, bytes: &[u8]) -> Artifact {
    Artifact {
        path: role.path(&manifest.name),
        mode: role.mode(),
        role,
        size: bytes.len() as u64,
        sha256: Sha256Digest::of(bytes),
        blocks: None,
        content: Content::Text(Arc::from(bytes)),
    }
}

/// A problem that the manifest names the cause of.
fn at(
    manifest: &Manifest,
    kind: impl Into<crate::manifest::ProblemKind>,
    span: Option<std::ops::Range<usize>>,
) -> Problem {
    let problem = Problem::new(kind, &manifest.source).at_maybe(span);
    problem.help("relative paths are relative to the manifest's folder".to_owned())
}

pub(super) fn read_text(what: &'static str, path: &Path) -> Result<Arc<SourceText>, Box<FileProblem>> {
    let bytes = text_file::read_bytes(what, path, MAX_TEXT)?;
    text_file::text(what, path, bytes)
}

fn open_env_file(manifest: &Manifest, path: &Path, problems: &mut Vec<Problem>) -> Option<EnvSource> {
    let bytes = match text_file::read_bytes("the env file", path, MAX_TEXT) {
        Ok(bytes) => bytes,
        Err(kind) => {
            problems.push(at(manifest, *kind, manifest.spans.get("env_file")));
            return None;
        }
    };
    match String::from_utf8(bytes) {
        Ok(text) => {
            let source = SourceText::new(path, text);
            if template::is_template(path) {
                return Some(EnvSource::Template { shown: masked_template(&source), source });
            }
            Some(EnvSource::Plain(source))
        }
        Err(error) => {
            // The parser says on which line, without showing it.
            problems.extend(EnvFile::parse(path, error.as_bytes()).problems);
            None
        }
    }
}

fn open_binary(
    manifest: &Manifest,
    path: &Path,
    problems: &mut Vec<Problem>,
) -> Option<(Artifact, BinaryKind)> {
    let span = manifest.spans.get("binary");
    let shown = path.display().to_string();
    let opened = text_file::open("the binary", path).map_err(|kind| {
        let missing = matches!(*kind, FileProblem::Missing { .. });
        let problem = at(manifest, *kind, span.clone());
        if missing {
            problem.help("build it first; relative paths are relative to the manifest's folder".to_owned())
        } else {
            problem
        }
    });
    let (mut file, metadata) = match opened {
        Ok(opened) => opened,
        Err(problem) => {
            problems.push(problem);
            return None;
        }
    };
    let unreadable = |error: io::Error| FileProblem::Unreadable {
        what: "the binary",
        path: shown.clone(),
        reason: error.kind().to_string(),
    };
    let kind = match BinaryKind::inspect(&mut file) {
        Ok(kind) => kind,
        Err(error) => {
            let problem = match error {
                BinaryError::Io(error) => at(manifest, unreadable(error), span),
                BinaryError::NotAProgram(_) if metadata.len() == 0 => {
                    at(manifest, FileProblem::Empty { what: "the binary", path: shown }, span)
                }
                BinaryError::NotAProgram(reason) => {
                    let problem = at(manifest, BinaryProblem::NotAProgram { path: shown, reason }, span);
                    problem.help(
                        "`binary` is the program that the service runs: an ELF file or a `#!` script"
                            .to_owned(),
                    )
                }
            };
            problems.push(problem);
            return None;
        }
    };
    if !executable(&metadata) {
        let problem = at(manifest, BinaryProblem::NotExecutable { path: shown.clone() }, span.clone());
        problems.push(
            problem.help("it becomes executable on the host; here, is it really the program?".to_owned()),
        );
    }
    match hash(path) {
        Ok((sha256, size, blocks)) => {
            let role = Role::Binary;
            let content = Content::File { path: path.to_owned(), modified: metadata.modified().ok() };
            let path = role.path(&manifest.name);
            Some((Artifact { path, mode: role.mode(), role, size, sha256, blocks, content }, kind))
        }
        Err(error) => {
            problems.push(at(manifest, unreadable(error), span));
            None
        }
    }
}

#[cfg(unix)]
pub(super) fn executable(metadata: &std::fs::Metadata) -> bool {
    std::os::unix::fs::PermissionsExt::mode(&metadata.permissions()) & 0o111 != 0
}

/// Nobody can tell.
#[cfg(not(unix))]
pub(super) fn executable(_metadata: &std::fs::Metadata) -> bool {
    true
}

/// The hash, the number of bytes hashed, and the hashes of blocks, in constant memory.
/// The whole file's hash, its size, and its blocks' hashes. The two kinds of hashes side by side: they take about as long.
pub(super) fn hash(path: &Path) -> io::Result<(Sha256Digest, u64, Option<Blocks>)> {
    let mut file = File::open(path)?;
    std::thread::scope(|scope| {
        let blocks = BlockHasher::new(file.metadata()?.len()).map(|mut hasher| {
            scope.spawn(move || {
                read_all(&mut File::open(path)?, |bytes| hasher.update(bytes))?;
                Ok::<_, io::Error>(hasher.finish())
            })
        });
        let mut hasher = Sha256::new();
        let size = read_all(&mut file, |bytes| hasher.update(bytes))?;
        let blocks = blocks.map(|thread| thread.join().unwrap_or_else(|_| Err(io::ErrorKind::Other.into())));
        Ok((Sha256Digest::new(hasher.finalize().into()), size, blocks.transpose()?))
    })
}

fn read_all(file: &mut File, mut take: impl FnMut(&[u8])) -> io::Result<u64> {
    let mut buffer = vec![0; 128 * 1024];
    let mut size = 0;
    loop {
        let read = match file.read(&mut buffer) {
            Ok(0) => return Ok(size),
            Ok(read) => buffer.get(..read).unwrap_or_default(),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        take(read);
        size += read.len() as u64;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::{self, load};

    const UNIT: &str = "[Service]\nEnvironmentFile=/etc/default/api.conf\nExecStart=/usr/local/bin/api\n\
         [Install]\nWantedBy=default.target\n";

    fn project() -> (tempfile::TempDir, Manifest) {
        let dir = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| std::fs::write(dir.path().join(name), text).unwrap();
        write("api", "#!/bin/sh\n");
        write("api.service", UNIT);
        write("api.conf.j2", "PLACE={{ PLACE }}\n");
        write(
            "deploy.yaml",
            "{name: api, binary: api, unit: api.service, env_file: api.conf.j2, environments: {prod: \
             {vars: {PLACE: there}, hosts: [web1, {host: web2, vars: {PLACE: here}}]}}}",
        );
        let manifest = load(&dir.path().join("deploy.yaml")).unwrap().manifest;
        (dir, manifest)
    }

    fn made(sources: &Sources, manifest: &Manifest, index: usize) -> Release {
        let prod = manifest.environment(None).unwrap();
        let host = &prod.hosts[index];
        sources.release(manifest, prod, host, &TemplateInputs::offline(manifest, prod, host, None)).unwrap()
    }

    #[test]
    fn a_secret_has_to_come_through_the_env_file_as_it_is() {
        let (dir, mut manifest) = project();
        let source = manifest::SecretSource::Env("T".to_owned());
        let mut prod = manifest.environments.values().next().unwrap().clone();
        prod.secrets.insert("TOKEN".parse().unwrap(), source);
        manifest.environments.insert(prod.name.clone(), prod.clone());
        let problems = |template: &str, value: &str| {
            std::fs::write(dir.path().join("api.conf.j2"), template).unwrap();
            let sources = Sources::open(&manifest).unwrap();
            let mut inputs = TemplateInputs::offline(&manifest, &prod, &prod.hosts[0], None);
            let secret = Arc::new(secrecy::SecretString::from(value));
            inputs.secrets = [("TOKEN".parse().unwrap(), secret)].into_iter().collect();
            let problems = match sources.release(&manifest, &prod, &prod.hosts[0], &inputs) {
                Ok(release) => release.warnings,
                Err(problems) => problems,
            };
            let shown =
                format!("{problems:?} {}", problems.iter().map(|p| p.file.text.as_str()).collect::<String>());
            assert!(!value.contains("hunter2") || !shown.contains("hunter2"), "{shown}");
            problems.iter().map(|problem| problem.kind.to_string()).collect::<Vec<_>>()
        };
        let mangled = ["the value of the secret `TOKEN` does not come through the env file as it is"];
        assert_eq!(problems("A={{ secrets.TOKEN }}\n", "hunter2"), [""; 0]);
        assert_eq!(problems("A=\"{{ secrets.TOKEN }}\"\n", "hunter2 3"), [""; 0]);
        assert_eq!(problems("A=x{{ secrets.TOKEN }}\n", "hunter2\\"), mangled);
        let two = problems("A={{ secrets.TOKEN }}\n", "hunter2\nhunter2");
        assert!(two.contains(&mangled[0].to_owned()), "{two:?}");
        for value in ["hunter2", " hunter2 ", "hunter2\nhunter2\n", "\"hunter2'\\`$"] {
            assert_eq!(problems("A={{ secrets.TOKEN | env_quote }}\n", value), [""; 0], "{value:?}");
        }
    }

    #[test]
    fn each_host_gets_its_own_release() {
        let (_dir, manifest) = project();
        let sources = Sources::open(&manifest).unwrap();
        let release = |index: usize| made(&sources, &manifest, index);
        let (one, two) = (release(0), release(1));
        let paths: Vec<_> = one.artifacts.iter().map(|a| format!("{} {}", a.mode, a.path)).collect();
        assert_eq!(paths, ["0755 bin/api", "0644 units/api.service", "0600 env/api.conf"]);
        assert_eq!(one.env.as_ref().unwrap().get("PLACE"), Some("there"));
        assert_eq!(two.env.as_ref().unwrap().get("PLACE"), Some("here"));
        assert_ne!(one.digest, two.digest);
        assert_eq!(one.digest, release(0).digest);
        assert_eq!(one.artifacts[0].sha256, Sha256Digest::of(b"#!/bin/sh\n"));
        assert_eq!(one.binary, Some(BinaryKind::Script { interpreter: "/bin/sh".to_owned() }));
    }

    #[test]
    fn a_binary_that_changes_after_it_was_hashed_is_noticed() {
        let (dir, manifest) = project();
        let sources = Sources::open(&manifest).unwrap();
        let release = made(&sources, &manifest, 0);
        let is_still = || release.artifacts[0].is_still(&std::fs::metadata(dir.path().join("api")).unwrap());
        assert!(is_still());
        std::fs::write(dir.path().join("api"), "#!/bin/ash\n").unwrap();
        assert!(!is_still());
    }

    #[test]
    fn no_debug_print_shows_the_env_file() {
        let (_dir, manifest) = project();
        let sources = Sources::open(&manifest).unwrap();
        let release = made(&sources, &manifest, 0);
        assert!(!format!("{sources:?} {release:?}").contains("there"));
    }

    #[test]
    fn the_example_in_the_repository_is_valid() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy.example.yaml");
        let loaded = load(&path).unwrap();
        assert!(loaded.warnings.is_empty());
        assert_eq!(loaded.manifest.name.as_str(), "simple_api");
    }
}
