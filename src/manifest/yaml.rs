//! YAML text as a tree of values that know where they stand.
//!
//! serde stops at the first error and forgets positions in places, so the tree is built from the parser's events
//! (`granit_parser`, the parser of `serde_saphyr`) and walked by [`read`](super::read), which collects every
//! problem. Scalars follow the core schema of YAML 1.2 (section 10.3): `yes` and `on` are text.
//!
//! Stricter than YAML: one document, keys are scalars and occur once, no merge keys, no tags but `!!str`, and a budget
//! on size and depth. A small text can't unfold into a large tree: what aliases copy counts against the budget.
use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use serde_saphyr::granit_parser::{self, Event, Parser, ScalarStyle, Span, StrInput};

use super::problem::Problem;
use super::read_problem::ManifestProblem;
use super::source::SourceText;

/// Far above any manifest (a thousand hosts with variables have some 10,000), far below what takes noticeable time.
const MAX_NODES: usize = 50_000;
/// A manifest is 6 deep.
const MAX_DEPTH: usize = 32;

/// A value and its bytes.
#[derive(Debug, Clone)]
pub(super) struct Node {
    pub(super) span: Range<usize>,
    pub(super) value: Value,
}

#[derive(Debug, Clone)]
pub(super) enum Value {
    Scalar(Scalar),
    List(Vec<Node>),
    Map(Vec<(Key, Node)>),
}

/// A scalar as its author wrote it, quotes and escapes resolved.
#[derive(Debug, Clone)]
pub(super) struct Scalar {
    pub(super) text: String,
    pub(super) kind: ScalarKind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ScalarKind {
    Null,
    Bool(bool),
    Number,
    Text,
}

#[derive(Debug, Clone)]
pub(super) struct Key {
    pub(super) text: String,
    pub(super) span: Range<usize>,
}

impl Node {
    /// What it is, for "expected a list, found ...".
    pub(super) fn found(&self) -> &'static str {
        match &self.value {
            Value::List(_) => "a list",
            Value::Map(_) => "a map",
            Value::Scalar(Scalar { kind: ScalarKind::Null, .. }) => "nothing",
            Value::Scalar(Scalar { kind: ScalarKind::Bool(_), .. }) => "a boolean",
            Value::Scalar(Scalar { kind: ScalarKind::Number, .. }) => "a number",
            Value::Scalar(Scalar { kind: ScalarKind::Text, .. }) => "text",
        }
    }

    fn size(&self) -> usize {
        1 + match &self.value {
            Value::Scalar(_) => 0,
            Value::List(items) => items.iter().map(Node::size).sum(),
            Value::Map(entries) => entries.iter().map(|(_, node)| 1 + node.size()).sum(),
        }
    }
}

/// The tree of the text, with the problems that don't keep it from being one; no tree for text that isn't YAML.
pub(super) fn tree(source: &Arc<SourceText>) -> (Option<Node>, Vec<Problem>) {
    let options = granit_parser::options! {
        emit_comments: false,
        disallow_directives: true,
        flow_nesting_limit: MAX_DEPTH,
        block_nesting_limit: MAX_DEPTH,
    };
    let mut builder = Builder {
        source,
        events: Parser::new_from_str_with_options(&source.text, options),
        anchors: HashMap::new(),
        nodes: 0,
        problems: Vec::new(),
    };
    let root = builder.document();
    let mut problems = builder.problems;
    match root {
        Ok(node) => (node, problems),
        Err(problem) => {
            problems.push(*problem);
            (None, problems)
        }
    }
}

struct Builder<'a> {
    source: &'a Arc<SourceText>,
    events: Parser<'a, StrInput<'a>>,
    anchors: HashMap<usize, Node>,
    nodes: usize,
    problems: Vec<Problem>,
}

/// A problem after which there is no tree. Boxed: it is large, and rare.
type Fatal = Box<Problem>;

