//! Folders of the manifest's `files` arrive as they are, and only what has changed travels.
use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::time::Duration;

use crate::harness::Project;
use crate::hosts::relay::{Link, Relay};
use crate::hosts::{HostOptions, OwnHost, TestUser, UserOptions};

/// A project whose manifest names the folder `site`.
fn with_site(user: &TestUser) -> Project {
    let project = Project::quick(user);
    project.edit("deploy.yaml", "settle: 0s\n", "settle: 0s\nfiles: [{source: site}]\n");
    fs::create_dir(project.path("site")).unwrap();
    project
}

/// What stands in a folder: kind, mode, what a symlink says; and the bytes of every file.
fn listing(folder: &str) -> String {
    format!(
        "cd '{folder}' && find . -mindepth 1 -printf '%y %m %p %l\\n' | LC_ALL=C sort; \
         find . -type f -exec sha256sum {{}} + | LC_ALL=C sort"
    )
}

fn here(project: &Project, folder: &str) -> String {
    let script = listing(&project.path(folder).display().to_string());
    let output = std::process::Command::new("sh").args(["-c", &script]).output().unwrap();
    String::from_utf8(output.stdout).unwrap()
}

fn there(user: &TestUser, project: &Project, folder: &str) -> String {
    user.run(&listing(&format!("{}/current/{folder}", project.root(user))))
}

/// Fills `site` with all kinds of things; `many` plain files among them.
fn fill(project: &Project, many: usize) {
    let site = project.path("site");
    for name in [
        "index.html",
        "-rf",
        "a b",
        "$(touch run)",
        "`id`",
        "it's",
        "\"q\"",
        "back\\slash",
        "*",
        "--help",
        "café",
        "a=b",
        "semi;colon",
    ] {
        fs::write(site.join(name), format!("this is {name}\n")).unwrap();
        fs::create_dir_all(site.join("dirs").join(name)).unwrap();
        fs::write(site.join("dirs").join(name).join(name), "inner\n").unwrap();
    }
    fs::create_dir_all(site.join("empty/inner")).unwrap();
    fs::write(site.join("run.sh"), "#!/bin/sh\n").unwrap();
    fs::set_permissions(site.join("run.sh"), fs::Permissions::from_mode(0o755)).unwrap();
    fs::write(site.join("large"), vec![b'x'; 200_000]).unwrap();
    fs::write(site.join("nothing"), "").unwrap();
    fs::write(site.join("x".repeat(200)), "long\n").unwrap();
    symlink("index.html", site.join("home $(id).html")).unwrap();
    symlink("../..", site.join("dirs/a b/up")).unwrap();
    for number in 0..many {
        let folder = site.join(format!("many/{}", number % 50));
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join(format!("{number}.txt")), format!("file {number}\n")).unwrap();
    }
    // What the umask of whoever runs the test makes of these does not matter on the host.
    let chmod =
        std::process::Command::new("chmod").args(["-R", "u+rwX,go-w,go+rX"]).arg(&site).status().unwrap();
    assert!(chmod.success());
}

/// Once with a few files, which go one by one, and once with many, which go in archives.
#[test]
fn a_tree_arrives_as_it_is_and_comes_back_by_a_rollback() {
    for many in [0, 300] {
        let Some(user) = TestUser::new(UserOptions::default()) else { return };
        let project = with_site(&user);
        fill(&project, many);
        let original = here(&project, "site");
        project.deploy();
        assert_eq!(there(&user, &project, "site"), original);
        assert_eq!(user.run("find ~ -name run; true"), "", "a name was run");
        assert_eq!(user.run(&format!("ls -A {}/incoming", project.root(&user))), "");

        let (current, invocation) = (project.current(&user), project.property(&user, "InvocationID"));
        project.deploy().says("nothing to do");
        assert_eq!(project.property(&user, "InvocationID"), invocation);

        // A file changes, one is gone, one is new, a symlink says something else, a folder is empty now.
        project.write("site/index.html", "changed\n");
        fs::remove_file(project.path("site/-rf")).unwrap();
        fs::write(project.path("site/empty/now not"), "x\n").unwrap();
        fs::remove_file(project.path("site/home $(id).html")).unwrap();
        symlink("run.sh", project.path("site/home $(id).html")).unwrap();
        fs::remove_file(project.path("site/dirs/--help/--help")).unwrap();
        let changed = here(&project, "site");
        let ran = project.deploy();
        let all = if many == 0 { "2 of 32 files (10 B)" } else { "2 of 332 files (10 B)" };
        ran.says(all).says("(files changed)");
        assert_eq!(there(&user, &project, "site"), changed);
        assert_ne!(project.property(&user, "InvocationID"), invocation);
        project.assert_current_is_complete(&user);
        project.deploy().says("nothing to do");

        project.shipit(&["rollback", "prod"]).exits(0).says("goes back to");
        assert_eq!((there(&user, &project, "site"), project.current(&user)), (original, current));
    }
}

