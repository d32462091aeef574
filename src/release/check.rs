//! Everything that can be told about a manifest's files without a host.
use std::path::PathBuf;

use super::sources::Sources;
use crate::manifest::problem::{ManifestProblem, Problem};
use crate::manifest::template::{self, Needs, TemplateInputs, TemplateRevision, Used};
use crate::manifest::{Environment, Manifest, Spans, VarName};

/// Reads the files of the manifest, makes the release of every host, and returns every problem found, each once. No secret
/// is read, and every host has the facts of nobody.
#[must_use]
pub fn check(manifest: &Manifest, revision: Option<&TemplateRevision>) -> Vec<Problem> {
    let sources = match Sources::open(manifest) {
        Ok(sources) => sources,
        Err(problems) => return problems,
    };
    let mut problems = sources.warnings.clone();
    for environment in manifest.environments.values() {
        for host in &environment.hosts {
            let inputs = TemplateInputs::offline(manifest, environment, host, revision.cloned());
            let found = match sources.release(manifest, environment, host, &inputs) {
                Ok(release) => release.warnings,
                Err(problems) => problems,
            };
            for problem in found.into_iter().filter(|problem| !template::depends_on_facts(problem)) {
                // What is wrong in a plain file is wrong for every host.
                let same =
                    |other: &Problem| other.kind == problem.kind && other.file.path == problem.file.path;
                let again = problems
                    .iter()
                    .any(|other| same(other) && (other.span == problem.span || rendered(other)));
                if !again {
                    problems.push(problem);
                }
            }
        }
    }
    problems.extend(unused_vars(manifest, &sources.used()));
    problems.extend(unused_secrets(manifest, &sources.needs()));
    // File by file, and from the top of each.
    let files: Vec<PathBuf> = problems.iter().map(|problem| problem.file.path.clone()).collect();
    problems.sort_by_key(|problem| {
        let file = files.iter().position(|path| *path == problem.file.path);
        (file, problem.span.as_ref().map(|span| span.start))
    });
    problems
}

fn rendered(problem: &Problem) -> bool {
    problem.file.rendered_for.is_some()
}

/// The secrets that nothing uses.
fn unused_secrets(manifest: &Manifest, needs: &[Needs]) -> Vec<Problem> {
    let uses = |name: &VarName| needs.iter().any(|needs| needs.secrets.includes(name.as_str()));
    let mut problems = Vec::new();
    for Environment { name: environment, hosts, secrets, .. } in manifest.environments.values() {
        let own = secrets.keys().map(|name| (name, format!("environments.{environment}.secrets.{name}")));
        let of_hosts = hosts.iter().enumerate().flat_map(|(index, host)| {
            let path = move |name| format!("environments.{environment}.hosts[{index}].secrets.{name}");
            host.secrets.keys().map(move |name| (name, path(name)))
        });
        for (name, path) in own.chain(of_hosts).filter(|(name, _)| !uses(name)) {
            let kind = ManifestProblem::UnusedSecret { name: name.to_string() };
            let help = format!(
                "take it away, or write `{{{{ secrets.{name} }}}}` in the env file, with a name that ends in `.j2`"
            );
            let problem = Problem::new(kind, &manifest.source).at_maybe(manifest.spans.get(&path));
            problems.push(problem.help(help));
        }
    }
    problems
}

/// The variables that no template uses.
fn unused_vars(manifest: &Manifest, used: &[Used]) -> Vec<Problem> {
    let uses = |name: &VarName| {
        used.iter().any(|used| match used {
            Used::Anything => true,
            Used::Names(names) => names.contains(name.as_str()),
        })
    };
    let help = if used.is_empty() {
        "variables fill in templates: give the unit or env file a name that ends in `.j2`, and write `{{ NAME }}` in it"
    } else {
        "take it away, or write `{{ NAME }}` in a template"
    };
    let mut problems = Vec::new();
    for Environment { name: environment, hosts, vars, .. } in manifest.environments.values() {
        let own = vars.keys().map(|name| (name, format!("environments.{environment}.vars.{name}")));
        let of_hosts = hosts.iter().enumerate().flat_map(|(index, host)| {
            let path = move |name| format!("environments.{environment}.hosts[{index}].vars.{name}");
            host.vars.keys().map(move |name| (name, path(name)))
        });
        for (name, path) in own.chain(of_hosts).filter(|(name, _)| !uses(name)) {
            let spans: &Spans = &manifest.spans;
            let problem =
                Problem::new(ManifestProblem::UnusedVar { name: name.to_string() }, &manifest.source);
            problems.push(problem.at_maybe(spans.get(&path)).help(help.replace("NAME", name.as_str())));
        }
    }
    problems
}
