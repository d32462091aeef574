//! What `files` of a manifest says: what goes into a release beside the program, its units and its env file.
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use globset::{GlobBuilder, GlobSet, GlobSetBuilder};
use thiserror::Error;

use super::name::UserName;

/// What stands in a release already, or is kept there by the host.
const RESERVED: [&str; 6] = ["bin", "units", "env", "release.json", "good", "sealed"];

/// An entry of `files`: a file, or a folder with all that is in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileEntry {
    /// Where it is here.
    pub source: PathBuf,
    /// Where it stands in the release.
    pub path: EntryPath,
    /// The permission bits of its files; `None`: 0755 for what is executable here, 0644 for what is not.
    pub mode: Option<u32>,
    /// Of a folder, only what one of these fits; all of it where there is none.
    pub include: Vec<GlobPattern>,
    /// Of a folder, what is left out.
    pub exclude: Vec<GlobPattern>,
    /// How it gets to where other programs look, if it is to be there.
    pub outside: Option<Outside>,
    /// A program for the host's shell that must succeed before anybody is told of the change.
    pub validate: Option<String>,
    /// A program for the host's shell that tells of it.
    pub on_change: Option<String>,
}

/// How a file of the release gets to a place outside of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outside {
    /// A symlink there leads to it.
    Link(HostPath),
    /// A copy of it stands there.
    Install(Installation),
}

impl Outside {
    /// Where.
    #[must_use]
    pub fn place(&self) -> &HostPath {
        match self {
            Self::Link(place) => place,
            Self::Install(installation) => &installation.place,
        }
    }
}

/// A copy of a file, and whose it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Installation {
    /// Where it stands.
    pub place: HostPath,
    /// Whose it is; `None`: of the one who puts it there.
    pub owner: Option<UserName>,
    /// Its group; `None`: the group of the one who puts it there.
    pub group: Option<UserName>,
    /// Its permission bits; `None`: those that it has in the release.
    pub mode: Option<u32>,
}

/// A place on a host: absolute, or in the home directory of the login user.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct HostPath(String);

/// Why a text is no place on a host.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Error)]
#[error("`{}` is not an absolute path on a host", .0.escape_debug())]
pub struct HostPathError(pub String);

impl HostPath {
    /// The path, with `~/` for the home directory.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for HostPath {
    type Err = HostPathError;

    fn from_str(text: &str) -> Result<Self, HostPathError> {
        let below = text.strip_prefix("~/").or_else(|| text.strip_prefix('/'));
        let named = below.is_some_and(|below| below.split('/').all(|part| !matches!(part, "" | "." | "..")));
        let fits = named && text.len() < 4096 && !text.chars().any(char::is_control);
        if fits { Ok(Self(text.to_owned())) } else { Err(HostPathError(text.to_owned())) }
    }
}

/// Where an entry stands in the release: relative, made of plain names, and at no place that is taken.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EntryPath(String);

/// Why a text is no place in a release.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Error)]
#[non_exhaustive]
pub enum EntryPathError {
    /// There is nothing.
    #[error("it is empty")]
    Empty,
    /// It begins at the root of the host.
    #[error("it begins with `/`: it is relative to the release")]
    Absolute,
    /// It has a part that is no name.
    #[error("`{}` in it is not a plain name", .0.escape_debug())]
    Part(String),
    /// It has a control character in it.
    #[error("it has a control character in it")]
    Control,
    /// It is longer than Linux takes.
    #[error("it is too long")]
    TooLong,
    /// It is where something else stands.
    #[error("`{0}` at the top of a release is shipit's own")]
    Reserved(String),
}

impl EntryPath {
    /// The path as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for EntryPath {
    type Err = EntryPathError;

