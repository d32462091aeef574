//! A release that hangs, in its start, in its stop or in a hook, holds nobody up: not for longer than systemd lets it, not
//! when the client is gone, and never on the way back.
use std::fs;
use std::time::{Duration, Instant};

use crate::harness::{Child, Project, Standing};
use crate::hosts::relay::{Link, Relay};
use crate::hosts::{TestUser, UserOptions, wait_for};
use crate::trial::{AT_ONCE, GRACE, is_in_order, never_well, settled};

/// After a silent cut the lock is free within this, and the client taken for gone.
const SILENCE: Duration = Duration::from_secs(20);

/// Does what it is told by nobody but SIGKILL.
const DEAF: &str = "#!/bin/sh\necho deaf\ntrap '' TERM\nwhile :; do sleep 1; done\n";

const WELL: &str = "#!/bin/sh\necho mended\nexec sleep infinity\n";

/// A project whose good first release runs.
fn with_a_good_release(user: &TestUser) -> (Project, Standing) {
    let project = Project::quick(user);
    project.deploy();
    let before = project.standing(user);
    (project, before)
}

/// The next release is never ready, for as long as systemd waits.
fn never_ready(project: &Project, limit: &str) {
    let lines = format!("Type=notify\nTimeoutStartSec={limit}\nRestart=always");
    project.edit(&format!("{}.service", project.name), "Restart=always", &lines);
}

fn ready(project: &Project) {
    let unit = format!("{}.service", project.name);
    let text = fs::read_to_string(project.path(&unit)).unwrap();
    let lines = text.lines().filter(|line| !line.starts_with("Type=") && !line.starts_with("Timeout"));
    project.write(&unit, &lines.map(|line| format!("{line}\n")).collect::<String>());
}

/// Starts a deploy, and returns while the unit hangs in its start.
fn deploy_until_it_hangs(project: &Project, user: &TestUser, before: &Standing) -> Child {
    let deploy = Child::spawn(&mut project.command(&["deploy", "prod"]));
    wait_for("a start that hangs", Duration::from_secs(20), || {
        project.current(user) != before.current && project.property(user, "SubState") == "start"
    });
    deploy
}

/// The program of the service, by its processes; one line each.
fn processes(project: &Project, user: &TestUser) -> String {
    user.run(&format!("pgrep -u $(id -u) -f '^/bin/sh /usr/local/bin/{}'; true", project.name))
}

#[test]
fn a_start_that_systemd_gives_up_is_said_to_be_that() {
    let Some(user) = TestUser::new(UserOptions::default()) else { return };
    let (project, before) = with_a_good_release(&user);
    never_ready(&project, "2s");
    let ran = project.shipit(&["deploy", "prod"]).exits(3);
    ran.says(&format!("{}.service was not up within 2s, its TimeoutStartSec=", project.name));
    ran.says("READY=1").says("FAILED (reverted)").says("runs again, as before");
    // What the service itself said.
    ran.says("started in North Carolina");
    project.standing(&user).is_back_at(&before);
    ready(&project);
    is_in_order(&project, &user);
}

#[test]
fn a_client_that_is_killed_while_a_start_hangs_is_noticed_at_once() {
    let Some(user) = TestUser::new(UserOptions::default()) else { return };
    let (project, before) = with_a_good_release(&user);
    never_ready(&project, "infinity");
    let deploy = deploy_until_it_hangs(&project, &user, &before);
    deploy.signal("KILL");
    wait_for("the way back", AT_ONCE, || settled(&project, &user));
    project.standing(&user).is_back_at(&before);
    ready(&project);
    is_in_order(&project, &user);
}

#[test]
fn a_connection_that_breaks_while_a_start_hangs_is_told_of_the_way_back() {
    let Some(user) = TestUser::new(UserOptions::default()) else { return };
    let (project, before) = with_a_good_release(&user);
    never_ready(&project, "infinity");
    let relay = Relay::start(user.address(), Link::default()).unwrap();
    let direct = through(&project, &user, &relay);
    let deploy = deploy_until_it_hangs(&project, &user, &before);
    relay.cut();
    let ran = deploy.wait().exits(3);
    ran.says("trying to reach it again").says("FAILED (reverted)").says("runs again, as before");
    project.standing(&user).is_back_at(&before);
    direct.restore(&project);
    ready(&project);
    is_in_order(&project, &user);
}

#[test]
fn a_silent_cut_while_a_start_hangs_is_noticed_in_time() {
    let Some(user) = TestUser::new(UserOptions::default()) else { return };
    let (project, before) = with_a_good_release(&user);
    never_ready(&project, "infinity");
    project.edit("deploy.yaml", "settle: 0s\n", "settle: 0s\nconfirm_timeout: 2s\n");
    let relay = Relay::start(user.address(), Link::default()).unwrap();
    let direct = through(&project, &user, &relay);
    let deploy = deploy_until_it_hangs(&project, &user, &before);
    relay.go_silent();
    wait_for("the way back", SILENCE + GRACE, || settled(&project, &user));
    project.standing(&user).is_back_at(&before);
    drop(deploy);
    direct.restore(&project);
    ready(&project);
    is_in_order(&project, &user);
}

