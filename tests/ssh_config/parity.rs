//! Our own reader, and what we make of `ssh -G`, against ssh itself, over the corpus and over generated files.
//!
//! Where our own reader differs from OpenSSH's, by intent:
//! - It refuses `Match`, `CanonicalizeHostname` and `CanonicalizePermittedCNAMEs`, and tokens in `User` and `Include`: these
//!   need programs, the network, or the knowledge which version of ssh it stands for.
//! - It checks no values of keywords that shipit does not act on (`ForwardAgent`, ...), nor the names in lists of
//!   algorithms.
//! - It takes keywords of later versions of OpenSSH than the one installed.
//! - Lists of algorithms with `+`, `-` or `^` stay as they are; `ssh -G` prints what they come to.
//! - Of the names that /etc/services has for ports it knows `ssh` only; of addresses the usual forms, and not `10.1`.
//! - A configuration that can't be read is an error; ssh passes its user's over without a word.
//! - It refuses a few more characters in the name of a user that is asked for.
//! - `ProxyJump none` does not keep a later `ProxyCommand` out, as in OpenSSH 10.3 and what is patched like it. It did before.
//! - What `%C` stands for behind a jump host depends on the version of ssh, and is refused.
//!
//! And where what we make of `ssh -G` differs:
//! - Where several known_hosts files are named, a blank in a name followed by `/` or `~` begins a new name, and one that is
//!   followed by anything else does not: `ssh -G` does not quote.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use shipit::ssh::Login;
use shipit::ssh::config::{
    ConfigError, Files, Found, HostConfig, IdentityAgent, ProxySetting, Reader, SshConfig,
};

use crate::corpus::{Case, corpus};
use crate::generate;
use crate::oracle::{self, intent};
use crate::situation::{find, ssh_is_there};

fn read(reader: Reader, config: &Path, login: &Login, home: &Path) -> Result<Arc<Found>, ConfigError> {
    find(&SshConfig::new(Files::Only(config.to_owned()), reader, home), login)
}

/// What shipit goes by. Lists of algorithms with signs stay as they are when we read them ourselves.
fn comparable(config: &HostConfig, other: &HostConfig) -> HostConfig {
    let mut config = config.clone();
    let algorithms = |own: &mut Option<String>, other: &Option<String>| {
        let has_sign =
            |list: &Option<String>| list.as_ref().is_some_and(|list| list.starts_with(['+', '-', '^']));
        if has_sign(own) || has_sign(other) {
            *own = None;
        }
    };
    algorithms(&mut config.kex_algorithms, &other.kex_algorithms);
    algorithms(&mut config.ciphers, &other.ciphers);
    algorithms(&mut config.macs, &other.macs);
    algorithms(&mut config.host_key_algorithms, &other.host_key_algorithms);
    algorithms(&mut config.pubkey_accepted_algorithms, &other.pubkey_accepted_algorithms);
    algorithms(&mut config.ca_signature_algorithms, &other.ca_signature_algorithms);
    config
}

/// The numbers of the lines that are complained about, with the file's name where that is another one.
fn lines_of_ssh(said: &str) -> Vec<usize> {
    let number = |line: &str| line.split("line ").nth(1)?.split([':', ' ', '.']).next()?.parse().ok();
    let mut lines: Vec<usize> = said.lines().filter_map(number).collect();
    lines.dedup();
    lines
}

/// Compares the two readers; `true` when they come to a configuration.
fn agree(case: &Case, login: &Login, home: &Path) -> bool {
    let written = case.write();
    let own = read(Reader::Own, &written.config, login, home);
    let by_ssh = read(Reader::Ssh, &written.config, login, home);
    let told = || format!("{}, {login}\n{}", case.name, case.config);
    match (own, by_ssh) {
        (Ok(own), Ok(by_ssh)) => {
            let (own, by_ssh) = (&own.config, &by_ssh.config);
            assert_eq!(comparable(own, by_ssh), comparable(by_ssh, own), "{}", told());
            true
        }
        (Err(ConfigError::Problems { problems }), Err(ConfigError::Ssh { said, .. })) => {
            let ours: Vec<usize> = problems.iter().map(|problem| problem.line).collect();
            assert_eq!(ours, lines_of_ssh(&said.join("\n")), "{}\n{said:?}\n{problems:?}", told());
            false
        }
        // A value that is wrong for this host, which ssh may leave to us to find out.
        (Err(ConfigError::Value { .. }), Err(ConfigError::Value { .. } | ConfigError::Ssh { .. })) => false,
        (Err(ConfigError::JumpLoop { .. }), Err(ConfigError::Ssh { .. })) => false,
        (own, by_ssh) => panic!("{}\nown reader: {own:?}\nby ssh: {by_ssh:?}", told()),
    }
}

