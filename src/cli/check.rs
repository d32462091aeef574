//! `shipit check`: everything that can be told without a host, all at once.
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::problem::{Look, ProblemReport};
use crate::manifest::problem::any_error;
use crate::manifest::{Manifest, Problem, Severity, load};
use crate::release;

/// The exit code for a manifest that can't be used.
const EXIT_MANIFEST: u8 = 2;

/// Check the manifest and the files it names, without connecting to any host
#[derive(Debug, clap::Args)]
pub struct CheckArgs {
    /// The manifest
    #[arg(short = 'f', long = "manifest", value_name = "FILE", default_value = "deploy.yaml")]
    pub manifest: PathBuf,
}

/// Writes every problem to `err` and one closing line: to `out` if the manifest can be used. Returns the exit code.
///
/// # Errors
///
/// When writing fails.
pub fn check(args: &CheckArgs, out: &mut dyn Write, err: &mut dyn Write, look: Look) -> io::Result<u8> {
    let (manifest, problems) = match load(&args.manifest) {
        Ok(loaded) => {
            let mut problems = loaded.warnings;
            problems.extend(release::check(&loaded.manifest));
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
            Ok(0)
        }
        _ => {
            writeln!(err, "{}", broken(&args.manifest, &problems))?;
            Ok(EXIT_MANIFEST)
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
