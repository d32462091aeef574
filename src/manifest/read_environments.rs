//! What `environments` of a manifest may hold: hosts, their tags, variables.
use std::collections::BTreeMap;

use super::address::Address;
use super::model::{Confirm, Environment, Host, KnownHosts};
use super::name::{EnvironmentName, Tag, VarName};
use super::problem::Problem;
use super::read::Reader;
use super::read_problem::ManifestProblem;
use super::yaml::{Key, Node, Scalar, ScalarKind, Value};

pub(super) const ENVIRONMENT_KEYS: &[&str] = &["hosts", "vars", "secrets", "confirm", "known_hosts"];
pub(super) const HOST_KEYS: &[&str] = &["host", "tags", "vars", "secrets"];
/// What templates see besides the variables.
pub(super) const RESERVED_VARS: &[(&str, &str)] = &[
    ("service", "the name of the service"),
    ("environment", "the name of the environment"),
    ("host", "the host"),
    ("vars", "the map of all variables"),
    ("secrets", "the map of all secrets"),
    ("facts", "the map of what is known of the host"),
    ("release", "the map of what is known of the release"),
];

impl Reader<'_> {
    pub(super) fn environments(&mut self, node: &Node) -> Option<BTreeMap<EnvironmentName, Environment>> {
        let entries = self.map("environments", "a map of environments", node)?;
        if entries.is_empty() {
            let kind = ManifestProblem::EmptyList { what: "`environments`".to_owned() };
            let problem = self.problem(kind, node);
            self.problems.push(problem.help("add one, such as `prod: {hosts: [deploy@web1]}`".to_owned()));
            return None;
        }
        let mut environments = BTreeMap::new();
        let mut whole = true;
        for (key, node) in entries {
            let name = self.key_name::<EnvironmentName>(key);
            self.spans.insert(format!("environments.{}", key.text), key.span.clone());
            let environment = self.environment(key, node);
            match name.zip(environment) {
                Some((name, environment)) => {
                    environments.insert(name.clone(), environment(name));
                }
                None => whole = false,
            }
        }
        whole.then_some(environments)
    }

    /// All of an environment but its name.
    fn environment(
        &mut self,
        key: &Key,
        node: &Node,
    ) -> Option<impl FnOnce(EnvironmentName) -> Environment + use<>> {
        let entries = self.map(&key.text, "a map with `hosts`", node)?;
        let fields = self.fields("an environment", ENVIRONMENT_KEYS, entries);
        let path = format!("environments.{}", key.text);
        let vars = fields.get("vars").map_or(Some(BTreeMap::new()), |node| self.vars(&path, node));
        let secrets = fields.get("secrets").map_or(Some(BTreeMap::new()), |node| self.secrets(&path, node));
        let confirm = match fields.get("confirm") {
            None => Some(Confirm::default()),
            Some(node) => self.confirm(node),
        };
        let hosts = match fields.get("hosts") {
            Some(node) => self.hosts(&key.text, &path, node),
            None => {
                let place = format!("environment `{}`", key.text.escape_debug());
                self.missing("hosts", place, node, "add its machines: `hosts: [deploy@web1.example.com]`");
                None
            }
        };
        let known_hosts =
            fields.get("known_hosts").map(|node| self.known_hosts(&format!("{path}.known_hosts"), node));
        let known_hosts = known_hosts.map_or(Some(None), |known| known.map(Some))?;
        let (hosts, vars, secrets, confirm) = (hosts?, vars?, secrets?, confirm?);
        Some(move |name| Environment { name, hosts, vars, secrets, confirm, known_hosts })
    }

    /// A file, or a list of lines.
    pub(super) fn known_hosts(&mut self, path: &str, node: &Node) -> Option<KnownHosts> {
        self.spans.insert(path.to_owned(), node.span.clone());
        match &node.value {
            Value::List(items) => {
                let lines: Vec<Option<&str>> = items
                    .iter()
                    .enumerate()
                    .map(|(index, item)| {
                        self.spans.insert(format!("{path}[{index}]"), item.span.clone());
                        self.text("known_hosts", "a list of lines of known_hosts", item)
                    })
                    .collect();
                let lines: Option<Vec<&str>> = lines.into_iter().collect();
                Some(KnownHosts::Lines(lines?.into_iter().map(str::to_owned).collect()))
            }
            _ => self.path("known_hosts", node).map(KnownHosts::File),
        }
    }

    fn confirm(&mut self, node: &Node) -> Option<Confirm> {
        match &node.value {
            Value::Scalar(Scalar { kind: ScalarKind::Bool(true), .. }) => Some(Confirm::Always),
            Value::Scalar(Scalar { kind: ScalarKind::Bool(false), .. }) => Some(Confirm::Never),
            _ => {
                self.wrong_type("confirm", "`true` or `false`", node);
                None
            }
        }
    }

    fn hosts(&mut self, environment: &str, path: &str, node: &Node) -> Option<Vec<Host>> {
        let Value::List(items) = &node.value else {
            self.wrong_type("hosts", "a list of hosts", node);
            if let (Value::Scalar(_), Some(last)) = (&node.value, self.problems.last_mut()) {
                last.help =
                    Some("write a list, even for one host: `hosts: [deploy@web1.example.com]`".to_owned());
            }
            return None;
        };
        if items.is_empty() {
            let what = format!("the list of hosts of environment `{}`", environment.escape_debug());
            let problem = self.problem(ManifestProblem::EmptyList { what }, node);
            self.problems.push(problem.help("add at least one host".to_owned()));
            return None;
        }
        let mut hosts: Vec<(Host, &Node)> = Vec::new();
        let mut whole = true;
        for (index, item) in items.iter().enumerate() {
            let path = format!("{path}.hosts[{index}]");
            self.spans.insert(path.clone(), item.span.clone());
            let Some(host) = self.host(&path, item) else {
                whole = false;
                continue;
            };
            let same = |other: &Host| {
                let (a, b) = (&other.address, &host.address);
                // Two users of one machine are two places to deploy to.
                a.user == b.user && a.port == b.port && a.host.as_str().eq_ignore_ascii_case(b.host.as_str())
            };
            if let Some((_, first)) = hosts.iter().find(|(other, _)| same(other)) {
                let kind = ManifestProblem::DuplicateHost {
                    host: host.address.to_string(),
                    environment: environment.to_owned(),
                };
                let problem =
                    self.problem(kind, item).label("again here").also(first.span.clone(), "first here");
                self.problems.push(problem);
                whole = false;
                continue;
            }
            hosts.push((host, item));
        }
        whole.then(|| hosts.into_iter().map(|(host, _)| host).collect())
    }

    fn host(&mut self, path: &str, node: &Node) -> Option<Host> {
        if !matches!(node.value, Value::Map(_)) {
            let address = self.address(node)?;
            let (tags, vars, secrets) = (Vec::new(), BTreeMap::new(), BTreeMap::new());
            return Some(Host { address, tags, vars, secrets });
        }
        let entries = self.map("hosts", "a host", node)?;
        let fields = self.fields("a host", HOST_KEYS, entries);
        let address = match fields.get("host") {
            Some(node) => self.address(node),
            None => {
                self.missing(
                    "host",
                    "an entry of `hosts`",
                    node,
                    "add how it is reached: `host: deploy@web1`",
                );
                None
            }
        };
        let tags = fields.get("tags").map_or(Some(Vec::new()), |node| self.tags(node));
        let vars = fields.get("vars").map_or(Some(BTreeMap::new()), |node| self.vars(path, node));
        let secrets = fields.get("secrets").map_or(Some(BTreeMap::new()), |node| self.secrets(path, node));
        Some(Host { address: address?, tags: tags?, vars: vars?, secrets: secrets? })
    }

    fn address(&mut self, node: &Node) -> Option<Address> {
        let text = self.text("host", "a host such as `deploy@web1.example.com`", node)?;
        match text.parse::<Address>() {
            Ok(address) => Some(address),
            Err(error) => {
                let problem = self.problem(error, node).label("expected `user@host:port`");
                self.problems.push(problem.help(
                    "the user and the port may be left out: then ssh's configuration decides".to_owned(),
                ));
                None
            }
        }
    }

    fn tags(&mut self, node: &Node) -> Option<Vec<Tag>> {
        let Value::List(items) = &node.value else {
            self.wrong_type("tags", "a list of tags", node);
            return None;
        };
        // Every tag is looked at, so that every bad one is reported.
        let tags: Vec<Option<Tag>> =
            items.iter().map(|item| self.name("tags", "a list of tags", item)).collect();
        tags.into_iter().collect()
    }

    fn vars(&mut self, path: &str, node: &Node) -> Option<BTreeMap<VarName, String>> {
        let entries = self.map("vars", "a map of variables", node)?;
        let mut vars = BTreeMap::new();
        let mut whole = true;
        for (key, node) in entries {
            let name = self.key_name::<VarName>(key);
            if let Some((name, meaning)) = RESERVED_VARS.iter().find(|(name, _)| *name == key.text) {
                let kind = ManifestProblem::ReservedVar { name: (*name).to_owned(), meaning };
                self.problems.push(Problem::new(kind, self.source).at(key.span.clone()));
                whole = false;
            }
            self.spans.insert(format!("{path}.vars.{}", key.text), key.span.clone());
            let value = match &node.value {
                Value::Scalar(Scalar { text, kind }) if *kind != ScalarKind::Null => Some(text.clone()),
                _ => {
                    self.wrong_type(&key.text, "a text, a number or a boolean", node);
                    if let (Value::Scalar(_), Some(last)) = (&node.value, self.problems.last_mut()) {
                        last.help = Some("for an empty text write `\"\"`".to_owned());
                    }
                    None
                }
            };
            match name.zip(value) {
                Some((name, value)) => {
                    vars.insert(name, value);
                }
                None => whole = false,
            }
        }
        whole.then_some(vars)
    }
}
