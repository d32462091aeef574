//! Timers, paths, targets and jobs that end are judged as what they are.
use crate::harness::Project;
use crate::hosts::{TestUser, UserOptions};

/// Has the project bring these units beside its service.
fn with_units(project: &Project, units: &[(&str, &str)]) {
    let name = &project.name;
    let mut list = vec![format!("{name}.service")];
    for (unit, text) in units {
        project.write(&format!("{name}-{unit}"), &text.replace("NAME", name));
        list.push(format!("{name}-{unit}"));
    }
    project.edit("deploy.yaml", &format!("unit: {name}.service"), &format!("units: [{}]", list.join(", ")));
}

fn show(project: &Project, user: &TestUser, unit: &str, properties: &str) -> String {
    let properties: String = properties.split(',').map(|property| format!(" -p {property}")).collect();
    let command = format!("{} show --value{properties} {}-{unit}", project.systemctl(), project.name);
    user.run(&command).trim_end().replace('\n', " ")
}

// It lasts a moment: of a process that is gone at once, journald may not know whose line it was.
const JOB: (&str, &str) =
    ("job.service", "[Service]\nType=oneshot\nExecStart=/bin/sh -c 'echo the job ran; sleep 0.3'\n");

fn timer(calendar: &str) -> String {
    format!("[Timer]\nOnCalendar={calendar}\n\n[Install]\nWantedBy=timers.target\n")
}

#[test]
fn a_timer_waits_for_its_time_and_a_deploy_does_not_run_its_job() {
    let Some(user) = TestUser::new(UserOptions::default()) else { return };
    let project = Project::quick(&user);
    let name = &project.name;
    with_units(&project, &[JOB, ("job.timer", &timer("*-01-01 00:00:00"))]);
    project.deploy().never_says("the job ran").says(&format!("started {name}-job.timer"));
    assert_eq!(show(&project, &user, "job.timer", "ActiveState,SubState"), "active waiting");
    let status = project.shipit(&["status", "prod"]).exits(0);
    let line = status.stdout.lines().find(|line| line.contains("-job.timer")).unwrap();
    assert!(line.contains("active (waiting)") && line.contains(" min, enabled"), "{line}");
    assert!(line.contains(", next in ") && !line.contains("restart"), "{line}");
    let json = project.shipit(&["status", "prod", "--format", "json"]).exits(0).stdout;
    assert!(json.contains("-01-01T00:00:00Z\""), "{json}");
    project.deploy().says("nothing to do");

    // Another job, the same time: it is there when its time comes.
    let begun = show(&project, &user, "job.timer", "InvocationID");
    project.edit(&format!("{name}-job.service"), "the job ran", "the new job ran");
    project.deploy().never_says("job ran").never_says(&format!("restarted {name}-job"));
    assert_eq!(show(&project, &user, "job.timer", "InvocationID"), begun);
    assert_eq!(show(&project, &user, "job.service", "ActiveState,InvocationID"), "inactive");
    // Another time.
    project.write(&format!("{name}-job.timer"), &timer("*-02-02 00:00:00"));
    project.deploy().says(&format!("restarted {name}-job.timer (unit file changed)")).never_says("job ran");
    assert!(show(&project, &user, "job.timer", "NextElapseUSecRealtime").contains("-02-02 "));

    // A time that will never come is no time.
    let before = project.standing(&user);
    project.write(&format!("{name}-job.timer"), &timer("2020-01-01"));
    let ran = project.shipit(&["deploy", "prod"]).exits(3);
    ran.says(&format!("{name}-job.timer will never elapse")).says("FAILED (reverted)");
    project.standing(&user).is_as(&before);
    assert!(show(&project, &user, "job.timer", "NextElapseUSecRealtime").contains("-02-02 "));
}

