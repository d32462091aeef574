//! Files whose name ends in `.j2` are rendered with minijinja before they go to a host.
//!
//! A template sees every variable by its own name and all of them as the map `vars`, the environment's overlaid by the
//! host's; `service`, `environment` and `host`; and what [`TemplateInputs`] has: `secrets`, `facts`, `release`. An
//! unknown name is an error, nothing is escaped, and a template can't include another file.
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use minijinja::syntax::SyntaxConfig;
use minijinja::{AutoEscape, Error, ErrorKind, UndefinedBehavior, Value};
use thiserror::Error;

use super::model::{Environment, Host, Manifest};
use super::nearest::nearest;
use super::problem::{Problem, ProblemKind};
use super::secrets::{SecretValues, env_quote};
use super::source::SourceText;
pub use super::template_inputs::{
    FACT_NAMES, Needs, RELEASE_NAMES, SecretUse, TemplateFacts, TemplateInputs, TemplateRevision,
};

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
    /// A secret goes where everybody on the host can read it.
    #[error("a secret can't be in {0}: everybody on the host can read that")]
    SecretForAll(&'static str),
    /// The value of a secret is not what systemd would read from the env file.
    #[error("the value of the secret `{0}` does not come through the env file as it is")]
    Mangled(String),
}

impl TemplateProblem {
    pub(super) fn code(&self) -> &'static str {
        match self {
            Self::Syntax(_) => "syntax",
            Self::Undefined(_) => "undefined",
            Self::Render(_) => "render",
            Self::SecretForAll(_) => "secret_for_all",
            Self::Mangled(_) => "mangled_secret",
        }
    }
}

/// What a template sees.
#[derive(Clone)]
pub struct TemplateContext {
    values: BTreeMap<String, Value>,
    host: String,
    secrets: SecretValues,
}

// The values of secrets are among the values.
impl std::fmt::Debug for TemplateContext {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let names: Vec<&String> = self.values.keys().collect();
        f.debug_struct("TemplateContext").field("host", &self.host).field("names", &names).finish()
    }
}

impl TemplateContext {
    /// What templates of `manifest` see on one host.
    #[must_use]
    pub fn new(manifest: &Manifest, environment: &Environment, host: &Host, inputs: &TemplateInputs) -> Self {
        let vars = environment.vars_for(host);
        let text = |value: &str| Value::from(value);
        let mut values: BTreeMap<String, Value> =
            vars.iter().map(|(name, value)| (name.to_string(), text(value))).collect();
        let map = vars.iter().map(|(name, value)| (name.to_string(), text(value)));
        values.insert("vars".to_owned(), Value::from_pairs(map));
        values.insert("service".to_owned(), text(manifest.name.as_str()));
        values.insert("environment".to_owned(), text(environment.name.as_str()));
        values.insert("host".to_owned(), text(host.address.host.as_str()));
        values.insert("facts".to_owned(), inputs.facts.value());
        values.insert("release".to_owned(), inputs.release());
        values.insert("secrets".to_owned(), inputs.secrets());
        Self { values, host: host.address.to_string(), secrets: inputs.secrets.clone() }
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
    engine.add_filter("env_quote", |value: String| env_quote(&value));
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
            let help = context.help_for(&name);
            let label = format!("not set for {}", context.host);
            Problem::new(TemplateProblem::Undefined(name), shown).at_maybe(range).label(label).help(help)
        }
        _ => Problem::new(TemplateProblem::Render(detail()), shown).at_maybe(range).label("here"),
    }
}

