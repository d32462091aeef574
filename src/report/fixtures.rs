//! Plans and events for the tests of the reporters.
use std::io::{self, Write};
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::event::{Command, Event, EventKind, Failure, Recovery, RunCounts, Verdict, Wait};
use super::line::Colour;
use super::plain::{TextStyle, Verbosity};
use crate::host::{Holder, JournalEntry};
use crate::manifest::{
    DEFAULT_INTERVAL, HealthCheck, HookPoint, Hooks, HttpQuestion, Manifest, Question, Scope, SourceText,
    Spans, UnitSource,
};
use crate::plan::{
    Detail, EnvChange, FileChange, Layout, LinkChange, LinkState, Plan, Privilege, Reason, RemotePath, Step,
    TextDiff, Transfer, TreeChange, WatchedUnit,
};
use crate::release::{ReleaseId, RunId, Sha256Digest};

/// What a terminal must never see, as a host might send it: clear the screen, set the title, a C1 sequence.
pub(super) const HOSTILE: &str = "\x1b[2J\x1b]0;pwned\x07\u{9b}31m\rok\u{202e}";

pub(super) fn release(second: i8, digest: &str) -> ReleaseId {
    format!("202611200300{second:02}Z-{digest}").replacen("20261120", "20261120T", 1).parse().unwrap()
}

pub(super) fn new_release() -> ReleaseId {
    release(41, "8be1d2a4")
}

pub(super) fn old_release() -> ReleaseId {
    release(7, "3f2a9c01")
}

fn file(path: &str, mode: &str, size: u64, was: Option<&str>, new: &str, detail: Detail) -> FileChange {
    let (was, sha256) = (was.map(|text| Sha256Digest::of(text.as_bytes())), Sha256Digest::of(new.as_bytes()));
    let transfer = if was == Some(sha256) { Transfer::TakeOver } else { Transfer::Send };
    FileChange {
        path: path.parse().unwrap(),
        mode: mode.parse().unwrap(),
        size,
        sha256,
        was,
        transfer,
        folder: None,
        detail,
    }
}

fn manifest() -> Manifest {
    Manifest {
        path: "deploy.yaml".into(),
        dir: ".".into(),
        name: "simple_api".parse().unwrap(),
        scope: Scope::User,
        root: None,
        log_files: Vec::new(),
        prepare: Vec::new(),
        user: None,
        binary: Some("simple_api".into()),
        units: vec![UnitSource::new("simple_api.service".parse().unwrap(), "x".into(), Scope::User)],
        drop_ins: Vec::new(),
        env_file: Some("x.conf".into()),
        files: Vec::new(),
        health: Vec::new(),
        settle: Duration::from_secs(2),
        confirm_timeout: Duration::from_secs(60),
        hooks: Hooks::default(),
        keep_releases: 5.try_into().unwrap(),
        environments: std::collections::BTreeMap::new(),
        source: SourceText::new("deploy.yaml", ""),
        spans: Spans::default(),
    }
}

/// The links to the binary, the env file and the unit, in this order.
pub(super) fn links(was: [LinkState; 3]) -> Vec<LinkChange> {
    let layout = Layout::new(&RemotePath::new("/home/deploy").unwrap(), &manifest());
    let links = Layout::links(&manifest()).into_iter().zip(was);
    let change = |(spec, was): (crate::plan::LinkSpec, LinkState)| LinkChange {
        privilege: if spec.path.as_str().starts_with('~') { Privilege::User } else { Privilege::Root },
        target: layout.root().join(&spec.target),
        path: spec.path,
        was,
    };
    links.map(change).collect()
}

/// The usual health check.
pub(super) fn http_check() -> HealthCheck {
    let url = "http://localhost:8000/".parse().unwrap();
    let http = HttpQuestion { url, status: Vec::new(), contains: None, headers: Vec::new() };
    HealthCheck {
        question: Question::Http(http),
        timeout: Duration::from_secs(30),
        interval: DEFAULT_INTERVAL,
        successes: NonZeroU32::MIN,
    }
}

fn run_steps(reasons: &[Reason], starts: bool) -> Vec<Step> {
    let unit: crate::manifest::UnitName = "simple_api.service".parse().unwrap();
    let reasons = reasons.to_vec();
    let run = if starts {
        Step::Start { unit: unit.clone(), reasons }
    } else {
        Step::Restart { unit: unit.clone(), reasons }
    };
    let watched = WatchedUnit { unit, executable: Some(Sha256Digest::of(b"new")) };
    let observe = Step::Observe { units: vec![watched], settle: Duration::from_secs(2) };
    vec![run, observe, Step::AskHealth { check: http_check() }]
}

