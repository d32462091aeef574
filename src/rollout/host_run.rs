//! One host's way through its plan: connect, probe, plan; then upload, activate, conclude.
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use tokio::task::JoinHandle;

use super::draft::Draft;
use super::engine::{Agreement, Context, Purpose, Reach};
use super::failure::HostFailure;
use super::gate::GateState;
use super::host_error::HostError;
use super::look::look;
use super::root_rights::{become_root, give_password};
use super::transaction::Transaction;
use crate::host::{
    Base, Claim, Copies, Extent, Incoming, Lock, LockOutcome, Rights, Session, SessionError, Whose, explain,
    is_bundled, read_rendered, stage, sweep, upload,
};
use crate::manifest::{Address, Host, Scope};
use crate::plan::{
    Current, Destination, Facts, Inputs, Layout, Plan, Position, RollbackInputs, Step, Sudo, Transfer, plan,
    plan_rollback,
};
use crate::release::{Release, ReleaseId, ReleaseRecord, RunId};
use crate::report::{EventKind, Events, Verdict, Wait};
use crate::ssh::{Connection, Proxy, SftpPool, SshError};

/// The least time between two reports of an upload's progress.
const PROGRESS_INTERVAL: Duration = Duration::from_millis(100);

/// A release larger than this is sent over several SFTP channels: the server's window of 2 MiB a channel is what
/// limits one over a long way.
const LARGE: u64 = 4 << 20;

/// How many SFTP channels a large release gets. sshd allows ten sessions (`MaxSessions`, sshd_config(5)), and the shell
/// is one.
const CHANNELS: usize = 4;

/// What a host is to be brought to.
#[derive(Debug, Clone)]
pub enum Goal {
    /// A release that was made here.
    Release(Box<Release>),
    /// A release that is on the host already.
    Earlier(Destination),
}

impl Goal {
    /// How much has to be asked of the host.
    pub(super) fn extent(&self) -> Extent {
        match self {
            Self::Release(_) => Extent::Present,
            Self::Earlier(_) => Extent::Past { lines: 0 },
        }
    }

    /// Whether files may have to be sent.
    pub(super) fn sends(&self) -> bool {
        match self {
            Self::Release(_) => true,
            Self::Earlier(_) => false,
        }
    }
}

/// A host that is connected, probed and planned for.
pub struct Prepared {
    /// The host.
    pub host: Address,
    /// What would be done.
    pub plan: Arc<Plan>,
    /// What was found.
    pub facts: Facts,
    /// The run that carries it out.
    pub(super) run: RunId,
    pub(super) session: Session,
    sftp: Option<OpeningSftp>,
    lock: Option<JoinHandle<Result<Lock, SessionError>>>,
    goal: Goal,
    position: Position,
    pub(super) events: Events,
}

/// Opens a connection to a host of the manifest.
pub async fn connect_host(reach: &Reach, host: &Address, events: &Events) -> Result<Connection, SshError> {
    let hop = reach.way(host).await?;
    events.send(EventKind::ConnectStarted);
    let begun = Instant::now();
    let connection = hop.connect().await?;
    let first = match hop.first_proxy() {
        Proxy::Command { .. } => vec!["ProxyCommand".to_owned()],
        Proxy::Direct | Proxy::Jump(_) => Vec::new(),
    };
    events.send(EventKind::Connected {
        address: connection.peer().address(),
        via: first.into_iter().chain(hop.way().iter().map(|hop| hop.target.to_string())).collect(),
        elapsed: begun.elapsed(),
    });
    Ok(connection)
}

