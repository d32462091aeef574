//! A plan, for people: in full before they say yes, in a few lines before it is carried out.
use std::fmt;

use super::copies_text::copies_lines;
use super::files_text::{diff_lines, files_lines};
use super::line::{Colour, Line, Paint};
use super::words::{self, describe_step};
use crate::plan::{
    Detail, EnvChange, FileChange, KeyChange, LinkChange, LinkPath, LinkState, Plan, Privilege, Step,
    TextDiff, Transfer,
};

/// How a plan is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PlanStyle {
    /// How much of it.
    pub detail: PlanDetail,
    /// Whether colours may be used.
    pub colour: Colour,
}

/// How much of a plan is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PlanDetail {
    /// One to three lines.
    Summary,
    /// Everything.
    Full,
}

/// Writes the plan of one host, beginning with the host's name.
///
/// # Errors
///
/// When `out` can't be written to.
pub fn write_plan(out: &mut dyn fmt::Write, plan: &Plan, style: PlanStyle) -> fmt::Result {
    write_group(out, &[plan], style)
}

/// Writes the plans of several hosts. Hosts that get the same are shown together, so that twenty of them are as easy
/// to read as one, and what is different stands out.
///
/// # Errors
///
/// When `out` can't be written to.
pub fn write_plans(out: &mut dyn fmt::Write, plans: &[&Plan], style: PlanStyle) -> fmt::Result {
    let mut groups: Vec<Vec<&Plan>> = Vec::new();
    for plan in plans {
        match groups.iter_mut().find(|group| group.first().is_some_and(|first| are_alike(first, plan))) {
            Some(group) => group.push(plan),
            None => groups.push(vec![plan]),
        }
    }
    for (number, group) in groups.iter().enumerate() {
        if number > 0 && style.detail == PlanDetail::Full {
            writeln!(out)?;
        }
        write_group(out, group, style)?;
    }
    Ok(())
}

/// Whether the plans do the same, on different hosts.
fn are_alike(one: &Plan, other: &Plan) -> bool {
    let Plan { service, host: _, root, from, release, steps } = one;
    (service, root, from, release, steps)
        == (&other.service, &other.root, &other.from, &other.release, &other.steps)
}

/// Writes plans that are alike.
fn write_group(out: &mut dyn fmt::Write, group: &[&Plan], style: PlanStyle) -> fmt::Result {
    let Some(plan) = group.first() else { return Ok(()) };
    let hosts: Vec<_> = group.iter().map(|plan| plan.host.to_string()).collect();
    let mut hosts = hosts.join(", ");
    if group.len() > 2 {
        hosts = format!("{} hosts ({hosts})", group.len());
    }
    let lines = match style.detail {
        PlanDetail::Full => full(plan, &hosts),
        PlanDetail::Summary => {
            let mut lines = summary_lines(plan).into_iter();
            let first = lines.next().unwrap_or_default();
            let host = Line::new().bold(hosts).plain(": ").then(first);
            std::iter::once(host).chain(lines.map(|line| Line::of("  ").then(line))).collect()
        }
    };
    for line in lines {
        writeln!(out, "{}", line.render(style.colour))?;
    }
    Ok(())
}

/// What happens to the release: `A replaces B`.
fn headline(plan: &Plan) -> Line {
    let release = plan.release.to_string();
    if plan.is_empty() {
        return Line::of("nothing to do, runs ").plain(release);
    }
    match &plan.from {
        None => Line::of("first deploy, release ").bold(release),
        Some(from) if *from == plan.release => Line::of("stays on ").bold(release),
        // Ids sort by age.
        Some(from) if plan.release < *from => {
            Line::of("goes back to ").bold(release).plain(format!(" from {from}"))
        }
        Some(from) => Line::new().bold(release).plain(format!(" replaces {from}")),
    }
}

/// The plan as reporters tell of it before it is carried out.
pub(super) fn announcement(plan: &Plan) -> Vec<Line> {
    let starts = std::iter::once("plan: ").chain(std::iter::repeat("      "));
    starts.zip(summary_lines(plan)).map(|(start, line)| Line::of(start).then(line)).collect()
}

