//! `KexAlgorithms`, `Ciphers`, `MACs` and `RequiredRSASize` of ssh_config: shipit gets where ssh gets, by the same
//! algorithms, whether it asks ssh for the configuration or reads it itself.

use crate::appended::{Operator, Ran};
use crate::server::{Server, keygen};

/// Somebody with these lines in their configuration, who knows the host by these keys.
fn operator(server: &Server, config: &str, known: &[&str]) -> Operator {
    let operator = Operator::new(server, &format!("{config}\nUserKnownHostsFile FOLDER/known"));
    let line = |key: &&str| format!("[127.0.0.1]:{} {}\n", server.port, server.public_key(key));
    std::fs::write(operator.path("known"), known.iter().map(line).collect::<String>()).unwrap();
    operator
}

/// Runs something, and returns the lines of the server's log about it.
fn logged(server: &Server, run: impl FnOnce() -> Ran) -> (Ran, String) {
    let before = server.log().len();
    let ran = run();
    (ran, server.log().split_off(before))
}

/// What was agreed upon in the first key exchange, where somebody got in.
fn agreed(log: &str) -> Option<Vec<String>> {
    let is_of_use = |line: &&str| {
        line.contains("kex: algorithm: ")
            || line.contains("kex: client->server cipher: ")
            || line.contains("kex: server->client cipher: ")
    };
    let lines = log.lines().filter(is_of_use).take(3).map(|line| line.trim_end().to_owned());
    log.contains("Accepted publickey").then(|| lines.collect())
}

type Agreed = Option<Vec<String>>;

/// By ssh, by shipit with ssh's word, by shipit with its own reader.
fn three_ways(server: &Server, config: &str, known: &[&str]) -> ([Agreed; 3], String) {
    let operator = operator(server, config, known);
    let (_, by_ssh) = logged(server, || operator.ssh());
    let (ran, with_ssh) = logged(server, || operator.shipit(&["status"]));
    let (_, alone) = logged(server, || operator.shipit_without_ssh(&["status"]));
    ([agreed(&by_ssh), agreed(&with_ssh), agreed(&alone)], ran.stderr)
}

#[test]
fn a_host_with_one_algorithm_is_reached_when_ssh_config_has_it_and_not_otherwise() {
    for (only, cases) in [
        (
            "KexAlgorithms diffie-hellman-group14-sha1",
            &[
                ("", false),
                ("KexAlgorithms +diffie-hellman-group14-sha1", true),
                ("KexAlgorithms ^diffie-hellman-group14-sha1", true),
                ("KexAlgorithms curve25519-sha256,diffie-hellman-group14-sha1", true),
                ("KexAlgorithms +diffie-hellman-group1-sha1", false),
            ][..],
        ),
        (
            "KexAlgorithms diffie-hellman-group1-sha1",
            &[("", false), ("KexAlgorithms +diffie-hellman-group1-sha1", true)],
        ),
        (
            "KexAlgorithms ecdh-sha2-nistp256",
            &[("", true), ("KexAlgorithms ecdh-sha2-nistp256", true), ("KexAlgorithms -ecdh-*", false)],
        ),
        (
            "Ciphers aes256-cbc",
            &[("", false), ("Ciphers +aes256-cbc", true), ("Ciphers aes256-ctr,aes256-cbc", true)],
        ),
        (
            "Ciphers aes256-ctr\nMACs hmac-sha1",
            &[("", true), ("MACs hmac-sha2-512,hmac-sha1", true), ("MACs -hmac-sha1", false)],
        ),
        ("Ciphers aes128-gcm@openssh.com", &[("", true), ("Ciphers -aes128-gcm*", false)]),
    ] {
        let Some(server) = Server::start(only) else { return };
        for (config, reached) in cases {
            let (ways, said) = three_ways(&server, config, &["host_ed25519"]);
            assert_eq!(ways.map(|way| way.is_some()), [*reached; 3], "{only}, {config}: {said}");
        }
    }
}

