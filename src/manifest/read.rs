//! From the YAML tree to a [`Manifest`]: what each key may hold. Collects every problem instead of stopping.
use std::num::NonZeroU32;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use super::duration::{DurationError, parse_duration, write_duration};
use super::health::{HealthCheck, longest};
use super::hooks::Hooks;
use super::model::{
    CONFIRM_SPARE, DEFAULT_CONFIRM_TIMEOUT, DEFAULT_KEEP_RELEASES, DEFAULT_SETTLE, LEAST_CONFIRM_TIMEOUT,
    Manifest, Scope, Spans,
};
use super::name::NameError;
use super::nearest::nearest;
use super::problem::Problem;
use super::read_problem::ManifestProblem;
use super::service_root::ServiceRoot;
use super::source::SourceText;
use super::yaml::{Key, Node, Scalar, ScalarKind, Value};

const TOP_KEYS: &[&str] = &[
    "name",
    "scope",
    "root",
    "user",
    "binary",
    "unit",
    "units",
    "credentials",
    "env_file",
    "files",
    "health",
    "settle",
    "confirm_timeout",
    "keep_releases",
    "log_files",
    "prepare",
    "hooks",
    "known_hosts",
    "environments",
];
const MAX_KEEP: u32 = 1000;

/// What was read of the tree.
pub(super) struct Reading {
    /// `None` when something is missing or wrong that a manifest can't be without; the problems say what.
    pub(super) manifest: Option<Manifest>,
    pub(super) problems: Vec<Problem>,
    /// What must not be shown of the text: secrets where there should be none.
    pub(super) hidden: Vec<Range<usize>>,
}

/// Reads the tree.
pub(super) fn manifest(source: &Arc<SourceText>, root: &Node) -> Reading {
    let mut reader = Reader { source, problems: Vec::new(), spans: Spans::default(), hidden: Vec::new() };
    let manifest = reader.manifest(root);
    Reading { manifest, problems: reader.problems, hidden: reader.hidden }
}

/// What has been found so far. The parts of a manifest that belong to environments are read in
/// [`read_environments`](super::read_environments).
pub(super) struct Reader<'a> {
    pub(super) source: &'a Arc<SourceText>,
    pub(super) problems: Vec<Problem>,
    pub(super) spans: Spans,
    pub(super) hidden: Vec<Range<usize>>,
}

/// The entries of a map whose keys are known.
pub(super) struct Fields<'t>(&'t [(Key, Node)]);

impl<'t> Fields<'t> {
    pub(super) fn entry(&self, key: &str) -> Option<(&'t Key, &'t Node)> {
        self.0.iter().find(|(k, _)| k.text == key).map(|(k, node)| (k, node))
    }

    pub(super) fn get(&self, key: &str) -> Option<&'t Node> {
        self.entry(key).map(|(_, node)| node)
    }
}

