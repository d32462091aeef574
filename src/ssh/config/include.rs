//! The files that an `Include` names: glob(7), without following what OpenSSH's own glob does not do either.

use std::ffi::OsStr;
use std::path::{Component, Path, PathBuf};

use globset::{GlobBuilder, GlobMatcher};

/// The files that a pattern matches, in the order of their names. Without any `*`, `?` or `[` in it, the path itself, if
/// it is there. `None` for a pattern that is none.
pub(super) fn files(pattern: &Path) -> Option<Vec<PathBuf>> {
    let mut found = vec![PathBuf::new()];
    for component in pattern.components() {
        let text = component.as_os_str();
        let matcher = match component {
            Component::Normal(name) => matcher(name)?,
            Component::Prefix(_) | Component::RootDir | Component::CurDir | Component::ParentDir => None,
        };
        match matcher {
            None => {
                let plain = unescaped(text);
                found.iter_mut().for_each(|path| path.push(&plain));
            }
            Some(matcher) => {
                found = found.iter().flat_map(|folder| matching(folder, &matcher, text)).collect();
            }
        }
    }
    found.retain(|path| path.symlink_metadata().is_ok());
    Some(found)
}

/// `None` inside for a name that stands for itself.
fn matcher(name: &OsStr) -> Option<Option<GlobMatcher>> {
    let Some(text) = name.to_str().filter(|text| text.contains(['*', '?', '['])) else { return Some(None) };
    // Braces mean nothing to OpenSSH.
    let text = text.replace('{', "[{]").replace('}', "[}]");
    let glob = GlobBuilder::new(&text).literal_separator(true).backslash_escape(true).build().ok()?;
    Some(Some(glob.compile_matcher()))
}

fn matching(folder: &Path, matcher: &GlobMatcher, pattern: &OsStr) -> Vec<PathBuf> {
    let listed = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    let Ok(entries) = std::fs::read_dir(listed) else { return Vec::new() };
    let hidden = pattern.as_encoded_bytes().first() == Some(&b'.');
    let mut names: Vec<_> = entries
        .flatten()
        .map(|entry| entry.file_name())
        .filter(|name| hidden || name.as_encoded_bytes().first() != Some(&b'.'))
        .filter(|name| matcher.is_match(Path::new(name)))
        .collect();
    names.sort();
    names.into_iter().map(|name| folder.join(name)).collect()
}

/// A backslash takes the meaning from what follows it.
fn unescaped(name: &OsStr) -> PathBuf {
    match name.to_str() {
        Some(text) if text.contains('\\') => {
            let mut plain = String::new();
            let mut chars = text.chars();
            while let Some(c) = chars.next() {
                plain.push(if c == '\\' { chars.next().unwrap_or('\\') } else { c });
            }
            plain.into()
        }
        _ => name.into(),
    }
}

/// A pattern that matches this path and nothing else.
pub(super) fn escaped(path: &str) -> String {
    let mut pattern = String::with_capacity(path.len());
    for c in path.chars() {
        if matches!(c, '*' | '?' | '[' | ']' | '{' | '}' | '\\' | '~') {
            pattern.push('\\');
        }
        pattern.push(c);
    }
    pattern
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path, pattern: &str) -> Vec<String> {
        let found = files(&folder.join(pattern)).unwrap();
        found.iter().map(|path| path.strip_prefix(folder).unwrap().to_str().unwrap().to_owned()).collect()
    }

    #[test]
    fn patterns_match_names_in_order_and_no_hidden_ones() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(folder.path().join("d/e")).unwrap();
        for name in ["b.conf", "a.conf", ".hidden.conf", "d/x.conf", "d/e/y.conf", "{c}.conf", "a*b", "c\\d"]
        {
            std::fs::write(folder.path().join(name), "").unwrap();
        }
        let names = |pattern: &str| names(folder.path(), pattern);
        assert_eq!(names("*.conf"), ["a.conf", "b.conf", "{c}.conf"]);
        assert_eq!(names("[!a].conf"), ["b.conf"]);
        assert_eq!(names("?/*.conf"), ["d/x.conf"]);
        assert_eq!(names("*/*/*"), ["d/e/y.conf"]);
        assert_eq!(names(".*.conf"), [".hidden.conf"]);
        assert_eq!(names("{c}*"), ["{c}.conf"]);
        assert_eq!(names("a.conf"), ["a.conf"]);
        assert!(names("none*").is_empty() && names("none").is_empty());
        for name in ["a*b", "c\\d", "{c}.conf"] {
            assert_eq!(names(&escaped(name)), [name]);
        }
    }
}
