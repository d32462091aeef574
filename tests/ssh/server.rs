//! A private sshd on 127.0.0.1, and everything a client needs to talk to it.

use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use secrecy::SecretString;
use shipit::ssh::{
    Answer, ConnectOptions, Connection, HostKeyQuestion, KnownHostsFiles, Prompt, SshError, Target, connect,
};
use tempfile::TempDir;

const SSHD: &str = "/usr/sbin/sshd";

/// Says so, where there is no sshd or no right to run one.
pub(crate) fn sshd_is_there() -> bool {
    let root =
        std::fs::metadata("/proc/self").is_ok_and(|own| std::os::unix::fs::MetadataExt::uid(&own) == 0);
    if !Path::new(SSHD).exists() || !root {
        eprintln!("SKIPPED: needs root and {SSHD} (apt-get install openssh-server)");
        return false;
    }
    // Debian's sshd wants this one, whatever its configuration.
    std::fs::create_dir_all("/run/sshd").unwrap();
    true
}

pub(crate) struct Server {
    child: Child,
    dir: TempDir,
    pub(crate) port: u16,
}

impl Server {
    /// With these lines in its configuration, where `FOLDER` is the server's own. The key `host_rsa` is there if they name it.
    /// `None`, loudly, where there is no sshd or no right to run one.
    pub(crate) fn start(extra: &str) -> Option<Self> {
        if !sshd_is_there() {
            return None;
        }
        let dir = tempfile::tempdir().unwrap();
        for kind in ["ed25519", "ecdsa"] {
            keygen(&dir.path().join(format!("host_{kind}")), kind, "");
        }
        if extra.contains("host_rsa") {
            keygen(&dir.path().join("host_rsa"), "rsa", "");
        }
        keygen(&dir.path().join("id"), "ed25519", "");
        std::fs::copy(dir.path().join("id.pub"), dir.path().join("authorized_keys")).unwrap();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let path = dir.path().display();
        let extra = &extra.replace("FOLDER", &path.to_string());
        // Of this keyword the last line counts.
        let startups = if extra.contains("MaxStartups") { "" } else { "MaxStartups 100\n" };
        let config = format!(
            "{extra}\nPort {port}\nListenAddress 127.0.0.1\nHostKey {path}/host_ed25519\nHostKey {path}/host_ecdsa\n\
             AuthorizedKeysFile {path}/authorized_keys\nPermitRootLogin yes\nStrictModes no\nUsePAM no\n\
             PidFile none\nLogLevel DEBUG\nPasswordAuthentication no\nKbdInteractiveAuthentication no\n\
             {startups}Subsystem sftp internal-sftp\n"
        );
        std::fs::write(dir.path().join("sshd_config"), config).unwrap();
        let child = Command::new(SSHD)
            .arg("-D")
            .arg("-f")
            .arg(dir.path().join("sshd_config"))
            .arg("-E")
            .arg(dir.path().join("log"))
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        let server = Self { child, dir, port };
        server.wait_for("Server listening");
        Some(server)
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.path("log")).unwrap_or_default()
    }

    pub(crate) fn wait_for(&self, words: &str) {
        self.wait_for_count(words, 1);
    }

    pub(crate) fn wait_for_count(&self, words: &str, count: usize) {
        let end = Instant::now() + Duration::from_secs(10);
        while self.log().matches(words).count() < count {
            assert!(Instant::now() < end, "sshd did not say {words:?} {count} times:\n{}", self.log());
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Kills the sshd that serves the last connection.
    pub(crate) fn cut(&self) {
        let log = self.log();
        let pid = log.rsplit("Forked child ").next().unwrap().split('.').next().unwrap();
        assert!(Command::new("kill").arg(pid).status().unwrap().success());
    }

    pub(crate) fn target(&self) -> Target {
        Target { user: "root".into(), host: "127.0.0.1".into(), port: self.port }
    }

    pub(crate) fn public_key(&self, name: &str) -> String {
        let line = std::fs::read_to_string(self.path(&format!("{name}.pub"))).unwrap();
        line.split(' ').take(2).collect::<Vec<_>>().join(" ")
    }

    pub(crate) fn trust(&self, key: &str) {
        self.trust_all(&[key]);
    }

    pub(crate) fn trust_all(&self, keys: &[&str]) {
        let line = |key: &&str| format!("[127.0.0.1]:{} {}\n", self.port, self.public_key(key));
        std::fs::write(self.path("known_hosts"), keys.iter().map(line).collect::<String>()).unwrap();
    }

    /// Knows the host and has the key.
    pub(crate) fn options(&self) -> ConnectOptions {
        if !self.path("known_hosts").exists() {
            self.trust("host_ed25519");
        }
        self.options_with(Nobody)
    }

    /// Has the key.
    pub(crate) fn options_with(&self, prompt: impl Prompt + 'static) -> ConnectOptions {
        let mut options = ConnectOptions::new(self.dir.path(), Arc::new(prompt));
        options.known_hosts =
            KnownHostsFiles { user: vec![self.path("known_hosts")], global: Vec::new(), pinned: None };
        options.identities = vec![self.path("id")];
        options.default_identities.clear();
        options
    }

    pub(crate) async fn connect(&self) -> Connection {
        connect(&self.target(), &self.options()).await.unwrap()
    }

    pub(crate) async fn refusal(&self, options: &ConnectOptions) -> SshError {
        connect(&self.target(), options).await.expect_err("should have been refused")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub(crate) fn keygen(path: &Path, kind: &str, passphrase: &str) {
    let made = Command::new("ssh-keygen")
        .args(["-q", "-t", kind, "-N", passphrase, "-C", &format!("test {kind}"), "-f"])
        .arg(path)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    assert_eq!(std::fs::metadata(path).unwrap().permissions().mode() & 0o777, 0o600);
}

/// There is no terminal.
pub(crate) struct Nobody;

impl Prompt for Nobody {
    fn passphrase(&self, _: &Path) -> Option<SecretString> {
        None
    }

    fn accept_host_key(&self, _: &HostKeyQuestion) -> Answer {
        Answer::Refused
    }
}

/// Somebody who always says the same, and counts.
pub(crate) struct Operator {
    pub(crate) passphrase: &'static str,
    pub(crate) answer: Answer,
    pub(crate) asked: Arc<AtomicUsize>,
}

impl Prompt for Operator {
    fn is_there(&self) -> bool {
        true
    }

    fn passphrase(&self, _: &Path) -> Option<SecretString> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        Some(self.passphrase.into())
    }

    fn accept_host_key(&self, question: &HostKeyQuestion) -> Answer {
        assert!(question.fingerprint.to_string().starts_with("SHA256:"));
        std::thread::sleep(Duration::from_millis(50));
        self.asked.fetch_add(1, Ordering::SeqCst);
        self.answer
    }
}
