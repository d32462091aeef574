//! The run on a terminal: a line for each host that moves, and below the past above it.
//!
//! What stays (journal, failures, the summary) is written above the moving lines; they are gone when the run is over.
use std::collections::HashMap;
use std::fmt;
use std::io::Write;
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};

use super::Reporter;
use super::event::{Command, Event, EventKind};
use super::journal_line::{JournalStyle, journal_lines};
use super::line::{Colour, Line};
use super::outcome_text::{end_line, failure_lines, host_lines, totals_line};
use super::plain::{TextStyle, Verbosity};
use super::plan_text;
use super::run_state::RunState;
use super::words::{Tense, bytes, duration, step_words};

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
    fn with_target(out: Box<dyn Write + Send>, target: ProgressDrawTarget, style: TextStyle) -> Self {
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
            let bar = ProgressBar::new(0).with_style(step_style(self.style.colour));
            let bar = match &self.total {
                Some(total) => self.bars.insert_before(total, bar),
                None => self.bars.add(bar),
            };
            bar.set_prefix(Line::of(label).render(Colour::Off) + " ");
            bar.enable_steady_tick(TICK);
            self.hosts.insert(place, bar);
        }
        self.hosts.get(&place)
    }

    /// Says what the host is at.
    fn at(&mut self, event: &Event, words: &str) {
        let colour = self.style.colour;
        if let Some(bar) = self.bar(event) {
            bar.set_style(step_style(colour));
            bar.reset_elapsed();
            bar.set_message(Line::of(words).render(Colour::Off));
        }
    }

    fn uploads(&mut self, event: &Event, sent: u64, total: u64) {
        let colour = self.style.colour;
        if let Some(bar) = self.bar(event) {
            if bar.length() != Some(total) {
                bar.set_style(upload_style(colour));
                bar.set_length(total);
                bar.reset_eta();
            }
            bar.set_position(sent);
        }
    }

    /// The host needs its line no more. When there are few hosts it stays, so that nothing jumps.
    fn ends(&mut self, event: &Event) {
        let Some(place) = self.run.place_of(event) else { return };
        let end =
            self.run.hosts.get(place).and_then(|h| h.end.as_ref().map(|end| (end_line(h, end), end.verdict)));
        if self.run.hosts.len() > MOST_LINES {
            if let Some(bar) = self.hosts.remove(&place) {
                bar.finish_and_clear();
                self.bars.remove(&bar);
            }
        } else if let (Some((line, verdict)), Some(bar)) = (end, self.bar(event)) {
            let sign = if verdict.is_failure() { "!" } else { "+" };
            bar.set_style(end_style(sign));
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
            let bar = self.bars.add(ProgressBar::new(0).with_style(total_style()));
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
        let deploys = matches!(self.run.command, Some(Command::Deploy) | None);
        let verbose = self.style.verbosity == Verbosity::Verbose;
        let normal = verbose || (self.style.verbosity == Verbosity::Normal && deploys);
        match &event.kind {
            EventKind::RunStarted { .. } => self.count(),
            EventKind::ConnectStarted => self.at(event, "connecting"),
            EventKind::Connected { address, elapsed } => {
                if verbose {
                    let line = Line::of(format!("connected to {address} in {}", duration(*elapsed)));
                    self.print(event, vec![line]);
                }
                self.at(event, "looking at the host");
            }
            EventKind::Probed { .. } => self.at(event, "planning"),
            EventKind::Planned { plan } => {
                if normal && deploys && !plan.is_empty() {
                    self.print(event, plan_text::summary_lines(plan));
                }
                self.at(event, "planned");
            }
            EventKind::StepStarted { step, .. } => self.at(event, &step_words(step, Tense::Going)),
            EventKind::UploadProgressed { sent, total } => self.uploads(event, *sent, *total),
            EventKind::StepSaid { line, .. } => {
                if verbose {
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
            EventKind::RunFinished { counts, exit_code: _, elapsed } => {
                self.clear();
                if normal || counts.failed() > 0 {
                    let mut lines = host_lines(&self.run);
                    if self.run.hosts.len() != 1 {
                        lines.push(totals_line(counts, *elapsed));
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

fn spinner(colour: Colour) -> &'static str {
    match colour {
        Colour::On => "{spinner:.cyan}",
        Colour::Off => "{spinner}",
    }
}

/// A template that indicatif can't read becomes its own default line; a test reads all of them.
fn style(template: &str) -> ProgressStyle {
    let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_spinner());
    style.tick_chars("-\\|/ ").with_key("sent", write_sent).with_key("rate", write_rate)
}

fn step_style(colour: Colour) -> ProgressStyle {
    style(&format!("{} {{prefix}} {{wide_msg}} {{elapsed}}", spinner(colour)))
}

fn upload_style(colour: Colour) -> ProgressStyle {
    style(&format!("{} {{prefix}} {{wide_msg}} {{sent}} {{rate}} ETA {{eta}}", spinner(colour)))
}

fn end_style(sign: &str) -> ProgressStyle {
    style(&format!("{sign} {{prefix}} {{wide_msg}}"))
}

fn total_style() -> ProgressStyle {
    style("  {wide_msg} {elapsed}")
}

fn write_sent(state: &ProgressState, out: &mut dyn fmt::Write) {
    let _ = write!(out, "{} of {}", bytes(state.pos()), bytes(state.len().unwrap_or_default()));
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a rate, to be shown")]
fn write_rate(state: &ProgressState, out: &mut dyn fmt::Write) {
    let _ = write!(out, "{}/s", bytes(state.per_sec() as u64));
}
