//! Many small files in one archive: what a file costs for being one, over SFTP and on the host, is paid once for all.
//!
//! An archive is made in memory, of a few megabytes at most, and sent as one file, beside the upload's folder; the host
//! unpacks it while the next one is on its way.
use std::fs::File;
use std::io::{self, Read as _};

use futures::TryStreamExt as _;
use futures::future::BoxFuture;
use tokio::sync::mpsc::UnboundedSender;

use super::script::Script;
use super::session::Session;
use super::upload::{IDLE, STAGE, UploadError, open_unchanged};
use crate::plan::{FileChange, Layout, Packing, Transfer};
use crate::release::{Artifact, Content, RunId};
use crate::ssh::{SftpPool, Source, Upload};

/// An archive is not made larger than this.
const MOST_BYTES: u64 = 4 << 20;

/// No archive has more files than this: its unpacking is to go on beside the sending of the next one.
const MOST_FILES: usize = 2000;

/// How many are in memory at once.
const AT_ONCE: usize = 3;

/// What an archive takes for a file beside its bytes.
const HEADER: u64 = 1024;

/// An archive that is on the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bundle(usize);

/// Whether a file goes in an archive.
pub(super) fn is_bundled(file: &FileChange, packing: Packing) -> bool {
    match packing {
        Packing::Bundles => file.transfer == Transfer::Send && file.is_small(),
        Packing::Single | Packing::NoTar => false,
    }
}

/// Sends files in archives, and tells of each that is there.
pub(super) async fn send(
    sftp: &SftpPool,
    layout: &Layout,
    run: &RunId,
    files: &[&Artifact],
    arrived: &UnboundedSender<Bundle>,
    progress: &(dyn Fn(u64) + Sync),
) -> Result<(), UploadError> {
    let folder = layout.bundles(run);
    // Boxed one by one: through a closure's lifetimes the compiler can't see that the whole is `Send` (rust#102211).
    let mut bundles: Vec<Result<BoxFuture<'_, _>, UploadError>> = Vec::new();
    for (number, files) in cut(files).into_iter().enumerate() {
        let path = folder.join(&number.to_string()).to_string();
        let files: Vec<Artifact> = files.into_iter().cloned().collect();
        bundles.push(Ok(Box::pin(async move {
            let packed = tokio::task::spawn_blocking(move || pack(&files)).await;
            let packed = packed.map_err(|error| local("the archive", io::Error::other(error)))??;
            let upload = Upload { path, mode: 0o600, source: Source::Bytes(packed.into()), reuse: None };
            sftp.write_files(&[upload], progress).await.map_err(UploadError::from_sftp)?;
            // Whoever listens may have given up.
            let _ = arrived.send(Bundle(number));
            Ok(())
        })));
    }
    futures::stream::iter(bundles).try_buffer_unordered(AT_ONCE).try_collect::<()>().await
}

/// Has the host unpack archives, in one round trip.
pub async fn unpack(
    session: &mut Session,
    layout: &Layout,
    run: &RunId,
    bundles: &[Bundle],
) -> Result<(), UploadError> {
    let archives = layout.bundles(run).to_string();
    let mut script = Script::constant(STAGE);
    for bundle in bundles {
        let number = bundle.0.to_string();
        script.call("unpack", [layout.root().as_str(), &run.to_string(), &archives, &number]);
    }
    let mut unpacked = 0;
    let finished = session.run(&script, IDLE, |line| unpacked += usize::from(line == "unpacked")).await?;
    if unpacked == bundles.len() { Ok(()) } else { Err(UploadError::Unpack { said: finished.said }) }
}

/// The files in order, by archive.
fn cut<'a>(files: &[&'a Artifact]) -> Vec<Vec<&'a Artifact>> {
    let mut bundles: Vec<Vec<&Artifact>> = Vec::new();
    let mut room = 0;
    for file in files {
        let takes = file.size + HEADER;
        match bundles.last_mut() {
            Some(bundle) if takes <= room && bundle.len() < MOST_FILES => {
                room -= takes;
                bundle.push(file);
            }
            _ => {
                room = MOST_BYTES.saturating_sub(takes);
                bundles.push(vec![file]);
            }
        }
    }
    bundles
}

fn pack(files: &[Artifact]) -> Result<Vec<u8>, UploadError> {
    let mut archive = tar::Builder::new(Vec::new());
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
    archive.into_inner().map_err(|error| local("the archive", error))
}

fn local(path: &str, source: io::Error) -> UploadError {
    UploadError::Local { path: path.to_owned(), source }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;
    use std::process::Command;
    use std::sync::Arc;

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
    fn an_archive_has_a_bounded_size_and_none_is_empty() {
        let files: Vec<Artifact> = (0..5000).map(|n| artifact(&format!("site/{n}"), 4000)).collect();
        let files: Vec<&Artifact> = files.iter().collect();
        let bundles = cut(&files);
        assert_eq!(bundles.concat().len(), 5000);
        for bundle in &bundles {
            let files: Vec<Artifact> = bundle.iter().map(|file| (*file).clone()).collect();
            let length = pack(&files).unwrap().len();
            assert!((1 << 20..=(4 << 20) + 1024).contains(&length), "{length}");
        }
        assert!(cut(&[]).is_empty());
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
            std::fs::write(folder.path().join("archive"), pack(&files).unwrap()).unwrap();
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
