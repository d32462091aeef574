//! Links to where programs look that read no file of an ordinary user's: they pass it over, and hardly anybody is told.
use super::files::Outside;
use super::model::{Manifest, Scope};
use super::problem::Problem;
use super::read_problem::ManifestProblem;

/// Folders, and whose program reads them: logrotate(8), cron(8), sudoers(5).
const READ_ONLY_ROOTS: [(&str, &str); 3] =
    [("/etc/logrotate.d/", "logrotate"), ("/etc/cron.d/", "cron"), ("/etc/sudoers.d/", "sudo")];

/// Places that the service's own binary and env file are linked from.
#[must_use]
pub(super) fn taken_places(manifest: &Manifest) -> Vec<Problem> {
    let binary = manifest.binary.as_ref().map(|_| ("binary", manifest.binary_link()));
    let env_file = manifest.env_file.as_ref().map(|_| ("env_file", manifest.env_file_link()));
    let own: Vec<_> = binary.into_iter().chain(env_file).collect();
    let entries = manifest.files.iter().enumerate().filter_map(|(index, entry)| {
        let place = entry.outside.as_ref()?.place().as_str();
        let (key, path) = own.iter().find(|(_, path)| path == place)?;
        let kind = ManifestProblem::TakenPlace { path: path.clone(), key };
        let span = manifest.spans.get(&format!("files[{index}]"));
        let help = format!("give the file another place, or leave out `{key}`");
        Some(Problem::new(kind, &manifest.source).at_maybe(span).help(help))
    });
    entries.collect()
}

/// Looks at the links of a service whose releases belong to its login user.
#[must_use]
pub(super) fn lint_links(manifest: &Manifest) -> Vec<Problem> {
    let hosts = || manifest.environments.values().flat_map(|environment| &environment.hosts);
    let is_roots = |user: &str| user == "root";
    let all_roots =
        hosts().all(|host| host.address.user.as_ref().is_some_and(|user| is_roots(user.as_str())));
    if manifest.scope == Scope::System || all_roots {
        return Vec::new();
    }
    let mut problems = Vec::new();
    for (index, entry) in manifest.files.iter().enumerate() {
        let Some(Outside::Link(link)) = &entry.outside else { continue };
        let place = link.as_str();
        let Some((_, program)) = READ_ONLY_ROOTS.iter().find(|(folder, _)| place.starts_with(folder)) else {
            continue;
        };
        let kind = ManifestProblem::LinkForRootOnly { program, link: place.to_owned() };
        let span = manifest.spans.get(&format!("files[{index}].link"));
        let help =
            "its release belongs to the login user; a copy of it that is put there with `install` is root's";
        problems.push(Problem::new(kind, &manifest.source).at_maybe(span).help(help.to_owned()));
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::super::load::parse;
    use super::super::source::SourceText;

    fn warnings(manifest: &str) -> Vec<String> {
        let loaded = parse(&SourceText::new("deploy.yaml", manifest)).unwrap();
        loaded
            .warnings
            .iter()
            .map(|warning| format!("{}: {}", warning.line().unwrap_or(0), warning.kind))
            .collect()
    }

    #[test]
    fn a_link_that_its_reader_passes_over_is_a_warning() {
        let manifest = |scope: &str, link: &str, host: &str| {
            format!(
                "name: a\nunit: a.service\nscope: {scope}\nfiles:\n  - source: rules\n    link: {link}\n\
                 environments: {{ prod: {{ hosts: ['{host}'] }} }}\n"
            )
        };
        let rules = "/etc/logrotate.d/a";
        assert_eq!(
            warnings(&manifest("user", rules, "deploy@web1")),
            [
                "6: logrotate passes over `/etc/logrotate.d/a`, because the file that it links to is not root's"
            ]
        );
        for (scope, link, host) in [
            ("system", rules, "deploy@web1"),
            ("user", rules, "root@web1"),
            ("user", "/etc/logrotate.conf", "deploy@web1"),
            ("user", "~/etc/cron.d/a", "deploy@web1"),
        ] {
            assert_eq!(warnings(&manifest(scope, link, host)), [""; 0], "{scope} {link} {host}");
        }
    }

    #[test]
    fn a_place_of_the_services_own_files_is_taken() {
        let problems = |keys: &str| {
            let text = format!("name: a\nunit: a.service\n{keys}\nenvironments: {{p: {{hosts: [h]}}}}\n");
            let loaded = parse(&SourceText::new("deploy.yaml", text));
            let problems = loaded.err().map(|error| error.problems).unwrap_or_default();
            problems.iter().map(|problem| problem.kind.to_string()).collect::<Vec<_>>()
        };
        let link = "files: [{source: a, link: /usr/local/bin/a}]";
        assert_eq!(problems(link), [""; 0]);
        assert_eq!(
            problems(&format!("binary: b\n{link}")),
            ["`/usr/local/bin/a` is where `binary` is linked from"]
        );
        let install = "env_file: e\nfiles: [{source: a, install: /etc/default/a.conf}]";
        assert_eq!(problems(install), ["`/etc/default/a.conf` is where `env_file` is linked from"]);
    }
}
