//! A host that is short of room, or whose home can't be written to, is refused, or the upload is swept away.
use std::fs;

use crate::harness::{Child, Project};
use crate::hosts::{HostOptions, OwnHost, TestUser, UserOptions};

/// A service of this size, hard to mistake for another.
fn grow(project: &Project, length: usize) {
    let mut binary = fs::read(project.path("service.sh")).unwrap();
    binary.resize(binary.len() + length, b'\n');
    fs::write(project.path("service.sh"), &binary).unwrap();
}

#[track_caller]
fn untouched(user: &TestUser, project: &Project, current: &str, invocation: &str) {
    assert_eq!(project.current(user), current);
    assert_eq!(project.property(user, "InvocationID"), invocation);
    assert_eq!(user.run(&format!("find {}/incoming -mindepth 1 2>/dev/null; true", project.root(user))), "");
}

#[test]
fn a_disk_that_is_full_or_fills_up_leaves_the_service_alone() {
    let options = HostOptions { home_size: Some("12m".into()), home_inodes: None, ..HostOptions::default() };
    let Some(host) = OwnHost::boot(options) else { return };
    let user = host.user(UserOptions::default());
    let project = Project::quick(&user);
    project.deploy();
    let (current, invocation) = (project.current(&user), project.property(&user, "InvocationID"));

    // Before anything is uploaded.
    grow(&project, 12 << 20);
    let ran = project.shipit(&["deploy", "prod"]).exits(8);
    ran.says("are free below").says("make room on the file system").says("the service was not touched");
    untouched(&user, &project, &current, &invocation);

    // While it is uploaded: something else takes the room as soon as the upload's folder is there.
    let mut binary = fs::read(project.path("service.sh")).unwrap();
    binary.truncate(7 << 20);
    fs::write(project.path("service.sh"), &binary).unwrap();
    let root = project.root(&user);
    user.run(&format!(
        "systemd-run --user --quiet --unit=eater sh -c 'until ls {root}/incoming/*/bin; do :; done; \
         fallocate -l 6M ~/eaten'"
    ));
    let ran = project.shipit(&["deploy", "prod"]).exits(1);
    ran.says("the disk is full").says("make room and deploy again").says("the service was not touched");
    untouched(&user, &project, &current, &invocation);

    user.run("rm ~/eaten");
    project.deploy();
    assert_ne!(project.current(&user), current);
}

#[test]
fn inodes_run_out_before_bytes() {
    let options =
        HostOptions { home_size: Some("12m".into()), home_inodes: Some(120), ..HostOptions::default() };
    let Some(host) = OwnHost::boot(options) else { return };
    let user = host.user(UserOptions::default());
    let project = Project::quick(&user);
    project.deploy();
    let (current, invocation) = (project.current(&user), project.property(&user, "InvocationID"));
    user.run("mkdir -p ~/many; i=0; while touch ~/many/$i; do i=$((i + 1)); done 2>/dev/null; rm ~/many/1 ~/many/2");
    project.edit(&format!("{}.conf", project.name), "North Carolina", "Virginia");
    let ran = project.shipit(&["deploy", "prod"]).exits(8);
    ran.says("inodes are free").says("the service was not touched");
    untouched(&user, &project, &current, &invocation);
    user.run("rm -r ~/many");
    project.deploy();
}

#[test]
fn a_home_that_is_not_the_users_to_write_is_refused() {
    let Some(user) = TestUser::new(UserOptions::default()) else { return };
    if user.key_path.is_none() {
        return;
    }
    let project = Project::quick(&user);
    user.run_as_root(&format!("chown root {0}; chmod 755 {0}", user.home));
    let ran = project.shipit(&["deploy", "prod"]);
    user.run_as_root(&format!("chown {0} {1}", user.user, user.home));
    let ran = ran.exits(8);
    ran.says("may not write below").says("should belong to").says("not deployed on the host");
    assert_eq!(user.run("ls -A ~/.local 2>/dev/null; true"), "");
}

#[test]
fn a_root_that_became_someone_elses_is_refused() {
    let Some(user) = TestUser::new(UserOptions::default()) else { return };
    let project = Project::quick(&user);
    project.deploy();
    let (current, root) = (project.current(&user), project.root(&user));
    user.run_as_root(&format!("chown root {root} {root}/releases"));
    project.edit(&format!("{}.conf", project.name), "North Carolina", "Virginia");
    let ran = project.shipit(&["deploy", "prod"]).exits(8);
    user.run_as_root(&format!("chown {} {root} {root}/releases", user.user));
    ran.says("may not write below").says("the service was not touched");
    assert_eq!(project.current(&user), current);
}

/// Going back needs no room: neither for what it notes, nor for links.
#[test]
fn a_disk_that_fills_up_while_the_host_waits_does_not_keep_it_from_going_back() {
    let options =
        HostOptions { home_size: Some("24m".into()), home_inodes: Some(400), ..HostOptions::default() };
    let Some(host) = OwnHost::boot(options) else { return };
    let user = host.user(UserOptions::default());
    let project = Project::quick(&user);
    project.deploy();
    let before = project.standing(&user);
    let health = format!("health: {{ http: 'http://localhost:{}/', timeout: 6s }}\n", project.port);
    project.edit("deploy.yaml", "settle: 0s\n", &format!("settle: 0s\n{health}"));
    project.edit(&format!("{}.conf", project.name), "North Carolina", "Virginia");
    for fill in
        ["cat /dev/zero >~/eaten; sync", "mkdir ~/many; i=0; while : >~/many/$i; do i=$((i + 1)); done"]
    {
        let mut deploy = Child::spawn(&mut project.command(&["deploy", "prod"]));
        deploy.wait_for_output("until it answers");
        user.run(&format!("({fill}) 2>/dev/null; true"));
        let ran = deploy.wait().exits(3);
        ran.says("no good answer from").says("runs again, as before");
        user.run("rm -rf ~/eaten ~/many");
        project.standing(&user).is_back_at(&before);
    }
    project.edit("deploy.yaml", &health, "");
    project.deploy();
}

