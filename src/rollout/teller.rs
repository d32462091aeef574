//! What a run on a host does, told as events; and what a failure of it needs.
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::engine::Context;
use super::gate::Gate;
use super::warnings::Warnings;
use crate::host::ActivationEvent;
use crate::manifest::{HookPoint, first_line};
use crate::plan::{Plan, Step};
use crate::report::{EventKind, Events};

/// How many lines of what a step said are kept for its failure.
const KEPT_LINES: usize = 20;

/// Tells of what the run does, and keeps what a failure needs.
pub(super) struct Teller {
    pub(super) events: Events,
    plan: Arc<Plan>,
    began: Instant,
    /// The step that failed first.
    pub(super) failed: Option<usize>,
    /// The last that it said.
    pub(super) said: Vec<String>,
    /// The last line of the step under way.
    last: String,
    watched: Vec<(usize, Duration)>,
    /// Whether the service was switched, or a step that touches it has begun.
    pub(super) touched: bool,
    gate: Gate,
    warnings: Warnings,
}

impl Teller {
    pub(super) fn new(plan: &Arc<Plan>, events: &Events, context: &Context) -> Self {
        Self {
            events: events.clone(),
            plan: Arc::clone(plan),
            began: Instant::now(),
            failed: None,
            said: Vec::new(),
            last: String::new(),
            watched: Vec::new(),
            touched: false,
            gate: context.gate.clone(),
            warnings: context.warnings.clone(),
        }
    }

    pub(super) fn tell(&mut self, event: ActivationEvent) {
        match event {
            ActivationEvent::Started(number) => {
                self.began = Instant::now();
                self.last.clear();
                if self.failed.is_none() {
                    self.said.clear();
                }
                if let Some(step) = self.plan.steps.get(number) {
                    self.touched |= step.touches_service() && !is_switch(step);
                    self.events.send(EventKind::StepStarted { number, step: Arc::new(step.clone()) });
                }
            }
            ActivationEvent::Finished(number) => {
                let elapsed = self.began.elapsed();
                if self.plan.last_shared_step() == Some(number) {
                    self.gate.open();
                }
                self.touched |= self.plan.steps.get(number).is_some_and(is_switch);
                match self.plan.steps.get(number) {
                    // Seen is not yet well: the verdict is ours.
                    Some(Step::Observe { .. }) => self.watched.push((number, elapsed)),
                    _ => self.events.send(EventKind::StepFinished { number, elapsed }),
                }
            }
            ActivationEvent::Said { step: number, line } => {
                // What came last says why; a program may say a lot before.
                if self.failed.is_none() {
                    let excess = (self.said.len() + 1).saturating_sub(KEPT_LINES);
                    self.said.drain(..excess);
                    self.said.push(line.clone());
                }
                self.last.clone_from(&line);
                self.events.send(EventKind::StepSaid { number, line });
            }
            ActivationEvent::Failed { step: number, .. } => {
                if !self.warn(number) {
                    self.failed = self.failed.or(Some(number));
                }
                self.events.send(EventKind::StepFailed { number });
            }
            ActivationEvent::Reverting(why) => self.events.send(EventKind::RevertStarted { why }),
            ActivationEvent::Killed(unit) => self.events.send(EventKind::UnitKilled { unit }),
        }
    }

    /// From the log, of what happened while there was no connection: whether the service was touched, how it stopped, and
    /// what went wrong that changes nothing.
    pub(super) fn catch_up(&mut self, event: &ActivationEvent) {
        match event {
            ActivationEvent::Started(number) => {
                let touches = |step: &Step| step.touches_service() && !is_switch(step);
                self.touched |= self.plan.steps.get(*number).is_some_and(touches);
            }
            ActivationEvent::Finished(number) => {
                self.touched |= self.plan.steps.get(*number).is_some_and(is_switch);
            }
            ActivationEvent::Killed(unit) => self.events.send(EventKind::UnitKilled { unit: unit.clone() }),
            ActivationEvent::Said { line, .. } => self.last.clone_from(line),
            ActivationEvent::Failed { step, .. } => {
                self.warn(*step);
            }
            ActivationEvent::Reverting(_) => {}
        }
    }

    /// Notes a step that failed when how the host ends was settled already. Whether it is such a one.
    fn warn(&self, number: usize) -> bool {
        let what = match self.plan.steps.get(number) {
            Some(Step::Hook {
                when: when @ (HookPoint::AfterDeploy | HookPoint::OnFailure), run, ..
            }) => {
                format!("the hook {} failed: `{}`", when.as_str(), first_line(run))
            }
            Some(Step::Prune { .. }) => "old releases could not be removed".to_owned(),
            _ => return false,
        };
        let why = if self.last.is_empty() { String::new() } else { format!(": {}", self.last) };
        self.warnings.add(self.events.host(), format!("{what}{why}"));
        true
    }

    pub(super) fn watched_well(&self, number: usize) {
        let elapsed =
            self.watched.iter().find(|(watched, _)| *watched == number).map(|(_, elapsed)| *elapsed);
        self.events.send(EventKind::StepFinished { number, elapsed: elapsed.unwrap_or_default() });
    }
}

/// A switch that fails leaves `current` as it was, and nothing has been restarted yet.
fn is_switch(step: &Step) -> bool {
    matches!(step, Step::Switch { .. })
}
