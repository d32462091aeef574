//! What takes root's rights is done with sudo where that works, and else refused before anything is uploaded.
use crate::harness::Project;
use crate::hosts::{Lingering, Sudo, TestUser, UserOptions};

#[test]
fn lingering_is_enabled_with_passwordless_sudo() {
    let options = UserOptions { lingering: Lingering::Off, ..UserOptions::default() };
    let Some(user) = TestUser::new(options) else { return };
    let project = Project::quick(&user);
    project.deploy().says("enabled lingering for").says("1 host deployed");
    assert!(user.lingers());
    assert_eq!(project.property(&user, "ActiveState"), "active");
    project.deploy().says("nothing to do");
}

#[test]
fn without_lingering_and_sudo_nothing_is_uploaded_and_the_command_is_named() {
    let options = UserOptions { lingering: Lingering::Off, sudo: Sudo::None, ..UserOptions::default() };
    let Some(user) = TestUser::new(options) else { return };
    let project = Project::quick(&user);
    for arguments in [&["plan", "prod"][..], &["deploy", "prod"]] {
        let ran = project.shipit(arguments).exits(8);
        ran.says("lingering is off").says(&format!("sudo loginctl enable-linger {}", user.user));
        // The links as well, in one go.
        ran.says(&format!("/usr/local/bin/{}", project.name));
        ran.says("nothing was activated");
        project.assert_untouched(&user);
    }
    assert!(!user.lingers());
}

#[test]
fn a_user_without_sudo_can_deploy_once_the_links_are_there() {
    let options = UserOptions { sudo: Sudo::None, ..UserOptions::default() };
    let Some(user) = TestUser::new(options) else { return };
    let project = Project::quick(&user);
    let ran = project.shipit(&["deploy", "prod"]).exits(8);
    let commands: Vec<&str> =
        ran.stderr.lines().filter_map(|line| line.split_once("sudo ln ")).map(|x| x.1).collect();
    assert_eq!(commands.len(), 2, "{}", ran.all());
    project.assert_untouched(&user);
    // What the help says, done by someone who may.
    for command in commands {
        user.run_as_root(&format!("ln {command}"));
    }
    project.deploy().never_says("sudo");
    project.edit(&format!("{}.conf", project.name), "North Carolina", "Virginia");
    project.deploy().says("started in Virginia");
}

#[test]
fn sudo_that_wants_a_password_is_refused_without_a_terminal() {
    let options = UserOptions { sudo: Sudo::Password, ..UserOptions::default() };
    let Some(user) = TestUser::new(options) else { return };
    let project = Project::quick(&user);
    for arguments in [&["deploy", "prod"][..], &["deploy", "prod", "--no-input"]] {
        let ran = project.shipit(arguments).exits(8);
        ran.says("a password is required").says("on the host: sudo ln -sfT");
        project.assert_untouched(&user);
    }
}

#[test]
fn sudos_password_is_asked_for_once_and_seen_nowhere() {
    let options = UserOptions { sudo: Sudo::Password, lingering: Lingering::Off, ..UserOptions::default() };
    let Some(user) = TestUser::new(options) else { return };
    let project = Project::quick(&user);
    let password = user.password.clone().unwrap();
    // What others on the host see while it goes on.
    let watch = user.service_name("watch");
    user.run_as_root(&format!(
        "systemd-run --quiet --collect --unit={watch} sh -c 'while sleep 0.005; do \
         cat /proc/[0-9]*/cmdline /proc/[0-9]*/environ 2>/dev/null | tr \"\\0\" \" \" >>/run/{watch}; done'"
    ));
    let ran = project.shipit_on_a_terminal(&["deploy", "prod", "-vv"], &[("sudo password on", &password)]);
    user.run_as_root(&format!("systemctl stop {watch}"));
    let seen = user.run_as_root(&format!(
        "grep -ac 'sudo -S' /run/{watch}; grep -acF {password} /run/{watch}; rm /run/{watch}; true"
    ));
    let counts: Vec<u32> = seen.lines().map(|line| line.parse().unwrap()).collect();
    assert_eq!(ran.code, Some(0), "{}", ran.all());
    assert_eq!(ran.stdout.matches("sudo password on").count(), 1, "{}", ran.all());
    ran.never_says(&password);
    assert!(counts[0] > 0, "the watch saw no sudo");
    assert_eq!(counts[1], 0, "the password was in an argument list or an environment");
    assert!(user.lingers());
    let log = user.journal("-t sudo");
    assert!(!log.contains(&password));
    let stored = user.run_as_root(&format!("grep -rlF {password} {} || true", user.home));
    assert_eq!(stored, "");
    project.deploy().says("nothing to do");
}

#[test]
fn a_wrong_sudo_password_is_asked_for_again_and_three_are_enough() {
    let options = UserOptions { sudo: Sudo::Password, ..UserOptions::default() };
    let Some(user) = TestUser::new(options) else { return };
    let project = Project::quick(&user);
    let again = "Sorry, that was not it";
    let wrong = [("sudo password on", "wrong1"), (again, "wrong2"), (again, "")];
    let ran = project.shipit_on_a_terminal(&["deploy", "prod"], &wrong);
    assert_eq!(ran.code, Some(8), "{}", ran.all());
    assert!(ran.stdout.contains("sudo did not take the password"), "{}", ran.all());
    project.assert_untouched(&user);
    let password = user.password.clone().unwrap();
    let ran = project
        .shipit_on_a_terminal(&["deploy", "prod"], &[("sudo password on", "wrong"), (again, &password)]);
    assert_eq!(ran.code, Some(0), "{}", ran.all());
}
