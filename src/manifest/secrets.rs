//! Secrets: where the manifest says they come from, and their values once they were read.
//!
//! The manifest never holds a value, so nothing here can be printed by mistake: a [`SecretSource`] is a name, a command
//! or a path, and [`SecretValues`] shows names only. Who reads the sources is the command line's business.
use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use secrecy::{ExposeSecret as _, SecretString};
use thiserror::Error;

use super::hooks::first_line;
use super::model::{Environment, Host};
use super::name::VarName;

/// How long a command may take to print a secret, unless the manifest says otherwise. An agent may ask a person first.
pub const DEFAULT_SECRET_TIMEOUT: Duration = Duration::from_secs(60);

/// What a secret is called in the template of a unit, where its value is not known: in `check` and `render`.
pub const HIDDEN: &str = "***";

/// Where a secret comes from.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum SecretSource {
    /// A variable of shipit's own environment.
    Env(String),
    /// What a program on the operator's machine prints.
    Command {
        /// The program.
        run: SecretCommand,
        /// How long it may take.
        timeout: Duration,
    },
    /// What is in a file of the operator's machine.
    File(PathBuf),
    /// What the operator types, when asked this.
    Prompt(String),
}

/// A program that prints a secret.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum SecretCommand {
    /// The text of a shell program.
    Shell(String),
    /// A program and its arguments; at least one word.
    Program(Vec<String>),
}

impl fmt::Display for SecretCommand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Shell(text) => f.write_str(&first_line(text)),
            Self::Program(words) => f.write_str(&words.join(" ")),
        }
    }
}

/// The values of one host's secrets.
#[derive(Clone, Default)]
pub struct SecretValues(BTreeMap<VarName, Arc<SecretString>>);

impl SecretValues {
    /// The same text for each of the secrets, where nobody needs to know the values.
    #[must_use]
    pub fn hidden(environment: &Environment, host: &Host) -> Self {
        let hidden = Arc::new(SecretString::from(HIDDEN));
        let names = environment.secrets_for(host).into_keys();
        Self(names.map(|name| (name.clone(), Arc::clone(&hidden))).collect())
    }

    /// The value of a secret.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.iter().find(|(known, _)| *known == name).map(|(_, value)| value)
    }

    /// Names and values.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.expose_secret()))
    }
}

impl FromIterator<(VarName, Arc<SecretString>)> for SecretValues {
    fn from_iter<T: IntoIterator<Item = (VarName, Arc<SecretString>)>>(values: T) -> Self {
        Self(values.into_iter().collect())
    }
}

impl fmt::Debug for SecretValues {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys().map(VarName::as_str)).finish()
    }
}

impl Environment {
    /// Where the secrets of `host` come from: its own before the environment's.
    #[must_use]
    pub fn secrets_for<'a>(&'a self, host: &'a Host) -> BTreeMap<&'a VarName, &'a SecretSource> {
        self.secrets.iter().chain(&host.secrets).collect()
    }

    /// The sources of all secrets of the environment and its hosts.
    pub fn secret_sources(&self) -> impl Iterator<Item = &SecretSource> {
        self.secrets.values().chain(self.hosts.iter().flat_map(|host| host.secrets.values()))
    }
}

/// Why a secret could not be had. Nothing of this holds its value.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Error)]
#[non_exhaustive]
pub enum SecretProblem {
    /// The variable is not there.
    #[error("the secret `{name}` is not there: the variable {variable} is not set")]
    Unset {
        /// The secret.
        name: String,
        /// The variable.
        variable: String,
    },
    /// There is nothing in it.
    #[error("the secret `{name}` is empty")]
    Empty {
        /// The secret.
        name: String,
    },
    /// It is no text.
    #[error("the secret `{name}` is not UTF-8 text")]
    NotUtf8 {
        /// The secret.
        name: String,
    },
    /// It has a byte that ends a text for the rest of the world.
    #[error("the secret `{name}` has a NUL byte in it")]
    Nul {
        /// The secret.
        name: String,
    },
    /// It is larger than any secret.
    #[error("the secret `{name}` is larger than {limit}")]
    TooLarge {
        /// The secret.
        name: String,
        /// The limit, with its unit.
        limit: &'static str,
    },
    /// The program that prints it did not succeed.
    #[error("the command for the secret `{name}` failed: {end}{}", said.as_ref().map(|line| format!(": {line}")).unwrap_or_default())]
    Command {
        /// The secret.
        name: String,
        /// How it ended.
        end: String,
        /// The last line of its standard error.
        said: Option<String>,
    },
    /// The file can't be read.
    #[error("the file of the secret `{name}` can't be read: {reason}")]
    File {
        /// The secret.
        name: String,
        /// The system's words.
        reason: String,
    },
    /// The operator would have to be asked, and can't be.
    #[error("the secret `{name}` has to be typed in, and there is no terminal to ask on")]
    NobodyToAsk {
        /// The secret.
        name: String,
    },
}

impl SecretProblem {
    pub(super) fn code(&self) -> &'static str {
        match self {
            Self::Unset { .. } => "unset",
            Self::Empty { .. } => "empty",
            Self::NotUtf8 { .. } => "not_utf8",
            Self::Nul { .. } => "nul",
            Self::TooLarge { .. } => "too_large",
            Self::Command { .. } => "command",
            Self::File { .. } => "file",
            Self::NobodyToAsk { .. } => "nobody_to_ask",
        }
    }

    /// What to do about it.
    #[must_use]
    pub fn help(&self) -> &'static str {
        match self {
            Self::Unset { .. } => "set it for this command; in CI, see that this step may have the secret",
            Self::Empty { .. } => {
                "an empty secret is taken for one that is missing: in CI, a step that may not have a secret often gets an \
                 empty one"
            }
            Self::NotUtf8 { .. } | Self::Nul { .. } => {
                "encode it, with base64 for instance, and have the service decode it"
            }
            Self::TooLarge { .. } => "a secret is a password or a key, not a file of data",
            Self::Command { .. } => {
                "run the command by hand; nothing was connected to, and nothing was changed"
            }
            Self::File { .. } => "relative paths are relative to the manifest's folder",
            Self::NobodyToAsk { .. } => {
                "run the command on a terminal, and without `--no-input`; for CI, give the secret as `env:`, `command:` or \
                 `file:`"
            }
        }
    }
}

/// The value as the text of an env file: in double quotes, so that systemd reads it back as it is.
#[must_use]
pub fn env_quote(value: &str) -> String {
    let mut text = String::with_capacity(value.len() + 2);
    text.push('"');
    for c in value.chars() {
        if matches!(c, '"' | '\\' | '`' | '$') {
            text.push('\\');
        }
        text.push(c);
    }
    text.push('"');
    text
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use proptest::prelude::*;

    use super::super::env_file::EnvFile;
    use super::*;

    #[test]
    fn values_do_not_get_into_a_debug_print() {
        let value = Arc::new(SecretString::from("hunter2"));
        let values = SecretValues::from_iter([("TOKEN".parse().unwrap(), value)]);
        assert_eq!(format!("{values:?}"), r#"{"TOKEN"}"#);
        assert_eq!(values.get("TOKEN"), Some("hunter2"));
    }

    proptest! {
        #[test]
        fn a_quoted_value_is_read_back_as_it_was(value in "[^\0]{0,40}|[\"'`$\\\\\n\r #]{0,12}") {
            let file = EnvFile::parse(Path::new("x"), format!("A={}\nB=1\n", env_quote(&value)).as_bytes());
            prop_assert_eq!(file.get("A"), Some(value.as_str()));
            prop_assert_eq!(file.get("B"), Some("1"));
        }
    }
}
