//! One host's way through its plan: connect, probe, plan; then upload, activate, conclude.
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::task::JoinHandle;

use super::engine::{Context, Reach};
use super::failure::{HostError, HostFailure, HostState};
use super::verdict::{NotUp, conclude};
use crate::host::{
    ActivationEvent, Base, Incoming, JournalEntry, MainProcess, Observed, Password, Session, StageOutcome,
    UnitRuns, activate, ask, lock, probe, properties, read_journal, stage, sweep, upload,
};
use crate::manifest::{Address, Host, UnitName};
use crate::plan::{Facts, Inputs, Layout, Plan, Step, Sudo, plan};
use crate::release::{Release, ReleaseId, ReleaseRecord};
use crate::report::{EventKind, Events, Verdict, describe_step};
use crate::ssh::{Connection, SftpPool, SshError, Target, connect};

/// How many lines of journal are read back.
const JOURNAL_LINES: u32 = 50;

/// The least time between two reports of an upload's progress.
const PROGRESS_INTERVAL: Duration = Duration::from_millis(100);

/// A release larger than this is sent over several SFTP channels: the server's window of 2 MiB a channel is what
/// limits one over a long way.
const LARGE: u64 = 4 << 20;

/// How many SFTP channels a large release gets. sshd allows ten sessions (`MaxSessions`, sshd_config(5)), and the shell
/// is one.
const CHANNELS: usize = 4;

/// Who is asked for a sudo password. Called from a blocking thread, one question at a time.
pub trait SudoPrompt: Send + Sync {
    /// The password for this host; `None` when there is nobody to ask.
    fn sudo_password(&self, host: &Address, again: bool) -> Option<Password>;
}

/// A host that is connected, probed and planned for.
pub struct Prepared {
    /// The host.
    pub host: Address,
    /// What would be done.
    pub plan: Arc<Plan>,
    /// What was found.
    pub facts: Facts,
    session: Session,
    sftp: Option<JoinHandle<Result<SftpPool, SshError>>>,
    release: Release,
    events: Events,
}

/// Opens a connection to a host of the manifest.
pub async fn connect_host(reach: &Reach, host: &Address, events: &Events) -> Result<Connection, SshError> {
    let target = Target {
        user: host.user.as_ref().map_or_else(|| reach.local_user.clone(), ToString::to_string),
        host: host.host.to_string(),
        port: host.port.map_or(22, std::num::NonZeroU16::get),
    };
    events.send(EventKind::ConnectStarted);
    let begun = Instant::now();
    let connection = connect(&target, &reach.options).await?;
    events.send(EventKind::Connected { address: connection.address(), elapsed: begun.elapsed() });
    Ok(connection)
}

/// Connects, probes, plans. Changes nothing on the host.
pub(super) async fn prepare(
    context: &Context,
    host: &Host,
    release: Release,
) -> Result<Prepared, HostFailure> {
    let address = host.address.clone();
    let events = context.events.of(&address);
    let connection =
        connect_host(&context.reach, &address, &events).await.map_err(HostFailure::not_reached)?;

    // The SFTP channels open while the probe runs.
    let sftp = context.uploads.then(|| {
        let connection = connection.clone();
        let size: u64 = release.artifacts.iter().map(|artifact| artifact.size).sum();
        let channels = if size > LARGE { CHANNELS } else { 1 };
        tokio::spawn(async move { connection.sftp_pool(channels).await })
    });
    let mut session =
        Session::new(connection).map_err(|error| HostFailure::not_reached(HostError::Random(error)))?;
    let begun = Instant::now();
    let facts = probe(&mut session, &context.manifest).await.map_err(HostFailure::not_reached)?;
    let current = facts.current.release().cloned();
    events.send(EventKind::Probed { current: current.clone(), elapsed: begun.elapsed() });

    let inputs = Inputs {
        manifest: &context.manifest,
        host: &address,
        release: &release,
        facts: &facts,
        now: context.now,
        operator: context.operator,
    };
    let plan = plan(&inputs)
        .map_err(|refusals| HostFailure::untouched(HostError::Refused(refusals), current.clone()))?;
    let plan = Arc::new(plan);
    events.send(EventKind::Planned { plan: Arc::clone(&plan) });
    Ok(Prepared { host: address, plan, facts, session, sftp, release, events })
}

impl Prepared {
    /// Carries out the plan.
    pub async fn carry_out(mut self, context: &Context) -> Result<Verdict, HostFailure> {
        let result = self.run(context).await;
        self.session.connection().clone().close().await;
        result
    }

