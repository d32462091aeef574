//! A service of the system's manager: the same transaction as a user's, with root's rights on the host and nowhere else.
use std::fs;

use crate::harness::{Child, Project};
use crate::hosts::{Sudo, TestUser, UserOptions, wait_for};
use crate::system_project::SystemProject;

/// A command that answers on standard output.
#[track_caller]
fn prints(project: &Project, command: &str, text: &str) {
    let ran = project.shipit(&[command, "prod"]).exits(0);
    assert!(ran.stdout.contains(text), "{text:?} is missing from:\n{}", ran.all());
}

#[test]
fn a_service_of_the_systems_is_roots_and_runs_as_its_user() {
    let Some(user) = TestUser::new(UserOptions::default()) else { return };
    let project = SystemProject::new(&user);
    let name = &project.name;
    let ran = project.deploy();
    ran.says("1 host deployed").says("started in North Carolina");
    // What systemd says of a start is shown as well. On a very busy host, its journal may lack one of these lines.
    let started = format!("systemd[1]: Started {name}.service");
    let mut shown = ran.all().contains(&started);
    project.assert_current_is_complete(&user);
    assert_eq!(project.property(&user, "ActiveState"), "active");
    assert_eq!(project.property(&user, "UnitFileState"), "enabled");
    let owners = user.run_as_root(&format!(
        "cd /opt/{name}/current/ && stat -c '%U %a %n' bin/{name} units/{name}.service env/{name}.conf /opt/{name} | sort
         readlink /etc/systemd/system/{name}.service /usr/local/bin/{name} /etc/default/{name}.conf
         ps -o user= -p $(systemctl show -p MainPID --value {name}.service)"
    ));
    assert_eq!(
        owners,
        format!(
            "root 600 env/{name}.conf\nroot 644 units/{name}.service\nroot 755 /opt/{name}\nroot 755 bin/{name}\n\
             /opt/{name}/current/units/{name}.service\n/opt/{name}/current/bin/{name}\n\
             /opt/{name}/current/env/{name}.conf\nnobody\n"
        )
    );
    // What was uploaded has been taken over, and nothing of it is left in the home folder.
    assert_eq!(user.run("find ~/.local/share/shipit -type f"), "");
    project.deploy().says("nothing to do");

    // Only what changed is sent; the rest is taken over from the release that runs.
    project.edit(&format!("{name}.conf"), "North Carolina", "Virginia");
    let ran = project.deploy();
    ran.says("1 of 3 files").says("started in Virginia");
    shown |= ran.all().contains(&started);
    prints(&project, "logs", "started in North Carolina");
    prints(&project, "logs", "started in Virginia");
    prints(&project, "status", "active (running)");
    prints(&project, "history", "  deployed  ");
    let ran = project.shipit(&["rollback", "prod"]).exits(0);
    ran.says("started in North Carolina");
    shown |= ran.all().contains(&started);
    assert!(shown, "no deploy has shown {started:?}");
    prints(&project, "releases", "current");

    project.shipit(&["remove", "prod", "--yes"]).exits(0);
    project.standing(&user).is_not_deployed();
    let left = "find /opt /etc /usr/local ~ -name '*NAME*' -o -lname '*NAME*' 2>/dev/null; true";
    assert_eq!(user.run_as_root(&left.replace("NAME", name)), "");
}

#[test]
fn a_release_that_fails_goes_and_the_old_one_is_back() {
    let Some(user) = TestUser::new(UserOptions::default()) else { return };
    let project = SystemProject::new(&user);
    project.write("broken.sh", "#!/bin/sh\necho broken\nexit 3\n");
    project.make_executable("broken.sh");
    project.edit("deploy.yaml", "binary: service.sh", "binary: broken.sh");
    project.shipit(&["deploy", "prod"]).exits(3).says("broken").says("FAILED (reverted)");
    project.standing(&user).is_not_deployed();
    project.edit("deploy.yaml", "binary: broken.sh", "binary: service.sh");
    project.deploy();
    let before = project.standing(&user);
    project.edit("deploy.yaml", "binary: service.sh", "binary: broken.sh");
    project.shipit(&["deploy", "prod"]).exits(3).says("broken").says("runs again, as before");
    project.standing(&user).is_back_at(&before);
}

/// P3: the host goes back by itself when its client is gone, and the lock is free.
#[test]
fn a_client_that_is_killed_is_noticed_at_once() {
    let Some(user) = TestUser::new(UserOptions::default()) else { return };
    let project = SystemProject::new(&user);
    project.deploy();
    let before = project.standing(&user);
    let url = format!("http://localhost:{}/", project.port);
    let health = format!("settle: 0s\nhealth: {{ http: '{url}', timeout: 50s }}\n");
    let manifest = fs::read_to_string(project.path("deploy.yaml")).unwrap();
    project.edit("deploy.yaml", "settle: 0s\n", &health);
    project.edit(&format!("{}.conf", project.name), "North Carolina", "Virginia");
    let mut deploy = Child::spawn(&mut project.command(&["deploy", "prod"]));
    deploy.wait_for_output("until it answers well");
    let lock = format!("flock -n /opt/{}/lock true && echo free; true", project.name);
    assert_eq!(user.run_as_root(&lock), "", "the lock is held");
    project.shipit(&["deploy", "prod", "--no-wait"]).exits(7).says("under way on this host");
    deploy.signal("KILL");
    let twenty = std::time::Duration::from_secs(20);
    wait_for("the way back", twenty, || project.standing(&user).leftovers.is_empty());
    project.standing(&user).is_back_at(&before);
    wait_for("the lock", twenty, || user.run_as_root(&lock) == "free\n");
    project.write("deploy.yaml", &manifest);
    project.deploy().says("started in Virginia");
}

