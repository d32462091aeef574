//! What `ssh -G` prints: one keyword a line, with the value that ssh has come to, whether it was configured or not.
//!
//! Two things it does not say are found by comparing it with what the same ssh prints with no configuration at all, the
//! [`Baseline`]: which values were configured, and which of them have `~` and tokens put in already. That
//! changes from one version of OpenSSH to the next.

use std::collections::BTreeMap;

use super::keyword::{Form, Keyword, Meaning, meaning};
use super::settings::{Setting, Settings, Written};

/// The lines of keywords that shipit acts on.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Dump(BTreeMap<Keyword, Vec<String>>);

impl Dump {
    /// Reads what ssh printed. Keywords that are not known, from a later version, are left out. Older versions print some by
    /// their older names, and one by both: `ChallengeResponseAuthentication` was a setting of its own up to 8.6.
    pub(super) fn parse(text: &str) -> Self {
        let mut lines: BTreeMap<Keyword, Vec<String>> = BTreeMap::new();
        for line in text.lines() {
            let (name, value) = line.split_once(' ').unwrap_or((line, ""));
            let Some(Meaning::Setting(keyword)) = meaning(name) else { continue };
            let values = lines.entry(keyword).or_default();
            match keyword.form() {
                // What was forbidden under one of the names is.
                Form::Choice(_) if !values.is_empty() => {
                    if value == "no" {
                        *values = vec![value.to_owned()];
                    }
                }
                _ => values.push(value.to_owned()),
            }
        }
        Self(lines)
    }

    fn value(&self, keyword: Keyword) -> Option<&str> {
        self.0.get(&keyword)?.first().map(String::as_str)
    }

    /// Whether this is the output of `ssh -G` at all.
    pub(super) fn is_complete(&self) -> bool {
        [Keyword::HostName, Keyword::User, Keyword::Port].iter().all(|keyword| self.0.contains_key(keyword))
    }
}

/// What `ssh -G` prints where nothing is configured but [`Baseline::OPTIONS`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Baseline(Dump);

impl Baseline {
    /// Values that show whether ssh puts in what `~` and `%%` stand for. ControlPath is always so.
    pub(super) const OPTIONS: [&'static str; 4] =
        ["CertificateFile=~/%%", "RevokedHostKeys=~/%%", "IdentityAgent=~/%%", "ControlPath=~/x"];

    pub(super) fn new(dump: Dump) -> Self {
        Self(dump)
    }

    /// The login name as ssh knows it.
    pub(super) fn user(&self) -> Option<&str> {
        self.0.value(Keyword::User)
    }

    /// How far ssh brings the values of a keyword.
    fn written(&self, keyword: Keyword) -> Written {
        match keyword {
            Keyword::CertificateFile
            | Keyword::IdentityAgent
            | Keyword::IdentityFile
            | Keyword::RevokedHostKeys
            | Keyword::UserKnownHostsFile => match self.0.value(keyword) {
                Some(value) if value.starts_with('~') => Written::Raw,
                _ => Written::Expanded,
            },
            // Those of these keywords that are expanded at all have been.
            _ => Written::Expanded,
        }
    }

    /// Whether ssh would print this value with nothing configured.
    fn is_default(&self, keyword: Keyword, values: &[String]) -> bool {
        match keyword {
            // There is none by default; the baseline's own is a probe.
            Keyword::CertificateFile | Keyword::RevokedHostKeys | Keyword::IdentityAgent => false,
            // Always worth having: there is no one default.
            Keyword::HostName | Keyword::User | Keyword::Port | Keyword::UpdateHostKeys => false,
            _ => self.0.0.get(&keyword).is_some_and(|default| default == values),
        }
    }
}

impl Dump {
    /// What is set. `home` corrects what ssh has put in for `~`.
    pub(super) fn settings(&self, baseline: &Baseline, home: &Homes) -> Settings {
        let mut settings = Settings::default();
        for (keyword, values) in &self.0 {
            if baseline.is_default(*keyword, values) {
                continue;
            }
            let written = baseline.written(*keyword);
            let words = match (keyword, keyword.form()) {
                (_, Form::Words) => values.iter().flat_map(|value| paths(value)).collect(),
                _ => values.clone(),
            };
            let words = match written {
                Written::Expanded => words.iter().map(|word| home.correct(*keyword, word)).collect(),
                Written::Raw => words,
            };
            settings.set(*keyword, Setting { words, written });
        }
        settings
    }
}

/// ssh prints several paths on one line and does not quote them. A blank begins a new path when it is followed by what a
/// path begins with.
fn paths(value: &str) -> Vec<String> {
    let mut paths: Vec<String> = Vec::new();
    for piece in value.split(' ') {
        match paths.last_mut() {
            Some(last) if !piece.starts_with(['/', '~']) => {
                last.push(' ');
                last.push_str(piece);
            }
            _ => paths.push(piece.to_owned()),
        }
    }
    paths
}

/// The home directory as ssh has it, from the user database, and as everything else has it, from `HOME`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Homes {
    /// They are the same.
    One,
    /// They differ. `HOME` counts.
    Two { ssh: String, home: String },
}

