//! An activation, from the client's side: the program of a run, its start, its log, and the word it waits for.
//!
//! What happens on the host is in the shell files of this folder; `log.sh` says how they belong together. The session's
//! shell prepares (checks the release, makes links) and starts the run as a transient unit, which outlives the
//! connection, decides by itself when no word comes, and writes a log that the session follows.
mod activity;
mod outcome;
mod program;
mod run;

pub use activity::{ActivationEvent, Activity, End, Executable, Observed, Stop, UnitProperties};
pub use outcome::{Reached, Recovery, Whose, put_back_files, recover, remove_links, run_state, wait_for_run};
pub use run::{Run, Word};
