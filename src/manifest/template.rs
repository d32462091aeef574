//! Files whose name ends in `.j2` are rendered with minijinja before they go to a host.
//!
//! A template sees every variable by its own name and all of them as the map `vars`, the environment's overlaid by the
//! host's; and `service`, `environment` and `host`. An unknown name is an error, nothing is escaped, and a template
//! can't include another file.
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use minijinja::syntax::SyntaxConfig;
use minijinja::{AutoEscape, Error, ErrorKind, UndefinedBehavior, Value};
use thiserror::Error;

use super::model::{Environment, Host, Manifest};
use super::nearest::nearest;
use super::problem::Problem;
use super::source::SourceText;

/// What is wrong with a template.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Error)]
#[non_exhaustive]
pub enum TemplateProblem {
    /// It can't be read as a template.
    #[error("this template can't be read: {0}")]
    Syntax(String),
    /// It uses a name that is not there.
    #[error("this template uses `{0}`, which is not set")]
    Undefined(String),
    /// Something else failed while it was rendered.
    #[error("this template can't be rendered: {0}")]
    Render(String),
}

impl TemplateProblem {
    pub(super) fn code(&self) -> &'static str {
        match self {
            Self::Syntax(_) => "syntax",
            Self::Undefined(_) => "undefined",
            Self::Render(_) => "render",
        }
    }
}

/// What a template sees.
#[derive(Debug, Clone)]
pub struct TemplateContext {
    values: BTreeMap<String, Value>,
    host: String,
}

impl TemplateContext {
    /// What templates of `manifest` see on one host.
    #[must_use]
    pub fn new(manifest: &Manifest, environment: &Environment, host: &Host) -> Self {
        let vars = environment.vars_for(host);
        let text = |value: &str| Value::from(value);
        let mut values: BTreeMap<String, Value> =
            vars.iter().map(|(name, value)| (name.to_string(), text(value))).collect();
        let map = vars.iter().map(|(name, value)| (name.to_string(), text(value)));
        values.insert("vars".to_owned(), Value::from_pairs(map));
        values.insert("service".to_owned(), text(manifest.name.as_str()));
        values.insert("environment".to_owned(), text(environment.name.as_str()));
        values.insert("host".to_owned(), text(host.address.host.as_str()));
        Self { values, host: host.address.to_string() }
    }

    /// The host it is for, as its address.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }
}

/// Whether a file is a template, by its name.
#[must_use]
pub fn is_template(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "j2")
}

fn engine() -> minijinja::Environment<'static> {
    let mut engine = minijinja::Environment::new();
    engine.set_undefined_behavior(UndefinedBehavior::Strict);
    engine.set_auto_escape_callback(|_| AutoEscape::None);
    engine.set_debug(true);
    let mut syntax = SyntaxConfig::builder();
    syntax.keep_trailing_newline(true);
    if let Ok(syntax) = syntax.build() {
        engine.set_syntax(syntax);
    }
    engine
}

/// Renders the template in `source`. Its problems point into `shown`, a text of the same length: the source itself, or
/// a copy without what may be secret.
///
/// # Errors
///
/// When it is no template, uses a name that isn't there, or fails.
pub fn render(
    source: &SourceText,
    shown: &Arc<SourceText>,
    context: &TemplateContext,
) -> Result<String, Box<Problem>> {
    let engine = engine();
    let rendered = engine
        .template_from_named_str("template", &source.text)
        .and_then(|template| template.render(Value::from_pairs(context.values.clone())));
    rendered.map_err(|error| Box::new(problem(&error, source, shown, context)))
}

