//! What is written down about new hosts is what ssh writes; and what is not followed of ssh_config, or may be overlooked, is
//! said without being asked.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::server::Server;

/// An operator with a folder and a configuration for it, in which `FOLDER` stands for it.
struct Operator {
    folder: tempfile::TempDir,
}

struct Ran {
    code: i32,
    stderr: String,
}

impl Operator {
    fn new(server: &Server, config: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let config = config.replace("FOLDER", folder.path().to_str().unwrap());
        let usual = format!(
            "{config}\nHost *\n  HostName 127.0.0.1\n  Port {}\n  User root\n  IdentityFile {}\n  IdentitiesOnly yes\n  \
             GlobalKnownHostsFile none\n",
            server.port,
            server.path("id").display()
        );
        std::fs::write(path("config"), usual).unwrap();
        let unit = "[Service]\nExecStart=/bin/sleep 1000\n\n[Install]\nWantedBy=default.target\n";
        std::fs::write(path("api.service"), unit).unwrap();
        let manifest = "name: api\nunit: api.service\nenvironments:\n  prod:\n    hosts: [web1]\n";
        std::fs::write(path("deploy.yaml"), manifest).unwrap();
        Self { folder }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn run(&self, command: &mut Command) -> Ran {
        let output = command
            .env_clear()
            .env("HOME", self.folder.path())
            .env("PATH", std::env::var("PATH").unwrap())
            .current_dir(self.folder.path())
            .stdin(std::process::Stdio::null())
            .output()
            .unwrap();
        Ran { code: output.status.code().unwrap(), stderr: String::from_utf8(output.stderr).unwrap() }
    }

    fn ssh(&self) -> Ran {
        self.run(Command::new("ssh").args(["-F", "config", "-o", "BatchMode=yes", "web1", "true"]))
    }

    fn shipit(&self, arguments: &[&str]) -> Ran {
        let mut command = Command::new(env!("CARGO_BIN_EXE_shipit"));
        self.run(command.args(arguments).args(["--ssh-config", "config"]))
    }

    /// All that there is below the folder, but for what was there before.
    fn written(&self) -> Vec<(String, Vec<u8>)> {
        let mut found = Vec::new();
        let mut folders = vec![self.folder.path().to_owned()];
        while let Some(folder) = folders.pop() {
            for path in std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
                let name = path.strip_prefix(self.folder.path()).unwrap().to_str().unwrap().to_owned();
                if ["config", "api.service", "deploy.yaml"].contains(&&*name) {
                    continue;
                } else if path.is_dir() {
                    folders.push(path);
                } else {
                    found.push((name, std::fs::read(&path).unwrap()));
                }
            }
        }
        found.sort();
        found
    }
}

/// The hashed names in a file, taken out, and whether ssh-keygen finds the host by them.
fn without_hashes(text: &[u8], path: &Path, name: &str) -> (Vec<String>, bool) {
    let text = std::str::from_utf8(text).unwrap();
    let lines = text.lines().map(|line| match line.strip_prefix("|1|") {
        Some(rest) => {
            let (hash, key) = rest.split_once(' ').unwrap();
            let (salt, digest) = hash.split_once('|').unwrap();
            assert_eq!((salt.len(), digest.len()), (28, 28), "{line}");
            format!("HASHED {key}")
        }
        None => line.to_owned(),
    });
    let found = Command::new("ssh-keygen").args(["-F", name, "-f"]).arg(path).output().unwrap();
    (lines.collect(), found.status.success())
}

/// Names and texts.
type Files = &'static [(&'static str, &'static str)];

