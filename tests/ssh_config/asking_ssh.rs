//! ssh is asked in the right way, and what it says is passed on.

use std::path::PathBuf;

use shipit::ssh::config::{ConfigError, Files, Keyword, Login, Reader};

use crate::situation::{Home, find, host, ssh_is_there};

#[test]
fn the_home_directory_is_that_of_home_and_not_the_one_in_the_user_database() {
    if !ssh_is_there() {
        return;
    }
    let home = Home::new();
    home.write(
        "config",
        "Include more/*\nHost web1\n  HostName 192.0.2.1\n  IdentityFile ~/.ssh/web\n  IdentityFile %d/other\n  \
         UserKnownHostsFile ~/.ssh/known_web\n  IdentityAgent ~/agent\n",
    );
    home.write("more/port", "Host web1\n  Port 2222\n");
    let config = home.config(Files::Usual, Reader::Ssh);
    let found = find(&config, &host("web1")).unwrap();
    let below = |name: &str| home.path().join(name);
    assert_eq!((found.config.hostname.as_str(), found.config.port), ("192.0.2.1", 2222));
    assert_eq!(found.config.identity_files, Some(vec![below(".ssh/web"), below("other")]));
    assert_eq!(found.config.user_known_hosts_files, Some(vec![below(".ssh/known_web")]));
    assert_eq!(
        found.config.identity_agent,
        shipit::ssh::config::IdentityAgent::Socket(below("agent")),
        "{found:?}"
    );
    for keyword in [Keyword::HostName, Keyword::Port, Keyword::IdentityFile] {
        assert!(found.configured.contains(&keyword), "{keyword:?}");
    }
    assert!(!found.configured.contains(&Keyword::User), "{found:?}");

    let nothing = find(&config, &host("web2")).unwrap();
    assert_eq!((nothing.config.identity_files.clone(), nothing.config.port), (None, 22));
    assert_eq!(nothing.config.user_known_hosts_files, None);
    assert!(!nothing.configured.contains(&Keyword::Port), "{nothing:?}");
}

#[test]
fn what_is_said_with_the_question_wins_and_decides_what_matches() {
    if !ssh_is_there() {
        return;
    }
    let home = Home::new();
    let text = "Match user ada\n  IdentityFile /keys/ada\nHost *\n  User deploy\n  Port 2222\n  IdentityFile /keys/%r-%p\n";
    let file = home.write("special", text);
    let config = home.config(Files::Only(file), Reader::Ssh);
    let login = Login { host: "web1".into(), user: Some("ada".into()), port: Some(2022) };
    let found = find(&config, &login).unwrap();
    assert_eq!((found.config.user.as_str(), found.config.port), ("ada", 2022));
    let keys: Vec<PathBuf> = vec!["/keys/ada".into(), "/keys/ada-2022".into()];
    assert_eq!(found.config.identity_files, Some(keys));
    assert!(!found.configured.contains(&Keyword::User) && !found.configured.contains(&Keyword::Port));
}

#[test]
fn what_ssh_finds_wrong_is_passed_on_with_file_and_line() {
    if !ssh_is_there() {
        return;
    }
    let home = Home::new();
    let bad = home.write("bad", "Host web1\n  Prot 22\n  Port x\n");
    home.write("config", "Include bad\n");
    for files in [Files::Usual, Files::Only(bad.clone())] {
        let error = find(&home.config(files, Reader::Ssh), &host("web1")).unwrap_err();
        let ConfigError::Ssh { said, .. } = &error else { panic!("{error:?}") };
        let said = said.join("\n");
        assert!(
            said.contains(&format!("{}: line 2: Bad configuration option: prot", bad.display())),
            "{said}"
        );
        assert!(said.contains("line 3: Bad port 'x'") && !said.contains("Pseudo-terminal"), "{said}");
        assert!(error.to_string().contains(&said));
    }
    let missing = home.path().join("missing");
    let error = find(&home.config(Files::Only(missing), Reader::Ssh), &host("web1")).unwrap_err();
    assert!(error.to_string().contains("No such file"), "{error}");
}

#[test]
fn a_configuration_that_others_can_write_to_is_refused_by_ssh_and_by_us() {
    use std::os::unix::fs::PermissionsExt as _;
    if !ssh_is_there() {
        return;
    }
    let home = Home::new();
    let path = home.write("config", "Port 2222\n");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o666)).unwrap();
    for reader in [Reader::Ssh, Reader::Own] {
        let error = find(&home.config(Files::Usual, reader), &host("web1")).unwrap_err().to_string();
        assert!(error.contains(path.to_str().unwrap()), "{reader:?}: {error}");
    }
}

#[test]
fn a_name_is_never_taken_for_an_option() {
    if !ssh_is_there() {
        return;
    }
    let home = Home::new();
    let canary = home.path().join("canary");
    for name in [format!("-oProxyCommand=touch {}", canary.display()), "-V".to_owned(), "--help".to_owned()] {
        // Some versions of ssh refuse such a name, and some look it up.
        let _ = find(&home.config(Files::None, Reader::Ssh), &host(&name));
        assert!(!canary.exists());
    }
    let login = Login { host: "web1".into(), user: Some("-V".into()), port: None };
    match find(&home.config(Files::None, Reader::Ssh), &login) {
        Ok(found) => assert_eq!(found.config.user, "-V"),
        Err(error) => assert!(error.to_string().contains("invalid characters"), "{error}"),
    }
}

#[test]
fn no_files_means_none() {
    if !ssh_is_there() {
        return;
    }
    let home = Home::new();
    home.write("config", "Port 2222\n");
    for reader in [Reader::Ssh, Reader::Own] {
        let found = find(&home.config(Files::None, reader), &host("web1")).unwrap();
        assert_eq!(found.config.port, 22, "{reader:?}");
        assert!(found.configured.is_empty(), "{reader:?}: {:?}", found.configured);
    }
}
