//! Why a host can't be deployed to, found before anything on it was touched.
use super::diff::TextDiff;
use super::facts::{FoundRelease, Standing};
use super::layout::{LinkPath, RemotePath, shell_word};
use crate::manifest::{Scope, UnitName};
use crate::release::{GlibcVersion, ReleaseId};

/// One reason not to begin. All that hold are reported together.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// The kernel isn't Linux.
    #[error("the host runs {kernel}, not Linux")]
    NotLinux {
        /// What `uname -s` said.
        kernel: String,
    },
    /// No systemd, or something else runs the machine.
    #[error("the host is not run by systemd ({found})")]
    NoSystemd {
        /// What was found instead.
        found: &'static str,
    },
    /// systemd ignores what says where credentials are.
    #[error("the host has systemd {has}; `credentials` needs 247 or newer")]
    NoCredentials {
        /// Its version.
        has: u32,
    },
    /// systemd lacks what a deploy needs.
    #[error("the host has systemd {has}; shipit needs 245 or newer")]
    SystemdTooOld {
        /// Its version.
        has: u32,
    },
    /// Another service manager runs a unit than the one that is to.
    #[error("{unit} is of scope `{}` on the host, and of scope `{}` in the release", was.as_str(), is.as_str())]
    ScopeChanged {
        /// The unit.
        unit: UnitName,
        /// What it is.
        was: Scope,
        /// What it would be.
        is: Scope,
    },
    /// `systemctl --user` has nothing to talk to.
    #[error("the service manager of {user} can't be reached: {said}")]
    NoUserManager {
        /// The login user.
        user: String,
        /// What systemctl said.
        said: String,
    },
    /// Services would end with the last session, and shipit can't change that.
    #[error(
        "lingering is off for {user}, and {by} is not to be had ({why}): its services would stop with the last login"
    )]
    LingeringOff {
        /// The login user.
        user: String,
        /// The program that gives root's rights.
        by: &'static str,
        /// Why sudo doesn't work.
        why: String,
    },
    /// The binary is for other machines.
    #[error("the binary is for {needs}, the host is {has}")]
    WrongMachine {
        /// The machine the binary is for.
        needs: String,
        /// The host's machine.
        has: String,
    },
    /// The binary was linked against a newer C library.
    #[error("the binary needs glibc {needs}, the host has {has}")]
    GlibcTooOld {
        /// The version that the binary's symbols want.
        needs: GlibcVersion,
        /// The host's version.
        has: GlibcVersion,
    },
    /// The file system has too little room.
    #[error("the release takes {} (with some to spare), and {} are free below {root}", megabytes(*needs), megabytes(*has))]
    DiskFull {
        /// Bytes to be written.
        needs: u64,
        /// Bytes free.
        has: u64,
        /// Where.
        root: RemotePath,
    },
    /// The file system has room, but no file can be made.
    #[error("the release makes {needs} files and folders, and {has} inodes are free below {root}")]
    NoInodes {
        /// Inodes wanted.
        needs: u64,
        /// Inodes free.
        has: u64,
        /// Where.
        root: RemotePath,
    },
    /// The home directory isn't the login user's to write.
    #[error("{user} may not write below {root}")]
    RootNotWritable {
        /// The login user.
        user: String,
        /// Where.
        root: RemotePath,
    },
    /// Nobody can write there.
    #[error("the file system of {root} is mounted read-only")]
    RootReadOnly {
        /// The service's root.
        root: RemotePath,
    },
    /// `current` is a file or folder that shipit did not make.
    #[error("{root}/current is not a link")]
    CurrentBlocked {
        /// The service's root.
        root: RemotePath,
    },
    /// Something real stands where a link should go.
    #[error("{path} is {is}, not a link of shipit's; it is left alone")]
    LinkBlocked {
        /// Where.
        path: LinkPath,
        /// "a file" or "a folder".
        is: &'static str,
    },
    /// Something that is not shipit's stands where a copy of a file should go.
    #[error("{path} is {is}; it is left alone")]
    CopyBlocked {
        /// Where.
        path: RemotePath,
        /// What it is, with its article.
        is: String,
    },
    /// Somebody has changed a file that shipit put there.
    #[error("{path} was changed by hand since it was deployed; it is left alone")]
    ChangedByHand {
        /// Where.
        path: RemotePath,
        /// How, where everybody may know.
        diff: Option<TextDiff>,
    },
    /// A copy needs root's rights, and they can't be had.
    #[error("the file {path} needs root, and {by} is not to be had: {why}")]
    CopyNeedsRoot {
        /// Where.
        path: RemotePath,
        /// The program that gives root's rights.
        by: &'static str,
        /// Why it doesn't work.
        why: String,
    },
    /// A step needs root's rights, and they can't be had.
    #[error("{what} needs root, and {by} is not to be had: {why}")]
    SudoNeeded {
        /// What needs it.
        what: String,
        /// The program that gives root's rights.
        by: &'static str,
        /// Why it doesn't work.
        why: String,
        /// What to run on the host instead.
        command: String,
    },
    /// A rollback has nowhere to go.
    #[error("{}", nothing_before(.current.as_ref()))]
    NothingToGoBackTo {
        /// What runs.
        current: Option<ReleaseId>,
        /// The releases there are.
        releases: Vec<ReleaseLine>,
    },
    /// No release on the host has such an id.
    #[error("no release on the host has an id that begins with `{}`", wanted.escape_debug())]
    NoSuchRelease {
        /// What was asked for.
        wanted: String,
        /// The releases there are.
        releases: Vec<ReleaseLine>,
    },
    /// Several releases on the host have such an id.
    #[error("several releases on the host have an id that begins with `{}`", wanted.escape_debug())]
    AmbiguousRelease {
        /// What was asked for.
        wanted: String,
        /// Those that fit.
        releases: Vec<ReleaseLine>,
    },
    /// The release to go back to is not whole.
    #[error("release {release} on the host can't be gone back to: {why}")]
    ReleaseIncomplete {
        /// Which.
        release: ReleaseId,
        /// What is missing.
        why: String,
    },
}

