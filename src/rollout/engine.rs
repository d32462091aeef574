//! Several hosts side by side, each with its own outcome.
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use serde::Serialize;
use tokio::sync::{Mutex, Semaphore, watch};
use tokio::task::JoinSet;

use super::draft::Draft;
use super::failure::HostFailure;
use super::gate::Gate;
use super::host_error::HostError;
use super::host_run::{Prepared, prepare};
use super::root_rights::SudoPrompt;
use super::warnings::Warnings;
use crate::host::{Holder, Password};
use crate::manifest::{Address, EnvironmentName, HookHosts, HookPoint, Host, Manifest};
use crate::plan::{Edits, Operator, Position};
use crate::release::{ReleaseId, Revision};
use crate::report::{Command, EventKind, Events, Failure, Verdict};
use crate::ssh::{ConfigError, Hop, Login, Routes};

/// How many hosts are taken side by side.
pub const PARALLEL: usize = 10;

/// How hosts are connected to.
#[derive(Debug, Clone)]
pub struct Reach(Arc<Routes>);

impl Reach {
    /// By these ways.
    #[must_use]
    pub fn new(routes: Routes) -> Self {
        Self(Arc::new(routes))
    }

    /// The way to a host of the manifest.
    ///
    /// # Errors
    ///
    /// When ssh_config can't be read, or asks for something that can't be done.
    pub async fn way(&self, host: &Address) -> Result<Arc<Hop>, ConfigError> {
        let login = Login {
            user: host.user.as_ref().map(ToString::to_string),
            host: host.host.to_string(),
            port: host.port.map(std::num::NonZeroU16::get),
        };
        self.0.to(&login).await
    }

    /// The ways to all hosts.
    #[must_use]
    pub fn routes(&self) -> &Routes {
        &self.0
    }
}

/// What all hosts of a run have in common.
pub struct Context {
    /// What to deploy.
    pub manifest: Manifest,
    /// How to connect.
    pub reach: Reach,
    /// Where events go.
    pub events: Events,
    /// Whether someone can be asked.
    pub operator: Operator,
    /// What to do about what others have changed on a host.
    pub edits: Edits,
    /// The time that new releases carry.
    pub now: Timestamp,
    /// Whether hosts are to be changed, so that what that takes can be opened early.
    pub purpose: Purpose,
    /// Who we are, for those who find the lock held, and for the history.
    pub holder: Holder,
    /// How long to wait for the lock.
    pub lock_wait: Duration,
    /// Whether someone has agreed to the plans.
    pub agreement: Agreement,
    /// What to do about an activation of someone else that is under way.
    pub runs: OtherRuns,
    /// How long a host waits for our word before it goes back by itself.
    pub patience: Duration,
    /// What the history says of this run, beside what is known of the host.
    pub record: RunRecord,
    /// Who is asked for a sudo password.
    pub sudo: Arc<dyn SudoPrompt>,
    /// The password once it is known.
    pub sudo_password: Mutex<Option<Password>>,
    /// Whether the operator wants it to end.
    pub interrupt: Interrupt,
    /// How far each host is.
    pub phases: Phases,
    /// What the first host does for all.
    pub gate: Gate,
    /// What went wrong and changes nothing.
    pub warnings: Warnings,
}

/// What hosts are connected to for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// To plan, and no more.
    Look,
    /// To carry plans out.
    Change,
}

/// Whether a person has agreed to the plans as they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Agreement {
    /// Nobody was asked about them: what the host is to end on is what counts.
    ToTheOutcome,
    /// Somebody said yes to them: these are carried out, or none.
    ToThePlans,
}

/// What to do about an activation that is under way on a host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OtherRuns {
    /// Wait for its end.
    Wait,
    /// Leave.
    Refuse,
}

/// What the history says of a run, the same on all hosts.
#[derive(Debug, Clone, Serialize)]
pub struct RunRecord {
    /// The environment.
    pub environment: EnvironmentName,
    /// What was asked for.
    pub command: Command,
    /// shipit's version.
    pub shipit: &'static str,
    /// The revision of the manifest's folder in git, where it is in one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub revision: Option<Revision>,
}

