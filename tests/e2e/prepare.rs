//! What is built on the host for a release: once for the same inputs, at one path, and never half.
use crate::harness::Project;
use crate::hosts::{TestUser, UserOptions};

/// A project whose release has a folder `made`, with what the service says in it.
fn project(user: &TestUser) -> Project {
    let project = Project::quick(user);
    project.write("words.txt", "one\n");
    project.write("other.txt", "no input\n");
    let manifest = "files:\n  - source: words.txt\n  - source: other.txt\nprepare:\n  - name: made\n    run: |\n      \
         echo building in $(basename \"$SHIPIT_PREPARED\")\n      cp \"$SHIPIT_RELEASE_DIR/words.txt\" said && test -s said\n    \
         inputs: [words.txt]\n    timeout: 20s\nenvironments:";
    project.edit("deploy.yaml", "environments:", manifest);
    project.write(
        "service.sh",
        &format!(
            "#!/bin/sh\n# journald may not know any more whose a line is of a process as short as cat.\n\
             read -r word <{}/current/made/said\necho \"$word\"\nexec sleep infinity\n",
            project.root(user)
        ),
    );
    project
}

fn folders(project: &Project, user: &TestUser) -> String {
    user.run(&format!("ls {}/prepared", project.root(user)))
}

#[test]
fn it_is_built_once_for_the_same_inputs_and_again_for_others() {
    let Some(user) = TestUser::new(UserOptions::default()) else { return };
    let project = project(&user);
    let ran = project.deploy();
    ran.says("built made on the host").says("building in made-").says(": one");
    let first = folders(&project, &user);
    assert_eq!(first.lines().count(), 2, "the folder, and the file that says it is whole: {first}");
    project.assert_current_is_complete(&user);
    project.deploy().says("nothing to do");

    // Another file is not what it is built from.
    project.write("other.txt", "something else\n");
    project.deploy().says(": one").never_says("building in");
    assert_eq!(folders(&project, &user), first);

    project.write("words.txt", "two\n");
    let ran = project.shipit(&["plan", "prod"]).exits(0);
    assert!(ran.stdout.contains("build made on the host: "), "{}", ran.all());
    project.deploy().says("building in made-").says(": two");
    assert_eq!(folders(&project, &user).lines().count(), 4, "the release before leads to the first one");

    // Back, without building anything; and what nobody leads to goes.
    project.shipit(&["rollback", "prod"]).exits(0).says(": one").never_says("building in");
    project.edit("deploy.yaml", "settle: 0s", "settle: 0s\nkeep_releases: 1");
    for word in ["three", "four", "five"] {
        project.write("words.txt", &format!("{word}\n"));
        project.deploy().says(&format!(": {word}"));
    }
    assert_eq!(folders(&project, &user).lines().count(), 4, "the one before stays");
}

#[test]
fn one_that_fails_touches_nothing_and_begins_anew() {
    let Some(user) = TestUser::new(UserOptions::default()) else { return };
    let project = project(&user);
    project.deploy();
    let before = project.standing(&user);
    project.write("words.txt", "");
    let ran = project.shipit(&["deploy", "prod"]).exits(1);
    ran.says("FAILED (untouched)").says("building in made-").says("is still the current one");
    project.standing(&user).is_as(&before);
    project.write("words.txt", "two\n");
    project.deploy().says(": two");

    // Without a network, what is missing is named.
    project.edit(
        "deploy.yaml",
        "test -s said",
        "python() { echo 'Temporary failure in name resolution'; return 1; }; python",
    );
    project
        .shipit(&["deploy", "prod"])
        .exits(1)
        .says("does not reach what the program wants")
        .says("pip download");

    // One that takes too long is ended.
    project.edit("deploy.yaml", "timeout: 20s", "timeout: 1s");
    project.edit("deploy.yaml", "python() {", "sleep 30; python() {");
    project.shipit(&["deploy", "prod"]).exits(1).says("still running after 1 s").says("FAILED (untouched)");
    let ran = project.shipit(&["status", "prod"]).exits(0);
    assert!(ran.stdout.contains("active"), "{}", ran.all());
}

#[test]
fn what_can_not_be_meant_is_said_offline() {
    let Some(user) = TestUser::new(UserOptions::default()) else { return };
    let project = project(&user);
    project.edit("deploy.yaml", "inputs: [words.txt]", "inputs: [word.txt]");
    project.shipit(&["plan", "prod"]).exits(2).says("nothing of the release is at `word.txt`");
    project.edit("deploy.yaml", "inputs: [word.txt]", "inputs: [words.txt]");
    project.edit("deploy.yaml", "name: made", "name: other.txt");
    project.shipit(&["plan", "prod"]).exits(2).says("other.txt");
    project.edit("deploy.yaml", "- name: other.txt", "- name: bin");
    project.shipit(&["plan", "prod"]).exits(2).says("belongs to shipit");
}
