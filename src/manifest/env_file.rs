//! systemd's EnvironmentFile dialect, read the way systemd reads it.
//!
//! The rules are those of `parse_env_file_internal()` in systemd's `src/basic/env-file.c` (v254 and later; before
//! that a comment ending in a backslash swallowed the next line) and of systemd.exec(5); the check of names is that of
//! `env_name_is_valid()` in `src/basic/env-util.c`. It is not a shell: there is no `export`, no `$VAR`, and a `#`
//! only begins a comment at the beginning of a line.
//!
//! Values may be secret. So an [`EnvFile`] doesn't show them in its debug print, and its problems point into a copy of
//! the text in which everything but names and structure is masked.
use std::fmt;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

pub use super::env_problem::EnvProblem;
use super::problem::Problem;
use super::source::SourceText;

/// What the file sets.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct EnvFile {
    /// Names and values: each name once, in the order of first mention, with its last value.
    pub entries: Vec<(String, String)>,
    /// What is odd about the file.
    pub problems: Vec<Problem>,
}

impl fmt::Debug for EnvFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self.entries.iter().map(|(name, _)| name.as_str()).collect();
        f.debug_struct("EnvFile").field("names", &names).field("problems", &self.problems.len()).finish()
    }
}

/// What the parser is in the middle of; the names are systemd's own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    PreKey,
    Key,
    PreValue,
    Value,
    ValueEscape,
    SingleQuote,
    DoubleQuote,
    DoubleQuoteEscape,
    Comment,
    CommentEscape,
}

/// An assignment as it is read.
#[derive(Debug, Default)]
struct Assignment {
    key: Vec<u8>,
    key_span: Range<usize>,
    value: Vec<u8>,
    /// How long the value is without the blanks at its end, if it has any that count as such.
    value_end: Option<usize>,
    /// Where a quote was opened last.
    quote: usize,
    /// Whether a quote was closed, and where text came after it.
    closed: bool,
    after_quote: Option<usize>,
    /// Where a `#` stands after a blank, outside quotes.
    hash: Option<usize>,
}

fn newline(byte: u8) -> bool {
    matches!(byte, b'\n' | b'\r')
}

fn blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r')
}

impl EnvFile {
    /// Reads the bytes of the file at `path`, which only names it in problems.
    #[must_use]
    pub fn parse(path: &Path, bytes: &[u8]) -> Self {
        Parser::new(path, bytes).run()
    }

    /// The value of a variable.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.entries.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

struct Parser<'a> {
    path: &'a Path,
    bytes: &'a [u8],
    /// The text with everything masked but line breaks, `=`, and the names that were recognised.
    shown: Vec<u8>,
    entries: Vec<(String, String)>,
    found: Vec<(EnvProblem, Range<usize>)>,
}

impl<'a> Parser<'a> {
    fn new(path: &'a Path, bytes: &'a [u8]) -> Self {
        let mask = |&byte: &u8| if blank(byte) { byte } else { b'*' };
        let shown = bytes.iter().map(mask).collect();
        Self { path, bytes, shown, entries: Vec::new(), found: Vec::new() }
    }

    fn line(&self, offset: usize) -> usize {
        1 + self.bytes.iter().take(offset).filter(|&&byte| byte == b'\n').count()
    }

    fn run(mut self) -> EnvFile {
        if let Some(at) = self.bytes.iter().position(|&byte| byte == 0) {
            self.found.push((EnvProblem::Nul { line: self.line(at) }, at..at + 1));
            return self.finish();
        }
        if let Err(error) = std::str::from_utf8(self.bytes) {
            let at = error.valid_up_to();
            self.found.push((EnvProblem::NotUtf8 { line: self.line(at) }, at..at + 1));
            return self.finish();
        }
        self.assignments();
        self.finish()
    }

    fn finish(self) -> EnvFile {
        // Only ASCII went into the copy, and the rest kept its length.
        let source = SourceText::new(self.path, String::from_utf8_lossy(&self.shown).into_owned());
        let problem = |(kind, span): (EnvProblem, Range<usize>)| {
            let help = kind.help().map(str::to_owned);
            Problem::new(kind, &source).at(span).help(help)
        };
        EnvFile { entries: self.entries, problems: self.found.into_iter().map(problem).collect() }
    }

