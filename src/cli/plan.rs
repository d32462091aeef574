//! `shipit plan`: shows what `shipit deploy` would do, and does nothing.
use std::io::{self, Write};
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use jiff::Timestamp;
use tokio::sync::Mutex;

use super::error::CliError;
use super::exit_code::Exit;
use super::global::{ConnectArgs, EditArgs, Format, GlobalArgs, ManifestArgs};
use super::prompt::Asker;
use super::provenance;
use super::run::{Run, colour};
use super::secret_values::Secrets;
use super::selection;
use crate::manifest::{HookPoint, Hooks, first_line};
use crate::plan::{Operator, Plan};
use crate::report::{Command, EventKind, PlanDetail, PlanStyle, write_plans};
use crate::rollout::{Agreement, Context, Gate, OtherRuns, Purpose, RunRecord, leave_all, prepare_all};

/// Show what a deploy would do, without doing it
#[derive(Debug, Args)]
pub(super) struct PlanArgs {
    /// The environment; may be left out when there is only one
    pub environment: Option<String>,
    /// What to do about what was changed by hand.
    #[command(flatten)]
    pub(crate) edits: EditArgs,
    /// Which manifest.
    #[command(flatten)]
    pub(crate) manifest: ManifestArgs,
    /// How to connect, and to which hosts.
    #[command(flatten)]
    pub connect: ConnectArgs,
}

/// Runs the command.
pub(super) async fn plan(args: &PlanArgs, global: &GlobalArgs) -> Result<Exit, CliError> {
    let manifest = selection::load(&args.manifest.manifest, global)?;
    let environment = manifest.environment(args.environment.as_deref())?.clone();
    let hosts = selection::hosts(&environment, &args.connect)?;
    let secrets = Secrets::read(&manifest, &environment, &hosts, global).await?;
    let releases = selection::releases(global, &manifest, &environment, hosts.clone(), &secrets)?;

    let run = Run::begin(global);
    let asker = Asker::in_run(global, &run);
    let context = Arc::new(Context {
        reach: selection::reach(&args.connect, global, &environment, &hosts, &asker).await?,
        events: run.events.clone(),
        // What could be asked in a deploy is shown as what it would need.
        operator: if global.can_ask() { Operator::Present } else { Operator::Absent },
        edits: args.edits.edits(),
        now: Timestamp::now(),
        purpose: Purpose::Look,
        holder: provenance::holder("plan", None),
        lock_wait: Duration::ZERO,
        agreement: Agreement::ToTheOutcome,
        runs: OtherRuns::Refuse,
        patience: selection::patience(&manifest),
        record: RunRecord {
            environment: environment.name.clone(),
            command: Command::Plan,
            shipit: env!("CARGO_PKG_VERSION"),
            revision: None,
        },
        sudo: Arc::new(asker),
        sudo_password: Mutex::new(None),
        interrupt: run.interrupt.clone(),
        phases: run.phases.clone(),
        gate: Gate::default(),
        warnings: run.warnings.clone(),
        manifest,
    });
    run.events.send(EventKind::RunStarted {
        command: Command::Plan,
        service: context.manifest.name.clone(),
        environment: environment.name.clone(),
        hosts: hosts.iter().map(|host| host.address.clone()).collect(),
        shipit: env!("CARGO_PKG_VERSION"),
    });
    let preparations = run.supervise(prepare_all(&context, releases)).await?;
    let plans: Vec<Arc<Plan>> = preparations
        .iter()
        .filter_map(|preparation| Some(Arc::clone(&preparation.result.as_ref().ok()?.plan)))
        .collect();
    let outcomes = leave_all(&context, preparations);
    let exit = Exit::of_outcomes(&outcomes);
    run.finish(&outcomes, exit).await;
    if global.format == Format::Text {
        show(&context.manifest.hooks, &plans, global)
            .map_err(|source| CliError::Local { what: "the plan could not be printed", source })?;
    }
    Ok(exit)
}

fn show(hooks: &Hooks, plans: &[Arc<Plan>], global: &GlobalArgs) -> io::Result<()> {
    let style = PlanStyle { detail: PlanDetail::Full, colour: colour(global.colours(&io::stdout())) };
    let plans: Vec<&Plan> = plans.iter().map(Arc::as_ref).collect();
    let mut text = String::new();
    for hook in hooks.local_at(HookPoint::BeforeDeploy) {
        text.push_str(&format!(
            "a deploy begins here, with the hook before_deploy: {}\n",
            first_line(&hook.text)
        ));
    }
    // Writing to a string does not fail.
    let _ = write_plans(&mut text, &plans, style);
    for when in [HookPoint::AfterDeploy, HookPoint::OnFailure] {
        for hook in hooks.local_at(when) {
            text.push_str(&format!(
                "a deploy ends here, with the hook {}: {}\n",
                when.as_str(),
                first_line(&hook.text)
            ));
        }
    }
    let mut stdout = io::stdout().lock();
    match stdout.write_all(global.mask.text(&text).as_bytes()).and_then(|()| stdout.flush()) {
        // `shipit plan | head` is fine.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => other,
    }
}
