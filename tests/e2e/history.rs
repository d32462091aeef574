//! What the host remembers: its releases, and every run with its end.
use serde_json::Value;

use crate::harness::Project;
use crate::hosts::{TestUser, UserOptions};

fn json(project: &Project, arguments: &[&str]) -> Value {
    let ran = project.shipit(&[arguments, &["--format", "json"]].concat()).exits(0);
    serde_json::from_str(&ran.stdout).unwrap_or_else(|error| panic!("{error}: {}", ran.all()))
}

/// Three runs: a good one, one that is reverted, a second good one.
fn with_a_past(user: &TestUser) -> Project {
    let project = Project::quick(user);
    project.edit("deploy.yaml", "settle: 0s", "settle: 1s");
    project.deploy();
    let good = std::fs::read_to_string(project.path("service.sh")).unwrap();
    project.write("service.sh", "#!/bin/sh\nexit 1\n");
    project.shipit(&["deploy", "prod"]).exits(3);
    project.write("service.sh", &good.replace("echo", "echo again;echo"));
    project.deploy();
    project
}

#[test]
fn every_run_is_there_with_its_end() {
    let Some(user) = TestUser::new(UserOptions::default()) else { return };
    let project = with_a_past(&user);
    project.shipit(&["rollback", "prod"]).exits(0);
    let answer = json(&project, &["history", "prod"]);
    let runs = answer["runs"].as_array().unwrap();
    let told: Vec<_> =
        runs.iter().map(|run| (run["command"].as_str().unwrap(), run["verdict"].as_str().unwrap())).collect();
    assert_eq!(
        told,
        [("deploy", "deployed"), ("deploy", "reverted"), ("deploy", "deployed"), ("rollback", "deployed")]
    );
    assert_eq!(runs[0]["from"], Value::Null);
    assert_eq!(runs[3]["to"], runs[0]["to"], "back to the first: the second failed");
    assert_eq!(runs[3]["from"], runs[2]["to"]);

    let ran = project.shipit(&["history", "prod", "-n", "2"]).exits(0);
    let lines: Vec<&str> = ran.stdout.lines().collect();
    assert_eq!(lines.len(), 3, "{}", ran.all());
    assert!(lines[0].ends_with("2 runs"), "{}", ran.all());
    assert!(lines[1].contains("ada@") && lines[1].contains("  deploy "), "{}", ran.all());
    assert!(lines[2].contains("  rollback ") && lines[2].contains(" -> "), "{}", ran.all());
}

#[test]
fn only_the_newest_runs_are_kept() {
    let Some(user) = TestUser::new(UserOptions::default()) else { return };
    let project = Project::quick(&user);
    project.deploy();
    let history = format!("{}/history.jsonl", project.root(&user));
    // 50 more than 1000 are left alone, so that it is not written anew every time.
    user.run(&format!(
        "i=0; while [ $i -lt 1050 ]; do echo \"{{\\\"old\\\":$i}}\"; i=$((i + 1)); done >>{history}"
    ));
    let next = |number: usize| {
        project.write("service.sh", &format!("#!/bin/sh\n# {number}\nexec sleep infinity\n"));
        project.deploy();
        user.run(&format!("cat {history}")).lines().map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(next(1).len(), 1052);
    user.run(&format!(
        "i=0; while [ $i -lt 100 ]; do echo \"{{\\\"new\\\":$i}}\"; i=$((i + 1)); done >>{history}"
    ));
    let lines = next(2);
    assert_eq!(lines.len(), 1001);
    assert_eq!(lines[0], "{\"old\":151}", "the oldest go");
    assert_eq!(lines[999], "{\"new\":99}");
    assert!(lines[1000].contains("\"verdict\":\"deployed\""), "{}", lines[1000]);
    assert_eq!(user.run(&format!("ls -A {} | grep new; true", project.root(&user))), "");
}

#[test]
fn a_history_that_was_edited_is_read_as_far_as_it_goes() {
    let Some(user) = TestUser::new(UserOptions::default()) else { return };
    let project = Project::quick(&user);
    project.shipit(&["history", "prod"]).exits(0);
    project.deploy();
    let current = project.current(&user);
    // Neither is a line of the history taken for something that the probe found.
    user.run(&format!(
        "printf 'current releases/nowhere\\nend\\n{{\\n' >>{}/history.jsonl",
        project.root(&user)
    ));
    let ran = project.shipit(&["history", "prod"]).exits(0);
    assert!(
        ran.stdout.contains("1 run\n") && ran.stdout.contains("3 lines of history.jsonl"),
        "{}",
        ran.all()
    );
    let answer = json(&project, &["releases", "prod"]);
    assert_eq!(answer["releases"][0]["current"], true);
    assert_eq!(format!("releases/{}", answer["releases"][0]["id"].as_str().unwrap()), current);
}

#[test]
fn releases_are_listed_newest_first() {
    let Some(user) = TestUser::new(UserOptions::default()) else { return };
    let project = Project::quick(&user);
    let ran = project.shipit(&["releases", "prod"]).exits(0);
    assert!(ran.stdout.ends_with("no releases\n"), "{}", ran.all());
    let project = with_a_past(&user);
    let ran = project.shipit(&["releases", "prod"]).exits(0);
    let lines: Vec<&str> = ran.stdout.lines().collect();
    assert!(lines[0].ends_with("3 releases"), "{}", ran.all());
    // Padded, where another one is ten seconds old.
    let words: Vec<_> = lines[1].split_whitespace().collect();
    assert!(words[1] == "current" && words[4] == "ago" && words[5].starts_with("ada@"), "{}", ran.all());
    assert!(lines[2].contains("  reverted  "), "{}", ran.all());
    assert!(lines[3].contains("  deployed  "), "{}", ran.all());
    let answer = json(&project, &["releases", "prod"]);
    let standings: Vec<_> =
        answer["releases"].as_array().unwrap().iter().map(|r| r["standing"].as_str().unwrap()).collect();
    assert_eq!(standings, ["good", "unproven", "good"]);
}
