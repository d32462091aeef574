//! Linux users for tests.
use std::fmt::Write as _;
use std::fs;
use std::net::{SocketAddr, ToSocketAddrs};
use std::path::PathBuf;
use std::process::{Command, Output};
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use tempfile::TempDir;

use super::machine::{Machine, SharedHost, external_host};
use super::relay::Relay;
use super::{random_id, run_with_input, skip, stdout_of, wait_for};

/// What sudo asks of a user.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Sudo {
    /// Nothing: all commands go without a password.
    #[default]
    Passwordless,
    /// The user's password: [`TestUser::password`].
    Password,
    /// sudo refuses the user.
    None,
}

/// Whether a user's systemd keeps running when the user is not logged in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Lingering {
    /// It does, and it runs by the time the user is handed out.
    #[default]
    On,
    Off,
}

/// The program that sshd hands a user's commands to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Shell {
    #[default]
    Bash,
    Dash,
    Fish,
    Tcsh,
    Zsh,
    /// bash that runs no program by its path.
    Restricted,
}

impl Shell {
    fn path(self) -> &'static str {
        match self {
            Self::Bash => "/bin/bash",
            Self::Dash => "/bin/dash",
            Self::Fish => "/usr/bin/fish",
            Self::Tcsh => "/usr/bin/tcsh",
            Self::Zsh => "/usr/bin/zsh",
            Self::Restricted => "/bin/rbash",
        }
    }
}

#[derive(Clone, Copy, Debug, Default)]
pub struct UserOptions {
    pub sudo: Sudo,
    pub lingering: Lingering,
    pub shell: Shell,
    /// What the name of the home folder ends with. `TestUser::run` and `Project::root` know nothing of quoting: a test
    /// with such a folder says `~` where it can.
    pub home: &'static str,
}

/// A Linux user that belongs to one test. Dropping it removes the user, its processes, its rights, and the links in
/// `/usr/local/bin` and `/etc/default` that point into its home.
#[derive(Debug)]
pub struct TestUser {
    pub host: String,
    pub port: u16,
    pub user: String,
    pub home: String,
    /// The user's private key. `None` where the developer's own agent and keys are used.
    pub key_path: Option<PathBuf>,
    /// A known_hosts file with the host's right keys.
    pub known_hosts: PathBuf,
    /// What sudo wants to hear, for [`Sudo::Password`].
    pub password: Option<String>,
    first_port: u16,
    next_port: AtomicU16,
    /// The test host; `None` where this is the developer's own machine.
    pub(super) machine: Option<Arc<Machine>>,
    /// Units of sshd processes that are this user's alone.
    pub(super) servers: Vec<String>,
    folder: TempDir,
}

/// Ports of one user. Its range follows from its user id, so users of one host never share a port.
const PORTS: u16 = 10;

impl TestUser {
    /// A fresh user on the shared host; `None` where the developer's own machine cannot offer the options.
    pub fn new(options: UserOptions) -> Option<Self> {
        match external_host() {
            Some((user, host, port)) => Self::external(user, host, port, options),
            None => Some(Self::on(SharedHost::get(), options)),
        }
    }

    /// A fresh user on a test host.
    pub(super) fn on(machine: Arc<Machine>, options: UserOptions) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        let user = format!("s{}", random_id());
        let key_path = folder.path().join("id_ed25519");
        let made = Command::new("ssh-keygen")
            .args(["-q", "-t", "ed25519", "-N", "", "-C", &user, "-f"])
            .arg(&key_path)
            .status();
        assert!(made.is_ok_and(|status| status.success()), "ssh-keygen makes a key");
        let public_key = fs::read_to_string(key_path.with_extension("pub")).expect("the public key is there");
        // Each test may spoil its own copy.
        let known_hosts = folder.path().join("known_hosts");
        fs::copy(&machine.known_hosts, &known_hosts).expect("known_hosts can be copied");
        let password = (options.sudo == Sudo::Password).then(random_id);

