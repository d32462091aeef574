//! The typed events of a run, and those who show them.
//!
//! [`event`] is the vocabulary: facts, in the past tense, no sentences. Each reporter turns them into something for
//! one kind of reader, and decides nothing: a reporter that fails does not fail the run.
mod copies_text;
mod event;
mod files_text;
#[cfg(test)]
mod fixtures;
mod health_words;
mod journal_line;
mod json;
mod line;
mod mask;
mod masked;
mod notice_text;
mod outcome_text;
mod plain;
mod plan_text;
mod progress_line;
mod run_state;
#[cfg(test)]
mod screen;
mod terminal;
mod words;

pub use event::{Command, Event, EventKind, Events, Failure, Recovery, RunCounts, Verdict, Wait};
pub use journal_line::{JournalStyle, journal_line};
pub use json::{JsonReporter, SCHEMA_VERSION, json_line};
pub use line::{Colour, sanitise};
pub use mask::{Mask, MaskStream};
pub use masked::{MaskedReporter, mask_journal_entry};
pub use plain::{PlainReporter, TextStyle, Verbosity};
pub use plan_text::{PlanDetail, PlanStyle, write_plan, write_plans};
pub use terminal::{Suspend, TerminalReporter};
pub use words::{age, bytes, describe_step, duration};

/// Someone who shows events. Called in order, from one task.
pub trait Reporter: Send {
    /// One thing happened.
    fn on_event(&mut self, event: &Event);
}
