//! What a remote machine is: programs run on it, files put on it, its journal read.
//!
//! Responsible for turning a plan's steps into programs and what the programs print back into values. It decides
//! nothing: the plan did. Every program's text is a constant of this folder (`*.sh`); values travel as quoted
//! arguments, made in [`script`] and nowhere else.
mod activation;
mod bundle;
mod copies;
mod elapse;
mod exit_status;
mod freeze;
mod health;
mod http;
mod journal;
mod library;
mod lock;
mod log_stream;
mod probe;
mod probe_answer;
mod remove;
mod request;
mod root_shell;
mod script;
mod session;
mod spare;
mod sums;
mod texts;
mod upload;

pub use activation::{
    ActivationEvent, Activity, End, Executable, Observed, Reached, Recovery, Run, Stop, UnitProperties,
    Whose, Word, put_back_files, recover, remove_links, run_state, wait_for_run,
};
pub use bundle::is_bundled;
pub use copies::read_edited;
pub use exit_status::{Meaning, meaning};
pub use freeze::{Freeze, FreezeError, Frozen, Lift, freeze, lift};
pub use health::{HealthError, Subject, ask};
pub use journal::{JournalEntry, MainProcess, UnitRuns, read_journal};
pub use lock::{Claim, Holder, Lock, LockOutcome, SILENCE};
pub use log_stream::{JournalQuery, Reading, files_stream, journal_stream};
#[cfg(any(test, fuzzing))]
pub(crate) use probe::read_answer;
pub use probe::{Extent, ProbeError, probe};
pub use remove::{Removal, RemoveError, RootFolder, remove};
pub use root_shell::NoRoot;
pub use script::Script;
pub use session::{Password, Rights, Session, SessionError};
pub use texts::read_rendered;
pub use upload::{Base, Copies, Incoming, UploadError, explain, stage, sweep, upload};
