//! The readers of text that others wrote, each as a function of bytes: what `make fuzz` feeds, and what the tests below feed
//! with the seeds of `fuzz/seeds`, whole, cut and mixed up. A reader may refuse anything; it must not panic, hang, or
//! ask for much memory, and what it promises is checked here.
#![allow(missing_docs, clippy::panic, clippy::unwrap_used)] // A promise that is broken is to be found.

use std::collections::BTreeSet;
use std::path::Path;

use crate::cli::shown;
use crate::host::{JournalEntry, read_answer};
use crate::manifest::lint::lint;
use crate::manifest::{
    EnvFile, ExecCommand, Manifest, Problem, Scope, SourceText, UnitFile, UnitFiles, UnitName, parse,
    template,
};
use crate::plan::{Destination, Edits, Layout, Operator, RollbackInputs, plan_rollback};
use crate::release::{History, ReleaseRecord};
use crate::report::{Colour, PlanDetail, PlanStyle, write_plan};
pub use crate::ssh::fuzzing::{host_key, key_text, known_hosts, revoked_keys, ssh_config, ssh_dump};

/// Something that reads bytes.
pub type Target = fn(&[u8]);

/// All of them, by the name that `make fuzz TARGET=` has for each.
pub const TARGETS: [(&str, Target); 12] = [
    ("env_file", env_file),
    ("history", history),
    ("host_key", host_key),
    ("key_text", key_text),
    ("known_hosts", known_hosts),
    ("manifest", manifest),
    ("probe", probe),
    ("release_record", release_record),
    ("revoked_keys", revoked_keys),
    ("ssh_config", ssh_config),
    ("ssh_dump", ssh_dump),
    ("unit_file", unit_file),
];

/// What the units and the probe's answer are read for.
const MANIFEST: &str = "name: api\nbinary: api\nunits: [api.service, api.timer]\nenv_file: api.conf\n\
    environments: { prod: { hosts: [deploy@web1] } }\n";

fn usual() -> Manifest {
    parse(&SourceText::new("deploy.yaml", MANIFEST)).unwrap().manifest
}

/// Every problem can be shown, and stands inside of its file.
fn show(problems: &[Problem]) {
    for problem in problems {
        if let Some(span) = &problem.span {
            assert!(problem.file.text.get(span.clone()).is_some(), "{problem:?}");
        }
    }
    shown(problems).unwrap();
}

pub fn manifest(text: &[u8]) {
    let text = String::from_utf8_lossy(text);
    let source = SourceText::new("dir/deploy.yaml", text);
    let loaded = match parse(&source) {
        Ok(loaded) => loaded,
        Err(error) => {
            assert!(!error.problems.is_empty(), "it is refused without a reason");
            return show(&error.problems);
        }
    };
    show(&loaded.warnings);
    let manifest = &loaded.manifest;
    let _ = Layout::links(manifest);
    for environment in manifest.environments.values() {
        for host in &environment.hosts {
            let inputs = template::TemplateInputs::offline(manifest, environment, host, None);
            let _ = template::TemplateContext::new(manifest, environment, host, &inputs);
            let written = host.address.to_string();
            assert_eq!(written.parse().as_ref(), Ok(&host.address), "{written}");
        }
    }
}

pub fn unit_file(text: &[u8]) {
    let source = SourceText::new("api.service", String::from_utf8_lossy(text));
    let (unit, problems) = UnitFile::parse(&source);
    show(&problems);
    let name: UnitName = "api.service".parse().unwrap();
    for entry in &unit.entries {
        // A key may go on in the next line, too.
        assert!(source.text.get(entry.key_span.clone()).is_some());
        assert!(source.text.get(entry.value_span.clone()).is_some());
        for scope in [Scope::User, Scope::System] {
            let _ = ExecCommand::parse(&entry.value, &name, scope);
        }
    }
    let units = UnitFiles { files: vec![(name, unit)], ..UnitFiles::default() };
    show(&lint(&usual(), &units));
}

/// What is shown of an env file holds no value.
pub fn env_file(bytes: &[u8]) {
    let file = EnvFile::parse(Path::new("api.conf"), bytes);
    let names: BTreeSet<_> = file.entries.iter().map(|(name, _)| name).collect();
    assert_eq!(names.len(), file.entries.len(), "a name stands there twice");
    for problem in &file.problems {
        assert_eq!(problem.file.text.len(), bytes.len());
    }
    show(&file.problems);
    let said = format!("{file:?} {:?}", file.problems);
    for (_, value) in file.entries.iter().filter(|(name, value)| value.len() > 7 && !name.contains(&**value))
    {
        let masked = file.problems.iter().all(|problem| !problem.file.text.contains(&**value));
        // Asterisks and blanks are what a masked text is made of.
        let tellable =
            value.chars().any(|c| c.is_ascii_digit()) && !names.iter().any(|name| name.contains(&**value));
        assert!(!tellable || masked && !said.contains(&**value), "{value:?} can be seen");
    }
}