/// The operator's wish to end the run. Hosts whose switch is under way finish it.
#[derive(Debug, Clone)]
pub struct Interrupt(watch::Sender<bool>);

impl Default for Interrupt {
    fn default() -> Self {
        Self(watch::Sender::new(false))
    }
}

impl Interrupt {
    /// Says so.
    pub fn set(&self) {
        self.0.send_replace(true);
    }

    /// Whether it was said.
    #[must_use]
    pub fn is_set(&self) -> bool {
        *self.0.borrow()
    }

    /// Waits until it is said.
    pub async fn wait(&self) {
        // The sender is ours, so the channel can't close.
        let _ = self.0.subscribe().wait_for(|set| *set).await;
    }
}

/// How far the hosts are, for an operator who leaves before the end.
#[derive(Debug, Clone, Default)]
pub struct Phases(Arc<std::sync::Mutex<BTreeMap<Address, Phase>>>);

/// How far a host is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Phase {
    /// Nothing that runs was touched.
    Untouched,
    /// The host switches, and waits for our word.
    Switching {
        /// What it goes back to without one.
        back_to: Option<ReleaseId>,
        /// How long it waits.
        patience: Duration,
    },
    /// It is done.
    Ended(Verdict),
}

impl Phases {
    /// A host has come so far.
    pub fn set(&self, host: &Address, phase: Phase) {
        if let Ok(mut phases) = self.0.lock() {
            phases.insert(host.clone(), phase);
        }
    }

    /// All hosts.
    #[must_use]
    pub fn all(&self) -> Vec<(Address, Phase)> {
        self.0.lock().map(|phases| phases.clone().into_iter().collect()).unwrap_or_default()
    }
}

/// A host before anything was changed: ready, or failed.
pub struct Preparation {
    /// The host.
    pub host: Address,
    /// When it began.
    pub begun: Instant,
    /// How it went.
    pub result: Result<Prepared, HostFailure>,
}

/// How a host ended.
#[derive(Debug)]
pub struct Outcome {
    /// The host.
    pub host: Address,
    /// How.
    pub result: Result<Verdict, HostFailure>,
}

impl Outcome {
    /// The verdict, of a success or of a failure.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        match &self.result {
            Ok(verdict) => *verdict,
            Err(failure) => failure.verdict(),
        }
    }
}

/// Connects to the hosts, probes them and plans for the release that each is to end on. In the order given.
pub async fn prepare_all(context: &Arc<Context>, hosts: Vec<(Host, Draft)>) -> Vec<Preparation> {
    let positions = std::iter::once(Position::First).chain(std::iter::repeat(Position::Later));
    side_by_side(positions.zip(hosts).collect(), |(position, (host, draft))| {
        let context = Arc::clone(context);
        async move {
            let begun = Instant::now();
            context.phases.set(&host.address, Phase::Untouched);
            let result = tokio::select! {
                // What was asked of the operator meanwhile was not answered, and that is no reason of its own.
                biased;
                () = context.interrupt.wait() => Err(HostFailure::not_reached(HostError::Interrupted)),
                result = prepare(&context, &host, draft, position) => result,
            };
            if let Err(failure) = &result {
                tell(&context, &host.address, &Err(failure), None, begun);
            }
            Preparation { host: host.address, begun, result }
        }
    })
    .await
}

