//! Steps, verdicts, sizes and times in plain words. The same words everywhere: in a plan, in a log, in a summary.
use std::time::Duration;

use super::event::{Command, RunCounts, Verdict};
use super::health_words::health_words;
use crate::manifest::{HookHosts, HookPoint, UserKind, UserName, first_line};
use crate::plan::{
    Before, CopyPlace, FileChange, LinkChange, LinkState, Privilege, Reason, Step, Transfer, WatchedUnit,
};

/// What the step does, in the words of an order: `restart simple_api.service (binary and env file changed)`.
#[must_use]
pub fn describe_step(step: &Step) -> String {
    step_words(step, Tense::Order)
}

/// When, as seen by the reader.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tense {
    /// It is to be done.
    Order,
    /// It is being done.
    Going,
    /// It was done.
    Done,
}

impl Tense {
    pub(super) fn of(self, order: &'static str, going: &'static str, done: &'static str) -> &'static str {
        match self {
            Self::Order => order,
            Self::Going => going,
            Self::Done => done,
        }
    }
}

/// The step in words.
pub(super) fn step_words(step: &Step, tense: Tense) -> String {
    let words = match step {
        Step::EnableLingering { user } => {
            let verb = tense.of("enable", "enabling", "enabled");
            format!("{verb} lingering for {user}, so that its services outlive the last login")
        }
        Step::MakeUser { user } => {
            let kind = match user.kind {
                UserKind::System => "system user",
                UserKind::Regular => "user",
            };
            format!("{} the {kind} {}", tense.of("make", "making", "made"), user.name)
        }
        Step::JoinGroups { user, groups } => {
            let groups: Vec<&str> = groups.iter().map(UserName::as_str).collect();
            format!("{} the user {user} to {}", tense.of("add", "adding", "added"), joined(&groups))
        }
        Step::Upload { release: _, files, dropped: _, tree: _ } => upload_words(files, tense),
        Step::Seal { release: _ } => {
            let verb = tense.of("check", "checking", "checked");
            format!("{verb} the SHA-256 of every file on the host")
        }
        Step::Prepare { name, key: _, run, timeout: _ } => {
            let program = match tense {
                Tense::Order | Tense::Going => format!(": {}", first_line(run)),
                // It was shown when it began.
                Tense::Done => String::new(),
            };
            format!("{} {name} on the host{program}", tense.of("build", "building", "built"))
        }
        Step::CheckRelease { release, sums: _, skeleton: _ } => {
            format!("{} the SHA-256 of every file of {release}", tense.of("check", "checking", "checked"))
        }
        Step::Link(link) => link_words(link, tense),
        Step::Install(copy) => copy_words(install_verb(&copy.place.was, tense), &copy.place),
        Step::Uninstall(copy) => copy_words(tense.of("remove", "removing", "removed"), &copy.place),
        Step::Stop { unit } => {
            format!("{} {unit}, which the release does not have", tense.of("stop", "stopping", "stopped"))
        }
        Step::Disable { unit } => {
            let verb = tense.of("disable", "disabling", "disabled");
            format!("{verb} {unit}, which starts no more at boot")
        }
        Step::Unlink { path, target: _ } => {
            format!("{} the link {path}", tense.of("remove", "removing", "removed"))
        }
        Step::Switch { from: _, to } => {
            format!("{} current to {to}", tense.of("switch", "switching", "switched"))
        }
        Step::Validate { run, timeout: _ } => {
            format!(
                "{} the changed files: {}",
                tense.of("validate", "validating", "validated"),
                first_line(run)
            )
        }
        Step::OnChange { run, timeout: _ } => {
            format!("{} of the changed files: {}", tense.of("tell", "telling", "told"), first_line(run))
        }
        Step::ReloadManager => {
            format!("{} systemd's unit files (daemon-reload)", tense.of("reload", "reloading", "reloaded"))
        }
        Step::Enable { unit } => {
            format!("{} {unit}, to start at boot", tense.of("enable", "enabling", "enabled"))
        }
        Step::Restart { unit, reasons } => {
            format!(
                "{} {unit} ({})",
                tense.of("restart", "restarting", "restarted"),
                describe_reasons(reasons)
            )
        }
        Step::Reload { unit, reasons } => {
            let verb = tense.of("reload", "reloading", "reloaded");
            format!("{verb} {unit}, which goes on running ({})", describe_reasons(reasons))
        }
        Step::Start { unit, reasons } => {
            format!("{} {unit} ({})", tense.of("start", "starting", "started"), describe_reasons(reasons))
        }
        Step::Observe { units, settle } => watch_words(units, *settle, tense),
        Step::AskHealth { check } => health_words(check, tense),
        Step::Hook { when, run, hosts, timeout: _ } => hook_words(*when, run, *hosts, tense),
        Step::Prune { releases } => {
            let what = count(releases.len(), "old release", "old releases");
            format!("{} {what}", tense.of("remove", "removing", "removed"))
        }
    };
    match step.privilege() {
        Privilege::Root => format!("{words} [sudo]"),
        Privilege::User => words,
    }
}

/// `watch api.service and worker.service for 2 s: they must stay up and run the release's binary`.
fn watch_words(watched: &[WatchedUnit], settle: Duration, tense: Tense) -> String {
    let all: Vec<&str> = watched.iter().map(|watched| watched.unit.as_str()).collect();
    let proven: Vec<&str> = watched
        .iter()
        .filter(|watched| watched.executable.is_some())
        .map(|watched| watched.unit.as_str())
        .collect();
    let (are, they) = if all.len() == 1 { ("is", "it") } else { ("are", "they") };
    // Which of them, where it is not all.
    let (run, who) = match proven.as_slice() {
        _ if proven.len() == all.len() => (if all.len() == 1 { "runs" } else { "run" }, None),
        [_] => ("runs", Some(joined(&proven))),
        _ => ("run", Some(joined(&proven))),
    };
    let who = who.map(|who| format!("{who} ")).unwrap_or_default();
    let (units, time) = (joined(&all), duration(settle));
    match (tense, proven.is_empty()) {
        (Tense::Order | Tense::Going, _) if settle.is_zero() => {
            format!("{} that {units} {are} up", tense.of("see", "seeing", ""))
        }
        (Tense::Done, false) if settle.is_zero() => {
            format!("{units} {are} up and {who}{run} the release's binary")
        }
        (Tense::Done, true) if settle.is_zero() => format!("{units} {are} up"),
        (Tense::Order, false) => {
            let who = if who.is_empty() { String::new() } else { format!("{who}must ") };
            format!("watch {units} for {time}: {they} must stay up and {who}run the release's binary")
        }
        (Tense::Order, true) => format!("watch {units} for {time}: {they} must stay up"),
        (Tense::Going, _) => format!("watching {units} for {time}"),
        (Tense::Done, false) => {
            format!("{units} stayed up for {time} and {who}{run} the release's binary")
        }
        (Tense::Done, true) => format!("{units} stayed up for {time}"),
    }
}

/// `a`, `a and b`, `a, b and c`.
fn joined(names: &[&str]) -> String {
    match names {
        [] => String::new(),
        [one] => (*one).to_owned(),
        [first @ .., last] => format!("{} and {last}", first.join(", ")),
    }
}

/// `run the hook before_activate: ./bin/migrate (on this host only)`.
fn hook_words(when: HookPoint, text: &str, hosts: HookHosts, tense: Tense) -> String {
    let verb = tense.of("run", "running", "ran");
    let only = match hosts {
        HookHosts::Every => "",
        HookHosts::Once => " (on this host only)",
    };
    let case = match (when, tense) {
        (HookPoint::OnFailure, Tense::Order) => ", if something fails",
        _ => "",
    };
    format!("{verb} the hook {}{case}: {}{only}", when.as_str(), first_line(text))
}

fn upload_words(files: &[FileChange], tense: Tense) -> String {
    let sent: Vec<_> = files.iter().filter(|file| file.transfer == Transfer::Send).collect();
    if sent.is_empty() {
        let verb = tense.of("take over", "taking over", "took over");
        return format!("{verb} {} on the host", count(files.len(), "file", "files"));
    }
    let verb = tense.of("upload", "uploading", "uploaded");
    format!("{verb} {} ({})", files_words(sent.len(), files.len()), bytes(sent.iter().map(|f| f.size).sum()))
}

/// `3 files`, or `2 of 3 files`.
pub(super) fn files_words(sent: usize, all: usize) -> String {
    if sent == all {
        count(all, "file", "files")
    } else {
        format!("{sent} of {}", count(all, "file", "files"))
    }
}

fn install_verb(was: &Before, tense: Tense) -> &'static str {
    match was {
        Before::Missing => tense.of("install", "installing", "installed"),
        Before::Placed { .. }
        | Before::Edited { .. }
        | Before::Foreign { .. }
        | Before::Symlink { .. }
        | Before::Unseen => tense.of("replace", "replacing", "replaced"),
    }
}

