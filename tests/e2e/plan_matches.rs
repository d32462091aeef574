//! `plan` changes nothing, and a deploy does what it showed. No value of an env file is ever printed.
use crate::harness::{Project, Ran};
use crate::hosts::{TestUser, UserOptions};

const CANARY: &str = "c4n4ry-a7f3e1";

/// All that a deploy could change: files with their times, links, unit states.
fn state(user: &TestUser, project: &Project) -> String {
    project.wait_until_left(user);
    let name = &project.name;
    user.run(&format!(
        "cd; find . -path ./.cache -prune -o -printf '%p %y %m %s %T@ %l\\n' | sort; \
         ls -l --time-style=full-iso /usr/local/bin /etc/default | grep -F {name}; \
         systemctl --user show {name}.service -p ActiveState,InvocationID,UnitFileState,NeedDaemonReload; \
         ls /var/lib/systemd/linger | grep -Fx $(id -un)"
    ))
}

fn steps(ran: &Ran) -> Vec<serde_json::Value> {
    let events = ran.stdout.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    let planned: Vec<_> = events.filter(|event| event["event"] == "planned").collect();
    assert_eq!(planned.len(), 1, "{}", ran.all());
    planned[0]["plan"]["steps"].as_array().unwrap().clone()
}

/// A release's id has the time in it.
fn without_ids(steps: &[serde_json::Value]) -> String {
    let text = serde_json::to_string_pretty(steps).unwrap();
    let id = |word: &str| word.len() == 25 && word.as_bytes()[15] == b'Z' && word.as_bytes()[16] == b'-';
    text.split('"').map(|word| if id(word) { "ID" } else { word }).collect::<Vec<_>>().join("\"")
}

#[test]
fn a_plan_changes_nothing_on_the_host_and_is_what_the_deploy_does() {
    let Some(user) = TestUser::new(UserOptions::default()) else { return };
    let project = Project::quick(&user);
    let mut before = state(&user, &project);
    for change in 0..3 {
        match change {
            1 => project.edit(&format!("{}.conf", project.name), "North Carolina", "Virginia"),
            2 => {
                project.edit(&format!("{}.service", project.name), "Restart=always", "Restart=on-failure");
                user.run_as_root(&format!("rm /usr/local/bin/{}", project.name));
                before = state(&user, &project);
            }
            _ => {}
        }
        project.shipit(&["plan", "prod"]).exits(0);
        let plan = project.shipit(&["plan", "prod", "--format", "json"]).exits(0);
        assert_eq!(state(&user, &project), before, "plan changed something");
        let deploy = project.shipit(&["deploy", "prod", "--format", "json"]).exits(0);
        assert_eq!(without_ids(&steps(&plan)), without_ids(&steps(&deploy)));
        let finished: Vec<u64> = deploy
            .stdout
            .lines()
            .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap())
            .filter(|event| event["event"] == "step_finished")
            .map(|event| event["number"].as_u64().unwrap())
            .collect();
        let all: Vec<u64> = (0..steps(&plan).len() as u64).collect();
        assert_eq!(finished, all, "every step of the plan, in its order, and no other");
        before = state(&user, &project);
    }
    let plan = project.shipit(&["plan", "prod"]).exits(0);
    assert!(plan.stdout.contains("nothing to do"), "{}", plan.all());
    assert_eq!(state(&user, &project), before);
}

#[test]
fn a_plan_shows_files_links_and_the_units_diff() {
    let Some(user) = TestUser::new(UserOptions::default()) else { return };
    let project = Project::quick(&user);
    let name = &project.name;
    let shown = project.shipit(&["plan", "prod"]).exits(0).stdout;
    for text in [
        &format!("/usr/local/bin/{name}"),
        &format!("/etc/default/{name}.conf"),
        "[sudo]",
        "first deploy",
        &format!("bin/{name}"),
        "DEV_LOCATION",
    ] {
        assert!(shown.contains(text), "{text:?} is missing from:\n{shown}");
    }
    project.deploy();
    project.edit(&format!("{name}.service"), "Restart=always", "Restart=on-failure");
    let shown = project.shipit(&["plan", "prod"]).exits(0).stdout;
    for text in
        ["-Restart=always", "+Restart=on-failure", &format!("restart {name}.service (unit file changed)")]
    {
        assert!(shown.contains(text), "{text:?} is missing from:\n{shown}");
    }
}

#[test]
fn no_value_of_the_env_file_is_in_any_output_or_argument_list() {
    let Some(user) = TestUser::new(UserOptions::default()) else { return };
    let project = Project::quick(&user);
    // The service tells nobody either.
    project.write("service.sh", "#!/bin/sh\nunset DEV_LOCATION\nexec sleep infinity\n");
    let conf = format!("{}.conf", project.name);
    let watch = user.service_name("watch");
    user.run(&format!(
        "systemd-run --user --quiet --unit={watch} sh -c 'while sleep 0.005; do \
         cat /proc/[0-9]*/cmdline 2>/dev/null | tr \"\\0\" \" \" >>{}/seen; done'",
        user.home
    ));
    let mut shown = String::new();
    for round in 0..2 {
        project.write(&conf, &format!("TOKEN={CANARY}-{round}\nDEV_LOCATION='{CANARY}'\n"));
        for arguments in [
            &["plan", "prod"][..],
            &["plan", "prod", "-vv"],
            &["plan", "prod", "--format", "json"],
            &["deploy", "prod", "-vv"],
        ] {
            shown += &project.shipit(arguments).exits(0).all();
        }
        user.run(&format!("rm -r {}/current", project.root(&user)));
        shown += &project.shipit(&["deploy", "prod", "--format", "json"]).exits(0).all();
    }
    user.run(&format!("systemctl --user stop {watch}"));
    assert!(shown.contains("TOKEN"), "the key is shown:\n{shown}");
    let lines: Vec<_> = shown.lines().filter(|line| line.contains(CANARY)).collect();
    assert!(lines.is_empty(), "{lines:#?}");
    let seen = user.run("grep -ac sftp-server ~/seen; grep -aoF c4n4ry ~/seen; true");
    let caught: Vec<_> = seen.lines().skip(1).collect();
    assert_ne!(seen.lines().next(), Some("0"), "the watch saw nothing");
    assert!(caught.is_empty(), "{caught:#?}");
    let stored = user.run(&format!("grep -rlF {CANARY} {}/ | grep -v '/env/'; true", project.root(&user)));
    assert_eq!(stored, "");
}
