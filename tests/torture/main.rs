//! The long proof of the transaction: whatever is cut, silenced or killed, and whenever, each host ends on a complete
//! release by itself and in time. `make torture` runs it; it takes about a quarter of an hour.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stderr, unreachable_pub)]

#[path = "../hosts/mod.rs"]
mod hosts;

#[path = "../e2e/harness.rs"]
mod harness;

mod races;
#[path = "../e2e/running.rs"]
mod running;
mod site;
mod sweeps;
mod tally;
