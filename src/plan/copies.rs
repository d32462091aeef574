//! Copies of a release's files outside of it: what stands where they are to stand, and what is done about it.
//!
//! What shipit has put somewhere is its own to replace, for as long as nobody else has changed it. All else is left alone,
//! unless the operator says otherwise; then a backup is kept.
use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::diff::TextDiff;
use super::facts::{Access, Facts};
use super::layout::{Layout, LinkSpec, RemotePath};
use super::refusal::Refusal;
use super::step::{Privilege, Step};
use crate::manifest::{HostPath, Installation, Manifest, Outside, UserName};
use crate::release::{Mode, ReleaseId, ReleasePath, Sha256Digest};

/// What stands at a place where a copy is, or is to be.
#[derive(Clone, PartialEq, Eq)]
pub struct FoundCopy {
    /// Where.
    pub path: RemotePath,
    /// Who may write there.
    pub access: Access,
    /// What is there.
    pub state: CopyState,
    /// What shipit put there, if it did.
    pub placed: Option<PlacedCopy>,
    /// The text that shipit put there, and the text that is there, where they were asked for.
    pub texts: Option<(String, String)>,
}

// By hand: what a text has in it is nobody's business.
impl std::fmt::Debug for FoundCopy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { path, access, state, placed, texts: _ } = self;
        f.debug_struct("FoundCopy")
            .field("path", path)
            .field("access", access)
            .field("state", state)
            .field("placed", placed)
            .finish_non_exhaustive()
    }
}

/// What shipit has put at a place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlacedCopy {
    /// The file of the release that it is a copy of.
    pub source: ReleasePath,
    /// The hash of its bytes.
    pub sha256: Sha256Digest,
    /// Its permission bits.
    pub mode: Mode,
    /// Whose it was made.
    pub owner: String,
    /// Its group.
    pub group: String,
}

/// What stands at a place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CopyState {
    /// Nothing.
    Missing,
    /// A file.
    File {
        /// The hash of its bytes; `None` where only root may read them, and root's rights were not to be had.
        sha256: Option<Sha256Digest>,
        /// Its permission bits.
        mode: Mode,
        /// Whose it is.
        owner: String,
        /// Its group.
        group: String,
    },
    /// A symlink with this target.
    Symlink(String),
    /// A folder, or something odder.
    Other,
    /// Nobody but root can tell.
    Hidden,
}

impl FoundCopy {
    /// Whether a person has changed what shipit put there.
    #[must_use]
    pub fn is_edited(&self) -> bool {
        match (&self.state, &self.placed) {
            (CopyState::File { sha256: Some(found), .. }, Some(placed)) => *found != placed.sha256,
            (CopyState::Symlink(_) | CopyState::Other, Some(_)) => true,
            (CopyState::File { sha256: None, .. } | CopyState::Missing | CopyState::Hidden, _)
            | (_, None) => false,
        }
    }

    /// Whether what was changed may be shown: everybody on the host can read it, and could when it was put there.
    #[must_use]
    pub fn is_for_all(&self) -> bool {
        let is_now = matches!(&self.state, CopyState::File { mode, .. } if mode.is_for_all());
        is_now && self.placed.as_ref().is_some_and(|placed| placed.mode.is_for_all())
    }

    fn edit(&self) -> Option<TextDiff> {
        let (placed, now) = self.texts.as_ref()?;
        TextDiff::between(placed, now, self.path.as_str().trim_start_matches('/'))
    }
}

/// What to do about what others have put, or changed, where a file of the release belongs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Edits {
    /// Leave the host alone, and say so.
    #[default]
    Respect,
    /// Keep a backup, and go on: `--force`.
    Replace,
}

/// A copy to be made, or made anew.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CopyChange {
    /// Where it stands, and what is there now.
    #[serde(flatten)]
    pub place: CopyPlace,
    /// The file of the release that it is a copy of.
    pub source: ReleasePath,
    /// The hash of its bytes.
    pub sha256: Sha256Digest,
    /// Its permission bits.
    pub mode: Mode,
    /// Whose it will be; `None`: of the one who puts it there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub owner: Option<UserName>,
    /// Its group.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group: Option<UserName>,
}

/// A copy that is to go.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CopyRemoval {
    /// Where it stands, and what is there now.
    #[serde(flatten)]
    pub place: CopyPlace,
    /// What comes to its place.
    pub then: AfterCopy,
}

