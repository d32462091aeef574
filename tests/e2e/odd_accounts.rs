//! Accounts and hosts that are not as usual: what works all the same, and what is refused with the reason.
use crate::harness::{Child, Project};
use crate::hosts::{HostOptions, Lingering, OwnHost, Shell, TestUser, UserOptions, skip, wait_for};

/// A user whose account may be bent: not the developer's own.
fn bendable() -> Option<TestUser> {
    let user = TestUser::new(UserOptions::default())?;
    if user.key_path.is_none() {
        skip("the account in SHIPIT_TEST_HOST is not the test's to change");
        return None;
    }
    Some(user)
}

#[test]
fn a_login_shell_that_sets_odd_things_is_no_obstacle() {
    let Some(user) = bendable() else { return };
    let project = Project::new(&user);
    user.run(
        "printf '%s\\n' 'echo step 1 failed 1 >&2' 'umask 077' 'set -u' 'cd /tmp' \
         'export LC_ALL=C.UTF-8 SYSTEMD_COLORS=1 GREP_OPTIONS=-v CDPATH=/' 'alias ls=false' >~/.bashrc",
    );
    project.deploy().says("started in North Carolina");
    // What the service's files may be read by does not hang on the account's umask.
    let mode = user.run(&format!("stat -c %a {}/current/bin/{}", project.root(&user), project.name));
    assert_eq!(mode, "755\n");
    project.deploy().says("nothing to do");
}

