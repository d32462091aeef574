//! `logs` shows the journal of the service's units and leaves nothing behind on the host; `status` shows what runs.
use std::time::Duration;

use crate::harness::{Child, Project};
use crate::hosts::{TestUser, UserOptions, wait_for};

const LIMIT: Duration = Duration::from_secs(10);

/// A service that says what is written to its fifo.
fn talking(user: &TestUser) -> Project {
    let project = Project::new(user);
    project.write(
        "service.sh",
        "#!/bin/sh\nrm -f ~/say; mkfifo ~/say\necho ready\nwhile :; do while read -r line; do echo \"$line\"; done <~/say; done\n",
    );
    project.deploy().says("ready");
    project
}

fn say(user: &TestUser, text: &str) {
    user.run(&format!("echo '{text}' >~/say"));
}

/// Has the service say something and waits until it stands in the journal.
fn say_and_wait(user: &TestUser, project: &Project, text: &str) {
    say(user, text);
    let unit = &project.name;
    wait_for(text, LIMIT, || {
        user.run(&format!("journalctl --user-unit={unit} --no-pager -o cat")).contains(text)
    });
}

#[test]
fn the_last_lines_and_those_since_a_time() {
    let Some(user) = TestUser::new(UserOptions::default()) else { return };
    let project = talking(&user);
    for text in ["one", "two", "three"] {
        say_and_wait(&user, &project, text);
    }
    let ran = project.shipit(&["logs", "prod", "-n", "2"]).exits(0);
    let lines: Vec<_> = ran.stdout.lines().collect();
    assert_eq!(lines.len(), 2, "{}", ran.all());
    assert!(lines[0].ends_with(": two") && lines[1].ends_with(": three"), "{}", ran.all());
    assert_eq!(ran.stderr, "");

    let ran = project.shipit(&["logs", "--since", "-1h"]).exits(0);
    assert!(ran.stdout.contains(": ready") && ran.stdout.contains(": three"), "{}", ran.all());
    let ran = project.shipit(&["logs", "--since", "+1h"]).exits(0);
    assert_eq!(ran.stdout, "");
    for arguments in
        [&["logs", "--since", "the day before"][..], &["logs", "-f", "--since", "the day before"]]
    {
        project.shipit(arguments).exits(1).says("Failed to parse timestamp: the day before");
    }

    let ran = project.shipit(&["logs", "prod", "-n", "1", "--format", "json"]).exits(0);
    let entry: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!((&entry["message"], &entry["v"]), (&"three".into(), &1.into()), "{}", ran.all());
}

#[test]
fn following_shows_what_comes_and_ends_on_ctrl_c_with_nothing_left_on_the_host() {
    let Some(user) = TestUser::new(UserOptions::default()) else { return };
    let project = talking(&user);
    let journalctl = || user.run("pgrep -u $(id -u) -c journalctl || true").trim().to_owned();
    let mut logs = Child::spawn(&mut project.command(&["logs", "prod", "--follow"]));
    logs.wait_for_output("ready");
    for text in ["first news", "second news"] {
        say(&user, text);
        logs.wait_for_output(text);
    }
    assert_eq!(journalctl(), "1");
    logs.signal("INT");
    let ran = logs.wait();
    assert_eq!(ran.code, Some(0), "{}", ran.all());
    assert_eq!(ran.stdout.matches("first news").count(), 1, "{}", ran.all());
    wait_for("journalctl's end", LIMIT, || journalctl() == "0");
}

#[test]
fn following_does_not_stay_on_the_host_when_the_operator_is_killed() {
    let Some(user) = TestUser::new(UserOptions::default()) else { return };
    let project = talking(&user);
    let mut logs = Child::spawn(&mut project.command(&["logs", "prod", "--follow"]));
    logs.wait_for_output("ready");
    logs.signal("KILL");
    wait_for("journalctl's end", LIMIT, || user.run("pgrep -u $(id -u) -c journalctl || true").trim() == "0");
}

#[test]
fn every_unit_of_the_service_is_in_the_logs_and_in_the_status() {
    let Some(user) = TestUser::new(UserOptions::default()) else { return };
    let project = Project::new(&user);
    let name = project.name.clone();
    // journald tells whose a line is only while the process is there.
    let job = "[Service]\nType=oneshot\nExecStart=/bin/sh -c 'echo tick tock; sleep 1'\n";
    project.write(&format!("{name}-tick.service"), job);
    project.write(
        &format!("{name}-tick.timer"),
        "[Timer]\nOnActiveSec=100ms\nAccuracySec=1ms\n\n[Install]\nWantedBy=timers.target\n",
    );
    project.edit(
        "deploy.yaml",
        &format!("unit: {name}.service"),
        &format!("units: [{name}.service, {name}-tick.service, {name}-tick.timer]"),
    );
    project.deploy().never_says(&format!("starting {name}-tick.service"));
    wait_for("both units in the logs", LIMIT, || {
        let shown = project.shipit(&["logs", "prod"]).exits(0).stdout;
        shown.contains("started in North Carolina") && shown.contains("tick tock")
    });
    let ran = project.shipit(&["status", "prod"]).exits(0);
    for unit in [format!("{name}.service  active (running)"), format!("{name}-tick.timer  active")] {
        assert!(ran.stdout.contains(&unit), "{unit:?} is missing from:\n{}", ran.all());
    }
    project.deploy().says("nothing to do");
}

