//! What becomes of units that a release does not have any more, and in which order units are started.
use shipit::plan::{Facts, LinkState, Refusal, Step};
use shipit::release::ReleaseRecord;

use crate::fixture::{Service, shown, steps};

/// A host that runs the service with a worker beside it; the manifest names the worker no longer.
fn host_with_a_worker(service: &Service) -> Facts {
    service.edit("deploy.yaml", "unit: api.service", "units: [api.service, worker.service]");
    service.write(
        "worker.service",
        "[Service]\nExecStart=/usr/local/bin/api work\n\n[Install]\nWantedBy=default.target\n",
    );
    let mut facts = service.deployed_host();
    let up = facts.units.values().next().unwrap().clone();
    facts.units.insert("worker.service".parse().unwrap(), up);
    facts.record = Some(ReleaseRecord::of(facts.current.release().unwrap().clone(), &service.release()));
    service.edit("deploy.yaml", "units: [api.service, worker.service]", "unit: api.service");
    facts
}

#[test]
fn a_unit_that_left_the_manifest_is_stopped_disabled_and_its_link_removed() {
    let service = Service::new();
    let facts = host_with_a_worker(&service);
    let plan = service.plan(&facts).unwrap();
    assert_eq!(
        steps(&plan),
        ["upload", "seal", "stop", "disable", "unlink", "switch", "reload_manager"],
        "and the unit that stays goes on running"
    );
    insta::assert_snapshot!(shown(&plan));
}

#[test]
fn a_unit_that_is_linked_from_elsewhere_by_now_is_left_alone() {
    let service = Service::new();
    let mut facts = host_with_a_worker(&service);
    let link = facts.links.iter_mut().find(|link| link.path.as_str().ends_with("worker.service")).unwrap();
    for state in [LinkState::Symlink("/home/deploy/other/worker.service".to_owned()), LinkState::File] {
        link.state = state;
    }
    assert_eq!(steps(&service.plan(&facts).unwrap()), ["upload", "seal", "switch", "reload_manager"]);
}

#[test]
fn a_job_that_ends_has_no_process_to_prove_the_binary_by() {
    let service = Service::new();
    service.edit("api.service", "[Service]", "[Service]\nType=oneshot\nRemainAfterExit=yes");
    let plan = service.plan(&service.fresh_host()).unwrap();
    assert!(shown(&plan).contains("watch api.service for 2 s: it must stay up\n"), "{}", shown(&plan));
}

#[test]
fn more_or_fewer_instances_are_a_release_of_their_own() {
    let service = Service::new();
    service.write("w@.service", "[Service]\nExecStart=/bin/sleep 9\n\n[Install]\nWantedBy=default.target\n");
    let units = |count: u32| format!("units: [api.service, {{ path: w@.service, instances: {count} }}]");
    service.edit("deploy.yaml", "unit: api.service", &units(2));
    let mut facts = service.deployed_host();
    let up = facts.units.values().next().unwrap().clone();
    for unit in ["w@1.service", "w@2.service"] {
        facts.units.insert(unit.parse().unwrap(), up.clone());
    }
    facts.record = Some(ReleaseRecord::of(facts.current.release().unwrap().clone(), &service.release()));
    assert!(service.plan(&facts).unwrap().is_empty());
    service.edit("deploy.yaml", &units(2), &units(1));
    let expected = ["upload", "seal", "stop", "disable", "switch", "reload_manager"];
    assert_eq!(steps(&service.plan(&facts).unwrap()), expected);
    service.edit("deploy.yaml", &units(1), &units(3));
    let expected = ["upload", "seal", "switch", "enable", "start", "observe", "ask_health"];
    assert_eq!(steps(&service.plan(&facts).unwrap()), expected);
}

#[test]
fn one_that_has_failed_is_stopped_too_and_one_that_is_down_is_not() {
    let service = Service::new();
    let mut facts = host_with_a_worker(&service);
    let mut in_state = |state: &str| {
        facts.units.get_mut("worker.service").unwrap().active_state = state.to_owned();
        steps(&service.plan(&facts).unwrap())
    };
    assert!(in_state("failed").contains(&"stop"));
    assert!(in_state("activating").contains(&"stop"), "it waits for its next try");
    assert!(!in_state("inactive").contains(&"stop"));
}

#[test]
fn a_unit_of_the_users_is_linked_from_that_users_folder_and_can_not_change_hands() {
    let service = Service::new();
    service.edit("deploy.yaml", "name: api", "scope: system\nname: api");
    service.edit(
        "deploy.yaml",
        "unit: api.service",
        "units: [api.service, { path: desk.service, scope: user }]",
    );
    service.edit("api.service", "default.target", "multi-user.target");
    let desk = "[Service]\nExecStart=/usr/local/bin/api desk\n\n[Install]\nWantedBy=default.target\n";
    service.write("desk.service", desk);
    let plan = service.plan(&service.fresh_host()).unwrap();
    let links = plan.steps.iter().filter_map(|step| match step {
        Step::Link(link) => Some(link.path.as_str()),
        _ => None,
    });
    let links: Vec<&str> = links.filter(|path| path.contains("systemd")).collect();
    assert_eq!(links, ["/etc/systemd/system/api.service", "~/.config/systemd/user/desk.service"]);

    let mut facts = service.deployed_host();
    let up = facts.units.values().next().unwrap().clone();
    facts.units.insert("desk.service".parse().unwrap(), up);
    facts.record = Some(ReleaseRecord::of(facts.current.release().unwrap().clone(), &service.release()));
    assert_eq!(steps(&service.plan(&facts).unwrap()), [""; 0]);
    service.edit("deploy.yaml", ", scope: user }", " }");
    service.edit("desk.service", "default.target", "multi-user.target");
    let refused = service.plan(&facts).unwrap_err();
    assert!(matches!(refused.as_slice(), [Refusal::ScopeChanged { .. }]), "{refused:?}");
}

#[test]
fn a_unit_that_no_longer_starts_at_boot_is_disabled_unless_somebody_else_enabled_it() {
    let service = Service::new();
    let mut facts = service.deployed_host();
    let record = |service: &Service, facts: &Facts| {
        Some(ReleaseRecord::of(facts.current.release().unwrap().clone(), &service.release()))
    };
    facts.record = record(&service, &facts);
    service.edit("api.service", "[Install]\nWantedBy=default.target\n", "");
    assert_eq!(
        steps(&service.plan(&facts).unwrap()),
        ["upload", "seal", "disable", "switch", "reload_manager", "restart", "observe", "ask_health"]
    );
    // That release is there already, and the unit is enabled all the same.
    facts.record = record(&service, &facts);
    assert!(!steps(&service.plan(&facts).unwrap()).contains(&"disable"));
}
