//! SSH servers that are not as usual: what works all the same, and what is refused with the reason.
use std::fs;
use std::process::Command;

use crate::harness::Project;
use crate::hosts::{Server, TestUser, UserOptions};

fn user_behind(server: Server<'_>) -> Option<TestUser> {
    let mut user = TestUser::new(UserOptions::default())?;
    user.behind(server).then_some(user)
}

/// A binary of some megabytes that is a script.
fn make_large(project: &Project, last: &str) {
    let padding = "#".repeat(63) + "\n";
    let text = format!("#!/bin/sh\necho started\nexec sleep infinity\n{}# {last}\n", padding.repeat(6 << 14));
    project.write("service.sh", &text);
}

#[test]
fn dropbear_with_the_sftp_server_of_openssh_is_a_host_like_any_other() {
    let Some(user) = user_behind(Server::Dropbear) else { return };
    let project = Project::new(&user);
    project.deploy().says("started in North Carolina");
    project.deploy().says("nothing to do");
    make_large(&project, "1");
    project.deploy();
    project.shipit(&["logs", "prod"]).exits(0);
}

#[test]
fn one_session_a_connection_is_enough_and_nothing_is_asked_twice() {
    for sessions in ["1", "2"] {
        let Some(user) = user_behind(Server::Sshd(&format!("MaxSessions {sessions}"))) else { return };
        let mut project = Project::new(&user);
        let key = project.path("encrypted");
        fs::copy(user.key_path.as_ref().unwrap(), &key).unwrap();
        let encrypted =
            Command::new("ssh-keygen").args(["-q", "-p", "-N", "secret", "-f"]).arg(&key).status().unwrap();
        assert!(encrypted.success());
        // Large enough for several SFTP channels, where there may be several.
        make_large(&project, "1");
        project.key = Some(key);
        let ran = project.shipit_on_a_terminal(&["deploy", "prod", "-v"], &[("encrypted", "secret")]);
        assert_eq!(ran.code, Some(0), "{}", ran.all());
        assert_eq!(ran.stdout.matches("assphrase").count(), 1, "{}", ran.all());
        assert!(ran.stdout.contains("it runs no more on this connection"), "{}", ran.all());

        project.key = user.key_path.clone();
        project.shipit(&["plan", "prod"]).exits(0);
        project.deploy().says("nothing to do");
        make_large(&project, "2");
        project.deploy();
        project.shipit(&["status", "prod"]).exits(0);
        project.shipit(&["rollback", "prod"]).exits(0);
    }
}

#[test]
fn an_sshd_that_runs_nothing_is_said_to() {
    let Some(user) = user_behind(Server::Sshd("MaxSessions 0")) else { return };
    let project = Project::quick(&user);
    let ran = project.shipit(&["deploy", "prod"]).exits(8);
    ran.says("refused to open a channel for a program\n").says("MaxSessions in its sshd_config is 0");
    project.assert_untouched(&user);
}

#[test]
fn sftp_inside_sshd_is_as_good() {
    let Some(user) = user_behind(Server::Sshd("Subsystem sftp internal-sftp")) else { return };
    let project = Project::new(&user);
    project.deploy().says("started in North Carolina");
}

/// What OpenSSH before 9.0 lacks (copy-data), before 8.5 (limits), before 6.5 (fsync).
#[test]
fn an_old_sftp_server_gets_the_whole_file() {
    let server = "Subsystem sftp /usr/lib/openssh/sftp-server -P copy-data,fsync,limits,posix-rename,lsetstat,expand-path";
    let Some(user) = user_behind(Server::Sshd(server)) else { return };
    let project = Project::new(&user);
    make_large(&project, "1");
    project.deploy();
    make_large(&project, "2");
    project.deploy();
    project.assert_current_is_complete(&user);
    let sent = fs::read(project.path("service.sh")).unwrap();
    let there = user.run(&format!("cat {}/current/bin/{}", project.root(&user), project.name));
    assert!(there.as_bytes() == sent, "the binary is not what was sent");
}

#[test]
fn a_host_without_sftp_is_said_to_be_one() {
    for (config, words) in [
        ("Subsystem other /bin/true", "the host refused to start a channel for SFTP"),
        (
            "Subsystem sftp /usr/lib/sftp/nowhere",
            "the SFTP server on the host ended: the program was not found",
        ),
    ] {
        let Some(user) = user_behind(Server::Sshd(config)) else { return };
        let project = Project::quick(&user);
        // What needs no SFTP works.
        project.shipit(&["plan", "prod"]).exits(0);
        let ran = project.shipit(&["deploy", "prod"]).exits(8);
        ran.says(words).says("Subsystem sftp internal-sftp").says("nothing was activated");
    }
}

#[test]
fn an_account_for_files_only_is_said_to_be_one() {
    let Some(user) = user_behind(Server::Sshd("ForceCommand internal-sftp")) else { return };
    let project = Project::quick(&user);
    let ran = project.shipit(&["deploy", "prod"]).exits(8);
    ran.says("runs no commands").says("ForceCommand");
    project.assert_untouched(&user);
}

#[test]
fn a_command_that_takes_the_place_of_every_other_is_shown() {
    let Some(user) = user_behind(Server::Sshd("ForceCommand echo this is a menu; echo 1 quit")) else {
        return;
    };
    let project = Project::quick(&user);
    let ran = project.shipit(&["deploy", "prod"]).exits(8);
    ran.says("this is a menu 1 quit").says("ForceCommand");
    project.assert_untouched(&user);
}

#[test]
fn a_container_with_systemd_in_it_that_does_not_run_it_is_refused() {
    let server = Server::SshdIn("", &["TemporaryFileSystem=/run/systemd"]);
    let Some(user) = user_behind(server) else { return };
    let project = Project::quick(&user);
    let ran = project.shipit(&["deploy", "prod"]).exits(8);
    ran.says("systemd is installed but not running").says("systemd >= 245");
    project.assert_untouched(&user);
}

/// A login that sees nothing of the user's service manager, as in some containers.
#[test]
fn a_login_without_a_way_to_the_users_systemd_is_refused() {
    let server = Server::SshdIn("", &["TemporaryFileSystem=/run/user"]);
    let Some(user) = user_behind(server) else { return };
    let project = Project::quick(&user);
    let ran = project.shipit(&["deploy", "prod"]).exits(8);
    ran.says(&format!("the service manager of {} can't be reached", user.user));
    project.assert_untouched(&user);
}

#[test]
fn what_sshd_says_before_the_login_stays_off_the_terminal_unless_asked_for() {
    let Some(user) = user_behind(Server::Sshd("Banner /etc/ssh/banner\nPrintMotd yes\nPrintLastLog yes"))
    else {
        return;
    };
    user.run_as_root(r"printf 'Authorised use only\033[2J\nready\n' >/etc/ssh/banner; echo 'Message of the day' >/etc/motd");
    let project = Project::new(&user);
    let ran = project.deploy();
    ran.says("started in North Carolina").never_says("Authorised use only").never_says("Message of the day");
    let ran = project.shipit(&["deploy", "prod", "-v"]).exits(0);
    ran.says("Authorised use only").never_says("\x1b[2J");
}
