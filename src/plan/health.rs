//! The steps that ask the service how it is.
use super::step::Step;
use crate::manifest::{HealthCheck, Manifest, Question};

/// What is asked after these steps: all, where a unit was started or reloaded. Where only other programs were told of a
/// changed file, what they do may still be between the service and those who use it; but nothing has started that would
/// say so in the journal.
pub(super) fn questions(manifest: &Manifest, steps: &[Step]) -> Vec<Step> {
    let starts = steps.iter().any(|step| matches!(step, Step::Observe { .. }));
    let tells = steps.iter().any(|step| matches!(step, Step::OnChange { .. }));
    let is_asked = |check: &&HealthCheck| match &check.question {
        Question::Journal(_) => starts,
        Question::Http(_) | Question::Tcp(_) | Question::Command(_) | Question::Unit(_) => starts || tells,
    };
    manifest.health.iter().filter(is_asked).map(|check| Step::AskHealth { check: check.clone() }).collect()
}
