//! Copies of files outside of the release: whose they are, what comes back when a deploy fails, and what is left alone.
use std::time::Duration;

use crate::harness::{Child, Project, Ran};
use crate::hosts::{HostOptions, OwnHost, Sudo, TestUser, UserOptions, wait_for};

/// A project with a file that is root's, where only root looks. Gone when the test ends.
struct Installed<'a> {
    project: Project,
    user: &'a TestUser,
    place: String,
}

impl<'a> Installed<'a> {
    fn new(user: &'a TestUser) -> Self {
        let project = Project::quick(user);
        let place = format!("/etc/logrotate.d/{}", project.name);
        let made = Self { project, user, place };
        made.entry(&format!("install: {{ path: {}, owner: root, group: adm, mode: '0640' }}", made.place));
        made.project.write("rotate.j2", "{{ service }} one\n");
        made
    }

    /// Has the manifest say this of the file.
    fn entry(&self, keys: &str) {
        let manifest = std::fs::read_to_string(self.project.path("deploy.yaml")).unwrap();
        let manifest: Vec<&str> = manifest.lines().filter(|line| !line.starts_with("files:")).collect();
        let entry = match keys {
            "" => String::new(),
            keys => format!("files: [{{ source: rotate.j2, path: rotate, {keys} }}]\n"),
        };
        self.project.write("deploy.yaml", &format!("{}\n{entry}", manifest.join("\n")));
    }

    /// The mode, the owner and the text of what is at the place; nothing where nothing is.
    fn found(&self) -> String {
        self.user.run_as_root(&format!(
            "if [ -e {0} ]; then stat -c '%a %U %G' {0} | tr '\n' ' '; cat {0}; fi",
            self.place
        ))
    }

    /// Names that no deploy may leave beside the file.
    fn litter(&self) -> String {
        self.user.run_as_root(&format!("find {} -name '.shipit*'", self.place.rsplit_once('/').unwrap().0))
    }
}

impl Drop for Installed<'_> {
    fn drop(&mut self) {
        self.user.root(&format!("rm -f {}", self.place));
    }
}

/// Standard output must have this text in it.
#[track_caller]
fn shows(ran: &Ran, text: &str) {
    assert!(ran.stdout.contains(text), "{text:?} is missing from:\n{}", ran.all());
}

#[test]
fn a_copy_is_made_with_its_owner_and_mode_and_made_anew_only_when_something_changed() {
    let Some(user) = TestUser::new(UserOptions::default()) else { return };
    let made = Installed::new(&user);
    let (project, name) = (&made.project, &made.project.name);
    let plan = project.shipit(&["plan", "prod"]).exits(0);
    shows(&plan, &format!("installed files\n    + {}  0640 root:adm [sudo]", made.place));
    assert_eq!(made.found(), "", "a plan changes nothing");
    project.deploy().says(&format!("installed the file {}", made.place));
    assert_eq!(made.found(), format!("640 root adm {name} one\n"));
    assert_eq!(made.litter(), "");
    project.deploy().says("nothing to do");

    project.write("rotate.j2", "{{ service }} two\n");
    project.deploy().says(&format!("replaced the file {}", made.place));
    assert_eq!(made.found(), format!("640 root adm {name} two\n"));
    project.shipit(&["rollback", "prod"]).exits(0);
    assert_eq!(made.found(), format!("640 root adm {name} one\n"));
    project.deploy();

    // Another mode alone, be it in the manifest or on the host.
    made.entry(&format!("install: {{ path: {}, mode: '0600' }}", made.place));
    project.deploy();
    assert_eq!(made.found(), format!("600 root root {name} two\n"));
    user.run_as_root(&format!("chmod 644 {}", made.place));
    project.deploy();
    assert_eq!(made.found(), format!("600 root root {name} two\n"));
    project.deploy().says("nothing to do");

    // It leaves the manifest; and is back when the release before is.
    made.entry("");
    project.deploy().says(&format!("removed the file {}", made.place));
    assert_eq!(made.found(), "");
    made.entry(&format!("install: {}", made.place));
    project.shipit(&["rollback", "prod"]).exits(0);
    assert_eq!(made.found(), format!("600 root root {name} two\n"));
    project.shipit(&["remove", "prod", "--yes"]).exits(0);
    assert_eq!(made.found(), "");
    assert_eq!(made.litter(), "");
}