/// The plan in one to three lines, without the host.
fn summary_lines(plan: &Plan) -> Vec<Line> {
    let mut lines = vec![headline(plan)];
    let mut parts = Vec::new();
    let (mut links, mut installs, mut unlinked, mut hooks, mut enabled, mut disabled) =
        (0, 0, 0, 0, Vec::new(), Vec::new());
    for step in &plan.steps {
        match step {
            Step::Upload { files, .. } => {
                let sent: Vec<_> = files.iter().filter(|f| f.transfer == Transfer::Send).collect();
                let size: u64 = sent.iter().map(|f| f.size).sum();
                parts.push(match sent.len() {
                    0 => "no file to send".to_owned(),
                    n => format!("{} ({})", words::files_words(n, files.len()), words::bytes(size)),
                });
            }
            Step::Link(_) => links += 1,
            Step::Install(_) => installs += 1,
            Step::Uninstall(_) => parts.push(describe_step(step)),
            Step::Hook { .. } => hooks += 1,
            Step::OnChange { .. } => parts.push(describe_step(step)),
            Step::Unlink { .. } => unlinked += 1,
            Step::Enable { unit } => enabled.push(unit.as_str()),
            Step::Disable { unit } => disabled.push(unit.as_str()),
            Step::Restart { .. } | Step::Reload { .. } | Step::Start { .. } | Step::Stop { .. } => {
                parts.push(describe_step(step));
            }
            Step::MakeUser { .. } => parts.push(describe_step(step)),
            Step::Prepare { name, .. } => parts.push(format!("build {name} on the host")),
            Step::EnableLingering { .. }
            | Step::JoinGroups { .. }
            | Step::Seal { .. }
            | Step::CheckRelease { .. }
            | Step::Switch { .. }
            | Step::Validate { .. }
            | Step::ReloadManager
            | Step::Observe { .. }
            | Step::AskHealth { .. }
            | Step::Prune { .. } => {}
        }
    }
    if links > 0 {
        parts.push(words::count(links, "link", "links"));
    }
    if installs > 0 {
        parts.push(format!("{} to install", words::count(installs, "file", "files")));
    }
    if unlinked > 0 {
        parts.push(format!("{} to remove", words::count(unlinked, "link", "links")));
    }
    if hooks > 0 {
        parts.push(words::count(hooks, "hook", "hooks"));
    }
    if !enabled.is_empty() {
        parts.push(format!("enable {}", enabled.join(" ")));
    }
    if !disabled.is_empty() {
        parts.push(format!("disable {}", disabled.join(" ")));
    }
    if !parts.is_empty() {
        lines.push(Line::of(parts.join(", ")));
    }
    let with_sudo: Vec<_> = plan.steps.iter().filter(|s| s.privilege() == Privilege::Root).collect();
    if !with_sudo.is_empty() {
        let words: Vec<_> = with_sudo.iter().map(|step| sudo_words(step)).collect();
        lines.push(Line::new().yellow("with sudo: ").plain(words.join(", ")));
    }
    lines
}

fn sudo_words(step: &Step) -> String {
    match step {
        Step::Link(link) => format!("link {}", link.path),
        Step::Install(copy) => format!("install {}", copy.place.path),
        Step::EnableLingering { user } => format!("enable lingering for {user}"),
        other => describe_step(other),
    }
}

fn full(plan: &Plan, hosts: &str) -> Vec<Line> {
    let title = Line::new().bold(format!("{} on {hosts}", plan.service)).plain(": ");
    let mut lines = vec![title.then(headline(plan))];
    if plan.is_empty() {
        return lines;
    }
    for step in &plan.steps {
        let Step::Upload { files, dropped, tree, .. } = step else { continue };
        let (title, of_files) = files_lines(files, dropped, tree);
        section(title, &mut lines);
        lines.extend(of_files);
        for file in files {
            match &file.detail {
                Detail::Text(diff) => diff_section(file, diff, &mut lines),
                Detail::Env(changes) => env_section(file, changes, &mut lines),
                Detail::Opaque => {}
            }
        }
    }
    let links: Vec<_> = plan
        .steps
        .iter()
        .filter_map(|step| match step {
            Step::Link(link) => Some(link),
            _ => None,
        })
        .collect();
    let unlinked = plan.steps.iter().filter_map(|step| match step {
        Step::Unlink { path, .. } => Some(path),
        _ => None,
    });
    links_section(&links, &unlinked.collect::<Vec<_>>(), &mut lines);
    lines.extend(copies_lines(&plan.steps));
    steps_section(plan, &mut lines);
    lines
}

