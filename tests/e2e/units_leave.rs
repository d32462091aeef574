//! Units that a release no longer has are gone from the host, and are back when the release goes.
use crate::harness::Project;
use crate::hosts::{TestUser, UserOptions};

/// Has the project bring a second service, which is enabled as well.
fn add_worker(project: &Project) -> String {
    let worker = format!("{}-worker.service", project.name);
    let wanted_by = match project.systemctl() {
        "systemctl" => "multi-user.target",
        _ => "default.target",
    };
    project.write(
        &worker,
        &format!(
            "[Service]\nExecStart=/bin/sleep infinity\n\n[Install]\nWantedBy={wanted_by}\nAlias={}-alias.service\n",
            project.name
        ),
    );
    let unit = format!("{}.service", project.name);
    project.edit("deploy.yaml", &format!("unit: {unit}"), &format!("units: [{unit}, {worker}]"));
    worker
}

fn remove_worker(project: &Project, worker: &str) {
    let unit = format!("{}.service", project.name);
    project.edit("deploy.yaml", &format!("units: [{unit}, {worker}]"), &format!("unit: {unit}"));
}

/// What systemd says of a unit, and every link that has its name.
fn state(project: &Project, user: &TestUser, unit: &str) -> String {
    user.run(&format!(
        "{} show -p LoadState,ActiveState,UnitFileState {unit}
         for link in {units}/*{name}* {units}/*/*{name}*; do
             [ -L $link ] && echo \"$link -> $(readlink $link)\"
         done; true",
        project.systemctl(),
        units = project.units(),
        name = unit.trim_end_matches("-worker.service"),
    ))
}

const GONE: &str = "LoadState=not-found\nActiveState=inactive\n";

#[test]
fn a_unit_that_left_the_manifest_is_stopped_disabled_and_its_link_removed() {
    let Some(user) = TestUser::new(UserOptions::default()) else { return };
    let project = Project::quick(&user);
    let worker = add_worker(&project);
    project.deploy();
    let there = state(&project, &user, &worker);
    assert!(there.contains("ActiveState=active") && there.contains("UnitFileState=enabled"), "{there}");
    assert!(there.contains("-alias.service -> "), "{there}");
    let invocation = project.property(&user, "InvocationID");

    remove_worker(&project, &worker);
    let plan = project.shipit(&["plan", "prod"]).exits(0);
    for line in [
        format!("stop {worker}, which the release does not have"),
        format!("disable {worker}, which starts no more at boot"),
        format!("- ~/.config/systemd/user/{worker}  (not in the new release)"),
    ] {
        assert!(plan.stdout.contains(&line), "{line:?} is missing from:\n{}", plan.all());
    }
    project.deploy();
    let left = state(&project, &user, &worker);
    assert!(left.starts_with(GONE), "{left}");
    assert!(!left.contains("worker") && !left.contains("alias"), "{left}");
    assert_eq!(project.property(&user, "InvocationID"), invocation, "the one that stays went on");
    project.deploy().says("nothing to do");

    // The release before has it: with the manifest of today.
    project.shipit(&["rollback", "prod"]).exits(0);
    assert_eq!(state(&project, &user, &worker), there);
    // And forward again.
    project.deploy();
    assert_eq!(state(&project, &user, &worker), left);
}

#[test]
fn a_release_that_fails_has_the_units_back_that_it_did_without() {
    let Some(user) = TestUser::new(UserOptions::default()) else { return };
    let project = Project::quick(&user);
    let worker = add_worker(&project);
    project.deploy();
    let (before, there) = (project.standing(&user), state(&project, &user, &worker));
    remove_worker(&project, &worker);
    project.edit("deploy.yaml", "settle: 0s", "settle: 1s");
    project.write("service.sh", "#!/bin/sh\nexit 7\n");
    project.shipit(&["deploy", "prod"]).exits(3).says("FAILED (reverted)").says("status=7");
    project.standing(&user).is_back_at(&before);
    assert_eq!(state(&project, &user, &worker), there);
    project.assert_current_is_complete(&user);
}

#[test]
fn the_systems_units_leave_and_come_back_in_the_same_way() {
    let Some(user) = TestUser::new(UserOptions::default()) else { return };
    let project = Project::quick(&user).into_system();
    let worker = add_worker(&project);
    let result = std::panic::catch_unwind(|| {
        project.deploy();
        let (before, there) = (project.standing(&user), state(&project, &user, &worker));
        assert!(there.contains("ActiveState=active") && there.contains("UnitFileState=enabled"), "{there}");
        remove_worker(&project, &worker);
        project.edit("deploy.yaml", "settle: 0s", "settle: 1s");
        project.write("service.sh", "#!/bin/sh\nexit 7\n");
        project.shipit(&["deploy", "prod"]).exits(3).says("FAILED (reverted)");
        project.standing(&user).is_back_at(&before);
        assert_eq!(state(&project, &user, &worker), there);
        project.write("service.sh", "#!/bin/sh\nexec sleep infinity\n");
        project.deploy();
        let left = state(&project, &user, &worker);
        assert!(left.starts_with(GONE) && !left.contains("worker"), "{left}");
    });
    project.remove_from_system(&user);
    result.unwrap();
}

#[test]
fn a_unit_that_moved_to_another_service_stays_up() {
    let Some(user) = TestUser::new(UserOptions::default()) else { return };
    let project = Project::quick(&user);
    let worker = add_worker(&project);
    project.deploy();
    let other = Project::quick(&user);
    let text = std::fs::read_to_string(project.path(&worker)).unwrap();
    other.write(&worker, &text);
    other.edit("deploy.yaml", &format!("unit: {}.service", other.name), &format!("unit: {worker}"));
    other.edit("deploy.yaml", &format!("env_file: {}.conf\n", other.name), "");
    let name = format!("{}-other", other.name);
    other.edit("deploy.yaml", &format!("name: {}", other.name), &format!("name: {name}"));
    other.deploy();
    let there = state(&project, &user, &worker);
    assert!(there.contains(&format!("shipit/{name}/current/units/{worker}")), "{there}");
    remove_worker(&project, &worker);
    project.deploy().never_says(&worker);
    assert_eq!(state(&project, &user, &worker), there);
}

#[test]
fn a_unit_that_no_longer_wants_to_start_at_boot_does_not() {
    let Some(user) = TestUser::new(UserOptions::default()) else { return };
    let project = Project::quick(&user);
    let worker = add_worker(&project);
    project.deploy();
    let there = state(&project, &user, &worker);
    project.write(&worker, "[Service]\nExecStart=/bin/sleep infinity\n");
    let working = std::fs::read_to_string(project.path("service.sh")).unwrap();
    project.write("service.sh", "#!/bin/sh\nexit 3\n");
    project.shipit(&["deploy", "prod"]).exits(3);
    assert_eq!(state(&project, &user, &worker), there);
    project.write("service.sh", &working);
    project.deploy().says(&format!("disabled {worker}"));
    let now = state(&project, &user, &worker);
    assert!(now.contains("ActiveState=active\nUnitFileState=linked\n"), "{now}");
    assert!(!now.contains(".wants/") || !now.contains(&format!(".wants/{worker}")), "{now}");
    assert!(!now.contains("-alias.service"), "{now}");
    project.deploy().says("nothing to do");
    project.shipit(&["rollback", "prod"]).exits(0);
    assert_eq!(state(&project, &user, &worker), there);
}
