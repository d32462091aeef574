//! Those who deploy: each with a user on the host and a folder with a service of its own.
use std::cell::RefCell;
use std::fs::{self, File};
use std::net::SocketAddr;
use std::os::unix::fs::{FileExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant, SystemTime};

use tempfile::TempDir;

use crate::hosts::TestUser;
use crate::hosts::relay::Relay;
use crate::{Case, Work};

/// The size of the binary.
const SIZE: u64 = 21_000_000;

/// How many files the folder has.
const FILES: usize = 5000;

/// How much of it changes.
const BLOCK: usize = 64 * 1024;

/// Who deploys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tool {
    Shipit,
    Article,
    Script,
}

impl Tool {
    pub const ALL: [Self; 3] = [Self::Shipit, Self::Article, Self::Script];

    pub fn name(self) -> &'static str {
        match self {
            Self::Shipit => "shipit",
            Self::Article => "3 scp + ssh",
            Self::Script => "rsync script",
        }
    }
}

/// One tool, ready to deploy.
pub struct Contender {
    pub tool: Tool,
    pub work: Work,
    user: TestUser,
    name: String,
    folder: TempDir,
    random: RefCell<Random>,
    /// rsync goes by whole seconds, and there are several changes in one.
    modified: SystemTime,
    location: u32,
    /// What ran on the host when it was last looked at.
    seen: String,
}

impl Contender {
    pub fn new(tool: Tool, user: TestUser, work: Work) -> Self {
        let name = user.service_name("api");
        let folder = tempfile::tempdir().unwrap();
        let random = RefCell::new(Random(0x9e37_79b9_7f4a_7c15));
        let modified = SystemTime::now() - Duration::from_secs(100_000);
        let mut this =
            Self { tool, work, user, name, folder, random, modified, location: 0, seen: String::new() };
        let port = this.user.unique_port();
        fs::create_dir(this.path(".ssh")).unwrap();
        this.write_binary();
        if work == Work::Folder {
            this.write_folder();
        }
        let name = &this.name;
        this.write(
            &format!("{name}.service"),
            &format!(
                "[Unit]\nDescription=Simple API Service\nAfter=network.target\n\n[Service]\n\
                 EnvironmentFile=/etc/default/{name}.conf\nExecStart=/usr/local/bin/{name}\nRestart=always\n\n\
                 [Install]\nWantedBy=default.target\n"
            ),
        );
        this.write(&format!("{name}.conf"), &format!("DEV_LOCATION=0000\nPORT={port}\n"));
        this
    }