impl TemplateContext {
    /// What to do about a name that is not set.
    fn help_for(&self, name: &str) -> String {
        let (of, below) = name.split_once('.').unwrap_or(("", name));
        let (known, else_): (Vec<&str>, String) = match of {
            "secrets" => (
                self.secrets.iter().map(|(name, _)| name).collect(),
                "say where it comes from, under `secrets` of the environment or the host".to_owned(),
            ),
            "facts" => (FACT_NAMES.to_vec(), "it is no fact".to_owned()),
            "release" if RELEASE_NAMES.contains(&below) => {
                return "the manifest's folder is in no git repository with a commit, or git is not installed; \
                        `{% if release.revision is defined %}` asks whether it is there"
                    .to_owned();
            }
            "release" => (RELEASE_NAMES.to_vec(), "nothing else is known of a release".to_owned()),
            _ => (
                self.values.keys().map(String::as_str).collect(),
                "set it under `vars` of the environment or the host".to_owned(),
            ),
        };
        let prefix =
            if matches!(of, "secrets" | "facts" | "release") { format!("{of}.") } else { String::new() };
        match nearest(below, known.iter().copied()) {
            Some(near) => format!("did you mean `{prefix}{near}`?"),
            None if known.is_empty() => else_,
            None => format!("{else_}; there are {}", known.join(", ")),
        }
    }
}

/// The text of a line; of the last line with text on it, for a line that is empty.
fn line_range(text: &str, line: usize) -> Option<std::ops::Range<usize>> {
    let before: usize = text.split_inclusive('\n').take(line).map(str::len).sum();
    let end = text.get(..before)?.trim_end().len();
    let start = text.get(..end)?.rfind('\n').map_or(0, |newline| newline + 1);
    Some(start..end)
}

/// What the template in `source` needs.
#[must_use]
pub fn needs(source: &SourceText) -> Needs {
    match engine().template_from_str(&source.text) {
        Ok(template) => Needs::of(template.undeclared_variables(true)),
        Err(_) => Needs::unreadable(),
    }
}

/// What is wrong with a template whatever its names stand for: names that never stand for anything, in the parts that
/// are not rendered, too; and secrets in a file that is `for_all` to read.
#[must_use]
pub fn lint(source: &SourceText, shown: &Arc<SourceText>, for_all: Option<&'static str>) -> Vec<Problem> {
    let needs = needs(source);
    let mut problems = Vec::new();
    for name in needs.unknown {
        let (of, below) = name.split_once('.').unwrap_or(("", &name));
        let known = if of == "facts" { FACT_NAMES.to_vec() } else { RELEASE_NAMES.to_vec() };
        let help = match nearest(below, known.iter().copied()) {
            Some(near) => format!("did you mean `{of}.{near}`?"),
            None => format!("there are {}", known.join(", ")),
        };
        let span = place_of(&source.text, &name);
        let problem = Problem::new(TemplateProblem::Undefined(name), shown).at_maybe(span);
        problems.push(problem.label("never set").help(help));
    }
    // Of one that can't be read, rendering has more to say.
    let readable = engine().template_from_str(&source.text).is_ok();
    if let Some(what) = for_all.filter(|_| readable && !needs.secrets.is_none()) {
        let span = place_of(&source.text, "secrets");
        let problem = Problem::new(TemplateProblem::SecretForAll(what), shown).at_maybe(span);
        problems.push(
            problem.label("a secret").help(
                "put it into the env file, which only its user can read, or name it in `credentials` of the unit \
                 (docs/secrets.md); one of `files` needs a `mode` such as \"0600\""
                    .to_owned(),
            ),
        );
    }
    problems
}

/// Whether a problem may be gone, or be another one, once the facts of the host are known.
#[must_use]
pub fn depends_on_facts(problem: &Problem) -> bool {
    let (ProblemKind::Template(TemplateProblem::Undefined(_) | TemplateProblem::Render(_)), Some(span)) =
        (&problem.kind, &problem.span)
    else {
        return false;
    };
    let marked = problem.file.text.get(span.clone()).unwrap_or_default();
    // What is no fact at all never will be one.
    let plain = |text: &str| text.chars().all(|c| c.is_alphanumeric() || c == '_');
    let is_name = marked.strip_prefix("facts.").or(marked.strip_prefix("release.")).is_some_and(plain);
    !is_name && place_of(marked, "facts").or(place_of(marked, "release")).is_some()
}

