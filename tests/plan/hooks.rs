//! Where hooks stand in a plan, and when they don't.
use insta::assert_snapshot;
use shipit::plan::{Operator, Position};

use crate::fixture::{Service, shown, steps};

const HOOKS: &str = "\
keep_releases: 3
hooks:
  before_deploy: [ { local: make dist } ]
  before_activate: [ { run: ./bin/migrate, once: true } ]
  after_activate: [ { run: \"./bin/warm-up\\n./bin/check\" } ]
  after_deploy: [ { run: echo done, timeout: 10s }, { local: echo all done } ]
  on_failure: [ { run: echo failed } ]
";

#[test]
fn hooks_surround_the_switch() {
    let service = Service::new();
    let facts = service.deployed_host();
    service.edit("deploy.yaml", "keep_releases: 3\n", HOOKS);
    service.edit("api", "1d", "2d");
    let plan = service.plan(&facts).unwrap();
    let expected =
        ["upload", "seal", "hook", "switch", "restart", "observe", "hook", "ask_health", "hook", "hook"];
    assert_eq!(steps(&plan), expected);
    assert_snapshot!(shown(&plan));
}

#[test]
fn what_runs_once_runs_on_the_first_host() {
    let service = Service::new();
    let facts = service.deployed_host();
    service.edit("deploy.yaml", "keep_releases: 3\n", HOOKS);
    service.edit("api", "1d", "2d");
    let first = service.plan_at(&facts, Operator::Absent, Position::First).unwrap();
    let later = service.plan_at(&facts, Operator::Absent, Position::Later).unwrap();
    assert_eq!(first.last_shared_step(), Some(2));
    assert_eq!(later.last_shared_step(), None);
    assert_eq!(steps(&later).len() + 1, steps(&first).len());
}

#[test]
fn hooks_go_with_a_new_release_only() {
    let service = Service::new();
    let mut facts = service.deployed_host();
    service.edit("deploy.yaml", "keep_releases: 3\n", HOOKS);
    assert!(service.plan(&facts).unwrap().is_empty());
    facts.units.values_mut().for_each(|unit| "failed".clone_into(&mut unit.active_state));
    assert_eq!(steps(&service.plan(&facts).unwrap()), ["start", "observe", "ask_health"]);
}
