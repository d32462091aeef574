//! `user:` of the manifest: the Linux user that a service of the system's runs as, made where it is missing.
use serde::Serialize;

use super::name::UserName;
use super::problem::Problem;
use super::read::Reader;
use super::read_problem::ManifestProblem;
use super::yaml::{Node, Scalar, ScalarKind, Value};

/// A user, as it is made where there is none of its name. One that is there is left as it is, but for groups that it is
/// not in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ServiceUser {
    /// Its name, and that of its own group.
    pub name: UserName,
    /// Whether it is a person's kind of user.
    pub kind: UserKind,
    /// Its home folder, which is made. `None`: a system user has none, another one `/home/<name>`.
    pub home: Option<String>,
    /// Its login shell.
    pub shell: String,
    /// The groups that it is in besides its own. They must be there.
    pub groups: Vec<UserName>,
}

/// From which range its number is taken (useradd(8), `--system`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum UserKind {
    /// One for a service.
    System,
    /// One like a person's.
    Regular,
}

/// A shell that lets nobody in (nologin(8)).
const NO_LOGIN: &str = "/usr/sbin/nologin";

pub(super) const USER_KEYS: &[&str] = &["name", "system", "home", "shell", "groups"];

impl Reader<'_> {
    pub(super) fn service_user(&mut self, node: &Node) -> Option<ServiceUser> {
        let Value::Map(entries) = &node.value else {
            let name = self.name("user", "the name of a Linux user, or a map with `name`", node)?;
            return Some(ServiceUser {
                name,
                kind: UserKind::System,
                home: None,
                shell: NO_LOGIN.to_owned(),
                groups: Vec::new(),
            });
        };
        let fields = self.fields("`user`", USER_KEYS, entries);
        let name = match fields.get("name") {
            Some(node) => self.name("name", "the name of a Linux user", node),
            None => {
                self.missing("name", "`user`", node, "add the user's name: `name: simple_api`");
                None
            }
        };
        let kind = fields.get("system").map_or(Some(UserKind::System), |node| self.user_kind(node));
        let home = fields.get("home").map(|node| self.host_path("home", node));
        let shell = match fields.get("shell") {
            Some(node) => self.host_path("shell", node),
            None => Some(NO_LOGIN.to_owned()),
        };
        let groups = fields.get("groups").map_or_else(|| Some(Vec::new()), |node| self.groups(node));
        Some(ServiceUser {
            name: name?,
            kind: kind?,
            home: home.map_or(Some(None), |home| home.map(Some))?,
            shell: shell?,
            groups: groups?,
        })
    }

    fn user_kind(&mut self, node: &Node) -> Option<UserKind> {
        match &node.value {
            Value::Scalar(Scalar { kind: ScalarKind::Bool(true), .. }) => Some(UserKind::System),
            Value::Scalar(Scalar { kind: ScalarKind::Bool(false), .. }) => Some(UserKind::Regular),
            _ => {
                self.wrong_type("system", "`true` or `false`", node);
                None
            }
        }
    }

    /// An absolute path on the hosts.
    fn host_path(&mut self, key: &'static str, node: &Node) -> Option<String> {
        let text = self.text(key, "an absolute path on the hosts", node)?;
        let reason = if !text.starts_with('/') {
            "is not absolute"
        } else if text.contains(char::is_control) || text.contains(':') {
            // passwd(5): a colon ends the field.
            "contains a colon or a control character"
        } else {
            return Some(text.to_owned());
        };
        let problem = self.problem(ManifestProblem::Path { key: key.to_owned(), reason }, node);
        self.problems.push(problem);
        None
    }

    fn groups(&mut self, node: &Node) -> Option<Vec<UserName>> {
        let Value::List(items) = &node.value else {
            self.wrong_type("groups", "a list of groups", node);
            return None;
        };
        items.iter().map(|item| self.name("groups", "the name of a group", item)).collect()
    }

    /// A user's own services run as that user: only root's can run as another one.
    pub(super) fn refuse_user_scope(&mut self, node: &Node) {
        let problem: Problem = self.problem(ManifestProblem::UserNeedsSystem, node);
        self.problems.push(problem.help("write `scope: system`, or leave `user` out".to_owned()));
    }
}
