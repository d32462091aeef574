//! What `secrets` of a manifest may hold.
use std::collections::BTreeMap;

use super::name::VarName;
use super::problem::Problem;
use super::read::Reader;
use super::read_problem::ManifestProblem;
use super::secrets::{DEFAULT_SECRET_TIMEOUT, SecretCommand, SecretSource};
use super::yaml::{Key, Node, Scalar, Value};

pub(super) const SECRET_KEYS: &[&str] = &["env", "command", "file", "prompt", "timeout"];
const EXAMPLE: &str = "such as `{ env: PROD_API_KEY }`, or `{ command: pass show api }`, `{ file: key.txt }`, `{ prompt: \"API key\" }`";

/// The keys that say where a secret comes from.
const KINDS: [&str; 4] = ["env", "command", "file", "prompt"];

impl Reader<'_> {
    pub(super) fn secrets(&mut self, path: &str, node: &Node) -> Option<BTreeMap<VarName, SecretSource>> {
        let entries = self.map("secrets", "a map of names and where they come from", node)?;
        let mut secrets = BTreeMap::new();
        let mut whole = true;
        for (key, node) in entries {
            let name = self.key_name::<VarName>(key);
            self.spans.insert(format!("{path}.secrets.{}", key.text), node.span.clone());
            match name.zip(self.secret(key, node)) {
                Some((name, source)) => {
                    secrets.insert(name, source);
                }
                None => whole = false,
            }
        }
        whole.then_some(secrets)
    }

    fn secret(&mut self, name: &Key, node: &Node) -> Option<SecretSource> {
        if !matches!(node.value, Value::Map(_)) {
            // What stands there may be the secret itself: no report shows it.
            self.hidden.push(node.span.clone());
            let found = ManifestProblem::SecretInManifest { name: name.text.clone() };
            let problem = Problem::new(found, self.source).at(name.span.clone()).label("where from?");
            self.problems.push(problem.help(format!("say where it comes from, {EXAMPLE}")));
            return None;
        }
        let entries = self.map(&name.text, "where the secret comes from", node)?;
        let fields = self.fields("a secret", SECRET_KEYS, entries);
        let mut given = KINDS.iter().filter_map(|kind| Some((*kind, fields.entry(kind)?)));
        let Some((kind, (first, source))) = given.next() else {
            self.missing("env", format!("the secret `{}`", name.text.escape_debug()), node, EXAMPLE);
            return None;
        };
        if let Some((other, (second, _))) = given.next() {
            let problem = Problem::new(ManifestProblem::Conflict { first: kind, second: other }, self.source);
            self.problems.push(
                problem
                    .at(second.span.clone())
                    .label(format!("and `{other}` here"))
                    .also(first.span.clone(), format!("`{kind}` here"))
                    .help("a secret comes from one place".to_owned()),
            );
            return None;
        }
        let timeout = fields.entry("timeout");
        if let Some((key, _)) = timeout.filter(|_| kind != "command") {
            let kind = ManifestProblem::UnknownKey {
                key: "timeout".to_owned(),
                place: "a secret without `command`",
            };
            let problem = Problem::new(kind, self.source).at(key.span.clone());
            self.problems.push(problem.help("only a command takes time".to_owned()));
            return None;
        }
        match kind {
            "env" => self.variable(source).map(SecretSource::Env),
            "file" => self.path("file", source).map(SecretSource::File),
            "prompt" => self.filled("prompt", "the text of a question", source).map(SecretSource::Prompt),
            _ => {
                let timeout = match timeout {
                    None => Some(DEFAULT_SECRET_TIMEOUT),
                    Some((_, node)) => self.duration("timeout", node),
                };
                let run = self.secret_command(source);
                Some(SecretSource::Command { run: run?, timeout: timeout? })
            }
        }
    }

    /// The name of a variable: whatever an environment can hold.
    fn variable(&mut self, node: &Node) -> Option<String> {
        let name = self.filled("env", "the name of a variable", node)?;
        if name.contains(['=', '\0']) {
            let kind = ManifestProblem::UnknownValue { key: "env", value: name };
            let problem = self.problem(kind, node).label("no variable can have this name");
            self.problems.push(problem);
            return None;
        }
        Some(name)
    }

    fn secret_command(&mut self, node: &Node) -> Option<SecretCommand> {
        let Value::List(items) = &node.value else {
            return self
                .filled("command", "the text of a shell program, or a list of words", node)
                .map(SecretCommand::Shell);
        };
        if items.is_empty() {
            let kind = ManifestProblem::EmptyList { what: "`command`".to_owned() };
            let problem = self.problem(kind, node);
            self.problems.push(problem.help("name the program first, then its arguments".to_owned()));
            return None;
        }
        let words: Vec<Option<String>> = items.iter().map(|item| self.word(item)).collect();
        words.into_iter().collect::<Option<Vec<String>>>().map(SecretCommand::Program)
    }

    /// A word of a command. Numbers and booleans are taken as they are written.
    fn word(&mut self, node: &Node) -> Option<String> {
        match &node.value {
            Value::Scalar(Scalar { text, .. }) if !text.contains('\0') => Some(text.clone()),
            _ => {
                self.wrong_type("command", "a list of words", node);
                None
            }
        }
    }
}
