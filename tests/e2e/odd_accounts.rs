//! Accounts and hosts that are not as usual: what works all the same, and what is refused with the reason.
use crate::harness::{Child, Project};
use crate::hosts::{HostOptions, OwnHost, TestUser, UserOptions, skip, wait_for};

/// A user whose account may be bent: not the developer's own.
fn bendable() -> Option<TestUser> {
    let user = TestUser::new(UserOptions::default())?;
    if user.key_path.is_none() {
        skip("the account in SHIPIT_TEST_HOST is not the test's to change");
        return None;
    }
    Some(user)
}

#[track_caller]
fn untouched(user: &TestUser, project: &Project) {
    let found = user.run_as_root(&format!("ls -d {} 2>/dev/null; true", project.root(user)));
    assert_eq!(found, "");
}

#[test]
fn a_login_shell_that_sets_odd_things_is_no_obstacle() {
    let Some(user) = bendable() else { return };
    let project = Project::new(&user);
    user.run(
        "printf '%s\\n' 'echo step 1 failed 1 >&2' 'umask 077' 'set -u' 'cd /tmp' \
         'export LC_ALL=C.UTF-8 SYSTEMD_COLORS=1 GREP_OPTIONS=-v CDPATH=/' 'alias ls=false' >~/.bashrc",
    );
    project.deploy().says("started in North Carolina");
    // What the service's files may be read by does not hang on the account's umask.
    let mode = user.run(&format!("stat -c %a {}/current/bin/{}", project.root(&user), project.name));
    assert_eq!(mode, "755\n");
    project.deploy().says("nothing to do");
}

/// sshd has the login shell start SFTP: what that prints comes before the first answer.
#[test]
fn a_login_shell_that_talks_is_found_out() {
    let Some(user) = bendable() else { return };
    let project = Project::new(&user);
    user.run("echo 'echo Welcome to the machine' >~/.bashrc");
    // What needs no SFTP works.
    project.shipit(&["plan", "prod"]).exits(0).never_says("Welcome");
    let ran = project.shipit(&["deploy", "prod"]);
    assert_ne!(ran.code, Some(0), "{}", ran.all());
    ran.says("cannot start SFTP").says("`ssh HOST true` must print nothing").says("nothing was activated");
    user.run("rm ~/.bashrc");
    project.deploy();
}

#[test]
fn an_account_that_may_not_run_commands_is_said_to_be_one() {
    let Some(user) = bendable() else { return };
    let project = Project::quick(&user);
    user.run_as_root(&format!("usermod --shell /usr/sbin/nologin {}", user.user));
    let ran = project.shipit(&["deploy", "prod"]);
    user.run_as_root(&format!("usermod --shell /bin/bash {}", user.user));
    let ran = ran.exits(5);
    ran.says("This account is currently not available").says("login shell");
    untouched(&user, &project);
}

#[test]
fn a_host_without_systemd_is_refused() {
    let Some(user) = bendable() else { return };
    let project = Project::quick(&user);
    user.run("mkdir ~/bin; ln -s /usr/bin/* ~/bin/; rm ~/bin/systemctl; echo 'PATH=$HOME/bin' >~/.bashrc");
    for arguments in [&["plan", "prod"][..], &["deploy", "prod"]] {
        let ran = project.shipit(arguments).exits(8);
        ran.says("not run by systemd").says("there is no systemctl").says("systemd >= 245");
    }
    untouched(&user, &project);
}

#[test]
fn a_user_without_a_manager_is_refused_with_the_way_to_get_one() {
    let Some(user) = bendable() else { return };
    let project = Project::quick(&user);
    let id = user.run("id -u").trim().to_owned();
    user.run_as_root(&format!("systemctl mask --quiet --runtime --now user@{id}.service"));
    let ran = project.shipit(&["deploy", "prod"]);
    user.run_as_root(&format!("systemctl unmask --quiet --runtime user@{id}.service"));
    let ran = ran.exits(8);
    ran.says(&format!("the service manager of {} can't be reached", user.user));
    ran.says(&format!("systemctl start user@$(id -u {})", user.user));
    untouched(&user, &project);
}

/// As on Fedora, RHEL, SUSE and Arch. It reads its input byte by byte, and has ideas of its own about traps.
#[test]
fn the_hosts_shell_may_be_bash() {
    let Some(host) = OwnHost::boot(HostOptions::default()) else { return };
    host.machine.run("ln -sfT bash /usr/bin/sh");
    let user = host.user(UserOptions::default());
    let project = Project::quick(&user);
    project.deploy();
    let before = project.standing(&user);
    let health =
        format!("settle: 0s\nhealth: {{ http: 'http://localhost:{}/', timeout: 40s }}\n", project.port);
    project.edit("deploy.yaml", "settle: 0s\n", &health);
    project.edit(&format!("{}.conf", project.name), "North Carolina", "Virginia");
    let mut deploy = Child::spawn(&mut project.command(&["deploy", "prod"]));
    deploy.wait_for_output("until it answers well");
    deploy.signal("KILL");
    let settled = || project.standing(&user).leftovers.is_empty();
    wait_for("the way back", std::time::Duration::from_secs(8), settled);
    project.standing(&user).is_back_at(&before);

    // The same while systemd is waited for.
    let before = project.standing(&user);
    project.edit("deploy.yaml", &health, "settle: 0s\n");
    let unit = format!("{}.service", project.name);
    project.edit(&unit, "Restart=always", "Restart=always\nType=notify\nTimeoutStartSec=infinity");
    let deploy = Child::spawn(&mut project.command(&["deploy", "prod"]));
    wait_for("a start that hangs", std::time::Duration::from_secs(20), || {
        project.current(&user) != before.current && project.property(&user, "SubState") == "start"
    });
    deploy.signal("KILL");
    wait_for("the way back", std::time::Duration::from_secs(8), settled);
    project.standing(&user).is_back_at(&before);
    project.edit(&unit, "Type=notify\nTimeoutStartSec=infinity", "");
    project.deploy();
}