fn megabytes(bytes: u64) -> String {
    // Tenths, rounded up for what is needed and what is there alike.
    let tenths = bytes.div_ceil(100_000);
    format!("{}.{} MB", tenths / 10, tenths % 10)
}

/// A release as a list has it: its id, and what is to be known when choosing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReleaseLine {
    /// Its id.
    pub id: ReleaseId,
    /// Whether it has proven itself.
    pub standing: Standing,
    /// Whether it is what `current` points to.
    pub place: Place,
}

/// Where a release stands to what runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// It is the current one.
    Current,
    /// It is another one.
    Other,
}

impl ReleaseLine {
    /// The releases of a list, newest first.
    pub(super) fn list<'a>(
        releases: impl IntoIterator<Item = &'a FoundRelease>,
        current: Option<&ReleaseId>,
    ) -> Vec<Self> {
        let line = |release: &FoundRelease| Self {
            id: release.id.clone(),
            standing: release.standing,
            place: if Some(&release.id) == current { Place::Current } else { Place::Other },
        };
        let mut lines: Vec<_> = releases.into_iter().map(line).collect();
        lines.sort_by(|a, b| b.id.cmp(&a.id));
        lines
    }
}

fn nothing_before(current: Option<&ReleaseId>) -> String {
    match current {
        Some(current) => format!("there is no good release before the current one, {current}"),
        None => "the service is not deployed on the host, so there is no release before the current one"
            .to_owned(),
    }
}

/// A list of releases, or what it means that there is none.
fn choose_from(advice: &str, releases: &[ReleaseLine]) -> String {
    if releases.is_empty() {
        return "there is no release on the host: `shipit deploy` brings one".to_owned();
    }
    let mut text = format!("{advice}, newest first:");
    for ReleaseLine { id, standing, place } in releases {
        let remark = match (place, standing) {
            (Place::Current, _) => "  (current)",
            (Place::Other, Standing::Good) => "",
            (Place::Other, Standing::Unproven) => "  (failed, or never ran)",
        };
        text.push_str(&format!("\n  {id}{remark}"));
    }
    text
}

