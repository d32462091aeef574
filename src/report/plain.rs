//! The run as lines of text, for pipes and CI: one thing that happened a line, with its time and its host.
use std::collections::HashMap;
use std::io::Write;
use std::time::Duration;

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

use super::Reporter;
use super::event::{Command, Event, EventKind};
use super::journal_line::{JournalStyle, journal_lines};
use super::line::{Colour, Line};
use super::notice_text::{local_hook_lines, notice_line};
use super::outcome_text::{end_line, failure_lines, host_lines, totals_line};
use super::plan_text;
use super::run_state::RunState;
use super::words::{Tense, by_way_of, bytes, duration, step_words};
use crate::plan::Step;

/// How much is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verbosity {
    /// Failures, and the totals.
    Quiet,
    /// What an operator wants to know.
    Normal,
    /// Also what commands said, and every step as it begins.
    Verbose,
}

/// How events are shown as text.
#[derive(Debug, Clone)]
pub struct TextStyle {
    /// How much is told.
    pub verbosity: Verbosity,
    /// Whether colours may be used.
    pub colour: Colour,
    /// In whose time.
    pub zone: TimeZone,
}

/// Writes the run as lines of text.
pub struct PlainReporter {
    out: Box<dyn Write + Send>,
    style: TextStyle,
    run: RunState,
    uploads: HashMap<usize, Upload>,
}

/// What was last told about an upload.
struct Upload {
    began: Timestamp,
    told: Timestamp,
    quarters: u64,
}

/// How far an upload is, is told no more often than this, and at quarters only...
const PROGRESS_EVERY: SignedDuration = SignedDuration::from_secs(5);

/// ...unless nothing was told for so long: a log that stands still worries people.
const PROGRESS_AT_LEAST_EVERY: SignedDuration = SignedDuration::from_secs(30);

/// An upload below this is over before anyone would ask.
const LONG_UPLOAD: u64 = 1_000_000;

/// Watching for longer than this is announced.
const LONG_SETTLE: Duration = Duration::from_secs(5);

impl PlainReporter {
    /// A reporter that writes to `out`.
    #[must_use]
    pub fn new(out: Box<dyn Write + Send>, style: TextStyle) -> Self {
        Self { out, style, run: RunState::default(), uploads: HashMap::new() }
    }

    fn write(&mut self, event: &Event, lines: Vec<Line>) {
        let at = event.at.to_zoned(self.style.zone.clone()).strftime("%H:%M:%S ").to_string();
        let several = self.run.hosts.len() > 1;
        let width = self.run.label_width();
        let label = self.run.host(event).filter(|_| several).map(|host| format!("{:width$}  ", host.label));
        let mut text = String::new();
        for line in lines {
            let line = Line::new().dim(&at).cyan(label.as_deref().unwrap_or_default()).then(line);
            text.push_str(&line.render(self.style.colour));
            text.push('\n');
        }
        // A reader that went away does not stop a deploy.
        let _ = self.out.write_all(text.as_bytes()).and_then(|()| self.out.flush());
    }

