//! Drop-ins: files that add to a unit are part of it, in what restarts it and in what goes back.
use crate::harness::Project;
use crate::hosts::{TestUser, UserOptions};

fn add_drop_in(project: &Project) {
    let name = &project.name;
    project.write("colour.conf", "[Service]\nEnvironment=COLOUR=red\n");
    project.edit(
        "deploy.yaml",
        &format!("unit: {name}.service"),
        &format!("units:\n  - {name}.service\n  - {{ path: colour.conf, drop_in: {name}.service }}"),
    );
}

/// The unit's environment, and what is in the folder of its drop-ins.
fn state(project: &Project, user: &TestUser) -> String {
    let (systemctl, units, name) = (project.systemctl(), project.units(), &project.name);
    user.run(&format!(
        "{systemctl} show -p Environment --value {name}.service
         ls -d {units}/{name}.service.d 2>/dev/null | sed 's,.*/,,'
         readlink {units}/{name}.service.d/*; true"
    ))
}

fn check_drop_ins(project: &Project, user: &TestUser) {
    let name = &project.name;
    add_drop_in(project);
    project.deploy();
    let link = format!("{}/current/units/{name}.service.d/colour.conf", project.root(user));
    let in_colour = |colour: &str| format!("COLOUR={colour}\n{name}.service.d\n{link}\n");
    assert_eq!(state(project, user), in_colour("red"));
    project.deploy().says("nothing to do");

    project.edit("colour.conf", "red", "blue");
    let plan = project.shipit(&["plan", "prod"]).exits(0);
    assert!(plan.stdout.contains("-Environment=COLOUR="), "{}", plan.all());
    project.deploy().says(&format!("restarted {name}.service (unit file changed)"));
    assert_eq!(state(project, user), in_colour("blue"));

    // One that breaks the unit.
    let before = project.standing(user);
    project.write("colour.conf", "[Service]\nEnvironment=COLOUR=green\nExecStartPre=/bin/false\n");
    project.shipit(&["deploy", "prod"]).exits(3).says("FAILED (reverted)");
    project.standing(user).is_back_at(&before);
    assert_eq!(state(project, user), in_colour("blue"));

    // One that goes: the unit is another one without it.
    let of_drop_in = format!("\n  - {{ path: colour.conf, drop_in: {name}.service }}");
    project.edit("deploy.yaml", &of_drop_in, "");
    project.write("service.sh", "#!/bin/sh\nexit 7\n");
    project.edit("deploy.yaml", "settle: 0s", "settle: 1s");
    project.shipit(&["deploy", "prod"]).exits(3).says("status=7");
    assert_eq!(state(project, user), in_colour("blue"), "it is back with the release that has it");
    project.write("service.sh", "#!/bin/sh\nexec sleep infinity\n");
    project.deploy().says("removed the link");
    assert_eq!(state(project, user), "\n", "and its folder is gone");
    project.shipit(&["rollback", "prod"]).exits(0);
    assert_eq!(state(project, user), in_colour("blue"));
}

#[test]
fn a_drop_in_is_part_of_its_unit() {
    let Some(user) = TestUser::new(UserOptions::default()) else { return };
    check_drop_ins(&Project::quick(&user), &user);
}

#[test]
fn the_systems_units_have_drop_ins_too() {
    let Some(user) = TestUser::new(UserOptions::default()) else { return };
    let project = Project::quick(&user).into_system();
    let result = std::panic::catch_unwind(|| check_drop_ins(&project, &user));
    project.remove_from_system(&user);
    result.unwrap();
}

#[test]
fn only_what_left_restarts_the_unit() {
    let Some(user) = TestUser::new(UserOptions::default()) else { return };
    let project = Project::quick(&user);
    add_drop_in(&project);
    project.deploy();
    let of_drop_in = format!("\n  - {{ path: colour.conf, drop_in: {}.service }}", project.name);
    project.edit("deploy.yaml", &of_drop_in, "");
    project.deploy().says("(unit file changed)");
    assert_eq!(state(&project, &user), "\n");
}
