//! A deploy is a transaction that lives on the host: whatever happens to the client, the network or the machine, the
//! host ends on the old release or on the new one, by itself and in time.
use std::fs;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::harness::{Child, Project};
use crate::hosts::relay::{Link, Relay};
use crate::hosts::{HostOptions, OwnHost, TestUser, UserOptions, wait_for};
use crate::trial::{AT_ONCE, GRACE, deploy_until_pending, make_well, never_well, settled, waiting};

/// The verdicts in the service's history, oldest first. Each line must be JSON with what a reader needs.
fn verdicts(project: &Project, user: &TestUser) -> Vec<String> {
    let text = user.run(&format!("cat {}/history.jsonl", project.root(user)));
    let line = |line: &str| {
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        for key in ["run", "host", "environment", "command", "shipit", "who", "to", "started", "ended"] {
            assert!(line[key].is_string(), "{key} is missing in {line}");
        }
        line["verdict"].as_str().unwrap().to_owned()
    };
    text.lines().map(line).collect()
}

#[test]
fn a_client_that_is_killed_while_the_host_waits_is_noticed_at_once() {
    let Some(user) = TestUser::new(UserOptions::default()) else { return };
    let (project, before) = waiting(&user, "timeout: 40s }");
    let deploy = deploy_until_pending(&project, &[]);
    project.assert_current_is_complete(&user);
    assert_ne!(project.current(&user), before.current);
    deploy.signal("KILL");
    wait_for("the way back", AT_ONCE, || settled(&project, &user));
    project.standing(&user).is_back_at(&before);
    assert_eq!(verdicts(&project, &user), ["deployed", "reverted"]);
    make_well(&project);
    project.deploy().says("1 host deployed").never_says("waiting").never_says("interrupted");
    assert_eq!(verdicts(&project, &user), ["deployed", "reverted", "deployed"]);
}

#[test]
fn after_a_silent_cut_the_host_goes_back_at_its_deadline_and_the_lock_is_free_soon() {
    let Some(user) = TestUser::new(UserOptions::default()) else { return };
    let (project, before) = waiting(&user, "timeout: 2s }\nconfirm_timeout: 4s");
    let relay = Relay::start(user.address(), Link::default()).unwrap();
    let direct = fs::read_to_string(project.path("deploy.yaml")).unwrap();
    let known = fs::read_to_string(project.path("home/.ssh/known_hosts")).unwrap();
    through(&project, &user, &relay);
    let deploy = deploy_until_pending(&project, &[]);
    relay.go_silent();
    let cut = Instant::now();
    wait_for("the way back", Duration::from_secs(4) + GRACE, || settled(&project, &user));
    project.standing(&user).is_back_at(&before);

    // Another operator comes by another way, and waits for the lock of the one who is cut off.
    project.write("deploy.yaml", &direct);
    project.write("home/.ssh/known_hosts", &known);
    make_well(&project);
    project.shipit(&["deploy", "prod"]).exits(7).says("the service is locked on this host by ");
    project
        .shipit(&["deploy", "prod", "--lock-wait", "30s"])
        .exits(0)
        .says("waiting: the service is locked by ");
    assert!(cut.elapsed() < Duration::from_secs(20 + 6), "{:?}", cut.elapsed());
    drop(deploy);
}

/// Leads a project's deploys through a relay.
fn through(project: &Project, user: &TestUser, relay: &Relay) {
    let at = relay.address();
    let known = fs::read_to_string(&user.known_hosts).unwrap();
    let line = |line: &str| format!("[{}]:{} {}\n", at.ip(), at.port(), line.split_once(' ').unwrap().1);
    project.write("home/.ssh/known_hosts", &known.lines().map(line).collect::<String>());
    project.edit("deploy.yaml", &user.destination(), &format!("{}@{at}", user.user));
}

#[test]
fn a_network_that_comes_back_before_the_deadline_is_told_how_it_ended() {
    let Some(user) = TestUser::new(UserOptions::default()) else { return };
    let (project, before) = waiting(&user, "timeout: 40s }");
    let relay = Relay::start(user.address(), Link::default()).unwrap();
    through(&project, &user, &relay);
    let deploy = deploy_until_pending(&project, &[]);
    relay.cut();
    let ran = deploy.wait().exits(3);
    ran.says("trying to reach it again").says("FAILED (reverted)").says("runs again, as before");
    project.standing(&user).is_back_at(&before);
}

