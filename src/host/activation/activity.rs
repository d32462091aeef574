//! What an activation says: the lines of its log, read back into values.
use std::collections::BTreeMap;
use std::time::Duration;

use crate::host::journal::JournalEntry;
use crate::manifest::UnitName;
use crate::plan::RemotePath;
use crate::release::Sha256Digest;

/// What an activation tells while it runs. The number is the step's place in the plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ActivationEvent {
    /// A step began.
    Started(usize),
    /// A step is done.
    Finished(usize),
    /// A step failed, and with it the activation.
    Failed {
        /// Which.
        step: usize,
        /// Its exit status.
        status: u32,
    },
    /// A step's command said something.
    Said {
        /// Which.
        step: usize,
        /// A line.
        line: String,
    },
    /// The host goes back.
    Reverting(String),
    /// On the way back: a unit that did not stop in time was killed.
    Killed(UnitName),
}

/// Where a run has come to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stop {
    /// All steps are done; it waits for a word, for so long.
    Pending(Duration),
    /// It did not begin: the service's lock is no longer its client's.
    Unlocked,
    /// It is over.
    Over(End),
    /// Its log ends in the middle: it died, or never began. What was said about it.
    Died(String),
}

/// How a run ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// The new release is kept.
    Committed,
    /// The old one is back; why.
    Reverted(String),
    /// The old one could not be brought back; what failed.
    RevertFailed(String),
}

/// What was heard of a run so far.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Activity {
    /// What was seen of each unit.
    pub observed: BTreeMap<UnitName, Observed>,
    /// When the first unit was told to reload, by the host's clock, in seconds since 1970.
    pub reloaded: Option<String>,
    /// The journal, where it was asked for.
    pub journal: Vec<JournalEntry>,
    /// Links that going back could not remove: it takes a sudo password.
    pub left: Vec<RemotePath>,
    /// Files that could not be put back for the same reason.
    pub left_files: Vec<RemotePath>,
    /// Lines of the run's log.
    pub(super) lines: usize,
    in_log: bool,
    pub(super) stop: Option<Stop>,
    pub(super) why: String,
    /// What the session's shell said on standard error.
    pub said: String,
}

impl Activity {
    pub(super) fn take(&mut self, line: &str, on_event: &mut impl FnMut(ActivationEvent)) {
        if line.is_empty() {
            return;
        }
        // No line of a log begins so; those of journalctl do.
        if line.starts_with('{') {
            self.journal.extend(JournalEntry::parse(line));
            return;
        }
        if line == "log" {
            self.in_log = true;
            return;
        }
        self.lines += usize::from(self.in_log);
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        match word {
            "step" => {
                if let Some(event) = event(rest) {
                    on_event(event);
                }
            }
            "found" => match rest.split_once(' ') {
                Some(("left", path)) => self.left.extend(RemotePath::new(path)),
                Some(("left_file", path)) => self.left_files.extend(RemotePath::new(path)),
                Some(("reload", time)) if self.reloaded.is_none() => self.reloaded = seconds(time),
                Some(("killed", unit)) => {
                    if let Ok(unit) = unit.parse() {
                        on_event(ActivationEvent::Killed(unit));
                    }
                }
                _ => found(&mut self.observed, rest),
            },
            "pending" => self.stop = Some(Stop::Pending(Duration::from_secs(rest.parse().unwrap_or(0)))),
            "unlocked" => self.stop = Some(Stop::Unlocked),
            "reverting" => {
                rest.clone_into(&mut self.why);
                on_event(ActivationEvent::Reverting(rest.to_owned()));
            }
            "committed" => self.stop = Some(Stop::Over(End::Committed)),
            "reverted" => self.stop = Some(Stop::Over(End::Reverted(self.why.clone()))),
            "revert_failed" => {
                self.stop = Some(Stop::Over(End::RevertFailed(rest.trim().trim_end_matches(';').to_owned())));
            }
            _ => {}
        }
    }

    pub(super) fn stop(&mut self, said: String) -> Stop {
        self.stop.take().unwrap_or(Stop::Died(said))
    }
}

/// What was seen of a unit after its start.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Observed {
    /// Before a reload.
    pub before: UnitProperties,
    /// Right after the start.
    pub first: UnitProperties,
    /// When the watch ended.
    pub last: UnitProperties,
    /// What the main process runs, at the end; `None` where there is none, or it can't be read.
    pub executable: Option<Executable>,
}

/// What a main process runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Executable {
    /// The very file `bin/` of the current release (the same inode), whose hash was checked when it was sealed.
    Releases,
    /// Another file, with this hash.
    Other(Sha256Digest),
}

/// The properties of a unit that a verdict rests on, as `systemctl show` has them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct UnitProperties(BTreeMap<String, String>);

impl UnitProperties {
    /// A property, empty when systemd did not say.
    #[must_use]
    pub fn get(&self, key: &str) -> &str {
        self.0.get(key).map_or("", String::as_str)
    }

    /// From pairs, for tests of what is concluded from them.
    pub fn from_pairs<const N: usize>(pairs: [(&str, &str); N]) -> Self {
        Self(pairs.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect())
    }
}

/// Reads what follows "step ": "3 started", "3 failed 1", "3 said Job failed."
fn event(text: &str) -> Option<ActivationEvent> {
    let mut words = text.splitn(3, ' ');
    let step = words.next()?.parse().ok()?;
    match (words.next()?, words.next()) {
        ("started", _) => Some(ActivationEvent::Started(step)),
        ("finished", _) => Some(ActivationEvent::Finished(step)),
        ("failed", status) => Some(ActivationEvent::Failed { step, status: status?.parse().ok()? }),
        ("said", line) => Some(ActivationEvent::Said { step, line: line?.to_owned() }),
        _ => None,
    }
}

/// Reads what date(1) says with `%s.%N`.
fn seconds(text: &str) -> Option<String> {
    let (whole, part) = text.split_once('.')?;
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    (digits(whole) && digits(part)).then(|| text.to_owned())
}

/// Reads what follows "found ": "unit x.service last MainPID=12", "unit x.service executable HASH".
fn found(observed: &mut BTreeMap<UnitName, Observed>, text: &str) {
    let mut words = text.splitn(4, ' ');
    let (Some("unit"), Some(unit), Some(what), Some(value)) =
        (words.next(), words.next(), words.next(), words.next())
    else {
        return;
    };
    let Ok(unit) = unit.parse() else { return };
    let unit: &mut Observed = observed.entry(unit).or_default();
    let properties = match what {
        "before" => &mut unit.before,
        "first" => &mut unit.first,
        "last" => &mut unit.last,
        "executable" => {
            unit.executable = match value {
                "current" => Some(Executable::Releases),
                hash => hash.parse().ok().map(Executable::Other),
            };
            return;
        }
        _ => return,
    };
    if let Some((key, value)) = value.split_once('=') {
        properties.0.insert(key.to_owned(), value.to_owned());
    }
}
