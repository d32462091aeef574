//! The ssh of this machine, asked what it would do: `ssh -G`.

use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::time::Duration;

use tokio::process::Command;
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::dump::{Baseline, Dump, Homes};
use super::error::ConfigError;
use super::include;
use super::settings::Settings;
use super::words::quoted;
use super::{Files, Login};
use crate::ssh::child::child;

/// A `Match exec` may ask a server, a name may have to be looked up.
const LIMIT: Duration = Duration::from_secs(60);

/// How many are run at once.
const PARALLEL: usize = 8;

/// Stands for no host at all (RFC 2606, section 2).
const NOBODY: &str = "shipit.invalid";

/// OpenSSH's client, which was asked for its defaults.
#[derive(Debug)]
pub(super) struct Client {
    home: PathBuf,
    baseline: Baseline,
    homes: Homes,
    running: Semaphore,
}

impl Client {
    /// Looks for ssh on the PATH. `None` when there is none, or one that can't be asked.
    pub(super) async fn find(home: &Path) -> Option<Self> {
        let mut command = ssh_g(home);
        command.args(["-F", "none"]);
        for option in Baseline::OPTIONS {
            command.args(["-o", option]);
        }
        command.args(["--", NOBODY]);
        let output = match timeout(LIMIT, command.output()).await {
            Ok(Ok(output)) if output.status.success() => output,
            Ok(Ok(output)) => {
                tracing::debug!("no use of ssh: {}", said(&output).join("; "));
                return None;
            }
            Ok(Err(error)) => {
                tracing::debug!("no ssh: {error}");
                return None;
            }
            Err(_) => {
                tracing::debug!("ssh -G does not answer");
                return None;
            }
        };
        let text = String::from_utf8_lossy(&output.stdout);
        let dump = Dump::parse(&text);
        if !dump.is_complete() {
            tracing::debug!("ssh -G does not print what OpenSSH prints");
            return None;
        }
        let control_path = text.lines().find_map(|line| line.strip_prefix("controlpath "));
        let homes = Homes::new(&dump, control_path, home.to_str()?);
        Some(Self {
            home: home.to_owned(),
            baseline: Baseline::new(dump),
            homes,
            running: Semaphore::new(PARALLEL),
        })
    }

    /// The login name as ssh knows it.
    pub(super) fn user(&self) -> Option<&str> {
        self.baseline.user()
    }

    /// What ssh would use for a host.
    pub(super) async fn settings(&self, files: &Files, login: &Login) -> Result<Settings, ConfigError> {
        let not_run = |source| ConfigError::SshNotRun { source };
        // It is never closed.
        let _running = self.running.acquire().await;
        let mut command = ssh_g(&self.home);
        let mut own_file = None;
        match (files, &self.homes) {
            (Files::None, _) => {
                command.args(["-F", "none"]);
            }
            (Files::Only(path), _) => {
                command.arg("-F").arg(path);
            }
            (Files::Usual, Homes::One) => {}
            // ssh would read the configuration of the wrong home directory.
            (Files::Usual, Homes::Two { home, .. }) => {
                let file = OwnFile::create(home).map_err(not_run)?;
                command.arg("-F").arg(&own_file.insert(file).0);
            }
        }
        if let Some(user) = &login.user {
            command.args(["-l", user]);
        }
        if let Some(port) = login.port {
            command.args(["-p", &port.to_string()]);
        }
        // A name that begins with a dash is no option.
        command.args(["--", &login.host]);
        let host = || login.host.clone();
        let output = match timeout(LIMIT, command.output()).await {
            Ok(output) => output.map_err(not_run)?,
            Err(_) => return Err(ConfigError::SshTimeout { host: host(), after: LIMIT }),
        };
        if !output.status.success() {
            let from = match (files, &self.homes) {
                (Files::None, _) => " -F none".to_owned(),
                (Files::Only(path), _) => format!(" -F {}", path.display()),
                (Files::Usual, Homes::One) => String::new(),
                (Files::Usual, Homes::Two { home, .. }) => format!(" -F {home}/.ssh/config"),
            };
            let command = format!("ssh -G{from} {}", login.host);
            return Err(ConfigError::Ssh { host: host(), said: said(&output), command });
        }
        for line in said(&output) {
            tracing::debug!("ssh -G {}: {line}", login.host);
        }
        let dump = Dump::parse(&String::from_utf8_lossy(&output.stdout));
        Ok(dump.settings(&self.baseline, &self.homes))
    }
}

fn ssh_g(home: &Path) -> Command {
    // `Match exec` starts programs.
    let mut command = Command::from(child("ssh"));
    // Relative paths in `Include` begin at `HOME`, though nothing else does.
    command.arg("-G").env("HOME", home).stdin(Stdio::null()).kill_on_drop(true);
    command
}

/// What it said, without what it says each time that there is no terminal.
fn said(output: &Output) -> Vec<String> {
    let text = String::from_utf8_lossy(&output.stderr);
    let lines = text.lines().map(crate::ssh::ending::printable);
    lines.filter(|line| !line.is_empty() && !line.starts_with("Pseudo-terminal")).collect()
}

/// A file that has ssh read the configuration of another home directory, and then that for all users. With `-F` alone it
/// would not read the latter. Removed when dropped.
#[derive(Debug)]
struct OwnFile(PathBuf);

impl OwnFile {
    fn create(home: &str) -> io::Result<Self> {
        let mut random = [0; 8];
        getrandom::fill(&mut random).map_err(io::Error::other)?;
        let name = format!("shipit-ssh-config-{:016x}", u64::from_ne_bytes(random));
        let path = std::env::temp_dir().join(name);
        let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
        let this = Self(path);
        let users = quoted(&include::escaped(&format!("{home}/.ssh/config")));
        write!(file, "Include {users}\nInclude /etc/ssh/ssh_config\n")?;
        Ok(this)
    }
}

impl Drop for OwnFile {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn the_file_for_ssh_is_private_and_does_not_stay() {
        let file = OwnFile::create("/home/a \"b\" [c]").unwrap();
        let path = file.0.clone();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let text = std::fs::read_to_string(&path).unwrap();
        assert_eq!(
            text,
            "Include \"/home/a \\\"b\\\" \\\\[c\\\\]/.ssh/config\"\nInclude /etc/ssh/ssh_config\n"
        );
        drop(file);
        assert!(!path.exists());
    }
}
