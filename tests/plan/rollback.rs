//! What a rollback does, for each state that a host can be in; and when there is none.
use shipit::plan::{
    Destination, Edits, Facts, FoundRelease, Lingering, LinkState, Operator, Plan, Refusal, RollbackInputs,
    Standing, Step, Sudo, plan_rollback,
};
use shipit::release::{Release, ReleaseId, ReleaseRecord};

use crate::fixture::{Service, shown, steps, time};

/// A release as it stands on the host, made at noon of a day in November.
fn stored(release: &Release, day: u32, standing: Standing) -> FoundRelease {
    let id = ReleaseId::new(time(&format!("2026-11-{day:02}T12:00:00Z")), &release.digest);
    let record = ReleaseRecord::of(id.clone(), release);
    let mut found = FoundRelease::new(id, standing);
    found.sizes = record.artifacts.iter().map(|file| (file.path.to_string(), file.size)).collect();
    found.record = Some(record);
    found
}

/// A host that runs the service as its files are now, since the 19th, and has releases with another binary of these
/// days.
fn host(service: &Service, earlier: &[(u32, Standing)]) -> Facts {
    let mut facts = service.deployed_host();
    facts.releases.clear();
    facts.releases.push(stored(&service.release(), 19, Standing::Good));
    service.edit("api", "1d", "7d");
    let old = service.release();
    service.edit("api", "7d", "1d");
    facts.releases.extend(earlier.iter().map(|(day, standing)| stored(&old, *day, *standing)));
    facts.releases.sort_by(|a, b| a.id.cmp(&b.id));
    facts
}

fn plan_to(service: &Service, facts: &Facts, destination: &Destination) -> Result<Plan, Vec<Refusal>> {
    let manifest = service.manifest();
    let host = manifest.environment(None).unwrap().hosts[0].address.clone();
    let operator = Operator::Absent;
    let edits = Edits::Respect;
    plan_rollback(&RollbackInputs { manifest: &manifest, host: &host, facts, destination, operator, edits })
}

fn back(service: &Service, facts: &Facts) -> Result<Plan, Vec<Refusal>> {
    plan_to(service, facts, &Destination::Before)
}

fn day(plan: &Plan) -> String {
    plan.release.created().to_string()[8..10].to_owned()
}

#[track_caller]
fn only(result: Result<Plan, Vec<Refusal>>) -> Refusal {
    let mut refusals = result.unwrap_err();
    assert_eq!(refusals.len(), 1, "{refusals:?}");
    refusals.remove(0)
}

const GOOD: Standing = Standing::Good;
const FAILED: Standing = Standing::Unproven;

#[test]
fn it_checks_switches_restarts_and_watches() {
    let service = Service::new();
    let facts = host(&service, &[(18, GOOD)]);
    let plan = back(&service, &facts).unwrap();
    let expected = ["check_release", "switch", "reload_manager", "restart", "observe", "ask_health"];
    assert_eq!(steps(&plan), expected);
    insta::assert_snapshot!(shown(&plan));
    let Some(Step::Observe { units, .. }) = plan.steps.get(4) else { panic!("{}", shown(&plan)) };
    assert_eq!(units[0].executable, facts.releases[0].record.as_ref().unwrap().binary_hash());
}

#[test]
fn a_file_that_another_program_is_told_of_restarts_no_service() {
    let service = Service::new();
    service.edit(
        "deploy.yaml",
        "env_file: api.conf\n",
        "env_file: api.conf\nfiles: [{source: site.conf, on_change: reload-the-proxy}]\n",
    );
    service.write("site.conf", "listen 80;\n");
    let old = service.release();
    service.write("site.conf", "listen 81;\n");
    let mut facts = host(&service, &[]);
    facts.releases.insert(0, stored(&old, 18, GOOD));
    let plan = back(&service, &facts).unwrap();
    assert_eq!(steps(&plan), ["check_release", "switch", "reload_manager", "on_change", "ask_health"]);
}

#[test]
fn it_goes_to_the_newest_good_one_before_the_current() {
    let service = Service::new();
    let facts = host(&service, &[(15, GOOD), (17, GOOD), (18, FAILED), (20, GOOD)]);
    assert_eq!(day(&back(&service, &facts).unwrap()), "17");
}

#[test]
fn a_release_is_named_by_the_beginning_of_its_id() {
    let service = Service::new();
    let facts = host(&service, &[(15, GOOD), (18, FAILED), (20, GOOD)]);
    let to = |text: &str| plan_to(&service, &facts, &Destination::Named(text.to_owned()));
    assert_eq!(day(&to("20261115").unwrap()), "15");
    assert_eq!(
        day(&to("20261118T120000Z").unwrap()),
        "18",
        "a failed one, too, when it is asked for by name"
    );
    assert_eq!(day(&to(&facts.releases[3].id.to_string()).unwrap()), "20");
    assert!(to("20261119").unwrap().is_empty(), "it is there already");
}

