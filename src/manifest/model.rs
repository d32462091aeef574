//! What a manifest says, after every check: the value the rest of shipit works with.
//!
//! Paths are resolved against the manifest's folder, defaults are filled in. Where each value stood in the file is
//! kept in [`Spans`], so that later checks can point at it.
use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::address::Address;
use super::credentials::Credential;
use super::files::FileEntry;
use super::health::HealthCheck;
use super::hooks::Hooks;
use super::name::{DropInName, EnvironmentName, ServiceName, Tag, UnitName, VarName};
use super::nearest::nearest;
use super::prepare::Prepare;
use super::secrets::SecretSource;
use super::service_root::ServiceRoot;
use super::service_user::ServiceUser;
use super::source::SourceText;

/// How long a service must stay up before it counts as started, unless the manifest says otherwise.
pub const DEFAULT_SETTLE: Duration = Duration::from_secs(2);
/// How many releases a host keeps, unless the manifest says otherwise.
pub const DEFAULT_KEEP_RELEASES: NonZeroU32 = NonZeroU32::new(5).unwrap();
/// How long a health check may take to succeed, unless the manifest says otherwise.
pub const DEFAULT_HEALTH_TIMEOUT: Duration = Duration::from_secs(30);
/// How long a host waits for the client's word at least, unless the manifest says otherwise.
pub(super) const DEFAULT_CONFIRM_TIMEOUT: Duration = Duration::from_secs(60);
/// How much longer than the health check that is, where the check may take long.
pub(super) const CONFIRM_SPARE: Duration = Duration::from_secs(20);
/// The shortest that `confirm_timeout` may be.
pub(super) const LEAST_CONFIRM_TIMEOUT: Duration = Duration::from_secs(1);

/// A checked `deploy.yaml`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manifest {
    /// The file it was read from.
    pub path: PathBuf,
    /// The folder of that file: what relative paths are relative to.
    pub dir: PathBuf,
    /// The name of the service.
    pub name: ServiceName,
    /// Whose systemd runs it.
    pub scope: Scope,
    /// Where its releases stand on a host, if not where the scope has it.
    pub root: Option<ServiceRoot>,
    /// The Linux user that it runs as, where that is to be made. Only in the system's scope.
    pub user: Option<ServiceUser>,
    /// The program, if the release brings one.
    pub binary: Option<PathBuf>,
    /// The unit files, in the order written; at least one.
    pub units: Vec<UnitSource>,
    /// What is added to them by files of their own, in the order written.
    pub drop_ins: Vec<DropIn>,
    /// The file with the service's environment variables.
    pub env_file: Option<PathBuf>,
    /// What else goes into a release, in the order written.
    pub files: Vec<FileEntry>,
    /// How the service is asked whether it is well, in this order; empty: staying up is enough.
    pub health: Vec<HealthCheck>,
    /// How long it must stay up before it counts as started.
    pub settle: Duration,
    /// How long a host waits for the client's word before it goes back by itself.
    pub confirm_timeout: Duration,
    /// Files on the hosts that the service itself writes its log to.
    pub log_files: Vec<String>,
    /// What is built on the hosts for a release.
    pub prepare: Vec<Prepare>,
    /// What is run around the switch.
    pub hooks: Hooks,
    /// How many good releases stay on a host.
    pub keep_releases: NonZeroU32,
    /// Where it is deployed to; at least one.
    pub environments: BTreeMap<EnvironmentName, Environment>,
    /// The text it was read from.
    pub source: Arc<SourceText>,
    /// Where in that text the values stand.
    pub spans: Spans,
}

/// Whose systemd runs the units.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scope {
    /// The login user's own manager: `systemctl --user`.
    #[default]
    User,
    /// The machine's manager.
    System,
}

impl Scope {
    /// The word the manifest has for it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::System => "system",
        }
    }

    /// How people call its service manager, and what they put before commands on the files of its services.
    #[must_use]
    pub fn commands(self) -> (&'static str, &'static str) {
        match self {
            Self::User => ("systemctl --user", ""),
            Self::System => ("sudo systemctl", "sudo "),
        }
    }
}