#[test]
fn what_is_left_out_stays_here_and_a_template_is_rendered() {
    let Some(user) = TestUser::new(UserOptions::default()) else { return };
    let project = with_site(&user);
    fill(&project, 0);
    project.write("site/.shipitignore", "/dirs/\n*.sh\n");
    project.write("motd.j2", "{{ service }} of {{ PLACE }}\n");
    project.edit(
        "deploy.yaml",
        "[{source: site}]",
        "[{source: site, path: share/www, exclude: ['large', '/-*'], mode: '0640'}, {source: motd.j2}]",
    );
    project.edit("deploy.yaml", "    hosts:", "    vars: { PLACE: Virginia }\n    hosts:");
    project.deploy();
    let there = there(&user, &project, "share/www");
    for gone in ["./dirs", "run.sh", "large", "./-rf", ".shipitignore"] {
        assert!(!there.contains(gone), "{gone} is in:\n{there}");
    }
    assert!(there.contains("f 640 ./index.html"), "{there}");
    let motd = user.run(&format!("cat {}/current/motd", project.root(&user)));
    assert_eq!(motd, format!("{} of Virginia\n", project.name));
}

#[test]
fn what_can_not_be_sent_is_said_before_anything_is_connected_to() {
    let Some(user) = TestUser::new(UserOptions::default()) else { return };
    let project = with_site(&user);
    project.write("site/file", "x");
    symlink("/etc/passwd", project.path("site/absolute")).unwrap();
    symlink("../deploy.yaml", project.path("site/out")).unwrap();
    symlink("nowhere", project.path("site/dangling")).unwrap();
    fs::write(project.path("site").join("new\nline"), "x").unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(project.path("site/socket")).unwrap();
    let ran = project.shipit(&["plan", "prod"]).exits(2);
    for text in [
        "`/etc/passwd` is absolute",
        "`../deploy.yaml` leads out of the folder",
        "`nowhere` leads nowhere",
        "site/new\\nline` has a control character in its name",
        "site/socket` is a socket, and can't be sent",
        "deploy.yaml:6:",
    ] {
        assert!(ran.all().contains(text), "{text} is missing from:\n{}", ran.all());
    }
}

#[test]
fn what_is_changed_by_hand_on_the_host_is_put_right() {
    let Some(user) = TestUser::new(UserOptions::default()) else { return };
    let project = with_site(&user);
    fill(&project, 100);
    project.deploy();
    let (original, root) = (there(&user, &project, "site"), project.root(&user));
    let invocation = project.property(&user, "InvocationID");
    for deed in [
        "echo more >>index.html",
        "chmod 777 many/7/7.txt",
        "rm many/8/8.txt",
        "rm 'home $(id).html'",
        "ln -sfT /etc/passwd 'home $(id).html'",
        "ln -s /etc/passwd mine",
        "rmdir empty/inner",
        "mkdir mine",
        "echo x >mine.txt",
    ] {
        user.run(&format!("cd {root}/current/site && {deed}"));
        project.deploy().says("replaces");
        assert_eq!(there(&user, &project, "site"), original, "{deed}");
    }
    assert_ne!(project.property(&user, "InvocationID"), invocation);
}

#[test]
fn a_release_with_a_tampered_tree_is_not_gone_back_to() {
    let Some(user) = TestUser::new(UserOptions::default()) else { return };
    let project = with_site(&user);
    fill(&project, 100);
    project.deploy();
    let first = project.current(&user);
    project.write("site/index.html", "changed\n");
    project.deploy();
    let (second, root) = (project.current(&user), project.root(&user));
    let site = format!("{root}/{first}/site");
    for (deed, undo, says) in [
        ("sed -i s/7/9/ many/7/7.txt", "sed -i s/9/7/ many/7/7.txt", "many/7/7.txt: FAILED"),
        (
            "ln -sfT / 'home $(id).html'",
            "ln -sfT index.html 'home $(id).html'",
            "site/home $(id).html: FAILED",
        ),
        ("rmdir empty/inner", "mkdir empty/inner", "folder site/empty/inner: FAILED"),
        ("rm many/7/7.txt", "echo 'file 7' >many/7/7.txt", "many/7/7.txt is missing"),
    ] {
        user.run(&format!("cd {site} && {deed}"));
        project.shipit(&["rollback", "prod"]).exits(8).says(says).says("the service was not touched");
        assert_eq!(project.current(&user), second);
        user.run(&format!("cd {site} && {undo}"));
    }
    project.shipit(&["rollback", "prod"]).exits(0);
    assert_eq!(project.current(&user), first);
}

