//! Certificates of users, which stand in for entries of authorized_keys.

use std::path::PathBuf;
use std::process::Command;

use shipit::ssh::{AgentKeys, AttemptOutcome, ConnectOptions, Credential, connect};

use crate::authentication::{agent, failure, outcomes};
use crate::server::{Nobody, Server, keygen};

/// A server that lets in who has a certificate, and nobody else.
fn server() -> Option<Server> {
    let server = Server::start("TrustedUserCAKeys FOLDER/ca.pub")?;
    keygen(&server.path("ca"), "ed25519", "");
    std::fs::remove_file(server.path("authorized_keys")).unwrap();
    server.options();
    Some(server)
}

/// Has the authority sign a key; `ssh-keygen` puts the certificate beside it.
fn certify(server: &Server, key: &str, arguments: &[&str]) {
    let made = Command::new("ssh-keygen")
        .args(["-q", "-s"])
        .arg(server.path("ca"))
        .args(["-I", "test"])
        .args(arguments)
        .arg(server.path(&format!("{key}.pub")))
        .output()
        .unwrap();
    assert!(made.status.success(), "{made:?}");
}

fn options(server: &Server, identities: &[&str]) -> ConnectOptions {
    let mut options = server.options_with(Nobody);
    options.identities = identities.iter().map(|name| server.path(name)).collect();
    options
}

#[tokio::test]
async fn the_certificate_beside_a_key_of_any_kind_logs_in() {
    let Some(server) = server() else { return };
    for kind in ["ed25519", "ecdsa", "rsa"] {
        keygen(&server.path(kind), kind, "");
        let error = server.refusal(&options(&server, &[kind])).await;
        assert_eq!(outcomes(&failure(error)), [AttemptOutcome::Refused]);
        certify(&server, kind, &["-n", "root"]);
        connect(&server.target(), &options(&server, &[kind])).await.unwrap();
    }
    // sshd says so after it has let us in.
    server.wait_for_count("Accepted publickey for root", 3);
    let log = server.log();
    assert_eq!(log.matches("Accepted publickey for root").count(), 3);
    assert!(log.contains("ECDSA-CERT") && log.contains("RSA-CERT"), "{log}");
    // The certificate comes before the bare key: that was refused once for each, without a certificate.
    assert_eq!(log.matches("Failed publickey for root").count(), 3, "{log}");
}

#[tokio::test]
async fn a_certificate_file_goes_with_its_key_and_with_one_that_an_agent_holds() {
    let Some(server) = server() else { return };
    keygen(&server.path("other"), "ed25519", "");
    certify(&server, "other", &["-n", "root"]);
    // Away from the key.
    std::fs::rename(server.path("other-cert.pub"), server.path("elsewhere")).unwrap();
    let mut named = options(&server, &["other"]);
    named.certificates = vec![server.path("elsewhere")];
    connect(&server.target(), &named).await.unwrap();

    // The agent has the key, and knows nothing of the certificate.
    let _agent = agent(&server, &["id", "other"]);
    named.identities.clear();
    named.agent = Some(server.path("agent"));
    named.agent_keys = AgentKeys::Named;
    connect(&server.target(), &named).await.unwrap();
    // Nobody has the key.
    named.agent = None;
    let failure = failure(server.refusal(&named).await);
    let [attempt] = &failure.tried[..] else { panic!("{failure:?}") };
    assert!(attempt.to_string().contains("there is no private key for it"), "{attempt}");
}

#[tokio::test]
async fn a_certificate_in_the_agent_logs_in() {
    let Some(server) = server() else { return };
    for (kind, name) in [("ed25519", "one"), ("rsa", "two")] {
        keygen(&server.path(name), kind, "");
        certify(&server, name, &["-n", "root"]);
        // ssh-add takes the certificate along.
        let agent = agent(&server, &[name]);
        let mut options = options(&server, &[]);
        options.agent = Some(server.path("agent"));
        connect(&server.target(), &options).await.unwrap();
        drop(agent);
        std::fs::remove_file(server.path("agent")).unwrap();
    }
    server.wait_for("Accepted publickey for root");
    server.wait_for("RSA-CERT");
}

