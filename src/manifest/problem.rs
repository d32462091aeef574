//! What is wrong with the operator's files: one value a problem, with the place it stands at.
//!
//! A problem is data. How it is shown is decided at the edge, in `cli`.
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use thiserror::Error;

use super::env_file::EnvProblem;
use super::files::TreeProblem;
use super::lint::UnitProblem;
pub use super::read_problem::ManifestProblem;
use super::secrets::SecretProblem;
use super::source::SourceText;
use super::template::TemplateProblem;

/// Whether a problem stops a deploy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Severity {
    /// It will go wrong: nothing is deployed.
    Error,
    /// It may be meant: shown, and the deploy goes on.
    Warning,
}

/// A place in a file, and what to say about it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Label {
    /// The bytes.
    pub span: Range<usize>,
    /// What is there.
    pub text: String,
}

/// One problem in one file.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Problem {
    /// Whether it stops a deploy.
    pub severity: Severity,
    /// What it is; its `Display` is the message.
    pub kind: ProblemKind,
    /// The file it is in.
    pub file: Arc<SourceText>,
    /// The offending bytes, where there are any to show.
    pub span: Option<Range<usize>>,
    /// What to write under them.
    pub label: Option<String>,
    /// A second place that has to do with it, such as the first of two duplicates.
    pub also: Option<Label>,
    /// What to do about it.
    pub help: Option<String>,
}

impl Problem {
    /// A problem of a file, so far without a place in it.
    #[must_use]
    pub fn new(kind: impl Into<ProblemKind>, file: &Arc<SourceText>) -> Self {
        let kind = kind.into();
        Self {
            severity: kind.severity(),
            kind,
            file: Arc::clone(file),
            span: None,
            label: None,
            also: None,
            help: None,
        }
    }

    /// Points at bytes of the file.
    #[must_use]
    pub fn at(mut self, span: Range<usize>) -> Self {
        self.span = Some(span);
        self
    }

    /// Points at bytes of the file, if it is known which.
    #[must_use]
    pub fn at_maybe(mut self, span: Option<Range<usize>>) -> Self {
        self.span = span;
        self
    }

    /// What is written under the bytes.
    #[must_use]
    pub fn label(mut self, label: impl Into<String>) -> Self {
        self.label = Some(label.into());
        self
    }

    /// A second place that has to do with it.
    #[must_use]
    pub fn also(mut self, span: Range<usize>, text: impl Into<String>) -> Self {
        self.also = Some(Label { span, text: text.into() });
        self
    }

    /// What to do about it.
    #[must_use]
    pub fn help(mut self, help: impl Into<Option<String>>) -> Self {
        self.help = help.into();
        self
    }

    /// The line (from 1) of the offending bytes.
    #[must_use]
    pub fn line(&self) -> Option<usize> {
        self.span.as_ref().map(|span| self.file.line(span.start))
    }

    /// Its name for documentation and machines, such as `shipit::manifest::unknown_key`.
    #[must_use]
    pub fn code(&self) -> String {
        self.kind.code()
    }
}

/// `deploy.yaml:3: the message`, for a line of a log.
impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", self.file.path.display())?;
        if let Some(line) = self.line() {
            write!(f, "{line}:")?;
        }
        write!(f, " {}", self.kind)
    }
}

impl std::error::Error for Problem {}

/// Whether any of the problems stops a deploy.
#[must_use]
pub fn any_error(problems: &[Problem]) -> bool {
    problems.iter().any(|problem| problem.severity == Severity::Error)
}