    fn assignments(&mut self) {
        let mut state = State::PreKey;
        let mut now = Assignment::default();
        for (at, &byte) in self.bytes.iter().enumerate() {
            state = match state {
                State::PreKey if matches!(byte, b'#' | b';') => {
                    self.show(at..at + 1);
                    State::Comment
                }
                State::PreKey if blank(byte) => State::PreKey,
                State::PreKey => {
                    now = Assignment { key: vec![byte], key_span: at..at + 1, ..Assignment::default() };
                    // A lone `=` at the beginning is the first byte of a name to systemd, too.
                    State::Key
                }
                State::Key if newline(byte) => {
                    let line = self.line(now.key_span.start);
                    self.found
                        .push((EnvProblem::NoAssignment { line }, self.trimmed(now.key_span.start, at)));
                    State::PreKey
                }
                State::Key if byte == b'=' => {
                    self.show(at..at + 1);
                    State::PreValue
                }
                State::Key => {
                    now.key.push(byte);
                    now.key_span.end = at + 1;
                    State::Key
                }
                State::PreValue | State::Value if newline(byte) => {
                    self.push(&mut now, state == State::Value);
                    State::PreKey
                }
                State::PreValue => now.before_value(at, byte),
                State::Value => now.in_value(self.bytes, at, byte),
                State::ValueEscape => {
                    // An escaped line break joins two lines.
                    if !newline(byte) {
                        now.value.push(byte);
                    }
                    State::Value
                }
                State::SingleQuote if byte == b'\'' => now.close(),
                State::DoubleQuote if byte == b'"' => now.close(),
                State::DoubleQuote if byte == b'\\' => State::DoubleQuoteEscape,
                State::SingleQuote | State::DoubleQuote => {
                    now.value.push(byte);
                    state
                }
                State::DoubleQuoteEscape => {
                    // As in a shell: the backslash only escapes these, and joins lines.
                    if matches!(byte, b'"' | b'\\' | b'`' | b'$') {
                        now.value.push(byte);
                    } else if byte != b'\n' {
                        now.value.extend([b'\\', byte]);
                    }
                    State::DoubleQuote
                }
                State::Comment if newline(byte) => State::PreKey,
                State::Comment if byte == b'\\' => State::CommentEscape,
                State::Comment => State::Comment,
                State::CommentEscape if newline(byte) => {
                    self.show(at - 1..at);
                    self.found.push((EnvProblem::CommentBackslash { line: self.line(at) }, at - 1..at));
                    State::PreKey
                }
                State::CommentEscape => State::Comment,
            };
        }
        match state {
            State::PreKey | State::Comment | State::CommentEscape => {}
            State::Key => {
                let line = self.line(now.key_span.start);
                let span = self.trimmed(now.key_span.start, self.bytes.len());
                self.found.push((EnvProblem::NoAssignment { line }, span));
            }
            State::SingleQuote | State::DoubleQuote | State::DoubleQuoteEscape => {
                let quote = now.quote;
                self.show(quote..quote + 1);
                self.found.push((EnvProblem::OpenQuote { line: self.line(quote) }, quote..quote + 1));
                self.push(&mut now, false);
            }
            State::PreValue | State::Value | State::ValueEscape => self.push(&mut now, state == State::Value),
        }
    }

    fn show(&mut self, span: Range<usize>) {
        if let (Some(shown), Some(bytes)) = (self.shown.get_mut(span.clone()), self.bytes.get(span)) {
            shown.copy_from_slice(bytes);
        }
    }

    fn trimmed(&self, start: usize, end: usize) -> Range<usize> {
        let text = self.bytes.get(start..end).unwrap_or_default();
        start..start + text.trim_ascii_end().len()
    }

