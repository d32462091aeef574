use std::os::unix::fs::PermissionsExt;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use shipit::ssh::{Answer, AttemptOutcome, AuthenticationFailure, Credential, SshError, connect};

use crate::server::{Operator, Server, keygen};

pub(crate) fn failure(error: SshError) -> AuthenticationFailure {
    match error {
        SshError::Authentication(failure) => *failure,
        other => panic!("{other:?}"),
    }
}

pub(crate) fn outcomes(failure: &AuthenticationFailure) -> Vec<AttemptOutcome> {
    failure.tried.iter().map(|attempt| attempt.outcome.clone()).collect()
}

fn authorize(server: &Server, name: &str) {
    std::fs::copy(server.path(&format!("{name}.pub")), server.path("authorized_keys")).unwrap();
}

#[tokio::test]
async fn every_key_that_was_refused_is_accounted_for() {
    let Some(server) = Server::start("") else { return };
    let mut options = server.options();
    keygen(&server.path("other"), "ed25519", "");
    std::fs::write(server.path("garbage"), "not a key").unwrap();
    std::fs::set_permissions(server.path("garbage"), PermissionsExt::from_mode(0o600)).unwrap();
    std::fs::copy(server.path("other"), server.path("open")).unwrap();
    std::fs::set_permissions(server.path("open"), PermissionsExt::from_mode(0o644)).unwrap();
    options.identities = ["other", "garbage", "open", "missing"].map(|name| server.path(name)).into();
    options.default_identities = vec![server.path("other"), server.path("missing by default")];
    options.agent = Some(server.path("no agent"));
    let failure = failure(server.refusal(&options).await);
    let [AttemptOutcome::Refused, AttemptOutcome::Unreadable(_), AttemptOutcome::Unreadable(open), missing] =
        &outcomes(&failure)[..]
    else {
        panic!("{failure:?}")
    };
    assert!(open.contains("chmod 600"), "{open}");
    assert_eq!(*missing, AttemptOutcome::Unreadable("there is no such file".into()));
    assert_eq!(failure.remaining, ["publickey"]);
    assert!(failure.agent.as_ref().is_some_and(|trouble| trouble.contains("does not work")), "{failure:?}");
    let line = failure.tried[0].to_string();
    assert!(line.contains("ssh-ed25519 SHA256:") && line.ends_with("refused by the server"), "{line}");
}

#[tokio::test]
async fn no_keys_at_all_says_what_the_server_wants() {
    let Some(server) = Server::start("") else { return };
    let mut options = server.options();
    options.identities.clear();
    let failure = failure(server.refusal(&options).await);
    assert_eq!((failure.tried.len(), failure.remaining.as_slice()), (0, &["publickey".to_owned()][..]));
}

#[tokio::test]
async fn a_server_that_has_had_enough_is_quoted() {
    let Some(server) = Server::start("MaxAuthTries 2") else { return };
    let mut options = server.options();
    options.identities = (0..4).map(|n| server.path(&format!("wrong{n}"))).collect();
    options.identities.iter().for_each(|path| keygen(path, "ed25519", ""));
    let error = server.refusal(&options).await;
    let help = error.help().unwrap();
    assert!(
        help.contains("MaxAuthTries") && help.contains("was shown 2") && help.contains("IdentitiesOnly"),
        "{help}"
    );
    let failure = failure(error);
    assert!(failure.disconnected.as_ref().is_some_and(|words| words.contains("Too many")), "{failure:?}");
    assert_eq!(outcomes(&failure).last(), Some(&AttemptOutcome::NotAnswered));
}

#[tokio::test]
async fn all_kinds_of_keys_log_in() {
    let Some(server) = Server::start("") else { return };
    for kind in ["rsa", "ecdsa", "ed25519"] {
        let name = format!("key_{kind}");
        keygen(&server.path(&name), kind, "");
        authorize(&server, &name);
        let mut options = server.options();
        options.identities = vec![server.path(&name)];
        connect(&server.target(), &options).await.unwrap();
    }
    server.wait_for("RSA SHA256");
}