pub fn release_record(text: &[u8]) {
    let Ok(record) = ReleaseRecord::from_json(&String::from_utf8_lossy(text)) else { return };
    let again = ReleaseRecord::from_json(&record.to_json().unwrap());
    assert_eq!(again.as_ref(), Ok(&record));
    let _ = (record.size(), record.binary_hash());
    for artifact in &record.artifacts {
        assert!(record.artifact(&artifact.path).is_some());
    }
}

pub fn history(text: &[u8]) {
    let text = String::from_utf8_lossy(text);
    let mut history = History::default();
    text.lines().for_each(|line| history.add(line));
    assert!(history.runs.len() + history.unreadable <= text.lines().count());
    for run in &history.runs {
        let _ = (run.elapsed(), history.last_to(&run.to), history.deploy_of(&run.to));
        let _ = run.revision.as_ref().map(crate::release::Revision::short);
    }
    // The journal comes in lines of JSON, too.
    for entry in text.lines().filter_map(JournalEntry::parse) {
        assert!(!format!("{entry:?}").contains('\u{1b}'));
    }
}

/// What a host answers, and the plan of a rollback that is made from it.
pub fn probe(text: &[u8]) {
    let manifest = usual();
    let Ok(facts) = read_answer(&String::from_utf8_lossy(text), &manifest) else { return };
    let host = &manifest.environment(None).unwrap().hosts[0].address;
    let destination = Destination::Before;
    let inputs = RollbackInputs {
        manifest: &manifest,
        host,
        facts: &facts,
        destination: &destination,
        operator: Operator::Absent,
        edits: Edits::Respect,
    };
    match plan_rollback(&inputs) {
        Ok(plan) => {
            let mut shown = String::new();
            let style = PlanStyle { detail: PlanDetail::Full, colour: Colour::Off };
            write_plan(&mut shown, &plan, style).unwrap();
            assert!(!shown.contains('\u{1b}'), "a host's escape sequence comes through");
        }
        Err(refusals) => {
            assert!(!refusals.is_empty());
            let _ = refusals.iter().map(ToString::to_string).collect::<String>();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use proptest::prelude::*;
    use proptest::sample::Index;

    use super::*;

    /// The seeds of a target. Whatever the fuzzer has found is among them.
    fn seeds(target: &str) -> Vec<Vec<u8>> {
        let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
        let mut folders = vec![root.join("fuzz/seeds").join(target)];
        if target == "ssh_config" {
            folders.push(root.join("tests/ssh_config/corpus"));
        }
        let files = folders.iter().flat_map(|folder| std::fs::read_dir(folder).unwrap());
        let mut paths: Vec<_> = files.map(|file| file.unwrap().path()).collect();
        paths.sort();
        paths.iter().map(|path| std::fs::read(path).unwrap()).collect()
    }

    #[test]
    fn every_target_has_seeds_and_takes_them() {
        for (name, target) in TARGETS {
            let seeds = seeds(name);
            assert!(seeds.len() >= 3, "{name} has {} seeds", seeds.len());
            for seed in &seeds {
                target(seed);
            }
        }
    }

    #[test]
    fn what_is_read_in_vain_is_no_seed() {
        // A seed that no reader gets far with would be of no use; these are those that it must.
        let folder =
            |target| seeds(target).into_iter().map(|seed| String::from_utf8_lossy(&seed).into_owned());
        assert!(folder("probe").any(|text| read_answer(&text, &usual()).is_ok()));
        assert!(folder("release_record").any(|text| ReleaseRecord::from_json(&text).is_ok()));
        assert!(folder("manifest").any(|text| parse(&SourceText::new("deploy.yaml", text)).is_ok()));
    }

    /// Every target is one of the fuzzer's, and has a name there.
    #[test]
    fn the_fuzzer_has_the_same_targets() {
        let manifest = include_str!("../fuzz/Cargo.toml");
        for (name, _) in TARGETS {
            assert!(manifest.contains(&format!("name = \"{name}\"")), "fuzz/Cargo.toml lacks {name}");
        }
        assert_eq!(manifest.matches("[[bin]]").count(), TARGETS.len());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]

        /// A seed that was cut off, with a piece of another in it, and rubbish.
        #[test]
        fn no_text_is_too_much(
            which: Index, other: Index, cut: Index, from: Index, length in 0usize..200,
            rubbish in prop::collection::vec(any::<u8>(), 0..12),
        ) {
            for (name, target) in TARGETS {
                let seeds = seeds(name);
                let (seed, other) = (which.get(&seeds), other.get(&seeds));
                let cut = cut.index(seed.len() + 1);
                let from = from.index(other.len() + 1);
                let piece = &other[from..(from + length).min(other.len())];
                target(&seed[..cut]);
                target(&[&seed[..cut], piece, &rubbish, &seed[cut..]].concat());
            }
        }
    }
}
