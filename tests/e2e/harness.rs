//! What an operator has: a project folder with a manifest, and `shipit` to run in it.
#![allow(dead_code)] // not every kind of project has its test yet

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;

use crate::hosts::{TestUser, wait_for};
pub use crate::running::{Child, Ran};

/// A folder with a service to deploy, and a home folder for the operator, whose own is never touched.
#[derive(Debug)]
pub struct Project {
    folder: TempDir,
    /// The service's name, the test user's alone.
    pub name: String,
    /// Where the service answers on the host.
    pub port: u16,
    pub key: Option<PathBuf>,
    scope: Scope,
    /// What `root` of the manifest says.
    root: Option<String>,
}

/// Whose service manager runs a project's service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Scope {
    User,
    System,
}

impl Scope {
    fn systemctl(self) -> &'static str {
        match self {
            Self::User => "systemctl --user",
            Self::System => "systemctl",
        }
    }

    fn units(self) -> &'static str {
        match self {
            Self::User => "~/.config/systemd/user",
            Self::System => "/etc/systemd/system",
        }
    }
}

impl Project {
    /// A project that deploys a small shell service, which logs and sleeps, as `user`.
    pub fn new(user: &TestUser) -> Self {
        let this = Self::empty(user);
        let name = &this.name;
        this.write("service.sh", "#!/bin/sh\necho \"started in $DEV_LOCATION\"\nexec sleep infinity\n");
        this.make_executable("service.sh");
        this.write(
            &format!("{name}.service"),
            &format!(
                "[Unit]\nDescription={name}\n\n[Service]\nEnvironmentFile=/etc/default/{name}.conf\n\
                 ExecStart=/usr/local/bin/{name}\nRestart=always\n\n[Install]\nWantedBy=default.target\n"
            ),
        );
        this.write(&format!("{name}.conf"), &format!("DEV_LOCATION='North Carolina'\nPORT={}\n", this.port));
        this.write(
            "deploy.yaml",
            &format!(
                "name: {name}\nbinary: service.sh\nunit: {name}.service\nenv_file: {name}.conf\nsettle: 1s\n\
                 environments:\n  prod:\n    hosts: [{}]\n",
                user.destination()
            ),
        );
        this
    }

    /// A deploy as short as it can be, for a test that makes many.
    pub fn quick(user: &TestUser) -> Self {
        let this = Self::new(user);
        this.edit("deploy.yaml", "settle: 1s", "settle: 0s");
        this
    }

    /// A copy of a folder of `examples/`, with this manifest of it, for a host of the test's own.
    pub fn example(user: &TestUser, name: &str, manifest: &str) -> Self {
        let mut this = Self::empty(user);
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples").join(name);
        let copied = Command::new("cp").arg("-R").arg(source.join(".")).arg(this.folder.path()).status();
        assert!(copied.is_ok_and(|status| status.success()), "{} can be copied", source.display());
        let text = fs::read_to_string(this.path(manifest)).unwrap();
        let value = |key| text.lines().find_map(|line| line.strip_prefix(key)).map(str::to_owned);
        this.name = value("name: ").unwrap();
        if value("scope: ").as_deref() == Some("system") {
            this.scope = Scope::System;
        }
        this.root = value("root: ");
        this.write("deploy.yaml", &text);
        this.edit("deploy.yaml", "deploy@host.example.com", &user.destination());
        this
    }

    /// Has it deployed as a service of the system's, run by `nobody`. Its traces are the test's to remove:
    /// [`remove_from_system`](Self::remove_from_system).
    pub fn into_system(mut self) -> Self {
        self.scope = Scope::System;
        self.edit("deploy.yaml", "binary:", "scope: system\nbinary:");
        let unit = format!("{}.service", self.name);
        self.edit(&unit, "Restart=always", "Restart=always\nUser=nobody");
        self.edit(&unit, "default.target", "multi-user.target");
        self
    }

    /// Removes what a deploy to the system's scope has made.
    pub fn remove_from_system(&self, user: &TestUser) {
        let name = &self.name;
        user.root(&format!(
            "systemctl disable --now {name}.service; systemctl stop '{name}*'; rm -rf /opt/{name} /etc/systemd/system/*{name}* \
             /etc/systemd/system/*.wants/*{name}* /usr/local/bin/{name} /etc/default/{name}.conf; systemctl daemon-reload"
        ));
    }

    /// The same with `examples/simple_api` as the service, asked over HTTP. Its release build must be there.
    pub fn simple_api(user: &TestUser) -> Self {
        let this = Self::new(user);
        let built =
            Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/simple_api/target/release/simple_api");
        fs::copy(&built, this.path("service.sh"))
            .unwrap_or_else(|e| panic!("{}: {e}; `make test` builds it", built.display()));
        let health = format!("health:\n  http: http://localhost:{}/\nsettle: 1s\n", this.port);
        this.edit("deploy.yaml", "settle: 1s\n", &health);
        this
    }

