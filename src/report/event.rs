//! What happened in a run: one enum, from the engine to every reporter.
//!
//! Lifecycle events are never dropped. [`EventKind::UploadProgressed`] is the only one that tells of something still
//! going on; the engine sends it at most ten times a second.
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use jiff::Timestamp;
use serde::{Serialize, Serializer};
use tokio::sync::mpsc;

use crate::host::{Holder, JournalEntry};
use crate::manifest::{Address, EnvironmentName, HookPoint, ServiceName, UnitName};
use crate::plan::{Plan, Step};
use crate::release::{ReleaseId, RunId};

/// Something that happened, and when; to a host, or to the run as a whole.
#[derive(Debug, Clone, Serialize)]
pub struct Event {
    /// When, by the clock of the machine that shipit runs on.
    pub at: Timestamp,
    /// On which host.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host: Option<Address>,
    /// What.
    #[serde(flatten)]
    pub kind: EventKind,
}

/// What happened.
#[derive(Debug, Clone, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum EventKind {
    /// A run began.
    RunStarted {
        /// What was asked for.
        command: Command,
        /// The service.
        service: ServiceName,
        /// The environment.
        environment: EnvironmentName,
        /// Its hosts, as far as they were selected.
        hosts: Vec<Address>,
        /// shipit's version.
        shipit: &'static str,
    },
    /// A hook on the operator's own machine began. There is one at a time.
    LocalHookStarted {
        /// When it runs.
        when: HookPoint,
        /// The text of the program.
        run: String,
    },
    /// What a local hook said.
    LocalHookSaid {
        /// When it runs.
        when: HookPoint,
        /// A line.
        line: String,
    },
    /// A local hook succeeded.
    LocalHookFinished {
        /// When it runs.
        when: HookPoint,
        /// How long it took.
        #[serde(serialize_with = "as_ms", rename = "elapsed_ms")]
        elapsed: Duration,
    },
    /// A local hook failed. Before the deploy, this ends the run; after it, it changes nothing of how the hosts ended.
    LocalHookFailed {
        /// When it runs.
        when: HookPoint,
        /// The text of the program.
        run: String,
        /// How it ended.
        why: String,
        /// What it said last.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        said: Vec<String>,
    },
    /// A connection to the host is being made.
    ConnectStarted,
    /// The host's key was verified, and we are logged in.
    Connected {
        /// The address that answered; the name, where somebody else looked it up.
        address: String,
        /// The jump hosts on the way, the first one first; or the word `ProxyCommand`.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        via: Vec<String>,
        /// How long it took.
        #[serde(serialize_with = "as_ms", rename = "elapsed_ms")]
        elapsed: Duration,
    },
    /// The host's facts are known.
    Probed {
        /// What runs.
        current: Option<ReleaseId>,
        /// How long it took.
        #[serde(serialize_with = "as_ms", rename = "elapsed_ms")]
        elapsed: Duration,
    },
    /// The plan was made.
    Planned {
        /// It.
        plan: Arc<Plan>,
    },
    /// A step of the plan began.
    StepStarted {
        /// Its place in the plan, from 0.
        number: usize,
        /// It. JSON has its name only: the plan had the rest.
        #[serde(serialize_with = "as_step_name")]
        step: Arc<Step>,
    },
    /// More of the upload is on the host.
    UploadProgressed {
        /// Bytes that the host has.
        sent: u64,
        /// Bytes that it will have.
        total: u64,
    },
    /// What a step's command said.
    StepSaid {
        /// The step's place in the plan.
        number: usize,
        /// A line.
        line: String,
    },
    /// A step is done.
    StepFinished {
        /// Its place in the plan.
        number: usize,
        /// How long it took.
        #[serde(serialize_with = "as_ms", rename = "elapsed_ms")]
        elapsed: Duration,
    },
    /// A step failed; the host's failure follows with [`EventKind::HostFinished`].
    StepFailed {
        /// Its place in the plan.
        number: usize,
    },
    /// The journal of what was started, read back.
    JournalRead {
        /// Oldest first.
        entries: Vec<JournalEntry>,
    },
    /// The host is done with.
    HostFinished {
        /// How it ended.
        verdict: Verdict,
        /// The release that the host was to end on, once there was a plan.
        #[serde(skip_serializing_if = "Option::is_none")]
        release: Option<ReleaseId>,
        /// What went wrong.
        #[serde(skip_serializing_if = "Option::is_none")]
        failure: Option<Failure>,
        /// What went wrong, and changes nothing of how it ended.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        warnings: Vec<String>,
        /// How long it took in all.
        #[serde(serialize_with = "as_ms", rename = "elapsed_ms")]
        elapsed: Duration,
    },
    /// Someone else is at work on the host; we wait.
    Waiting {
        /// What for.
        #[serde(rename = "for")]
        what: Wait,
        /// Who is at work, as far as is known.
        #[serde(skip_serializing_if = "Option::is_none")]
        holder: Option<Holder>,
    },
    /// The lock is ours after a wait: the host is looked at again, and a new plan replaces the one before.
    PlanningAgain,
    /// A run that was found unfinished was brought to its end.
    Recovered {
        /// Which.
        run: RunId,
        /// Whether the host is in order now.
        outcome: Recovery,
    },
    /// The host goes back to the release before.
    RevertStarted {
        /// Why.
        why: String,
    },
    /// On the way back: a unit of the release that failed did not stop in time, and was killed.
    UnitKilled {
        /// Which.
        unit: UnitName,
    },
    /// The connection broke while the run was under way. The host decides by itself; we try to reach it again.
    ConnectionLost {
        /// What was said.
        why: String,
        /// How long the host waits for a word at most.
        #[serde(serialize_with = "as_ms", rename = "deadline_ms")]
        deadline: Duration,
    },
    /// The operator asked for an end: nothing new is begun, and hosts that are being switched go through with it.
    Interrupted,
    /// The operator did not wait for the end. The last event: hosts that are being switched settle by themselves.
    Left,
    /// The run is over. The last event.
    RunFinished {
        /// How many hosts ended how.
        counts: RunCounts,
        /// How many things went wrong that change nothing of how the hosts ended.
        warnings: usize,
        /// The exit code.
        exit_code: u8,
        /// How long it took in all.
        #[serde(serialize_with = "as_ms", rename = "elapsed_ms")]
        elapsed: Duration,
    },
}

