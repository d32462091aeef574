//! Machines that tests run against, as root sees them.
use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::{Arc, OnceLock};

use super::{TestUser, UserOptions, random_id, run_with_input, skip, stdout_of};

/// A booted test host, with root's access to it.
#[derive(Debug)]
pub struct Machine {
    pub name: String,
    pub ip: String,
    pub port: u16,
    /// Root's private key.
    pub key: PathBuf,
    /// Holds the host's right keys.
    pub known_hosts: PathBuf,
    /// `ssh-ed25519 AAAA...`
    pub host_key: String,
    /// Socket of the connection that root's commands share.
    control: PathBuf,
    own: bool,
}

impl Machine {
    /// Reads the file in which `hosts.sh` describes a host.
    fn read(description: &Path, own: bool) -> Arc<Self> {
        let text = fs::read_to_string(description)
            .unwrap_or_else(|e| panic!("no test host is described by {}: {e}", description.display()));
        let field = |key: &str| {
            text.lines()
                .find_map(|line| line.strip_prefix(key)?.strip_prefix('='))
                .unwrap_or_else(|| panic!("{} has no {key}", description.display()))
                .to_owned()
        };
        let machine = Self {
            name: field("NAME"),
            ip: field("IP"),
            port: field("PORT").parse().expect("PORT is a number"),
            key: field("KEY").into(),
            known_hosts: field("KNOWN_HOSTS").into(),
            host_key: field("HOST_KEY"),
            control: env::temp_dir().join(format!("shipit-test-{}.sock", random_id())),
            own,
        };
        machine.open_control_connection();
        Arc::new(machine)
    }

    /// One connection for all that root does: it closes itself when nobody has used it for a minute, or
    /// the host has been gone for a while.
    fn open_control_connection(&self) {
        let status = self
            .ssh_command(&["-M", "-N", "-f", "-o", "ControlPersist=60", "-o", "ServerAliveInterval=5"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
        assert!(status.is_ok_and(|s| s.success()), "cannot log in to the test host {} as root", self.name);
    }

    fn ssh_command(&self, options: &[&str]) -> Command {
        let mut command = Command::new("ssh");
        command
            .args(["-F", "none", "-o", "BatchMode=yes", "-o", "IdentitiesOnly=yes", "-o", "LogLevel=ERROR"])
            .args(["-o", "GlobalKnownHostsFile=none", "-o", "ConnectTimeout=10"])
            .arg("-o")
            .arg(format!("UserKnownHostsFile={}", self.known_hosts.display()))
            .arg("-S")
            .arg(&self.control)
            .arg("-i")
            .arg(&self.key)
            .args(options)
            .args(["-p", &self.port.to_string(), &format!("root@{}", self.ip)]);
        command
    }

    /// Runs a shell program on the host as root.
    pub fn root(&self, script: &str) -> Output {
        run_with_input(self.ssh_command(&[]).arg("exec /bin/sh -s"), script)
    }

    /// The same; it must succeed, and what it prints is returned.
    #[track_caller]
    pub fn run(&self, script: &str) -> String {
        stdout_of(&self.root(script), script)
    }

    /// Power cut: nothing on the host gets to say goodbye.
    pub fn cut_power(&self) {
        hosts_sh(&["kill", &self.name]);
    }

    /// Power on after a cut, and wait until it has booted.
    pub fn power_on(&self) {
        hosts_sh(&["start", &self.name]);
        self.open_control_connection();
    }

    /// A file of the host, by its path on this machine: to look past sshd.
    pub fn file(&self, path: &str) -> PathBuf {
        let state = self.known_hosts.parent().expect("it is a file in a folder");
        state.join(&self.name).join("root").join(path.trim_start_matches('/'))
    }

    /// Power on after a cut, with a file gone from the disk, as if it had never been written there.
    pub fn power_on_without(&self, file: &str) {
        let path = self.file(file);
        fs::remove_file(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        self.power_on();
    }

    /// A clean shutdown, and on again.
    pub fn reboot(&self) {
        hosts_sh(&["reboot", &self.name]);
        self.open_control_connection();
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.control);
        if self.own {
            hosts_sh(&["down", &self.name]);
        }
    }
}

/// The host that all tests share. Nothing on it may be broken.
pub struct SharedHost;

impl SharedHost {
    /// The shared host: the one that `make test` booted, else one of `make hosts`.
    pub fn get() -> Arc<Machine> {
        static SHARED: OnceLock<Arc<Machine>> = OnceLock::new();
        let shared = SHARED.get_or_init(|| {
            let description = match env::var_os("SHIPIT_TEST_STATE") {
                Some(path) => PathBuf::from(path),
                None => {
                    let running = hosts_sh(&["describe"]);
                    let first = running.lines().next();
                    PathBuf::from(
                        first.expect("no test hosts are up: run `make test`, or `make hosts` first"),
                    )
                }
            };
            Machine::read(&description, false)
        });
        Arc::clone(shared)
    }
}

/// How a host of a test's own differs from the shared one.
#[derive(Clone, Debug, Default)]
pub struct HostOptions {
    /// `/home` is a file system of this size, such as `16m`.
    pub home_size: Option<String>,
    /// `/home` holds at most so many files.
    pub home_inodes: Option<u64>,
    /// What is installed there.
    pub tree: Tree,
}

/// The Debian tree that a host boots from; see `tree.sh`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Tree {
    /// What a host needs for shipit, and no Python.
    #[default]
    Usual,
    /// Python, nginx and uWSGI as well.
    Python,
}

/// A host for one test, removed when it and all its users are dropped.
#[derive(Debug)]
pub struct OwnHost {
    pub machine: Arc<Machine>,
}

impl OwnHost {
    /// Boots a host; `None` where the tests run against the developer's own machine.
    pub fn boot(options: HostOptions) -> Option<Self> {
        if external_host().is_some() {
            skip("SHIPIT_TEST_HOST is set, and the test needs a host of its own");
            return None;
        }
        let owner = std::process::id().to_string();
        let inodes = options.home_inodes.map(|n| n.to_string());
        let mut arguments = vec!["boot", "--owner", &owner];
        if let Some(size) = &options.home_size {
            arguments.extend(["--home-size", size]);
        }
        if let Some(inodes) = &inodes {
            arguments.extend(["--home-inodes", inodes]);
        }
        match options.tree {
            Tree::Usual => {}
            Tree::Python => arguments.extend(["--tree", "python"]),
        }
        let description = hosts_sh(&arguments);
        Some(Self { machine: Machine::read(Path::new(description.trim()), true) })
    }