        let script = creation(&user, public_key.trim(), options, password.as_deref());
        let id: u32 = machine.run(&script).trim().parse().expect("the user id is a number");
        // Below the range from which the kernel takes ports for outgoing connections.
        let first_port = 10_000 + u16::try_from(id % 2000).expect("it is small") * PORTS;
        Self {
            host: machine.ip.clone(),
            port: machine.port,
            home: format!("/home/{user}{}", options.home),
            user,
            key_path: Some(key_path),
            known_hosts,
            password,
            first_port,
            next_port: AtomicU16::new(0),
            machine: Some(machine),
            servers: Vec::new(),
            folder,
        }
    }

    /// Root of a test host.
    pub(super) fn root_of(machine: Arc<Machine>) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        let known_hosts = folder.path().join("known_hosts");
        fs::copy(&machine.known_hosts, &known_hosts).expect("known_hosts can be copied");
        Self {
            host: machine.ip.clone(),
            port: machine.port,
            user: "root".to_owned(),
            home: "/root".to_owned(),
            key_path: Some(machine.key.clone()),
            known_hosts,
            password: None,
            first_port: 9_000,
            next_port: AtomicU16::new(0),
            machine: Some(machine),
            servers: Vec::new(),
            folder,
        }
    }

    /// The user that `SHIPIT_TEST_HOST` names, when it is as the test wants it.
    fn external(user: String, host: String, port: u16, options: UserOptions) -> Option<Self> {
        if options.shell != Shell::default() || !options.home.is_empty() {
            skip("the account in SHIPIT_TEST_HOST is not the test's to change");
            return None;
        }
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        let mut this = Self {
            host,
            port,
            user,
            home: String::new(),
            key_path: None,
            known_hosts: folder.path().join("known_hosts"),
            password: None,
            first_port: 10_000
                + u16::from_str_radix(&random_id()[..4], 16).expect("they are hex digits") % 2000 * PORTS,
            next_port: AtomicU16::new(0),
            machine: None,
            servers: Vec::new(),
            folder,
        };
        this.trust(&known_keys(&this.host, this.port));
        let answer = this.run(
            "echo \"$HOME\"; sudo -n true 2>/dev/null && echo yes || echo no; \
             loginctl show-user \"$(id -un)\" --property=Linger --value 2>/dev/null || echo no",
        );
        let mut lines = answer.lines();
        let mut next = || lines.next().unwrap_or_default().to_owned();
        this.home = next();
        let (passwordless, lingering) = (next() == "yes", next() == "yes");
        let fits = match options.sudo {
            Sudo::Passwordless => passwordless,
            Sudo::Password | Sudo::None => false,
        };
        if !fits {
            skip(&format!("the user in SHIPIT_TEST_HOST cannot be had with sudo {:?}", options.sudo));
            return None;
        }
        if lingering != (options.lingering == Lingering::On) {
            skip(&format!("the user in SHIPIT_TEST_HOST does not have lingering {:?}", options.lingering));
            return None;
        }
        Some(this)
    }

    /// From now on the user logs in through `relay`, which must lead to its host. The host's keys stay known.
    pub fn go_through(&mut self, relay: &Relay) {
        self.move_to(relay.address().ip().to_string(), relay.port());
    }

    /// Logs in there from now on, where the same keys are shown.
    pub(super) fn move_to(&mut self, host: String, port: u16) {
        let text = fs::read_to_string(&self.known_hosts).expect("known_hosts is there");
        let keys: Vec<_> =
            text.lines().filter_map(|line| line.split_once(' ')).map(|(_, key)| key.to_owned()).collect();
        self.host = host;
        self.port = port;
        self.trust(&keys);
    }

    /// Makes `keys` the known keys of this user's host.
    pub(super) fn trust(&self, keys: &[String]) {
        let pattern = match self.port {
            22 => self.host.clone(),
            port => format!("[{}]:{port}", self.host),
        };
        let lines: String = keys.iter().map(|key| format!("{pattern} {key}\n")).collect();
        fs::write(&self.known_hosts, lines).expect("known_hosts can be written");
    }

    /// Where sshd listens, for a relay.
    pub fn address(&self) -> SocketAddr {
        let mut addresses = (&*self.host, self.port).to_socket_addrs().expect("the host's name resolves");
        addresses.next().expect("the host has an address")
    }

    /// `user@host`, as it stands in a manifest: with the port where it is not 22.
    pub fn destination(&self) -> String {
        match self.port {
            22 => format!("{}@{}", self.user, self.host),
            port => format!("{}@{}:{port}", self.user, self.host),
        }
    }

    /// An ssh command line that logs in as this user, up to the host's name: add a remote command.
    pub fn ssh_command(&self) -> Command {
        let mut command = Command::new("ssh");
        command
            .args(["-o", "BatchMode=yes", "-o", "LogLevel=ERROR", "-o", "ConnectTimeout=10"])
            .args(["-o", "GlobalKnownHostsFile=none", "-o"])
            .arg(format!("UserKnownHostsFile={}", self.known_hosts.display()));
        if let Some(key) = &self.key_path {
            command.args(["-F", "none", "-o", "IdentitiesOnly=yes", "-i"]).arg(key);
        }
        command.args(["-p", &self.port.to_string(), &format!("{}@{}", self.user, self.host)]);
        command
    }

    /// Runs a shell program as this user, over a connection of its own.
    pub fn ssh(&self, script: &str) -> Output {
        // A login without a session of systemd's may lack it.
        let script = format!("export XDG_RUNTIME_DIR=/run/user/$(id -u)\n{script}");
        run_with_input(self.ssh_command().arg("exec /bin/sh -s"), &script)
    }

    /// The same; it must succeed, and what it prints is returned.
    #[track_caller]
    pub fn run(&self, script: &str) -> String {
        stdout_of(&self.ssh(script), script)
    }

    /// Runs a shell program on the host as root.
    pub fn root(&self, script: &str) -> Output {
        match &self.machine {
            Some(machine) => machine.root(script),
            None => run_with_input(self.ssh_command().arg("exec sudo -n /bin/sh -s"), script),
        }
    }

    /// The same; it must succeed, and what it prints is returned.
    #[track_caller]
    pub fn run_as_root(&self, script: &str) -> String {
        stdout_of(&self.root(script), script)
    }

    /// What the host's journal has.
    #[track_caller]
    pub fn journal(&self, arguments: &str) -> String {
        self.await_journal();
        self.run_as_root(&format!("journalctl --quiet --no-pager {arguments}"))
    }

    /// Waits until journald has taken what programs have said by syslog(3) up to now: it may be a moment behind. Not by
    /// `journalctl --sync`, which waits for the disk, and has everybody wait who has something to say.
    #[track_caller]
    pub fn await_journal(&self) {
        let mark = random_id();
        self.run_as_root(&format!("logger --tag shipit-test-mark {mark}"));
        let seen = "journalctl --quiet --no-pager --output=cat --identifier=shipit-test-mark --lines=50";
        wait_for("the journal", Duration::from_secs(60), || self.run_as_root(seen).contains(&mark));
    }

    /// Whether the user's services run without a login (loginctl(1), enable-linger).
    pub fn lingers(&self) -> bool {
        let file = format!("/var/lib/systemd/linger/{}", self.user);
        self.run_as_root(&format!("test -e {file} && echo yes || echo no")) == "yes\n"
    }

    /// Kills whatever the user's logins have running, without a word. Services stay. Not for a developer's own machine:
    /// [`TestUser::key_path`] is `None` there.
    pub fn kill_sessions(&self) {
        self.run_as_root(&format!(
            "for session in $(loginctl show-user {} --property=Sessions --value); do \
             loginctl kill-session --signal=KILL $session; done",
            self.user
        ));
    }

    /// A port on the host that no other user gets.
    pub fn unique_port(&self) -> u16 {
        let used = self.next_port.fetch_add(1, Ordering::SeqCst);
        assert!(used < PORTS, "a test user has {PORTS} ports");
        self.first_port + used
    }

    /// A name for a service that is this user's alone: links in `/usr/local/bin` are for the whole host.
    pub fn service_name(&self, base: &str) -> String {
        match &self.machine {
            Some(_) => format!("{base}-{}", self.user),
            None => format!("{base}-{}-{}", self.user, self.first_port),
        }
    }
}

