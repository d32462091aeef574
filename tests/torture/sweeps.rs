//! A deploy that is cut at every place of its conversation, silenced there, or killed at each of its own events.
use std::collections::VecDeque;
use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant};

use crate::harness::{Child, Ran};
use crate::hosts::relay::Direction::{self, ToClient, ToTarget};
use crate::site::{DEADLINE, GRACE, LOCK_FREE, Site};
use crate::tally::Tally;

/// What is done to a deploy.
#[derive(Clone, Copy, Debug)]
enum Fault {
    /// The connection is closed after this part of the bytes of one direction.
    Cut(Direction, f64),
    /// From there on nothing passes, and nobody is told.
    Silence(Direction, f64),
    /// shipit is killed when this line of its events appears.
    Kill(usize),
}

/// All the places, evenly over the whole conversation.
fn places(count: u32, fault: impl Fn(Direction, f64) -> Fault) -> Vec<Fault> {
    let place = |number| (f64::from(number) + 0.5) / f64::from(count);
    let both = |number| [fault(ToTarget, place(number)), fault(ToClient, place(number))];
    (0..count).flat_map(both).collect()
}

/// Each worker has its own user on the shared host; they take the faults one by one.
fn sweep(name: &'static str, workers: usize, first: bool, faults: Vec<Fault>) {
    let tally = Tally::new(name);
    let least = faults.len();
    let queue = Mutex::new(VecDeque::from(faults));
    thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                let Some(mut site) = Site::new(first) else { return };
                let whole = site.measure();
                loop {
                    let Some(fault) = queue.lock().unwrap().pop_front() else { break };
                    round(&mut site, fault, whole, first, &tally);
                    if let Some(broken) = site.seen_broken() {
                        tally.violation(format!("{fault:?}: {broken}"));
                        break;
                    }
                }
            });
        }
    });
    tally.conclude(least);
}

fn round(site: &mut Site, fault: Fault, whole: (u64, u64), first: bool, tally: &Tally) {
    if first {
        site.wipe();
    }
    site.change();
    let (ended, cut_at) = deploy_with(site, fault, whole);
    let name = format!("{fault:?}");
    let report = |what: String| {
        let all = ended.as_ref().map_or_else(String::new, Ran::all);
        tally.violation(format!("{name}: {what}\n{all}"));
    };
    match site.wait_until_settled(cut_at, DEADLINE + GRACE) {
        Ok(time) => tally.settled_in(time),
        Err(what) => report(what),
    }
    let state = match site.state() {
        Ok(state) => state,
        Err(what) => {
            report(what);
            "broken"
        }
    };
    let before = if first { "none" } else { "old" };
    if state != before && state != "new" {
        report(format!("it was {before}, and is now {state}"));
    }
    let code = ended.as_ref().and_then(|ran| ran.code);
    let told_true = match code {
        // Killed, or still in the silence.
        None => true,
        Some(0) => state == "new",
        Some(1 | 3 | 5) => state == before,
        _ => false,
    };
    if !told_true {
        report(format!("exit code {code:?}, and the host is {state}"));
    }
    let silent = matches!(fault, Fault::Silence(..));
    let free_within = if silent { LOCK_FREE } else { DEADLINE + GRACE };
    if let Err(what) = site.wait_for_lock(cut_at, free_within) {
        report(what);
    }
    tally.saw(format!(
        "exit {}, host {state}; last run: {}",
        code.map_or_else(|| "-".to_owned(), |code| code.to_string()),
        site.last_run()
    ));
    site.disarm();
    let next = site.project.shipit(&["deploy", "prod"]);
    if next.code != Some(0) || site.state() != Ok("new") {
        report(format!("the next deploy does not bring it up ({:?}): {}", site.state(), next.all()));
        // Others must not fail for it.
        site.project.shipit(&["deploy", "prod"]);
    }
    let left = site.incoming();
    if !left.is_empty() {
        report(format!("left in incoming/ after the next deploy: {left}"));
    }
}

/// Runs a deploy until the fault has happened and shipit has ended, by itself or killed. A silenced one is left alone
/// until the host has settled: `None`.
fn deploy_with(site: &Site, fault: Fault, (to_target, to_client): (u64, u64)) -> (Option<Ran>, Instant) {
    #[expect(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    let bytes = |direction, part: f64| match direction {
        ToTarget => (to_target as f64 * part) as u64,
        ToClient => (to_client as f64 * part) as u64,
    };
    match fault {
        Fault::Cut(direction, part) => {
            site.relay.cut_after(direction, bytes(direction, part));
            let child = Child::spawn(&mut site.project.command(&["deploy", "prod"]));
            // A cut behind the last byte never comes.
            let mut cut_at = None;
            let ran = child.wait_watching(Duration::from_secs(60), |output| {
                if cut_at.is_none() && output.contains("connection lost") {
                    cut_at = Some(Instant::now());
                }
            });
            (Some(ran), cut_at.unwrap_or_else(Instant::now))
        }
        Fault::Silence(direction, part) => {
            site.relay.go_silent_after(direction, bytes(direction, part));
            let mut child = Child::spawn(&mut site.project.command(&["deploy", "prod"]));
            let start = Instant::now();
            while !site.relay.is_silent() && child.ended().is_none() && start.elapsed() < DEADLINE * 5 {
                thread::sleep(Duration::from_millis(10));
            }
            let cut_at = Instant::now();
            if child.ended().is_some() {
                return (Some(child.wait()), cut_at);
            }
            // The client is as cut off as the host. It is killed where nobody on the host can notice.
            drop(child);
            (None, cut_at)
        }
        Fault::Kill(line) => {
            let mut child = Child::spawn(&mut site.project.command(&["deploy", "prod", "--format", "json"]));
            let start = Instant::now();
            while child.ended().is_none() && child.output().lines().count() < line {
                assert!(start.elapsed() < Duration::from_secs(60), "{}", child.output());
                thread::sleep(Duration::from_millis(1));
            }
            if child.ended().is_none() {
                child.signal("KILL");
            }
            let cut_at = Instant::now();
            let ran = child.wait();
            (ran.code.is_some().then_some(ran), cut_at)
        }
    }
}

#[test]
#[ignore = "takes minutes: make torture"]
fn a_deploy_cut_anywhere() {
    sweep("cut", 4, false, places(80, Fault::Cut));
}

#[test]
#[ignore = "takes minutes: make torture"]
fn a_first_deploy_cut_anywhere() {
    sweep("cut, first deploy", 4, true, places(25, Fault::Cut));
}

#[test]
#[ignore = "takes minutes: make torture"]
fn a_deploy_silenced_anywhere() {
    sweep("silence", 10, false, places(40, Fault::Silence));
}

#[test]
#[ignore = "takes minutes: make torture"]
fn a_deploy_killed_at_each_of_its_events() {
    let kills = (1..=30).map(Fault::Kill);
    sweep("kill", 4, false, kills.clone().chain(kills).collect());
}
