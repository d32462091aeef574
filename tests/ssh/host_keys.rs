use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};

use secrecy::SecretString;
use shipit::ssh::{
    Answer, HostKeyError, HostKeyQuestion, Prompt, Refusal, SshError, UnknownHostKey, connect,
};

use crate::server::{Operator, Server};

fn host_key(error: SshError) -> HostKeyError {
    match error {
        SshError::HostKey(error) => *error,
        other => panic!("{other:?}"),
    }
}

/// The name was sent if sshd has heard of any user at all.
fn assert_no_user_was_named(server: &Server) {
    server.wait_for("Connection closed by");
    let log = server.log();
    assert!(!log.contains("userauth") && !log.contains("root"), "{log}");
}

#[tokio::test]
async fn an_unknown_host_is_refused_before_it_learns_who_is_asking() {
    let Some(server) = Server::start("") else { return };
    let options = server.options_with(crate::server::Nobody);
    let error = host_key(server.refusal(&options).await);
    let HostKeyError::Unknown { key_type, refusal, .. } = &error else { panic!("{error:?}") };
    assert_eq!((key_type.as_str(), *refusal), ("ssh-ed25519", Refusal::NotAsked));
    assert_no_user_was_named(&server);
    assert!(!server.path("known_hosts").exists());
}

#[tokio::test]
async fn a_changed_key_is_refused_whatever_the_options_say() {
    let Some(server) = Server::start("") else { return };
    let line = format!("# a comment\n[127.0.0.1]:{} {}\n", server.port, server.public_key("id"));
    std::fs::write(server.path("known_hosts"), &line).unwrap();
    for policy in [UnknownHostKey::Refuse, UnknownHostKey::Ask, UnknownHostKey::Accept] {
        let operator = Operator { passphrase: "", answer: Answer::Accepted, asked: Arc::default() };
        let mut options = server.options_with(operator);
        options.unknown_host_key = policy;
        let error = host_key(server.refusal(&options).await);
        let HostKeyError::Changed { known, fingerprint, .. } = &error else { panic!("{error:?}") };
        assert_eq!((known[0].line, known[0].file.clone()), (2, server.path("known_hosts")));
        assert_ne!(&known[0].fingerprint, fingerprint);
    }
    assert_no_user_was_named(&server);
    assert_eq!(std::fs::read_to_string(server.path("known_hosts")).unwrap(), line);
}

#[tokio::test]
async fn a_revoked_key_is_refused_though_it_is_known() {
    let Some(server) = Server::start("") else { return };
    let key = server.public_key("host_ed25519");
    let lines = format!("[127.0.0.1]:{} {key}\n@revoked * {key}\n", server.port);
    std::fs::write(server.path("known_hosts"), lines).unwrap();
    let error = host_key(server.refusal(&server.options()).await);
    assert!(matches!(error, HostKeyError::Revoked { line: Some(2), .. }), "{error:?}");
    assert_no_user_was_named(&server);
}

#[tokio::test]
async fn an_accepted_key_is_on_file_from_then_on() {
    let Some(server) = Server::start("") else { return };
    let mut options = server.options_with(crate::server::Nobody);
    options.unknown_host_key = UnknownHostKey::Accept;
    let target = server.target();
    let (one, two) = tokio::join!(connect(&target, &options), connect(&target, &options));
    one.unwrap();
    two.unwrap();
    let file = std::fs::read_to_string(server.path("known_hosts")).unwrap();
    assert_eq!(file, format!("[127.0.0.1]:{} {}\n", server.port, server.public_key("host_ed25519")));
    options.unknown_host_key = UnknownHostKey::Refuse;
    connect(&target, &options).await.unwrap();
}

