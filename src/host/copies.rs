//! Copies of a release's files outside of it, as the probe tells of them; and what has become of their texts.
use super::session::{Session, SessionError};
use super::texts::read_texts;
use crate::manifest::Manifest;
use crate::plan::{Access, CopyState, Facts, FoundCopy, Layout, PlacedCopy, RemotePath};
use crate::release::Mode;

/// Finds out how copies were changed by hand that everybody may see: one round trip, and none where there are none.
pub async fn read_edited(
    session: &mut Session,
    manifest: &Manifest,
    facts: &mut Facts,
) -> Result<(), SessionError> {
    let current = Layout::new(&facts.home, manifest).root().join("current");
    let shown = |found: &FoundCopy| found.is_edited() && found.is_for_all();
    let edited = facts.copies.iter_mut().filter(|found| shown(found));
    let edited: Vec<(&mut FoundCopy, RemotePath)> = edited
        .filter_map(|found| {
            let source = current.join(found.placed.as_ref()?.source.as_str());
            Some((found, source))
        })
        .collect();
    if edited.is_empty() {
        return Ok(());
    }
    let pairs = edited.iter().enumerate().flat_map(|(number, (found, source))| {
        [(format!("{number}a"), source.to_string()), (format!("{number}b"), found.path.to_string())]
    });
    let mut texts = read_texts(session, pairs.collect()).await?;
    for (number, (found, _)) in edited.into_iter().enumerate() {
        found.texts = texts.remove(&format!("{number}a")).zip(texts.remove(&format!("{number}b")));
    }
    Ok(())
}

/// Reads "root f 644 root root HASH", a tab, where a link leads, a tab, what shipit put there, a tab, and the place.
pub(super) fn found_copy(text: &str) -> Option<FoundCopy> {
    let (access, text) = text.split_once(' ')?;
    let (words, text) = text.split_once('\t')?;
    let (target, text) = text.split_once('\t')?;
    let (placed, path) = text.rsplit_once('\t')?;
    Some(FoundCopy {
        path: RemotePath::new(path)?,
        access: if access == "direct" { Access::Direct } else { Access::Root },
        state: state(words, target)?,
        placed: placed_copy(placed),
        texts: None,
    })
}

/// Reads "f 644 root root HASH", a tab, where a link leads, a tab, and the place.
pub(super) fn seen_copy(text: &str) -> Option<(RemotePath, CopyState)> {
    let (words, text) = text.split_once('\t')?;
    let (target, path) = text.split_once('\t')?;
    Some((RemotePath::new(path)?, state(words, target)?))
}

fn state(words: &str, target: &str) -> Option<CopyState> {
    let mut words = words.split(' ');
    let mut next = || words.next();
    let (kind, mode, owner, group, hash) = (next()?, next()?, next()?, next()?, next()?);
    Some(match kind {
        "missing" => CopyState::Missing,
        "hidden" => CopyState::Hidden,
        "l" => CopyState::Symlink(target.to_owned()),
        "f" => CopyState::File {
            sha256: hash.parse().ok(),
            mode: permissions(mode)?,
            owner: owner.to_owned(),
            group: group.to_owned(),
        },
        _ => CopyState::Other,
    })
}

/// Reads "HASH 644 root root 12 34 56.7", a tab, and the file of the release.
fn placed_copy(text: &str) -> Option<PlacedCopy> {
    let (words, source) = text.split_once('\t')?;
    let mut words = words.split(' ');
    Some(PlacedCopy {
        sha256: words.next()?.parse().ok()?,
        mode: permissions(words.next()?)?,
        owner: words.next()?.to_owned(),
        group: words.next()?.to_owned(),
        source: source.parse().ok()?,
    })
}

fn permissions(octal: &str) -> Option<Mode> {
    u32::from_str_radix(octal, 8).ok().map(Mode::of)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::release::Sha256Digest;

    #[test]
    fn what_stands_at_a_place_is_read() {
        let hash = Sha256Digest::of(b"x");
        let line = format!("root f 440 root adm {hash}\t\t{hash} 440 root adm 1 2 3.4\tetc/a b\t/etc/a b");
        let found = found_copy(&line).unwrap();
        assert_eq!((found.path.as_str(), found.access), ("/etc/a b", Access::Root));
        assert!(!found.is_edited() && !found.is_for_all());
        assert_eq!(found.placed.as_ref().map(|placed| placed.source.as_str()), Some("etc/a b"));
        let edited = line.replacen(&hash.to_string(), &Sha256Digest::of(b"y").to_string(), 1);
        assert!(found_copy(&edited).unwrap().is_edited());

        let link = found_copy("direct l 777 a a -\t/old place\t\t/etc/x").unwrap();
        assert_eq!((link.state, link.placed), (CopyState::Symlink("/old place".to_owned()), None));
        let missing = found_copy("direct missing - - - -\t\t\t/etc/x").unwrap();
        assert_eq!(missing.state, CopyState::Missing);
        assert_eq!(
            seen_copy("hidden - - - -\t\t/etc/x").map(|(path, state)| (path.to_string(), state)),
            Some(("/etc/x".to_owned(), CopyState::Hidden))
        );
    }

    #[test]
    fn nonsense_is_none() {
        for text in
            ["", "root", "root f 644 root root -", "root f rwx root root -\t\t\t/etc/x", "root f\t\t\t/x"]
        {
            assert!(found_copy(text).is_none(), "{text}");
        }
        assert!(found_copy("root missing - - - -\t\t\tetc/x").is_none(), "not absolute");
    }
}
