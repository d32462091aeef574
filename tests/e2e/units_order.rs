//! Units are started in the order that they ask for, and stopped in the reverse.
use crate::harness::Project;
use crate::hosts::{TestUser, UserOptions};

/// Units that write down when they are started and stopped. Returns the names of those beside the service.
fn with_a_chain(project: &Project) -> Vec<String> {
    let name = &project.name;
    let text = |unit: &str, after: &str, exec: &str| {
        format!(
            "[Unit]\n{after}\n[Service]\nExecStartPre=/bin/sh -c 'echo start {unit} >>%h/order'\nExecStart={exec}\n\
             ExecStopPost=/bin/sh -c 'echo stop {unit} >>%h/order'\n\n[Install]\nWantedBy=default.target\n"
        )
    };
    let sleep = "/bin/sleep infinity";
    let units = ["a", "b", "c"].map(|unit| format!("{name}-{unit}.service"));
    project.write(&units[0], &text("a", &format!("Requires={name}-b.service"), sleep));
    project.write(&units[1], &text("b", &format!("After={name}-c.service"), sleep));
    project.write(&units[2], &text("c", "", sleep));
    let own = text("service", &format!("After={name}-a.service"), &format!("/usr/local/bin/{name}"));
    project.write(&format!("{name}.service"), &own);
    project.edit("deploy.yaml", &format!("env_file: {name}.conf\n"), "");
    let list = format!("units: [{name}.service, {}]", units.join(", "));
    project.edit("deploy.yaml", &format!("unit: {name}.service"), &list);
    units.into()
}

fn order(user: &TestUser) -> String {
    user.run("cat order 2>/dev/null; rm -f order").replace('\n', ", ")
}

#[test]
fn units_are_started_in_their_order_and_stopped_in_the_reverse() {
    let Some(user) = TestUser::new(UserOptions::default()) else { return };
    let project = Project::new(&user);
    let name = project.name.clone();
    let others = with_a_chain(&project);
    // The last of them fails: what was started goes, the last one first.
    project.write("service.sh", "#!/bin/sh\nexit 7\n");
    project.shipit(&["deploy", "prod"]).exits(3).says("status=7");
    project.standing(&user).is_not_deployed();
    assert_eq!(
        order(&user),
        "start c, start b, start a, start service, stop service, stop a, stop b, stop c, "
    );

    project.write("service.sh", "#!/bin/sh\nexec sleep infinity\n");
    project.deploy();
    assert_eq!(order(&user), "start c, start b, start a, start service, ");
    // What leaves, too.
    project.edit(
        "deploy.yaml",
        &format!("units: [{name}.service, {}]", others.join(", ")),
        &format!("unit: {name}.service"),
    );
    project.deploy();
    assert_eq!(order(&user), "stop a, stop b, stop c, ");
    project.shipit(&["rollback", "prod"]).exits(0);
    assert_eq!(order(&user), "start c, start b, start a, ");
}
