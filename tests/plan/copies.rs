//! Copies outside of the release: what is made of what stands at their places.
use shipit::plan::{
    Access, Before, CopyState, Facts, FoundCopy, PlacedCopy, Privilege, Refusal, RemotePath, Step, Sudo,
};
use shipit::release::{Mode, Sha256Digest};

use crate::fixture::{Service, steps};

/// A service with a file for cron.
fn with_cron(install: &str) -> Service {
    let service = Service::new();
    let entry = format!("env_file: api.conf\nfiles: [{{source: cron, install: {install}}}]\n");
    service.edit("deploy.yaml", "env_file: api.conf\n", &entry);
    service.write("cron", "one\n");
    service
}

fn file(text: &str, owner: &str) -> CopyState {
    CopyState::File {
        sha256: Some(Sha256Digest::of(text.as_bytes())),
        mode: Mode::of(0o644),
        owner: owner.to_owned(),
        group: owner.to_owned(),
    }
}

fn placed(text: &str, owner: &str) -> PlacedCopy {
    PlacedCopy {
        source: "cron".parse().unwrap(),
        sha256: Sha256Digest::of(text.as_bytes()),
        mode: Mode::of(0o644),
        owner: owner.to_owned(),
        group: owner.to_owned(),
    }
}

/// A host that runs the release, with this at the place.
fn host(service: &Service, state: CopyState, placed: Option<PlacedCopy>, access: Access) -> Facts {
    let path = RemotePath::new("/etc/cron.d/api").unwrap();
    let mut facts = service.deployed_host();
    facts.copies = vec![FoundCopy { path, access, state, placed, texts: None }];
    facts
}

#[test]
fn what_is_as_it_should_be_is_left_and_what_shipit_put_there_is_replaced() {
    let service = with_cron("/etc/cron.d/api");
    let facts = |text: &str| host(&service, file(text, "root"), Some(placed(text, "root")), Access::Root);
    assert!(service.plan(&facts("one\n")).unwrap().is_empty());
    let plan = service.plan(&facts("zero\n")).unwrap();
    assert_eq!(steps(&plan), ["install"]);
    assert!(plan.needs_root());
    let Step::Install(copy) = &plan.steps[0] else { panic!("{:?}", plan.steps) };
    assert_eq!(copy.place.was, Before::Placed { sha256: Sha256Digest::of(b"zero\n") });
    assert_eq!(copy.place.backup, None, "it was shipit's own");
}

#[test]
fn what_is_not_shipits_and_what_was_changed_by_hand_are_refused() {
    let service = with_cron("/etc/cron.d/api");
    let refused = |state, placed| service.plan(&host(&service, state, placed, Access::Root)).unwrap_err();
    let found = refused(file("theirs\n", "root"), None);
    assert!(matches!(found.as_slice(), [Refusal::CopyBlocked { .. }]), "{found:?}");
    let found = refused(file("edited\n", "root"), Some(placed("one\n", "root")));
    assert!(matches!(found.as_slice(), [Refusal::ChangedByHand { diff: None, .. }]), "{found:?}");
    let found = refused(CopyState::Symlink("/elsewhere".to_owned()), Some(placed("one\n", "root")));
    assert!(found[0].to_string().contains("a link to /elsewhere"), "{found:?}");
    let found = refused(CopyState::Other, None);
    assert!(matches!(found.as_slice(), [Refusal::CopyBlocked { .. }]), "{found:?}");
}

#[test]
fn another_owner_takes_root_and_without_root_that_is_said_before_anything_is_done() {
    let rights = |install: &str, state, sudo| {
        let service = with_cron(install);
        let mut facts = host(&service, state, None, Access::Direct);
        facts.sudo = sudo;
        service.plan(&facts).map(|plan| plan.steps[0].privilege())
    };
    let path = "path: /etc/cron.d/api";
    let with_sudo = |install: String, state| rights(&install, state, Sudo::Passwordless).unwrap();
    assert_eq!(with_sudo(format!("{{{path}}}"), CopyState::Missing), Privilege::User);
    assert_eq!(with_sudo(format!("{{{path}, owner: deploy}}"), CopyState::Missing), Privilege::User);
    assert_eq!(with_sudo(format!("{{{path}, owner: root}}"), CopyState::Missing), Privilege::Root);
    assert_eq!(with_sudo(format!("{{{path}, group: adm}}"), CopyState::Missing), Privilege::Root);
    // Only root can give back what is root's.
    assert_eq!(with_sudo(format!("{{{path}}}"), file("one\n", "root")), Privilege::Root);
    let refused = rights(&format!("{{{path}, owner: root}}"), CopyState::Missing, Sudo::Missing).unwrap_err();
    assert!(matches!(refused.as_slice(), [Refusal::CopyNeedsRoot { .. }]), "{refused:?}");
}

#[test]
fn a_copy_that_left_the_manifest_goes_and_what_only_root_sees_is_believed() {
    let service = with_cron("/etc/cron.d/api");
    let hidden = host(&service, CopyState::Hidden, Some(placed("one\n", "root")), Access::Root);
    assert!(service.plan(&hidden).unwrap().is_empty());
    service.edit("deploy.yaml", ", install: /etc/cron.d/api", "");
    assert_eq!(steps(&service.plan(&hidden).unwrap()), ["uninstall"]);
}
