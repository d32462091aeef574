//! `shipit remove` leaves no trace of a service, and none of its neighbours less.
use crate::harness::{Child, Project};
use crate::hosts::{Sudo, TestUser, UserOptions};
use crate::system_project::SystemProject;
use crate::trial::{deploy_until_pending, waiting};

/// Everything on the host, but for logs and what programs keep open, that has the service's name.
fn traces(user: &TestUser, name: &str) -> String {
    let roots = "/home /etc /opt /usr/local /root /var/lib/systemd /run/user /srv";
    user.run_as_root(&format!(
        "find {roots} -xdev \\( -name '*{name}*' -o -lname '*{name}*' \\) ! -path '/run/user/*/systemd/transient/*' \
         2>/dev/null; pgrep -af '/usr/local/bin/{name}$'; true"
    ))
}

#[test]
fn nothing_is_left_and_the_neighbour_is_untouched() {
    let Some(user) = TestUser::new(UserOptions::default()) else { return };
    let (project, neighbour) = (Project::quick(&user), Project::quick(&user));
    neighbour.edit(
        "deploy.yaml",
        &format!("name: {}", neighbour.name),
        &format!("name: {}-two", neighbour.name),
    );
    let two = format!("{}-two", neighbour.name);
    neighbour.edit("deploy.yaml", &format!("{}.service", neighbour.name), &format!("{two}.service"));
    neighbour.write(
        &format!("{two}.service"),
        &format!(
            "[Service]\nEnvironmentFile=/etc/default/{two}.conf\nExecStart=/usr/local/bin/{two}\n\n\
             [Install]\nWantedBy=default.target\n"
        ),
    );
    neighbour.deploy();
    project.deploy();
    project.edit(&format!("{}.conf", project.name), "North Carolina", "Virginia");
    project.deploy();
    let before = user.run(&format!("systemctl --user show -p InvocationID {two}.service; ls -R ~/.config"));

    // Without a terminal it wants to be told so.
    project.shipit(&["remove", "prod"]).exits(2).says("--yes");
    let ran = project.shipit(&["remove", "prod", "--yes"]).exits(0);
    assert!(ran.stdout.contains(&format!("stopped {}.service", project.name)), "{}", ran.all());
    assert!(ran.stdout.contains("4 links"), "{}", ran.all());
    let left: Vec<String> = traces(&user, &project.name)
        .lines()
        .filter(|line| !line.contains(&two) && !line.contains("/run/user/"))
        .map(str::to_owned)
        .collect();
    assert_eq!(left, Vec::<String>::new());
    let after = user.run(&format!("systemctl --user show -p InvocationID {two}.service; ls -R ~/.config"));
    let others = |text: &str| -> Vec<String> {
        text.lines()
            .filter(|line| !line.starts_with(&format!("{}.service", project.name)))
            .map(str::to_owned)
            .collect()
    };
    assert_eq!(others(&before), others(&after));

    // Again, and then anew.
    let ran = project.shipit(&["remove", "prod", "--yes"]).exits(0);
    assert!(ran.stdout.contains("nothing to remove"), "{}", ran.all());
    project.deploy().says("first deploy").says("started in Virginia");
}

#[test]
fn it_waits_for_nobodys_back_to_be_turned() {
    let Some(user) = TestUser::new(UserOptions::default()) else { return };
    let project = Project::quick(&user);
    project.deploy();
    let before = project.standing(&user);
    let holder: Child = project.lock_by(&user, "grace@laptop");
    project.shipit(&["remove", "prod", "--yes"]).exits(7).says("locked on this host by grace@laptop");
    drop(holder);
    project.shipit(&["lock", "prod", "-m", "audit"]).exits(0);
    project.shipit(&["remove", "prod", "--yes"]).exits(7).says("audit");
    project.shipit(&["unlock", "prod"]).exits(0);
    project.standing(&user).is_as(&before);
    // On a terminal it asks, and a no is a no.
    let ran = project.shipit_on_a_terminal(&["remove", "prod"], &[("[y/N]", "n")]);
    assert!(ran.stdout.contains("nothing was changed"), "{}", ran.all());
    project.standing(&user).is_as(&before);
    project.shipit_on_a_terminal(&["remove", "prod"], &[("[y/N]", "y")]).exits(0);
    project.standing(&user).is_not_deployed();
}

