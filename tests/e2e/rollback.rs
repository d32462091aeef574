//! A rollback is a deploy of what is on the host already: by the same transaction, and with the same verdict.
use crate::harness::Project;
use crate::hosts::{TestUser, UserOptions};

/// A project with two releases on the host, the second of them current. Returns their ids.
fn with_two_releases(user: &TestUser) -> (Project, String, String) {
    let project = Project::quick(user);
    project.deploy();
    let first = id(&project.current(user));
    project.edit("service.sh", "echo \"started", "echo \"second, started");
    project.edit(&format!("{}.conf", project.name), "North Carolina", "Virginia");
    project.deploy().says("second, started in Virginia");
    let second = id(&project.current(user));
    (project, first, second)
}

fn id(current: &str) -> String {
    current.trim_start_matches("releases/").to_owned()
}

/// The release's files, their hashes, and when each was last changed.
fn contents(user: &TestUser, project: &Project, release: &str) -> String {
    user.run(&format!(
        "cd {}/releases/{release} && find . -type f ! -name good -printf '%P %m %C@\\n' -exec sha256sum {{}} \\; | sort",
        project.root(user)
    ))
}

#[test]
fn it_restores_the_old_bytes_and_the_old_answer() {
    let Some(user) = TestUser::new(UserOptions::default()) else { return };
    let project = Project::simple_api(&user);
    project.deploy();
    let first = project.current(&user);
    assert!(project.answer(&user).contains("North Carolina"));
    project.edit(&format!("{}.conf", project.name), "North Carolina", "Virginia");
    project.deploy();
    assert!(project.answer(&user).contains("Virginia"));
    let ran = project.shipit(&["rollback", "prod"]).exits(0);
    ran.says("goes back to").says(&id(&first)).says("1 host deployed");
    assert_eq!(project.current(&user), first);
    assert!(project.answer(&user).contains("North Carolina"));
    // What was sealed is what is there, so a probe need not read it again, and there is nothing to deploy but the change.
    project.edit(&format!("{}.conf", project.name), "Virginia", "North Carolina");
    project.deploy().says("nothing to do");
}

#[test]
fn it_needs_no_local_file_but_the_manifest() {
    let Some(user) = TestUser::new(UserOptions::default()) else { return };
    let (project, first, second) = with_two_releases(&user);
    for file in
        ["service.sh".to_owned(), format!("{0}.service", project.name), format!("{0}.conf", project.name)]
    {
        std::fs::remove_file(project.path(&file)).unwrap();
    }
    let before = project.property(&user, "InvocationID");
    project.shipit(&["rollback"]).exits(0).says("started in North Carolina");
    assert_eq!(id(&project.current(&user)), first);
    assert_ne!(project.property(&user, "InvocationID"), before);
    // Forward again, by the beginning of the id.
    project.shipit(&["rollback", "prod", "--to", &second[..20]]).exits(0);
    assert_eq!(id(&project.current(&user)), second);
    project.shipit(&["rollback", "prod", "--to", &second]).exits(0).says("nothing to do");
}

#[test]
fn where_there_is_nothing_to_go_back_to_it_says_so() {
    let Some(user) = TestUser::new(UserOptions::default()) else { return };
    let project = Project::quick(&user);
    project.shipit(&["rollback", "prod"]).exits(8).says("the service is not deployed on the host");
    project.deploy();
    let current = project.current(&user);
    let ran = project.shipit(&["rollback", "prod"]).exits(8);
    ran.says("there is no good release before the current one").says(&id(&current));
    let ran = project.shipit(&["rollback", "prod", "--to", "2001"]).exits(8);
    ran.says("no release on the host has an id that begins with `2001`");
    ran.says(&format!("{}  (current)", id(&current)));
    assert_eq!(project.current(&user), current);
}