fn section(title: Line, lines: &mut Vec<Line>) {
    lines.push(Line::new());
    lines.push(Line::of("  ").then(title));
}

fn diff_section(file: &FileChange, diff: &TextDiff, lines: &mut Vec<Line>) {
    section(Line::new().bold(file.path.as_str()), lines);
    lines.extend(diff_lines(diff));
}

fn env_section(file: &FileChange, changes: &[EnvChange], lines: &mut Vec<Line>) {
    section(Line::new().bold(file.path.as_str()).plain(" (values are never shown)"), lines);
    if changes.is_empty() {
        lines.push(Line::of("    ").dim("no variable changes: comments, order or spacing do"));
    }
    let width = changes.iter().map(|change| change.key.chars().count()).max().unwrap_or(0);
    for EnvChange { key, change } in changes {
        let (paint, sign, what) = match change {
            KeyChange::Added => (Paint::Green, "+", "added"),
            KeyChange::Removed => (Paint::Red, "-", "removed"),
            KeyChange::Changed => (Paint::Yellow, "~", "value changed, not shown"),
        };
        lines.push(Line::of("    ").paint(paint, sign).plain(format!(" {key:width$}  ({what})")));
    }
}

fn links_section(links: &[&LinkChange], unlinked: &[&LinkPath], lines: &mut Vec<Line>) {
    if links.is_empty() && unlinked.is_empty() {
        return;
    }
    section(Line::new().bold("links"), lines);
    for link in links {
        let sign = match &link.was {
            LinkState::Missing => Line::new().green("+"),
            LinkState::Symlink(_) | LinkState::File | LinkState::Folder => Line::new().yellow("~"),
        };
        let line = Line::of("    ").then(sign).plain(format!(" {} -> {}", link.path, link.target));
        lines.push(match link.privilege {
            Privilege::Root => line.yellow(" [sudo]"),
            Privilege::User => line,
        });
        match &link.was {
            LinkState::Missing => {}
            LinkState::Symlink(target) => lines.push(Line::of("        ").dim(format!("now: -> {target}"))),
            LinkState::File => lines.push(Line::of("        ").dim("now: a file")),
            LinkState::Folder => lines.push(Line::of("        ").dim("now: a folder")),
        }
    }
    for path in unlinked {
        lines.push(Line::of("    ").red("-").plain(format!(" {path}  (not in the new release)")));
    }
}

/// What is not files or links, in the order it is done in.
fn steps_section(plan: &Plan, lines: &mut Vec<Line>) {
    let steps = plan.steps.iter().filter(|step| match step {
        Step::Upload { .. }
        | Step::Seal { .. }
        | Step::Link(_)
        | Step::Unlink { .. }
        | Step::Install(_)
        | Step::Uninstall(_) => false,
        Step::EnableLingering { .. }
        | Step::MakeUser { .. }
        | Step::JoinGroups { .. }
        | Step::Prepare { .. }
        | Step::CheckRelease { .. }
        | Step::Stop { .. }
        | Step::Disable { .. }
        | Step::Switch { .. }
        | Step::Validate { .. }
        | Step::OnChange { .. }
        | Step::ReloadManager
        | Step::Enable { .. }
        | Step::Restart { .. }
        | Step::Reload { .. }
        | Step::Start { .. }
        | Step::Observe { .. }
        | Step::AskHealth { .. }
        | Step::Hook { .. }
        | Step::Prune { .. } => true,
    });
    let mut steps = steps.peekable();
    if steps.peek().is_none() {
        return;
    }
    section(Line::new().bold("steps"), lines);
    for step in steps {
        lines.push(Line::of("    ").plain(describe_step(step)));
        if let Step::Prune { releases } = step {
            lines.extend(releases.iter().map(|id| Line::of("      ").red("- ").plain(id.to_string())));
        }
    }
}