pub(super) fn plan_of(host: &str, from: Option<ReleaseId>, steps: Vec<Step>) -> Plan {
    let release = if steps.is_empty() { old_release() } else { new_release() };
    Plan {
        service: "simple_api".parse().unwrap(),
        host: host.parse().unwrap(),
        root: RemotePath::new("/home/deploy/.local/share/shipit/simple_api").unwrap(),
        from,
        release,
        steps,
    }
}

pub(super) fn empty_plan(host: &str) -> Plan {
    plan_of(host, Some(old_release()), Vec::new())
}

/// Nothing was there before.
pub(super) fn first_plan(host: &str) -> Plan {
    let env = EnvChange::between(&[], &[("DEV_LOCATION".to_owned(), "x".to_owned())]);
    let files = vec![
        file("bin/simple_api", "0755", 21_400_000, None, "new", Detail::Opaque),
        file("units/simple_api.service", "0644", 312, None, "unit", Detail::Opaque),
        file("env/simple_api.conf", "0600", 28, None, "env", Detail::Env(env)),
    ];
    let release = new_release();
    let mut steps = vec![
        Step::EnableLingering { user: "deploy".to_owned() },
        Step::Upload { release: release.clone(), files, dropped: Vec::new(), tree: TreeChange::default() },
        Step::Seal { release: release.clone() },
    ];
    steps.extend(
        links([LinkState::Missing, LinkState::Missing, LinkState::Missing]).into_iter().map(Step::Link),
    );
    steps.push(Step::Switch { from: None, to: release });
    steps.push(Step::ReloadManager);
    steps.push(Step::Enable { unit: "simple_api.service".parse().unwrap() });
    steps.extend(run_steps(&[Reason::FirstDeploy], true));
    plan_of(host, None, steps)
}

/// Another binary, unit and env file; a link that points elsewhere; an old release to remove.
pub(super) fn changed_plan(host: &str) -> Plan {
    let pairs = |pairs: &[(&str, &str)]| -> Vec<(String, String)> {
        pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
    };
    let env = EnvChange::between(
        &pairs(&[("DEV_LOCATION", "North Carolina"), ("OLD", "1")]),
        &pairs(&[("DEV_LOCATION", "Virginia"), ("API_KEY", "hunter2")]),
    );
    let unit = "[Service]\nExecStart=/usr/local/bin/simple_api\n";
    let diff =
        TextDiff::between(unit, &format!("{unit}Restart=always\n"), "units/simple_api.service").unwrap();
    let files = vec![
        file("bin/simple_api", "0755", 21_400_000, Some("old"), "new", Detail::Opaque),
        file("units/simple_api.service", "0644", 312, Some("unit"), "unit 2", Detail::Text(diff)),
        file("env/simple_api.conf", "0600", 28, Some("env"), "env 2", Detail::Env(env)),
        file("bin/helper", "0755", 1000, Some("same"), "same", Detail::Opaque),
    ];
    let release = new_release();
    let [binary, ..] = <[LinkChange; 3]>::try_from(links([
        LinkState::Symlink("/opt/simple_api/bin/simple_api".to_owned()),
        LinkState::Missing,
        LinkState::Missing,
    ]))
    .unwrap();
    let mut steps = vec![
        Step::Upload { release: release.clone(), files, dropped: Vec::new(), tree: TreeChange::default() },
        Step::Seal { release: release.clone() },
        Step::Link(binary),
        Step::Switch { from: Some(old_release()), to: release },
        Step::ReloadManager,
    ];
    steps.extend(run_steps(&[Reason::UnitChanged, Reason::BinaryChanged, Reason::EnvChanged], false));
    steps.push(Step::Prune { releases: vec![release_of_old()] });
    plan_of(host, Some(old_release()), steps)
}

fn release_of_old() -> ReleaseId {
    release(1, "00112233")
}

/// An event so many milliseconds after three in the morning, UTC.
pub(super) fn event(ms: i64, host: Option<&str>, kind: EventKind) -> Event {
    let start: Timestamp = "2026-11-20T03:00:41Z".parse().unwrap();
    let at = Timestamp::from_millisecond(start.as_millisecond() + ms).unwrap();
    Event { at, host: host.map(|host| host.parse().unwrap()), kind }
}

pub(super) fn run_started(hosts: &[&str]) -> EventKind {
    EventKind::RunStarted {
        command: Command::Deploy,
        service: "simple_api".parse().unwrap(),
        environment: "prod".parse().unwrap(),
        hosts: hosts.iter().map(|host| host.parse().unwrap()).collect(),
        shipit: "0.1.0",
    }
}

