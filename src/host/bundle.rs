//! Many small files in archives: what a file costs for being one, over SFTP and on the host, is paid once for all.
//!
//! An archive is never whole anywhere: it is made piece by piece, and goes down the input of a tar on the host, which
//! unpacks what has come while the rest is on its way. There are several side by side, since what one channel can have
//! on its way is bounded by the server's window; each takes the next piece as soon as it has room.
use std::fs::File;
use std::io::{self, Read as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::session::SessionError;
use super::upload::{FOLDER_MODE, IDLE, UploadError, folders, open_unchanged};
use crate::plan::{FileChange, Packing, RemotePath, Transfer};
use crate::release::{Artifact, Content};
use crate::ssh::{Connection, Events, ExitStatus, Output};

/// What the login shell gets to see. The folder is the first line of the input, which a shell reads byte by byte
/// (POSIX.1-2017, read); the rest is tar's. The files get the time and the owner that a file gets which comes by itself.
const UNPACK: &str = "exec /bin/sh -c 'LC_ALL=C; export LC_ALL; umask 077; IFS= read -r folder && mkdir -p -- \"$folder\" && umask 022 && cd -- \"$folder\" && exec tar -xpmof -'";

/// A piece of an archive is not made larger than this, but for a single file.
const PIECE: u64 = 512 << 10;

/// What is worth an archive of its own.
const ENOUGH: u64 = 4 << 20;

/// How many archives there are at most: sshd allows ten sessions (`MaxSessions`, sshd_config(5)).
const AT_ONCE: u64 = 4;

/// What an archive takes for a file beside its bytes.
const HEADER: u64 = 1024;

/// What an archive ends with.
const END: usize = 1024;

/// What is kept of what tar says.
const KEPT: usize = 4096;

/// Whether a file goes in an archive.
#[must_use]
pub fn is_bundled(file: &FileChange, packing: Packing) -> bool {
    match packing {
        Packing::Bundles => file.transfer == Transfer::Send && file.is_small(),
        Packing::Single | Packing::NoTar => false,
    }
}

/// Sends files in archives, and returns when all are unpacked.
pub(super) async fn send(
    connection: &Connection,
    folder: &RemotePath,
    files: &[&Artifact],
    progress: &(dyn Fn(u64) + Sync),
) -> Result<(), UploadError> {
    let bytes: u64 = files.iter().map(|file| file.size + HEADER).sum();
    let pieces: Vec<Arc<[Artifact]>> =
        cut(files).into_iter().map(|piece| piece.into_iter().cloned().collect()).collect();
    let next = AtomicUsize::new(0);
    let archives =
        (0..(1 + bytes / ENOUGH).min(AT_ONCE)).map(|_| archive(connection, folder, &pieces, &next, progress));
    futures::future::try_join_all(archives).await.map(drop)
}

/// One archive, of whatever pieces it comes to.
async fn archive(
    connection: &Connection,
    folder: &RemotePath,
    pieces: &[Arc<[Artifact]>],
    next: &AtomicUsize,
    progress: &(dyn Fn(u64) + Sync),
) -> Result<(), UploadError> {
    let silent = |_| UploadError::Session(SessionError::Silent { idle: IDLE });
    let (mut stdin, mut events) =
        connection.start_with_input(UNPACK, format!("{folder}\n").into_bytes()).await?.split();
    while let Some(piece) = pieces.get(next.fetch_add(1, Ordering::Relaxed)) {
        let piece = Arc::clone(piece);
        let packed = tokio::task::spawn_blocking(move || pack(&piece)).await;
        let packed = packed.map_err(|error| local("the archive", io::Error::other(error)))??;
        let length = packed.len() as u64;
        if tokio::time::timeout(IDLE, stdin.write(packed)).await.map_err(silent)?.is_err() {
            // It has ended, and says why.
            return Err(ended(&mut events)
                .await
                .err()
                .unwrap_or(UploadError::Unpack { said: String::new() }));
        }
        progress(length);
    }
    // Where it does not take this, it has ended, and says why.
    let _ = tokio::time::timeout(IDLE, stdin.write(vec![0; END])).await.map_err(silent)?;
    drop(stdin);
    ended(&mut events).await
}

/// Waits for the end of a tar.
async fn ended(events: &mut Events) -> Result<(), UploadError> {
    let (mut said, mut exit) = (Vec::new(), None);
    loop {
        let event = tokio::time::timeout(IDLE, events.next()).await;
        match event.map_err(|_| SessionError::Silent { idle: IDLE })?? {
            Some(Output::Exit(status)) => exit = Some(status),
            Some(Output::Stderr(bytes)) => {
                let room = KEPT.saturating_sub(said.len());
                said.extend(bytes.into_iter().take(room));
            }
            Some(Output::Stdout(_)) => {}
            None if exit == Some(ExitStatus::Code(0)) => return Ok(()),
            None => {
                return Err(UploadError::Unpack { said: String::from_utf8_lossy(&said).trim().to_owned() });
            }
        }
    }
}

/// The files in order, in pieces.
fn cut<'a>(files: &[&'a Artifact]) -> Vec<Vec<&'a Artifact>> {
    let mut pieces: Vec<Vec<&Artifact>> = Vec::new();
    let mut room = 0;
    for file in files {
        let takes = file.size + HEADER;
        match pieces.last_mut() {
            Some(piece) if takes <= room => {
                room -= takes;
                piece.push(file);
            }
            _ => {
                room = PIECE.saturating_sub(takes);
                pieces.push(vec![file]);
            }
        }
    }
    pieces
}