    fn push(&mut self, now: &mut Assignment, unquoted: bool) {
        let Assignment { key, key_span, mut value, value_end, after_quote, hash, .. } = std::mem::take(now);
        if let Some(end) = value_end.filter(|_| unquoted) {
            value.truncate(end);
        }
        // Both are parts of what was checked to be UTF-8, cut at ASCII.
        let key = String::from_utf8_lossy(&key).trim_end().to_owned();
        let value = String::from_utf8_lossy(&value).into_owned();
        let line = self.line(key_span.start);
        let span = self.trimmed(key_span.start, key_span.end);
        let exported = key.strip_prefix("export").map(str::trim_start).filter(|name| is_name(name));
        if let Some(name) = exported.filter(|name| name.len() + "export".len() < key.len()) {
            let name = name.to_owned();
            self.show(key_span);
            self.found.push((EnvProblem::Export { line, name }, span));
            return;
        }
        if !is_name(&key) {
            // Not shown: in a file whose quotes went wrong it may be a piece of a value.
            self.found.push((EnvProblem::Name { line }, span));
            return;
        }
        self.show(key_span);
        if let Some(at) = after_quote {
            self.found.push((EnvProblem::AfterQuote { line: self.line(at), name: key.clone() }, at..at + 1));
        } else if let Some(at) = hash {
            self.show(at..at + 1);
            self.found
                .push((EnvProblem::TrailingComment { line: self.line(at), name: key.clone() }, at..at + 1));
        }
        match self.entries.iter_mut().find(|(name, _)| *name == key) {
            Some((_, old)) => {
                *old = value;
                self.found.push((EnvProblem::Duplicate { name: key, line }, span));
            }
            None => self.entries.push((key, value)),
        }
    }
}

impl Assignment {
    fn before_value(&mut self, at: usize, byte: u8) -> State {
        match byte {
            b'\'' | b'"' => {
                self.quote = at;
                if byte == b'"' { State::DoubleQuote } else { State::SingleQuote }
            }
            b'\\' => State::ValueEscape,
            byte if blank(byte) => State::PreValue,
            byte => {
                if self.closed {
                    self.after_quote = Some(at);
                }
                self.value.push(byte);
                State::Value
            }
        }
    }

    fn in_value(&mut self, bytes: &[u8], at: usize, byte: u8) -> State {
        if byte == b'\\' {
            self.value_end = None;
            return State::ValueEscape;
        }
        if !blank(byte) {
            self.value_end = None;
        } else if self.value_end.is_none() {
            self.value_end = Some(self.value.len());
        }
        let after_blank = at.checked_sub(1).and_then(|before| bytes.get(before)).is_some_and(|&b| blank(b));
        if byte == b'#' && after_blank && self.hash.is_none() {
            self.hash = Some(at);
        }
        self.value.push(byte);
        State::Value
    }

    fn close(&mut self) -> State {
        self.closed = true;
        State::PreValue
    }
}

/// `env_name_is_valid()`: what POSIX calls a name.
fn is_name(text: &str) -> bool {
    let name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    !text.is_empty() && text.chars().all(name) && !text.starts_with(|c: char| c.is_ascii_digit())
}

