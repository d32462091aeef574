//! systemd's unit files, read the way systemd reads them (systemd.syntax(7), `src/shared/conf-parser.c`).
//!
//! Lines, not meanings: which settings there are and which of them are traps is [`lint`](super::lint)'s business.
use std::ops::Range;
use std::sync::Arc;

use super::lint::UnitProblem;
use super::problem::Problem;
use super::source::SourceText;

/// A unit file as sections and assignments, in the order written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnitFile {
    /// The text.
    pub source: Arc<SourceText>,
    /// The section headers; one name may occur several times.
    pub sections: Vec<Section>,
    /// The assignments.
    pub entries: Vec<Entry>,
}

/// A section header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Section {
    /// What stands between the brackets.
    pub name: String,
    /// The header with its brackets.
    pub span: Range<usize>,
}

/// One assignment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The section it is in.
    pub section: String,
    /// What is assigned to.
    pub key: String,
    /// What is assigned, with continuation lines joined by blanks; empty to reset a list.
    pub value: String,
    /// The line it begins on, from 1.
    pub line: usize,
    /// The bytes of the key.
    pub key_span: Range<usize>,
    /// The bytes of the value: all its lines, if it is continued.
    pub value_span: Range<usize>,
}

/// A logical line: what continuation lines were joined to.
#[derive(Default)]
struct Logical {
    text: String,
    /// Where each line's part begins: in `text`, and in the file.
    parts: Vec<(usize, usize)>,
    line: usize,
}

impl Logical {
    /// The place in the file of a place in the joined text.
    fn offset(&self, at: usize) -> usize {
        let part = self.parts.iter().rev().find(|(start, _)| *start <= at);
        part.map_or(0, |(start, offset)| offset + (at - start))
    }

    fn span(&self, range: Range<usize>) -> Range<usize> {
        let start = self.offset(range.start);
        // The end belongs to the last byte's line, not to the next one's beginning.
        let end = if range.is_empty() { start } else { self.offset(range.end - 1) + 1 };
        start..end.max(start)
    }
}

impl UnitFile {
    /// Reads the text. Lines that systemd would refuse or pass over are problems, and left out.
    #[must_use]
    pub fn parse(source: &Arc<SourceText>) -> (Self, Vec<Problem>) {
        let mut file = Self { source: Arc::clone(source), sections: Vec::new(), entries: Vec::new() };
        let mut problems = Vec::new();
        let mut pending: Option<Logical> = None;
        // systemd skips a byte order mark.
        let mut offset = if source.text.starts_with('\u{feff}') { '\u{feff}'.len_utf8() } else { 0 };
        let text = source.text.get(offset..).unwrap_or("");
        for (index, raw) in text.split_inclusive('\n').enumerate() {
            let start = offset;
            offset += raw.len();
            let line = raw.trim_end_matches(['\n', '\r']);
            // Comments are taken out before lines are joined, so they may stand inside a continuation.
            if line.trim_start_matches(BLANKS).starts_with(['#', ';']) {
                continue;
            }
            let mut logical =
                pending.take().unwrap_or_else(|| Logical { line: index + 1, ..Logical::default() });
            logical.parts.push((logical.text.len(), start));
            logical.text.push_str(line);
            let backslashes = logical.text.len() - logical.text.trim_end_matches('\\').len();
            if backslashes % 2 == 1 {
                logical.text.pop();
                logical.text.push(' ');
                pending = Some(logical);
            } else {
                file.logical_line(&logical, &mut problems);
            }
        }
        if let Some(logical) = pending {
            file.logical_line(&logical, &mut problems);
        }
        (file, problems)
    }

