//! Mistakes on the command line: found before anything is connected to, with exit code 2 and what to write instead.
use std::path::Path;

use assert_cmd::Command;
use tempfile::TempDir;

const MANIFEST: &str = "\
name: simple_api
unit: simple_api.service
environments:
  prod:
    hosts: [deploy@web1.invalid, { host: deploy@web2.invalid, tags: [canary] }]
  staging:
    hosts: [deploy@staging.invalid]
    confirm: true
";

fn project() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    write("deploy.yaml", MANIFEST);
    write(
        "simple_api.service",
        "[Service]\nExecStart=/bin/sleep 1000\n\n[Install]\nWantedBy=default.target\n",
    );
    folder
}

fn shown_with(folder: &Path, args: &[&str], env: &[(&str, &str)]) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_shipit"));
    let output =
        command.env_clear().envs(env.iter().copied()).current_dir(folder).args(args).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    let (code, stdout, stderr) = (output.status.code().unwrap(), text(&output.stdout), text(&output.stderr));
    format!("exit code {code}\n--- stdout\n{stdout}--- stderr\n{stderr}")
}

fn shown(args: &[&str]) -> String {
    shown_with(project().path(), args, &[("HOME", "/nonexistent"), ("USER", "operator")])
}

/// Without the time that a line of a run begins with.
fn without_times(text: &str) -> String {
    let without = |line: &str| match line.get(2..3) {
        Some(":") => line[9..].to_owned(),
        _ => line.to_owned(),
    };
    text.lines().map(without).collect::<Vec<_>>().join("\n")
}

#[test]
fn no_manifest_in_the_folder() {
    let empty = tempfile::tempdir().unwrap();
    for command in ["plan", "deploy", "status", "logs"] {
        let shown = shown_with(empty.path(), &[command], &[]);
        assert!(shown.starts_with("exit code 2\n"), "{command}: {shown}");
        insta::assert_snapshot!("no_manifest_here", shown);
    }
}

#[test]
fn an_environment_that_does_not_exist() {
    insta::assert_snapshot!("unknown_environment", shown(&["deploy", "prd"]));
    insta::assert_snapshot!("unlike_any_environment", shown(&["deploy", "qqqqqqqq"]));
}

#[test]
fn no_environment_where_there_are_several() {
    insta::assert_snapshot!(shown(&["deploy"]));
}

#[test]
fn an_option_that_does_not_exist() {
    insta::assert_snapshot!("unknown_option", shown(&["deploy", "--yez"]));
    insta::assert_snapshot!("unknown_command", shown(&["deplyo"]));
    insta::assert_snapshot!("no_command", shown(&[]));
}

#[test]
fn values_that_are_none() {
    insta::assert_snapshot!("bad_format", shown(&["plan", "prod", "--format", "yaml"]));
    insta::assert_snapshot!("bad_timeout", shown(&["plan", "prod", "--connect-timeout", "0"]));
    insta::assert_snapshot!("bad_lines", shown(&["logs", "prod", "-n", "many"]));
    insta::assert_snapshot!("bad_count_of_runs", shown(&["history", "prod", "-n", "0"]));
    insta::assert_snapshot!("quiet_and_verbose", shown(&["plan", "prod", "-q", "-v"]));
    insta::assert_snapshot!("bad_pattern", shown(&["plan", "prod", "--host", "web[1"]));
}

#[test]
fn hosts_that_are_none() {
    insta::assert_snapshot!("no_host_matches", shown(&["deploy", "prod", "--host", "db*"]));
    insta::assert_snapshot!("no_host_has_the_tag", shown(&["deploy", "prod", "--tag", "blue"]));
    insta::assert_snapshot!("no_host_has_any_tag", shown(&["deploy", "staging", "--yes", "--tag", "blue"]));
}

#[test]
fn a_confirmation_that_nobody_can_give() {
    insta::assert_snapshot!(shown(&["deploy", "staging"]));
    insta::assert_snapshot!("a_rollback_that_nobody_can_confirm", shown(&["rollback", "staging"]));
}

#[test]
fn no_home() {
    let project = project();
    insta::assert_snapshot!(
        "no_home",
        shown_with(project.path(), &["status", "prod"], &[("USER", "operator")])
    );
}

#[test]
fn an_ssh_configuration_that_cannot_be_read() {
    let project = project();
    let write = |name: &str, text: &str| std::fs::write(project.path().join(name), text).unwrap();
    write("bad", "Host *\n  Prot 22\n  Port x\n");
    write("match", "Match host web1\n  Port 22\n");
    write("jump", "Host *\n  ProxyJump bastion.invalid\n");
    // Without a PATH there is no ssh, and what is said is our own.
    let shown = |file: &str| {
        let args = ["status", "prod", "--ssh-config", file];
        shown_with(project.path(), &args, &[("HOME", "/nonexistent"), ("PATH", "/nonexistent")])
    };
    insta::assert_snapshot!("bad_ssh_config", shown("bad"));
    insta::assert_snapshot!("ssh_config_with_match", shown("match"));
    insta::assert_snapshot!("jump_hosts_in_a_circle", shown("jump"));
    insta::assert_snapshot!("no_ssh_config", shown("missing"));
}

#[test]
fn a_hook_before_the_deploy_that_fails_ends_it_before_any_host_is_connected_to() {
    let project = project();
    let hooks = "hooks:\n  before_deploy: [ { local: 'echo building; printf no >&2; sleep 60 & exit 3' } ]\n";
    std::fs::write(project.path().join("deploy.yaml"), format!("{MANIFEST}{hooks}")).unwrap();
    let env = [("HOME", "/nonexistent"), ("USER", "operator"), ("PATH", "/usr/bin:/bin")];
    let shown = |args: &[&str]| {
        let shown = shown_with(project.path(), args, &env);
        shown.replace(env!("CARGO_PKG_VERSION"), "VERSION")
    };
    let text = shown(&["deploy", "prod"]);
    insta::assert_snapshot!("a_hook_before_the_deploy_fails", without_times(&text));
    let text = shown(&["deploy", "prod", "-q"]);
    insta::assert_snapshot!("a_hook_before_the_deploy_fails_quietly", without_times(&text));

    let json = shown(&["deploy", "prod", "--format", "json"]);
    let events: Vec<serde_json::Value> = json
        .lines()
        .filter(|line| line.starts_with('{'))
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let names: Vec<_> = events.iter().map(|event| event["event"].as_str().unwrap()).collect();
    let expected = [
        "run_started",
        "local_hook_started",
        "local_hook_said",
        "local_hook_said",
        "local_hook_failed",
        "run_finished",
    ];
    assert_eq!(names, expected, "{json}");
    assert_eq!(events[4]["said"], serde_json::json!(["building", "no"]));
    assert_eq!(events[5]["exit_code"], 1);
}
