//! An entry of the journal, for people.
use jiff::civil::Date;
use jiff::tz::TimeZone;

use super::line::{Colour, Line, Paint, sanitise};
use crate::host::JournalEntry;

/// How entries are shown.
#[derive(Debug, Clone)]
pub struct JournalStyle {
    /// Whether the priority gives a colour.
    pub colour: Colour,
    /// In whose time.
    pub zone: TimeZone,
    /// Entries of other days get their date; `None` leaves it out always.
    pub today: Option<Date>,
}

/// The entry as text, without a newline at its end: `HH:MM:SS.mmm identifier[pid]: message`. The lines of a long
/// message stand below each other. `host` comes first, for when there are several.
#[must_use]
pub fn journal_line(entry: &JournalEntry, host: Option<&str>, style: &JournalStyle) -> String {
    let lines: Vec<_> = journal_lines(entry, host, style).iter().map(|l| l.render(style.colour)).collect();
    lines.join("\n")
}

/// The same, as lines that something may be put in front of.
pub(super) fn journal_lines(entry: &JournalEntry, host: Option<&str>, style: &JournalStyle) -> Vec<Line> {
    let host = host.map(|host| format!("{host}  ")).unwrap_or_default();
    let at = entry.time.to_zoned(style.zone.clone());
    let clock = match style.today {
        Some(today) if at.date() != today => at.strftime("%Y-%m-%d %H:%M:%S%.3f ").to_string(),
        _ => at.strftime("%H:%M:%S%.3f ").to_string(),
    };
    let pid = entry.pid.map(|pid| format!("[{pid}]")).unwrap_or_default();
    let who = format!("{}{pid}: ", sanitise(&entry.identifier).replace('\n', " "));
    let indent = " ".repeat(clock.chars().count() + who.chars().count());
    let paint = match entry.priority {
        0..=3 => Paint::Red,
        4 => Paint::Yellow,
        5 => Paint::Bold,
        7 => Paint::Dim,
        _ => Paint::Plain,
    };
    let mut lines = Vec::new();
    for (number, text) in entry.message.trim_end_matches('\n').split('\n').enumerate() {
        let line = Line::new().cyan(&host);
        let line = if number == 0 { line.dim(&clock).plain(&who) } else { line.plain(&indent) };
        lines.push(line.paint(paint, text));
    }
    lines
}