    fn logical_line(&mut self, logical: &Logical, problems: &mut Vec<Problem>) {
        let text = logical.text.trim_matches(BLANKS);
        if text.is_empty() {
            return;
        }
        let indent = logical.text.len() - logical.text.trim_start_matches(BLANKS).len();
        let whole = logical.span(indent..indent + text.len());
        let line = logical.line;
        let mut problem = |kind: UnitProblem, help: &str| {
            problems.push(Problem::new(kind, &self.source).at(whole.clone()).help(help.to_owned()));
        };
        if text.starts_with('[') {
            match text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
                Some(name) => self.sections.push(Section { name: name.to_owned(), span: whole }),
                None => problem(UnitProblem::BadSection { line }, "a section is a line such as `[Service]`"),
            }
            return;
        }
        let Some(section) = self.sections.last().map(|section| section.name.clone()) else {
            problem(UnitProblem::OutsideSection { line }, "put a section such as `[Unit]` before it");
            return;
        };
        let Some((key, value)) = text.split_once('=') else {
            problem(
                UnitProblem::NoAssignment { line },
                "write `Key=value`; a line that goes on needs a backslash at the end of the one before",
            );
            return;
        };
        let value_start = indent + key.len() + 1 + (value.len() - value.trim_start_matches(BLANKS).len());
        let value = value.trim_matches(BLANKS);
        let key = key.trim_end_matches(BLANKS);
        self.entries.push(Entry {
            section,
            key: key.to_owned(),
            value: value.to_owned(),
            line,
            key_span: logical.span(indent..indent + key.len()),
            value_span: logical.span(value_start..value_start + value.len()),
        });
    }

    /// The assignments to a list, without those that an empty assignment took back.
    #[must_use]
    pub fn values(&self, section: &str, key: &str) -> Vec<&Entry> {
        let mut values = Vec::new();
        for entry in self.entries.iter().filter(|entry| entry.section == section && entry.key == key) {
            if entry.value.is_empty() {
                values.clear();
            } else {
                values.push(entry);
            }
        }
        values
    }

    /// The last assignment to a setting that is no list.
    #[must_use]
    pub fn value(&self, section: &str, key: &str) -> Option<&Entry> {
        self.values(section, key).pop()
    }
}

/// WHITESPACE in systemd's `src/basic/string-util.h`.
pub(super) const BLANKS: [char; 4] = [' ', '\t', '\n', '\r'];

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parse(text: &str) -> (UnitFile, Vec<String>) {
        let (file, problems) = UnitFile::parse(&SourceText::new("a.service", text));
        (file, problems.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn lines_are_joined_and_comments_left_out() {
        let text = "# c\n[Service]\nExecStart = /bin/a \\\n  # inside\n; too\n  b \\\\\n Type=simple \r\n";
        let (file, problems) = parse(text);
        assert!(problems.is_empty(), "{problems:?}");
        assert_eq!(file.entries[0].value, "/bin/a    b \\\\");
        assert_eq!(file.entries[0].line, 3);
        assert_eq!(&text[file.entries[0].value_span.clone()], "/bin/a \\\n  # inside\n; too\n  b \\\\");
        assert_eq!(&text[file.entries[0].key_span.clone()], "ExecStart");
        assert_eq!((file.entries[1].key.as_str(), file.entries[1].value.as_str()), ("Type", "simple"));
        assert_eq!(&text[file.entries[1].value_span.clone()], "simple");
    }

    #[test]
    fn an_empty_assignment_takes_a_list_back() {
        let (file, _) = parse("[Service]\nExecStart=/a\nExecStart=\nExecStart=/b\n[X-Y]\nExecStart=/c\n");
        let values: Vec<&str> =
            file.values("Service", "ExecStart").iter().map(|e| e.value.as_str()).collect();
        assert_eq!(values, ["/b"]);
        assert!(file.sections.iter().any(|section| section.name == "X-Y"));
    }

    #[test]
    fn lines_that_are_nothing_are_problems() {
        let (file, problems) = parse("A=1\n[Unit\n[Unit]\nDescription\nA=b \\");
        assert_eq!(
            problems,
            [
                "a.service:1: line 1 stands before the first section, so systemd ignores it",
                "a.service:2: line 2 is not a section header, and systemd refuses the unit",
                "a.service:4: line 4 has no `=`, so systemd ignores it",
            ]
        );
        assert_eq!(file.entries[0].value, "b");
    }

    proptest! {
        #[test]
        fn nothing_panics_and_every_span_can_be_shown(text in "\\PC{0,40}|[\\[\\]A=#; \\\\\n\ré]{0,40}") {
            let source = SourceText::new("a.service", text.clone());
            let (file, problems) = UnitFile::parse(&source);
            let spans = file.entries.iter().flat_map(|e| [e.key_span.clone(), e.value_span.clone()]);
            for span in spans.chain(problems.iter().filter_map(|p| p.span.clone())) {
                prop_assert!(text.get(span.clone()).is_some(), "{span:?}");
            }
        }
    }
}