impl<'a> Builder<'a> {
    fn document(&mut self) -> Result<Option<Node>, Fatal> {
        let mut root = None;
        while let Some((event, span)) = self.next()? {
            match event {
                Event::StreamStart | Event::DocumentEnd | Event::StreamEnd => {}
                Event::DocumentStart(..) => {
                    if root.is_some() {
                        let problem = Problem::new(ManifestProblem::SecondDocument, self.source);
                        return Err(Box::new(
                            problem.at(bytes(&span)).label("a second document begins here"),
                        ));
                    }
                }
                event => root = Some(self.node(event, span)?),
            }
        }
        Ok(root)
    }

    fn next(&mut self) -> Result<Option<(Event<'a>, Span)>, Fatal> {
        match self.events.next() {
            None => Ok(None),
            Some(Ok(event)) => Ok(Some(event)),
            Some(Err(error)) => {
                let at = error.marker().byte_offset().unwrap_or(0);
                Err(Box::new(syntax_problem(self.source, error.info(), at)))
            }
        }
    }

    /// The event after this one, which the grammar says there is.
    fn expect(&mut self) -> Result<(Event<'a>, Span), Fatal> {
        let end = self.source.text.len();
        self.next()?
            .ok_or_else(|| Box::new(syntax_problem(self.source, "the file ends too early".to_owned(), end)))
    }

    fn count(&mut self, nodes: usize, span: &Range<usize>) -> Result<(), Fatal> {
        self.nodes += nodes;
        if self.nodes <= MAX_NODES {
            return Ok(());
        }
        let problem = Problem::new(ManifestProblem::TooLarge { max: MAX_NODES }, self.source);
        Err(Box::new(problem.at(span.clone()).label("the budget is used up here")))
    }

    fn node(&mut self, event: Event<'a>, span: Span) -> Result<Node, Fatal> {
        let start = bytes(&span);
        self.count(1, &start)?;
        let (node, anchor) = match event {
            Event::Alias(id) => {
                let Some(target) = self.anchors.get(&id).cloned() else {
                    let text = "this alias stands inside the value it repeats".to_owned();
                    return Err(Box::new(syntax_problem(self.source, text, start.start)));
                };
                self.count(target.size(), &start)?;
                return Ok(target);
            }
            Event::Scalar(text, style, anchor, tag) => {
                let plain = style == ScalarStyle::Plain;
                let as_text = self.tag(tag.as_deref(), &span);
                let kind = if plain && !as_text { kind_of(&text) } else { ScalarKind::Text };
                let value = Value::Scalar(Scalar { text: text.into_owned(), kind });
                (Node { span: start, value }, anchor)
            }
            Event::SequenceStart(_, anchor, tag) => {
                self.tag(tag.as_deref(), &span);
                let mut items = Vec::new();
                let end = loop {
                    match self.expect()? {
                        (Event::SequenceEnd, end) => break bytes(&end).end,
                        (event, span) => items.push(self.node(event, span)?),
                    }
                };
                let end =
                    items.last().map_or(end, |last: &Node| if end > start.end { end } else { last.span.end });
                (Node { span: self.trimmed(start.start, end), value: Value::List(items) }, anchor)
            }
            Event::MappingStart(_, anchor, tag) => {
                self.tag(tag.as_deref(), &span);
                let (entries, end) = self.entries()?;
                (Node { span: self.trimmed(start.start, end), value: Value::Map(entries) }, anchor)
            }
            other => {
                let text = format!("unexpected {other:?}");
                return Err(Box::new(syntax_problem(self.source, text, start.start)));
            }
        };
        if anchor != 0 {
            self.anchors.insert(anchor, node.clone());
        }
        Ok(node)
    }

    /// A block collection ends where the next thing begins: take the blank space off its end.
    fn trimmed(&self, start: usize, end: usize) -> Range<usize> {
        let text = self.source.text.get(start..end).unwrap_or("");
        start..start + text.trim_end().len()
    }

