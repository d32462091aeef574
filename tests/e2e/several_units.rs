//! Units that are started together are watched together: `settle` passes once, and the one that fails is named.
use crate::harness::Project;
use crate::hosts::{TestUser, UserOptions};

/// A project whose service has two units beside it: a worker that stays up, and a job that is done at once.
fn with_three_units(user: &TestUser, settle: &str) -> Project {
    let project = Project::new(user);
    let name = &project.name;
    let worker = "[Service]\nExecStart=/bin/sleep 4000\n\n[Install]\nWantedBy=default.target\n";
    project.write(&format!("{name}-worker.service"), worker);
    project.write(
        &format!("{name}-job.service"),
        "[Service]\nType=oneshot\nExecStart=/bin/true\n\n[Install]\nWantedBy=default.target\n",
    );
    let units = format!("units: [{name}-job.service, {name}.service, {name}-worker.service]");
    project.edit("deploy.yaml", &format!("unit: {name}.service"), &units);
    project.edit("deploy.yaml", "settle: 1s", &format!("settle: {settle}"));
    project
}

#[test]
fn the_settle_time_passes_once_however_many_units_there_are() {
    let Some(user) = TestUser::new(UserOptions::default()) else { return };
    let project = with_three_units(&user, "3s");
    let ran = project.shipit(&["deploy", "prod", "--format", "json"]).exits(0);
    let events: Vec<serde_json::Value> =
        ran.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let find = |event: &'static str| events.iter().filter(move |e| e["event"] == event);
    let started: Vec<_> = find("step_started").filter(|e| e["step"] == "observe").collect();
    assert_eq!(started.len(), 1, "{}", ran.all());
    let number = started[0]["number"].clone();
    let finished = find("step_finished").find(|e| e["number"] == number).unwrap();
    let took = finished["elapsed_ms"].as_u64().unwrap();
    // One after the other, two that stay up would be watched for 6 s at least.
    assert!((3000..6000).contains(&took), "{took} ms: {}", ran.all());
    let step =
        &find("planned").next().unwrap()["plan"]["steps"][usize::try_from(number.as_u64().unwrap()).unwrap()];
    assert_eq!(step["units"].as_array().unwrap().len(), 3, "{step}");
}

#[test]
fn the_unit_that_fails_is_named_and_not_the_others() {
    let Some(user) = TestUser::new(UserOptions::default()) else { return };
    let project = with_three_units(&user, "10s");
    let name = project.name.clone();
    project.edit("deploy.yaml", "settle: 10s", "settle: 0s");
    project.deploy().says(&format!("{name}-job.service, {name}.service and {name}-worker.service are up"));
    let before = project.standing(&user);

    // The last of the three, a while after its start: the job that is done must not have ended the watch.
    project.edit("deploy.yaml", "settle: 0s", "settle: 10s");
    project.write("service.sh", "#!/bin/sh\necho 'all is well here'\nexec sleep 5000\n");
    let dies = "ExecStart=/bin/sh -c 'sleep 1; echo no queue >&2; exit 7'";
    project.edit(&format!("{name}-worker.service"), "ExecStart=/bin/sleep 4000", dies);
    let ran = project.shipit(&["deploy", "prod"]).exits(3);
    ran.says(&format!("FAILED (reverted): {name}-worker.service failed: status=7"))
        .says("no queue")
        .never_says(&format!("{name}.service failed"))
        .never_says("stayed up");
    project.standing(&user).is_back_at(&before);
    let workers = format!("systemctl --user show -p ActiveState,ExecStart {name}-worker.service");
    let worker = user.run(&workers);
    assert!(worker.contains("ActiveState=active") && worker.contains("sleep 4000"), "{worker}");
}