#[test]
fn what_was_there_before_comes_back_when_the_deploy_fails() {
    let Some(user) = TestUser::new(UserOptions::default()) else { return };
    let made = Installed::new(&user);
    let (project, name, place) = (&made.project, &made.project.name, &made.place);
    let entry = format!("install: {{ path: {place}, mode: '0644' }}");
    made.entry(&format!(
        "{entry}, validate: 'echo validating; ! grep bad {place}', on_change: 'cat {place} >>~/told'"
    ));
    project.write("rotate.j2", "{{ service }} bad\n");
    project.shipit(&["deploy", "prod"]).exits(3).says("validating");
    assert_eq!(made.found(), "", "on a first deploy, nothing was there");
    project.write("rotate.j2", "{{ service }} one\n");
    project.deploy();
    let (before, current) =
        (user.run_as_root(&format!("stat -c '%a %u %g %s' {place}")), project.current(&user));

    project.write("rotate.j2", "{{ service }} bad, and longer\n");
    project.shipit(&["deploy", "prod"]).exits(3).says("validating").says(&format!("{name} bad"));
    assert_eq!(made.found(), format!("644 root root {name} one\n"));
    assert_eq!(user.run_as_root(&format!("stat -c '%a %u %g %s' {place}")), before);
    assert_eq!(project.current(&user), current);
    assert_eq!(user.run("cat ~/told"), format!("{name} one\n"), "nobody was told of the bad one");

    // Told of the new one, and of the old one once that is back.
    project.write("rotate.j2", "{{ service }} two\n");
    project.write("service.sh", "#!/bin/sh\nexit 7\n");
    project.shipit(&["deploy", "prod"]).exits(3);
    assert_eq!(user.run("cat ~/told"), format!("{name} one\n{name} two\n{name} one\n"));
    assert_eq!((made.found(), made.litter()), (format!("644 root root {name} one\n"), String::new()));

    // Gone from the manifest of a release that fails.
    made.entry("");
    project.shipit(&["deploy", "prod"]).exits(3);
    assert_eq!(made.found(), format!("644 root root {name} one\n"));
    let installed = user.run(&format!("cut -f 3 {}/installed", project.root(&user)));
    assert_eq!(installed, format!("{place}\n"), "and the host knows of it as before");
}

#[test]
fn anothers_file_is_left_alone_and_with_force_it_is_kept_and_comes_back() {
    let Some(user) = TestUser::new(UserOptions::default()) else { return };
    let made = Installed::new(&user);
    let (project, name, place) = (&made.project, &made.project.name, &made.place);
    user.run_as_root(&format!("echo theirs >{place}; chmod 604 {place}; chown daemon:games {place}"));
    let theirs = "604 daemon games theirs\n";
    for command in ["plan", "deploy"] {
        let ran = project.shipit(&[command, "prod"]).exits(8);
        ran.says(&format!("{place} is a file that is not shipit's")).says("--force");
        assert_eq!(made.found(), theirs);
    }
    project.standing(&user).is_not_deployed();

    let plan = project.shipit(&["plan", "prod", "--force"]).exits(0);
    shows(&plan, "now: a file that is not shipit's; kept as");
    shows(&plan, &format!("/replaced{place}"));
    project.shipit(&["deploy", "prod", "--force"]).exits(0);
    assert_eq!(made.found(), format!("640 root adm {name} one\n"));
    project.deploy().says("nothing to do");

    // It comes back when the entry leaves, and with `remove`.
    made.entry("");
    project.deploy();
    assert_eq!(made.found(), theirs);
    made.entry(&format!("install: {place}"));
    project.shipit(&["deploy", "prod"]).exits(8);
    project.shipit(&["deploy", "prod", "--force"]).exits(0);
    project.shipit(&["remove", "prod", "--yes"]).exits(0);
    assert_eq!(made.found(), theirs);

    // The same bytes are no reason to ask.
    user.run_as_root(&format!("echo {name} one >{place}"));
    project.deploy();
    assert_eq!(made.found(), format!("644 root root {name} one\n"));
    project.shipit(&["remove", "prod", "--yes"]).exits(0);
    assert_eq!(made.found(), format!("604 daemon games {name} one\n"));
}