#[test]
fn a_run_that_is_killed_on_the_host_is_brought_to_its_end_by_the_client() {
    let Some(user) = TestUser::new(UserOptions::default()) else { return };
    let (project, before) = waiting(&user, "timeout: 3s }");
    let deploy = deploy_until_pending(&project, &[]);
    user.run("systemctl --user kill --signal=KILL 'shipit-2*'");
    let ran = deploy.wait().exits(3);
    ran.says("FAILED (reverted)").says("no good answer from");
    project.standing(&user).is_back_at(&before);
}

#[test]
fn a_run_that_is_killed_on_the_host_does_not_need_its_client() {
    let Some(user) = TestUser::new(UserOptions::default()) else { return };
    let (project, before) = waiting(&user, "timeout: 40s }");
    let deploy = deploy_until_pending(&project, &[]);
    deploy.signal("STOP");
    user.run("systemctl --user kill --signal=KILL 'shipit-2*'");
    deploy.signal("KILL");
    wait_for("the way back", AT_ONCE, || settled(&project, &user));
    project.standing(&user).is_back_at(&before);
    assert_eq!(verdicts(&project, &user), ["deployed", "reverted"]);
}

#[test]
fn a_run_that_died_with_its_client_is_brought_to_its_end_by_the_next_deploy() {
    let Some(user) = TestUser::new(UserOptions::default()) else { return };
    if user.key_path.is_none() {
        return;
    }
    let (project, before) = waiting(&user, "timeout: 40s }");
    let deploy = deploy_until_pending(&project, &[]);
    deploy.signal("STOP");
    user.run("systemctl --user kill --signal=KILL 'shipit-2*'");
    // Before they can go back from it.
    user.kill_sessions();
    deploy.signal("KILL");
    drop(deploy);
    let plan = project.shipit(&["plan", "prod"]).exits(7);
    plan.says("an activation of this service is under way");
    make_well(&project);
    let ran = project.shipit(&["deploy", "prod", "--lock-wait", "10s"]).exits(0);
    ran.says("which was interrupted: the host is back on the release before it").says("1 host deployed");
    ran.says(&format!("replaces {}", before.current.trim_start_matches("releases/")));
    assert_eq!(verdicts(&project, &user), ["deployed", "reverted", "deployed"]);
}

#[test]
fn a_first_deploy_that_is_killed_leaves_nothing_that_runs_or_would() {
    let Some(user) = TestUser::new(UserOptions::default()) else { return };
    let project = Project::quick(&user);
    never_well(&project, "timeout: 40s }");
    let deploy = deploy_until_pending(&project, &[]);
    deploy.signal("KILL");
    wait_for("the way back", AT_ONCE, || settled(&project, &user));
    project.standing(&user).is_not_deployed();
    make_well(&project);
    project.deploy();
}

#[test]
fn a_way_back_that_fails_is_never_hidden_and_the_next_deploy_mends_it() {
    let Some(user) = TestUser::new(UserOptions::default()) else { return };
    let (project, before) = waiting(&user, "timeout: 4s }");
    let deploy = deploy_until_pending(&project, &[]);
    // What is to come back can't be started any more. The client must not send it back before that.
    deploy.signal("STOP");
    let program = format!("{}/{}/bin/{}", project.root(&user), before.current, project.name);
    user.run(&format!("mv {program} {program}.away"));
    deploy.signal("CONT");
    let ran = deploy.wait().exits(4);
    let id = before.current.trim_start_matches("releases/");
    ran.says("FAILED (needs attention)").says("going back failed:").says("did not stay up");
    ran.says("this host needs a person").says(&format!("ln -sfT releases/{id}"));
    assert_eq!(verdicts(&project, &user), ["deployed", "revert_failed"]);

    // Still so: it is not reported as anything else.
    make_well(&project);
    let ran = project.shipit(&["deploy", "prod"]).exits(4);
    ran.says("could not be brought to its end").says("did not stay up").never_says("not touched");

    user.run(&format!("mv {program}.away {program}"));
    project.deploy().says("the host is back on the release before it").says("1 host deployed");
}

