//! What `hooks` of a manifest may hold.
use super::hooks::{DEFAULT_HOOK_TIMEOUT, HookHosts, HookPoint, Hooks, HostHook, LocalHook};
use super::problem::Problem;
use super::read::Reader;
use super::read_problem::ManifestProblem;
use super::yaml::{Node, Scalar, ScalarKind, Value};

pub(super) const HOOKS_KEYS: &[&str] =
    &["before_deploy", "before_activate", "after_activate", "after_deploy", "on_failure"];
pub(super) const HOOK_KEYS: &[&str] = &["local", "run", "once", "timeout"];

const EXAMPLE: &str = "such as `- run: ./bin/migrate`, or `- local: make dist`";

impl Reader<'_> {
    pub(super) fn hooks(&mut self, node: &Node) -> Option<Hooks> {
        let entries = self.map("hooks", "a map such as `before_deploy: [{local: make dist}]`", node)?;
        let fields = self.fields("`hooks`", HOOKS_KEYS, entries);
        let mut hooks = Hooks::default();
        let mut whole = true;
        for when in HookPoint::ALL {
            let Some(list) = fields.get(when.as_str()) else { continue };
            let Value::List(items) = &list.value else {
                self.wrong_type(when.as_str(), "a list of hooks", list);
                if let Some(last) = self.problems.last_mut() {
                    last.help = Some(EXAMPLE.to_owned());
                }
                whole = false;
                continue;
            };
            for item in items {
                whole &= self.hook(when, item, &mut hooks).is_some();
            }
        }
        whole.then_some(hooks)
    }

    fn hook(&mut self, when: HookPoint, node: &Node, hooks: &mut Hooks) -> Option<()> {
        let entries = self.map(when.as_str(), "a map with `run` or `local`", node)?;
        let fields = self.fields("a hook", HOOK_KEYS, entries);
        let timeout =
            fields.get("timeout").map_or(Some(DEFAULT_HOOK_TIMEOUT), |node| self.duration("timeout", node));
        let hosts = fields.get("once").map_or(Some(HookHosts::Every), |node| self.once(node));
        let (key, place) = match (fields.entry("local"), fields.entry("run")) {
            (Some((first, _)), Some((second, _))) => {
                let problem =
                    Problem::new(ManifestProblem::Conflict { first: "local", second: "run" }, self.source)
                        .at(second.span.clone())
                        .label("and `run` here")
                        .also(first.span.clone(), "`local` here");
                self.problems.push(problem.help("make two hooks of it".to_owned()));
                return None;
            }
            (None, None) => {
                self.missing("run", "a hook", node, EXAMPLE);
                return None;
            }
            (Some((key, node)), None) => (key, Place::Local(node)),
            (None, Some((key, node))) => (key, Place::Host(node)),
        };
        let misplaced = match place {
            Place::Local(_) if !when.can_be_local() => Some(
                "this point is reached on each host: use `run`, or `before_deploy` for what is to run here",
            ),
            Place::Host(_) if !when.can_be_on_a_host() => Some(
                "no host is connected to yet: use `local`, or `before_activate` for what is to run on hosts",
            ),
            Place::Local(_) | Place::Host(_) => None,
        };
        if let Some(help) = misplaced {
            let kind = ManifestProblem::MisplacedHook { place: place.key(), when: when.as_str() };
            self.problems.push(Problem::new(kind, self.source).at(key.span.clone()).help(help.to_owned()));
            return None;
        }
        match place {
            Place::Local(node) => {
                if let Some((key, _)) = fields.entry("once") {
                    let kind = ManifestProblem::UnknownKey { key: "once".to_owned(), place: "a local hook" };
                    let problem = Problem::new(kind, self.source).at(key.span.clone());
                    self.problems.push(problem.help("a local hook runs once in any case".to_owned()));
                    return None;
                }
                let text = self.filled("local", "the text of a shell program", node)?;
                hooks.local.push(LocalHook { when, text, timeout: timeout? });
            }
            Place::Host(node) => {
                let text = self.filled("run", "the text of a shell program", node)?;
                hooks.host.push(HostHook { when, text, hosts: hosts?, timeout: timeout? });
            }
        }
        Some(())
    }

    fn once(&mut self, node: &Node) -> Option<HookHosts> {
        match &node.value {
            Value::Scalar(Scalar { kind: ScalarKind::Bool(true), .. }) => Some(HookHosts::Once),
            Value::Scalar(Scalar { kind: ScalarKind::Bool(false), .. }) => Some(HookHosts::Every),
            _ => {
                self.wrong_type("once", "`true` or `false`", node);
                None
            }
        }
    }
}

/// Where a hook runs, and its text.
#[derive(Clone, Copy)]
enum Place<'t> {
    Local(&'t Node),
    Host(&'t Node),
}

impl Place<'_> {
    fn key(self) -> &'static str {
        match self {
            Self::Local(_) => "local",
            Self::Host(_) => "run",
        }
    }
}