pub(super) fn entry(priority: u8, message: &str) -> JournalEntry {
    JournalEntry {
        time: "2026-11-20T03:00:52.123456Z".parse().unwrap(),
        priority,
        identifier: "simple_api".to_owned(),
        pid: Some(4711),
        message: message.to_owned(),
        invocation: Some("0123456789abcdef0123456789abcdef".to_owned()),
        cursor: "s=1".to_owned(),
    }
}

/// A service that ends as soon as it starts, with what a hostile host could have put into every text.
pub(super) fn failure(hostile: &str) -> Failure {
    Failure {
        code: "shipit::service::failed".to_owned(),
        causes: vec![
            "simple_api.service failed to start".to_owned(),
            format!("status=203/EXEC: the program could not be started{hostile}"),
        ],
        state: format!("current points to 20261120T030041Z-8be1d2a4, and the service is down{hostile}"),
        help: Some(format!("see `shipit logs prod`; to go back: ln -sfT ...{hostile}")),
        details: vec![format!("systemd[812]: simple_api.service: Failed at step EXEC{hostile}\nsecond line")],
    }
}

pub(super) fn connected(elapsed: u64) -> EventKind {
    EventKind::Connected {
        address: "192.0.2.7:22".to_owned(),
        via: Vec::new(),
        elapsed: Duration::from_millis(elapsed),
    }
}

/// A whole deploy of `plan`, from connecting to its verdict.
pub(super) fn deployed(host: &str, plan: Plan) -> Vec<Event> {
    let plan = Arc::new(plan);
    let current = plan.from.clone();
    let elapsed = Duration::from_millis(140);
    let mut events = vec![
        event(10, Some(host), EventKind::ConnectStarted),
        event(220, Some(host), connected(210)),
        event(360, Some(host), EventKind::Probed { current, elapsed }),
        event(361, Some(host), EventKind::Planned { plan: Arc::clone(&plan) }),
    ];
    let mut ms = 400;
    for (number, step) in plan.steps.iter().enumerate() {
        events.push(event(ms, Some(host), EventKind::StepStarted { number, step: Arc::new(step.clone()) }));
        let mut took = 80;
        if let Step::Upload { .. } = step {
            let total = plan.bytes_to_send();
            for tenth in 1..=10 {
                let sent = total / 10 * tenth;
                let at = ms + 800 * i64::try_from(tenth).unwrap();
                events.push(event(at, Some(host), EventKind::UploadProgressed { sent, total }));
            }
            took = 8_100;
        }
        ms += took;
        let elapsed = Duration::from_millis(took.unsigned_abs());
        events.push(event(ms, Some(host), EventKind::StepFinished { number, elapsed }));
    }
    let verdict = if plan.is_empty() {
        Verdict::Unchanged
    } else {
        let entries = vec![entry(6, "Listening on 0.0.0.0:8000"), entry(4, "no cache\nstarting cold")];
        events.push(event(ms, Some(host), EventKind::JournalRead { entries }));
        Verdict::Deployed
    };
    events.push(event(ms, Some(host), ended(verdict, Some(plan.release.clone()), None, ms)));
    events
}

pub(super) fn ended(
    verdict: Verdict,
    release: Option<ReleaseId>,
    failure: Option<Failure>,
    ms: i64,
) -> EventKind {
    EventKind::HostFinished {
        verdict,
        release,
        failure,
        warnings: Vec::new(),
        elapsed: Duration::from_millis(ms.unsigned_abs()),
    }
}

pub(super) fn run_finished(verdicts: &[Verdict]) -> EventKind {
    let mut counts = RunCounts::default();
    verdicts.iter().for_each(|verdict| counts.add(*verdict));
    EventKind::RunFinished {
        counts,
        warnings: 0,
        exit_code: u8::from(counts.failed() > 0),
        elapsed: Duration::from_secs(12),
    }
}