#[test]
fn the_power_goes_while_the_host_waits_and_the_old_release_runs_after_the_boot() {
    let Some(host) = OwnHost::boot(HostOptions::default()) else { return };
    let user = host.user(UserOptions::default());
    let (project, before) = waiting(&user, "timeout: 40s }");
    for cut in [true, false] {
        let deploy = deploy_until_pending(&project, &[]);
        if cut {
            host.machine.cut_power();
            drop(deploy);
            host.machine.power_on();
        } else {
            drop(deploy_and_reboot(&host, deploy));
        }
        wait_for("the old release", AT_ONCE, || {
            settled(&project, &user) && project.property(&user, "ActiveState") == "active"
        });
        project.standing(&user).is_back_at(&before);
        assert_eq!(verdicts(&project, &user).last().unwrap(), "reverted");
    }

    // The same where nothing goes back at the boot: whoever comes next finds it, and says so.
    let deploy = deploy_until_pending(&project, &[]);
    host.machine.cut_power();
    drop(deploy);
    host.machine.power_on_without(&format!(
        "{}/.config/systemd/user/shipit-recover-{}.service",
        user.home, project.name
    ));
    make_well(&project);
    let ran = project.deploy();
    ran.says("which was interrupted: the host is back on the release before it").says("1 host deployed");
    ran.says(&format!("replaces {}", before.current.trim_start_matches("releases/")));
}

/// A clean shutdown while the client is still there.
fn deploy_and_reboot(host: &OwnHost, deploy: Child) -> Child {
    host.machine.reboot();
    deploy
}

#[test]
fn a_first_deploy_that_loses_its_power_is_not_deployed_after_the_boot() {
    let Some(host) = OwnHost::boot(HostOptions::default()) else { return };
    let user = host.user(UserOptions::default());
    let project = Project::quick(&user);
    never_well(&project, "timeout: 40s }");
    let deploy = deploy_until_pending(&project, &[]);
    host.machine.cut_power();
    drop(deploy);
    host.machine.power_on();
    wait_for("the way back", AT_ONCE, || settled(&project, &user));
    project.standing(&user).is_not_deployed();
    make_well(&project);
    project.deploy();
}

#[test]
fn who_holds_the_lock_is_named_and_waiting_for_it_pays() {
    let Some(user) = TestUser::new(UserOptions::default()) else { return };
    let project = Project::quick(&user);
    project.deploy();
    let before = project.standing(&user);
    project.edit(&format!("{}.conf", project.name), "North Carolina", "Virginia");
    let mut holder = project.lock_by(&user, "ada@laptop");
    let ran = project.shipit(&["deploy", "prod"]).exits(7);
    ran.says("the service is locked on this host by ada@laptop since 2026-11-20T03:00:00Z, for deploy");
    let start = Instant::now();
    project.shipit(&["deploy", "prod", "--lock-wait", "1s"]).exits(7).says("by ada@laptop");
    assert!(start.elapsed() >= Duration::from_secs(1), "{:?}", start.elapsed());
    assert_eq!(project.standing(&user), before);

    let mut waits = Child::spawn(&mut project.command(&["deploy", "prod", "--lock-wait", "30s"]));
    waits.wait_for_output(
        "waiting: the service is locked by ada@laptop since 2026-11-20T03:00:00Z, for deploy",
    );
    holder.write("\n");
    waits.wait().exits(0).says("1 host deployed");
}

/// Two releases of a project, and a third that is to come. The ids of the first two.
fn two_releases(user: &TestUser) -> (Project, [String; 2]) {
    let project = Project::quick(user);
    project.deploy();
    let first = project.current(user);
    project.edit(&format!("{}.conf", project.name), "North Carolina", "Virginia");
    project.deploy();
    let second = project.current(user);
    project.edit(&format!("{}.conf", project.name), "Virginia", "Ohio");
    let ids = [first, second].map(|current| current.trim_start_matches("releases/").to_owned());
    (project, ids)
}

fn point_current(project: &Project, user: &TestUser, id: &str) {
    let root = project.root(user);
    user.run(&format!("ln -sfT releases/{id} {root}/.x && mv -fT {root}/.x {root}/current"));
}

/// P8: what a person said yes to is what is done, or nothing.
#[test]
fn a_host_that_changed_after_its_plan_was_agreed_to_is_left_alone() {
    let Some(user) = TestUser::new(UserOptions::default()) else { return };
    let (project, [first, second]) = two_releases(&user);
    project.edit("deploy.yaml", "  prod:\n", "  prod:\n    confirm: true\n");
    let mut deploy = project.spawn_on_a_terminal(&["deploy", "prod"]);
    deploy.wait_for_output("Deploy to 1 host of prod? [y/N]");
    point_current(&project, &user, &first);
    let before = project.standing(&user);
    deploy.write("y\n");
    let ran = deploy.wait().exits(1);
    let says = |text: &str| assert!(ran.all().contains(text), "{text}: {}", ran.all());
    says(&format!("`current` was {second}, and is now {first}"));
    says("the service was not touched");
    says("shipit plan");
    assert!(!ran.all().contains("uploaded"), "{}", ran.all());
    assert_eq!(project.standing(&user), before);
}

