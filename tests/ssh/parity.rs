//! Whether a host is believed: for each situation ssh and we are asked, with the same files, about the same sshd.

use std::collections::HashMap;
use std::fmt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use shipit::ssh::config::{Files, Reader};
use shipit::ssh::{ConnectOptions, Flags, HostKeyError, Login, Routes, SshConfig, SshError};

use crate::parity_site::Site;
use crate::server::Nobody;
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
