//! No secret of the operator's is seen by anybody but who it is for.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::gate::{Gate, Proof, Round};
use crate::server::keygen;

const PASSPHRASE: &str = "passphrase-ZcX7";
const PASSWORD: &str = "password-qK2w";
const CODE: &str = "code-918273";
const SEEN: &str = "colour-mauve-55";

/// Questions of every kind, after a key.
fn proofs() -> Vec<Proof> {
    let rounds = vec![
        Round { questions: vec![("Password: ", false, PASSWORD)], ..Round::default() },
        Round {
            questions: vec![("Verification code: ", false, CODE), ("Colour: ", true, SEEN)],
            ..Round::default()
        },
    ];
    vec![Proof::Key, Proof::Rounds(rounds), Proof::Password(PASSWORD)]
}

/// A home directory, a manifest that leads to the gate, and a program for SSH_ASKPASS that keeps what it inherits.
fn prepare(gate: &Gate) {
    let path = |name: &str| gate.dir.path().join(name);
    std::fs::create_dir_all(path("home/.ssh")).unwrap();
    std::fs::copy(path("known_hosts"), path("home/.ssh/known_hosts")).unwrap();
    std::fs::write(path("app.service"), "[Service]\nExecStart=/usr/local/bin/app\n").unwrap();
    std::fs::write(path("app"), "#!/bin/sh\n").unwrap();
    let manifest = format!(
        "name: app\nbinary: app\nunit: app.service\nenvironments:\n  prod:\n    hosts: [deploy@127.0.0.1:{}]\n",
        gate.port
    );
    std::fs::write(path("deploy.yaml"), manifest).unwrap();
    for (question, answer) in
        [("password", PASSWORD), ("code", CODE), ("colour", SEEN), ("passphrase", PASSPHRASE)]
    {
        std::fs::write(path(question), answer).unwrap();
    }
    let folder = gate.dir.path().display();
    let program = format!(
        "#!/bin/sh\nenv >> {folder}/inherited\nprintf '%s\\n' \"$1\" >> {folder}/asked\ncase $1 in\n\
         *assword:*) cat {folder}/password;;\n*code:*) cat {folder}/code;;\n*Colour:*) cat {folder}/colour;;\n\
         *assphrase*) cat {folder}/passphrase;;\n*) exit 1;;\nesac\n"
    );
    std::fs::write(path("askpass"), program).unwrap();
    std::fs::set_permissions(path("askpass"), std::fs::Permissions::from_mode(0o755)).unwrap();
}

fn shipit(gate: &Gate, arguments: &[&str]) -> Command {
    let path = |name: &str| gate.dir.path().join(name);
    let mut command = Command::new(env!("CARGO_BIN_EXE_shipit"));
    command
        .args(arguments)
        .args(["--ssh-config", "none"])
        .env_clear()
        .env("PATH", "/usr/bin:/bin")
        .env("HOME", path("home"))
        .env("SSH_ASKPASS", path("askpass"))
        .env("SSH_ASKPASS_REQUIRE", "force")
        .current_dir(gate.dir.path())
        .stdin(Stdio::null());
    command
}

/// Runs it, and looks at the argument lists of all processes while it does. The third value counts the looks.
async fn watched(mut command: Command, secrets: &[String]) -> (Output, Vec<String>, usize) {
    let over = Arc::new(AtomicBool::new(false));
    let (until, wanted) = (Arc::clone(&over), secrets.to_vec());
    let watcher = std::thread::spawn(move || {
        let (mut leaks, mut looks) = (Vec::new(), 0);
        while !until.load(Ordering::SeqCst) {
            for process in std::fs::read_dir("/proc").unwrap().flatten() {
                let line = std::fs::read(process.path().join("cmdline")).unwrap_or_default();
                let line = String::from_utf8_lossy(&line);
                leaks.extend(
                    wanted.iter().filter(|secret| line.contains(&***secret)).map(|_| line.to_string()),
                );
            }
            looks += 1;
            std::thread::sleep(Duration::from_millis(1));
        }
        (leaks, looks)
    });
    let ran = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    over.store(true, Ordering::SeqCst);
    let (leaks, looks) = watcher.join().unwrap();
    (ran, leaks, looks)
}