#[test]
fn a_name_that_fits_none_or_several_shows_those_there_are() {
    let service = Service::new();
    let facts = host(&service, &[(18, FAILED)]);
    let to = |text: &str| only(plan_to(&service, &facts, &Destination::Named(text.to_owned())));
    let refusal = to("2025");
    assert_eq!(refusal.to_string(), "no release on the host has an id that begins with `2025`");
    let digest = &facts.releases[0].id.to_string()[17..];
    let help = refusal.help();
    assert!(help.contains(&format!("20261118T120000Z-{digest}  (failed, or never ran)")), "{help}");
    assert!(help.lines().nth(1).unwrap().ends_with("(current)"), "newest first: {help}");
    assert!(to("202611").to_string().starts_with("several releases"));
}

#[test]
fn with_nothing_to_go_back_to_it_says_so() {
    let service = Service::new();
    let refusal = only(back(&service, &host(&service, &[(18, FAILED), (20, GOOD)])));
    assert!(refusal.to_string().starts_with("there is no good release before the current one, 20261119T12"));
    assert_eq!(refusal.code(), "shipit::rollback::nothing_before");
    let refusal = only(back(&service, &service.fresh_host()));
    assert!(refusal.to_string().starts_with("the service is not deployed"), "{refusal}");
    assert!(refusal.help().contains("shipit deploy"));
}

#[test]
fn a_release_that_is_not_whole_is_refused() {
    let service = Service::new();
    let refused = |change: &dyn Fn(&mut FoundRelease)| {
        let mut facts = host(&service, &[(18, GOOD)]);
        change(&mut facts.releases[0]);
        only(back(&service, &facts)).to_string()
    };
    assert!(refused(&|found| found.record = None).contains("its release.json is missing or can't be read"));
    assert!(
        refused(&|found| {
            found.sizes.remove("bin/api");
        })
        .contains("bin/api is missing")
    );
    assert!(
        refused(&|found| {
            found.sizes.insert("bin/api".to_owned(), 1);
        })
        .contains("bin/api has 1 bytes")
    );
    let foreign = refused(&|found| found.record.as_mut().unwrap().service = "other".parse().unwrap());
    assert!(foreign.contains("of other"), "{foreign}");
}

#[test]
fn links_and_lingering_are_repaired_on_the_way() {
    let service = Service::new();
    let mut facts = host(&service, &[(18, GOOD)]);
    facts.lingering = Lingering::Off;
    facts.sudo = Sudo::Passwordless;
    facts.links[0].state = LinkState::Missing;
    let plan = back(&service, &facts).unwrap();
    assert_eq!(steps(&plan)[..3], ["enable_lingering", "check_release", "link"]);
    facts.sudo = Sudo::Missing;
    assert_eq!(back(&service, &facts).unwrap_err().len(), 2);
}

#[test]
fn only_the_manifest_is_read() {
    let service = Service::new();
    let facts = host(&service, &[(18, GOOD)]);
    let plan = back(&service, &facts).unwrap();
    for file in ["api", "api.service", "api.conf"] {
        service.remove(file);
    }
    assert_eq!(back(&service, &facts).unwrap(), plan);
}

#[test]
fn a_unit_that_the_release_does_not_have_is_stopped_disabled_and_its_link_removed() {
    let service = Service::new();
    let old = stored(&service.release(), 18, GOOD);
    service.edit("deploy.yaml", "unit: api.service", "units: [api.service, worker.service]");
    service.write("worker.service", "[Service]\nExecStart=/usr/local/bin/api work\n");
    let mut facts = service.deployed_host();
    let up = facts.units.values().next().unwrap().clone();
    facts.units.insert("worker.service".parse().unwrap(), up);
    facts.releases.push(old);
    facts.releases.sort_by(|a, b| a.id.cmp(&b.id));
    let plan = back(&service, &facts).unwrap();
    assert_eq!(steps(&plan)[..5], ["check_release", "stop", "disable", "unlink", "switch"]);
    assert!(
        shown(&plan).contains("stop worker.service, which the release does not have"),
        "{}",
        shown(&plan)
    );
}

#[test]
fn a_unit_that_only_a_past_release_had_is_somebody_elses() {
    let service = Service::new();
    let mut facts = host(&service, &[(18, GOOD)]);
    facts.record.clone_from(&facts.releases[1].record);
    // The probe tells of the units of all releases.
    let up = facts.units.values().next().unwrap().clone();
    facts.units.insert("worker.service".parse().unwrap(), up);
    assert!(!steps(&back(&service, &facts).unwrap()).contains(&"stop"));
}

#[test]
fn a_service_that_is_down_is_started() {
    let service = Service::new();
    let mut facts = host(&service, &[(18, GOOD)]);
    let unit = facts.units.values_mut().next().unwrap();
    unit.active_state = "failed".to_owned();
    unit.unit_file_state = "linked".to_owned();
    let plan = back(&service, &facts).unwrap();
    assert_eq!(steps(&plan)[3..5], ["enable", "start"]);
}
