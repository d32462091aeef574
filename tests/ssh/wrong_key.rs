//! A server that is not the host, and writes down all that it is sent: nothing of the operator's is among it.

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use russh::keys::{PrivateKey, load_openssh_certificate, load_secret_key};
use russh::server::{self, Auth, PublicKeyOffer, VerifiedPublicKey};
use secrecy::SecretString;
use shipit::ssh::{
    Answer, ConnectOptions, HostKeyError, HostKeyQuestion, Prompt, SshError, Target, UnknownHostKey, connect,
};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, UnixListener};

use crate::jump::{Home, block, login};
use crate::server::{Server, keygen, sshd_is_there};

/// What came of one connection.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Heard {
    /// Attempts to log in, in words.
    logins: Vec<String>,
    /// How many bytes, from the first to the last.
    bytes: usize,
}

/// The server that is not the host. It takes whatever login it is offered.
struct Recorder {
    port: u16,
    heard: Arc<Mutex<Vec<Heard>>>,
}

struct Session(Arc<Mutex<Vec<String>>>);

impl Session {
    fn heard(&self, what: String) -> Result<Auth, russh::Error> {
        self.0.lock().unwrap().push(what);
        Ok(Auth::Accept)
    }
}

impl server::Handler for Session {
    type Error = russh::Error;

    async fn auth_none(&mut self, user: &str) -> Result<Auth, Self::Error> {
        self.heard(format!("{user} asks for the methods"))
    }

    async fn auth_password(&mut self, user: &str, password: &str) -> Result<Auth, Self::Error> {
        self.heard(format!("{user} has the password {password}"))
    }

    async fn auth_publickey_offered(
        &mut self,
        user: &str,
        _: PublicKeyOffer<'_>,
    ) -> Result<Auth, Self::Error> {
        self.heard(format!("{user} offers a key"))
    }

    async fn auth_publickey(&mut self, user: &str, _: VerifiedPublicKey<'_>) -> Result<Auth, Self::Error> {
        self.heard(format!("{user} signs"))
    }
}

impl Recorder {
    async fn start(key: PrivateKey, certificate: Option<&Path>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let config = Arc::new(server::Config {
            keys: vec![key],
            certificates: certificate
                .map(|path| load_openssh_certificate(path).unwrap())
                .into_iter()
                .collect(),
            ..server::Config::default()
        });
        let heard = Arc::new(Mutex::new(Vec::new()));
        let all = Arc::clone(&heard);
        tokio::spawn(async move {
            while let Ok((mut socket, _)) = listener.accept().await {
                let (all, config) = (Arc::clone(&all), Arc::clone(&config));
                tokio::spawn(async move {
                    let logins = Arc::new(Mutex::new(Vec::new()));
                    let (near, far) = tokio::io::duplex(1 << 20);
                    let session = Session(Arc::clone(&logins));
                    let serving = tokio::spawn(async move {
                        if let Ok(running) = server::run_stream(config, far, session).await {
                            let _ = running.await;
                        }
                    });
                    let (mut from, mut to) = tokio::io::split(near);
                    let (mut client, mut back) = socket.split();
                    let mut bytes = 0;
                    let listening = async {
                        let mut buffer = [0; 4096];
                        while let Ok(read @ 1..) = client.read(&mut buffer).await {
                            bytes += read;
                            if to.write_all(&buffer[..read]).await.is_err() {
                                break;
                            }
                        }
                        let _ = to.shutdown().await;
                    };
                    let _ = tokio::join!(listening, tokio::io::copy(&mut from, &mut back));
                    let _ = serving.await;
                    let logins = logins.lock().unwrap().clone();
                    all.lock().unwrap().push(Heard { logins, bytes });
                });
            }
        });
        Self { port, heard }
    }

