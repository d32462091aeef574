use std::os::unix::fs::PermissionsExt as _;

use super::super::{HostConfig, ProxySetting};
use super::*;

struct Home(tempfile::TempDir);

impl Home {
    fn new(config: &str) -> Self {
        let this = Self(tempfile::tempdir().unwrap());
        this.write("config", config);
        this
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(".ssh").join(name)
    }

    fn write(&self, name: &str, text: impl AsRef<[u8]>) {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
    }

    fn machine(&self) -> Machine {
        Machine { home: self.0.path().to_owned(), user: Some("ada".to_owned()) }
    }

    fn read(&self, host: &str) -> Result<HostConfig, ConfigError> {
        let login = Login { host: host.to_owned(), user: None, port: None };
        let machine = self.machine();
        // Without the file for all users, which is not the test's.
        let mut reading = Reading::new(&login, &machine);
        reading.file(&self.path("config"), Place::OfUser, Trust::OwnersOnly, Absence::Error)?;
        if !reading.problems.is_empty() {
            return Err(ConfigError::Problems { problems: reading.problems });
        }
        HostConfig::new(&reading.settings, &login, &machine)
    }

    #[track_caller]
    fn error(&self) -> String {
        self.read("web1").unwrap_err().to_string().replace(self.0.path().to_str().unwrap(), "HOME")
    }
}

fn read(config: &str, host: &str) -> HostConfig {
    Home::new(config).read(host).unwrap()
}

#[test]
fn the_first_value_wins_and_patterns_choose() {
    let config = "Host web1\n User deploy\n Port 2222\nHost !web2 web*\n User other\n IdentityFile ~/.ssh/web\n\
                  Host *\n User nobody\n IdentityFile ~/.ssh/all\n HostName %h.example.COM\n";
    let web1 = read(config, "web1");
    assert_eq!((web1.user.as_str(), web1.port, web1.hostname.as_str()), ("deploy", 2222, "web1.example.com"));
    let names: Vec<_> =
        web1.identity_files.unwrap().iter().map(|path| path.file_name().unwrap().to_owned()).collect();
    assert_eq!(names, ["web", "all"]);
    assert_eq!(read(config, "web3").user, "other");
    assert_eq!(read(config, "web2").user, "nobody");
    let nothing = read("", "Web1");
    assert_eq!((nothing.user.as_str(), nothing.port, nothing.hostname.as_str()), ("ada", 22, "web1"));
    assert_eq!((nothing.identity_files, nothing.user_known_hosts_files), (None, None));
}

#[test]
fn a_jump_host_and_a_proxy_command_keep_each_other_out() {
    let jump = |config: &str| read(config, "web1").proxy;
    let command = |command: &str| ProxySetting::Command { written: command.into(), command: command.into() };
    assert!(
        matches!(jump("ProxyJump a,b\nProxyCommand nc x\n"), ProxySetting::Jump(jumps) if jumps.len() == 2)
    );
    assert_eq!(jump("ProxyCommand = nc  \"x y\" # z\nProxyJump a\n"), command("nc  \"x y\" # z"));
    assert_eq!(jump("ProxyJump none\nProxyCommand nc x\nProxyJump a\n"), command("nc x"));
    assert_eq!(jump("ProxyCommand none\nProxyJump a\n"), ProxySetting::Direct);
}

#[test]
fn an_include_reads_all_that_match_and_leaves_the_block_as_it_was() {
    let home = Home::new("Host web1\n Include conf.d/*.conf\n User last\nHost other\n Include never\n");
    home.write("conf.d/2.conf", "Port 2\n");
    home.write("conf.d/1.conf", "Port 1\nHost nobody\n User wrong\n");
    home.write("never", "HostName wrong\nHost web1\n Port 99\n HostName wrong\n");
    std::fs::create_dir(home.path("conf.d/folder.conf")).unwrap();
    let config = home.read("web1").unwrap();
    assert_eq!((config.port, config.user.as_str(), config.hostname.as_str()), (1, "last", "web1"));
}

