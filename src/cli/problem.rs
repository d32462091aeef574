//! How a problem of the operator's files is shown: as a report with the lines it stands on.
use std::fmt;
use std::io::{self, Write};

use miette::{Diagnostic, GraphicalReportHandler, GraphicalTheme, LabeledSpan, NamedSource, SourceCode};

use crate::manifest::{Problem, Severity};
use crate::report::sanitise;

/// What the place that reports are written to can show.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Look {
    /// Whether it understands colour.
    pub color: Color,
    /// How many columns it has.
    pub width: usize,
}

/// Whether colour is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Color {
    /// ANSI colours.
    Ansi,
    /// None.
    Plain,
}

impl Default for Look {
    /// For a file, a pipe or a log.
    fn default() -> Self {
        Self { color: Color::Plain, width: 100 }
    }
}

/// A problem in the form miette shows.
#[derive(Debug)]
pub(super) struct ProblemReport<'a> {
    problem: &'a Problem,
    /// None for a file that can't be shown.
    source: Option<NamedSource<String>>,
}

impl<'a> ProblemReport<'a> {
    /// The report of a problem.
    #[must_use]
    pub(super) fn new(problem: &'a Problem) -> Self {
        let source = problem.span.as_ref().map(|_| {
            let file = &problem.file;
            NamedSource::new(sanitise(&file.name()), masked(&file.text))
        });
        Self { problem, source }
    }

    /// Writes it, with an empty line after it.
    ///
    /// # Errors
    ///
    /// When writing fails.
    pub(super) fn write(&self, out: &mut dyn Write, look: Look) -> io::Result<()> {
        let theme = match look.color {
            Color::Ansi => GraphicalTheme::unicode(),
            Color::Plain => GraphicalTheme::unicode_nocolor(),
        };
        let handler = GraphicalReportHandler::new_themed(theme).with_links(false).with_width(look.width);
        let mut text = String::new();
        handler.render_report(&mut text, self).map_err(io::Error::other)?;
        writeln!(out, "{}\n", text.trim_end())
    }
}

/// The text with `?` for what a terminal would act on; every character takes as many bytes as it did.
fn masked(text: &str) -> String {
    let mut masked = String::with_capacity(text.len());
    for character in text.chars() {
        let mut bytes = [0; 4];
        let shown = character.encode_utf8(&mut bytes);
        if character == '\r' || !sanitise(shown).is_empty() {
            masked.push(character);
        } else {
            masked.extend(std::iter::repeat_n('?', character.len_utf8()));
        }
    }
    masked
}

impl fmt::Display for ProblemReport<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Where there is no snippet to name the file, the message has to, unless it names a file anyway.
        if self.source.is_none() && !matches!(self.problem.kind, crate::manifest::ProblemKind::File(_)) {
            write!(f, "{}: ", sanitise(&self.problem.file.name()))?;
        }
        f.write_str(&sanitise(&self.problem.kind.to_string()))
    }
}

impl std::error::Error for ProblemReport<'_> {}

impl Diagnostic for ProblemReport<'_> {
    fn code<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        Some(Box::new(self.problem.code()))
    }

    fn severity(&self) -> Option<miette::Severity> {
        Some(match self.problem.severity {
            Severity::Error => miette::Severity::Error,
            Severity::Warning => miette::Severity::Warning,
        })
    }

    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        self.problem.help.as_ref().map(|help| Box::new(sanitise(help)) as Box<dyn fmt::Display>)
    }

    fn source_code(&self) -> Option<&dyn SourceCode> {
        self.source.as_ref().map(|source| source as &dyn SourceCode)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        let Problem { span, label, also, .. } = self.problem;
        let label = label.as_deref().map(sanitise);
        let first = span.clone().map(|span| LabeledSpan::new_primary_with_span(label, span));
        let second = also.as_ref().map(|also| LabeledSpan::at(also.span.clone(), sanitise(&also.text)));
        first.is_some().then(|| Box::new(first.into_iter().chain(second)) as Box<dyn Iterator<Item = _>>)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// A span means the same bytes.
        #[test]
        fn what_is_masked_stays_where_it_is(text in any::<String>()) {
            let shown = masked(&text);
            prop_assert_eq!(shown.len(), text.len());
            prop_assert_eq!(sanitise(&shown).len(), shown.replace('\r', "").len());
            for (at, character) in shown.char_indices().filter(|(_, c)| *c != '?') {
                prop_assert_eq!(text[at..].chars().next(), Some(character));
            }
        }
    }
}