/// What the run was asked to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Command {
    /// `shipit deploy`
    Deploy,
    /// `shipit plan`
    Plan,
    /// `shipit rollback`
    Rollback,
}

/// What is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Wait {
    /// The service's lock.
    Lock,
    /// An activation that is under way.
    Activation,
}

/// How a run that was found unfinished ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Recovery {
    /// The release before it is back.
    Reverted,
    /// It had been committed.
    Committed,
    /// It could not be brought to an end.
    Failed,
}

/// How a host ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// It was as it should be; nothing was done.
    Unchanged,
    /// It runs the release, and stayed up.
    Deployed,
    /// It was planned for, and nothing was done: `plan`, or the operator said no.
    Planned,
    /// It failed, and the service that ran before runs untouched.
    FailedUntouched,
    /// It could not be reached or would not let us in; nothing was changed.
    Unreachable,
    /// The new release failed, and the one before is back.
    Reverted,
    /// The new release failed, and the one before could not be brought back, or it is not known how it ended: a person
    /// has to look.
    NeedsAttention,
}

impl Verdict {
    /// Its word in JSON, and for hooks.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unchanged => "unchanged",
            Self::Deployed => "deployed",
            Self::Planned => "planned",
            Self::FailedUntouched => "failed_untouched",
            Self::Unreachable => "unreachable",
            Self::Reverted => "reverted",
            Self::NeedsAttention => "needs_attention",
        }
    }

    /// Whether the host did not end as it should.
    #[must_use]
    pub fn is_failure(self) -> bool {
        match self {
            Self::Unchanged | Self::Deployed | Self::Planned => false,
            Self::FailedUntouched | Self::Unreachable | Self::Reverted | Self::NeedsAttention => true,
        }
    }
}