#[tokio::test]
async fn a_locked_key_with_a_certificate_is_unlocked_for_it() {
    let Some(server) = server() else { return };
    keygen(&server.path("locked"), "ed25519", "open sesame");
    certify(&server, "locked", &["-n", "root"]);
    let operator = crate::server::Operator {
        passphrase: "open sesame",
        answer: shipit::ssh::Answer::Refused,
        asked: std::sync::Arc::default(),
    };
    let mut options = server.options_with(operator);
    options.identities = vec![server.path("locked")];
    connect(&server.target(), &options).await.unwrap();
}

#[tokio::test]
async fn what_is_wrong_with_a_certificate_is_said() {
    let Some(server) = server() else { return };
    let cases: [(&str, &[&str], &str); 3] = [
        ("expired", &["-n", "root", "-V", "20200101Z:20210203040506Z"], "expired at 2021-02-03T04:05:06Z"),
        ("early", &["-n", "root", "-V", "20990101Z:20991231Z"], "not valid before 2099"),
        ("elsewhere", &["-n", "deploy,ops"], "is for deploy, ops, and not for root"),
    ];
    for (name, arguments, words) in cases {
        keygen(&server.path(name), "ed25519", "");
        certify(&server, name, arguments);
        let failure = failure(server.refusal(&options(&server, &[name])).await);
        let attempt = failure
            .tried
            .iter()
            .find(|attempt| matches!(attempt.credential, Credential::Certificate(_)))
            .unwrap()
            .to_string();
        assert!(attempt.contains(words), "{attempt}");
        assert!(attempt.contains("ssh-ed25519-cert-v01@openssh.com SHA256:"), "{attempt}");
    }
    // What is out of date comes last, and does not cost the try of a key that would do.
    let failure = failure(server.refusal(&options(&server, &["expired", "id"])).await);
    let order: Vec<_> = failure.tried.iter().map(|attempt| attempt.credential.clone()).collect();
    let file = |name: &str| Credential::File(server.path(name));
    assert_eq!(
        order,
        [file("expired"), file("id"), Credential::Certificate(server.path("expired-cert.pub"))]
    );
    // Files that are none.
    let mut options = options(&server, &["id"]);
    std::fs::write(server.path("garbage"), "garbage").unwrap();
    certify(&server, "ca", &["-h", "-n", "localhost"]);
    options.certificates = ["garbage", "missing", "ca-cert.pub"].map(|name| server.path(name)).into();
    let failure = self::failure(server.refusal(&options).await);
    let said: Vec<String> = failure.tried.iter().map(ToString::to_string).collect();
    for words in ["it is not a certificate", "there is no such file", "certificate of a host"] {
        assert!(said.iter().any(|line| line.contains(words)), "{words}: {said:?}");
    }
}

#[tokio::test]
async fn the_public_half_will_do_to_name_a_key_of_the_agent() {
    let Some(server) = Server::start("MaxAuthTries 2") else { return };
    let names = ["a", "b", "c"];
    names.iter().for_each(|name| keygen(&server.path(name), "ed25519", ""));
    let _agent = agent(&server, &["a", "b", "c", "id"]);
    let id: PathBuf = server.path("id.pub");
    let mut options = server.options();
    options.agent = Some(server.path("agent"));
    // Four keys are too many for it.
    options.identities.clear();
    failure(server.refusal(&options).await);
    options.agent_keys = AgentKeys::Named;
    for identity in [id.clone(), server.path("id")] {
        options.identities = vec![identity];
        connect(&server.target(), &options).await.unwrap();
        // The second time the private half is gone, and its public one beside.
        let _ = std::fs::remove_file(server.path("id"));
    }
    options.agent = None;
    let failure = failure(server.refusal(&options).await);
    assert_eq!(outcomes(&failure), [AttemptOutcome::OnlyPublic]);
}