/// Nobody is left who could tell the run that its client is gone.
#[test]
fn a_run_that_hangs_with_nobody_left_is_ended_by_the_next_deploy() {
    let Some(user) = TestUser::new(UserOptions::default()) else { return };
    if user.key_path.is_none() {
        return;
    }
    let (project, before) = with_a_good_release(&user);
    never_ready(&project, "infinity");
    project.edit("deploy.yaml", "settle: 0s\n", "settle: 0s\nconfirm_timeout: 2s\n");
    let deploy = deploy_until_it_hangs(&project, &user, &before);
    deploy.signal("STOP");
    user.kill_sessions();
    deploy.signal("KILL");
    drop(deploy);
    assert!(!settled(&project, &user));
    ready(&project);
    project.write("service.sh", WELL);
    let ran = project.shipit(&["deploy", "prod"]).exits(0);
    ran.says("waiting: an activation of this service is under way").says("1 host deployed");
    ran.says(&format!("replaces {}", before.current.trim_start_matches("releases/")));
}

#[test]
fn a_hook_and_a_watch_end_with_their_client() {
    let Some(user) = TestUser::new(UserOptions::default()) else { return };
    let (project, _) = with_a_good_release(&user);
    let manifest = fs::read_to_string(project.path("deploy.yaml")).unwrap();
    let hook =
        "hooks:\n  after_activate: [ { run: 'touch ~/begun; trap \"\" HUP; sleep 4715', timeout: 5m } ]\n";
    let watch = manifest.replace("settle: 0s", "settle: 10m\nconfirm_timeout: 11m");
    for (number, manifest) in [manifest.clone() + hook, watch].iter().enumerate() {
        let before = project.standing(&user);
        project.write("deploy.yaml", manifest);
        project
            .write("service.sh", &format!("#!/bin/sh\necho {number}; touch ~/begun\nexec sleep infinity\n"));
        user.run("rm -f ~/begun");
        let deploy = Child::spawn(&mut project.command(&["deploy", "prod"]));
        wait_for("the hook, or the service", Duration::from_secs(20), || {
            user.ssh("test -e ~/begun").status.success()
        });
        deploy.signal("KILL");
        wait_for("the way back", AT_ONCE, || settled(&project, &user));
        project.standing(&user).is_back_at(&before);
        assert_eq!(user.run("pgrep -u $(id -u) -x -f 'sleep 4715'; true"), "");
    }
    project.write("deploy.yaml", &manifest);
    is_in_order(&project, &user);
}

/// What the session's shell is at goes to its end; the switch never begins.
#[test]
fn a_client_that_is_killed_before_the_switch_has_nothing_switched() {
    let Some(user) = TestUser::new(UserOptions::default()) else { return };
    let (project, before) = with_a_good_release(&user);
    let manifest = fs::read_to_string(project.path("deploy.yaml")).unwrap();
    let hook = "hooks:\n  before_activate: [ { run: 'touch ~/begun; sleep 2; touch ~/ended' } ]\n";
    project.write("deploy.yaml", &(manifest.clone() + hook));
    project.write("service.sh", WELL);
    let deploy = Child::spawn(&mut project.command(&["deploy", "prod"]));
    let there = |file: &str| user.ssh(&format!("test -e ~/{file}")).status.success();
    wait_for("the hook", Duration::from_secs(20), || there("begun"));
    deploy.signal("KILL");
    wait_for("the end of the hook", AT_ONCE, || there("ended"));
    wait_for("the end of the run", AT_ONCE, || settled(&project, &user));
    assert_eq!(project.standing(&user), before);
    project.write("deploy.yaml", &manifest);
    is_in_order(&project, &user);
}

/// P3, for a release that does not want to go.
#[test]
fn a_release_that_ignores_sigterm_does_not_hold_up_the_way_back() {
    let Some(user) = TestUser::new(UserOptions::default()) else { return };
    let (project, before) = with_a_good_release(&user);
    never_well(&project, "timeout: 1s }\nconfirm_timeout: 4s");
    project.write("service.sh", DEAF);
    let patience = Duration::from_secs(4);

    let mut deploy = Child::spawn(&mut project.command(&["deploy", "prod"]));
    deploy.wait_for_output("until it answers well");
    let pending = Instant::now();
    let ran = deploy.wait().exits(3);
    assert!(pending.elapsed() < patience + GRACE, "{:?}", pending.elapsed());
    ran.says("no good answer from")
        .says(&format!("{}.service did not stop in time, and was killed", project.name));
    ran.says("FAILED (reverted)").says("runs again, as before");
    project.standing(&user).is_back_at(&before);

    // The same without a client: the host is on its own.
    let before = project.standing(&user);
    let mut deploy = Child::spawn(&mut project.command(&["deploy", "prod"]));
    deploy.wait_for_output("until it answers well");
    let pending = Instant::now();
    deploy.signal("STOP");
    wait_for("the way back", patience + GRACE, || settled(&project, &user));
    println!("back {:?} after the last step, {patience:?} of them waited", pending.elapsed());
    project.standing(&user).is_back_at(&before);
    assert_eq!(processes(&project, &user).lines().count(), 0);
    deploy.signal("KILL");
    drop(deploy);
    is_in_order(&project, &user);
}