/// Connects, probes, plans. Changes nothing on the host, but brings to its end what died in the middle there.
pub(super) async fn prepare(
    context: &Context,
    host: &Host,
    draft: Draft,
    position: Position,
) -> Result<Prepared, HostFailure> {
    let address = host.address.clone();
    let events = context.events.of(&address);
    let connection =
        connect_host(&context.reach, &address, &events).await.map_err(HostFailure::not_reached)?;

    let run = new_run().map_err(HostFailure::not_reached)?;
    // An SFTP channel, and the one of the lock, open while the probe runs.
    let changes = context.purpose == Purpose::Change;
    let open_sftp = |channels: usize| {
        let connection = connection.clone();
        tokio::spawn(async move { connection.sftp_pool(channels).await })
    };
    let mut sftp = (changes && draft.sends()).then(|| open_sftp(1));
    let scope = context.manifest.scope;
    let mut session = Session::new(connection.clone(), scope, Rights::Login)
        .map_err(|error| HostFailure::not_reached(HostError::Random(error)))?;
    if scope == Scope::System {
        become_root(&mut session, &address, &context.sudo, &context.sudo_password)
            .await
            .map_err(HostFailure::not_reached)?;
    }
    let lock = changes.then(|| {
        let (connection, holder, run) = (connection.clone(), context.holder.clone(), run.clone());
        let (root, rights) = (context.manifest.root_on_host(), session.rights().clone());
        let (patience, deadline) = (context.lock_wait, context.patience);
        tokio::spawn(async move {
            let claim = Claim { scope, root: &root, holder: &holder, patience, run: &run, deadline };
            Lock::open(&connection, &claim, &rights).await
        })
    });
    let begun = Instant::now();
    let mut facts = look(context, &mut session, draft.extent(), Whose::Others, &events).await?;
    let current = facts.current.release().cloned();
    events.send(EventKind::Probed { current, elapsed: begun.elapsed() });

    let goal = draft.settle(&facts, &context.manifest).map_err(|failure| *failure)?;
    if let (Purpose::Look, Goal::Release(release)) = (context.purpose, &goal) {
        let read = read_rendered(&mut session, &context.manifest, &mut facts, release).await;
        read.map_err(HostFailure::not_reached)?;
    }
    let plan = make_plan(context, &address, &goal, &facts, position).map_err(|failure| *failure)?;
    events.send(EventKind::Planned { plan: Arc::clone(&plan) });
    // More channels cost the host a process each, so they are opened for a large release that goes as a whole: one that
    // has another before it sends the difference.
    if sftp.is_some() && facts.record.is_none() && bytes_by_sftp(&plan) > LARGE {
        sftp = Some(open_sftp(CHANNELS));
    }
    Ok(Prepared { host: address, plan, facts, run, session, sftp, lock, goal, position, events })
}

/// How much goes over SFTP: all but small files that have their own way.
fn bytes_by_sftp(plan: &Plan) -> u64 {
    let uploads = plan.steps.iter().filter_map(|step| match step {
        Step::Upload { files, tree, .. } => Some((files, tree.packing)),
        _ => None,
    });
    let single =
        uploads.flat_map(|(files, packing)| files.iter().filter(move |file| !is_bundled(file, packing)));
    single.filter(|file| file.transfer == Transfer::Send).map(|file| file.size).sum()
}

fn make_plan(
    context: &Context,
    host: &Address,
    goal: &Goal,
    facts: &Facts,
    position: Position,
) -> Result<Arc<Plan>, Box<HostFailure>> {
    let (manifest, operator, edits) = (&context.manifest, context.operator, context.edits);
    let planned = match goal {
        Goal::Release(release) => {
            plan(&Inputs { manifest, host, release, facts, now: context.now, operator, position, edits })
        }
        Goal::Earlier(destination) => {
            plan_rollback(&RollbackInputs { manifest, host, facts, destination, operator, edits })
        }
    };
    planned.map(Arc::new).map_err(|refusals| {
        Box::new(HostFailure::untouched(HostError::Refused(refusals), facts.current.release().cloned()))
    })
}

fn new_run() -> Result<RunId, HostError> {
    let random = getrandom::u32().map_err(HostError::Random)?;
    Ok(RunId::new(Timestamp::now(), random))
}

/// Waits for what the first host does for all, as long as the operator does. From the switch on it is quicker, and safer, to
/// go through with it.
async fn may_switch(context: &Context, plan: &Plan) -> Result<(), HostError> {
    let switches = plan.steps.iter().any(|step| matches!(step, Step::Switch { .. }));
    if switches && plan.last_shared_step().is_none() {
        let state = tokio::select! {
            state = context.gate.pass() => state,
            () = context.interrupt.wait() => return Err(HostError::Interrupted),
        };
        if state == GateState::Failed {
            return Err(HostError::FirstHostFailed);
        }
    }
    if context.interrupt.is_set() { Err(HostError::Interrupted) } else { Ok(()) }
}

impl Prepared {
    /// Carries out the plan.
    pub async fn carry_out(mut self, context: &Context) -> Result<Verdict, HostFailure> {
        let result = self.run(context).await;
        self.session.connection().clone().close().await;
        result
    }