    fn lines(&mut self, event: &Event) -> Vec<Line> {
        let deploys = matches!(self.run.command, Some(Command::Deploy | Command::Rollback) | None);
        let verbosity = self.style.verbosity;
        let normal = verbosity >= Verbosity::Verbose || (verbosity == Verbosity::Normal && deploys);
        let verbose = verbosity == Verbosity::Verbose;
        match &event.kind {
            EventKind::RunStarted { command, service, environment, hosts, shipit } if normal => {
                let to = if *command == Command::Rollback { "on" } else { "to" };
                let command = command_word(*command);
                let hosts = match hosts.as_slice() {
                    [one] => one.to_string(),
                    many => format!("{} hosts", many.len()),
                };
                vec![
                    Line::new()
                        .bold(format!("{command} {service} {to} {environment}"))
                        .plain(format!(": {hosts} (shipit {shipit})")),
                ]
            }
            EventKind::ConnectStarted if verbose => vec![Line::of("connecting")],
            EventKind::Connected { address, via, elapsed } if normal => {
                vec![Line::of(format!("connected to {address}{} in {}", by_way_of(via), duration(*elapsed)))]
            }
            EventKind::Probed { current, elapsed } if verbose => {
                let runs = match current {
                    Some(id) => format!("{id} is deployed"),
                    None => "nothing is deployed yet".to_owned(),
                };
                vec![Line::of(format!("probed in {}: {runs}", duration(*elapsed)))]
            }
            EventKind::Planned { plan } if normal && deploys && !plan.is_empty() => {
                plan_text::announcement(plan)
            }
            EventKind::StepStarted { step, .. } if verbose || (normal && is_long(step)) => {
                vec![Line::of(step_words(step, Tense::Going))]
            }
            EventKind::UploadProgressed { sent, total } if normal => {
                self.progress(event, *sent, *total).into_iter().collect()
            }
            EventKind::StepSaid { number, line }
                if verbose || (normal && self.run.is_operators(event, *number)) =>
            {
                vec![Line::new().dim("  | ").plain(line)]
            }
            EventKind::StepFinished { number, elapsed } if normal => {
                let words = self.run.step(event, *number).map(|step| step_words(step, Tense::Done));
                let words = words.unwrap_or_else(|| format!("step {} done", number + 1));
                vec![Line::of(words).dim(format!(", took {}", duration(*elapsed)))]
            }
            EventKind::StepFailed { number } => {
                let words = self.run.step(event, *number).map(|step| step_words(step, Tense::Order));
                let words = words.unwrap_or_else(|| format!("step {}", number + 1));
                vec![Line::new().red("failed: ").plain(words)]
            }
            EventKind::JournalRead { entries } if normal => {
                let style = self.journal_style(event);
                let lines = entries.iter().flat_map(|entry| journal_lines(entry, None, &style));
                lines.map(|line| Line::new().dim("journal: ").then(line)).collect()
            }
            EventKind::HostFinished { verdict, failure, .. } => match failure {
                Some(failure) => failure_lines(*verdict, failure),
                None if normal => {
                    let host = self.run.host(event);
                    host.and_then(|h| h.end.as_ref().map(|end| end_line(&self.run, h, end))).into_iter().collect()
                }
                None => Vec::new(),
            },
            EventKind::Waiting { .. }
            | EventKind::PlanningAgain
            | EventKind::Recovered { .. }
            | EventKind::RevertStarted { .. }
            | EventKind::UnitKilled { .. }
            | EventKind::ConnectionLost { .. }
            | EventKind::Interrupted => vec![notice_line(&event.kind)],
            EventKind::LocalHookStarted { .. }
            | EventKind::LocalHookSaid { .. }
            | EventKind::LocalHookFinished { .. }
            | EventKind::LocalHookFailed { .. } => local_hook_lines(&event.kind, verbosity),
            // It was over before a host was connected to, and the command says why.
            EventKind::RunFinished { counts, .. } if counts.all() == 0 => Vec::new(),
            EventKind::RunFinished { counts, warnings, exit_code: _, elapsed }
                if normal || counts.failed() > 0 || *warnings > 0 =>
            {
                // A single host has just had its line.
                let mut lines = if self.run.hosts.len() > 1 { host_lines(&self.run) } else { Vec::new() };
                lines.push(totals_line(&self.run, counts, *warnings, *elapsed));
                lines
            }
            EventKind::RunStarted { .. }
            | EventKind::ConnectStarted
            | EventKind::Connected { .. }
            | EventKind::Probed { .. }
            | EventKind::Planned { .. }
            | EventKind::StepStarted { .. }
            | EventKind::UploadProgressed { .. }
            | EventKind::StepSaid { .. }
            | EventKind::StepFinished { .. }
            | EventKind::JournalRead { .. }
            // The command says what each host will do.
            | EventKind::Left
            | EventKind::RunFinished { .. } => Vec::new(),
        }
    }

