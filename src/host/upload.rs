//! Puts a release's files on the host, beside everything that runs: `incoming/<id>/`.
use std::collections::BTreeSet;
use std::fs::File;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use super::script::Script;
use super::session::{Session, SessionError};
use crate::manifest::Scope;
use crate::plan::{FileChange, Layout, RemotePath, Transfer};
use crate::release::{Artifact, Content, RecordError, ReleaseId, ReleaseRecord, RunId};
use crate::ssh::{Folder, Reuse, SftpError, SftpErrorKind, SftpPool, Source, SshError, Upload};

const STAGE: &str = include_str!("stage.sh");

/// Copying what is unchanged may take a slow disk a while.
const IDLE: Duration = Duration::from_secs(120);

/// The mode of a release's folders.
const FOLDER_MODE: u32 = 0o755;

/// The mode of `release.json`.
const RECORD_MODE: u32 = 0o644;

/// Files could not be put on the host. What runs there is untouched.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum UploadError {
    /// A program could not be run.
    #[error(transparent)]
    Session(#[from] SessionError),
    /// SFTP could not be opened.
    #[error(transparent)]
    Ssh(#[from] SshError),
    /// The host would not take a file.
    #[error("the host did not take a file")]
    Sftp {
        /// What sftp-server said.
        #[source]
        source: SftpError,
        /// Bytes free where the release goes, asked right after; sftp-server says only "Failure" of a full disk.
        free_bytes: Option<u64>,
    },
    /// The folders could not be made, or the unchanged files not be taken over.
    #[error("the folder of the upload could not be made{}", if said.is_empty() { String::new() } else { format!(": {said}") })]
    Stage {
        /// What the host said.
        said: String,
    },
    /// The release's record has no JSON form.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// A local file can't be read.
    #[error("cannot read {path}")]
    Local {
        /// The file.
        path: String,
        /// What the system said.
        source: io::Error,
    },
    /// A local file was written to after its hash was taken.
    #[error("{path} changed while shipit was running")]
    LocalChanged {
        /// The file.
        path: String,
    },
}

/// What is known of the files that were taken over on the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Copies {
    /// They are equal to files that have not been touched since the host hashed them: their hashes are known.
    Proven,
    /// They have to be hashed.
    Unproven,
}

/// Prepares the folder of the upload, under the service's lock: sweeps what earlier ones left behind, and takes over
/// unchanged files from the release that runs.
pub async fn stage(
    session: &mut Session,
    layout: &Layout,
    run: &RunId,
    from: Option<&ReleaseId>,
    files: &[FileChange],
) -> Result<Copies, UploadError> {
    let folders: String = folders(files).into_iter().flat_map(|folder| [folder, "\n"]).collect();
    let source = from.map_or_else(|| "-".to_owned(), ReleaseId::to_string);
    let run = run.to_string();
    let landing = landing_argument(layout);
    let mut arguments = vec![layout.root().as_str(), &run, &landing, &folders, &source];
    let taken_over = files.iter().filter(|file| file.transfer == Transfer::TakeOver);
    arguments.extend(taken_over.map(|file| file.path.as_str()));
    let mut script = Script::constant(STAGE);
    script.call("stage", arguments);
    let mut staged = None;
    let finished = session
        .run(&script, IDLE, |line| match line {
            "staged" => staged = Some(Copies::Unproven),
            "intact" => staged = Some(Copies::Proven),
            _ => {}
        })
        .await?;
    staged.ok_or(UploadError::Stage { said: finished.said })
}

/// Where the login user's uploads are, if that is not below the root: "-" if it is.
fn landing_argument(layout: &Layout) -> String {
    match layout.scope() {
        Scope::User => "-".to_owned(),
        Scope::System => layout.landing_root().to_string(),
    }
}

/// The folders of a release's files, outer ones first.
fn folders(files: &[FileChange]) -> BTreeSet<&str> {
    let mut folders = BTreeSet::new();
    for file in files {
        let path = file.path.as_str();
        folders.extend(path.match_indices('/').map(|(at, _)| &path[..at]));
    }
    folders
}

/// The release that runs: what a new one has in common with it need not be sent.
#[derive(Debug, Clone, Copy)]
pub struct Base<'a> {
    /// Its id.
    pub id: &'a ReleaseId,
    /// Its record.
    pub record: &'a ReleaseRecord,
}

impl Base<'_> {
    /// The parts of a changed file that are on the host, provided that the old file is as its record has it.
    fn reuse(&self, layout: &Layout, artifact: &Artifact, change: &FileChange) -> Option<Reuse> {
        let old = self.record.artifact(&artifact.path).filter(|old| change.was == Some(old.sha256))?;
        // The login user copies them, and may not read all that root's service has.
        if layout.scope() == Scope::System && artifact.mode.bits() & 0o004 == 0 {
            return None;
        }
        let ranges = artifact.blocks.as_ref()?.kept(old.blocks.as_ref()?, artifact.size);
        let path = layout.release(self.id).join(artifact.path.as_str()).to_string();
        (!ranges.is_empty()).then_some(Reuse { path, ranges })
    }
}

