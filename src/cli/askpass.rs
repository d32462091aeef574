//! `SSH_ASKPASS`: a program that asks for secrets in place of the terminal, by the rules of ssh(1).
use std::ffi::OsString;
use std::io::Read as _;
use std::path::PathBuf;
use std::process::Stdio;

use secrecy::SecretString;
use secrecy::zeroize::Zeroizing;

use crate::ssh::child;

/// Where ssh looks when `SSH_ASKPASS` is not set.
const USUAL: &str = "/usr/bin/ssh-askpass";

/// More than any secret, less than what hurts.
const LONGEST: u64 = 64 << 10;

/// What `SSH_ASKPASS_REQUIRE` says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Require {
    /// Where there is a display and no terminal.
    Unset,
    Never,
    /// Where there is a display.
    Prefer,
    Force,
}

/// Who sits there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Seat {
    /// Somebody at a terminal.
    Terminal,
    /// Nobody at a terminal. There may be a display.
    NoTerminal,
    /// Nobody: this is CI.
    Automaton,
    /// Nobody, by the operator's word.
    NoInput,
}

/// The program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Askpass(PathBuf);

impl Askpass {
    /// The program to ask, where it is to be asked.
    pub(super) fn find(seat: Seat) -> Option<Self> {
        let variable = |name| std::env::var_os(name).filter(|value: &OsString| !value.is_empty());
        let display = variable("DISPLAY").is_some() || variable("WAYLAND_DISPLAY").is_some();
        let require = match variable("SSH_ASKPASS_REQUIRE").and_then(|value| value.into_string().ok()) {
            Some(word) if word.eq_ignore_ascii_case("force") => Require::Force,
            Some(word) if word.eq_ignore_ascii_case("prefer") => Require::Prefer,
            Some(word) if word.eq_ignore_ascii_case("never") => Require::Never,
            _ => Require::Unset,
        };
        if !is_wanted(require, seat, display) {
            return None;
        }
        let named = variable("SSH_ASKPASS").map(PathBuf::from);
        let usual = || Some(PathBuf::from(USUAL)).filter(|path| path.exists());
        named.or_else(usual).map(Self)
    }

    /// Asks. `None` when it is cancelled, or can't be.
    pub(super) fn ask(&self, question: &str) -> Option<SecretString> {
        let child = child(&self.0)
            .arg(question)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn();
        let mut child = match child {
            Ok(child) => child,
            Err(error) => {
                tracing::warn!("SSH_ASKPASS {}: {error}", self.0.display());
                return None;
            }
        };
        // Room for all of it at once: growing would leave parts of it behind.
        let mut said = Zeroizing::new(Vec::with_capacity(LONGEST as usize));
        let read = child.stdout.take().map(|out| out.take(LONGEST).read_to_end(&mut said));
        let status = child.wait();
        if !matches!(read, Some(Ok(_))) || !status.is_ok_and(|status| status.success()) {
            return None;
        }
        let line = said.split(|byte| matches!(byte, b'\n' | b'\r')).next().unwrap_or_default();
        std::str::from_utf8(line).ok().map(SecretString::from)
    }
}

fn is_wanted(require: Require, seat: Seat, display: bool) -> bool {
    match (seat, require) {
        (Seat::NoInput, _) | (_, Require::Never) => false,
        (_, Require::Force) => true,
        (Seat::Automaton, Require::Prefer | Require::Unset) => false,
        (Seat::Terminal | Seat::NoTerminal, Require::Prefer) => display,
        (Seat::NoTerminal, Require::Unset) => display,
        (Seat::Terminal, Require::Unset) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_program_is_asked_when_ssh_would() {
        use Require::{Force, Never, Prefer, Unset};
        use Seat::{Automaton, NoInput, NoTerminal, Terminal};
        for (seat, require, display, wanted) in [
            (Terminal, Unset, true, false),
            (Terminal, Prefer, true, true),
            (Terminal, Prefer, false, false),
            (Terminal, Force, false, true),
            (Terminal, Never, true, false),
            (NoTerminal, Unset, true, true),
            (NoTerminal, Unset, false, false),
            (NoTerminal, Never, true, false),
            (NoTerminal, Force, false, true),
            (Automaton, Unset, true, false),
            (Automaton, Force, false, true),
            (NoInput, Force, true, false),
        ] {
            assert_eq!(is_wanted(require, seat, display), wanted, "{seat:?} {require:?} {display}");
        }
    }
}
