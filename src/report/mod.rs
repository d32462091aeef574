//! The typed events of a run, and those who show them.
//!
//! [`event`] is the vocabulary: facts, in the past tense, no sentences. Each reporter turns them into something for
//! one kind of reader, and decides nothing: a reporter that fails does not fail the run.
mod event;
mod json;
mod plain;
mod plan_text;
mod terminal;

pub use event::{Command, Event, EventKind, Events, Failure, RunCounts, Verdict};
//pub use json::{JsonReporter, SCHEMA_VERSION};
//pub use plain::PlainReporter;
//pub use plan_text::{PlanStyle, write_plan};
//pub use terminal::TerminalReporter;

/// Someone who shows events. Called in order, from one task.
pub trait Reporter: Send {
    /// One thing happened.
    fn on_event(&mut self, event: &Event);
}