    /// Says now and then how far a long upload is.
    fn progress(&mut self, event: &Event, sent: u64, total: u64) -> Option<Line> {
        let place = self.run.place_of(event)?;
        let now = event.at;
        let upload = self.uploads.entry(place).or_insert(Upload { began: now, told: now, quarters: 0 });
        let percent = sent.saturating_mul(100).checked_div(total)?;
        if total < LONG_UPLOAD || sent >= total {
            return None;
        }
        let silent = now.duration_since(upload.told);
        let quarter = percent / 25 > upload.quarters && silent >= PROGRESS_EVERY;
        if !quarter && silent < PROGRESS_AT_LEAST_EVERY {
            return None;
        }
        upload.told = now;
        upload.quarters = percent / 25;
        let seconds = now.duration_since(upload.began).as_secs().max(1).unsigned_abs();
        let rate = bytes(sent / seconds);
        Some(Line::of(format!("upload at {percent}%: {} of {}, {rate}/s", bytes(sent), bytes(total))))
    }

    fn journal_style(&self, event: &Event) -> JournalStyle {
        let today = event.at.to_zoned(self.style.zone.clone()).date();
        JournalStyle { colour: self.style.colour, zone: self.style.zone.clone(), today: Some(today) }
    }
}

/// Whether a step may take so long that people wonder.
fn is_long(step: &Step) -> bool {
    match step {
        Step::Upload { files, .. } => files.iter().map(|file| file.size).sum::<u64>() >= LONG_UPLOAD,
        Step::Prepare { .. }
        | Step::CheckRelease { .. }
        | Step::Stop { .. }
        | Step::Restart { .. }
        | Step::Reload { .. }
        | Step::Start { .. }
        | Step::AskHealth { .. }
        | Step::Hook { .. }
        | Step::Validate { .. }
        | Step::OnChange { .. } => true,
        Step::Observe { settle, .. } => *settle >= LONG_SETTLE,
        Step::EnableLingering { .. }
        | Step::MakeUser { .. }
        | Step::JoinGroups { .. }
        | Step::Seal { .. }
        | Step::Link(_)
        | Step::Install(_)
        | Step::Uninstall(_)
        | Step::Disable { .. }
        | Step::Unlink { .. }
        | Step::Switch { .. }
        | Step::ReloadManager
        | Step::Enable { .. }
        | Step::Prune { .. } => false,
    }
}

fn command_word(command: Command) -> &'static str {
    match command {
        Command::Deploy => "deploy",
        Command::Plan => "plan",
        Command::Rollback => "roll back",
    }
}

impl Reporter for PlainReporter {
    fn on_event(&mut self, event: &Event) {
        self.run.note(event);
        if let (EventKind::StepStarted { .. }, Some(place)) = (&event.kind, self.run.place_of(event)) {
            self.uploads.insert(place, Upload { began: event.at, told: event.at, quarters: 0 });
        }
        let lines = self.lines(event);
        if !lines.is_empty() {
            self.write(event, lines);
        }
    }
}

#[cfg(test)]
mod tests {
    use insta::assert_snapshot;

    use super::super::event::Verdict;
    use super::super::fixtures::{
        BrokenPipe, HOSTILE, Paper, changed_plan, deployed, empty_plan, event, mixed_run, run_finished,
        run_started, text_style,
    };
    use super::*;

    fn shown(events: &[Event], verbosity: Verbosity, colour: Colour) -> String {
        let paper = Paper::default();
        let mut reporter = PlainReporter::new(Box::new(paper.clone()), text_style(verbosity, colour));
        events.iter().for_each(|event| reporter.on_event(event));
        paper.text()
    }

    fn one_host() -> Vec<Event> {
        let mut events = vec![event(0, None, run_started(&["deploy@web1"]))];
        events.extend(deployed("deploy@web1", changed_plan("deploy@web1")));
        events.push(event(12_000, None, run_finished(&[Verdict::Deployed])));
        events
    }

