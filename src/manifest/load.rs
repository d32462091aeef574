//! From a path to a checked [`Manifest`], or to every problem it has.
use std::path::{Path, PathBuf};
use std::sync::Arc;

use thiserror::Error;

use super::lint_links::{lint_links, taken_places};
use super::model::Manifest;
use super::problem::{FileProblem, Problem, any_error};
use super::source::SourceText;
use super::text_file::{self, Limit};
use super::{read, yaml};

/// A manifest with a thousand hosts has some 100 KB.
const MAX_SIZE: Limit = Limit { bytes: 1024 * 1024, words: "1 MiB" };

/// A manifest that can be used, and what is odd about it.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// The manifest.
    pub manifest: Manifest,
    /// Problems that don't stop a deploy.
    pub warnings: Vec<Problem>,
}

/// A manifest that can't be used: every problem it has, warnings too, in the order of the file.
#[derive(Debug, Clone, Error)]
#[error("{} has {}", path.display(), count(problems))]
pub struct LoadError {
    /// The file.
    pub path: PathBuf,
    /// What is wrong; at least one is an error.
    pub problems: Vec<Problem>,
}

fn count(problems: &[Problem]) -> String {
    match problems.len() {
        1 => "1 problem".to_owned(),
        n => format!("{n} problems"),
    }
}

/// Reads and checks the manifest at `path`. The files that it names are not looked at.
///
/// # Errors
///
/// When the file can't be read, is no YAML, or says anything that can't be meant: with all such problems at once.
pub fn load(path: &Path) -> Result<Loaded, LoadError> {
    match text_file::read("the manifest", path, MAX_SIZE) {
        Ok(source) => parse(&source),
        Err(mut problem) => {
            if matches!(problem.kind, FileProblem::Missing { .. }) {
                problem.help = Some(
                    "shipit reads `deploy.yaml` in the current folder; name another with `--manifest FILE`"
                        .to_owned(),
                );
            }
            Err(LoadError { path: path.to_owned(), problems: vec![(*problem).into()] })
        }
    }
}

