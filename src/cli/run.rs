//! A run that is reported on: the reporter that fits, the signals that end it, and its exit code.
use std::io;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use jiff::tz::TimeZone;
use tokio::task::JoinHandle;

use super::error::CliError;
use super::exit_code::Exit;
use super::global::{Format, GlobalArgs};
use super::signals::Claim;
use crate::report::{
    Colour, Event, EventKind, Events, JsonReporter, Mask, MaskedReporter, PlainReporter, Reporter, RunCounts,
    Suspend, TerminalReporter, TextStyle, Verbosity,
};
use crate::rollout::{Interrupt, Outcome, Phases, Warnings};

/// How long the end of a run that was interrupted may take to be shown.
const LONGEST_END: Duration = Duration::from_secs(2);

/// A run under way.
pub(super) struct Run {
    /// Where events go.
    pub events: Events,
    /// For those who ask questions on the terminal.
    pub suspend: Suspend,
    /// For them, too: a question is about what stands above it.
    pub shown: Shown,
    /// The operator's wish to end it.
    pub interrupt: Interrupt,
    /// How far the hosts are.
    pub phases: Phases,
    /// What went wrong and changes nothing.
    pub warnings: Warnings,
    /// What nobody may see.
    pub mask: Mask,
    signals: tokio::sync::Mutex<Claim>,
    reporter: JoinHandle<()>,
    begun: Instant,
}

impl Run {
    /// Begins one, with the reporter that the arguments and the terminal ask for.
    #[must_use]
    pub(super) fn begin(global: &GlobalArgs) -> Self {
        let (events, mut receiver) = Events::channel();
        let (reporter, suspend) = reporter(global);
        super::warn::beside(&suspend);
        let mut reporter = MaskedReporter::new(reporter, global.mask.clone());
        let shown = Shown { events: events.clone(), number: Arc::default() };
        let number = Arc::clone(&shown.number);
        // Of its own, so that a slow terminal does not hold up a deploy.
        let reporter = tokio::task::spawn_blocking(move || {
            while let Some(event) = receiver.blocking_recv() {
                reporter.on_event(&event);
                *number.0.lock().unwrap_or_else(PoisonError::into_inner) += 1;
                number.1.notify_all();
                if matches!(event, Event { kind: EventKind::RunFinished { .. } | EventKind::Left, .. }) {
                    return;
                }
            }
        });
        Self {
            events,
            suspend,
            shown,
            interrupt: Interrupt::default(),
            phases: Phases::default(),
            warnings: Warnings::default(),
            mask: global.mask.clone(),
            signals: tokio::sync::Mutex::new(global.signals.claim()),
            reporter,
            begun: Instant::now(),
        }
    }

    /// Does the work, and listens for Ctrl-C and SIGTERM meanwhile. The first asks for an end; the second leaves at
    /// once.
    pub(super) async fn supervise<T>(&self, work: impl Future<Output = T>) -> Result<T, CliError> {
        tokio::pin!(work);
        let mut signals = self.signals.lock().await;
        loop {
            tokio::select! {
                biased;
                () = signals.next() => {
                    if self.interrupt.is_set() {
                        self.events.send(EventKind::Left);
                        self.shown.wait();
                        return Err(CliError::Left(self.phases.all()));
                    }
                    self.interrupt.set();
                    self.events.send(EventKind::Interrupted);
                }
                done = &mut work => return Ok(done),
            }
        }
    }

    /// Ends the run: the totals are reported, and everything before them has been shown when this returns.
    pub(super) async fn finish(self, outcomes: &[Outcome], exit: Exit) {
        let mut counts = RunCounts::default();
        for outcome in outcomes {
            counts.add(outcome.verdict());
        }
        self.over(counts, exit).await;
    }

    /// Ends a run that came to its end before any host was connected to.
    pub(super) async fn abandon(self, exit: Exit) {
        self.over(RunCounts::default(), exit).await;
    }

    async fn over(self, counts: RunCounts, exit: Exit) {
        // They are no part of the end.
        super::warn::finish();
        self.events.send(EventKind::RunFinished {
            counts,
            warnings: self.warnings.count(),
            exit_code: exit.code(),
            elapsed: self.begun.elapsed(),
        });
        let mut signals = self.signals.lock().await;
        tokio::select! {
            // One that broke does not change how the run ended.
            _ = self.reporter => {}
            // A question that is still open keeps it from showing anything.
            () = tokio::time::sleep(LONGEST_END), if self.interrupt.is_set() => {}
            () = signals.next() => {}
        }
    }

    /// For what writes to the terminal by itself.
    pub(super) fn aside(&self) -> Aside {
        Aside { shown: self.shown.clone(), suspend: self.suspend.clone() }
    }
}

/// A place on the terminal below all that has happened, where nothing is drawn.
#[derive(Debug, Clone)]
pub(super) struct Aside {
    shown: Shown,
    suspend: Suspend,
}

impl Aside {
    /// Does the work there, in the calling thread.
    pub(super) fn work<T>(&self, work: impl FnOnce() -> T) -> T {
        self.shown.wait();
        self.suspend.suspend(work)
    }
}

/// How far the reporter is, which has a thread of its own.
#[derive(Debug, Clone)]
pub(super) struct Shown {
    events: Events,
    number: Arc<(Mutex<u64>, Condvar)>,
}

impl Shown {
    /// Waits, in the calling thread, until everything that has happened so far has been shown. Not for ever: a
    /// reporter that is stuck must not keep a question from being asked.
    pub(super) fn wait(&self) {
        const LONGEST: Duration = Duration::from_secs(1);
        let sent = self.events.sent();
        let (number, changed) = &*self.number;
        let shown = number.lock().unwrap_or_else(PoisonError::into_inner);
        let _ = changed.wait_timeout_while(shown, LONGEST, |shown| *shown < sent);
    }
}

fn reporter(global: &GlobalArgs) -> (Box<dyn Reporter>, Suspend) {
    if global.format == Format::Json {
        return (Box::new(JsonReporter::new(Box::new(io::stdout()))), Suspend::none());
    }
    let style = text_style(global);
    if global.draws() && !global.quiet {
        let terminal = TerminalReporter::new(style);
        let suspend = terminal.suspend_handle();
        return (Box::new(terminal), suspend);
    }
    (Box::new(PlainReporter::new(Box::new(io::stderr()), style)), Suspend::none())
}

fn text_style(global: &GlobalArgs) -> TextStyle {
    let verbosity = match (global.quiet, global.verbose) {
        (true, _) => Verbosity::Quiet,
        (false, 0) => Verbosity::Normal,
        (false, _) => Verbosity::Verbose,
    };
    TextStyle { verbosity, colour: colour(global.colours(&io::stderr())), zone: TimeZone::system() }
}

/// The word that reporters have for it.
#[must_use]
pub(super) fn colour(on: bool) -> Colour {
    if on { Colour::On } else { Colour::Off }
}
