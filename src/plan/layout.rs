//! Where things stand on a host: the service's root, and the places that the system looks in.
//!
//! The one definition of what design calls the layout; the probe asks about it, the plan fills it.
use std::fmt;

use serde::Serialize;

use crate::manifest::{HostPath, Manifest, Outside, Scope, ServiceName};
use crate::release::{ReleaseId, RunId};

/// An absolute path on a host. Holds no control character, and all of it was UTF-8.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct RemotePath(String);

impl RemotePath {
    /// A path as the host told it; `None` when it is relative, can't stand on one line, or came with a byte that is no
    /// UTF-8: it would be another path.
    pub fn new(path: impl Into<String>) -> Option<Self> {
        let path = path.into();
        let fits = path.starts_with('/') && !path.contains(|c: char| c.is_control() || c == '\u{fffd}');
        fits.then_some(Self(path))
    }

    /// A place that the manifest names by an absolute path.
    pub(super) fn of_place(place: &HostPath) -> Self {
        Self(place.as_str().to_owned())
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
    /// A path that a plan had, as the host has noted it.
    pub(crate) fn noted(text: &str) -> Self {
        Self(text.to_owned())
    }

    /// The path on a host with this home directory.
    pub(super) fn on_host(&self, home: &RemotePath) -> String {
        self.0.strip_prefix("~/").map_or_else(|| self.0.clone(), |below| home.join(below).0)
    }

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
    scope: Scope,
    root: RemotePath,
    /// Where the login user's uploads under way have their folders: below this one, which is there, and those.
    landing: (RemotePath, String),
}

impl Layout {
    /// The layout of a manifest's service for a login user with this home directory.
    #[must_use]
    pub fn new(home: &RemotePath, manifest: &Manifest) -> Self {
        let root = manifest.root_on_host();
        let root = match root.strip_prefix("~/") {
            Some(below) => home.join(below),
            None => RemotePath(root),
        };
        let landing = match manifest.scope {
            // The lock is there, so the root is.
            Scope::User => (root.clone(), "incoming".to_owned()),
            // The login user may not write to the root. What it uploads is taken over by root: see seal.
            Scope::System => (home.clone(), format!(".local/share/shipit/{}/incoming", manifest.name)),
        };
        Self { service: manifest.name.clone(), scope: manifest.scope, root, landing }
    }

    /// The links that a manifest's release wants. Needs no host: home stays `~`.
    #[must_use]
    pub fn links(manifest: &Manifest) -> Vec<LinkSpec> {
        let mut links = Self::program_links(manifest);
        let units = manifest.units.iter().map(|unit| (unit.scope, unit.name.to_string()));
        let drop_ins = manifest.drop_ins.iter();
        let drop_ins = drop_ins.map(|drop_in| (manifest.scope_of(&drop_in.unit), drop_in.file()));
        let credentials = manifest.units.iter().filter_map(|unit| {
            Some((unit.scope, format!("{}.d/{}", unit.name, unit.credentials_drop_in()?)))
        });
        let files = units.chain(drop_ins).chain(credentials);
        links.extend(files.map(|(scope, file)| Self::unit_link(scope, &file)));
        links
    }

    /// Where the manifest wants copies of the release's files. Needs no host: home stays `~`.
    #[must_use]
    pub fn places(manifest: &Manifest) -> Vec<&HostPath> {
        let places = manifest.files.iter().filter_map(|entry| match entry.outside.as_ref()? {
            Outside::Install(installation) => Some(&installation.place),
            Outside::Link(_) => None,
        });
        places.collect()
    }

    /// Where the service manager looks for the units of this scope.
    #[must_use]
    pub fn unit_folder(scope: Scope) -> &'static str {
        match scope {
            Scope::User => "~/.config/systemd/user",
            Scope::System => "/etc/systemd/system",
        }
    }