    /// Where sshd listens.
    pub fn host(&self) -> SocketAddr {
        self.user.address()
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).unwrap();
    }

    /// The example service, made as large as a program with a runtime inside by bytes that do not shrink. What stands
    /// behind the end of an ELF file is nobody's business.
    fn write_binary(&mut self) {
        let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(
            || Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/simple_api/target"),
            PathBuf::from,
        );
        let built = target.join("release/simple_api");
        let mut bytes =
            fs::read(&built).unwrap_or_else(|e| panic!("{}: {e}; `make bench` builds it", built.display()));
        let start = bytes.len();
        if self.work == Work::Program {
            bytes.resize(usize::try_from(SIZE).unwrap(), 0);
        }
        self.random.borrow_mut().fill(&mut bytes[start..]);
        let path = self.path(&self.name);
        fs::write(&path, bytes).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    /// Files of all sizes up to 8 KB, in folders of a hundred.
    fn write_folder(&self) {
        for number in 0..FILES {
            let folder = self.path(&format!("site/{}", number / 100));
            fs::create_dir_all(&folder).unwrap();
            let mut bytes = vec![0; 1 + number * 37 % 8000];
            self.random.borrow_mut().fill(&mut bytes);
            fs::write(folder.join(format!("{number}.html")), bytes).unwrap();
        }
    }

    /// As before the first deploy.
    pub fn clean(&mut self) {
        let name = &self.name;
        self.user.run(&format!(
            "systemctl --user disable --now --quiet {name}.service 2>/dev/null\n\
             sudo -n rm -f /usr/local/bin/{name} /etc/default/{name}.conf\n\
             rm -rf .local/share/shipit .config/systemd {name}*\n\
             systemctl --user daemon-reload\n\
             systemctl --user reset-failed"
        ));
    }

    /// Makes the files on this side what the case is about.
    pub fn change(&mut self, case: Case) {
        let changed = match case {
            Case::First | Case::Unchanged => return,
            Case::Block => {
                let mut block = vec![0; BLOCK];
                self.random.borrow_mut().fill(&mut block);
                let file = File::options().write(true).open(self.path(&self.name)).unwrap();
                file.write_all_at(&block, SIZE / 2 / BLOCK as u64 * BLOCK as u64).unwrap();
                file
            }
            Case::EnvFile => {
                self.location += 1;
                let path = self.path(&format!("{}.conf", self.name));
                let file = File::options().write(true).open(path).unwrap();
                file.write_all_at(format!("DEV_LOCATION={:04}\n", self.location).as_bytes(), 0).unwrap();
                file
            }
            Case::OneFile => {
                let mut bytes = vec![0; 1000];
                self.random.borrow_mut().fill(&mut bytes);
                let path = self.path("site/17/1717.html");
                fs::write(&path, bytes).unwrap();
                File::options().write(true).open(path).unwrap()
            }
        };
        self.modified += Duration::from_secs(1);
        changed.set_modified(self.modified).unwrap();
    }

    /// Deploys, and says how long it took.
    pub fn run(&self, relay: Option<&Relay>) -> Duration {
        let address = relay.map_or_else(|| self.user.address(), Relay::address);
        self.write_known_hosts(address);
        let mut command = match self.tool {
            Tool::Shipit => self.shipit(address),
            Tool::Article => self.script("article.sh", address),
            Tool::Script => self.script("deploy.sh", address),
        };
        // Not a pipe: a control connection may hold on to it.
        let output = self.path("output");
        let log = File::create(&output).unwrap();
        command
            .current_dir(self.folder.path())
            .env("HOME", self.folder.path())
            .env_remove("SSH_AUTH_SOCK")
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log);
        let begun = Instant::now();
        let status = command.status().unwrap();
        let time = begun.elapsed();
        if !status.success() {
            panic!("{}: {status}\n{}", self.tool.name(), fs::read_to_string(output).unwrap());
        }
        time
    }

    /// Waits until the host has done what shipit leaves to it when a run is over (`src/host/activation/spare.sh`), so that it
    /// slows down nobody else's deploy.
    pub fn settle(&self) {
        if self.tool == Tool::Shipit {
            self.user.run(
                "while systemctl --user list-units --plain --no-legend 'shipit-*' | grep -q .; do sleep 0.02; done",
            );
        }
    }

    fn shipit(&self, address: SocketAddr) -> Command {
        let name = &self.name;
        let (user, host) = (&self.user.user, address);
        self.write(
            "deploy.yaml",
            &format!(
                "name: {name}\nbinary: {name}\nunit: {name}.service\nenv_file: {name}.conf\nsettle: 0s\n\
                 keep_releases: 2\n{}environments:\n  prod:\n    hosts: [\"{user}@{host}\"]\n",
                match self.work {
                    Work::Program => "",
                    Work::Folder => "files: [{source: site}]\n",
                }
            ),
        );
        let mut command = Command::new(env!("CARGO_BIN_EXE_shipit"));
        command.args(["deploy", "prod", "--identity"]).arg(self.key());
        command
    }

    fn script(&self, script: &str, address: SocketAddr) -> Command {
        let config = self.path("ssh_config");
        let text = format!(
            "Host host\n HostName {}\n Port {}\n User {}\n IdentityFile {}\n IdentitiesOnly yes\n BatchMode yes\n \
             UserKnownHostsFile {}\n GlobalKnownHostsFile none\n",
            address.ip(),
            address.port(),
            self.user.user,
            self.key().display(),
            self.path(".ssh/known_hosts").display()
        );
        fs::write(&config, text).unwrap();
        let mut command = Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("bench").join(script));
        command.arg(config).arg(&self.name);
        if self.work == Work::Folder {
            command.arg("site");
        }
        command
    }

    fn key(&self) -> &Path {
        self.user.key_path.as_deref().expect("a test host's user has a key")
    }

    /// The host's right keys, under the name that it has on this way.
    fn write_known_hosts(&self, address: SocketAddr) {
        let known = fs::read_to_string(&self.user.known_hosts).unwrap();
        let keys = known.lines().filter_map(|line| line.split_once(' '));
        let pattern = match address.port() {
            22 => address.ip().to_string(),
            port => format!("[{}]:{port}", address.ip()),
        };
        let lines: String = keys.map(|(_, key)| format!("{pattern} {key}\n")).collect();
        self.write(".ssh/known_hosts", &lines);
    }

    /// Looks whether the host runs what is here now, and whether it was restarted only if it had to be.
    pub fn check(&mut self, case: Case) {
        let found = self.user.run(&format!(
            "pid=$(systemctl --user show -p MainPID --value {}.service)\n\
             sha256sum <\"/proc/$pid/exe\" | cut -d ' ' -f 1\n\
             tr '\\0' '\\n' <\"/proc/$pid/environ\" | grep ^DEV_LOCATION=\n\
             echo $pid",
            self.name
        ));
        let hash =
            Command::new("sha256sum").stdin(File::open(self.path(&self.name)).unwrap()).output().unwrap();
        let hash = String::from_utf8(hash.stdout).unwrap();
        let wanted = format!("{}\nDEV_LOCATION={:04}\n", hash.split(' ').next().unwrap(), self.location);
        assert!(found.starts_with(&wanted), "{}, {}:\n{found}", self.tool.name(), case.name());
        if self.work == Work::Folder {
            let all = "find . -type f -exec sha256sum {} + | LC_ALL=C sort";
            let there = match self.tool {
                Tool::Shipit => format!(".local/share/shipit/{}/current/site", self.name),
                Tool::Script | Tool::Article => format!("{}.d/site", self.name),
            };
            let here = Command::new("sh").args(["-c", all]).current_dir(self.path("site")).output().unwrap();
            let there = self.user.run(&format!("cd {there} && {all}"));
            assert_eq!(
                there,
                String::from_utf8(here.stdout).unwrap(),
                "{}, {}",
                self.tool.name(),
                case.name()
            );
        }
        if case == Case::Unchanged && self.tool != Tool::Article {
            assert_eq!(found, self.seen, "{} restarted the service", self.tool.name());
        }
        self.seen = found;
    }
}

/// xorshift64*: bytes that do not shrink, the same in every run.
struct Random(u64);

impl Random {
    fn fill(&mut self, bytes: &mut [u8]) {
        for chunk in bytes.chunks_mut(8) {
            self.0 ^= self.0 >> 12;
            self.0 ^= self.0 << 25;
            self.0 ^= self.0 >> 27;
            let word = self.0.wrapping_mul(0x2545_f491_4f6c_dd1d).to_le_bytes();
            chunk.copy_from_slice(&word[..chunk.len()]);
        }
    }
}