    #[test]
    fn one_host_that_is_deployed() {
        assert_snapshot!(shown(&one_host(), Verbosity::Normal, Colour::Off), @"
        03:00:41 deploy simple_api to prod: deploy@web1 (shipit 0.1.0)
        03:00:41 connected to 192.0.2.7:22 in 210 ms
        03:00:41 plan: 20261120T030041Z-8be1d2a4 replaces 20261120T030007Z-3f2a9c01
        03:00:41       3 of 4 files (21.4 MB), restart simple_api.service (unit file, binary and env file changed), 1 link
        03:00:41       with sudo: link /usr/local/bin/simple_api
        03:00:41 uploading 3 of 4 files (21.4 MB)
        03:00:47 upload at 70%: 15.0 MB of 21.4 MB, 3.0 MB/s
        03:00:49 uploaded 3 of 4 files (21.4 MB), took 8.1 s
        03:00:49 checked the SHA-256 of every file on the host, took 80 ms
        03:00:49 repaired the link /usr/local/bin/simple_api [sudo], took 80 ms
        03:00:49 switched current to 20261120T030041Z-8be1d2a4, took 80 ms
        03:00:49 reloaded systemd's unit files (daemon-reload), took 80 ms
        03:00:49 restarting simple_api.service (unit file, binary and env file changed)
        03:00:49 restarted simple_api.service (unit file, binary and env file changed), took 80 ms
        03:00:49 simple_api.service stayed up for 2 s and runs the release's binary, took 80 ms
        03:00:49 asking http://localhost:8000/ until it answers well, for at most 30 s
        03:00:50 http://localhost:8000/ answered well, took 80 ms
        03:00:50 removed 1 old release, took 80 ms
        03:00:50 journal: 03:00:52.123 simple_api[4711]: Listening on 0.0.0.0:8000
        03:00:50 journal: 03:00:52.123 simple_api[4711]: no cache
        03:00:50 journal:                                starting cold
        03:00:50 deployed 20261120T030041Z-8be1d2a4 in 9.1 s
        03:00:53 1 host deployed in 12 s
        ");
    }

    #[test]
    fn one_host_in_every_detail() {
        assert_snapshot!(shown(&one_host(), Verbosity::Verbose, Colour::Off), @"
        03:00:41 deploy simple_api to prod: deploy@web1 (shipit 0.1.0)
        03:00:41 connecting
        03:00:41 connected to 192.0.2.7:22 in 210 ms
        03:00:41 probed in 140 ms: 20261120T030007Z-3f2a9c01 is deployed
        03:00:41 plan: 20261120T030041Z-8be1d2a4 replaces 20261120T030007Z-3f2a9c01
        03:00:41       3 of 4 files (21.4 MB), restart simple_api.service (unit file, binary and env file changed), 1 link
        03:00:41       with sudo: link /usr/local/bin/simple_api
        03:00:41 uploading 3 of 4 files (21.4 MB)
        03:00:47 upload at 70%: 15.0 MB of 21.4 MB, 3.0 MB/s
        03:00:49 uploaded 3 of 4 files (21.4 MB), took 8.1 s
        03:00:49 checking the SHA-256 of every file on the host
        03:00:49 checked the SHA-256 of every file on the host, took 80 ms
        03:00:49 repairing the link /usr/local/bin/simple_api [sudo]
        03:00:49 repaired the link /usr/local/bin/simple_api [sudo], took 80 ms
        03:00:49 switching current to 20261120T030041Z-8be1d2a4
        03:00:49 switched current to 20261120T030041Z-8be1d2a4, took 80 ms
        03:00:49 reloading systemd's unit files (daemon-reload)
        03:00:49 reloaded systemd's unit files (daemon-reload), took 80 ms
        03:00:49 restarting simple_api.service (unit file, binary and env file changed)
        03:00:49 restarted simple_api.service (unit file, binary and env file changed), took 80 ms
        03:00:49 watching simple_api.service for 2 s
        03:00:49 simple_api.service stayed up for 2 s and runs the release's binary, took 80 ms
        03:00:49 asking http://localhost:8000/ until it answers well, for at most 30 s
        03:00:50 http://localhost:8000/ answered well, took 80 ms
        03:00:50 removing 1 old release
        03:00:50 removed 1 old release, took 80 ms
        03:00:50 journal: 03:00:52.123 simple_api[4711]: Listening on 0.0.0.0:8000
        03:00:50 journal: 03:00:52.123 simple_api[4711]: no cache
        03:00:50 journal:                                starting cold
        03:00:50 deployed 20261120T030041Z-8be1d2a4 in 9.1 s
        03:00:53 1 host deployed in 12 s
        ");
    }

    #[test]
    fn nothing_to_do() {
        let mut events = vec![event(0, None, run_started(&["web1"]))];
        events.extend(deployed("web1", empty_plan("web1")));
        events.push(event(500, None, run_finished(&[Verdict::Unchanged])));
        assert_snapshot!(shown(&events, Verbosity::Normal, Colour::Off), @"
        03:00:41 deploy simple_api to prod: web1 (shipit 0.1.0)
        03:00:41 connected to 192.0.2.7:22 in 210 ms
        03:00:41 unchanged: nothing to do, runs 20261120T030007Z-3f2a9c01 (400 ms)
        03:00:41 1 host unchanged in 12 s
        ");
        assert_eq!(shown(&events, Verbosity::Quiet, Colour::Off), "");
    }

    #[test]
    fn several_hosts_that_end_in_different_ways() {
        assert_snapshot!(shown(&mixed_run(""), Verbosity::Normal, Colour::Off), @"
        03:00:41 deploy simple_api to prod: 4 hosts (shipit 0.1.0)
        03:00:41 web1              connected to 192.0.2.7:22 in 210 ms
        03:00:41 web1              plan: 20261120T030041Z-8be1d2a4 replaces 20261120T030007Z-3f2a9c01
        03:00:41 web1                    3 of 4 files (21.4 MB), restart simple_api.service (unit file, binary and env file changed), 1 link
        03:00:41 web1                    with sudo: link /usr/local/bin/simple_api
        03:00:41 web1              uploading 3 of 4 files (21.4 MB)
        03:00:47 web1              upload at 70%: 15.0 MB of 21.4 MB, 3.0 MB/s
        03:00:49 web1              uploaded 3 of 4 files (21.4 MB), took 8.1 s
        03:00:49 web1              checked the SHA-256 of every file on the host, took 80 ms
        03:00:49 web1              repaired the link /usr/local/bin/simple_api [sudo], took 80 ms
        03:00:49 web1              switched current to 20261120T030041Z-8be1d2a4, took 80 ms
        03:00:49 web1              reloaded systemd's unit files (daemon-reload), took 80 ms
        03:00:49 web1              restarting simple_api.service (unit file, binary and env file changed)
        03:00:49 web1              restarted simple_api.service (unit file, binary and env file changed), took 80 ms
        03:00:49 web1              simple_api.service stayed up for 2 s and runs the release's binary, took 80 ms
        03:00:49 web1              asking http://localhost:8000/ until it answers well, for at most 30 s
        03:00:50 web1              http://localhost:8000/ answered well, took 80 ms
        03:00:50 web1              removed 1 old release, took 80 ms
        03:00:50 web1              journal: 03:00:52.123 simple_api[4711]: Listening on 0.0.0.0:8000
        03:00:50 web1              journal: 03:00:52.123 simple_api[4711]: no cache
        03:00:50 web1              journal:                                starting cold
        03:00:50 web1              deployed 20261120T030041Z-8be1d2a4 in 9.1 s
        03:00:41 web2              connected to 192.0.2.7:22 in 210 ms
        03:00:41 web2              unchanged: nothing to do, runs 20261120T030007Z-3f2a9c01 (400 ms)
        03:00:41 db-1.example.com  UNREACHABLE (untouched): db-1.example.com:22 can't be reached
        03:00:41 db-1.example.com    because connection refused
        03:00:41 db-1.example.com    state: nothing was changed
        03:00:41 db-1.example.com    help:  is sshd running there?
        03:00:41 db-1.example.com    code:  shipit::ssh::connect
        03:00:41 web4              starting simple_api.service (not running: failed)
        03:00:41 web4              failed: start simple_api.service (not running: failed)
        03:00:41 web4              journal: 03:00:52.123 simple_api[4711]: can't bind
        03:00:41 web4              FAILED (needs attention): simple_api.service failed to start
        03:00:41 web4                because status=203/EXEC: the program could not be started
        03:00:41 web4                | systemd[812]: simple_api.service: Failed at step EXEC
        03:00:41 web4                | second line
        03:00:41 web4                state: current points to 20261120T030041Z-8be1d2a4, and the service is down
        03:00:41 web4                help:  see `shipit logs prod`; to go back: ln -sfT ...
        03:00:41 web4                code:  shipit::service::failed
        03:00:53 web1              deployed 20261120T030041Z-8be1d2a4 in 9.1 s
        03:00:53 web2              unchanged: nothing to do, runs 20261120T030007Z-3f2a9c01 (400 ms)
        03:00:53 db-1.example.com  unreachable (untouched): db-1.example.com:22 can't be reached (after 90 ms)
        03:00:53 web4              FAILED (needs attention): simple_api.service failed to start (after 900 ms)
        03:00:53 1 host deployed, 1 unchanged, 1 unreachable (untouched), 1 FAILED (needs attention) in 12 s
        ");
    }

    #[test]
    fn quiet_still_tells_of_failures() {
        assert_snapshot!(shown(&mixed_run(""), Verbosity::Quiet, Colour::Off), @"
        03:00:41 db-1.example.com  UNREACHABLE (untouched): db-1.example.com:22 can't be reached
        03:00:41 db-1.example.com    because connection refused
        03:00:41 db-1.example.com    state: nothing was changed
        03:00:41 db-1.example.com    help:  is sshd running there?
        03:00:41 db-1.example.com    code:  shipit::ssh::connect
        03:00:41 web4              failed: start simple_api.service (not running: failed)
        03:00:41 web4              FAILED (needs attention): simple_api.service failed to start
        03:00:41 web4                because status=203/EXEC: the program could not be started
        03:00:41 web4                | systemd[812]: simple_api.service: Failed at step EXEC
        03:00:41 web4                | second line
        03:00:41 web4                state: current points to 20261120T030041Z-8be1d2a4, and the service is down
        03:00:41 web4                help:  see `shipit logs prod`; to go back: ln -sfT ...
        03:00:41 web4                code:  shipit::service::failed
        03:00:53 web1              deployed 20261120T030041Z-8be1d2a4 in 9.1 s
        03:00:53 web2              unchanged: nothing to do, runs 20261120T030007Z-3f2a9c01 (400 ms)
        03:00:53 db-1.example.com  unreachable (untouched): db-1.example.com:22 can't be reached (after 90 ms)
        03:00:53 web4              FAILED (needs attention): simple_api.service failed to start (after 900 ms)
        03:00:53 1 host deployed, 1 unchanged, 1 unreachable (untouched), 1 FAILED (needs attention) in 12 s
        ");
    }

    #[test]
    fn what_a_host_said_can_not_act_on_the_terminal() {
        let text = shown(&mixed_run(HOSTILE), Verbosity::Verbose, Colour::Off);
        assert!(text.contains("pwned"), "the test sends something");
        assert!(text.chars().all(|c| !c.is_control() || c == '\n'), "{text:?}");
    }

    #[test]
    fn colours_on_request() {
        let painted = shown(&mixed_run(""), Verbosity::Normal, Colour::On);
        assert!(painted.contains("\x1b[31mFAILED"), "{painted}");
        assert!(painted.contains("\x1b[32mdeployed\x1b[0m"), "{painted}");
    }

    #[test]
    fn a_long_upload_is_told_of_now_and_then() {
        let mut events = one_host();
        events.truncate(6);
        for second in 1..=600 {
            let progress = EventKind::UploadProgressed { sent: second * 100_000, total: 60_000_000 };
            events.push(event(1000 * i64::try_from(second).unwrap(), Some("deploy@web1"), progress));
        }
        let text = shown(&events, Verbosity::Normal, Colour::Off);
        let told = text.lines().filter(|line| line.contains("upload at")).count();
        assert!((19..=25).contains(&told), "{told} lines\n{text}");
    }

    #[test]
    fn a_reader_that_goes_away_stops_nothing() {
        let style = text_style(Verbosity::Verbose, Colour::Off);
        let mut reporter = PlainReporter::new(Box::new(BrokenPipe), style);
        mixed_run("").iter().for_each(|event| reporter.on_event(event));
    }
}
