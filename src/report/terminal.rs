//! The run on a terminal: a line for each host that moves, and what is done above them.
//!
//! What stays (journal, failures, the summary) is written above the moving lines; they are gone when the run is over.
use std::collections::HashMap;
use std::fmt;
use std::io::Write;
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget};

use super::Reporter;
use super::event::{Command, Event, EventKind};
use super::journal_line::{JournalStyle, journal_lines};
use super::line::{Colour, Line, sanitise};
use super::notice_text::{local_hook_lines, notice_line};
use super::outcome_text::{end_line, failure_lines, host_lines, totals_line};
use super::plain::{TextStyle, Verbosity};
use super::run_state::RunState;
use super::words::{Tense, by_way_of, duration, step_words};
use super::{plan_text, progress_line};

/// More moving lines than this nobody can read, and they may not fit; then only hosts at work have one.
const MOST_LINES: usize = 16;

/// A host's name takes no more of a moving line than this.
const WIDEST_LABEL: usize = 24;

/// How often the spinners turn.
const TICK: Duration = Duration::from_millis(120);

/// Shows the run on a terminal.
pub struct TerminalReporter {
    out: Box<dyn Write + Send>,
    bars: MultiProgress,
    style: TextStyle,
    run: RunState,
    hosts: HashMap<usize, ProgressBar>,
    total: Option<ProgressBar>,
}

/// Takes the moving lines off the terminal while something else wants it: a question, or another writer.
#[derive(Debug, Clone, Default)]
pub struct Suspend(Option<MultiProgress>);

impl Suspend {
    /// For reporters that have no moving lines.
    #[must_use]
    pub fn none() -> Self {
        Self(None)
    }

    /// Runs `f` while nothing is drawn. Events that come meanwhile wait in the reporter, which blocks its thread.
    pub fn suspend<R>(&self, f: impl FnOnce() -> R) -> R {
        match &self.0 {
            Some(bars) => bars.suspend(f),
            None => f(),
        }
    }
}

impl TerminalReporter {
    /// A reporter that writes to standard error, which should be a terminal.
    #[must_use]
    pub fn new(style: TextStyle) -> Self {
        Self::with_target(Box::new(std::io::stderr()), ProgressDrawTarget::stderr_with_hz(15), style)
    }

    /// A reporter that draws moving lines on `target`, and writes what stays to `out`: the same terminal.
    pub(super) fn with_target(
        out: Box<dyn Write + Send>,
        target: ProgressDrawTarget,
        style: TextStyle,
    ) -> Self {
        let bars = MultiProgress::with_draw_target(target);
        Self { out, bars, style, run: RunState::default(), hosts: HashMap::new(), total: None }
    }

    /// What those who ask questions on the same terminal need.
    #[must_use]
    pub fn suspend_handle(&self) -> Suspend {
        Suspend(Some(self.bars.clone()))
    }

    /// Writes what stays, above the moving lines.
    fn print(&mut self, event: &Event, lines: Vec<Line>) {
        if lines.is_empty() {
            return;
        }
        let several = self.run.hosts.len() > 1;
        let width = self.run.label_width();
        let label = self.run.host(event).filter(|_| several).map(|host| format!("{:width$}  ", host.label));
        let mut text = String::new();
        for line in lines {
            let line = Line::new().cyan(label.as_deref().unwrap_or_default()).then(line);
            text.push_str(&line.render(self.style.colour));
            text.push('\n');
        }
        let (bars, out) = (&self.bars, &mut self.out);
        // A terminal that went away does not stop a deploy.
        bars.suspend(|| {
            let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
        });
    }

    fn moves(&self) -> bool {
        self.style.verbosity > Verbosity::Quiet
    }

