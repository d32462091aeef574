//! Several hosts side by side, each with its own outcome.
use std::sync::Arc;
use std::time::Instant;

use jiff::Timestamp;
use tokio::sync::{Mutex, Semaphore, watch};
use tokio::task::JoinSet;

use super::failure::{HostError, HostFailure};
use super::host_run::{Prepared, SudoPrompt, prepare};
use crate::host::Password;
use crate::manifest::{Address, Environment, Host, Manifest};
use crate::plan::Operator;
use crate::release::{ReleaseId, Sources};
use crate::report::{EventKind, Events, Verdict};
use crate::ssh::ConnectOptions;

/// How many hosts are taken side by side.
pub const PARALLEL: usize = 10;

/// What all hosts of a run have in common.
pub struct Context {
    /// What to deploy.
    pub manifest: Manifest,
    /// Where to.
    pub environment: Environment,
    /// Its files.
    pub sources: Sources,
    /// How to connect.
    pub connect: ConnectOptions,
    /// The login name where the manifest has none.
    pub local_user: String,
    /// Where events go.
    pub events: Events,
    /// Whether someone can be asked.
    pub operator: Operator,
    /// The time that new releases carry.
    pub now: Timestamp,
    /// Whether files will go up, so that SFTP can be opened early.
    pub uploads: bool,
    /// Who is asked for a sudo password.
    pub sudo: Arc<dyn SudoPrompt>,
    /// The password once it is known.
    pub sudo_password: Mutex<Option<Password>>,
    /// Whether the operator wants it to end.
    pub interrupt: Interrupt,
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

/// Connects to all hosts of the environment, probes them and plans. In the order of the manifest.
pub async fn prepare_all(context: &Arc<Context>, hosts: Vec<Host>) -> Vec<Preparation> {
    side_by_side(hosts, |host| {
        let context = Arc::clone(context);
        async move {
            let begun = Instant::now();
            let result = tokio::select! {
                result = prepare(&context, &host) => result,
                () = context.interrupt.wait() => Err(HostFailure::not_reached(HostError::Interrupted)),
            };
            Preparation { host: host.address.clone(), begun, result }
        }
    })
    .await
}

/// Carries out the plans of all hosts that have one; tells of every host's end.
pub async fn carry_out_all(context: &Arc<Context>, preparations: Vec<Preparation>) -> Vec<Outcome> {
    side_by_side(preparations, |preparation| {
        let context = Arc::clone(context);
        async move {
            let Preparation { host, begun, result } = preparation;
            let release = result.as_ref().ok().map(|prepared| prepared.plan.release.clone());
            let result = match result {
                Ok(prepared) => Box::pin(prepared.carry_out(&context)).await,
                Err(failure) => Err(failure),
            };
            let outcome = Outcome { host, result };
            tell(&context.events, &outcome, release, begun);
            outcome
        }
    })
    .await
}

fn tell(events: &Events, outcome: &Outcome, release: Option<ReleaseId>, begun: Instant) {
    let events = events.of(&outcome.host);
    let failure = outcome.result.as_ref().err();
    if let Some(entries) = failure.map(|failure| &failure.journal).filter(|entries| !entries.is_empty()) {
        events.send(EventKind::JournalRead { entries: entries.clone() });
    }
    let verdict = outcome.verdict();
    let failure = failure.map(HostFailure::report);
    events.send(EventKind::HostFinished { verdict, release, failure, elapsed: begun.elapsed() });
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
        tasks.spawn(async move {
            // The semaphore is never closed.
            let _place = places.acquire_owned().await;
            (number, work.await)
        });
    }
    let mut results: Vec<(usize, T)> = tasks.join_all().await;
    results.sort_by_key(|(number, _)| *number);
    results.into_iter().map(|(_, result)| result).collect()
}
