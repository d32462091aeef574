//! The shell functions of an activation; see `log.sh`.
use crate::host::library::Library;

/// For the session's shell, which prepares, and for the program of the run, which is written from the same text.
pub(super) const ACTIVATION: Library = Library {
    parts: &[
        include_str!("log.sh"),
        include_str!("hook.sh"),
        include_str!("prepare.sh"),
        include_str!("release.sh"),
        include_str!("link.sh"),
        include_str!("../copy.sh"),
        include_str!("install.sh"),
        include_str!("outside.sh"),
        include_str!("user.sh"),
        include_str!("unit.sh"),
        include_str!("observe.sh"),
        include_str!("undo.sh"),
        include_str!("session.sh"),
        include_str!("recovery.sh"),
        include_str!("history.sh"),
        include_str!("spare.sh"),
        include_str!("run.sh"),
    ],
    keep: "activation=$1",
    load: "eval \"$activation\"",
};