    async fn run(&mut self, context: &Context) -> Result<Verdict, HostFailure> {
        let plan = Arc::clone(&self.plan);
        if plan.is_empty() {
            return Ok(Verdict::Unchanged);
        }
        let layout = Layout::new(&self.facts.home, &plan.service);
        self.give_sudo_password(context).await.map_err(|error| self.untouched(error, 0))?;
        self.stage_and_upload(context, &layout).await?;

        // What the client has to say yes to comes in between: the host's steps before it, and those after.
        let asks = plan.steps.iter().position(|step| matches!(step, Step::AskHealth { .. }));
        let observes = plan.steps.iter().rposition(|step| matches!(step, Step::Observe { .. }));
        let until = observes.map_or(plan.steps.len(), |last| last + 1);
        if context.interrupt.is_set() {
            // From the switch on it is quicker, and safer, to go through with it.
            let _ = sweep(&mut self.session, &layout).await;
            return Err(self.untouched(HostError::Interrupted, 0));
        }
        let observed = self.activate(&layout, 0..until).await?;

        let mut runs = UnitRuns::default();
        for (number, step) in plan.steps.iter().enumerate() {
            let Step::Observe { unit, executable, .. } = step else { continue };
            let (seen, elapsed) = observed.get(unit).cloned().unwrap_or_default();
            let before = self.facts.units.get(unit).map(|found| found.invocation.clone());
            runs.add(&seen.first);
            runs.add(&seen.last);
            if let Err(error) = conclude(unit, &seen, executable.as_ref(), before.as_deref()) {
                self.events.send(EventKind::StepFailed { number });
                return Err(self.on_new_release(error.into(), &runs).await);
            }
            self.events.send(EventKind::StepFinished { number, elapsed });
        }
        if let Some(number) = asks
            && let Step::AskHealth { http } = &plan.steps[number]
        {
            let began = self.started(number);
            if let Err(error) = ask(self.session.connection(), http).await {
                self.events.send(EventKind::StepFailed { number });
                return Err(self.on_new_release(error.into(), &runs).await);
            }
            self.events.send(EventKind::StepFinished { number, elapsed: began.elapsed() });
        }
        let entries = self.journal(&runs, MainProcess::Runs).await;
        self.events.send(EventKind::JournalRead { entries });
        // The service is up. An old release that can't be removed is no failure: the next deploy tries again.
        let _ = self.activate(&layout, until..plan.steps.len()).await;
        Ok(Verdict::Deployed)
    }

    fn started(&self, number: usize) -> Instant {
        let step = Arc::new(self.plan.steps[number].clone());
        self.events.send(EventKind::StepStarted { number, step });
        Instant::now()
    }

    /// Asks for the sudo password where one is needed. A wrong one is asked for again, twice.
    async fn give_sudo_password(&mut self, context: &Context) -> Result<(), HostError> {
        if !self.plan.needs_root() || !matches!(self.facts.sudo, Sudo::Refused(_)) {
            return Ok(());
        }
        // Held over the question: one operator, one question at a time, and one password for all hosts that take it.
        let mut known = context.sudo_password.lock().await;
        for attempt in 0..4 {
            if attempt > 0 || known.is_none() {
                let (prompt, host) = (Arc::clone(&context.sudo), self.host.clone());
                let asked = tokio::task::spawn_blocking(move || prompt.sudo_password(&host, attempt > 0));
                *known = asked.await.ok().flatten();
            }
            let Some(password) = known.as_ref() else { break };
            if self.session.set_sudo_password(password, Duration::from_secs(30)).await? {
                return Ok(());
            }
        }
        *known = None;
        Err(HostError::SudoPassword)
    }

    /// Takes the lock, puts the files on the host.
    async fn stage_and_upload(&mut self, context: &Context, layout: &Layout) -> Result<(), HostFailure> {
        let plan = Arc::clone(&self.plan);
        let upload_at = plan.steps.iter().position(|step| matches!(step, Step::Upload { .. }));
        let Some((number, (id, files))) = upload_at.and_then(|number| match &plan.steps[number] {
            Step::Upload { release, files, .. } => Some((number, (release, files))),
            _ => None,
        }) else {
            let outcome = lock(&mut self.session, layout, plan.from.as_ref()).await;
            let outcome = outcome.map_err(|error| self.untouched(error.into(), 0))?;
            return self.check(&outcome).map_err(|error| self.untouched(error, 0));
        };
        let began = self.started(number);
        let outcome = stage(&mut self.session, layout, id, plan.from.as_ref(), files).await;
        let outcome = outcome.map_err(|error| self.untouched(error.into(), 0))?;
        self.check(&outcome).map_err(|error| self.untouched(error, 0))?;

        let sent = tokio::select! {
            sent = self.send(layout, id) => sent,
            () = context.interrupt.wait() => Err(HostError::Interrupted),
        };
        if let Err(error) = sent {
            self.events.send(EventKind::StepFailed { number });
            // What can't be swept now is swept by the next deploy.
            let _ = sweep(&mut self.session, layout).await;
            return Err(self.untouched(error, 0));
        }
        self.events.send(EventKind::StepFinished { number, elapsed: began.elapsed() });
        Ok(())
    }