#[test]
fn five_thousand_files_go_over_a_long_way_in_seconds_and_one_that_changes_goes_alone() {
    let Some(mut user) = TestUser::new(UserOptions::default()) else { return };
    let project = with_site(&user);
    fill(&project, 5000);
    let original = here(&project, "site");
    let relay = Relay::start(user.address(), Link::round_trip(Duration::from_millis(20))).unwrap();
    user.go_through(&relay);
    let manifest = fs::read_to_string(project.path("deploy.yaml")).unwrap();
    let hosts = manifest.rsplit_once("hosts: [").unwrap().0;
    project.write("deploy.yaml", &format!("{hosts}hosts: [{}]\n", user.destination()));
    fs::copy(&user.known_hosts, project.path("home/.ssh/known_hosts")).unwrap();
    let before = relay.final_counts();
    project.deploy();
    let first = relay.final_counts();
    // Four round trips a file would be thousands.
    assert!(first.round_trips - before.round_trips < 100, "{first:?}");
    assert_eq!(there(&user, &project, "site"), original);
    project.deploy().says("nothing to do");

    project.write("site/many/7/57.txt", "another\n");
    let before = relay.final_counts();
    let ran = project.deploy();
    ran.says("1 of 5033 files (8 B)");
    let after = relay.final_counts();
    // The record and the list of hashes; no file.
    let sent = after.bytes_to_target - before.bytes_to_target;
    assert!(sent < 2_500_000, "{sent} bytes for one small file");
    assert_eq!(there(&user, &project, "site"), here(&project, "site"));
}

#[test]
fn a_host_without_tar_gets_the_files_all_the_same() {
    let Some(host) = OwnHost::boot(HostOptions::default()) else { return };
    let user = host.user(UserOptions::default());
    let project = with_site(&user);
    fill(&project, 300);
    user.run("sudo mv /usr/bin/tar /usr/bin/tar.gone");
    let plan = project.shipit(&["plan", "prod"]).exits(0);
    assert!(plan.all().contains("the host has no tar"), "{}", plan.all());
    project.deploy();
    assert_eq!(there(&user, &project, "site"), here(&project, "site"));
}

#[test]
fn a_disk_that_fills_up_while_files_are_unpacked_leaves_the_service_alone() {
    let options =
        HostOptions { home_size: Some("24m".into()), home_inodes: Some(20_000), ..HostOptions::default() };
    let Some(host) = OwnHost::boot(options) else { return };
    let user = host.user(UserOptions::default());
    let project = with_site(&user);
    project.write("site/file", "x");
    project.deploy();
    let before = project.standing(&user);
    fill(&project, 1000);
    // Something else takes the room as soon as the first files are there.
    let root = project.root(&user);
    user.run(&format!(
        "systemd-run --user --quiet --unit=eater sh -c 'until ls {root}/incoming/*/site; do :; done; \
         fallocate -l 30M ~/eaten || cat /dev/zero >~/eaten'"
    ));
    let ran = project.shipit(&["deploy", "prod"]).exits(1);
    ran.says("the service was not touched");
    assert_eq!(project.standing(&user), before);
    assert_eq!(user.run(&format!("ls -A {root}/incoming")), "");
    user.run("rm ~/eaten");
    project.deploy();
    assert_eq!(there(&user, &project, "site"), here(&project, "site"));
}

/// Waits until the host has made its copy for the next release.
fn spare(user: &TestUser, project: &Project) -> String {
    let spare = format!("{}/spare", project.root(user));
    user.run(&format!("timeout 60 sh -c 'until [ -d {spare}/files ]; do sleep 0.1; done'"));
    spare
}

