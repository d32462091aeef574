//! Nothing is sent to a host whose key is not the one that is known, and the operator sees what stands against it.
use std::fs;
use std::process::Command;

use crate::harness::{Child, Project};
use crate::hosts::{TestUser, UserOptions};

const KNOWN: &str = "home/.ssh/known_hosts";

/// `SHA256:...` of a known_hosts file's keys, as ssh-keygen has them.
fn fingerprints(project: &Project) -> Vec<String> {
    let output = Command::new("ssh-keygen").arg("-lf").arg(project.path(KNOWN)).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().filter_map(|line| line.split(' ').nth(1)).map(str::to_owned).collect()
}

/// A key pair in the project's folder, and its public part as `type base64`.
fn new_key(project: &Project, name: &str, passphrase: &str) -> String {
    let made = Command::new("ssh-keygen")
        .args(["-q", "-t", "ed25519", "-C", "test", "-N", passphrase, "-f"])
        .arg(project.path(name))
        .status();
    assert!(made.unwrap().success());
    let public = fs::read_to_string(project.path(&format!("{name}.pub"))).unwrap();
    public.trim().rsplit_once(' ').unwrap().0.to_owned()
}

/// Whether sshd has let the user in since the test began, or turned it away: it was told the user's name.
fn reached_login(user: &TestUser) -> bool {
    user.journal("-t sshd").contains(&user.user)
}

#[test]
fn an_unknown_key_is_refused_without_a_terminal_and_the_host_hears_no_name() {
    let Some(user) = TestUser::new(UserOptions::default()) else { return };
    let project = Project::quick(&user);
    let known = fingerprints(&project);
    project.write(KNOWN, "");
    let ran = project.shipit(&["deploy", "prod"]).exits(6);
    assert!(known.iter().any(|key| ran.stderr.contains(key)), "no fingerprint in:\n{}", ran.all());
    ran.says("is not known").says("--accept-new-host-keys").says("nothing was changed on the host");
    assert_eq!(fs::read_to_string(project.path(KNOWN)).unwrap(), "");
    if user.key_path.is_some() {
        assert!(!reached_login(&user), "the user's name was sent to a host that is not known");
    }
}

#[test]
fn a_new_key_is_added_when_the_operator_says_so_and_known_afterwards() {
    let Some(user) = TestUser::new(UserOptions::default()) else { return };
    let project = Project::quick(&user);
    let known = fingerprints(&project);
    fs::remove_file(project.path(KNOWN)).unwrap();
    project.shipit(&["deploy", "prod", "--accept-new-host-keys"]).exits(0);
    assert!(fingerprints(&project).iter().all(|key| known.contains(key)));
    project.deploy().says("nothing to do");
}

#[test]
fn a_changed_key_is_always_refused_with_both_fingerprints_and_the_line() {
    let Some(user) = TestUser::new(UserOptions::default()) else { return };
    let project = Project::quick(&user);
    let right = fingerprints(&project);
    let other = new_key(&project, "other", "");
    let before = fs::read_to_string(project.path(KNOWN)).unwrap();
    let host = before.split(' ').next().unwrap();
    project.write(KNOWN, &format!("# the office\n{host} {other}\n"));
    let [wrong] = &fingerprints(&project)[..] else { panic!("one key") };
    for arguments in
        [&["deploy", "prod"][..], &["deploy", "prod", "--accept-new-host-keys"], &["plan", "prod"]]
    {
        let ran = project.shipit(arguments).exits(6);
        ran.says("is not the one on file").says(wrong).says("known_hosts:2").says("ssh-keygen -R");
        assert!(
            right.iter().any(|key| ran.stderr.contains(key)),
            "the host's own is missing:\n{}",
            ran.all()
        );
        ran.says("nothing was changed on the host");
    }
    let (ran, _) = (project.shipit_on_a_terminal(&["deploy", "prod"], &[]), ());
    assert_eq!(ran.code, Some(6), "not even asked about on a terminal: {}", ran.all());
    if user.key_path.is_some() {
        assert!(!reached_login(&user));
    }
}