    /// The host's moving line; `None` when there are too many.
    fn bar(&mut self, event: &Event) -> Option<&ProgressBar> {
        let place = self.run.place_of(event).filter(|_| self.moves())?;
        if !self.hosts.contains_key(&place) {
            if self.hosts.len() >= MOST_LINES {
                return None;
            }
            let width = self.run.label_width().min(WIDEST_LABEL);
            let label =
                self.run.hosts.get(place).map(|host| format!("{:width$.WIDEST_LABEL$}", host.label))?;
            let bar = ProgressBar::new(0).with_style(progress_line::step(self.style.colour));
            let bar = match &self.total {
                Some(total) => self.bars.insert_before(total, bar),
                None => self.bars.add(bar),
            };
            bar.set_prefix(sanitise(&label) + " ");
            bar.enable_steady_tick(TICK);
            self.hosts.insert(place, bar);
        }
        self.hosts.get(&place)
    }

    /// Says what the host is at.
    fn at(&mut self, event: &Event, words: &str) {
        let colour = self.style.colour;
        if let Some(bar) = self.bar(event) {
            bar.set_style(progress_line::step(colour));
            bar.reset_elapsed();
            bar.set_length(0);
            bar.set_message(Line::of(words).render(Colour::Off));
        }
    }

    fn uploads(&mut self, event: &Event, sent: u64, total: u64) {
        let colour = self.style.colour;
        if let Some(bar) = self.bar(event) {
            bar.set_position(sent);
            if bar.length() != Some(total) {
                bar.set_style(progress_line::upload(colour));
                bar.set_length(total);
            }
        }
    }

    /// The host needs its line no more. When there are few hosts it stays, so that nothing jumps.
    fn ends(&mut self, event: &Event) {
        let Some(place) = self.run.place_of(event) else { return };
        let end = self
            .run
            .hosts
            .get(place)
            .and_then(|h| h.end.as_ref().map(|end| (end_line(&self.run, h, end), end.verdict)));
        if self.run.hosts.len() > MOST_LINES {
            if let Some(bar) = self.hosts.remove(&place) {
                bar.finish_and_clear();
                self.bars.remove(&bar);
            }
        } else if let (Some((line, verdict)), Some(bar)) = (end, self.bar(event)) {
            let sign = if verdict.is_failure() { "!" } else { "+" };
            bar.set_style(progress_line::end(sign));
            bar.finish_with_message(line.render(Colour::Off));
        }
        self.count();
    }

    /// The line with the totals, when there are several hosts.
    fn count(&mut self) {
        let all = self.run.hosts.len();
        if all < 2 || !self.moves() {
            return;
        }
        let total = self.total.get_or_insert_with(|| {
            let bar = self.bars.add(ProgressBar::new(0).with_style(progress_line::total()));
            bar.enable_steady_tick(TICK);
            bar
        });
        let ends: Vec<_> = self.run.hosts.iter().filter_map(|host| host.end.as_ref()).collect();
        let (done, failed) = (ends.len(), ends.iter().filter(|end| end.verdict.is_failure()).count());
        let failed = if failed > 0 { format!(", {failed} FAILED") } else { String::new() };
        total.set_message(format!("{done} of {all} hosts done{failed}"));
    }

    fn clear(&mut self) {
        for (_, bar) in self.hosts.drain() {
            bar.finish_and_clear();
        }
        if let Some(total) = self.total.take() {
            total.finish_and_clear();
        }
        let _ = self.bars.clear();
    }

    fn journal(&self, event: &Event, entries: &[crate::host::JournalEntry]) -> Vec<Line> {
        let zone = self.style.zone.clone();
        let today = event.at.to_zoned(zone.clone()).date();
        let style = JournalStyle { colour: self.style.colour, zone, today: Some(today) };
        entries.iter().flat_map(|entry| journal_lines(entry, None, &style)).collect()
    }
}

