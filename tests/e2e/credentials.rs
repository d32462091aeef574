//! `credentials` of a unit: the service has the secret in a file of its own, and nobody has it anywhere else.
use std::process::Command;

use crate::harness::{Project, Ran};
use crate::hosts::{TestUser, UserOptions};

/// What would not come through an env file, a shell or a specifier of systemd's as it is.
fn awkward(user: &TestUser) -> String {
    format!("{}'s \"hunter2\" $HOME %h \\\n\tsecond line  ", user.user)
}

/// A project whose service says what it was handed, as a hash.
fn with_credential(user: &TestUser, in_system: bool) -> Project {
    let project = Project::quick(user);
    let project = if in_system { project.into_system() } else { project };
    project.edit(
        "deploy.yaml",
        "  prod:\n",
        "  prod:\n    secrets: { TOKEN: { env: TOKEN }, OTHER: { env: OTHER } }\n",
    );
    project.edit("deploy.yaml", "settle:", "credentials: { token: TOKEN, other.key: OTHER }\nsettle:");
    project.write(
        "service.sh",
        "#!/bin/sh\nfor file in \"$CREDENTIALS_DIRECTORY\"/*; do\n\
         echo \"${file##*/} is $(sha256sum <\"$file\")\"\ndone\nexec sleep infinity\n",
    );
    project
}

fn shipit(project: &Project, token: &str, arguments: &[&str]) -> Ran {
    let mut command: Command = project.command(arguments);
    Ran::of(&command.env("TOKEN", token).env("OTHER", "the other one").output().unwrap())
}

/// The hash of a text, by another program than shipit's.
fn sum(text: &str) -> String {
    let mut command = Command::new("sh");
    let output = command.args(["-c", "printf %s \"$1\" | sha256sum", "sh", text]).output().unwrap();
    String::from_utf8(output.stdout).unwrap().split(' ').next().unwrap().to_owned()
}

#[test]
fn a_service_finds_its_secrets_in_its_credentials_directory_and_nowhere_else() {
    let Some(user) = TestUser::new(UserOptions::default()) else { return };
    for in_system in [false, true] {
        let project = with_credential(&user, in_system);
        let name = &project.name;
        let token = awkward(&user);
        let first = shipit(&project, &token, &["deploy", "prod"]);
        let again = shipit(&project, &token, &["deploy", "prod"]);
        let pid = project.property(&user, "MainPID");
        let environment = user.run_as_root(&format!("tr '\\0' '\\n' </proc/{}/environ", pid.trim()));
        let root = project.root(&user);
        let modes = user.run_as_root(&format!(
            "cd {root}/current && stat -c '%a %n' credentials/*/* && cat units/{name}.service.d/*"
        ));
        project.wait_until_left(&user);
        let recorded = user.run_as_root(&format!(
            "cat {root}/history.jsonl {root}/current/release.json; find {root}/runs -type f -exec cat {{}} +"
        ));

        // Another value is another file, and the service has to have it; the way back is the way of everything else.
        let changed = shipit(&project, "new", &["deploy", "prod"]);
        let back = shipit(&project, "new", &["rollback", "prod"]);

        // Without the key, there is no drop-in any more.
        project.edit("deploy.yaml", "credentials: { token: TOKEN, other.key: OTHER }\n", "");
        let without = shipit(&project, "new", &["deploy", "prod"]);
        let left = user.run_as_root(&format!("ls -d ~{}/.config/systemd/user/{name}.service.d /etc/systemd/system/{name}.service.d 2>/dev/null; true", user.user));
        let links = project.property(&user, "DropInPaths");
        if in_system {
            project.remove_from_system(&user);
        }

        let first = first.exits(0);
        first.says(&format!("token is {}", sum(&token)));
        first.says(&format!("other.key is {}", sum("the other one")));
        again.exits(0).says("nothing to do");
        assert!(modes.contains(&format!("600 credentials/{name}.service/token\n")), "{modes}");
        assert!(modes.contains("LoadCredential=token:"), "{modes}");
        for (what, text) in
            [("the output", first.all()), ("the environment", environment), ("a record", recorded)]
        {
            assert!(
                !text.contains("hunter2") && !text.contains("second line"),
                "{what} has the secret: {text}"
            );
        }
        changed.exits(0).says(&format!("token is {}", sum("new")));
        back.exits(0).says(&format!("token is {}", sum(&token)));
        without.exits(0);
        assert_eq!((left.as_str(), links.trim()), ("", ""));
    }
}

#[test]
fn a_failed_deploy_gives_the_service_its_old_secret_back() {
    let Some(user) = TestUser::new(UserOptions::default()) else { return };
    let project = with_credential(&user, false);
    shipit(&project, "old", &["deploy", "prod"]).exits(0);
    project.edit("deploy.yaml", "settle:", "health: { command: 'false', timeout: 1s }\nsettle:");
    shipit(&project, "new", &["deploy", "prod"]).exits(3);
    let invocation = project.property(&user, "InvocationID");
    let journal = user.journal(&format!("-o cat _SYSTEMD_INVOCATION_ID={}", invocation.trim()));
    assert!(journal.contains(&format!("token is {}", sum("old"))), "{journal}");
}
