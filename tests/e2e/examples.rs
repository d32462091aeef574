//! The services of `examples/`, each deployed as its README says, through all that may happen to it.
use std::time::Duration;

use crate::harness::Project;
use crate::hosts::{HostOptions, OwnHost, TestUser, Tree, UserOptions, wait_for};

pub(crate) const A_WHILE: Duration = Duration::from_secs(30);

pub(crate) fn python_host() -> Option<OwnHost> {
    OwnHost::boot(HostOptions { tree: Tree::Python, ..HostOptions::default() })
}

/// What an example is put through.
pub(crate) struct Life<'a> {
    /// What the service says once it runs.
    pub(crate) says: &'a str,
    /// A file, a text in it, and another text: the code changes.
    pub(crate) code: (&'a str, &'a str, &'a str),
    /// What the service says then.
    pub(crate) says_then: &'a str,
    /// A file, a text in it, and another text: it can't run.
    pub(crate) breaks: (&'a str, &'a str, &'a str),
}

/// First deploy, nothing to do, a change, a release that is broken, back, the host boots anew, gone.
pub(crate) fn live(host: &OwnHost, user: &TestUser, project: &Project, life: &Life<'_>) {
    project.deploy().says("first deploy").says(life.says);
    project.assert_current_is_complete(user);
    project.deploy().says("nothing to do");
    let first = project.standing(user);

    let (file, from, to) = life.code;
    project.edit(file, from, to);
    project.deploy().says(life.says_then);
    let second = project.standing(user);
    assert_ne!(first.current, second.current);

    let (file, from, to) = life.breaks;
    project.edit(file, from, to);
    let ran = project.shipit(&["deploy", "prod"]);
    assert!(matches!(ran.code, Some(1 | 3)), "{}", ran.all());
    project.standing(user).is_as(&second);
    project.edit(file, to, from);

    project.shipit(&["rollback", "prod"]).exits(0).says(life.says);
    assert_eq!(project.standing(user).current, first.current);

    host.machine.reboot();
    wait_for("the service after a boot", A_WHILE, || project.property(user, "ActiveState") == "active");
    project.deploy().says(life.says_then);

    project.shipit(&["remove", "prod", "--yes"]).exits(0);
    project.standing(user).is_not_deployed();
    let name = &project.name;
    let left = user.run_as_root(&format!(
        "find /home /opt /etc /usr/local /root -xdev \\( -name '*{name}*' -o -lname '*{name}*' \\); true"
    ));
    // The user stays: passwd(5) has it, and no file of its is there.
    assert_eq!(left, "");
}

/// Article: writing a systemd service in Python. Ready when it says so, and started again when it dies.
#[test]
fn ticker_as_a_service_of_the_user() {
    let Some(host) = python_host() else { return };
    let user = host.user(UserOptions::default());
    let project = Project::example(&user, "ticker", "deploy.yaml");
    project.deploy().says("tick 1");

    // Only the env file changes.
    project.edit("ticker.conf", "TICK_SECONDS=5", "TICK_SECONDS=1");
    project.deploy().says("1 of 3 files").says("one tick every 1 s").says("env file changed");
    // It stops in good order, and is started again when it does not.
    let ran = project.shipit(&["logs", "prod"]).exits(0);
    assert!(ran.stdout.contains("stopped after "), "{}", ran.all());
    user.run("kill -KILL $(systemctl --user show -p MainPID --value ticker.service)");
    wait_for("the restart", A_WHILE, || project.property(&user, "NRestarts") == "1");
    wait_for("it to be ready", A_WHILE, || project.property(&user, "ActiveState") == "active");
    let ran = project.shipit(&["status", "prod"]).exits(0);
    assert!(ran.stdout.contains("1 restart"), "{}", ran.all());
    project.shipit(&["remove", "prod", "--yes"]).exits(0);

    project.edit("ticker.conf", "TICK_SECONDS=1", "TICK_SECONDS=5");
    let life = Life {
        says: "tick 1",
        code: ("ticker.py", "tick {count}", "tock {count}"),
        says_then: "tock 1",
        breaks: ("ticker.py", "import signal", "import signall"),
    };
    live(&host, &user, &project, &life);
}

/// The same for the whole machine: below /usr/local/lib, root's, by a user who can't log in.
#[test]
fn ticker_as_a_service_of_the_machine() {
    let Some(host) = python_host() else { return };
    let user = host.user(UserOptions::default());
    let project = Project::example(&user, "ticker", "deploy.system.yaml");
    project.deploy().says("made the system user ticker").says("tick 1");
    let facts = user.run_as_root(
        "stat -L -c '%U:%G %a' /usr/local/lib/ticker /usr/local/lib/ticker/current/bin/ticker
         ps -o user= -p $(systemctl show -p MainPID --value ticker.service); getent passwd ticker | cut -d: -f7",
    );
    assert_eq!(facts, "root:root 755\nroot:root 755\nticker\n/usr/sbin/nologin\n");
    project.shipit(&["remove", "prod", "--yes"]).exits(0);
    let life = Life {
        says: "tick 1",
        code: ("ticker.py", "tick {count}", "tock {count}"),
        says_then: "tock 1",
        breaks: ("system/ticker.service", "User=ticker", "User=nobody-of-that-name"),
    };
    live(&host, &user, &project, &life);
}

/// Article: daemons in Python. A package in a virtualenv of the release's own, from a host without a network.
#[test]
fn meterd_in_a_virtualenv() {
    let Some(host) = python_host() else { return };
    let user = host.user(UserOptions::default());
    let project = Project::example(&user, "meterd", "deploy.yaml");
    let life = Life {
        says: "metering every 2 s",
        code: ("meterd/daemon.py", "metering every", "measuring every"),
        says_then: "measuring every 2 s",
        breaks: ("setup.py", "meterd.daemon:main", "meterd.daemon:no_such_function"),
    };
    live(&host, &user, &project, &life);
}