#[cfg(test)]
mod tests {
    use insta::assert_snapshot;

    use super::super::fixtures::{
        HOSTILE, changed_plan, empty_plan, first_plan, links, old_release, plan_of,
    };
    use super::*;
    use crate::plan::Reason;

    fn shown(plan: &Plan, detail: PlanDetail, colour: Colour) -> String {
        let mut text = String::new();
        write_plan(&mut text, plan, PlanStyle { detail, colour }).unwrap();
        text
    }

    #[test]
    fn a_first_deploy_in_full() {
        assert_snapshot!(shown(&first_plan("web1"), PlanDetail::Full, Colour::Off), @"
        simple_api on web1: first deploy, release 20261120T030041Z-8be1d2a4

          files: 3 to send, 21.4 MB
            + bin/simple_api              21.4 MB  11507a0e (new)
            + units/simple_api.service      312 B  385cfdbc (new)
            + env/simple_api.conf            28 B  b77349bf (new)

          env/simple_api.conf (values are never shown)
            + DEV_LOCATION  (added)

          links
            + /usr/local/bin/simple_api -> /home/deploy/.local/share/shipit/simple_api/current/bin/simple_api [sudo]
            + /etc/default/simple_api.conf -> /home/deploy/.local/share/shipit/simple_api/current/env/simple_api.conf [sudo]
            + ~/.config/systemd/user/simple_api.service -> /home/deploy/.local/share/shipit/simple_api/current/units/simple_api.service

          steps
            enable lingering for deploy, so that its services outlive the last login [sudo]
            switch current to 20261120T030041Z-8be1d2a4
            reload systemd's unit files (daemon-reload)
            enable simple_api.service, to start at boot
            start simple_api.service (first deploy)
            watch simple_api.service for 2 s: it must stay up and run the release's binary
            ask http://localhost:8000/ until it answers well, for at most 30 s
        ");
    }

    #[test]
    fn a_changed_release_in_full() {
        let text = shown(&changed_plan("deploy@web1"), PlanDetail::Full, Colour::Off);
        assert_snapshot!(text, @"
        simple_api on deploy@web1: 20261120T030041Z-8be1d2a4 replaces 20261120T030007Z-3f2a9c01

          files: 3 of 4 to send, 21.4 MB
            ~ bin/simple_api              21.4 MB  cba06b57 -> 11507a0e
            ~ units/simple_api.service      312 B  385cfdbc -> 9b9ff4b5
            ~ env/simple_api.conf            28 B  b77349bf -> 925c17b5
            = 1 file unchanged, taken over on the host

          units/simple_api.service
            @@ -1,2 +1,3 @@
             [Service]
             ExecStart=/usr/local/bin/simple_api
            +Restart=always

          env/simple_api.conf (values are never shown)
            + API_KEY       (added)
            ~ DEV_LOCATION  (value changed, not shown)
            - OLD           (removed)

          links
            ~ /usr/local/bin/simple_api -> /home/deploy/.local/share/shipit/simple_api/current/bin/simple_api [sudo]
                now: -> /opt/simple_api/bin/simple_api

          steps
            switch current to 20261120T030041Z-8be1d2a4
            reload systemd's unit files (daemon-reload)
            restart simple_api.service (unit file, binary and env file changed)
            watch simple_api.service for 2 s: it must stay up and run the release's binary
            ask http://localhost:8000/ until it answers well, for at most 30 s
            remove 1 old release
              - 20261120T030001Z-00112233
        ");
        assert!(!text.contains("Virginia") && !text.contains("hunter2"), "{text}");
    }

    #[test]
    fn summaries() {
        let summary = |plan: &Plan| shown(plan, PlanDetail::Summary, Colour::Off);
        assert_snapshot!(summary(&first_plan("web1")), @"
        web1: first deploy, release 20261120T030041Z-8be1d2a4
          3 files (21.4 MB), start simple_api.service (first deploy), 3 links, enable simple_api.service
          with sudo: enable lingering for deploy, link /usr/local/bin/simple_api, link /etc/default/simple_api.conf
        ");
        assert_snapshot!(summary(&changed_plan("deploy@web1")), @"
        deploy@web1: 20261120T030041Z-8be1d2a4 replaces 20261120T030007Z-3f2a9c01
          3 of 4 files (21.4 MB), restart simple_api.service (unit file, binary and env file changed), 1 link
          with sudo: link /usr/local/bin/simple_api
        ");
        assert_snapshot!(summary(&empty_plan("web1")), @"
        web1: nothing to do, runs 20261120T030007Z-3f2a9c01
        ");
    }

    #[test]
    fn a_restart_without_a_new_release() {
        let unit = "simple_api.service".parse().unwrap();
        let reasons = vec![Reason::NotRunning("failed".to_owned())];
        let mut plan = plan_of("web1", Some(old_release()), vec![Step::Start { unit, reasons }]);
        plan.release = old_release();
        assert_snapshot!(shown(&plan, PlanDetail::Summary, Colour::Off), @"
        web1: stays on 20261120T030007Z-3f2a9c01
          start simple_api.service (not running: failed)
        ");
        assert_snapshot!(shown(&plan, PlanDetail::Full, Colour::Off), @"
        simple_api on web1: stays on 20261120T030007Z-3f2a9c01

          steps
            start simple_api.service (not running: failed)
        ");
    }

    #[test]
    fn hosts_that_get_the_same_are_shown_together() {
        let mut plans: Vec<_> = ["web1", "web2", "web3"].map(changed_plan).into();
        plans.extend(["db1", "db2"].map(empty_plan));
        let plans: Vec<_> = plans.iter().collect();
        let mut text = String::new();
        let style = PlanStyle { detail: PlanDetail::Summary, colour: Colour::Off };
        write_plans(&mut text, &plans, style).unwrap();
        assert_snapshot!(text, @"
        3 hosts (web1, web2, web3): 20261120T030041Z-8be1d2a4 replaces 20261120T030007Z-3f2a9c01
          3 of 4 files (21.4 MB), restart simple_api.service (unit file, binary and env file changed), 1 link
          with sudo: link /usr/local/bin/simple_api
        db1, db2: nothing to do, runs 20261120T030007Z-3f2a9c01
        ");
        let mut text = String::new();
        write_plans(&mut text, &plans, PlanStyle { detail: PlanDetail::Full, ..style }).unwrap();
        assert!(text.starts_with("simple_api on 3 hosts (web1, web2, web3): "), "{text}");
        assert!(
            text.ends_with("\n\nsimple_api on db1, db2: nothing to do, runs 20261120T030007Z-3f2a9c01\n")
        );
    }

    #[test]
    fn colours_change_nothing_but_the_colour() {
        for plan in [first_plan("web1"), changed_plan("web1"), empty_plan("web1")] {
            let painted = shown(&plan, PlanDetail::Full, Colour::On);
            let mut bare = painted;
            for code in [0, 1, 2, 31, 32, 33, 36] {
                bare = bare.replace(&format!("\x1b[{code}m"), "");
            }
            assert_eq!(bare, shown(&plan, PlanDetail::Full, Colour::Off));
        }
    }

    #[test]
    fn what_a_host_said_can_not_act_on_the_terminal() {
        let unit = "simple_api.service".parse().unwrap();
        let state = || LinkState::Symlink(format!("/tmp/{HOSTILE}"));
        let mut steps: Vec<_> = links([state(), state(), state()]).into_iter().map(Step::Link).collect();
        steps.push(Step::EnableLingering { user: HOSTILE.to_owned() });
        steps.push(Step::Restart { unit, reasons: vec![Reason::NotRunning(HOSTILE.to_owned())] });
        let plan = plan_of("web1", Some(old_release()), steps);
        for detail in [PlanDetail::Full, PlanDetail::Summary] {
            let text = shown(&plan, detail, Colour::Off);
            assert!(text.chars().all(|c| !c.is_control() || c == '\n'), "{text:?}");
        }
    }
}
