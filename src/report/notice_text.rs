//! What is said when a run does not go the usual way: waiting, going back, a connection that broke.
use super::event::{EventKind, Recovery, Wait};
use super::line::Line;
use super::plain::Verbosity;
use super::words::duration;
use crate::manifest::{HookPoint, first_line};

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
        EventKind::UnitKilled { unit } => Line::of(format!("{unit} did not stop in time, and was killed")),
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

/// The lines of an event of a local hook; none for others.
pub(super) fn local_hook_lines(kind: &EventKind, verbosity: Verbosity) -> Vec<Line> {
    let quiet = verbosity == Verbosity::Quiet;
    let quoted = |line: &String| Line::new().dim("  | ").plain(line);
    match kind {
        EventKind::LocalHookStarted { when, run } if !quiet => {
            vec![Line::of(format!("running the hook {}: {}", when.as_str(), first_line(run)))]
        }
        EventKind::LocalHookSaid { line, .. } if !quiet => vec![quoted(line)],
        EventKind::LocalHookFinished { when, elapsed } if !quiet => {
            let took = format!(", took {}", duration(*elapsed));
            vec![Line::of(format!("ran the hook {}", when.as_str())).dim(took)]
        }
        EventKind::LocalHookFailed { when, run, why, said } => {
            // What it said was not shown where little is to be told.
            let mut lines: Vec<Line> = if quiet { said.iter().map(quoted).collect() } else { Vec::new() };
            // Before a deploy it is what ends the command, which says so.
            if *when != HookPoint::BeforeDeploy {
                let what = format!("the hook {} failed: `{}`: {why}", when.as_str(), first_line(run));
                let but = "; how the hosts ended is not changed by that";
                lines.push(Line::new().yellow("warning: ").plain(what + but));
            }
            lines
        }
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use insta::assert_snapshot;

    use super::super::event::{Event, Verdict};
    use super::super::fixtures::{
        Paper, deployed, empty_plan, event, local_hooks, run_finished, run_started, text_style,
    };
    use super::super::{Colour, PlainReporter, Reporter};
    use super::*;

    fn shown(events: &[Event], verbosity: Verbosity) -> String {
        let paper = Paper::default();
        let mut reporter = PlainReporter::new(Box::new(paper.clone()), text_style(verbosity, Colour::Off));
        events.iter().for_each(|event| reporter.on_event(event));
        paper.text()
    }

    #[test]
    fn local_hooks_are_told_of_and_what_failed_after_the_verdict_is_a_warning() {
        let mut hooks = local_hooks();
        let last = hooks.split_off(3);
        let mut host = deployed("web1", empty_plan("web1"));
        if let Some(Event { kind: EventKind::HostFinished { warnings, .. }, .. }) = host.last_mut() {
            warnings.push("the hook after_deploy failed: `exit 5`: it ended with status 5".to_owned());
        }
        let mut end = run_finished(&[Verdict::Deployed]);
        if let EventKind::RunFinished { warnings, .. } = &mut end {
            *warnings = 2;
        }
        let begin = vec![event(0, None, run_started(&["web1"]))];
        let events = [begin, hooks, host, last, vec![event(60, None, end)]].concat();
        assert_snapshot!(shown(&events, Verbosity::Normal), @"
        03:00:41 deploy simple_api to prod: web1 (shipit 0.1.0)
        03:00:41 running the hook before_deploy: make dist
        03:00:41   | cc -O2 api.c
        03:00:41 ran the hook before_deploy, took 2 s
        03:00:41 connected to 192.0.2.7:22 in 210 ms
        03:00:41 unchanged: nothing to do, runs 20261120T030007Z-3f2a9c01 (400 ms); warning: the hook after_deploy failed: `exit 5`: it ended with status 5
        03:00:41 running the hook after_deploy: ./tell ...
        03:00:41   | nobody there
        03:00:41 warning: the hook after_deploy failed: `./tell ...`: it ended with exit status: 6; how the hosts ended is not changed by that
        03:00:41 1 host deployed in 12 s, with 2 warnings
        ");
        assert_snapshot!(shown(&events, Verbosity::Quiet), @"
        03:00:41   | nobody there
        03:00:41 warning: the hook after_deploy failed: `./tell ...`: it ended with exit status: 6; how the hosts ended is not changed by that
        03:00:41 1 host deployed in 12 s, with 2 warnings
        ");
    }

    #[test]
    fn a_run_that_is_over_before_any_host_is_connected_to_has_no_totals() {
        let events = [event(0, None, run_started(&["web1", "web2"])), event(9, None, run_finished(&[]))];
        assert_snapshot!(
            shown(&events, Verbosity::Normal),
            @"03:00:41 deploy simple_api to prod: 2 hosts (shipit 0.1.0)"
        );
    }
}