impl Homes {
    pub(super) fn new(baseline: &Dump, control_path: Option<&str>, home: &str) -> Self {
        let from_known_hosts = || {
            let value = baseline.value(Keyword::UserKnownHostsFile)?;
            value.split_once("/.ssh/known_hosts ").map(|(ssh, _)| ssh)
        };
        let ssh = control_path.and_then(|path| path.strip_suffix("/x")).or_else(from_known_hosts);
        match ssh.filter(|ssh| ssh.starts_with('/')) {
            Some(ssh) if ssh.trim_end_matches('/') != home.trim_end_matches('/') => Self::Two {
                ssh: ssh.trim_end_matches('/').to_owned(),
                home: home.trim_end_matches('/').to_owned(),
            },
            _ => Self::One,
        }
    }

    /// A path below ssh's home directory is taken for one that was written with `~`.
    fn correct(&self, keyword: Keyword, path: &str) -> String {
        let is_path = matches!(
            keyword,
            Keyword::CertificateFile
                | Keyword::IdentityAgent
                | Keyword::IdentityFile
                | Keyword::RevokedHostKeys
                | Keyword::UserKnownHostsFile
        );
        match self {
            Self::Two { ssh, home } if is_path => match path.strip_prefix(ssh.as_str()) {
                Some(rest) if rest.is_empty() || rest.starts_with('/') => format!("{home}{rest}"),
                _ => path.to_owned(),
            },
            Self::One | Self::Two { .. } => path.to_owned(),
        }
    }
}