#[test]
fn paths_and_targets_are_up_when_they_are_active() {
    let Some(user) = TestUser::new(UserOptions::default()) else { return };
    let project = Project::quick(&user);
    let name = &project.name;
    with_units(
        &project,
        &[
            JOB,
            ("job.path", "[Path]\nPathExists=%h/go\n\n[Install]\nWantedBy=default.target\n"),
            ("all.target", "[Unit]\nWants=NAME.service\n\n[Install]\nWantedBy=default.target\n"),
        ],
    );
    project.deploy().never_says("the job ran");
    assert_eq!(show(&project, &user, "job.path", "ActiveState,SubState"), "active waiting");
    assert_eq!(show(&project, &user, "all.target", "ActiveState,SubState"), "active active");
    project.deploy().says("nothing to do");
    user.run(&format!("systemctl --user stop {name}-all.target {name}-job.path"));
    project.deploy().says(&format!("started {name}-job.path")).says(&format!("started {name}-all.target"));
    // One that systemd refuses.
    project.write(&format!("{name}-job.path"), "[Path]\nUnit=NAME\n\n[Install]\nWantedBy=default.target\n");
    project.shipit(&["deploy", "prod"]).exits(3).says(&format!("{name}-job.path"));
    assert_eq!(show(&project, &user, "job.path", "ActiveState,SubState"), "active waiting");
}

#[test]
fn a_job_of_a_deploy_has_to_end_well() {
    let Some(user) = TestUser::new(UserOptions::default()) else { return };
    let project = Project::quick(&user);
    let name = &project.name;
    let install = "\n[Install]\nWantedBy=default.target\n";
    let kept = format!("{}RemainAfterExit=yes\n{install}", JOB.1).replace("the job", "the lasting job");
    with_units(&project, &[("job.service", &format!("{}{install}", JOB.1)), ("kept.service", &kept)]);
    project.deploy().says("the job ran").says("the lasting job ran");
    assert_eq!(show(&project, &user, "job.service", "ActiveState,Result"), "success inactive");
    assert_eq!(show(&project, &user, "kept.service", "ActiveState,SubState"), "active exited");
    project.deploy().says("nothing to do");
    let before = (project.standing(&user), show(&project, &user, "kept.service", "ActiveState,SubState"));

    let unit = format!("{name}-kept.service");
    project.edit(&unit, "echo the lasting job ran", "echo no database; sleep 0.3; exit 4");
    let ran = project.shipit(&["deploy", "prod"]).exits(3);
    ran.says(&format!("{unit} failed: status=4")).says("no database").says("FAILED (reverted)");
    project.standing(&user).is_as(&before.0);
    assert_eq!(show(&project, &user, "kept.service", "ActiveState,SubState"), before.1);

    // One that does not come to its end within its time.
    project.edit(&unit, "echo no database; sleep 0.3; exit 4", "echo waiting; exec sleep infinity");
    project.edit(&unit, "RemainAfterExit", "TimeoutStartSec=1s\nRemainAfterExit");
    let ran = project.shipit(&["deploy", "prod"]).exits(3);
    ran.says(&format!("{unit} was not up within 1s")).says("waiting");
    project.standing(&user).is_as(&before.0);
}

/// There is nothing to stop of a unit that systemd does not know what to make of.
#[test]
fn a_unit_that_systemd_does_not_take_goes_back_like_any_other() {
    let Some(user) = TestUser::new(UserOptions::default()) else { return };
    let project = Project::quick(&user);
    let name = &project.name;
    with_units(&project, &[JOB, ("job.timer", &timer("dayly"))]);
    project.shipit(&["deploy", "prod"]).exits(3).says("FAILED (reverted)").says(&format!("{name}-job.timer"));
    project.standing(&user).is_not_deployed();

    let manifest = std::fs::read_to_string(project.path("deploy.yaml")).unwrap();
    project.edit("deploy.yaml", &format!(", {name}-job.service, {name}-job.timer"), "");
    project.deploy();
    let before = project.standing(&user);
    project.write("deploy.yaml", &manifest);
    project.shipit(&["deploy", "prod"]).exits(3).says("FAILED (reverted)");
    project.standing(&user).is_as(&before);
    project.write(&format!("{name}-job.timer"), &timer("daily"));
    project.deploy();
}
