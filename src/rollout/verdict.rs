//! What became of a unit that was started: the conclusion from what the host saw of it. Pure.
//!
//! `is-active` alone is no verdict: a unit with `Restart=always` looks active while it crash-loops, and a start of
//! `Type=simple` succeeds before the program fails.
use std::fmt;

use crate::host::{Executable, Observed, UnitProperties, meaning};
use crate::manifest::{UnitKind, UnitName};
use crate::release::Sha256Digest;

/// Why a unit does not count as up.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NotUp {
    /// Its process failed.
    #[error("{unit} failed: {end}")]
    Failed {
        /// Which.
        unit: UnitName,
        /// How.
        end: End,
    },
    /// It fails and systemd starts it again, over and over.
    #[error("{unit} does not stay up{}, and systemd starts it again and again", ending(end.as_ref()))]
    Restarting {
        /// Which.
        unit: UnitName,
        /// How it ended the last time; `None` when the next try was already running.
        end: Option<End>,
    },
    /// Its start took longer than systemd lets it.
    #[error("{unit} was not up within {limit}, its TimeoutStartSec=, and systemd stopped it")]
    StartTimedOut {
        /// Which.
        unit: UnitName,
        /// How long it had, in systemd's words.
        limit: String,
        /// systemd's `Type`.
        kind: String,
    },
    /// It ended by itself, without a failure.
    #[error("{unit} ended by itself right after its start")]
    Ended {
        /// Which.
        unit: UnitName,
    },
    /// It is in some other state.
    #[error("{unit} is {active} ({sub})")]
    State {
        /// Which.
        unit: UnitName,
        /// systemd's `ActiveState`.
        active: String,
        /// systemd's `SubState`.
        sub: String,
    },
    /// systemd took the start, and still runs the one before.
    #[error("{unit} was not started anew: it is still the run from before")]
    NotStarted {
        /// Which.
        unit: UnitName,
    },
    /// Another start has taken the place of ours.
    #[error("{unit} was started again by someone else in the settle time")]
    StartedAgain {
        /// Which.
        unit: UnitName,
    },
    /// A timer whose time never comes.
    #[error("{unit} will never elapse: no time that it names is still to come")]
    NeverElapses {
        /// Which.
        unit: UnitName,
    },
    /// What runs is not what was sent.
    #[error("{unit} runs another program: {}, not {}", running.short(), expected.short())]
    WrongExecutable {
        /// Which.
        unit: UnitName,
        /// The hash of the binary of the release.
        expected: Sha256Digest,
        /// The hash of what runs.
        running: Sha256Digest,
    },
    /// What runs could not be read.
    #[error("what {unit} runs could not be read, so it is not proven to be the new binary")]
    ExecutableUnreadable {
        /// Which.
        unit: UnitName,
    },
}

fn ending(end: Option<&End>) -> String {
    end.map(|end| format!(": {end}")).unwrap_or_default()
}

impl NotUp {
    /// What usually causes it.
    #[must_use]
    pub fn cause(&self) -> Option<&'static str> {
        match self {
            Self::Failed { end, .. } => end.cause(),
            Self::Restarting { end, .. } => end.as_ref()?.cause(),
            Self::StartTimedOut { kind, .. } => match kind.as_str() {
                "notify" | "notify-reload" => Some(
                    "a service of Type=notify has to tell systemd that it is ready (READY=1, sd_notify(3))",
                ),
                "forking" => Some("a service of Type=forking has to fork, and its first process to end"),
                "dbus" => Some("a service of Type=dbus has to take its BusName="),
                _ => None,
            },
            Self::Ended { .. } => Some(
                "a service that stays in the foreground does not end; one that forks into the background wants \
                 Type=forking, or better an option that keeps it in the foreground",
            ),
            Self::NeverElapses { .. } => Some(
                "the OnCalendar= is a time in the past, or the timer is started by something that never happens; \
                 systemd-analyze calendar says what an expression comes to",
            ),
            Self::WrongExecutable { .. } => Some(
                "ExecStart= starts another file than the release's binary, or a wrapper that execs something else",
            ),
            Self::State { .. }
            | Self::NotStarted { .. }
            | Self::StartedAgain { .. }
            | Self::ExecutableUnreadable { .. } => None,
        }
    }
}

/// How a process ended, decoded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct End {
    result: String,
    code: String,
    status: String,
}

impl End {
    /// From what systemd says of the unit.
    #[must_use]
    pub fn of(properties: &UnitProperties) -> Self {
        Self {
            result: properties.get("Result").to_owned(),
            code: properties.get("ExecMainCode").to_owned(),
            status: properties.get("ExecMainStatus").to_owned(),
        }
    }

