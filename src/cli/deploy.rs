//! `shipit deploy`: brings every host of an environment to the release that the manifest describes.
use std::sync::Arc;

use clap::Args;
use jiff::Timestamp;
use tokio::sync::Mutex;

use super::error::CliError;
use super::exit_code::Exit;
use super::global::{ConnectArgs, GlobalArgs, ManifestArgs, WaitArgs};
use super::local_hook;
use super::prompt::Asker;
use super::provenance;
use super::run::Run;
use super::selection;
use crate::manifest::Confirm;
use crate::plan::Operator;
use crate::report::{Command, EventKind};
use crate::rollout::{
    Context, Gate, OtherRuns, Preparation, Purpose, RunRecord, carry_out_all, leave_all, prepare_all,
};

/// Deploy to every host of an environment
#[derive(Debug, Args)]
pub(super) struct DeployArgs {
    /// The environment; may be left out when there is only one
    pub environment: Option<String>,
    /// Go ahead without asking, where the environment says `confirm: true`
    #[arg(short, long)]
    pub yes: bool,
    /// What to do while others are at work.
    #[command(flatten)]
    pub(crate) wait: WaitArgs,
    /// Which manifest.
    #[command(flatten)]
    pub(crate) manifest: ManifestArgs,
    /// How to connect, and to which hosts.
    #[command(flatten)]
    pub connect: ConnectArgs,
}

/// Runs the command.
pub(super) async fn deploy(args: &DeployArgs, global: &GlobalArgs) -> Result<Exit, CliError> {
    let manifest = selection::load(&args.manifest.manifest, global)?;
    let environment = manifest.environment(args.environment.as_deref())?.clone();
    let asks = environment.confirm == Confirm::Always && !args.yes;
    if asks && !global.can_ask() {
        return Err(CliError::Unconfirmed { environment: environment.name.to_string() });
    }
    let hosts = selection::hosts(&environment, &args.connect)?;
    local_hook::before(&manifest, &environment, global).await?;
    let releases = selection::releases(global, &manifest, &environment, hosts.clone())?;

    let run = Run::begin(global);
    let asker = Asker::in_run(global.can_ask(), &run);
    let context = Arc::new(Context {
        reach: selection::reach(&args.connect, global, &hosts, &asker)?,
        events: run.events.clone(),
        operator: if global.can_ask() { Operator::Present } else { Operator::Absent },
        now: Timestamp::now(),
        purpose: Purpose::Change,
        holder: provenance::holder("deploy", None),
        lock_wait: args.wait.lock_wait,
        runs: if args.wait.no_wait { OtherRuns::Refuse } else { OtherRuns::Wait },
        patience: selection::patience(&manifest),
        record: RunRecord {
            environment: environment.name.clone(),
            command: Command::Deploy,
            shipit: env!("CARGO_PKG_VERSION"),
            revision: provenance::revision(&manifest.dir),
        },
        sudo: Arc::new(asker.clone()),
        sudo_password: Mutex::new(None),
        interrupt: run.interrupt.clone(),
        phases: run.phases.clone(),
        gate: Gate::default(),
        manifest,
    });
    run.events.send(EventKind::RunStarted {
        command: Command::Deploy,
        service: context.manifest.name.clone(),
        environment: environment.name.clone(),
        hosts: hosts.iter().map(|host| host.address.clone()).collect(),
        shipit: env!("CARGO_PKG_VERSION"),
    });
    let work = async {
        let preparations = prepare_all(&context, releases).await;
        if asks && changes(&preparations) > 0 {
            let question = question(&preparations, environment.name.as_str());
            let asked = tokio::task::spawn_blocking(move || asker.confirm(&question)).await;
            if !asked.unwrap_or(false) {
                return (leave_all(&context, preparations), Answer::No);
            }
        }
        (carry_out_all(&context, preparations).await, Answer::Yes)
    };
    let (outcomes, answer) = run.supervise(work).await?;
    let exit = run.finish(&outcomes).await;
    if matches!(answer, Answer::Yes) {
        local_hook::after(&context.manifest, &environment, &outcomes, global).await;
    }
    match answer {
        Answer::Yes => Ok(exit),
        Answer::No if exit == Exit::Done => Err(CliError::Declined),
        Answer::No => Ok(exit),
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

fn question(preparations: &[Preparation], environment: &str) -> String {
    let failed = preparations.iter().filter(|preparation| preparation.result.is_err()).count();
    let hosts = match changes(preparations) {
        1 => "1 host".to_owned(),
        n => format!("{n} hosts"),
    };
    let but = match failed {
        0 => String::new(),
        n => format!(" ({n} more can't be deployed to, see above)"),
    };
    format!("Deploy to {hosts} of {environment}{but}?")
}