    fn from_str(text: &str) -> Result<Self, EntryPathError> {
        let path = text.strip_suffix('/').unwrap_or(text);
        if text.is_empty() {
            return Err(EntryPathError::Empty);
        }
        if text.starts_with('/') {
            return Err(EntryPathError::Absolute);
        }
        if text.chars().any(char::is_control) {
            return Err(EntryPathError::Control);
        }
        // PATH_MAX and NAME_MAX of Linux, with room for what is below a folder and above a release.
        if path.len() > 2048 || path.split('/').any(|part| part.len() > 255) {
            return Err(EntryPathError::TooLong);
        }
        if let Some(part) = path.split('/').find(|part| matches!(*part, "" | "." | "..")) {
            return Err(EntryPathError::Part(part.to_owned()));
        }
        let top = path.split('/').next().unwrap_or_default();
        if RESERVED.contains(&top) {
            return Err(EntryPathError::Reserved(top.to_owned()));
        }
        Ok(Self(path.to_owned()))
    }
}

impl fmt::Display for EntryPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// A pattern for paths below a folder. One without a slash fits a name at any depth, and one that fits a folder fits
/// all that is in it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct GlobPattern(String);

/// Why a text is no pattern.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Error)]
#[error("`{}` is not a pattern: {reason}", pattern.escape_debug())]
pub struct GlobError {
    /// The text.
    pub pattern: String,
    /// What is wrong with it.
    pub reason: String,
}

impl GlobPattern {
    /// The pattern as it was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What fits a path when any of the patterns does.
    ///
    /// # Errors
    ///
    /// When they are too many to be put together.
    pub fn set(patterns: &[Self]) -> Result<GlobSet, GlobError> {
        let mut set = GlobSetBuilder::new();
        for pattern in patterns {
            set.add(glob(&pattern.0)?);
        }
        set.build().map_err(|error| GlobError {
            pattern: patterns.first().map(|pattern| pattern.0.clone()).unwrap_or_default(),
            reason: error.kind().to_string(),
        })
    }
}

fn glob(text: &str) -> Result<globset::Glob, GlobError> {
    let error = |reason: String| GlobError { pattern: text.to_owned(), reason };
    let bare = text.trim_end_matches('/');
    let anchored = match bare.strip_prefix('/') {
        Some(below) => below.to_owned(),
        None if bare.contains('/') => bare.to_owned(),
        None => format!("**/{bare}"),
    };
    if bare.is_empty() {
        return Err(error("it is empty".to_owned()));
    }
    let built = GlobBuilder::new(&anchored).literal_separator(true).backslash_escape(true).build();
    built.map_err(|found| error(found.kind().to_string()))
}

impl FromStr for GlobPattern {
    type Err = GlobError;

    fn from_str(text: &str) -> Result<Self, GlobError> {
        glob(text).map(|_| Self(text.to_owned()))
    }
}

/// What is wrong with a file or a folder that `files` names.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Error)]
#[non_exhaustive]
pub enum TreeProblem {
    /// Its name is not text.
    #[error("`{path}` has a name that is not UTF-8")]
    NameNotUtf8 {
        /// The file, with what is no text replaced.
        path: String,
    },
    /// Its name would not stand on one line.
    #[error("`{}` has a control character in its name", path.escape_debug())]
    NameControl {
        /// The file.
        path: String,
    },
    /// Nothing of the release is there.
    #[error("nothing of the release is at `{path}`")]
    NoInput {
        /// Where.
        path: String,
    },
    /// Its path is longer than a release takes.
    #[error("`{path}` has too long a path")]
    PathTooLong {
        /// The file.
        path: String,
    },
    /// It is neither a file nor a folder nor a symlink.
    #[error("`{path}` is {kind}, and can't be sent")]
    Special {
        /// The file.
        path: String,
        /// What it is, with its article.
        kind: &'static str,
    },
    /// The system refused.
    #[error("`{path}` can't be read: {reason}")]
    Unreadable {
        /// The file.
        path: String,
        /// The system's words.
        reason: String,
    },
    /// A symlink that would not lead to the same thing on a host.
    #[error("the symlink `{path}` -> `{}` {fault}", target.escape_debug())]
    Symlink {
        /// The link.
        path: String,
        /// What it points to.
        target: String,
        /// What is wrong with it.
        fault: SymlinkFault,
    },
    /// `.shipitignore` can't be understood.
    #[error("`{path}` can't be understood: {reason}")]
    Ignore {
        /// The file.
        path: String,
        /// What is wrong.
        reason: String,
    },
    /// Two entries bring the same file, or one brings a file where the other has a folder.
    #[error("two entries of `files` bring `{path}`")]
    Collision {
        /// Where in the release.
        path: String,
    },
    /// A folder where only a file can be installed.
    #[error("`{path}` is a folder, and `install` is for one file")]
    InstalledFolder {
        /// The folder.
        path: String,
    },
    /// A folder of which nothing is left.
    #[error("nothing of the folder `{path}` is sent")]
    Nothing {
        /// The folder.
        path: String,
    },
}