#[test]
fn an_edit_by_hand_is_shown_and_left_alone_and_with_force_it_is_kept() {
    let Some(user) = TestUser::new(UserOptions::default()) else { return };
    let made = Installed::new(&user);
    let (project, name, place) = (&made.project, &made.project.name, &made.place);
    made.entry(&format!("install: {place}"));
    project.write("rotate.j2", "{{ service }} one\nweekly\n");
    project.deploy();
    let current = project.current(&user);
    user.run_as_root(&format!("sed -i s/weekly/daily/ {place}"));
    // Also where the deploy would not have touched the file.
    project.edit(&format!("{name}.conf"), "North Carolina", "Virginia");
    for command in ["plan", "deploy"] {
        let ran = project.shipit(&[command, "prod"]).exits(8);
        ran.says(&format!("{place} was changed by hand since it was deployed"));
        ran.says("-weekly").says("+daily").says("the service was not touched");
        assert_eq!(made.found(), format!("644 root root {name} one\ndaily\n"));
        assert_eq!(project.current(&user), current);
    }
    let plan = project.shipit(&["plan", "prod", "--force"]).exits(0);
    for text in ["changed by hand; kept as", "-weekly", "+daily"] {
        shows(&plan, text);
    }
    let ran = project.shipit(&["deploy", "prod", "--force"]).exits(0);
    let kept = user.run_as_root(&format!("cat {}/edited/*{place}", project.root(&user)));
    assert_eq!(kept, format!("{name} one\ndaily\n"));
    ran.says(&format!("/edited/{}{place}", project.current(&user).trim().trim_start_matches("releases/")));
    assert_eq!(made.found(), format!("644 root root {name} one\nweekly\n"));

    // Whoever takes the change over into the source is not asked.
    user.run_as_root(&format!("sed -i s/weekly/monthly/ {place}"));
    project.write("rotate.j2", "{{ service }} one\nmonthly\n");
    project.deploy();
    assert_eq!(made.found(), format!("644 root root {name} one\nmonthly\n"));
    // A file that was removed by hand is put back.
    user.run_as_root(&format!("rm {place}"));
    project.deploy().says(&format!("installed the file {place}"));
    assert_eq!(made.found(), format!("644 root root {name} one\nmonthly\n"));
}

#[test]
fn an_edit_of_a_file_that_not_everybody_may_read_is_not_shown() {
    let Some(user) = TestUser::new(UserOptions::default()) else { return };
    let made = Installed::new(&user);
    made.project.deploy();
    user.run_as_root(&format!("echo hunter2 >>{}", made.place));
    let ran = made.project.shipit(&["deploy", "prod"]).exits(8);
    ran.says("was changed by hand").never_says("hunter2").never_says("@@");
}

#[test]
fn status_tells_of_edits() {
    let Some(user) = TestUser::new(UserOptions::default()) else { return };
    let made = Installed::new(&user);
    made.entry(&format!("install: {{ path: {}, mode: '0644' }}", made.place));
    made.project.deploy();
    let status = || made.project.shipit(&["status", "prod"]).exits(0).stdout;
    assert!(!status().contains("changed by hand"), "{}", status());
    user.run_as_root(&format!("echo more >>{}", made.place));
    user.run(&format!(
        "echo '# more' >>{}/current/units/{}.service",
        made.project.root(&user),
        made.project.name
    ));
    let edited = status();
    assert!(edited.contains(&format!("  changed by hand: {}\n", made.place)), "{edited}");
    let unit = format!("  changed by hand: current/units/{}.service\n", made.project.name);
    assert!(edited.contains(&unit), "{edited}");
}

