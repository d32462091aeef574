//! What `health` of a manifest may hold: one check, or a list of them.
use std::num::NonZeroU32;

use super::health::{DEFAULT_INTERVAL, Header, HealthCheck, HostCommand, HttpQuestion, Question, TcpAddress};
use super::http_url::{HttpUrl, UrlError};
use super::model::DEFAULT_HEALTH_TIMEOUT;
use super::name::UnitName;
use super::problem::Problem;
use super::read::{Fields, Reader};
use super::read_problem::ManifestProblem;
use super::yaml::{Node, Scalar, ScalarKind, Value};

/// The keys that say what is asked: one of them in each check.
pub(super) const QUESTION_KEYS: &[&str] = &["http", "tcp", "command", "journal", "unit"];
/// The keys that go with `http` only.
const HTTP_KEYS: &[&str] = &["status", "contains", "headers"];
pub(super) const HEALTH_KEYS: &[&str] = &[
    "http",
    "tcp",
    "command",
    "journal",
    "unit",
    "status",
    "contains",
    "headers",
    "timeout",
    "interval",
    "successes",
];

const MOST_SUCCESSES: u32 = 1000;

impl Reader<'_> {
    pub(super) fn health(&mut self, node: &Node) -> Option<Vec<HealthCheck>> {
        match &node.value {
            Value::List(items) if items.is_empty() => {
                let problem = self.problem(ManifestProblem::EmptyList { what: "`health`".to_owned() }, node);
                self.problems.push(
                    problem.help(
                        "take it away, or add a check such as `http: http://localhost:8000/`".to_owned(),
                    ),
                );
                None
            }
            Value::List(items) => {
                let checks: Vec<_> = items.iter().map(|item| self.health_check(item)).collect();
                checks.into_iter().collect()
            }
            _ => self.health_check(node).map(|check| vec![check]),
        }
    }

    fn health_check(&mut self, node: &Node) -> Option<HealthCheck> {
        let entries =
            self.map("health", "a map such as `http: http://localhost:8000/`, or a list of them", node)?;
        let fields = self.fields("`health`", HEALTH_KEYS, entries);
        let timeout =
            fields.get("timeout").map_or(Some(DEFAULT_HEALTH_TIMEOUT), |node| self.duration("timeout", node));
        let interval =
            fields.get("interval").map_or(Some(DEFAULT_INTERVAL), |node| self.duration("interval", node));
        let successes = fields.get("successes").map_or(Some(NonZeroU32::MIN), |node| {
            self.count("successes", MOST_SUCCESSES, "how many good answers in a row are enough", node)
        });
        let question = self.question(&fields, node);
        Some(HealthCheck {
            question: question?,
            timeout: timeout?,
            interval: interval?,
            successes: successes?,
        })
    }

    fn question(&mut self, fields: &Fields<'_>, node: &Node) -> Option<Question> {
        let mut given = QUESTION_KEYS.iter().filter_map(|kind| Some((*kind, fields.entry(kind)?)));
        let Some((kind, (key, value))) = given.next() else {
            self.missing(
                "http",
                "`health`",
                node,
                "add what to ask: `http: http://localhost:8000/`, or `tcp`, `command`, `journal`, `unit`",
            );
            return None;
        };
        if let Some((other, (second, _))) = given.next() {
            let problem = Problem::new(ManifestProblem::Conflict { first: kind, second: other }, self.source)
                .at(second.span.clone())
                .label(format!("and `{other}` here"))
                .also(key.span.clone(), format!("`{kind}` here"));
            self.problems.push(problem.help(
                "write a list with a map for each check: `health: [{http: ...}, {tcp: ...}]`".to_owned(),
            ));
            return None;
        }
        if kind != "http" {
            for name in HTTP_KEYS {
                if let Some((key, _)) = fields.entry(name) {
                    let kind = ManifestProblem::UnknownKey {
                        key: (*name).to_owned(),
                        place: "a check without `http`",
                    };
                    let problem =
                        Problem::new(kind, self.source).at(key.span.clone()).label("only with `http`");
                    self.problems.push(problem.help("only `http` has it".to_owned()));
                }
            }
        }
        match kind {
            "http" => {
                self.spans.insert("health.http", value.span.clone());
                self.http(fields, value).map(Question::Http)
            }
            "tcp" => {
                let text = self.text("tcp", "a host and a port such as `localhost:5432`", value)?;
                match text.parse::<TcpAddress>() {
                    Ok(address) => Some(Question::Tcp(address)),
                    Err(error) => {
                        let problem = self.problem(error, value);
                        self.problems
                            .push(problem.help("as seen from the host: `localhost:5432`".to_owned()));
                        None
                    }
                }
            }
            "command" => self.host_command("command", value).map(Question::Command),
            "journal" => {
                let text = self.filled("journal", "a text", value)?;
                if text.contains('\n') {
                    self.wrong_type("journal", "a text without a line break", value);
                    return None;
                }
                Some(Question::Journal(text))
            }
            _ => self.name::<UnitName>("unit", "the name of a unit", value).map(Question::Unit),
        }
    }

    fn http(&mut self, fields: &Fields<'_>, node: &Node) -> Option<HttpQuestion> {
        let url = self.text("http", "a URL", node).and_then(|text| {
            let parsed = text.parse::<HttpUrl>();
            parsed
                .map_err(|error: UrlError| {
                    let help = error.help();
                    let problem = self.problem(error, node);
                    self.problems.push(problem.help(help));
                })
                .ok()
        });
        let status = fields.get("status").map_or(Some(Vec::new()), |node| self.statuses(node));
        let contains = match fields.get("contains") {
            Some(node) => self.filled("contains", "a text", node).map(Some),
            None => Some(None),
        };
        let headers = fields.get("headers").map_or(Some(Vec::new()), |node| self.headers(node));
        Some(HttpQuestion { url: url?, status: status?, contains: contains?, headers: headers? })
    }

    fn statuses(&mut self, node: &Node) -> Option<Vec<u16>> {
        let items = match &node.value {
            Value::List(items) if !items.is_empty() => items.iter().collect(),
            _ => vec![node],
        };
        let mut statuses = Vec::new();
        for item in items {
            let status = match &item.value {
                Value::Scalar(Scalar { text, kind: ScalarKind::Number }) => text.parse().ok(),
                _ => None,
            };
            match status.filter(|status| (100..600).contains(status)) {
                Some(status) => statuses.push(status),
                None => {
                    self.wrong_type("status", "a status from 100 to 599, or a list of them", item);
                    return None;
                }
            }
        }
        Some(statuses)
    }

    /// Only what can stand in a header (RFC 9110, 5.1 and 5.5): nothing that would begin another one.
    fn headers(&mut self, node: &Node) -> Option<Vec<Header>> {
        let entries = self.map("headers", "a map of headers", node)?;
        let mut headers = Vec::new();
        let mut whole = true;
        for (key, node) in entries {
            let token = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
            let value = match &node.value {
                Value::Scalar(Scalar { text, kind }) if *kind != ScalarKind::Null => Some(text),
                _ => None,
            };
            let plain = |text: &&String| text.chars().all(|c| c == '\t' || c == ' ' || c.is_ascii_graphic());
            if key.text.is_empty() || !key.text.chars().all(token) {
                let problem = Problem::new(ManifestProblem::Header { part: "name" }, self.source);
                self.problems.push(problem.at(key.span.clone()).help("such as `Authorization`".to_owned()));
                whole = false;
            } else if let Some(value) = value.filter(plain) {
                headers.push(Header { name: key.text.clone(), value: value.clone() });
            } else {
                let problem = self.problem(ManifestProblem::Header { part: "value" }, node);
                self.problems.push(problem.help("one line of ASCII text".to_owned()));
                whole = false;
            }
        }
        whole.then_some(headers)
    }

    /// A shell program as a text, or a program and its arguments as a list.
    pub(super) fn host_command(&mut self, key: &'static str, node: &Node) -> Option<HostCommand> {
        const EXPECTED: &str = "a text for the shell, or a list of words";
        let Value::List(items) = &node.value else {
            return self.filled(key, EXPECTED, node).map(HostCommand::Shell);
        };
        let word = |item: &Node| match &item.value {
            Value::Scalar(Scalar { text, kind }) if *kind != ScalarKind::Null && !text.contains('\0') => {
                Some(text.clone())
            }
            _ => None,
        };
        match items.iter().map(word).collect::<Option<Vec<_>>>() {
            Some(words) if words.first().is_some_and(|program| !program.is_empty()) => {
                Some(HostCommand::Words(words))
            }
            _ => {
                self.wrong_type(key, EXPECTED, node);
                None
            }
        }
    }

    /// A text with something in it.
    pub(super) fn filled(&mut self, key: &str, expected: &'static str, node: &Node) -> Option<String> {
        let text = self.text(key, expected, node)?;
        if text.trim().is_empty() || text.contains('\0') {
            let problem = self.problem(ManifestProblem::EmptyList { what: format!("`{key}`") }, node);
            self.problems.push(problem);
            return None;
        }
        Some(text.to_owned())
    }
}
