//! What the situations are made of: keys, certificates, revocation lists, and servers that show them.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};

use tempfile::TempDir;

use crate::server::{keygen, sshd_is_there};
use crate::situations::Situation;

/// Keys by name. The short ones are those of hosts.
pub(crate) const KEYS: &[(&str, &str)] = &[
    ("ed", "ed25519"),
    ("ec", "ecdsa"),
    ("rsa", "rsa"),
    ("other", "ed25519"),
    ("otherec", "ecdsa"),
    ("otherrsa", "rsa"),
    ("ca", "ed25519"),
    ("ca2", "ed25519"),
    ("caec", "ecdsa"),
    ("carsa", "rsa"),
];

/// Certificates for keys of hosts, by the arguments of ssh-keygen.
pub(crate) const CERTIFICATES: &[(&str, &str)] = &[
    ("ed_good", "-s ca -h -n web1.example.com"),
    ("ed_two", "-s ca -h -n db1.example.com,web1.example.com"),
    ("ed_wild", "-s ca -h -n *.example.com"),
    ("ed_any", "-s ca -h"),
    ("ed_wrong", "-s ca -h -n web2.example.com"),
    ("ed_upper", "-s ca -h -n WEB1.example.com"),
    ("ed_port", "-s ca -h -n [web1.example.com]:2222"),
    ("ed_alias", "-s ca -h -n the-web"),
    ("ed_expired", "-s ca -h -n web1.example.com -V 20200101:20210101"),
    ("ed_early", "-s ca -h -n web1.example.com -V 20900101:20910101"),
    ("ed_dated", "-s ca -h -n web1.example.com -V -1d:+1d -z 7"),
    ("ed_critical", "-s ca -h -n web1.example.com -O critical:colour@example.com=blue"),
    ("ed_extension", "-s ca -h -n web1.example.com -O extension:colour@example.com=blue"),
    ("ed_user", "-s ca -n web1.example.com"),
    ("ed_ca2", "-s ca2 -h -n web1.example.com"),
    ("ed_caec", "-s caec -h -n web1.example.com"),
    ("ed_carsa", "-s carsa -t rsa-sha2-512 -h -n web1.example.com"),
    ("ed_sha1", "-s carsa -t ssh-rsa -h -n web1.example.com"),
    ("ec_good", "-s ca -h -n web1.example.com"),
    ("rsa_good", "-s ca -h -n web1.example.com"),
];

/// Key revocation lists, by the arguments of ssh-keygen.
pub(crate) const KRLS: &[(&str, &str)] = &[
    ("krl_ed", "ed.pub"),
    ("krl_other", "other.pub otherrsa.pub ec.pub"),
    ("krl_ca", "ca.pub"),
    ("krl_cert", "-s ca.pub ed_dated-cert.pub"),
    ("krl_serials", "-s ca.pub serials"),
    ("krl_serials2", "-s ca2.pub serials"),
    ("krl_bitmap", "-s ca.pub bitmap"),
    ("krl_ids", "-s ca.pub ids"),
    ("krl_anybody", "-s none ids"),
    ("krl_hash", "hashes"),
    ("krl_sha1", "sha1"),
    ("krl_empty", "nothing"),
];

/// What ssh-keygen makes revocation lists of.
pub(crate) const SPECIFICATIONS: &[(&str, &str)] = &[
    ("serials", "serial: 5-9\nserial: 20\n"),
    ("bitmap", "serial: 1\nserial: 3\nserial: 5\nserial: 7\nserial: 9\nserial: 12\nserial: 14\nserial: 30\n"),
    ("ids", "id: ed_dated\nid: somebody\n"),
    ("hashes", "hash: {print}\n"),
    ("sha1", "sha1: {ed}\n"),
    ("nothing", "# nothing\n"),
];

/// Servers by the files that they show.
pub(crate) const SERVERS: &[(&str, &[&str])] = &[
    ("ed", &["ed"]),
    ("ec", &["ec"]),
    ("rsa", &["rsa"]),
    ("all", &["ed", "ec", "rsa"]),
    ("good", &["ed", "ed_good-cert.pub"]),
    ("two", &["ed", "ed_two-cert.pub"]),
    ("wild", &["ed", "ed_wild-cert.pub"]),
    ("any", &["ed", "ed_any-cert.pub"]),
    ("wrong", &["ed", "ed_wrong-cert.pub"]),
    ("upper", &["ed", "ed_upper-cert.pub"]),
    ("port", &["ed", "ed_port-cert.pub"]),
    ("alias", &["ed", "ed_alias-cert.pub"]),
    ("expired", &["ed", "ed_expired-cert.pub"]),
    ("early", &["ed", "ed_early-cert.pub"]),
    ("dated", &["ed", "ed_dated-cert.pub"]),
    ("critical", &["ed", "ed_critical-cert.pub"]),
    ("extension", &["ed", "ed_extension-cert.pub"]),
    ("user", &["ed", "ed_user-cert.pub"]),
    ("ca2", &["ed", "ed_ca2-cert.pub"]),
    ("caec", &["ed", "ed_caec-cert.pub"]),
    ("carsa", &["ed", "ed_carsa-cert.pub"]),
    ("sha1", &["ed", "ed_sha1-cert.pub"]),
    ("ecgood", &["ec", "ec_good-cert.pub"]),
    ("rsagood", &["rsa", "rsa_good-cert.pub"]),
    ("mixed", &["ed", "ec", "rsa", "ec_good-cert.pub"]),
    ("full", &["ed", "ec", "rsa", "ed_good-cert.pub", "ec_good-cert.pub", "rsa_good-cert.pub"]),
];