    async fn run(&mut self, context: &Context) -> Result<Verdict, HostFailure> {
        if self.plan.is_empty() {
            return Ok(Verdict::Unchanged);
        }
        if context.interrupt.is_set() {
            return Err(self.untouched(HostError::Interrupted));
        }
        let layout = Layout::new(&self.facts.home, &context.manifest);
        self.give_sudo_password(context).await.map_err(|error| self.untouched(error))?;
        // Held to the end of this function.
        let _lock = self.take_lock(context).await?;
        let plan = Arc::clone(&self.plan);
        if plan.is_empty() {
            return Ok(Verdict::Unchanged);
        }
        let copies = self.stage_and_upload(context, &layout).await?;
        if let Err(error) = may_switch(context, &plan).await {
            let _ = sweep(&mut self.session, &layout, &self.run).await;
            return Err(self.untouched(error));
        }
        let result = Transaction::new(self, context, &layout, copies).run().await;
        if let Err(HostFailure { error, .. }) = &result
            && matches!(**error, HostError::LockLost)
        {
            let _ = sweep(&mut self.session, &layout, &self.run).await;
        }
        result
    }

    /// Takes the service's lock, and sees to it that the plan is one for the host as it is under it.
    async fn take_lock(&mut self, context: &Context) -> Result<Lock, HostFailure> {
        let Some(Ok(opened)) = (match self.lock.take() {
            Some(opening) => Some(opening.await),
            None => None,
        }) else {
            return Err(self.untouched(HostError::Unwritable));
        };
        let mut lock = opened.map_err(|error| self.untouched(error.into()))?;
        let events = self.events.clone();
        let mut waited = false;
        let outcome = lock.acquire(|holder| {
            waited = true;
            events.send(EventKind::Waiting { what: Wait::Lock, holder });
        });
        let outcome = tokio::select! {
            outcome = outcome => outcome.map_err(|error| self.untouched(error.into()))?,
            // Without our input, the program that waits for the lock ends.
            () = context.interrupt.wait() => return Err(self.untouched(HostError::Interrupted)),
        };
        match outcome {
            LockOutcome::Locked(now) => {
                if waited && context.agreement == Agreement::ToTheOutcome {
                    self.plan_again(context).await?;
                }
                self.still(&now).map_err(|error| self.untouched(error))?;
                Ok(lock)
            }
            LockOutcome::Held(holder) => Err(self.untouched(HostError::Locked(holder))),
            LockOutcome::Frozen(holder) => Err(self.untouched(HostError::Frozen(holder))),
            LockOutcome::Unwritable => Err(self.untouched(HostError::Unwritable)),
        }
    }

    /// Whether `current` is what it was when the plan was made.
    fn still(&self, now: &str) -> Result<(), HostError> {
        if now == current_text(&self.facts) {
            return Ok(());
        }
        let shown = |id: Option<&ReleaseId>| id.map_or_else(|| "nothing".to_owned(), ToString::to_string);
        let now = match now {
            "-" => "nothing".to_owned(),
            now => now.trim_start_matches("releases/").to_owned(),
        };
        Err(HostError::Moved { was: shown(self.plan.from.as_ref()), now })
    }

    /// Whoever held the lock has changed the host: looks at it again, and plans anew.
    async fn plan_again(&mut self, context: &Context) -> Result<(), HostFailure> {
        self.events.send(EventKind::PlanningAgain);
        self.facts = look(context, &mut self.session, self.goal.extent(), Whose::Own, &self.events).await?;
        let plan = make_plan(context, &self.host, &self.goal, &self.facts, self.position)
            .map_err(|failure| *failure)?;
        self.events.send(EventKind::Planned { plan: Arc::clone(&plan) });
        if self.plan.last_shared_step().is_some() && plan.last_shared_step().is_none() {
            // It is there already: someone else has done it for all.
            context.gate.open();
        }
        self.plan = plan;
        self.give_sudo_password(context).await.map_err(|error| self.untouched(error))
    }

    /// Asks for the sudo password where one is needed.
    async fn give_sudo_password(&mut self, context: &Context) -> Result<(), HostError> {
        if !self.plan.needs_root() || !matches!(self.facts.sudo, Sudo::Refused(_)) {
            return Ok(());
        }
        let by = self.facts.elevation;
        let given =
            give_password(&mut self.session, &self.host, by, &context.sudo, &context.sudo_password).await;
        if given.is_err() && context.interrupt.is_set() {
            return Err(HostError::Interrupted);
        }
        given
    }

