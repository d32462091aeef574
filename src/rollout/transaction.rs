//! The part of a host's way that is a transaction: the run that is started there, the verdict, and the word it gets.
//!
//! From its start on the host decides by itself when it hears nothing from us; so whatever is reported here is what the
//! host's own record says, and a connection that breaks is made anew to read it.
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

use super::engine::{Context, Phase, RunRecord};
use super::failure::{HostFailure, HostState, Undone};
use super::host_error::HostError;
use super::host_run::{Prepared, connect_host, current_text};
use super::teller::Teller;
use super::verdict::{NotUp, conclude, conclude_reload};
use crate::host::{
    Activity, Copies, End, MainProcess, Observed, Reached, Recovery, Run, Session, SessionError, Stop,
    Subject, UnitRuns, Whose, Word, ask, put_back_files, read_journal, recover, remove_links, run_state,
};
use crate::manifest::{Address, UnitName};
use crate::plan::{Layout, Plan, Step, WatchedUnit};
use crate::release::{ReleaseId, RunId, Sha256Digest};
use crate::report::{EventKind, Events, Verdict, describe_step};

/// How many lines of journal are read back.
const JOURNAL_LINES: u32 = 50;

/// How much later than its deadline a host may settle: going back takes a moment.
const GRACE: Duration = Duration::from_secs(5);

/// The wait between two tries to reach a host again.
const RETRY: Duration = Duration::from_secs(1);

/// One run on one host.
pub(super) struct Transaction<'a> {
    prepared: &'a mut Prepared,
    context: &'a Context,
    layout: &'a Layout,
    plan: Arc<Plan>,
    id: RunId,
    task: Task<'a>,
    activity: Activity,
    teller: Teller,
}

/// What the run is made from.
struct Task<'a> {
    layout: &'a Layout,
    context: &'a Context,
    plan: Arc<Plan>,
    host: Address,
    id: RunId,
    expected: String,
    history: String,
    units: Vec<UnitName>,
    copies: Copies,
}

impl Task<'_> {
    fn run(&self) -> Run<'_> {
        Run {
            layout: self.layout,
            id: &self.id,
            steps: &self.plan.steps,
            expected: &self.expected,
            patience: self.context.patience,
            history: &self.history,
            units: &self.units,
            environment: &self.context.record.environment,
            host: &self.host,
            release: &self.plan.release,
            previous: self.plan.from.as_ref(),
            copies: self.copies,
        }
    }
}

/// A line of `history.jsonl`, but for how it ended.
#[derive(Serialize)]
struct HistoryLine<'a> {
    v: u32,
    run: &'a RunId,
    host: String,
    #[serde(flatten)]
    record: &'a RunRecord,
    who: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    job: Option<&'a str>,
    from: Option<&'a ReleaseId>,
    to: &'a ReleaseId,
    started: Timestamp,
}

impl<'a> Transaction<'a> {
    pub(super) fn new(
        prepared: &'a mut Prepared,
        context: &'a Context,
        layout: &'a Layout,
        copies: Copies,
    ) -> Self {
        let plan = Arc::clone(&prepared.plan);
        let id = prepared.run.clone();
        let line = HistoryLine {
            v: 1,
            run: &id,
            host: prepared.host.to_string(),
            record: &context.record,
            who: &context.holder.who,
            job: context.holder.job.as_deref(),
            from: plan.from.as_ref(),
            to: &plan.release,
            started: context.now,
        };
        // The host adds how it ended, and the closing brace.
        let history = serde_json::to_string(&line).unwrap_or_default().trim_end_matches('}').to_owned();
        let teller = Teller::new(&plan, &prepared.events, context);
        let task = Task {
            layout,
            context,
            plan: Arc::clone(&plan),
            host: prepared.host.clone(),
            id: id.clone(),
            expected: current_text(&prepared.facts),
            history,
            // Those of the release before, too.
            units: prepared.facts.units.keys().cloned().collect(),
            copies,
        };
        Self { prepared, context, layout, plan, id, task, activity: Activity::default(), teller }
    }