/// Three hosts: one deployed, one as it should be, one out of reach; and one whose service does not start.
pub(super) fn mixed_run(hostile: &str) -> Vec<Event> {
    let mut events = vec![event(0, None, run_started(&["deploy@web1", "web2", "db-1.example.com", "web4"]))];
    events.extend(deployed("deploy@web1", changed_plan("deploy@web1")));
    events.extend(deployed("web2", empty_plan("web2")));
    let failed = Failure {
        code: "shipit::ssh::connect".to_owned(),
        causes: vec!["db-1.example.com:22 can't be reached".to_owned(), "connection refused".to_owned()],
        state: "nothing was changed".to_owned(),
        help: Some("is sshd running there?".to_owned()),
        details: Vec::new(),
    };
    events.push(event(90, Some("db-1.example.com"), ended(Verdict::Unreachable, None, Some(failed), 90)));
    let step = Arc::new(run_steps(&[Reason::NotRunning(format!("failed{hostile}"))], true).remove(0));
    events.push(event(700, Some("web4"), EventKind::StepStarted { number: 5, step }));
    events.push(event(
        750,
        Some("web4"),
        EventKind::StepSaid { number: 5, line: format!("Job failed{hostile}") },
    ));
    events.push(event(760, Some("web4"), EventKind::StepFailed { number: 5 }));
    let entries = vec![entry(3, &format!("can't bind{hostile}"))];
    events.push(event(770, Some("web4"), EventKind::JournalRead { entries }));
    let failed = Some(failure(hostile));
    let end = ended(Verdict::NeedsAttention, Some(new_release()), failed, 900);
    events.push(event(900, Some("web4"), end));
    let verdicts = [Verdict::Deployed, Verdict::Unchanged, Verdict::Unreachable, Verdict::NeedsAttention];
    events.push(event(12_000, None, run_finished(&verdicts)));
    events
}

/// A hook on the operator's machine that succeeds, and one that fails.
pub(super) fn local_hooks() -> Vec<Event> {
    let (first, last) = (HookPoint::BeforeDeploy, HookPoint::AfterDeploy);
    let started = |when, run: &str| EventKind::LocalHookStarted { when, run: run.to_owned() };
    let said = |when, line: &str| EventKind::LocalHookSaid { when, line: line.to_owned() };
    vec![
        event(0, None, started(first, "make dist")),
        event(10, None, said(first, "cc -O2 api.c")),
        event(20, None, EventKind::LocalHookFinished { when: first, elapsed: Duration::from_secs(2) }),
        event(30, None, started(last, "./tell\n./more")),
        event(40, None, said(last, "nobody there")),
        event(
            50,
            None,
            EventKind::LocalHookFailed {
                when: last,
                run: "./tell\n./more".to_owned(),
                why: "it ended with exit status: 6".to_owned(),
                said: vec!["nobody there".to_owned()],
            },
        ),
    ]
}

/// At least one event of each kind, with every field set.
pub(super) fn every_kind() -> Vec<EventKind> {
    let mut kinds: Vec<_> = mixed_run("").into_iter().map(|event| event.kind).collect();
    kinds.push(EventKind::Planned { plan: Arc::new(first_plan("web1")) });
    kinds.push(EventKind::Interrupted);
    kinds.push(EventKind::Left);
    kinds.push(EventKind::Connected {
        address: "web1.internal:22".to_owned(),
        via: vec!["ops@bastion:22".to_owned()],
        elapsed: Duration::from_millis(1),
    });
    let holder = Holder {
        who: "ada@laptop".to_owned(),
        since: "2026-11-20T03:00:00Z".parse().unwrap(),
        command: "deploy".to_owned(),
        job: Some("https://ci.example.com/1".to_owned()),
        message: Some("freeze".to_owned()),
    };
    kinds.push(EventKind::Waiting { what: Wait::Lock, holder: Some(holder) });
    kinds.push(EventKind::PlanningAgain);
    let run = RunId::new("2026-11-20T03:00:00Z".parse().unwrap(), 1);
    kinds.push(EventKind::Recovered { run, outcome: Recovery::Reverted });
    kinds.push(EventKind::RevertStarted { why: "step 4 failed".to_owned() });
    kinds.push(EventKind::UnitKilled { unit: "simple_api.service".parse().unwrap() });
    let deadline = Duration::from_secs(60);
    kinds.push(EventKind::ConnectionLost { why: "the connection was lost".to_owned(), deadline });
    kinds.extend(local_hooks().into_iter().map(|event| event.kind));
    kinds.push(EventKind::HostFinished {
        verdict: Verdict::Deployed,
        release: None,
        failure: None,
        warnings: vec!["the hook after_deploy failed".to_owned()],
        elapsed: deadline,
    });
    kinds
}

pub(super) fn text_style(verbosity: Verbosity, colour: Colour) -> TextStyle {
    TextStyle { verbosity, colour, zone: TimeZone::UTC }
}

/// A writer that several can hold, to see what was written.
#[derive(Debug, Clone, Default)]
pub(super) struct Paper(Arc<Mutex<Vec<u8>>>);

impl Paper {
    pub(super) fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

impl Write for Paper {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A pipe whose reader went away.
pub(super) struct BrokenPipe;

impl Write for BrokenPipe {
    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        Err(io::ErrorKind::BrokenPipe.into())
    }

    fn flush(&mut self) -> io::Result<()> {
        Err(io::ErrorKind::BrokenPipe.into())
    }
}
