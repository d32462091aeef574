//! What has to hold of a host before anything on it is changed, whatever is to be done there; and the links that any
//! release wants.
use std::collections::BTreeSet;

use super::copies::{CopyChange, CopyPlace, CopyRemoval, CopySteps};
use super::deploy::Operator;
use super::facts::{
    Access, Current, Facts, FoundLink, FoundUnit, LinkState, Manager, RootAccess, Sudo, Systemd,
};
use super::layout::{Layout, LinkPath, LinkSpec, RemotePath};
use super::refusal::Refusal;
use super::step::{LinkChange, Privilege, Step};
use crate::manifest::{Manifest, Scope, UnitName};

/// The oldest systemd whose `systemctl` and unit handling a plan relies on.
const OLDEST_SYSTEMD: u32 = 245;

/// The oldest systemd that hands credentials to services.
const CREDENTIALS_SYSTEMD: u32 = 247;

/// Why the host as it is can't be changed; as an error, when that is all there is to say of a host.
pub(super) fn refuse_host(manifest: &Manifest, facts: &Facts) -> Result<Vec<Refusal>, Vec<Refusal>> {
    let layout = Layout::new(&facts.home, manifest);
    let mut refusals = Vec::new();
    if facts.kernel != "Linux" {
        return Err(vec![Refusal::NotLinux { kernel: facts.kernel.clone() }]);
    }
    match facts.systemd {
        Systemd::Running(has) if has < OLDEST_SYSTEMD => refusals.push(Refusal::SystemdTooOld { has }),
        Systemd::Running(has) => {
            if has < CREDENTIALS_SYSTEMD && manifest.units.iter().any(|unit| !unit.credentials.is_empty()) {
                refusals.push(Refusal::NoCredentials { has });
            }
            if let Manager::Unreachable(said) = &facts.manager {
                refusals.push(Refusal::NoUserManager { user: facts.user.clone(), said: said.clone() });
            }
        }
        Systemd::NotBooted => {
            return Err(vec![Refusal::NoSystemd { found: "systemd is installed but not running" }]);
        }
        Systemd::Missing => return Err(vec![Refusal::NoSystemd { found: "there is no systemctl" }]),
    }
    let root = || layout.root().clone();
    match facts.root_access {
        RootAccess::Writable => {}
        RootAccess::Denied => {
            refusals.push(Refusal::RootNotWritable { user: facts.user.clone(), root: root() });
        }
        RootAccess::ReadOnly => refusals.push(Refusal::RootReadOnly { root: root() }),
    }
    if facts.current == Current::Blocked {
        refusals.push(Refusal::CurrentBlocked { root: root() });
    }
    Ok(refusals)
}

/// A unit that is the one manager's now can't become the other's in one deploy: for a moment it would run in both, or in
/// none. `users_units` and `units` are the new release's.
pub(super) fn refuse_other_scope(
    users_units: &[UnitName],
    units: &BTreeSet<&UnitName>,
    facts: &Facts,
    refusals: &mut Vec<Refusal>,
) {
    let Some(record) = &facts.record else { return };
    let scope = |is_users: bool| if is_users { Scope::User } else { Scope::System };
    for unit in record.all_units() {
        let (was, is) = (record.users_units.contains(&unit.name), users_units.contains(&unit.name));
        if units.contains(&unit.name) && was != is {
            refusals.push(Refusal::ScopeChanged { unit: unit.name, was: scope(was), is: scope(is) });
        }
    }
}

/// The links that have to be made or repaired.
pub(super) fn changed_links(
    layout: &Layout,
    wanted: &[LinkSpec],
    facts: &Facts,
    copies: &CopySteps,
    refusals: &mut Vec<Refusal>,
) -> Vec<LinkChange> {
    let mut links = Vec::new();
    for spec in wanted {
        let Some(found) = facts.links.iter().find(|found| found.path == spec.path) else { continue };
        let target = layout.root().join(&spec.target);
        match &found.state {
            LinkState::Symlink(points_to) if points_to == target.as_str() => continue,
            LinkState::File if copies.frees(spec, &facts.home) => {}
            LinkState::File => refusals.push(Refusal::LinkBlocked { path: spec.path.clone(), is: "a file" }),
            LinkState::Folder => {
                refusals.push(Refusal::LinkBlocked { path: spec.path.clone(), is: "a folder" });
            }
            LinkState::Symlink(_) | LinkState::Missing => {}
        }
        let privilege = match found.access {
            Access::Direct => Privilege::User,
            Access::Root => Privilege::Root,
        };
        links.push(LinkChange { path: spec.path.clone(), target, privilege, was: found.state.clone() });
    }
    links
}