#[test]
fn without_roots_rights_nothing_is_begun() {
    let Some(user) = TestUser::new(UserOptions { sudo: Sudo::None, ..UserOptions::default() }) else {
        return;
    };
    let project = SystemProject::new(&user);
    let ran = project.shipit(&["deploy", "prod"]).exits(8);
    ran.says("root's rights are refused").says("or log in as root").says("untouched");
    assert_eq!(user.run(&format!("ls -d /opt/{} ~/.local/share/shipit 2>/dev/null; true", project.name)), "");
}

#[test]
fn a_sudo_password_is_asked_for_once_and_used_for_all() {
    let Some(user) = TestUser::new(UserOptions { sudo: Sudo::Password, ..UserOptions::default() }) else {
        return;
    };
    let project = SystemProject::new(&user);
    let ran = project.shipit(&["deploy", "prod"]).exits(8);
    ran.says("a password is required").says("NOPASSWD");
    let password = user.password.clone().unwrap();
    let ran = project.shipit_on_a_terminal(&["deploy", "prod"], &[("password", &password)]);
    let ran = ran.exits(0);
    assert!(ran.stdout.contains("1 host deployed"), "{}", ran.all());
    ran.never_says(&password);
    assert_eq!(project.property(&user, "ActiveState"), "active");
    let wrong = [("password", "wrong"), ("Sorry", password.as_str())];
    let ran = project.shipit_on_a_terminal(&["deploy", "prod"], &wrong).exits(0);
    assert!(ran.stdout.contains("nothing to do"), "{}", ran.all());
}

#[test]
fn the_services_own_user_is_made_once_and_stays() {
    let Some(user) = TestUser::new(UserOptions::default()) else { return };
    let project = SystemProject::new(&user);
    let (own, unit) = (format!("u{}", &project.name[4..]), format!("{}.service", project.name));
    project.edit(&unit, "User=nobody", &format!("User={own}"));
    project.edit(
        "deploy.yaml",
        "binary:",
        &format!("user: {{ name: {own}, groups: [no-such-group] }}\nbinary:"),
    );
    // A group that is not there: nothing was begun.
    project.shipit(&["deploy", "prod"]).exits(1).says("no-such-group").says("untouched");
    project.standing(&user).is_not_deployed();
    project.edit("deploy.yaml", ", groups: [no-such-group]", "");
    let ran = project.deploy();
    ran.says(&format!("made the system user {own}"));
    let runs = |format: &str| {
        let name = &project.name;
        user.run(&format!("ps -o {format}= -p $(systemctl show -p MainPID --value {name}.service)"))
    };
    assert_eq!(runs("user:32").trim(), own);
    assert_eq!(user.run(&format!("getent passwd {own} | cut -d: -f6,7")), "/nonexistent:/usr/sbin/nologin\n");
    project.deploy().says("nothing to do");
    project.edit("deploy.yaml", &format!("name: {own}"), &format!("name: {own}, groups: [adm]"));
    project.deploy().says(&format!("added the user {own} to adm"));
    assert_eq!(user.run(&format!("id -nG {own}")), format!("{own} adm\n"));
    project.deploy().says("nothing to do");
    user.root(&format!("systemctl stop {unit}; userdel {own}"));
}

#[test]
fn a_freeze_is_roots_to_make_and_everybodys_to_see() {
    let Some(user) = TestUser::new(UserOptions::default()) else { return };
    let project = SystemProject::new(&user);
    project.deploy();
    project.shipit(&["lock", "prod", "-m", "audit"]).exits(0);
    prints(&project, "status", "audit");
    project.edit(&format!("{}.conf", project.name), "North Carolina", "Virginia");
    project.shipit(&["deploy", "prod"]).exits(7).says("audit");
    project.shipit(&["unlock", "prod"]).exits(0);
    project.deploy().says("started in Virginia");
}

#[test]
fn a_root_of_its_own_is_used_in_both_scopes() {
    let Some(user) = TestUser::new(UserOptions::default()) else { return };
    let project = Project::quick(&user);
    project.edit("deploy.yaml", "binary:", "root: ~/apps/of mine\nbinary:");
    project.deploy();
    assert_eq!(user.run("readlink ~/'apps/of mine/current' | cut -d/ -f1"), "releases\n");
    project.deploy().says("nothing to do");
    prints(&project, "history", "  deployed  ");
    assert_eq!(user.run("ls -d ~/.local/share/shipit 2>/dev/null; true"), "");
}
