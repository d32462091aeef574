//! The edge where secrets are taken out of events: before any reporter cuts, wraps, escapes or colours a text.
use std::sync::Arc;

use super::Reporter;
use super::event::{Event, EventKind, Failure};
use super::mask::Mask;
use crate::host::JournalEntry;
use crate::plan::{Before, CopyChange, CopyPlace, CopyRemoval, Detail, LinkState, Plan, Reason, Step};

/// What the host cuts a line at, of a hook that says more than it hands on (`hook.sh`).
const HOST_CUTS_AT: usize = 4096;

/// Hands events on to another reporter, without secrets.
pub struct MaskedReporter {
    inner: Box<dyn Reporter>,
    mask: Mask,
}

impl MaskedReporter {
    /// One that hands on to `inner`.
    #[must_use]
    pub fn new(inner: Box<dyn Reporter>, mask: Mask) -> Self {
        Self { inner, mask }
    }
}

impl Reporter for MaskedReporter {
    fn on_event(&mut self, event: &Event) {
        if self.mask.is_empty() {
            return self.inner.on_event(event);
        }
        let mut event = event.clone();
        mask_event(&mut event.kind, &self.mask);
        self.inner.on_event(&event);
    }
}

/// Masks every text of the event that comes from elsewhere. Names, numbers, hashes and our own words are left alone.
fn mask_event(kind: &mut EventKind, mask: &Mask) {
    let text = |text: &mut String| hide(text, mask);
    match kind {
        EventKind::LocalHookStarted { when: _, run } => text(run),
        EventKind::LocalHookSaid { when: _, line } => text(line),
        EventKind::LocalHookFailed { when: _, run, why, said } => {
            text(run);
            text(why);
            said.iter_mut().for_each(text);
        }
        EventKind::Planned { plan } => *plan = Arc::new(masked_plan(plan, mask)),
        EventKind::StepStarted { number: _, step } => {
            let mut masked = Step::clone(step);
            mask_step(&mut masked, mask);
            *step = Arc::new(masked);
        }
        EventKind::StepSaid { number: _, line } => {
            *line =
                if line.len() < HOST_CUTS_AT { mask.text(line).into_owned() } else { mask.cut_text(line) };
        }
        EventKind::JournalRead { entries } => {
            entries.iter_mut().for_each(|entry| mask_journal_entry(entry, mask));
        }
        EventKind::HostFinished { verdict: _, release: _, failure, warnings, elapsed: _ } => {
            if let Some(failure) = failure {
                mask_failure(failure, mask);
            }
            warnings.iter_mut().for_each(|text| *text = mask.cut_text(text));
        }
        EventKind::Waiting { what: _, holder } => {
            if let Some(holder) = holder {
                text(&mut holder.who);
                holder.message.iter_mut().for_each(text);
            }
        }
        EventKind::RevertStarted { why } | EventKind::ConnectionLost { why, deadline: _ } => text(why),
        EventKind::RunStarted { .. }
        | EventKind::LocalHookFinished { .. }
        | EventKind::ConnectStarted
        | EventKind::Connected { .. }
        | EventKind::Probed { .. }
        | EventKind::UploadProgressed { .. }
        | EventKind::StepFinished { .. }
        | EventKind::StepFailed { .. }
        | EventKind::PlanningAgain
        | EventKind::Recovered { .. }
        | EventKind::UnitKilled { .. }
        | EventKind::Interrupted
        | EventKind::Left
        | EventKind::RunFinished { .. } => {}
    }
}

/// Masks what a service wrote.
pub fn mask_journal_entry(entry: &mut JournalEntry, mask: &Mask) {
    hide(&mut entry.identifier, mask);
    hide(&mut entry.message, mask);
}

fn mask_failure(failure: &mut Failure, mask: &Mask) {
    let Failure { code: _, causes, state, help, details } = failure;
    hide(state, mask);
    help.iter_mut().for_each(|text| hide(text, mask));
    // The host, or what asked it, has cut long lines, perhaps in the middle of a secret.
    causes.iter_mut().chain(details).for_each(|text| *text = mask.cut_text(text));
}

fn masked_plan(plan: &Plan, mask: &Mask) -> Plan {
    let mut plan = plan.clone();
    plan.steps.iter_mut().for_each(|step| mask_step(step, mask));
    plan
}

