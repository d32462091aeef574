//! Secrets that can't be had, and templates that can't be rendered: found before anything is connected to. And what
//! templates become.
use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

const UNIT: &str = "\
[Service]
EnvironmentFile=/etc/default/api.conf
ExecStart=/usr/bin/sleep {{ SECONDS }}

[Install]
WantedBy=default.target
";

/// A project whose hosts are nowhere, with these lines under `secrets:`.
fn project(secrets: &str, env_file: &str) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    let manifest = format!(
        "name: api\nunit: api.service.j2\nenv_file: api.conf.j2\nenvironments:\n  prod:\n    \
         hosts: [me@web1.invalid, {{ host: me@web2.invalid, vars: {{ SECONDS: 2 }} }}]\n    \
         vars: {{ SECONDS: 1 }}\n    secrets:\n{secrets}"
    );
    write("deploy.yaml", &manifest);
    write("api.service.j2", UNIT);
    write("api.conf.j2", env_file);
    folder
}

fn shown(folder: &Path, args: &[&str], env: &[(&str, &str)]) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_shipit"));
    command.env_clear().env("HOME", "/nonexistent").env("USER", "me").env("PATH", "/usr/bin:/bin");
    let output = command.envs(env.iter().copied()).current_dir(folder).args(args).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    let (code, stdout, stderr) = (output.status.code().unwrap(), text(&output.stdout), text(&output.stderr));
    format!("exit code {code}\n--- stdout\n{stdout}--- stderr\n{stderr}")
}

const ALL: &str = "      GONE: { env: SHIPIT_TEST_GONE }
      EMPTY: { env: SHIPIT_TEST_EMPTY }
      SHELL: { command: 'echo \"knows hunter2-known\" >&2; echo no entry; echo \"no such entry\" >&2; exit 3' }
      WORDS: { command: [/nonexistent/pass, show, api] }
      NOTHING: { command: 'true' }
      BINARY: { command: 'printf \"\\377\"' }
      NUL: { command: 'printf \"a\\0b\"' }
      HUGE: { command: 'head -c 70000 /dev/zero | tr \"\\0\" x' }
      SLOW: { command: 'sleep 1000', timeout: 200ms }
      FILE: { file: nowhere.txt }
      TYPED: { prompt: 'The PIN' }
      KNOWN: { env: SHIPIT_TEST_KNOWN }
";

const USES_ALL: &str = "A={% for name in secrets %}{{ name }}{% endfor %}\n";

#[test]
fn all_that_can_not_be_had_is_told_at_once() {
    let folder = project(ALL, USES_ALL);
    let env = [("SHIPIT_TEST_EMPTY", ""), ("SHIPIT_TEST_KNOWN", "hunter2-known")];
    for command in ["deploy", "plan"] {
        let shown = shown(folder.path(), &[command], &env);
        assert!(!shown.contains("hunter2"), "another secret is hidden in what a command said: {shown}");
        insta::assert_snapshot!("secrets_that_can_not_be_had", shown);
    }
}

#[test]
fn check_reads_no_secret() {
    let folder = project(ALL, USES_ALL);
    let mark = folder.path().join("mark");
    let touch = format!("      TOUCH: {{ command: 'touch {}; echo it' }}\n", mark.display());
    let folder = project(&(ALL.to_owned() + &touch), USES_ALL);
    let shown = shown(folder.path(), &["check"], &[]);
    assert!(shown.starts_with("exit code 0\n"), "{shown}");
    assert!(!mark.exists());
}

#[test]
fn what_secrets_may_hold() {
    let secrets = "      INLINE: hunter2
      NOWHERE: {}
      TWICE: { env: A, file: b }
      NOT-A-NAME: { env: A }
      EQUALS: { env: A=B }
      UNKNOWN: { enviroment: A }
      NO_WORDS: { command: [] }
      TIMELESS: { env: A, timeout: 2s }
      UNUSED: { env: A }
";
    let shown_ = shown(project(secrets, "").path(), &["check"], &[]);
    assert!(!shown_.contains("hunter2"), "{shown_}");
    insta::assert_snapshot!("secrets_that_can_not_be_meant", shown_);
    let shown_ = shown(project("      UNUSED: { env: A }\n", "").path(), &["check"], &[]);
    assert!(
        shown_.starts_with("exit code 0\n") && shown_.contains("nothing uses the secret `UNUSED`"),
        "{shown_}"
    );
}

#[test]
fn templates_that_can_not_be() {
    let folder = project(
        "      TOKEN: { env: SHIPIT_TEST_TOKEN }\n",
        "A={{ secrets.TOKN }}\n{% if SECONDS == 'never' %}B={{ facts.hostnam }}{% endif %}\nC={{ release.revision }}\n",
    );
    std::fs::write(
        folder.path().join("api.service.j2"),
        UNIT.replace("{{ SECONDS }}", "{{ secrets.TOKEN }}"),
    )
    .unwrap();
    insta::assert_snapshot!("templates_that_can_not_be", shown(folder.path(), &["check"], &[]));
}

