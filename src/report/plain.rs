//! The run as lines of text, for pipes and CI: one thing that happened a line, with its time and its host.
use std::collections::HashMap;
use std::io::Write;
use std::time::Duration;

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

use super::Reporter;
use super::event::{Command, Event, EventKind};
use super::journal_line::{JournalStyle, journal_lines};
use super::line::{Colour, Line};
use super::outcome_text::{end_line, failure_lines, summary_lines};
use super::plan_text;
use super::run_state::RunState;
use super::words::{Tense, bytes, duration, step_words};
use crate::plan::Step;

/// How much is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verbosity {
    /// Failures, and the totals.
    Quiet,
    /// What an operator wants to know.
    Normal,
    /// Also what commands said, and every step as it begins.
    Verbose,
}

/// How events are shown as text.
#[derive(Debug, Clone)]
pub struct TextStyle {
    /// How much is told.
    pub verbosity: Verbosity,
    /// Whether colours may be used.
    pub colour: Colour,
    /// In whose time.
    pub zone: TimeZone,
}

/// Writes the run as lines of text.
pub struct PlainReporter {
    out: Box<dyn Write + Send>,
    style: TextStyle,
    run: RunState,
    uploads: HashMap<usize, Upload>,
}

/// What was last told about an upload.
struct Upload {
    began: Timestamp,
    told: Timestamp,
    quarters: u64,
}

/// How far an upload is, is told no more often than this, and at quarters only...
const PROGRESS_EVERY: SignedDuration = SignedDuration::from_secs(5);

/// ...unless nothing was told for so long: a log that stands still worries people.
const PROGRESS_AT_LEAST_EVERY: SignedDuration = SignedDuration::from_secs(30);

/// An upload below this is over before anyone would ask.
const LONG_UPLOAD: u64 = 1_000_000;

/// Watching for longer than this is announced.
const LONG_SETTLE: Duration = Duration::from_secs(5);

impl PlainReporter {
    /// A reporter that writes to `out`.
    #[must_use]
    pub fn new(out: Box<dyn Write + Send>, style: TextStyle) -> Self {
        Self { out, style, run: RunState::default(), uploads: HashMap::new() }
    }

    fn write(&mut self, event: &Event, lines: Vec<Line>) {
        let at = event.at.to_zoned(self.style.zone.clone()).strftime("%H:%M:%S ").to_string();
        let several = self.run.hosts.len() > 1;
        let width = self.run.label_width();
        let label = self.run.host(event).filter(|_| several).map(|host| format!("{:width$}  ", host.label));
        let mut text = String::new();
        for line in lines {
            let line = Line::new().dim(&at).cyan(label.as_deref().unwrap_or_default()).then(line);
            text.push_str(&line.render(self.style.colour));
            text.push('\n');
        }
        // A reader that went away does not stop a deploy.
        let _ = self.out.write_all(text.as_bytes()).and_then(|()| self.out.flush());
    }