#[tokio::test]
async fn two_connections_ask_once() {
    let Some(server) = Server::start("") else { return };
    let asked = Arc::new(AtomicUsize::new(0));
    let operator = Operator { passphrase: "", answer: Answer::Accepted, asked: Arc::clone(&asked) };
    let mut options = server.options_with(operator);
    options.unknown_host_key = UnknownHostKey::Ask;
    let target = server.target();
    let (one, two) = tokio::join!(connect(&target, &options), connect(&target, &options));
    one.unwrap();
    two.unwrap();
    assert_eq!(asked.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_no_is_a_no() {
    let Some(server) = Server::start("") else { return };
    let operator = Operator { passphrase: "", answer: Answer::Refused, asked: Arc::default() };
    let mut options = server.options_with(operator);
    options.unknown_host_key = UnknownHostKey::Ask;
    let error = host_key(server.refusal(&options).await);
    assert!(matches!(error, HostKeyError::Unknown { refusal: Refusal::ByOperator, .. }), "{error:?}");
    assert_no_user_was_named(&server);
}

#[tokio::test]
async fn the_kind_of_key_on_file_is_asked_for() {
    let Some(server) = Server::start("") else { return };
    server.trust("host_ecdsa");
    connect(&server.target(), &server.options()).await.unwrap();
}

/// `/dev/null`, and a file that can't be written: ssh connects to both.
#[tokio::test]
async fn a_file_that_keeps_nothing_keeps_nobody_from_a_host_that_was_accepted() {
    let Some(server) = Server::start("") else { return };
    for file in ["/dev/null", "/proc/no-such-file"] {
        for policy in [UnknownHostKey::Ask, UnknownHostKey::Accept] {
            let asked = Arc::new(AtomicUsize::new(0));
            let operator = Operator { passphrase: "", answer: Answer::Accepted, asked: Arc::clone(&asked) };
            let mut options = server.options_with(operator);
            options.known_hosts.user = vec![file.into()];
            options.unknown_host_key = policy;
            connect(&server.target(), &options).await.unwrap();
            // And asks no second time in the same run.
            connect(&server.target(), &options).await.unwrap();
            let expected = usize::from(policy == UnknownHostKey::Ask);
            assert_eq!(asked.load(Ordering::SeqCst), expected, "{file}, {policy:?}");
            // Who takes only what is on file is not told of it.
            options.unknown_host_key = UnknownHostKey::Refuse;
            let error = host_key(server.refusal(&options).await);
            assert!(matches!(error, HostKeyError::Unknown { .. }), "{error:?}");
        }
    }
    let mut options = server.options_with(crate::server::Nobody);
    options.known_hosts.user.clear();
    options.unknown_host_key = UnknownHostKey::Accept;
    let error = host_key(server.refusal(&options).await);
    assert!(matches!(error, HostKeyError::NowhereToRecord { .. }), "{error:?}");
}

/// Somebody who thinks it over until the other end of the channel is dropped.
struct Slow {
    asked: mpsc::Sender<()>,
    answer: Mutex<mpsc::Receiver<()>>,
}

impl Prompt for Slow {
    fn passphrase(&self, _: &Path) -> Option<SecretString> {
        None
    }

    fn accept_host_key(&self, _: &HostKeyQuestion) -> Answer {
        self.asked.send(()).unwrap();
        let _ = self.answer.lock().unwrap().recv();
        Answer::Accepted
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_accepts_new_keys_does_not_wait_while_another_host_is_asked_about() {
    let (Some(asking), Some(new)) = (Server::start(""), Server::start("")) else { return };
    let (asked, hears) = mpsc::channel();
    let (answer, waits) = mpsc::channel();
    let mut options = asking.options_with(Slow { asked, answer: Mutex::new(waits) });
    options.unknown_host_key = UnknownHostKey::Ask;
    let (target, slow) = (asking.target(), options.clone());
    let question = tokio::spawn(async move { connect(&target, &slow).await });
    tokio::task::spawn_blocking(move || hears.recv().unwrap()).await.unwrap();

    options.unknown_host_key = UnknownHostKey::Accept;
    options.connect_timeout = std::time::Duration::from_secs(5);
    options.identities = vec![new.path("id")];
    connect(&new.target(), &options).await.unwrap();
    drop(answer);
    question.await.unwrap().unwrap();
}