    /// Root, who logs in there.
    pub fn root(&self) -> TestUser {
        TestUser::root_of(Arc::clone(&self.machine))
    }

    /// A fresh user on this host.
    pub fn user(&self, options: UserOptions) -> TestUser {
        TestUser::on(Arc::clone(&self.machine), options)
    }
}

/// The developer's own machine, as `SHIPIT_TEST_HOST` names it: user, host, port.
pub(super) fn external_host() -> Option<(String, String, u16)> {
    let text = env::var("SHIPIT_TEST_HOST").ok().filter(|text| !text.is_empty())?;
    let (user, host) = text.split_once('@').expect("SHIPIT_TEST_HOST has the form user@host[:port]");
    let (host, port) = match host.rsplit_once(':') {
        Some((host, port)) => (host, port.parse().expect("the port in SHIPIT_TEST_HOST is a number")),
        None => (host, 22),
    };
    Some((user.to_owned(), host.to_owned(), port))
}

/// The executable that the `build.sh` in `folder` makes of a Python program, for the hosts of [`Tree::Python`]. The same
/// sources are built once.
pub fn python_program(folder: &Path) -> PathBuf {
    PathBuf::from(script("python_program.sh", &[&folder.to_string_lossy()]).trim())
}

fn hosts_sh(arguments: &[&str]) -> String {
    script("hosts.sh", arguments)
}

/// What a script of this folder prints.
fn script(name: &str, arguments: &[&str]) -> String {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/hosts").join(name);
    let output = Command::new(&script)
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .unwrap_or_else(|e| panic!("cannot run {}: {e}", script.display()));
    let message = String::from_utf8_lossy(&output.stderr);
    if std::thread::panicking() && !output.status.success() {
        return String::new(); // the test's own failure is what matters; the next sweep takes the host down
    }
    assert!(output.status.success(), "{name} {} failed:\n{message}", arguments.join(" "));
    String::from_utf8_lossy(&output.stdout).into_owned()
}
