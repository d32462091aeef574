//! Files that other programs read: linked to where they look, validated, told of, and put back with all the rest.
use crate::harness::Project;
use crate::hosts::{TestUser, UserOptions};

/// A project with a file for another program, which is one that keeps the text that it was last told of.
fn with_neighbour(user: &TestUser) -> Project {
    let project = Project::quick(user);
    let place = format!("/etc/{}-site.conf", project.name);
    project.edit(
        "deploy.yaml",
        "settle: 0s\n",
        &format!(
            "settle: 0s\nfiles:\n- source: site.conf.j2\n  link: {place}\n  validate: \"echo validating; ! grep bad {place}\"\n  \
             on_change: cat {place} >>~/told\n"
        ),
    );
    project.write("site.conf.j2", "{{ service }} one\n");
    project
}

fn place(project: &Project) -> String {
    format!("/etc/{}-site.conf", project.name)
}

#[test]
fn a_change_is_validated_and_told_of_and_a_bad_one_is_told_to_nobody() {
    let Some(user) = TestUser::new(UserOptions::default()) else { return };
    let project = with_neighbour(&user);
    let (name, place) = (&project.name, place(&project));
    project.deploy().says("validating").says("told of the changed files");
    assert_eq!(user.run(&format!("cat {place} ~/told")), format!("{name} one\n{name} one\n"));
    project.deploy().says("nothing to do");

    // Something else changes: nobody is told.
    project.edit(&format!("{name}.conf"), "North Carolina", "Virginia");
    project.deploy();
    assert_eq!(user.run("cat ~/told"), format!("{name} one\n"));

    let (current, invocation) = (project.current(&user), project.property(&user, "InvocationID"));
    project.write("site.conf.j2", "{{ service }} bad\n");
    let ran = project.shipit(&["deploy", "prod"]).exits(3);
    ran.says("validating").says(&format!("{name} bad"));
    assert_eq!(project.current(&user), current);
    assert_eq!(project.property(&user, "InvocationID"), invocation, "nothing had been restarted yet");
    assert_eq!(user.run(&format!("cat {place} ~/told")), format!("{name} one\n{name} one\n"));

    project.write("site.conf.j2", "{{ service }} two\n");
    project.deploy();
    assert_eq!(user.run("cat ~/told"), format!("{name} one\n{name} two\n"));
    project.shipit(&["rollback", "prod"]).exits(0).says("validating");
    assert_eq!(
        user.run(&format!("cat {place} ~/told")),
        format!("{name} one\n{name} one\n{name} two\n{name} one\n")
    );
    user.run(&format!("sudo rm {place}"));
}

#[test]
fn on_the_way_back_the_other_program_is_told_of_the_old_file() {
    let Some(user) = TestUser::new(UserOptions::default()) else { return };
    let project = with_neighbour(&user);
    let (name, place) = (&project.name, place(&project));
    project.deploy();
    project.write("site.conf.j2", "{{ service }} two\n");
    project.write("service.sh", "#!/bin/sh\nexit 7\n");
    project.edit("deploy.yaml", "settle: 0s", "settle: 2s");
    project.shipit(&["deploy", "prod"]).exits(3);
    let told = user.run(&format!("cat {place} ~/told"));
    assert_eq!(told, format!("{name} one\n{name} one\n{name} two\n{name} one\n"));
    user.run(&format!("sudo rm {place}"));
}
