//! Passwords, questions, and several proofs in a row.

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex};

use secrecy::SecretString;
use shipit::ssh::{
    Answer, AttemptOutcome, AuthenticationFailure, Credential, Echo, HostKeyQuestion, LoginQuestion, Method,
    Prompt, SshError, connect,
};

use crate::gate::{Gate, Proof, Round};
use crate::server::{Nobody, Server, keygen};

/// Somebody who knows the answers, and keeps the questions.
#[derive(Clone, Default)]
struct Person {
    /// By the question; the last one stays.
    answers: Arc<Mutex<HashMap<&'static str, Vec<&'static str>>>>,
    asked: Arc<Mutex<Vec<LoginQuestion>>>,
}

impl Person {
    fn who_says(answers: &[(&'static str, &[&'static str])]) -> Self {
        let answers = answers.iter().map(|(question, answers)| (*question, answers.to_vec())).collect();
        Self { answers: Arc::new(Mutex::new(answers)), asked: Arc::default() }
    }

    fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().iter().map(|question| question.text.clone()).collect()
    }
}

impl Prompt for Person {
    fn is_there(&self) -> bool {
        true
    }

    fn passphrase(&self, _: &Path) -> Option<SecretString> {
        None
    }

    fn answer(&self, question: &LoginQuestion) -> Option<SecretString> {
        self.asked.lock().unwrap().push(question.clone());
        let mut answers = self.answers.lock().unwrap();
        let known = answers.get_mut(question.text.trim())?;
        let answer = if known.len() > 1 { known.remove(0) } else { *known.first()? };
        Some(answer.into())
    }

    fn accept_host_key(&self, _: &HostKeyQuestion) -> Answer {
        Answer::Refused
    }
}

fn failure(error: SshError) -> AuthenticationFailure {
    match error {
        SshError::Authentication(failure) => *failure,
        other => panic!("{other:?}"),
    }
}

fn code(right: &'static str) -> Vec<Round> {
    vec![Round { questions: vec![("Verification code: ", false, right)], ..Round::default() }]
}

