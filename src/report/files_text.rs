//! The files of a plan, for people. A folder of thousands is a line or two.
use std::collections::BTreeMap;

use super::line::{Line, Paint};
use super::words;
use crate::plan::{FileChange, Packing, SymlinkChange, TextDiff, Transfer, TreeChange};
use crate::release::ReleasePath;

/// So many files of one kind are listed; of more, the first few.
const LISTED: usize = 6;

/// The first few.
const FIRST: usize = 3;

/// The lines about the files of a release; the title first.
pub(super) fn files_lines(files: &[FileChange], dropped: &[String], tree: &TreeChange) -> (Line, Vec<Line>) {
    let sent: Vec<_> = files.iter().filter(|f| f.transfer == Transfer::Send).collect();
    let size = words::bytes(sent.iter().map(|f| f.size).sum());
    let title = match sent.len() {
        0 => "none has to be sent".to_owned(),
        n if n == files.len() => format!("{n} to send, {size}"),
        n => format!("{n} of {} to send, {size}", files.len()),
    };
    let title = Line::new().bold("files").plain(format!(": {title}"));
    let mut lines = Vec::new();

    let mut single: Vec<&FileChange> = Vec::new();
    let mut folders: BTreeMap<&ReleasePath, Vec<&FileChange>> = BTreeMap::new();
    for file in sent {
        match &file.folder {
            Some(folder) => folders.entry(folder).or_default().push(file),
            None => single.push(file),
        }
    }
    // A few files say more by themselves.
    let (few, many): (Vec<_>, Vec<_>) = folders.into_iter().partition(|(_, files)| files.len() <= LISTED);
    single.extend(few.into_iter().flat_map(|(_, files)| files));
    let width = single.iter().map(|f| f.path.as_str().chars().count()).max().unwrap_or(0);
    lines.extend(single.iter().map(|file| file_line(file, width)));
    for (folder, files) in many {
        folder_lines(folder, &files, &mut lines);
    }
    symlink_lines(&tree.symlinks, &mut lines);
    let shown = if dropped.len() <= LISTED { dropped.len() } else { FIRST };
    for path in dropped.iter().take(shown) {
        lines.push(Line::of("    ").red("-").plain(format!(" {path}  (not in the new release)")));
    }
    if let more @ 1.. = dropped.len() - shown {
        lines.push(Line::of("    ").red("-").plain(format!(" and {more} more")));
    }
    let kept = files.iter().filter(|file| file.transfer == Transfer::TakeOver).count();
    if kept > 0 {
        let kept = words::count(kept, "file", "files");
        lines.push(Line::of("    ").dim(format!("= {kept} unchanged, taken over on the host")));
    }
    if tree.packing == Packing::NoTar {
        lines.push(
            Line::of("    ").yellow("the host has no tar: the files go one by one, which takes longer"),
        );
    }
    (title, lines)
}

fn file_line(file: &FileChange, width: usize) -> Line {
    let new = file.sha256.short();
    let (sign, hashes) = match file.was {
        None => (Line::new().green("+"), format!("{new} (new)")),
        Some(was) if was == file.sha256 => {
            (Line::new().yellow("~"), format!("{new} (same bytes, mode set to {})", file.mode))
        }
        Some(was) => (Line::new().yellow("~"), format!("{} -> {new}", was.short())),
    };
    let columns = format!(" {:width$}  {:>9}  {hashes}", file.path, words::bytes(file.size));
    Line::of("    ").then(sign).plain(columns)
}

/// A line for what is new in a folder, and one for what has changed.
fn folder_lines(folder: &ReleasePath, files: &[&FileChange], lines: &mut Vec<Line>) {
    let (new, changed): (Vec<&FileChange>, Vec<&FileChange>) =
        files.iter().partition(|file| file.was.is_none());
    for (files, sign, what) in
        [(new, Line::new().green("+"), "new"), (changed, Line::new().yellow("~"), "changed")]
    {
        if files.is_empty() {
            continue;
        }
        let size = words::bytes(files.iter().map(|file| file.size).sum());
        let below = format!("{folder}/");
        let name =
            |file: &&FileChange| file.path.as_str().strip_prefix(&below).unwrap_or_default().to_owned();
        let names: Vec<String> = files.iter().take(FIRST).map(name).collect();
        let more = if files.len() > FIRST { ", ..." } else { "" };
        let (one, many) = (format!("{what} file"), format!("{what} files"));
        let count = words::count(files.len(), &one, &many);
        let words = format!(" {below}  {count}, {size}: {}{more}", names.join(", "));
        lines.push(Line::of("    ").then(sign).plain(words));
    }
}

fn symlink_lines(symlinks: &[SymlinkChange], lines: &mut Vec<Line>) {
    let changed: Vec<_> = symlinks.iter().filter(|link| !link.is_kept()).collect();
    let shown = if changed.len() <= LISTED { changed.len() } else { FIRST };
    for link in changed.iter().take(shown) {
        let sign = match link.was {
            None => Line::new().green("+"),
            Some(_) => Line::new().yellow("~"),
        };
        let words = format!(" {} -> {}  (symlink)", link.path, link.target);
        lines.push(Line::of("    ").then(sign).plain(words));
    }
    if let more @ 1.. = changed.len() - shown {
        lines.push(Line::of("    ").plain(format!("  and {more} more symlinks")));
    }
}

/// The lines of a diff, without those that name the file.
pub(super) fn diff_lines(diff: &TextDiff) -> impl Iterator<Item = Line> {
    let lines = diff.as_str().lines().filter(|l| !l.starts_with("--- a/") && !l.starts_with("+++ b/"));
    lines.map(|text| {
        let paint = match text.as_bytes().first() {
            Some(b'+') => Paint::Green,
            Some(b'-') => Paint::Red,
            Some(b'@') => Paint::Cyan,
            _ => Paint::Plain,
        };
        Line::of("    ").paint(paint, text)
    })
}
