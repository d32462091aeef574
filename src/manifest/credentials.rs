//! `credentials:` of a unit: secrets that systemd hands to a service, and to nobody else (systemd.exec(5), "Credentials").
use std::path::PathBuf;
use std::sync::Arc;

use super::model::{Manifest, Scope, UnitSource};
use super::name::{CredentialName, DropInName, UnitName, VarName};
use super::read::Reader;
use super::read_problem::ManifestProblem;
use super::source::SourceText;
use super::unit_kind::UnitKind;
use super::yaml::{Node, Value};

/// What the file is called that names a unit's credentials to systemd.
const DROP_IN: &str = "50-shipit-credentials.conf";

/// A secret that a unit gets as a credential.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Credential {
    /// What it is called in `$CREDENTIALS_DIRECTORY`.
    pub name: CredentialName,
    /// The secret.
    pub secret: VarName,
}

impl UnitSource {
    /// The name of the drop-in with the unit's credentials, if it has any.
    #[must_use]
    pub fn credentials_drop_in(&self) -> Option<DropInName> {
        if self.credentials.is_empty() { None } else { DROP_IN.parse().ok() }
    }

    /// Where a credential of the unit stands in the release.
    #[must_use]
    pub fn credential_path(&self, credential: &Credential) -> String {
        format!("credentials/{}/{}", self.name, credential.name)
    }

    /// The template that becomes a credential.
    #[must_use]
    pub fn credential_template(&self, credential: &Credential) -> Arc<SourceText> {
        let path = PathBuf::from(format!("the credential {} of {}", credential.name, self.name));
        SourceText::new(path, format!("{{{{ secrets.{} }}}}", credential.secret))
    }
}

impl Manifest {
    /// What the drop-in says that names a unit's credentials.
    #[must_use]
    pub fn credentials_text(&self, unit: &UnitSource) -> Arc<SourceText> {
        // "%" begins a specifier (systemd.unit(5)). A home directory is the manager's own in the user's scope; in the
        // system's, that of the login user is known from the host alone.
        let root = self.root_on_host();
        let (end, root) = match (root.strip_prefix("~/"), self.scope) {
            (Some(below), Scope::User) => ("", format!("%h/{}", below.replace('%', "%%"))),
            (Some(_), Scope::System) => (".j2", String::new()),
            (None, _) => ("", root.replace('%', "%%")),
        };
        let mut text = "# Made by shipit from `credentials` of the manifest.\n[Service]\n".to_owned();
        for credential in &unit.credentials {
            let current = match end {
                "" => format!("{root}/current"),
                _ => "{{ release.root | replace('%', '%%') }}".to_owned(),
            };
            let path = unit.credential_path(credential).replace('%', "%%");
            text.push_str(&format!("LoadCredential={}:{current}/{path}\n", credential.name));
        }
        SourceText::new(format!("{}.d/{DROP_IN}{end}", unit.name), text)
    }
}

impl Reader<'_> {
    /// The credentials of a unit.
    pub(super) fn credentials(&mut self, unit: &UnitName, node: &Node) -> Option<Vec<Credential>> {
        let Value::Map(entries) = &node.value else {
            self.wrong_type("credentials", "a map of credentials, each with the name of a secret", node);
            if let Some(last) = self.problems.last_mut() {
                last.help = Some("such as `credentials: { token: API_TOKEN }`".to_owned());
            }
            return None;
        };
        if unit.kind() != UnitKind::Service {
            let kind = ManifestProblem::CredentialsOfNoService { unit: unit.to_string() };
            self.problems.push(self.problem(kind, node));
            return None;
        }
        let mut credentials = Vec::new();
        let mut whole = true;
        for (key, node) in entries {
            let name = key.text.parse().map_err(|error| self.bad_name(error, key.span.clone())).ok();
            let secret = self.name("credentials", "the name of a secret", node);
            match (name, secret) {
                (Some(name), Some(secret)) => credentials.push(Credential { name, secret }),
                _ => whole = false,
            }
        }
        whole.then_some(credentials)
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Loaded, Problem, parse};
    use super::*;

    fn load(keys: &str) -> Result<Loaded, String> {
        let end = "environments: {prod: {hosts: [web1], secrets: {A: {env: A}}}}";
        let source = SourceText::new("dir/deploy.yaml", format!("{{name: api, {keys}, {end}}}"));
        let shown = |problem: &Problem| {
            let marked = problem.span.clone().and_then(|span| source.text.get(span)).unwrap_or_default();
            format!("{marked}: {}", problem.kind)
        };
        parse(&source).map_err(|error| error.problems.iter().map(shown).collect::<Vec<_>>().join("\n"))
    }

    fn text(keys: &str) -> String {
        let manifest = load(keys).unwrap().manifest;
        let unit = manifest.units.iter().find(|unit| !unit.credentials.is_empty()).unwrap();
        let text = manifest.credentials_text(unit);
        text.text.lines().skip(2).collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn the_drop_in_names_the_files_of_the_release_that_runs() {
        assert_eq!(
            text("unit: a.service, credentials: {token: A}"),
            "LoadCredential=token:%h/.local/share/shipit/api/current/credentials/a.service/token"
        );
        assert_eq!(
            text("scope: system, units: [b.service, {path: a.service, credentials: {x: A, y.key: A}}]"),
            "LoadCredential=x:/opt/api/current/credentials/a.service/x\n\
             LoadCredential=y.key:/opt/api/current/credentials/a.service/y.key"
        );
        assert_eq!(
            text("root: '~/100%', unit: a.service, credentials: {x: A}"),
            "LoadCredential=x:%h/100%%/current/credentials/a.service/x"
        );
        assert!(
            text("root: '~/x', scope: system, unit: a.service, credentials: {x: A}").contains("release.root")
        );
    }

    #[test]
    fn mistakes_are_marked() {
        let wrong = |keys: &str| load(keys).map(|_| ()).unwrap_err();
        assert!(wrong("unit: a.service, credentials: [A]").contains("has to be a map of credentials"));
        assert!(wrong("unit: a.service, credentials: {'a:b': A}").contains("can't contain `:`"));
        assert!(wrong("unit: a.service, credentials: {a: {env: A}}").contains("the name of a secret"));
        assert_eq!(
            wrong("units: [a.service, {path: a.socket, credentials: {a: A}}]"),
            "{a: A}: `a.socket` is no service: it can't have credentials"
        );
        assert_eq!(
            wrong("units: [a.service], credentials: {a: A}"),
            "credentials: `units` and `credentials` can't both be given"
        );
    }
}
