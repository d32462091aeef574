//! Instances of a template: as many as the manifest says, each with a state, a journal and a verdict of its own.
use crate::harness::Project;
use crate::hosts::{TestUser, UserOptions};

/// Has the project bring a template beside its service.
fn add_workers(project: &Project, instances: &str) {
    let name = &project.name;
    let target = if project.systemctl() == "systemctl" { "multi-user.target" } else { "default.target" };
    project.write(
        &format!("{name}-w@.service"),
        &format!(
            "[Service]\nExecStart=/bin/sh -c 'echo worker %i is here; exec sleep infinity'\n\n\
             [Install]\nWantedBy={target}\n"
        ),
    );
    project.edit(
        "deploy.yaml",
        &format!("unit: {name}.service"),
        &format!("units:\n  - {name}.service\n  - {{ path: {name}-w@.service, instances: {instances} }}"),
    );
}

/// `1 active enabled`, a line for each instance that was ever there.
fn workers(project: &Project, user: &TestUser) -> String {
    let (systemctl, name) = (project.systemctl(), &project.name);
    user.run(&format!(
        "for i in 1 2 3 4 blue; do
             set -- $({systemctl} show -p ActiveState,UnitFileState --value {name}-w@$i.service)
             echo $i $1 $2
         done | grep -v ' inactive'; true"
    ))
}

fn invocation(project: &Project, user: &TestUser, instance: &str) -> String {
    user.run(&format!(
        "{} show -p InvocationID --value {}-w@{instance}.service",
        project.systemctl(),
        project.name
    ))
}

#[test]
fn there_are_as_many_as_the_manifest_says() {
    let Some(user) = TestUser::new(UserOptions::default()) else { return };
    let project = Project::quick(&user);
    let name = &project.name;
    add_workers(&project, "4");
    let ran = project.deploy();
    ran.says(&format!("{name}-w@4.service")).says("worker 3 is here");
    let four = "1 active enabled\n2 active enabled\n3 active enabled\n4 active enabled\n";
    assert_eq!(workers(&project, &user), four);
    let links = user.run(&format!(
        "cd {units}; for link in {name}-w@*.service */{name}-w@*.service; do echo \"$link -> $(readlink $link)\"; done",
        units = project.units()
    ));
    let file = format!("{}/current/units/{name}-w@.service", project.root(&user));
    let wanted = links.lines().filter(|link| link.starts_with("default.target.wants/")).count();
    assert_eq!(wanted, 4, "{links}");
    assert!(
        links.lines().all(|link| link.ends_with(&format!(" -> {file}"))),
        "a link leads into one release:\n{links}"
    );
    project.deploy().says("nothing to do");
    let logs = project.shipit(&["logs", "prod"]).exits(0);
    assert!(logs.stdout.contains("worker 4 is here"), "{}", logs.all());
    let status = project.shipit(&["status", "prod"]).exits(0);
    assert!(status.stdout.contains(&format!("{name}-w@2.service  active (running)")), "{}", status.all());

    // Fewer: those that go are stopped and disabled, those that stay go on.
    let stays = invocation(&project, &user, "1");
    project.edit("deploy.yaml", "instances: 4", "instances: 2");
    project.deploy().says(&format!("stopped {name}-w@4.service, which the release does not have"));
    assert!(!user.run(&format!("ls -R {}", project.units())).contains(&format!("{name}-w@4")));
    assert_eq!(workers(&project, &user), "1 active enabled\n2 active enabled\n");
    // By other names, and more of them.
    project.edit("deploy.yaml", "instances: 2", "instances: [1, blue, 3]");
    project.deploy();
    assert_eq!(workers(&project, &user), "1 active enabled\n3 active enabled\nblue active enabled\n");
    assert_eq!(invocation(&project, &user, "1"), stays, "it was not restarted");
    project.deploy().says("nothing to do");
    project.shipit(&["rollback", "prod"]).exits(0);
    assert_eq!(workers(&project, &user), "1 active enabled\n2 active enabled\n");
    assert_eq!(invocation(&project, &user, "1"), stays);

    // The file of the template is each instance's; one that is down is started alone.
    project.edit("deploy.yaml", "instances: [1, blue, 3]", "instances: 2");
    project.edit(&format!("{name}-w@.service"), "is here", "is new here");
    project.deploy().says("worker 1 is new here").says("worker 2 is new here");
    user.run(&format!("systemctl --user stop {name}-w@2.service"));
    project.deploy().says(&format!("started {name}-w@2.service")).never_says(&format!("{name}-w@1.service"));
}

#[test]
fn the_instance_that_fails_is_named_and_all_are_as_they_were() {
    let Some(user) = TestUser::new(UserOptions::default()) else { return };
    let project = Project::new(&user);
    let name = &project.name;
    add_workers(&project, "2");
    project.deploy();
    let before = workers(&project, &user);
    assert_eq!(before, "1 active enabled\n2 active enabled\n");
    project.edit("deploy.yaml", "instances: 2", "instances: [1, 3, 4]");
    project.edit(
        &format!("{name}-w@.service"),
        "echo",
        "[ %i != 3 ] || { echo no queue for %i; exit 7; }; echo",
    );
    let ran = project.shipit(&["deploy", "prod"]).exits(3);
    ran.says(&format!("{name}-w@3.service failed: status=7")).says("no queue for 3");
    assert_eq!(workers(&project, &user), before);
    project.assert_current_is_complete(&user);
}

#[test]
fn the_system_has_instances_too() {
    let Some(user) = TestUser::new(UserOptions::default()) else { return };
    let project = Project::quick(&user).into_system();
    add_workers(&project, "3");
    let result = std::panic::catch_unwind(|| {
        project.deploy();
        assert_eq!(workers(&project, &user), "1 active enabled\n2 active enabled\n3 active enabled\n");
        project.edit("deploy.yaml", "instances: 3", "instances: 1");
        project.deploy();
        assert_eq!(workers(&project, &user), "1 active enabled\n");
        project.shipit(&["rollback", "prod"]).exits(0);
        assert_eq!(workers(&project, &user), "1 active enabled\n2 active enabled\n3 active enabled\n");
    });
    project.remove_from_system(&user);
    result.unwrap();
}

#[test]
fn instances_that_nothing_enables_go_with_the_others() {
    let Some(user) = TestUser::new(UserOptions::default()) else { return };
    let project = Project::quick(&user);
    add_workers(&project, "[1, blue]");
    let template = format!("{}-w@.service", project.name);
    project.edit(&template, "\n[Install]\nWantedBy=default.target\n", "");
    project.deploy();
    assert_eq!(workers(&project, &user), "1 active static\nblue active static\n");
    project.edit("deploy.yaml", "instances: [1, blue]", "instances: [1]");
    project.deploy();
    assert_eq!(workers(&project, &user), "1 active static\n");
    project.shipit(&["remove", "prod", "--yes"]).exits(0);
    let left = user.run(&format!("systemctl --user list-units --all --no-legend '{}*'", project.name));
    assert_eq!(left, "", "nothing of it runs");
}
