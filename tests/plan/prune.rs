//! Which releases a deploy removes.
use shipit::plan::{FoundRelease, Standing, Step};
use shipit::release::ReleaseId;

use crate::fixture::{Service, shown, time};

/// A release of a day in November, before the one that runs, which is of the 19th.
fn release(service: &Service, day: u32, standing: Standing) -> FoundRelease {
    let made = time(&format!("2026-11-{day:02}T12:00:00Z"));
    FoundRelease::new(ReleaseId::new(made, &service.release().digest), standing)
}

/// The days of the releases that a deploy removes from a host that has these and the one of the 19th.
fn removed(keep: u32, there: &[(u32, Standing)]) -> Vec<String> {
    let service = Service::new();
    let mut facts = service.deployed_host();
    facts.releases.extend(there.iter().map(|(day, standing)| release(&service, *day, *standing)));
    facts.releases.sort_by(|a, b| a.id.cmp(&b.id));
    service.edit("deploy.yaml", "keep_releases: 3", &format!("keep_releases: {keep}"));
    service.edit("api", "1d", "2d");
    let plan = service.plan(&facts).unwrap();
    match plan.steps.last() {
        Some(Step::Prune { releases }) => {
            releases.iter().map(|id| id.created().to_string()[8..10].to_owned()).collect()
        }
        _ => {
            assert!(!shown(&plan).contains("old release"));
            Vec::new()
        }
    }
}

const GOOD: Standing = Standing::Good;
const FAILED: Standing = Standing::Unproven;

#[test]
fn so_many_good_ones_are_kept() {
    // The new one, the one before it, and one more.
    assert_eq!(removed(3, &[(15, GOOD), (16, GOOD), (17, GOOD), (18, GOOD)]), ["15", "16", "17"]);
    assert_eq!(removed(5, &[(15, GOOD), (16, GOOD), (17, GOOD)]), Vec::<String>::new());
}

#[test]
fn the_one_before_stays_even_when_only_one_is_wanted() {
    assert_eq!(removed(1, &[(17, GOOD), (18, GOOD)]), ["17", "18"]);
}

#[test]
fn failed_ones_take_no_place_of_a_good_one() {
    assert_eq!(
        removed(3, &[(14, GOOD), (15, GOOD), (16, FAILED), (17, FAILED), (18, FAILED)]),
        ["14", "16", "17"]
    );
}

#[test]
fn the_newest_failed_one_stays_to_be_looked_at() {
    assert_eq!(removed(3, &[(20, FAILED)]), Vec::<String>::new());
    assert_eq!(removed(3, &[(18, FAILED), (20, FAILED)]), ["18"]);
}

#[test]
fn after_a_rollback_the_one_that_runs_goes_before_newer_ones() {
    // The 19th runs; the 20th and the 21st are newer.
    assert_eq!(removed(3, &[(18, GOOD), (20, GOOD), (21, GOOD)]), ["18", "20"]);
    assert_eq!(removed(2, &[(18, GOOD), (20, GOOD), (21, GOOD)]), ["18", "20", "21"]);
}
