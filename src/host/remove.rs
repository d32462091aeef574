//! Taking a service away from a host: its units, its links, its releases and their history.
use std::time::Duration;

use serde::Serialize;

use super::script::Script;
use super::session::{Session, SessionError};
use crate::manifest::{Address, EnvironmentName, Manifest, UnitName, first_line};
use crate::plan::{Holder, Layout, RemotePath};
use crate::release::RunId;

/// What the operator's own programs are run with, as in an activation.
const HOOK: &str = include_str!("activation/hook.sh");
const PROGRAM: &str = include_str!("remove.sh");
const COPY: &str = include_str!("copy.sh");

/// How long the host may say nothing: a unit has 90 s to stop by default (`DefaultTimeoutStopSec=`,
/// systemd-system.conf(5)), and large releases take a while to remove.
const IDLE: Duration = Duration::from_secs(300);

/// A service could not be taken away.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RemoveError {
    /// The program could not be run.
    #[error(transparent)]
    Session(#[from] SessionError),
    /// It failed on its way. What it had done by then is done: it can be run again.
    #[error("the service could not be removed as a whole{}", if said.is_empty() { String::new() } else { format!(": {said}") })]
    Failed {
        /// What was said last.
        said: String,
    },
    /// Links or files are left that only root may remove.
    #[error("root's rights are needed to remove {}", listed(links, copies))]
    Left {
        /// Links, which lead nowhere now.
        links: Vec<RemotePath>,
        /// Copies of files. While one is left, so is the service's root, which knows what stood there before.
        copies: Vec<RemotePath>,
        /// The commands for those who read what they led to. They are to be run once the links are gone.
        untold: Vec<String>,
    },
    /// The service is gone, and somebody who read its files does not know.
    #[error("the service is gone, but `{}` failed{}", first_line(command), if said.is_empty() { String::new() } else { format!(": {said}") })]
    Untold {
        /// The command of `on_change`.
        command: String,
        /// What it said last.
        said: String,
    },
}

fn listed(links: &[RemotePath], copies: &[RemotePath]) -> String {
    links.iter().chain(copies).map(RemotePath::as_str).collect::<Vec<_>>().join(", ")
}

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Removal {
    /// It is gone.
    Removed {
        /// The units that were stopped.
        units: Vec<UnitName>,
        /// How many links there were, and copies of files.
        links: usize,
        /// The commands of `on_change` that were run.
        told: Vec<String>,
        /// The folder that its releases were in.
        root: String,
        /// What became of that folder.
        folder: RootFolder,
    },
    /// There was nothing of it.
    Absent,
    /// Someone is at work on it. Nothing was done.
    Held(Option<Holder>),
    /// People have frozen it. Nothing was done.
    Frozen(Option<Holder>),
    /// A run is not over. Nothing was done.
    Pending(Option<RunId>),
}

/// What became of the folder with a service's releases.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum RootFolder {
    /// It is gone.
    Removed,
    /// It is there, with what in it was not shipit's.
    Kept,
}

/// Takes the manifest's service away. The environment and the host are for the commands of `on_change` to know.
pub async fn remove(
    session: &mut Session,
    manifest: &Manifest,
    environment: &EnvironmentName,
    host: &Address,
) -> Result<Removal, RemoveError> {
    let mut script = Script::constant(HOOK);
    script.constant_line(COPY);
    script.constant_line(PROGRAM);
    let links: Vec<String> = Layout::links(manifest).iter().map(|link| link.path.to_string()).collect();
    let mut commands: Vec<&String> = Vec::new();
    for command in manifest.files.iter().filter_map(|entry| entry.on_change.as_ref()) {
        if !commands.contains(&command) {
            commands.push(command);
        }
    }
    let about = [
        manifest.root_on_host(),
        manifest.name.to_string(),
        environment.to_string(),
        host.to_string(),
        links.len().to_string(),
    ];
    script.call("remove", about.iter().chain(&links).chain(commands.iter().copied()));
    let (mut units, mut links, mut left, mut removal) = (Vec::new(), 0, Vec::new(), None);
    let mut copies = Vec::new();
    let (mut told, mut untold) = (Vec::new(), Vec::new());
    let mut folder = RootFolder::Removed;
    let command = |number: &str| Some((*commands.get(number.parse::<usize>().ok()?)?).clone());
    let finished = session
        .run(&script, IDLE, |line| {
            let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
            match word {
                "stopped" => units.extend(rest.parse()),
                "unlinked" => links += 1,
                "left" => left.extend(RemotePath::new(rest)),
                "left_copy" => copies.extend(RemotePath::new(rest)),
                "told" => told.extend(command(rest)),
                "untold" => {
                    let (number, said) = rest.split_once(' ').unwrap_or((rest, ""));
                    untold.extend(command(number).map(|command| (command, said.to_owned())));
                }
                "kept" => folder = RootFolder::Kept,
                "absent" => removal = Some(Removal::Absent),
                "held" => removal = Some(Removal::Held(Holder::parse(rest))),
                "frozen" => removal = Some(Removal::Frozen(Holder::parse(rest))),
                "pending" => {
                    let run = rest.strip_prefix("runs/").and_then(|run| run.parse().ok());
                    removal = Some(Removal::Pending(run));
                }
                "removed" => {
                    let root = rest.to_owned();
                    let (units, told) = (Vec::new(), Vec::new());
                    removal = Some(Removal::Removed { units, links: 0, told, root, folder });
                }
                _ => {}
            }
        })
        .await?;
    match removal {
        Some(Removal::Removed { .. }) if !left.is_empty() || !copies.is_empty() => {
            let untold = untold.into_iter().map(|(command, _)| command).collect();
            Err(RemoveError::Left { links: left, copies, untold })
        }
        Some(Removal::Removed { root, .. }) => match untold.into_iter().next() {
            Some((command, said)) => Err(RemoveError::Untold { command, said }),
            None => Ok(Removal::Removed { units, links, told, root, folder }),
        },
        Some(other) => Ok(other),
        None => {
            let said = finished.said.lines().last().unwrap_or_default().to_owned();
            Err(RemoveError::Failed { said })
        }
    }
}
