//! What was tried, what was seen, and what must not have been.
use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// Counts over all workers of one sweep.
pub struct Tally {
    name: &'static str,
    began: Instant,
    counted: Mutex<Counted>,
}

#[derive(Default)]
struct Counted {
    tried: usize,
    states: BTreeMap<String, usize>,
    violations: Vec<String>,
    slowest: Duration,
}

impl Tally {
    pub fn new(name: &'static str) -> Self {
        Self { name, began: Instant::now(), counted: Mutex::default() }
    }

    /// One try, and the state that it ended in.
    pub fn saw(&self, state: String) {
        let mut counted = self.counted.lock().unwrap();
        counted.tried += 1;
        *counted.states.entry(state).or_default() += 1;
        if counted.tried % 20 == 0 {
            eprintln!("{}: {} tried in {} s", self.name, counted.tried, self.began.elapsed().as_secs());
        }
    }

    /// How long a host took to settle.
    pub fn settled_in(&self, time: Duration) {
        let mut counted = self.counted.lock().unwrap();
        counted.slowest = counted.slowest.max(time);
    }

    /// A promise that was broken.
    pub fn violation(&self, what: String) {
        eprintln!("{}: VIOLATION: {what}", self.name);
        self.counted.lock().unwrap().violations.push(what);
    }

    /// Prints the figures; fails when a promise was broken, or too little was tried.
    #[track_caller]
    pub fn conclude(self, least: usize) {
        let counted = self.counted.into_inner().unwrap();
        eprintln!(
            "{}: {} tried in {} s, {} distinct end states, {} violations, slowest to settle {:.1} s",
            self.name,
            counted.tried,
            self.began.elapsed().as_secs(),
            counted.states.len(),
            counted.violations.len(),
            counted.slowest.as_secs_f64()
        );
        for (state, times) in &counted.states {
            eprintln!("{times:6} x {state}");
        }
        assert!(counted.violations.is_empty(), "{}", counted.violations.join("\n\n"));
        assert!(counted.tried >= least, "only {} of {least} were tried", counted.tried);
    }
}
