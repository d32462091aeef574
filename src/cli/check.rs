//! `shipit check`: everything that can be told without a host, all at once.
use std::io::{self, Write};
use std::path::Path;

use super::error::CliError;
use super::exit_code::Exit;
use super::global::{GlobalArgs, ManifestArgs};
use super::pinned;
use super::problem::{Look, ProblemReport};
use super::provenance;
use crate::manifest::problem::any_error;
use crate::manifest::{Manifest, Problem, Severity, load};
use crate::release;

/// Check the manifest and the files it names, without connecting to any host
#[derive(Debug, clap::Args)]
pub(super) struct CheckArgs {
    /// Which manifest.
    #[command(flatten)]
    pub(crate) manifest: ManifestArgs,
}

/// Shows every problem, and says in one line how it stands.
pub(super) fn check(args: &CheckArgs, global: &GlobalArgs) -> Result<Exit, CliError> {
    let look = global.look();
    let written = write(&args.manifest.manifest, &mut io::stdout().lock(), &mut io::stderr().lock(), look);
    written.map_err(|source| CliError::Local { what: "the result could not be printed", source })
}

fn write(path: &Path, out: &mut dyn Write, err: &mut dyn Write, look: Look) -> io::Result<Exit> {
    let (manifest, problems) = match load(path) {
        Ok(loaded) => {
            let mut problems = loaded.warnings;
            let revision = provenance::template_revision(&loaded.manifest.dir);
            problems.extend(release::check(&loaded.manifest, revision.as_ref()));
            problems.extend(pinned::problems(&loaded.manifest));
            (Some(loaded.manifest), problems)
        }
        Err(error) => (None, error.problems),
    };
    for problem in &problems {
        ProblemReport::new(problem).write(err, look)?;
    }
    match manifest {
        Some(manifest) if !any_error(&problems) => {
            writeln!(out, "{}", fine(&manifest, &problems))?;
            Ok(Exit::Done)
        }
        _ => {
            writeln!(err, "{}", broken(path, &problems))?;
            Ok(Exit::Usage)
        }
    }
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
