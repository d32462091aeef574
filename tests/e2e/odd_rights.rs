//! Root's rights are had where sudo is not as usual, or not there; and the password is seen nowhere.
use std::time::Duration;

use crate::harness::{Child, Project};
use crate::hosts::{HostOptions, Lingering, OwnHost, Server, Sudo, TestUser, UserOptions, skip, wait_for};

/// A user without lingering, so that there is something to do for root, whose sudo has these defaults (sudoers(5)).
fn user_of(sudo: Sudo, defaults: &str) -> Option<TestUser> {
    let user = TestUser::new(UserOptions { sudo, lingering: Lingering::Off, ..UserOptions::default() })?;
    if user.key_path.is_none() {
        skip("the account in SHIPIT_TEST_HOST is not the test's to change");
        return None;
    }
    let name = &user.user;
    user.run_as_root(&format!(
        "echo 'Defaults:{name} {defaults}' >/etc/sudoers.d/{name}.new && visudo -cqf /etc/sudoers.d/{name}.new &&
         mv /etc/sudoers.d/{name}.new /etc/sudoers.d/{name}-defaults"
    ));
    Some(user)
}

/// A user of a machine without sudo, for whom doas has this rule (doas.conf(5)).
fn user_of_doas(rule: &str) -> Option<TestUser> {
    // For the password alone.
    let options = UserOptions { sudo: Sudo::Password, lingering: Lingering::Off, ..UserOptions::default() };
    let mut user = TestUser::new(options)?;
    if !user.behind(Server::SshdIn("", &["InaccessiblePaths=/usr/bin/sudo"])) {
        return None;
    }
    let rule = rule.replace("USER", &user.user);
    user.run_as_root(&format!(
        "exec 9>/run/test-users.lock; flock 9
         touch /etc/doas.conf; {{ cat /etc/doas.conf; echo '{rule}'; }} >/etc/doas.conf.new
         mv /etc/doas.conf.new /etc/doas.conf"
    ));
    assert!(!user.ssh("command -v sudo").status.success());
    Some(user)
}

/// What others on the host see of the processes while it goes on.
struct Watch<'a> {
    user: &'a TestUser,
    unit: String,
}

impl<'a> Watch<'a> {
    fn start(user: &'a TestUser) -> Self {
        let unit = user.service_name("watch");
        user.run_as_root(&format!(
            "systemd-run --quiet --collect --unit={unit} sh -c 'while sleep 0.005; do \
             cat /proc/[0-9]*/cmdline /proc/[0-9]*/environ 2>/dev/null | tr \"\\0\" \" \" >>/run/{unit}; done'"
        ));
        Self { user, unit }
    }

    /// `program` was seen, and the password was not; neither is it in a log, nor in a file that the user can read.
    #[track_caller]
    fn saw(self, program: &str) {
        let Self { user, unit } = self;
        let password = user.password.as_ref().unwrap();
        user.run_as_root(&format!("systemctl stop {unit}"));
        user.await_journal();
        let seen = user.run_as_root(&format!(
            "grep -acF '{program}' /run/{unit}; grep -acF {password} /run/{unit}; rm /run/{unit}
             journalctl -q --no-pager | grep -cF {password}; grep -rlF {password} '{}' /tmp /run/user | wc -l
             find /var/log/sudo-io -type f -exec zcat -f {{}} + 2>/dev/null | grep -acF {password}; true",
            user.home
        ));
        let counts: Vec<u32> = seen.lines().map(|line| line.parse().unwrap()).collect();
        assert!(counts[0] > 0, "the watch saw no {program}");
        assert_eq!(
            counts[1..],
            [0; 4],
            "the password is in an argument list, the journal, a file or sudo's log"
        );
    }
}

/// What the operator's session makes as root, the host takes back alone: it has no terminal either.
#[track_caller]
fn deploys_and_goes_back(user: &TestUser) {
    let project = Project::new(user);
    let never = format!("health: {{ tcp: 'localhost:{}', timeout: 50s }}\nsettle: 0s", user.unique_port());
    project.edit("deploy.yaml", "settle: 1s", &never);
    let mut child = Child::spawn(&mut project.command(&["deploy", "prod"]));
    child.wait_for_output("until it takes connections");
    child.signal("KILL");
    wait_for("the host to go back", Duration::from_secs(20), || project.standing(user).leftovers.is_empty());
    project.standing(user).is_not_deployed();
    project.edit("deploy.yaml", &never, "settle: 1s");
    project.deploy().says("started in North Carolina");
    project.deploy().says("nothing to do");
    project.shipit(&["remove", "prod", "--yes"]).exits(0);
    project.standing(user).is_not_deployed();
    project.assert_untouched(user);
}

/// A first deploy with sudo's password typed once.
#[track_caller]
fn deploys_with_the_password(user: &TestUser, question: &str, program: &str) {
    let project = Project::quick(user);
    let password = user.password.clone().unwrap();
    let deploy = || {
        let watch = Watch::start(user);
        let ran = project.shipit_on_a_terminal(&["deploy", "prod", "-vv"], &[(question, &password)]);
        watch.saw(program);
        assert_eq!(ran.code, Some(0), "{}", ran.all());
        assert_eq!(ran.stdout.matches(question).count(), 1, "{}", ran.all());
        ran.never_says(&password);
    };
    deploy();
    assert!(user.lingers());
    // A link that is repaired takes two commands, one right after the other: of the second, sudo asks no password.
    user.run_as_root(&format!("ln -sfT /nowhere /usr/local/bin/{}", project.name));
    deploy();
    assert_eq!(project.property(user, "ActiveState"), "active");
    project.deploy().says("nothing to do");
}

