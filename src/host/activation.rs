//! Carries out the steps of a plan that change what the host runs, as one program.
//!
//! The program is [`activation.sh`](self) and one call of a function a step, so the whole switch is one round trip and
//! goes on without us between its steps. Until it is a transaction with an end of its own on the host, it runs in the
//! session's shell: a connection that breaks may leave it half way, and [`crate::rollout`] says so.
use std::collections::BTreeMap;
use std::ops::Range;
use std::time::Duration;

use super::script::Script;
use super::session::{Session, SessionError};
use crate::manifest::UnitName;
use crate::plan::{Layout, Privilege, Step};
use crate::release::Sha256Digest;

const PROGRAM: &str = include_str!("activation.sh");

/// How long a step may say nothing. systemd gives a start and a stop 90 s each by default (`DefaultTimeoutStartSec=`,
/// systemd-system.conf(5)).
const IDLE: Duration = Duration::from_secs(300);

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
}

/// What was seen of a unit after its start.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Observed {
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

/// Runs those steps of a plan in the range that are the host's to run, in order. Returns what was seen of each unit
/// that was observed.
pub async fn activate(
    session: &mut Session,
    layout: &Layout,
    steps: &[Step],
    range: Range<usize>,
    mut on_event: impl FnMut(ActivationEvent),
) -> Result<BTreeMap<UnitName, Observed>, SessionError> {
    let mut observed: BTreeMap<UnitName, Observed> = BTreeMap::new();
    let script = program(layout, steps, range);
    let take = |line: &str| match line.split_once(' ') {
        Some(("step", rest)) => {
            if let Some(event) = event(rest) {
                on_event(event);
            }
        }
        Some(("found", rest)) => found(&mut observed, rest),
        _ => {}
    };
    session.run(&script, IDLE, take).await?;
    Ok(observed)
}

/// What systemd says of a unit now.
pub async fn properties(session: &mut Session, unit: &UnitName) -> Result<UnitProperties, SessionError> {
    let mut script = Script::constant(PROGRAM);
    script.call("properties", [unit.as_str()]);
    let mut properties = UnitProperties::default();
    let take = |line: &str| {
        if let Some((key, value)) = line.split_once('=') {
            properties.0.insert(key.to_owned(), value.to_owned());
        }
    };
    session.run(&script, IDLE, take).await?;
    Ok(properties)
}

/// The program for these steps. Steps that are the client's (upload, health) are left out.
fn program(layout: &Layout, steps: &[Step], range: Range<usize>) -> Script {
    let mut script = Script::constant(PROGRAM);
    let (root, service) = (layout.root().as_str(), layout.service());
    for (number, step) in steps.iter().enumerate().filter(|(number, _)| range.contains(number)) {
        let call: Vec<String> = match step {
            // The client's own steps.
            Step::Upload { .. } | Step::AskHealth { .. } => continue,
            Step::EnableLingering { .. } => words(["enable_lingering"]),
            Step::Seal { release, .. } => words(["seal", root, &release.to_string(), &sums(steps)]),
            Step::Link(link) => {
                let rights = match link.privilege {
                    Privilege::User => "direct",
                    Privilege::Root => "root",
                };
                words(["make_link", link.path.as_str(), link.target.as_str(), rights])
            }
            Step::Switch { to, .. } => {
                let reload = if steps.contains(&Step::ReloadManager) { "reload" } else { "-" };
                words(["switch", root, &to.to_string(), reload])
            }
            Step::ReloadManager => words(["reload_manager", root]),
            Step::Enable { unit } => words(["enable", root, unit.as_str()]),
            Step::Restart { unit, .. } => words(["restart", unit.as_str()]),
            Step::Start { unit, .. } => words(["start", unit.as_str()]),
            Step::Observe { unit, settle, .. } => {
                words(["observe", root, service.as_str(), unit.as_str(), &settle.as_millis().to_string()])
            }
            Step::Prune { releases } => {
                let ids = releases.iter().map(ToString::to_string);
                words(["prune", root]).into_iter().chain(ids).collect()
            }
        };
        script.call("step", std::iter::once(number.to_string()).chain(call));
    }
    script
}

fn words<const N: usize>(words: [&str; N]) -> Vec<String> {
    words.map(str::to_owned).into()
}

/// The list that `sha256sum --check` reads: every file of the upload.
fn sums(steps: &[Step]) -> String {
    let files = steps.iter().filter_map(|step| match step {
        Step::Upload { files, .. } => Some(files),
        _ => None,
    });
    let lines: Vec<String> = files.flatten().map(|file| sum(&file.sha256, file.path.as_str())).collect();
    lines.join("\n")
}

/// A line as sha256sum(1) writes it: a name with a backslash (as `systemd-escape` makes them) is escaped, and the
/// line says so by beginning with one.
fn sum(hash: &Sha256Digest, path: &str) -> String {
    if path.contains('\\') {
        format!("\\{hash}  {}", path.replace('\\', r"\\"))
    } else {
        format!("{hash}  {path}")
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