/// The server would take anything.
#[test]
fn what_the_operator_allows_is_all_that_is_used_and_in_their_order() {
    let Some(server) = Server::start("") else { return };
    for (config, expected) in [
        ("Ciphers aes192-ctr\nMACs hmac-sha2-256", "cipher: aes192-ctr MAC: hmac-sha2-256 "),
        ("Ciphers chacha20-poly1305@openssh.com,aes128-ctr", "cipher: chacha20-poly1305@openssh.com MAC: "),
        ("Ciphers aes128-ctr,aes256-gcm@openssh.com\nMACs hmac-sha1", "cipher: aes128-ctr MAC: hmac-sha1 "),
        ("KexAlgorithms ecdh-sha2-nistp384,curve25519-sha256", "algorithm: ecdh-sha2-nistp384"),
    ] {
        let (ways, said) = three_ways(&server, config, &["host_ed25519"]);
        for way in ways {
            let lines = way.unwrap_or_else(|| panic!("{config}: {said}"));
            assert!(lines.iter().any(|line| line.contains(expected)), "{config}: {lines:?}");
        }
    }
    // Where nothing is configured the order is our own; ssh of that version begins with another one.
    let ([_, with_ssh, alone], said) = three_ways(&server, "", &["host_ed25519"]);
    for way in [with_ssh, alone] {
        let lines = way.unwrap_or_else(|| panic!("{said}"));
        assert!(lines.iter().any(|line| line.contains("cipher: aes128-gcm@openssh.com ")), "{lines:?}");
    }
    // ssh has code for the first one.
    let config = "KexAlgorithms sntrup761x25519-sha512@openssh.com,diffie-hellman-group14-sha256";
    let ([_, with_ssh, alone], said) = three_ways(&server, config, &["host_ed25519"]);
    for way in [with_ssh, alone] {
        let lines = way.unwrap_or_else(|| panic!("{said}"));
        assert!(
            lines.iter().any(|line| line.contains("algorithm: diffie-hellman-group14-sha256")),
            "{lines:?}"
        );
    }
}

#[test]
fn a_list_that_leaves_nothing_is_an_error_before_anything_is_connected_to() {
    let Some(server) = Server::start("") else { return };
    for (config, keyword, has) in [
        ("Ciphers 3des-cbc", "ciphers", "aes128-gcm@openssh.com"),
        ("MACs umac-64@openssh.com,umac-128@openssh.com", "macs", "hmac-sha2-512-etm@openssh.com"),
        ("KexAlgorithms sntrup761x25519-sha512@openssh.com", "kexalgorithms", "curve25519-sha256"),
        ("HostKeyAlgorithms sk-ssh-ed25519@openssh.com", "hostkeyalgorithms", "ssh-ed25519"),
    ] {
        let operator = operator(&server, config, &["host_ed25519"]);
        for way in [Operator::shipit, Operator::shipit_without_ssh] {
            let (ran, log) = logged(&server, || way(&operator, &["status"]));
            assert_eq!(ran.code, 2, "{config}: {}", ran.stderr);
            let first = format!("{keyword} for web1 names no algorithm that shipit has");
            assert!(ran.stderr.contains(&first) && ran.stderr.contains(has), "{config}: {}", ran.stderr);
            assert_eq!(log, "", "{config}");
        }
    }
}

/// ssh-keygen makes RSA keys of 3072 bits.
#[test]
fn rsa_keys_shorter_than_required_are_neither_believed_nor_offered() {
    let Some(server) = Server::start("HostKey FOLDER/host_rsa") else { return };
    let by_host = "HostKeyAlgorithms rsa-sha2-512";
    for (size, reached) in [("", true), ("RequiredRSASize 3072", true), ("RequiredRSASize 3073", false)] {
        let config = format!("{by_host}\n{size}");
        let (ways, said) = three_ways(&server, &config, &["host_rsa"]);
        assert_eq!(ways.map(|way| way.is_some()), [reached; 3], "{size}: {said}");
        let words = "is too short: RSA with 3072 bits, and RequiredRSASize is 3073";
        assert_eq!(said.contains(words), !reached, "{size}: {said}");
    }
    // Not even where anything goes.
    let config = format!("{by_host}\nRequiredRSASize 4096");
    let ran = operator(&server, &config, &[]).shipit(&["status", "--trust-any-host-key"]);
    assert_eq!(ran.code, 6, "{}", ran.stderr);

    keygen(&server.path("rsa"), "rsa", "");
    let rsa = std::fs::read_to_string(server.path("rsa.pub")).unwrap();
    std::fs::write(server.path("authorized_keys"), rsa).unwrap();
    let identity = format!("IdentityFile {}", server.path("rsa").display());
    for (size, reached) in [("RequiredRSASize 3072", true), ("RequiredRSASize 4096", false)] {
        let (ways, said) = three_ways(&server, &format!("{identity}\n{size}"), &["host_ed25519"]);
        assert_eq!(ways.map(|way| way.is_some()), [reached; 3], "{size}: {said}");
        let words = "skipped: it has 3072 bits, and RequiredRSASize of ssh_config is 4096";
        assert_eq!(said.contains(words), !reached, "{size}: {said}");
    }
}
