//! One operator at a time: a second deploy of the same service to the same host is refused, and changes nothing.
use std::time::Duration;

use crate::harness::{Child, Project};
use crate::hosts::{TestUser, UserOptions, wait_for};

#[test]
fn a_second_deploy_at_the_same_time_is_refused() {
    let Some(user) = TestUser::new(UserOptions::default()) else { return };
    let project = Project::quick(&user);
    project.deploy();
    let (current, invocation) = (project.current(&user), project.property(&user, "InvocationID"));
    project.edit(&format!("{}.conf", project.name), "North Carolina", "Virginia");

    let root = project.root(&user);
    let mut holder =
        Child::spawn(user.ssh_command().arg(format!("flock {root}/lock sh -c 'echo held; exec sleep 100'")));
    holder.wait_for_output("held");
    let ran = project.shipit(&["deploy", "prod"]).exits(7);
    ran.says("the service is locked on this host").says("the service was not touched");
    assert_eq!(project.current(&user), current);
    assert_eq!(project.property(&user, "InvocationID"), invocation);
    project.shipit(&["plan", "prod"]).exits(0);

    // A lock whose holder is gone is no lock.
    user.run("pkill -u $(id -u) sleep || true");
    drop(holder);
    user.run(&format!("flock {root}/lock true"));
    project.deploy().says("1 host deployed");
}

#[test]
fn a_killed_deploy_goes_back_by_itself_and_frees_the_lock() {
    let Some(user) = TestUser::new(UserOptions::default()) else { return };
    let project = Project::new(&user);
    project.edit("deploy.yaml", "settle: 1s", "settle: 3s");
    let mut deploy = Child::spawn(&mut project.command(&["deploy", "prod"]));
    deploy.wait_for_output(" started ");
    project.edit(&format!("{}.conf", project.name), "North Carolina", "Virginia");
    let ran = project.shipit(&["deploy", "prod", "--no-wait"]).exits(7);
    ran.says("an activation of this service is under way on this host");
    deploy.signal("KILL");
    drop(deploy);
    wait_for("the way back", Duration::from_secs(10), || project.standing(&user).leftovers.is_empty());
    project.standing(&user).is_not_deployed();
    project.edit("deploy.yaml", "settle: 3s", "settle: 0s");
    project.deploy().says("1 host deployed").never_says("waiting");
    assert_eq!(project.property(&user, "ActiveState"), "active");
}