#[test]
fn a_secret_that_systemd_would_read_as_another_is_refused_before_anything_is_connected_to() {
    let folder = project("      TOKEN: { env: SHIPIT_TEST_TOKEN }\n", "TOKEN={{ secrets.TOKEN }}\n");
    let env = [("SHIPIT_TEST_TOKEN", "hunter2\\quoted\"")];
    let text = shown(folder.path(), &["plan"], &env);
    assert!(!text.contains("hunter2"), "{text}");
    insta::assert_snapshot!("a_secret_that_would_be_mangled", text);
}

#[test]
fn render_shows_what_templates_become_and_reads_no_secret() {
    let folder =
        project("      TOKEN: { env: SHIPIT_TEST_TOKEN }\n", "TOKEN={{ secrets.TOKEN }}\nPLACE={{ host }}\n");
    let env = [("SHIPIT_TEST_TOKEN", "hunter2")];
    insta::assert_snapshot!("render", shown(folder.path(), &["render"], &env));
    let only =
        shown(folder.path(), &["render", "prod", "api.conf.j2", "--host", "web2*", "--format", "json"], &[]);
    insta::assert_snapshot!("render_json", only);
    let release_path = shown(folder.path(), &["render", "prod", "units/api.service", "--host", "web1*"], &[]);
    assert!(
        release_path.contains("ExecStart=/usr/bin/sleep 1\n") && !release_path.contains("TOKEN"),
        "{release_path}"
    );
    insta::assert_snapshot!(
        "render_no_such_file",
        shown(folder.path(), &["render", "prod", "other.conf"], &[])
    );
}

#[test]
fn render_asks_a_host_only_for_what_depends_on_it() {
    let folder = project(
        "      TOKEN: { env: SHIPIT_TEST_TOKEN }\n",
        "TOKEN={{ secrets.TOKEN }}\nHOME_OF={{ facts.home }}\n",
    );
    let offline = shown(folder.path(), &["render", "prod", "api.service.j2"], &[]);
    assert!(offline.starts_with("exit code 0\n"), "{offline}");
    let host = shown(folder.path(), &["render", "prod", "api.conf.j2", "--host", "web1*"], &[]);
    assert!(host.starts_with("exit code 5\n") && host.contains("web1.invalid"), "{host}");

    // Where the release will be is the host's to say only where it is below a home.
    std::fs::write(folder.path().join("api.conf.j2"), "TOKEN={{ secrets.TOKEN }}\nROOT={{ release.root }}\n")
        .unwrap();
    let host = shown(folder.path(), &["render", "prod", "api.conf.j2", "--host", "web1*"], &[]);
    assert!(host.starts_with("exit code 5\n"), "{host}");
    let manifest = std::fs::read_to_string(folder.path().join("deploy.yaml")).unwrap();
    std::fs::write(folder.path().join("deploy.yaml"), "root: /srv/one\n".to_owned() + &manifest).unwrap();
    let offline = shown(folder.path(), &["render", "prod", "api.conf.j2", "--host", "web1*"], &[]);
    assert!(offline.contains("ROOT=/srv/one/current\n"), "{offline}");
}

#[test]
fn a_local_hook_has_no_secret_in_its_environment_and_what_it_prints_is_hidden() {
    let folder = project("      TOKEN: { env: SHIPIT_TEST_TOKEN }\n", "TOKEN={{ secrets.TOKEN }}\n");
    let manifest = std::fs::read_to_string(folder.path().join("deploy.yaml")).unwrap();
    let hook = "hooks: { before_deploy: [ { local: './hook' } ] }\n";
    std::fs::write(folder.path().join("deploy.yaml"), hook.to_owned() + &manifest).unwrap();
    // It has it from elsewhere, and prints it in three ways.
    let program = "#!/bin/sh\necho \"env: $(env | grep -c TEST_TOKEN)\"\nread -r it <known\n\
                   echo \"it is $it!\"\nprintf %s \"me:$it\" | base64\nexit 3\n";
    std::fs::write(folder.path().join("hook"), program).unwrap();
    std::fs::write(folder.path().join("known"), "hunter2-and-more\n").unwrap();
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(folder.path().join("hook"), mode).unwrap();
    for format in ["text", "json"] {
        for quiet in ["--quiet", "-vv"] {
            let text = shown(
                folder.path(),
                &["deploy", "--format", format, quiet],
                &[("SHIPIT_TEST_TOKEN", "hunter2-and-more")],
            );
            assert!(!text.contains("hunter2"), "{text}");
            assert!(!text.contains("aHVudGVyMi"), "{text}");
            assert!(text.contains("it is ***!") && text.contains("env: 0"), "{text}");
        }
    }
}
