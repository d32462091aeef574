use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use shipit::ssh::{Answer, HostKeyError, Refusal, SshError, UnknownHostKey, connect};

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