/// The secrets that a template of an env file uses, and that systemd would not read back as they are.
#[must_use]
pub fn mangled(
    source: &SourceText,
    shown: &Arc<SourceText>,
    context: &TemplateContext,
    rendered: &str,
    entries: &[(String, String)],
) -> Vec<Problem> {
    let used = needs(source).secrets;
    let whole = |value: &str| entries.iter().any(|(_, entry)| entry.contains(value));
    let lost = context.secrets.iter().filter(|(name, value)| {
        // One that is not there as it is was changed on purpose, by a filter.
        used.includes(name) && rendered.contains(value) && !whole(value)
    });
    let problems = lost.map(|(name, _)| {
        let span = place_of(&source.text, &format!("secrets.{name}"));
        let problem = Problem::new(TemplateProblem::Mangled(name.to_owned()), shown).at_maybe(span);
        problem.label("systemd would read something else").help(format!(
            "write `{{{{ secrets.{name} | env_quote }}}}`, without quotes around it: the value has more than one line, a \
             quote, a backslash or a blank at an end"
        ))
    });
    problems.collect()
}

/// Where a name stands that does not go on.
fn place_of(text: &str, name: &str) -> Option<std::ops::Range<usize>> {
    let goes_on = |c: char| c.is_alphanumeric() || c == '_';
    let place = text.match_indices(name).find(|(at, _)| {
        let (before, after) = (text.get(..*at), text.get(at + name.len()..));
        !before.is_some_and(|text| text.ends_with(goes_on))
            && !after.is_some_and(|text| text.starts_with(goes_on))
    });
    place.map(|(at, _)| at..at + name.len())
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
             secrets: {TOKEN: {env: T}}, hosts: [{host: 'me@web1:22', vars: {A: <&>}}]}}}";
        let manifest = parse(&SourceText::new("deploy.yaml", manifest)).unwrap().manifest;
        let environment = manifest.environment(None).unwrap();
        let host = &environment.hosts[0];
        let inputs = TemplateInputs::offline(&manifest, environment, host, None);
        let context = TemplateContext::new(&manifest, environment, host, &inputs);
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
    fn a_template_sees_the_host_and_its_secrets() {
        let text = "{{ facts.user }} {{ facts.systemd + 1 }} {{ secrets.TOKEN }} {{ 'a$b' | env_quote }}";
        assert_eq!(render_text(text).unwrap(), r#"me 253 *** "a\$b""#);
        let help = |text: &str| render_text(text).unwrap_err().help.unwrap();
        assert_eq!(help("{{ secrets.TOKN }}"), "did you mean `secrets.TOKEN`?");
        assert_eq!(help("{{ facts.hostnam }}"), "did you mean `facts.hostname`?");
        assert!(help("{{ release.revision }}").contains("no git repository"));
    }

    #[test]
    fn names_that_never_are_set_are_found_where_nothing_is_rendered() {
        let source =
            SourceText::new("x.j2", "{% if A == 'never' %}{{ facts.hom }}{{ release.id }}{% endif %}");
        let found = lint(&source, &source, None);
        let marked: Vec<_> =
            found.iter().map(|problem| &source.text[problem.span.clone().unwrap()]).collect();
        assert_eq!(marked, ["facts.hom", "release.id"]);
        let source = SourceText::new("x.j2", "{{ my_secrets }}{{ secrets.TOKEN }}");
        assert_eq!(lint(&source, &source, None), []);
        let found = lint(&source, &source, Some("a unit file"));
        assert_eq!(found[0].span, Some(19..26));
    }

    #[test]
    fn needs_are_known_before_anything_is_rendered() {
        let of = |text: &str| needs(&SourceText::new("x.j2", text));
        let none = of("{{ A }} {{ vars.facts }}");
        assert!(!none.facts && !none.revision && none.secrets.is_none());
        assert!(of("{{ facts.home }}").facts && !of("{{ facts.home }}").root);
        assert!(of("{{ release.root }}").root && !of("{{ release.root }}").facts);
        assert!(of("{% set r = release %}{{ r.root }}").root);
        assert!(of("{{ release.dirty }}").revision && !of("{{ release.dirty }}").facts);
        assert!(of("{{ secrets.A }}").secrets.includes("A") && !of("{{ secrets.A }}").secrets.includes("B"));
        assert!(of("{% for k in secrets %}{{ k }}{% endfor %}").secrets.includes("B"));
        assert!(of("{% set s = secrets %}{{ s.A }}").secrets.includes("A"));
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