/// A person who puts a secret into a file takes care that nobody else reads it.
#[test]
fn an_edit_is_not_shown_once_the_file_is_for_its_owner_alone() {
    let Some(user) = TestUser::new(UserOptions::default()) else { return };
    let made = Installed::new(&user);
    made.entry("install: { path: ~/rotate, mode: '0644' }");
    made.project.deploy();
    let hidden = |arguments: &[&str]| {
        let ran = made.project.shipit(arguments);
        assert!(ran.all().contains("rotate"), "{}", ran.all());
        assert!(!ran.all().contains("hunter2") && !ran.all().contains("@@"), "{}", ran.all());
    };
    user.run("chmod 600 ~/rotate && echo hunter2 >>~/rotate");
    hidden(&["plan", "prod"]);
    hidden(&["deploy", "prod"]);
    hidden(&["plan", "prod", "--force"]);
    user.run("mv ~/rotate ~/secret && ln -s secret ~/rotate");
    hidden(&["plan", "prod"]);
    hidden(&["plan", "prod", "--force"]);
}

/// Nothing was done yet, and there is nothing to undo.
#[test]
fn a_folder_that_can_not_be_made_leaves_the_service_untouched() {
    let Some(user) = TestUser::new(UserOptions::default()) else { return };
    let made = Installed::new(&user);
    let project = &made.project;
    project.edit("deploy.yaml", &made.place, "~/shop/conf/rotate");
    project.edit("deploy.yaml", ", owner: root, group: adm", "");
    user.run("touch ~/shop");
    project.shipit(&["deploy", "prod"]).exits(1).says("shop").says("FAILED (untouched)");
    project.standing(&user).is_not_deployed();
    assert_eq!(user.run("cat ~/shop"), "");
    user.run("rm ~/shop");
    project.deploy();
    assert_eq!(user.run("ls ~/shop/conf"), "rotate\n");

    // A folder that is gone takes the copy along.
    user.run("rm -r ~/shop");
    let ran = project.shipit(&["remove", "prod", "--yes"]).exits(0);
    assert!(ran.stdout.contains("removed "), "{}", ran.all());
    project.standing(&user).is_not_deployed();
    assert_eq!(user.run(&format!("ls -d {} ~/shop 2>/dev/null; true", project.root(&user))), "");
}

#[test]
fn a_copy_makes_way_for_a_link_though_it_had_taken_anothers_place() {
    let Some(user) = TestUser::new(UserOptions::default()) else { return };
    let made = Installed::new(&user);
    let (project, place) = (&made.project, &made.place);
    user.run_as_root(&format!("echo theirs >{place}"));
    made.entry(&format!("install: {{ path: {place}, mode: '0644' }}"));
    project.shipit(&["deploy", "prod", "--force"]).exits(0);
    made.entry(&format!("link: {place}"));
    project.deploy();
    assert_eq!(user.run(&format!("readlink {place}")), format!("{}/current/rotate\n", project.root(&user)));
    project.deploy().says("nothing to do");
    // What stood there is still known.
    project.shipit(&["remove", "prod", "--yes"]).exits(0);
    assert_eq!(user.run(&format!("cat {place}")), "theirs\n");
}

#[test]
fn what_only_root_can_see_is_looked_at_with_roots_rights() {
    let Some(user) = TestUser::new(UserOptions::default()) else { return };
    let mut made = Installed::new(&user);
    // The login user may not even look into this folder.
    made.place = format!("/etc/sudoers.d/{}", made.project.name);
    let place = &made.place;
    made.entry(&format!("install: {{ path: {place}, owner: root, group: root, mode: '0440' }}, validate: sudo visudo -cf {place}"));
    made.project.write("rotate.j2", "# one\n");
    made.project.deploy();
    assert_eq!(made.found(), "440 root root # one\n");
    made.project.deploy().says("nothing to do");
    // sudo would not start with this, and says so before anybody is locked out.
    made.project.write("rotate.j2", "nonsense nonsense\n");
    made.project.shipit(&["deploy", "prod"]).exits(3).says("syntax error");
    assert_eq!(made.found(), "440 root root # one\n");
    user.run_as_root(&format!("echo '# theirs' >>{place}"));
    made.project.write("rotate.j2", "# two\n");
    made.project.shipit(&["deploy", "prod"]).exits(8).says("was changed by hand");
    made.project.shipit(&["deploy", "prod", "--force"]).exits(0);
    assert_eq!(made.found(), "440 root root # two\n");
}