/// Takes one text for what `ssh -G` prints about a host, and another for what it prints with no configuration. For tests: no
/// such text may do harm.
#[cfg(any(test, fuzzing))]
pub(in crate::ssh) fn read_dump(dump: &str, baseline: &str) {
    let baseline = Dump::parse(baseline);
    let dump = Dump::parse(dump);
    let login = super::Login { host: "web1".to_owned(), user: None, port: None };
    let machine = super::Machine { home: "/home/ada".into(), user: Some("ada".to_owned()) };
    let controls = baseline.value(Keyword::UserKnownHostsFile).map(str::to_owned);
    let homes = Homes::new(&baseline, controls.as_deref(), "/home/ada");
    let settings = dump.settings(&Baseline::new(baseline), &homes);
    let _ = super::HostConfig::new(&settings, &login, &machine);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Of OpenSSH 9.2, shortened.
    const BASELINE: &str = "host shipit.invalid\nuser root\nhostname shipit.invalid\nport 22\nstricthostkeychecking ask\n\
        controlpath /root/x\nidentityagent /root/%\nrevokedhostkeys ~/%%\nidentityfile ~/.ssh/id_rsa\n\
        identityfile ~/.ssh/id_ed25519\ncertificatefile ~/%%\n\
        userknownhostsfile /root/.ssh/known_hosts /root/.ssh/known_hosts2\nconnecttimeout none\n";

    fn settings(homes: &Homes, dump: &str) -> Settings {
        Dump::parse(dump).settings(&Baseline::new(Dump::parse(BASELINE)), homes)
    }

    #[test]
    fn what_ssh_prints_anyway_is_not_set() {
        let dump = BASELINE
            .replace("identityagent /root/%\nrevokedhostkeys ~/%%\n", "")
            .replace("certificatefile ~/%%\n", "");
        let keywords: Vec<_> = settings(&Homes::One, &dump).keywords().collect();
        assert_eq!(keywords, [Keyword::HostName, Keyword::Port, Keyword::User]);
        assert!(Dump::parse(&dump).is_complete());
        assert!(!Dump::parse("usage: dbclient [options]").is_complete());
    }

    #[test]
    fn the_baseline_tells_what_ssh_has_put_in() {
        let set =
            settings(&Homes::One, "identityfile ~/a b\nuserknownhostsfile /root/a b /c\nidentityagent $X\n");
        let get = |keyword| set.get(keyword).unwrap();
        assert_eq!(get(Keyword::IdentityFile).words, ["~/a b"]);
        assert_eq!(get(Keyword::IdentityFile).written, Written::Raw);
        assert_eq!(get(Keyword::UserKnownHostsFile).words, ["/root/a b", "/c"]);
        assert_eq!(get(Keyword::UserKnownHostsFile).written, Written::Expanded);
        // As an older version has it.
        let older = BASELINE.replace("/root/", "~/").replace("~/%\n", "~/%%\n");
        let older = Dump::parse("userknownhostsfile ~/k\n")
            .settings(&Baseline::new(Dump::parse(&older)), &Homes::One);
        assert_eq!(older.get(Keyword::UserKnownHostsFile).unwrap().written, Written::Raw);
    }

    #[test]
    fn older_names_are_understood() {
        let old = |challenge: &str, interactive: &str, types: &str| {
            format!(
                "{BASELINE}challengeresponseauthentication {challenge}\nkbdinteractiveauthentication {interactive}\n\
                 pubkeyacceptedkeytypes {types}\n"
            )
        };
        let set = |dump: &str| {
            let baseline = Dump::parse(&old("yes", "yes", "ssh-ed25519,ssh-rsa"));
            Dump::parse(dump).settings(&Baseline::new(baseline), &Homes::One)
        };
        let (interactive, types) = (Keyword::KbdInteractiveAuthentication, Keyword::PubkeyAcceptedAlgorithms);
        let plain = set(&old("yes", "yes", "ssh-ed25519,ssh-rsa"));
        assert_eq!((plain.word(interactive), plain.word(types)), (None, None));
        for (challenge, kbd) in [("no", "yes"), ("yes", "no"), ("no", "no")] {
            let set = set(&old(challenge, kbd, "ssh-ed25519"));
            assert_eq!(set.word(interactive), Some("no"), "{challenge}, {kbd}");
            assert_eq!(set.word(types), Some("ssh-ed25519"));
        }
    }

    #[test]
    fn where_home_is_another_directory_paths_are_brought_there() {
        let homes = |control| Homes::new(&Dump::parse(BASELINE), control, "/home/ada");
        let two = Homes::Two { ssh: "/root".into(), home: "/home/ada".into() };
        assert_eq!(homes(Some("/root/x")), two);
        assert_eq!(homes(None), two);
        assert_eq!(Homes::new(&Dump::parse(BASELINE), Some("/root/x"), "/root/"), Homes::One);
        let set =
            settings(&two, "userknownhostsfile /root/.ssh/k /rooted/k /etc/k\nproxycommand /root/bin/p\n");
        assert_eq!(
            set.get(Keyword::UserKnownHostsFile).unwrap().words,
            ["/home/ada/.ssh/k", "/rooted/k", "/etc/k"]
        );
        assert_eq!(set.word(Keyword::ProxyCommand), Some("/root/bin/p"));
    }

    proptest! {
        #[test]
        fn no_output_is_too_much(text in "((user|port|identityfile|userknownhostsfile|x) ?[ -~]{0,20}\n?){0,5}") {
            let _ = settings(&Homes::One, &text);
        }
    }
}