#[tokio::test]
async fn a_passphrase_is_asked_for_once_however_many_hosts_there_are() {
    let Some(server) = Server::start("") else { return };
    server.options();
    keygen(&server.path("locked"), "ed25519", "open sesame");
    authorize(&server, "locked");
    let asked = Arc::new(AtomicUsize::new(0));
    let operator = Operator { passphrase: "open sesame", answer: Answer::Refused, asked: Arc::clone(&asked) };
    let mut options = server.options_with(operator);
    options.identities = vec![server.path("locked")];
    let target = server.target();
    let (one, two) = tokio::join!(connect(&target, &options), connect(&target, &options));
    one.unwrap();
    two.unwrap();
    connect(&target, &options).await.unwrap();
    assert_eq!(asked.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_passphrase_is_asked_for_only_when_the_server_takes_the_key() {
    let Some(server) = Server::start("") else { return };
    server.options();
    keygen(&server.path("locked"), "ed25519", "open sesame");
    let asked = Arc::new(AtomicUsize::new(0));
    let operator = Operator { passphrase: "wrong", answer: Answer::Refused, asked: Arc::clone(&asked) };
    let mut options = server.options_with(operator);
    options.identities = vec![server.path("locked")];
    assert_eq!(outcomes(&failure(server.refusal(&options).await)), [AttemptOutcome::Refused]);
    assert_eq!(asked.load(Ordering::SeqCst), 0);
    // Now it does. The wrong answer is given three times, and then never again in this run.
    authorize(&server, "locked");
    for _ in 0..2 {
        assert_eq!(outcomes(&failure(server.refusal(&options).await)), [AttemptOutcome::WrongPassphrase]);
        assert_eq!(asked.load(Ordering::SeqCst), 3);
    }
    // And without a terminal.
    let mut options = server.options();
    options.identities = vec![server.path("locked")];
    assert_eq!(outcomes(&failure(server.refusal(&options).await)), [AttemptOutcome::NoPassphrase]);
}

pub(crate) struct Agent(Child);

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

pub(crate) fn agent(server: &Server, keys: &[&str]) -> Agent {
    let socket = server.path("agent");
    let child =
        Command::new("ssh-agent").arg("-D").arg("-a").arg(&socket).stdout(Stdio::null()).spawn().unwrap();
    let agent = Agent(child);
    // 2: there is no agent; 1: it holds nothing. The socket is there before anybody listens.
    let ask = || Command::new("ssh-add").arg("-l").env("SSH_AUTH_SOCK", &socket).output().unwrap().status;
    let end = Instant::now() + Duration::from_secs(10);
    while ask().code() == Some(2) {
        assert!(Instant::now() < end, "there is no agent");
        std::thread::sleep(Duration::from_millis(5));
    }
    for key in keys {
        let added =
            Command::new("ssh-add").arg(server.path(key)).env("SSH_AUTH_SOCK", &socket).output().unwrap();
        assert!(added.status.success(), "{added:?}");
    }
    agent
}

#[tokio::test]
async fn the_agent_signs() {
    let Some(server) = Server::start("") else { return };
    keygen(&server.path("rsa"), "rsa", "");
    keygen(&server.path("other"), "ed25519", "");
    let _agent = agent(&server, &["other", "rsa", "id"]);
    for name in ["id", "rsa"] {
        authorize(&server, name);
        let mut options = server.options();
        options.identities.clear();
        options.agent = Some(server.path("agent"));
        connect(&server.target(), &options).await.unwrap();
    }
}

#[tokio::test]
async fn the_named_key_comes_first_and_by_way_of_the_agent() {
    let Some(server) = Server::start("") else { return };
    keygen(&server.path("other"), "ed25519", "");
    keygen(&server.path("third"), "ed25519", "");
    let _agent = agent(&server, &["other", "third"]);
    let mut options = server.options();
    options.identities = vec![server.path("third")];
    options.default_identities = vec![server.path("other")];
    options.agent = Some(server.path("agent"));
    let failure = failure(server.refusal(&options).await);
    let tried: Vec<_> = failure.tried.iter().map(|attempt| attempt.credential.clone()).collect();
    let from_agent = Credential::Agent { comment: "test ed25519".into() };
    assert_eq!(tried, [from_agent.clone(), from_agent]);
    assert_ne!(failure.tried[0].identity, failure.tried[1].identity);
    let third = std::fs::read_to_string(server.path("third.pub")).unwrap();
    let printed = Command::new("ssh-keygen").arg("-lf").arg(server.path("third.pub")).output().unwrap();
    let printed = String::from_utf8(printed.stdout).unwrap();
    let (_, fingerprint) = failure.tried[0].identity.clone().unwrap();
    assert!(printed.contains(&fingerprint.to_string()), "{printed} {third}");
}

#[tokio::test]
async fn a_key_that_the_agent_has_for_one_host_only_is_used_there_and_nowhere_else() {
    let (Some(here), Some(there)) = (Server::start(""), Server::start("")) else { return };
    let (mut to_here, mut to_there) = (here.options(), there.options());
    std::fs::copy(here.path("authorized_keys"), there.path("authorized_keys")).unwrap();
    let _agent = agent(&here, &[]);
    let added = Command::new("ssh-add")
        .arg("-H")
        .arg(here.path("known_hosts"))
        .args(["-h", &format!("[127.0.0.1]:{}", here.port)])
        .arg(here.path("id"))
        .env("SSH_AUTH_SOCK", here.path("agent"))
        .output()
        .unwrap();
    assert!(added.status.success(), "{added:?}");
    for options in [&mut to_here, &mut to_there] {
        options.identities.clear();
        options.agent = Some(here.path("agent"));
    }
    connect(&here.target(), &to_here).await.unwrap();
    let failure = failure(there.refusal(&to_there).await);
    assert_eq!(failure.tried, []);
}
