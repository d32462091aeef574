//! The order in which the units of a release are started: what they say of each other with `After=`, `Before=` and
//! `Requires=` (systemd.unit(5)).
//!
//! systemd keeps to it by itself within one job. Here each unit is a job of its own, so that each has a verdict.
use std::ops::Range;
use std::sync::Arc;

use super::exec::resolve_specifiers;
use super::model::Scope;
use super::name::UnitName;
use super::source::SourceText;
use super::unit_file::UnitFile;
use super::unit_kind::UnitKind;

/// A unit and the files it consists of.
pub(super) type Parts<'a> = (&'a UnitName, Vec<&'a UnitFile>);

/// One unit waits for another: where that is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Waits {
    /// The unit that is started later.
    pub(super) unit: UnitName,
    /// The one that it waits for.
    pub(super) for_unit: UnitName,
    /// The file.
    pub(super) source: Arc<SourceText>,
    /// The bytes of the setting.
    pub(super) span: Range<usize>,
}

/// The places of the units in the order they are started in, each as early as it was given.
///
/// # Errors
///
/// When units wait for each other, whichever is started first: the circle.
pub(super) fn start_order(units: &[Parts<'_>], scope: Scope) -> Result<Vec<usize>, Vec<Waits>> {
    let waits: Vec<Vec<(usize, Waits)>> = waits_of(units, scope);
    let needs: Vec<Vec<usize>> = needs_of(units, scope);
    let mut order: Vec<usize> = Vec::new();
    let mut left: Vec<usize> = (0..units.len()).collect();
    // systemd starts no socket whose service runs already: sockets come first.
    left.sort_by_key(|at| units.get(*at).is_none_or(|(name, _)| name.kind() != UnitKind::Socket));
    while !left.is_empty() {
        let is_left = |at: &usize| !order.contains(at);
        let free = |at: &&usize| {
            waits.get(**at).is_none_or(|others| !others.iter().any(|(other, _)| is_left(other)))
        };
        // What it needs goes before it, unless that one is to wait for it.
        let served = |at: &&usize| needs.get(**at).is_none_or(|others| !others.iter().any(is_left));
        let mut candidates = left.iter().filter(free);
        let first = candidates.clone().next();
        let Some(next) = candidates.find(served).or(first).copied() else {
            return Err(circle(&waits, &left));
        };
        left.retain(|at| *at != next);
        order.push(next);
    }
    Ok(order)
}

/// For each unit, those that it is started after.
fn waits_of(units: &[Parts<'_>], scope: Scope) -> Vec<Vec<(usize, Waits)>> {
    let mut waits: Vec<Vec<(usize, Waits)>> = vec![Vec::new(); units.len()];
    for (at, (name, files)) in units.iter().enumerate() {
        for key in ["After", "Before"] {
            for (other, source, span) in mentioned(units, name, files, ("Unit", key), scope) {
                let (later, earlier) = if key == "After" { (at, other) } else { (other, at) };
                let names = (units.get(later), units.get(earlier));
                if let (Some((unit, _)), Some((for_unit, _)), Some(list)) =
                    (names.0, names.1, waits.get_mut(later))
                    && later != earlier
                {
                    let (unit, for_unit) = ((*unit).clone(), (*for_unit).clone());
                    list.push((earlier, Waits { unit, for_unit, source, span }));
                }
            }
        }
    }
    waits
}

/// For each unit, those that it has started along with it.
fn needs_of(units: &[Parts<'_>], scope: Scope) -> Vec<Vec<usize>> {
    let mut needs: Vec<Vec<usize>> = vec![Vec::new(); units.len()];
    for (at, (name, files)) in units.iter().enumerate() {
        for key in ["Requires", "Requisite", "BindsTo", "Wants"] {
            let others = mentioned(units, name, files, ("Unit", key), scope);
            if let Some(list) = needs.get_mut(at) {
                list.extend(others.into_iter().map(|(other, _, _)| other).filter(|other| *other != at));
            }
        }
        // The other way round: a target has those started that say so themselves.
        for key in ["WantedBy", "RequiredBy"] {
            for (other, _, _) in mentioned(units, name, files, ("Install", key), scope) {
                if let Some(list) = needs.get_mut(other)
                    && other != at
                {
                    list.push(at);
                }
            }
        }
    }
    needs
}

/// The units of the release that a setting names, each with the place where it does.
fn mentioned(
    units: &[Parts<'_>],
    name: &UnitName,
    files: &[&UnitFile],
    (section, key): (&str, &str),
    scope: Scope,
) -> Vec<(usize, Arc<SourceText>, Range<usize>)> {
    let mut found = Vec::new();
    for file in files {
        for entry in file.values(section, key) {
            for word in entry.value.split_whitespace() {
                let word = resolve_specifiers(word, name, scope);
                if let Some(at) = units.iter().position(|(other, _)| other.as_str() == word) {
                    found.push((at, Arc::clone(&file.source), entry.key_span.start..entry.value_span.end));
                }
            }
        }
    }
    found
}

/// A circle among units none of which can be started before the others.
fn circle(waits: &[Vec<(usize, Waits)>], left: &[usize]) -> Vec<Waits> {
    let mut path: Vec<(usize, Waits)> = Vec::new();
    let mut at = left.first().copied();
    while let Some(here) = at {
        if let Some(start) = path.iter().position(|(unit, _)| *unit == here) {
            return path.into_iter().skip(start).map(|(_, waits)| waits).collect();
        }
        // Each of those that are left waits for one that is left.
        let next = waits.get(here).and_then(|others| others.iter().find(|(other, _)| left.contains(other)));
        at = next.map(|(other, waits)| {
            path.push((here, waits.clone()));
            *other
        });
    }
    path.into_iter().map(|(_, waits)| waits).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The names in the order of their start, or the circle as `a>b` for "a waits for b".
    fn ordered(units: &[(&str, &str)]) -> Vec<String> {
        let units: Vec<(UnitName, UnitFile)> = units
            .iter()
            .map(|(name, text)| {
                let text = format!("[Unit]\n{text}");
                (name.parse().unwrap(), UnitFile::parse(&SourceText::new(*name, text)).0)
            })
            .collect();
        let parts: Vec<Parts<'_>> = units.iter().map(|(name, file)| (name, vec![file])).collect();
        match start_order(&parts, Scope::User) {
            Ok(order) => order.into_iter().map(|at| units[at].0.stem().to_owned()).collect(),
            Err(circle) => circle
                .iter()
                .map(|waits| format!("{}>{}", waits.unit.stem(), waits.for_unit.stem()))
                .collect(),
        }
    }

    #[test]
    fn units_keep_the_order_written_unless_they_say_otherwise() {
        assert_eq!(ordered(&[("b.service", ""), ("a.service", ""), ("c.target", "")]), ["b", "a", "c"]);
        assert_eq!(ordered(&[("a.service", ""), ("s.socket", "")]), ["s", "a"], "sockets come first");
        let after = [("a.service", "After=x.service c.service"), ("b.service", ""), ("c.service", "")];
        assert_eq!(ordered(&after), ["b", "c", "a"]);
        let before =
            [("a.service", ""), ("b.service", "Before=a.service\nBefore=c.service"), ("c.service", "")];
        assert_eq!(ordered(&before), ["b", "a", "c"]);
        let specifier = [("w@1.service", "After=%p@2.service"), ("w@2.service", "")];
        assert_eq!(ordered(&specifier), ["w@2", "w@1"]);
    }

    #[test]
    fn what_is_needed_comes_before_what_needs_it_unless_it_is_to_wait() {
        assert_eq!(ordered(&[("a.service", "Requires=b.service"), ("b.service", "")]), ["b", "a"]);
        let waits = [("a.service", "Requires=b.service"), ("b.service", "After=a.service")];
        assert_eq!(ordered(&waits), ["a", "b"]);
        let both = [("a.service", "Wants=b.service"), ("b.service", "Requires=a.service")];
        assert_eq!(ordered(&both), ["a", "b"], "needing each other is no order");
        let target = [("t.target", ""), ("a.service", "[Install]\nWantedBy=t.target")];
        assert_eq!(ordered(&target), ["a", "t"]);
    }

    #[test]
    fn a_circle_is_found_and_nothing_beside_it() {
        let units = [
            ("d.service", "After=a.service"),
            ("a.service", "After=b.service"),
            ("b.service", "After=c.service"),
            ("c.service", ""),
            ("e.service", "Before=c.service\nAfter=a.service"),
        ];
        assert_eq!(ordered(&units), ["a>b", "b>c", "c>e", "e>a"]);
        assert_eq!(ordered(&[("a.service", "After=a.service")]), ["a"], "systemd ignores that");
    }

    proptest! {
        #[test]
        fn every_unit_has_one_place_and_no_unit_is_before_what_it_waits_for(
            edges in proptest::collection::vec((0usize..6, 0usize..6), 0..12),
        ) {
            // Only from later to earlier: no circle.
            let names: Vec<String> = (0..6).map(|at| format!("u{at}.service")).collect();
            let texts: Vec<String> = (0..6)
                .map(|at| {
                    let after = edges.iter().filter(|(a, b)| *a == at && b > a);
                    after.map(|(_, b)| format!("After=u{b}.service\n")).collect()
                })
                .collect();
            let units: Vec<(&str, &str)> =
                names.iter().map(String::as_str).zip(texts.iter().map(String::as_str)).collect();
            let order = ordered(&units);
            let place = |at: usize| order.iter().position(|name| *name == format!("u{at}")).unwrap();
            prop_assert_eq!(order.len(), 6);
            for (a, b) in edges.iter().filter(|(a, b)| b > a) {
                prop_assert!(place(*b) < place(*a), "{:?}", order);
            }
        }
    }
}