/// Checks the text of a manifest that was read already.
///
/// # Errors
///
/// As [`load`].
pub fn parse(source: &Arc<SourceText>) -> Result<Loaded, LoadError> {
    let (root, mut problems) = yaml::tree(source);
    let manifest = match root {
        Some(root) => {
            let read::Reading { manifest, problems: found, hidden } = read::manifest(source, &root);
            problems.extend(found);
            if !hidden.is_empty() {
                let shown = source.without(&hidden);
                problems.iter_mut().for_each(|problem| problem.file = Arc::clone(&shown));
            }
            manifest
        }
        None => {
            if problems.is_empty() {
                let path = source.path.display().to_string();
                let problem = FileProblem::Empty { what: "the manifest", path };
                problems
                    .push(Problem::new(problem, source).help("`docs/manifest.md` has an example".to_owned()));
            }
            None
        }
    };
    problems.extend(manifest.iter().flat_map(taken_places));
    problems.extend(manifest.iter().flat_map(lint_links));
    problems.sort_by_key(|problem| problem.span.as_ref().map_or(0, |span| span.start));
    match manifest {
        Some(manifest) if !any_error(&problems) => Ok(Loaded { manifest, warnings: problems }),
        _ => Err(LoadError { path: source.path.clone(), problems }),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::model::{Confirm, Scope, SelectError};
    use super::*;

    const GOOD: &str = "\
name: simple_api
binary: dist/simple_api
unit: deploy/simple_api.service
environments:
  prod:
    hosts: [deploy@web1.example.com]
";

    fn manifest(text: &str) -> Manifest {
        parse(&SourceText::new("dir/deploy.yaml", text)).unwrap().manifest
    }

    /// Every problem of the text as `line: message`.
    fn problems(text: &str) -> Vec<String> {
        let problems = match parse(&SourceText::new("dir/deploy.yaml", text)) {
            Ok(loaded) => loaded.warnings,
            Err(error) => error.problems,
        };
        problems.iter().map(|p| format!("{}: {}", p.line().unwrap_or(0), p.kind)).collect()
    }

    fn with(line: &str) -> Vec<String> {
        problems(&format!("{GOOD}{line}"))
    }

    #[test]
    fn the_short_case_gets_its_defaults() {
        let manifest = manifest(GOOD);
        assert_eq!(manifest.dir, Path::new("dir"));
        assert_eq!(manifest.binary.as_deref(), Some(Path::new("dir/dist/simple_api")));
        assert_eq!(manifest.units[0].name.as_str(), "simple_api.service");
        assert_eq!((manifest.scope, manifest.keep_releases.get()), (Scope::User, 5));
        assert_eq!(manifest.settle.as_secs(), 2);
        assert_eq!(manifest.env_file, None);
        let prod = manifest.environment(None).unwrap();
        assert_eq!(prod.confirm, Confirm::Never);
        assert_eq!(prod.hosts[0].address.to_string(), "deploy@web1.example.com");
        assert_eq!(&manifest.source.text[manifest.spans.get("binary").unwrap()], "dist/simple_api");
    }

    #[test]
    fn everything_can_be_said() {
        let manifest = manifest(
            "
name: api
scope: system
units: [a.service, b.timer.j2]
env_file: /abs/api.conf
health: { http: 'http://localhost:8000/', timeout: 1m30s }
settle: 500ms
keep_releases: 3
environments:
  prod: &prod
    confirm: true
    vars: { PORT: 08, ON: yes, T: true, F: 1.50, S: 'null', E: '' }
    hosts:
      - { host: \"deploy@[::1]:22\", tags: [canary, 1], vars: { PORT: 8001 } }
      - web2
  staging: *prod
",
        );
        assert_eq!(manifest.units[1].name.as_str(), "b.timer");
        assert_eq!(manifest.env_file.as_deref(), Some(Path::new("/abs/api.conf")));
        let health = &manifest.health[0];
        assert_eq!(
            (health.question.to_string(), health.timeout.as_secs()),
            ("http://localhost:8000/".into(), 90)
        );
        let prod = manifest.environment(Some("prod")).unwrap();
        assert_eq!(
            prod.vars.iter().map(|(k, v)| format!("{k}={v}")).collect::<Vec<_>>().join(" "),
            "E= F=1.50 ON=yes PORT=08 S=null T=true"
        );
        assert_eq!(
            prod.vars_for(&prod.hosts[0])[&"PORT".parse::<crate::manifest::VarName>().unwrap()],
            "8001"
        );
        assert_eq!(prod.vars_for(&prod.hosts[1])[&"PORT".parse::<crate::manifest::VarName>().unwrap()], "08");
        assert_eq!(prod.hosts[0].tags[0].as_str(), "canary");
        assert_eq!(manifest.environment(Some("staging")).unwrap().hosts, prod.hosts);
        assert_eq!(manifest.host_count(), 4);
    }

    #[test]
    fn an_environment_is_selected_by_name() {
        let text = GOOD.replace("  prod:", "  staging:\n    hosts: [s]\n  prod:");
        let manifest = manifest(&text);
        assert!(matches!(manifest.environment(None), Err(SelectError::Ambiguous { .. })));
        let error = manifest.environment(Some("stagin")).unwrap_err();
        assert_eq!(error.to_string(), "there is no environment `stagin`");
        assert_eq!(error.help(), "did you mean `staging`?");
        let error = manifest.environment(Some("x\n")).unwrap_err();
        assert_eq!(
            format!("{error}; {}", error.help()),
            "there is no environment `x\\n`; the manifest has `prod`, `staging`"
        );
    }

    #[test]
    fn all_problems_come_at_once() {
        let text = "
nmae: api
scope: usr
binary: [a]
unit: api.servce
units: []
health: { http: https://x/, timeout: 30 }
settle: soon
keep_releases: 0
environments:
  prod:
    hosts: [a b, web1, WEB1, {host: web3, tag: x}]
    vars: { A-B: 1, host: x, N: , L: [1] }
    confirm: yes
  -x: { host: a }
";
        assert_eq!(
            problems(text),
            [
                "2: there is no key `nmae` in the manifest",
                "2: the manifest has no `name`",
                "3: `scope` can't be `usr`",
                "4: `binary` has to be the path of a file, not a list",
                "6: `unit` and `units` can't both be given",
                "7: a health check asks over `http://`, not `https://`",
                "7: `timeout`: `30` has no unit of time",
                "8: `settle`: `soon` is not a duration",
                "9: `keep_releases` is a whole number from 1 to 1000, not 0",
                "12: a host name can't contain a space",
                "12: the host `WEB1` is in environment `prod` twice",
                "12: there is no key `tag` in a host",
                "13: the name of a variable can't contain `-`",
                "13: a variable can't be called `host`: in templates this is the host",
                "13: `N` has to be a text, a number or a boolean, not nothing",
                "13: `L` has to be a text, a number or a boolean, not a list",
                "14: `confirm` has to be `true` or `false`, not text",
                "15: an environment name can't begin with `-`",
                "15: environment `-x` has no `hosts`",
                "15: there is no key `host` in an environment",
            ]
        );
    }

    #[test]
    fn single_mistakes() {
        assert_eq!(with("binary: x"), ["7: the key `binary` is given twice"]);
        assert_eq!(with("env_file: ''"), ["7: `env_file` is not the path of a file: it is empty"]);
        assert_eq!(with("env_file: x/"), ["7: `env_file` is not the path of a file: it ends with `/`"]);
        assert_eq!(with("env_file:"), ["7: `env_file` has to be the path of a file, not nothing"]);
        assert_eq!(with("health: {}"), ["7: `health` has no `http`"]);
        assert_eq!(with("health: []"), ["7: `health` is empty"]);
        assert_eq!(
            with("health: { tcp: 'localhost:1', unit: a.service }"),
            ["7: `tcp` and `unit` can't both be given"]
        );
        assert_eq!(
            with("health: { tcp: 'localhost', status: 200, succeses: 1 }"),
            [
                "7: a TCP check is a host and a port, such as `localhost:5432`",
                "7: there is no key `status` in a check without `http`",
                "7: there is no key `succeses` in `health`",
            ]
        );
        assert_eq!(
            with("health: { http: 'http://h/', status: [200, 99], headers: { 'A b': c, D: \"e\\nF: g\" } }"),
            [
                "7: `status` has to be a status from 100 to 599, or a list of them, not a number",
                "7: this can't be the name of a header",
                "7: this can't be the value of a header",
            ]
        );
        assert_eq!(with("health: { journal: '' }"), ["7: `journal` is empty"]);
        assert_eq!(
            with("health: { command: [] }"),
            ["7: `command` has to be a text for the shell, or a list of words, not a list"]
        );
        assert_eq!(
            with(
                "hooks: { before_deploy: [{ run: x }], before_activate: [{ local: x }], on_failure: [{}], \
                 after_deploy: [{ local: a, once: true }, { run: ' ' }, { run: x, once: 1 }], after: [] }"
            ),
            [
                "7: a hook with `run` can't be in `before_deploy`",
                "7: a hook with `local` can't be in `before_activate`",
                "7: a hook has no `run`",
                "7: there is no key `once` in a local hook",
                "7: `run` is empty",
                "7: `once` has to be `true` or `false`, not a number",
                "7: there is no key `after` in `hooks`",
            ]
        );
        let units = |units: &str| problems(&GOOD.replace("unit: deploy/simple_api.service", units));
        assert_eq!(units("units: [a.socket, { path: a.service, on_change: reload }]"), Vec::<String>::new());
        assert_eq!(
            units("units: [{ path: a.service, on_change: relaod }, { on_change: none }]"),
            ["3: `on_change` can't be `relaod`", "3: a unit has no `path`"]
        );
        for (wrong, message) in [
            ("path: a.service, instances: 2", "`a.service` has no `@`, so there are no instances of it"),
            ("path: a@.service, instances: 0", "`instances` is a whole number from 1 to 1000, not 0"),
            ("path: a@.service, instances: []", "`instances` is empty"),
            ("path: a@.service, instances: [x, x]", "two files bring the unit `a@x.service`"),
            ("path: a@.service, instances: ['']", "the name of an instance is empty"),
            ("path: a@.service, instances: [a b]", "a unit name can't contain a space"),
            (
                "path: a.service, scope: system",
                "`a.service` can't be the system's: the service's releases are the login user's, who would be root by it",
            ),
            (
                "path: a.txt, drop_in: b.service",
                "`a.txt` is not the name of a drop-in: systemd reads those that end with `.conf`",
            ),
            (
                "path: a.conf, drop_in: c.service",
                "there is no unit `c.service` in the manifest for this drop-in",
            ),
            (
                "path: a.conf, drop_in: b.service, on_change: none",
                "`drop_in` and `on_change` can't both be given",
            ),
        ] {
            let found = units(&format!("units: [b.service, {{ {wrong} }}]"));
            assert_eq!(found, [format!("3: {message}")], "{wrong}");
        }
        let fine = "units: [a@.service, {path: b@.service, instances: [1, x.y]}, {path: c.conf, drop_in: b@x.y.service}]";
        assert_eq!(units(fine), Vec::<String>::new());
        let system = |units: &str| {
            problems(
                &GOOD.replace("unit: deploy/simple_api.service", &format!("scope: system\nunits: [{units}]")),
            )
        };
        let both = "b.service, { path: a.service, scope: user }, { path: c.service, scope: system }";
        assert_eq!(system(both), Vec::<String>::new());
        assert_eq!(
            system("{ path: a.service, scope: user, credentials: { x: X } }"),
            [
                "4: `a.service` is the login user's: it can't read credentials of a service with `scope: system`"
            ]
        );
        assert_eq!(with("settle: 2"), ["7: `settle`: `2` has no unit of time"]);
        assert_eq!(
            with("confirm_timeout: 500ms"),
            [
                "7: `confirm_timeout` is too short: the host would go back while the deploy is still being checked"
            ]
        );
        assert_eq!(with("confirm_timeout: 1s"), Vec::<String>::new());
        assert_eq!(
            with("confirm_timeout: 32s\nhealth: { http: 'http://localhost:8000/' }"),
            [
                "7: `confirm_timeout` is too short: the host would go back while the deploy is still being checked"
            ]
        );
        assert_eq!(
            with("confirm_timeout: 33s\nhealth: { http: 'http://localhost:8000/' }"),
            Vec::<String>::new()
        );
        assert_eq!(with("keep_releases: '3'"), ["7: `keep_releases` has to be a whole number, not text"]);
        let bad = |from: &str, to: &str| problems(&GOOD.replace(from, to));
        assert_eq!(
            bad("[deploy@web1.example.com]", "[]"),
            ["6: the list of hosts of environment `prod` is empty"]
        );
        assert_eq!(
            bad("[deploy@web1.example.com]", "web1"),
            ["6: `hosts` has to be a list of hosts, not text"]
        );
        assert_eq!(
            bad("[deploy@web1.example.com]", "[10]"),
            ["6: `host` has to be a host such as `deploy@web1.example.com`, not a number"]
        );
        assert_eq!(bad("unit: deploy/simple_api.service\n", ""), ["1: the manifest has no `unit`"]);
        assert_eq!(
            bad("unit: deploy/simple_api.service", "units: [a.service, x/a.service.j2]"),
            ["3: two files bring the unit `a.service`"]
        );
        assert!(bad(".service", "")[0].contains("is not the name of a unit"));
        assert!(
            bad("simple_api\nbinary", "../x\nbinary")[0].starts_with("1: a service name can't contain `/`")
        );
        assert_eq!(problems("- a\n"), ["1: `the manifest` has to be a map of keys, not a list"]);
        for empty in ["", "\n", "# only a comment\n", "---\n"] {
            let found = problems(empty);
            assert!(found.len() == 1, "{empty:?}: {found:?}");
        }
        assert!(
            problems("\u{feff}name: x\n").iter().all(|p| !p.contains("feff")),
            "a byte order mark is no letter"
        );
    }

    #[test]
    fn files_that_are_none() {
        let dir = tempfile::tempdir().unwrap();
        let message = |path: &Path| load(path).unwrap_err().problems[0].kind.to_string();
        let path = dir.path().join("deploy.yaml");
        assert!(message(&path).ends_with("does not exist"));
        assert!(message(dir.path()).ends_with("is a folder, not a file"));
        std::fs::write(&path, b"name: \xff").unwrap();
        assert!(message(&path).ends_with("is not UTF-8 text: byte 6 is 0xff"));
        std::fs::write(&path, vec![b'#'; 2 * 1024 * 1024]).unwrap();
        assert!(message(&path).ends_with("is larger than 1 MiB"));
        assert!(message(Path::new("/dev/zero")).ends_with("is a device, a socket or a pipe, not a file"));
    }

    proptest! {
        #[test]
        fn nothing_panics(at in 0usize..200, put in "\\PC{0,6}|[\\[\\]{}:\\-&*'\"\n ,]{0,4}", cut in 0usize..40) {
            let mut text = GOOD.to_owned();
            let at = at.min(text.len());
            let end = (at + cut).min(text.len());
            text.replace_range(at..end, &put);
            if let Err(error) = parse(&SourceText::new("deploy.yaml", text.clone())) {
                prop_assert!(any_error(&error.problems));
                for problem in error.problems {
                    if let Some(span) = problem.span {
                        prop_assert!(text.get(span).is_some());
                    }
                }
            }
        }
    }
}
