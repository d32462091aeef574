//! Why it can't be known how to reach a host.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use super::keyword::Keyword;

/// The ssh configuration can't be read, or asks for what can't be done. Nothing was connected to.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// `ssh -G` refused.
    #[error("ssh does not take its configuration for {host}:\n{}", said.join("\n"))]
    Ssh {
        /// The host asked about.
        host: String,
        /// What ssh said, with files and lines.
        said: Vec<String>,
        /// The command that says it again.
        command: String,
    },
    /// `ssh -G` is still at it.
    #[error("`ssh -G {host}` has not answered within {} s", after.as_secs())]
    SshTimeout {
        /// The host asked about.
        host: String,
        /// How long it was given.
        after: Duration,
    },
    /// `ssh -G` could not be run.
    #[error("cannot run ssh to read its configuration")]
    SshNotRun {
        /// What the system said.
        source: io::Error,
    },
    /// Lines that can't be read.
    #[error("the ssh configuration has errors:\n{}", lines(problems))]
    Problems {
        /// All of them.
        problems: Vec<ConfigProblem>,
    },
    /// A line that only ssh itself can judge, and there is no ssh.
    #[error("{}:{line}: `{keyword}` can only be judged by ssh itself, and there is none on the PATH", file.display())]
    NeedsSsh {
        /// The file.
        file: PathBuf,
        /// Counted from 1.
        line: usize,
        /// The keyword.
        keyword: String,
    },
    /// `RefuseConnection`.
    #[error("{}:{line}: RefuseConnection: {message}", file.display())]
    Refused {
        /// The file.
        file: PathBuf,
        /// Counted from 1.
        line: usize,
        /// What stands there.
        message: String,
    },
    /// Others can write to a file, so it may say anything.
    #[error("{} belongs to someone else, or others can write to it", file.display())]
    Permissions {
        /// The file.
        file: PathBuf,
    },
    /// A file can't be read.
    #[error("cannot read {}", file.display())]
    Unreadable {
        /// The file.
        file: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A value whose tokens, variables or form are wrong for this host.
    #[error("{} for {host}: `{value}`: {why}", keyword.as_str())]
    Value {
        /// The host asked about.
        host: String,
        /// The keyword.
        keyword: Keyword,
        /// Its value.
        value: String,
        /// What is wrong with it.
        why: String,
    },
    /// Something that shipit does not do, and that can't be passed over.
    #[error("{} is set for {host}, and shipit does not support it", keyword.as_str())]
    Unsupported {
        /// The host asked about.
        host: String,
        /// The keyword.
        keyword: Keyword,
        /// What to do instead.
        instead: &'static str,
    },
    /// A list of algorithms that leaves none to connect with.
    #[error("{} for {host} names no algorithm that shipit has: `{value}`", keyword.as_str())]
    NoAlgorithm {
        /// The host asked about.
        host: String,
        /// The keyword.
        keyword: Keyword,
        /// Its value.
        value: String,
        /// All that could stand there.
        has: Vec<String>,
    },
    /// A jump host that is reached by way of itself.
    #[error("jump hosts in a circle: {}", chain.join(" via "))]
    JumpLoop {
        /// From the host asked for to the jump host that is in the chain already.
        chain: Vec<String>,
    },
    /// There is no login name.
    #[error("no login name for {host}: none is configured, and USER is not set")]
    NoUser {
        /// The host asked about.
        host: String,
    },
}

/// One line that can't be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigProblem {
    /// The file.
    pub file: PathBuf,
    /// Counted from 1.
    pub line: usize,
    /// What is wrong with it.
    pub what: String,
}

impl fmt::Display for ConfigProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.file.display(), self.line, self.what)
    }
}

fn lines(problems: &[ConfigProblem]) -> String {
    problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

impl ConfigError {
    /// What the operator can do, if anything.
    #[must_use]
    pub fn help(&self) -> Option<String> {
        Some(match self {
            Self::Ssh { command, .. } => format!("`{command}` shows the same"),
            Self::SshTimeout { host, .. } => {
                format!("does a `Match exec` of the configuration wait for something? Try: ssh -G {host}")
            }
            Self::NeedsSsh { .. } => {
                "install the OpenSSH client, or name a simpler file with --ssh-config".to_owned()
            }
            Self::Permissions { file } => format!("chmod go-w {}, and see whose it is", file.display()),
            Self::Unsupported { instead, .. } => (*instead).to_owned(),
            Self::NoAlgorithm { has, .. } => {
                format!("add one to the list that shipit has: {}", has.join(", "))
            }
            Self::JumpLoop { .. } => {
                "exclude jump hosts from their own ProxyJump: `Host !bastion *`, or `ProxyJump none` for them"
                    .to_owned()
            }
            Self::NoUser { .. } => "write the host as user@host".to_owned(),
            Self::SshNotRun { .. }
            | Self::Problems { .. }
            | Self::Refused { .. }
            | Self::Unreadable { .. }
            | Self::Value { .. } => return None,
        })
    }
}