#[test]
fn a_large_release_begins_with_a_copy_that_was_made_after_the_last_one() {
    let Some(user) = TestUser::new(UserOptions::default()) else { return };
    let project = with_site(&user);
    fill(&project, 600);
    project.deploy();
    let (original, first) = (here(&project, "site"), project.current(&user));
    let (copy, root) = (spare(&user, &project), project.root(&user));
    let ahead = user.run(&format!("stat -c %i {copy}/files/site/many/8/8.txt"));

    // As in a_tree_arrives_as_it_is; and a file where a folder was, and the other way round.
    project.write("site/index.html", "changed\n");
    fs::remove_file(project.path("site/-rf")).unwrap();
    fs::write(project.path("site/empty/now not"), "x\n").unwrap();
    fs::remove_file(project.path("site/home $(id).html")).unwrap();
    symlink("run.sh", project.path("site/home $(id).html")).unwrap();
    fs::remove_file(project.path("site/dirs/--help/--help")).unwrap();
    fs::remove_dir_all(project.path("site/many/7")).unwrap();
    fs::write(project.path("site/many/7"), "a file\n").unwrap();
    fs::remove_file(project.path("site/*")).unwrap();
    fs::create_dir(project.path("site/*")).unwrap();
    fs::write(project.path("site/*/inner"), "x\n").unwrap();
    fs::set_permissions(project.path("site/run.sh"), fs::Permissions::from_mode(0o644)).unwrap();
    let changed = here(&project, "site");
    project.deploy();
    assert_eq!(there(&user, &project, "site"), changed);
    project.assert_current_is_complete(&user);
    let taken = user.run(&format!("stat -c %i {root}/current/site/many/8/8.txt"));
    assert_eq!(taken, ahead, "the file was copied while the operator waited");
    project.deploy().says("nothing to do");
    assert_eq!(user.run(&format!("ls -A {root}/incoming")), "");

    // The releases have nothing in common that an edit in one of them would change in the other.
    spare(&user, &project);
    user.run(&format!("echo more >>{root}/current/site/many/8/8.txt"));
    project.shipit(&["rollback", "prod"]).exits(0);
    assert_eq!((there(&user, &project, "site"), project.current(&user)), (original, first));
    // Nor is a copy of another release's files taken for one of this.
    project.deploy();
    assert_eq!(there(&user, &project, "site"), changed);
    project.shipit(&["remove", "prod", "--yes"]).exits(0);
    assert_eq!(user.run(&format!("ls -A {root} 2>/dev/null; true")), "");
}

#[test]
fn a_copy_that_was_made_ahead_and_then_touched_is_not_believed() {
    let Some(user) = TestUser::new(UserOptions::default()) else { return };
    let project = with_site(&user);
    fill(&project, 600);
    project.deploy();
    let root = project.root(&user);
    for (number, deed) in [
        // As many bytes, and the same date.
        "cd spare/files/site && touch -r many/7/7.txt ~/date && sed -i s/7/9/ many/7/7.txt && touch -r ~/date many/7/7.txt",
        "rm spare/files/site/many/7/7.txt",
        "echo x >spare/files/site/mine.txt",
        "chmod 600 spare/files/site/many/7/7.txt",
        "ln -sfT / 'spare/files/site/home $(id).html'",
        "rm -r spare/files/site/many",
        "rm spare/sealed",
        // One whose making was cut short.
        "mv spare spare.new",
    ]
    .into_iter()
    .enumerate()
    {
        spare(&user, &project);
        user.run(&format!("cd {root} && {deed}"));
        project.write("site/index.html", &format!("changed {number}\n"));
        project.deploy();
        assert_eq!(there(&user, &project, "site"), here(&project, "site"), "{deed}");
        project.assert_current_is_complete(&user);
    }
    // What was edited in the release itself is not what was copied of it.
    spare(&user, &project);
    project.write("site/many/7/7.txt", "by hand\n");
    user.run(&format!(
        "echo 'by hand' >{root}/current/site/many/7/7.txt; chmod 644 {root}/current/site/many/7/7.txt"
    ));
    project.write("site/index.html", "changed at last\n");
    project.deploy();
    assert_eq!(there(&user, &project, "site"), here(&project, "site"));
    project.assert_current_is_complete(&user);
}

#[test]
fn no_copy_is_made_ahead_on_a_disk_that_it_could_fill() {
    let options =
        HostOptions { home_size: Some("48m".into()), home_inodes: Some(20_000), ..HostOptions::default() };
    let Some(host) = OwnHost::boot(options) else { return };
    let user = host.user(UserOptions::default());
    let project = with_site(&user);
    fill(&project, 1000);
    project.deploy();
    let root = project.root(&user);
    // The unit that carried out the run has made up its mind.
    let over = "timeout 60 sh -c 'while systemctl --user list-units --plain --no-legend \"shipit-*.service\" | grep -q .; do sleep 0.1; done'";
    user.run(over);
    assert_eq!(user.run(&format!("ls {root} | grep ^spare$; true")), "spare\n", "there is room for it");
    user.run(&format!("fallocate -l 25M ~/eaten || head -c 25M /dev/zero >~/eaten; rm -r {root}/spare"));
    project.write("site/index.html", "changed\n");
    project.deploy();
    user.run(over);
    assert_eq!(user.run(&format!("ls {root} | grep ^spare$; true")), "");
}
