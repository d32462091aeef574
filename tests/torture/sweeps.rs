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
    let invocation = site.invocation();
    let (end, cut_at) = deploy_with(site, fault, whole);
    let report = |what: String, ran: Option<&Ran>| {
        tally.violation(format!("{fault:?}: {what}\n{}", ran.map_or_else(String::new, Ran::all)));
    };
    let before = if first { "none" } else { "old" };
    let look = |site: &Site, since: Instant, ran: Option<&Ran>| {
        match site.wait_until_settled(since, DEADLINE + GRACE) {
            Ok(time) => tally.settled_in(time),
            Err(what) => report(what, ran),
        }
        match site.state() {
            Ok(state) if state == before || state == "new" => state,
            Ok(state) => {
                report(format!("it was {before}, and is now {state}"), ran);
                state
            }
            Err(what) => {
                report(what, ran);
                "broken"
            }
        }
    };
    let free = |site: &Site, within| {
        if let Err(what) = site.wait_for_lock(cut_at, within) {
            report(what, None);
        }
    };
    let seen = match end {
        End::Ran(ran) => {
            let state = look(site, cut_at, Some(&ran));
            free(site, DEADLINE + GRACE);
            if !is_true(&ran, state, before) {
                report(format!("exit code {:?}, and the host is {state}", ran.code), Some(&ran));
            }
            if matches!(ran.code, Some(1 | 5)) && site.invocation() != invocation {
                report("it was restarted, and is said to be untouched".to_owned(), Some(&ran));
            }
            format!("exit {:?}, host {state}", ran.code)
        }
        End::Silent(child) => {
            let state = look(site, cut_at, None);
            free(site, LOCK_FREE);
            // The network comes back, and with it what was under way; the client must still tell the truth.
            site.relay.resume();
            let ran = child.wait_watching(Duration::from_secs(120), |_| {});
            let later = look(site, Instant::now(), Some(&ran));
            if !is_true(&ran, later, before) {
                report(
                    format!("exit code {:?} after the silence, and the host is {later}", ran.code),
                    Some(&ran),
                );
            }
            format!("host {state}; after the silence: exit {:?}, host {later}", ran.code)
        }
    };
    tally.saw(format!("{seen}; last run: {}", site.last_run()));
    site.disarm();
    let next = site.project.shipit(&["deploy", "prod"]);
    if next.code != Some(0) || site.state() != Ok("new") {
        report(format!("the next deploy does not bring it up ({:?})", site.state()), Some(&next));
        // The rounds that follow must not fail for it.
        site.project.shipit(&["deploy", "prod"]);
    }
    let left = site.incoming();
    if !left.is_empty() {
        report(format!("left in incoming/ after the next deploy: {left}"), Some(&next));
    }
}

/// P2: 0 means that the new release runs; the codes of a host that was not changed, or went back, that the old one does.
/// Each host here can be reached again, so no other code is right. A client that was killed says nothing.
fn is_true(ran: &Ran, state: &str, before: &str) -> bool {
    match ran.code {
        None => true,
        Some(0) => state == "new",
        Some(1 | 3 | 5) => state == before,
        _ => false,
    }
}

/// How a deploy with a fault ended.
enum End {
    /// By itself, or killed.
    Ran(Ran),
    /// Not yet: it waits in a silence.
    Silent(Child),
}

/// Runs a deploy with a fault. Also says since when the host is on its own.
fn deploy_with(site: &Site, fault: Fault, (to_target, to_client): (u64, u64)) -> (End, Instant) {
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
            (End::Ran(ran), cut_at.unwrap_or_else(Instant::now))
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
                return (End::Ran(child.wait()), cut_at);
            }
            (End::Silent(child), cut_at)
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
            (End::Ran(child.wait()), cut_at)
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
    // A deploy has about twenty events; each is reached at another moment each time.
    let kills = (1..=21).map(Fault::Kill);
    sweep("kill", 4, false, kills.clone().chain(kills.clone()).chain(kills).collect());
}
