//! Keys of hosts in the manifest, how they get there, and the one flag that makes keys count for nothing: by the program
//! itself, against a private sshd.

use std::process::Command;

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