fn text(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread")]
async fn no_secret_is_in_output_logs_arguments_or_what_programs_inherit() {
    let gate = Gate::start(proofs()).await;
    prepare(&gate);
    let key = gate.dir.path().join("given");
    keygen(&key, "ed25519", PASSPHRASE);
    let key_text = text(&key);
    let mut secrets: Vec<String> = [PASSPHRASE, PASSWORD, CODE, SEEN].map(str::to_owned).into();
    // Each line of the key, but for the first and the last, and the first of the body, which is the same in all of them.
    secrets.extend(key_text.lines().skip(2).filter(|line| !line.starts_with("-----")).map(str::to_owned));
    let encoded = |word: &str| format!("{:?}", word.as_bytes());
    secrets
        .extend([PASSPHRASE, PASSWORD, CODE].map(|word| encoded(word).trim_matches(['[', ']']).to_owned()));

    let runs: [(&[&str], Option<&str>); 4] = [
        (&["status", "prod", "-vvv"], Some(PASSPHRASE)),
        (&["status", "prod", "-vvv", "--format", "json"], Some(PASSPHRASE)),
        (&["deploy", "prod", "--yes", "-vvv", "--format", "json"], None),
        // A login that fails: the account of it.
        (&["status", "prod", "-vvv"], Some("wrong-passphrase-81")),
    ];
    for (arguments, passphrase) in runs {
        gate.heard.lock().unwrap().clear();
        let mut command = shipit(&gate, arguments);
        command.env("SHIPIT_SSH_KEY", &key_text);
        if let Some(passphrase) = passphrase {
            command.env("SHIPIT_SSH_KEY_PASSPHRASE", passphrase);
        }
        let mut secrets = secrets.clone();
        secrets.push("wrong-passphrase-81".to_owned());
        let (ran, leaks, looks) = watched(command, &secrets).await;
        let said =
            format!("{}{}", String::from_utf8_lossy(&ran.stdout), String::from_utf8_lossy(&ran.stderr));
        for secret in &secrets {
            assert!(!said.contains(secret.as_str()), "{arguments:?} says {secret:?}:\n{said}");
        }
        assert_eq!(leaks, Vec::<String>::new());
        assert!(looks > 1);
        if passphrase == Some("wrong-passphrase-81") {
            assert_eq!(ran.status.code(), Some(2), "{said}");
            assert!(said.contains("encrypted with another passphrase"), "{said}");
            continue;
        }
        // They were used, all of them.
        let heard = gate.heard();
        for words in ["key", PASSWORD, CODE, SEEN, "deploy: password"] {
            assert!(heard.iter().any(|heard| heard.contains(words)), "{words}: {heard:?}\n{said}");
        }
        assert!(said.contains("DEBUG"), "{said}");
    }
    let inherited = text(&gate.dir.path().join("inherited"));
    assert!(
        inherited.contains("SSH_ASKPASS_REQUIRE") && !inherited.contains("SHIPIT_SSH_KEY"),
        "{inherited}"
    );
}

/// A program under this name that keeps what it inherits in `inherited-NAME`.
fn keeper(folder: &Path, name: &str) {
    let path = folder.join("bin").join(name);
    std::fs::create_dir_all(folder.join("bin")).unwrap();
    std::fs::write(&path, format!("#!/bin/sh\nenv >>{}/inherited-{name}\nexit 1\n", folder.display()))
        .unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn no_program_that_is_started_here_inherits_the_key() {
    let gate = Gate::start(proofs()).await;
    prepare(&gate);
    let folder = gate.dir.path();
    let programs = ["git", "id", "hook", "match", "proxy"];
    programs.iter().for_each(|name| keeper(folder, name));
    let bin = folder.join("bin");
    let config = format!(
        "Match exec {0}/match\n  Port 1\nHost *\n  ProxyCommand {0}/proxy\n  ProxyUseFdpass no\n",
        bin.display()
    );
    std::fs::write(folder.join("config"), config).unwrap();
    let manifest = text(&folder.join("deploy.yaml"));
    let hook = format!("hooks:\n  before_deploy: [{{ local: '{}/hook || true' }}]\n", bin.display());
    std::fs::write(folder.join("deploy.yaml"), manifest + &hook).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_shipit"));
    command
        .args(["deploy", "prod", "--ssh-config", "config"])
        .current_dir(folder)
        .env_clear()
        .env("PATH", format!("{}:/usr/bin:/bin", bin.display()))
        .env("HOME", folder.join("home"))
        .env("OF_THE_OPERATOR", "yes")
        .env("SHIPIT_SSH_KEY", text(&folder.join("id")))
        .env("SHIPIT_SSH_KEY_PASSPHRASE", PASSPHRASE)
        .stdin(Stdio::null());
    let ran = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    let said = String::from_utf8_lossy(&ran.stderr).into_owned();
    assert_eq!(ran.status.code(), Some(5), "the ProxyCommand leads nowhere: {said}");
    for name in programs {
        let inherited = text(&folder.join(format!("inherited-{name}")));
        assert!(inherited.contains("OF_THE_OPERATOR=yes"), "{name} was not started: {said}");
        assert!(!inherited.contains("SHIPIT_SSH_KEY"), "{name} inherits the key:\n{inherited}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_question_is_put_once_and_names_the_host() {
    let gate = Gate::start(proofs()).await;
    prepare(&gate);
    let mut command = shipit(&gate, &["status", "prod"]);
    let key = gate.dir.path().join("given");
    keygen(&key, "ed25519", PASSPHRASE);
    command.env("SHIPIT_SSH_KEY", text(&key));
    tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    let asked = text(&gate.dir.path().join("asked"));
    let login = gate.target();
    let expected = format!(
        "Passphrase for the key in SHIPIT_SSH_KEY: \n({login}) Password: \n({login}) Verification code: \n\
         ({login}) Colour: \ndeploy@127.0.0.1's password: \n"
    );
    assert!(asked.starts_with(&expected), "{asked}");
    // The gate opens no channel, so that the login is made again: a code has to be asked for anew, and nothing else.
    for once in ["Passphrase", ") Password: ", "'s password: "] {
        assert_eq!(asked.matches(once).count(), 1, "{asked}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_asked_with_no_input_or_in_ci_unless_it_is_forced() {
    let gate = Gate::start(proofs()).await;
    prepare(&gate);
    for (arguments, variable, asks) in [
        (&["status", "prod", "--no-input"][..], ("SSH_ASKPASS_REQUIRE", "force"), false),
        (&["status", "prod"][..], ("SSH_ASKPASS_REQUIRE", "never"), false),
        (&["status", "prod"][..], ("SSH_ASKPASS_REQUIRE", "prefer"), false),
        (&["status", "prod"][..], ("SSH_ASKPASS_REQUIRE", "force"), true),
    ] {
        let _ = std::fs::remove_file(gate.dir.path().join("asked"));
        let mut command = shipit(&gate, arguments);
        command.env("CI", "true").env("DISPLAY", ":0").env(variable.0, variable.1);
        command.env("SHIPIT_SSH_KEY", text(&gate.dir.path().join("id")));
        let ran = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
        let said = String::from_utf8_lossy(&ran.stderr).into_owned();
        assert_eq!(gate.dir.path().join("asked").exists(), asks, "{arguments:?} {variable:?}: {said}");
        if !asks {
            assert_eq!(ran.status.code(), Some(5), "{said}");
            assert!(said.contains("wants more than one proof"), "{said}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_of_no_use_ends_the_run_before_anything_is_connected_to() {
    let gate = Gate::start(proofs()).await;
    prepare(&gate);
    let public = text(&gate.dir.path().join("id.pub"));
    let private = text(&gate.dir.path().join("id"));
    keygen(&gate.dir.path().join("locked"), "ed25519", PASSPHRASE);
    let locked = text(&gate.dir.path().join("locked"));
    for (value, words) in [
        ("", "it is empty"),
        (&*public, "it is a public key"),
        (&private[..200], "it is cut off"),
        (&*locked, "it is encrypted, and there is no passphrase for it"),
    ] {
        let mut command = shipit(&gate, &["status", "prod", "--no-input"]);
        command.env("SHIPIT_SSH_KEY", value);
        let ran = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
        let said = String::from_utf8_lossy(&ran.stderr).into_owned();
        let flat = said.split_whitespace().filter(|word| *word != "│").collect::<Vec<_>>().join(" ");
        assert!(flat.contains("SHIPIT_SSH_KEY") && flat.contains(words), "{said}");
        assert_eq!(ran.status.code(), Some(2), "{said}");
    }
    assert!(gate.heard().is_empty());
}
