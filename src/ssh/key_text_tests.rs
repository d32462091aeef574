//! Keys as they come out of variables, files and web forms.

use std::path::Path;
use std::process::Command;

use proptest::prelude::*;

use super::*;

fn keygen(folder: &Path, arguments: &[&str]) -> String {
    let path = folder.join("key");
    let _ = std::fs::remove_file(&path);
    let _ = std::fs::remove_file(folder.join("key.pub"));
    let made = Command::new("ssh-keygen").args(["-q", "-C", "me", "-f"]).arg(&path).args(arguments).output();
    let made = made.unwrap();
    assert!(made.status.success(), "{made:?}");
    std::fs::read_to_string(path).unwrap()
}

/// An OpenSSH key, a PEM key, and the public half of the former.
fn keys() -> (String, String, String) {
    let folder = tempfile::tempdir().unwrap();
    let pem = keygen(folder.path(), &["-t", "ecdsa", "-m", "PEM", "-N", ""]);
    let openssh = keygen(folder.path(), &["-t", "ed25519", "-N", ""]);
    let public = std::fs::read_to_string(folder.path().join("key.pub")).unwrap();
    (openssh, pem, public)
}

fn given(text: &str, passphrase: Option<&str>) -> Result<GivenKey, KeyTextError> {
    let passphrase = passphrase.map(SecretString::from);
    GivenKey::read(KEY_VARIABLE, &SecretString::from(text), passphrase.as_ref())
}

#[test]
fn what_variables_and_web_forms_do_to_a_key_is_undone() {
    let (openssh, pem, _) = keys();
    for key in [&openssh, &pem] {
        let right = given(key, None).unwrap().key.public_key().clone();
        let body = key.trim_end();
        for (what, text) in [
            ("no line end at the end", body.to_owned()),
            ("CRLF", key.replace('\n', "\r\n")),
            ("CRLF, and no line end at the end", body.replace('\n', "\r\n")),
            ("CR", key.replace('\n', "\r")),
            ("line ends written out", body.replace('\n', "\\n")),
            ("CRLF written out", key.replace('\n', "\\r\\n")),
            ("blanks for line ends", body.replace('\n', " ")),
            ("nothing for line ends", body.replace('\n', "")),
            ("quotes", format!("\"{body}\"")),
            ("quotes and line ends written out", format!("'{}'", body.replace('\n', "\\n"))),
            ("a margin", key.replace('\n', "\n    ")),
            ("empty lines around", format!("\n\n  {key}\n\n")),
            ("a byte order mark", format!("\u{feff}{key}")),
        ] {
            let read = given(&text, None).unwrap_or_else(|error| panic!("{what}: {error}"));
            assert_eq!(read.key.public_key().key_data(), right.key_data(), "{what}");
        }
    }
}

#[test]
fn what_is_wrong_with_a_key_is_said() {
    let (openssh, pem, public) = keys();
    let half = openssh.len() / 2;
    let damaged = {
        let lines: Vec<&str> = openssh.lines().collect();
        [&lines[..2], &lines[3..]].concat().join("\n")
    };
    let label = "OPENSSH PRIVATE KEY";
    for (text, expected) in [
        (" \r\n ".to_owned(), KeyTextError::Empty),
        (public, KeyTextError::Public),
        ("-----BEGIN PUBLIC KEY-----\nMCow\n-----END PUBLIC KEY-----\n".to_owned(), KeyTextError::Public),
        ("~/.ssh/id_ed25519".to_owned(), KeyTextError::FileName),
        (STANDARD.encode(&openssh), KeyTextError::Base64),
        ("correct horse battery staple".to_owned(), KeyTextError::NotAKey),
        (openssh[..half].to_owned(), KeyTextError::CutOff { label }),
        (openssh.lines().next().unwrap().to_owned(), KeyTextError::CutOff { label }),
        (pem[..pem.len() / 2].to_owned(), KeyTextError::CutOff { label: "EC PRIVATE KEY" }),
    ] {
        let error = given(&text, None).unwrap_err();
        assert_eq!(error, expected);
        // No part of what may be a secret is repeated.
        let said = format!("{error} {error:?}");
        assert!(text.split_whitespace().all(|word| word.len() < 20 || !said.contains(word)), "{said}");
    }
    let without_dashes = openssh.replacen("PRIVATE KEY-----\n", "", 1).replace('\n', "");
    // Found by the fuzzer: a part of the key was taken for the words of the first line, which were shown.
    let secret = "gn13oiNWkdeF3DvgkTcLALE4iwRVEHMG";
    let run_together = format!("-----BEGIN EC {secret} EC PRIVATE KEY-----");
    let first_line_missing = openssh.lines().skip(1).collect::<Vec<_>>().join("\n");
    for text in [damaged, first_line_missing, without_dashes, run_together] {
        let error = given(&text, None).unwrap_err();
        assert!(matches!(error, KeyTextError::Damaged { .. }), "{error}");
        assert!(!format!("{error} {error:?}").contains(secret), "{error}");
    }
    let ca = tempfile::tempdir().unwrap();
    keygen(ca.path(), &["-t", "ed25519", "-N", ""]);
    let signed = Command::new("ssh-keygen")
        .args(["-q", "-I", "me", "-s"])
        .args([ca.path().join("key"), ca.path().join("key.pub")])
        .status();
    assert!(signed.unwrap().success());
    let certificate = std::fs::read_to_string(ca.path().join("key-cert.pub")).unwrap();
    assert_eq!(given(&certificate, None).unwrap_err(), KeyTextError::Certificate);
}

