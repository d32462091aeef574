//! Keys of hosts in the manifest, how they get there, and the one flag that makes keys count for nothing: by the program
//! itself, against a private sshd.

use std::io::Write as _;
use std::process::{Command, Stdio};

use crate::server::Server;

/// A project whose one host is a server, and an operator whose own files know nothing.
struct Project<'a> {
    server: &'a Server,
}

struct Ran {
    code: i32,
    stdout: String,
    stderr: String,
}

impl Ran {
    #[track_caller]
    fn exits(&self, code: i32) -> &Self {
        assert_eq!(self.code, code, "{}{}", self.stdout, self.stderr);
        self
    }

    #[track_caller]
    fn says(&self, words: &str) -> &Self {
        let said = format!("{}{}", self.stdout, self.stderr).split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(said.contains(words), "{words:?} is not in {said}");
        self
    }
}

impl<'a> Project<'a> {
    fn new(server: &'a Server, known_hosts: &str) -> Self {
        let project = Self { server };
        project.manifest(known_hosts);
        let unit = "[Service]\nExecStart=/bin/sleep 1000\n\n[Install]\nWantedBy=default.target\n";
        std::fs::write(server.path("api.service"), unit).unwrap();
        std::fs::create_dir(server.path(".ssh")).unwrap();
        project
    }

    fn manifest(&self, known_hosts: &str) {
        let text = format!(
            "name: api\nunit: api.service\n{known_hosts}\nenvironments:\n  prod:\n    hosts: ['root@127.0.0.1:{}']\n",
            self.server.port
        );
        std::fs::write(self.server.path("deploy.yaml"), text).unwrap();
    }

    fn shipit(&self, arguments: &[&str]) -> Ran {
        let output = Command::new(env!("CARGO_BIN_EXE_shipit"))
            .env_clear()
            .env("HOME", self.server.path(""))
            .env("PATH", std::env::var("PATH").unwrap())
            .current_dir(self.server.path(""))
            .args(arguments)
            .args(["--ssh-config", "none", "-i"])
            .arg(self.server.path("id"))
            .output()
            .unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        Ran { code: output.status.code().unwrap(), stdout: text(output.stdout), stderr: text(output.stderr) }
    }

