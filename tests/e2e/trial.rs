//! A release on trial, and a host that has settled it: what the tests of the transaction begin and end with.
use std::fs;
use std::time::Duration;

use crate::harness::{Child, Project, Standing};
use crate::hosts::{TestUser, wait_for};

/// What a host may need on a busy machine for what it does at once.
pub const AT_ONCE: Duration = Duration::from_secs(20);

/// How much later than its deadline a host may settle: promise P3.
pub const GRACE: Duration = Duration::from_secs(5);

/// A project whose good first release runs, and whose next one waits for an answer that never comes.
pub fn waiting(user: &TestUser, times: &str) -> (Project, Standing) {
    let project = Project::quick(user);
    project.deploy();
    let before = project.standing(user);
    never_well(&project, times);
    (project, before)
}

/// The next release waits for an answer that never comes.
pub fn never_well(project: &Project, times: &str) {
    let url = format!("http://localhost:{}/", project.port);
    project.edit("deploy.yaml", "settle: 0s\n", &format!("settle: 0s\nhealth: {{ http: '{url}', {times}\n"));
    project.edit(&format!("{}.conf", project.name), "North Carolina", "Virginia");
}

/// The same without a check or a hook, so that the next deploy works.
pub fn make_well(project: &Project) {
    let manifest = fs::read_to_string(project.path("deploy.yaml")).unwrap();
    let mut goes = false;
    let stays = |line: &&str| {
        if !line.starts_with(' ') {
            goes = ["health:", "confirm_timeout:", "hooks:"].iter().any(|key| line.starts_with(key));
        }
        !goes
    };
    let lines: String = manifest.lines().filter(stays).map(|line| format!("{line}\n")).collect();
    project.write("deploy.yaml", &lines);
}

/// Starts a deploy, and returns while its activation waits for its word.
pub fn deploy_until_pending(project: &Project, arguments: &[&str]) -> Child {
    let mut deploy = Child::spawn(&mut project.command(&[&["deploy", "prod"], arguments].concat()));
    deploy.wait_for_output("until it answers well");
    deploy
}

/// Whether no run is under way, and none has left anything.
pub fn settled(project: &Project, user: &TestUser) -> bool {
    project.standing(user).leftovers.is_empty()
}

/// The lock is free, nothing is waited for, and the next deploy works.
#[track_caller]
pub fn is_in_order(project: &Project, user: &TestUser) {
    let lock = format!("flock -n {}/lock true && echo free; true", project.root(user));
    wait_for("the lock", Duration::from_secs(3), || user.run(&lock) == "free\n");
    make_well(project);
    project.write("service.sh", "#!/bin/sh\necho mended\nexec sleep infinity\n");
    project.deploy().says("1 host deployed").never_says("waiting").never_says("interrupted");
}
