//! `deploy.yaml` and the files it names: reading them, and saying what is wrong with them.
//!
//! [`load()`] turns the file into a [`Manifest`], or into every [`Problem`] it has at once. [`unit_file`] and
//! [`env_file`] read the two kinds of file that systemd will read on the host, the way systemd does; [`lint`] knows
//! the traps in them; [`template`] fills in variables. Nothing here connects to a host, and nothing prints.
mod address;
mod credentials;
mod duration;
pub mod env_file;
mod env_problem;
pub mod exec;
mod files;
mod health;
mod hooks;
mod http_url;
pub mod lint;
mod lint_links;
mod lint_user;
mod load;
mod model;
mod name;
mod nearest;
mod prepare;
pub mod problem;
mod read;
mod read_environments;
mod read_files;
mod read_health;
mod read_hooks;
mod read_install;
mod read_problem;
mod read_secrets;
mod read_units;
pub mod secrets;
mod service_root;
mod service_user;
mod source;
pub mod template;
mod template_inputs;
pub(crate) mod text_file;
pub mod unit_file;
mod unit_files;
mod unit_kind;
mod unit_order;
mod unit_problem;
mod yaml;

pub use address::{Address, AddressError};
pub use credentials::Credential;
pub use duration::{DurationError, parse_duration};
pub use env_file::{EnvFile, EnvProblem};
pub use exec::{ExecCommand, ExecError};
pub use files::{
    EntryPath, EntryPathError, FileEntry, GlobError, GlobPattern, HostPath, HostPathError, Installation,
    Outside, SymlinkFault, TreeProblem,
};
pub use health::{
    DEFAULT_INTERVAL, Header, HealthCheck, HostCommand, HttpQuestion, Question, TcpAddress, TcpAddressError,
    longest,
};
pub use hooks::{DEFAULT_HOOK_TIMEOUT, HookHosts, HookPoint, Hooks, HostHook, LocalHook, first_line};
pub use http_url::{HttpUrl, UrlError};
pub use load::{LoadError, Loaded, load, parse};
pub use model::{
    Confirm, DEFAULT_HEALTH_TIMEOUT, DEFAULT_KEEP_RELEASES, DEFAULT_SETTLE, DropIn, Environment, Host,
    KnownHosts, Manifest, OnChange, Scope, SelectError, Spans, UnitSource, binary_link,
};
pub use name::{
    CredentialName, DropInName, EnvironmentName, HostName, NameError, PreparedName, ServiceName, Tag,
    UnitName, UserName, VarName,
};
pub use prepare::{DEFAULT_PREPARE_TIMEOUT, Prepare};
pub use problem::{Problem, ProblemKind, Severity};
pub use secrets::{SecretCommand, SecretProblem, SecretSource, SecretValues};
pub use service_root::{ServiceRoot, ServiceRootError};
pub use service_user::{ServiceUser, UserKind};
pub use source::SourceText;
pub use unit_file::UnitFile;
pub use unit_files::UnitFiles;
pub use unit_kind::UnitKind;
pub use unit_problem::UnitProblem;