    fn lines(&mut self, event: &Event) -> Vec<Line> {
        let deploys = matches!(self.run.command, Some(Command::Deploy) | None);
        let verbosity = self.style.verbosity;
        let normal = verbosity >= Verbosity::Verbose || (verbosity == Verbosity::Normal && deploys);
        let verbose = verbosity == Verbosity::Verbose;
        match &event.kind {
            EventKind::RunStarted { command, service, environment, hosts, shipit } if normal => {
                let command = command_word(*command);
                let hosts = match hosts.as_slice() {
                    [one] => one.to_string(),
                    many => format!("{} hosts", many.len()),
                };
                vec![
                    Line::new()
                        .bold(format!("{command} {service} to {environment}"))
                        .plain(format!(": {hosts} (shipit {shipit})")),
                ]
            }
            EventKind::ConnectStarted if verbose => vec![Line::of("connecting")],
            EventKind::Connected { address, elapsed } if normal => {
                vec![Line::of(format!("connected to {address} in {}", duration(*elapsed)))]
            }
            EventKind::Probed { current, elapsed } if verbose => {
                let runs = match current {
                    Some(id) => format!("{id} is deployed"),
                    None => "nothing is deployed yet".to_owned(),
                };
                vec![Line::of(format!("probed in {}: {runs}", duration(*elapsed)))]
            }
            EventKind::Planned { plan } if normal && deploys && !plan.is_empty() => {
                let mut lines = plan_text::summary_lines(plan).into_iter();
                let first = lines.next().unwrap_or_default();
                let mut shown = vec![Line::of("plan: ").then(first)];
                shown.extend(lines.map(|line| Line::of("      ").then(line)));
                shown
            }
            EventKind::StepStarted { step, .. } if verbose || (normal && is_long(step)) => {
                vec![Line::of(step_words(step, Tense::Going))]
            }
            EventKind::UploadProgressed { sent, total } if normal => {
                self.progress(event, *sent, *total).into_iter().collect()
            }
            EventKind::StepSaid { line, .. } if verbose => vec![Line::new().dim("  | ").plain(line)],
            EventKind::StepFinished { number, elapsed } if normal => {
                let words = self.run.step(event, *number).map(|step| step_words(step, Tense::Done));
                let words = words.unwrap_or_else(|| format!("step {} done", number + 1));
                vec![Line::of(words).dim(format!(" ({})", duration(*elapsed)))]
            }
            EventKind::StepFailed { number } => {
                let words = self.run.step(event, *number).map(|step| step_words(step, Tense::Order));
                let words = words.unwrap_or_else(|| format!("step {}", number + 1));
                vec![Line::new().red("failed: ").plain(words)]
            }
            EventKind::JournalRead { entries } if normal => {
                let style = self.journal_style(event);
                let lines = entries.iter().flat_map(|entry| journal_lines(entry, None, &style));
                lines.map(|line| Line::new().dim("journal: ").then(line)).collect()
            }
            EventKind::HostFinished { verdict, failure, .. } => match failure {
                Some(failure) => failure_lines(*verdict, failure),
                None if normal => {
                    let host = self.run.host(event);
                    host.and_then(|h| h.end.as_ref().map(|end| end_line(h, end))).into_iter().collect()
                }
                None => Vec::new(),
            },
            EventKind::RunFinished { counts, exit_code: _, elapsed } if normal || counts.failed() > 0 => {
                summary_lines(&self.run, counts, *elapsed)
            }
            EventKind::RunStarted { .. }
            | EventKind::ConnectStarted
            | EventKind::Connected { .. }
            | EventKind::Probed { .. }
            | EventKind::Planned { .. }
            | EventKind::StepStarted { .. }
            | EventKind::UploadProgressed { .. }
            | EventKind::StepSaid { .. }
            | EventKind::StepFinished { .. }
            | EventKind::JournalRead { .. }
            | EventKind::RunFinished { .. } => Vec::new(),
        }
    }

    /// Says now and then how far a long upload is.
    fn progress(&mut self, event: &Event, sent: u64, total: u64) -> Option<Line> {
        let place = self.run.place_of(event)?;
        let now = event.at;
        let upload = self.uploads.entry(place).or_insert(Upload { began: now, told: now, quarters: 0 });
        let percent = sent.saturating_mul(100).checked_div(total)?;
        if total < LONG_UPLOAD || sent >= total {
            return None;
        }
        let silent = now.duration_since(upload.told);
        let quarter = percent / 25 > upload.quarters && silent >= PROGRESS_EVERY;
        if !quarter && silent < PROGRESS_AT_LEAST_EVERY {
            return None;
        }
        upload.told = now;
        upload.quarters = percent / 25;
        let seconds = now.duration_since(upload.began).as_secs().max(1).unsigned_abs();
        let rate = bytes(sent / seconds);
        Some(Line::of(format!("uploaded {} of {} ({percent}%, {rate}/s)", bytes(sent), bytes(total))))
    }

    fn journal_style(&self, event: &Event) -> JournalStyle {
        let today = event.at.to_zoned(self.style.zone.clone()).date();
        JournalStyle { colour: self.style.colour, zone: self.style.zone.clone(), today: Some(today) }
    }
}

/// Whether a step may take so long that people wonder.
fn is_long(step: &Step) -> bool {
    match step {
        Step::Upload { files, .. } => files.iter().map(|file| file.size).sum::<u64>() >= LONG_UPLOAD,
        Step::Restart { .. } | Step::Start { .. } | Step::AskHealth { .. } => true,
        Step::Observe { settle, .. } => *settle >= LONG_SETTLE,
        Step::EnableLingering { .. }
        | Step::Seal { .. }
        | Step::Link(_)
        | Step::Switch { .. }
        | Step::ReloadManager
        | Step::Enable { .. }
        | Step::Prune { .. } => false,
    }
}

fn command_word(command: Command) -> &'static str {
    match command {
        Command::Deploy => "deploy",
        Command::Plan => "plan",
        Command::Status => "status",
    }
}

impl Reporter for PlainReporter {
    fn on_event(&mut self, event: &Event) {
        self.run.note(event);
        if let (EventKind::StepStarted { .. }, Some(place)) = (&event.kind, self.run.place_of(event)) {
            self.uploads.insert(place, Upload { began: event.at, told: event.at, quarters: 0 });
        }
        let lines = self.lines(event);
        if !lines.is_empty() {
            self.write(event, lines);
        }
    }
}
