//! The services of `examples/`, each deployed as its README says, through all that may happen to it.
use std::time::Duration;

use crate::harness::{Project, Ran};
use crate::hosts::{HostOptions, OwnHost, TestUser, Tree, UserOptions, wait_for};

pub const A_WHILE: Duration = Duration::from_secs(30);

pub fn python_host() -> Option<OwnHost> {
    OwnHost::boot(HostOptions { tree: Tree::Python, ..HostOptions::default() })
}

/// What an example is put through. A change is a file, a text in it, and the text that takes its place.
#[derive(Default)]
pub struct Life<'a> {
    /// What the service says once it runs.
    pub says: &'a str,
    /// The code changes.
    pub code: (&'a str, &'a str, &'a str),
    /// What the service says then.
    pub says_then: &'a str,
    /// The env file changes, and nothing else does.
    pub env: (&'a str, &'a str, &'a str),
    /// What the service says then.
    pub says_with_env: &'a str,
    /// It can't run any more.
    pub breaks: (&'a str, &'a str, &'a str),
    /// Where it says all that.
    pub seen: Seen,
    /// Makes what is deployed from the sources, where these are not what is deployed.
    pub make: Option<fn(&Project)>,
}

/// Where a service says something.
#[derive(Clone, Copy, Default)]
pub enum Seen {
    /// In its journal, which a deploy shows.
    #[default]
    Journal,
    /// In a log file of its own.
    LogFile,
    /// To who asks at this URL on the host.
    Http(&'static str),
}

impl Seen {
    /// How often it stands in the log file.
    fn in_log_file(project: &Project, text: &str) -> usize {
        project.shipit(&["logs", "prod", "--files", "-n", "1000"]).stdout.matches(text).count()
    }

    /// Runs what starts the service, which must work, and sees that the service says this then.
    #[track_caller]
    fn after(self, project: &Project, user: &TestUser, text: &str, start: impl FnOnce() -> Ran) -> Ran {
        let before = match self {
            Self::LogFile => Self::in_log_file(project, text),
            Self::Journal | Self::Http(_) => 0,
        };
        let ran = start().exits(0);
        match self {
            Self::Journal => {
                ran.says(text);
            }
            // A deploy may be over before the service has written anything.
            Self::LogFile => wait_for(text, A_WHILE, || Self::in_log_file(project, text) > before),
            Self::Http(url) => {
                let answer = user.run(&format!("curl -sS --fail {url}"));
                assert!(answer.contains(text), "{text:?} is not in the answer: {answer}");
            }
        }
        ran
    }
}

/// First deploy, nothing to do, a change of the code, a change of the env file, a release that is broken, back, the host
/// boots anew, gone.
pub fn live(host: &OwnHost, user: &TestUser, project: &Project, life: &Life<'_>) {
    let change = |(file, from, to): (&str, &str, &str)| {
        project.edit(file, from, to);
        life.make.inspect(|make| make(project));
    };
    let deploy_says = |text| life.seen.after(project, user, text, || project.shipit(&["deploy", "prod"]));
    life.make.inspect(|make| make(project));
    deploy_says(life.says).says("first deploy");
    project.assert_current_is_complete(user);
    project.deploy().says("nothing to do");
    let first = project.standing(user);

    change(life.code);
    deploy_says(life.says_then);
    let second = project.standing(user);
    assert_ne!(first.current, second.current);

    change(life.env);
    let plan = project.shipit(&["plan", "prod"]).exits(0);
    let env_file = format!("~ env/{}.conf ", project.name);
    assert!(plan.stdout.contains(&env_file), "{}", plan.all());
    assert!(plan.stdout.contains(" files: 1 of "), "only the env file is sent:\n{}", plan.all());
    deploy_says(life.says_with_env).says("(env file changed)");
    let third = project.standing(user);

    change(life.breaks);
    let ran = project.shipit(&["deploy", "prod"]);
    assert!(matches!(ran.code, Some(1 | 3)), "{}", ran.all());
    project.standing(user).is_as(&third);
    let (file, from, to) = life.breaks;
    change((file, to, from));

    life.seen.after(project, user, life.says_then, || project.shipit(&["rollback", "prod"]));
    assert_eq!(project.standing(user).current, second.current);

    host.machine.reboot();
    let is_up = || project.property(user, "ActiveState") == "active";
    wait_for("the service after a boot", A_WHILE, is_up);
    deploy_says(life.says_with_env);

    project.shipit(&["remove", "prod", "--yes"]).exits(0);
    project.standing(user).is_not_deployed();
    let name = &project.name;
    let left = user.run_as_root(&format!(
        "find /home /opt /etc /usr/local /root -xdev \\( -name '*{name}*' -o -lname '*{name}*' \\); true"
    ));
    // The user stays: passwd(5) has it, and no file of its is there.
    assert_eq!(left, "");
}

/// What the ticker is put through, whoever runs it.
fn ticker(breaks: (&'static str, &'static str, &'static str)) -> Life<'static> {
    Life {
        says: "tick 1",
        code: ("ticker.py", "tick {count}", "tock {count}"),
        says_then: "tock 1",
        env: ("ticker.conf", "TICK_SECONDS=5", "TICK_SECONDS=1"),
        says_with_env: "one tick every 1 s",
        breaks,
        ..Life::default()
    }
}

/// Article: writing a systemd service in Python. Ready when it says so, and started again when it dies.
#[test]
fn ticker_as_a_service_of_the_user() {
    let Some(host) = python_host() else { return };
    let user = host.user(UserOptions::default());
    let project = Project::example(&user, "ticker", "deploy.yaml");
    project.deploy().says("tick 1");

    // It stops in good order, and is started again when it does not.
    user.run("systemctl --user restart ticker.service");
    let ran = project.shipit(&["logs", "prod"]).exits(0);
    assert!(ran.stdout.contains("stopped after "), "{}", ran.all());
    user.run("kill -KILL $(systemctl --user show -p MainPID --value ticker.service)");
    wait_for("the restart", A_WHILE, || project.property(&user, "NRestarts") == "1");
    wait_for("it to be ready", A_WHILE, || project.property(&user, "ActiveState") == "active");
    let ran = project.shipit(&["status", "prod"]).exits(0);
    assert!(ran.stdout.contains("1 restart"), "{}", ran.all());
    project.shipit(&["remove", "prod", "--yes"]).exits(0);

    let life = ticker(("ticker.py", "import signal", "import signall"));
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
    let life = ticker(("system/ticker.service", "User=ticker", "User=nobody-of-that-name"));
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
        env: ("meterd.conf", "METERD_EVERY=2", "METERD_EVERY=3"),
        says_with_env: "measuring every 3 s",
        breaks: ("setup.py", "meterd.daemon:main", "meterd.daemon:no_such_function"),
        ..Life::default()
    };
    live(&host, &user, &project, &life);
}
