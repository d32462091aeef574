//! A service that does not come up is never reported as deployed: the reason is decoded, the journal shown, and the
//! release before runs again.
use crate::harness::{Project, Ran, Standing};
use crate::hosts::{TestUser, UserOptions};

/// A project whose good first release runs.
fn with_a_good_release(user: &TestUser, settle: &str) -> Project {
    let project = Project::quick(user);
    project.deploy();
    project.edit("deploy.yaml", "settle: 0s", &format!("settle: {settle}"));
    project
}

/// What must be true, and said, of every failure after the switch: the release before runs again.
#[track_caller]
fn went_back(ran: &Ran, user: &TestUser, project: &Project, before: &Standing) {
    project.standing(user).is_back_at(before);
    let runs = before.current.trim_start_matches("releases/");
    ran.says("the host went back from release ")
        .says(&format!(": release {runs} runs again, as before"))
        .says("FAILED (reverted): ")
        .says("1 host FAILED (reverted)")
        .never_says("host deployed");
}

#[test]
fn a_unit_that_fails_at_once() {
    let Some(user) = TestUser::new(UserOptions::default()) else { return };
    let project = with_a_good_release(&user, "1s");
    let before = project.standing(&user);
    project.write("service.sh", "#!/bin/sh\necho 'no database here' >&2\nexit 78\n");
    project.edit(&format!("{}.service", project.name), "Restart=always", "Restart=no");
    let ran = project.shipit(&["deploy", "prod"]).exits(3);
    ran.says(&format!("{}.service failed: status=78", project.name))
        .says("no database here")
        .never_says("stayed up");
    went_back(&ran, &user, &project, &before);
}

#[test]
fn a_unit_that_fails_after_a_second() {
    let Some(user) = TestUser::new(UserOptions::default()) else { return };
    let project = with_a_good_release(&user, "3s");
    let before = project.standing(&user);
    project.write("service.sh", "#!/bin/sh\necho up\nsleep 1\necho 'lost the database' >&2\nkill -SEGV $$\n");
    project.edit(&format!("{}.service", project.name), "Restart=always", "Restart=no");
    let ran = project.shipit(&["deploy", "prod"]).exits(3);
    ran.says("failed: signal=11/SEGV").says("lost the database").says("memory that is not its own");
    went_back(&ran, &user, &project, &before);
}

#[test]
fn a_unit_that_restarts_for_ever_is_not_up_however_active_it_looks() {
    let Some(user) = TestUser::new(UserOptions::default()) else { return };
    let project = with_a_good_release(&user, "2s");
    let before = project.standing(&user);
    project.write("service.sh", "#!/bin/sh\necho up\nsleep 0.3\nexit 3\n");
    project.edit(
        &format!("{}.service", project.name),
        "Restart=always",
        "Restart=always\nRestartSec=10ms\nStartLimitIntervalSec=0",
    );
    let ran = project.shipit(&["deploy", "prod"]).exits(3);
    ran.says("does not stay up").says("status=3");
    went_back(&ran, &user, &project, &before);
}

#[test]
fn a_unit_that_waits_long_between_its_restarts_is_not_up() {
    let Some(user) = TestUser::new(UserOptions::default()) else { return };
    let project = with_a_good_release(&user, "1s");
    let before = project.standing(&user);
    project.write("service.sh", "#!/bin/sh\necho gone again\nexit 1\n");
    project.edit(&format!("{}.service", project.name), "Restart=always", "Restart=always\nRestartSec=1h");
    let ran = project.shipit(&["deploy", "prod"]).exits(3);
    ran.says("does not stay up").says("status=1").says("gone again");
    went_back(&ran, &user, &project, &before);
    // The next deploy mends it, without waiting for systemd.
    project.write("service.sh", "#!/bin/sh\necho mended\nexec sleep infinity\n");
    project.deploy().says("mended");
}

#[test]
fn a_program_that_cannot_be_started_is_decoded() {
    let Some(user) = TestUser::new(UserOptions::default()) else { return };
    let project = with_a_good_release(&user, "0s");
    let before = project.standing(&user);
    project.write("service.sh", "#!/usr/bin/pyhton3\nprint('hello')\n");
    project.edit(&format!("{}.service", project.name), "Restart=always", "Restart=no");
    let ran = project.shipit(&["deploy", "prod"]).exits(3);
    ran.says("status=203/EXEC").says("its #! interpreter is missing");
    went_back(&ran, &user, &project, &before);
}

