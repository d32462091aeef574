//! `--help` of every command, which is the reference that everybody reads.
use assert_cmd::Command;

const COMMANDS: [&str; 13] = [
    "check", "plan", "render", "deploy", "rollback", "status", "logs", "releases", "history", "lock",
    "unlock", "remove", "hosts",
];

fn shown(args: &[&str]) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_shipit"));
    let output = command.env_clear().args(args).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    let (code, stdout, stderr) = (output.status.code().unwrap(), text(&output.stdout), text(&output.stderr));
    format!("exit code {code}\n--- stdout\n{stdout}--- stderr\n{stderr}")
}

#[test]
fn of_shipit_itself() {
    insta::assert_snapshot!("help", shown(&["--help"]));
    insta::assert_snapshot!("help_short", shown(&["-h"]));
}

#[test]
fn of_every_command() {
    for command in COMMANDS {
        insta::assert_snapshot!(format!("help_{command}"), shown(&[command, "--help"]));
    }
}

/// The list above can't go stale.
#[test]
fn every_command_is_listed() {
    let help = shown(&["--help"]);
    let commands = help.split("Commands:\n").nth(1).unwrap().split("\n\n").next().unwrap();
    let names: Vec<_> = commands.lines().filter_map(|line| line.split_whitespace().next()).collect();
    assert_eq!(names, [&COMMANDS[..], &["help"]].concat());
}

#[test]
fn the_version_is_that_of_the_package() {
    let version = env!("CARGO_PKG_VERSION");
    assert_eq!(shown(&["--version"]), format!("exit code 0\n--- stdout\nshipit {version}\n--- stderr\n"));
}

#[test]
fn every_line_fits_a_terminal() {
    for command in COMMANDS {
        for line in shown(&[command, "--help"]).lines() {
            assert!(line.chars().count() <= 110, "{command}: {line}");
        }
    }
}