/// Takes away the links outside of systemd's folders that earlier releases had, and that are not wanted: they would lead
/// nowhere, and the program that reads them might not start any more. One that takes a password to remove stays.
pub(super) fn past_links(
    layout: &Layout,
    wanted: &[LinkSpec],
    facts: &Facts,
    copies: &CopySteps,
) -> Vec<Step> {
    let inside = layout.root().join("current/").to_string();
    let place = |path: &LinkPath| path.on_host(&facts.home);
    let may = |access| match access {
        Access::Direct => true,
        Access::Root => matches!(facts.sudo, Sudo::Root | Sudo::Passwordless),
    };
    let unlink = |found: &FoundLink| {
        let LinkState::Symlink(target) = &found.state else { return None };
        let goes = Layout::unit_file(&found.path).is_none()
            && target.starts_with(&inside)
            && may(found.access)
            && !copies.takes(&place(&found.path))
            && !wanted.iter().any(|spec| place(&spec.path) == place(&found.path));
        let target = RemotePath::new(target).filter(|_| goes)?;
        Some(Step::Unlink { path: found.path.clone(), target })
    };
    facts.links.iter().filter_map(unlink).collect()
}

/// What it takes to have the user that the service runs as.
pub(super) fn user_step(manifest: &Manifest, facts: &Facts) -> Option<Step> {
    let user = manifest.user.as_ref()?;
    let Some(found) = &facts.service_user else { return Some(Step::MakeUser { user: user.clone() }) };
    let missing = user.groups.iter().filter(|group| !found.groups.iter().any(|has| *has == group.as_str()));
    let groups: Vec<_> = missing.cloned().collect();
    (!groups.is_empty()).then(|| Step::JoinGroups { user: user.name.clone(), groups })
}

/// Whether the unit starts by itself already.
pub(super) fn is_enabled(found: &FoundUnit) -> bool {
    matches!(found.unit_file_state.as_str(), "enabled" | "enabled-runtime" | "alias" | "indirect")
}

/// One refusal for each step that can't have root's rights.
pub(super) fn refuse_sudo(steps: &[Step], facts: &Facts, operator: Operator, refusals: &mut Vec<Refusal>) {
    let why = match (&facts.sudo, operator) {
        (Sudo::Root | Sudo::Passwordless | Sudo::NotNeeded, _) | (Sudo::Refused(_), Operator::Present) => {
            return;
        }
        (Sudo::Refused(said), Operator::Absent) | (Sudo::Denied(said), _) => said.clone(),
        (Sudo::Missing, _) => "there is no sudo".to_owned(),
    };
    let by = facts.elevation.program();
    for step in steps {
        match step {
            Step::EnableLingering { user } => {
                refusals.push(Refusal::LingeringOff { user: user.clone(), by, why: why.clone() });
            }
            Step::Link(LinkChange { path, target, privilege: Privilege::Root, .. }) => {
                refusals.push(Refusal::SudoNeeded {
                    what: format!("the link {path}"),
                    by,
                    why: why.clone(),
                    command: format!("{by} ln -sfT {} {}", target.as_word(), path.as_word()),
                });
            }
            Step::Install(CopyChange {
                place: CopyPlace { path, privilege: Privilege::Root, .. }, ..
            })
            | Step::Uninstall(CopyRemoval {
                place: CopyPlace { path, privilege: Privilege::Root, .. },
                ..
            }) => {
                refusals.push(Refusal::CopyNeedsRoot { path: path.clone(), by, why: why.clone() });
            }
            _ => {}
        }
    }
}