#[test]
fn a_link_becomes_a_copy_and_a_copy_a_link() {
    let Some(user) = TestUser::new(UserOptions::default()) else { return };
    let made = Installed::new(&user);
    let (project, place) = (&made.project, &made.place);
    made.entry(&format!("link: {place}"));
    project.deploy();
    let is_link = || user.run_as_root(&format!("test -L {place} && echo link || echo file"));
    assert_eq!(is_link(), "link\n");
    made.entry(&format!("install: {place}"));
    project.write("service.sh", "#!/bin/sh\nexit 7\n");
    project.shipit(&["deploy", "prod"]).exits(3);
    assert_eq!(is_link(), "link\n", "the link is back");
    project.write("service.sh", "#!/bin/sh\nexec sleep 1d\n");
    project.deploy();
    assert_eq!(is_link(), "file\n");
    made.entry(&format!("link: {place}"));
    project.deploy();
    assert_eq!(is_link(), "link\n");
    project.shipit(&["remove", "prod", "--yes"]).exits(0);
    assert_eq!(made.found(), "");
}

#[test]
fn with_a_password_for_sudo_the_old_file_comes_back_as_well() {
    let options = UserOptions { sudo: Sudo::Password, ..UserOptions::default() };
    let Some(user) = TestUser::new(options) else { return };
    let made = Installed::new(&user);
    let (project, name, place) = (&made.project, &made.project.name, &made.place);
    let password = user.password.clone().unwrap();
    let deploy = || project.shipit_on_a_terminal(&["deploy", "prod"], &[("sudo password", &password)]);
    deploy().exits(0);
    assert_eq!(made.found(), format!("640 root adm {name} one\n"));
    let current = project.current(&user);
    project.write("rotate.j2", "{{ service }} two\n");
    project.write("service.sh", "#!/bin/sh\nexit 7\n");
    deploy().exits(3);
    assert_eq!((made.found(), project.current(&user)), (format!("640 root adm {name} one\n"), current));
    assert_eq!(project.property(&user, "ActiveState"), "active");

    let refused = project.shipit(&["deploy", "prod"]).exits(8);
    refused.says(&format!("the file {place} needs root"));

    // Gone at last, with the password as well.
    project.shipit(&["remove", "prod", "--yes"]).exits(1).says(place).says("what stood there before");
    let remove = project.shipit_on_a_terminal(&["remove", "prod", "--yes"], &[("sudo password", &password)]);
    remove.exits(0);
    assert_eq!(made.found(), "");
    project.standing(&user).is_not_deployed();
}

/// The host alone can't take the file away again: that is done with the password, and then the run is gone through once more.
#[test]
fn with_a_password_for_sudo_a_first_deploy_that_fails_leaves_nothing() {
    let options = UserOptions { sudo: Sudo::Password, ..UserOptions::default() };
    let Some(user) = TestUser::new(options) else { return };
    let made = Installed::new(&user);
    let password = user.password.clone().unwrap();
    made.project.write("service.sh", "#!/bin/sh\nexit 7\n");
    let deploy = || made.project.shipit_on_a_terminal(&["deploy", "prod"], &[("sudo password", &password)]);
    deploy().exits(3);
    assert_eq!(made.found(), "");
    made.project.standing(&user).is_not_deployed();
    made.project.write("service.sh", "#!/bin/sh\nexec sleep infinity\n");
    deploy().exits(0);
}

#[test]
fn in_the_systems_scope_copies_are_roots() {
    let Some(user) = TestUser::new(UserOptions::default()) else { return };
    let mut made = Installed::new(&user);
    made.project = std::mem::replace(&mut made.project, Project::quick(&user)).into_system();
    made.entry(&format!("install: {}", made.place));
    let name = made.project.name.clone();
    made.project.deploy();
    assert_eq!(made.found(), format!("644 root root {name} one\n"));
    made.project.write("rotate.j2", "{{ service }} two\n");
    made.project.write("service.sh", "#!/bin/sh\nexit 7\n");
    made.project.shipit(&["deploy", "prod"]).exits(3);
    assert_eq!(made.found(), format!("644 root root {name} one\n"));
    made.project.shipit(&["remove", "prod", "--yes"]).exits(0);
    assert_eq!(made.found(), "");
    made.project.remove_from_system(&user);
}

