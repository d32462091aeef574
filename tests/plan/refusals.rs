//! What is refused before anything on the host is touched, and with which words.
use shipit::plan::{Facts, Lingering, LinkState, Manager, Operator, Refusal, RootAccess, Sudo, Systemd};
use shipit::release::Machine;

use crate::fixture::{Service, elf, steps};

fn refused(change: impl FnOnce(&mut Facts)) -> Vec<Refusal> {
    let service = Service::new();
    let mut facts = service.fresh_host();
    change(&mut facts);
    service.plan(&facts).unwrap_err()
}

fn only(refusals: &[Refusal]) -> String {
    let [refusal] = refusals else { panic!("{refusals:?}") };
    format!("{refusal} | {}", refusal.help())
}

#[test]
fn a_real_file_is_never_replaced_by_a_link() {
    let refusals = refused(|facts| {
        facts.links[0].state = LinkState::File;
        facts.links[2].state = LinkState::Folder;
    });
    let codes: Vec<_> = refusals.iter().map(Refusal::code).collect();
    assert_eq!(codes, ["shipit::preflight::link_blocked"; 2], "all reasons come at once");
    assert!(refusals[0].to_string().contains("/usr/local/bin/api is a file"));
    assert!(refusals[0].help().contains("mv /usr/local/bin/api"));
}

#[test]
fn without_sudo_the_exact_commands_are_given() {
    let refusals = refused(|facts| {
        facts.sudo = Sudo::Refused("sudo: a password is required".to_owned());
        facts.lingering = Lingering::Off;
    });
    let helps: Vec<String> = refusals.iter().map(Refusal::help).collect();
    assert!(helps[0].ends_with("sudo loginctl enable-linger deploy"), "{helps:?}");
    let root = "/home/deploy/.local/share/shipit/api";
    let link = format!("sudo ln -sfT {root}/current/bin/api /usr/local/bin/api");
    assert!(helps[1].ends_with(&link), "{helps:?}");
    assert_eq!(helps.len(), 3);
}

#[test]
fn a_sudo_password_can_be_asked_for_on_a_terminal() {
    let service = Service::new();
    let mut facts = service.fresh_host();
    facts.sudo = Sudo::Refused("sudo: a password is required".to_owned());
    let plan = service.plan_for(&facts, Operator::Present).unwrap();
    assert!(plan.needs_root());
}

#[test]
fn a_deployed_host_needs_no_sudo_at_all() {
    let service = Service::new();
    let mut facts = service.deployed_host();
    facts.sudo = Sudo::Missing;
    service.edit("api", "1d", "2d");
    assert!(steps(&service.plan(&facts).unwrap()).contains(&"switch"));
}

#[test]
fn a_binary_for_another_machine_names_both() {
    let service = Service::new();
    let mut release = service.release();
    release.binary = Some(elf(Machine::Aarch64, None));
    let refusals = service.plan_of(&release, &service.fresh_host(), Operator::Absent).unwrap_err();
    assert!(only(&refusals).starts_with("the binary is for aarch64, the host is x86_64"));
}

#[test]
fn a_glibc_too_old_names_both_versions() {
    let service = Service::new();
    let mut release = service.release();
    release.binary = Some(elf(Machine::X86_64, Some("2.38")));
    let refusals = service.plan_of(&release, &service.fresh_host(), Operator::Absent).unwrap_err();
    assert!(only(&refusals).starts_with("the binary needs glibc 2.38, the host has 2.36"));
    release.binary = Some(elf(Machine::X86_64, Some("2.4")));
    assert!(
        service.plan_of(&release, &service.fresh_host(), Operator::Absent).is_ok(),
        "2.4 is older than 2.36"
    );
}

#[test]
fn a_host_that_can_t_run_user_services_is_refused() {
    assert!(only(&refused(|facts| facts.systemd = Systemd::Missing)).contains("no systemctl"));
    assert!(only(&refused(|facts| facts.systemd = Systemd::NotBooted)).contains("not running"));
    assert!(only(&refused(|facts| facts.systemd = Systemd::Running(244))).contains("has systemd 244"));
    let said = "Failed to connect to bus: No medium found";
    let no_manager = refused(|facts| facts.manager = Manager::Unreachable(said.to_owned()));
    assert!(only(&no_manager).contains(said));
    assert!(only(&refused(|facts| facts.kernel = "Darwin".to_owned())).contains("runs Darwin"));
}

#[test]
fn room_is_checked_before_anything_is_sent() {
    assert!(only(&refused(|facts| facts.free_bytes = Some(4096))).contains("0.1 MB are free"));
    assert!(only(&refused(|facts| facts.free_inodes = Some(3))).contains("3 inodes are free"));
    assert!(only(&refused(|facts| facts.root_access = RootAccess::Denied)).contains("may not write"));
    assert!(only(&refused(|facts| facts.root_access = RootAccess::ReadOnly)).contains("mounted read-only"));
}