#[tokio::test]
async fn a_key_and_then_two_rounds_of_questions() {
    let rounds = vec![
        Round {
            name: "Two steps",
            instructions: "Look at your\nphone\u{1b}[31m",
            questions: vec![("Password: ", false, "hunter2"), ("Colour? ", true, "")],
        },
        // Nothing to answer, as with a confirmation elsewhere.
        Round { name: "", instructions: "Pushed a login request", questions: Vec::new() },
        Round { questions: vec![("Verification code: ", false, "123456")], ..Round::default() },
    ];
    let gate = Gate::start(vec![Proof::Key, Proof::Rounds(rounds)]).await;
    let person = Person::who_says(&[
        ("Password:", &["hunter2"]),
        ("Colour?", &[""]),
        ("Verification code:", &["123456"]),
    ]);
    let mut options = gate.options(person.clone());
    options.identities = gate.key();
    connect(&gate.target(), &options).await.unwrap();
    let heard =
        ["key", "keyboard-interactive", r#"answers ["hunter2", ""]"#, "answers []", r#"answers ["123456"]"#];
    assert_eq!(gate.heard(), heard);
    let asked = person.asked.lock().unwrap().clone();
    let echo: Vec<Echo> = asked.iter().map(|question| question.echo).collect();
    assert_eq!(echo, [Echo::Off, Echo::On, Echo::Off]);
    // What the server says is on the terminal, and cannot do anything there.
    assert_eq!(asked[0].preface, ["Two steps", "Look at your", "phone [31m"]);
    assert!(asked[1].preface.is_empty(), "said once");
}

#[tokio::test]
async fn a_password_is_asked_for_once_a_run_and_a_code_each_time() {
    let rounds = vec![
        Round { questions: vec![("Password: ", false, "hunter2")], ..Round::default() },
        code("1")[0].clone(),
    ];
    let gate = Gate::start(vec![Proof::Rounds(rounds)]).await;
    let person = Person::who_says(&[("Password:", &["hunter2"]), ("Verification code:", &["1"])]);
    let options = gate.options(person.clone());
    let target = gate.target();
    // At the same time, and once more.
    let (one, two) = tokio::join!(connect(&target, &options), connect(&target, &options));
    one.unwrap();
    two.unwrap();
    connect(&target, &options).await.unwrap();
    let asked = person.asked();
    let count = |text: &str| asked.iter().filter(|asked| asked.trim() == text).count();
    assert_eq!((count("Password:"), count("Verification code:")), (1, 3), "{asked:?}");
}

#[tokio::test]
async fn a_wrong_password_is_asked_for_again_three_times_and_not_kept() {
    let gate = Gate::start(vec![Proof::Password("right")]).await;
    let question = "deploy@127.0.0.1's password:";
    let person = Person::who_says(&[(question, &["wrong", "right"])]);
    let options = gate.options(person.clone());
    connect(&gate.target(), &options).await.unwrap();
    connect(&gate.target(), &options).await.unwrap();
    assert_eq!(person.asked().len(), 2);
    assert_eq!(person.asked.lock().unwrap()[1].preface, ["Sorry, that was not it."]);
    let sent = ["none", "deploy: password wrong", "deploy: password right", "none", "deploy: password right"];
    assert_eq!(gate.heard(), sent);

    let stubborn = Person::who_says(&[(question, &["wrong"])]);
    let failure = failure(connect(&gate.target(), &gate.options(stubborn.clone())).await.unwrap_err());
    assert_eq!(stubborn.asked().len(), 3);
    assert_eq!(failure.tried.len(), 3);
    assert_eq!(failure.to_string(), format!("{} did not accept the password", gate.target()));
}

#[tokio::test]
async fn a_kept_password_that_is_no_longer_right_is_asked_for_anew() {
    let gate = Gate::start(vec![Proof::Password("old")]).await;
    let person = Person::who_says(&[("deploy@127.0.0.1's password:", &["old", "new"])]);
    let options = gate.options(person.clone());
    connect(&gate.target(), &options).await.unwrap();
    // Somebody changes it in the middle of a run.
    gate.wants(vec![Proof::Password("new")]);
    connect(&gate.target(), &options).await.unwrap();
    let passwords = ["old", "old", "new"].map(|password| format!("deploy: password {password}"));
    let heard: Vec<String> = gate.heard().into_iter().filter(|heard| heard.contains("password ")).collect();
    assert_eq!(heard, passwords, "the one that was kept, once, and then the one that was asked for");
    assert_eq!(person.asked().len(), 2);
    // That one is kept now.
    connect(&gate.target(), &options).await.unwrap();
    assert_eq!(person.asked().len(), 2);
}

#[tokio::test]
async fn a_password_that_one_login_took_is_given_to_no_other() {
    let first = Gate::start(vec![Proof::Password("old")]).await;
    let question = "deploy@127.0.0.1's password:";
    let person = Person::who_says(&[(question, &["old", "new"])]);
    let options = first.options(person.clone());
    connect(&first.target(), &options).await.unwrap();
    // The same login, as far as the client can tell; the host has another password now.
    let second = Gate::start(vec![Proof::Password("new")]).await;
    let mut moved = second.options(person.clone());
    moved.passwords = options.passwords.clone();
    let target = second.target();
    // Another port is another login.
    connect(&target, &moved).await.unwrap();
    assert_eq!(person.asked().len(), 2);
    assert!(!second.heard().iter().any(|heard| heard.contains("old")), "{:?}", second.heard());
}

/// As behind two jump hosts, where one address is that of two machines.
#[tokio::test]
async fn a_password_that_one_machine_took_is_not_given_to_another_under_its_name() {
    let first = Gate::start(vec![Proof::Password("old")]).await;
    let second = Gate::start(vec![Proof::Password("new")]).await;
    let person = Person::who_says(&[("deploy@127.0.0.1's password:", &["old", "new"])]);
    let mut options = first.options(person.clone());
    let known = options.known_hosts.user[0].clone();
    let key = std::fs::read_to_string(second.dir.path().join("host.pub")).unwrap();
    let lines = std::fs::read_to_string(&known).unwrap() + &format!("[127.0.0.1]:{} {key}", first.port);
    std::fs::write(&known, lines).unwrap();
    connect(&first.target(), &options).await.unwrap();
    options.address = Some(([127, 0, 0, 1], second.port).into());
    connect(&first.target(), &options).await.unwrap();
    assert_eq!(person.asked().len(), 2);
    assert!(!second.heard().iter().any(|heard| heard.contains("old")), "{:?}", second.heard());
    // Each has its own from now on.
    connect(&first.target(), &options).await.unwrap();
    options.address = None;
    connect(&first.target(), &options).await.unwrap();
    assert_eq!(person.asked().len(), 2);
}

#[tokio::test]
async fn nobody_is_asked_where_there_is_no_terminal() {
    let gate = Gate::start(vec![Proof::Key, Proof::Rounds(code("1"))]).await;
    let mut options = gate.options(Nobody);
    options.identities = gate.key();
    let error = connect(&gate.target(), &options).await.unwrap_err();
    assert!(error.help().unwrap().contains("SSH_ASKPASS"), "{:?}", error.help());
    let failure = failure(error);
    assert!(failure.is_halfway());
    assert_eq!(
        failure.to_string(),
        format!("{} wants more than one proof, and was not given keyboard-interactive", gate.target())
    );
    assert_eq!(failure.tried.last().unwrap().outcome, AttemptOutcome::NobodyToAsk);
    // Without a key before it, it is not even begun.
    let gate = Gate::start(vec![Proof::Rounds(code("1"))]).await;
    let failure = self::failure(connect(&gate.target(), &gate.options(Nobody)).await.unwrap_err());
    assert_eq!(gate.heard(), ["none"]);
    assert_eq!(failure.tried.last().unwrap().credential, Credential::Answers);
}

#[tokio::test]
async fn a_confirmation_elsewhere_needs_no_terminal() {
    let push = vec![Round { name: "", instructions: "Pushed", questions: Vec::new() }];
    let gate = Gate::start(vec![Proof::Key, Proof::Rounds(push)]).await;
    let mut options = gate.options(Nobody);
    options.identities = gate.key();
    connect(&gate.target(), &options).await.unwrap();
    assert_eq!(gate.heard(), ["key", "keyboard-interactive", "answers []"]);
}

#[tokio::test]
async fn the_methods_are_tried_in_the_order_that_is_wanted_and_no_others() {
    let gate = Gate::start(vec![Proof::Password("right")]).await;
    let person = Person::who_says(&[("deploy@127.0.0.1's password:", &["right"])]);
    let mut options = gate.options(person.clone());
    options.identities = gate.key();
    options.methods = vec![Method::PublicKey];
    connect(&gate.target(), &options).await.unwrap_err();
    assert!(person.asked().is_empty());
    options.methods = vec![Method::Password, Method::PublicKey];
    connect(&gate.target(), &options).await.unwrap();
    assert_eq!(gate.heard(), ["key", "none", "deploy: password right"], "no key the second time");
}

#[tokio::test]
async fn an_sshd_that_wants_two_keys_gets_two() {
    let Some(server) = Server::start("AuthenticationMethods publickey,publickey") else { return };
    let mut options = server.options();
    keygen(&server.path("second"), "ed25519", "");
    let both = format!("{}\n{}\n", server.public_key("id"), server.public_key("second"));
    std::fs::write(server.path("authorized_keys"), both).unwrap();
    let failure = failure(server.refusal(&options).await);
    assert!(failure.is_halfway());
    assert_eq!(failure.tried.len(), 1, "the key that was taken is not shown again: {failure:?}");
    options.identities.push(server.path("second"));
    connect(&server.target(), &options).await.unwrap();
    server.wait_for("Partial publickey for root");
}