#[test]
fn a_first_release_that_ignores_sigterm_goes_too() {
    let Some(user) = TestUser::new(UserOptions::default()) else { return };
    let project = Project::quick(&user);
    never_well(&project, "timeout: 1s }\nconfirm_timeout: 4s");
    project.write("service.sh", DEAF);
    let ran = project.shipit(&["deploy", "prod"]).exits(3);
    ran.says("did not stop in time, and was killed").says("the service is not deployed, as before");
    project.standing(&user).is_not_deployed();
    assert_eq!(processes(&project, &user), "");
    is_in_order(&project, &user);
}

#[test]
fn a_unit_that_must_not_be_killed_is_not() {
    let Some(user) = TestUser::new(UserOptions::default()) else { return };
    let (project, before) = with_a_good_release(&user);
    let unit = format!("{}.service", project.name);
    // Of the release that comes back: systemd has read its file again by the time of the stop.
    project.edit(&unit, "Restart=always", "Restart=always\nSendSIGKILL=no\nTimeoutStopSec=7s");
    project.deploy();
    let before = Standing { current: project.current(&user), ..before };
    never_well(&project, "timeout: 1s }\nconfirm_timeout: 2s");
    project.write(
        "service.sh",
        "#!/bin/sh\ntrap 'sleep 6; touch ~/orderly; exit' TERM\nwhile :; do sleep 0.1; done\n",
    );
    let ran = project.shipit(&["deploy", "prod"]).exits(3);
    ran.never_says("was killed").says("runs again, as before");
    assert_eq!(user.run("ls ~/orderly"), format!("{}/orderly\n", user.home));
    assert_eq!(project.current(&user), before.current);
}

#[test]
fn an_old_release_that_ignores_sigterm_is_left_to_systemd() {
    let Some(user) = TestUser::new(UserOptions::default()) else { return };
    let project = Project::quick(&user);
    project.edit(&format!("{}.service", project.name), "Restart=always", "Restart=always\nTimeoutStopSec=3s");
    project.write("service.sh", DEAF);
    project.deploy();
    wait_for("the trap", AT_ONCE, || processes(&project, &user).lines().count() == 1);
    project.write("service.sh", WELL);
    let start = Instant::now();
    project.deploy().says("mended").never_says("was killed");
    assert!(start.elapsed() >= Duration::from_secs(3), "{:?}", start.elapsed());
    assert_eq!(processes(&project, &user), "");
}

#[test]
fn a_service_that_dies_after_five_seconds_is_noticed_as_far_as_it_is_watched() {
    let Some(user) = TestUser::new(UserOptions::default()) else { return };
    let (project, before) = with_a_good_release(&user);
    project.edit(&format!("{}.service", project.name), "Restart=always", "Restart=no");
    project.write("service.sh", "#!/bin/sh\necho up\nsleep 5\necho 'lost the database' >&2\nexit 9\n");
    project.edit("deploy.yaml", "settle: 0s", "settle: 8s");
    let ran = project.shipit(&["deploy", "prod"]).exits(3);
    ran.says("failed: status=9").says("lost the database").says("runs again, as before");
    project.standing(&user).is_back_at(&before);

    project.edit("deploy.yaml", "settle: 8s", "settle: 1s");
    project.deploy().says("stayed up for 1 s");
    let status = || project.shipit(&["status", "prod"]).exits(0).stdout;
    wait_for("its end", Duration::from_secs(10), || status().contains("failed (failed)"));
    assert!(status().contains(project.current(&user).trim_start_matches("releases/")));
    project.write("service.sh", WELL);
    project.deploy().says("mended");
}

/// How a project went straight to its host.
struct Direct {
    manifest: String,
    known_hosts: String,
}

impl Direct {
    fn restore(&self, project: &Project) {
        let now = fs::read_to_string(project.path("deploy.yaml")).unwrap();
        let line = |text: &str| text.lines().find(|line| line.contains("hosts:")).unwrap().to_owned();
        project.edit("deploy.yaml", &line(&now), &line(&self.manifest));
        project.write("home/.ssh/known_hosts", &self.known_hosts);
    }
}

/// Leads a project's deploys through a relay.
fn through(project: &Project, user: &TestUser, relay: &Relay) -> Direct {
    let read = |name: &str| fs::read_to_string(project.path(name)).unwrap();
    let direct = Direct { manifest: read("deploy.yaml"), known_hosts: read("home/.ssh/known_hosts") };
    let at = relay.address();
    let line = |line: &str| format!("[{}]:{} {}\n", at.ip(), at.port(), line.split_once(' ').unwrap().1);
    project.write("home/.ssh/known_hosts", &direct.known_hosts.lines().map(line).collect::<String>());
    project.edit("deploy.yaml", &user.destination(), &format!("{}@{at}", user.user));
    direct
}