#[test]
fn a_tampered_release_is_refused_and_untouched() {
    let Some(user) = TestUser::new(UserOptions::default()) else { return };
    let (project, first, second) = with_two_releases(&user);
    let binary = format!("{}/releases/{first}/bin/{}", project.root(&user), project.name);
    // As long as before: only the hash tells.
    user.run(&format!("sed -i s/started/stolen_/ {binary}"));
    let before = (contents(&user, &project, &first), project.property(&user, "InvocationID"));
    let ran = project.shipit(&["rollback", "prod"]).exits(8);
    ran.says(&format!("release {first} on the host is not what was deployed"));
    ran.says(&format!("bin/{}: FAILED", project.name)).says("the service was not touched");
    assert_eq!(id(&project.current(&user)), second);
    assert_eq!((contents(&user, &project, &first), project.property(&user, "InvocationID")), before);
    user.run(&format!("rm {binary}"));
    project.shipit(&["rollback", "prod"]).exits(8).says(&format!("bin/{} is missing", project.name));
    user.run(&format!("echo '{{}}' >{}/releases/{first}/release.json", project.root(&user)));
    project.shipit(&["rollback", "prod"]).exits(8).says("release.json is missing or can't be read");
    assert_eq!(id(&project.current(&user)), second);
    assert_eq!(project.property(&user, "ActiveState"), "active");
}

#[test]
fn one_whose_service_fails_returns_to_where_it_was() {
    let Some(user) = TestUser::new(UserOptions::default()) else { return };
    let project = Project::quick(&user);
    project.edit("deploy.yaml", "settle: 0s", "settle: 1s");
    // It starts only as long as its file is there.
    project.write("service.sh", "#!/bin/sh\n[ -e ~/needed ] || exit 7\nexec sleep infinity\n");
    user.run("touch ~/needed");
    project.deploy();
    let first = id(&project.current(&user));
    project.write("service.sh", "#!/bin/sh\necho all alone\nexec sleep infinity\n");
    project.deploy();
    let second = id(&project.current(&user));
    user.run("rm ~/needed");
    let ran = project.shipit(&["rollback", "prod"]).exits(3);
    ran.says("1 host FAILED (reverted)").says("status=7");
    ran.says(&format!("the host went back from release {first}: release {second} runs again"));
    assert_eq!(id(&project.current(&user)), second);
    assert_eq!(project.property(&user, "ActiveState"), "active");
    // It has failed now, so it is not where the next one would go.
    project.shipit(&["rollback", "prod"]).exits(8).says("there is no good release before");
}

#[test]
fn an_environment_that_wants_to_be_asked_is_asked() {
    let Some(user) = TestUser::new(UserOptions::default()) else { return };
    let (project, first, second) = with_two_releases(&user);
    project.edit("deploy.yaml", "  prod:\n", "  prod:\n    confirm: true\n");
    project.shipit(&["rollback", "prod"]).exits(2).says("prod wants to be confirmed").says("--yes");
    let question = "Roll back 1 host of prod? [y/N]";
    let ran = project.shipit_on_a_terminal(&["rollback", "prod"], &[(question, "n")]);
    assert_eq!(ran.code, Some(1), "{}", ran.all());
    assert_eq!(id(&project.current(&user)), second);
    project.shipit(&["rollback", "prod", "--yes"]).exits(0);
    assert_eq!(id(&project.current(&user)), first);
}

#[test]
fn a_unit_that_came_later_is_stopped_and_is_back_after_the_next_deploy() {
    let Some(user) = TestUser::new(UserOptions::default()) else { return };
    let project = Project::quick(&user);
    project.deploy();
    let (name, worker) = (&project.name, format!("{}-worker.service", project.name));
    project.write(
        &worker,
        &format!("[Service]\nExecStart=/usr/local/bin/{name}\n\n[Install]\nWantedBy=default.target\n"),
    );
    project.edit(
        "deploy.yaml",
        &format!("unit: {name}.service"),
        &format!("units: [{name}.service, {worker}]"),
    );
    project.deploy();
    let state = || user.run(&format!("systemctl --user is-active {worker}; true"));
    assert_eq!(state(), "active\n");
    project.shipit(&["rollback", "prod"]).exits(0).says(&format!("stop {worker}"));
    assert_eq!(state(), "inactive\n");
    project.deploy();
    assert_eq!(state(), "active\n");
}