    fn entries(&mut self) -> Result<(Vec<(Key, Node)>, usize), Fatal> {
        let mut entries: Vec<(Key, Node)> = Vec::new();
        loop {
            let (event, span) = self.expect()?;
            if event == Event::MappingEnd {
                return Ok((entries, bytes(&span).end));
            }
            let plain = matches!(event, Event::Scalar(_, ScalarStyle::Plain, ..));
            let key = self.node(event, span)?;
            let (event, value_span) = self.expect()?;
            let value = self.node(event, value_span)?;
            let Value::Scalar(Scalar { text, .. }) = key.value else {
                let problem = Problem::new(ManifestProblem::KeyNotScalar, self.source);
                self.problems.push(problem.at(key.span).label("this is used as a key"));
                continue;
            };
            if plain && text == "<<" {
                let problem = Problem::new(ManifestProblem::MergeKey, self.source).at(bytes(&span));
                self.problems.push(
                    problem.label("merge key").help(
                        "merge keys are not part of YAML 1.2; anchors (`&name`) and aliases (`*name`) work"
                            .to_owned(),
                    ),
                );
                continue;
            }
            if let Some((first, _)) = entries.iter().find(|(first, _)| first.text == text) {
                let problem = Problem::new(ManifestProblem::DuplicateKey { key: text }, self.source);
                self.problems.push(
                    problem.at(key.span).label("given again here").also(first.span.clone(), "first here"),
                );
                continue;
            }
            entries.push((Key { text, span: bytes(&span) }, value));
        }
    }

    /// Whether the tag says that the scalar is text; other tags are problems.
    fn tag(&mut self, tag: Option<&granit_parser::Tag>, span: &Span) -> bool {
        let Some(tag) = tag else { return false };
        let core = tag.handle() == "tag:yaml.org,2002:";
        // A lone `!` is the non-specific tag: text, whatever it looks like (YAML 1.2, section 6.9.1).
        if (core && tag.suffix() == "str") || (tag.handle().is_empty() && tag.suffix() == "!") {
            return true;
        }
        let at = span.tag_span().map_or_else(|| bytes(span), |span| bytes(&span));
        let problem = Problem::new(ManifestProblem::Tag, self.source).at(at);
        self.problems.push(problem.label("only `!!str` is known").help("take the tag away".to_owned()));
        false
    }
}

fn bytes(span: &Span) -> Range<usize> {
    let start = span.start.byte_offset().unwrap_or(0);
    start..span.end.byte_offset().unwrap_or(start).max(start)
}

fn syntax_problem(source: &Arc<SourceText>, reason: String, at: usize) -> Problem {
    let text = &source.text;
    let mut at = at.min(text.len());
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    let line_start = text.get(..at).and_then(|before| before.rfind('\n')).map_or(0, |newline| newline + 1);
    let line = text.get(line_start..).and_then(|rest| rest.lines().next()).unwrap_or("");
    let indent = line.len() - line.trim_start().len();
    let tab = line.get(..indent).and_then(|indent| indent.find('\t'));
    let problem = Problem::new(ManifestProblem::Syntax { reason }, source);
    match tab {
        Some(tab) => problem
            .at(line_start + tab..line_start + tab + 1)
            .label("a tab")
            .help("YAML is indented with spaces, never with tabs".to_owned()),
        None => {
            let width = text.get(at..).and_then(|rest| rest.chars().next()).filter(|&c| c != '\n');
            problem.at(at..at + width.map_or(0, char::len_utf8)).label("here")
        }
    }
}

/// The core schema of YAML 1.2, section 10.3.2.
fn kind_of(text: &str) -> ScalarKind {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => ScalarKind::Null,
        "true" | "True" | "TRUE" => ScalarKind::Bool(true),
        "false" | "False" | "FALSE" => ScalarKind::Bool(false),
        _ if is_number(text) => ScalarKind::Number,
        _ => ScalarKind::Text,
    }
}

