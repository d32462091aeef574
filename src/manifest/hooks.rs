//! Programs of the operator's that are run at certain points of a deploy.
use std::time::Duration;

use serde::Serialize;

/// How long a hook may run, unless the manifest says otherwise.
pub const DEFAULT_HOOK_TIMEOUT: Duration = Duration::from_secs(5 * 60);

/// The hooks of a manifest, in the order written.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Hooks {
    /// Those that run on the operator's machine.
    pub local: Vec<LocalHook>,
    /// Those that run on the hosts.
    pub host: Vec<HostHook>,
}

/// A hook on the operator's machine: once a run, however many hosts there are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LocalHook {
    /// When.
    pub when: HookPoint,
    /// The text of a shell program.
    pub text: String,
    /// How long it may run.
    pub timeout: Duration,
}

/// A hook on a host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostHook {
    /// When.
    pub when: HookPoint,
    /// The text of a shell program.
    pub text: String,
    /// On which hosts.
    pub hosts: HookHosts,
    /// How long it may run.
    pub timeout: Duration,
}

/// When a hook runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum HookPoint {
    /// Before anything else. A failure ends the run.
    BeforeDeploy,
    /// The release is on the host and complete; what runs is still the old one. A failure leaves it so.
    BeforeActivate,
    /// The new release is up. A failure takes it back.
    AfterActivate,
    /// The new release is kept. A failure is told of, and changes nothing.
    AfterDeploy,
    /// The deploy failed. A failure is told of, and changes nothing.
    OnFailure,
}

impl HookPoint {
    /// All, in the order in which they come.
    pub const ALL: [Self; 5] =
        [Self::BeforeDeploy, Self::BeforeActivate, Self::AfterActivate, Self::AfterDeploy, Self::OnFailure];

    /// Its key in the manifest.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::BeforeDeploy => "before_deploy",
            Self::BeforeActivate => "before_activate",
            Self::AfterActivate => "after_activate",
            Self::AfterDeploy => "after_deploy",
            Self::OnFailure => "on_failure",
        }
    }

    /// Whether a hook may run on the operator's machine then.
    #[must_use]
    pub fn can_be_local(self) -> bool {
        match self {
            Self::BeforeDeploy | Self::AfterDeploy | Self::OnFailure => true,
            Self::BeforeActivate | Self::AfterActivate => false,
        }
    }

    /// Whether a hook may run on a host then.
    #[must_use]
    pub fn can_be_on_a_host(self) -> bool {
        match self {
            Self::BeforeDeploy => false,
            Self::BeforeActivate | Self::AfterActivate | Self::AfterDeploy | Self::OnFailure => true,
        }
    }
}

/// On which hosts of a run a hook runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum HookHosts {
    /// On each.
    #[default]
    Every,
    /// On the first of those selected.
    Once,
}

impl Hooks {
    /// The local ones of a point.
    pub fn local_at(&self, when: HookPoint) -> impl Iterator<Item = &LocalHook> {
        self.local.iter().filter(move |hook| hook.when == when)
    }

    /// Those of a point on hosts.
    pub fn host_at(&self, when: HookPoint) -> impl Iterator<Item = &HostHook> {
        self.host.iter().filter(move |hook| hook.when == when)
    }
}

/// What is shown of a text that may have many lines.
#[must_use]
pub fn first_line(text: &str) -> String {
    let clean = |line: &str| line.chars().filter(|c| !c.is_control()).collect::<String>();
    let mut lines = text.trim().lines();
    let first = clean(lines.next().unwrap_or_default().trim_end());
    if lines.next().is_some() { format!("{first} ...") } else { first }
}
