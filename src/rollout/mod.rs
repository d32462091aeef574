//! Takes the hosts of an environment through their plans, side by side, each with an outcome of its own.
//!
//! Responsible for the order of things and for the verdict. How a step is done on a host is [`crate::host`]'s; what is
//! to be done was decided by [`crate::plan`]; what happened goes out as events.
mod diagnosis;
mod draft;
mod engine;
mod failure;
mod gate;
mod host_error;
mod host_run;
mod look;
mod root_rights;
mod teller;
mod transaction;
mod verdict;
mod warnings;

pub use draft::{Draft, template_facts};
pub use engine::{
    Agreement, Context, Interrupt, OtherRuns, Outcome, PARALLEL, Phase, Phases, Preparation, Purpose, Reach,
    RunRecord, carry_out_all, leave_all, own_logs_hint, prepare_all,
};
pub use failure::{HostFailure, HostState};
pub use gate::{Gate, GateState};
pub use host_error::{HostError, held_by};
pub use host_run::{Goal, Prepared, connect_host};
pub use root_rights::{SudoPrompt, become_root, give_password};
pub use verdict::{NotUp, conclude};
pub use warnings::Warnings;