#[test]
fn status_tells_release_state_uptime_and_restarts() {
    let Some(user) = TestUser::new(UserOptions::default()) else { return };
    let project = Project::quick(&user);
    let name = &project.name;
    let ran = project.shipit(&["status", "prod"]).exits(0);
    assert!(ran.stdout.contains("not deployed") && ran.stdout.contains("not found"), "{}", ran.all());

    project.deploy();
    let release = project.current(&user).trim_start_matches("releases/").to_owned();
    user.run(&format!("systemctl --user kill --signal=KILL {name}"));
    wait_for("systemd's restart", LIMIT, || {
        project.property(&user, "NRestarts") == "1" && project.property(&user, "ActiveState") == "active"
    });
    let ran = project.shipit(&["status", "prod"]).exits(0);
    for text in [&release, &format!("{name}.service  active (running), up "), "1 restart", "enabled"] {
        assert!(ran.stdout.contains(text), "{text:?} is missing from:\n{}", ran.all());
    }
    let ran = project.shipit(&["status", "prod", "--format", "json"]).exits(0);
    let status: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(status["release"], serde_json::json!(release));
    assert_eq!(status["units"][0]["active_state"], "active", "{}", ran.all());
    assert_eq!(status["units"][0]["restarts"], 1);

    user.run(&format!("systemctl --user stop {name}"));
    let ran = project.shipit(&["status", "prod"]).exits(0);
    assert!(ran.stdout.contains("inactive (dead)"), "{}", ran.all());
    project.edit("deploy.yaml", &user.destination(), &format!("{}@web1.invalid", user.user));
    project.shipit(&["status", "prod"]).exits(5).says("web1.invalid");
    project.shipit(&["logs", "prod"]).exits(5).says("web1.invalid").says("check the spelling");
}

/// A file that the service writes by itself: its last lines, and what comes, also once it was rotated.
#[test]
fn files_of_the_services_own_are_logs_too() {
    let Some(user) = TestUser::new(UserOptions::default()) else { return };
    let project = Project::quick(&user);
    project.shipit(&["logs", "prod", "--files"]).exits(2).says("log_files");
    let file = format!("{}/own.log", user.home);
    project.edit("deploy.yaml", "settle: 0s", &format!("settle: 0s\nlog_files: [{file}]"));
    user.run(&format!("printf '%s\\n' one two three >{file}"));
    let ran = project.shipit(&["logs", "prod", "--files", "-n", "2"]).exits(0);
    assert_eq!(ran.stdout, "two\nthree\n");

    let mut follow = Child::spawn(&mut project.command(&["logs", "prod", "--files", "--follow"]));
    follow.wait_for_output("three");
    user.run(&format!("echo four >>{file}"));
    follow.wait_for_output("four");
    user.run(&format!("mv {file} {file}.1; echo five >{file}"));
    follow.wait_for_output("five");
    follow.signal("INT");
    follow.wait().exits(0);
    wait_for("tail to end", Duration::from_secs(10), || {
        user.run(&format!("pgrep -f '[t]ail.*{file}'; true")).is_empty()
    });

    // What was written before stands in the file that it was renamed to, and belongs to the last lines as well.
    let last = |lines| project.shipit(&["logs", "prod", "--files", "-n", lines]).exits(0).stdout;
    assert_eq!(last("3"), "three\nfour\nfive\n");
    assert_eq!(last("1"), "five\n");
    user.run(&format!(
        "mv {file}.1 {file}-20261120; echo older >{file}-20261119; echo x >{file}-20261120.gz"
    ));
    assert_eq!(last("3"), "three\nfour\nfive\n");
    let mut follow = Child::spawn(&mut project.command(&["logs", "prod", "--files", "--follow", "-n", "2"]));
    follow.wait_for_output("five");
    assert_eq!(follow.output(), "four\nfive\n");
    follow.signal("INT");
    follow.wait().exits(0);

    // One that only root may read is read by sudo.
    user.run_as_root(&format!("chown root {file}; chmod 600 {file}"));
    let ran = project.shipit(&["logs", "prod", "--files", "-n", "1"]).exits(0);
    assert_eq!(ran.stdout, "five\n");
}
