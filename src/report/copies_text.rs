//! What a plan does to files outside of the release.
use super::files_text::diff_lines;
use super::line::Line;
use crate::plan::{Before, CopyChange, CopyPlace, CopyRemoval, Privilege, Step};

/// The section of a plan about them; nothing where there are none.
pub(super) fn copies_lines(steps: &[Step]) -> Vec<Line> {
    let mut lines = Vec::new();
    for step in steps {
        match step {
            Step::Install(CopyChange { place, mode, owner, group, .. }) => {
                let sign = match place.was {
                    Before::Missing => Line::new().green("+"),
                    _ => Line::new().yellow("~"),
                };
                let owner = match (owner, group) {
                    (None, None) => String::new(),
                    (Some(owner), None) => format!(" {owner}"),
                    (None, Some(group)) => format!(" :{group}"),
                    (Some(owner), Some(group)) => format!(" {owner}:{group}"),
                };
                let line = Line::of("    ").then(sign).plain(format!(" {}  {mode}{owner}", place.path));
                lines.push(with_rights(line, place.privilege));
                lines.extend(fate(place));
            }
            Step::Uninstall(CopyRemoval { place, .. }) => {
                let line =
                    Line::of("    ").red("-").plain(format!(" {}  (not in the new release)", place.path));
                lines.push(with_rights(line, place.privilege));
                lines.extend(fate(place));
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
fn fate(CopyPlace { was, backup, edit, .. }: &CopyPlace) -> Vec<Line> {
    let what = match was {
        Before::Missing | Before::Placed { .. } => return Vec::new(),
        Before::Edited { .. } => "changed by hand".to_owned(),
        Before::Foreign { .. } => "a file that is not shipit's".to_owned(),
        Before::Symlink { target } => format!("-> {target}"),
        Before::Unseen => "not known: only root can see it".to_owned(),
    };
    let kept = backup.as_ref().map(|backup| format!("; kept as {backup}")).unwrap_or_default();
    let mut lines = vec![Line::of("        ").dim(format!("now: {what}{kept}"))];
    lines.extend(edit.iter().flat_map(diff_lines).map(|line| Line::of("    ").then(line)));
    lines
}
