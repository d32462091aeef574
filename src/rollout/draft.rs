//! What a host is to be brought to, as far as that can be said before it was looked at.
use super::failure::HostFailure;
use super::host_error::HostError;
use super::host_run::Goal;
use crate::host::Extent;
use crate::manifest::Manifest;
use crate::manifest::template::TemplateFacts;
use crate::plan::{Facts, Layout, Systemd};
use crate::release::Recipe;

/// What a host is to be brought to, perhaps not known in all its parts.
#[derive(Debug, Clone)]
pub enum Draft {
    /// It is settled.
    Settled(Goal),
    /// A release whose templates want to know the host's facts.
    Recipe(Box<Recipe>),
}

impl Draft {
    /// How much has to be asked of the host.
    pub(super) fn extent(&self) -> Extent {
        match self {
            Self::Settled(goal) => goal.extent(),
            Self::Recipe(_) => Extent::Present,
        }
    }

    /// Whether files may have to be sent.
    pub(super) fn sends(&self) -> bool {
        match self {
            Self::Settled(goal) => goal.sends(),
            Self::Recipe(_) => true,
        }
    }

    /// With the facts, it is settled.
    pub(super) fn settle(self, facts: &Facts, manifest: &Manifest) -> Result<Goal, Box<HostFailure>> {
        match self {
            Self::Settled(goal) => Ok(goal),
            Self::Recipe(recipe) => match recipe.make(template_facts(facts, manifest)) {
                Ok(release) => Ok(Goal::Release(Box::new(release))),
                Err(problems) => {
                    let current = facts.current.release().cloned();
                    Err(Box::new(HostFailure::untouched(HostError::Template(problems), current)))
                }
            },
        }
    }
}

/// What templates see of a host.
#[must_use]
pub fn template_facts(facts: &Facts, manifest: &Manifest) -> TemplateFacts {
    TemplateFacts {
        hostname: facts.hostname.clone(),
        user: facts.user.clone(),
        home: facts.home.to_string(),
        uid: facts.uid,
        kernel: facts.kernel.clone(),
        machine: facts.machine.clone(),
        systemd: match facts.systemd {
            Systemd::Running(version) => version,
            // Such a host is refused.
            Systemd::Missing | Systemd::NotBooted => 0,
        },
        root: Layout::new(&facts.home, manifest).root().join("current").to_string(),
    }
}