impl Reporter for TerminalReporter {
    fn on_event(&mut self, event: &Event) {
        self.run.note(event);
        let deploys = matches!(self.run.command, Some(Command::Deploy | Command::Rollback) | None);
        let verbose = self.style.verbosity == Verbosity::Verbose;
        let normal = verbose || (self.style.verbosity == Verbosity::Normal && deploys);
        match &event.kind {
            EventKind::RunStarted { .. } => self.count(),
            EventKind::ConnectStarted => self.at(event, "connecting"),
            EventKind::Connected { address, via, elapsed } => {
                if verbose {
                    let via = by_way_of(via);
                    let line = Line::of(format!("connected to {address}{via} in {}", duration(*elapsed)));
                    self.print(event, vec![line]);
                }
                self.at(event, "looking at the host");
            }
            EventKind::Probed { .. } => self.at(event, "planning"),
            EventKind::Planned { plan } => {
                if normal && deploys && !plan.is_empty() {
                    self.print(event, plan_text::announcement(plan));
                }
                self.at(event, "planned");
            }
            EventKind::StepStarted { step, .. } => self.at(event, &step_words(step, Tense::Going)),
            EventKind::UploadProgressed { sent, total } => self.uploads(event, *sent, *total),
            EventKind::StepSaid { number, line } => {
                if verbose || (normal && self.run.is_operators(event, *number)) {
                    self.print(event, vec![Line::new().dim("| ").plain(line)]);
                }
            }
            EventKind::StepFinished { number, elapsed } => {
                let words = self.run.step(event, *number).map(|step| step_words(step, Tense::Done));
                if let Some(words) = words.filter(|_| verbose) {
                    self.print(event, vec![Line::of(words).dim(format!(", took {}", duration(*elapsed)))]);
                }
            }
            EventKind::StepFailed { number } => {
                if let Some(step) = self.run.step(event, *number) {
                    let words = step_words(step, Tense::Order);
                    self.print(event, vec![Line::new().red("failed: ").plain(words)]);
                }
            }
            EventKind::JournalRead { entries } => {
                if normal {
                    let lines = self.journal(event, entries);
                    self.print(event, lines);
                }
            }
            EventKind::HostFinished { verdict, failure, .. } => {
                self.ends(event);
                if let Some(failure) = failure {
                    self.print(event, failure_lines(*verdict, failure));
                }
            }
            EventKind::Waiting { .. }
            | EventKind::PlanningAgain
            | EventKind::Recovered { .. }
            | EventKind::RevertStarted { .. }
            | EventKind::UnitKilled { .. }
            | EventKind::ConnectionLost { .. }
            | EventKind::Interrupted => self.print(event, vec![notice_line(&event.kind)]),
            EventKind::LocalHookStarted { .. }
            | EventKind::LocalHookSaid { .. }
            | EventKind::LocalHookFinished { .. }
            | EventKind::LocalHookFailed { .. } => {
                self.print(event, local_hook_lines(&event.kind, self.style.verbosity));
            }
            // The command says what each host will do, and nothing may be drawn over that.
            EventKind::Left => self.clear(),
            EventKind::RunFinished { counts, warnings, exit_code: _, elapsed } => {
                self.clear();
                // With no end of any host, it was over before one was connected to, and the command says why.
                if counts.all() > 0 && (normal || counts.failed() > 0 || *warnings > 0) {
                    let mut lines = host_lines(&self.run);
                    if self.run.hosts.len() != 1 {
                        lines.push(totals_line(&self.run, counts, *warnings, *elapsed));
                    }
                    self.print(event, lines);
                }
            }
        }
    }
}

impl Drop for TerminalReporter {
    fn drop(&mut self) {
        self.clear();
    }
}