fn mask_step(step: &mut Step, mask: &Mask) {
    match step {
        Step::Upload { release: _, files, dropped: _, tree } => {
            tree.symlinks.iter_mut().filter_map(|link| link.was.as_mut()).for_each(|was| hide(was, mask));
            for file in files {
                if let Detail::Text(diff) = &mut file.detail {
                    diff.change_texts(|text| hide(text, mask));
                }
            }
        }
        Step::Hook { when: _, run, hosts: _, timeout: _ }
        | Step::Prepare { name: _, key: _, run, timeout: _ }
        | Step::Validate { run, timeout: _ }
        | Step::OnChange { run, timeout: _ } => hide(run, mask),
        Step::Link(link) => {
            if let LinkState::Symlink(target) = &mut link.was {
                hide(target, mask);
            }
        }
        Step::Install(CopyChange { place: CopyPlace { was, edit, .. }, .. })
        | Step::Uninstall(CopyRemoval { place: CopyPlace { was, edit, .. }, .. }) => {
            if let Before::Symlink { target } = was {
                hide(target, mask);
            }
            if let Some(edit) = edit {
                edit.change_texts(|text| hide(text, mask));
            }
        }
        Step::Restart { unit: _, reasons }
        | Step::Reload { unit: _, reasons }
        | Step::Start { unit: _, reasons } => {
            for reason in reasons {
                if let Reason::NotRunning(state) = reason {
                    hide(state, mask);
                }
            }
        }
        Step::EnableLingering { .. }
        | Step::MakeUser { .. }
        | Step::JoinGroups { .. }
        | Step::Seal { .. }
        | Step::CheckRelease { .. }
        | Step::Stop { .. }
        | Step::Disable { .. }
        | Step::Unlink { .. }
        | Step::Switch { .. }
        | Step::ReloadManager
        | Step::Enable { .. }
        | Step::Observe { .. }
        | Step::AskHealth { .. }
        | Step::Prune { .. } => {}
    }
}

fn hide(text: &mut String, mask: &Mask) {
    if let std::borrow::Cow::Owned(masked) = mask.text(text) {
        *text = masked;
    }
}

#[cfg(test)]
mod tests {
    use indicatif::ProgressDrawTarget;

    use super::super::fixtures::{Paper, event, every_kind, local_hooks, mixed_run, text_style};
    use super::super::screen::Screen;
    use super::super::{Colour, JsonReporter, PlainReporter, TerminalReporter, Verbosity};
    use super::*;

    /// A secret as hosts, hooks and services might send it back: whole, on two lines, and in JSON.
    const SECRET: &str = "it's hunter2 \"quoted\"\nhunter2, second line";

    fn events() -> Vec<Event> {
        let mut events = local_hooks();
        for hook in &mut events {
            if let EventKind::LocalHookSaid { line, .. } | EventKind::LocalHookFailed { why: line, .. } =
                &mut hook.kind
            {
                line.push_str(SECRET);
            }
        }
        events.extend(mixed_run(SECRET));
        events.extend(every_kind().into_iter().map(|kind| event(0, Some("web1"), kind)));
        events.push(event(0, Some("web1"), EventKind::RevertStarted { why: SECRET.to_owned() }));
        events
    }

    fn masked(inner: impl Reporter + 'static) -> MaskedReporter {
        let mask = Mask::default();
        mask.hide(SECRET);
        MaskedReporter::new(Box::new(inner), mask)
    }

    #[test]
    fn no_reporter_shows_a_secret() {
        let (plain, json, lines) = (Paper::default(), Paper::default(), Paper::default());
        let style = || text_style(Verbosity::Verbose, Colour::Off);
        let screen = Screen::new(120);
        let target = ProgressDrawTarget::term_like_with_hz(Box::new(screen.clone()), 255);
        let mut reporters = [
            masked(PlainReporter::new(Box::new(plain.clone()), style())),
            masked(JsonReporter::new(Box::new(json.clone()))),
            masked(TerminalReporter::with_target(Box::new(lines.clone()), target, style())),
        ];
        let mut drawn = String::new();
        for event in events() {
            reporters.iter_mut().for_each(|reporter| reporter.on_event(&event));
            drawn.push_str(&screen.text());
        }
        for shown in [plain.text(), json.text(), lines.text(), drawn] {
            assert!(!shown.contains("hunter2"), "{shown}");
        }
        assert!(plain.text().contains("***") && lines.text().contains("***"), "there was something to hide");
        for line in json.text().lines() {
            let event: serde_json::Value = serde_json::from_str(line).unwrap();
            assert!(event["event"].is_string());
        }
    }

    #[test]
    fn without_secrets_nothing_is_changed() {
        let (masked, plain) = (Paper::default(), Paper::default());
        let mut reporter =
            MaskedReporter::new(Box::new(JsonReporter::new(Box::new(masked.clone()))), Mask::default());
        let mut bare = JsonReporter::new(Box::new(plain.clone()));
        for event in events() {
            reporter.on_event(&event);
            bare.on_event(&event);
        }
        assert_eq!(masked.text(), plain.text());
    }
}
