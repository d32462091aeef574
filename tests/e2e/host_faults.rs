//! What the host itself may suffer while a release is on trial: it ends on the old release, or says that it could not, and
//! the next deploy mends it.
use std::fs;
use std::time::Duration;

use crate::harness::{Child, Project};
use crate::hosts::{HostOptions, OwnHost, TestUser, UserOptions, wait_for};
use crate::trial::{AT_ONCE, deploy_until_pending, is_in_order, make_well, settled, waiting};

/// Takes sshd down, with all that it serves, until the file /var/tmp/up is there.
fn cut_off(host: &OwnHost) {
    host.machine.run(
        "rm -f /var/tmp/up; systemd-run --quiet --collect --unit=outage sh -c 'sleep 0.2; systemctl stop ssh; \
         pkill -KILL -x sshd; until [ -e /var/tmp/up ]; do sleep 0.1; done; systemctl start ssh'",
    );
}

/// Brings it back.
fn let_in(host: &OwnHost) {
    fs::write(host.machine.file("/var/tmp/up"), "").unwrap();
}

#[test]
fn sshd_dies_with_all_its_sessions_and_the_host_goes_back_by_itself() {
    let Some(host) = OwnHost::boot(HostOptions::default()) else { return };
    let user = host.user(UserOptions::default());
    let (project, before) = waiting(&user, "timeout: 3s }\nconfirm_timeout: 4s");
    let pending = host.machine.file(&format!("{}/pending", project.root(&user)));
    let is_back = || fs::symlink_metadata(&pending).is_err();

    // It can be reached again in time.
    let deploy = deploy_until_pending(&project, &[]);
    cut_off(&host);
    wait_for("the way back", AT_ONCE, is_back);
    let_in(&host);
    let ran = deploy.wait().exits(3);
    ran.says("trying to reach it again").says("FAILED (reverted)").says("runs again, as before");
    project.standing(&user).is_back_at(&before);

    // It cannot.
    let before = project.standing(&user);
    let deploy = deploy_until_pending(&project, &[]);
    cut_off(&host);
    wait_for("the way back", AT_ONCE, is_back);
    let ran = deploy.wait().exits(4);
    ran.says("FAILED (needs attention)").says("the host could not be reached again: by ");
    ran.says("`shipit status` shows what runs");
    let_in(&host);
    wait_for("sshd", AT_ONCE, || user.ssh("true").status.success());
    project.standing(&user).is_back_at(&before);
    is_in_order(&project, &user);
}

/// The host's own users are ended with their sessions, as logind does it where KillUserProcesses= says so.
#[test]
fn logind_that_ends_the_processes_of_a_session_does_not_keep_the_host_from_going_back() {
    let Some(host) = OwnHost::boot(HostOptions::default()) else { return };
    host.machine.run(
        "mkdir -p /etc/systemd/logind.conf.d
         printf '[Login]\\nKillUserProcesses=yes\\n' >/etc/systemd/logind.conf.d/kill.conf
         systemctl restart systemd-logind",
    );
    let user = host.user(UserOptions::default());
    let (project, before) = waiting(&user, "timeout: 40s }");
    let deploy = deploy_until_pending(&project, &[]);
    deploy.signal("KILL");
    wait_for("the way back", AT_ONCE, || settled(&project, &user));
    project.standing(&user).is_back_at(&before);
    is_in_order(&project, &user);
}

/// The old release runs, and nothing is left of the run.
fn is_up(project: &Project, user: &TestUser) -> bool {
    let now = project.standing(user);
    now.leftovers.is_empty() && now.rest.contains("ActiveState=active\n")
}

fn user_manager(user: &TestUser, verb: &str) {
    user.run_as_root(&format!("systemctl {verb} user@$(id -u {}).service", user.user));
}

#[test]
fn the_users_service_manager_stops_while_the_host_waits_and_a_login_brings_it_back() {
    let Some(user) = TestUser::new(UserOptions::default()) else { return };
    let (project, before) = waiting(&user, "timeout: 3s }");
    let deploy = deploy_until_pending(&project, &[]);
    user_manager(&user, "stop");
    let ran = deploy.wait().exits(3);
    ran.says("no good answer from").says("FAILED (reverted)").says("runs again, as before");
    wait_for("the old release", AT_ONCE, || is_up(&project, &user));
    project.standing(&user).is_back_at(&before);
    is_in_order(&project, &user);
}

#[test]
fn the_users_service_manager_does_not_come_back() {
    let Some(user) = TestUser::new(UserOptions::default()) else { return };
    let (project, before) = waiting(&user, "timeout: 3s }\nconfirm_timeout: 4s");
    let deploy = deploy_until_pending(&project, &[]);
    user_manager(&user, "mask --runtime --now");
    let ran = deploy.wait().exits(4);
    user_manager(&user, "unmask --runtime");
    ran.says("FAILED (needs attention)").says("systemd's user manager does not run");
    ran.says("the host goes back as soon as it does");

    user_manager(&user, "start");
    wait_for("the old release", AT_ONCE, || is_up(&project, &user));
    project.standing(&user).is_back_at(&before);
    is_in_order(&project, &user);
}