    async fn send(&mut self, layout: &Layout, id: &ReleaseId) -> Result<(), HostError> {
        let opened = match self.sftp.take() {
            Some(opening) => opening.await.ok(),
            None => None,
        };
        let sftp = match opened {
            Some(opened) => opened?,
            None => self.session.connection().sftp_pool(1).await?,
        };
        let record = ReleaseRecord::new(id.clone(), self.plan.service.clone(), &self.release.artifacts);
        let Some(Step::Upload { files, .. }) =
            self.plan.steps.iter().find(|step| matches!(step, Step::Upload { .. }))
        else {
            return Ok(());
        };
        let progress = Progress::new(&self.events, self.plan.bytes_to_send());
        let base = self.plan.from.as_ref().zip(self.facts.record.as_ref());
        let base = base.map(|(id, record)| Base { id, record });
        let incoming = Incoming { record: &record, artifacts: &self.release.artifacts, files, base };
        upload(&mut self.session, &sftp, layout, incoming, &|more| progress.add(more)).await?;
        Ok(())
    }

    fn check(&self, outcome: &StageOutcome) -> Result<(), HostError> {
        let shown = |id: Option<&ReleaseId>| id.map_or_else(|| "nothing".to_owned(), ToString::to_string);
        match outcome {
            StageOutcome::Ready => Ok(()),
            StageOutcome::Held => Err(HostError::Locked),
            StageOutcome::Moved(now) => Err(HostError::Moved {
                was: shown(self.plan.from.as_ref()),
                now: if now == "-" {
                    "nothing".to_owned()
                } else {
                    now.trim_start_matches("releases/").to_owned()
                },
            }),
        }
    }

    /// Runs the host's steps of the range, and tells of them.
    async fn activate(
        &mut self,
        layout: &Layout,
        range: std::ops::Range<usize>,
    ) -> Result<BTreeMap<UnitName, (Observed, Duration)>, HostFailure> {
        let plan = Arc::clone(&self.plan);
        if plan.steps[range.clone()].iter().all(|s| matches!(s, Step::Upload { .. } | Step::AskHealth { .. }))
        {
            return Ok(Default::default());
        }
        let mut began = Instant::now();
        let mut under_way = None;
        let mut finished = None;
        let mut failed = None;
        let mut said = Vec::new();
        let mut watched = BTreeMap::new();
        let events = self.events.clone();
        let result = activate(&mut self.session, layout, &plan.steps, range.clone(), |event| match event {
            ActivationEvent::Started(number) => {
                began = Instant::now();
                under_way = Some(number);
                said.clear();
                if let Some(step) = plan.steps.get(number) {
                    events.send(EventKind::StepStarted { number, step: Arc::new(step.clone()) });
                }
            }
            ActivationEvent::Finished(number) => {
                finished = Some(number);
                under_way = None;
                match plan.steps.get(number) {
                    // Seen is not yet well: the verdict is the client's.
                    Some(Step::Observe { unit, .. }) => {
                        watched.insert(unit.clone(), began.elapsed());
                    }
                    _ => events.send(EventKind::StepFinished { number, elapsed: began.elapsed() }),
                }
            }
            ActivationEvent::Said { step, line } => {
                said.push(line.clone());
                events.send(EventKind::StepSaid { number: step, line });
            }
            ActivationEvent::Failed { step, .. } => {
                failed = Some(step);
                events.send(EventKind::StepFailed { number: step });
            }
        })
        .await;
        if let Some(step) = failed.and_then(|number| Some((number, plan.steps.get(number)?))) {
            return Err(self.step_failed(step.0, step.1, said).await);
        }
        let last = |step: Option<usize>| step.and_then(|n| plan.steps.get(n)).map(describe_step);
        match result {
            Ok(observed) => {
                let wanted = range
                    .rev()
                    .find(|n| !matches!(plan.steps[*n], Step::Upload { .. } | Step::AskHealth { .. }));
                if finished != wanted {
                    let step = last(under_way).unwrap_or_else(|| "the activation".to_owned());
                    return Err(Self::cut(HostError::ActivationCut, step));
                }
                let timed = observed.into_iter().map(|(unit, seen)| {
                    let elapsed = watched.get(&unit).copied().unwrap_or_default();
                    (unit, (seen, elapsed))
                });
                Ok(timed.collect())
            }
            Err(error) => {
                let step = last(under_way.or(finished)).unwrap_or_else(|| "the activation".to_owned());
                Err(Self::cut(error.into(), step))
            }
        }
    }