/// Where the binary of a service is linked to on a host.
#[must_use]
pub fn binary_link(service: &ServiceName) -> String {
    format!("/usr/local/bin/{service}")
}

/// A unit file of the release.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnitSource {
    /// What the unit is called: the file's name without `.j2`.
    pub name: UnitName,
    /// The file.
    pub path: PathBuf,
    /// Whose systemd runs it. In a service of the system's, the login user's may; never the other way round: root's would
    /// run what that user may change.
    pub scope: Scope,
    /// What a change means for it while it runs.
    pub on_change: OnChange,
    /// Of a template: the units made from it that are started.
    pub instances: Vec<UnitName>,
    /// The secrets that systemd hands to it.
    pub credentials: Vec<Credential>,
}

impl UnitSource {
    /// A unit of which no more is said than where its file is.
    #[must_use]
    pub fn new(name: UnitName, path: PathBuf, scope: Scope) -> Self {
        Self {
            name,
            path,
            scope,
            on_change: OnChange::default(),
            instances: Vec::new(),
            credentials: Vec::new(),
        }
    }

    /// The units of this file that are started: itself, or the instances of a template.
    #[must_use]
    pub fn started(&self) -> &[UnitName] {
        if self.name.is_template() { &self.instances } else { std::slice::from_ref(&self.name) }
    }
}

/// A file that adds to a unit of the release, or overrides parts of it (systemd.unit(5)).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DropIn {
    /// The unit.
    pub unit: UnitName,
    /// What it is called in the unit's folder: the file's name without `.j2`.
    pub name: DropInName,
    /// The file.
    pub path: PathBuf,
}

impl DropIn {
    /// Where it stands below the folder of units.
    #[must_use]
    pub fn file(&self) -> String {
        format!("{}.d/{}", self.unit, self.name)
    }
}

/// What is done to a unit that is up when something of its release has changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnChange {
    /// It is stopped and started.
    #[default]
    Restart,
    /// It is told to take over what is new, and goes on: `ExecReload=`.
    Reload,
    /// Nothing: it sees to that by itself, or at its next start.
    None,
}

/// Whether a person has to agree before an environment is changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Confirm {
    /// Ask first on a terminal, and want `--yes` elsewhere.
    Always,
    /// Go ahead.
    #[default]
    Never,
}

/// A named set of hosts with its variables.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Environment {
    /// Its name.
    pub name: EnvironmentName,
    /// Its hosts, in the order written; at least one, none twice.
    pub hosts: Vec<Host>,
    /// What templates may use on all its hosts.
    pub vars: BTreeMap<VarName, String>,
    /// Where what nobody may see comes from, for all its hosts.
    pub secrets: BTreeMap<VarName, SecretSource>,
    /// Whether a person has to agree.
    pub confirm: Confirm,
    /// The keys of its hosts, where they are pinned: its own, or else the manifest's.
    pub known_hosts: Option<KnownHosts>,
}

/// Keys of hosts, in the format of ssh's known_hosts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KnownHosts {
    /// A file of them.
    File(PathBuf),
    /// Lines in the manifest itself.
    Lines(Vec<String>),
}

/// One machine of an environment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Host {
    /// How it is reached.
    pub address: Address,
    /// What it can be picked by.
    pub tags: Vec<Tag>,
    /// What templates may use on this host, before the environment's variables of the same name.
    pub vars: BTreeMap<VarName, String>,
    /// Where its own secrets come from, before the environment's of the same name.
    pub secrets: BTreeMap<VarName, SecretSource>,
}

/// Where the values of a manifest stand in its text: byte ranges by path, such as `binary`, `units[1]`,
/// `units.api.service` or `environments.prod.vars.PORT`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Spans(BTreeMap<String, Range<usize>>);

impl Spans {
    /// Where the value at `path` stands.
    #[must_use]
    pub fn get(&self, path: &str) -> Option<Range<usize>> {
        self.0.get(path).cloned()
    }

    pub(super) fn insert(&mut self, path: impl Into<String>, span: Range<usize>) {
        self.0.insert(path.into(), span);
    }
}

