//! What can be wrong with an env file.
use thiserror::Error;

use super::problem::Severity;

/// What is wrong with an env file. None of it repeats a value.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Error)]
#[non_exhaustive]
pub enum EnvProblem {
    /// A line that assigns nothing: systemd passes over it.
    #[error("line {line} has no `=`, so systemd ignores it")]
    NoAssignment {
        /// The line, from 1.
        line: usize,
    },
    /// A name that systemd takes out again.
    #[error("the name on line {line} is not one systemd takes, so the variable is not set")]
    Name {
        /// The line, from 1.
        line: usize,
    },
    /// A shell's `export`.
    #[error("line {line} begins with `export`, so systemd does not set `{name}`")]
    Export {
        /// The line, from 1.
        line: usize,
        /// The name after it.
        name: String,
    },
    /// A quote that never ends.
    #[error("the quote that begins on line {line} never ends, and takes in the rest of the file")]
    OpenQuote {
        /// The line, from 1.
        line: usize,
    },
    /// Text after a closing quote.
    #[error(
        "line {line} has text after the closing quote, and systemd makes it part of the value of `{name}`"
    )]
    AfterQuote {
        /// The line, from 1.
        line: usize,
        /// The variable.
        name: String,
    },
    /// What looks like a comment at the end of a line.
    #[error("the `#` on line {line} begins no comment, and systemd makes it part of the value of `{name}`")]
    TrailingComment {
        /// The line, from 1.
        line: usize,
        /// The variable.
        name: String,
    },
    /// A comment that ends with a backslash.
    #[error(
        "the comment on line {line} ends with a backslash, which before systemd 254 hides the next line, too"
    )]
    CommentBackslash {
        /// The line, from 1.
        line: usize,
    },
    /// A variable that is set twice.
    #[error("`{name}` is set again on line {line}: the last value counts")]
    Duplicate {
        /// The variable.
        name: String,
        /// The line of the second, from 1.
        line: usize,
    },
    /// Bytes that are no UTF-8: systemd reads none of the file.
    #[error("line {line} is not UTF-8, so systemd refuses the whole file")]
    NotUtf8 {
        /// The line, from 1.
        line: usize,
    },
    /// A NUL byte: systemd reads none of the file.
    #[error("line {line} contains a NUL byte, so systemd refuses the whole file")]
    Nul {
        /// The line, from 1.
        line: usize,
    },
}

impl EnvProblem {
    pub(super) fn severity(&self) -> Severity {
        match self {
            Self::AfterQuote { .. }
            | Self::TrailingComment { .. }
            | Self::CommentBackslash { .. }
            | Self::Duplicate { .. } => Severity::Warning,
            _ => Severity::Error,
        }
    }

    pub(super) fn code(&self) -> &'static str {
        match self {
            Self::NoAssignment { .. } => "no_assignment",
            Self::Name { .. } => "name",
            Self::Export { .. } => "export",
            Self::OpenQuote { .. } => "open_quote",
            Self::AfterQuote { .. } => "after_quote",
            Self::TrailingComment { .. } => "trailing_comment",
            Self::CommentBackslash { .. } => "comment_backslash",
            Self::Duplicate { .. } => "duplicate",
            Self::NotUtf8 { .. } => "not_utf8",
            Self::Nul { .. } => "nul",
        }
    }

    pub(super) fn help(&self) -> Option<&'static str> {
        Some(match self {
            Self::NoAssignment { .. } => "write `NAME=value`, or begin the line with `#` if it is a comment",
            Self::Name { .. } => "a name has letters, digits and `_`, and does not begin with a digit",
            Self::Export { .. } => "take `export` away: systemd's env files are no shell scripts",
            Self::OpenQuote { .. } => "close the quote, or escape it with a backslash",
            Self::AfterQuote { .. } => "comments stand on lines of their own",
            Self::TrailingComment { .. } => {
                "put the comment on a line of its own, or quote the value if it is meant"
            }
            Self::CommentBackslash { .. } => "take the backslash away",
            Self::Duplicate { .. } => "keep one of the two",
            Self::NotUtf8 { .. } | Self::Nul { .. } => "save the file as UTF-8 text",
        })
    }
}
