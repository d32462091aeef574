use std::process::Command;

use super::*;

fn key(seed: u8) -> HostKey {
    typed("ssh-ed25519", seed)
}

fn typed(key_type: &str, seed: u8) -> HostKey {
    let mut blob = (key_type.len() as u32).to_be_bytes().to_vec();
    blob.extend(key_type.as_bytes());
    blob.extend(32u32.to_be_bytes());
    blob.extend([seed; 32]);
    HostKey { key_type: key_type.into(), blob }
}

fn parse(content: &str) -> Vec<KnownHostsFile> {
    vec![KnownHostsFile::parse("known_hosts".into(), content.as_bytes())]
}

fn judge(content: &str, host: &str, port: u16, shown: &HostKey) -> HostKeyVerdict {
    verdict(&parse(content), host, port, shown)
}

fn known(content: &str, host: &str, port: u16, shown: &HostKey) -> bool {
    judge(content, host, port, shown) == HostKeyVerdict::Known
}

#[test]
fn a_key_is_known_under_any_name_of_its_line() {
    let line = format!("web1,WEB1.example.com,192.0.2.1 {} root@web1", key(1).encode());
    for name in ["web1", "web1.example.com", "Web1.Example.COM", "192.0.2.1"] {
        assert!(known(&line, name, 22, &key(1)), "{name}");
    }
    assert_eq!(judge(&line, "web2", 22, &key(1)), HostKeyVerdict::Unknown);
    assert_eq!(judge(&line, "web1.example", 22, &key(1)), HostKeyVerdict::Unknown);
}

#[test]
fn a_port_belongs_to_the_name() {
    let line = format!("[web1]:2222 {}", key(1).encode());
    assert!(known(&line, "web1", 2222, &key(1)));
    assert_eq!(judge(&line, "web1", 22, &key(1)), HostKeyVerdict::Unknown);
    assert_eq!(judge(&line, "web1", 2223, &key(1)), HostKeyVerdict::Unknown);
}

#[test]
fn an_unknown_port_may_show_the_key_of_the_bare_name_and_no_other() {
    let line = format!("web1 {}", key(1).encode());
    assert!(known(&line, "web1", 2222, &key(1)));
    assert_eq!(judge(&line, "web1", 2222, &key(2)), HostKeyVerdict::Unknown);
    let both = format!("{line}\n[web1]:2222 {}", key(2).encode());
    assert!(matches!(judge(&both, "web1", 2222, &key(1)), HostKeyVerdict::Changed { .. }));
}

#[test]
fn patterns_and_negation() {
    let line = format!("*.example.com,!db*.example.com,10.0.0.? {}", key(1).encode());
    assert!(known(&line, "web1.example.com", 22, &key(1)));
    assert!(known(&line, "10.0.0.7", 22, &key(1)));
    for name in ["db1.example.com", "example.com", "10.0.0.77", "web1.example.org"] {
        assert_eq!(judge(&line, name, 22, &key(1)), HostKeyVerdict::Unknown, "{name}");
    }
    let only_negated = format!("!web1 {}", key(1).encode());
    assert_eq!(judge(&only_negated, "web2", 22, &key(1)), HostKeyVerdict::Unknown);
}

#[test]
fn several_keys_of_a_host_and_of_a_type_all_count() {
    let content = format!(
        "web1 {}\nweb1 {}\nweb1 {}",
        key(1).encode(),
        key(2).encode(),
        typed("ecdsa-sha2-nistp256", 3).encode()
    );
    assert!(known(&content, "web1", 22, &key(1)));
    assert!(known(&content, "web1", 22, &key(2)));
    let HostKeyVerdict::Changed { known } = judge(&content, "web1", 22, &key(9)) else { panic!() };
    assert_eq!(known.iter().map(|known| known.line).collect::<Vec<_>>(), [1, 2, 3]);
    assert_eq!(known[0].fingerprint, key(1).fingerprint());
    assert_eq!(
        known_types(&parse(&content), "web1", 22),
        ["ssh-ed25519", "ssh-ed25519", "ecdsa-sha2-nistp256"]
    );
}

#[test]
fn a_key_of_a_type_not_on_file_is_a_changed_key() {
    let line = format!("web1 {}", typed("ecdsa-sha2-nistp256", 1).encode());
    assert!(matches!(judge(&line, "web1", 22, &key(1)), HostKeyVerdict::Changed { .. }));
}

