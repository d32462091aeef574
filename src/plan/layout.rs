//! Where things stand on a host: the service's root, and the places that the system looks in.
//!
//! The one definition of what design calls the layout; the probe asks about it, the plan fills it.
use std::fmt;

use serde::Serialize;

use crate::manifest::{Manifest, ServiceName};
use crate::release::{ReleaseId, RunId};

/// An absolute path on a host. Holds no newline and no NUL byte.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct RemotePath(String);

impl RemotePath {
    /// A path as the host told it; `None` when it is relative or can't stand on one line.
    pub fn new(path: impl Into<String>) -> Option<Self> {
        let path = path.into();
        let fits = path.starts_with('/') && !path.contains(['\n', '\0']);
        fits.then_some(Self(path))
    }

    /// The path below this one. `below` is a part of shipit's own layout or a validated name.
    #[must_use]
    pub fn join(&self, below: &str) -> Self {
        debug_assert!(!below.starts_with('/') && !below.contains('\n'));
        Self(format!("{}/{below}", self.0.trim_end_matches('/')))
    }

    /// The path's text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl RemotePath {
    /// The path as a word of a command that people are shown, and may copy.
    #[must_use]
    pub fn as_word(&self) -> String {
        shell_word(&self.0)
    }
}

/// A text as one word of a shell's command, for commands that people are shown. Programs that shipit runs are made by
/// [`crate::host::Script`].
pub(super) fn shell_word(text: &str) -> String {
    let plain =
        |c: char| c.is_alphanumeric() || matches!(c, '/' | '.' | '_' | '-' | '+' | ':' | '@' | '%' | ',');
    if !text.is_empty() && !text.starts_with('-') && text.chars().all(plain) {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

impl fmt::Display for RemotePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A place the system looks in: absolute, or in the home directory, which only the host knows.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct LinkPath(String);

impl LinkPath {
    /// The path with `~/` for the home directory, as programs on the host and people read it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl LinkPath {
    /// As [`RemotePath::as_word`]. A shell knows `~/` only where it is not quoted.
    #[must_use]
    pub fn as_word(&self) -> String {
        match self.0.strip_prefix("~/") {
            Some(below) => format!("~/{}", shell_word(below)),
            None => shell_word(&self.0),
        }
    }
}

impl fmt::Display for LinkPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A link that a release wants: where, and to what below the service's root.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LinkSpec {
    /// Where the system looks.
    pub path: LinkPath,
    /// What it points to, relative to the root: always through `current`.
    pub target: String,
}

/// The layout of one service on a host of a known home directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout {
    service: ServiceName,
    root: RemotePath,
}

impl Layout {
    /// The layout for a user-scope service.
    #[must_use]
    pub fn new(home: &RemotePath, service: &ServiceName) -> Self {
        Self { service: service.clone(), root: home.join(&format!(".local/share/shipit/{service}")) }
    }

    /// The links that a manifest's release wants. Needs no host: home stays `~`.
    #[must_use]
    pub fn links(manifest: &Manifest) -> Vec<LinkSpec> {
        let name = &manifest.name;
        let mut links = Vec::new();
        if manifest.binary.is_some() {
            links.push(LinkSpec {
                path: LinkPath(format!("/usr/local/bin/{name}")),
                target: format!("current/bin/{name}"),
            });
        }
        if manifest.env_file.is_some() {
            links.push(LinkSpec {
                path: LinkPath(format!("/etc/default/{name}.conf")),
                target: format!("current/env/{name}.conf"),
            });
        }
        links.extend(manifest.units.iter().map(|unit| LinkSpec {
            path: LinkPath(format!("~/.config/systemd/user/{}", unit.name)),
            target: format!("current/units/{}", unit.name),
        }));
        links
    }

    /// Whose layout it is.
    #[must_use]
    pub fn service(&self) -> &ServiceName {
        &self.service
    }

    /// All that shipit keeps about the service on the host.
    #[must_use]
    pub fn root(&self) -> &RemotePath {
        &self.root
    }

    /// Where uploads under way have their folders.
    #[must_use]
    pub fn incoming_root(&self) -> RemotePath {
        self.root.join("incoming")
    }

    /// The folder of an upload under way.
    #[must_use]
    pub fn incoming(&self, id: &ReleaseId) -> RemotePath {
        self.root.join(&format!("incoming/{id}"))
    }

    /// The folder of an activation's run.
    #[must_use]
    pub fn run(&self, id: &RunId) -> RemotePath {
        self.root.join(&format!("runs/{id}"))
    }

    /// The folder of a complete release.
    #[must_use]
    pub fn release(&self, id: &ReleaseId) -> RemotePath {
        self.root.join(&format!("releases/{id}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_remote_path_is_absolute_and_on_one_line() {
        assert!(RemotePath::new("/home/with space").is_some());
        assert!(RemotePath::new("home").is_none());
        assert!(RemotePath::new("/home/a\nb").is_none());
    }

    #[test]
    fn a_command_that_is_shown_can_be_copied() {
        let path = |text| RemotePath::new(text).unwrap().as_word();
        assert_eq!(path("/home/été/.local"), "/home/été/.local");
        assert_eq!(path("/home/a b/$(id)'s"), r"'/home/a b/$(id)'\''s'");
        let link = LinkPath(r"~/.config/systemd/user/a\x2db.service".to_owned());
        assert_eq!(link.as_word(), r"~/'.config/systemd/user/a\x2db.service'");
        assert_eq!((shell_word(""), shell_word("-rf")), ("''".to_owned(), "'-rf'".to_owned()));
    }
}