impl Drop for TestUser {
    fn drop(&mut self) {
        if let Some(machine) = self.machine.as_ref().filter(|_| self.user != "root") {
            let stop: String = self
                .servers
                .iter()
                .map(|unit| format!("systemctl stop {unit}.service; rm -rf /run/{unit}\n"))
                .collect();
            let output = machine.root(&(stop + &removal(&self.user)));
            // A power cut or a full disk may be what the test was about: the host goes down with what is left.
            if !output.status.success() && !std::thread::panicking() {
                skip(&format!(
                    "removing of user {}, which failed: {}",
                    self.user,
                    String::from_utf8_lossy(&output.stderr)
                ));
            }
        }
    }
}

/// The keys under which the developer knows a host: `type base64` each.
fn known_keys(host: &str, port: u16) -> Vec<String> {
    let name = if port == 22 { host.to_owned() } else { format!("[{host}]:{port}") };
    let found = Command::new("ssh-keygen").args(["-F", &name]).output().expect("ssh-keygen runs");
    let lines = String::from_utf8_lossy(&found.stdout).into_owned();
    let keys: Vec<_> = lines
        .lines()
        .filter(|line| !line.starts_with(['#', '@']))
        .filter_map(|line| line.split_once(' '))
        .map(|(_, key)| key.to_owned())
        .collect();
    assert!(!keys.is_empty(), "the host in SHIPIT_TEST_HOST is not in known_hosts: log in to it once");
    keys
}

