//! `deploy.yaml` and the files it names: reading them, and saying what is wrong with them.
//!
//! [`load()`] turns the file into a [`Manifest`], or into every [`Problem`] it has at once. [`unit_file`] and
//! [`env_file`] read the two kinds of file that systemd will read on the host, the way systemd does; [`lint`] knows
//! the traps in them; [`template`] fills in variables. Nothing here connects to a host, and nothing prints.
mod address;
mod duration;
mod health;
mod load;
mod model;
mod name;
mod nearest;
pub mod problem;
mod source;

pub use address::{Address, AddressError};
pub use duration::{DurationError, parse_duration};
pub use health::{HttpHealth, HttpUrl, UrlError};
pub use load::{LoadError, Loaded, load, parse};
pub use model::{
    Confirm, DEFAULT_HEALTH_TIMEOUT, DEFAULT_KEEP_RELEASES, DEFAULT_SETTLE, Environment, Host, Manifest,
    Scope, SelectError, Spans, UnitSource,
};
pub use name::{
    EnvironmentName, HostName, NameError, ServiceName, Tag, UnitKind, UnitName, UserName, VarName,
};
pub use problem::{Problem, ProblemKind, Severity};
pub use source::SourceText;