#[test]
fn our_own_reader_comes_to_what_ssh_comes_to() {
    if !ssh_is_there() {
        return;
    }
    let home = oracle::home();
    let cases = corpus();
    let mut asked = 0;
    for case in &cases {
        for login in &case.asks {
            agree(case, login, &home);
            asked += 1;
        }
    }
    eprintln!("{} files, {asked} questions", cases.len());
    assert!(cases.len() >= 150 && asked >= 210, "the corpus has shrunk");
}

#[test]
fn it_does_for_files_that_nobody_wrote_as_well() {
    if !ssh_is_there() {
        return;
    }
    let home = oracle::home();
    let mut good = 0;
    for seed in 0..200 {
        let case = generate::case(seed);
        for login in &case.asks {
            good += usize::from(agree(&case, login, &home));
        }
    }
    // Neither all good nor all bad, or it would mean little.
    assert!((150..=350).contains(&good), "{good} of 400");
}

/// The keywords of which `ssh -G` prints what is used.
fn plain_values(config: &HostConfig) -> Vec<(&'static str, String)> {
    let yes = |flag: bool| if flag { "yes" } else { "no" }.to_owned();
    vec![
        ("hostname", config.hostname.clone()),
        ("user", config.user.clone()),
        ("port", config.port.to_string()),
        ("identitiesonly", yes(config.identities_only)),
        ("hashknownhosts", yes(config.hash_known_hosts)),
        ("batchmode", yes(config.batch_mode)),
        ("checkhostip", yes(config.check_host_ip)),
        ("passwordauthentication", yes(config.password_authentication)),
        ("kbdinteractiveauthentication", yes(config.kbd_interactive_authentication)),
        ("nohostauthenticationforlocalhost", yes(config.no_host_authentication_for_localhost)),
        ("connectionattempts", config.connection_attempts.to_string()),
        ("serveralivecountmax", config.server_alive_count_max.to_string()),
        ("serveraliveinterval", config.server_alive_interval.as_secs().to_string()),
        ("numberofpasswordprompts", config.number_of_password_prompts.to_string()),
        (
            "connecttimeout",
            config.connect_timeout.map_or("none".to_owned(), |time| time.as_secs().to_string()),
        ),
    ]
}

fn texts(paths: &[PathBuf]) -> Vec<String> {
    paths.iter().map(|path| path.to_str().unwrap().to_owned()).collect()
}

#[test]
fn what_we_make_of_ssh_g_is_what_ssh_does() {
    if !ssh_is_there() {
        return;
    }
    let home = oracle::home();
    let mut asked = 0;
    for case in corpus() {
        for login in &case.asks {
            let written = case.write();
            let Ok(dump) = oracle::dump(&written.config, login, &home) else { continue };
            let found = match read(Reader::Ssh, &written.config, login, &home) {
                Ok(found) => found,
                Err(error) => panic!("{}, {login}: {error}", case.name),
            };
            asked += 1;
            check(&case, login, &found.config, &dump, &written.config, &home);
        }
    }
    assert!(asked >= 170, "{asked}");
}

fn check(
    case: &Case,
    login: &Login,
    config: &HostConfig,
    dump: &[(String, String)],
    file: &Path,
    home: &Path,
) {
    let told = || format!("{}, {login}\n{}", case.name, case.config);
    let get = |name: &str| dump.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str());
    for (key, ours) in plain_values(config) {
        // Debian's ssh has a value of its own for programs, which we do not take.
        if key == "serveraliveinterval" && config.batch_mode {
            continue;
        }
        assert_eq!(get(key), Some(ours.as_str()), "{key}: {}", told());
    }
    let intent = intent(file, login, home);
    if let Some(files) = &config.identity_files {
        let said: Vec<_> =
            intent.identity_files.iter().map(|file| file.trim_end_matches('/').to_owned()).collect();
        let ours: Vec<_> = texts(files).iter().map(|file| file.trim_end_matches('/').to_owned()).collect();
        assert_eq!(ours, said, "{}", told());
    } else {
        let usual = format!("{}/.ssh/id_rsa", home.display());
        assert_eq!(intent.identity_files.first(), Some(&usual), "{}", told());
    }
    let known = config.user_known_hosts_files.as_ref().map(|files| match &texts(files)[..] {
        [] => "none".to_owned(),
        files => files.join(" "),
    });
    let usual = format!("{0}/.ssh/known_hosts {0}/.ssh/known_hosts2", home.display());
    assert_eq!(get("userknownhostsfile"), Some(known.unwrap_or(usual).as_str()), "{}", told());
    match &config.identity_agent {
        IdentityAgent::Socket(path) if !get("identityagent").unwrap().starts_with('$') => {
            assert_eq!(get("identityagent"), path.to_str(), "{}", told());
        }
        IdentityAgent::Socket(_) => {}
        IdentityAgent::None => {
            assert!(get("identityagent").is_some_and(|agent| agent == "none" || agent.starts_with('$')));
        }
        IdentityAgent::Environment => {
            assert!(matches!(get("identityagent"), None | Some("SSH_AUTH_SOCK")), "{}", told());
        }
    }
    match (&config.proxy, intent.proxy) {
        (ProxySetting::Direct, None) => {}
        (ProxySetting::Command { command, .. }, Some(said)) => assert_eq!(*command, said, "{}", told()),
        (ProxySetting::Jump(jumps), Some(said)) => {
            assert_eq!(by_ssh(jumps, config, file), said, "{}", told());
        }
        (ours, said) => panic!("{ours:?}, and ssh: {said:?}\n{}", told()),
    }
}

