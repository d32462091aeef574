//! Whether a host is believed: for each situation ssh and we are asked, with the same files, about the same sshd.

use std::collections::HashMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use shipit::ssh::config::{Files, Reader};
use shipit::ssh::{ConnectOptions, Flags, HostKeyError, Login, Routes, SshConfig, SshError};
use tempfile::TempDir;

use crate::server::{Nobody, keygen, sshd_is_there};
use crate::situations::{self, Situation};

/// How many are under way at once.
const WORKERS: usize = 4;

/// What comes of a host's key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    Accepted,
    Unknown,
    Changed,
    Revoked,
    /// None of these: something else is wrong.
    Failed,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

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
        for (name, kind) in situations::KEYS {
            keygen(&site.path(name), kind, "");
        }
        for (name, arguments) in situations::CERTIFICATES {
            site.certify(name, arguments);
        }
        for (name, text) in situations::SPECIFICATIONS {
            let print = run(site.dir.path(), &["-l", "-f", "ed.pub"]);
            let text = text.replace("{print}", print.split(' ').nth(1).unwrap());
            std::fs::write(site.path(name), site.text(&text)).unwrap();
        }
        for (name, arguments) in situations::KRLS {
            let arguments: Vec<_> = arguments.split(' ').collect();
            run(site.dir.path(), &[&["-q", "-k", "-f", *name], &arguments[..]].concat());
        }
        for (name, keys) in situations::SERVERS {
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

/// What ssh makes of it, and its words.
pub(crate) fn by_ssh(dir: &Path, situation: &Situation) -> (Verdict, String) {
    let output = Command::new("ssh")
        .arg("-F")
        .arg(dir.join("config"))
        .args(["-T", "-p", &situation.port.to_string(), situation.host, "true"])
        .env("HOME", dir)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    // In this order: several may stand there, and what is worst counts.
    let verdict = if said.contains("Permission denied") {
        Verdict::Accepted
    } else if said.contains("REVOKED HOST KEY DETECTED") || said.contains(" revoked by file ") {
        Verdict::Revoked
    } else if said.contains("HOST IDENTIFICATION HAS CHANGED") {
        Verdict::Changed
    } else if said.contains("Error checking host key") {
        Verdict::Failed
    } else if said.contains("you have requested strict checking")
        // All that it says where it has no file to write to.
        || said.trim_end().ends_with("Host key verification failed.")
    {
        Verdict::Unknown
    } else {
        Verdict::Failed
    };
    (verdict, said)
}

/// What we make of it, and our words.
pub(crate) async fn by_us(dir: &Path, situation: &Situation) -> (Verdict, String) {
    // Asking ssh takes a while, and comes to the same but for what only some situations have.
    let reader = if situation.config.is_empty() { Reader::Own } else { Reader::Ssh };
    let config = SshConfig::new(Files::Only(dir.join("config")), reader, dir);
    let routes = Routes::new(config, ConnectOptions::new(dir, Arc::new(Nobody)), Flags::default());
    let login = Login { host: situation.host.to_owned(), user: None, port: Some(situation.port) };
    let hop = match routes.to(&login).await {
        Ok(hop) => hop,
        Err(error) => return (Verdict::Failed, format!("{error:?}")),
    };
    let error = match hop.connect().await {
        Ok(_) => panic!("{}: nobody has no keys", situation.name),
        Err(error) => error,
    };
    let verdict = match &error {
        SshError::Authentication(_) => Verdict::Accepted,
        SshError::HostKey(error) => match **error {
            HostKeyError::Unknown { .. } => Verdict::Unknown,
            HostKeyError::Changed { .. } => Verdict::Changed,
            HostKeyError::Revoked { .. } => Verdict::Revoked,
            _ => Verdict::Failed,
        },
        _ => Verdict::Failed,
    };
    (verdict, format!("{error:?}"))
}

#[test]
fn a_host_is_believed_exactly_when_ssh_believes_it() {
    let all = situations::all();
    let texts: Vec<_> = all.iter().flat_map(|one| &one.files).map(|(_, text)| text.as_str()).collect();
    let Some(site) = Site::new(&texts) else { return };
    assert!(all.len() >= 150, "{}", all.len());
    let (next, wrong) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    let verdicts = Mutex::new(HashMap::<String, usize>::new());
    std::thread::scope(|scope| {
        for _ in 0..WORKERS {
            scope.spawn(|| {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
                while let Some(situation) = all.get(next.fetch_add(1, Ordering::SeqCst)) {
                    let dir = site.lay_out(situation);
                    let (theirs, they_say) = by_ssh(&dir, situation);
                    let (ours, we_say) = runtime.block_on(by_us(&dir, situation));
                    *verdicts.lock().unwrap().entry(theirs.to_string()).or_default() += 1;
                    let expected = situation.difference.as_ref().map_or(theirs, |(ours, _)| *ours);
                    let stale = situation.difference.is_some() && ours == theirs;
                    if ours != expected || stale {
                        wrong.lock().unwrap().push(format!(
                            "{}: ssh {theirs}, we {ours}{}\n--- ssh\n{they_say}--- we\n{we_say}\n",
                            situation.name,
                            if stale { ", which is listed as a difference" } else { "" },
                        ));
                    }
                }
            });
        }
    });
    let (wrong, verdicts) = (wrong.into_inner().unwrap(), verdicts.into_inner().unwrap());
    eprintln!("{} situations; ssh: {verdicts:?}", all.len());
    assert!(wrong.is_empty(), "{} of {} differ:\n{}", wrong.len(), all.len(), wrong.join("\n"));
    // The corpus is worth nothing if ssh says the same about all of it.
    for verdict in [Verdict::Accepted, Verdict::Unknown, Verdict::Changed, Verdict::Revoked] {
        assert!(verdicts.get(&verdict.to_string()).is_some_and(|count| *count >= 10), "{verdicts:?}");
    }
}