fn is_number(text: &str) -> bool {
    let radix = |digits: &str, radix| !digits.is_empty() && digits.chars().all(|c| c.is_digit(radix));
    if let Some(digits) = text.strip_prefix("0x") {
        return radix(digits, 16);
    }
    if let Some(digits) = text.strip_prefix("0o") {
        return radix(digits, 8);
    }
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    if matches!(unsigned, ".inf" | ".Inf" | ".INF") || matches!(text, ".nan" | ".NaN" | ".NAN") {
        return true;
    }
    // What is left is Rust's own syntax, apart from its words for infinity and NaN.
    unsigned.starts_with(|c: char| c.is_ascii_digit() || c == '.')
        && unsigned.contains(|c: char| c.is_ascii_digit())
        && unsigned.parse::<f64>().is_ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn problems(text: &str) -> Vec<String> {
        tree(&SourceText::new("t.yaml", text)).1.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn scalars_are_of_the_core_schema() {
        for (text, kind) in [
            ("yes", ScalarKind::Text),
            ("on", ScalarKind::Text),
            ("True", ScalarKind::Bool(true)),
            ("~", ScalarKind::Null),
            ("08", ScalarKind::Number),
            ("1e3", ScalarKind::Number),
            ("0x1F", ScalarKind::Number),
            ("-.inf", ScalarKind::Number),
            ("infinity", ScalarKind::Text),
            ("1.2.3", ScalarKind::Text),
            (".", ScalarKind::Text),
            ("2s", ScalarKind::Text),
        ] {
            assert_eq!(kind_of(text), kind, "{text}");
        }
    }

    #[test]
    fn spans_are_the_bytes_of_the_value() {
        let source = SourceText::new("t.yaml", "é: [a,  b]\nm:\n  k: v\n\n# end\n");
        let (Some(Node { value: Value::Map(entries), .. }), problems) = tree(&source) else { panic!() };
        assert!(problems.is_empty());
        let text = |range: &Range<usize>| &source.text[range.clone()];
        assert_eq!(text(&entries[0].0.span), "é");
        assert_eq!(text(&entries[0].1.span), "[a,  b]");
        assert!(text(&entries[1].1.span).starts_with("k: v"), "{}", text(&entries[1].1.span));
    }

    #[test]
    fn what_yaml_leaves_open_is_refused() {
        assert_eq!(problems("a: 1\nb: 2\na: 3\n"), ["t.yaml:3: the key `a` is given twice"]);
        assert_eq!(problems("a: 1\n---\nb: 2\n"), ["t.yaml:2: the file has more than one YAML document"]);
        assert_eq!(
            problems("x: &x {a: 1}\ny: {<<: *x}\n"),
            ["t.yaml:2: merge keys (`<<`) are not supported"]
        );
        assert_eq!(problems("a: !secret b\n"), ["t.yaml:1: YAML tags are not supported"]);
        assert_eq!(problems("a: !!str 1\nb: ! 2\n"), [""; 0]);
        assert_eq!(problems("[a]: 1\n"), ["t.yaml:1: a key has to be plain text"]);
        assert!(
            problems("a:\n\tb: 1\n")[0].starts_with("t.yaml:2: this is not YAML"),
            "{:?}",
            problems("a:\n\tb: 1\n")
        );
        assert!(problems("a: *nowhere\n")[0].contains("not YAML"));
        assert!(problems("a: &a [*a]\n")[0].contains("not YAML"));
    }

    #[test]
    fn a_small_text_cannot_unfold_into_a_large_tree() {
        let mut bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n".to_owned();
        for i in 1..12 {
            let alias = format!("*a{}", i - 1);
            bomb.push_str(&format!("a{i}: &a{i} [{}]\n", [alias.as_str(); 9].join(", ")));
        }
        assert!(problems(&bomb)[0].contains("more than 50000 values"), "{:?}", problems(&bomb));
        let deep = "[".repeat(10_000);
        assert_eq!(problems(&deep).len(), 1);
    }

    proptest! {
        #[test]
        fn nothing_panics(text in "\\PC{0,60}|[a-c:\\-\\[\\]{}&*!|>'\"#? \n\t,~<]{0,40}") {
            let source = SourceText::new("t.yaml", text);
            let (_, problems) = tree(&source);
            for problem in problems {
                if let Some(span) = problem.span {
                    prop_assert!(source.text.get(span).is_some());
                }
            }
        }
    }
}