/// Why no environment was selected.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum SelectError {
    /// None was named, and there are several.
    #[error("which environment? the manifest has {}", list(known))]
    Ambiguous {
        /// Those there are.
        known: Vec<EnvironmentName>,
    },
    /// There is none of that name.
    #[error("there is no environment `{}`", wanted.escape_debug())]
    Unknown {
        /// What was asked for.
        wanted: String,
        /// The one that was probably meant.
        nearest: Option<EnvironmentName>,
        /// Those there are.
        known: Vec<EnvironmentName>,
    },
}

impl SelectError {
    /// What to do about it.
    #[must_use]
    pub fn help(&self) -> String {
        match self {
            Self::Ambiguous { known } => {
                let first = known.first().map_or("ENV", EnvironmentName::as_str);
                format!("name one after the command, such as `{first}`")
            }
            Self::Unknown { nearest: Some(nearest), .. } => format!("did you mean `{nearest}`?"),
            Self::Unknown { nearest: None, known, .. } => format!("the manifest has {}", list(known)),
        }
    }
}

fn list(names: &[EnvironmentName]) -> String {
    names.iter().map(|n| format!("`{n}`")).collect::<Vec<_>>().join(", ")
}

impl Manifest {
    /// The environment of that name; without a name, the only one there is.
    ///
    /// # Errors
    ///
    /// When there is none of that name, or several to choose from.
    pub fn environment(&self, wanted: Option<&str>) -> Result<&Environment, SelectError> {
        let known = || self.environments.keys().cloned().collect::<Vec<_>>();
        match wanted {
            Some(name) => self.environments.get(name).ok_or_else(|| SelectError::Unknown {
                wanted: name.to_owned(),
                nearest: nearest(name, self.environments.keys().map(EnvironmentName::as_str))
                    .and_then(|name| self.environments.get(name))
                    .map(|environment| environment.name.clone()),
                known: known(),
            }),
            None => match (self.environments.len(), self.environments.values().next()) {
                (1, Some(only)) => Ok(only),
                _ => Err(SelectError::Ambiguous { known: known() }),
            },
        }
    }

    /// All that shipit keeps about the service on a host; `~/` stands for the login user's home directory.
    #[must_use]
    pub fn root_on_host(&self) -> String {
        match (&self.root, self.scope) {
            (Some(root), _) => root.to_string(),
            (None, Scope::User) => format!("~/.local/share/shipit/{}", self.name),
            (None, Scope::System) => format!("/opt/{}", self.name),
        }
    }

    /// Where the binary is linked to on a host.
    #[must_use]
    pub fn binary_link(&self) -> String {
        binary_link(&self.name)
    }

    /// Where the env file is linked to on a host.
    #[must_use]
    pub fn env_file_link(&self) -> String {
        format!("/etc/default/{}.conf", self.name)
    }

    /// The units that are started, in the order written, each with the file it is from.
    pub fn started_units(&self) -> impl Iterator<Item = (&UnitName, &UnitSource)> {
        self.units.iter().flat_map(|source| source.started().iter().map(move |name| (name, source)))
    }

    /// Whose systemd runs a unit, an instance or a template of this manifest.
    #[must_use]
    pub fn scope_of(&self, unit: &UnitName) -> Scope {
        let is_from = |source: &&UnitSource| source.name == *unit || source.name == unit.file();
        self.units.iter().find(is_from).map_or(self.scope, |source| source.scope)
    }

    /// The units, templates and instances that the login user's manager runs, in a service of the system's.
    pub fn users_units(&self) -> impl Iterator<Item = &UnitName> {
        let sources = self.units.iter().filter(|source| source.scope != self.scope);
        sources.flat_map(|source| std::iter::once(&source.name).chain(&source.instances))
    }

    /// How many hosts all environments have together.
    #[must_use]
    pub fn host_count(&self) -> usize {
        self.environments.values().map(|environment| environment.hosts.len()).sum()
    }
}

impl Environment {
    /// The variables templates see on `host`: its own before the environment's.
    #[must_use]
    pub fn vars_for<'a>(&'a self, host: &'a Host) -> BTreeMap<&'a VarName, &'a str> {
        self.vars.iter().chain(&host.vars).map(|(name, value)| (name, value.as_str())).collect()
    }
}