impl fmt::Debug for TerminalReporter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TerminalReporter").field("run", &self.run).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use insta::assert_snapshot;

    use super::super::event::Verdict;
    use super::super::fixtures::{
        BrokenPipe, HOSTILE, changed_plan, deployed, ended, event, mixed_run, run_finished, run_started,
        text_style,
    };
    use super::super::screen::Screen;
    use super::*;

    fn reporter(screen: &Screen, verbosity: Verbosity) -> TerminalReporter {
        let target = ProgressDrawTarget::term_like(Box::new(screen.clone()));
        TerminalReporter::with_target(Box::new(screen.clone()), target, text_style(verbosity, Colour::Off))
    }

    /// What is on the screen, with every spinner at rest.
    fn view(screen: &Screen) -> String {
        let spinners = ["- ", "\\ ", "| ", "/ "];
        let rest = |line: &str| match spinners.iter().find_map(|spinner| line.strip_prefix(spinner)) {
            Some(text) => format!("* {text}"),
            None => line.to_owned(),
        };
        screen.text().lines().map(rest).collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn a_run_leaves_a_clean_summary() {
        let screen = Screen::new(100);
        let mut reporter = reporter(&screen, Verbosity::Normal);
        mixed_run("").iter().for_each(|event| reporter.on_event(event));
        drop(reporter);
        assert_snapshot!(view(&screen), @"
        web1              plan: 20261120T030041Z-8be1d2a4 replaces 20261120T030007Z-3f2a9c01
        web1                    3 of 4 files (21.4 MB), restart simple_api.service (unit file, binary and en
        v file changed), 1 link
        web1                    with sudo: link /usr/local/bin/simple_api
        web1              03:00:52.123 simple_api[4711]: Listening on 0.0.0.0:8000
        web1              03:00:52.123 simple_api[4711]: no cache
        web1                                             starting cold
        db-1.example.com  UNREACHABLE (untouched): db-1.example.com:22 can't be reached
        db-1.example.com    because connection refused
        db-1.example.com    state: nothing was changed
        db-1.example.com    help:  is sshd running there?
        db-1.example.com    code:  shipit::ssh::connect
        web4              failed: start simple_api.service (not running: failed)
        web4              03:00:52.123 simple_api[4711]: can't bind
        web4              FAILED (needs attention): simple_api.service failed to start
        web4                because status=203/EXEC: the program could not be started
        web4                | systemd[812]: simple_api.service: Failed at step EXEC
        web4                | second line
        web4                state: current points to 20261120T030041Z-8be1d2a4, and the service is down
        web4                help:  see `shipit logs prod`; to go back: ln -sfT ...
        web4                code:  shipit::service::failed
        web1              deployed 20261120T030041Z-8be1d2a4 in 9.1 s
        web2              unchanged: nothing to do, runs 20261120T030007Z-3f2a9c01 (400 ms)
        db-1.example.com  unreachable (untouched): db-1.example.com:22 can't be reached (after 90 ms)
        web4              FAILED (needs attention): simple_api.service failed to start (after 900 ms)
        1 host deployed, 1 unchanged, 1 unreachable (untouched), 1 FAILED (needs attention) in 12 s
        ");
    }

    #[test]
    fn one_host_has_one_line_at_the_end() {
        let screen = Screen::new(100);
        let mut reporter = reporter(&screen, Verbosity::Normal);
        reporter.on_event(&event(0, None, run_started(&["web1"])));
        deployed("web1", changed_plan("web1")).iter().for_each(|event| reporter.on_event(event));
        reporter.on_event(&event(9000, None, run_finished(&[Verdict::Deployed])));
        assert_snapshot!(view(&screen), @"
        plan: 20261120T030041Z-8be1d2a4 replaces 20261120T030007Z-3f2a9c01
              3 of 4 files (21.4 MB), restart simple_api.service (unit file, binary and env file changed), 1
         link
              with sudo: link /usr/local/bin/simple_api
        03:00:52.123 simple_api[4711]: Listening on 0.0.0.0:8000
        03:00:52.123 simple_api[4711]: no cache
                                       starting cold
        web1  deployed 20261120T030041Z-8be1d2a4 in 9.1 s
        ");
    }

    #[test]
    fn a_line_for_each_host_while_it_runs() {
        let screen = Screen::new(72);
        let mut reporter = reporter(&screen, Verbosity::Normal);
        let run = mixed_run("");
        reporter.on_event(&run[0]);
        let unreachable =
            run.iter().filter(|e| e.host.as_ref().is_some_and(|h| h.to_string().starts_with("db")));
        let web4 = run.iter().filter(|e| e.host.as_ref().is_some_and(|h| h.to_string() == "web4"));
        unreachable.chain(web4.take(1)).for_each(|event| reporter.on_event(event));
        assert_snapshot!(view(&screen), @"
        db-1.example.com  UNREACHABLE (untouched): db-1.example.com:22 can't be
        reached
        db-1.example.com    because connection refused
        db-1.example.com    state: nothing was changed
        db-1.example.com    help:  is sshd running there?
        db-1.example.com    code:  shipit::ssh::connect
        ! db-1.example.com  unreachable (untouched): db-1.example.com:22 can't b
        * web4              starting simple_api.service (not running: failed) 0s
          1 of 4 hosts done, 1 FAILED                                         0s
        ");
    }

    #[test]
    fn an_upload_shows_how_far_it_is() {
        let screen = Screen::new(80);
        let mut reporter = reporter(&screen, Verbosity::Normal);
        reporter.on_event(&event(0, None, run_started(&["web1"])));
        let events = deployed("web1", changed_plan("web1"));
        events.iter().take(6).for_each(|event| reporter.on_event(event));
        let text = screen.text();
        let line = text.lines().find(|line| line.contains("uploading")).unwrap();
        assert!(line.contains("uploading 3 of 4 files (21.4 MB)"), "{text}");
        assert!(line.contains("2.1 MB of 21.4 MB"), "{text}");
        assert!(line.contains("/s ETA"), "{text}");
    }

    #[test]
    fn many_hosts_share_the_lines() {
        let screen = Screen::new(60);
        let mut reporter = reporter(&screen, Verbosity::Normal);
        let names: Vec<_> = (1..=40).map(|n| format!("web{n}")).collect();
        let hosts: Vec<_> = names.iter().map(String::as_str).collect();
        reporter.on_event(&event(0, None, run_started(&hosts)));
        for host in &hosts {
            reporter.on_event(&event(1, Some(host), EventKind::ConnectStarted));
        }
        let lines =
            |screen: &Screen| screen.text().lines().filter(|line| line.contains("connecting")).count();
        assert_eq!(lines(&screen), MOST_LINES);
        for host in &hosts[..30] {
            reporter.on_event(&event(2, Some(host), ended(Verdict::Unchanged, None, None, 2)));
        }
        assert!(screen.text().contains("30 of 40 hosts done"), "{}", screen.text());
        for host in &hosts[30..] {
            reporter.on_event(&event(3, Some(host), EventKind::ConnectStarted));
        }
        assert_eq!(lines(&screen), 10, "{}", screen.text());
    }

    #[test]
    fn what_a_host_said_can_not_act_on_the_terminal() {
        let screen = Screen::new(200);
        let mut reporter = reporter(&screen, Verbosity::Verbose);
        for event in mixed_run(HOSTILE) {
            reporter.on_event(&event);
        }
        drop(reporter);
        assert_eq!(screen.controls(), "", "control characters that were written");
        assert!(screen.text().contains("pwned"), "the test sends something");
    }

    #[test]
    fn a_question_has_the_terminal_to_itself() {
        let screen = Screen::new(80);
        let mut reporter = reporter(&screen, Verbosity::Normal);
        let suspend = reporter.suspend_handle();
        reporter.on_event(&event(0, None, run_started(&["web1", "web2"])));
        reporter.on_event(&event(1, Some("web1"), EventKind::ConnectStarted));
        let seen = suspend.suspend(|| screen.text());
        assert!(!seen.contains("connecting"), "{seen}");
        assert!(screen.text().contains("connecting"), "drawn again: {}", screen.text());
        assert_eq!(Suspend::none().suspend(|| 7), 7);
    }

    #[test]
    fn an_abandoned_run_leaves_no_line_behind() {
        let screen = Screen::new(80);
        let mut reporter = reporter(&screen, Verbosity::Normal);
        reporter.on_event(&event(0, None, run_started(&["web1", "web2"])));
        reporter.on_event(&event(1, Some("web1"), EventKind::ConnectStarted));
        drop(reporter);
        assert_eq!(screen.text().trim(), "");
    }

    #[test]
    fn a_terminal_that_goes_away_stops_nothing() {
        let style = text_style(Verbosity::Verbose, Colour::On);
        let target = ProgressDrawTarget::hidden();
        let mut reporter = TerminalReporter::with_target(Box::new(BrokenPipe), target, style);
        mixed_run("").iter().for_each(|event| reporter.on_event(event));
    }
}
