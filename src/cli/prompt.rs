//! Questions to the operator on the terminal: passphrases, host keys, the sudo password, and "go ahead?".
//!
//! Each is asked while nothing else is drawn. Where nobody can be asked, every answer is no.
use std::collections::HashSet;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use secrecy::SecretString;

use super::run::{Run, Shown};
use crate::host::Password;
use crate::manifest::Address;
use crate::plan::Elevation;
use crate::report::Suspend;
use crate::rollout::SudoPrompt;
use crate::ssh::{Answer, HostKeyQuestion, Prompt};

/// Asks on the terminal, if there is one.
#[derive(Debug, Clone)]
pub(super) struct Asker {
    available: bool,
    suspend: Suspend,
    shown: Option<Shown>,
    /// The keys whose passphrase was asked for: asked again, the one before was wrong.
    asked: Arc<Mutex<HashSet<PathBuf>>>,
}

impl Asker {
    /// One that asks only when someone is there.
    #[must_use]
    pub(super) fn new(available: bool) -> Self {
        Self { available, suspend: Suspend::none(), shown: None, asked: Arc::default() }
    }

    /// The same for a run that is reported on: the question comes below all that has happened until then.
    #[must_use]
    pub(super) fn in_run(available: bool, run: &Run) -> Self {
        Self {
            available,
            suspend: run.suspend.clone(),
            shown: Some(run.shown.clone()),
            asked: Arc::default(),
        }
    }

    fn ask<T>(&self, question: impl FnOnce() -> T) -> T {
        if let Some(shown) = &self.shown {
            shown.wait();
        }
        self.suspend.suspend(question)
    }

    /// Asks for a yes.
    #[must_use]
    pub(super) fn confirm(&self, question: &str) -> bool {
        self.available && self.ask(|| yes(question))
    }

    fn secret(&self, question: &str) -> Option<SecretString> {
        if !self.available {
            return None;
        }
        let typed = self.ask(|| rpassword::prompt_password(question));
        typed.ok().filter(|text| !text.is_empty()).map(SecretString::from)
    }
}

fn yes(question: &str) -> bool {
    let mut stderr = io::stderr().lock();
    let asked = write!(stderr, "{question} [y/N] ").and_then(|()| stderr.flush());
    let mut answer = String::new();
    asked.is_ok()
        && io::stdin().read_line(&mut answer).is_ok()
        && matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes")
}

impl Prompt for Asker {
    fn passphrase(&self, key: &Path) -> Option<SecretString> {
        let first = self.asked.lock().is_ok_and(|mut asked| asked.insert(key.to_owned()));
        let again = if first { "" } else { "Sorry, that was not it. " };
        self.secret(&format!("{again}Passphrase for {}: ", key.display()))
    }

    fn accept_host_key(&self, question: &HostKeyQuestion) -> Answer {
        let HostKeyQuestion { target, key_type, fingerprint } = question;
        let text = format!(
            "{target} is not in known_hosts. Its {key_type} key is\n  {fingerprint}\nCompare it with what the host's \
             administrator says. Trust it from now on?"
        );
        if self.confirm(&text) { Answer::Accepted } else { Answer::Refused }
    }
}

impl SudoPrompt for Asker {
    fn sudo_password(&self, host: &Address, by: Elevation, again: bool) -> Option<Password> {
        let again = if again { "Sorry, that was not it. " } else { "" };
        self.secret(&format!("{again}{} password on {host}: ", by.program())).map(Password::new)
    }
}
