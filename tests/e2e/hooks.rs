//! Hooks run where and when they should, see what they should, and their failures mean what the manual says.
use std::fs;
use std::time::{Duration, Instant};

use crate::harness::{Child, Project, Ran};
use crate::hosts::{TestUser, UserOptions, wait_for};

fn with_hooks(user: &TestUser, hooks: &str) -> Project {
    let project = Project::quick(user);
    set_hooks(&project, hooks);
    project
}

fn set_hooks(project: &Project, hooks: &str) {
    let text = fs::read_to_string(project.path("deploy.yaml")).unwrap();
    let kept = text.split("\nhooks:").next().unwrap().trim_end();
    project.write("deploy.yaml", &format!("{kept}\nhooks:\n{hooks}\n"));
}

/// Another release.
fn changed(project: &Project, number: usize) -> Ran {
    project.write("service.sh", &format!("#!/bin/sh\necho 'release {number}'\nexec sleep infinity\n"));
    project.shipit(&["deploy", "prod"])
}

#[test]
fn every_point_is_reached_in_order_with_what_it_needs_to_know() {
    let Some(user) = TestUser::new(UserOptions::default()) else { return };
    let project = with_hooks(
        &user,
        r#"  before_deploy: [ { local: 'echo "local first: $SHIPIT_SERVICE $SHIPIT_ENVIRONMENT"; echo made > made' } ]
  before_activate: [ { run: 'echo "before: $PWD in $SHIPIT_RELEASE_DIR of $SHIPIT_ROOT for $SHIPIT_HOST"; test -x bin/* && test "$SHIPIT_RELEASE" != "$(basename $(readlink ~/.local/share/shipit/*/current))"' } ]
  after_activate: [ { run: 'echo "after: $(systemctl --user is-active $SHIPIT_SERVICE)"' } ]
  after_deploy: [ { run: 'echo "kept: $SHIPIT_VERDICT $SHIPIT_PREVIOUS > $SHIPIT_RELEASE"' }, { local: 'echo "local last: $SHIPIT_VERDICT"' } ]
  on_failure: [ { run: echo never }, { local: echo never } ]"#,
    );
    let ran = project.deploy();
    let id = project.current(&user);
    let id = id.trim_start_matches("releases/");
    let (name, root) = (&project.name, project.root(&user));
    let wanted = [
        "running the hook before_deploy".to_owned(),
        format!("local first: {name} prod"),
        format!(
            "| before: {root}/releases/{id} in {root}/releases/{id} of {root} for {}",
            user.destination()
        ),
        "switched current to".to_owned(),
        "| after: active".to_owned(),
        format!("| kept: deployed  > {id}"),
        "running the hook after_deploy".to_owned(),
        "local last: deployed".to_owned(),
        "1 host deployed".to_owned(),
    ];
    let mut rest = ran.stderr.as_str();
    for text in wanted {
        let at = rest.find(&text).unwrap_or_else(|| panic!("{text:?} is not there in order: {}", ran.all()));
        rest = &rest[at..];
    }
    assert!(
        !ran.stderr.lines().any(|line| line.trim() == "never" || line.ends_with("| never")),
        "{}",
        ran.all()
    );
    assert_eq!(fs::read_to_string(project.path("made")).unwrap(), "made\n");
    // Nothing to do: no hook but the one that comes before that is known.
    let ran = project.deploy();
    ran.says("local first").never_says("before:").never_says("local last");
}

