//! A deploy brings a host to the release that the manifest describes, and does no more than that takes.
use std::fs;
use std::path::Path;

use crate::harness::Project;
use crate::hosts::relay::{Link, Relay};
use crate::hosts::{TestUser, UserOptions};

#[test]
fn the_example_service_runs_after_the_first_deploy_and_a_second_one_finds_nothing_to_do() {
    let Some(user) = TestUser::new(UserOptions::default()) else { return };
    let project = Project::simple_api(&user);
    let (name, root) = (&project.name, project.root(&user));

    let ran = project.deploy();
    ran.says("plan: first deploy").says("Listening on http://127.0.0.1:").says("1 host deployed");
    assert_eq!(ran.stdout, "", "standard output is for data");

    for (link, target) in [
        (format!("/usr/local/bin/{name}"), format!("{root}/current/bin/{name}")),
        (format!("/etc/default/{name}.conf"), format!("{root}/current/env/{name}.conf")),
        (
            format!("{}/.config/systemd/user/{name}.service", user.home),
            format!("{root}/current/units/{name}.service"),
        ),
    ] {
        assert_eq!(user.run(&format!("readlink {link}")), format!("{target}\n"), "{link}");
        assert!(user.ssh(&format!("test -f {link}")).status.success(), "{link} leads nowhere");
    }
    let modes = user.run(&format!(
        "cd {root}/current/ && stat -c '%a %n' bin/{name} env/{name}.conf units/{name}.service"
    ));
    assert_eq!(modes, format!("755 bin/{name}\n600 env/{name}.conf\n644 units/{name}.service\n"));
    assert_eq!(project.property(&user, "ActiveState"), "active");
    assert_eq!(project.property(&user, "UnitFileState"), "enabled");
    let wanted = user.run(&format!("readlink ~/.config/systemd/user/default.target.wants/{name}.service"));
    assert_eq!(wanted, format!("{root}/current/units/{name}.service\n"), "it must outlive this release");
    let pid = project.property(&user, "MainPID");
    let local = shipit::release::Sha256Digest::of(&fs::read(project.path("service.sh")).unwrap());
    assert_eq!(user.run(&format!("sha256sum </proc/{pid}/exe")), format!("{local}  -\n"));
    assert!(project.answer(&user).contains(r#"{"Message":"Hello, World! From North Carolina"}"#));

    let (current, invocation) = (project.current(&user), project.property(&user, "InvocationID"));
    let again = project.deploy();
    again.says("nothing to do").says("1 host unchanged");
    assert_eq!(project.current(&user), current);
    assert_eq!(project.property(&user, "InvocationID"), invocation, "it was restarted for nothing");
    assert_eq!(user.run(&format!("ls {root}/releases | wc -l")), "1\n");
    assert_eq!(user.run(&format!("find {root}/incoming -type f 2>/dev/null; true")), "");
}

#[test]
fn a_changed_env_file_is_all_that_is_sent_and_the_service_answers_with_it() {
    let Some(mut user) = TestUser::new(UserOptions::default()) else { return };
    let relay = Relay::start(user.address(), Link::default()).unwrap();
    user.go_through(&relay);
    let project = Project::simple_api(&user);
    project.deploy();
    let invocation = project.property(&user, "InvocationID");

    project.edit(&format!("{}.conf", project.name), "North Carolina", "Virginia");
    let before = relay.final_counts().bytes_to_target;
    let ran = project.deploy();
    let sent = relay.final_counts().bytes_to_target - before;
    ran.says("uploaded 1 of 3 files").says("(env file changed)").says("as Virginia");
    let size = fs::metadata(project.path("service.sh")).unwrap().len();
    assert!(sent < size / 4, "{sent} bytes went to the host; the binary has {size}");
    assert_ne!(project.property(&user, "InvocationID"), invocation);
    assert!(project.answer(&user).contains("From Virginia"));
    let mode = user.run(&format!("stat -L -c %a /etc/default/{}.conf", project.name));
    assert_eq!(mode, "600\n");
}

#[test]
fn a_changed_unit_is_what_systemd_runs_afterwards() {
    let Some(user) = TestUser::new(UserOptions::default()) else { return };
    let project = Project::quick(&user);
    project.deploy();
    let invocation = project.property(&user, "InvocationID");
    project.edit(&format!("{}.service", project.name), "Restart=always", "Restart=always\nNice=5");
    project.deploy().says("uploaded 1 of 3 files").says("(unit file changed)");
    assert_eq!(project.property(&user, "Nice"), "5");
    assert_eq!(project.property(&user, "NeedDaemonReload"), "no");
    assert_ne!(project.property(&user, "InvocationID"), invocation);
    let pid = project.property(&user, "MainPID");
    assert_eq!(user.run(&format!("ps -o ni= -p {pid}")).trim(), "5");
}

#[test]
fn a_changed_binary_is_what_runs_afterwards_and_the_old_release_stays_as_it_was() {
    let Some(user) = TestUser::new(UserOptions::default()) else { return };
    let project = Project::simple_api(&user);
    project.deploy();
    let (old, root) = (project.current(&user), project.root(&user));
    let before = user.run(&format!("cd {root}/{old} && find . -type f -exec sha256sum {{}} + | sort"));

    // Bytes behind an ELF's end change what it is, not what it does.
    let mut binary = fs::read(project.path("service.sh")).unwrap();
    binary.extend(b"another build");
    fs::write(project.path("service.sh"), &binary).unwrap();
    project.deploy().says("uploaded 1 of 3 files").says("(binary changed)");
    let pid = project.property(&user, "MainPID");
    let expected = shipit::release::Sha256Digest::of(&binary);
    assert_eq!(user.run(&format!("sha256sum </proc/{pid}/exe")), format!("{expected}  -\n"));
    assert_ne!(project.current(&user), old);
    let after = user.run(&format!("cd {root}/{old} && find . -type f -exec sha256sum {{}} + | sort"));
    assert_eq!(after, before);
}

#[test]
fn as_many_releases_stay_as_the_manifest_keeps_and_never_fewer_than_the_one_before() {
    let Some(user) = TestUser::new(UserOptions::default()) else { return };
    let project = Project::quick(&user);
    project.edit("deploy.yaml", "settle: 0s", "settle: 0s\nkeep_releases: 2");
    let conf = format!("{}.conf", project.name);
    let mut deployed = Vec::new();
    for number in 0..4 {
        project.write(&conf, &format!("DEV_LOCATION='{number}'\n"));
        project.deploy();
        deployed.push(project.current(&user).trim_start_matches("releases/").to_owned());
    }
    let mut expected = deployed[2..].to_vec();
    expected.sort();
    let left = user.run(&format!("ls {}/releases", project.root(&user)));
    assert_eq!(left.lines().collect::<Vec<_>>(), expected);
    // What was pruned is not what starts at boot.
    assert_eq!(project.property(&user, "UnitFileState"), "enabled");
}

#[test]
fn a_unit_file_that_shipit_stopped_managing_is_gone_from_the_release() {
    let Some(user) = TestUser::new(UserOptions::default()) else { return };
    let project = Project::quick(&user);
    project.deploy();
    project.edit("deploy.yaml", &format!("env_file: {}.conf\n", project.name), "");
    project.edit(
        &format!("{}.service", project.name),
        &format!("EnvironmentFile=/etc/default/{}.conf", project.name),
        "Environment=DEV_LOCATION=nowhere",
    );
    project.deploy();
    let files = user.run(&format!("cd {}/current/ && find . -type f | sort", project.root(&user)));
    let name = &project.name;
    assert_eq!(files, format!("./bin/{name}\n./good\n./release.json\n./sealed\n./units/{name}.service\n"));
    project.deploy().says("nothing to do");
}

/// What the README tells people to copy.
#[test]
fn the_example_manifest_is_deployed_as_it_stands() {
    let Some(user) = TestUser::new(UserOptions::default()) else { return };
    let project = Project::simple_api(&user);
    let checkout = Path::new(env!("CARGO_MANIFEST_DIR"));
    let example = fs::read_to_string(checkout.join("deploy.example.yaml")).unwrap();
    // Only what must be this test's own: the hosts, and the names and the port that the whole host shares.
    let manifest = example
        .replace("deploy@web1.example.com", &user.destination())
        .replace("      - deploy@web2.example.com:2222\n", "")
        .replace("name: simple_api", &format!("name: {}", project.name))
        .replace("localhost:8000", &format!("localhost:{}", project.port))
        .replace(
            "unit: examples/simple_api/deploy/simple_api.service",
            &format!("unit: {}.service", project.name),
        )
        .replace(
            "env_file: examples/simple_api/deploy/simple_api.conf",
            &format!("env_file: {}.conf", project.name),
        )
        .replace("examples/simple_api/target/release/simple_api", "service.sh");
    project.write("deploy.yaml", &manifest);
    let deploy = checkout.join("examples/simple_api/deploy");
    let unit = fs::read_to_string(deploy.join("simple_api.service")).unwrap();
    let unit = unit.replace("/simple_api", &format!("/{}", project.name));
    project.write(&format!("{}.service", project.name), &unit);
    let env = fs::read_to_string(deploy.join("simple_api.conf")).unwrap();
    project.write(&format!("{}.conf", project.name), &format!("{env}PORT={}\n", project.port));

    project.shipit(&["deploy", "prod", "--yes"]).exits(0);
    assert!(project.answer(&user).contains("From North Carolina"));
    project.shipit(&["deploy", "prod", "--yes"]).exits(0).says("nothing to do");
}