#[test]
fn links_that_take_root_are_named_where_there_is_no_sudo() {
    let Some(user) = TestUser::new(UserOptions { sudo: Sudo::None, ..UserOptions::default() }) else {
        return;
    };
    let project = Project::quick(&user);
    let (root, name) = (project.root(&user), &project.name);
    user.run_as_root(&format!(
        "ln -s {root}/current/bin/{name} /usr/local/bin/{name}; ln -s {root}/current/env/{name}.conf /etc/default/{name}.conf"
    ));
    project.deploy();
    let ran = project.shipit(&["remove", "prod", "--yes"]).exits(1);
    ran.says(&format!("sudo rm /usr/local/bin/{name} /etc/default/{name}.conf"));
    user.run_as_root(&format!("rm /usr/local/bin/{name} /etc/default/{name}.conf"));
    project.standing(&user).is_not_deployed();
}

#[test]
fn what_is_not_shipits_in_the_root_stays() {
    let Some(user) = TestUser::new(UserOptions::default()) else { return };
    let project = Project::quick(&user);
    project.deploy();
    let root = project.root(&user);
    user.run(&format!("mkdir {root}/data && echo precious >{root}/data/orders"));
    let ran = project.shipit(&["remove", "prod", "--yes"]).exits(0);
    assert!(ran.stdout.contains("but for what in it is not shipit's"), "{}", ran.all());
    project.standing(&user).is_not_deployed();
    assert_eq!(
        user.run(&format!("cd {root} && find . -type f -exec cat {{}} + && ls -A")),
        "precious\ndata\n"
    );
}

#[test]
fn a_users_service_of_the_same_name_is_another_one() {
    let Some(user) = TestUser::new(UserOptions::default()) else { return };
    let project = SystemProject::new(&user);
    project.deploy();
    let theirs = format!("~/.local/share/shipit/{}/releases", project.name);
    user.run(&format!("mkdir -p {theirs} && touch {theirs}/kept"));
    project.shipit(&["remove", "prod", "--yes"]).exits(0);
    project.standing(&user).is_not_deployed();
    assert_eq!(user.run(&format!("ls {theirs}")), "kept\n");
}

/// Where somebody has begun by hand, it goes on.
#[test]
fn a_root_that_was_deleted_leaves_links_to_remove() {
    let Some(user) = TestUser::new(UserOptions::default()) else { return };
    let project = Project::quick(&user);
    project.deploy();
    user.run(&format!("systemctl --user stop {0} && rm -r {1}", project.name, project.root(&user)));
    user.run("systemctl --user daemon-reload");
    project.shipit(&["remove", "prod", "--yes"]).exits(0);
    project.standing(&user).is_not_deployed();
}

/// Nobody has to mend a service to be rid of it.
#[test]
fn a_service_whose_way_back_has_failed_can_be_removed() {
    let Some(user) = TestUser::new(UserOptions::default()) else { return };
    let (project, before) = waiting(&user, "timeout: 4s }");
    let deploy = deploy_until_pending(&project, &[]);
    deploy.signal("STOP");
    let program = format!("{}/{}/bin/{}", project.root(&user), before.current, project.name);
    user.run(&format!("rm {program}"));
    deploy.signal("CONT");
    deploy.wait().exits(4);
    project.shipit(&["remove", "prod", "--yes"]).exits(0);
    project.standing(&user).is_not_deployed();
    assert_eq!(traces(&user, &project.name), "");
}