#[test]
fn a_failure_means_what_its_point_means() {
    let Some(user) = TestUser::new(UserOptions::default()) else { return };
    let project = Project::quick(&user);
    project.deploy();
    let before = project.current(&user);
    let told = "  on_failure: [ { run: 'echo \"host: $SHIPIT_VERDICT\"' }, { local: 'echo \"local: $SHIPIT_VERDICT\"' } ]";

    set_hooks(&project, &format!("  before_deploy: [ {{ local: 'echo no; exit 3' }} ]\n{told}"));
    let ran = changed(&project, 1).exits(1);
    ran.says("the hook before_deploy failed").says("exit status: 3").says("nothing was");
    ran.never_says("connected to 1");

    set_hooks(&project, &format!("  before_activate: [ {{ run: 'echo no database; exit 3' }} ]\n{told}"));
    let ran = changed(&project, 2).exits(1);
    ran.says("no database; it ended with status 3").says("failed (untouched)");
    ran.says("| host: failed_untouched").says("local: failed_untouched").never_says("switched");
    assert_eq!(project.current(&user), before);

    set_hooks(&project, &format!("  after_activate: [ {{ run: exit 4 }} ]\n{told}"));
    let ran = changed(&project, 3).exits(3);
    ran.says("it ended with status 4")
        .says("FAILED (reverted)")
        .says("| host: reverted")
        .says("local: reverted");
    assert_eq!(project.current(&user), before);
    assert_eq!(project.property(&user, "ActiveState"), "active");

    set_hooks(&project, &format!("  after_deploy: [ {{ run: exit 5 }}, {{ local: exit 6 }} ]\n{told}"));
    let ran = changed(&project, 4).exits(0);
    ran.says("failed: run the hook after_deploy")
        .says("; warning: the hook after_deploy failed: `exit 5`: it ended with status 5")
        .says("warning: the hook after_deploy failed: `exit 6`: it ended with exit status: 6")
        .says("1 host deployed")
        .says(", with 2 warnings");
    ran.never_says("host: ");
    assert_ne!(project.current(&user), before);
}

#[test]
fn what_fails_after_the_verdict_is_a_warning_for_programs_too() {
    let Some(user) = TestUser::new(UserOptions::default()) else { return };
    let project = with_hooks(
        &user,
        "  before_deploy: [ { local: 'echo made; echo it >&2' } ]\n  after_deploy: [ { run: 'echo nobody; exit 5' }, { local: exit 6 } ]",
    );
    let ran = project.shipit(&["deploy", "prod", "--format", "json"]).exits(0);
    let events: Vec<serde_json::Value> =
        ran.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let names: Vec<_> = events.iter().map(|event| event["event"].as_str().unwrap()).collect();
    assert_eq!(
        names[..6],
        [
            "run_started",
            "local_hook_started",
            "local_hook_said",
            "local_hook_said",
            "local_hook_finished",
            "connect_started"
        ]
    );
    assert_eq!((&events[2]["line"], &events[3]["line"]), (&"made".into(), &"it".into()), "in order");
    let last = &names[names.len() - 4..];
    assert_eq!(last, ["host_finished", "local_hook_started", "local_hook_failed", "run_finished"]);
    let [.., host, _, _, run] = events.as_slice() else { panic!("{}", ran.all()) };
    assert_eq!(host["verdict"], "deployed");
    assert_eq!(
        host["warnings"],
        serde_json::json!(["the hook after_deploy failed: `echo nobody; exit 5`: it ended with status 5"])
    );
    assert_eq!((&run["warnings"], &run["exit_code"]), (&2.into(), &0.into()));
    assert!(!ran.stderr.contains("made"), "standard error is for people: {}", ran.all());
}

#[test]
fn a_hook_that_says_too_much_goes_on_and_the_log_stays_small() {
    let Some(user) = TestUser::new(UserOptions::default()) else { return };
    let project = with_hooks(
        &user,
        "  after_activate: [ { run: 'echo first; seq 1000000; touch ~/through; echo last >&2; setsid sleep 30 & exit 9' } ]",
    );
    let start = Instant::now();
    let ran = project.shipit(&["deploy", "prod"]).exits(3);
    ran.says("| first").says("| 40000").says("all but the last of what follows is left out");
    ran.says("| 999992").says("| last").says("it ended with status 9").never_says("| 900000\n");
    assert!(start.elapsed() < Duration::from_secs(25), "it waits for what the hook left behind");
    assert_eq!(user.run("ls ~/through"), format!("{}/through\n", user.home));
    let logs = user.run(&format!("cat {}/runs/*/log | wc -c", project.root(&user)));
    let size: u64 = logs.trim().parse().unwrap();
    assert!((250_000..1_500_000).contains(&size), "{size} bytes");
}