impl Reader<'_> {
    pub(super) fn problem(&self, kind: impl Into<ManifestProblem>, node: &Node) -> Problem {
        Problem::new(kind.into(), self.source).at(node.span.clone())
    }

    pub(super) fn wrong_type(&mut self, key: &str, expected: &'static str, node: &Node) {
        let kind = ManifestProblem::WrongType { key: key.to_owned(), expected, found: node.found() };
        let problem = self.problem(kind, node);
        self.problems.push(problem.label(format!("expected {expected}")));
    }

    pub(super) fn map<'t>(
        &mut self,
        key: &str,
        expected: &'static str,
        node: &'t Node,
    ) -> Option<&'t [(Key, Node)]> {
        match &node.value {
            Value::Map(entries) => Some(entries),
            _ => {
                self.wrong_type(key, expected, node);
                None
            }
        }
    }

    /// A map that may only have these keys.
    pub(super) fn fields<'t>(
        &mut self,
        place: &'static str,
        known: &[&'static str],
        entries: &'t [(Key, Node)],
    ) -> Fields<'t> {
        for (key, _) in entries {
            if known.contains(&key.text.as_str()) {
                continue;
            }
            let kind = ManifestProblem::UnknownKey { key: key.text.clone(), place };
            let help = match nearest(&key.text, known.iter().copied()) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("the keys of {place} are {}", quoted(known)),
            };
            let problem = Problem::new(kind, self.source).at(key.span.clone());
            self.problems.push(problem.label("not a key").help(help));
        }
        Fields(entries)
    }

    pub(super) fn missing(&mut self, key: &'static str, place: impl Into<String>, node: &Node, help: &str) {
        // The first line is enough to show which map is meant.
        let text = self.source.text.get(node.span.clone()).unwrap_or("");
        let end = node.span.start + text.lines().next().unwrap_or("").len();
        let problem = Problem::new(ManifestProblem::MissingKey { key, place: place.into() }, self.source);
        self.problems.push(
            problem.at(node.span.start..end).label(format!("`{key}` is missing here")).help(help.to_owned()),
        );
    }

    pub(super) fn text<'t>(&mut self, key: &str, expected: &'static str, node: &'t Node) -> Option<&'t str> {
        match &node.value {
            Value::Scalar(Scalar { text, kind: ScalarKind::Text }) => Some(text),
            _ => {
                self.wrong_type(key, expected, node);
                None
            }
        }
    }

    /// A name; numbers and booleans are taken as they are written, since `prod1`, `1` and `true` are all names.
    pub(super) fn name<T: FromStr<Err = NameError>>(
        &mut self,
        key: &str,
        expected: &'static str,
        node: &Node,
    ) -> Option<T> {
        match &node.value {
            Value::Scalar(Scalar { text, kind }) if *kind != ScalarKind::Null => {
                let parsed = text.parse();
                parsed.map_err(|error| self.bad_name(error, node.span.clone())).ok()
            }
            _ => {
                self.wrong_type(key, expected, node);
                None
            }
        }
    }

    /// A key that stands for something, such as the name of an environment.
    pub(super) fn key_name<T: FromStr<Err = NameError>>(&mut self, key: &Key) -> Option<T> {
        key.text.parse().map_err(|error| self.bad_name(error, key.span.clone())).ok()
    }

    pub(super) fn bad_name(&mut self, error: NameError, span: std::ops::Range<usize>) {
        let help = error.help();
        self.problems.push(Problem::new(ManifestProblem::Name(error), self.source).at(span).help(help));
    }

    fn manifest(&mut self, root: &Node) -> Option<Manifest> {
        let entries = match &root.value {
            Value::Map(entries) => entries,
            _ => {
                self.wrong_type("the manifest", "a map of keys", root);
                return None;
            }
        };
        let fields = self.fields("the manifest", TOP_KEYS, entries);
        for (key, node) in entries {
            self.spans.insert(key.text.clone(), node.span.clone());
        }
        let name = match fields.get("name") {
            Some(node) => self.name("name", "the name of the service", node),
            None => {
                self.missing("name", "the manifest", root, "add the name of the service: `name: simple_api`");
                None
            }
        };
        let scope = fields.get("scope").map_or(Some(Scope::User), |node| self.scope(node));
        let service_root = fields.get("root").map(|node| self.service_root(node));
        let user = fields.get("user").map(|node| {
            self.spans.insert("user".to_owned(), node.span.clone());
            if scope == Some(Scope::User) {
                self.refuse_user_scope(node);
            }
            self.service_user(node)
        });
        let binary = fields.get("binary").map(|node| self.path("binary", node));
        let units = self.units(&fields, root, scope.unwrap_or_default());
        let (units, drop_ins) = units.map_or((None, None), |units| (Some(units.files), Some(units.drop_ins)));
        let env_file = fields.get("env_file").map(|node| self.path("env_file", node));
        let files = fields.get("files").map(|node| self.files(node));
        let health = fields.get("health").map(|node| self.health(node));
        let settle = fields.get("settle").map_or(Some(DEFAULT_SETTLE), |node| self.duration("settle", node));
        let log_files = fields.get("log_files").map(|node| self.log_files(node));
        let prepare = fields.get("prepare").map(|node| self.prepares(node));
        let hooks = fields.get("hooks").map(|node| self.hooks(node));
        let confirm_timeout = self.confirm_timeout(&fields, health.as_ref(), settle);
        let keep_releases = fields.get("keep_releases").map_or(Some(DEFAULT_KEEP_RELEASES), |node| {
            self.count("keep_releases", MAX_KEEP, "the release that runs counts as one", node)
        });
        let environments = match fields.get("environments") {
            Some(node) => self.environments(node),
            None => {
                let help = "add where to deploy to, such as `environments: {prod: {hosts: [deploy@web1]}}`";
                self.missing("environments", "the manifest", root, help);
                None
            }
        };
        let known_hosts = fields.get("known_hosts").map(|node| self.known_hosts("known_hosts", node));
        let known_hosts = known_hosts.map_or(Some(None), |known| known.map(Some));
        let mut environments = environments;
        for environment in environments.iter_mut().flat_map(|all| all.values_mut()) {
            if environment.known_hosts.is_none() {
                environment.known_hosts.clone_from(known_hosts.as_ref()?);
            }
        }
        let path = self.source.path.clone();
        Some(Manifest {
            dir: folder(&path),
            path,
            name: name?,
            scope: scope?,
            root: service_root.map_or(Some(None), |root| root.map(Some))?,
            user: user.map_or(Some(None), |user| user.map(Some))?,
            // An error inside leaves `Some(None)`, which ends this.
            binary: binary.map_or(Some(None), |path| path.map(Some))?,
            units: units?,
            drop_ins: drop_ins?,
            env_file: env_file.map_or(Some(None), |path| path.map(Some))?,
            files: files.unwrap_or(Some(Vec::new()))?,
            health: health.unwrap_or(Some(Vec::new()))?,
            settle: settle?,
            confirm_timeout: confirm_timeout?,
            log_files: log_files.unwrap_or_else(|| Some(Vec::new()))?,
            prepare: prepare.unwrap_or_else(|| Some(Vec::new()))?,
            hooks: hooks.unwrap_or_else(|| Some(Hooks::default()))?,
            keep_releases: keep_releases?,
            environments: environments?,
            source: Arc::clone(self.source),
            spans: std::mem::take(&mut self.spans),
        })
    }

    pub(super) fn scope(&mut self, node: &Node) -> Option<Scope> {
        match self.text("scope", "`user` or `system`", node)? {
            "user" => Some(Scope::User),
            "system" => Some(Scope::System),
            other => {
                let kind = ManifestProblem::UnknownValue { key: "scope", value: other.to_owned() };
                let problem = self.problem(kind, node).label("expected `user` or `system`");
                let near = nearest(other, ["user", "system"]).map(|near| format!("did you mean `{near}`?"));
                self.problems.push(problem.help(near));
                None
            }
        }
    }

    fn service_root(&mut self, node: &Node) -> Option<ServiceRoot> {
        let text = self.text("root", "the path of a folder on the hosts", node)?;
        match text.parse() {
            Ok(root) => Some(root),
            Err(error) => {
                let problem = self.problem(ManifestProblem::Root(error), node);
                self.problems.push(problem.help("such as `/srv/api`, or `~/apps/api`".to_owned()));
                None
            }
        }
    }

    pub(super) fn path(&mut self, key: &str, node: &Node) -> Option<PathBuf> {
        let text = match &node.value {
            // A file may well be called `2024`.
            Value::Scalar(Scalar { text, kind: ScalarKind::Number | ScalarKind::Text }) => text,
            _ => {
                self.wrong_type(key, "the path of a file", node);
                return None;
            }
        };
        let reason = if text.is_empty() {
            "is empty"
        } else if text.contains(char::is_control) {
            "contains a control character"
        } else if text.ends_with('/') {
            "ends with `/`"
        } else if text.starts_with("~/") {
            "begins with `~`, which is not expanded here"
        } else {
            return Some(folder(&self.source.path).join(text));
        };
        let kind = ManifestProblem::Path { key: key.to_owned(), reason };
        let problem = self.problem(kind, node);
        self.problems.push(problem.help("relative paths are relative to the manifest's folder".to_owned()));
        None
    }

    pub(super) fn duration(&mut self, key: &'static str, node: &Node) -> Option<Duration> {
        let text = match &node.value {
            Value::Scalar(Scalar { text, kind: ScalarKind::Number | ScalarKind::Text }) => text,
            _ => {
                self.wrong_type(key, "a duration such as `2s`", node);
                return None;
            }
        };
        match parse_duration(text) {
            Ok(duration) => Some(duration),
            Err(error) => {
                self.bad_duration(key, error, node);
                None
            }
        }
    }

    /// `confirm_timeout`, which must leave room for what is done while the host waits. `health` and `settle` are as far
    /// as they could be read; what could not is already a problem.
    fn confirm_timeout(
        &mut self,
        fields: &Fields<'_>,
        health: Option<&Option<Vec<HealthCheck>>>,
        settle: Option<Duration>,
    ) -> Option<Duration> {
        let health = health.map(|health| health.as_deref().map(longest));
        let Some(node) = fields.get("confirm_timeout") else {
            let health = health.flatten().unwrap_or_default();
            return Some(DEFAULT_CONFIRM_TIMEOUT.max(health + CONFIRM_SPARE));
        };
        let given = self.duration("confirm_timeout", node)?;
        // Without a health check the word comes at once.
        let busy = health.map_or(Some(Duration::ZERO), |health| Some(health? + settle?))?;
        if given >= LEAST_CONFIRM_TIMEOUT && given > busy {
            return Some(given);
        }
        let problem = self.problem(ManifestProblem::ConfirmTooShort, node);
        self.problems.push(if given > busy {
            problem.label("shorter than 1s").help("the shortest is 1s".to_owned())
        } else {
            let busy = write_duration(busy);
            problem.label(format!("has to be longer than {busy}")).help(format!(
                "the health checks and `settle` may take {busy} together, and then the answer must still get to the \
                 host: write more than that here, or give `health` a shorter `timeout`"
            ))
        });
        None
    }

    fn bad_duration(&mut self, key: &'static str, error: DurationError, node: &Node) {
        let help = error.help();
        let problem = self.problem(ManifestProblem::Duration { key, error }, node);
        self.problems.push(problem.help(help));
    }

    /// A whole number from 1 on.
    pub(super) fn count(
        &mut self,
        key: &'static str,
        max: u32,
        help: &'static str,
        node: &Node,
    ) -> Option<NonZeroU32> {
        let Value::Scalar(Scalar { text, kind: ScalarKind::Number }) = &node.value else {
            self.wrong_type(key, "a whole number", node);
            return None;
        };
        let number = text.parse().ok().filter(|n: &NonZeroU32| n.get() <= max);
        if number.is_none() {
            let problem = self.problem(ManifestProblem::NotACount { key, value: text.clone(), max }, node);
            self.problems.push(problem.help(help.to_owned()));
        }
        number
    }
}