#[test]
fn what_is_appended_is_what_ssh_appends() {
    let Some(server) = Server::start("") else { return };
    let rules = "StrictHostKeyChecking accept-new\nUpdateHostKeys no\n";
    let cases: [(&str, &str, Files); 7] = [
        ("no file yet", "UserKnownHostsFile FOLDER/known", &[]),
        (
            "several files, and the second one is there",
            "UserKnownHostsFile FOLDER/known FOLDER/b",
            &[("b", "# b\n")],
        ),
        (
            "several files, and both are there",
            "UserKnownHostsFile FOLDER/a FOLDER/b",
            &[("a", "# a\n"), ("b", "# b\n")],
        ),
        ("a line without an end", "UserKnownHostsFile FOLDER/a", &[("a", "# a")]),
        ("an empty file", "UserKnownHostsFile FOLDER/a", &[("a", "")]),
        ("an alias", "HostKeyAlias The-Web\nUserKnownHostsFile FOLDER/a", &[("a", "x\n")]),
        ("hashed", "HashKnownHosts yes\nUserKnownHostsFile FOLDER/a FOLDER/b", &[("a", "# a\n")]),
    ];
    for (what, config, files) in cases {
        let config = format!("{rules}{config}");
        let operators = [Operator::new(&server, &config), Operator::new(&server, &config)];
        for operator in &operators {
            for (name, text) in files {
                std::fs::write(operator.path(name), text).unwrap();
            }
        }
        let [by_ssh, by_us] = &operators;
        let ran = by_ssh.ssh();
        assert_eq!(ran.code, 0, "{what}: {}", ran.stderr);
        let ran = by_us.shipit(&["status"]);
        assert!(
            ran.stderr.contains("warning: added the host key of root@127.0.0.1"),
            "{what}: {}",
            ran.stderr
        );
        if what == "hashed" {
            let name = format!("[127.0.0.1]:{}", server.port);
            let plain = |operator: &Operator| {
                operator
                    .written()
                    .into_iter()
                    .map(|(file, text)| {
                        let (lines, found) = without_hashes(&text, &operator.path(&file), &name);
                        (file, lines, found)
                    })
                    .collect::<Vec<_>>()
            };
            let (ours, of_ssh) = (plain(by_us), plain(by_ssh));
            assert_eq!(ours, of_ssh, "{what}");
            assert!(
                ours.iter()
                    .any(|(.., lines, found)| *found && lines.iter().any(|it| it.starts_with("HASHED")))
            );
        } else if what == "a line without an end" {
            // Up to OpenSSH 9.2, ssh goes on in that line, which was a comment: the key is lost. Later ones do as we do.
            let with_end = |(name, text): (String, Vec<u8>)| {
                (name, String::from_utf8(text).unwrap().replacen("# a[", "# a\n[", 1).into_bytes())
            };
            assert_eq!(
                by_us.written(),
                by_ssh.written().into_iter().map(with_end).collect::<Vec<_>>(),
                "{what}"
            );
            continue;
        } else {
            assert_eq!(by_us.written(), by_ssh.written(), "{what}");
        }
        if files.is_empty() {
            // ssh leaves that to the umask.
            let metadata = std::fs::metadata(by_us.path("known")).unwrap();
            assert_eq!(metadata.permissions().mode() & 0o7777, 0o600);
        }
        // Each knows the host by what the other has written: nothing more is added.
        let before = (by_us.written(), by_ssh.written());
        by_us.ssh();
        let ran = by_ssh.shipit(&["status"]);
        assert!(!ran.stderr.contains("added the host key"), "{what}: {}", ran.stderr);
        assert_eq!((by_us.written(), by_ssh.written()), before, "{what}");
    }
}

/// sshd tells all its keys once somebody is logged in; ssh would write them down.
#[test]
fn update_host_keys_changes_no_file() {
    let Some(server) = Server::start("") else { return };
    for rule in ["yes", "ask", "no"] {
        let config = format!("UpdateHostKeys {rule}\nUserKnownHostsFile FOLDER/known");
        let operator = Operator::new(&server, &config);
        let line = format!("[127.0.0.1]:{} {}", server.port, server.public_key("host_ed25519"));
        // One that ssh would take for outdated, and no line end: both would be put right by it.
        let outdated = format!("[127.0.0.1]:{} {}\n", server.port, server.public_key("id"));
        std::fs::write(operator.path("known"), format!("{outdated}{line}")).unwrap();
        let before = operator.written();
        let logins = server.log().matches("Accepted publickey").count();
        operator.shipit(&["status"]);
        assert_eq!(server.log().matches("Accepted publickey").count(), logins + 1, "{rule}");
        assert_eq!(operator.written(), before, "{rule}");
        if rule == "yes" {
            // The server did offer them: ssh acts on it.
            operator.ssh();
            assert_ne!(operator.written(), before);
        }
    }
}