#[test]
fn a_hook_that_hangs_is_killed_with_all_that_it_started() {
    let Some(user) = TestUser::new(UserOptions::default()) else { return };
    let project = with_hooks(
        &user,
        "  before_activate: [ { run: 'echo hanging; sleep 4711 & sleep 4712', timeout: 1s } ]",
    );
    let start = Instant::now();
    let ran = project.shipit(&["deploy", "prod"]).exits(1);
    ran.says("| hanging").says("it was still running after 1 s, and was killed");
    assert!(start.elapsed() < Duration::from_secs(15));
    assert_eq!(user.run("pgrep -u $(id -u) -f 'sleep 471[12]'; true"), "");

    set_hooks(&project, "  before_deploy: [ { local: 'sleep 4713 & sleep 4714', timeout: 1s } ]");
    project.shipit(&["deploy", "prod"]).exits(1).says("it was still running after 1 s");
    // A process that a hook leaves behind holds nothing up.
    set_hooks(&project, "  after_activate: [ { run: 'setsid sleep 4715 & echo left' } ]");
    let start = Instant::now();
    project.deploy().says("| left");
    assert!(start.elapsed() < Duration::from_secs(15));
}

#[test]
fn output_is_shown_while_the_hook_runs() {
    let Some(user) = TestUser::new(UserOptions::default()) else { return };
    let project = with_hooks(
        &user,
        "  before_activate: [ { run: 'echo waiting; until [ -e ~/go ]; do sleep 0.1; done; printf last' } ]\n  \
         after_activate: [ { run: 'echo again; until [ -e ~/on ]; do sleep 0.1; done' } ]",
    );
    let mut deploy = Child::spawn(&mut project.command(&["deploy", "prod"]));
    deploy.wait_for_output("| waiting");
    user.run("touch ~/go");
    deploy.wait_for_output("| last");
    deploy.wait_for_output("| again");
    user.run("touch ~/on");
    deploy.wait().exits(0);
}

#[test]
fn the_host_runs_on_failure_when_the_client_is_gone() {
    let Some(user) = TestUser::new(UserOptions::default()) else { return };
    let project = Project::quick(&user);
    project.deploy();
    let before = project.current(&user);
    set_hooks(
        &project,
        "  after_activate: [ { run: 'echo up' } ]\n  on_failure: [ { run: 'echo $SHIPIT_VERDICT > ~/told' } ]",
    );
    project.edit("deploy.yaml", "settle: 0s", "settle: 0s\nhealth: { tcp: 'localhost:1' }");
    project.write("service.sh", "#!/bin/sh\nexec sleep 1000\n");
    let mut deploy = Child::spawn(&mut project.command(&["deploy", "prod"]));
    deploy.wait_for_output("trying localhost:1");
    deploy.signal("KILL");
    drop(deploy);
    wait_for("the host to go back by itself", Duration::from_secs(20), || project.current(&user) == before);
    wait_for("the hook", Duration::from_secs(10), || {
        user.run("cat ~/told 2>/dev/null; true") == "reverted\n"
    });
}

/// A project for two hosts, with the second one's key. The first host runs a hook for both.
fn for_two(one: &TestUser, two: &TestUser, hook: &str) -> (Project, String) {
    let project = Project::quick(one);
    let both = format!("hosts: [{}, {}]", one.destination(), two.destination());
    project.edit("deploy.yaml", &format!("hosts: [{}]", one.destination()), &both);
    // The links in /usr/local/bin can only be one user's.
    project.edit("deploy.yaml", "binary: service.sh\n", "");
    project.edit("deploy.yaml", &format!("env_file: {}.conf\n", project.name), "");
    let unit = format!("{}.service", project.name);
    project.write(&unit, "[Service]\nExecStart=/bin/sleep 1000\n\n[Install]\nWantedBy=default.target\n");
    set_hooks(&project, &format!("  before_activate: [ {{ run: '{hook}', once: true }} ]"));
    let key = fs::read_to_string(two.key_path.as_ref().unwrap()).unwrap();
    project.write("second_key", &key);
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(project.path("second_key"), fs::Permissions::from_mode(0o600)).unwrap();
    let identity = project.path("second_key").display().to_string();
    (project, identity)
}

