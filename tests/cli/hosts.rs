//! What a host resolves to: flags before the manifest, that before ssh_config, that before the defaults.
use std::path::Path;

use assert_cmd::Command;
use tempfile::TempDir;

const MANIFEST: &str = "\
name: simple_api
unit: simple_api.service
environments:
  prod:
    hosts: [deploy@web1:2022, web2, { host: db, tags: [db] }]
";

const CONFIG: &str = "\
Host web1
  HostName web1.internal
  Port 22
  IdentityFile ~/.ssh/deploy
  IdentityFile ~/.ssh/%r@%h
  ProxyJump ops@gate:2222,bastion
Host gate
  HostName gate.example.com
  IdentitiesOnly yes
  ConnectTimeout 3
Host db
  User postgres
  HostKeyAlias the-db
  StrictHostKeyChecking yes
  UserKnownHostsFile ~/.ssh/known_db
  IdentityAgent none
  ProxyCommand nc -x proxy:1080 %h %p
";

fn home() -> TempDir {
    let home = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(home.path().join(name), text).unwrap();
    write("deploy.yaml", MANIFEST);
    write(
        "simple_api.service",
        "[Service]\nExecStart=/bin/sleep 1000\n\n[Install]\nWantedBy=default.target\n",
    );
    std::fs::create_dir(home.path().join(".ssh")).unwrap();
    write(".ssh/config", CONFIG);
    use std::os::unix::fs::PermissionsExt as _;
    let private = std::fs::Permissions::from_mode(0o600);
    std::fs::set_permissions(home.path().join(".ssh/config"), private).unwrap();
    home
}

/// With nothing of the developer's but the PATH, and without what is for all users of the machine.
fn shown(home: &Path, path: &str, args: &[&str]) -> String {
    shown_with(home, path, args, None)
}

fn shown_with(home: &Path, path: &str, args: &[&str], key: Option<&str>) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_shipit"));
    command
        .env_clear()
        .env("HOME", home)
        .env("PATH", path)
        .env("SSH_AUTH_SOCK", "/run/agent")
        .env("USER", "ada")
        .envs(key.map(|key| ("SHIPIT_SSH_KEY", key)));
    let config = home.join(".ssh/config");
    let output = command.current_dir(home).args(args).arg("--ssh-config").arg(config).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    let (code, stdout, stderr) = (output.status.code().unwrap(), text(&output.stdout), text(&output.stderr));
    let text = format!("exit code {code}\n--- stdout\n{stdout}--- stderr\n{stderr}");
    text.replace(home.to_str().unwrap(), "~")
}

fn path() -> String {
    std::env::var("PATH").unwrap()
}

/// The name of whoever runs the tests.
fn settings() -> insta::Settings {
    let mut settings = insta::Settings::clone_current();
    let output = std::process::Command::new("id").arg("-un").output().unwrap();
    let user = String::from_utf8(output.stdout).unwrap();
    settings.add_filter(&format!(r"(user\s+|by way of ){}\b", user.trim()), "${1}[me]");
    settings.add_filter(&format!(r#""user":\{{"value":"{}""#, user.trim()), r#""user":{"value":"[me]""#);
    // As wide as the name is long.
    settings.add_filter(r"\[me\] +", "[me]  ");
    settings
}

#[test]
fn every_value_has_its_source() {
    let home = home();
    settings().bind(|| {
        insta::assert_snapshot!("hosts", shown(home.path(), "/nonexistent", &["hosts", "prod"]));
        insta::assert_snapshot!(
            "hosts_with_flags",
            shown(
                home.path(),
                "/nonexistent",
                &["hosts", "--host", "web2", "-i", "key", "--accept-new-host-keys", "--connect-timeout", "5"]
            )
        );
        insta::assert_snapshot!(
            "hosts_json",
            shown(home.path(), "/nonexistent", &["hosts", "--host", "web*", "--format", "json"])
        );
    });
}

#[test]
fn ssh_and_our_own_reader_come_to_the_same() {
    let home = home();
    if std::process::Command::new("ssh").arg("-V").output().is_err() {
        return;
    }
    let by_ssh = shown(home.path(), &path(), &["hosts", "--format", "json"]);
    assert!(by_ssh.starts_with("exit code 0"), "{by_ssh}");
    let by_us = shown(home.path(), "/nonexistent", &["hosts", "--format", "json"]);
    let by_us = by_us.replace("\"read_by\":\"shipit\"", "\"read_by\":\"ssh\"");
    assert_eq!(by_ssh, by_us);
}

#[test]
fn a_key_from_the_environment_and_certificates_are_listed_without_their_text() {
    let home = home();
    let ssh = |name: &str| home.path().join(".ssh").join(name);
    let keygen = |arguments: &[&str]| {
        let made =
            std::process::Command::new("ssh-keygen").env("TZ", "UTC").arg("-q").args(arguments).status();
        assert!(made.unwrap().success(), "{arguments:?}");
    };
    for name in ["given", "deploy", "ca"] {
        keygen(&["-t", "ed25519", "-N", "", "-C", "seed", "-f", ssh(name).to_str().unwrap()]);
    }
    let public = ssh("deploy.pub");
    let sign = ["-s", ssh("ca").to_str().unwrap(), "-I", "me", "-V", "20200101:20200102"].map(str::to_owned);
    keygen(&[&sign.each_ref().map(String::as_str)[..], &[public.to_str().unwrap()]].concat());
    std::fs::remove_file(ssh("ca.pub")).unwrap();
    let config = std::fs::read_to_string(ssh("config")).unwrap();
    std::fs::write(
        ssh("config"),
        config.replacen("Host web1\n", "Host web1\n  CertificateFile ~/.ssh/gone\n", 1),
    )
    .unwrap();
    let key = std::fs::read_to_string(ssh("given")).unwrap();

    let text = shown_with(home.path(), "/nonexistent", &["hosts", "--host", "web1"], Some(&key));
    let lines: Vec<String> =
        text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
    let at =
        lines.iter().position(|line| line.starts_with("keys SHIPIT_SSH_KEY ssh-ed25519 SHA256:")).unwrap();
    assert!(lines[at].ends_with(" environment"), "{text}");
    assert_eq!(lines[at + 1], "~/.ssh/deploy ssh_config");
    let certificates = [
        "certificates ~/.ssh/gone (there is no such file) ssh_config",
        "~/.ssh/deploy-cert.pub (the certificate expired at 2020-01-02T00:00:00Z) ssh_config",
    ];
    assert_eq!(lines[at + 3..at + 5], certificates, "{text}");

    let json =
        shown_with(home.path(), "/nonexistent", &["hosts", "--host", "web1", "--format", "json"], Some(&key));
    let line = json.lines().find(|line| line.starts_with('{')).unwrap();
    let host: serde_json::Value = serde_json::from_str(line).unwrap();
    assert_eq!(host["given_key"]["from"], "environment");
    assert_eq!(host["given_key"]["value"]["variable"], "SHIPIT_SSH_KEY");
    assert!(host["given_key"]["value"]["fingerprint"].as_str().unwrap().starts_with("SHA256:"));
    assert_eq!(host["certificates"][0]["doubt"], "there is no such file");
    assert_eq!(host["certificates"][1]["value"], "~/.ssh/deploy-cert.pub");
    // It goes for jump hosts as well.
    assert_eq!(host["via"][0]["given_key"], host["given_key"]);
    for secret in key.lines().skip(2) {
        assert!(secret.starts_with("-----") || !text.contains(secret) && !json.contains(secret), "{secret}");
    }
}