    fn empty(user: &TestUser) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir_all(folder.path().join("home/.ssh")).unwrap();
        fs::copy(&user.known_hosts, folder.path().join("home/.ssh/known_hosts")).unwrap();
        Self {
            folder,
            name: user.service_name("api"),
            port: user.unique_port(),
            key: user.key_path.clone(),
            scope: Scope::User,
            root: None,
        }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).unwrap();
    }

    /// Replaces `from`, which must be there, in a file.
    #[track_caller]
    pub fn edit(&self, name: &str, from: &str, to: &str) {
        let text = fs::read_to_string(self.path(name)).unwrap();
        assert!(text.contains(from), "{name} has no {from:?}:\n{text}");
        self.write(name, &text.replace(from, to));
    }

    pub fn make_executable(&self, name: &str) {
        use std::os::unix::fs::PermissionsExt;
        fs::set_permissions(self.path(name), fs::Permissions::from_mode(0o755)).unwrap();
    }

    /// `shipit COMMAND...` in the project's folder, with nothing of the developer's environment but the agent, and
    /// that only where the developer's own machine is deployed to.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_shipit"));
        command
            .args(arguments)
            .current_dir(self.folder.path())
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("USER", "ada")
            .env("HOME", self.path("home"))
            .stdin(Stdio::null());
        match &self.key {
            Some(key) => {
                command.arg("--identity").arg(key);
            }
            None => {
                command.envs(std::env::var_os("SSH_AUTH_SOCK").map(|socket| ("SSH_AUTH_SOCK", socket)));
            }
        }
        command
    }

    /// Runs `shipit COMMAND...` to its end.
    pub fn shipit(&self, arguments: &[&str]) -> Ran {
        Ran::of(&self.command(arguments).output().unwrap())
    }

    /// Deploys, which must work.
    #[track_caller]
    pub fn deploy(&self) -> Ran {
        self.shipit(&["deploy", "prod"]).exits(0)
    }

    /// Runs a command on a terminal of its own, types the answers one by one as their questions appear, and returns
    /// what was on the terminal. No question: nothing is typed.
    pub fn shipit_on_a_terminal(&self, arguments: &[&str], answers: &[(&str, &str)]) -> Ran {
        let mut child = self.spawn_on_a_terminal(arguments);
        for (question, answer) in answers {
            child.wait_for_output(question);
            child.write(&format!("{answer}\n"));
        }
        child.wait()
    }

    /// Starts a command on a terminal of its own.
    pub fn spawn_on_a_terminal(&self, arguments: &[&str]) -> Child {
        self.spawn_on("dumb", arguments)
    }

    /// The same on one that can be drawn on.
    pub fn spawn_on_a_drawing_terminal(&self, arguments: &[&str]) -> Child {
        self.spawn_on("xterm", arguments)
    }

    fn spawn_on(&self, terminal: &str, arguments: &[&str]) -> Child {
        let mut line = format!("stty columns 200; exec {}", env!("CARGO_BIN_EXE_shipit"));
        for argument in arguments {
            line.push_str(&format!(" '{argument}'"));
        }
        if let Some(key) = &self.key {
            line.push_str(&format!(" --identity '{}'", key.display()));
        }
        let mut command = Command::new("script");
        command
            .args(["--quiet", "--return", "--echo", "never", "--command", &line, "/dev/null"])
            .current_dir(self.folder.path())
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("USER", "ada")
            .env("HOME", self.path("home"))
            .env("TERM", terminal)
            .env("SHELL", "/bin/sh");
        Child::spawn(&mut command)
    }

    /// The root of the service on the host.
    pub fn root(&self, user: &TestUser) -> String {
        match (&self.root, self.scope) {
            (Some(root), _) => root.clone(),
            (None, Scope::User) => format!("{}/.local/share/shipit/{}", user.home, self.name),
            (None, Scope::System) => format!("/opt/{}", self.name),
        }
    }

    /// A property of the unit, as `systemctl show` has it.
    #[track_caller]
    pub fn property(&self, user: &TestUser, key: &str) -> String {
        let name = &self.name;
        user.run(&format!("{} show -p {key} --value {name}.service", self.scope.systemctl()))
            .trim()
            .to_owned()
    }

    /// `systemctl`, as the service's manager wants it.
    pub fn systemctl(&self) -> &'static str {
        self.scope.systemctl()
    }

    /// The folder on the host that units are linked from.
    pub fn units(&self) -> &'static str {
        self.scope.units()
    }

    /// The release that `current` points to.
    #[track_caller]
    pub fn current(&self, user: &TestUser) -> String {
        user.run(&format!("readlink {}/current", self.root(user))).trim().to_owned()
    }

    /// How the service stands on the host.
    #[track_caller]
    pub fn standing(&self, user: &TestUser) -> Standing {
        let (root, name) = (self.root(user), &self.name);
        let (systemctl, units) = (self.scope.systemctl(), self.scope.units());
        let text = user.run(&format!(
            "readlink {root}/current || echo -
             {systemctl} show -p InvocationID --value {name}.service
             for link in /usr/local/bin/{name} /etc/default/{name}.conf {units}/*{name}* \
                 {units}/*.wants/*{name}*; do
                 [ -L $link ] && echo \"$link -> $(readlink $link)\"
             done
             {systemctl} show -p LoadState,ActiveState,SubState,UnitFileState {name}.service
             echo leftovers
             ls -d {root}/pending {root}/.*.new {units}/shipit-*{name}* \
                 {units}/*/shipit-*{name}* {units}/.shipit-* 2>/dev/null; true"
        ));
        let (text, leftovers) = text.split_once("leftovers\n").unwrap();
        let mut parts = text.splitn(3, '\n').map(str::to_owned);
        let mut next = || parts.next().unwrap();
        Standing { current: next(), invocation: next(), rest: next(), leftovers: leftovers.to_owned() }
    }

    /// Nothing of the service has ever been on the host.
    #[track_caller]
    pub fn assert_untouched(&self, user: &TestUser) {
        let (name, root, home) = (&self.name, self.root(user), &user.home);
        let found = user.run_as_root(&format!(
            "ls -d {root} /usr/local/bin/{name} /etc/default/{name}.conf {home}/.config/systemd/user/*{name}* \
             2>/dev/null; true"
        ));
        assert_eq!(found, "");
    }

    /// P1: `current` leads to a release with every file of its record, each with the hash that stands there.
    #[track_caller]
    pub fn assert_current_is_complete(&self, user: &TestUser) {
        let text = user.run_as_root(&format!(
            "cd {}/current/ && cat release.json && echo && find . -type f -exec sha256sum {{}} +",
            self.root(user)
        ));
        let (record, sums) = text.split_once('\n').unwrap();
        let record: serde_json::Value = serde_json::from_str(record).unwrap();
        for artifact in record["artifacts"].as_array().unwrap() {
            let (hash, path) = (artifact["sha256"].as_str().unwrap(), artifact["path"].as_str().unwrap());
            // sha256sum writes a backslash twice.
            let line = format!("{hash}  ./{}\n", path.replace('\\', r"\\"));
            assert!(sums.contains(&line), "{path} is not as recorded:\n{text}");
        }
    }

    /// Whether nobody holds the service's lock.
    pub fn lock_is_free(&self, user: &TestUser) -> bool {
        let lock = format!("{}/lock", self.root(user));
        user.run_as_root(&format!("[ ! -e {lock} ] || flock -n {lock} true && echo free; true")) == "free\n"
    }

    /// Waits until the host has noticed the end of the last run's client, and has nothing of the moment left.
    #[track_caller]
    pub fn wait_until_left(&self, user: &TestUser) {
        let holder = format!("{}/lock.holder", self.root(user));
        wait_for("the lock to be free", Duration::from_secs(30), || {
            user.run_as_root(&format!("ls {holder} 2>/dev/null; true")).is_empty() && self.lock_is_free(user)
        });
    }

    /// Holds the service's lock as a deploy of `who` does; until dropped.
    pub fn lock_by(&self, user: &TestUser, who: &str) -> Child {
        let root = self.root(user);
        let holder =
            format!("{{\"who\":\"{who}\",\"since\":\"2026-11-20T03:00:00Z\",\"command\":\"deploy\"}}");
        let script = format!(
            "exec 9>>{root}/lock; flock 9; echo '{holder}' >{root}/lock.holder; echo held; read -r _; \
             rm {root}/lock.holder"
        );
        let mut child = Child::spawn(user.ssh_command().arg(&script));
        child.wait_for_output("held");
        child
    }

    /// What the service answers, asked on the host, without curl.
    #[track_caller]
    pub fn answer(&self, user: &TestUser) -> String {
        let script = format!(
            "exec bash -c 'exec 3<>/dev/tcp/127.0.0.1/{}; printf \"GET / HTTP/1.0\\r\\n\\r\\n\" >&3; cat <&3'",
            self.port
        );
        user.run(&script)
    }
}