/// sshd has the login shell start SFTP as well: what that prints comes before the first packet.
#[test]
fn a_login_shell_that_talks_and_takes_its_time_is_no_obstacle() {
    for (shell, file, umask) in [
        (Shell::Bash, ".bashrc", "0002"),
        (Shell::Fish, ".config/fish/config.fish", "077"),
        (Shell::Tcsh, ".cshrc", "077"),
        (Shell::Zsh, ".zshenv", "0002"),
    ] {
        let Some(user) = TestUser::new(UserOptions { shell, ..UserOptions::default() }) else { return };
        let project = Project::new(&user);
        // Before anything of ours is on the host, so that all of it is made under this umask.
        let text = r#"printf "Welcome to the machine\nready\nlocked -\nend ok\n"; sleep 1"#;
        user.run(&format!(
            "mkdir -p ~/.config/fish; printf '%s\\n' 'umask {umask}' '{}' >~/{file}",
            text.replace('\'', r"'\''")
        ));
        project.deploy().says("started in North Carolina").never_says("Welcome");
        project.wait_until_left(&user);
        let modes = user.run_as_root(&format!(
            "cd {} && find . -maxdepth 4 \\( -type d -o -type f \\) ! -path './runs/*' -printf '%m %y %P\\n' |
             sed 's/[0-9TZ]*-[0-9a-f]\\{{8\\}}/ID/; s/{}/NAME/' | sort",
            project.root(&user),
            project.name
        ));
        insta::allow_duplicates! { insta::assert_snapshot!(modes, @"
        600 f releases/ID/env/NAME.conf
        644 f activation.lock
        644 f history.jsonl
        644 f linked
        644 f lock
        644 f releases/ID/good
        644 f releases/ID/release.json
        644 f releases/ID/sealed
        644 f releases/ID/units/NAME.service
        755 d 
        755 d incoming
        755 d releases
        755 d releases/ID
        755 d releases/ID/bin
        755 d releases/ID/env
        755 d releases/ID/units
        755 d runs
        755 f releases/ID/bin/NAME
        ") };
        project.shipit(&["status", "prod"]).exits(0).never_says("Welcome");
        project.shipit(&["logs", "prod"]).exits(0).never_says("Welcome");
        project.deploy().says("nothing to do");
    }
}

#[test]
fn an_account_that_may_not_run_commands_is_said_to_be_one() {
    let Some(user) = bendable() else { return };
    let project = Project::quick(&user);
    user.run_as_root(&format!("usermod --shell /usr/sbin/nologin {}", user.user));
    let ran = project.shipit(&["deploy", "prod"]);
    user.run_as_root(&format!("usermod --shell /bin/bash {}", user.user));
    let ran = ran.exits(8);
    ran.says("the account runs no commands: This account is currently not available").says("login shell");
    project.assert_untouched(&user);
}

#[test]
fn a_shell_that_runs_nothing_by_its_path_is_refused() {
    let options = UserOptions { shell: Shell::Restricted, ..UserOptions::default() };
    let Some(user) = TestUser::new(options) else { return };
    let project = Project::quick(&user);
    let ran = project.shipit(&["deploy", "prod"]).exits(8);
    ran.says("the account runs no commands").says("restricted").says("login shell");
    project.assert_untouched(&user);
}

#[test]
fn a_host_without_systemd_is_refused() {
    let Some(user) = bendable() else { return };
    let project = Project::quick(&user);
    user.run("mkdir ~/bin; ln -s /usr/bin/* ~/bin/; rm ~/bin/systemctl; echo 'PATH=$HOME/bin' >~/.bashrc");
    for arguments in [&["plan", "prod"][..], &["deploy", "prod"]] {
        let ran = project.shipit(arguments).exits(8);
        ran.says("not run by systemd").says("there is no systemctl").says("systemd >= 245");
    }
    project.assert_untouched(&user);
}

/// What a Mac has of the programs that the probe asks: POSIX's, and no more of them than that.
#[test]
fn a_host_that_runs_no_linux_is_refused_as_that() {
    let Some(user) = bendable() else { return };
    let project = Project::quick(&user);
    user.run(
        r#"mkdir ~/bin; cd ~/bin
        for name in sh cat id awk sed grep sort head tail tr dd mkdir rm mv cp ln ls sleep cmp test env printf; do
            ln -s $(command -v $name) $name
        done
        printf '#!/bin/sh
echo "Darwin mac.local arm64"
' >uname
        for name in find stat getconf mktemp; do
            printf '#!/bin/sh
echo "%s: illegal option" >&2
exit 1
' $name >$name
        done
        chmod +x uname find stat getconf mktemp
        echo 'PATH=$HOME/bin' >~/.bashrc"#,
    );
    for arguments in [&["plan", "prod"][..], &["deploy", "prod"], &["rollback", "prod"]] {
        let ran = project.shipit(arguments).exits(8);
        ran.says(
            "the host runs Darwin, not Linux
",
        )
        .says("Linux hosts that systemd >= 245 runs");
    }
    user.run("rm ~/.bashrc");
    project.assert_untouched(&user);
}

#[test]
fn a_user_without_a_manager_is_refused_with_the_way_to_get_one() {
    let Some(user) = bendable() else { return };
    let project = Project::quick(&user);
    let id = user.run("id -u").trim().to_owned();
    user.run_as_root(&format!("systemctl mask --quiet --runtime --now user@{id}.service"));
    let ran = project.shipit(&["deploy", "prod"]);
    user.run_as_root(&format!("systemctl unmask --quiet --runtime user@{id}.service"));
    let ran = ran.exits(8);
    ran.says(&format!("the service manager of {} can't be reached", user.user));
    ran.says(&format!("systemctl start user@$(id -u {})", user.user));
    project.assert_untouched(&user);
}

/// As on Fedora, RHEL, SUSE and Arch. It reads its input byte by byte, and has ideas of its own about traps.
#[test]
fn the_hosts_shell_may_be_bash() {
    let Some(host) = OwnHost::boot(HostOptions::default()) else { return };
    host.machine.run("ln -sfT bash /usr/bin/sh");
    let user = host.user(UserOptions::default());
    let project = Project::quick(&user);
    project.deploy();
    let before = project.standing(&user);
    let health =
        format!("settle: 0s\nhealth: {{ http: 'http://localhost:{}/', timeout: 40s }}\n", project.port);
    project.edit("deploy.yaml", "settle: 0s\n", &health);
    project.edit(&format!("{}.conf", project.name), "North Carolina", "Virginia");
    let mut deploy = Child::spawn(&mut project.command(&["deploy", "prod"]));
    deploy.wait_for_output("until it answers well");
    deploy.signal("KILL");
    let settled = || project.standing(&user).leftovers.is_empty();
    wait_for("the way back", std::time::Duration::from_secs(8), settled);
    project.standing(&user).is_back_at(&before);

    // The same while systemd is waited for.
    let before = project.standing(&user);
    project.edit("deploy.yaml", &health, "settle: 0s\n");
    let unit = format!("{}.service", project.name);
    project.edit(&unit, "Restart=always", "Restart=always\nType=notify\nTimeoutStartSec=infinity");
    let deploy = Child::spawn(&mut project.command(&["deploy", "prod"]));
    wait_for("a start that hangs", std::time::Duration::from_secs(20), || {
        project.current(&user) != before.current && project.property(&user, "SubState") == "start"
    });
    deploy.signal("KILL");
    wait_for("the way back", std::time::Duration::from_secs(8), settled);
    project.standing(&user).is_back_at(&before);
    project.edit(&unit, "Type=notify\nTimeoutStartSec=infinity", "");
    project.deploy();
}

#[test]
fn whatever_the_login_shell_is_a_deploy_is_the_same() {
    for shell in [Shell::Dash, Shell::Fish, Shell::Tcsh, Shell::Zsh] {
        let Some(user) = TestUser::new(UserOptions { shell, ..UserOptions::default() }) else { return };
        let project = Project::new(&user);
        project.deploy().says("started in North Carolina");
        project.edit(&format!("{}.conf", project.name), "North Carolina", "Virginia");
        project.deploy().says("started in Virginia");
        project.shipit(&["rollback", "prod"]).exits(0).says("started in North Carolina");
        project.shipit(&["status", "prod"]).exits(0);
        project.shipit(&["logs", "prod"]).exits(0);
        project.shipit(&["history", "prod"]).exits(0);
    }
}

/// The language is one that the host has words in: sudo's and ln's would be others.
#[test]
fn a_host_that_speaks_another_language_is_understood() {
    let options = UserOptions { lingering: Lingering::Off, ..UserOptions::default() };
    let Some(user) = TestUser::new(options) else { return };
    let project = Project::new(&user);
    user.run("printf '%s\n' 'export LANG=de_DE.UTF-8 LC_ALL=de_DE.UTF-8 LANGUAGE=de' >~/.bashrc");
    assert!(String::from_utf8_lossy(&user.ssh("cat /nowhere").stderr).contains("Datei oder Verzeichnis"));
    project.deploy().says("enabled lingering").says("started in North Carolina");
    project.deploy().says("nothing to do");
    user.run(&format!("chmod 500 {}/releases", project.root(&user)));
    project.edit(&format!("{}.conf", project.name), "North Carolina", "Virginia");
    let ran = project.shipit(&["deploy", "prod"]).exits(1);
    user.run(&format!("chmod 755 {}/releases", project.root(&user)));
    ran.says("Permission denied");
    user.run("echo 'unset LANG LC_ALL LC_CTYPE LANGUAGE' >~/.bashrc");
    project.edit(&format!("{}.conf", project.name), "Virginia", "Ohio");
    project.deploy().says("started in Ohio");
}

#[test]
fn a_home_with_a_space_and_letters_of_other_languages_is_a_home() {
    let Some(user) = TestUser::new(UserOptions { home: " été 家", ..UserOptions::default() }) else {
        return;
    };
    let project = Project::new(&user);
    project.deploy().says("started in North Carolina");
    project.edit(&format!("{}.conf", project.name), "North Carolina", "Virginia");
    project.deploy().says("started in Virginia");
    project.shipit(&["rollback", "prod"]).exits(0).says("started in North Carolina");
    project.deploy();
    project.deploy().says("nothing to do");
}

/// It would be taken for another folder.
#[test]
fn a_home_that_is_no_text_is_refused() {
    let Some(user) = bendable() else { return };
    let project = Project::quick(&user);
    for home in [r"/home/\377\376", r"/home/a\tb", r"/home/a\nb", r"/home/\033[2J", r"home", ""] {
        user.run(&format!("printf 'HOME=$(printf \"%s\")\\n' '{}' >.bashrc", home.replace('\\', r"\\")));
        let ran = project.shipit(&["deploy", "prod"]).exits(8);
        ran.says("the path of the home directory is").says("usermod --home").never_says("\u{1b}");
        user.run("rm .bashrc");
    }
    project.assert_untouched(&user);
}
