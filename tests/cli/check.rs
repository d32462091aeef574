//! `shipit check` on good and bad manifests, in a folder of their own.
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use assert_cmd::Command;
use tempfile::TempDir;

const MANIFEST: &str = "\
name: simple_api
binary: simple_api
unit: simple_api.service
env_file: simple_api.conf
environments:
  prod:
    hosts: [deploy@web1.example.com, deploy@web2.example.com]
  staging:
    hosts: [deploy@staging.example.com]
";

const UNIT: &str = "\
[Unit]
Description=Simple API Service

[Service]
EnvironmentFile=/etc/default/simple_api.conf
ExecStart=/usr/local/bin/simple_api
Restart=always

[Install]
WantedBy=default.target
";

struct Project(TempDir);

impl Project {
    /// A project that is fine.
    fn new() -> Self {
        let project = Self(tempfile::tempdir().unwrap());
        project.write("deploy.yaml", MANIFEST);
        project.write("simple_api.service", UNIT);
        project.write("simple_api.conf", "DEV_LOCATION='North Carolina'\n");
        project.write("simple_api", "#!/bin/sh\nexec sleep 1000\n");
        project.mode("simple_api", 0o755);
        project
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn write(&self, name: &str, text: impl AsRef<[u8]>) {
        std::fs::write(self.path().join(name), text).unwrap();
    }

    fn mode(&self, name: &str, mode: u32) {
        std::fs::set_permissions(self.path().join(name), PermissionsExt::from_mode(mode)).unwrap();
    }

    fn remove(&self, name: &str) {
        std::fs::remove_file(self.path().join(name)).unwrap();
    }

    fn check(&self) -> String {
        self.check_with(&[])
    }

    /// Exit code, standard output and standard error of `shipit check`.
    fn check_with(&self, args: &[&str]) -> String {
        let mut command = Command::new(env!("CARGO_BIN_EXE_shipit"));
        let output = command.env_clear().current_dir(self.path()).arg("check").args(args).output().unwrap();
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        format!(
            "exit code {}\n--- stdout\n{}--- stderr\n{}",
            output.status.code().unwrap(),
            text(&output.stdout),
            text(&output.stderr)
        )
    }
}

#[test]
fn a_fine_manifest_says_so_in_one_line() {
    insta::assert_snapshot!(Project::new().check());
}

#[test]
fn for_programs_there_is_a_line_a_problem_and_one_that_adds_up() {
    let project = Project::new();
    project.write("deploy.yaml", "name: api\nbinry: x\n");
    insta::assert_snapshot!("json_broken", project.check_with(&["--format", "json"]));
    insta::assert_snapshot!("json_fine", Project::new().check_with(&["--format", "json"]));
}

#[test]
fn every_problem_of_the_manifest_at_once() {
    let project = Project::new();
    project.write(
        "deploy.yaml",
        "\
name: simple api
scope: usr
unit: simple_api.service
env-file: simple_api.conf
settle: 2
health: { http: https://localhost/ }
environments:
  prod:
    hosts: [web1, web1]
    confirm: yes
  prod:
    hosts: []
",
    );
    insta::assert_snapshot!(project.check());
}

#[test]
fn a_file_that_is_no_yaml() {
    let project = Project::new();
    project.write("deploy.yaml", "name: simple_api\nenvironments:\n\tprod: 1\n");
    insta::assert_snapshot!("tab", project.check());
    project.write("deploy.yaml", "name: [simple_api\n");
    insta::assert_snapshot!("open_bracket", project.check());
    project.write("deploy.yaml", "");
    insta::assert_snapshot!("empty", project.check());
}

#[test]
fn no_manifest() {
    insta::assert_snapshot!(Project::new().check_with(&["-f", "deploi.yaml"]));
}

#[test]
fn missing_files() {
    let project = Project::new();
    for file in ["simple_api", "simple_api.service", "simple_api.conf"] {
        project.remove(file);
    }
    insta::assert_snapshot!(project.check());
}

#[test]
fn a_binary_that_is_none() {
    let project = Project::new();
    project.write("simple_api", "echo hi\n");
    insta::assert_snapshot!("text_as_binary", project.check());
    project.write("simple_api", "");
    insta::assert_snapshot!("empty_binary", project.check());
    project.write("simple_api", "#!/bin/sh\n");
    project.mode("simple_api", 0o644);
    insta::assert_snapshot!("not_executable_binary", project.check());
}

#[test]
fn traps_in_the_unit_file() {
    let project = Project::new();
    project.write(
        "simple_api.service",
        "\
Description=too early
[Unit]
Description=Simple API Service \\
  # a comment inside
  that goes on

[Servce]
Nice=5
[Service]
User=deploy
EnvironmentFile=/etc/default/simple-api.conf
ExecStart=bin/simple_api --port 8000
Restart always

[Install]
WantedBy=multi-user.target
",
    );
    insta::assert_snapshot!(project.check());
}

#[test]
fn a_unit_that_runs_something_else() {
    let project = Project::new();
    project.write("simple_api.service", "[Service]\nExecStart=/usr/bin/simple_api\n");
    insta::assert_snapshot!(project.check());
}

#[test]
fn an_env_file_shows_no_value() {
    let project = Project::new();
    project.write(
        "simple_api.conf",
        "TOKEN=hunter2\nexport KEY=hunter2\nhunter2\nA-B=hunter2\nX='hunter2' # note\nTOKEN=hunter3\nOPEN=\"hunter2\n",
    );
    let shown = project.check();
    assert!(!shown.contains("hunter"), "{shown}");
    insta::assert_snapshot!(shown);
}

#[test]
fn templates() {
    let project = Project::new();
    let manifest = MANIFEST
        .replace("simple_api.conf", "simple_api.conf.j2")
        .replace("  staging:", "    vars: { LOCATION: Virginia, SPARE: 1 }\n  staging:");
    project.write("deploy.yaml", manifest);
    project.write("simple_api.conf.j2", "SECRET=hunter2\nDEV_LOCATION='{{ LOCATOIN }}'\n");
    let shown = project.check();
    assert!(!shown.contains("hunter"), "{shown}");
    insta::assert_snapshot!("undefined", shown);
    project.write("simple_api.conf.j2", "DEV_LOCATION='{{ vars.LOCATION | upper '\n");
    insta::assert_snapshot!("template_syntax", project.check());
}

#[test]
fn a_template_may_go_wrong_for_one_host_only() {
    let project = Project::new();
    project.write(
        "deploy.yaml",
        "\
name: simple_api
unit: simple_api.service.j2
environments:
  prod:
    hosts: [web1, { host: web2, vars: { BIN: simple_api } }]
    vars: { BIN: /usr/local/bin/simple_api }
",
    );
    let unit = UNIT.replace("/usr/local/bin/simple_api", "{{ BIN }}").replace("EnvironmentFile", "#");
    project
        .write("simple_api.service.j2", unit.replace("{{ BIN }}", "{{ BIN }}/{{ host }} --of {{ service }}"));
    insta::assert_snapshot!(project.check());
}

#[test]
fn keys_of_hosts_are_read_and_bad_lines_are_shown_where_they_stand() {
    let good = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcH";
    let project = Project::new();
    let own = format!("    known_hosts: ['web1 {good}', 'web1 ssh-ed25519']\n");
    project.write("deploy.yaml", format!("{MANIFEST}{own}known_hosts: keys/known_hosts\n"));
    let said = project.check();
    assert!(said.starts_with("exit code 2"), "{said}");
    for words in [
        "the file of host keys `keys/known_hosts` does not exist",
        "shipit hosts ENV --scan",
        "known_hosts: keys/known_hosts",
        "this is not a line of known_hosts: the line ends too early",
        "deploy.yaml: 2 errors",
    ] {
        assert!(said.contains(words), "{words:?} is not in {said}");
    }
    std::fs::create_dir(project.path().join("keys")).unwrap();
    let mut text =
        format!("# caf\u{e9}\n* {good}\nweb1 ssh-rsa AAAA\n\n@nonsense web1 {good}\n").into_bytes();
    text.extend(b"# \xff\n");
    project.write("keys/known_hosts", &text);
    project.write("deploy.yaml", format!("{MANIFEST}known_hosts: keys/known_hosts\n"));
    let said = project.check();
    for words in
        ["keys/known_hosts:3:1]", "keys/known_hosts:5:1]", "the marker is not known", "deploy.yaml: 2 errors"]
    {
        assert!(said.contains(words), "{words:?} is not in {said}");
    }
    project.write("keys/known_hosts", format!("* {good}\n"));
    assert!(project.check().starts_with("exit code 0"));
}

#[test]
fn units_that_wait_for_each_other() {
    let project = Project::new();
    let units = "units: [simple_api.service, worker.service, queue.service]";
    project.write("deploy.yaml", MANIFEST.replace("unit: simple_api.service", units));
    let after = |name: &str| UNIT.replace("[Service]", &format!("After={name}\n\n[Service]"));
    project.write("simple_api.service", after("network-online.target queue.service"));
    project.write("worker.service", after("simple_api.service"));
    project.write(
        "queue.service",
        UNIT.replace("[Service]", "Before=simple_api.service\nAfter=worker.service\n\n[Service]"),
    );
    insta::assert_snapshot!(project.check());
}