#[test]
fn a_program_that_cannot_be_started_and_is_tried_again_and_again_is_decoded() {
    let Some(user) = TestUser::new(UserOptions::default()) else { return };
    let project = with_a_good_release(&user, "1s");
    let before = project.standing(&user);
    project.write("service.sh", "#!/usr/bin/pyhton3\nprint('hello')\n");
    let ran = project.shipit(&["deploy", "prod"]).exits(3);
    ran.says("status=203/EXEC").says("its #! interpreter is missing");
    went_back(&ran, &user, &project, &before);
}

#[test]
fn an_env_file_that_the_unit_asks_for_and_does_not_get() {
    let Some(user) = TestUser::new(UserOptions::default()) else { return };
    let project = with_a_good_release(&user, "1s");
    let before = project.standing(&user);
    project.edit(
        &format!("{}.service", project.name),
        "Restart=always",
        "Restart=always\nEnvironmentFile=/etc/default/there-is-no-such-file",
    );
    let ran = project.shipit(&["deploy", "prod"]).exits(3);
    ran.says("there-is-no-such-file").says("No such file or directory");
    went_back(&ran, &user, &project, &before);
}

#[test]
fn a_service_that_ends_by_itself_without_a_failure() {
    let Some(user) = TestUser::new(UserOptions::default()) else { return };
    let project = with_a_good_release(&user, "1s");
    let before = project.standing(&user);
    project.write("service.sh", "#!/bin/sh\necho done already\nexit 0\n");
    project.edit(&format!("{}.service", project.name), "Restart=always", "Restart=no");
    let ran = project.shipit(&["deploy", "prod"]).exits(3);
    ran.says("ended by itself right after its start").says("done already").says("Type=forking");
    ran.never_says("stayed up");
    went_back(&ran, &user, &project, &before);
}

#[test]
fn a_unit_that_systemd_cannot_read() {
    let Some(user) = TestUser::new(UserOptions::default()) else { return };
    let project = with_a_good_release(&user, "0s");
    project.edit(
        &format!("{}.service", project.name),
        "Restart=always",
        "Type=oneshotty\nRestart=always\nExecStart=/bin/true",
    );
    let ran = project.shipit(&["deploy", "prod"]);
    assert!(matches!(ran.code, Some(2 | 3)), "{}", ran.all());
    ran.says("ExecStart");
}

#[test]
fn a_health_check_that_nobody_answers() {
    let Some(user) = TestUser::new(UserOptions::default()) else { return };
    let project = with_a_good_release(&user, "0s");
    let before = project.standing(&user);
    let health = format!("settle: 0s\nhealth: {{ http: 'http://localhost:{}/', timeout: 1s }}", project.port);
    project.edit("deploy.yaml", "settle: 0s", &health);
    project.write("service.sh", "#!/bin/sh\necho deaf\nexec sleep infinity\n");
    let ran = project.shipit(&["deploy", "prod"]).exits(3);
    ran.says(&format!("no good answer from http://localhost:{}/", project.port)).says("connection refused");
    ran.says("deaf");
    went_back(&ran, &user, &project, &before);
}

#[test]
fn a_health_check_that_is_answered_with_an_error() {
    let Some(user) = TestUser::new(UserOptions::default()) else { return };
    let project = Project::simple_api(&user);
    let health = format!("http://localhost:{}/", project.port);
    project.edit(
        "deploy.yaml",
        &format!("http: {health}"),
        &format!("{{ http: '{health}nope', timeout: 1s }}"),
    );
    project.edit("deploy.yaml", "health:\n  {", "health: {");
    let ran = project.shipit(&["deploy", "prod"]).exits(3);
    ran.says("404").says("Not Found").says("the service is not deployed, as before");
    project.standing(&user).is_not_deployed();
    // It is asked until it is well, not once.
    let asked = ran.stderr.matches("GET /nope").count();
    assert!(asked > 1, "asked {asked} times:\n{}", ran.all());
}
