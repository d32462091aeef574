//! The text of a file together with its path, so that a problem can show where it is.
use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A file that was read: what problems point into.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct SourceText {
    /// The path as the operator would write it.
    pub path: PathBuf,
    /// All of its text.
    pub text: String,
    /// If the text was made from the file, which is a template: the host it was made for.
    pub rendered_for: Option<String>,
}

// A debug print of a problem needs no whole file, and an env file's text must not be in one.
impl fmt::Debug for SourceText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SourceText({}, {} bytes)", self.name(), self.text.len())
    }
}

impl SourceText {
    /// Puts the two together.
    #[must_use]
    pub fn new(path: impl Into<PathBuf>, text: impl Into<String>) -> Arc<Self> {
        Arc::new(Self { path: path.into(), text: text.into(), rendered_for: None })
    }

    /// A file that could not be read as text: there is a path to name, but nothing to show.
    #[must_use]
    pub fn unreadable(path: &Path) -> Arc<Self> {
        Self::new(path, "")
    }

    /// What a template in the file at `path` became for a host.
    #[must_use]
    pub fn rendered(path: impl Into<PathBuf>, text: impl Into<String>, host: impl Into<String>) -> Arc<Self> {
        Arc::new(Self { path: path.into(), text: text.into(), rendered_for: Some(host.into()) })
    }

    /// The same with `*` for the bytes that must not be shown; every other byte stays where it is.
    #[must_use]
    pub fn without(&self, hidden: &[Range<usize>]) -> Arc<Self> {
        let shown = self.text.char_indices().flat_map(|(at, c)| {
            let hide = hidden.iter().any(|range| range.contains(&at)) && c != '\n';
            let stars = if hide { c.len_utf8() } else { 0 };
            std::iter::repeat_n('*', stars).chain((!hide).then_some(c))
        });
        let text = shown.collect();
        Arc::new(Self { path: self.path.clone(), text, rendered_for: self.rendered_for.clone() })
    }

    /// The path, and the host if the text was rendered for one.
    #[must_use]
    pub fn name(&self) -> String {
        match &self.rendered_for {
            Some(host) => format!("{} (rendered for {host})", self.path.display()),
            None => self.path.display().to_string(),
        }
    }

    /// The line (from 1) that the byte at `offset` stands on.
    #[must_use]
    pub fn line(&self, offset: usize) -> usize {
        let before = self.text.as_bytes().get(..offset).unwrap_or(self.text.as_bytes());
        1 + before.iter().filter(|&&b| b == b'\n').count()
    }
}
