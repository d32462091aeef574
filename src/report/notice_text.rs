//! What is said when a run does not go the usual way: waiting, going back, a connection that broke.
use super::event::{EventKind, Recovery, Wait};
use super::line::Line;
use super::words::duration;

/// The line of such an event; empty for others.
pub(super) fn notice_line(kind: &EventKind) -> Line {
    match kind {
        EventKind::Waiting { what: Wait::Lock, holder } => {
            let by = holder.as_ref().map_or_else(String::new, |holder| {
                let job = holder.job.as_ref().map(|job| format!(" ({job})")).unwrap_or_default();
                format!(" by {} since {}, for {}{job}", holder.who, holder.since, holder.command)
            });
            Line::of(format!("waiting: the service is locked{by}"))
        }
        EventKind::Waiting { what: Wait::Activation, .. } => {
            Line::of("waiting: an activation of this service is under way on the host")
        }
        EventKind::PlanningAgain => Line::of("the lock is ours: looking at the host again"),
        EventKind::Recovered { run, outcome } => {
            let how = match outcome {
                Recovery::Reverted => "the host is back on the release before it",
                Recovery::Committed => "its release is kept",
                Recovery::Failed => "it could not be brought to its end",
            };
            Line::of(format!("found run {run}, which was interrupted: {how}"))
        }
        EventKind::RevertStarted { why } => Line::new().red("going back").plain(format!(": {why}")),
        EventKind::ConnectionLost { why, deadline } => Line::of(format!(
            "connection lost ({why}): the host decides by itself within {}; trying to reach it again",
            duration(*deadline)
        )),
        EventKind::Interrupted => Line::of(
            "interrupted: hosts that are being switched go through with it, nothing new is begun; once more to leave at once",
        ),
        _ => Line::new(),
    }
}
