//! A deploy puts right what was changed on the host behind its back, and takes nothing away that is not its own.
use crate::harness::Project;
use crate::hosts::{TestUser, UserOptions};

/// A project that has been deployed.
fn deployed(user: &TestUser) -> Project {
    let project = Project::quick(user);
    project.deploy();
    project
}

#[test]
fn a_stopped_service_is_started_and_nothing_is_sent() {
    let Some(user) = TestUser::new(UserOptions::default()) else { return };
    let project = deployed(&user);
    let current = project.current(&user);
    user.run(&format!("systemctl --user stop {}", project.name));
    let ran = project.deploy();
    ran.says("(not running: inactive)").says("1 host deployed").never_says("upload");
    assert_eq!(project.property(&user, "ActiveState"), "active");
    assert_eq!(project.current(&user), current);
}

#[test]
fn a_disabled_unit_is_enabled_again_without_a_restart() {
    let Some(user) = TestUser::new(UserOptions::default()) else { return };
    let project = deployed(&user);
    let (name, invocation) = (&project.name, project.property(&user, "InvocationID"));
    // What `disable` does to a unit that is a link: the link itself goes, too.
    user.run(&format!("systemctl --user disable --quiet {name}"));
    project.deploy().says("to start at boot");
    assert_eq!(project.property(&user, "UnitFileState"), "enabled");
    assert_eq!(project.property(&user, "InvocationID"), invocation, "it was restarted for nothing");
    project.deploy().says("nothing to do");
}

#[test]
fn links_that_are_missing_or_lead_elsewhere_are_repaired_without_a_restart() {
    let Some(user) = TestUser::new(UserOptions::default()) else { return };
    let project = deployed(&user);
    let (name, root) = (&project.name, project.root(&user));
    let invocation = project.property(&user, "InvocationID");
    user.run_as_root(&format!("rm /usr/local/bin/{name}; ln -sfn /nowhere/{name} /etc/default/{name}.conf"));
    let ran = project.deploy();
    ran.says(&format!("made the link /usr/local/bin/{name} [sudo]"));
    ran.says(&format!("repaired the link /etc/default/{name}.conf [sudo]"));
    let links = user.run(&format!("readlink /usr/local/bin/{name} /etc/default/{name}.conf"));
    assert_eq!(links, format!("{root}/current/bin/{name}\n{root}/current/env/{name}.conf\n"));
    assert_eq!(project.property(&user, "InvocationID"), invocation, "it was restarted for nothing");
    // The user's removal takes only links that lead to its home.
    project.deploy().says("nothing to do");
}

#[test]
fn a_real_file_where_a_link_belongs_is_left_alone_and_the_host_untouched() {
    let Some(user) = TestUser::new(UserOptions::default()) else { return };
    let project = deployed(&user);
    let (name, current) = (&project.name, project.current(&user));
    user.run_as_root(&format!("rm /usr/local/bin/{name}; echo precious >/usr/local/bin/{name}"));
    project.edit(&format!("{name}.conf"), "North Carolina", "Virginia");
    let ran = project.shipit(&["deploy", "prod"]).exits(8);
    let left = user.run(&format!("cat /usr/local/bin/{name}"));
    user.run_as_root(&format!("rm /usr/local/bin/{name}"));
    ran.says(&format!("/usr/local/bin/{name} is a file, not a link of shipit's; it is left alone"));
    ran.says(&format!("mv /usr/local/bin/{name} /usr/local/bin/{name}.old"));
    ran.says("the service was not touched");
    assert_eq!(left, "precious\n");
    assert_eq!(project.current(&user), current);
    assert_eq!(user.run(&format!("ls {}/releases | wc -l", project.root(&user))), "1\n");
}

#[test]
fn a_folder_where_a_link_belongs_is_left_alone_on_a_first_deploy() {
    let Some(user) = TestUser::new(UserOptions::default()) else { return };
    let project = Project::quick(&user);
    let unit = format!(".config/systemd/user/{}.service", project.name);
    user.run(&format!("mkdir -p ~/{unit} && echo precious >~/{unit}/mine"));
    let ran = project.shipit(&["deploy", "prod"]).exits(8);
    ran.says(&format!("~/{unit} is a folder")).says("not deployed on the host");
    assert_eq!(
        user.run(&format!("cat ~/{unit}/mine; ls ~/.local/share/shipit 2>/dev/null; true")),
        "precious\n"
    );
}

