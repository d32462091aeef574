//! What `files` of a manifest may hold.
use super::files::{EntryPathError, FileEntry, GlobPattern, Outside};
use super::read::Reader;
use super::read_install::installed_mode;
use super::read_problem::ManifestProblem;
use super::yaml::{Node, Scalar, ScalarKind, Value};

pub(super) const FILE_KEYS: &[&str] =
    &["source", "path", "mode", "include", "exclude", "link", "install", "validate", "on_change"];

const EXAMPLE: &str = "such as `- source: dist/site`";
const MODE: &str = "a mode in quotes, such as `\"0640\"`";

impl Reader<'_> {
    pub(super) fn files(&mut self, node: &Node) -> Option<Vec<FileEntry>> {
        let Value::List(items) = &node.value else {
            self.wrong_type("files", "a list of files and folders", node);
            if let Some(last) = self.problems.last_mut() {
                last.help = Some(EXAMPLE.to_owned());
            }
            return None;
        };
        let mut entries: Vec<(FileEntry, &Node)> = Vec::new();
        let mut whole = true;
        for (index, item) in items.iter().enumerate() {
            self.spans.insert(format!("files[{index}]"), item.span.clone());
            let Some(entry) = self.file_entry(index, item) else {
                whole = false;
                continue;
            };
            if let Some((_, first)) = entries.iter().find(|(other, _)| other.path == entry.path) {
                let kind = ManifestProblem::DuplicatePath { path: entry.path.to_string() };
                let problem = self.problem(kind, item).label("and here").also(first.span.clone(), "here");
                self.problems.push(problem.help("give one of them another `path`".to_owned()));
                whole = false;
                continue;
            }
            let place = entry.outside.as_ref().map(Outside::place);
            let same = entries
                .iter()
                .find(|(other, _)| place.is_some() && other.outside.as_ref().map(Outside::place) == place);
            if let (Some(place), Some((_, first))) = (place, same) {
                let kind = ManifestProblem::DuplicatePlace { path: place.as_str().to_owned() };
                let problem = self.problem(kind, item).label("and here").also(first.span.clone(), "here");
                self.problems.push(problem);
                whole = false;
                continue;
            }
            entries.push((entry, item));
        }
        whole.then(|| entries.into_iter().map(|(entry, _)| entry).collect())
    }

    fn file_entry(&mut self, index: usize, node: &Node) -> Option<FileEntry> {
        let fields = match &node.value {
            Value::Map(entries) => self.fields("an entry of `files`", FILE_KEYS, entries),
            _ => {
                self.wrong_type("files", "a map with `source`", node);
                if let Some(last) = self.problems.last_mut() {
                    last.help = Some(EXAMPLE.to_owned());
                }
                return None;
            }
        };
        let Some(source_node) = fields.get("source") else {
            self.missing("source", "an entry of `files`", node, EXAMPLE);
            return None;
        };
        self.spans.insert(format!("files[{index}].source"), source_node.span.clone());
        let source = self.source_path(source_node);
        let path = match (fields.get("path"), &source) {
            (Some(node), _) => self
                .text("path", "a path in the release", node)
                .and_then(|text| text.parse().map_err(|error| self.bad_place(error, node, "path")).ok()),
            (None, Some(source)) => {
                let name = source.file_name().and_then(|name| name.to_str()).unwrap_or_default();
                let name = name.strip_suffix(".j2").unwrap_or(name);
                name.parse().map_err(|error| self.bad_place(error, source_node, "source")).ok()
            }
            (None, None) => None,
        };
        let mode = fields.get("mode").map_or(Some(None), |node| self.mode(node).map(Some));
        let outside = self.outside(&fields, node);
        let include = fields.get("include").map_or(Some(Vec::new()), |node| self.patterns("include", node));
        let exclude = fields.get("exclude").map_or(Some(Vec::new()), |node| self.patterns("exclude", node));
        if let Some(node) = fields.get("link") {
            self.spans.insert(format!("files[{index}].link"), node.span.clone());
        }
        let mut command = |key| {
            let node = fields.get(key);
            node.map_or(Some(None), |node| self.filled(key, "the text of a shell program", node).map(Some))
        };
        let (validate, on_change) = (command("validate"), command("on_change"));
        Some(FileEntry {
            source: source?,
            path: path?,
            mode: mode?.or(installed_mode(outside.as_ref()?.as_ref())),
            include: include?,
            exclude: exclude?,
            outside: outside?,
            validate: validate?,
            on_change: on_change?,
        })
    }

    /// As [`Reader::path`]; but a folder may be written with a slash at its end.
    fn source_path(&mut self, node: &Node) -> Option<std::path::PathBuf> {
        match &node.value {
            Value::Scalar(Scalar { text, kind: ScalarKind::Text })
                if text.len() > 1 && text.ends_with('/') =>
            {
                let scalar = Scalar { text: text.trim_end_matches('/').to_owned(), kind: ScalarKind::Text };
                let bare = Node { span: node.span.clone(), value: Value::Scalar(scalar) };
                self.path("source", &bare)
            }
            _ => self.path("source", node),
        }
    }

    fn bad_place(&mut self, error: EntryPathError, node: &Node, key: &'static str) {
        let help = match key {
            "source" => "say with `path` where it is to stand in the release".to_owned(),
            _ => "`path` is relative to the release, such as `site` or `share/site`".to_owned(),
        };
        let problem = self.problem(ManifestProblem::EntryPath { key, error }, node);
        self.problems.push(problem.help(help));
    }

    pub(super) fn mode(&mut self, node: &Node) -> Option<u32> {
        let Value::Scalar(Scalar { text, kind: ScalarKind::Text }) = &node.value else {
            self.wrong_type("mode", MODE, node);
            return None;
        };
        let octal = matches!(text.len(), 3 | 4) && text.bytes().all(|byte| matches!(byte, b'0'..=b'7'));
        let mode = u32::from_str_radix(text, 8).ok().filter(|mode| octal && *mode <= 0o777);
        // Whoever deploys has to read it: its hash is taken, and the next release gets a copy.
        if mode.is_some_and(|mode| mode & 0o400 != 0) {
            return mode;
        }
        let kind = ManifestProblem::UnknownValue { key: "mode", value: text.clone() };
        let problem = self.problem(kind, node).label(format!("expected {MODE}"));
        let help = mode.map(|_| "the owner has to be able to read it: it begins with 4 at least".to_owned());
        self.problems.push(problem.help(help));
        None
    }

    fn patterns(&mut self, key: &'static str, node: &Node) -> Option<Vec<GlobPattern>> {
        let items = match &node.value {
            Value::List(items) => items.iter().collect(),
            Value::Scalar(_) => vec![node],
            Value::Map(_) => {
                self.wrong_type(key, "a list of patterns such as `\"*.map\"`", node);
                return None;
            }
        };
        let mut patterns = Some(Vec::new());
        for item in items {
            let text = self.text(key, "a pattern such as `\"*.map\"`", item);
            let pattern = text.and_then(|text| {
                let parsed = text.parse();
                parsed
                    .map_err(|error| self.problems.push(self.problem(ManifestProblem::Glob(error), item)))
                    .ok()
            });
            match (pattern, &mut patterns) {
                (Some(pattern), Some(patterns)) => patterns.push(pattern),
                _ => patterns = None,
            }
        }
        patterns
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Problem, SourceText};
    use super::*;

    const HEAD: &str = "{name: api, unit: a.service, environments: {prod: {hosts: [web1]}}, files: ";

    fn entries(files: &str) -> Result<Vec<FileEntry>, Vec<String>> {
        let source = SourceText::new("dir/deploy.yaml", format!("{HEAD}{files}}}"));
        let shown = |problem: &Problem| {
            let marked = problem.span.clone().and_then(|span| source.text.get(span)).unwrap_or_default();
            format!("{marked}: {}", problem.kind)
        };
        match super::super::parse(&source) {
            Ok(loaded) => Ok(loaded.manifest.files),
            Err(error) => Err(error.problems.iter().map(shown).collect()),
        }
    }

    #[test]
    fn an_entry_is_named_after_its_source() {
        let found = entries(
            "[{source: dist/site/}, {source: a/nginx.conf.j2, mode: '640'}, {source: x, path: share/x/, \
             include: '*.css', exclude: [a, '/b/**']}]",
        )
        .unwrap();
        let shown: Vec<_> = found
            .iter()
            .map(|entry| format!("{} {} {:?}", entry.source.display(), entry.path, entry.mode))
            .collect();
        assert_eq!(
            shown,
            ["dir/dist/site site None", "dir/a/nginx.conf nginx.conf Some(416)", "dir/x share/x None"]
                .map(|line| line.replace("a/nginx.conf nginx", "a/nginx.conf.j2 nginx"))
        );
        let patterns: Vec<_> =
            found[2].include.iter().chain(&found[2].exclude).map(GlobPattern::as_str).collect();
        assert_eq!(patterns, ["*.css", "a", "/b/**"]);
    }

    #[test]
    fn mistakes_are_marked() {
        let wrong = |files: &str| entries(files).unwrap_err().join("\n");
        assert_eq!(wrong("x"), "x: `files` has to be a list of files and folders, not text");
        assert_eq!(wrong("[x]"), "x: `files` has to be a map with `source`, not text");
        assert_eq!(wrong("[{path: x}]"), "{path: x}: an entry of `files` has no `source`");
        assert_eq!(
            wrong("[{source: a, path: bin/x}]"),
            "bin/x: `path` can't be a place in the release: `bin` at the top of a release is shipit's own"
        );
        assert_eq!(
            wrong("[{source: dist/units}]"),
            "dist/units: `source` can't be a place in the release: `units` at the top of a release is shipit's own"
        );
        assert_eq!(wrong("[{source: ..}]"), "..: `source` can't be a place in the release: it is empty");
        assert_eq!(
            wrong("[{source: a, mode: 0644}]"),
            "0644: `mode` has to be a mode in quotes, such as `\"0640\"`, not a number"
        );
        for mode in ["4755", "0288", "rwx", "0200", "64"] {
            assert_eq!(
                wrong(&format!("[{{source: a, mode: '{mode}'}}]")),
                format!("'{mode}': `mode` can't be `{mode}`")
            );
        }
        assert!(wrong("[{source: a, exclude: ['[']}]").contains("`[` is not a pattern: "));
        assert_eq!(
            wrong("[{source: a/x}, {source: b, path: x}]"),
            "{source: b, path: x}: two entries of `files` have the path `x`"
        );
        assert_eq!(wrong("[{source: a, link: etc/x}]"), "etc/x: `etc/x` is not an absolute path on a host");
        assert_eq!(
            wrong("[{source: a, link: /x}, {source: b, install: /x}]"),
            "{source: b, install: /x}: two entries of `files` bring a file to `/x`"
        );
        assert_eq!(wrong("[{source: a, validate: ' '}]"), "' ': `validate` is empty");
        assert!(wrong("[{source: a, pth: b}]").contains("there is no key `pth` in an entry of `files`"));
    }
}
