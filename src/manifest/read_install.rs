//! Where an entry of `files` is to be found outside of the release: `link` and `install`.
use super::files::{HostPath, Installation, Outside};
use super::name::UserName;
use super::read::{Fields, Reader};
use super::read_problem::ManifestProblem;
use super::yaml::{Node, Value};

const INSTALL_KEYS: &[&str] = &["path", "owner", "group", "mode"];

const PLACE: &str = "an absolute path on the host";

/// The mode that a copy is to have, if the manifest says so: the file in the release has it, too.
pub(super) fn installed_mode(outside: Option<&Outside>) -> Option<u32> {
    match outside {
        Some(Outside::Install(installation)) => installation.mode,
        Some(Outside::Link(_)) | None => None,
    }
}

impl Reader<'_> {
    /// What `link` and `install` of an entry say. `None` when something is wrong with them.
    pub(super) fn outside(&mut self, fields: &Fields<'_>, entry: &Node) -> Option<Option<Outside>> {
        match (fields.get("link"), fields.get("install")) {
            (None, None) => Some(None),
            (Some(node), None) => Some(Some(Outside::Link(self.place("link", node)?))),
            (None, Some(node)) => Some(Some(Outside::Install(self.installation(node)?))),
            (Some(_), Some(_)) => {
                let problem = self.problem(ManifestProblem::LinkAndInstall, entry);
                self.problems.push(
                    problem
                        .help("a link leads to the file, a copy takes its place: leave one out".to_owned()),
                );
                None
            }
        }
    }

    fn installation(&mut self, node: &Node) -> Option<Installation> {
        let Value::Map(entries) = &node.value else {
            let place = self.place("install", node)?;
            return Some(Installation { place, owner: None, group: None, mode: None });
        };
        let fields = self.fields("`install`", INSTALL_KEYS, entries);
        let place = match fields.get("path") {
            Some(node) => self.place("path", node),
            None => {
                self.missing(
                    "path",
                    "`install`",
                    node,
                    "add where it is to stand: `path: /etc/logrotate.d/api`",
                );
                None
            }
        };
        let mut name = |key, expected| {
            fields.get(key).map_or(Some(None), |node| self.account(key, expected, node).map(Some))
        };
        let owner = name("owner", "the name of a Linux user");
        let group = name("group", "the name of a group");
        let mode = fields.get("mode").map_or(Some(None), |node| self.mode(node).map(Some));
        Some(Installation { place: place?, owner: owner?, group: group?, mode: mode? })
    }

    /// A name, and no number: the host tells of names, and the two could not be compared.
    fn account(&mut self, key: &'static str, expected: &'static str, node: &Node) -> Option<UserName> {
        let name: UserName = self.name(key, expected, node)?;
        if name.as_str().bytes().all(|byte| byte.is_ascii_digit()) {
            let kind = ManifestProblem::UnknownValue { key, value: name.to_string() };
            let problem = self.problem(kind, node).label(format!("expected {expected}"));
            self.problems.push(problem);
            return None;
        }
        Some(name)
    }

    fn place(&mut self, key: &'static str, node: &Node) -> Option<HostPath> {
        let text = self.text(key, PLACE, node)?;
        let parsed = text.parse();
        let wrong = |error| self.problems.push(self.problem(ManifestProblem::HostPath(error), node));
        parsed.map_err(wrong).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Problem, SourceText, parse};
    use super::*;

    fn outside(keys: &str) -> Result<Option<Outside>, String> {
        const HEAD: &str =
            "{name: api, unit: a.service, environments: {prod: {hosts: [web1]}}, files: [{source: a, ";
        let source = SourceText::new("dir/deploy.yaml", format!("{HEAD}{keys}}}]}}"));
        let shown = |problem: &Problem| {
            let marked = problem.span.clone().and_then(|span| source.text.get(span)).unwrap_or_default();
            format!("{marked}: {}", problem.kind)
        };
        match parse(&source) {
            Ok(mut loaded) => Ok(loaded.manifest.files.remove(0).outside),
            Err(error) => Err(error.problems.iter().map(shown).collect::<Vec<_>>().join("\n")),
        }
    }

    #[test]
    fn a_copy_has_a_place_and_perhaps_an_owner() {
        let place: HostPath = "/etc/x".parse().unwrap();
        let bare = Installation { place: place.clone(), owner: None, group: None, mode: None };
        assert_eq!(outside("install: /etc/x"), Ok(Some(Outside::Install(bare))));
        let whole = Installation {
            place,
            owner: Some("root".parse().unwrap()),
            group: Some("adm".parse().unwrap()),
            mode: Some(0o440),
        };
        assert_eq!(
            outside("install: {path: /etc/x, owner: root, group: adm, mode: '0440'}"),
            Ok(Some(Outside::Install(whole)))
        );
    }

    #[test]
    fn mistakes_are_marked() {
        let wrong = |keys: &str| outside(keys).unwrap_err();
        assert_eq!(wrong("link: etc/x"), "etc/x: `etc/x` is not an absolute path on a host");
        assert_eq!(
            wrong("install: [/x]"),
            "[/x]: `install` has to be an absolute path on the host, not a list"
        );
        assert_eq!(wrong("install: {owner: root}"), "{owner: root}: `install` has no `path`");
        assert_eq!(wrong("install: {path: /x, owner: '0'}"), "'0': `owner` can't be `0`");
        assert!(wrong("install: {path: /x, owner: 'a b'}").contains("a b"));
        assert!(wrong("install: {path: /x, mode: '4755'}").contains("`mode` can't be `4755`"));
        assert!(wrong("install: {path: /x, user: a}").contains("there is no key `user` in `install`"));
        assert!(
            wrong("link: /x, install: /y").ends_with("an entry of `files` has both `link` and `install`")
        );
    }
}
