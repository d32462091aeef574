//! `shipit check`: everything that can be told without a host, all at once.
use std::io::{self, Write};
use std::path::Path;

use serde::Serialize;

use super::error::CliError;
use super::exit_code::Exit;
use super::global::{Format, GlobalArgs, ManifestArgs};
use super::pinned;
use super::problem::{Look, ProblemReport};
use super::provenance;
use crate::manifest::problem::any_error;
use crate::manifest::{Manifest, Problem, Severity, load};
use crate::release;
use crate::report::{SCHEMA_VERSION, json_line};

/// Check the manifest and the files it names, without connecting to any host
#[derive(Debug, clap::Args)]
pub(super) struct CheckArgs {
    /// Which manifest.
    #[command(flatten)]
    pub(crate) manifest: ManifestArgs,
}

/// Shows every problem, and says in one line how it stands.
pub(super) fn check(args: &CheckArgs, global: &GlobalArgs) -> Result<Exit, CliError> {
    let path = &args.manifest.manifest;
    let found = Found::of(path);
    let written = match global.format {
        Format::Text => found.write(path, &mut io::stdout().lock(), &mut io::stderr().lock(), global.look()),
        Format::Json => found.write_json(path, &mut io::stdout().lock()),
    };
    match written {
        // `shipit check | head` is fine.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(found.exit()),
        Err(source) => Err(CliError::Local { what: "the result could not be printed", source }),
        Ok(()) => Ok(found.exit()),
    }
}

/// What there is to say of a manifest; the manifest itself where it could be read.
struct Found {
    manifest: Option<Manifest>,
    problems: Vec<Problem>,
}

impl Found {
    fn of(path: &Path) -> Self {
        match load(path) {
            Ok(loaded) => {
                let mut problems = loaded.warnings;
                let revision = provenance::template_revision(&loaded.manifest.dir);
                problems.extend(release::check(&loaded.manifest, revision.as_ref()));
                problems.extend(pinned::problems(&loaded.manifest));
                Self { manifest: Some(loaded.manifest), problems }
            }
            Err(error) => Self { manifest: None, problems: error.problems },
        }
    }

    /// The manifest, if all is fine.
    fn fine(&self) -> Option<&Manifest> {
        self.manifest.as_ref().filter(|_| !any_error(&self.problems))
    }

    fn exit(&self) -> Exit {
        if self.fine().is_some() { Exit::Done } else { Exit::Usage }
    }

    fn write(&self, path: &Path, out: &mut dyn Write, err: &mut dyn Write, look: Look) -> io::Result<()> {
        for problem in &self.problems {
            ProblemReport::new(problem).write(err, look)?;
        }
        match self.fine() {
            Some(manifest) => writeln!(out, "{}", fine(manifest, &self.problems)),
            None => writeln!(err, "{}", broken(path, &self.problems)),
        }
    }

    /// A line a problem, then one that adds up.
    fn write_json(&self, path: &Path, out: &mut dyn Write) -> io::Result<()> {
        for problem in &self.problems {
            out.write_all(json_line(&ProblemLine::of(problem)).as_bytes())?;
        }
        let errors = self.problems.iter().filter(|problem| problem.severity == Severity::Error).count();
        let total = Total {
            v: SCHEMA_VERSION,
            check: if self.fine().is_some() { "fine" } else { "broken" },
            manifest: path.display().to_string(),
            errors,
            warnings: self.problems.len() - errors,
        };
        out.write_all(json_line(&total).as_bytes())
    }
}

/// A problem, as `--format json` has it.
#[derive(Serialize)]
struct ProblemLine {
    v: u32,
    severity: &'static str,
    code: String,
    file: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    line: Option<usize>,
    message: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    help: Option<String>,
}

impl ProblemLine {
    fn of(problem: &Problem) -> Self {
        Self {
            v: SCHEMA_VERSION,
            severity: match problem.severity {
                Severity::Error => "error",
                Severity::Warning => "warning",
            },
            code: problem.code(),
            file: problem.file.path.display().to_string(),
            line: problem.line(),
            message: problem.kind.to_string(),
            help: problem.help.clone(),
        }
    }
}

/// The last line.
#[derive(Serialize)]
struct Total {
    v: u32,
    check: &'static str,
    manifest: String,
    errors: usize,
    warnings: usize,
}

fn fine(manifest: &Manifest, warnings: &[Problem]) -> String {
    let environments = counted(manifest.environments.len(), "environment");
    let hosts = counted(manifest.host_count(), "host");
    let text = format!("{} is fine: {}, {environments}, {hosts}", manifest.path.display(), manifest.name);
    match warnings.len() {
        0 => text,
        n => format!("{text}; {}", counted(n, "warning")),
    }
}

fn broken(path: &Path, problems: &[Problem]) -> String {
    let errors = problems.iter().filter(|problem| problem.severity == Severity::Error).count();
    let text = format!("{}: {}", path.display(), counted(errors, "error"));
    match problems.len() - errors {
        0 => text,
        n => format!("{text}, {}", counted(n, "warning")),
    }
}

fn counted(n: usize, noun: &str) -> String {
    if n == 1 { format!("1 {noun}") } else { format!("{n} {noun}s") }
}