    /// What usually causes such an end.
    #[must_use]
    pub fn cause(&self) -> Option<&'static str> {
        meaning(&self.code, &self.status).map(|meaning| meaning.cause)
    }
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { result, code, status } = self;
        let name = meaning(code, status).map(|meaning| format!("/{}", meaning.name)).unwrap_or_default();
        match code.as_str() {
            "1" => write!(f, "status={status}{name}")?,
            "2" | "3" => write!(f, "signal={status}{name}")?,
            _ => return write!(f, "result '{result}'"),
        }
        match result.as_str() {
            "" | "success" | "exit-code" | "signal" => Ok(()),
            other => write!(f, " ({other})"),
        }
    }
}

/// Whether a unit that was reloaded is still up: the same start of it, or one that it made by itself.
pub(super) fn conclude_reload(unit: &UnitName, observed: &Observed) -> Result<(), NotUp> {
    let Observed { before, last, .. } = observed;
    let restarts = |properties: &UnitProperties| properties.get("NRestarts").parse::<u32>().unwrap_or(0);
    let (active, sub) = (last.get("ActiveState"), last.get("SubState"));
    if sub == "auto-restart" || restarts(last) > restarts(before) {
        let ended = last.get("ExecMainCode") != "0";
        return Err(NotUp::Restarting { unit: unit.clone(), end: ended.then(|| End::of(last)) });
    }
    match active {
        "active" | "reloading" => Ok(()),
        "failed" => Err(NotUp::Failed { unit: unit.clone(), end: End::of(last) }),
        "inactive" | "deactivating" if last.get("Result") == "success" => {
            Err(NotUp::Ended { unit: unit.clone() })
        }
        _ => Err(NotUp::State { unit: unit.clone(), active: active.to_owned(), sub: sub.to_owned() }),
    }
}

/// Whether the unit is up, and runs what it should.
pub fn conclude(
    unit: &UnitName,
    observed: &Observed,
    executable: Option<&Sha256Digest>,
    before: Option<&str>,
) -> Result<(), NotUp> {
    let Observed { before: _, first, last, executable: running } = observed;
    let unit = || unit.clone();
    let restarts = |properties: &UnitProperties| properties.get("NRestarts").parse::<u32>().unwrap_or(0);
    let again = last.get("InvocationID") != first.get("InvocationID");
    let (active, sub) = (last.get("ActiveState"), last.get("SubState"));
    // Never up: what timed out is the start. Later it may be RuntimeMaxSec=.
    if last.get("Result") == "timeout" && !matches!(first.get("ActiveState"), "active" | "reloading") {
        let text = |key| last.get(key).to_owned();
        return Err(NotUp::StartTimedOut {
            unit: unit(),
            limit: text("TimeoutStartUSec"),
            kind: text("Type"),
        });
    }
    // A start resets the counter, so whatever it shows now has happened since.
    if sub == "auto-restart" || restarts(last) > 0 {
        let ended = last.get("ExecMainCode") != "0";
        return Err(NotUp::Restarting { unit: unit(), end: ended.then(|| End::of(last)) });
    }
    match active {
        "active" | "reloading" => {}
        "failed" => return Err(NotUp::Failed { unit: unit(), end: End::of(last) }),
        // A oneshot's work may be done; systemd.service(5), Type=oneshot without RemainAfterExit=.
        "inactive" if last.get("Type") == "oneshot" && last.get("Result") == "success" => return Ok(()),
        "inactive" | "deactivating" if last.get("Result") == "success" => {
            return Err(NotUp::Ended { unit: unit() });
        }
        _ => return Err(NotUp::State { unit: unit(), active: active.to_owned(), sub: sub.to_owned() }),
    }
    if before.is_some_and(|before| !before.is_empty() && before == last.get("InvocationID")) {
        return Err(NotUp::NotStarted { unit: unit() });
    }
    if again {
        return Err(NotUp::StartedAgain { unit: unit() });
    }
    match unit().kind() {
        UnitKind::Service => {}
        UnitKind::Timer if never_elapses(last) => return Err(NotUp::NeverElapses { unit: unit() }),
        UnitKind::Timer
        | UnitKind::Socket
        | UnitKind::Path
        | UnitKind::Target
        | UnitKind::Mount
        | UnitKind::Automount
        | UnitKind::Swap
        | UnitKind::Slice => return Ok(()),
    }
    match (executable, running) {
        (Some(expected), Some(Executable::Other(running))) if expected != running => {
            Err(NotUp::WrongExecutable { unit: unit(), expected: *expected, running: *running })
        }
        (Some(_), None) => Err(NotUp::ExecutableUnreadable { unit: unit() }),
        (Some(_), Some(_)) | (None, _) => Ok(()),
    }
}

