//! What templates see beside the manifest's own values, and which templates need which of it.
use std::collections::BTreeSet;

use minijinja::Value;

use super::model::{Environment, Host, Manifest};
use super::secrets::SecretValues;

/// The facts of a host, by their names in templates.
pub const FACT_NAMES: [&str; 7] = ["hostname", "user", "home", "uid", "kernel", "machine", "systemd"];

/// What is known of a release, by its names in templates.
pub const RELEASE_NAMES: [&str; 3] = ["revision", "dirty", "root"];

/// What is known of a host once it was looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TemplateFacts {
    /// What the host calls itself.
    pub hostname: String,
    /// The login user.
    pub user: String,
    /// The login user's home directory.
    pub home: String,
    /// The login user's number.
    pub uid: u32,
    /// `uname -s`
    pub kernel: String,
    /// `uname -m`
    pub machine: String,
    /// The version of systemd.
    pub systemd: u32,
    /// Where the release will be found: the service's root with `/current`.
    pub root: String,
}

impl TemplateFacts {
    /// Facts of a host that nobody has looked at: of the right types, so that a template can be tried with them. Where the
    /// release will be is right, unless it is below a home directory.
    #[must_use]
    pub fn of_nobody(manifest: &Manifest, host: &Host) -> Self {
        let user = host.address.user.as_ref().map_or_else(|| "user".to_owned(), ToString::to_string);
        let home = format!("/home/{user}");
        let root = manifest.root_on_host();
        let root = root.strip_prefix("~/").map(|below| format!("{home}/{below}")).unwrap_or(root);
        Self {
            hostname: host.address.host.to_string(),
            kernel: "Linux".to_owned(),
            machine: "x86_64".to_owned(),
            root: format!("{root}/current"),
            uid: 1000,
            systemd: 252,
            user,
            home,
        }
    }

    pub(super) fn value(&self) -> Value {
        let Self { hostname, user, home, uid, kernel, machine, systemd, root: _ } = self;
        Value::from_pairs([
            ("hostname", Value::from(hostname.as_str())),
            ("user", Value::from(user.as_str())),
            ("home", Value::from(home.as_str())),
            ("uid", Value::from(*uid)),
            ("kernel", Value::from(kernel.as_str())),
            ("machine", Value::from(machine.as_str())),
            ("systemd", Value::from(*systemd)),
        ])
    }
}

/// The state of the sources that a release is made from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TemplateRevision {
    /// The commit of the manifest's folder.
    pub commit: String,
    /// Whether files were changed since.
    pub dirty: bool,
}

/// All that templates see of one host beside the manifest.
#[derive(Debug, Clone)]
pub struct TemplateInputs {
    /// The host.
    pub facts: TemplateFacts,
    /// The sources; `None` when they are in no repository.
    pub revision: Option<TemplateRevision>,
    /// The values of its secrets.
    pub secrets: SecretValues,
}

impl TemplateInputs {
    /// What can be said without looking at the host or reading a secret: enough to try the templates.
    #[must_use]
    pub fn offline(
        manifest: &Manifest,
        environment: &Environment,
        host: &Host,
        revision: Option<TemplateRevision>,
    ) -> Self {
        Self {
            facts: TemplateFacts::of_nobody(manifest, host),
            revision,
            secrets: SecretValues::hidden(environment, host),
        }
    }

    pub(super) fn release(&self) -> Value {
        let mut pairs = vec![("root", Value::from(self.facts.root.as_str()))];
        if let Some(TemplateRevision { commit, dirty }) = &self.revision {
            pairs.push(("revision", Value::from(commit.as_str())));
            pairs.push(("dirty", Value::from(*dirty)));
        }
        Value::from_pairs(pairs)
    }

    pub(super) fn secrets(&self) -> Value {
        Value::from_pairs(self.secrets.iter().map(|(name, value)| (name.to_owned(), Value::from(value))))
    }
}

/// The secrets that a template uses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SecretUse {
    /// These; often none.
    Names(BTreeSet<String>),
    /// Any: it takes `secrets` as a whole, or can't be read.
    Any,
}

impl SecretUse {
    /// Whether there is none.
    #[must_use]
    pub fn is_none(&self) -> bool {
        matches!(self, Self::Names(names) if names.is_empty())
    }

    /// Whether the secret of this name is among them.
    #[must_use]
    pub fn includes(&self, name: &str) -> bool {
        match self {
            Self::Names(names) => names.contains(name),
            Self::Any => true,
        }
    }
}

/// What a template has to know before it can be rendered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Needs {
    /// Whether it asks for what only the host knows.
    pub facts: bool,
    /// Whether it asks where the release will be.
    pub root: bool,
    /// Whether the state of the sources is asked for.
    pub revision: bool,
    /// Which secrets.
    pub secrets: SecretUse,
    /// Names under `facts` and `release` that there are not.
    pub unknown: Vec<String>,
}

impl Needs {
    /// From the names that a template does not set itself, such as `facts.home`.
    pub(super) fn of(names: impl IntoIterator<Item = String>) -> Self {
        let mut needs = Self {
            facts: false,
            root: false,
            revision: false,
            secrets: SecretUse::Names(BTreeSet::new()),
            unknown: Vec::new(),
        };
        for name in names {
            let mut parts = name.split('.');
            match (parts.next().unwrap_or_default(), parts.next()) {
                ("facts", part) => {
                    needs.facts = true;
                    if part.is_some_and(|part| !FACT_NAMES.contains(&part)) {
                        needs.unknown.push(name);
                    }
                }
                ("release", None) => (needs.root, needs.revision) = (true, true),
                ("release", Some("root")) => needs.root = true,
                ("release", Some("revision" | "dirty")) => needs.revision = true,
                ("release", Some(_)) => needs.unknown.push(name),
                ("secrets", None) => needs.secrets = SecretUse::Any,
                ("secrets", Some(secret)) => {
                    if let SecretUse::Names(names) = &mut needs.secrets {
                        names.insert(secret.to_owned());
                    }
                }
                _ => {}
            }
        }
        needs.unknown.sort();
        needs
    }

    /// Of a template that can't be read.
    pub(super) fn unreadable() -> Self {
        Self { facts: false, root: false, revision: false, secrets: SecretUse::Any, unknown: Vec::new() }
    }

    /// Whether the host has to be looked at. A root that is not below the login user's home is known without.
    #[must_use]
    pub fn host(&self, manifest: &Manifest) -> bool {
        self.facts || (self.root && manifest.root_on_host().starts_with("~/"))
    }
}