#[test]
fn all_formats_that_ssh_keygen_and_openssl_write() {
    let folder = tempfile::tempdir().unwrap();
    for kind in ["rsa", "ecdsa", "ed25519"] {
        for format in ["RFC4716", "PEM", "PKCS8"] {
            for passphrase in ["", "open sesame"] {
                let text = keygen(folder.path(), &["-t", kind, "-m", format, "-N", passphrase]);
                let what = format!("{kind} {format} {passphrase:?} {}", text.lines().next().unwrap());
                let public = std::fs::read_to_string(folder.path().join("key.pub")).unwrap();
                let public = PublicKey::from_openssh(public.trim()).unwrap();
                if passphrase.is_empty() {
                    let read = given(&text, None).unwrap_or_else(|error| panic!("{what}: {error}"));
                    assert_eq!(read.key.public_key().key_data(), public.key_data(), "{what}");
                    continue;
                }
                if text.contains("BEGIN EC PRIVATE KEY") {
                    assert_eq!(given(&text, Some(passphrase)).unwrap_err(), KeyTextError::OutdatedEncryption);
                    continue;
                }
                assert_eq!(given(&text, None).unwrap_err(), KeyTextError::Encrypted, "{what}");
                assert_eq!(given(&text, Some("wrong")).unwrap_err(), KeyTextError::WrongPassphrase, "{what}");
                let read = given(&text, Some(passphrase)).unwrap_or_else(|error| panic!("{what}: {error}"));
                assert_eq!(read.key.public_key().key_data(), public.key_data(), "{what}");
            }
        }
    }
    // ssh-keygen writes no ed25519 key in PKCS#8; OpenSSL does.
    let openssl = |arguments: &[&str]| {
        let made = Command::new("openssl").args(arguments).output().ok()?;
        made.status.success().then(|| String::from_utf8(made.stdout).unwrap())
    };
    let Some(ed25519) = openssl(&["genpkey", "-algorithm", "ed25519"]) else { return };
    assert!(ed25519.contains("BEGIN PRIVATE KEY"));
    given(&ed25519, None).unwrap();
    let locked =
        openssl(&["genpkey", "-algorithm", "ed25519", "-aes-256-cbc", "-pass", "pass:open sesame"]).unwrap();
    assert!(locked.contains("BEGIN ENCRYPTED PRIVATE KEY"));
    given(&locked, Some("open sesame")).unwrap();
    let old =
        openssl(&["genrsa", "-traditional", "-aes256", "-passout", "pass:open sesame", "2048"]).unwrap();
    assert_eq!(given(&old, Some("open sesame")).unwrap_err(), KeyTextError::OutdatedEncryption);
}

proptest! {
    #[test]
    fn any_text_is_read_without_panic(
        text in "(?s)(-----BEGIN (OPENSSH |EC |RSA |ENCRYPTED )?PRIVATE KEY-----)?.{0,200}(-----END (OPENSSH |EC |RSA )?PRIVATE KEY-----)?.{0,9}",
    ) {
        let _ = given(&text, Some("x"));
    }

    #[test]
    fn a_key_cut_anywhere_is_no_key_and_no_panic(at in 0_usize..330, junk in any::<u8>()) {
        let text = SAMPLE;
        let at = at.min(text.len() - 30);
        prop_assert!(given(&text[..at], None).is_err());
        let mut spoiled = text.to_owned().into_bytes();
        spoiled[at] = junk & 0x7f;
        let _ = given(&String::from_utf8(spoiled).unwrap(), None);
    }
}

/// Made for this test, and of use nowhere else.
const SAMPLE: &str = "-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXktdjEAAAAABG5vbmUAAAAEbm9uZQAAAAAAAAABAAAAMwAAAAtzc2gtZW\nQyNTUxOQAAACDauQiA/ayC1VD92pzDS0VVkQhnsb47N9+q1ilN91K8cAAAAJBA7JJeQOyS\nXgAAAAtzc2gtZWQyNTUxOQAAACDauQiA/ayC1VD92pzDS0VVkQhnsb47N9+q1ilN91K8cA\nAAAEAg8XCTGiZrMgo8UgoFkreh3PxqrhwqsgsLCr2yOs5uk9q5CID9rILVUP3anMNLRVWR\nCGexvjs336rWKU33UrxwAAAABnNhbXBsZQECAwQFBgc=\n-----END OPENSSH PRIVATE KEY-----\n";