/// What is done to a place, and where what was there is to be found.
fn copy_words(verb: &str, CopyPlace { path, backup, .. }: &CopyPlace) -> String {
    let kept = backup.as_ref().map(|backup| format!(", what was there is kept as {backup}"));
    format!("{verb} the file {path}{}", kept.unwrap_or_default())
}

fn link_words(link: &LinkChange, tense: Tense) -> String {
    let verb = match link.was {
        LinkState::Missing => tense.of("make", "making", "made"),
        LinkState::Symlink(_) | LinkState::File | LinkState::Folder => {
            tense.of("repair", "repairing", "repaired")
        }
    };
    format!("{verb} the link {}", link.path)
}

/// Why a unit is started or restarted: `binary and env file changed; not running: failed`.
pub(super) fn describe_reasons(reasons: &[Reason]) -> String {
    let mut changed = Vec::new();
    let mut others = Vec::new();
    for reason in reasons {
        match reason {
            Reason::BinaryChanged => changed.push("binary"),
            Reason::UnitChanged => changed.push("unit file"),
            Reason::EnvChanged => changed.push("env file"),
            Reason::FilesChanged => changed.push("files"),
            Reason::RolledBack => others.push("rolled back".to_owned()),
            Reason::FirstDeploy => others.push("first deploy".to_owned()),
            Reason::NotRunning(state) => others.push(format!("not running: {state}")),
            Reason::StaleExecutable => {
                others.push("what ran was not the binary of the current release".to_owned());
            }
        }
    }
    let changed = (!changed.is_empty()).then(|| format!("{} changed", joined(&changed)));
    changed.into_iter().chain(others).collect::<Vec<_>>().join("; ")
}

