//! The arguments that every command takes.
use std::io::IsTerminal;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};

use crate::manifest::parse_duration;
use crate::plan::Edits;
use crate::report::Mask;
use crate::ssh::config::Files;

use super::askpass::Seat;
use super::problem::{Color, Look};
use super::signals::Signals;

/// Arguments of every command.
#[derive(Debug, Clone, Args)]
pub(super) struct GlobalArgs {
    /// What is printed: words for people, or one JSON object a line
    #[arg(long, global = true, value_enum, default_value_t = Format::Text)]
    pub format: Format,
    /// When to colour; `NO_COLOR` is honoured
    #[arg(long, global = true, value_enum, default_value_t = ColorChoice::Auto)]
    pub color: ColorChoice,
    /// Say more: what goes on inside (-v), and inside the SSH library (-vv)
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub verbose: u8,
    /// Say only what failed, and the outcome
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    pub quiet: bool,
    /// Never ask anything, as if there were no terminal
    #[arg(long, global = true)]
    pub no_input: bool,
    /// What nobody may see. No argument: it goes where these go, to all that prints.
    #[arg(skip)]
    pub mask: Mask,
    /// What the operator, or the machine, wants meanwhile. No argument either.
    #[arg(skip)]
    pub signals: Signals,
}

/// Which manifest.
#[derive(Debug, Clone, Args)]
pub(crate) struct ManifestArgs {
    /// The manifest
    #[arg(short = 'f', long, value_name = "FILE", default_value = "deploy.yaml")]
    pub(crate) manifest: PathBuf,
}

/// What to do while others are at work on a host.
#[derive(Debug, Clone, Args)]
pub(crate) struct WaitArgs {
    /// How long to wait for the service's lock while another holds it, as in 30s or 5m
    #[arg(long, value_name = "TIME", default_value = "0s", value_parser = lock_wait, help_heading = "Hosts")]
    pub(crate) lock_wait: Duration,
    /// Leave, and do not wait, when an activation is under way on a host
    #[arg(long, help_heading = "Hosts")]
    pub(crate) no_wait: bool,
}

/// What to do about what was changed by hand on a host.
#[derive(Debug, Clone, Args)]
pub(crate) struct EditArgs {
    /// Replace files outside of the release that others have put there, or changed by hand: a backup of each is kept
    #[arg(long, help_heading = "Hosts")]
    pub(crate) force: bool,
}

impl EditArgs {
    pub(super) fn edits(&self) -> Edits {
        if self.force { Edits::Replace } else { Edits::Respect }
    }
}

/// A number of lines, in words that say what is wanted.
pub(super) fn line_count(text: &str) -> Result<u32, String> {
    text.parse().map_err(|_| "a whole number is wanted, as in -n 100".to_owned())
}

fn lock_wait(text: &str) -> Result<Duration, String> {
    parse_duration(text).map_err(|error| error.to_string())
}

/// What is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    /// Words for people.
    Text,
    /// One JSON object a line; see docs/events.md.
    Json,
}

/// When to colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum ColorChoice {
    /// On a terminal.
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

impl GlobalArgs {
    /// Whether to colour what goes to a stream (<https://no-color.org>).
    #[must_use]
    pub(super) fn colours(&self, stream: &impl IsTerminal) -> bool {
        match self.color {
            ColorChoice::Always => true,
            ColorChoice::Never => false,
            ColorChoice::Auto => {
                let unset = |name| std::env::var_os(name).is_none_or(|value| value.is_empty());
                stream.is_terminal()
                    && unset("NO_COLOR")
                    && std::env::var_os("TERM").is_none_or(|t| t != "dumb")
            }
        }
    }

    /// How problems look on standard error.
    #[must_use]
    pub(super) fn look(&self) -> Look {
        let color = if self.colours(&std::io::stderr()) { Color::Ansi } else { Color::Plain };
        Look { color, ..Look::default() }
    }

    /// Whether someone can be asked: there is a terminal at both ends, and nothing says that nobody sits there.
    #[must_use]
    pub(super) fn can_ask(&self) -> bool {
        !self.no_input && !in_ci() && std::io::stdin().is_terminal() && std::io::stderr().is_terminal()
    }

    /// Who sits there, for programs that ask in place of the terminal.
    #[must_use]
    pub(super) fn seat(&self) -> Seat {
        if self.no_input {
            Seat::NoInput
        } else if self.can_ask() {
            Seat::Terminal
        } else if in_ci() {
            Seat::Automaton
        } else {
            Seat::NoTerminal
        }
    }

    /// Whether lines may be drawn over: a terminal, and not CI's idea of one.
    #[must_use]
    pub(super) fn draws(&self) -> bool {
        !in_ci()
            && std::io::stderr().is_terminal()
            && std::env::var_os("TERM").is_none_or(|term| term != "dumb")
    }
}

fn in_ci() -> bool {
    std::env::var_os("CI").is_some_and(|value| !value.is_empty() && value != "false" && value != "0")
}

/// Arguments of every command that connects.
#[derive(Debug, Clone, Args)]
pub(super) struct ConnectArgs {
    /// Only hosts whose name, or user@host:port, matches; may be given several times
    #[arg(long = "host", value_name = "PATTERN", help_heading = "Hosts")]
    pub hosts: Vec<String>,
    /// Only hosts with this tag; may be given several times
    #[arg(long = "tag", value_name = "TAG", help_heading = "Hosts")]
    pub tags: Vec<String>,
    /// A private key to offer first; may be given several times
    #[arg(short = 'i', long = "identity", value_name = "FILE", help_heading = "Connection")]
    pub identities: Vec<PathBuf>,
    /// Trust, and remember, the key of a host that is not in known_hosts. A changed key is still refused
    #[arg(long, help_heading = "Connection")]
    pub accept_new_host_keys: bool,
    /// Trust whatever key a host shows, also a changed one: whoever is in between reads and changes everything
    #[arg(long, conflicts_with = "accept_new_host_keys", help_heading = "Connection")]
    pub trust_any_host_key: bool,
    /// How many seconds a host may take to answer [default: ConnectTimeout of ssh_config, or 10]
    #[arg(
        long, value_name = "SECONDS", help_heading = "Connection",
        value_parser = clap::value_parser!(u64).range(1..=600)
    )]
    pub connect_timeout: Option<u64>,
    /// The ssh configuration to read in place of ~/.ssh/config and /etc/ssh/ssh_config; `none` for none
    #[arg(long, value_name = "FILE", help_heading = "Connection")]
    pub ssh_config: Option<PathBuf>,
}

impl ConnectArgs {
    /// The time-out as a duration, where there is one.
    #[must_use]
    pub(super) fn timeout(&self) -> Option<Duration> {
        self.connect_timeout.map(Duration::from_secs)
    }

    /// Which ssh configuration is read.
    #[must_use]
    pub(super) fn files(&self) -> Files {
        match &self.ssh_config {
            None => Files::Usual,
            // As `ssh -F` has it.
            Some(path) if path.as_os_str().eq_ignore_ascii_case("none") => Files::None,
            Some(path) => Files::Only(path.clone()),
        }
    }
}
