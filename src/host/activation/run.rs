//! A run, from its preparation to its end: the programs that are sent, and the word it waits for.
use std::time::Duration;

use super::activity::{ActivationEvent, Activity, Stop};
use super::program::ACTIVATION;
use crate::host::journal::{MainProcess, UnitRuns, journal_script};
use crate::host::script::Script;
use crate::host::session::{Session, SessionError};
use crate::host::sums::{contents, skeleton, sum, sums};
use crate::host::upload::Copies;
use crate::manifest::{
    Address, EnvironmentName, HookPoint, Scope, ServiceUser, UnitName, UserKind, UserName,
};
use crate::plan::{AfterCopy, CopyChange, CopyPlace, CopyRemoval, Layout, Privilege, RemotePath, Step};
use crate::release::{ReleaseId, RunId};

/// How long a step may say nothing. systemd gives a start and a stop 90 s each by default (`DefaultTimeoutStartSec=`,
/// systemd-system.conf(5)).
pub(super) const IDLE: Duration = Duration::from_secs(300);

/// The word a run waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Word {
    /// The new release is kept.
    Commit,
    /// The old one comes back.
    Revert,
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

impl Run<'_> {
    /// The run's folder on the host.
    #[must_use]
    pub fn folder(&self) -> RemotePath {
        self.layout.run(self.id)
    }

    /// Where root takes the login user's upload from; "-" where that is in its place already.
    fn landing(&self) -> String {
        match self.layout.scope() {
            Scope::User => "-".to_owned(),
            Scope::System => self.layout.landing(self.id).to_string(),
        }
    }

    /// Prepares the run and starts it. Returns when it waits for a word, or is over.
    pub async fn begin(
        &self,
        session: &mut Session,
        activity: &mut Activity,
        mut on_event: impl FnMut(ActivationEvent),
    ) -> Result<Stop, SessionError> {
        session.attach(&self.folder());
        session.provide(&ACTIVATION);
        let finished = session
            .run(&self.session_script(), self.idle(), |line| activity.take(line, &mut on_event))
            .await?;
        activity.said.clone_from(&finished.said);
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
        session.provide(&ACTIVATION);
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

    /// How long the run may say nothing: a hook may be silent for as long as it may run, and so is a watch.
    fn idle(&self) -> Duration {
        let silent = self.steps.iter().filter_map(|step| match step {
            Step::Hook { timeout: time, .. }
            | Step::Prepare { timeout: time, .. }
            | Step::Observe { settle: time, .. } => Some(*time),
            _ => None,
        });
        IDLE + silent.max().unwrap_or_default()
    }

    /// Whether a unit may have ended unseen before the client's word comes: while health was asked for, or a hook ran.
    fn takes_time_after_the_watch(&self) -> bool {
        self.steps.iter().any(|step| {
            matches!(step, Step::AskHealth { .. } | Step::Hook { when: HookPoint::AfterActivate, .. })
        })
    }

    fn head(&self) -> Script {
        let mut script = Script::constant(ACTIVATION.load);
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
        script.constant_line("[ $? -eq 0 ] || abandon \"the folder of the run could not be made$(no_room)\"");
        script.constant_line("make_ready");
        self.calls(&mut script, Part::Session);
        script.constant_line("launch");
        script
    }

    /// What the run's unit runs, after the functions.
    fn program(&self) -> Script {
        let mut script = Script::default();
        self.configure(&mut script);
        self.on_failure(&mut script);
        script.constant_line(if self.takes_time_after_the_watch() {
            "looks_again=yes"
        } else {
            "looks_again="
        });
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
                    Step::Hook { .. }
                    | Step::Prepare { .. }
                    | Step::Validate { .. }
                    | Step::OnChange { .. } => "live_step",
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
            Step::MakeUser { user } => (Part::Session, useradd(user)),
            Step::JoinGroups { user, groups } => {
                let groups = groups.iter().map(ToString::to_string);
                let call = ["join_groups".to_owned(), user.to_string()].into_iter().chain(groups);
                (Part::Session, call.collect())
            }
            Step::Seal { release } => {
                let (sums, skeleton) = (sums(self.steps, self.copies), skeleton(self.steps));
                let contents = contents(self.steps, self.copies);
                let call = ["seal", &release.to_string(), &sums, &skeleton, &self.landing(), &contents];
                (Part::Session, words(call))
            }
            Step::Prepare { name: _, key, run, timeout } => {
                (Part::Session, words(["prepare", &timeout.as_secs_f64().to_string(), key, run]))
            }
            Step::CheckRelease { release, sums, skeleton } => {
                let lines: Vec<String> =
                    sums.iter().map(|file| sum(&file.sha256, file.path.as_str())).collect();
                (Part::Session, {
                    let skeleton = skeleton.lines().join("\n");
                    words(["check_release", &release.to_string(), &lines.join("\n"), &skeleton])
                })
            }
            Step::Stop { unit } => (Part::Unit, words(["stop_unit", unit.as_str()])),
            Step::Disable { unit } => (Part::Unit, words(["disable", unit.as_str()])),
            Step::Unlink { path, target } => {
                (Part::Unit, words(["unlink_ours", path.as_str(), target.as_str()]))
            }
            Step::Link(link) => {
                let rights = rights(link.privilege);
                (Part::Session, words(["make_link", link.path.as_str(), link.target.as_str(), rights]))
            }
            Step::Install(copy) => (Part::Session, install(copy)),
            Step::Uninstall(CopyRemoval { place, then }) => {
                let (expected, rights) = (place.was.expected(), rights(place.privilege));
                let then = match then {
                    AfterCopy::Before => "before",
                    AfterCopy::Link => "link",
                };
                let call = ["uninstall_copy", place.path.as_str(), rights, &expected, backup(place), then];
                (Part::Session, words(call))
            }
            Step::Switch { to, .. } => (Part::Unit, words(["switch", &to.to_string()])),
            Step::Validate { run, timeout } => {
                (Part::Unit, words(["run_hook", &timeout.as_secs_f64().to_string(), run]))
            }
            Step::OnChange { run, timeout } => {
                (Part::Unit, words(["tell_of_change", &timeout.as_secs_f64().to_string(), run]))
            }
            Step::ReloadManager => (Part::Unit, words(["reload_manager"])),
            Step::Enable { unit } => (Part::Unit, words(["enable", unit.as_str()])),
            Step::Restart { unit, .. } => (Part::Unit, words(["restart", unit.as_str()])),
            Step::Reload { unit, .. } => (Part::Unit, words(["reload", unit.as_str()])),
            Step::Start { unit, .. } => (Part::Unit, words(["start", unit.as_str()])),
            Step::Observe { units, settle } => {
                let units = units.iter().map(|watched| watched.unit.to_string());
                let settle = settle.as_millis().to_string();
                (Part::Unit, ["observe".to_owned(), settle].into_iter().chain(units).collect())
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

fn rights(privilege: Privilege) -> &'static str {
    match privilege {
        Privilege::User => "direct",
        Privilege::Root => "root",
    }
}

fn backup(place: &CopyPlace) -> &str {
    place.backup.as_ref().map_or("-", RemotePath::as_str)
}

fn install(copy: &CopyChange) -> Vec<String> {
    let name = |name: &Option<UserName>| name.as_ref().map(ToString::to_string).unwrap_or_default();
    words([
        "install_copy",
        copy.place.path.as_str(),
        copy.source.as_str(),
        &copy.sha256.to_string(),
        &copy.mode.to_string(),
        &name(&copy.owner),
        &name(&copy.group),
        rights(copy.place.privilege),
        &copy.place.was.expected(),
        backup(&copy.place),
    ])
}

/// The call of useradd(8).
fn useradd(user: &ServiceUser) -> Vec<String> {
    let mut call = words(["make_user", "--user-group", "--shell", &user.shell]);
    match (user.kind, &user.home) {
        (UserKind::System, None) => {
            call.extend(words(["--system", "--home-dir", "/nonexistent", "--no-create-home"]));
        }
        (UserKind::System, Some(home)) => {
            call.extend(words(["--system", "--home-dir", home, "--create-home"]));
        }
        (UserKind::Regular, None) => call.extend(words(["--create-home"])),
        (UserKind::Regular, Some(home)) => call.extend(words(["--home-dir", home, "--create-home"])),
    }
    if !user.groups.is_empty() {
        let groups: Vec<&str> = user.groups.iter().map(UserName::as_str).collect();
        call.extend(words(["--groups", &groups.join(",")]));
    }
    call.extend(words(["--", user.name.as_str()]));
    call
}

fn words<const N: usize>(words: [&str; N]) -> Vec<String> {
    words.map(str::to_owned).into()
}