fn problem(
    error: &Error,
    source: &SourceText,
    shown: &Arc<SourceText>,
    context: &TemplateContext,
) -> Problem {
    let range = error.range().filter(|range| source.text.get(range.clone()).is_some());
    // A text that ends too early has a line, but no range.
    let range = range.or_else(|| line_range(&source.text, error.line()?));
    let marked = range.clone().and_then(|range| source.text.get(range)).unwrap_or("").trim();
    let detail = || error.detail().map_or_else(|| error.kind().to_string(), str::to_owned);
    match error.kind() {
        ErrorKind::SyntaxError => {
            let problem = Problem::new(TemplateProblem::Syntax(detail()), shown).at_maybe(range);
            problem.label("here")
        }
        ErrorKind::UndefinedError => {
            let name = marked.trim_matches(|c: char| "{}%- ".contains(c)).to_owned();
            let known: Vec<&str> = context.values.keys().map(String::as_str).collect();
            let bare = name.strip_prefix("vars.").unwrap_or(&name);
            let help = match nearest(bare, known.iter().copied()) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!(
                    "set it under `vars` of the environment or the host; there are {}",
                    known.join(", ")
                ),
            };
            let label = format!("not set for {}", context.host);
            Problem::new(TemplateProblem::Undefined(name), shown).at_maybe(range).label(label).help(help)
        }
        _ => Problem::new(TemplateProblem::Render(detail()), shown).at_maybe(range).label("here"),
    }
}

/// The text of a line; of the last line with text on it, for a line that is empty.
fn line_range(text: &str, line: usize) -> Option<std::ops::Range<usize>> {
    let before: usize = text.split_inclusive('\n').take(line).map(str::len).sum();
    let end = text.get(..before)?.trim_end().len();
    let start = text.get(..end)?.rfind('\n').map_or(0, |newline| newline + 1);
    Some(start..end)
}

/// What a template looks up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Used {
    /// These names.
    Names(BTreeSet<String>),
    /// All variables, or nobody knows: it takes `vars` as a whole, or can't be read.
    Anything,
}

/// The names of variables that the template in `source` uses.
#[must_use]
pub fn used(source: &SourceText) -> Used {
    let engine = engine();
    let Ok(template) = engine.template_from_str(&source.text) else { return Used::Anything };
    let mut names = BTreeSet::new();
    for name in template.undeclared_variables(true) {
        if name == "vars" {
            return Used::Anything;
        }
        let name = name.strip_prefix("vars.").unwrap_or(&name);
        names.insert(name.split('.').next().unwrap_or(name).to_owned());
    }
    Used::Names(names)
}

#[cfg(test)]
mod tests {
    use super::super::load::parse;
    use super::*;

    fn render_text(text: &str) -> Result<String, Box<Problem>> {
        let manifest = "{name: api, unit: a.service, environments: {prod: {vars: {A: 1, B: x}, \
             hosts: [{host: 'me@web1:22', vars: {A: <&>}}]}}}";
        let manifest = parse(&SourceText::new("deploy.yaml", manifest)).unwrap().manifest;
        let environment = manifest.environment(None).unwrap();
        let context = TemplateContext::new(&manifest, environment, &environment.hosts[0]);
        let source = SourceText::new("x.j2", text);
        render(&source, &source, &context)
    }

    #[test]
    fn a_template_sees_variables_and_where_it_is() {
        let text = "{{ A }} {{ vars.A }} {{ B }}{% for k in vars %} {{ k }}{% endfor %}\n\
             {{ service }} {{ environment }} {{ host }}\n";
        assert_eq!(render_text(text).unwrap(), "<&> <&> x A B\napi prod web1\n");
    }

    #[test]
    fn mistakes_are_marked() {
        let check = |text: &str, message: &str, marked: &str| {
            let problem = render_text(text).unwrap_err();
            assert_eq!(problem.kind.to_string(), message);
            assert_eq!(&text[problem.span.unwrap()], marked);
        };
        check("a\n{{ C }}", "this template uses `C`, which is not set", "C");
        check("{{ vars.C }}", "this template uses `vars.C`, which is not set", "vars.C");
        assert!(render_text("{% if C %}{% endif %}").is_err());
        assert!(render_text("{{ A | nofilter }}").unwrap_err().kind.to_string().contains("nofilter"));
        assert!(render_text("{% include 'x' %}").is_err());
        assert!(render_text("a {{ A ").unwrap_err().span.is_some());
    }

    #[test]
    fn what_a_template_uses_is_known() {
        let used = |text: &str| used(&SourceText::new("x.j2", text));
        let names = |names: &[&str]| Used::Names(names.iter().map(|&name| name.to_owned()).collect());
        assert_eq!(used("{{ A }}{% if vars.B %}{{ c.d }}{% endif %}"), names(&["A", "B", "c"]));
        assert_eq!(used("{% for k in vars %}{% endfor %}"), Used::Anything);
        assert_eq!(used("{{ "), Used::Anything);
    }
}
