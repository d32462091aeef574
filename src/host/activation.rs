//! An activation, from the client's side: the program of a run, its start, its log, and the word it waits for.
//!
//! What happens on the host is in `activation.sh`. The session's shell prepares (checks the release, makes links) and
//! starts the run as a transient unit, which outlives the connection, decides by itself when no word comes, and writes a
//! log that the session follows.
use std::collections::BTreeMap;
use std::time::Duration;

use super::journal::{JournalEntry, MainProcess, UnitRuns, journal_script};
use super::script::Script;
use super::session::{PRELUDE, Session, SessionError};
use super::sums::{sum, sums};
use super::upload::Copies;
use crate::manifest::{Address, EnvironmentName, HookPoint, UnitName};
use crate::plan::{Layout, Privilege, RemotePath, Step};
use crate::release::{ReleaseId, RunId, Sha256Digest};

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
    /// The host goes back.
    Reverting(String),
}

/// The word a run waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Word {
    /// The new release is kept.
    Commit,
    /// The old one comes back.
    Revert,
}

/// Where a run has come to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stop {
    /// All steps are done; it waits for a word, for so long.
    Pending(Duration),
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

/// Everything that a run is made from.
#[derive(Debug, Clone)]
pub struct Run<'a> {
    /// Where the service stands.
    pub layout: &'a Layout,
    /// Its own id.
    pub id: &'a RunId,
    /// The plan's steps, all of them.
    pub steps: &'a [Step],
    /// What `current` must point to when it begins ("-" for nothing).
    pub expected: &'a str,
    /// How long it waits for a word.
    pub patience: Duration,
    /// What stands in the history about it: a JSON object without its closing brace.
    pub history: &'a str,
    /// The units of the service.
    pub units: &'a [UnitName],
    /// The environment, for hooks.
    pub environment: &'a EnvironmentName,
    /// The host as the manifest has it, for hooks.
    pub host: &'a Address,
    /// The release that the host is to end on.
    pub release: &'a ReleaseId,
    /// The one before.
    pub previous: Option<&'a ReleaseId>,
    /// What is known of the files that were taken over.
    pub copies: Copies,
}

/// What was heard of a run so far.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Activity {
    /// What was seen of each unit.
    pub observed: BTreeMap<UnitName, Observed>,
    /// The journal, where it was asked for.
    pub journal: Vec<JournalEntry>,
    /// Links that going back could not remove: it takes a sudo password.
    pub left: Vec<RemotePath>,
    /// Lines of the run's log.
    lines: usize,
    in_log: bool,
    stop: Option<Stop>,
    why: String,
}