    /// The activation's answer did not come to its end.
    fn cut(error: HostError, step: String) -> HostFailure {
        // What was not heard of may have run all the same, so the state can't be told.
        HostFailure { error: Box::new(error), state: HostState::Unknown { step }, journal: Vec::new() }
    }

    async fn step_failed(&mut self, number: usize, step: &Step, said: Vec<String>) -> HostFailure {
        let error = HostError::Step { what: describe_step(step), said };
        if !self.plan.steps[..=number].iter().any(Step::touches_service) {
            let layout = Layout::new(&self.facts.home, &self.plan.service);
            let _ = sweep(&mut self.session, &layout).await;
            return self.untouched(error, number);
        }
        let unit = match step {
            Step::Restart { unit, .. } | Step::Start { unit, .. } => Some(unit.clone()),
            _ => None,
        };
        let mut runs = UnitRuns::default();
        let mut error = error;
        if let Some(unit) = unit
            && let Ok(properties) = properties(&mut self.session, &unit).await
        {
            runs.add(&properties);
            // systemctl says only that the job failed; the unit's state says why.
            let observed = Observed { first: properties.clone(), last: properties, executable: None };
            if let Err(not_up) = conclude(&unit, &observed, None, None) {
                error = not_up.into();
            }
        }
        self.on_new_release(error, &runs).await
    }

    async fn on_new_release(&mut self, error: HostError, runs: &UnitRuns) -> HostFailure {
        let process = match &error {
            HostError::NotUp(NotUp::Failed { .. } | NotUp::Restarting { .. } | NotUp::Ended { .. }) => {
                MainProcess::Ended
            }
            _ => MainProcess::Runs,
        };
        let journal = self.journal(runs, process).await;
        let units = self.plan.steps.iter().filter_map(|step| match step {
            Step::Restart { unit, .. } | Step::Start { unit, .. } => Some(unit.to_string()),
            _ => None,
        });
        let state = HostState::OnNewRelease {
            root: self.plan.root.clone(),
            release: self.plan.release.clone(),
            before: self.plan.from.clone().filter(|from| *from != self.plan.release),
            units: units.collect(),
        };
        HostFailure { error: Box::new(error), state, journal }
    }

    /// A failure with the service as it was; `reached` is the first step that was not done.
    fn untouched(&self, error: HostError, reached: usize) -> HostFailure {
        let left = self.plan.steps[..reached].iter().filter_map(|step| match step {
            Step::EnableLingering { user } => Some(format!("lingering is on for {user}")),
            Step::Link(link) => Some(format!("{} is linked", link.path)),
            _ => None,
        });
        let state = HostState::Untouched { current: self.plan.from.clone(), left: left.collect() };
        HostFailure { error: Box::new(error), state, journal: Vec::new() }
    }

    /// The journal is for people: not to have it fails nothing.
    async fn journal(&mut self, runs: &UnitRuns, process: MainProcess) -> Vec<JournalEntry> {
        read_journal(&mut self.session, runs, process, JOURNAL_LINES).await.unwrap_or_default()
    }
}

/// Adds up what an upload reports, and passes it on now and then.
struct Progress<'a> {
    events: &'a Events,
    total: u64,
    state: std::sync::Mutex<(u64, Option<Instant>)>,
}

impl<'a> Progress<'a> {
    fn new(events: &'a Events, total: u64) -> Self {
        Self { events, total, state: std::sync::Mutex::new((0, None)) }
    }

    fn add(&self, more: u64) {
        let Ok(mut state) = self.state.lock() else { return };
        state.0 += more;
        if state.1.is_none_or(|last| last.elapsed() >= PROGRESS_INTERVAL) {
            state.1 = Some(Instant::now());
            self.events
                .send(EventKind::UploadProgressed { sent: state.0.min(self.total), total: self.total });
        }
    }
}