/// Where nobody was asked, what the host is to end on is what counts: after a wait, the plan is made anew.
#[test]
fn a_host_that_changed_while_the_lock_was_waited_for_is_planned_for_again() {
    let Some(user) = TestUser::new(UserOptions::default()) else { return };
    let (project, [first, second]) = two_releases(&user);
    let mut holder = project.lock_by(&user, "ada@laptop");
    let mut waits = Child::spawn(&mut project.command(&["deploy", "prod", "--lock-wait", "30s"]));
    waits.wait_for_output("waiting: the service is locked");
    point_current(&project, &user, &first);
    holder.write("\n");
    let ran = waits.wait().exits(0);
    ran.says(&format!("replaces {second}")).says("the lock is ours: looking at the host again");
    ran.says(&format!("replaces {first}")).says("1 host deployed");
}

/// A laptop that slept comes back without its lock.
#[test]
fn a_client_that_was_silent_for_too_long_does_not_go_on_without_its_lock() {
    let Some(user) = TestUser::new(UserOptions::default()) else { return };
    let project = Project::quick(&user);
    project.deploy();
    let before = project.standing(&user);
    let relay = Relay::start(user.address(), Link { bandwidth: Some(400_000), ..Link::default() }).unwrap();
    through(&project, &user, &relay);
    let mut binary = fs::read(project.path("service.sh")).unwrap();
    binary.resize(3 << 20, b'\n');
    fs::write(project.path("service.sh"), &binary).unwrap();
    let mut deploy = Child::spawn(&mut project.command(&["deploy", "prod"]));
    deploy.wait_for_output("uploading");
    deploy.signal("STOP");
    let lock = format!("flock -n {}/lock true && echo free; true", project.root(&user));
    wait_for("the lock", Duration::from_secs(20) + GRACE, || user.run(&lock) == "free\n");
    deploy.signal("CONT");
    let ran = deploy.wait().exits(1);
    ran.says("the lock was lost: nothing was heard of this side for more than 20 s");
    ran.says("the service was not touched").says("shipit history").never_says("switched");
    project.standing(&user).is_as(&before);
    assert_eq!(user.run(&format!("find {}/incoming -mindepth 1", project.root(&user))), "");
}

#[test]
fn the_lock_of_a_client_that_was_killed_in_its_upload_is_free_at_once() {
    let Some(user) = TestUser::new(UserOptions::default()) else { return };
    let project = Project::quick(&user);
    project.deploy();
    let direct = fs::read_to_string(project.path("deploy.yaml")).unwrap();
    let known = fs::read_to_string(project.path("home/.ssh/known_hosts")).unwrap();
    let relay = Relay::start(user.address(), Link { bandwidth: Some(1_000_000), ..Link::default() }).unwrap();
    through(&project, &user, &relay);
    let mut binary = fs::read(project.path("service.sh")).unwrap();
    binary.resize(16 << 20, b'\n');
    fs::write(project.path("service.sh"), &binary).unwrap();
    let mut command: Command = project.command(&["deploy", "prod"]);
    let mut deploy = Child::spawn(command.env("USER", "ada"));
    deploy.wait_for_output("uploading");
    project.write("deploy.yaml", &direct);
    project.write("home/.ssh/known_hosts", &known);
    project.shipit(&["deploy", "prod"]).exits(7).says("the service is locked on this host by ada@");
    deploy.signal("KILL");
    let lock = format!("flock -n {}/lock true && echo free; true", project.root(&user));
    // What was on its way when it was killed arrives first.
    wait_for("the lock", Duration::from_secs(10), || user.run(&lock) == "free\n");
    project.deploy().says("1 host deployed");
    assert_eq!(user.run(&format!("find {}/incoming -mindepth 1", project.root(&user))), "");
}

#[test]
fn a_deploy_that_finds_another_ones_activation_waits_for_its_end() {
    let Some(user) = TestUser::new(UserOptions::default()) else { return };
    let (project, before) = waiting(&user, "timeout: 6s }");
    let first = deploy_until_pending(&project, &[]);
    let ran = project.shipit(&["deploy", "prod", "--no-wait"]).exits(7);
    ran.says("an activation of this service is under way on this host (run ");
    make_well(&project);
    let mut second = Child::spawn(&mut project.command(&["deploy", "prod", "--lock-wait", "10s"]));
    second.wait_for_output("waiting: an activation of this service is under way on the host");
    first.wait().exits(3);
    let ran = second.wait().exits(0);
    ran.says("1 host deployed");
    ran.says(&format!("replaces {}", before.current.trim_start_matches("releases/")));
}
