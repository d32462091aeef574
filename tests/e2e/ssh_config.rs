//! What `ssh HOST` reaches, shipit reaches, with nothing in the manifest but the name.
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use crate::harness::Project;
use crate::hosts::relay::{Direction, Link, Relay};
use crate::hosts::{TestUser, UserOptions};

/// The project of a user that is known to the manifest as `web` only, and a configuration that knows the rest.
fn project(user: &TestUser, config: &str) -> Option<Project> {
    user.key_path.as_ref()?;
    let mut project = Project::quick(user);
    project.edit("deploy.yaml", &user.destination(), "web");
    project.key = None;
    configure(&project, config);
    Some(project)
}

fn configure(project: &Project, config: &str) {
    project.write("home/.ssh/config", config);
    let path = project.path("home/.ssh/config");
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
}

/// The block of a configuration that leads to a user.
fn block(name: &str, user: &TestUser, more: &str) -> String {
    let key = user.key_path.as_deref().unwrap_or(Path::new("none"));
    format!(
        "Host {name}\n  HostName {}\n  Port {}\n  User {}\n  IdentityFile {}\n  {more}\n",
        user.host,
        user.port,
        user.user,
        key.display()
    )
}

#[test]
fn a_manifest_with_a_name_only_and_everything_else_in_ssh_config() {
    let Some(user) = TestUser::new(UserOptions::default()) else { return };
    let Some(project) = project(&user, &block("web", &user, "")) else { return };
    project.deploy().says("1 host deployed");
    let ran = project.shipit(&["status", "prod"]).exits(0);
    assert!(ran.stdout.contains("active"), "{}", ran.all());
    // And without it there is no such host.
    project
        .shipit(&["status", "prod", "--ssh-config", "none"])
        .exits(5)
        .says("cannot find the address of web");
}

#[test]
fn a_deploy_through_a_jump_host_by_its_own_user_and_key() {
    let Some(user) = TestUser::new(UserOptions::default()) else { return };
    let Some(gate) = TestUser::new(UserOptions::default()) else { return };
    let config = block("web", &user, "ProxyJump gate") + &block("gate", &gate, "");
    let Some(project) = project(&user, &config) else { return };
    let ran = project.shipit(&["deploy", "prod", "--format", "json"]).exits(0);
    let via = format!("\"via\":[\"{}@{}:{}\"]", gate.user, gate.host, gate.port);
    assert!(ran.stdout.contains(&via), "{}", ran.all());
    project.deploy().says("nothing to do").says(&format!("via {}@{}", gate.user, gate.host));
    let ran = project.shipit(&["logs", "prod"]).exits(0);
    assert!(ran.stdout.contains("started in"), "{}", ran.all());
    // The host saw the jump host, and not the machine that shipit runs on.
    user.await_journal();
    let from = user.run_as_root(&format!(
        "journalctl -q -t sshd --no-pager -o cat | grep 'Accepted publickey for {} ' | tail -n 1",
        user.user
    ));
    assert!(from.contains(&format!("from {} ", user.host)), "{from}");
}

#[test]
fn a_jump_host_that_is_not_known_or_does_not_let_us_in_is_named() {
    let Some(user) = TestUser::new(UserOptions::default()) else { return };
    let Some(gate) = TestUser::new(UserOptions::default()) else { return };
    let config =
        block("web", &user, "ProxyJump gate") + &block("gate", &gate, "UserKnownHostsFile /dev/null");
    let Some(project) = project(&user, &config) else { return };
    let named = format!("no way through the jump host {}@{}", gate.user, gate.host);
    project.shipit(&["deploy", "prod"]).exits(6).says(&named).says("is not known");
    let stranger = block("gate", &gate, "").replace(&gate.user, "nobody-like-that");
    configure(&project, &(block("web", &user, "ProxyJump gate") + &stranger));
    let ran = project.shipit(&["deploy", "prod"]).exits(5);
    ran.says("no way through the jump host nobody-like-that@").says("did not accept the key");
    ran.says("nothing was changed on the host");
}

#[test]
fn a_jump_host_that_is_cut_off_leaves_the_host_on_a_complete_release() {
    let Some(user) = TestUser::new(UserOptions::default()) else { return };
    let Some(mut gate) = TestUser::new(UserOptions::default()) else { return };
    let relay = Relay::start(gate.address(), Link::default()).unwrap();
    let keys = fs::read_to_string(&gate.known_hosts).unwrap();
    gate.go_through(&relay);
    let config = block("web", &user, "ProxyJump gate") + &block("gate", &gate, "");
    let Some(project) = project(&user, &config) else { return };
    let both = keys + &fs::read_to_string(&gate.known_hosts).unwrap();
    project.write("home/.ssh/known_hosts", &both);
    project.deploy();
    let before = relay.final_counts().bytes_to_client;
    project.edit(&format!("{}.conf", project.name), "North Carolina", "place 0");
    project.deploy();
    let whole = relay.final_counts().bytes_to_client - before;
    for place in 1..=3 {
        project.edit(
            &format!("{}.conf", project.name),
            &format!("place {}", place - 1),
            &format!("place {place}"),
        );
        relay.cut_after(Direction::ToClient, whole * place / 4);
        let ran = project.shipit(&["deploy", "prod"]);
        assert!(matches!(ran.code, Some(0 | 3 | 5)), "{}", ran.all());
        project.assert_current_is_complete(&user);
    }
    project.deploy();
    assert_eq!(project.property(&user, "ActiveState"), "active");
}

#[test]
fn what_is_wrong_with_the_configuration_is_said_before_anything_is_connected_to() {
    let Some(user) = TestUser::new(UserOptions::default()) else { return };
    let Some(project) = project(&user, &(block("web", &user, "") + "  Prot 22\n")) else { return };
    let ran = project.shipit(&["deploy", "prod"]).exits(2);
    ran.says(".ssh/config").says("7").says("prot").never_says("connected to");
}
