//! What each command prints, as snapshots.
#![allow(clippy::unwrap_used, reason = "a test that can't go on has failed")]

mod check;
mod help;
mod hostile;
mod hosts;
mod secrets;
mod usage;