    /// Puts the files on the host.
    async fn stage_and_upload(&mut self, context: &Context, layout: &Layout) -> Result<Copies, HostFailure> {
        let plan = Arc::clone(&self.plan);
        let upload = plan.steps.iter().enumerate().find_map(|(number, step)| match step {
            Step::Upload { files, tree, .. } => Some((number, files, tree)),
            _ => None,
        });
        let Some((number, files, tree)) = upload else { return Ok(Copies::Unproven) };
        let began = Instant::now();
        self.events.send(EventKind::StepStarted { number, step: Arc::new(plan.steps[number].clone()) });
        // Side by side: the host takes over what it has while the rest is on its way.
        let connection = self.session.connection().clone();
        let sftp = opened(&connection, self.sftp.take());
        let sending = Sending {
            layout,
            run: &self.run,
            plan: &plan,
            facts: &self.facts,
            goal: &self.goal,
            events: &self.events,
        };
        let in_vain = tokio::sync::Notify::new();
        let (staged, sent) = tokio::join!(
            async {
                let (session, run) = (&mut self.session, &self.run);
                let (from, record) = (plan.from.as_ref(), self.facts.record.as_ref());
                let taken = stage(session, layout, run, from, record, files, tree);
                taken.await.inspect_err(|_| in_vain.notify_one())
            },
            async {
                tokio::select! {
                    sent = async { sending.send(&connection, &sftp.await?).await } => sent,
                    () = context.interrupt.wait() => Err(HostError::Interrupted),
                    () = in_vain.notified() => Ok(()),
                }
            }
        );
        let result = match (staged, sent) {
            (Ok(copies), Ok(())) => Ok(copies),
            (Err(error), _) => Err(error.into()),
            (_, Err(HostError::Upload(error))) => Err(explain(&mut self.session, layout, error).await.into()),
            (_, Err(error)) => Err(error),
        };
        match result {
            Ok(copies) => {
                self.events.send(EventKind::StepFinished { number, elapsed: began.elapsed() });
                Ok(copies)
            }
            Err(error) => {
                self.events.send(EventKind::StepFailed { number });
                // What can't be swept now is swept by the next deploy.
                let _ = sweep(&mut self.session, layout, &self.run).await;
                Err(self.untouched(error))
            }
        }
    }

    /// A failure with the service as it was.
    pub(super) fn untouched(&self, error: HostError) -> HostFailure {
        HostFailure::untouched(error, self.plan.from.clone())
    }
}

type OpeningSftp = JoinHandle<Result<SftpPool, SshError>>;

/// The SFTP channels that are being opened, or one where none are.
async fn opened(connection: &Connection, opening: Option<OpeningSftp>) -> Result<SftpPool, SshError> {
    let opened = match opening {
        Some(opening) => opening.await.ok(),
        None => None,
    };
    match opened {
        Some(opened) => opened,
        None => connection.sftp_pool(1).await,
    }
}

/// What it takes to send a release's files.
struct Sending<'a> {
    layout: &'a Layout,
    run: &'a RunId,
    plan: &'a Plan,
    facts: &'a Facts,
    goal: &'a Goal,
    events: &'a Events,
}

impl Sending<'_> {
    async fn send(&self, connection: &Connection, sftp: &SftpPool) -> Result<(), HostError> {
        let Goal::Release(release) = self.goal else { return Ok(()) };
        let upload_step = self.plan.steps.iter().find_map(|step| match step {
            Step::Upload { release, files, tree, .. } => Some((release, files, tree)),
            _ => None,
        });
        let Some((id, files, tree)) = upload_step else { return Ok(()) };
        let record = ReleaseRecord::of(id.clone(), release);
        let progress = Progress::new(self.events, self.plan.bytes_to_send());
        let base = self.plan.from.as_ref().zip(self.facts.record.as_ref());
        let base = base.map(|(id, record)| Base { id, record });
        let (run, record, artifacts) = (self.run, &record, &release.artifacts);
        let incoming = Incoming { run, record, artifacts, files, tree, base };
        upload(connection, sftp, self.layout, incoming, &|more| progress.add(more)).await?;
        Ok(())
    }
}

/// What `current` was when the facts were found, in the words of readlink(1); "-" for nothing.
pub(super) fn current_text(facts: &Facts) -> String {
    match &facts.current {
        Current::Nothing | Current::Blocked => "-".to_owned(),
        Current::Release(id) => format!("releases/{id}"),
        Current::Foreign(target) => target.clone(),
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