#[test]
fn every_bad_line_is_named() {
    let home =
        Home::new("Port\nPort x\nProxyJmup a\nUser a b\nHost \"a\nHost other\n  ConnectTimeout soon\n");
    home.write("more", b"Port 22\nUser \xff\n");
    insta::assert_snapshot!(home.error(), @r"
    the ssh configuration has errors:
    HOME/.ssh/config:1: `port` has no argument
    HOME/.ssh/config:2: port: `x` is not a port between 1 and 65535
    HOME/.ssh/config:3: `proxyjmup` is not a keyword of ssh_config
    HOME/.ssh/config:4: `user` takes one argument
    HOME/.ssh/config:5: a quote is not closed
    HOME/.ssh/config:7: connecttimeout: `soon` is not a time: a number of seconds, or as in 1m30s
    ");
    home.write("config", "Include more\n");
    assert!(home.error().ends_with("HOME/.ssh/more:2: this line is not UTF-8"), "{}", home.error());
}

#[test]
fn what_takes_ssh_to_judge_is_refused_and_not_guessed() {
    let message = |config: &str| Home::new(config).error();
    for (config, keyword) in [
        ("User a\nMatch host web1\n  User b\n", "Match"),
        ("Host other\nMatch all\n", "Match"),
        ("\nCanonicalizeHostname yes\n", "canonicalizehostname"),
        ("\nCanonicalizePermittedCNAMEs *:*\n", "canonicalizepermittedcnames"),
        ("\nUser %u\n", "User with tokens"),
        ("\nInclude %u.conf\n", "Include with tokens"),
    ] {
        let message = message(config);
        assert!(message.starts_with(&format!("HOME/.ssh/config:2: `{keyword}` can only")), "{message}");
    }
    assert_eq!(message("RefuseConnection \"use web2\"\n"), "HOME/.ssh/config:1: RefuseConnection: use web2");
    for harmless in
        ["CanonicalizeHostname no\n", "CanonicalizePermittedCNAMEs none\n", "Host x\nRefuseConnection y\n"]
    {
        read(harmless, "web1");
    }
}

#[test]
fn a_file_that_others_can_write_to_is_refused() {
    let home = Home::new("Include more\n");
    home.write("more", "Port 22\n");
    let mode = |name: &str, mode| {
        std::fs::set_permissions(home.path(name), std::fs::Permissions::from_mode(mode)).unwrap();
    };
    mode("more", 0o664);
    assert!(home.error().starts_with("HOME/.ssh/more belongs to someone else"), "{}", home.error());
    mode("more", 0o600);
    mode("config", 0o602);
    assert!(home.error().starts_with("HOME/.ssh/config belongs to someone else"), "{}", home.error());
    mode("config", 0o644);
    home.read("web1").unwrap();
}

#[test]
fn files_that_include_each_other_come_to_an_end() {
    let home = Home::new("Include config\n");
    assert!(home.error().contains("too deeply"), "{}", home.error());
    home.write("config", "Include *\nInclude *\nInclude *\n");
    home.write("b", "Include *\n");
    let error = home.error();
    assert!(error.contains("too deeply") || error.contains("too many files"), "{error}");
}

#[test]
fn a_keyword_may_be_unknown_when_the_file_says_so() {
    let config = "IgnoreUnknown Use*,Foo\nUseFoo yes\nfoo bar\nPort 1\n";
    assert_eq!(read(config, "web1").port, 1);
}

#[test]
fn names_that_a_shell_would_act_on_do_not_get_into_a_command() {
    let config = |user: &str| format!("User {user}\nProxyCommand nc %h %p %r\n");
    let message = Home::new(&config("$HOME")).error();
    assert!(message.contains("User with tokens"), "{message}");
    let login = Login { host: "web1".into(), user: Some("$(id)".into()), port: None };
    let machine = Machine { home: "/x".into(), user: None };
    let mut settings = Settings::default();
    settings.set_first(Keyword::ProxyCommand, vec!["nc %h %r".into()]);
    settings.set_first(Keyword::User, vec!["$(id)".into()]);
    let error = HostConfig::new(&settings, &login, &machine).unwrap_err().to_string();
    assert!(error.contains("characters that a shell would act on"), "{error}");
}

#[test]
fn what_shipit_does_not_do_is_not_passed_over() {
    for (config, keyword) in [
        ("BindInterface eth0\n", "bindinterface"),
        ("ProxyUseFdpass yes\nProxyCommand x\n", "proxyusefdpass"),
        ("ProxyCommand -\n", "proxycommand"),
    ] {
        let message = Home::new(config).error();
        assert!(message.starts_with(keyword) && message.contains("does not support"), "{message}");
    }
    read("ProxyUseFdpass yes\n", "web1");
}

proptest::proptest! {
    #[test]
    fn no_text_is_too_much(text in "((Host|Match|Include|User|Port|IdentityFile|ProxyJump|ProxyCommand|#)?[ =\"*!a-z0-9%~/,@:-]{0,20}\n?){0,8}") {
        read_text(text.as_bytes(), "web1");
    }

    #[test]
    fn no_bytes_are_too_much(bytes: Vec<u8>) {
        read_text(&bytes, "web1");
    }
}
