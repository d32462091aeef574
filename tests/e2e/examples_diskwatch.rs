//! `examples/diskwatch`: a service with a log file of its own, which logrotate renames while it is written to.
use std::time::{Duration, Instant};

use crate::examples::{A_WHILE, Life, Seen, live, python_host};
use crate::harness::{Child, Project};
use crate::hosts::{UserOptions, wait_for};

const LOG: &str = "/var/log/diskwatch/diskwatch.log";

/// Article: a daemon in Python under systemd. It says what it sees in a log file, and nothing in the journal.
#[test]
fn diskwatch_with_a_log_file_of_its_own() {
    let Some(host) = python_host() else { return };
    let user = host.user(UserOptions::default());
    let project = Project::example(&user, "diskwatch", "deploy.yaml");
    let life = Life {
        says: "watching / every 5 s, warning at 90 %",
        code: ("diskwatch.py", "watching %s every", "observing %s every"),
        says_then: "observing / every 5 s, warning at 90 %",
        env: ("diskwatch.conf", "DISKWATCH_WARN_AT=90", "DISKWATCH_WARN_AT=80"),
        says_with_env: "observing / every 5 s, warning at 80 %",
        breaks: ("diskwatch.service", "--log-file /var/log/diskwatch/", "--log-file /var/log/"),
        seen: Seen::LogFile,
        ..Life::default()
    };
    live(&host, &user, &project, &life);
    // What it has written and remembered is its own, and not shipit's to take away.
    let kept = user.run_as_root("find /var/log/diskwatch /var/lib/diskwatch -type f | sort");
    assert_eq!(kept, format!("/var/lib/diskwatch/highest\n{LOG}\n"));
}

/// The unit's settings are what the kernel says of the process, and a failure is explained by the journal of the system.
#[test]
fn diskwatch_runs_as_its_unit_says() {
    let Some(host) = python_host() else { return };
    let user = host.user(UserOptions::default());
    let project = Project::example(&user, "diskwatch", "deploy.yaml");
    // Also what systemd says, as for a service of the user's.
    project.deploy().says("made the system user diskwatch").says(": Started diskwatch.service");
    // Who looks there for what the service says is told where to look.
    let hint = "the service also writes to files of its own: `shipit logs prod --files`";
    let ran = project.shipit(&["logs", "prod"]).exits(0);
    assert!(ran.stdout.contains("Started diskwatch.service"), "{}", ran.all());
    assert_eq!(ran.stderr, format!("{hint}\n"));
    let facts = || {
        user.run_as_root(
            "pid=$(systemctl show -p MainPID --value diskwatch.service)
             cat /proc/$pid/oom_score_adj; readlink /proc/$pid/cwd; ps -o user= -p $pid; tr '\\0' ' ' </proc/$pid/cmdline
             systemctl show -p TimeoutStartUSec,TimeoutStopUSec diskwatch.service",
        )
    };
    // Where the machine of the tests may not lower it (CAP_SYS_RESOURCE), systemd leaves it at 0.
    let lowered =
        user.run_as_root("systemd-run --quiet --pipe -p OOMScoreAdjust=-100 cat /proc/self/oom_score_adj");
    let rest = format!(
        "/var/lib/diskwatch\ndiskwatch\n/usr/bin/python3 /usr/local/bin/diskwatch --log-file {LOG} --every 5 / \
         TimeoutStartUSec=20s\nTimeoutStopUSec=10s\n"
    );
    assert_eq!(facts(), lowered + &rest);
    project.edit("diskwatch.service", "OOMScoreAdjust=-100", "OOMScoreAdjust=150");
    project.deploy().says("restart diskwatch.service (unit file changed)");
    assert_eq!(facts(), "150\n".to_owned() + &rest);

    // Told to end, it does at once, with a word of farewell, and remembers what it has seen.
    let began = Instant::now();
    user.run_as_root("systemctl stop diskwatch.service");
    assert!(began.elapsed() < Duration::from_secs(10), "it took {:?}", began.elapsed());
    let end = user.run("systemctl show -p Result,ExecMainCode,ExecMainStatus diskwatch.service");
    assert_eq!(end, "Result=success\nExecMainCode=1\nExecMainStatus=0\n", "1: it has exited by itself");
    let ran = project.shipit(&["logs", "prod", "--files", "-n", "1"]).exits(0);
    assert!(ran.stdout.contains("told to end; the highest was "), "{}", ran.all());
    project.deploy().says("start diskwatch.service");
    wait_for("what it remembers", A_WHILE, || read(&project).contains("the highest so far was "));

    let before = project.standing(&user);
    project.edit("diskwatch.service", "--log-file /var/log/diskwatch/", "--log-file /var/log/");
    let ran = project.shipit(&["deploy", "prod"]).exits(3);
    ran.says("diskwatch.service does not stay up: status=1")
        .says("Permission denied: '/var/log/diskwatch.log'")
        .says(&format!("help:  {hint}"))
        .says("systemd[1]: diskwatch.service: Main process exited, code=exited, status=1/FAILURE");
    project.standing(&user).is_as(&before);
}