#[test]
fn sudo_that_insists_on_a_terminal_gets_one() {
    let Some(user) = user_of(Sudo::Passwordless, "requiretty") else { return };
    assert!(!user.ssh("sudo -n true").status.success());
    deploys_and_goes_back(&user);
}

#[test]
fn sudo_that_insists_on_a_terminal_and_a_password_gets_both() {
    let Some(user) = user_of(Sudo::Password, "requiretty") else { return };
    let project = Project::quick(&user);
    project.shipit(&["deploy", "prod"]).exits(8).says("a password is required");
    project.assert_untouched(&user);
    deploys_with_the_password(&user, "sudo password on", "script -qec");
}

/// sudo keeps what it reads and does not want for itself, as the input of the command.
#[test]
fn a_sudo_that_keeps_all_input_does_not_get_to_keep_the_password() {
    let Some(user) = user_of(Sudo::Password, "log_input") else { return };
    deploys_with_the_password(&user, "sudo password on", "sudo -S");
    let logged = user.run_as_root("grep -rl loginctl /var/log/sudo-io | wc -l");
    assert_ne!(logged, "0\n", "sudo logs no input");
}

#[test]
fn a_sudo_that_does_not_remember_passwords_is_no_obstacle() {
    let Some(user) = user_of(Sudo::Password, "timestamp_timeout=0,log_input,log_output") else { return };
    deploys_with_the_password(&user, "sudo password on", "sudo -k -S");
    let Some(user) = user_of(Sudo::Password, "timestamp_timeout=0,requiretty") else { return };
    deploys_with_the_password(&user, "sudo password on", "sudo -k -S");
}

#[test]
fn a_wrong_password_counts_once() {
    for defaults in ["timestamp_timeout=0", "requiretty"] {
        let Some(user) = user_of(Sudo::Password, defaults) else { return };
        let project = Project::quick(&user);
        let ran = project
            .shipit_on_a_terminal(&["deploy", "prod"], &[("sudo password on", "wrong"), ("Sorry", "")]);
        assert_eq!(ran.code, Some(8), "{}", ran.all());
        project.assert_untouched(&user);
        user.await_journal();
        let failures = user.run_as_root(&format!(
            "journalctl -q --no-pager _COMM=sudo | grep 'authentication failure;' | grep -c 'user={}$'; true",
            user.user
        ));
        // No answer is no try.
        assert_eq!(failures, "1\n");
    }
}

#[test]
fn a_sudo_with_its_own_idea_of_the_path_is_no_obstacle() {
    let Some(user) = user_of(Sudo::Passwordless, "secure_path=/usr/bin") else { return };
    let project = Project::quick(&user);
    project.deploy().says("enabled lingering");
}

/// It reads all that it is given as well: what is still to be undone is not to be found there.
#[test]
fn a_sudo_that_keeps_all_input_keeps_nothing_from_going_back() {
    let Some(user) = user_of(Sudo::Passwordless, "log_input,log_output,use_pty") else { return };
    deploys_and_goes_back(&user);
}

#[test]
fn doas_takes_the_place_of_sudo() {
    let Some(user) = user_of_doas("permit nopass USER as root") else { return };
    deploys_and_goes_back(&user);
}

#[test]
fn doas_gets_its_password_on_a_terminal_of_its_own() {
    let Some(user) = user_of_doas("permit USER as root") else { return };
    let project = Project::quick(&user);
    let ran = project.shipit(&["deploy", "prod"]).exits(8);
    ran.says("doas is not to be had: doas: Authentication required").says("doas ln -sfT");
    let wrong = [("doas password on", "wrong"), ("Sorry, that was not it", "")];
    let ran = project.shipit_on_a_terminal(&["deploy", "prod"], &wrong);
    assert_eq!(ran.code, Some(8), "{}", ran.all());
    assert!(ran.stdout.contains("doas did not take the password"), "{}", ran.all());
    project.assert_untouched(&user);
    deploys_with_the_password(&user, "doas password on", "doas");
}

#[test]
fn doas_without_a_rule_is_refused_and_nobody_is_asked() {
    let Some(user) = user_of_doas("deny USER as root") else { return };
    let project = Project::quick(&user);
    let ran = project.shipit_on_a_terminal(&["deploy", "prod"], &[]);
    assert_eq!(ran.code, Some(8), "{}", ran.all());
    assert!(ran.stdout.contains("doas is not to be had: doas: Operation not permitted"), "{}", ran.all());
    project.assert_untouched(&user);
}

#[test]
fn root_needs_no_sudo() {
    let Some(host) = OwnHost::boot(HostOptions::default()) else { return };
    let user = host.root();
    user.run("mv /usr/bin/sudo /usr/bin/doas /root/");
    let project = Project::new(&user);
    let ran = project.deploy();
    ran.says("enabled lingering for root").says("started in North Carolina");
    assert!(user.lingers());
    project.deploy().says("nothing to do");
    project.edit(&format!("{}.conf", project.name), "North Carolina", "Virginia");
    project.deploy();
    project.shipit(&["rollback", "prod"]).exits(0).says("started in North Carolina");
}