/// What comes to the place of a copy that goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum AfterCopy {
    /// What stood there before it, if anything did.
    Before,
    /// A link of the new release. What stood there before stays where it is kept.
    Link,
}

/// A place outside of the release that is to become another one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CopyPlace {
    /// Where.
    pub path: RemotePath,
    /// Whose rights it takes to change it.
    pub privilege: Privilege,
    /// What is there now. If it no longer is when the deed is done, the deploy ends.
    pub was: Before,
    /// Where what is there is kept, if it is not shipit's own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub backup: Option<RemotePath>,
    /// How it was changed by hand.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub edit: Option<TextDiff>,
}

/// What stands at a place before something is done to it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "is", rename_all = "snake_case")]
pub enum Before {
    /// Nothing.
    Missing,
    /// What shipit put there.
    Placed {
        /// The hash of its bytes.
        sha256: Sha256Digest,
    },
    /// What shipit put there, and somebody has changed since.
    Edited {
        /// The hash of its bytes.
        sha256: Sha256Digest,
    },
    /// A file that shipit did not put there.
    Foreign {
        /// The hash of its bytes.
        sha256: Sha256Digest,
    },
    /// A symlink.
    Symlink {
        /// What it says.
        target: String,
    },
    /// Something that only root can see.
    Unseen,
}

impl Before {
    /// What the host has to find at the place when the deed is done, in the words of `copy.sh`.
    #[must_use]
    pub fn expected(&self) -> String {
        match self {
            Self::Missing => "missing".to_owned(),
            Self::Placed { sha256 } | Self::Edited { sha256 } | Self::Foreign { sha256 } => {
                format!("file {sha256}")
            }
            Self::Symlink { target } => format!("link {target}"),
            Self::Unseen => "any".to_owned(),
        }
    }

    /// Whether it is another one's work.
    #[must_use]
    pub fn is_others(&self) -> bool {
        matches!(self, Self::Edited { .. } | Self::Foreign { .. } | Self::Symlink { .. } | Self::Unseen)
    }
}

/// The file of a release that is to be copied: what is known of it, be it here or on the host.
#[derive(Debug, Clone, Copy)]
pub(super) struct Original {
    pub(super) sha256: Sha256Digest,
    pub(super) mode: Mode,
}

/// Everything that decides about copies.
pub(super) struct Copying<'a> {
    pub(super) manifest: &'a Manifest,
    pub(super) facts: &'a Facts,
    pub(super) layout: &'a Layout,
    pub(super) release: &'a ReleaseId,
    pub(super) edits: Edits,
}

/// The steps that have to do with copies, and what they free and bring.
#[derive(Default)]
pub(super) struct CopySteps {
    /// In order: first what goes, then what comes.
    pub(super) removals: Vec<Step>,
    pub(super) installs: Vec<Step>,
}

impl CopySteps {
    /// Whether a copy makes way for a link of the same release.
    pub(super) fn frees(&self, link: &LinkSpec, home: &RemotePath) -> bool {
        let path = link.path.on_host(home);
        self.removals
            .iter()
            .any(|step| matches!(step, Step::Uninstall(copy) if copy.place.path.as_str() == path))
    }

    /// Whether a copy takes this place.
    pub(super) fn takes(&self, path: &str) -> bool {
        self.installs
            .iter()
            .any(|step| matches!(step, Step::Install(copy) if copy.place.path.as_str() == path))
    }

    /// The files of the release whose copies are made.
    pub(super) fn sources(&self) -> impl Iterator<Item = String> {
        self.installs.iter().filter_map(|step| match step {
            Step::Install(copy) => Some(copy.source.to_string()),
            _ => None,
        })
    }
}

