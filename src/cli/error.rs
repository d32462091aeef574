//! What ends a command, and how it is shown: the edge where errors become miette's diagnostics and an exit code.
use std::fmt;
use std::io::{self, Write};
use std::path::PathBuf;

use miette::{Diagnostic, Report};

use super::exit_code::Exit;
use super::problem::{Look, ProblemReport};
use crate::manifest::{Address, HookPoint, Problem, SelectError};
use crate::report::{Command, Verdict};
use crate::rollout::Phase;
use crate::ssh::{ConfigError, KEY_VARIABLE, KeyTextError, PASSPHRASE_VARIABLE, PinnedKeysError};

/// A command could not be carried out.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(super) enum CliError {
    /// The manifest, or a file that it names, has errors.
    #[error("the manifest has errors")]
    Problems(Vec<Problem>),
    /// No environment could be chosen.
    #[error(transparent)]
    Select(#[from] SelectError),
    /// `--host` and `--tag` leave no host.
    #[error("no host of {environment} matches {filter}")]
    NoHost {
        /// The environment.
        environment: String,
        /// What was asked for.
        filter: String,
        /// The hosts there are.
        known: Vec<String>,
        /// The tags there are, where one was asked for.
        tags: Option<Vec<String>>,
    },
    /// A file that is asked for is none of the manifest's.
    #[error("{} is no unit file and no template of the manifest", file.display())]
    NoSuchFile {
        /// What was asked for.
        file: PathBuf,
        /// Those there are.
        known: Vec<String>,
    },
    /// A pattern can't be read.
    #[error("`{pattern}` is not a pattern")]
    Pattern {
        /// It.
        pattern: String,
        /// What is wrong with it.
        source: globset::Error,
    },
    /// The environment wants a yes, and there is nobody to say it.
    #[error("{environment} wants to be confirmed, and there is no terminal to ask on")]
    Unconfirmed {
        /// The environment.
        environment: String,
        /// What was asked for.
        command: Command,
    },
    /// A service is to be removed, and there is nobody to say yes.
    #[error("the removal of {service} wants to be confirmed, and there is no terminal to ask on")]
    UnconfirmedRemoval {
        /// The service.
        service: String,
    },
    /// The log files are wanted, and the manifest names none.
    #[error("the manifest names no `log_files`")]
    NoLogFiles,
    /// The operator said no.
    #[error("not confirmed: nothing was changed")]
    Declined,
    /// There is no home directory to find keys in.
    #[error("the home directory is unknown: HOME is not set")]
    NoHome,
    /// The file with the keys of the hosts can't be read.
    #[error("cannot read {}, which `known_hosts` names", file.display())]
    KnownHosts {
        /// It.
        file: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The keys of the hosts can't be written down.
    #[error("cannot write {}", file.display())]
    KnownHostsNotWritten {
        /// The file.
        file: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A line among the keys of the hosts can't be understood.
    #[error("the keys of the hosts are not what known_hosts may hold")]
    PinnedKeys(#[from] PinnedKeysError),
    /// The private key in the environment is of no use.
    #[error("the private key in {KEY_VARIABLE} can't be used: {error}")]
    GivenKey {
        /// What is wrong with it.
        error: KeyTextError,
    },
    /// The ssh configuration can't be read, or asks for something that can't be done.
    #[error(transparent)]
    SshConfig(#[from] ConfigError),
    /// A local hook failed.
    #[error("the hook {} failed: `{text}`: {end}", when.as_str())]
    Hook {
        /// When it ran.
        when: HookPoint,
        /// The first line of its text.
        text: String,
        /// How it ended.
        end: String,
    },
    /// The operator ended a local hook.
    #[error("stopped by the operator: no host was connected to")]
    InterruptedHook,
    /// The operator ended a command that has no run to end well.
    #[error("stopped by the operator")]
    Stopped,
    /// The operator left without waiting.
    #[error("left before the hosts were done")]
    Left(Vec<(Address, Phase)>),
    /// Something of this machine failed.
    #[error("{what}")]
    Local {
        /// What.
        what: &'static str,
        /// Why.
        source: io::Error,
    },
}

impl CliError {
    /// The exit code.
    #[must_use]
    pub(super) fn exit(&self) -> Exit {
        match self {
            Self::Problems(_)
            | Self::Select(_)
            | Self::NoHost { .. }
            | Self::Pattern { .. }
            | Self::NoSuchFile { .. }
            | Self::Unconfirmed { .. }
            | Self::UnconfirmedRemoval { .. }
            | Self::NoLogFiles
            | Self::NoHome
            | Self::KnownHosts { .. }
            | Self::KnownHostsNotWritten { .. }
            | Self::PinnedKeys(_)
            | Self::GivenKey { .. }
            | Self::SshConfig(_) => Exit::Usage,
            Self::Declined | Self::Local { .. } | Self::Hook { .. } => Exit::Failed,
            Self::Left(_) | Self::InterruptedHook | Self::Stopped => Exit::Interrupted,
        }
    }

    /// Shows it.
    ///
    /// # Errors
    ///
    /// When writing fails.
    pub(super) fn show(self, out: &mut dyn Write, look: Look) -> io::Result<()> {
        match self {
            Self::Problems(problems) => {
                problems.iter().try_for_each(|problem| ProblemReport::new(problem).write(out, look))
            }
            other => writeln!(out, "{:?}", Report::new(Shown(other))),
        }
    }
}

/// What each host does by itself, now that we are gone.
fn left_help(hosts: &[(Address, Phase)]) -> String {
    let line = |(host, phase): &(Address, Phase)| match phase {
        Phase::Untouched => format!("{host}: the service was not touched"),
        Phase::Switching { back_to, patience } => {
            let seconds = patience.as_secs();
            let to = back_to.as_ref().map_or_else(|| "not deployed".to_owned(), |id| format!("release {id}"));
            format!(
                "{host}: goes back by itself (to: {to}) once it sees that we are gone, at most {seconds} s after its last step"
            )
        }
        Phase::Ended(Verdict::Deployed) => format!("{host}: deployed"),
        Phase::Ended(Verdict::Unchanged | Verdict::Planned) => format!("{host}: nothing was changed"),
        Phase::Ended(_) => format!("{host}: failed, see above"),
    };
    let mut lines: Vec<String> = hosts.iter().map(line).collect();
    lines.push("`shipit status` shows what runs".to_owned());
    lines.join("\n")
}

/// What to do about the key in the environment.
fn given_key_help(error: &KeyTextError) -> String {
    match error {
        KeyTextError::Empty => format!(
            "the secret is not set, or this step may not see it; to do without, leave {KEY_VARIABLE} unset"
        ),
        KeyTextError::Encrypted => format!("set {PASSPHRASE_VARIABLE}, or make a key without for this use"),
        KeyTextError::WrongPassphrase => {
            format!("look at {PASSPHRASE_VARIABLE}: it must be the passphrase alone")
        }
        _ => "set it to all of the text of the private key file, from the first line to the last; \
              line ends that were lost on the way are put back"
            .to_owned(),
    }
}

/// A [`CliError`] as miette shows it.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
struct Shown(CliError);

impl Diagnostic for Shown {
    fn code<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        let code = match &self.0 {
            CliError::Problems(_) => return None,
            CliError::Select(_) => "shipit::cli::environment",
            CliError::NoHost { .. } | CliError::Pattern { .. } => "shipit::cli::no_host",
            CliError::NoSuchFile { .. } | CliError::NoLogFiles => "shipit::cli::no_file",
            CliError::Unconfirmed { .. } | CliError::UnconfirmedRemoval { .. } | CliError::Declined => {
                "shipit::cli::unconfirmed"
            }
            CliError::NoHome => "shipit::cli::no_home",
            CliError::KnownHosts { .. } | CliError::KnownHostsNotWritten { .. } | CliError::PinnedKeys(_) => {
                "shipit::manifest::known_hosts"
            }
            CliError::GivenKey { .. } => "shipit::cli::given_key",
            CliError::SshConfig(_) => "shipit::ssh::config",
            CliError::Hook { .. } => "shipit::hook::local",
            CliError::Left(_) | CliError::InterruptedHook | CliError::Stopped => "shipit::interrupted",
            CliError::Local { .. } => "shipit::system",
        };
        Some(Box::new(code))
    }

    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        let help = match &self.0 {
            CliError::Select(error) => error.help(),
            CliError::NoHost { known, tags, .. } => {
                let hosts = format!("its hosts are: {}", known.join(", "));
                match tags.as_deref() {
                    None => hosts,
                    Some([]) => format!("{hosts}; none of them has a tag"),
                    Some(tags) => format!("{hosts}; their tags are: {}", tags.join(", ")),
                }
            }
            CliError::NoSuchFile { known, .. } => format!("there are {}", known.join(", ")),
            CliError::Pattern { .. } => "a pattern has `*` for any text and `?` for one character".to_owned(),
            CliError::Unconfirmed { command: Command::Rollback, .. } => {
                "look at `shipit releases`, and say `shipit rollback --yes` if it is what you want".to_owned()
            }
            CliError::Unconfirmed { .. } => {
                "look at `shipit plan`, and say `shipit deploy --yes` if it is what you want".to_owned()
            }
            CliError::UnconfirmedRemoval { .. } => {
                "look at `shipit status`, and say `shipit remove --yes` if it is what you want".to_owned()
            }
            CliError::NoLogFiles => {
                "add them, such as `log_files: [/var/log/api.log]`; without --files the journal is shown"
                    .to_owned()
            }
            CliError::Left(hosts) => left_help(hosts),
            CliError::Hook { .. } => {
                "no host was connected to, and nothing was changed; what the hook said is above".to_owned()
            }
            CliError::GivenKey { error } => given_key_help(error),
            CliError::SshConfig(error) => error.help()?,
            CliError::KnownHosts { source, .. } if source.kind() == std::io::ErrorKind::NotFound => {
                "write the keys of the hosts there with `shipit hosts --scan`".to_owned()
            }
            CliError::NoHome => "set HOME to the folder with .ssh in it".to_owned(),
            _ => return None,
        };
        Some(Box::new(help))
    }
}