/// What a problem is: of the manifest, or of a file that it names.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Error)]
#[non_exhaustive]
pub enum ProblemKind {
    /// A file can't be read.
    #[error(transparent)]
    File(#[from] FileProblem),
    /// The manifest says something that can't be meant.
    #[error(transparent)]
    Manifest(#[from] ManifestProblem),
    /// A template can't be rendered.
    #[error(transparent)]
    Template(#[from] TemplateProblem),
    /// A unit file has a trap in it.
    #[error(transparent)]
    Unit(#[from] UnitProblem),
    /// An env file is not what systemd reads.
    #[error(transparent)]
    Env(#[from] EnvProblem),
    /// A binary can't be the program of a service.
    #[error(transparent)]
    Binary(#[from] BinaryProblem),
    /// A secret can't be had.
    #[error(transparent)]
    Secret(#[from] SecretProblem),
    /// A file or folder of `files` can't be sent.
    #[error(transparent)]
    Tree(#[from] TreeProblem),
}

impl ProblemKind {
    /// Whether it stops a deploy.
    #[must_use]
    pub fn severity(&self) -> Severity {
        match self {
            Self::File(_) | Self::Template(_) | Self::Secret(_) => Severity::Error,
            Self::Manifest(problem) => problem.severity(),
            Self::Unit(problem) => problem.severity(),
            Self::Env(problem) => problem.severity(),
            Self::Binary(problem) => problem.severity(),
            Self::Tree(problem) => problem.severity(),
        }
    }

    /// Its name for documentation and machines.
    #[must_use]
    pub fn code(&self) -> String {
        let (layer, name) = match self {
            Self::File(problem) => ("file", problem.code()),
            Self::Manifest(problem) => ("manifest", problem.code()),
            Self::Template(problem) => ("template", problem.code()),
            Self::Unit(problem) => ("unit", problem.code()),
            Self::Env(problem) => ("env_file", problem.code()),
            Self::Binary(problem) => ("binary", problem.code()),
            Self::Secret(problem) => ("secret", problem.code()),
            Self::Tree(problem) => ("files", problem.code()),
        };
        format!("shipit::{layer}::{name}")
    }
}

/// What is wrong with a file as a whole.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Error)]
#[non_exhaustive]
pub enum FileProblem {
    /// There is none.
    #[error("{what} `{path}` does not exist")]
    Missing {
        /// What the file is for.
        what: &'static str,
        /// Its path.
        path: String,
    },
    /// It is a folder, a device or the like.
    #[error("{what} `{path}` is {kind}, not a file")]
    NotAFile {
        /// What the file is for.
        what: &'static str,
        /// Its path.
        path: String,
        /// What it is instead, with its article.
        kind: &'static str,
    },
    /// The system refused.
    #[error("{what} `{path}` can't be read: {reason}")]
    Unreadable {
        /// What the file is for.
        what: &'static str,
        /// Its path.
        path: String,
        /// The system's words.
        reason: String,
    },
    /// There is nothing in it.
    #[error("{what} `{path}` is empty")]
    Empty {
        /// What the file is for.
        what: &'static str,
        /// Its path.
        path: String,
    },
    /// It is larger than anything of its kind.
    #[error("{what} `{path}` is larger than {limit}")]
    TooLarge {
        /// What the file is for.
        what: &'static str,
        /// Its path.
        path: String,
        /// The limit, with its unit.
        limit: &'static str,
    },
    /// It holds bytes that are not UTF-8.
    #[error("{what} `{path}` is not UTF-8 text: byte {offset} is 0x{byte:02x}")]
    NotUtf8 {
        /// What the file is for.
        what: &'static str,
        /// Its path.
        path: String,
        /// Where the first such byte is, from 0.
        offset: usize,
        /// The byte.
        byte: u8,
    },
}

impl FileProblem {
    fn code(&self) -> &'static str {
        match self {
            Self::Missing { .. } => "missing",
            Self::NotAFile { .. } => "not_a_file",
            Self::Unreadable { .. } => "unreadable",
            Self::Empty { .. } => "empty",
            Self::TooLarge { .. } => "too_large",
            Self::NotUtf8 { .. } => "not_utf8",
        }
    }
}

/// What is wrong with a program.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Error)]
#[non_exhaustive]
pub enum BinaryProblem {
    /// It is no kind of file that Linux can start.
    #[error("`{path}` is not a program: {reason}")]
    NotAProgram {
        /// Its path.
        path: String,
        /// What it is, or what is wrong with it.
        reason: String,
    },
    /// It can't be executed where it is.
    #[error("`{path}` is not executable here")]
    NotExecutable {
        /// Its path.
        path: String,
    },
}

impl BinaryProblem {
    fn severity(&self) -> Severity {
        match self {
            Self::NotAProgram { .. } => Severity::Error,
            // It gets mode 0755 on the host whatever it has here.
            Self::NotExecutable { .. } => Severity::Warning,
        }
    }

    fn code(&self) -> &'static str {
        match self {
            Self::NotAProgram { .. } => "not_a_program",
            Self::NotExecutable { .. } => "not_executable",
        }
    }
}