#[test]
fn revoked_beats_known_wherever_it_stands() {
    let plain = format!("web1 {}", key(1).encode());
    let revoked = format!("@revoked * {}", key(1).encode());
    for content in [format!("{plain}\n{revoked}"), format!("{revoked}\n{plain}")] {
        assert!(matches!(judge(&content, "web1", 22, &key(1)), HostKeyVerdict::Revoked { .. }));
        assert!(matches!(judge(&content, "web1", 2222, &key(1)), HostKeyVerdict::Revoked { .. }));
    }
    let two = vec![
        KnownHostsFile::parse("user".into(), plain.as_bytes()),
        KnownHostsFile::parse("global".into(), format!("\n{revoked}").as_bytes()),
    ];
    let expected = HostKeyVerdict::Revoked { file: "global".into(), line: 2 };
    assert_eq!(verdict(&two, "web1", 22, &key(1)), expected);
    // Revoking a key of a host does not make its other keys known.
    assert_eq!(judge(&revoked, "web1", 22, &key(2)), HostKeyVerdict::Unknown);
}

#[test]
fn an_authority_vouches_for_no_plain_key() {
    let line = format!("@cert-authority *.example.com {}", key(1).encode());
    assert_eq!(judge(&line, "web1.example.com", 22, &key(1)), HostKeyVerdict::Unknown);
    assert!(has_authority(&parse(&line), "web1.example.com", 22));
    assert!(!has_authority(&parse(&line), "web1.example.org", 22));
    assert!(known_types(&parse(&line), "web1.example.com", 22).is_empty());
}

#[test]
fn bad_lines_are_counted_and_passed_over() {
    let good = key(1).encode();
    let (key_type, encoded) = good.split_once(' ').unwrap();
    let content = format!(
        "# comment\r\n\r\n  \t web1\t{key_type}   {encoded}  a comment\r\nweb2\nweb2 {key_type}\nweb2 {key_type} ###\n\
         web2 ssh-rsa {encoded}\n@nonsense web2 {good}\n|2|x|y {good}\n|1|*|* {good}\n@revoked web2\nweb3 {good}"
    );
    let files = parse(&content);
    let lines: Vec<_> = files[0].bad_lines.iter().map(|bad| bad.line).collect();
    assert_eq!(lines, [4, 5, 6, 7, 8, 9, 10, 11]);
    assert!(known(&content, "web1", 22, &key(1)));
    assert!(known(&content, "web3", 22, &key(1)));
    assert_eq!(judge(&content, "web2", 22, &key(1)), HostKeyVerdict::Unknown);
}

#[test]
fn bytes_that_are_no_text_harm_only_their_own_line() {
    let mut content = b"\xff\xfe\x00\n".to_vec();
    content.extend(format!("web1 {} caf", key(1).encode()).bytes());
    content.push(0xe9);
    let files = [KnownHostsFile::parse("known_hosts".into(), &content)];
    assert_eq!(verdict(&files, "web1", 22, &key(1)), HostKeyVerdict::Known);
}

/// What `ssh-keygen -H` hashes we find, and what `ssh-keygen -F` finds we find.
#[test]
fn agrees_with_ssh_keygen() {
    if Command::new("ssh-keygen").arg("-?").output().is_err() {
        eprintln!("SKIPPED: there is no ssh-keygen to compare with");
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("known_hosts");
    let (one, two) = (key(1).encode(), key(2).encode());
    let content = format!("web1,10.0.0.1 {one}\n[web1]:2222 {two}\n*.example.com,!no.example.com {one}\n");
    let cases = [
        ("web1", 22),
        ("WEB1", 22),
        ("web1", 2222),
        ("10.0.0.1", 22),
        ("a.example.com", 22),
        ("no.example.com", 22),
    ];
    std::fs::write(&path, &content).unwrap();
    for (host, port) in cases {
        let found =
            Command::new("ssh-keygen").arg("-F").arg(host_field(host, port)).arg("-f").arg(&path).output();
        let ours = matching(&parse(&content), &host_field(host, port)).count() > 0;
        assert_eq!(found.unwrap().status.success(), ours, "{host}:{port}");
    }
    assert!(Command::new("ssh-keygen").args(["-H", "-f"]).arg(&path).output().unwrap().status.success());
    let hashed = std::fs::read_to_string(&path).unwrap();
    assert!(hashed.contains("|1|"));
    assert!(known(&hashed, "Web1", 22, &key(1)));
    assert!(known(&hashed, "10.0.0.1", 22, &key(1)));
    assert!(known(&hashed, "web1", 2222, &key(2)));
    assert_eq!(judge(&hashed, "web3", 22, &key(1)), HostKeyVerdict::Unknown);
}
