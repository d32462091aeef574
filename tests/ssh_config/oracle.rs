//! ssh itself, made to say what it would do, and kept from doing it.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use shipit::ssh::Login;

/// The home directory as ssh has it.
pub(crate) fn home() -> PathBuf {
    let output = Command::new("ssh").args(["-G", "-F", "none", "x"]).stdin(Stdio::null()).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix("userknownhostsfile ")).unwrap();
    let home = line.split("/.ssh/known_hosts").next().unwrap();
    if home == "~" { std::env::var_os("HOME").unwrap().into() } else { home.into() }
}

/// What `ssh -G` prints, or what it says is wrong.
pub(crate) fn dump(config: &Path, login: &Login, home: &Path) -> Result<Vec<(String, String)>, String> {
    let output = command(config, login, home).arg("-G").args(["--", &login.host]).output().unwrap();
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned());
    }
    let text = String::from_utf8(output.stdout).unwrap();
    Ok(text.lines().filter_map(|line| line.split_once(' ')).map(|(a, b)| (a.into(), b.into())).collect())
}

/// What ssh was about to do.
#[derive(Debug, Default)]
pub(crate) struct Intent {
    pub(crate) identity_files: Vec<String>,
    pub(crate) certificate_files: Vec<String>,
    /// The text for the shell.
    pub(crate) proxy: Option<String>,
}

/// Has ssh connect, by way of a shell that does nothing: it says what it would have run, and which files it would have
/// used.
pub(crate) fn intent(config: &Path, login: &Login, home: &Path) -> Intent {
    let run = |more: &[&str]| {
        let mut command = command(config, login, home);
        command.arg("-v").args(more).env("SHELL", "/bin/true").args(["--", &login.host, "true"]);
        String::from_utf8_lossy(&command.output().unwrap().stderr).into_owned()
    };
    let is_proxied = dump(config, login, home)
        .is_ok_and(|dump| dump.iter().any(|(key, _)| key == "proxycommand" || key == "proxyjump"));
    // A direct connection would go out into the world.
    let text =
        if is_proxied { run(&[]) } else { run(&["-o", "ProxyCommand=nothing", "-o", "ProxyUseFdpass=no"]) };
    let mut intent = Intent::default();
    for line in text.lines().map(|line| unescaped(line.trim_end_matches('\r'))) {
        let file = |kind: &str| {
            line.strip_prefix("debug1: ")?
                .strip_prefix(kind)?
                .rsplit_once(" type ")
                .map(|(file, _)| file.to_owned())
        };
        if let Some(file) = file("identity file ") {
            // One more name is tried for each file.
            if intent.identity_files.last().map(|last| format!("{last}-cert")) != Some(file.clone()) {
                intent.identity_files.push(file);
            }
        } else if let Some(file) = file("certificate file ") {
            intent.certificate_files.push(file);
        } else if let Some(command) = line.strip_prefix("debug1: Executing proxy command: exec ") {
            intent.proxy = is_proxied.then(|| command.to_owned());
        }
    }
    intent
}

/// What ssh logs has backslashes, and all that is not ASCII, as escapes (vis(3)).
fn unescaped(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    loop {
        let (byte, behind) = match rest {
            [] => return String::from_utf8(bytes).unwrap(),
            [b'\\', b'\\', behind @ ..] => (b'\\', behind),
            [b'\\', a @ b'0'..=b'3', b @ b'0'..=b'7', c @ b'0'..=b'7', behind @ ..] => {
                ((a - b'0') * 64 + (b - b'0') * 8 + (c - b'0'), behind)
            }
            [byte, behind @ ..] => (*byte, behind),
        };
        bytes.push(byte);
        rest = behind;
    }
}

fn command(config: &Path, login: &Login, home: &Path) -> Command {
    let mut command = Command::new("ssh");
    command.arg("-F").arg(config).env("HOME", home).env_remove("SSH_AUTH_SOCK").stdin(Stdio::null());
    if let Some(user) = &login.user {
        command.args(["-l", user]);
    }
    if let Some(port) = login.port {
        command.args(["-p", &port.to_string()]);
    }
    command
}
