//! Hosts are taken side by side, each with its own outcome: one that fails hides nothing of the others.
use crate::harness::Project;
use crate::hosts::{Sudo, TestUser, UserOptions};

/// Three users stand for three hosts. One key opens them all, and the service has one name on each... which only
/// works without links that the whole machine shares.
fn three(project: &Project, users: &[&TestUser]) {
    let key = project.key.as_ref().unwrap();
    let public = std::fs::read_to_string(key.with_extension("pub")).unwrap();
    for user in users {
        user.run(&format!("echo '{}' >>~/.ssh/authorized_keys", public.trim()));
    }
    let hosts: Vec<_> = users.iter().map(|user| user.destination()).collect();
    let name = &project.name;
    // No binary and no env file: nothing outside the home.
    project.write(
        &format!("{name}.service"),
        "[Service]\nExecStart=/bin/sh -c 'echo hello from %u; exec sleep infinity'\n\n[Install]\nWantedBy=default.target\n",
    );
    project.write(
        "deploy.yaml",
        &format!(
            "name: {name}\nunit: {name}.service\nsettle: 1s\nenvironments:\n  prod:\n    hosts: [{}]\n",
            hosts.join(", ")
        ),
    );
}

#[test]
fn one_bad_host_of_three_hides_nothing_of_the_others() {
    let made = [(); 3].map(|()| TestUser::new(UserOptions { sudo: Sudo::None, ..UserOptions::default() }));
    let Some(users) = made.into_iter().collect::<Option<Vec<_>>>() else { return };
    let [a, b, c] = &users[..] else { unreachable!() };
    let project = Project::quick(a);
    three(&project, &[a, b, c]);
    // b's place is taken by a file.
    b.run(&format!(
        "mkdir -p ~/.local/share/shipit/{0} && echo mine >~/.local/share/shipit/{0}/current",
        project.name
    ));

    let ran = project.shipit(&["deploy", "prod"]).exits(8);
    ran.says("2 hosts deployed, 1 failed (untouched)").says("current is not a link");
    for user in [a, c] {
        assert_eq!(project.property(user, "ActiveState"), "active");
        ran.says(&format!("hello from {}", user.user));
    }
    for user in &users {
        assert!(ran.stderr.matches(&user.destination()).count() >= 1, "{} is not reported", user.user);
    }
    assert_eq!(b.run(&format!("cat ~/.local/share/shipit/{}/current", project.name)), "mine\n");

    // Only the one that failed, once it is mended; then all.
    b.run(&format!("rm ~/.local/share/shipit/{}/current", project.name));
    let ran = project.shipit(&["deploy", "prod", "--host", &b.destination()]).exits(0);
    ran.says("1 host deployed").never_says(&a.destination());
    project.deploy().says("3 hosts unchanged");

    // The worst of several decides the exit code.
    project.edit("deploy.yaml", &c.destination(), &format!("{}@web3.invalid", c.user));
    let ran = project.shipit(&["deploy", "prod"]).exits(5);
    ran.says("2 hosts unchanged, 1 unreachable (untouched)").says("web3.invalid");
    let ran = project.shipit(&["deploy", "prod", "--host", "web9"]).exits(2);
    ran.says("no host of prod matches --host web9").says(&a.destination());
}

#[test]
fn a_unit_that_fails_on_one_host_is_shown_with_that_hosts_journal() {
    let made = [(); 2].map(|()| TestUser::new(UserOptions { sudo: Sudo::None, ..UserOptions::default() }));
    let Some(users) = made.into_iter().collect::<Option<Vec<_>>>() else { return };
    let [a, b] = &users[..] else { unreachable!() };
    let project = Project::quick(a);
    three(&project, &[a, b]);
    project.edit(
        &format!("{}.service", project.name),
        "exec sleep infinity",
        &format!("[ %u != {} ] || exit 9; exec sleep infinity", b.user),
    );
    let ran = project.shipit(&["deploy", "prod"]).exits(3);
    ran.says("1 host deployed, 1 FAILED (reverted)").says("status=9");
    ran.says(&format!("hello from {}", b.user));
    assert_eq!(project.property(a, "ActiveState"), "active");
    ran.says("the service is not deployed, as before");
    project.standing(b).is_not_deployed();
}