/// Makes all but so many inodes, or pages, of the user's home used up.
fn fill(user: &TestUser, what: Room, left: usize) {
    user.run(&match what {
        Room::Inodes => format!(
            "i=0; while true >~/many/$i; do i=$((i + 1)); done 2>/dev/null; cd ~/many; ls | head -n {left} | xargs -r rm"
        ),
        Room::Bytes => format!("cat /dev/zero >~/eaten; truncate -s -$(({left} * 4096)) ~/eaten"),
    });
}

#[derive(Clone, Copy, Debug)]
enum Room {
    Inodes,
    Bytes,
}

/// Wherever in a deploy the room ends: the deploy works, or the service runs on as it was, and the exit code says which.
#[test]
fn a_disk_that_is_full_at_any_place_of_a_deploy() {
    let options =
        HostOptions { home_size: Some("24m".into()), home_inodes: Some(300), ..HostOptions::default() };
    let Some(host) = OwnHost::boot(options) else { return };
    let user = host.user(UserOptions::default());
    let project = Project::quick(&user);
    project.deploy();
    project.edit("deploy.yaml", "  prod:\n", "  prod:\n    confirm: true\n");
    user.run("mkdir ~/many");
    let root = project.root(&user);
    let mut place = "North Carolina".to_owned();
    let mut seen = Vec::new();
    let inodes = (0..=26).map(|left| (Room::Inodes, left));
    for (what, left) in inodes.chain((0..=27).step_by(3).map(|left| (Room::Bytes, left))) {
        let next = format!("{what:?} {left}");
        project.edit(&format!("{}.conf", project.name), &place, &next);
        place = next;
        let before = project.standing(&user);
        // The plan is made while there is room; all that follows waits for a yes.
        let mut deploy = project.spawn_on_a_terminal(&["deploy", "prod"]);
        deploy.wait_for_output("Deploy to 1 host of prod? [y/N]");
        fill(&user, what, left);
        deploy.write("y\n");
        let ran = deploy.wait();
        user.run(&format!("rm -rf ~/eaten {root}/incoming/*; find ~/many -type f -delete"));
        let after = project.standing(&user);
        match ran.code {
            Some(0) => {
                assert_ne!(after.current, before.current);
                // What pruning and `rollback` go by.
                user.run(&format!("test -e {root}/current/good"));
            }
            Some(1) => assert_eq!(after, before, "{place}\n{}", ran.all()),
            Some(3) => after.is_back_at(&before),
            _ => panic!("{place}\n{}", ran.all()),
        }
        if ran.code != Some(0) {
            let reasons =
                ["No space left", "disk is full", "file system is full", "no inodes left", "inodes used up"];
            let told = reasons.iter().any(|reason| ran.stdout.contains(reason));
            assert!(told, "{place}\n{}", ran.all());
        }
        seen.push(ran.code);
    }
    // Else none of them came to a place of interest.
    assert!(seen.contains(&Some(0)) && seen.contains(&Some(1)), "{seen:?}");
    project.shipit(&["deploy", "prod", "--yes"]).exits(0);
}

/// Fills up between the check of the hashes and the switch, and between the switch and the commit.
#[test]
fn a_disk_that_a_hook_fills() {
    let options =
        HostOptions { home_size: Some("24m".into()), home_inodes: Some(400), ..HostOptions::default() };
    let Some(host) = OwnHost::boot(options) else { return };
    let user = host.user(UserOptions::default());
    let project = Project::quick(&user);
    project.deploy();
    let manifest = fs::read_to_string(project.path("deploy.yaml")).unwrap();
    let fills = [
        "cat /dev/zero >~/eaten 2>/dev/null; true",
        "mkdir -p ~/many; i=0; while true >~/many/$i; do i=$((i + 1)); done 2>/dev/null; true",
    ];
    for (number, fill) in fills.iter().enumerate() {
        for hook in ["before_activate", "after_activate"] {
            project.write("deploy.yaml", &format!("{manifest}hooks:\n  {hook}: [ {{ run: '{fill}' }} ]\n"));
            project.write("service.sh", &format!("#!/bin/sh\necho {number} {hook}\nexec sleep infinity\n"));
            let before = project.standing(&user);
            let ran = project.shipit(&["deploy", "prod"]);
            user.run("rm -rf ~/eaten ~/many");
            let after = project.standing(&user);
            if hook == "before_activate" {
                let ran = ran.exits(1);
                ran.says(["the file system is full", "No space left on device"][number])
                    .says("the service was not touched")
                    .never_says("switched");
                assert_eq!(after, before);
            } else {
                // It needs no room to be kept, nor to be known for a good one.
                ran.exits(0).says("1 host deployed");
                assert_eq!(after.leftovers, "");
                assert_ne!(after.current, before.current);
                user.run(&format!("test -e {}/current/good", project.root(&user)));
            }
        }
    }
    project.write("deploy.yaml", &manifest);
    project.deploy();
}
