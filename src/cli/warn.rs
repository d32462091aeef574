//! What the layers below have to warn of while they connect, in a line each on standard error, and each once: a host key that
//! was written down, a setting of ssh_config that is not followed.
//!
//! With `-v` these lines are among all the others. A thread of its own prints them, since a question may be on the terminal
//! when one comes.
use std::collections::HashSet;
use std::fmt;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Duration;

use tracing::field::{Field, Visit};
use tracing_subscriber::layer::{Context, SubscriberExt as _};
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer};

use super::say::say;
use crate::report::{Mask, Suspend};

/// For how long the end of a run waits for its last warning to be on the terminal.
const PATIENCE: Duration = Duration::from_secs(1);

static PRINTER: OnceLock<Printer> = OnceLock::new();

struct Printer {
    jobs: Mutex<Sender<Job>>,
    /// Who draws on the terminal.
    suspend: Mutex<Suspend>,
    seen: Mutex<HashSet<String>>,
    /// What must not be shown.
    mask: Mask,
}

enum Job {
    Print(String),
    /// Everything before it is printed.
    Done(Sender<()>),
}

impl Printer {
    fn send(&self, job: Job) {
        // Nobody to tell is no reason to stop.
        let _ = self.jobs.lock().unwrap_or_else(PoisonError::into_inner).send(job);
    }
}

/// From now on warnings are printed.
pub(super) fn begin(mask: Mask) {
    let (jobs, printed) = channel();
    let (jobs, suspend, seen) = (Mutex::new(jobs), Mutex::default(), Mutex::default());
    let printer = Printer { jobs, suspend, seen, mask };
    if PRINTER.set(printer).is_err() {
        return;
    }
    let subscriber = tracing_subscriber::registry().with(EnvFilter::new("off,shipit=warn")).with(Warnings);
    let installed = subscriber.try_init();
    debug_assert!(installed.is_ok());
    std::thread::spawn(move || print(&printed));
}

fn print(jobs: &Receiver<Job>) {
    let Some(printer) = PRINTER.get() else { return };
    while let Ok(job) = jobs.recv() {
        match job {
            Job::Print(text) => {
                let suspend = printer.suspend.lock().unwrap_or_else(PoisonError::into_inner).clone();
                suspend.suspend(|| say(&printer.mask.text(&format!("warning: {text}"))));
            }
            Job::Done(answer) => drop(answer.send(())),
        }
    }
}

/// From now on warnings go above what this one draws.
pub(super) fn beside(suspend: &Suspend) {
    if let Some(printer) = PRINTER.get() {
        *printer.suspend.lock().unwrap_or_else(PoisonError::into_inner) = suspend.clone();
    }
}

/// Waits until all that came so far is printed.
pub(super) fn finish() {
    if let Some(printer) = PRINTER.get() {
        let (sender, done) = channel();
        printer.send(Job::Done(sender));
        let _ = done.recv_timeout(PATIENCE);
    }
}

/// Takes the text of every event.
struct Warnings;

impl<S: tracing::Subscriber> Layer<S> for Warnings {
    fn on_event(&self, event: &tracing::Event<'_>, _: Context<'_, S>) {
        let Some(printer) = PRINTER.get() else { return };
        let mut message = Message(String::new());
        event.record(&mut message);
        let mut seen = printer.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.insert(message.0.clone()) {
            printer.send(Job::Print(message.0));
        }
    }
}

struct Message(String);

impl Visit for Message {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() == "message" {
            self.0 = format!("{value:?}");
        }
    }
}
