//! How hosts and runs ended, for people: the block of a failure, and the summary.
use std::time::Duration;

use super::event::{Command, Failure, RunCounts, Verdict};
use super::line::{Line, Paint};
use super::run_state::{HostEnd, HostState, RunState};
use super::words::{count, counts_words, duration, verdict_words};

/// What went wrong, why, what was said, what state the host is in, and what to do: each findable at a glance.
pub(super) fn failure_lines(verdict: Verdict, failure: &Failure) -> Vec<Line> {
    let Failure { code, causes, state, help, details } = failure;
    let mut causes = causes.iter();
    let what = causes.next().map_or("it is not known what went wrong", String::as_str);
    let title = match verdict {
        Verdict::NeedsAttention => "FAILED (needs attention): ",
        Verdict::Reverted => "FAILED (reverted): ",
        Verdict::Unreachable if code.ends_with("::host_key") => "HOST KEY REFUSED (untouched): ",
        Verdict::Unreachable if code.ends_with("::authentication") => "NOT LET IN (untouched): ",
        Verdict::Unreachable => "UNREACHABLE (untouched): ",
        Verdict::FailedUntouched => "FAILED (untouched): ",
        Verdict::Unchanged | Verdict::Deployed | Verdict::Planned => "FAILED: ",
    };
    let mut lines = Vec::new();
    block(Line::new().red(title), Paint::Bold, what, &mut lines);
    for cause in causes {
        block(Line::of("  because "), Paint::Plain, cause, &mut lines);
    }
    for detail in details.iter().flat_map(|detail| detail.lines()) {
        lines.push(Line::new().dim("  | ").plain(detail));
    }
    block(Line::new().plain("  state: "), Paint::Bold, state, &mut lines);
    if let Some(help) = help {
        block(Line::new().plain("  help:  "), Paint::Cyan, help, &mut lines);
    }
    lines.push(Line::new().dim(format!("  code:  {code}")));
    lines
}

/// A text that may have several lines, behind its title.
fn block(title: Line, paint: Paint, text: &str, lines: &mut Vec<Line>) {
    let mut title = Some(title);
    for part in text.trim_end().split('\n') {
        let start = title.take().unwrap_or_else(|| Line::of("         "));
        lines.push(start.paint(paint, part));
    }
}

/// How a host ended, in one line.
pub(super) fn end_line(run: &RunState, host: &HostState, end: &HostEnd) -> Line {
    let time = duration(end.elapsed);
    let verdict = verdict_line(end.verdict, run.command);
    let release = end.release.as_ref().map(|id| format!(" {id}")).unwrap_or_default();
    let line = match end.verdict {
        Verdict::Unchanged => {
            let runs = end.release.as_ref().or(host.current.as_ref());
            let runs = runs.map(|id| format!(", runs {id}")).unwrap_or_default();
            verdict.plain(format!(": nothing to do{runs} ({time})"))
        }
        Verdict::Deployed => verdict.plain(format!("{release} in {time}")),
        Verdict::Planned => verdict.plain(format!(":{release}, nothing was changed ({time})")),
        Verdict::FailedUntouched | Verdict::Unreachable | Verdict::Reverted | Verdict::NeedsAttention => {
            let problem = end.problem.as_deref().unwrap_or("no reason was given");
            let problem = problem.lines().next().unwrap_or_default();
            verdict.plain(format!(": {problem} (after {time})"))
        }
    };
    end.warnings.iter().fold(line, |line, warning| {
        line.yellow("; warning: ").plain(warning.lines().next().unwrap_or_default())
    })
}

fn verdict_line(verdict: Verdict, command: Option<Command>) -> Line {
    let words = verdict_words(verdict, command);
    match verdict {
        Verdict::Deployed => Line::new().green(words),
        _ if verdict.is_failure() => Line::new().red(words),
        _ => Line::of(words),
    }
}

/// A line for each host, those that failed last, where the eye ends up.
pub(super) fn host_lines(run: &RunState) -> Vec<Line> {
    let width = run.label_width();
    let mut hosts: Vec<_> = run.hosts.iter().collect();
    hosts.sort_by_key(|host| host.end.as_ref().map_or(1, |end| if end.verdict.is_failure() { 2 } else { 0 }));
    let line = |host: &HostState| {
        let label = Line::new().bold(format!("{:width$}", host.label)).plain("  ");
        match &host.end {
            Some(end) => label.then(end_line(run, host, end)),
            None => label.yellow("not finished"),
        }
    };
    hosts.into_iter().map(line).collect()
}

/// How many hosts ended how.
pub(super) fn totals_line(run: &RunState, counts: &RunCounts, warnings: usize, elapsed: Duration) -> Line {
    let paint = if counts.failed() > 0 { Paint::Red } else { Paint::Green };
    let line =
        Line::new().paint(paint, format!("{} in {}", counts_words(counts, run.command), duration(elapsed)));
    match warnings {
        0 => line,
        warnings => line.yellow(format!(", with {}", count(warnings, "warning", "warnings"))),
    }
}