/// How a host ended, in a word or two. What was only planned in a run that was to change something was declined.
pub(super) fn verdict_words(verdict: Verdict, command: Option<Command>) -> &'static str {
    match verdict {
        Verdict::Planned if matches!(command, Some(Command::Deploy | Command::Rollback)) => {
            "untouched (declined)"
        }
        Verdict::Unchanged => "unchanged",
        Verdict::Deployed => "deployed",
        Verdict::Planned => "planned only",
        Verdict::FailedUntouched => "failed (untouched)",
        Verdict::Unreachable => "unreachable (untouched)",
        Verdict::Reverted => "FAILED (reverted)",
        Verdict::NeedsAttention => "FAILED (needs attention)",
    }
}

/// `2 hosts deployed, 1 unchanged, 1 failed (untouched)`.
pub(super) fn counts_words(counts: &RunCounts, command: Option<Command>) -> String {
    let RunCounts { unchanged, deployed, planned, failed_untouched, unreachable, reverted, needs_attention } =
        *counts;
    let parts = [
        (deployed, Verdict::Deployed),
        (planned, Verdict::Planned),
        (unchanged, Verdict::Unchanged),
        (failed_untouched, Verdict::FailedUntouched),
        (unreachable, Verdict::Unreachable),
        (reverted, Verdict::Reverted),
        (needs_attention, Verdict::NeedsAttention),
    ];
    let mut words = Vec::new();
    for (number, verdict) in parts.into_iter().filter(|(number, _)| *number > 0) {
        // The first says of what.
        let number = if words.is_empty() { count(number, "host", "hosts") } else { number.to_string() };
        words.push(format!("{number} {}", verdict_words(verdict, command)));
    }
    if words.is_empty() { "no hosts".to_owned() } else { words.join(", ") }
}

/// `1 file`, `2 files`.
pub(super) fn count(number: usize, one: &str, many: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { many })
}

/// A size in decimal units, as disks and networks are sold: `21.4 MB`.
#[must_use]
pub fn bytes(size: u64) -> String {
    const UNITS: [&str; 5] = ["kB", "MB", "GB", "TB", "PB"];
    if size < 1000 {
        return format!("{size} B");
    }
    #[expect(clippy::cast_precision_loss, reason = "three digits are shown")]
    let mut value = size as f64 / 1000.0;
    let mut unit = 0;
    // 999.95 would be shown as 1000.0.
    while value >= 999.95 && unit + 1 < UNITS.len() {
        value /= 1000.0;
        unit += 1;
    }
    format!("{value:.1} {}", UNITS[unit])
}

/// How a host was reached, where that was not straight: ` via ops@bastion:22`.
pub(super) fn by_way_of(via: &[String]) -> String {
    if via.is_empty() { String::new() } else { format!(" via {}", via.join(", ")) }
}

/// A time as people say it: `12 ms`, `2.4 s`, `34 s`, `2 min 05 s`.
#[must_use]
pub fn duration(time: Duration) -> String {
    let (ms, s) = (time.as_millis(), time.as_secs());
    match s {
        0 => format!("{ms} ms"),
        1..10 if ms.is_multiple_of(1000) => format!("{s} s"),
        1..10 => format!("{}.{} s", s, (ms % 1000) / 100),
        10..60 => format!("{s} s"),
        60..3600 => format!("{} min {:02} s", s / 60, s % 60),
        _ => format!("{} h {:02} min", s / 3600, s % 3600 / 60),
    }
}