    /// From the start of the run to its end.
    pub(super) async fn run(mut self) -> Result<Verdict, HostFailure> {
        let stop = self.begin().await;
        let mut runs = UnitRuns::default();
        for seen in self.activity.observed.values() {
            runs.add(&seen.first);
            runs.add(&seen.last);
        }
        match stop {
            Err(error) => self.lost(error, None).await,
            Ok(Stop::Pending(_)) => match self.judge().await {
                Ok(()) => self.commit(&runs).await,
                Err(error) => self.revert(error, &runs).await,
            },
            Ok(Stop::Over(end)) => {
                self.remove_left().await;
                let end = self.put_back_left(end).await;
                let error = self.own_failure(&end);
                let process = process_of(&error);
                let mut journal = Vec::new();
                if let Ok(entries) =
                    read_journal(&mut self.prepared.session, &runs, process, JOURNAL_LINES).await
                {
                    journal = entries;
                }
                Err(HostFailure { error: Box::new(error), state: self.state(&end), journal })
            }
            Ok(Stop::Unlocked) => Err(HostFailure::untouched(HostError::LockLost, self.plan.from.clone())),
            Ok(Stop::Died(said)) => self.died(said, None).await,
        }
    }

    async fn begin(&mut self) -> Result<Stop, SessionError> {
        let phase = Phase::Switching { back_to: self.plan.from.clone(), patience: self.context.patience };
        self.context.phases.set(&self.prepared.host, phase);
        let Self { prepared, activity, teller, task, .. } = self;
        let run = task.run();
        run.begin(&mut prepared.session, activity, |event| teller.tell(event)).await
    }

    async fn decide(
        &mut self,
        word: Word,
        runs: &UnitRuns,
        process: MainProcess,
    ) -> Result<Stop, SessionError> {
        let Self { prepared, activity, teller, task, .. } = self;
        let journal = (runs, process, JOURNAL_LINES);
        let run = task.run();
        let stop =
            run.decide(&mut prepared.session, word, activity, journal, |event| teller.tell(event)).await?;
        runs.keep_own(&mut self.activity.journal);
        Ok(stop)
    }