#[test]
fn a_revoked_key_is_refused_even_when_it_is_known_as_well() {
    let Some(user) = TestUser::new(UserOptions::default()) else { return };
    let project = Project::quick(&user);
    let known = fs::read_to_string(project.path(KNOWN)).unwrap();
    let revoked: String = known.lines().map(|line| format!("@revoked {line}\n")).collect();
    project.write(KNOWN, &(known + &revoked));
    project.shipit(&["deploy", "prod", "--accept-new-host-keys"]).exits(6).says("has been revoked");
}

#[test]
fn on_a_terminal_an_unknown_key_is_asked_about() {
    let Some(user) = TestUser::new(UserOptions::default()) else { return };
    let project = Project::quick(&user);
    let known = fs::read_to_string(project.path(KNOWN)).unwrap();
    project.write(KNOWN, "");
    let no = project.shipit_on_a_terminal(&["deploy", "prod"], &[("Trust it from now on?", "n")]);
    assert_eq!(no.code, Some(6), "{}", no.all());
    assert_eq!(fs::read_to_string(project.path(KNOWN)).unwrap(), "");
    let yes = project.shipit_on_a_terminal(&["deploy", "prod"], &[("Trust it from now on?", "yes")]);
    assert_eq!(yes.code, Some(0), "{}", yes.all());
    assert!(yes.stdout.contains("SHA256:"), "{}", yes.all());
    assert!(!known.is_empty() && !fingerprints(&project).is_empty());
}

#[test]
fn a_key_that_the_host_does_not_take_is_named() {
    let Some(user) = TestUser::new(UserOptions::default()) else { return };
    let Some(_) = user.key_path else { return };
    let mut project = Project::quick(&user);
    let public = new_key(&project, "stranger", "");
    project.key = Some(project.path("stranger"));
    let ran = project.shipit(&["deploy", "prod"]).exits(5);
    ran.says("did not accept the key").says("stranger").says("authorized_keys");
    ran.says("nothing was changed on the host").never_says(&public[20..]);
}

#[test]
fn without_any_key_it_says_where_it_looked() {
    let Some(user) = TestUser::new(UserOptions::default()) else { return };
    let Some(_) = user.key_path else { return };
    let mut project = Project::quick(&user);
    project.key = None;
    let mut command = project.command(&["deploy", "prod"]);
    command.env_remove("SSH_AUTH_SOCK");
    let ran = crate::harness::Ran::of(&command.output().unwrap()).exits(5);
    ran.says("there is no key to log in with").says("--identity").says("ssh-add");
}

#[test]
fn the_agents_key_opens_the_door() {
    let Some(user) = TestUser::new(UserOptions::default()) else { return };
    let Some(key) = &user.key_path else { return };
    let mut project = Project::quick(&user);
    project.key = None;
    let socket = project.path("agent.sock");
    let _agent = Child::spawn(Command::new("ssh-agent").arg("-D").arg("-a").arg(&socket));
    crate::hosts::wait_for("the agent's socket", std::time::Duration::from_secs(10), || socket.exists());
    let added = Command::new("ssh-add").arg("-q").arg(key).env("SSH_AUTH_SOCK", &socket).output().unwrap();
    assert!(added.status.success(), "{added:?}");
    let mut command = project.command(&["deploy", "prod"]);
    command.env("SSH_AUTH_SOCK", &socket);
    crate::harness::Ran::of(&command.output().unwrap()).exits(0);
}

#[test]
fn an_encrypted_key_asks_for_its_passphrase_once_for_all_hosts() {
    let Some(user) = TestUser::new(UserOptions::default()) else { return };
    let Some(_) = user.key_path else { return };
    let mut project = Project::quick(&user);
    let public = new_key(&project, "locked", "open sesame");
    user.run(&format!("echo '{public}' >>~/.ssh/authorized_keys"));
    project.key = Some(project.path("locked"));
    let ran = project.shipit(&["deploy", "prod"]).exits(5);
    ran.says("it is encrypted and there is no terminal to ask on");
    let ran = project.shipit_on_a_terminal(&["deploy", "prod"], &[("Passphrase for", "open sesame")]);
    assert_eq!(ran.code, Some(0), "{}", ran.all());
    assert_eq!(ran.stdout.matches("Passphrase for").count(), 1, "{}", ran.all());
    ran.never_says("open sesame");
}
