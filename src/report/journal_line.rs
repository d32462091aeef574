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

#[cfg(test)]
mod tests {
    use insta::assert_snapshot;

    use super::super::fixtures::{HOSTILE, entry};
    use super::*;

    fn style(colour: Colour) -> JournalStyle {
        JournalStyle { colour, zone: TimeZone::UTC, today: Some(jiff::civil::date(2026, 11, 20)) }
    }

    #[test]
    fn an_entry_is_a_line() {
        let line = |host| journal_line(&entry(6, "Listening"), host, &style(Colour::Off));
        assert_eq!(line(None), "03:00:52.123 simple_api[4711]: Listening");
        assert_eq!(line(Some("web1")), "web1  03:00:52.123 simple_api[4711]: Listening");
    }

    #[test]
    fn the_lines_of_a_message_stand_below_each_other() {
        let text = journal_line(&entry(6, "panicked:\n\tat main\n"), Some("web1"), &style(Colour::Off));
        assert_snapshot!(text, @"
        web1  03:00:52.123 simple_api[4711]: panicked:
        web1                                 	at main
        ");
    }

    #[test]
    fn an_entry_of_another_day_has_its_date() {
        let mut style = style(Colour::Off);
        style.today = Some(jiff::civil::date(2026, 11, 21));
        let mut entry = entry(6, "hi");
        entry.pid = None;
        assert_eq!(journal_line(&entry, None, &style), "2026-11-20 03:00:52.123 simple_api: hi");
        style.today = None;
        assert_eq!(journal_line(&entry, None, &style), "03:00:52.123 simple_api: hi");
    }

    #[test]
    fn the_priority_gives_the_colour() {
        let code = |priority| {
            let line = journal_line(&entry(priority, "x"), None, &style(Colour::On));
            line.rsplit(": ").next().unwrap().to_owned()
        };
        assert_eq!(code(0), "\x1b[31mx\x1b[0m");
        assert_eq!(code(3), "\x1b[31mx\x1b[0m");
        assert_eq!(code(4), "\x1b[33mx\x1b[0m");
        assert_eq!(code(5), "\x1b[1mx\x1b[0m");
        assert_eq!(code(6), "x");
        assert_eq!(code(7), "\x1b[2mx\x1b[0m");
    }

    #[test]
    fn what_a_service_wrote_can_not_act_on_the_terminal() {
        let mut hostile = entry(6, HOSTILE);
        hostile.identifier = format!("api\n{HOSTILE}");
        let text = journal_line(&hostile, None, &style(Colour::Off));
        assert!(text.chars().all(|c| !c.is_control()), "{text:?}");
    }
}