#[test]
fn what_is_not_followed_is_said_once_without_being_asked() {
    let Some(server) = Server::start("") else { return };
    let config = "StrictHostKeyChecking no\nKnownHostsCommand /bin/true %H\nVerifyHostKeyDNS yes\nCheckHostIP yes\n\
                  NoHostAuthenticationForLocalhost yes\nHostbasedAuthentication yes\nPKCS11Provider /lib/none.so\n\
                  UserKnownHostsFile FOLDER/known";
    let operator = Operator::new(&server, config);
    std::fs::write(
        operator.path("known"),
        format!("[127.0.0.1]:{} {}\n", server.port, server.public_key("id")),
    )
    .unwrap();
    let before = operator.written();
    let ran = operator.shipit(&["status"]);
    // ssh would go on. So the warning has to say what happens in its place.
    assert_eq!(ran.code, 6, "{}", ran.stderr);
    assert_eq!(operator.written(), before);
    for setting in [
        "StrictHostKeyChecking no for web1, which is not followed: a new key is written down, and one that has changed is refused",
        "KnownHostsCommand for web1",
        "VerifyHostKeyDNS for web1",
        "CheckHostIP for web1",
        "NoHostAuthenticationForLocalhost for web1",
        "HostbasedAuthentication for web1",
        "PKCS11Provider for web1",
    ] {
        let line = format!("warning: ssh_config has {setting}");
        assert_eq!(ran.stderr.matches(&line).count(), 1, "{line}\n{}", ran.stderr);
    }
    // Who wants to hear of failures only does.
    let quiet = operator.shipit(&["status", "-q"]);
    assert!(!quiet.stderr.contains("warning: ssh_config"), "{}", quiet.stderr);
    // With a flag that says what to do about keys, the setting is of no account.
    let ran = operator.shipit(&["status", "--trust-any-host-key"]);
    assert!(!ran.stderr.contains("StrictHostKeyChecking"), "{}", ran.stderr);
    assert!(ran.stderr.contains("and it is trusted all the same"), "{}", ran.stderr);
    // A host that is usual has nothing of the kind.
    let usual = Operator::new(&server, "UserKnownHostsFile FOLDER/known\nGSSAPIAuthentication yes");
    std::fs::write(
        usual.path("known"),
        format!("[127.0.0.1]:{} {}\n", server.port, server.public_key("host_ed25519")),
    )
    .unwrap();
    let ran = usual.shipit(&["status"]);
    assert!(!ran.stderr.contains("warning: "), "{}", ran.stderr);
}

#[test]
fn a_marker_that_can_not_be_read_is_a_warning_and_an_old_line_is_none() {
    let Some(server) = Server::start("") else { return };
    let operator = Operator::new(&server, "UserKnownHostsFile FOLDER/known");
    let good = format!("[127.0.0.1]:{} {}\n", server.port, server.public_key("host_ed25519"));
    std::fs::write(operator.path("known"), format!("web9 1024 35 1234\n@revoked * ssh-rsa AAAA\n{good}"))
        .unwrap();
    let ran = operator.shipit(&["status"]);
    assert_eq!(ran.stderr.matches("known:2: ").count(), 1, "{}", ran.stderr);
    assert!(!ran.stderr.contains("known:1: "), "{}", ran.stderr);
    let ran = operator.shipit(&["status", "-v"]);
    assert!(ran.stderr.contains("known:1: "), "{}", ran.stderr);
}

#[test]
fn keys_that_pubkey_accepted_algorithms_leaves_out_are_not_offered() {
    let Some(server) = Server::start("") else { return };
    for (list, offered) in [
        ("rsa-sha2-512,rsa-sha2-256", false),
        ("-ssh-ed25519", false),
        ("^rsa-sha2-512", true),
        ("ssh-ed25519", true),
    ] {
        let config = format!("PubkeyAcceptedAlgorithms {list}\nUserKnownHostsFile FOLDER/known");
        let operator = Operator::new(&server, &config);
        let known = format!("[127.0.0.1]:{} {}\n", server.port, server.public_key("host_ed25519"));
        std::fs::write(operator.path("known"), known).unwrap();
        let accepted = || server.log().matches("Accepted publickey").count();
        let before = accepted();
        let by_ssh = operator.ssh().code == 0;
        let between = accepted();
        let ran = operator.shipit(&["status"]);
        assert_eq!((by_ssh, accepted() - between), (offered, usize::from(offered)), "{list}: {}", ran.stderr);
        assert_eq!(between - before, usize::from(offered));
        assert_eq!(
            ran.stderr.contains("PubkeyAcceptedAlgorithms of ssh_config leaves it out"),
            !offered,
            "{}",
            ran.stderr
        );
    }
    // What RSA keys sign with, by what the server was told.
    crate::server::keygen(&server.path("rsa"), "rsa", "");
    let keys = std::fs::read_to_string(server.path("authorized_keys")).unwrap();
    let rsa = std::fs::read_to_string(server.path("rsa.pub")).unwrap();
    std::fs::write(server.path("authorized_keys"), keys + &rsa).unwrap();
    for (list, signs) in [("-rsa-sha2-512", "rsa-sha2-256"), ("+ssh-rsa", "rsa-sha2-512")] {
        let key = server.path("rsa").display().to_string();
        let config =
            format!("PubkeyAcceptedAlgorithms {list}\nUserKnownHostsFile FOLDER/known\nIdentityFile {key}");
        let operator = Operator::new(&server, &config);
        let known = format!("[127.0.0.1]:{} {}\n", server.port, server.public_key("host_ed25519"));
        std::fs::write(operator.path("known"), known).unwrap();
        let before = server.log().len();
        operator.shipit(&["status"]);
        let log = server.log().split_off(before);
        assert!(log.contains(&format!("pkalg {signs}")), "{list}: {log}");
    }
}
