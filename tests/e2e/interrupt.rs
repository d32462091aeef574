//! Ctrl-C ends a deploy with the host on its old release or on the new one, and says which.
use std::fs;

use crate::harness::{Child, Project};
use crate::hosts::relay::{Link, Relay};
use crate::hosts::{TestUser, UserOptions, wait_for};

#[test]
fn an_interrupted_upload_changes_nothing_and_is_swept() {
    let Some(mut user) = TestUser::new(UserOptions::default()) else { return };
    let link = Link { bandwidth: Some(400_000), ..Link::default() };
    let relay = Relay::start(user.address(), link).unwrap();
    let direct = Project::quick(&user);
    direct.deploy();
    let (current, invocation) = (direct.current(&user), direct.property(&user, "InvocationID"));
    let before = user.destination();

    let mut binary = fs::read(direct.path("service.sh")).unwrap();
    binary.resize(8 << 20, b'\n');
    fs::write(direct.path("service.sh"), &binary).unwrap();
    for signal in ["INT", "TERM"] {
        // Through the narrow link; the test itself looks past it.
        let known = fs::read_to_string(&user.known_hosts).unwrap();
        let at = relay.address();
        let line = |line: &str| format!("[{}]:{} {}\n", at.ip(), at.port(), line.split_once(' ').unwrap().1);
        direct.write("home/.ssh/known_hosts", &known.lines().map(line).collect::<String>());
        let manifest = fs::read_to_string(direct.path("deploy.yaml")).unwrap();
        direct.write("deploy.yaml", &manifest.replace(&before, &format!("{}@{at}", user.user)));

        let mut deploy = Child::spawn(&mut direct.command(&["deploy", "prod"]));
        deploy.wait_for_output("uploading");
        let sent = relay.counts().bytes_to_target;
        wait_for("some of the upload", std::time::Duration::from_secs(20), || {
            relay.counts().bytes_to_target > sent + 100_000
        });
        deploy.signal(signal);
        let ran = deploy.wait().exits(130);
        ran.says("interrupted").says("stopped by the operator").says("the service was not touched");
        let left = || user.run(&format!("find {}/incoming -type f 2>/dev/null; true", direct.root(&user)));
        assert_eq!(left(), "");
        assert_eq!(direct.current(&user), current);
        assert_eq!(direct.property(&user, "InvocationID"), invocation);
    }
    user.go_through(&relay);
}

#[test]
fn who_leaves_at_once_is_told_what_the_host_will_do_and_nothing_is_drawn_over_it() {
    let Some(user) = TestUser::new(UserOptions::default()) else { return };
    let project = Project::quick(&user);
    project.deploy();
    let before = project.standing(&user);
    let health = "settle: 0s\nhealth: { tcp: 'localhost:1', timeout: 30s }";
    project.edit("deploy.yaml", "settle: 0s", health);
    project.write("service.sh", "#!/bin/sh\nexec sleep 1000\n");
    let mut deploy = project.spawn_on_a_drawing_terminal(&["deploy", "prod"]);
    deploy.wait_for_output("trying localhost:1");
    deploy.write("\u{3}");
    deploy.wait_for_output("once more to leave at once");
    // The moving line is drawn again below that.
    let drawn = |deploy: &Child| deploy.output().rsplit("leave at once").next().unwrap().contains("trying");
    wait_for("the moving line", std::time::Duration::from_secs(20), || drawn(&deploy));
    deploy.write("\u{3}");
    let ran = deploy.wait().exits(130);
    let last = ran.stdout.rfind("trying localhost:1").unwrap();
    let left = ran.stdout.find("left before the hosts were done").unwrap();
    assert!(last < left, "the moving line is drawn over what was said: {}", ran.all());
    let between = &ran.stdout[last..left];
    assert!(between.contains("\x1b[2K"), "the moving line is left on the terminal: {:?}", ran.stdout);
    assert!(ran.stdout[left..].contains("goes back by itself"), "{}", ran.all());
    wait_for("the host to go back", std::time::Duration::from_secs(20), || {
        project.standing(&user).current == before.current
    });
}

#[test]
fn ctrl_c_is_an_answer_to_every_question() {
    let Some(user) = TestUser::new(UserOptions::default()) else { return };
    let project = Project::quick(&user);
    let known = fs::read_to_string(project.path("home/.ssh/known_hosts")).unwrap();
    project.write("home/.ssh/known_hosts", "");
    for spawn in [Project::spawn_on_a_terminal, Project::spawn_on_a_drawing_terminal] {
        let mut deploy = spawn(&project, &["deploy", "prod"]);
        deploy.wait_for_output("Trust it from now on");
        deploy.write("\u{3}");
        deploy.wait().exits(130);
    }
    project.write("home/.ssh/known_hosts", &known);
    project.edit("deploy.yaml", "  prod:\n", "  prod:\n    confirm: true\n");
    let mut deploy = project.spawn_on_a_drawing_terminal(&["deploy", "prod"]);
    deploy.wait_for_output("[y/N]");
    deploy.write("\u{3}");
    deploy.wait().exits(130);
    project.standing(&user).is_not_deployed();
}

/// The terminal is the operator's, and wanted for the next command.
#[test]
fn ctrl_c_at_a_hidden_question_leaves_the_terminal_as_it_was() {
    let Some(user) = TestUser::new(UserOptions::default()) else { return };
    let project = Project::quick(&user);
    project.edit("deploy.yaml", "  prod:\n", "  prod:\n    secrets: { TOKEN: { prompt: The token } }\n");
    project.edit("deploy.yaml", "settle:", "credentials: { token: TOKEN }\nsettle:");
    let shipit =
        format!("{} deploy prod; echo \"code $?\"; stty -a; echo over", env!("CARGO_BIN_EXE_shipit"));
    let mut script = std::process::Command::new("script");
    script.args(["--quiet", "--echo", "always", "--command", &shipit, "/dev/null"]);
    script
        .current_dir(project.path("."))
        .env("HOME", project.path("home"))
        .env("SHELL", "/bin/sh")
        .env_remove("CI");
    let mut child = Child::spawn(&mut script);
    child.wait_for_output("The token");
    child.write("\u{3}");
    child.wait_for_output("over");
    let output = child.output();
    assert!(output.contains("stopped by the operator") && output.contains("code 130"), "{output}");
    let modes: Vec<&str> = output.split_whitespace().collect();
    for mode in ["isig", "icanon", "echo"] {
        assert!(modes.contains(&mode), "{mode:?} is off:\n{output}");
    }
}