/// How a service stands on a host: what must be as it was once a deploy has failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// Where `current` points to; "-" for nowhere.
    pub current: String,
    /// Every link that a deploy makes, with where it points to; and whether the unit is enabled, and up.
    pub rest: String,
    /// Which start of the unit this is.
    pub invocation: String,
    /// What an activation leaves behind that is not over.
    pub leftovers: String,
}

impl Standing {
    /// The old release runs again, started anew, and all is as it was.
    #[track_caller]
    pub fn is_back_at(&self, before: &Self) {
        self.is_as(before);
        assert_ne!(self.invocation, before.invocation, "the old release was not started again");
    }

    /// All is as it was; the service itself may have been started anew or not.
    #[track_caller]
    pub fn is_as(&self, before: &Self) {
        assert_eq!(self.leftovers, "");
        assert_eq!((&self.current, &self.rest), (&before.current, &before.rest));
    }

    /// As if there had never been a deploy: nothing runs, nothing is enabled, no link is there.
    #[track_caller]
    pub fn is_not_deployed(&self) {
        assert_eq!(self.leftovers, "");
        assert_eq!(self.current, "-");
        assert!(!self.rest.contains("->"), "a link is left:\n{}", self.rest);
        assert!(self.rest.contains("LoadState=not-found\nActiveState=inactive\n"), "{}", self.rest);
    }
}
