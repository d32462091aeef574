//! A line of output in pieces, each with its colour.
//!
//! The only way of text to a terminal: what stands in a piece is cleaned as it comes in, so nothing that a host said
//! can move the cursor, hide a line or change a title.
use std::fmt::Write;

/// Whether colours may be used. The caller decides (`--color`, `NO_COLOR`, a pipe).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Colour {
    /// ANSI colours.
    On,
    /// Text alone.
    Off,
}

/// How a piece looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Paint {
    Plain,
    Bold,
    Dim,
    Red,
    Yellow,
    Green,
    Cyan,
}

impl Paint {
    /// The parameters of the escape sequence (ECMA-48, SGR).
    fn code(self) -> Option<&'static str> {
        match self {
            Self::Plain => None,
            Self::Bold => Some("1"),
            Self::Dim => Some("2"),
            Self::Red => Some("31"),
            Self::Yellow => Some("33"),
            Self::Green => Some("32"),
            Self::Cyan => Some("36"),
        }
    }
}

/// One line, without its end.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Line {
    pieces: Vec<(Paint, String)>,
}

impl Line {
    pub(super) fn new() -> Self {
        Self::default()
    }

    /// A line of one unpainted piece.
    pub(super) fn of(text: impl AsRef<str>) -> Self {
        Self::new().plain(text)
    }

    pub(super) fn paint(mut self, paint: Paint, text: impl AsRef<str>) -> Self {
        self.pieces.push((paint, on_one_line(text.as_ref())));
        self
    }

    pub(super) fn plain(self, text: impl AsRef<str>) -> Self {
        self.paint(Paint::Plain, text)
    }

    pub(super) fn bold(self, text: impl AsRef<str>) -> Self {
        self.paint(Paint::Bold, text)
    }

    pub(super) fn dim(self, text: impl AsRef<str>) -> Self {
        self.paint(Paint::Dim, text)
    }

    pub(super) fn red(self, text: impl AsRef<str>) -> Self {
        self.paint(Paint::Red, text)
    }

    pub(super) fn yellow(self, text: impl AsRef<str>) -> Self {
        self.paint(Paint::Yellow, text)
    }

    pub(super) fn green(self, text: impl AsRef<str>) -> Self {
        self.paint(Paint::Green, text)
    }

    pub(super) fn cyan(self, text: impl AsRef<str>) -> Self {
        self.paint(Paint::Cyan, text)
    }

    /// Puts `other` behind.
    pub(super) fn then(mut self, other: Self) -> Self {
        self.pieces.extend(other.pieces);
        self
    }

    /// The text to write, without a newline.
    pub(super) fn render(&self, colour: Colour) -> String {
        let mut text = String::new();
        for (paint, piece) in &self.pieces {
            match paint.code().filter(|_| colour == Colour::On && !piece.is_empty()) {
                // Writing to a string does not fail.
                Some(code) => drop(write!(text, "\x1b[{code}m{piece}\x1b[0m")),
                None => text.push_str(piece),
            }
        }
        text.truncate(text.trim_end_matches(' ').len());
        text
    }
}

/// The text without what a terminal would act on: C0 and C1 control characters but tab and newline, and the marks
/// that turn the direction of text around (Unicode UAX #9), with which a line can read as another.
#[must_use]
pub fn sanitise(text: &str) -> String {
    let harmless = |c: &char| match c {
        '\t' | '\n' => true,
        '\u{200e}' | '\u{200f}' | '\u{2028}' | '\u{2029}' => false,
        '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => false,
        c => !c.is_control(),
    };
    text.chars().filter(harmless).collect()
}

fn on_one_line(text: &str) -> String {
    sanitise(text).replace('\n', " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_are_for_those_who_want_them() {
        let line = Line::of("a ").red("b").bold("").plain("  ");
        assert_eq!(line.render(Colour::On), "a \x1b[31mb\x1b[0m");
        assert_eq!(line.render(Colour::Off), "a b");
    }

    #[test]
    fn no_control_character_gets_through() {
        let hostile = "a\x1b[2Jb\x07\r\x08\x7f\u{9b}31m\u{85}\u{202e}c\td\ne";
        assert_eq!(sanitise(hostile), "a[2Jb31mc\td\ne");
        assert_eq!(Line::new().red(hostile).render(Colour::Off), "a[2Jb31mc\td e");
    }
}