/// The command by which ssh goes through jump hosts.
fn by_ssh(jumps: &[Login], config: &HostConfig, file: &Path) -> String {
    let (last, before) = jumps.split_last().unwrap();
    let user = last.user.as_ref().map(|user| format!(" -l {user}")).unwrap_or_default();
    let port = last.port.map(|port| format!(" -p {port}")).unwrap_or_default();
    let before: Vec<String> = before.iter().map(Login::to_string).collect();
    let extra = if before.is_empty() { String::new() } else { format!(" -J {}", before.join(",")) };
    let (file, to) = (file.display(), format!("'[{}]:{}'", config.hostname, config.port));
    format!("ssh{user}{port}{extra} -F {file} -v -W {to} {}", last.host)
}

/// The list at the top of this file can't go stale.
#[test]
fn the_differences_are_those_that_are_listed() {
    if !ssh_is_there() {
        return;
    }
    let home = oracle::home();
    let one = |config: &str| {
        let case = Case {
            name: "difference".to_owned(),
            asks: Vec::new(),
            config: config.to_owned(),
            more: Vec::new(),
        };
        let written = case.write();
        let login = crate::situation::host("web1");
        (read(Reader::Own, &written.config, &login, &home), read(Reader::Ssh, &written.config, &login, &home))
    };
    for text in ["Match all\n", "CanonicalizeHostname yes\nHostName localhost\n", "User %u\n", "Include %u\n"]
    {
        let (own, by_ssh) = one(text);
        assert!(matches!(own, Err(ConfigError::NeedsSsh { line: 1, .. })), "{text}: {own:?}");
        assert!(by_ssh.is_ok(), "{text}: {by_ssh:?}");
    }
    for text in [
        "Ciphers nonsense\n",
        "HostKeyAlgorithms nonsense\n",
        "ForwardAgent\"\" a b\n",
        "WarnWeakCrypto no\n",
    ] {
        let (own, _) = one(text);
        assert!(own.is_ok(), "{text}: {own:?}");
    }
    let (own, by_ssh) = one("HostKeyAlgorithms +ssh-rsa\n");
    assert_eq!(own.unwrap().config.host_key_algorithms.as_deref(), Some("+ssh-rsa"));
    assert!(by_ssh.unwrap().config.host_key_algorithms.as_deref().unwrap().ends_with(",ssh-rsa"));
    let (own, by_ssh) = one("ProxyJump none\nProxyCommand nc %h\n");
    let command = ProxySetting::Command { written: "nc %h".to_owned(), command: "nc web1".to_owned() };
    assert_eq!(own.unwrap().config.proxy, command);
    assert!([command, ProxySetting::Direct].contains(&by_ssh.unwrap().config.proxy));
    let (own, by_ssh) = one("Port smtp\n");
    assert!(own.is_err());
    if let Ok(by_ssh) = by_ssh {
        assert_eq!(by_ssh.config.port, 25);
    }
    let (own, by_ssh) = one("HostName 10.1\n");
    assert_eq!(
        (own.unwrap().config.hostname.as_str(), by_ssh.unwrap().config.hostname.as_str()),
        ("10.1", "10.0.0.1")
    );
    let (own, by_ssh) = one("ProxyJump gate\nIdentityFile /k/%C\n");
    assert!(own.is_err() && by_ssh.is_err());
    let (own, by_ssh) = one("UserKnownHostsFile \"/k/a /b\" c\n");
    let names = |found: Result<Arc<Found>, ConfigError>| {
        texts(found.unwrap().config.user_known_hosts_files.as_ref().unwrap())
    };
    assert_eq!(names(own), ["/k/a /b", "c"]);
    assert_eq!(names(by_ssh), ["/k/a", "/b c"]);
}