/// Prints the new user's id.
fn creation(user: &str, public_key: &str, options: UserOptions, password: Option<&str>) -> String {
    // useradd does not wait for its lock, it fails. And it would give the id of a removed user to the next one,
    // whom logind then takes for the old one.
    let home = format!("/home/{user}{}", options.home).replace('\'', r"'\''");
    let mut script = format!(
        "set -eu\n\
         exec 9>/run/test-users.lock; flock 9\n\
         id=$(cat /var/lib/test-users 2>/dev/null || echo 2000)\n\
         echo $((id + 1)) >/var/lib/test-users\n\
         home='{home}'\n\
         useradd --uid $id --create-home --home-dir \"$home\" --shell {} {user} 9>&-\n",
        options.shell.path()
    );
    if let Some(password) = password {
        let _ = writeln!(script, "echo {user}:{password} | chpasswd 9>&-");
    }
    let _ = write!(
        script,
        "exec 9>&-\n\
         mkdir -m 700 \"$home/.ssh\"\n\
         echo '{public_key}' >\"$home/.ssh/authorized_keys\"\n\
         chown -R {user}: \"$home/.ssh\"\n"
    );
    let rule = match options.sudo {
        Sudo::Passwordless => Some("NOPASSWD: ALL"),
        Sudo::Password => Some("ALL"),
        Sudo::None => None,
    };
    if let Some(rule) = rule {
        // Renamed into place: sudo leaves a name with a dot unread, and never reads half a rule.
        let _ = writeln!(
            script,
            "echo '{user} ALL=(ALL) {rule}' >/etc/sudoers.d/{user}.new\n\
             mv /etc/sudoers.d/{user}.new /etc/sudoers.d/{user}"
        );
    }
    if options.lingering == Lingering::On {
        let _ = writeln!(script, "loginctl enable-linger {user}\nsystemctl start user@$id.service");
    }
    script.push_str("echo $id\n");
    script
}

fn removal(user: &str) -> String {
    format!(
        "id=$(id -u {user} 2>/dev/null) || exit 0\n\
         rm -f /etc/sudoers.d/{user}* /var/lib/systemd/linger/{user}\n\
         find /usr/local/bin /etc/default -maxdepth 1 -type l -lname '/home/{user}*' -delete\n\
         systemctl kill --signal=KILL user-$id.slice 2>/dev/null\n\
         systemctl stop user@$id.service user-runtime-dir@$id.service 2>/dev/null\n\
         pkill -KILL -u $id\n\
         systemctl reset-failed user@$id.service 2>/dev/null\n\
         exec 9>/run/test-users.lock; flock 9\n\
         [ ! -e /etc/doas.conf ] || sed -i '/ {user} /d' /etc/doas.conf\n\
         userdel --force --remove {user} 2>/dev/null 9>&-\n\
         ! id {user} >/dev/null 2>&1\n"
    )
}
