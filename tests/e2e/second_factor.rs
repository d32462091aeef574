//! A host that wants a key, and then answers to what PAM asks.
use std::fs;

use crate::harness::Project;
use crate::hosts::{Sudo, TestUser, UserOptions};

/// An sshd of its own on the user's host, with PAM rules of its own. Ends when dropped.
pub(crate) struct SecondDoor<'a> {
    user: &'a TestUser,
    name: String,
    port: u16,
}

impl<'a> SecondDoor<'a> {
    fn open(user: &'a TestUser, methods: &str) -> Self {
        // The second module gets the first one's answer, by PAM's rules.
        Self::asking(user, methods, &["auth required pam_unix.so", &echo(user), "auth required pam_unix.so"])
    }

    /// One that asks for the password, and in the next round for this code.
    pub(crate) fn with_a_code(user: &'a TestUser, code: &str) -> Self {
        let name = user.service_name("door");
        let check = format!("auth required pam_exec.so quiet expose_authtok /run/{name}-code");
        // pam_ftp asks, and believes nobody; its answer goes on to the program, which gets it by standard input.
        let rules = ["auth required pam_unix.so", &echo(user), "auth [default=ignore] pam_ftp.so", &check];
        user.run_as_root(&format!(
            "printf '%s\\n' '#!/bin/sh' '[ \"$(tr -d \"\\0\")\" = {code} ]' >/run/{name}-code; chmod 755 /run/{name}-code"
        ));
        Self::asking(user, "publickey,keyboard-interactive", &rules)
    }

    fn asking(user: &'a TestUser, methods: &str, rules: &[&str]) -> Self {
        let rules: String = rules.iter().map(|rule| format!("'{rule}' ")).collect();
        let name = user.service_name("door");
        let port = user.unique_port();
        // PAM knows a program by its name.
        user.run_as_root(&format!(
            "set -e
             mkdir /run/{name}
             ln -s /usr/sbin/sshd /run/{name}/{name}
             echo 'The second step' >/run/{name}/text
             printf '%s\n' {rules} \
                 '@include common-account' '@include common-session' >/etc/pam.d/{name}
             printf '%s\n' 'Port {port}' 'UsePAM yes' 'KbdInteractiveAuthentication yes' 'PasswordAuthentication yes' \
                 'AuthenticationMethods {methods}' 'PidFile none' 'Subsystem sftp internal-sftp' >/run/{name}/config
             systemd-run --quiet --collect --unit={name} /run/{name}/{name} -D -f /run/{name}/config
             until ss -Hltn | grep -q ':{port} '; do sleep 0.02; done"
        ));
        Self { user, name, port }
    }

    /// A project that goes through it.
    pub(crate) fn project(&self) -> Project {
        let project = Project::quick(self.user);
        project.edit("deploy.yaml", &self.user.destination(), &format!("{}:{}", self.login(), self.port));
        let known = fs::read_to_string(project.path("home/.ssh/known_hosts")).unwrap();
        let keys = known.lines().filter_map(|line| line.split_once(' '));
        let lines: String =
            keys.map(|(_, key)| format!("[{}]:{} {key}\n", self.user.host, self.port)).collect();
        project.write("home/.ssh/known_hosts", &lines);
        project
    }

    pub(crate) fn login(&self) -> String {
        format!("{}@{}", self.user.user, self.user.host)
    }
}

impl Drop for SecondDoor<'_> {
    fn drop(&mut self) {
        let name = &self.name;
        let _ = self
            .user
            .root(&format!("systemctl stop {name}; rm -rf /run/{name} /run/{name}-code /etc/pam.d/{name}"));
    }
}

/// The rule that has PAM say something.
fn echo(user: &TestUser) -> String {
    format!("auth optional pam_echo.so file=/run/{}/text", user.service_name("door"))
}

pub(crate) fn user() -> Option<TestUser> {
    TestUser::new(UserOptions { sudo: Sudo::Password, ..UserOptions::default() })
}

#[test]
fn a_deploy_past_a_key_and_a_question_of_pam() {
    let Some(user) = user() else { return };
    let door = SecondDoor::open(&user, "publickey,keyboard-interactive");
    let project = door.project();
    let password = user.password.clone().unwrap();
    let asks = format!("({}:{}) Password: ", door.login(), door.port);
    let ran = project.shipit_on_a_terminal(
        &["deploy", "prod", "-vvv"],
        &[(&asks, &password), ("sudo password on", &password)],
    );
    assert_eq!(ran.code, Some(0), "{}", ran.all());
    assert!(ran.stdout.contains("1 host deployed"), "{}", ran.all());
    ran.never_says(&password);
    assert_eq!(ran.stdout.matches(&asks).count(), 1, "{}", ran.all());
    assert!(ran.stdout.contains("The second step"), "what PAM says is shown with -v: {}", ran.all());
    let journal = user.journal("-o cat");
    assert!(
        journal.contains(&format!("Accepted keyboard-interactive/pam for {}", user.user)),
        "it was PAM that let us in, after the key"
    );
    assert!(!journal.contains(&password));
    // Nobody is there to answer.
    let ran = project.shipit(&["deploy", "prod"]).exits(5);
    ran.says("wants more than one proof").says("SSH_ASKPASS");
}

#[test]
fn a_deploy_with_a_password_and_no_key() {
    let Some(user) = user() else { return };
    let door = SecondDoor::open(&user, "password");
    let mut project = door.project();
    project.key = None;
    let password = user.password.clone().unwrap();
    let asks = format!("{}'s password: ", door.login());
    let ran = project.shipit_on_a_terminal(
        &["deploy", "prod"],
        &[(&asks, "wrong"), ("Sorry, that was not it", &password), ("sudo password on", &password)],
    );
    assert_eq!(ran.code, Some(0), "{}", ran.all());
    assert!(ran.stdout.contains("1 host deployed"), "{}", ran.all());
    ran.never_says(&password);
}

#[test]
fn pam_asks_for_a_password_and_in_another_round_for_a_code() {
    let Some(user) = user() else { return };
    let door = SecondDoor::with_a_code(&user, "918273");
    let project = door.project();
    let password = user.password.clone().unwrap();
    let login = format!("({}:{})", door.login(), door.port);
    let (asks, for_the_code) =
        (format!("{login} Password: "), format!("{login} The second step Password required for"));
    let again = format!("answers to the server's questions: refused by the server\r\n{asks}");
    let ran = project.shipit_on_a_terminal(
        &["deploy", "prod", "-v"],
        &[
            (&asks, &password),
            (&for_the_code, "000000"),
            // Both are asked for again: which of them was wrong is not said.
            (&again, &password),
            (&format!("{again}\r\n{for_the_code}"), "918273"),
            ("sudo password on", &password),
        ],
    );
    assert_eq!(ran.code, Some(0), "{}", ran.all());
    assert!(ran.stdout.contains("1 host deployed"), "{}", ran.all());
    ran.never_says(&password).never_says("918273").never_says("000000");
    let journal = user.journal("-o cat");
    assert!(journal.contains(&format!("Accepted keyboard-interactive/pam for {}", user.user)));
}