/// What went wrong on a host, in the parts that every reader needs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Failure {
    /// A stable name: `shipit::ssh::connect`.
    pub code: String,
    /// What went wrong, then why, the cause of that, and so on.
    pub causes: Vec<String>,
    /// What state the host is in.
    pub state: String,
    /// What to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub help: Option<String>,
    /// The lines around it: what systemd or the service said.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub details: Vec<String>,
}

/// How many hosts ended how.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct RunCounts {
    /// [`Verdict::Unchanged`]
    pub unchanged: usize,
    /// [`Verdict::Deployed`]
    pub deployed: usize,
    /// [`Verdict::Planned`]
    pub planned: usize,
    /// [`Verdict::FailedUntouched`]
    pub failed_untouched: usize,
    /// [`Verdict::Unreachable`]
    pub unreachable: usize,
    /// [`Verdict::Reverted`]
    pub reverted: usize,
    /// [`Verdict::NeedsAttention`]
    pub needs_attention: usize,
}

impl RunCounts {
    /// Counts one more host.
    pub fn add(&mut self, verdict: Verdict) {
        let count = match verdict {
            Verdict::Unchanged => &mut self.unchanged,
            Verdict::Deployed => &mut self.deployed,
            Verdict::Planned => &mut self.planned,
            Verdict::FailedUntouched => &mut self.failed_untouched,
            Verdict::Unreachable => &mut self.unreachable,
            Verdict::Reverted => &mut self.reverted,
            Verdict::NeedsAttention => &mut self.needs_attention,
        };
        *count += 1;
    }

    /// How many hosts ended at all: none, when the run was over before one was connected to.
    #[must_use]
    pub fn all(&self) -> usize {
        let Self { unchanged, deployed, planned, .. } = self;
        unchanged + deployed + planned + self.failed()
    }

    /// How many hosts did not end well.
    #[must_use]
    pub fn failed(&self) -> usize {
        let Self {
            unchanged: _,
            deployed: _,
            planned: _,
            failed_untouched,
            unreachable,
            reverted,
            needs_attention,
        } = self;
        failed_untouched + unreachable + reverted + needs_attention
    }
}

/// Where the engine puts events. Never blocks and never fails: with nobody listening, they are lost.
#[derive(Debug, Clone)]
pub struct Events {
    sender: mpsc::UnboundedSender<Event>,
    host: Option<Address>,
    sent: Arc<AtomicU64>,
}

impl Events {
    /// A sender, and what comes out at the other end.
    #[must_use]
    pub fn channel() -> (Self, mpsc::UnboundedReceiver<Event>) {
        let (sender, receiver) = mpsc::unbounded_channel();
        (Self { sender, host: None, sent: Arc::default() }, receiver)
    }

    /// A sender that nobody listens to.
    #[must_use]
    pub fn nowhere() -> Self {
        Self::channel().0
    }

    /// The same sender, for what happens on one host.
    #[must_use]
    pub fn of(&self, host: &Address) -> Self {
        Self { sender: self.sender.clone(), host: Some(host.clone()), sent: Arc::clone(&self.sent) }
    }

    /// Which host it is for.
    #[must_use]
    pub fn host(&self) -> Option<&Address> {
        self.host.as_ref()
    }

    /// Something happened, now.
    pub fn send(&self, kind: EventKind) {
        let event = Event { at: Timestamp::now(), host: self.host.clone(), kind };
        // Nobody listens any more: the run goes on all the same.
        let _ = self.sender.send(event);
        self.sent.fetch_add(1, Ordering::SeqCst);
    }

    /// How many events have been sent so far, for those who wait until all have been shown.
    #[must_use]
    pub fn sent(&self) -> u64 {
        self.sent.load(Ordering::SeqCst)
    }
}

fn as_ms<S: Serializer>(elapsed: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u64(u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX))
}

fn as_step_name<S: Serializer>(step: &Arc<Step>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(step.name())
}