/// logrotate takes its rules through the link, the service goes on in the new file, and `logs --files` misses nothing.
#[test]
fn the_log_of_diskwatch_is_rotated_while_it_is_followed() {
    let Some(host) = python_host() else { return };
    let user = host.user(UserOptions::default());
    let project = Project::example(&user, "diskwatch", "deploy.yaml");
    project.edit("diskwatch.service", "--every 5", "--every 0.5");
    project.deploy().says("validated the changed files: ! logrotate --debug");
    let process = project.property(&user, "MainPID");

    let mut follow = Child::spawn(&mut project.command(&["logs", "prod", "--files", "--follow"]));
    follow.wait_for_output("watching /");
    let lines = |file: &str| -> Vec<String> {
        user.run_as_root(&format!("cat {file}")).lines().map(str::to_owned).collect()
    };
    // As the machine's own timer runs it, every rule there is.
    user.run_as_root("logrotate --force /etc/logrotate.conf");
    wait_for("a line in the new file", A_WHILE, || !lines(LOG).is_empty());
    let (old, new) = (lines(&format!("{LOG}.1")), lines(LOG));
    assert!(old[0].contains("watching /") && !new[0].contains("watching /"), "{old:?} {new:?}");
    assert_eq!(user.run_as_root(&format!("stat -c '%U:%G %a' {LOG}")), "diskwatch:diskwatch 640\n");
    assert_eq!(project.property(&user, "MainPID"), process, "nobody has to be told, or started anew");

    // Both files, in one piece, for who looks and for who follows.
    let shown = read(&project);
    let expected = [old.clone(), new.clone()].concat().join("\n");
    assert!(shown.starts_with(&expected), "{expected}\nis not the beginning of\n{shown}");
    follow.wait_for_output(&new[0]);
    follow.signal("INT");
    let followed = follow.wait().exits(0);
    for line in [old, vec![new[0].clone()]].concat() {
        assert_eq!(followed.stdout.matches(&line).count(), 1, "{line:?} once in:\n{}", followed.all());
    }

    // Other rules are for logrotate alone.
    project.edit("diskwatch.logrotate", "rotate 7", "rotate 14");
    project.deploy().says("told of the changed files").never_says("restart");
    assert_eq!(project.property(&user, "MainPID"), process);

    // Rules that logrotate would not take, of which it tells nobody at night, don't get there.
    let before = project.standing(&user);
    let link = "    link: /etc/logrotate.d/diskwatch\n";
    project.edit("deploy.yaml", link, &format!("{link}    mode: \"0664\"\n"));
    let ran = project.shipit(&["deploy", "prod"]).exits(3);
    ran.says("error: Ignoring /etc/logrotate.d/diskwatch because it is writable by group or others.");
    project.standing(&user).is_as(&before);
    project.edit("deploy.yaml", "    mode: \"0664\"\n", "");
    project.edit("diskwatch.logrotate", "su diskwatch diskwatch", "su nobody-of-that-name diskwatch");
    let ran = project.shipit(&["deploy", "prod"]).exits(3);
    // Every line of it, and not only the last.
    ran.says("/etc/logrotate.d/diskwatch:2 unknown user 'nobody-of-that-name'")
        .says("it ended with status 1");
    user.run_as_root("logrotate --force /etc/logrotate.conf && [ -f /var/log/diskwatch/diskwatch.log.2.gz ]");
}

fn read(project: &Project) -> String {
    project.shipit(&["logs", "prod", "--files", "-n", "1000"]).exits(0).stdout
}
