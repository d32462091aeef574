//! What `deploy` and `rollback` have in common: plans for all hosts, the question, and the run that carries them out.
use std::sync::Arc;

use jiff::Timestamp;
use tokio::sync::Mutex;

use super::error::CliError;
use super::exit_code::Exit;
use super::global::{ConnectArgs, GlobalArgs, WaitArgs};
use super::local_hook;
use super::prompt::Asker;
use super::provenance;
use super::run::Run;
use super::secret_values::Secrets;
use super::selection;
use crate::manifest::{Confirm, Environment, Host, Manifest};
use crate::plan::{Destination, Edits, Operator};
use crate::report::{Command, EventKind};
use crate::rollout::{
    Agreement, Context, Draft, Gate, Goal, OtherRuns, Preparation, Purpose, RunRecord, carry_out_all,
    leave_all, prepare_all,
};

/// A change of an environment's hosts.
pub(super) struct Change<'a> {
    /// The manifest.
    pub(super) manifest: Manifest,
    /// The environment.
    pub(super) environment: Environment,
    /// The hosts.
    pub(super) hosts: Vec<Host>,
    /// What they are to be brought to.
    pub(super) aim: Aim,
    /// Whether the operator has to be asked.
    pub(super) consent: Consent,
    /// The values of their secrets; none for what does not make a release.
    pub(super) secrets: Secrets,
    /// What to do about what was changed by hand.
    pub(super) edits: Edits,
    /// What to do while others are at work.
    pub(super) wait: &'a WaitArgs,
    /// How to connect.
    pub(super) connect: &'a ConnectArgs,
}

/// What hosts are to be brought to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Aim {
    /// The release of the files here, once the hooks that come before a deploy have made them.
    Deploy,
    /// A release that is on the hosts already.
    Rollback(Destination),
}

impl Aim {
    fn command(&self) -> Command {
        match self {
            Self::Deploy => Command::Deploy,
            Self::Rollback(_) => Command::Rollback,
        }
    }
}

/// Whether a change may go ahead.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Consent {
    /// It may: nobody wants to be asked, or `--yes` was said.
    Given,
    /// The operator is asked, once the plans are known.
    Asked,
}

impl Consent {
    /// What the environment and the command line say.
    pub(super) fn of(
        environment: &Environment,
        yes: bool,
        command: Command,
        global: &GlobalArgs,
    ) -> Result<Self, CliError> {
        match environment.confirm {
            Confirm::Always if yes => Ok(Self::Given),
            Confirm::Always if global.can_ask() => Ok(Self::Asked),
            Confirm::Always => {
                Err(CliError::Unconfirmed { environment: environment.name.to_string(), command })
            }
            Confirm::Never => Ok(Self::Given),
        }
    }
}