impl Activity {
    fn take(&mut self, line: &str, on_event: &mut impl FnMut(ActivationEvent)) {
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
            "found" => match rest.strip_prefix("left ") {
                Some(path) => self.left.extend(RemotePath::new(path)),
                None => found(&mut self.observed, rest),
            },
            "pending" => self.stop = Some(Stop::Pending(Duration::from_secs(rest.parse().unwrap_or(0)))),
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

    fn stop(&mut self, said: String) -> Stop {
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

impl Run<'_> {
    /// The run's folder on the host.
    #[must_use]
    pub fn folder(&self) -> RemotePath {
        self.layout.run(self.id)
    }

    /// Prepares the run and starts it. Returns when it waits for a word, or is over.
    pub async fn begin(
        &self,
        session: &mut Session,
        activity: &mut Activity,
        mut on_event: impl FnMut(ActivationEvent),
    ) -> Result<Stop, SessionError> {
        session.attach(&self.folder());
        let finished = session
            .run(&self.session_script(), self.idle(), |line| activity.take(line, &mut on_event))
            .await?;
        Ok(activity.stop(finished.said))
    }

    /// Gives the run its word, and returns when it is over. Reads the journal of the units along with it.
    pub async fn decide(
        &self,
        session: &mut Session,
        word: Word,
        activity: &mut Activity,
        journal: (&UnitRuns, MainProcess, u32),
        mut on_event: impl FnMut(ActivationEvent),
    ) -> Result<Stop, SessionError> {
        let mut script = self.head();
        let word = match word {
            Word::Commit => "commit",
            Word::Revert => "revert",
        };
        // Before a revert replaces it, what the journal has of the new release; after a commit, up to now.
        let (runs, process, lines) = journal;
        if let Some(journal) = journal_script(runs, process, lines) {
            script.constant_line("(");
            script.append(&journal);
            script.constant_line(")");
        }
        script.call("decide", [word, &(activity.lines + 1).to_string()]);
        let finished = session.run(&script, self.idle(), |line| activity.take(line, &mut on_event)).await?;
        // Not before: a program that is cut on its way is not run, and the end of the session must still be noticed.
        session.detach();
        Ok(activity.stop(finished.said))
    }

    /// How long the run may say nothing: a hook may be silent for as long as it may run.
    fn idle(&self) -> Duration {
        let hooks = self.steps.iter().filter_map(|step| match step {
            Step::Hook { timeout, .. } => Some(*timeout),
            _ => None,
        });
        IDLE + hooks.max().unwrap_or_default()
    }

    fn head(&self) -> Script {
        let mut script = Script::constant(PROGRAM);
        script.constant_line("exec 3>&1");
        self.configure(&mut script);
        script
    }

    fn configure(&self, script: &mut Script) {
        let mut arguments = vec![
            self.layout.root().to_string(),
            self.id.to_string(),
            self.layout.service().to_string(),
            self.expected.to_owned(),
            self.patience.as_millis().div_ceil(1000).to_string(),
            self.history.to_owned(),
        ];
        arguments.extend(self.units.iter().map(ToString::to_string));
        script.call("configure", arguments);
        let previous = self.previous.map(ToString::to_string).unwrap_or_default();
        let host = self.host.to_string();
        script.call("describe", [self.environment.as_str(), &host, &self.release.to_string(), &previous]);
    }

    /// The function that runs what is to be run on a failure, in the session or in the run.
    fn on_failure(&self, script: &mut Script) {
        script.constant_line("on_failure() {\n:");
        self.calls(script, Part::OnFailure);
        script.constant_line("}");
    }

    /// What the session's shell runs: the steps up to the switch, and the start of the run.
    fn session_script(&self) -> Script {
        let mut script = self.head();
        self.on_failure(&mut script);
        script.call("begin_run", [self.program().as_str()]);
        script.constant_line("[ $? -eq 0 ] || abandon 'the folder of the run could not be made'");
        self.calls(&mut script, Part::Session);
        script.constant_line("launch");
        script
    }

    /// What the run's unit runs.
    fn program(&self) -> Script {
        let mut script = Script::constant(PRELUDE);
        script.constant_line(PROGRAM);
        self.configure(&mut script);
        self.on_failure(&mut script);
        script.constant_line("plan_steps() {\n:");
        self.calls(&mut script, Part::Unit);
        script.constant_line("}\nafter_commit() {\n:");
        self.calls(&mut script, Part::AfterCommit);
        script.constant_line("}\nmain \"$@\"");
        script
    }

    fn calls(&self, script: &mut Script, part: Part) {
        for (number, step) in self.steps.iter().enumerate() {
            if let Some((of, call)) = self.call(step)
                && of == part
            {
                let function = match step {
                    Step::Hook { .. } => "live_step",
                    _ => "step",
                };
                script.call(function, std::iter::once(number.to_string()).chain(call));
            }
        }
    }

    /// Who runs a step, and by which call; `None` for the client's own.
    fn call(&self, step: &Step) -> Option<(Part, Vec<String>)> {
        Some(match step {
            Step::Upload { .. } | Step::AskHealth { .. } => return None,
            Step::EnableLingering { .. } => (Part::Session, words(["enable_lingering"])),
            Step::Seal { release } => {
                (Part::Session, words(["seal", &release.to_string(), &sums(self.steps, self.copies)]))
            }
            Step::CheckRelease { release, sums } => {
                let lines: Vec<String> =
                    sums.iter().map(|file| sum(&file.sha256, file.path.as_str())).collect();
                (Part::Session, words(["check_release", &release.to_string(), &lines.join("\n")]))
            }
            Step::Stop { unit } => (Part::Unit, words(["stop_unit", unit.as_str()])),
            Step::Link(link) => {
                let rights = match link.privilege {
                    Privilege::User => "direct",
                    Privilege::Root => "root",
                };
                (Part::Session, words(["make_link", link.path.as_str(), link.target.as_str(), rights]))
            }
            Step::Switch { to, .. } => (Part::Unit, words(["switch", &to.to_string()])),
            Step::ReloadManager => (Part::Unit, words(["reload_manager"])),
            Step::Enable { unit } => (Part::Unit, words(["enable", unit.as_str()])),
            Step::Restart { unit, .. } => (Part::Unit, words(["restart", unit.as_str()])),
            Step::Reload { unit, .. } => (Part::Unit, words(["reload", unit.as_str()])),
            Step::Start { unit, .. } => (Part::Unit, words(["start", unit.as_str()])),
            Step::Observe { unit, settle, .. } => {
                (Part::Unit, words(["observe", unit.as_str(), &settle.as_millis().to_string()]))
            }
            Step::Hook { when, run, timeout, .. } => {
                let part = match when {
                    HookPoint::BeforeDeploy => return None,
                    HookPoint::BeforeActivate => Part::Session,
                    HookPoint::AfterActivate => Part::Unit,
                    HookPoint::AfterDeploy => Part::AfterCommit,
                    HookPoint::OnFailure => Part::OnFailure,
                };
                (part, words(["run_hook", &timeout.as_secs_f64().to_string(), run]))
            }
            Step::Prune { releases } => {
                let ids = releases.iter().map(ToString::to_string);
                (Part::AfterCommit, words(["prune"]).into_iter().chain(ids).collect())
            }
        })
    }
}

/// Who runs a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    /// The session's shell, with the operator's sudo password if there is one.
    Session,
    /// The run's unit.
    Unit,
    /// The run's unit, once the new release is kept.
    AfterCommit,
    /// Whoever went back.
    OnFailure,
}

/// Prints a run's state and its log.
const READ: &str = "printf 'state %s\\n' \"$(cat \"$1/state\")\"\ncat \"$1/log\"";

/// What a run's record says.
#[derive(Debug, Default)]
struct Record {
    state: String,
    activity: Activity,
}

impl Record {
    fn take(&mut self, line: &str, on_event: &mut impl FnMut(ActivationEvent)) {
        match line.strip_prefix("state ") {
            Some(text) => text.clone_into(&mut self.state),
            None => self.activity.take(line, on_event),
        }
    }

