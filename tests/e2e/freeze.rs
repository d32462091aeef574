//! A freeze outlasts the connection of who ordered it, and stops every change until it is lifted.
use serde_json::Value;

use crate::harness::Project;
use crate::hosts::{TestUser, UserOptions};

#[test]
fn a_freeze_stops_deploys_and_rollbacks_until_it_is_lifted() {
    let Some(user) = TestUser::new(UserOptions::default()) else { return };
    let project = Project::quick(&user);
    project.deploy();
    let current = project.current(&user);
    let ran = project.shipit(&["lock", "prod", "-m", "the fair: it's \"on\" $(until) Monday"]).exits(0);
    assert!(ran.stdout.contains("frozen: no deploy and no rollback until `shipit unlock`"), "{}", ran.all());

    project.edit("service.sh", "echo", "echo again; echo");
    let ran = project.shipit(&["deploy", "prod"]).exits(7);
    ran.says("the service is frozen on this host by ada@").says("the fair: it's \"on\" $(until) Monday");
    ran.says("shipit unlock").says("the service was not touched");
    // Not even when it would wait for the lock.
    project.shipit(&["deploy", "prod", "--lock-wait", "5m"]).exits(7);
    assert_eq!(project.current(&user), current);
    project.shipit(&["plan", "prod"]).exits(0);
    let ran = project.shipit(&["status", "prod"]).exits(0);
    assert!(ran.stdout.contains("  frozen by ada@") && ran.stdout.contains("until) Monday"), "{}", ran.all());

    // Whoever was first stays on record.
    let ran = project.shipit(&["lock", "prod", "-m", "another reason"]).exits(0);
    assert!(ran.stdout.contains("already frozen by ada@") && ran.stdout.contains("Monday"), "{}", ran.all());

    let ran = project.shipit(&["unlock", "prod"]).exits(0);
    assert!(
        ran.stdout.contains("lifted the freeze by ada@") && ran.stdout.contains("Monday"),
        "{}",
        ran.all()
    );
    let ran = project.shipit(&["unlock", "prod"]).exits(0);
    assert!(ran.stdout.contains("was not frozen"), "{}", ran.all());
    project.deploy();
    assert_ne!(project.current(&user), current);

    project.shipit(&["lock"]).exits(0);
    project.shipit(&["rollback", "prod"]).exits(7).says("the service is frozen on this host");
    project.shipit(&["unlock", "prod"]).exits(0);
    project.shipit(&["rollback", "prod"]).exits(0);
    assert_eq!(project.current(&user), current);
    assert_eq!(user.run(&format!("ls -A {} | grep freeze; true", project.root(&user))), "");
}

#[test]
fn it_can_come_before_the_first_deploy_and_programs_can_read_it() {
    let Some(user) = TestUser::new(UserOptions::default()) else { return };
    let project = Project::quick(&user);
    let json = |arguments: &[&str]| -> Value {
        let ran = project.shipit(&[arguments, &["--format", "json"]].concat()).exits(0);
        serde_json::from_str(&ran.stdout).unwrap()
    };
    let answer = json(&["lock", "prod", "-m", "not yet"]);
    assert_eq!((&answer["freeze"], &answer["v"]), (&"frozen".into(), &1.into()));
    project.shipit(&["deploy", "prod"]).exits(7).says("not yet");
    assert_eq!(json(&["status", "prod"])["freeze"]["holder"]["message"], "not yet");
    assert_eq!(json(&["lock", "prod"])["freeze"], "already_frozen");
    assert_eq!(json(&["unlock", "prod"])["freeze"], "lifted");
    assert_eq!(json(&["unlock", "prod"])["freeze"], "not_frozen");
    // One that was made by hand holds, too.
    user.run(&format!("touch {}/freeze", project.root(&user)));
    project.shipit(&["deploy", "prod"]).exits(7).says("the service is frozen on this host");
    project.shipit(&["unlock", "prod"]).exits(0);
    project.deploy();
}

#[test]
fn a_run_that_is_under_way_goes_on_and_is_shown() {
    let Some(user) = TestUser::new(UserOptions::default()) else { return };
    let project = Project::quick(&user);
    project.deploy();
    project.edit("deploy.yaml", "settle: 0s", "settle: 4s");
    project.edit("service.sh", "echo", "echo again; echo");
    let mut deploy = crate::harness::Child::spawn(&mut project.command(&["deploy", "prod", "-v"]));
    crate::hosts::wait_for("the run", std::time::Duration::from_secs(10), || {
        !user.run(&format!("ls {}/pending 2>/dev/null; true", project.root(&user))).is_empty()
    });
    let ran = project.shipit(&["status", "prod"]).exits(0);
    assert!(ran.stdout.contains("  an activation is under way: run "), "{}", ran.all());
    assert!(ran.stdout.contains("  locked by ada@") && ran.stdout.contains(", for deploy"), "{}", ran.all());
    let ran = project.shipit(&["lock", "prod"]).exits(0);
    assert!(ran.stdout.contains("a run is under way, and goes on: locked by ada@"), "{}", ran.all());
    deploy.wait_for_output("1 host deployed");
    deploy.wait().exits(0);
    let ran = project.shipit(&["status", "prod"]).exits(0);
    assert!(!ran.stdout.contains("locked") && ran.stdout.contains("frozen"), "{}", ran.all());
}