    /// The same on a terminal, where somebody types.
    fn on_a_terminal(&self, arguments: &[&str], typed: &str) -> Ran {
        let line = format!(
            "stty columns 200; exec {} {} --ssh-config none -i {}",
            env!("CARGO_BIN_EXE_shipit"),
            arguments.join(" "),
            self.server.path("id").display()
        );
        let mut child = Command::new("script")
            .args(["--quiet", "--return", "--echo", "never", "--command", &line, "/dev/null"])
            .env_clear()
            .env("HOME", self.server.path(""))
            .env("PATH", std::env::var("PATH").unwrap())
            .env("SHELL", "/bin/sh")
            .env("TERM", "dumb")
            .current_dir(self.server.path(""))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(typed.as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        let stdout = String::from_utf8(output.stdout).unwrap();
        Ran { code: output.status.code().unwrap(), stdout, stderr: String::new() }
    }

    fn line(&self, key: &str) -> String {
        format!("[127.0.0.1]:{} {}\n", self.server.port, self.server.public_key(key))
    }

    fn knows(&self, key: &str) {
        std::fs::write(self.server.path(".ssh/known_hosts"), self.line(key)).unwrap();
    }

    /// Whether the host was believed, by whether it was told a name.
    fn logins(&self) -> usize {
        self.server.log().matches("Accepted publickey for root").count()
    }
}

#[test]
fn a_scan_shows_the_keys_and_writes_them_once_somebody_agrees() {
    let Some(server) = Server::start("") else { return };
    let project = Project::new(&server, "known_hosts: ./known_hosts.pinned");
    let file = server.path("known_hosts.pinned");
    // A deploy must not go on as if nothing were pinned.
    project.shipit(&["status"]).exits(2).says("known_hosts.pinned").says("hosts --scan");
    let shown = project.shipit(&["hosts", "--scan"]);
    let print = |key: &str| {
        let output =
            Command::new("ssh-keygen").arg("-lf").arg(server.path(&format!("{key}.pub"))).output().unwrap();
        String::from_utf8(output.stdout).unwrap().split(' ').nth(1).unwrap().to_owned()
    };
    for (kind, key) in [("ssh-ed25519", "host_ed25519"), ("ecdsa-sha2-nistp256", "host_ecdsa")] {
        shown.exits(0).says(&format!("{kind} {} new", print(key)));
    }
    shown.says("Nothing was written");
    assert!(!file.exists());
    project.shipit(&["hosts", "--scan", "--yes"]).exits(0).says("added 2 keys to");
    let both = project.line("host_ed25519") + &project.line("host_ecdsa");
    assert_eq!(std::fs::read_to_string(&file).unwrap(), both);
    let again = project.shipit(&["hosts", "--scan", "--yes"]);
    again.exits(0).says(&format!("{} pinned", print("host_ed25519")));
    assert_eq!(std::fs::read_to_string(&file).unwrap(), both);
    // Nobody was named to the host in all this.
    assert!(!server.log().contains("userauth"), "{}", server.log());
    project.shipit(&["status"]);
    assert_eq!(project.logins(), 1);
}

#[test]
fn on_a_terminal_a_scan_asks_before_it_writes() {
    let Some(server) = Server::start("") else { return };
    let project = Project::new(&server, "known_hosts: ./known_hosts.pinned");
    let file = server.path("known_hosts.pinned");
    let question = "Compare the fingerprints with what the hosts' administrator says. Add the new ones to \
                    ./known_hosts.pinned? [y/N]";
    for typed in ["n\n", "\n", "yesterday\n"] {
        project
            .on_a_terminal(&["hosts", "--scan"], typed)
            .exits(0)
            .says(question)
            .says("Nothing was written");
        assert!(!file.exists(), "{typed:?}");
    }
    project.on_a_terminal(&["hosts", "--scan"], "y\n").exits(0).says(question).says("added 2 keys to");
    let both = project.line("host_ed25519") + &project.line("host_ecdsa");
    assert_eq!(std::fs::read_to_string(&file).unwrap(), both);
    // There is nothing to ask about.
    let again = project.on_a_terminal(&["hosts", "--scan"], "");
    again.exits(0).says("pinned");
    assert!(!again.stdout.contains("Add the new ones"), "{}", again.stdout);
}

#[test]
fn a_scan_for_programs_is_one_object_a_host_and_asks_nothing() {
    let Some(server) = Server::start("") else { return };
    let project = Project::new(&server, "known_hosts: pinned");
    let scan = |arguments: &[&str]| {
        let ran = project.shipit(&[&["hosts", "--scan", "--format", "json"], arguments].concat());
        let lines: Vec<serde_json::Value> =
            ran.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let [host] = &lines[..] else { panic!("{}", ran.stdout) };
        (ran, host.clone())
    };
    let (ran, host) = scan(&[]);
    ran.exits(0);
    assert_eq!(host["v"], 1);
    assert_eq!(host["host"], format!("root@127.0.0.1:{}", server.port));
    assert_eq!(host["known_as"], format!("[127.0.0.1]:{}", server.port));
    let keys = host["keys"].as_array().unwrap();
    assert_eq!((&keys[0]["type"], &keys[0]["standing"]), (&"ssh-ed25519".into(), &"new".into()));
    assert_eq!(keys[0]["line"], project.line("host_ed25519").trim_end());
    assert!(keys[0]["fingerprint"].as_str().unwrap().starts_with("SHA256:"));
    let asked = project.on_a_terminal(&["hosts", "--scan", "--format", "json"], "y\n");
    assert!(!asked.exits(0).stdout.contains("[y/N]"));
    assert!(!server.path("pinned").exists());

    // One of them is another than the one that is pinned.
    std::fs::write(server.path("pinned"), project.line("id")).unwrap();
    let (ran, host) = scan(&["--yes"]);
    ran.exits(6).says("added 1 key to");
    let standings: Vec<_> = host["keys"].as_array().unwrap().iter().map(|key| &key["standing"]).collect();
    assert_eq!(standings, ["contradicted", "new"]);
    let (ran, host) = scan(&[]);
    ran.exits(6);
    assert_eq!(host["keys"][1]["standing"], "pinned");
}

#[test]
fn a_scan_replaces_nothing() {
    let Some(server) = Server::start("") else { return };
    let project = Project::new(&server, "known_hosts: pinned");
    std::fs::write(server.path("pinned"), project.line("id")).unwrap();
    let ran = project.shipit(&["hosts", "--scan", "--yes"]);
    ran.exits(6).says("NOT THE ONE THAT IS PINNED").says("added 1 key to");
    let expected = project.line("id") + &project.line("host_ecdsa");
    assert_eq!(std::fs::read_to_string(server.path("pinned")).unwrap(), expected);
}

#[test]
fn pinned_keys_take_the_place_of_the_users_files() {
    let Some(server) = Server::start("") else { return };
    let project = Project::new(&server, "");
    let pin = |key: &str| {
        project.manifest(&format!("known_hosts:\n  - '{}'", project.line(key).trim_end()));
    };
    project.knows("host_ed25519");
    pin("id");
    project.shipit(&["status"]).exits(6).says("is not the one on file");
    assert_eq!(project.logins(), 0);
    project.knows("id");
    pin("host_ed25519");
    project.shipit(&["status"]);
    assert_eq!(project.logins(), 1);
    // A host that was left out is not looked up elsewhere, nor added.
    project.knows("host_ed25519");
    let other = server.public_key("host_ed25519");
    project.manifest(&format!("known_hosts: ['web1 {other}']"));
    project.shipit(&["status", "--accept-new-host-keys"]).exits(6).says("hosts --scan");
    assert_eq!(project.logins(), 1);
    // The environment's own come before those of the manifest.
    let text = std::fs::read_to_string(server.path("deploy.yaml")).unwrap();
    let own = format!("{text}    known_hosts: ['{}']\n", project.line("host_ed25519").trim_end());
    std::fs::write(server.path("deploy.yaml"), own).unwrap();
    project.shipit(&["status"]);
    assert_eq!(project.logins(), 2);
    // An administrator who has heard of a lost key need not wait for the manifest.
    let revoked = format!("@revoked * {}\n", server.public_key("host_ed25519"));
    std::fs::write(server.path(".ssh/known_hosts"), revoked).unwrap();
    project.shipit(&["status"]).exits(6).says("has been revoked");
    assert_eq!(project.logins(), 2);
}

#[test]
fn a_pinned_line_that_is_damaged_is_not_passed_over() {
    let Some(server) = Server::start("") else { return };
    let project = Project::new(&server, "known_hosts: pinned");
    let damaged = project.line("host_ed25519") + "web2 ssh-ed25519 AAAA\n";
    std::fs::write(server.path("pinned"), damaged).unwrap();
    project.shipit(&["status"]).exits(2).says("pinned:2: the key is not of the type");
    assert_eq!(project.logins(), 0);
}

#[test]
fn only_a_flag_makes_keys_count_for_nothing_and_it_warns_each_time() {
    let Some(server) = Server::start("") else { return };
    let project = Project::new(&server, "");
    project.knows("id");
    let known = std::fs::read_to_string(server.path(".ssh/known_hosts")).unwrap();
    project.shipit(&["status"]).exits(6);
    for count in 1..=2 {
        let ran = project.shipit(&["status", "--trust-any-host-key"]);
        ran.says("warning: --trust-any-host-key: no host proves who it is");
        assert_eq!(project.logins(), count, "{}", ran.stderr);
    }
    assert_eq!(std::fs::read_to_string(server.path(".ssh/known_hosts")).unwrap(), known);
    // Not even so: somebody has said that this key is in the wrong hands.
    let revoked = format!("@revoked * {}\n", server.public_key("host_ed25519"));
    std::fs::write(server.path(".ssh/known_hosts"), revoked).unwrap();
    project.shipit(&["status", "--trust-any-host-key"]).exits(6).says("has been revoked");
    assert_eq!(project.logins(), 2);
}
