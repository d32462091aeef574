//! Units of both managers in one service: what the system runs, and what the login user's own manager runs.
use crate::harness::Project;
use crate::hosts::{HostOptions, Lingering, OwnHost, TestUser, UserOptions, wait_for};
use crate::system_project::SystemProject;
use crate::trial::AT_ONCE;

/// Has a second unit, which the login user's manager runs.
fn add_users_unit(project: &Project) -> String {
    let name = &project.name;
    let unit = format!("{name}-desk.service");
    project.write("desk.sh", "#!/bin/sh\necho \"the desk of $(id -un) is open\"\nexec sleep infinity\n");
    project.make_executable("desk.sh");
    project.write(
        &unit,
        &format!(
            "[Service]\nExecStart=/opt/{name}/current/desk.sh\nRestart=on-failure\n\n\
             [Install]\nWantedBy=default.target\n"
        ),
    );
    project.edit(
        "deploy.yaml",
        &format!("unit: {name}.service"),
        &format!("units: [{name}.service, {{ path: {unit}, scope: user }}]\nfiles: [{{ source: desk.sh }}]"),
    );
    unit
}

/// What both managers say of a service's two units, and the links that lead to them.
#[track_caller]
fn both(user: &TestUser, name: &str) -> String {
    user.run(&format!(
        "for command in 'systemctl' 'systemctl --user'; do
             $command show -p ActiveState,UnitFileState --value {name}.service {name}-desk.service | grep .
         done
         for link in /etc/systemd/system/{name}*.service ~/.config/systemd/user/{name}*.service \
             ~/.config/systemd/user/*.wants/{name}*; do
             [ -L $link ] && stat -c '%U %N' $link
         done; true"
    ))
}

fn starts(user: &TestUser, name: &str) -> (String, String) {
    let id = |command: &str, unit: &str| {
        user.run(&format!("{command} show -p InvocationID --value {name}{unit}.service"))
    };
    (id("systemctl", ""), id("systemctl --user", "-desk"))
}

#[test]
fn a_unit_may_be_the_login_users_and_goes_the_way_of_all_others() {
    // Lingering is off: the system's service does not need it, and that unit does.
    let Some(user) = TestUser::new(UserOptions { lingering: Lingering::Off, ..UserOptions::default() })
    else {
        return;
    };
    let project = SystemProject::new(&user);
    let name = &project.name;
    add_users_unit(&project);
    let first = project.deploy();
    first.says("started in North Carolina").says(&format!("the desk of {} is open", user.user));
    assert!(user.lingers(), "the unit would end with the login");
    let (login, home) = (&user.user, &user.home);
    let here = format!(
        "active\nenabled\ninactive\ninactive\nactive\nenabled\n\
         root '/etc/systemd/system/{name}.service' -> '/opt/{name}/current/units/{name}.service'\n\
         {login} '{home}/.config/systemd/user/{name}-desk.service' -> '/opt/{name}/current/units/{name}-desk.service'\n\
         {login} '{home}/.config/systemd/user/default.target.wants/{name}-desk.service' -> \
         '/opt/{name}/current/units/{name}-desk.service'\n"
    );
    assert_eq!(both(&user, name), here);
    project.deploy().says("nothing to do");
    let status = project.shipit(&["status", "prod"]).exits(0).stdout;
    for unit in
        [format!("  {name}.service  active (running)"), format!("  {name}-desk.service  active (running)")]
    {
        assert!(
            status.contains(&unit),
            "{unit:?} is missing from:
{status}"
        );
    }
    let logs = project.shipit(&["logs", "prod"]).exits(0).stdout;
    assert!(logs.contains("started in North Carolina") && logs.contains("the desk of "), "{logs}");

    // One unit's change is no restart of the other, whoever runs it.
    let before = starts(&user, name);
    project.edit(&format!("{name}-desk.service"), "Restart=on-failure", "Restart=always");
    project.deploy().says(&format!("restart {name}-desk.service"));
    let after = starts(&user, name);
    assert_eq!(after.0, before.0);
    assert_ne!(after.1, before.1);

    // One that fails takes both back.
    let standing = project.standing(&user);
    project.write("desk.sh", "#!/bin/sh\necho the desk is broken\nexit 3\n");
    let failed = project.shipit(&["deploy", "prod"]).exits(3);
    failed.says("the desk is broken").says("FAILED (reverted)").says(&format!("{name}-desk.service"));
    project.standing(&user).is_back_at(&standing);
    assert_eq!(both(&user, name), here);

    project.shipit(&["rollback", "prod"]).exits(0);
    assert_eq!(both(&user, name), here);

    // What becomes another manager's is another unit.
    project.write("desk.sh", "#!/bin/sh\nexec sleep infinity\n");
    project.edit("deploy.yaml", ", scope: user }", " }");
    let refused = project.shipit(&["deploy", "prod"]).exits(8);
    refused.says(&format!("{name}-desk.service is of scope `user` on the host, and of scope `system`"));
    refused.says("deploy once without ").says("the service was not touched");
    assert_eq!(both(&user, name), here);

    project.edit("deploy.yaml", &format!(", {{ path: {name}-desk.service }}"), "");
    project.deploy().says(&format!("stop {name}-desk.service"));
    let alone = "active\nenabled\ninactive\ninactive\n";
    assert!(both(&user, name).starts_with(alone), "{}", both(&user, name));
    assert!(!both(&user, name).contains("desk"), "{}", both(&user, name));

    // And back, by way of what is on record of the release.
    project.shipit(&["rollback", "prod"]).exits(0);
    assert_eq!(both(&user, name), here);

    let removed = project.shipit(&["remove", "prod", "--yes"]).exits(0);
    assert!(removed.stdout.contains(&format!("stopped {name}-desk.service")), "{}", removed.all());
    assert_eq!(both(&user, name), "inactive\ninactive\ninactive\ninactive\n");
    let left = format!("find /opt /etc/systemd {home} -name '*{name}*' -o -lname '*{name}*'");
    assert_eq!(user.run_as_root(&left), "");
}

#[test]
fn a_power_cut_while_the_host_waits_takes_both_managers_back() {
    let Some(host) = OwnHost::boot(HostOptions::default()) else { return };
    let user = host.user(UserOptions::default());
    let project = SystemProject::new(&user);
    let name = &project.name;
    add_users_unit(&project);
    project.deploy();
    let (standing, here) = (project.standing(&user), both(&user, name));
    project.write("desk.sh", "#!/bin/sh\necho this is new\nexec sleep infinity\n");
    project.edit(
        "deploy.yaml",
        "settle: 0s\n",
        &format!("settle: 0s\nhealth: {{ http: 'http://localhost:{}/', timeout: 40s }}\n", project.port),
    );
    let mut deploy = project.spawn_on_a_terminal(&["deploy", "prod", "-v"]);
    deploy.wait_for_output("asking http");
    wait_for("the new release", AT_ONCE, || project.current(&user) != standing.current);
    wait_for("the host to wait", AT_ONCE, || {
        user.run_as_root(&format!("cat /opt/{name}/pending/log 2>/dev/null; true")).contains("\npending ")
    });
    host.machine.cut_power();
    drop(deploy);
    host.machine.power_on();
    wait_for("the old release", AT_ONCE, || {
        user.run(&format!("ls -d /opt/{name}/pending 2>/dev/null; true")).is_empty()
            && both(&user, name) == here
    });
    project.standing(&user).is_as(&standing);
    assert!(!user.journal(&format!("-b _SYSTEMD_USER_UNIT={name}-desk.service")).contains("this is new"));
}
