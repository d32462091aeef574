//! The corpus: files of cases, in a form that a person can write.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use shipit::ssh::Login;
use tempfile::TempDir;

/// One configuration, and who is asked for.
#[derive(Debug, Clone)]
pub(crate) struct Case {
    pub(crate) name: String,
    pub(crate) asks: Vec<Login>,
    pub(crate) config: String,
    pub(crate) more: Vec<(String, String)>,
}

/// A case whose files have been written.
pub(crate) struct Written {
    _folder: TempDir,
    pub(crate) config: PathBuf,
}

/// All cases of `corpus/*.txt`.
pub(crate) fn corpus() -> Vec<Case> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/ssh_config/corpus");
    let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files.iter().flat_map(|path| cases(path)).collect()
}

fn cases(path: &Path) -> Vec<Case> {
    let text = std::fs::read_to_string(path).unwrap();
    let topic = path.file_stem().unwrap().to_str().unwrap();
    let mut cases = Vec::new();
    for part in text.split("\n=== ").skip(1) {
        let (name, rest) = part.split_once('\n').unwrap();
        let mut sections =
            rest.split("--- ").skip(1).map(|section| section.split_once('\n').unwrap_or((section, "")));
        let (asks, config) = sections.next().unwrap();
        let asks = asks.strip_prefix("ask ").unwrap().split_whitespace().map(login).collect();
        let more =
            sections.map(|(file, text)| (file.strip_prefix("file ").unwrap().to_owned(), text.to_owned()));
        cases.push(Case {
            name: format!("{topic}: {name}"),
            asks,
            config: config.to_owned(),
            more: more.collect(),
        });
    }
    cases
}

pub(crate) fn login(text: &str) -> Login {
    let (user, place) = match text.split_once('@') {
        Some((user, place)) => (Some(user.to_owned()), place),
        None => (None, text),
    };
    // An address of IPv6 stands without a port here.
    let (host, port) = match place.split_once(':') {
        Some((host, port)) if !port.contains(':') => (host, Some(port.parse().unwrap())),
        _ => (place, None),
    };
    Login { user, host: host.to_owned(), port }
}

impl Case {
    pub(crate) fn write(&self) -> Written {
        let folder = tempfile::tempdir().unwrap();
        let put = |name: &str, text: &str| {
            let path = folder.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            let text = text.replace("@DIR@", &folder.path().join("dir").display().to_string());
            std::fs::write(&path, text).unwrap();
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
            path
        };
        for (name, text) in &self.more {
            put(&format!("dir/{name}"), text);
        }
        let config = put("config", &self.config);
        Written { _folder: folder, config }
    }
}