/// Where the keys are, and an sshd of each kind can be started.
pub(crate) struct Site {
    dir: TempDir,
    hashed: HashMap<String, String>,
}

impl Site {
    /// `None`, loudly, where there is no sshd or no right to run one.
    pub(crate) fn new(texts: &[&str]) -> Option<Self> {
        if !sshd_is_there() {
            return None;
        }
        let dir = tempfile::tempdir().unwrap();
        let site = Self { hashed: hashed(dir.path(), texts), dir };
        for (name, kind) in KEYS {
            keygen(&site.path(name), kind, "");
        }
        for (name, arguments) in CERTIFICATES {
            site.certify(name, arguments);
        }
        for (name, text) in SPECIFICATIONS {
            let print = run(site.dir.path(), &["-l", "-f", "ed.pub"]);
            let text = text.replace("{print}", print.split(' ').nth(1).unwrap());
            std::fs::write(site.path(name), site.text(&text)).unwrap();
        }
        for (name, arguments) in KRLS {
            let arguments: Vec<_> = arguments.split(' ').collect();
            run(site.dir.path(), &[&["-q", "-k", "-f", *name], &arguments[..]].concat());
        }
        for (name, keys) in SERVERS {
            let path = site.path("").display().to_string();
            let mut config = "KexAlgorithms curve25519-sha256\nUsePAM no\nStrictModes no\nLogLevel ERROR\nAuthorizedKeysFile none\n\
                              KbdInteractiveAuthentication no\nPasswordAuthentication no\n"
                .to_owned();
            for key in *keys {
                let keyword = if key.ends_with("-cert.pub") { "HostCertificate" } else { "HostKey" };
                config += &format!("{keyword} {path}{key}\n");
            }
            std::fs::write(site.path(&format!("sshd_{name}")), config).unwrap();
        }
        Some(site)
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// `<key>_<what>` becomes a certificate for a copy of that key.
    fn certify(&self, name: &str, arguments: &str) {
        let key = name.split('_').next().unwrap();
        std::fs::copy(self.path(key), self.path(name)).unwrap();
        std::fs::copy(self.path(&format!("{key}.pub")), self.path(&format!("{name}.pub"))).unwrap();
        let file = format!("{name}.pub");
        let arguments: Vec<_> = arguments.split_whitespace().collect();
        run(self.dir.path(), &[&["-q"], &arguments[..], &["-I", name, &file]].concat());
    }

    /// Puts in the keys and the hashed names.
    pub(crate) fn text(&self, text: &str) -> String {
        let mut done = String::new();
        let mut rest = text;
        while let Some((before, behind)) = rest.split_once('{') {
            let (name, behind) = behind.split_once('}').unwrap();
            done.push_str(before);
            done.push_str(&match name.split_once('#') {
                Some(("hash", name)) => self.hashed[name].clone(),
                _ => {
                    let line = std::fs::read_to_string(self.path(&format!("{name}.pub"))).unwrap();
                    line.split(' ').take(2).collect::<Vec<_>>().join(" ")
                }
            });
            rest = behind;
        }
        done + rest
    }

    /// The files of a situation, in a folder of its own.
    pub(crate) fn lay_out(&self, situation: &Situation) -> PathBuf {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let dir = self.path(&format!("case{}", COUNT.fetch_add(1, Ordering::SeqCst)));
        std::fs::create_dir(&dir).unwrap();
        for (name, text) in &situation.files {
            // Of what is not UTF-8, one byte stands for all: written as \xff.
            let text = self.text(text);
            let parts: Vec<_> = text.split("\\xff").map(str::as_bytes).collect();
            std::fs::write(dir.join(name), parts.join(&0xff)).unwrap();
        }
        let known = |name: &str| dir.join(name).display().to_string();
        let config = format!(
            "{}\nHost *\n  User nobody\n  ProxyCommand /usr/sbin/sshd -i -f {} -E /dev/null\n  \
             UserKnownHostsFile {} {}\n  GlobalKnownHostsFile {}\n  StrictHostKeyChecking yes\n  \
             BatchMode yes\n  IdentityFile none\n  IdentityAgent none\n  UpdateHostKeys no\n",
            situation
                .config
                .replace("{case}", &dir.display().to_string())
                .replace("{site}", &self.dir.path().display().to_string()),
            self.path(&format!("sshd_{}", situation.server)).display(),
            known("user"),
            known("user2"),
            known("global")
        );
        std::fs::write(dir.join("config"), config).unwrap();
        dir
    }
}

/// Runs ssh-keygen.
fn run(dir: &Path, arguments: &[&str]) -> String {
    let output = Command::new("ssh-keygen").current_dir(dir).args(arguments).output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// The hashed forms of all names that stand as `{hash#NAME}` in these texts, made by ssh-keygen.
fn hashed(dir: &Path, texts: &[&str]) -> HashMap<String, String> {
    let mut names: Vec<_> = texts
        .iter()
        .flat_map(|text| text.split("{hash#").skip(1))
        .map(|rest| rest.split('}').next().unwrap())
        .collect();
    names.sort_unstable();
    names.dedup();
    let path = dir.join("names");
    keygen(&dir.join("any"), "ed25519", "");
    let key = std::fs::read_to_string(dir.join("any.pub")).unwrap();
    let lines: String = names.iter().map(|name| format!("{name} {key}")).collect();
    std::fs::write(&path, lines).unwrap();
    let done = Command::new("ssh-keygen").arg("-H").arg("-f").arg(&path).output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let text = std::fs::read_to_string(&path).unwrap();
    let fields = text.lines().map(|line| line.split(' ').next().unwrap().to_owned());
    names.into_iter().map(str::to_owned).zip(fields).collect()
}