/// The folder of a file, as a path that can be joined to.
fn folder(path: &Path) -> PathBuf {
    path.parent().map(Path::to_owned).unwrap_or_default()
}

fn quoted(words: &[&str]) -> String {
    words.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::super::prepare::PREPARE_KEYS;
    use super::super::read_environments::{ENVIRONMENT_KEYS, HOST_KEYS, RESERVED_VARS};
    use super::super::read_files::FILE_KEYS;
    use super::super::read_health::HEALTH_KEYS;
    use super::super::read_hooks::{HOOK_KEYS, HOOKS_KEYS};
    use super::super::read_secrets::SECRET_KEYS;
    use super::super::read_units::UNIT_KEYS;
    use super::*;

    #[test]
    fn every_key_is_in_the_reference() {
        let reference = include_str!("../../docs/manifest.md");
        for key in [
            TOP_KEYS,
            UNIT_KEYS,
            FILE_KEYS,
            HEALTH_KEYS,
            HOOKS_KEYS,
            HOOK_KEYS,
            ENVIRONMENT_KEYS,
            HOST_KEYS,
            SECRET_KEYS,
            PREPARE_KEYS,
        ]
        .concat()
        {
            let heading = format!("# `{key}`\n");
            assert!(reference.contains(&heading), "docs/manifest.md has no heading for `{key}`");
        }
        for (name, _) in RESERVED_VARS {
            assert!(reference.contains(&format!("`{name}`")), "{name}");
        }
    }
}