fn two_users() -> Option<(TestUser, TestUser)> {
    let users = (TestUser::new(UserOptions::default())?, TestUser::new(UserOptions::default())?);
    if users.0.key_path.is_none() {
        crate::hosts::skip("two users are needed");
        return None;
    }
    Some(users)
}

#[test]
fn what_runs_once_runs_on_one_host_and_the_others_wait_for_it() {
    let Some((one, two)) = two_users() else { return };
    let (project, identity) = for_two(&one, &two, "sleep 2; echo migrated; touch ~/done");
    let unit = format!("{}.service", project.name);
    let ran = project.shipit(&["deploy", "prod", "--identity", &identity]).exits(0);
    assert_eq!(ran.stderr.matches("| migrated").count(), 1, "{}", ran.all());
    let migrated = ran.stderr.find("| migrated").unwrap();
    let switched = ran.stderr.find("switched current").unwrap();
    assert!(migrated < switched, "no host switches before: {}", ran.all());
    assert_eq!(one.run("ls ~/done"), format!("{}/done\n", one.home));

    set_hooks(&project, "  before_activate: [ { run: 'exit 1', once: true } ]");
    project.write(&unit, "[Service]\nExecStart=/bin/sleep 2000\n\n[Install]\nWantedBy=default.target\n");
    let ran = project.shipit(&["deploy", "prod", "--identity", &identity]).exits(1);
    ran.says("the hook that runs once, on the first host, did not succeed there").never_says("switched");
}

/// A rollback runs no hooks, so no host waits for one.
#[test]
fn a_rollback_goes_on_without_the_first_host() {
    let Some((one, two)) = two_users() else { return };
    let (project, identity) = for_two(&one, &two, "echo migrated");
    let unit = format!("{}.service", project.name);
    let command = |words: &[&str]| project.shipit(&[words, &["--identity", &identity]].concat());
    command(&["deploy", "prod"]).exits(0);
    let before = project.current(&two);
    project.write(&unit, "[Service]\nExecStart=/bin/sleep 2000\n\n[Install]\nWantedBy=default.target\n");
    command(&["deploy", "prod"]).exits(0);
    assert_ne!(project.current(&two), before);
    let address = one.destination();
    let (host, _) = address.rsplit_once(':').unwrap_or((&address, ""));
    project.edit("deploy.yaml", &format!("hosts: [{address}, "), &format!("hosts: ['{host}:1', "));
    command(&["rollback", "prod"]).exits(5).never_says("did not succeed there");
    assert_eq!(project.current(&two), before);
}

/// Nothing new is begun, and the switch of a host is something new.
#[test]
fn who_waits_for_the_first_host_does_not_switch_after_ctrl_c() {
    let Some((one, two)) = two_users() else { return };
    let (project, identity) = for_two(&one, &two, "echo migrating; until [ -e ~/go ]; do sleep 0.1; done");
    let mut deploy = Child::spawn(&mut project.command(&["deploy", "prod", "--identity", &identity]));
    deploy.wait_for_output("| migrating");
    let uploaded = format!("ls -d {}/incoming/* 2>/dev/null; true", project.root(&two));
    wait_for("the second host's upload", Duration::from_secs(20), || !two.run(&uploaded).is_empty());
    deploy.signal("INT");
    deploy.wait_for_output("interrupted");
    wait_for("the second host to be left", Duration::from_secs(20), || two.run(&uploaded).is_empty());
    one.run("touch ~/go");
    let ran = deploy.wait().exits(130);
    ran.says("stopped by the operator");
    assert_ne!(one.run(&format!("readlink {}/current || true", project.root(&one))), "");
    assert_eq!(two.run(&format!("readlink {}/current || true", project.root(&two))), "");
}

#[test]
fn no_value_becomes_shell_text() {
    let Some(user) = TestUser::new(UserOptions::default()) else { return };
    let project = with_hooks(
        &user,
        "  before_activate:\n    - run: |\n        printf '<%s>' \"it's\" '$(touch ~/pwned)' \"`echo tick`\"\n        echo \" done'\"\n",
    );
    project.deploy().says("<it's><$(touch ~/pwned)><tick> done'");
    assert_eq!(user.run("ls ~/pwned 2>/dev/null; true"), "");
}