#[test]
fn a_power_cut_right_after_a_file_was_replaced_brings_the_old_one_back_at_the_boot() {
    let Some(host) = OwnHost::boot(HostOptions::default()) else { return };
    let user = host.user(UserOptions::default());
    let made = Installed::new(&user);
    let (project, name) = (&made.project, &made.project.name);
    // What SELinux has for it, on a host without: says what it was called for, and takes as long as somebody wants.
    user.run_as_root(
        "printf '#!/bin/sh\n' >/usr/local/sbin/selinuxenabled
        printf '#!/bin/sh\necho \"$*\" >>/root/labelled\nwhile [ -e /root/hold ]; do sleep 0.1; done\n' >/usr/local/sbin/restorecon
        chmod +x /usr/local/sbin/selinuxenabled /usr/local/sbin/restorecon",
    );
    project.deploy();
    assert_eq!(user.run_as_root("cat /root/labelled"), format!("-- {}\n", made.place));
    let old = made.found();

    project.write("rotate.j2", "{{ service }} two\n");
    user.run_as_root("touch /root/hold");
    let deploy = Child::spawn(&mut project.command(&["deploy", "prod"]));
    wait_for("the new file", Duration::from_secs(20), || {
        made.found() == format!("640 root adm {name} two\n")
    });
    host.machine.cut_power();
    drop(deploy);
    host.machine.power_on();
    wait_for("the old file", Duration::from_secs(20), || made.found() == old);
    wait_for("the end of the run", Duration::from_secs(20), || {
        user.run(&format!("test -L {}/pending && echo pending || echo over", project.root(&user))) == "over\n"
    });
    assert_eq!(made.litter(), "");

    user.run_as_root("rm /root/hold");
    project.deploy();
    assert_eq!(made.found(), format!("640 root adm {name} two\n"));
}

#[test]
fn a_client_that_is_killed_leaves_the_old_file_there() {
    let Some(user) = TestUser::new(UserOptions::default()) else { return };
    let made = Installed::new(&user);
    made.project.deploy();
    let old = made.found();
    made.entry(&format!("install: {}, validate: 'touch ~/validating; sleep 100'", made.place));
    made.project.write("rotate.j2", "{{ service }} two\n");
    let deploy = Child::spawn(&mut made.project.command(&["deploy", "prod"]));
    wait_for("the check of the new file", Duration::from_secs(20), || user.run("ls").contains("validating"));
    assert_ne!(made.found(), old);
    deploy.signal("KILL");
    wait_for("the old file", Duration::from_secs(20), || made.found() == old);
}

#[test]
fn an_edit_behind_a_link_is_left_alone_as_well() {
    let Some(user) = TestUser::new(UserOptions::default()) else { return };
    let made = Installed::new(&user);
    let (project, name, place) = (&made.project, &made.project.name, &made.place);
    made.entry(&format!("link: {place}"));
    project.deploy();
    let current = project.current(&user);
    user.run(&format!("echo by hand >>{place}"));
    let ran = project.shipit(&["deploy", "prod"]).exits(8);
    ran.says("/current/rotate was changed by hand since it was deployed");
    assert_eq!(user.run(&format!("cat {place}")), format!("{name} one\nby hand\n"));
    project.shipit(&["deploy", "prod", "--force"]).exits(0);
    assert_eq!(user.run(&format!("cat {place}")), format!("{name} one\n"));
    let kept = user.run(&format!("cat {}/{}/rotate", project.root(&user), current.trim()));
    assert_eq!(kept, format!("{name} one\nby hand\n"), "the release before still has it");

    // Taken over into the source, it is no edit any more.
    user.run(&format!("echo again >>{place}"));
    project.write("rotate.j2", "{{ service }} one\nagain\n");
    project.deploy();
}