/// A template of an env file as its problems may show it: what stands between `{{ }}` and `{% %}`, the rest masked.
pub(crate) fn masked_template(source: &SourceText) -> Arc<SourceText> {
    let mut shown = String::with_capacity(source.text.len());
    let mut rest = source.text.as_str();
    let mask = |text: &str, shown: &mut String| {
        shown.extend(text.bytes().map(|byte| if blank(byte) { char::from(byte) } else { '*' }));
    };
    while let Some(start) = rest.find("{{").into_iter().chain(rest.find("{%")).min() {
        let (before, code) = rest.split_at(start);
        mask(before, &mut shown);
        let close = if code.starts_with("{{") { "}}" } else { "%}" };
        let line_end = code.find('\n').unwrap_or(code.len());
        let end = code.find(close).map_or(line_end, |at| at + close.len());
        let (code, after) = code.split_at(end);
        shown.push_str(code);
        rest = after;
    }
    mask(rest, &mut shown);
    SourceText::new(source.path.clone(), shown)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parse(text: &str) -> EnvFile {
        EnvFile::parse(Path::new("x.conf"), text.as_bytes())
    }

    fn value(text: &str) -> String {
        parse(text).entries.pop().unwrap().1
    }

    fn problems(text: &str) -> Vec<String> {
        parse(text).problems.iter().map(|problem| problem.kind.to_string()).collect()
    }

    #[test]
    fn values_are_what_systemd_makes_of_them() {
        for (text, expected) in [
            ("A=b", "b"),
            ("A=", ""),
            ("A = b ", "b"),
            ("A=b c  \n", "b c"),
            ("A='b c '", "b c "),
            ("A=\"b c \"", "b c "),
            ("A='North Carolina'\n", "North Carolina"),
            ("A='a\nb'", "a\nb"),
            ("A='a\\'b'", "a\\b'"),
            ("A=\"a\\\"b\"", "a\"b"),
            ("A=\"\\$x\\`\\\\\"", "$x`\\"),
            ("A=\"a\\nb\"", "a\\nb"),
            ("A=\"a\\\nb\"", "ab"),
            ("A=a\\\nb", "ab"),
            ("A=a\\nb", "anb"),
            ("A=a\\ \n", "a "),
            ("A=$HOME", "$HOME"),
            ("A=it's", "it's"),
            ("A='a'b", "ab"),
            ("A='a' 'b'", "ab"),
            ("A=a=b", "a=b"),
            ("A=b\r\n", "b"),
            ("A=\"b", "b"),
            ("A=b\\", "b"),
            ("A=ä", "ä"),
        ] {
            assert_eq!(value(text), expected, "{text:?}");
        }
    }

    #[test]
    fn comments_end_with_their_line() {
        let file = parse("# A=1\n  ; B=2 \\\nC=3\n\n#\\\nD=4");
        assert_eq!(file.entries, [("C".into(), "3".into()), ("D".into(), "4".into())]);
        let lines: Vec<_> = file.problems.iter().map(|problem| problem.line().unwrap()).collect();
        assert_eq!(lines, [2, 5], "{:?}", file.problems);
    }

    #[test]
    fn the_last_value_counts_at_the_first_place() {
        let file = parse("A=1\nB=2\nA=3\n");
        assert_eq!(file.entries, [("A".into(), "3".into()), ("B".into(), "2".into())]);
        assert_eq!(file.problems[0].kind.to_string(), "`A` is set again on line 3: the last value counts");
    }

    #[test]
    fn what_systemd_drops_is_reported_with_its_line() {
        assert_eq!(problems("A=1\nnonsense\n"), ["line 2 has no `=`, so systemd ignores it"]);
        assert_eq!(problems("nonsense"), ["line 1 has no `=`, so systemd ignores it"]);
        assert_eq!(
            problems("\n1A=x\nA-B=x\n=x\nA B=x"),
            [2, 3, 5]
                .map(|n| format!("the name on line {n} is not one systemd takes, so the variable is not set"))
                .into_iter()
                .enumerate()
                .flat_map(|(i, text)| if i == 2 {
                    vec!["line 4 has no `=`, so systemd ignores it".to_owned(), text]
                } else {
                    vec![text]
                })
                .collect::<Vec<_>>()
        );
        assert_eq!(problems("export A=1"), ["line 1 begins with `export`, so systemd does not set `A`"]);
        assert_eq!(
            problems("A=1\nB=\"x\nC=2\n"),
            ["the quote that begins on line 2 never ends, and takes in the rest of the file"]
        );
        assert!(problems("A='x' # note")[0].contains("after the closing quote"));
        assert!(problems("A=x # note")[0].contains("begins no comment"));
        assert!(problems("A=x#y").is_empty());
        assert!(problems("A=1\nB=\0")[0].contains("line 2 contains a NUL"));
        assert!(EnvFile::parse(Path::new("x"), b"A=\xff").problems[0].kind.to_string().contains("not UTF-8"));
    }

    #[test]
    fn no_value_is_shown() {
        let file =
            parse("TOKEN=hunter2\n#OLD=hunter2\nexport B=hunter2\nhunter2\nhunter2+==\nX=\"hunter2 é\n");
        let shown = format!("{file:?} {:?} {}", file.problems, file.problems[0].file.text);
        assert!(!shown.contains("hunter2"), "{shown}");
        assert!(shown.contains("TOKEN=*******"), "{shown}");
        let source = SourceText::new("x.j2", "A=hunter2{{ x }}é\n{% if y\nB=hunter2\n");
        let masked = masked_template(&source);
        assert_eq!(masked.text, "*********{{ x }}**\n{% if y\n*********\n");
        assert_eq!(masked.text.len(), source.text.len());
    }

    proptest! {
        #[test]
        fn nothing_panics(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            let _ = EnvFile::parse(Path::new("x"), &bytes);
        }

        #[test]
        fn no_text_panics_and_every_span_can_be_shown(text in "[AB=\"'\\\\ \n\r#;$é]{0,40}") {
            let file = parse(&text);
            for problem in &file.problems {
                prop_assert!(problem.file.text.get(problem.span.clone().unwrap()).is_some());
            }
        }

        #[test]
        fn a_quoted_value_is_itself(text in "[^'\0]{0,40}") {
            prop_assert_eq!(value(&format!("A='{text}'\n")), text);
        }
    }
}
