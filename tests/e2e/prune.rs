//! Old releases go, good ones are kept, and the one before the current always is.
use crate::harness::Project;
use crate::hosts::{HostOptions, OwnHost, TestUser, UserOptions};

fn deploy(project: &Project, user: &TestUser, text: &str, code: i32) -> String {
    project.write(
        "service.sh",
        &format!("#!/bin/sh\n# {text}\n{}\n", if code == 0 { "exec sleep infinity" } else { "exit 1" }),
    );
    project.shipit(&["deploy", "prod"]).exits(code);
    project.current(user).trim_start_matches("releases/").to_owned()
}

fn releases(project: &Project, user: &TestUser) -> Vec<String> {
    user.run(&format!("ls {}/releases", project.root(user))).lines().map(str::to_owned).collect()
}

#[test]
fn good_ones_are_counted_and_failed_ones_are_not() {
    let Some(user) = TestUser::new(UserOptions::default()) else { return };
    let project = Project::quick(&user);
    project.edit("deploy.yaml", "settle: 0s", "settle: 500ms\nkeep_releases: 2");
    let first = deploy(&project, &user, "one", 0);
    assert_eq!(deploy(&project, &user, "bad", 3), first);
    assert_eq!(deploy(&project, &user, "worse", 3), first);
    let [_, bad, worse] = &releases(&project, &user)[..] else {
        panic!("failed ones stay until the next good one")
    };
    let second = deploy(&project, &user, "two", 0);
    // The older failed one goes.
    assert_eq!(releases(&project, &user), [&first, worse, &second].map(Clone::clone));
    let third = deploy(&project, &user, "three", 0);
    assert_eq!(releases(&project, &user), [worse, &second, &third].map(Clone::clone));
    assert_ne!(bad, worse);
    // From the older of two good ones.
    project.shipit(&["rollback", "prod"]).exits(0);
    let fourth = deploy(&project, &user, "four", 0);
    assert_eq!(releases(&project, &user), [worse, &second, &fourth].map(Clone::clone));
}

#[test]
fn the_mark_of_a_good_release_is_on_the_disk_before_the_run_is_forgotten() {
    let Some(host) = OwnHost::boot(HostOptions::default()) else { return };
    let user = host.user(UserOptions::default());
    let project = Project::quick(&user);
    // What is handed to sync(1) from here on: a mark that is there, and whether the run can still be found.
    user.run(
        "sudo tee /usr/local/bin/sync >/dev/null <<'END'\n#!/bin/sh\n\
         for path in \"$@\"; do\n\
         [ -d \"$path\" ] && [ -e \"$path/good\" ] && echo \"$(readlink ~/.local/share/shipit/*/pending)\" >>~/synced\n\
         done\nexec /usr/bin/sync \"$@\"\nEND\nsudo chmod +x /usr/local/bin/sync",
    );
    project.deploy();
    let synced = user.run("cat ~/synced");
    assert_eq!(synced.lines().filter(|line| line.starts_with("runs/")).count(), 1, "{synced:?}");
}
