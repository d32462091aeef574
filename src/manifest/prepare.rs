//! `prepare:` of the manifest: what is built on the host for a release, before it is switched to.
use std::time::Duration;

use super::name::PreparedName;
use super::problem::Problem;
use super::read::Reader;
use super::read_problem::ManifestProblem;
use super::yaml::{Node, Value};

/// How long a build on the host may take, unless the manifest says otherwise.
pub const DEFAULT_PREPARE_TIMEOUT: Duration = Duration::from_secs(600);

/// A folder that is built on the host, and kept as long as what it is built from stays the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prepare {
    /// What the folder is called in the release.
    pub name: PreparedName,
    /// The text of a shell program that fills it; it runs in the folder.
    pub run: String,
    /// The files and folders of the release that it is built from, by their paths there.
    pub inputs: Vec<String>,
    /// How long it may take.
    pub timeout: Duration,
}

pub(super) const PREPARE_KEYS: &[&str] = &["name", "run", "inputs", "timeout"];

const EXAMPLE: &str = "such as `- {name: venv, run: python3 -m venv ., inputs: [requirements.txt]}`";

/// Names that have a meaning in a release.
const TAKEN: [&str; 7] = ["bin", "units", "env", "release.json", "good", "sealed", "credentials"];

impl Reader<'_> {
    pub(super) fn prepares(&mut self, node: &Node) -> Option<Vec<Prepare>> {
        let Value::List(items) = &node.value else {
            self.wrong_type("prepare", "a list of maps with `name` and `run`", node);
            if let Some(last) = self.problems.last_mut() {
                last.help = Some(EXAMPLE.to_owned());
            }
            return None;
        };
        let mut prepares: Vec<Prepare> = Vec::new();
        let mut whole = true;
        for (index, item) in items.iter().enumerate() {
            match self.prepare(index, item) {
                Some(prepare) if prepares.iter().any(|other| other.name == prepare.name) => {
                    let kind = ManifestProblem::DuplicatePath { path: prepare.name.to_string() };
                    let problem = self.problem(kind, item).label("a second time");
                    self.problems.push(problem.help("give one of them another `name`".to_owned()));
                    whole = false;
                }
                Some(prepare) => prepares.push(prepare),
                None => whole = false,
            }
        }
        whole.then_some(prepares)
    }

    fn prepare(&mut self, index: usize, node: &Node) -> Option<Prepare> {
        let entries = self.map("prepare", "a map with `name` and `run`", node)?;
        let fields = self.fields("an entry of `prepare`", PREPARE_KEYS, entries);
        for key in ["name", "run"] {
            if fields.get(key).is_none() {
                self.missing(key, "an entry of `prepare`", node, EXAMPLE);
            }
        }
        let name = fields.get("name").and_then(|node| self.prepared_name(node));
        let run = fields.get("run").and_then(|node| self.text("run", "the text of a shell program", node));
        let run = run.map(str::to_owned);
        let inputs = fields.get("inputs").map_or(Some(Vec::new()), |node| self.inputs(index, node));
        let timeout = fields
            .get("timeout")
            .map_or(Some(DEFAULT_PREPARE_TIMEOUT), |node| self.duration("timeout", node));
        Some(Prepare { name: name?, run: run?, inputs: inputs?, timeout: timeout? })
    }

    fn prepared_name(&mut self, node: &Node) -> Option<PreparedName> {
        let name: PreparedName = self.name("name", "the name of a folder in the release", node)?;
        if TAKEN.contains(&name.as_str()) {
            let kind = ManifestProblem::DuplicatePath { path: name.to_string() };
            let problem: Problem = self.problem(kind, node).label("belongs to shipit");
            self.problems.push(problem.help("give it another `name`".to_owned()));
            return None;
        }
        Some(name)
    }

    fn inputs(&mut self, index: usize, node: &Node) -> Option<Vec<String>> {
        let Value::List(items) = &node.value else {
            self.wrong_type("inputs", "a list of paths in the release", node);
            return None;
        };
        let mut inputs = Vec::new();
        for (number, item) in items.iter().enumerate() {
            self.spans.insert(format!("prepare[{index}].inputs[{number}]"), item.span.clone());
            inputs.push(self.text("inputs", "a path in the release", item)?.trim_end_matches('/').to_owned());
        }
        Some(inputs)
    }
}