/// Carries out the plans of all hosts that have one; tells of every host's end.
pub async fn carry_out_all(context: &Arc<Context>, preparations: Vec<Preparation>) -> Vec<Outcome> {
    // What is to be done once is done on the first host, or it is there already from an earlier run.
    // A rollback runs no hooks.
    let once = context.record.command == Command::Deploy
        && context
            .manifest
            .hooks
            .host_at(HookPoint::BeforeActivate)
            .any(|hook| hook.hosts == HookHosts::Once);
    let mut position = Position::First;
    for preparation in &preparations {
        match (&preparation.result, position) {
            (Ok(prepared), Position::First) if prepared.plan.last_shared_step().is_some() => {
                context.gate.shut();
            }
            (Err(_), Position::First) if once => {
                context.gate.shut();
                context.gate.fail();
            }
            _ => {}
        }
        position = Position::Later;
    }
    side_by_side(preparations, |preparation| {
        let context = Arc::clone(context);
        async move {
            let Preparation { host, begun, result } = preparation;
            let prepared = match result {
                Ok(prepared) => prepared,
                // Told when it happened.
                Err(failure) => return Outcome { host, result: Err(failure) },
            };
            let release = Some(prepared.plan.release.clone());
            let for_all = prepared.plan.last_shared_step().is_some();
            let result = Box::pin(prepared.carry_out(&context)).await;
            if for_all {
                context.gate.fail();
            }
            let verdict = result.as_ref().map_or_else(HostFailure::verdict, |verdict| *verdict);
            context.phases.set(&host, Phase::Ended(verdict));
            tell(&context, &host, &result.as_ref().copied(), release, begun);
            Outcome { host, result }
        }
    })
    .await
}

/// The failure for its readers. A service may have said why in files of its own, which are not read for that.
fn report(context: &Context, failure: &HostFailure) -> Failure {
    let mut report = failure.report();
    if failure.is_of_the_service() && !context.manifest.log_files.is_empty() {
        let hint = own_logs_hint(&context.record.environment);
        report.help = Some(report.help.map_or_else(|| hint.clone(), |help| format!("{help}\n{hint}")));
    }
    report
}

/// Where else than in its journal a service with `log_files` is to be read.
#[must_use]
pub fn own_logs_hint(environment: &EnvironmentName) -> String {
    format!("the service also writes to files of its own: `shipit logs {environment} --files`")
}

/// Tells of a host's end.
fn tell(
    context: &Context,
    host: &Address,
    result: &Result<Verdict, &HostFailure>,
    release: Option<ReleaseId>,
    begun: Instant,
) {
    let events = context.events.of(host);
    let (verdict, failure) = match result {
        Ok(verdict) => (*verdict, None),
        Err(failure) => (failure.verdict(), Some(report(context, failure))),
    };
    if let Err(HostFailure { journal, .. }) = result
        && !journal.is_empty()
    {
        events.send(EventKind::JournalRead { entries: journal.clone() });
    }
    let warnings = context.warnings.of(host);
    events.send(EventKind::HostFinished { verdict, release, failure, warnings, elapsed: begun.elapsed() });
}

/// Ends the run for hosts whose plan is not to be carried out.
pub fn leave_all(context: &Context, preparations: Vec<Preparation>) -> Vec<Outcome> {
    let ends = preparations.into_iter().map(|Preparation { host, begun, result }| match result {
        Ok(prepared) => {
            let verdict = if prepared.plan.is_empty() { Verdict::Unchanged } else { Verdict::Planned };
            tell(context, &host, &Ok(verdict), Some(prepared.plan.release.clone()), begun);
            Outcome { host, result: Ok(verdict) }
        }
        Err(failure) => Outcome { host, result: Err(failure) },
    });
    ends.collect()
}

/// Runs a task for each item, [`PARALLEL`] at once; results in the order of the items.
async fn side_by_side<I, T, F, R>(items: Vec<I>, task: F) -> Vec<T>
where
    F: Fn(I) -> R,
    R: Future<Output = T> + Send + 'static,
    T: Send + 'static,
{
    let places = Arc::new(Semaphore::new(PARALLEL));
    let mut tasks = JoinSet::new();
    for (number, item) in items.into_iter().enumerate() {
        let (places, work) = (Arc::clone(&places), task(item));
        // The first ones get theirs here, in order: others may wait for what the first one does.
        let early = Arc::clone(&places).try_acquire_owned();
        tasks.spawn(async move {
            let _place = match early {
                Ok(place) => Ok(place),
                // The semaphore is never closed.
                Err(_) => places.acquire_owned().await,
            };
            (number, work.await)
        });
    }
    let mut results: Vec<(usize, T)> = tasks.join_all().await;
    results.sort_by_key(|(number, _)| *number);
    results.into_iter().map(|(_, result)| result).collect()
}
