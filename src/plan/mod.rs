//! What would be done to a host: pure data, computed from the manifest's release and the host's facts.
//!
//! This module decides, and nothing else does: dry run, confirmation, JSON and the deploy itself are views of one
//! [`Plan`]. It is pure: no clock, no files, no network. What the host is like comes in as [`Facts`]; how a step is
//! carried out is the business of [`crate::host`] and [`crate::rollout`].
mod deploy;
mod diff;
mod facts;
mod layout;
mod refusal;
mod step;

pub use deploy::{Inputs, Operator, Plan, Position, plan};
pub use diff::{EnvChange, KeyChange, TextDiff};
pub use facts::{
    Access, Current, Facts, FoundFile, FoundLink, FoundUnit, Libc, Lingering, LinkState, Manager, PendingRun,
    RunLife, Sudo, Systemd,
};
pub use layout::{Layout, LinkPath, LinkSpec, RemotePath};
pub use refusal::Refusal;
pub use step::{Detail, FileChange, LinkChange, Privilege, Reason, Step, Transfer};
