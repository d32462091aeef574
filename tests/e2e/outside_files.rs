//! Files that other programs read: linked to where they look, validated, told of, and put back with all the rest.
use crate::harness::{Project, Ran};
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
fn a_plan_shows_what_changes_in_a_rendered_file_that_everybody_may_read() {
    let Some(user) = TestUser::new(UserOptions::default()) else { return };
    let project = with_neighbour(&user);
    let name = &project.name;
    project.deploy();
    project.write("site.conf.j2", "{{ service }} two\n");
    let changed = format!("\n    -{name} one\n    +{name} two\n");
    let shown = |ran: &Ran| ran.stdout.contains(&changed);
    let plan = project.shipit(&["plan", "prod"]).exits(0);
    assert!(shown(&plan), "{}", plan.all());
    // What others may not read may have a secret in it, whose old value nobody knows here.
    project.edit("deploy.yaml", "site.conf.j2\n", "site.conf.j2\n  mode: '0640'\n");
    let plan = project.shipit(&["plan", "prod"]).exits(0);
    assert!(!shown(&plan) && plan.stdout.contains("~ site.conf "), "{}", plan.all());
}

#[test]
fn a_change_is_validated_and_told_of_and_a_bad_one_is_told_to_nobody() {
    let Some(user) = TestUser::new(UserOptions::default()) else { return };
    let project = with_neighbour(&user);
    let (name, place) = (&project.name, place(&project));
    project.deploy().says("validating").says("told of the changed files");
    assert_eq!(user.run(&format!("cat {place} ~/told")), format!("{name} one\n{name} one\n"));
    project.deploy().says("nothing to do");

    // It was taken away by somebody.
    user.run(&format!("sudo rm {place}; rm ~/told"));
    project.deploy().says("made the link").says("validating").says("told of the changed files");
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
fn a_change_of_such_a_file_alone_restarts_no_service_and_a_bad_answer_takes_it_back() {
    let Some(user) = TestUser::new(UserOptions::default()) else { return };
    let project = with_neighbour(&user);
    let (name, place) = (&project.name, place(&project));
    let health = format!("settle: 0s\nhealth: {{ command: '! grep wrong {place}', timeout: 1s }}\n");
    project.edit("deploy.yaml", "settle: 0s\n", &health);
    project.deploy();
    let start = project.property(&user, "InvocationID");
    project.write("site.conf.j2", "{{ service }} two\n");
    project.deploy().says("told of the changed files").never_says("restart");
    project.shipit(&["rollback", "prod"]).exits(0).never_says("restart");
    // It is valid, and the service can't be had any more.
    let before = project.standing(&user);
    project.write("site.conf.j2", "{{ service }} wrong\n");
    project.shipit(&["deploy", "prod"]).exits(3).says("grep wrong");
    project.standing(&user).is_as(&before);
    assert_eq!(project.property(&user, "InvocationID"), start);
    let told: String = ["one", "two", "one", "wrong", "one"].map(|word| format!("{name} {word}\n")).concat();
    assert_eq!(user.run("cat ~/told"), told);
    project.shipit(&["remove", "prod", "--yes"]);
}

/// A link of the manifest's past would lead nowhere, and the program that reads it would not start again.
#[test]
fn a_link_that_moves_or_goes_leaves_none_behind() {
    let Some(user) = TestUser::new(UserOptions::default()) else { return };
    let project = with_neighbour(&user);
    let (name, place) = (&project.name, place(&project));
    let links = || user.run(&format!("find /etc -maxdepth 1 -name '*{name}*' -printf '%p -> %l\\n' | sort"));
    let leads = |path: &str, file: &str| format!("{path} -> {}/current/{file}\n", project.root(&user));
    project.edit("deploy.yaml", ">>~/told", ">>~/told || echo gone >>~/told");
    project.deploy();
    assert_eq!(links(), leads(&place, "site.conf"));

    // To another place: the same file, and nothing else changes.
    let moved = place.replace("-site.conf", "-moved.conf");
    project.edit("deploy.yaml", &place, &moved);
    project.deploy().says(&format!("removed the link {place}")).says("told of the changed files");
    assert_eq!(links(), leads(&moved, "site.conf"));
    project.deploy().says("nothing to do");

    // Gone, and back when that release fails or is taken back.
    let manifest = std::fs::read_to_string(project.path("deploy.yaml")).unwrap();
    let entry = manifest.find("files:").unwrap()..manifest.find("environments:").unwrap();
    project.write("deploy.yaml", &manifest.replace(&manifest[entry], ""));
    project.write("service.sh", "#!/bin/sh\nexit 7\n");
    project.shipit(&["deploy", "prod"]).exits(3).says(&format!("removed the link {moved}"));
    assert_eq!(links(), leads(&moved, "site.conf"));
    project.write("service.sh", "#!/bin/sh\necho again\nexec sleep infinity\n");
    project.deploy();
    assert_eq!(links(), "");
    let (without, release) =
        (std::fs::read_to_string(project.path("deploy.yaml")).unwrap(), project.current(&user));

    // A rollback goes by what the release has.
    project.write("deploy.yaml", &manifest);
    project.shipit(&["rollback", "prod"]).exits(0);
    assert_eq!(links(), leads(&moved, "site.conf"));
    let release = release.rsplit('/').next().unwrap();
    project
        .shipit(&["rollback", "prod", "--to", release])
        .exits(0)
        .says(&format!("removed the link {moved}"));
    assert_eq!(links(), "");
    assert!(user.run("cat ~/told").ends_with("gone\n"));
    project.shipit(&["rollback", "prod"]).exits(0);
    assert_eq!(links(), leads(&moved, "site.conf"));

    // What the manifest has no more is removed with the service.
    project.write("deploy.yaml", &without);
    project.shipit(&["remove", "prod", "--yes"]).exits(0);
    assert_eq!(links(), "");
}

#[test]
fn those_who_read_its_files_are_told_when_a_service_is_removed() {
    let Some(user) = TestUser::new(UserOptions::default()) else { return };
    let project = Project::quick(&user);
    let (name, place) = (&project.name, place(&project));
    project.edit(
        "deploy.yaml",
        "settle: 0s\n",
        &format!(
            "settle: 0s\nfiles:\n- source: site.conf\n  link: {place}\n  on_change: |\n    \
             [ -e {place} ] && echo there >>~/told || echo \"$SHIPIT_SERVICE $SHIPIT_ENVIRONMENT gone\" >>~/told\n    \
             [ ! -e ~/deaf ] || {{ echo can not hear; exit 1; }}\n"
        ),
    );
    project.write("site.conf", "one\n");
    project.deploy();
    let ran = project.shipit(&["remove", "prod", "--yes"]).exits(0);
    assert!(ran.stdout.contains("told of it: ["), "{}", ran.all());
    assert_eq!(user.run("cat ~/told"), format!("there\n{name} prod gone\n"));

    // One that can't be told: the service is gone all the same, and the operator knows what is left to do.
    project.deploy();
    user.run("touch ~/deaf");
    let ran = project.shipit(&["remove", "prod", "--yes"]).exits(1);
    ran.says("the service is gone, but").says("can not hear").says("on the host: [");
    project.standing(&user).is_not_deployed();
    assert_eq!(user.run("wc -l <~/told"), "4\n");
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
