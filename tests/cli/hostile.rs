//! P6: what a field's kind of name can't hold is refused by `check`, with the field and the reason, and nothing is run.
use std::os::unix::fs::PermissionsExt;

use assert_cmd::Command;
use tempfile::TempDir;

const MANIFEST: &str = "\
name: api
binary: api
unit: api.service
env_file: api.conf
health: { http: 'http://localhost:80/', headers: { A: b }, timeout: 1s }
environments:
  prod:
    hosts: [ { host: deploy@web1, tags: [a], vars: { A: b } } ]
";

const UNIT: &str = "\
[Unit]
Description=x

[Service]
EnvironmentFile=/etc/default/api.conf
ExecStart=/usr/local/bin/api

[Install]
WantedBy=default.target
";

/// Each is more than a name to some shell, to ssh, to systemd, or to whoever builds a path from it.
const HOSTILE: [&str; 20] = [
    "$(touch canary-1)",
    "`touch canary-2`",
    "a; touch canary-3",
    "a && touch canary-4 #",
    "a | touch canary-5",
    "a' touch canary-6 '",
    "a\" touch canary-7 \"",
    "a\ntouch canary-8\n",
    "-oProxyCommand=touch canary-9",
    "--rm",
    "a*",
    "{touch,canary-10}",
    "(touch canary-11)",
    "../../etc/passwd",
    "/etc/passwd",
    "a b",
    "a\u{0}b",
    "a\u{1b}[2J",
    "a\u{202e}b",
    "~root",
];

fn project(manifest: &str) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    write("deploy.yaml", manifest);
    write("api.service", UNIT);
    write("api.conf", "A=b\n");
    write("api", "#!/bin/sh\nexec sleep 1000\n");
    std::fs::set_permissions(folder.path().join("api"), PermissionsExt::from_mode(0o755)).unwrap();
    folder
}

/// What `check` says; it must refuse, and run nothing.
#[track_caller]
fn refused(folder: &TempDir, what: &str) -> String {
    let output = Command::cargo_bin("shipit")
        .unwrap()
        .args(["check", "--color", "never"])
        .current_dir(folder.path())
        .env_clear()
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{what}\n{said}");
    let names = std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name());
    for name in names {
        assert!(!name.to_string_lossy().starts_with("canary"), "{what} made {name:?}");
    }
    assert!(!said.contains('\u{1b}'), "{what}: a control character got through");
    said
}

#[test]
fn a_hostile_name_is_refused_where_it_stands() {
    // What is replaced, by what, and the words for it.
    let fields = [
        ("name: api", "name: HERE", "a service name"),
        ("  prod:", "  HERE:", "an environment name"),
        ("deploy@web1", "HERE", "host"),
        ("deploy@web1", "\"-x@web1\"", "a user name"),
        ("tags: [a]", "tags: [HERE]", "a tag"),
        ("vars: { A: b }", "vars: { HERE: b }", "the name of a variable"),
        ("headers: { A: b }", "headers: { HERE: b }", "header"),
        ("http: 'http://localhost:80/', headers: { A: b }", "tcp: HERE", "tcp"),
        ("http: 'http://localhost:80/', headers: { A: b }", "unit: HERE", "unit"),
        ("timeout: 1s", "timeout: HERE", "duration"),
        ("name: api", "name: api\nscope: HERE", "scope"),
        ("name: api", "name: api\nHERE: x", "key"),
    ];
    for (from, to, words) in fields {
        for text in HOSTILE {
            // HTTP has no harm in some of them (RFC 9110, section 5.6.2).
            let token = text.chars().all(|c| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c));
            if words == "header" && token {
                continue;
            }
            // JSON's texts are YAML's.
            let quoted = serde_json::to_string(text).unwrap();
            let manifest = MANIFEST.replacen(from, &to.replace("HERE", &quoted), 1);
            assert_ne!(manifest, MANIFEST, "{from}");
            let said = refused(&project(&manifest), &format!("{to}: {text:?}"));
            assert!(said.to_lowercase().contains(words), "{to}: {text:?}\n{said}");
        }
    }
}

#[test]
fn what_is_too_long_is_refused() {
    // A key of YAML has at most 1024.
    let long = "x".repeat(1000);
    for (from, to) in [
        ("name: api", "name: HERE"),
        ("  prod:", "  HERE:"),
        ("deploy@web1", "HERE"),
        ("deploy@web1", "HERE@web1"),
        ("tags: [a]", "tags: [HERE]"),
        ("vars: { A: b }", "vars: { HERE: b }"),
    ] {
        let manifest = MANIFEST.replacen(from, &to.replace("HERE", &long), 1);
        let said = refused(&project(&manifest), to);
        assert!(said.contains("has at most"), "{to}\n{said}");
    }
}

#[test]
fn a_path_with_a_line_break_or_a_file_that_is_no_text_is_refused() {
    for key in ["binary: api", "unit: api.service", "env_file: api.conf"] {
        let (name, value) = key.split_once(' ').unwrap();
        for hostile in ["a\\ntouch canary-1/", "\\u0000", "a\\u001b[2J/"] {
            let manifest = MANIFEST.replacen(key, &format!("{name} \"{hostile}{value}\""), 1);
            let said = refused(&project(&manifest), hostile);
            assert!(said.contains("control character"), "{hostile}\n{said}");
        }
    }
    let folder = project(MANIFEST);
    for name in ["deploy.yaml", "api.service", "api.conf"] {
        let path = folder.path().join(name);
        let whole = std::fs::read(&path).unwrap();
        std::fs::write(&path, [&whole[..], b"# \xff\xfe\n"].concat()).unwrap();
        assert!(refused(&folder, name).contains("UTF-8"), "{name}");
        std::fs::write(&path, whole).unwrap();
    }
}

/// A unit file is shown with the line that is wrong, and may hold what a terminal acts on.
#[test]
fn what_is_shown_of_a_file_moves_no_terminal() {
    let folder = project(MANIFEST);
    let unit = UNIT.replace("[Service]", "\u{1b}]0;title\u{7}\u{9b}2J \u{202e}nothing\n[Service]");
    std::fs::write(folder.path().join("api.service"), unit).unwrap();
    let said = refused(&folder, "a unit");
    assert!(said.contains("?]0;title???2J ???nothing"), "{said}");
    assert!(!said.contains(['\u{7}', '\u{9b}', '\u{202e}']), "{said}");
}
