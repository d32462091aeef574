//! Whether the user that a manifest has made is one that a service runs as: else it may be root that does, unnoticed.
use super::model::Manifest;
use super::name::UnitName;
use super::problem::Problem;
use super::unit_file::UnitFile;
use super::unit_files::UnitFiles;
use super::unit_kind::UnitKind;
use super::unit_problem::UnitProblem;

/// What is wrong when no service of the release runs as the manifest's `user`.
pub(super) fn idle_user(manifest: &Manifest, units: &UnitFiles) -> Option<Problem> {
    let user = manifest.user.as_ref()?.name.as_str();
    let files = units.files.iter().map(|(unit, file)| (unit, file));
    let drop_ins = units.drop_ins.iter().map(|(unit, _, file)| (unit, file));
    let services: Vec<(&UnitName, &UnitFile)> =
        files.chain(drop_ins).filter(|(unit, _)| unit.kind() == UnitKind::Service).collect();
    let named = services.iter().filter_map(|(unit, file)| Some((unit, file.value("Service", "User")?)));
    let named: Vec<_> = named.collect();
    // Of a specifier (systemd.unit(5)), the host may know what it stands for.
    if named.iter().any(|(_, entry)| entry.value == user || entry.value.contains('%')) {
        return None;
    }
    let help = match (named.first(), services.first()) {
        (Some((unit, entry)), _) => {
            format!("{unit} has `User={}`: write `User={user}` there, or that name here", entry.value)
        }
        (None, Some((unit, _))) => {
            format!("write `User={user}` in the `[Service]` section of {unit}; without it, root runs it")
        }
        (None, None) => "take it away: the release has no service".to_owned(),
    };
    let kind = UnitProblem::IdleUser { user: user.to_owned() };
    Some(Problem::new(kind, &manifest.source).at_maybe(manifest.spans.get("user")).help(help))
}

#[cfg(test)]
mod tests {
    use super::super::load::parse;
    use super::super::source::SourceText;
    use super::*;

    /// What is said of a unit with these lines, for a manifest with `user: api`.
    fn said(lines: &str, drop_in: &str) -> Option<String> {
        let manifest = "{name: api, scope: system, user: api, unit: web.service, \
             environments: {prod: {hosts: [web1]}}}";
        let manifest = parse(&SourceText::new("deploy.yaml", manifest)).unwrap().manifest;
        let read = |name: &str, text: &str| UnitFile::parse(&SourceText::new(name, text)).0;
        let unit: UnitName = "web.service".parse().unwrap();
        let units = UnitFiles {
            files: vec![(
                unit.clone(),
                read("web.service", &format!("[Service]\nExecStart=/bin/x\n{lines}\n")),
            )],
            drop_ins: vec![(
                unit,
                "user.conf".parse().unwrap(),
                read("user.conf", &format!("[Service]\n{drop_in}\n")),
            )],
        };
        let problem = idle_user(&manifest, &units)?;
        assert_eq!(problem.to_string(), "deploy.yaml:1: no service of this release runs as `api`");
        problem.help
    }

    #[test]
    fn a_user_that_nothing_runs_as_is_told_of() {
        for (unit, drop_in) in [("User=api", ""), ("", "User=api"), ("User=%p", ""), ("User=x\nUser=api", "")]
        {
            assert_eq!(said(unit, drop_in), None, "{unit} {drop_in}");
        }
        let root = "write `User=api` in the `[Service]` section of web.service; without it, root runs it";
        assert_eq!(said("", "").as_deref(), Some(root));
        assert_eq!(said("Group=api\nUser=", "").as_deref(), Some(root));
        let other = "web.service has `User=apu`: write `User=api` there, or that name here";
        assert_eq!(said("User=apu", "").as_deref(), Some(other));
    }
}
