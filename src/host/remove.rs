//! Taking a service away from a host: its units, its links, its releases and their history.
use std::time::Duration;

use super::script::Script;
use super::session::{Session, SessionError};
use crate::manifest::{Manifest, UnitName};
use crate::plan::{Holder, Layout};
use crate::release::RunId;

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
    #[error("root's rights are needed to remove {}", paths.join(", "))]
    Left {
        /// Links lead nowhere now. Where a file is left, so is the service's root, to be removed by the next try.
        paths: Vec<String>,
    },
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
        /// The folder that its releases were in.
        root: String,
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

/// Takes the manifest's service away.
pub async fn remove(session: &mut Session, manifest: &Manifest) -> Result<Removal, RemoveError> {
    let mut script = Script::constant(COPY);
    script.constant_line(PROGRAM);
    let links = Layout::links(manifest).into_iter().map(|link| link.path.as_str().to_owned());
    let arguments = [manifest.root_on_host(), manifest.name.to_string()].into_iter().chain(links);
    script.call("remove", arguments);
    let (mut units, mut links, mut left, mut removal) = (Vec::new(), 0, Vec::new(), None);
    let finished = session
        .run(&script, IDLE, |line| {
            let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
            match word {
                "stopped" => units.extend(rest.parse()),
                "unlinked" => links += 1,
                "left" => left.push(rest.to_owned()),
                "absent" => removal = Some(Removal::Absent),
                "held" => removal = Some(Removal::Held(Holder::parse(rest))),
                "frozen" => removal = Some(Removal::Frozen(Holder::parse(rest))),
                "pending" => {
                    let run = rest.strip_prefix("runs/").and_then(|run| run.parse().ok());
                    removal = Some(Removal::Pending(run));
                }
                "removed" => {
                    removal = Some(Removal::Removed { units: Vec::new(), links: 0, root: rest.to_owned() });
                }
                _ => {}
            }
        })
        .await?;
    match removal {
        Some(Removal::Removed { .. }) if !left.is_empty() => Err(RemoveError::Left { paths: left }),
        Some(Removal::Removed { root, .. }) => Ok(Removal::Removed { units, links, root }),
        Some(other) => Ok(other),
        None => {
            let said = finished.said.lines().last().unwrap_or_default().to_owned();
            Err(RemoveError::Failed { said })
        }
    }
}
