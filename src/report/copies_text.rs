//! What a plan does to files outside of the release.
use super::files_text::diff_lines;
use super::line::Line;
use crate::plan::{Before, CopyChange, CopyRemoval, Privilege, RemotePath, Step, TextDiff};

/// The section of a plan about them; nothing where there are none.
pub(super) fn copies_lines(steps: &[Step]) -> Vec<Line> {
    let mut lines = Vec::new();
    for step in steps {
        match step {
            Step::Install(CopyChange { path, mode, owner, group, privilege, was, backup, edit, .. }) => {
                let sign = match was {
                    Before::Missing => Line::new().green("+"),
                    _ => Line::new().yellow("~"),
                };
                let owner = match (owner, group) {
                    (None, None) => String::new(),
                    (Some(owner), None) => format!(" {owner}"),
                    (None, Some(group)) => format!(" :{group}"),
                    (Some(owner), Some(group)) => format!(" {owner}:{group}"),
                };
                let line = Line::of("    ").then(sign).plain(format!(" {path}  {mode}{owner}"));
                lines.push(with_rights(line, *privilege));
                lines.extend(fate(was, backup.as_ref(), edit.as_ref()));
            }
            Step::Uninstall(CopyRemoval { path, privilege, was, backup, edit }) => {
                let line = Line::of("    ").red("-").plain(format!(" {path}  (not in the new release)"));
                lines.push(with_rights(line, *privilege));
                lines.extend(fate(was, backup.as_ref(), edit.as_ref()));
            }
            _ => {}
        }
    }
    if !lines.is_empty() {
        let title = Line::of("  ").then(Line::new().bold("installed files"));
        lines.splice(0..0, [Line::new(), title]);
    }
    lines
}

fn with_rights(line: Line, privilege: Privilege) -> Line {
    match privilege {
        Privilege::Root => line.yellow(" [sudo]"),
        Privilege::User => line,
    }
}

/// What becomes of what is there.
fn fate(was: &Before, backup: Option<&RemotePath>, edit: Option<&TextDiff>) -> Vec<Line> {
    let what = match was {
        Before::Missing | Before::Placed { .. } => return Vec::new(),
        Before::Edited { .. } => "changed by hand".to_owned(),
        Before::Foreign { .. } => "a file that is not shipit's".to_owned(),
        Before::Symlink { target } => format!("-> {target}"),
        Before::Unseen => "not known: only root can see it".to_owned(),
    };
    let kept = backup.map(|backup| format!("; kept as {backup}")).unwrap_or_default();
    let mut lines = vec![Line::of("        ").dim(format!("now: {what}{kept}"))];
    lines.extend(edit.into_iter().flat_map(diff_lines).map(|line| Line::of("    ").then(line)));
    lines
}