    /// The state is on the disk before the log says so, and there is room for it where there is none for a log.
    fn end(&mut self) -> Option<End> {
        match (self.state.as_str(), &self.activity.stop) {
            ("given_up", _) => Some(End::Reverted("it had not begun".to_owned())),
            ("committed", _) => Some(End::Committed),
            ("reverted", _) => Some(End::Reverted(self.activity.why.clone())),
            ("revert_failed", Some(Stop::Over(end))) => Some(end.clone()),
            ("revert_failed", _) => Some(End::RevertFailed(String::new())),
            _ => None,
        }
    }
}

/// Whose run is to be brought to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Whose {
    /// Ours: we hold the service's lock.
    Own,
    /// Someone else's. As long as they hold the lock, it is theirs.
    Others,
}

/// Brings a run that died to its end: back to the old release, unless it was committed. [`Stop::Pending`]: it is not dead.
pub async fn recover(
    session: &mut Session,
    layout: &Layout,
    id: &RunId,
    whose: Whose,
) -> Result<Stop, SessionError> {
    const RECOVER: &str =
        "/bin/sh \"$1/program\" recover \"$2\" >/dev/null\n[ $? != 75 ] || { echo 'pending 0'; exit; }";
    let by = match whose {
        Whose::Own => "own",
        Whose::Others => "contact",
    };
    let mut script = Script::with_arguments(RECOVER, [layout.run(id).as_str(), by]);
    script.constant_line(READ);
    let mut record = Record::default();
    let finished = session.run(&script, IDLE, |line| record.take(line, &mut |_| {})).await?;
    Ok(record.end().map_or_else(|| record.activity.stop(finished.said), Stop::Over))
}

/// Waits until a run that is alive is over.
pub async fn wait_for_run(session: &mut Session, layout: &Layout, id: &RunId) -> Result<(), SessionError> {
    // One that is being prepared has no unit yet, but its client has the lock.
    const WAIT: &str = "root=${1%/runs/*}\nwhile systemctl --user is-active --quiet \"shipit-$2\" || {\n\
        [ \"$(readlink \"$root/pending\")\" = \"runs/$2\" ] && ! flock -n \"$root/lock\" true\n}; do\nsleep 0.2\ndone";
    let script = Script::with_arguments(WAIT, [layout.run(id).as_str(), &id.to_string()]);
    session.run(&script, IDLE, |_| {}).await.map(drop)
}

/// Removes links that a run could not remove by itself, with the sudo password that the session knows. Returns those that
/// are left all the same.
pub async fn remove_links(
    session: &mut Session,
    links: &[RemotePath],
) -> Result<Vec<RemotePath>, SessionError> {
    const REMOVE: &str = "for path in \"$@\"; do\n[ ! -L \"$path\" ] || as_root rm -f -- \"$path\" || printf '%s\\n' \"$path\"\ndone";
    let script = Script::with_arguments(REMOVE, links.iter().map(RemotePath::as_str));
    let mut left = Vec::new();
    session.run(&script, IDLE, |line| left.extend(RemotePath::new(line))).await?;
    Ok(left)
}

/// What is on file about a run: `None` while it is not over. One that has not begun never will from now on.
pub async fn run_state(
    session: &mut Session,
    layout: &Layout,
    id: &RunId,
    mut on_event: impl FnMut(ActivationEvent),
) -> Result<Option<End>, SessionError> {
    const GIVE_UP: &str =
        "mkdir -p \"${1%/*}\"\nif mkdir -m 700 \"$1\" 2>/dev/null; then\necho 'state given_up'\nelse";
    let mut script = Script::with_arguments(GIVE_UP, [layout.run(id).as_str()]);
    script.constant_line(READ);
    script.constant_line("fi");
    let mut record = Record::default();
    session.run(&script, IDLE, |line| record.take(line, &mut on_event)).await?;
    Ok(record.end())
}

fn words<const N: usize>(words: [&str; N]) -> Vec<String> {
    words.map(str::to_owned).into()
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