/// A piece of an archive, which more can follow.
fn pack(files: &[Artifact]) -> Result<Vec<u8>, UploadError> {
    let mut archive = tar::Builder::new(Vec::new());
    // A tar that makes a missing folder by itself takes it for an error that another process was first: the program that
    // stages the release, or another archive's tar. One that is in the archive may be there already.
    for folder in folders(files.iter().map(|file| file.path.as_str())) {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(tar::EntryType::Directory);
        header.set_mode(FOLDER_MODE);
        header.set_size(0);
        archive.append_data(&mut header, folder, io::empty()).map_err(|error| local(folder, error))?;
    }
    for file in files {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(tar::EntryType::Regular);
        header.set_mode(file.mode.bits());
        header.set_size(file.size);
        let failed = |error| local(file.path.as_str(), error);
        match &file.content {
            Content::Text(bytes) => {
                archive.append_data(&mut header, file.path.as_str(), bytes.as_ref()).map_err(failed)?;
            }
            Content::File { path, .. } => {
                let opened: File = open_unchanged(file)?;
                let mut bytes = Vec::new();
                let shown = || path.display().to_string();
                let read = opened.take(file.size).read_to_end(&mut bytes);
                let read = read.map_err(|source| UploadError::Local { path: shown(), source })?;
                if read as u64 != file.size {
                    return Err(UploadError::LocalChanged { path: shown() });
                }
                archive.append_data(&mut header, file.path.as_str(), bytes.as_slice()).map_err(failed)?;
            }
        }
    }
    let mut packed = archive.into_inner().map_err(|error| local("the archive", error))?;
    packed.truncate(packed.len().saturating_sub(END));
    Ok(packed)
}

fn local(path: &str, source: io::Error) -> UploadError {
    UploadError::Local { path: path.to_owned(), source }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;
    use std::process::Command;

    use proptest::prelude::*;

    use super::*;
    use crate::release::{Mode, Role, Sha256Digest};

    fn artifact(path: &str, size: usize) -> Artifact {
        let path: crate::release::ReleasePath = path.parse().unwrap();
        Artifact {
            role: Role::File { path: path.clone(), folder: None },
            path,
            mode: Mode::of(0o640),
            size: size as u64,
            sha256: Sha256Digest::of(b""),
            blocks: None,
            content: Content::Text(Arc::from(vec![b'x'; size])),
        }
    }

    #[test]
    fn a_piece_has_a_bounded_size_and_none_is_empty() {
        let files: Vec<Artifact> = (0..5000).map(|n| artifact(&format!("site/{n}"), 4000)).collect();
        let files: Vec<&Artifact> = files.iter().collect();
        let pieces = cut(&files);
        assert_eq!(pieces.concat().len(), 5000);
        for piece in &pieces {
            let files: Vec<Artifact> = piece.iter().map(|file| (*file).clone()).collect();
            let length = pack(&files).unwrap().len();
            assert!((4096..=512 << 10).contains(&length), "{length}");
        }
        assert!(cut(&[]).is_empty());
    }

    #[test]
    fn every_piece_brings_its_folders_whoever_makes_them_first() {
        let packed = [pack(&[artifact("a/b/c", 1), artifact("a/d", 1)]).unwrap(), vec![0; END]].concat();
        let mut archive = tar::Archive::new(packed.as_slice());
        let entries = archive.entries().unwrap().map(|entry| {
            let entry = entry.unwrap();
            (entry.path().unwrap().display().to_string(), entry.header().mode().unwrap())
        });
        let expected = [("a", 0o755), ("a/b", 0o755), ("a/b/c", 0o640), ("a/d", 0o640)];
        assert_eq!(entries.collect::<Vec<_>>(), expected.map(|(path, mode)| (path.to_owned(), mode)));
        // Half of them are there already.
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("a")).unwrap();
        std::fs::write(folder.path().join("archive"), packed).unwrap();
        let tar = Command::new("tar").args(["-xpmof", "archive"]).current_dir(&folder).output().unwrap();
        assert!(tar.status.success() && tar.stderr.is_empty(), "{tar:?}");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]
        /// Whatever a name is, tar makes the file of that name, with its bytes and its mode, and nothing else.
        #[test]
        fn tar_gives_back_what_was_packed(
            names in proptest::collection::btree_set("[a-z$`'\"\\\\ *?{-]{1,20}|[a-zé/]{1}[a-z]{90,120}", 1..6)
        ) {
            let files: Vec<Artifact> =
                names.iter().map(|name| artifact(&format!("-site/{}", name.replace('/', "_")), name.len())).collect();
            let folder = tempfile::tempdir().unwrap();
            // In two pieces.
            let (first, second) = files.split_at(1);
            let archive = [pack(first).unwrap(), pack(second).unwrap(), vec![0; END]].concat();
            std::fs::write(folder.path().join("archive"), archive).unwrap();
            let tar = Command::new("tar").args(["-xpmof", "archive"]).current_dir(&folder).output().unwrap();
            prop_assert!(tar.status.success() && tar.stderr.is_empty(), "{tar:?}");
            prop_assert_eq!(std::fs::read_dir(folder.path().join("-site")).unwrap().count(), files.len());
            for file in &files {
                let path = folder.path().join(file.path.as_str());
                let metadata = std::fs::metadata(&path).unwrap();
                prop_assert_eq!((metadata.len(), metadata.permissions().mode() & 0o7777), (file.size, 0o640));
            }
        }
    }
}