#[test]
fn an_env_file_that_was_edited_on_the_host_is_put_right() {
    let Some(user) = TestUser::new(UserOptions::default()) else { return };
    let project = deployed(&user);
    let (conf, old) = (format!("/etc/default/{}.conf", project.name), project.current(&user));
    user.run(&format!("echo DEV_LOCATION=Mordor >{conf}; systemctl --user restart {}", project.name));
    let plan = project.shipit(&["plan", "prod"]).exits(0);
    assert!(plan.stdout.contains("DEV_LOCATION"), "{}", plan.all());
    plan.never_says("Mordor").never_says("North Carolina");
    project.deploy().says("(env file changed)").says("started in North Carolina").never_says("Mordor");
    assert!(user.run(&format!("cat {conf}")).contains("North Carolina"));
    // What was edited is still there to be looked at.
    let edited = user.run(&format!("cat {}/{old}/env/{}.conf", project.root(&user), project.name));
    assert_eq!(edited, "DEV_LOCATION=Mordor\n");
}

#[test]
fn an_env_file_that_others_can_read_is_made_private_again() {
    let Some(user) = TestUser::new(UserOptions::default()) else { return };
    let project = deployed(&user);
    let conf = format!("/etc/default/{}.conf", project.name);
    user.run(&format!("chmod 644 {}/current/env/{}.conf", project.root(&user), project.name));
    project.deploy();
    assert_eq!(user.run(&format!("stat -L -c %a {conf}")), "600\n");
}

#[test]
fn a_service_that_still_runs_an_older_executable_is_restarted() {
    let Some(user) = TestUser::new(UserOptions::default()) else { return };
    let project = Project::simple_api(&user);
    project.deploy();
    let (bin, invocation) = (
        format!("{}/current/bin/{}", project.root(&user), project.name),
        project.property(&user, "InvocationID"),
    );
    // Another program under the same name, started (and seen to be: Type=exec), and the right file put back below it.
    user.run(&format!(
        "cp {bin} {bin}.right; cp /bin/sleep {bin}.wrong; mv {bin}.wrong {bin}; \
         mkdir -p ~/.config/systemd/user/{name}.service.d; \
         printf '[Service]\\nType=exec\\nExecStart=\\nExecStart=/usr/local/bin/{name} 1000\\n' \
         >~/.config/systemd/user/{name}.service.d/x.conf; systemctl --user daemon-reload; \
         systemctl --user restart {name}; mv {bin}.right {bin}; \
         rm -r ~/.config/systemd/user/{name}.service.d; systemctl --user daemon-reload",
        name = project.name
    ));
    let stale = project.property(&user, "InvocationID");
    assert_ne!(stale, invocation);
    let ran = project.deploy();
    ran.says("what ran was not the binary of the current release").never_says("upload");
    let pid = project.property(&user, "MainPID");
    assert_eq!(user.run(&format!("cmp /proc/{pid}/exe {bin} && echo same")), "same\n");
}

#[test]
fn a_first_deploy_that_was_cut_short_is_carried_to_its_end() {
    let Some(user) = TestUser::new(UserOptions::default()) else { return };
    let project = deployed(&user);
    // A complete release, and nothing that leads to it.
    user.run(&format!(
        "rm {root}/current; systemctl --user disable --quiet --now {name}; mkdir -p {root}/incoming/x && \
         echo left >{root}/incoming/x/left",
        root = project.root(&user),
        name = project.name
    ));
    project.deploy();
    assert_eq!(project.property(&user, "ActiveState"), "active");
    assert_eq!(user.run(&format!("ls {}/incoming", project.root(&user))), "");
}

#[test]
fn a_file_that_was_edited_in_place_is_sent_again_whatever_its_size_and_date_say() {
    let Some(user) = TestUser::new(UserOptions::default()) else { return };
    let project = deployed(&user);
    project.deploy().says("nothing to do");
    let file = format!("{}/current/env/{}.conf", project.root(&user), project.name);
    let before = user.run(&format!("cat {file}"));
    user.run(&format!("touch -r {file} date; sed -i s/North/South/ {file}; touch -r date {file}; rm date"));
    assert_ne!(user.run(&format!("cat {file}")), before);
    project.deploy().says("1 of 3 files").says("1 host deployed");
    assert_eq!(user.run(&format!("cat {file}")), before);
    project.deploy().says("nothing to do");
}

#[test]
fn the_manager_is_reloaded_for_new_units_only() {
    let Some(user) = TestUser::new(UserOptions::default()) else { return };
    let project = deployed(&user);
    let name = &project.name;
    project.edit(&format!("{name}.conf"), "North Carolina", "Virginia");
    project.deploy().says("1 host deployed").never_says("daemon-reload");
    project.edit(&format!("{name}.service"), "Restart=always", "Restart=on-failure");
    project.deploy().says("daemon-reload").says("1 host deployed");
    assert_eq!(project.property(&user, "Restart"), "on-failure");
}