/// Plans, asks where that is wanted, and carries the plans out.
pub(super) async fn carry_out(change: Change<'_>, global: &GlobalArgs) -> Result<Exit, CliError> {
    let Change { manifest, environment, hosts, aim, consent, secrets, edits, wait, connect } = change;
    let command = aim.command();
    let name = match command {
        Command::Rollback => "rollback",
        Command::Deploy | Command::Plan => "deploy",
    };
    let run = Run::begin(global);
    let asker = Asker::in_run(global, &run);
    let reach = selection::reach(connect, global, &environment, &hosts, &asker).await?;
    run.events.send(EventKind::RunStarted {
        command,
        service: manifest.name.clone(),
        environment: environment.name.clone(),
        hosts: hosts.iter().map(|host| host.address.clone()).collect(),
        shipit: env!("CARGO_PKG_VERSION"),
    });
    let secrets = Arc::new(secrets);
    let goals = goals(&aim, (&manifest, &environment, &secrets), hosts, &run, global);
    let goals = match run.supervise(goals).await.flatten() {
        Ok(goals) => goals,
        Err(error) => {
            run.abandon(error.exit()).await;
            return Err(error);
        }
    };
    // That of the folder here says nothing about a release there.
    let revision = if aim == Aim::Deploy { provenance::revision(&manifest.dir) } else { None };
    let context = Arc::new(Context {
        reach,
        events: run.events.clone(),
        operator: if global.can_ask() { Operator::Present } else { Operator::Absent },
        edits,
        now: Timestamp::now(),
        purpose: Purpose::Change,
        holder: provenance::holder(name, None),
        lock_wait: wait.lock_wait,
        agreement: match consent {
            Consent::Given => Agreement::ToTheOutcome,
            Consent::Asked => Agreement::ToThePlans,
        },
        runs: if wait.no_wait { OtherRuns::Refuse } else { OtherRuns::Wait },
        patience: selection::patience(&manifest),
        record: RunRecord {
            environment: environment.name.clone(),
            command,
            shipit: env!("CARGO_PKG_VERSION"),
            revision,
        },
        sudo: Arc::new(asker.clone()),
        sudo_password: Mutex::new(None),
        interrupt: run.interrupt.clone(),
        phases: run.phases.clone(),
        gate: Gate::default(),
        warnings: run.warnings.clone(),
        manifest,
    });
    let work = async {
        let preparations = prepare_all(&context, goals).await;
        if consent == Consent::Asked && changes(&preparations) > 0 {
            let question = question(command, &preparations, environment.name.as_str());
            let asked = tokio::task::spawn_blocking(move || asker.confirm(&question));
            let agreed = tokio::select! {
                asked = asked => asked.unwrap_or(false),
                () = context.interrupt.wait() => false,
            };
            if !agreed {
                return (leave_all(&context, preparations), Answer::No);
            }
        }
        (carry_out_all(&context, preparations).await, Answer::Yes)
    };
    let (outcomes, answer) = run.supervise(work).await?;
    if command == Command::Deploy && matches!(answer, Answer::Yes) {
        local_hook::after(&context.manifest, &environment, &outcomes, &run).await;
    }
    let result = match (answer, Exit::of_outcomes(&outcomes)) {
        (Answer::No, Exit::Done) if run.interrupt.is_set() => Err(CliError::Stopped),
        (Answer::No, Exit::Done) => Err(CliError::Declined),
        (Answer::No | Answer::Yes, exit) => Ok(exit),
    };
    run.finish(&outcomes, result.as_ref().map_or_else(CliError::exit, |exit| *exit)).await;
    result
}

/// What each host is to be brought to.
async fn goals(
    aim: &Aim,
    (manifest, environment, secrets): (&Manifest, &Environment, &Arc<Secrets>),
    hosts: Vec<Host>,
    run: &Run,
    global: &GlobalArgs,
) -> Result<Vec<(Host, Draft)>, CliError> {
    match aim {
        Aim::Rollback(destination) => {
            let earlier = || Draft::Settled(Goal::Earlier(destination.clone()));
            Ok(hosts.into_iter().map(|host| (host, earlier())).collect())
        }
        Aim::Deploy => {
            local_hook::before(manifest, environment, run).await?;
            // Large files take a while, and somebody may want it to end meanwhile.
            let (global, secrets, aside) = (global.clone(), Arc::clone(secrets), run.aside());
            let (manifest, environment) = (manifest.clone(), environment.clone());
            let made = tokio::task::spawn_blocking(move || {
                aside.work(|| selection::releases(&global, &manifest, &environment, hosts, &secrets))
            });
            made.await.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()))
        }
    }
}

/// What the operator said; yes where nobody was asked.
enum Answer {
    Yes,
    No,
}

fn changes(preparations: &[Preparation]) -> usize {
    let plans = preparations.iter().filter_map(|preparation| preparation.result.as_ref().ok());
    plans.filter(|prepared| !prepared.plan.is_empty()).count()
}

fn question(command: Command, preparations: &[Preparation], environment: &str) -> String {
    let failed = preparations.iter().filter(|preparation| preparation.result.is_err()).count();
    let hosts = match changes(preparations) {
        1 => "1 host".to_owned(),
        n => format!("{n} hosts"),
    };
    let but = match failed {
        0 => String::new(),
        n => format!(" ({n} more failed, see above)"),
    };
    match command {
        Command::Rollback => format!("Roll back {hosts} of {environment}{but}?"),
        Command::Deploy | Command::Plan => {
            format!("Deploy to {hosts} of {environment}{but}?")
        }
    }
}