/// Why a symlink can't be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Error)]
#[non_exhaustive]
pub enum SymlinkFault {
    /// It begins at the root of this machine.
    #[error("is absolute")]
    Absolute,
    /// It leads out of the folder.
    #[error("leads out of the folder")]
    Leaves,
    /// There is nothing.
    #[error("leads nowhere")]
    Dangles,
    /// What it leads to is not sent.
    #[error("leads to what is left out")]
    LeftOut,
    /// It leads to itself.
    #[error("leads round in a circle")]
    Circle,
    /// What it says is no text, or has a control character in it.
    #[error("has a target that is not plain text")]
    NotText,
}

impl TreeProblem {
    pub(super) fn severity(&self) -> super::Severity {
        match self {
            Self::Nothing { .. } => super::Severity::Warning,
            _ => super::Severity::Error,
        }
    }

    pub(super) fn code(&self) -> &'static str {
        match self {
            Self::NameNotUtf8 { .. } => "name_not_utf8",
            Self::NameControl { .. } => "name_control",
            Self::PathTooLong { .. } => "path_too_long",
            Self::Special { .. } => "special",
            Self::Unreadable { .. } => "unreadable",
            Self::Symlink { .. } => "symlink",
            Self::Ignore { .. } => "ignore",
            Self::NoInput { .. } => "no_input",
            Self::Collision { .. } => "collision",
            Self::InstalledFolder { .. } => "installed_folder",
            Self::Nothing { .. } => "nothing",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_stands_where_nothing_else_does() {
        for (text, path) in [("site", "site"), ("a/b c/", "a/b c"), ("binary", "binary"), ("a/bin", "a/bin")]
        {
            assert_eq!(text.parse::<EntryPath>().map(|path| path.0), Ok(path.to_owned()));
        }
        for text in ["", "/", "/etc", ".", "..", "a/../b", "a//b", "a\nb", "bin", "bin/x", "units/", "good"] {
            assert!(text.parse::<EntryPath>().is_err(), "{text:?}");
        }
        assert!("sealed".parse::<EntryPath>().unwrap_err().to_string().contains("shipit's own"));
        assert!("x".repeat(256).parse::<EntryPath>().is_err());
    }

    #[test]
    fn a_place_on_a_host_is_absolute() {
        for text in ["/etc/nginx/conf.d/a b.conf", "~/.config/x", "/x"] {
            assert!(text.parse::<HostPath>().is_ok(), "{text}");
        }
        for text in ["", "/", "~/", "~", "etc/x", "/etc/../x", "/etc//x", "/etc/", "/a\nb", "~root/x"] {
            assert!(text.parse::<HostPath>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn a_pattern_without_a_slash_fits_a_name_at_any_depth() {
        let fits =
            |pattern: &str, path: &str| GlobPattern::set(&[pattern.parse().unwrap()]).unwrap().is_match(path);
        assert!(fits("*.pyc", "a.pyc") && fits("*.pyc", "x/y/a.pyc"));
        assert!(fits("/a/*", "a/b") && !fits("/a/*", "a/b/c") && fits("a/**", "a/b/c"));
        assert!(fits("/top", "top") && !fits("/top", "x/top"));
        assert!(fits(".git/", ".git") && fits("{a,b}", "b") && !fits("a/*", "x/a/b"));
        assert!("[".parse::<GlobPattern>().is_err() && "".parse::<GlobPattern>().is_err());
    }
}