    /// The verdict: what was seen of the units, then the service's health.
    async fn judge(&mut self) -> Result<(), HostError> {
        let plan = Arc::clone(&self.plan);
        let starts = self.activity.observed.values().map(|seen| seen.last.get("InvocationID").to_owned());
        let invocations: Vec<String> = starts.filter(|id| !id.is_empty()).collect();
        for (number, step) in plan.steps.iter().enumerate() {
            match step {
                Step::Observe { units, .. } => {
                    if let Err(error) = self.conclude_all(units) {
                        self.teller.events.send(EventKind::StepFailed { number });
                        return Err(error.into());
                    }
                    self.teller.watched_well(number);
                }
                Step::AskHealth { check } => {
                    let began = Instant::now();
                    let events = &self.teller.events;
                    events.send(EventKind::StepStarted { number, step: Arc::new(step.clone()) });
                    let subject = Subject {
                        layout: self.layout,
                        invocations: &invocations,
                        since: self.activity.reloaded.as_deref(),
                    };
                    if let Err(error) = ask(&mut self.prepared.session, check, &subject).await {
                        events.send(EventKind::StepFailed { number });
                        return Err(error.into());
                    }
                    events.send(EventKind::StepFinished { number, elapsed: began.elapsed() });
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Whether all units that were watched are up. The first one that is not is what is told of.
    fn conclude_all(&self, units: &[WatchedUnit]) -> Result<(), NotUp> {
        units.iter().try_for_each(|WatchedUnit { unit, executable }| {
            let seen = self.activity.observed.get(unit).cloned().unwrap_or_default();
            let before = self.prepared.facts.units.get(unit).map(|found| found.invocation.as_str());
            self.conclude_one(unit, &seen, executable.as_ref(), before)
        })
    }

    fn conclude_one(
        &self,
        unit: &UnitName,
        seen: &Observed,
        executable: Option<&Sha256Digest>,
        before: Option<&str>,
    ) -> Result<(), NotUp> {
        let reloads = |step: &Step| matches!(step, Step::Reload { unit: reloaded, .. } if reloaded == unit);
        if self.plan.steps.iter().any(reloads) {
            conclude_reload(unit, seen)
        } else {
            conclude(unit, seen, executable, before)
        }
    }

    async fn commit(mut self, runs: &UnitRuns) -> Result<Verdict, HostFailure> {
        match self.decide(Word::Commit, runs, MainProcess::Runs).await {
            Ok(Stop::Over(End::Committed)) => {
                let entries = std::mem::take(&mut self.activity.journal);
                self.teller.events.send(EventKind::JournalRead { entries });
                Ok(Verdict::Deployed)
            }
            Ok(Stop::Over(end)) => {
                self.remove_left().await;
                let end = self.put_back_left(end).await;
                let why = match &end {
                    End::Reverted(why) | End::RevertFailed(why) => why.clone(),
                    End::Committed => String::new(),
                };
                Err(self.failure(HostError::WentBack(why), &end))
            }
            Ok(Stop::Died(said)) => self.died(said, None).await,
            Ok(Stop::Pending(_) | Stop::Unlocked) => {
                self.died("it did not take the word to commit".to_owned(), None).await
            }
            Err(error) => self.lost(error, None).await,
        }
    }

    async fn revert(mut self, error: HostError, runs: &UnitRuns) -> Result<Verdict, HostFailure> {
        match self.decide(Word::Revert, runs, process_of(&error)).await {
            Ok(Stop::Over(end)) => {
                self.remove_left().await;
                let end = self.put_back_left(end).await;
                Err(self.failure(error, &end))
            }
            Ok(Stop::Died(said)) => self.died(said, Some(error)).await,
            Ok(Stop::Pending(_) | Stop::Unlocked) => self.died(String::new(), Some(error)).await,
            Err(lost) => self.lost(lost, Some(error)).await,
        }
    }

    /// The run ended by itself before it waited for a word: a step failed.
    fn own_failure(&mut self, end: &End) -> HostError {
        for (number, step) in self.plan.steps.iter().enumerate() {
            let units = match step {
                Step::Observe { units, .. } => units.iter().map(|watched| &watched.unit).collect(),
                Step::Restart { unit, .. } | Step::Start { unit, .. } => vec![unit],
                _ => continue,
            };
            for unit in units {
                let Some(seen) = self.activity.observed.get(unit) else { continue };
                // systemctl says only that the job failed; the unit's state says why.
                if let Err(error) = self.conclude_one(unit, seen, None, None) {
                    if self.teller.failed.is_none() {
                        self.teller.events.send(EventKind::StepFailed { number });
                    }
                    return error.into();
                }
            }
        }
        match self.teller.failed.and_then(|number| self.plan.steps.get(number)) {
            Some(Step::CheckRelease { release, .. }) => {
                HostError::Tampered { release: release.clone(), said: std::mem::take(&mut self.teller.said) }
            }
            Some(step @ Step::Validate { .. }) => {
                HostError::Invalid { what: describe_step(step), said: std::mem::take(&mut self.teller.said) }
            }
            Some(step) => {
                HostError::Step { what: describe_step(step), said: std::mem::take(&mut self.teller.said) }
            }
            None => match end {
                End::Reverted(why) | End::RevertFailed(why) => {
                    // What was said first is the cause of the rest.
                    let said = self.activity.said.lines().next().map(|said| format!(": {said}"));
                    HostError::WentBack(why.clone() + &said.unwrap_or_default())
                }
                End::Committed => HostError::ActivationCut,
            },
        }
    }

    /// The run's unit is gone, and its log has no end: it was killed. It is ended from here.
    /// What had failed before, if anything, is what the operator needs to hear.
    async fn died(mut self, said: String, error: Option<HostError>) -> Result<Verdict, HostFailure> {
        let error = error.unwrap_or_else(|| {
            if said.is_empty() {
                HostError::ActivationCut
            } else {
                HostError::Step { what: "run the activation".to_owned(), said: vec![said] }
            }
        });
        let failed = |why: String| End::RevertFailed(why);
        let end = match recover(&mut self.prepared.session, self.layout, &self.id, Whose::Own).await {
            Ok(Recovery::Over(end)) => end,
            Ok(Recovery::Alive) => failed("someone else goes back from it".to_owned()),
            // logind starts it at a login.
            Ok(Recovery::NoManager(why)) => self.come_back().await.unwrap_or_else(|| failed(why)),
            Ok(Recovery::Failed { why, reached: Reached::Switch }) => failed(why),
            Ok(Recovery::Failed { why, reached: Reached::Preparation }) => {
                let error = match error {
                    HostError::ActivationCut => {
                        HostError::Step { what: "run the activation".to_owned(), said: vec![why] }
                    }
                    error => error,
                };
                return Err(HostFailure::untouched(error, self.plan.from.clone()));
            }
            Err(lost) => return self.lost(lost, Some(error)).await,
        };
        match end {
            End::Committed => Ok(Verdict::Deployed),
            end => Err(self.failure(error, &end)),
        }
    }

    /// Connects anew to read how the run ended, until the host must have settled.
    async fn come_back(&mut self) -> Option<End> {
        let until = Instant::now() + self.context.patience + GRACE;
        let quiet = Events::nowhere();
        while Instant::now() < until && !self.context.interrupt.is_set() {
            tokio::time::sleep(RETRY).await;
            let Ok(connection) = connect_host(&self.context.reach, &self.prepared.host, &quiet).await else {
                continue;
            };
            let rights = self.prepared.session.rights().clone();
            let scope = self.layout.scope();
            let Ok(mut session) = Session::new(connection, scope, rights) else { continue };
            session.elevate(self.prepared.facts.elevation);
            let teller = &mut self.teller;
            let read = run_state(&mut session, self.layout, &self.id, |event| teller.catch_up(&event)).await;
            if let Some(end) = read.ok().flatten() {
                self.prepared.session = session;
                return Some(end);
            }
        }
        None
    }

    /// The connection broke. The host decides by itself; we come back to read how.
    async fn lost(mut self, lost: SessionError, error: Option<HostError>) -> Result<Verdict, HostFailure> {
        // One that only fell silent may be open still, and the host would wait for us.
        self.prepared.session.connection().clone().close().await;
        let patience = self.context.patience + GRACE;
        let settled_by =
            Timestamp::now() + SignedDuration::try_from(patience).unwrap_or(SignedDuration::ZERO);
        let events = self.teller.events.clone();
        events.send(EventKind::ConnectionLost { why: lost.to_string(), deadline: self.context.patience });
        let error = error.unwrap_or(HostError::Session(lost));
        match self.come_back().await {
            // The word had arrived.
            Some(End::Committed) => Ok(Verdict::Deployed),
            Some(end) => Err(self.failure(error, &end)),
            None => {
                let state = HostState::Unknown { run: self.id.clone(), settled_by };
                Err(HostFailure { error: Box::new(error), state, journal: Vec::new() })
            }
        }
    }

    /// What the host could not undo for want of a password is undone from here.
    async fn remove_left(&mut self) {
        let left = std::mem::take(&mut self.activity.left);
        if !left.is_empty() {
            let removed = remove_links(&mut self.prepared.session, &left).await;
            self.activity.left = removed.unwrap_or(left);
        }
    }

    /// So are files that it could not put back; then there is nothing left that has failed.
    async fn put_back_left(&mut self, end: End) -> End {
        if !matches!(end, End::RevertFailed(_)) || self.activity.left_files.is_empty() {
            return end;
        }
        match put_back_files(&mut self.prepared.session, self.layout, &self.id).await {
            Ok(Recovery::Over(end)) => end,
            Ok(Recovery::Alive | Recovery::NoManager(_) | Recovery::Failed { .. }) | Err(_) => end,
        }
    }

    fn failure(&mut self, error: HostError, end: &End) -> HostFailure {
        let journal = std::mem::take(&mut self.activity.journal);
        HostFailure { error: Box::new(error), state: self.state(end), journal }
    }

    fn state(&self, end: &End) -> HostState {
        let before = self.plan.from.clone();
        let switched = self.plan.steps.iter().any(|step| matches!(step, Step::Switch { .. }));
        match end {
            End::RevertFailed(why) => HostState::RevertFailed {
                root: self.plan.root.clone(),
                scope: self.layout.scope(),
                undone: match switched && self.teller.touched {
                    true => Undone::Switch(self.plan.release.clone()),
                    false => Undone::Preparations,
                },
                back_to: before,
                why: why.clone(),
            },
            End::Reverted(_) | End::Committed if switched && self.teller.touched => {
                let left = self.activity.left.iter().map(|path| format!("the link {path}")).collect();
                HostState::Reverted { failed: self.plan.release.clone(), back_to: before, left }
            }
            End::Reverted(_) | End::Committed => HostState::Untouched { current: before, left: Vec::new() },
        }
    }
}

fn process_of(error: &HostError) -> MainProcess {
    match error {
        HostError::NotUp(
            NotUp::Failed { .. }
            | NotUp::Restarting { .. }
            | NotUp::StartTimedOut { .. }
            | NotUp::Ended { .. },
        ) => MainProcess::Ended,
        _ => MainProcess::Runs,
    }
}