    /// Whose service manager reads the file that stands there, and its path below the folder of that one's units; `None`
    /// where none does.
    pub(crate) fn unit_file(path: &LinkPath) -> Option<(Scope, &str)> {
        [Scope::User, Scope::System].into_iter().find_map(|scope| {
            let file = path.as_str().strip_prefix(Self::unit_folder(scope))?.strip_prefix('/')?;
            Some((scope, file))
        })
    }

    /// The link to a unit file, by its path below `units/` of the release: a part of a checked [`ReleasePath`].
    ///
    /// [`ReleasePath`]: crate::release::ReleasePath
    pub(crate) fn unit_link(scope: Scope, file: &str) -> LinkSpec {
        LinkSpec {
            path: LinkPath(format!("{}/{file}", Self::unit_folder(scope))),
            target: Self::unit_target(file),
        }
    }

    /// What the link to a unit file leads to, below the root.
    pub(super) fn unit_target(file: &str) -> String {
        format!("current/units/{file}")
    }

    /// The links to all but units.
    pub(super) fn program_links(manifest: &Manifest) -> Vec<LinkSpec> {
        let name = &manifest.name;
        let mut links = Vec::new();
        if manifest.binary.is_some() {
            links.push(LinkSpec {
                path: LinkPath(manifest.binary_link()),
                target: format!("current/bin/{name}"),
            });
        }
        if manifest.env_file.is_some() {
            links.push(LinkSpec {
                path: LinkPath(manifest.env_file_link()),
                target: format!("current/env/{name}.conf"),
            });
        }
        links.extend(manifest.files.iter().filter_map(|entry| match entry.outside.as_ref()? {
            Outside::Link(place) => Some(LinkSpec {
                path: LinkPath(place.as_str().to_owned()),
                target: format!("current/{}", entry.path),
            }),
            Outside::Install(_) => None,
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

    /// Whose service manager runs it.
    #[must_use]
    pub fn scope(&self) -> Scope {
        self.scope
    }

    /// Where the login user's uploads under way have their folders.
    #[must_use]
    pub fn landing_root(&self) -> RemotePath {
        let (above, below) = &self.landing;
        above.join(below)
    }

    /// The folders that an upload needs, outer ones first.
    #[must_use]
    pub fn landing_folders(&self, run: &RunId) -> Vec<RemotePath> {
        let (above, below) = &self.landing;
        let ends = below.match_indices('/').map(|(at, _)| at).chain([below.len()]);
        let folders = ends.map(|end| above.join(&below[..end]));
        folders.chain([self.landing(run)]).collect()
    }

    /// The folder that the login user uploads to: that of the run's upload, or where root takes it from.
    #[must_use]
    pub fn landing(&self, run: &RunId) -> RemotePath {
        self.landing_root().join(&run.to_string())
    }

    /// The folder of a run's upload. Its own, whatever it uploads: what another run left behind may still be written to
    /// while it is swept, by an sftp-server that has not come to the end of what its client sent.
    #[must_use]
    pub fn incoming(&self, run: &RunId) -> RemotePath {
        self.root.join(&format!("incoming/{run}"))
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
    use std::process::Command;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_remote_path_is_absolute_and_on_one_line() {
        assert!(RemotePath::new("/home/with space").is_some());
        for path in ["home", "/home/a\nb", "/home/a\tb", "/home/a\u{1b}[2J", "/home/\u{fffd}"] {
            assert!(RemotePath::new(path).is_none(), "{path:?}");
        }
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

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        /// A shell that is given the word has the text.
        #[test]
        fn a_word_is_what_it_stands_for(text in "[^\0]{0,40}|['\"$`\\\\!;&|<>*?~#\n -]{0,20}") {
            for shell in ["sh", "bash"] {
                let command = format!("printf '%s' {}", shell_word(&text));
                let output = Command::new(shell).arg("-c").arg(command).output().unwrap();
                prop_assert_eq!(String::from_utf8(output.stdout).unwrap(), text.clone());
            }
        }
    }
}
