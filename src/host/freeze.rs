//! A freeze of a service on a host: made and lifted by people, and there until it is lifted.
use std::time::Duration;

use super::script::Script;
use super::session::{Session, SessionError};
use crate::plan::Holder;

const PROGRAM: &str = include_str!("freeze.sh");

/// How long the host may take.
const IDLE: Duration = Duration::from_secs(30);

/// A freeze could not be made or lifted.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FreezeError {
    /// The program could not be run.
    #[error(transparent)]
    Session(#[from] SessionError),
    /// The host would not.
    #[error("the host refused: {said}")]
    Refused {
        /// What was said.
        said: String,
    },
}

/// What came of asking for a freeze.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frozen {
    /// Whose freeze it is now.
    pub freeze: Freeze,
    /// Who is at work on the host all the same: a run under way is not stopped.
    pub at_work: Option<Holder>,
}

/// Whose freeze it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Freeze {
    /// Ours.
    Made,
    /// Someone was first; who, where that can be read.
    There(Option<Holder>),
}

/// What came of asking for an end of the freeze.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Lift {
    /// It is over; whose it was, where that could be read.
    Lifted(Option<Holder>),
    /// There was none.
    NotFrozen,
}

/// Freezes the service on the host.
pub async fn freeze(session: &mut Session, root: &str, holder: &Holder) -> Result<Frozen, FreezeError> {
    let mut script = Script::with_arguments(PROGRAM, [root]);
    script.call("freeze", [holder.to_json()]);
    let (mut freeze, mut at_work) = (None, None);
    run(session, &script, |word, rest| match word {
        "made" => freeze = Some(Freeze::Made),
        "there" => freeze = Some(Freeze::There(Holder::parse(rest))),
        "held" => at_work = Holder::parse(rest),
        _ => {}
    })
    .await
    .and_then(|said| freeze.map(|freeze| Frozen { freeze, at_work }).ok_or(FreezeError::Refused { said }))
}

/// Lifts the freeze of the service on the host.
pub async fn lift(session: &mut Session, root: &str) -> Result<Lift, FreezeError> {
    let mut script = Script::with_arguments(PROGRAM, [root]);
    script.constant_line("lift");
    let mut lift = None;
    run(session, &script, |word, rest| match word {
        "lifted" => lift = Some(Lift::Lifted(Holder::parse(rest))),
        "none" => lift = Some(Lift::NotFrozen),
        _ => {}
    })
    .await
    .and_then(|said| lift.ok_or(FreezeError::Refused { said }))
}

/// Runs the program, and hands over its lines as a word and the rest. What it said on standard error comes back.
async fn run(
    session: &mut Session,
    script: &Script,
    mut on_line: impl FnMut(&str, &str),
) -> Result<String, FreezeError> {
    let finished = session
        .run(script, IDLE, |line| {
            let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
            on_line(word, rest);
        })
        .await?;
    Ok(finished.said)
}
