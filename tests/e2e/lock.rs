//! One operator at a time: a second deploy of the same service to the same host is refused, and changes nothing.
use crate::harness::{Child, Project};
use crate::hosts::{TestUser, UserOptions};

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
    ran.says("another deploy of this service to this host is under way").says("the service was not touched");
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
fn the_lock_of_a_killed_deploy_ends_with_what_the_host_was_doing() {
    let Some(user) = TestUser::new(UserOptions::default()) else { return };
    let project = Project::new(&user);
    project.edit("deploy.yaml", "settle: 1s", "settle: 3s");
    let mut deploy = Child::spawn(&mut project.command(&["deploy", "prod"]));
    deploy.wait_for_output(" started ");
    project.edit(&format!("{}.conf", project.name), "North Carolina", "Virginia");
    project.shipit(&["deploy", "prod"]).exits(7);
    deploy.signal("KILL");
    drop(deploy);
    project.edit("deploy.yaml", "settle: 3s", "settle: 0s");
    crate::hosts::wait_for("the lock", std::time::Duration::from_secs(10), || {
        project.shipit(&["deploy", "prod"]).code == Some(0)
    });
    assert_eq!(project.property(&user, "ActiveState"), "active");
}