/// How long ago something was, to the one unit that matters: `40 s ago`, `3 h ago`, `12 d ago`.
#[must_use]
pub fn age(time: Duration) -> String {
    let s = time.as_secs();
    match s {
        0..60 => format!("{s} s ago"),
        60..3600 => format!("{} min ago", s / 60),
        3600..172_800 => format!("{} h ago", s / 3600),
        _ => format!("{} d ago", s / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixtures::{changed_plan, first_plan};
    use super::*;
    use crate::release::Sha256Digest;

    #[test]
    fn sizes_have_three_or_four_digits() {
        let shown = [0, 999, 1000, 21_400_000, 999_949, 999_950, u64::MAX].map(bytes);
        assert_eq!(shown, ["0 B", "999 B", "1.0 kB", "21.4 MB", "999.9 kB", "1.0 MB", "18446.7 PB"]);
    }

    #[test]
    fn times_are_as_exact_as_anyone_wants() {
        let shown = [0, 999, 1000, 2049, 9999, 34_900, 125_000, 3_600_000, 90_061_000]
            .map(|ms| duration(Duration::from_millis(ms)));
        let wanted =
            ["0 ms", "999 ms", "1 s", "2.0 s", "9.9 s", "34 s", "2 min 05 s", "1 h 00 min", "25 h 01 min"];
        assert_eq!(shown, wanted);
    }

    #[test]
    fn totals_name_what_they_count_once() {
        let counts = |verdicts: &[Verdict]| {
            let mut counts = RunCounts::default();
            verdicts.iter().for_each(|verdict| counts.add(*verdict));
            counts_words(&counts, Some(Command::Deploy))
        };
        assert_eq!(counts(&[]), "no hosts");
        assert_eq!(counts(&[Verdict::Unchanged]), "1 host unchanged");
        assert_eq!(
            counts(&[Verdict::FailedUntouched, Verdict::Deployed, Verdict::Deployed, Verdict::Unchanged]),
            "2 hosts deployed, 1 unchanged, 1 failed (untouched)"
        );
        assert_eq!(counts(&[Verdict::Planned]), "1 host untouched (declined)");
        let mut planned = RunCounts::default();
        planned.add(Verdict::Planned);
        assert_eq!(counts_words(&planned, Some(Command::Plan)), "1 host planned only");
    }

    #[test]
    fn a_step_reads_well_at_every_time() {
        for plan in [first_plan("web1"), changed_plan("web1")] {
            for step in &plan.steps {
                let words = [Tense::Order, Tense::Going, Tense::Done].map(|tense| step_words(step, tense));
                assert_eq!(words[0], describe_step(step));
                assert!(words.iter().all(|text| !text.contains(['\n', '{'])), "{words:?}");
                assert_ne!(words[0], words[2], "what was done is told apart from what is to be done");
            }
        }
    }

    #[test]
    fn units_that_are_watched_together_are_all_named() {
        let watched = |proven: &[(&str, bool)]| {
            let unit = |&(unit, proven): &(&str, bool)| WatchedUnit {
                unit: unit.parse().unwrap(),
                executable: proven.then(|| Sha256Digest::of(b"new")),
            };
            Step::Observe { units: proven.iter().map(unit).collect(), settle: Duration::from_secs(2) }
        };
        let shown =
            |step: &Step| [Tense::Order, Tense::Going, Tense::Done].map(|tense| step_words(step, tense));
        assert_eq!(
            shown(&watched(&[("a.service", true), ("b.service", true)])),
            [
                "watch a.service and b.service for 2 s: they must stay up and run the release's binary",
                "watching a.service and b.service for 2 s",
                "a.service and b.service stayed up for 2 s and run the release's binary",
            ]
        );
        assert_eq!(
            shown(&watched(&[("a.socket", false), ("a.service", true), ("b.timer", false)])),
            [
                "watch a.socket, a.service and b.timer for 2 s: they must stay up and a.service must run the \
                 release's binary",
                "watching a.socket, a.service and b.timer for 2 s",
                "a.socket, a.service and b.timer stayed up for 2 s and a.service runs the release's binary",
            ]
        );
    }

    #[test]
    fn files_taken_over_are_not_called_uploaded() {
        let Some(Step::Upload { release, mut files, dropped, tree }) =
            changed_plan("web1").steps.into_iter().next()
        else {
            panic!("the first step is the upload");
        };
        files.iter_mut().for_each(|file| file.transfer = Transfer::TakeOver);
        assert_eq!(
            describe_step(&Step::Upload { release, files, dropped, tree }),
            "take over 4 files on the host"
        );
    }

    #[test]
    fn reasons_are_joined_as_people_do() {
        use Reason::{BinaryChanged, EnvChanged, NotRunning, UnitChanged};
        let failed = NotRunning("failed".to_owned());
        assert_eq!(describe_reasons(&[BinaryChanged]), "binary changed");
        assert_eq!(describe_reasons(&[UnitChanged, failed]), "unit file changed; not running: failed");
        let all = [UnitChanged, BinaryChanged, EnvChanged];
        assert_eq!(describe_reasons(&all), "unit file, binary and env file changed");
    }
}