/// What goes into the folder of an upload.
#[derive(Debug, Clone, Copy)]
pub struct Incoming<'a> {
    /// The run that uploads it.
    pub run: &'a RunId,
    /// The new release's record.
    pub record: &'a ReleaseRecord,
    /// Its files.
    pub artifacts: &'a [Artifact],
    /// What the plan says about each.
    pub files: &'a [FileChange],
    /// The release that runs, if there is one whose record can be read.
    pub base: Option<Base<'a>>,
}

/// Sends the files that the host does not have yet, and the release's record, and makes the folders for them. Of a large
/// file only those blocks go that the release that runs does not have; the host copies the others.
pub async fn upload(
    sftp: &SftpPool,
    layout: &Layout,
    incoming: Incoming<'_>,
    progress: &(dyn Fn(u64) + Sync),
) -> Result<(), UploadError> {
    let Incoming { run, record, artifacts, files, base } = incoming;
    let folder = layout.landing(run);
    let mut uploads = Vec::new();
    for file in files.iter().filter(|file| file.transfer == Transfer::Send) {
        let Some(artifact) = artifacts.iter().find(|artifact| artifact.path == file.path) else { continue };
        uploads.push(Upload {
            path: folder.join(artifact.path.as_str()).to_string(),
            mode: artifact.mode.bits(),
            source: source(artifact)?,
            reuse: base.and_then(|base| base.reuse(layout, artifact, file)),
        });
    }
    uploads.push(Upload {
        path: folder.join("release.json").to_string(),
        mode: RECORD_MODE,
        source: Source::Bytes(record.to_json()?.into_bytes().into()),
        reuse: None,
    });
    let inner =
        self::folders(files).into_iter().map(|path| (folder.join(path).to_string(), Some(FOLDER_MODE)));
    let shared = |path: &RemotePath| layout.scope() == Scope::System && *path != folder;
    let outer = layout.landing_folders(run).into_iter();
    let outer = outer.map(|path| (path.to_string(), (!shared(&path)).then_some(FOLDER_MODE)));
    let folders = outer.chain(inner).map(|(path, mode)| Folder { path, mode });
    let folders: Vec<Folder> = folders.collect();
    match sftp.write_tree(&folders, &uploads, progress).await {
        Ok(()) => Ok(()),
        // Not the file's fault, and there is nobody left to ask about the disk.
        Err(SftpError { kind: SftpErrorKind::ConnectionLost { source }, .. }) => {
            Err(SshError::ConnectionLost { source }.into())
        }
        Err(source) => Err(UploadError::Sftp { source, free_bytes: None }),
    }
}

/// Adds what sftp-server does not say: whether the disk is full.
pub async fn explain(session: &mut Session, layout: &Layout, error: UploadError) -> UploadError {
    match error {
        UploadError::Sftp { source, free_bytes: None } => {
            UploadError::Sftp { source, free_bytes: free_bytes(session, layout).await }
        }
        other => other,
    }
}

fn source(artifact: &Artifact) -> Result<Source, UploadError> {
    let (path, modified) = match &artifact.content {
        Content::Text(bytes) => return Ok(Source::Bytes(Arc::clone(bytes))),
        Content::File { path, modified } => (path, modified),
    };
    let shown = || path.display().to_string();
    let failed = |source| UploadError::Local { path: shown(), source };
    let file = File::open(path).map_err(failed)?;
    let metadata = file.metadata().map_err(failed)?;
    if metadata.len() != artifact.size || metadata.modified().ok() != *modified {
        return Err(UploadError::LocalChanged { path: shown() });
    }
    Ok(Source::File { file: Arc::new(file), size: artifact.size })
}

/// Removes what an upload that failed has left. Best effort: the next deploy sweeps, too.
pub async fn sweep(session: &mut Session, layout: &Layout, run: &RunId) -> Result<(), SessionError> {
    let mut script = Script::constant(STAGE);
    script.call("sweep", [layout.root().as_str(), &run.to_string(), &landing_argument(layout)]);
    session.run(&script, IDLE, |_| {}).await.map(|_| ())
}

async fn free_bytes(session: &mut Session, layout: &Layout) -> Option<u64> {
    let script =
        Script::with_arguments("df -Pk -- \"$1\" | awk 'END { print $4 }'", [layout.root().as_str()]);
    let mut free = None;
    let asked = session.run(&script, IDLE, |line| free = free.or(line.parse::<u64>().ok())).await;
    asked.ok().and(free).map(|kib| kib.saturating_mul(1024))
}
