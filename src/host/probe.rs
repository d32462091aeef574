//! One program that finds out everything a plan needs, in one round trip.
use std::time::Duration;

use super::probe_answer::Answer;
use super::script::Script;
use super::session::{Session, SessionError};
use crate::manifest::{Manifest, UnitName};
use crate::plan::{Facts, Layout, LinkSpec};

const PROGRAM: &str = include_str!("probe.sh");
const COPIES: &str = include_str!("probe_copies.sh");

/// Whether there is a user of this name, and its groups. A name that looks like a number is none.
const USER: &str =
    "if getent passwd -- \"$1\" >/dev/null; then\nprintf 'service_user %s\\n' \"$(id -nG -- \"$1\")\"\nfi";

/// How long the probe may say nothing: a slow disk may take a while over the hashes.
const IDLE: Duration = Duration::from_secs(60);

/// The host could not be probed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProbeError {
    /// The program could not be run.
    #[error(transparent)]
    Session(#[from] SessionError),
    /// The program ended early.
    #[error("the probe ended with status {status}{}", if said.is_empty() { String::new() } else { format!(": {said}") })]
    Failed {
        /// Its exit status.
        status: u32,
        /// What it said.
        said: String,
    },
    /// The home directory's path can't be worked with.
    #[error("the path of the home directory is {}", if path.is_empty() { "not set".to_owned() } else { format!("`{}`", path.escape_debug()) })]
    Home {
        /// What the host said it is.
        path: String,
    },
    /// The program left out something that every host has, or printed something else.
    #[error("the probe's answer has no valid {what}")]
    Incomplete {
        /// What is missing.
        what: &'static str,
    },
}

/// How much is asked of a host. Every process there costs a millisecond or more, so a deploy asks for no more than it
/// needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extent {
    /// What a deploy is planned from.
    Present,
    /// Also whose rights it takes to remove all of it.
    Removal,
    /// Also who holds the service: its lock, or a freeze.
    Holds,
    /// Besides, the records of all releases, and the last lines of the history.
    Past {
        /// How many lines.
        lines: u32,
    },
}

/// Asks a host for its facts, as far as the manifest's service is concerned. Changes nothing on it.
pub async fn probe(session: &mut Session, manifest: &Manifest, extent: Extent) -> Result<Facts, ProbeError> {
    let links = Layout::links(manifest);
    let mut answer = Answer::default();
    let finished = session.run(&program(manifest, &links, extent), IDLE, |line| answer.take(line)).await?;
    if finished.status != 0 {
        return Err(ProbeError::Failed { status: finished.status, said: finished.said });
    }
    let units: Vec<UnitName> = manifest.started_units().map(|(name, _)| name.clone()).collect();
    let facts = answer.facts(manifest.scope, units, links)?;
    if !facts.users_units.is_empty() {
        session.tell_users_units(&facts.users_units);
    }
    Ok(facts)
}

fn program(manifest: &Manifest, links: &[LinkSpec], extent: Extent) -> Script {
    let units: Vec<&str> = manifest.started_units().map(|(name, _)| name.as_str()).collect();
    let extent = match extent {
        Extent::Present => "present".to_owned(),
        Extent::Removal => "removal".to_owned(),
        Extent::Holds => "holds".to_owned(),
        Extent::Past { lines } => lines.to_string(),
    };
    let mut arguments = vec![
        manifest.name.as_str().to_owned(),
        manifest.root_on_host(),
        units.join(" "),
        manifest.users_units().map(UnitName::as_str).collect::<Vec<_>>().join(" "),
        extent,
    ];
    for link in links {
        arguments.push(link.path.as_str().to_owned());
        arguments.push(link.target.clone());
    }
    let mut script = Script::default();
    if let Some(user) = &manifest.user {
        script.append(&Script::with_arguments(USER, [user.name.as_str()]));
    }
    let places = Layout::places(manifest).into_iter().map(|place| place.as_str().to_owned());
    let places = [manifest.root_on_host()].into_iter().chain(places);
    script.append(&Script::with_arguments(COPIES, places));
    script.append(&Script::with_arguments(PROGRAM, arguments));
    script
}

/// Takes a text for what the probe's program prints. For tests: no such text may do harm.
#[cfg(any(test, fuzzing))]
pub(crate) fn read_answer(text: &str, manifest: &Manifest) -> Result<Facts, ProbeError> {
    let mut answer = Answer::default();
    text.lines().for_each(|line| answer.take(line));
    let units = manifest.started_units().map(|(name, _)| name.clone()).collect();
    answer.facts(manifest.scope, units, Layout::links(manifest))
}
