//! What `unit` and `units` of a manifest may hold: unit files, templates with their instances, drop-ins.
use super::model::{DropIn, OnChange, Scope, UnitSource};
use super::name::UnitName;
use super::nearest::nearest;
use super::problem::Problem;
use super::read::{Fields, Reader};
use super::read_problem::ManifestProblem;
use super::yaml::{Key, Node, Scalar, ScalarKind, Value};

pub(super) const UNIT_KEYS: &[&str] = &["path", "scope", "on_change", "instances", "credentials", "drop_in"];
/// Each is a process, or several, on one host.
const MOST_INSTANCES: u32 = 1000;

/// All that is in the list.
pub(super) struct Units {
    pub(super) files: Vec<UnitSource>,
    pub(super) drop_ins: Vec<DropIn>,
}

/// One entry of the list.
enum Entry {
    Unit(UnitSource),
    DropIn(DropIn),
}

impl Reader<'_> {
    /// The units of a service in this scope.
    pub(super) fn units(&mut self, fields: &Fields<'_>, root: &Node, scope: Scope) -> Option<Units> {
        let nodes = self.unit_nodes(fields, root)?;
        let mut units = Units { files: Vec::new(), drop_ins: Vec::new() };
        let mut taken: Vec<(String, &Node)> = Vec::new();
        let mut drop_ins: Vec<&Node> = Vec::new();
        let mut whole = true;
        for (key, node) in nodes {
            let Some(entry) = self.unit(&key, node, scope) else {
                whole = false;
                continue;
            };
            self.spans.insert(key, node.span.clone());
            let file = match &entry {
                Entry::Unit(unit) => unit.name.to_string(),
                Entry::DropIn(drop_in) => drop_in.file(),
            };
            self.spans.insert(format!("units.{file}"), node.span.clone());
            // What it brings: the unit, and the instances of a template.
            let brings: Vec<String> = match &entry {
                Entry::Unit(unit) => {
                    std::iter::once(&unit.name).chain(&unit.instances).map(ToString::to_string).collect()
                }
                Entry::DropIn(drop_in) => vec![drop_in.file()],
            };
            if let Some((name, first)) = taken.iter().find(|(name, _)| brings.contains(name)) {
                let kind = ManifestProblem::DuplicateUnit { unit: name.clone() };
                let problem = self.problem(kind, node).label("and here").also(first.span.clone(), "here");
                self.problems.push(problem);
                whole = false;
                continue;
            }
            taken.extend(brings.into_iter().map(|name| (name, node)));
            match entry {
                Entry::Unit(unit) => units.files.push(unit),
                Entry::DropIn(drop_in) => {
                    units.drop_ins.push(drop_in);
                    drop_ins.push(node);
                }
            }
        }
        for (drop_in, node) in units.drop_ins.iter().zip(drop_ins) {
            if whole && !taken.iter().any(|(name, _)| *name == drop_in.unit.as_str()) {
                let kind = ManifestProblem::DropInOfNothing { unit: drop_in.unit.to_string() };
                let help = "a drop-in goes with a unit of this manifest: name the unit in `drop_in`";
                self.problems.push(self.problem(kind, node).help(help.to_owned()));
                whole = false;
            }
        }
        if let Some((key, node)) = fields.entry("credentials") {
            let [unit] = units.files.as_mut_slice() else { return self.credentials_of_many(key) };
            if fields.get("units").is_some() {
                return self.credentials_of_many(key);
            }
            unit.credentials = self.credentials(&unit.name.clone(), node)?;
        }
        whole.then_some(units)
    }

    /// Of several units, each has its own.
    fn credentials_of_many(&mut self, key: &Key) -> Option<Units> {
        let kind = ManifestProblem::Conflict { first: "units", second: "credentials" };
        let problem = Problem::new(kind, self.source).at(key.span.clone());
        let help =
            "write them where the unit is: `units: [{ path: api.service, credentials: { token: TOKEN } }]`";
        self.problems.push(problem.help(help.to_owned()));
        None
    }

    /// The entries of `unit` or `units`, each with the name of its place.
    fn unit_nodes<'t>(&mut self, fields: &Fields<'t>, root: &Node) -> Option<Vec<(String, &'t Node)>> {
        let nodes = match (fields.entry("unit"), fields.entry("units")) {
            (Some((first, _)), Some((second, _))) => {
                let kind = ManifestProblem::Conflict { first: "unit", second: "units" };
                let problem =
                    Problem::new(kind, self.source).at(second.span.clone()).label("and `units` here");
                self.problems.push(
                    problem
                        .also(first.span.clone(), "`unit` here")
                        .help("keep `units` and list every unit file there".to_owned()),
                );
                return None;
            }
            (Some((_, node)), None) => match &node.value {
                Value::List(_) => {
                    self.wrong_type("unit", "the path of one unit file", node);
                    if let Some(last) = self.problems.last_mut() {
                        last.help = Some("a list of unit files is called `units`".to_owned());
                    }
                    return None;
                }
                _ => vec![("unit".to_owned(), node)],
            },
            (None, Some((_, node))) => match &node.value {
                Value::List(items) if items.is_empty() => {
                    let problem =
                        self.problem(ManifestProblem::EmptyList { what: "`units`".to_owned() }, node);
                    self.problems.push(problem.help("name at least one unit file".to_owned()));
                    return None;
                }
                Value::List(items) => {
                    items.iter().enumerate().map(|(i, n)| (format!("units[{i}]"), n)).collect()
                }
                _ => {
                    self.wrong_type("units", "a list of unit files", node);
                    return None;
                }
            },
            (None, None) => {
                let help =
                    "add the unit file that starts the service, such as `unit: deploy/simple_api.service`";
                self.missing("unit", "the manifest", root, help);
                return None;
            }
        };
        Some(nodes)
    }

    fn unit(&mut self, key: &str, node: &Node, scope: Scope) -> Option<Entry> {
        let Value::Map(entries) = &node.value else {
            let path = self.path(key, node)?;
            let name = self.file_name(&path, node)?;
            return Some(Entry::Unit(UnitSource::new(name, path, scope)));
        };
        let fields = self.fields("a unit", UNIT_KEYS, entries);
        let on_change =
            fields.get("on_change").map_or(Some(OnChange::default()), |node| self.on_change(node));
        let Some(path_node) = fields.get("path") else {
            let help = "add the unit file, such as `path: deploy/api.service`";
            self.missing("path", "a unit", node, help);
            return None;
        };
        let path = self.path(key, path_node)?;
        if let Some((drop_in_key, drop_in)) = fields.entry("drop_in") {
            for second in ["scope", "on_change", "instances", "credentials"] {
                let Some((other, _)) = fields.entry(second) else { continue };
                let kind = ManifestProblem::Conflict { first: "drop_in", second };
                let problem = Problem::new(kind, self.source).at(other.span.clone());
                self.problems.push(
                    problem
                        .also(drop_in_key.span.clone(), "a drop-in")
                        .help(format!("`{second}` is the unit's own: write it where the unit is")),
                );
                return None;
            }
            let unit = self.name("drop_in", "the name of a unit", drop_in);
            let name = self.file_name(&path, path_node);
            return Some(Entry::DropIn(DropIn { unit: unit?, name: name?, path }));
        }
        let name = self.file_name(&path, path_node)?;
        let instances = match fields.entry("instances") {
            Some((key, node)) => self.instances(&name, &key.span, node)?,
            None => Vec::new(),
        };
        let own_scope = match fields.get("scope") {
            Some(node) => self.unit_scope(&name, node, scope)?,
            None => scope,
        };
        let credentials = match fields.entry("credentials") {
            Some((key, _)) if own_scope != scope => {
                let kind = ManifestProblem::CredentialsOfUsersUnit { unit: name.to_string() };
                let help =
                    "give the secret to a unit of the system's, or make a service of the user's of this one";
                self.problems
                    .push(Problem::new(kind, self.source).at(key.span.clone()).help(help.to_owned()));
                return None;
            }
            Some((_, node)) => self.credentials(&name, node)?,
            None => Vec::new(),
        };
        let (scope, on_change) = (own_scope, on_change?);
        Some(Entry::Unit(UnitSource { name, path, scope, on_change, instances, credentials }))
    }

    /// Whose systemd runs one unit of a service.
    fn unit_scope(&mut self, name: &UnitName, node: &Node, services: Scope) -> Option<Scope> {
        let scope = self.scope(node)?;
        if (services, scope) == (Scope::User, Scope::System) {
            let kind = ManifestProblem::SystemUnitOfUser { unit: name.to_string() };
            let help = "write `scope: system` for the whole service, and `scope: user` at those of its units that are \
                        the login user's: then root owns what root's systemd runs";
            self.problems.push(self.problem(kind, node).help(help.to_owned()));
            return None;
        }
        Some(scope)
    }

    /// The name that a file has in the release: its own, without `.j2`.
    fn file_name<T: std::str::FromStr<Err = super::name::NameError>>(
        &mut self,
        path: &std::path::Path,
        node: &Node,
    ) -> Option<T> {
        let file_name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        match file_name.strip_suffix(".j2").unwrap_or(file_name).parse() {
            Ok(name) => Some(name),
            Err(error) => {
                self.bad_name(error, node.span.clone());
                None
            }
        }
    }

    /// `4` stands for the instances 1, 2, 3 and 4.
    fn instances(
        &mut self,
        name: &UnitName,
        key: &std::ops::Range<usize>,
        node: &Node,
    ) -> Option<Vec<UnitName>> {
        if !name.is_template() {
            let kind = ManifestProblem::InstancesOfNoTemplate { unit: name.to_string() };
            let problem = Problem::new(kind, self.source).at(key.clone());
            let template = format!("{}@.{}", name.stem(), name.kind().suffix());
            self.problems.push(problem.help(format!("the file of a template is called like `{template}`")));
            return None;
        }
        let words: Vec<(String, &Node)> = match &node.value {
            Value::Scalar(Scalar { kind: ScalarKind::Number, .. }) => {
                let help = "the instances are called 1, 2, 3 and so on; a list gives them other names";
                let count = self.count("instances", MOST_INSTANCES, help, node)?;
                (1..=count.get()).map(|number| (number.to_string(), node)).collect()
            }
            Value::List(items) if items.is_empty() => {
                let kind = ManifestProblem::EmptyList { what: "`instances`".to_owned() };
                let help = "without `instances`, the template is there and nothing of it is started";
                self.problems.push(self.problem(kind, node).help(help.to_owned()));
                return None;
            }
            Value::List(items) => {
                let mut words = Vec::new();
                for item in items {
                    match &item.value {
                        Value::Scalar(Scalar { text, kind }) if *kind != ScalarKind::Null => {
                            words.push((text.clone(), item));
                        }
                        _ => {
                            self.wrong_type("instances", "the name of an instance", item);
                            return None;
                        }
                    }
                }
                words
            }
            _ => {
                self.wrong_type("instances", "a number, or a list of names", node);
                return None;
            }
        };
        let mut instances: Vec<UnitName> = Vec::new();
        for (word, node) in words {
            let unit = format!("{}@{word}.{}", name.prefix(), name.kind().suffix());
            match unit.parse::<UnitName>() {
                // Nothing between `@` and the type, or a dot that makes it another type.
                Ok(unit) if unit.instance() != Some(word.as_str()) || word.is_empty() => {
                    let kind = ManifestProblem::EmptyList { what: "the name of an instance".to_owned() };
                    self.problems.push(self.problem(kind, node));
                    return None;
                }
                Ok(unit) if instances.contains(&unit) => {
                    let kind = ManifestProblem::DuplicateUnit { unit: unit.to_string() };
                    self.problems.push(self.problem(kind, node));
                    return None;
                }
                Ok(unit) => instances.push(unit),
                Err(error) => {
                    self.bad_name(error, node.span.clone());
                    return None;
                }
            }
        }
        Some(instances)
    }

    fn on_change(&mut self, node: &Node) -> Option<OnChange> {
        const WORDS: [&str; 3] = ["restart", "reload", "none"];
        match self.text("on_change", "`restart`, `reload` or `none`", node)? {
            "restart" => Some(OnChange::Restart),
            "reload" => Some(OnChange::Reload),
            "none" => Some(OnChange::None),
            other => {
                let kind = ManifestProblem::UnknownValue { key: "on_change", value: other.to_owned() };
                let problem = self.problem(kind, node).label("expected `restart`, `reload` or `none`");
                let near = nearest(other, WORDS).map(|near| format!("did you mean `{near}`?"));
                self.problems.push(problem.help(near));
                None
            }
        }
    }
}