    /// Waits for the end of that many connections.
    async fn heard(&self, count: usize) -> Vec<Heard> {
        loop {
            let heard = self.heard.lock().unwrap().clone();
            if heard.len() >= count {
                return heard;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

/// An operator with all that one can have: a key, an encrypted one, an agent. Whoever asks for any of it is counted.
struct Site {
    dir: TempDir,
    asked: Arc<AtomicUsize>,
}

struct Rich(Arc<AtomicUsize>);

impl Prompt for Rich {
    fn passphrase(&self, _: &Path) -> Option<SecretString> {
        self.0.fetch_add(1, Ordering::SeqCst);
        Some("secret".into())
    }

    fn accept_host_key(&self, _: &HostKeyQuestion) -> Answer {
        Answer::Refused
    }
}

impl Site {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        for name in ["host", "wrong", "ca", "other_ca", "id"] {
            keygen(&dir.path().join(name), "ed25519", "");
        }
        keygen(&dir.path().join("locked"), "ed25519", "secret");
        let asked = Arc::new(AtomicUsize::new(0));
        let listener = UnixListener::bind(dir.path().join("agent")).unwrap();
        let count = Arc::clone(&asked);
        tokio::spawn(async move {
            while listener.accept().await.is_ok() {
                count.fetch_add(1, Ordering::SeqCst);
            }
        });
        Self { dir, asked }
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.dir.path().join(name)
    }

    fn key(&self, name: &str) -> PrivateKey {
        load_secret_key(self.path(name), None).unwrap()
    }

    fn public(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(&format!("{name}.pub"))).unwrap().trim().to_owned()
    }

    /// Has an authority sign the key `wrong`.
    fn certify(&self, authority: &str, arguments: &[&str]) -> std::path::PathBuf {
        let made = std::process::Command::new("ssh-keygen")
            .current_dir(self.dir.path())
            .args(["-q", "-s", authority, "-h", "-I", "test"])
            .args(arguments)
            .arg("wrong.pub")
            .status()
            .unwrap();
        assert!(made.success());
        self.path("wrong-cert.pub")
    }

    fn options(&self, known: &str) -> ConnectOptions {
        let mut options = ConnectOptions::new(self.dir.path(), Arc::new(Rich(Arc::clone(&self.asked))));
        std::fs::write(self.path("known_hosts"), known).unwrap();
        options.known_hosts.user = vec![self.path("known_hosts")];
        options.known_hosts.global.clear();
        options.identities = vec![self.path("locked"), self.path("id")];
        options.agent = Some(self.path("agent"));
        options
    }
}

fn target(user: &str, port: u16) -> Target {
    Target { user: user.to_owned(), host: "127.0.0.1".into(), port }
}

/// Connects as two very different people, and looks at what arrived.
async fn assert_nothing_is_sent(recorder: &Recorder, site: &Site, options: &ConnectOptions, what: &str) {
    let before = recorder.heard.lock().unwrap().len();
    for user in ["a", "somebody-with-a-name-that-would-make-every-message-longer"] {
        let error = connect(&target(user, recorder.port), options).await.unwrap_err();
        assert!(matches!(error, SshError::HostKey(_)), "{what}: {error:?}");
    }
    let heard = recorder.heard(before + 2).await.split_off(before);
    for heard in &heard {
        assert_eq!(heard.logins, [""; 0], "{what}");
        assert!(heard.bytes > 500, "{what}: it was no handshake, but {} bytes", heard.bytes);
    }
    assert_eq!(heard[0].bytes, heard[1].bytes, "{what}: what was sent depends on who sends it");
    assert_eq!(site.asked.load(Ordering::SeqCst), 0, "{what}: keys were made ready");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_host_hears_nothing_of_the_operator() {
    let site = Site::new();
    let recorder = Recorder::start(site.key("wrong"), None).await;
    let name = format!("[127.0.0.1]:{}", recorder.port);
    let (host, wrong, ca) = (site.public("host"), site.public("wrong"), site.public("ca"));
    for (what, known) in [
        ("unknown", String::new()),
        ("changed", format!("{name} {host}\n")),
        ("revoked", format!("{name} {wrong}\n@revoked * {wrong}\n")),
        ("without a certificate", format!("@cert-authority * {ca}\n")),
    ] {
        assert_nothing_is_sent(&recorder, &site, &site.options(&known), what).await;
    }
    // The same when new keys are accepted: this one is not new.
    let mut options = site.options(&format!("{name} {host}\n"));
    options.unknown_host_key = UnknownHostKey::Accept;
    assert_nothing_is_sent(&recorder, &site, &options, "changed, and new ones are accepted").await;
    options = site.options("");
    options.unknown_host_key = UnknownHostKey::Ask;
    assert_nothing_is_sent(&recorder, &site, &options, "unknown, and the operator says no").await;
    // The recorder would have heard it.
    let options = site.options(&format!("{name} {wrong}\n"));
    let _ = connect(&target("ada", recorder.port), &options).await;
    let heard = recorder.heard(13).await.pop().unwrap();
    assert!(heard.logins.iter().any(|login| login.starts_with("ada ")), "{heard:?}");
    assert_ne!(site.asked.load(Ordering::SeqCst), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_that_does_not_count_opens_nothing() {
    for (what, authority, arguments) in [
        ("by nobody we know", "other_ca", ["-n", "127.0.0.1"].as_slice()),
        ("for another host", "ca", &["-n", "10.0.0.1"]),
        ("expired", "ca", &["-n", "127.0.0.1", "-V", "20200101:20210101"]),
        ("with an option", "ca", &["-n", "127.0.0.1", "-O", "critical:x@example.com=y"]),
    ] {
        let site = Site::new();
        let certificate = site.certify(authority, arguments);
        let recorder = Recorder::start(site.key("wrong"), Some(&certificate)).await;
        let options = site.options(&format!("@cert-authority * {}\n", site.public("ca")));
        assert_nothing_is_sent(&recorder, &site, &options, what).await;
    }
    // One that counts is believed, so that the others were refused for what they lack.
    let site = Site::new();
    let certificate = site.certify("ca", &["-n", "127.0.0.1"]);
    let recorder = Recorder::start(site.key("wrong"), Some(&certificate)).await;
    let options = site.options(&format!("@cert-authority * {}\n", site.public("ca")));
    let _ = connect(&target("ada", recorder.port), &options).await;
    assert!(!recorder.heard(1).await[0].logins.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_host_behind_a_jump_host_hears_nothing_and_behind_a_wrong_one_nobody_is_asked() {
    if !sshd_is_there() {
        return;
    }
    let site = Site::new();
    let inner = Recorder::start(site.key("wrong"), None).await;
    let Some(bastion) = Server::start("") else { return };
    bastion.trust("host_ed25519");
    std::fs::write(site.path("known_hosts"), format!("[127.0.0.1]:{} {}\n", inner.port, site.public("host")))
        .unwrap();
    let inner_block = |user: &str, jump: &str| {
        format!(
            "Host inner-{user}\n  HostName 127.0.0.1\n  Port {}\n  User {user}\n  IdentityFile {}\n  \
             UserKnownHostsFile {}\n  GlobalKnownHostsFile none\n  ProxyJump {jump}\n",
            inner.port,
            site.path("id").display(),
            site.path("known_hosts").display()
        )
    };
    let (short, long) = ("a", "somebody-with-a-name-that-would-make-every-message-longer");
    let home = Home::new(
        &[block("bastion", &bastion, ""), inner_block(short, "bastion"), inner_block(long, "bastion")]
            .concat(),
    );
    let routes = home.routes(Rich(Arc::clone(&site.asked)));
    for user in [short, long] {
        let hop = routes.to(&login(&format!("inner-{user}"))).await.unwrap();
        let error = hop.connect().await.unwrap_err();
        assert!(matches!(error, SshError::HostKey(_)), "{error:?}");
    }
    drop(routes);
    let heard = inner.heard(2).await;
    assert!(heard.iter().all(|heard| heard.logins.is_empty()), "{heard:?}");
    assert_eq!(heard[0].bytes, heard[1].bytes);

    // The wrong jump host: it hears nothing, and nobody is asked through it.
    let gate = Recorder::start(site.key("wrong"), None).await;
    std::fs::write(site.path("known_gate"), format!("[127.0.0.1]:{} {}\n", gate.port, site.public("host")))
        .unwrap();
    let gate_block = format!(
        "Host gate\n  HostName 127.0.0.1\n  Port {}\n  User root\n  IdentityFile {}\n  UserKnownHostsFile {}\n  \
         GlobalKnownHostsFile none\n",
        gate.port,
        site.path("id").display(),
        site.path("known_gate").display()
    );
    let home = Home::new(&[gate_block, inner_block(short, "gate")].concat());
    let hop = home.routes(Rich(Arc::clone(&site.asked))).to(&login("inner-a")).await.unwrap();
    let error = hop.connect().await.unwrap_err();
    let SshError::Jump { source, .. } = &error else { panic!("{error:?}") };
    let SshError::HostKey(refused) = &**source else { panic!("{error:?}") };
    assert!(matches!(**refused, HostKeyError::Changed { .. }), "{error:?}");
    assert!(gate.heard(1).await[0].logins.is_empty());
    assert_eq!(inner.heard(2).await.len(), 2);
    assert_eq!(site.asked.load(Ordering::SeqCst), 0);
}