/// Whether an active timer has nothing to wait for, and has never had its unit run, either: one that has elapsed for good has
/// done what it was for.
fn never_elapses(timer: &UnitProperties) -> bool {
    let is_set = |key| !matches!(timer.get(key), "" | "0" | "n/a" | "infinity");
    timer.get("SubState") == "elapsed"
        && !["NextElapseUSecRealtime", "NextElapseUSecMonotonic", "LastTriggerUSec"].into_iter().any(is_set)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn properties(active: &str, sub: &str, restarts: &str) -> UnitProperties {
        UnitProperties::from_pairs([
            ("ActiveState", active),
            ("SubState", sub),
            ("NRestarts", restarts),
            ("InvocationID", "aa"),
            ("Type", "simple"),
            ("Result", if active == "failed" { "exit-code" } else { "success" }),
            ("ExecMainCode", "1"),
            ("ExecMainStatus", "203"),
        ])
    }

    fn verdict(last: UnitProperties, running: Option<Executable>) -> Result<(), NotUp> {
        let (before, first) = (UnitProperties::default(), properties("active", "running", "0"));
        let observed = Observed { before, first, last, executable: running };
        conclude(&"api.service".parse().unwrap(), &observed, Some(&Sha256Digest::of(b"new")), Some("zz"))
    }

    #[test]
    fn up_is_active_without_a_restart_and_with_the_bytes_that_were_sent() {
        let new = Some(Executable::Other(Sha256Digest::of(b"new")));
        assert_eq!(verdict(properties("active", "running", "0"), new), Ok(()));
        assert_eq!(verdict(properties("active", "running", "0"), Some(Executable::Releases)), Ok(()));
        assert!(matches!(
            verdict(properties("active", "running", "0"), Some(Executable::Other(Sha256Digest::of(b"old")))),
            Err(NotUp::WrongExecutable { .. })
        ));
        assert!(matches!(
            verdict(properties("active", "running", "0"), None),
            Err(NotUp::ExecutableUnreadable { .. })
        ));
    }

    #[test]
    fn a_reload_is_judged_by_what_has_happened_since() {
        let unit = "api.service".parse().unwrap();
        let seen =
            |last| Observed { before: properties("active", "running", "2"), last, ..Observed::default() };
        // It had crashed before, and is the same start as before: both are fine.
        assert_eq!(conclude_reload(&unit, &seen(properties("active", "running", "2"))), Ok(()));
        let again = conclude_reload(&unit, &seen(properties("active", "running", "3")));
        assert!(matches!(again, Err(NotUp::Restarting { .. })));
        let failed = conclude_reload(&unit, &seen(properties("failed", "failed", "2")));
        assert!(matches!(failed, Err(NotUp::Failed { .. })));
    }

    #[test]
    fn a_crash_loop_that_looks_active_is_not_up() {
        let new = Some(Executable::Other(Sha256Digest::of(b"new")));
        assert!(matches!(verdict(properties("active", "running", "3"), new), Err(NotUp::Restarting { .. })));
        assert!(matches!(
            verdict(properties("activating", "auto-restart", "0"), None),
            Err(NotUp::Restarting { end: Some(_), .. })
        ));
    }

    #[test]
    fn a_timer_is_up_when_its_time_comes_or_has_come() {
        let timer = |sub: &str, next: &str, last: &str| {
            let seen = || {
                UnitProperties::from_pairs([
                    ("ActiveState", "active"),
                    ("SubState", sub),
                    ("NextElapseUSecRealtime", next),
                    ("NextElapseUSecMonotonic", "infinity"),
                    ("LastTriggerUSec", last),
                ])
            };
            let observed = Observed { first: seen(), last: seen(), ..Observed::default() };
            conclude(&"api.timer".parse().unwrap(), &observed, None, None)
        };
        assert_eq!(timer("waiting", "Sat 2026-11-21 07:00:00 UTC", ""), Ok(()));
        assert_eq!(timer("running", "", ""), Ok(()));
        assert_eq!(timer("elapsed", "", "Sat 2026-11-21 06:00:00 UTC"), Ok(()));
        assert!(matches!(timer("elapsed", "", ""), Err(NotUp::NeverElapses { .. })));
    }

    #[test]
    fn a_start_that_systemd_gave_up_is_said_to_be_that() {
        let gave_up = || {
            UnitProperties::from_pairs([
                ("ActiveState", "activating"),
                ("SubState", "auto-restart"),
                ("Type", "notify"),
                ("Result", "timeout"),
                ("TimeoutStartUSec", "1min 30s"),
            ])
        };
        let unit = "api.service".parse().unwrap();
        let observed = Observed { first: gave_up(), last: gave_up(), ..Observed::default() };
        let error = conclude(&unit, &observed, None, None).unwrap_err();
        assert_eq!(
            error.to_string(),
            "api.service was not up within 1min 30s, its TimeoutStartSec=, and systemd stopped it"
        );
        assert!(error.cause().unwrap().contains("READY=1"));
        let observed = Observed { first: properties("active", "running", "0"), ..observed };
        assert!(matches!(conclude(&unit, &observed, None, None), Err(NotUp::Restarting { .. })));
    }

    #[test]
    fn a_failure_names_the_code_and_its_usual_cause() {
        let Err(NotUp::Failed { end, .. }) = verdict(properties("failed", "failed", "0"), None) else {
            panic!()
        };
        assert_eq!(end.to_string(), "status=203/EXEC");
        assert!(end.cause().unwrap().contains("ExecStart="));
    }
}
