//! Facts and a manifest in, a plan out: what would be done to a host in each state, and what is refused.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs, reason = "a test that can't go on has failed")]

mod copies;
mod files;
mod fixture;
mod hooks;
mod prune;
mod refusals;
mod rollback;
mod steps;
mod units;
