//! A server of our own, for what takes more to set up with sshd than a test may change on a machine: it asks what it is told
//! to ask, and keeps what it was answered.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use russh::keys::PrivateKey;
use russh::server::{Auth, Config, Handler, Response, VerifiedPublicKey, run_stream};
use russh::{MethodKind, MethodSet};
use shipit::ssh::{ConnectOptions, KnownHostsFiles, Prompt, Target};
use tempfile::TempDir;
use tokio::net::TcpListener;

/// One request of keyboard-interactive.
#[derive(Debug, Clone, Default)]
pub(crate) struct Round {
    pub(crate) name: &'static str,
    pub(crate) instructions: &'static str,
    /// Each with whether it may be seen, and with the answer that is right.
    pub(crate) questions: Vec<(&'static str, bool, &'static str)>,
}

/// What it takes to get in: one of these after the other.
#[derive(Debug, Clone)]
pub(crate) enum Proof {
    Key,
    Rounds(Vec<Round>),
    Password(&'static str),
}

impl Proof {
    fn method(&self) -> MethodKind {
        match self {
            Self::Key => MethodKind::PublicKey,
            Self::Rounds(_) => MethodKind::KeyboardInteractive,
            Self::Password(_) => MethodKind::Password,
        }
    }
}

/// The server.
pub(crate) struct Gate {
    pub(crate) port: u16,
    pub(crate) dir: TempDir,
    /// What clients did, in order.
    pub(crate) heard: Arc<Mutex<Vec<String>>>,
    proofs: Arc<Mutex<Vec<Proof>>>,
}

impl Gate {
    pub(crate) async fn start(proofs: Vec<Proof>) -> Self {
        let dir = tempfile::tempdir().unwrap();
        crate::server::keygen(&dir.path().join("host"), "ed25519", "");
        crate::server::keygen(&dir.path().join("id"), "ed25519", "");
        let key = PrivateKey::read_openssh_file(dir.path().join("host")).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let public = std::fs::read_to_string(dir.path().join("host.pub")).unwrap();
        std::fs::write(dir.path().join("known_hosts"), format!("[127.0.0.1]:{port} {public}")).unwrap();
        let config = Arc::new(Config {
            keys: vec![key],
            auth_rejection_time: Duration::ZERO,
            auth_rejection_time_initial: Some(Duration::ZERO),
            ..Config::default()
        });
        let heard = Arc::default();
        let kept = Arc::clone(&heard);
        let proofs = Arc::new(Mutex::new(proofs));
        let wanted = Arc::clone(&proofs);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let proofs = wanted.lock().unwrap().clone().into();
                let handler = Keeper { proofs, round: 0, heard: Arc::clone(&kept) };
                let session = run_stream(Arc::clone(&config), stream, handler).await;
                tokio::spawn(async move {
                    if let Ok(session) = session {
                        let _ = session.await;
                    }
                });
            }
        });
        Self { port, dir, heard, proofs }
    }

    /// What it takes from now on.
    pub(crate) fn wants(&self, proofs: Vec<Proof>) {
        *self.proofs.lock().unwrap() = proofs;
    }

    pub(crate) fn target(&self) -> Target {
        Target { user: "deploy".into(), host: "127.0.0.1".into(), port: self.port }
    }

    pub(crate) fn options(&self, prompt: impl Prompt + 'static) -> ConnectOptions {
        let mut options = ConnectOptions::new(self.dir.path(), Arc::new(prompt));
        options.known_hosts = KnownHostsFiles {
            user: vec![self.dir.path().join("known_hosts")],
            global: Vec::new(),
            pinned: None,
        };
        options.default_identities.clear();
        options
    }

    pub(crate) fn key(&self) -> Vec<std::path::PathBuf> {
        vec![Path::join(self.dir.path(), "id")]
    }

    pub(crate) fn heard(&self) -> Vec<String> {
        self.heard.lock().unwrap().clone()
    }
}

struct Keeper {
    proofs: VecDeque<Proof>,
    round: usize,
    heard: Arc<Mutex<Vec<String>>>,
}

impl Keeper {
    fn hear(&self, what: impl Into<String>) {
        self.heard.lock().unwrap().push(what.into());
    }

    /// The methods that do now.
    fn wanted(&self) -> MethodSet {
        let mut wanted = MethodSet::empty();
        self.proofs.front().iter().for_each(|proof| wanted.push(proof.method()));
        wanted
    }

    fn refuse(&mut self) -> Auth {
        self.round = 0;
        Auth::Reject { proceed_with_methods: Some(self.wanted()), partial_success: false }
    }

    fn take(&mut self) -> Auth {
        self.proofs.pop_front();
        self.round = 0;
        if self.proofs.is_empty() {
            return Auth::Accept;
        }
        Auth::Reject { proceed_with_methods: Some(self.wanted()), partial_success: true }
    }
}

impl Handler for Keeper {
    type Error = russh::Error;

    async fn auth_none(&mut self, _: &str) -> Result<Auth, Self::Error> {
        self.hear("none");
        Ok(self.refuse())
    }

    async fn auth_password(&mut self, user: &str, password: &str) -> Result<Auth, Self::Error> {
        self.hear(format!("{user}: password {password}"));
        Ok(match self.proofs.front() {
            Some(Proof::Password(right)) if *right == password => self.take(),
            _ => self.refuse(),
        })
    }

    async fn auth_publickey(&mut self, _: &str, key: VerifiedPublicKey<'_>) -> Result<Auth, Self::Error> {
        let _ = key;
        self.hear("key");
        Ok(match self.proofs.front() {
            Some(Proof::Key) => self.take(),
            _ => self.refuse(),
        })
    }

    async fn auth_keyboard_interactive<'a>(
        &'a mut self,
        _: &str,
        _: &str,
        response: Option<Response<'a>>,
    ) -> Result<Auth, Self::Error> {
        let Some(Proof::Rounds(rounds)) = self.proofs.front().cloned() else { return Ok(self.refuse()) };
        if let Some(response) = response {
            let answers: Vec<String> =
                response.map(|answer| String::from_utf8_lossy(&answer).into_owned()).collect();
            self.hear(format!("answers {answers:?}"));
            let right: Vec<&str> = rounds[self.round].questions.iter().map(|(_, _, right)| *right).collect();
            if answers != right {
                return Ok(self.refuse());
            }
            self.round += 1;
        } else {
            self.hear("keyboard-interactive");
        }
        let Some(round) = rounds.get(self.round) else { return Ok(self.take()) };
        let prompts = round.questions.iter().map(|(text, echo, _)| (Cow::Borrowed(*text), *echo)).collect();
        Ok(Auth::Partial {
            name: round.name.into(),
            instructions: round.instructions.into(),
            prompts: Cow::Owned(prompts),
        })
    }
}
