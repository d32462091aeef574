//! What is done, for each state that a host can be in.
use insta::assert_snapshot;
use shipit::plan::{Lingering, LinkState, Sudo};

use crate::fixture::{Service, shown, steps};

#[test]
fn a_first_deploy_does_everything() {
    let service = Service::new();
    let plan = service.plan(&service.fresh_host()).unwrap();
    assert_eq!(plan.from, None);
    assert_snapshot!(shown(&plan));
}

#[test]
fn a_host_that_is_as_it_should_be_needs_nothing() {
    let service = Service::new();
    let facts = service.deployed_host();
    let plan = service.plan(&facts).unwrap();
    assert!(plan.is_empty(), "{}", shown(&plan));
    assert_eq!(Some(&plan.release), facts.current.release());
}

#[test]
fn a_changed_env_file_goes_alone_and_its_values_are_not_shown() {
    let service = Service::new();
    let facts = service.deployed_host();
    service.edit("api.conf", "North Carolina", "Virginia");
    service.edit("api.conf", "TOKEN=hunter2\n", "KEY=swordfish\n");
    let plan = service.plan(&facts).unwrap();
    let shown = shown(&plan);
    for secret in ["North", "Virginia", "hunter2", "swordfish"] {
        assert!(!shown.contains(secret), "{shown}");
        assert!(!serde_json::to_string(&plan).unwrap().contains(secret));
        assert!(!format!("{plan:?} {facts:?}").contains(secret));
    }
    assert_snapshot!(shown);
}

#[test]
fn a_changed_unit_is_shown_as_a_diff() {
    let service = Service::new();
    let facts = service.deployed_host();
    service.edit("api.service", "[Install]", "Restart=always\n\n[Install]");
    assert_snapshot!(shown(&service.plan(&facts).unwrap()));
}

#[test]
fn a_changed_binary_restarts_the_service_without_sudo() {
    let service = Service::new();
    let facts = service.deployed_host();
    service.edit("api", "1d", "2d");
    let plan = service.plan(&facts).unwrap();
    assert!(!plan.needs_root());
    assert_eq!(steps(&plan), ["upload", "seal", "switch", "restart", "observe", "ask_health"]);
}

#[test]
fn units_that_are_started_are_watched_in_one_step() {
    let service = Service::new();
    service
        .write("worker.service", "[Service]\nExecStart=/bin/sleep 9\n\n[Install]\nWantedBy=default.target\n");
    service.edit("deploy.yaml", "unit: api.service", "units: [api.service, worker.service]");
    let plan = service.plan(&service.fresh_host()).unwrap();
    assert_eq!(steps(&plan).iter().filter(|step| **step == "observe").count(), 1);
    assert!(
        shown(&plan).contains(
            "watch api.service and worker.service for 2 s: they must stay up and api.service must run the release's \
             binary"
        ),
        "{}",
        shown(&plan)
    );
}

#[test]
fn a_service_that_is_down_is_started_without_a_new_release() {
    let service = Service::new();
    let mut facts = service.deployed_host();
    let unit = facts.units.values_mut().next().unwrap();
    unit.active_state = "failed".to_owned();
    unit.sub_state = "failed".to_owned();
    let plan = service.plan(&facts).unwrap();
    assert_eq!(steps(&plan), ["start", "observe", "ask_health"]);
    assert_eq!(Some(&plan.release), facts.current.release());
}

#[test]
fn a_program_that_is_not_the_release_s_is_restarted() {
    let service = Service::new();
    let mut facts = service.deployed_host();
    let other = shipit::release::Sha256Digest::of(b"other");
    facts.units.values_mut().next().unwrap().executable = Some(other);
    assert_eq!(steps(&service.plan(&facts).unwrap()), ["restart", "observe", "ask_health"]);
}

#[test]
fn a_unit_that_would_not_start_at_boot_is_enabled_and_not_restarted() {
    let service = Service::new();
    let mut facts = service.deployed_host();
    facts.units.values_mut().next().unwrap().unit_file_state = "linked".to_owned();
    assert_eq!(steps(&service.plan(&facts).unwrap()), ["enable"]);
}

#[test]
fn a_wrong_link_is_repaired_and_its_old_target_shown() {
    let service = Service::new();
    let mut facts = service.deployed_host();
    facts.sudo = Sudo::Passwordless;
    facts.links[0].state = LinkState::Symlink("/opt/api/bin/api".to_owned());
    let plan = service.plan(&facts).unwrap();
    assert_eq!(steps(&plan), ["link"]);
    assert!(shown(&plan).contains("/opt/api/bin/api"), "{}", shown(&plan));
}

#[test]
fn a_file_edited_on_the_host_is_put_right() {
    let service = Service::new();
    let mut facts = service.deployed_host();
    let edited = facts.files.get_mut("env/api.conf").unwrap();
    edited.sha256 = shipit::release::Sha256Digest::of(b"edited");
    let plan = service.plan(&facts).unwrap();
    assert!(steps(&plan).starts_with(&["upload"]));
    // Even within the second of the first deploy the repair is a release of its own.
    assert_ne!(Some(&plan.release), facts.current.release());
}

#[test]
fn a_file_made_readable_to_others_is_put_right() {
    let service = Service::new();
    let mut facts = service.deployed_host();
    facts.files.get_mut("env/api.conf").unwrap().mode = 0o644;
    assert!(steps(&service.plan(&facts).unwrap()).starts_with(&["upload"]));
}

#[test]
fn a_file_that_the_release_no_longer_has_makes_a_new_release() {
    let service = Service::new();
    let facts = service.deployed_host();
    service.edit("deploy.yaml", "env_file: api.conf\n", "");
    service.edit("api.service", "EnvironmentFile=/etc/default/api.conf\n", "");
    let plan = service.plan(&facts).unwrap();
    assert!(shown(&plan).contains("- env/api.conf  (not in the new release)"), "{}", shown(&plan));

    // A process keeps the environment that it was started with, whatever its unit says of the file.
    let service = Service::new();
    service.edit("api.service", "EnvironmentFile=/", "EnvironmentFile=-/");
    let facts = service.deployed_host();
    service.edit("deploy.yaml", "env_file: api.conf\n", "");
    let plan = service.plan(&facts).unwrap();
    assert!(steps(&plan).contains(&"restart"), "{}", shown(&plan));
}

#[test]
fn lingering_is_enabled_first() {
    let service = Service::new();
    let mut facts = service.deployed_host();
    facts.lingering = Lingering::Off;
    facts.sudo = Sudo::Passwordless;
    assert_eq!(steps(&service.plan(&facts).unwrap()), ["enable_lingering"]);
}