impl Refusal {
    /// A stable code for the kind of refusal.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::NotLinux { .. } => "shipit::preflight::not_linux",
            Self::NoSystemd { .. } => "shipit::preflight::no_systemd",
            Self::SystemdTooOld { .. } => "shipit::preflight::systemd_too_old",
            Self::NoCredentials { .. } => "shipit::preflight::no_credentials",
            Self::ScopeChanged { .. } => "shipit::preflight::scope_changed",
            Self::NoUserManager { .. } => "shipit::preflight::no_user_manager",
            Self::LingeringOff { .. } => "shipit::preflight::lingering_off",
            Self::WrongMachine { .. } => "shipit::preflight::wrong_machine",
            Self::GlibcTooOld { .. } => "shipit::preflight::glibc_too_old",
            Self::DiskFull { .. } => "shipit::preflight::disk_full",
            Self::NoInodes { .. } => "shipit::preflight::no_inodes",
            Self::RootNotWritable { .. } => "shipit::preflight::not_writable",
            Self::RootReadOnly { .. } => "shipit::preflight::read_only",
            Self::CurrentBlocked { .. } => "shipit::preflight::current_blocked",
            Self::LinkBlocked { .. } => "shipit::preflight::link_blocked",
            Self::CopyBlocked { .. } => "shipit::preflight::copy_blocked",
            Self::ChangedByHand { .. } => "shipit::preflight::changed_by_hand",
            Self::CopyNeedsRoot { .. } => "shipit::preflight::copy_needs_root",
            Self::SudoNeeded { .. } => "shipit::preflight::sudo_needed",
            Self::NothingToGoBackTo { .. } => "shipit::rollback::nothing_before",
            Self::NoSuchRelease { .. } => "shipit::rollback::no_such_release",
            Self::AmbiguousRelease { .. } => "shipit::rollback::ambiguous_release",
            Self::ReleaseIncomplete { .. } => "shipit::rollback::release_incomplete",
        }
    }

    /// What there is to show of it, line by line.
    #[must_use]
    pub fn details(&self) -> Vec<String> {
        match self {
            Self::ChangedByHand { diff: Some(diff), .. } => {
                diff.as_str().lines().map(str::to_owned).collect()
            }
            _ => Vec::new(),
        }
    }

    /// What the operator can do about it.
    #[must_use]
    pub fn help(&self) -> String {
        match self {
            Self::NotLinux { .. } | Self::NoSystemd { .. } | Self::SystemdTooOld { .. } => {
                "shipit deploys to Linux hosts that systemd >= 245 runs".to_owned()
            }
            Self::NoCredentials { .. } => {
                "leave `credentials` out, and put the secret into the env file (docs/secrets.md)".to_owned()
            }
            Self::ScopeChanged { unit, .. } => format!(
                "deploy once without {unit}, which stops it and takes it away; then deploy with it again. Or give it \
                 another name"
            ),
            Self::NoUserManager { user, .. } => format!(
                "on the host: sudo apt install libpam-systemd dbus-user-session && \
                 sudo systemctl start user@$(id -u {})",
                shell_word(user)
            ),
            Self::LingeringOff { user, by, .. } => {
                format!("once, by someone who may: {by} loginctl enable-linger {}", shell_word(user))
            }
            Self::WrongMachine { has, .. } => format!("build the binary for {has}, and deploy again"),
            Self::GlibcTooOld { has, .. } => format!(
                "build on a system with glibc {has} or older, or link statically \
                 (Rust: the x86_64-unknown-linux-musl target)"
            ),
            Self::DiskFull { root, .. } | Self::NoInodes { root, .. } => {
                format!("make room on the file system of {root}; lower keep_releases to keep fewer")
            }
            Self::RootNotWritable { root, user } => {
                format!("look at `ls -ld` of {root} and the folders above it: they should belong to {user}")
            }
            Self::RootReadOnly { root } => format!(
                "`findmnt -T {root}` shows how it is mounted. Linux mounts a file system so after an error of its disk: \
                 see `dmesg` on the host"
            ),
            Self::CurrentBlocked { root } => {
                format!("see what {root}/current is, and move it out of the way")
            }
            Self::LinkBlocked { path, .. } => {
                format!(
                    "if nothing else needs it: mv {0} {0}.old (with sudo where needed), then deploy again",
                    path.as_word()
                )
            }
            Self::CopyBlocked { .. } => {
                "with --force shipit keeps a backup of it and takes its place; `shipit remove` puts it back".to_owned()
            }
            Self::ChangedByHand { .. } => {
                "take the change over into the file that is deployed; or deploy with --force, which keeps a backup of it".to_owned()
            }
            Self::CopyNeedsRoot { by, .. } => {
                format!("let the login user use {by}, or name a place under its home directory")
            }
            Self::SudoNeeded { command, .. } => format!("once, by someone who may, on the host: {command}"),
            Self::NothingToGoBackTo { releases, .. } | Self::NoSuchRelease { releases, .. } => {
                choose_from("name one with --to; on the host are", releases)
            }
            Self::AmbiguousRelease { releases, .. } => {
                choose_from("say more of the id with --to; these fit", releases)
            }
            Self::ReleaseIncomplete { .. } => {
                "choose another one (`shipit releases` lists them), or deploy it anew from its sources"
                    .to_owned()
            }
        }
    }
}