impl Copying<'_> {
    /// What it takes to have the copies that the manifest wants, of what the release has, and no others of ours.
    pub(super) fn steps(
        &self,
        originals: &BTreeMap<&str, Original>,
        refusals: &mut Vec<Refusal>,
    ) -> CopySteps {
        self.refuse_edited_links(originals, refusals);
        let mut steps = CopySteps::default();
        let mut wanted = BTreeSet::new();
        for entry in &self.manifest.files {
            let Some(Outside::Install(installation)) = &entry.outside else { continue };
            let path = absolute(&self.facts.home, &installation.place);
            let Some(original) = originals.get(entry.path.as_str()) else { continue };
            let Some(found) = self.facts.copies.iter().find(|found| found.path == path) else { continue };
            let Ok(source) = entry.path.as_str().parse() else { continue };
            wanted.insert(path);
            if let Some(copy) = self.install(found, installation, source, *original, refusals) {
                steps.installs.push(Step::Install(copy));
            }
        }
        for found in &self.facts.copies {
            if found.placed.is_some()
                && !wanted.contains(&found.path)
                && let Some(removal) = self.remove(found, refusals)
            {
                steps.removals.push(Step::Uninstall(removal));
            }
        }
        steps
    }

    /// Files of the release that runs that links from outside lead to, and that a person has changed there. The release
    /// keeps them, so with `--force` nothing is to be done.
    fn refuse_edited_links(&self, originals: &BTreeMap<&str, Original>, refusals: &mut Vec<Refusal>) {
        if self.edits == Edits::Replace {
            return;
        }
        let linked = |path: &str| {
            self.manifest.files.iter().any(|entry| {
                let below = path.strip_prefix(entry.path.as_str());
                let is_here = below.is_some_and(|below| below.is_empty() || below.starts_with('/'));
                is_here && matches!(entry.outside, Some(Outside::Link(_)))
            })
        };
        for file in self.facts.record.iter().flat_map(|record| &record.artifacts) {
            let path = file.path.as_str();
            let Some(found) = self.facts.files.get(path) else { continue };
            let is_wanted = originals.get(path).is_some_and(|original| original.sha256 == found.sha256);
            if found.sha256 != file.sha256 && !is_wanted && linked(path) {
                let path = self.layout.root().join(&format!("current/{path}"));
                refusals.push(Refusal::ChangedByHand { path, diff: None });
            }
        }
    }

    fn install(
        &self,
        found: &FoundCopy,
        installation: &Installation,
        source: ReleasePath,
        original: Original,
        refusals: &mut Vec<Refusal>,
    ) -> Option<CopyChange> {
        let mode = installation.mode.map_or(original.mode, Mode::of);
        let owners = |owner: &str, group: &str| {
            installation.owner.as_ref().is_none_or(|wanted| wanted.as_str() == owner)
                && installation.group.as_ref().is_none_or(|wanted| wanted.as_str() == group)
        };
        let was = self.before(found, original.sha256);
        let is_as_wanted = match (&found.state, &found.placed) {
            (CopyState::File { sha256, mode: has, owner, group }, Some(placed)) => {
                sha256.unwrap_or(placed.sha256) == original.sha256
                    && placed.sha256 == original.sha256
                    && *has == mode
                    && owners(owner, group)
                    && (owner, group) == (&placed.owner, &placed.group)
            }
            (CopyState::Hidden, Some(placed)) => {
                placed.sha256 == original.sha256
                    && placed.mode == mode
                    && owners(&placed.owner, &placed.group)
            }
            _ => false,
        };
        if is_as_wanted {
            return None;
        }
        let (backup, edit) = self.allow(found, &was, Some(original.sha256), refusals)?;
        let is_own =
            |name: &Option<UserName>| name.as_ref().is_none_or(|name| name.as_str() == self.facts.user);
        // What is another's can only be given back by root.
        let others = matches!(&found.state, CopyState::File { owner, .. } if *owner != self.facts.user);
        let privilege = match found.access {
            // Groups that the login user is in could be given without root's rights; which these are is not asked for.
            Access::Direct if is_own(&installation.owner) && is_own(&installation.group) && !others => {
                Privilege::User
            }
            Access::Direct | Access::Root => self.roots(),
        };
        Some(CopyChange {
            place: CopyPlace { path: found.path.clone(), privilege, was, backup, edit },
            source,
            sha256: original.sha256,
            mode,
            owner: installation.owner.clone(),
            group: installation.group.clone(),
        })
    }

    fn remove(&self, found: &FoundCopy, refusals: &mut Vec<Refusal>) -> Option<CopyRemoval> {
        let placed = found.placed.as_ref()?;
        let was = self.before(found, placed.sha256);
        let (backup, edit) = self.allow(found, &was, None, refusals)?;
        // It takes root's rights to give back a file that is root's.
        let privilege = match found.access {
            Access::Direct if placed.owner == self.facts.user => Privilege::User,
            Access::Direct | Access::Root => self.roots(),
        };
        let mut links = self.manifest.files.iter().filter_map(|entry| match entry.outside.as_ref()? {
            Outside::Link(link) => Some(absolute(&self.facts.home, link)),
            Outside::Install(_) => None,
        });
        let then = match links.any(|link| link == found.path) {
            true => AfterCopy::Link,
            false => AfterCopy::Before,
        };
        let place = CopyPlace { path: found.path.clone(), privilege, was, backup, edit };
        Some(CopyRemoval { place, then })
    }

    /// Root's rights; who has them anyway needs no more.
    fn roots(&self) -> Privilege {
        if self.facts.uid == 0 { Privilege::User } else { Privilege::Root }
    }

    fn before(&self, found: &FoundCopy, wanted: Sha256Digest) -> Before {
        match (&found.state, &found.placed) {
            (CopyState::Missing, _) => Before::Missing,
            (CopyState::File { sha256: Some(sha256), .. }, Some(placed))
                if *sha256 == placed.sha256 || *sha256 == wanted =>
            {
                Before::Placed { sha256: *sha256 }
            }
            (CopyState::File { sha256: Some(sha256), .. }, Some(_)) => Before::Edited { sha256: *sha256 },
            (CopyState::File { sha256: Some(sha256), .. }, None) => Before::Foreign { sha256: *sha256 },
            // What can't be seen is taken for what it should be; the host looks again when it has root's rights.
            (CopyState::File { sha256: None, .. } | CopyState::Hidden, Some(placed)) => match self.edits {
                Edits::Respect => Before::Placed { sha256: placed.sha256 },
                Edits::Replace => Before::Unseen,
            },
            (CopyState::File { sha256: None, .. } | CopyState::Hidden, None) => match self.edits {
                Edits::Respect => Before::Missing,
                Edits::Replace => Before::Unseen,
            },
            (CopyState::Symlink(target), _) => Before::Symlink { target: target.clone() },
            // Refused before anything is done.
            (CopyState::Other, _) => Before::Unseen,
        }
    }

    /// Whether what is there may go: what is to be kept of it, and how it was changed. `None`: it may not.
    fn allow(
        &self,
        found: &FoundCopy,
        was: &Before,
        wanted: Option<Sha256Digest>,
        refusals: &mut Vec<Refusal>,
    ) -> Option<(Option<RemotePath>, Option<TextDiff>)> {
        let path = found.path.clone();
        let below = found.path.as_str().trim_start_matches('/');
        let keep = self.layout.root().join(&match found.placed {
            Some(_) => format!("edited/{}/{below}", self.release),
            None => format!("replaced/{below}"),
        });
        match (was, self.edits) {
            _ if found.state == CopyState::Other => {
                refusals.push(Refusal::CopyBlocked { path, is: "neither a file nor a link".to_owned() });
                None
            }
            (Before::Missing | Before::Placed { .. }, _) => Some((None, None)),
            (Before::Symlink { target }, _) if self.is_own_link(target) => Some((None, None)),
            // The same bytes: nothing is lost. What `remove` puts back is the file with its owner and mode, all the same.
            (Before::Foreign { sha256 }, _) if wanted == Some(*sha256) => Some((Some(keep), None)),
            (Before::Unseen, _) | (_, Edits::Replace) => Some((Some(keep), found.edit())),
            (Before::Edited { .. }, Edits::Respect) => {
                refusals.push(Refusal::ChangedByHand { path, diff: found.edit() });
                None
            }
            (Before::Symlink { target }, Edits::Respect) => {
                refusals.push(Refusal::CopyBlocked { path, is: format!("a link to {target}") });
                None
            }
            (Before::Foreign { .. }, Edits::Respect) => {
                refusals.push(Refusal::CopyBlocked { path, is: "a file that is not shipit's".to_owned() });
                None
            }
        }
    }

    /// A link of the service's own, from the time before it was a copy.
    fn is_own_link(&self, target: &str) -> bool {
        target.strip_prefix(self.layout.root().as_str()).is_some_and(|below| below.starts_with('/'))
    }
}

/// A place of the manifest on a host with this home directory.
pub(super) fn absolute(home: &RemotePath, place: &HostPath) -> RemotePath {
    match place.as_str().strip_prefix("~/") {
        Some(below) => home.join(below),
        None => RemotePath::of_place(place),
    }
}
