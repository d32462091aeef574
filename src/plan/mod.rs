//! What would be done to a host: pure data, computed from the manifest's release and the host's facts.
//!
//! This module decides, and nothing else does: dry run, confirmation, JSON and the deploy itself are views of one
//! [`Plan`]. It is pure: no clock, no files, no network. What the host is like comes in as [`Facts`]; how a step is
//! carried out is the business of [`crate::host`] and [`crate::rollout`].
mod copies;
mod deploy;
mod diff;
mod facts;
mod files;
mod health;
mod holder;
mod layout;
mod preflight;
mod refusal;
mod rollback;
mod step;
mod units;

pub use copies::{
    AfterCopy, Before, CopyChange, CopyPlace, CopyRemoval, CopyState, Edits, FoundCopy, PlacedCopy,
};
pub use deploy::{Inputs, Operator, Plan, Position, plan};
pub use diff::{EnvChange, KeyChange, TextDiff};
pub use facts::{
    Access, Current, Elevation, Facts, FoundFile, FoundLink, FoundRelease, FoundUnit, FoundUser, Libc,
    Lingering, LinkState, Manager, PendingRun, RootAccess, RunLife, Standing, Sudo, Systemd, Unpacker,
};
pub(crate) use files::is_other;
pub use files::{Packing, SymlinkChange, TreeChange};
pub use holder::{Hold, Holder};
pub use layout::{Layout, LinkPath, LinkSpec, RemotePath};
pub use refusal::{Place, Refusal, ReleaseLine};
pub use rollback::{Destination, RollbackInputs, plan_rollback};
pub use step::{Detail, FileChange, FileSum, LinkChange, Privilege, Reason, Step, Transfer, WatchedUnit};
