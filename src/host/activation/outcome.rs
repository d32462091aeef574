//! Runs that are not ours to follow, or no longer: waited for, brought to their end, read back.
use std::time::Duration;

use super::activity::{ActivationEvent, Activity, End, Stop};
use super::program::ACTIVATION;
use super::run::IDLE;
use crate::host::script::Script;
use crate::host::session::{Session, SessionError};
use crate::plan::{Layout, RemotePath};
use crate::release::RunId;

/// How `recover` (recovery.sh) ends when the run is not dead, and when there is no service manager.
const ALIVE: &str = "75";
const NO_MANAGER: &str = "76";

/// Prints a run's state and its log.
const READ: &str = "printf 'state %s\\n' \"$(cat \"$1/state\")\"\ncat \"$1/log\"";

/// What a run's record says.
#[derive(Debug, Default)]
struct Record {
    state: String,
    status: String,
    activity: Activity,
}

impl Record {
    fn take(&mut self, line: &str, on_event: &mut impl FnMut(ActivationEvent)) {
        match line.split_once(' ') {
            Some(("state", text)) => text.clone_into(&mut self.state),
            Some(("status", text)) => text.clone_into(&mut self.status),
            _ => self.activity.take(line, on_event),
        }
    }

    /// The state is on the disk before the log says so, and there is room for it where there is none for a log.
    fn end(&mut self) -> Option<End> {
        match (self.state.as_str(), &self.activity.stop) {
            ("given_up", _) => Some(End::Reverted("it had not begun".to_owned())),
            ("committed", _) => Some(End::Committed),
            ("reverted", _) => Some(End::Reverted(self.activity.why.clone())),
            ("revert_failed", Some(Stop::Over(end))) => Some(end.clone()),
            ("revert_failed", _) => Some(End::RevertFailed(String::new())),
            _ => None,
        }
    }
}

/// Who has the service's lock, when a run is to be brought to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Whose {
    /// We have: whoever's the run was, it is ours to end.
    Own,
    /// Perhaps someone else. As long as they have the lock, it is theirs.
    Others,
}

impl Whose {
    fn word(self) -> &'static str {
        match self {
            Self::Own => "own",
            Self::Others => "contact",
        }
    }
}

/// What came of bringing a run to its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Recovery {
    /// It is there.
    Over(End),
    /// It was not dead.
    Alive,
    /// The user's service manager does not run, and nothing was done. The host goes back as soon as it does.
    NoManager(String),
    /// It could not be brought there.
    Failed {
        /// Why.
        why: String,
        /// How far it had come.
        reached: Reached,
    },
}

/// How far a run had come when it died.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reached {
    /// Nothing that runs was touched.
    Preparation,
    /// It had begun to switch.
    Switch,
}

/// Brings a run that died to its end: back to the old release, unless it was committed.
pub async fn recover(
    session: &mut Session,
    layout: &Layout,
    id: &RunId,
    whose: Whose,
) -> Result<Recovery, SessionError> {
    const RECOVER: &str = "/bin/sh \"$1/program\" recover \"$2\" >/dev/null\necho \"status $?\"";
    let mut script = Script::with_arguments(RECOVER, [layout.run(id).as_str(), whose.word()]);
    script.constant_line(READ);
    let mut record = Record::default();
    let finished = session.run(&script, IDLE, |line| record.take(line, &mut |_| {})).await?;
    // What was said last says why.
    let why = finished.said.lines().last().unwrap_or("it does not say why").to_owned();
    let reached = if record.state == "preparing" { Reached::Preparation } else { Reached::Switch };
    Ok(match record.status.as_str() {
        ALIVE => Recovery::Alive,
        NO_MANAGER => Recovery::NoManager(why),
        _ => record.end().map_or(Recovery::Failed { why, reached }, Recovery::Over),
    })
}

/// Waits until a run that is alive is over. One that is still at a step after `patience`, and whose client does not have the
/// lock, has nobody left that could end it: it is told so.
pub async fn wait_for_run(
    session: &mut Session,
    layout: &Layout,
    id: &RunId,
    patience: Duration,
    whose: Whose,
) -> Result<(), SessionError> {
    const WAIT: &str = include_str!("wait.sh");
    let patience = patience.as_secs().to_string();
    let script =
        Script::with_arguments(WAIT, [layout.run(id).as_str(), &id.to_string(), &patience, whose.word()]);
    session.run(&script, IDLE, |_| {}).await.map(drop)
}

/// Removes links that a run could not remove by itself, with the sudo password that the session knows. Returns those that
/// are left all the same.
pub async fn remove_links(
    session: &mut Session,
    links: &[RemotePath],
) -> Result<Vec<RemotePath>, SessionError> {
    const REMOVE: &str = "for path in \"$@\"; do\n[ ! -L \"$path\" ] || as_root rm -f -- \"$path\" || printf '%s\\n' \"$path\"\ndone";
    let script = Script::with_arguments(REMOVE, links.iter().map(RemotePath::as_str));
    let mut left = Vec::new();
    session.run(&script, IDLE, |line| left.extend(RemotePath::new(line))).await?;
    Ok(left)
}

/// Puts back files that a run could not put back by itself, with the sudo password that the session knows; and then brings the
/// run to its end.
pub async fn put_back_files(
    session: &mut Session,
    layout: &Layout,
    id: &RunId,
) -> Result<Recovery, SessionError> {
    session.provide(&ACTIVATION);
    let mut script = Script::constant(ACTIVATION.load);
    let arguments = [layout.root().to_string(), id.to_string()];
    script.append(&Script::with_arguments("root=$1\nrun_id=$2\nrun=$1/runs/$2\nput_back_all", arguments));
    session.run(&script, IDLE, |_| {}).await?;
    recover(session, layout, id, Whose::Own).await
}

/// What is on file about a run: `None` while it is not over. One that has not begun never will from now on.
pub async fn run_state(
    session: &mut Session,
    layout: &Layout,
    id: &RunId,
    mut on_event: impl FnMut(ActivationEvent),
) -> Result<Option<End>, SessionError> {
    const GIVE_UP: &str =
        "mkdir -p \"${1%/*}\"\nif mkdir -m 700 \"$1\" 2>/dev/null; then\necho 'state given_up'\nelse";
    let mut script = Script::with_arguments(GIVE_UP, [layout.run(id).as_str()]);
    script.constant_line(READ);
    script.constant_line("fi");
    let mut record = Record::default();
    session.run(&script, IDLE, |line| record.take(line, &mut on_event)).await?;
    Ok(record.end())
}
