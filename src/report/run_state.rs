//! What a reporter has to remember between events: the hosts, their names as shown, the steps under way, the ends.
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use super::event::{Command, Event, EventKind, Verdict};
use crate::manifest::Address;
use crate::plan::Step;
use crate::release::ReleaseId;

/// The run so far.
#[derive(Debug, Default)]
pub(super) struct RunState {
    pub(super) command: Option<Command>,
    pub(super) hosts: Vec<HostState>,
    places: HashMap<Address, usize>,
}

/// One host so far.
#[derive(Debug)]
pub(super) struct HostState {
    /// What it is called in the output: its name, or its whole address where the names alone are not unique.
    pub(super) label: String,
    /// What `current` was when it was probed.
    pub(super) current: Option<ReleaseId>,
    steps: HashMap<usize, Arc<Step>>,
    pub(super) end: Option<HostEnd>,
}

/// How a host ended.
#[derive(Debug)]
pub(super) struct HostEnd {
    pub(super) verdict: Verdict,
    pub(super) release: Option<ReleaseId>,
    /// What went wrong, in a line.
    pub(super) problem: Option<String>,
    /// What went wrong besides.
    pub(super) warnings: Vec<String>,
    pub(super) elapsed: Duration,
}

impl RunState {
    /// Takes note of the event. To be called before it is shown.
    pub(super) fn note(&mut self, event: &Event) {
        if let EventKind::RunStarted { command, hosts, .. } = &event.kind {
            self.command = Some(*command);
            for address in hosts {
                self.place(address, hosts);
            }
        }
        let Some(address) = &event.host else { return };
        let place = self.place(address, &[]);
        let Some(host) = self.hosts.get_mut(place) else { return };
        match &event.kind {
            EventKind::Probed { current, .. } => host.current.clone_from(current),
            EventKind::StepStarted { number, step } => {
                host.steps.insert(*number, Arc::clone(step));
            }
            EventKind::HostFinished { verdict, release, failure, warnings, elapsed } => {
                host.end = Some(HostEnd {
                    verdict: *verdict,
                    release: release.clone(),
                    problem: failure.as_ref().and_then(|f| f.causes.first().cloned()),
                    warnings: warnings.clone(),
                    elapsed: *elapsed,
                });
            }
            _ => {}
        }
    }

    fn place(&mut self, address: &Address, all: &[Address]) -> usize {
        if let Some(place) = self.places.get(address) {
            return *place;
        }
        let namesakes = all.iter().filter(|other| other.host == address.host).count();
        let label = if namesakes > 1 { address.to_string() } else { address.host.to_string() };
        let place = self.hosts.len();
        self.places.insert(address.clone(), place);
        self.hosts.push(HostState { label, current: None, steps: HashMap::new(), end: None });
        place
    }

    /// The place of the event's host among the hosts.
    pub(super) fn place_of(&self, event: &Event) -> Option<usize> {
        event.host.as_ref().and_then(|address| self.places.get(address)).copied()
    }

    /// The event's host.
    pub(super) fn host(&self, event: &Event) -> Option<&HostState> {
        self.place_of(event).and_then(|place| self.hosts.get(place))
    }

    /// The step of this number on the event's host.
    pub(super) fn step(&self, event: &Event, number: usize) -> Option<&Step> {
        self.host(event).and_then(|host| host.steps.get(&number)).map(Arc::as_ref)
    }

    /// Whether that step is a program of the operator's: what it says is for the operator, too.
    pub(super) fn is_operators(&self, event: &Event, number: usize) -> bool {
        matches!(self.step(event, number), Some(Step::Hook { .. } | Step::Prepare { .. }))
    }

    /// The width of a column of hosts; long names stick out of it.
    pub(super) fn label_width(&self) -> usize {
        self.hosts.iter().map(|host| host.label.chars().count()).max().unwrap_or(0).min(32)
    }
}