#[test]
fn the_users_service_manager_restarts_while_a_unit_starts() {
    let Some(user) = TestUser::new(UserOptions::default()) else { return };
    let project = Project::quick(&user);
    project.deploy();
    let before = project.standing(&user);
    let unit = format!("{}.service", project.name);
    project.edit(&unit, "Restart=always", "Type=notify\nTimeoutStartSec=infinity\nRestart=always");
    let deploy = Child::spawn(&mut project.command(&["deploy", "prod"]));
    wait_for("a start that hangs", Duration::from_secs(20), || {
        project.current(&user) != before.current && project.property(&user, "SubState") == "start"
    });
    user_manager(&user, "restart");
    deploy.wait().exits(3).says("FAILED (reverted)").says("runs again, as before");
    wait_for("the old release", AT_ONCE, || is_up(&project, &user));
    project.standing(&user).is_back_at(&before);
    project.edit(&unit, "Type=notify\nTimeoutStartSec=infinity\n", "");
    is_in_order(&project, &user);
}

#[test]
fn a_way_back_that_failed_is_tried_again_when_the_service_manager_starts() {
    let Some(user) = TestUser::new(UserOptions::default()) else { return };
    let (project, before) = waiting(&user, "timeout: 3s }");
    let deploy = deploy_until_pending(&project, &[]);
    deploy.signal("STOP");
    let program = format!("{}/{}/bin/{}", project.root(&user), before.current, project.name);
    user.run(&format!("mv {program} {program}.away"));
    deploy.signal("CONT");
    deploy.wait().exits(4).says("going back failed:").says("did not stay up");
    user.run(&format!("mv {program}.away {program}"));
    user_manager(&user, "restart");
    wait_for("the old release", AT_ONCE, || is_up(&project, &user));
    project.standing(&user).is_back_at(&before);
    is_in_order(&project, &user);
}

/// Mounts the user's home read-only over itself: whatever is opened from now on can't be written.
fn read_only(user: &TestUser) -> String {
    format!("mount --bind {0} {0} && mount -o remount,bind,ro {0}", user.home)
}

fn writable(user: &TestUser) {
    user.run_as_root(&format!("umount -l {}", user.home));
}

#[test]
fn a_home_that_is_read_only_is_refused() {
    let Some(user) = TestUser::new(UserOptions::default()) else { return };
    let (project, before) = waiting(&user, "timeout: 3s }");
    user.run_as_root(&read_only(&user));
    let ran = project.shipit(&["deploy", "prod"]);
    let now = project.standing(&user);
    writable(&user);
    let ran = ran.exits(8);
    ran.says("is mounted read-only").says("findmnt -T").says("the service was not touched");
    assert_eq!(now, before);
    is_in_order(&project, &user);
}

#[test]
fn a_home_that_turns_read_only_before_the_switch_leaves_the_service_alone() {
    let Some(user) = TestUser::new(UserOptions::default()) else { return };
    let (project, before) = waiting(&user, "timeout: 3s }");
    let manifest = fs::read_to_string(project.path("deploy.yaml")).unwrap();
    let hook = format!("hooks:\n  before_activate: [ {{ run: \"sudo sh -c '{}'\" }} ]\n", read_only(&user));
    project.write("deploy.yaml", &format!("{manifest}{hook}"));
    let ran = project.shipit(&["deploy", "prod"]);
    let now = project.standing(&user);
    writable(&user);
    let ran = ran.exits(1);
    ran.says("Read-only file system").says("the service was not touched").never_says("switched");
    assert_eq!(
        (&now.current, &now.rest, &now.invocation),
        (&before.current, &before.rest, &before.invocation)
    );

    project.write("deploy.yaml", &manifest);
    make_well(&project);
    let ran = project.deploy();
    ran.says("which was interrupted: the host is back on the release before it").says("1 host deployed");
}

#[test]
fn a_home_that_turns_read_only_while_the_host_waits_needs_a_person() {
    let Some(user) = TestUser::new(UserOptions::default()) else { return };
    let (project, before) = waiting(&user, "timeout: 3s }");
    let deploy = deploy_until_pending(&project, &[]);
    user.run_as_root(&read_only(&user));
    let ran = deploy.wait();
    writable(&user);
    let ran = ran.exits(4);
    let id = before.current.trim_start_matches("releases/");
    ran.says("FAILED (needs attention)").says("current could not be set back (Read-only file system)");
    ran.says("this host needs a person").says(&format!("ln -sfT releases/{id}"));

    make_well(&project);
    let ran = project.deploy();
    ran.says("which was interrupted: the host is back on the release before it").says("1 host deployed");
    ran.says(&format!("replaces {id}"));
    assert_eq!(project.standing(&user).leftovers, "");
}
