//! Puts a release's files on the host, beside everything that runs: `incoming/<id>/`.
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use super::bundle::{self, is_bundled};
use super::script::Script;
use super::session::{Session, SessionError};
use super::spare::unwanted;
use crate::manifest::Scope;
use crate::plan::{FileChange, Layout, RemotePath, SymlinkChange, Transfer, TreeChange};
use crate::release::{Artifact, Content, RecordError, ReleaseId, ReleaseRecord, RunId};
use crate::ssh::{Connection, Folder, Reuse, SftpError, SftpErrorKind, SftpPool, Source, SshError, Upload};

const STAGE: &str = include_str!("stage.sh");

/// Copying what is unchanged may take a slow disk a while.
pub(super) const IDLE: Duration = Duration::from_secs(120);

/// Bytes a second that the slowest disk is taken to copy and compare.
const SLOW_DISK: u64 = 8 * 1024 * 1024;

/// How many files are opened here at once: a process may have 1024 open by default.
const OPEN_AT_ONCE: usize = 200;

/// The mode of a release's folders.
pub(super) const FOLDER_MODE: u32 = 0o755;

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
    /// An archive of small files could not be unpacked.
    #[error("the small files could not be unpacked{}", if said.is_empty() { String::new() } else { format!(": {said}") })]
    Unpack {
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
    /// Those that were taken over one by one are equal to files that have not been touched since the host hashed them:
    /// their hashes are known.
    Proven,
    /// And so are those of all others: they were compared when they were copied ahead of time.
    AllProven,
    /// They have to be hashed.
    Unproven,
}

/// Prepares the folder of the upload, under the service's lock: sweeps what earlier ones left behind, makes folders and
/// symlinks, and takes over unchanged files from the release that runs.
pub async fn stage(
    session: &mut Session,
    layout: &Layout,
    run: &RunId,
    from: Option<&ReleaseId>,
    record: Option<&ReleaseRecord>,
    files: &[FileChange],
    tree: &TreeChange,
) -> Result<Copies, UploadError> {
    let places = tree.symlinks.iter().map(|link| link.path.as_str());
    let mut folders = folders(files.iter().map(|file| file.path.as_str()).chain(places));
    folders.extend(tree.folders.iter().map(|folder| folder.as_str()));
    let source = from.map_or_else(|| "-".to_owned(), ReleaseId::to_string);
    let together = FileChange::taken_together(files);
    let at_once: BTreeSet<&str> = together.iter().map(|file| file.path.as_str()).collect();
    let taken_over = files.iter().filter(|file| file.transfer == Transfer::TakeOver);
    let one_by_one = taken_over.map(|file| file.path.as_str()).filter(|path| !at_once.contains(path));
    let (kept, new): (Vec<&SymlinkChange>, _) =
        tree.symlinks.iter().partition(|link| from.is_some() && link.is_kept());
    let together = at_once.iter().copied().chain(kept.iter().map(|link| link.path.as_str()));
    let links = new.iter().map(|link| format!("{}\t{}", link.path, link.target));
    let lines = |lines: &[&str]| lines.join("\n");
    let spare = match record.and_then(|record| unwanted(record, files, tree)) {
        Some(unwanted) => format!("not:{}", lines(&Vec::from_iter(unwanted))),
        None => "-".to_owned(),
    };
    let mut script = Script::constant(STAGE);
    script.call(
        "stage",
        [
            layout.root().to_string(),
            run.to_string(),
            landing_argument(layout),
            lines(&folders.into_iter().collect::<Vec<_>>()),
            source,
            lines(&one_by_one.collect::<Vec<_>>()),
            lines(&together.collect::<Vec<_>>()),
            links.collect::<Vec<_>>().join("\n"),
            spare,
        ],
    );
    // Files are copied and compared one by one, and a large one takes its time in silence.
    let bytes: u64 =
        files.iter().filter(|file| file.transfer == Transfer::TakeOver).map(|file| file.size).sum();
    let idle = IDLE + Duration::from_secs(bytes / SLOW_DISK);
    let (mut staged, mut proven) = (None, Copies::Proven);
    let finished = session
        .run(&script, idle, |line| match line {
            "spared" => proven = Copies::AllProven,
            "staged" => staged = Some(Copies::Unproven),
            "intact" => staged = Some(proven),
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

/// The folders of files, outer ones first.
pub(super) fn folders<'a>(paths: impl IntoIterator<Item = &'a str>) -> BTreeSet<&'a str> {
    let mut folders = BTreeSet::new();
    for path in paths {
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
        let blocks = artifact.blocks.as_ref()?;
        let old = self.record.artifact(&artifact.path).filter(|old| change.was == Some(old.sha256))?;
        // The login user copies them, and may not read all that root's service has.
        if layout.scope() == Scope::System && artifact.mode.bits() & 0o004 == 0 {
            return None;
        }
        let ranges = blocks.kept(old.blocks.as_ref()?, artifact.size);
        let path = layout.release(self.id).join(artifact.path.as_str()).to_string();
        (!ranges.is_empty()).then_some(Reuse { path, ranges })
    }
}

/// What goes into the folder of an upload.
#[derive(Debug, Clone)]
pub struct Incoming<'a> {
    /// The run that uploads it.
    pub run: &'a RunId,
    /// The new release's record.
    pub record: &'a ReleaseRecord,
    /// Its files.
    pub artifacts: &'a [Artifact],
    /// What the plan says about each.
    pub files: &'a [FileChange],
    /// What it has beside them, and how small ones travel.
    pub tree: &'a TreeChange,
    /// The release that runs, if there is one whose record can be read.
    pub base: Option<Base<'a>>,
}

/// Sends the files that the host does not have yet, and the release's record, and makes the folders for them. Of a large
/// file only those blocks go that the release that runs does not have; the host copies the others.
pub async fn upload(
    connection: &Connection,
    sftp: &SftpPool,
    layout: &Layout,
    incoming: Incoming<'_>,
    progress: &(dyn Fn(u64) + Sync),
) -> Result<(), UploadError> {
    let Incoming { run, record, artifacts, files, tree, base } = incoming;
    let folder = layout.landing(run);
    let by_path: BTreeMap<&str, &Artifact> =
        artifacts.iter().map(|artifact| (artifact.path.as_str(), artifact)).collect();
    let sent = files.iter().filter(|file| file.transfer == Transfer::Send);
    let (bundled, single): (Vec<&FileChange>, Vec<&FileChange>) =
        sent.partition(|file| is_bundled(file, tree.packing));
    let bundled: Vec<&Artifact> =
        bundled.iter().filter_map(|file| by_path.get(file.path.as_str()).copied()).collect();
    // What is taken over, and what is in archives, brings its own.
    let inner = self::folders(single.iter().map(|file| file.path.as_str()));
    let inner = inner.into_iter().map(|path| (folder.join(path).to_string(), Some(FOLDER_MODE)));
    let shared = |path: &RemotePath| layout.scope() == Scope::System && *path != folder;
    let outer = layout.landing_folders(run).into_iter();
    let outer = outer.map(|path| (path.to_string(), (!shared(&path)).then_some(FOLDER_MODE)));
    let folders = outer.chain(inner).map(|(path, mode)| Folder { path, mode });
    let mut folders: Vec<Folder> = folders.collect();
    let record = Upload {
        path: folder.join("release.json").to_string(),
        mode: RECORD_MODE,
        source: Source::Bytes(record.to_json()?.into_bytes().into()),
        reuse: None,
    };
    let single = async {
        let mut last = Some(record);
        let mut pieces: Vec<&[&FileChange]> = single.chunks(OPEN_AT_ONCE).collect();
        if pieces.is_empty() {
            pieces.push(&[]);
        }
        for piece in pieces {
            let mut uploads = Vec::new();
            for file in piece {
                let Some(artifact) = by_path.get(file.path.as_str()) else { continue };
                uploads.push(Upload {
                    path: folder.join(artifact.path.as_str()).to_string(),
                    mode: artifact.mode.bits(),
                    source: source(artifact)?,
                    reuse: base.and_then(|base| base.reuse(layout, artifact, file)),
                });
            }
            uploads.extend(last.take());
            let folders = std::mem::take(&mut folders);
            sftp.write_tree(&folders, &uploads, progress).await.map_err(UploadError::from_sftp)?;
        }
        Ok(())
    };
    if bundled.is_empty() {
        single.await
    } else {
        futures::try_join!(single, bundle::send(connection, &folder, &bundled, progress)).map(drop)
    }
}

impl UploadError {
    pub(super) fn from_sftp(error: SftpError) -> Self {
        match error {
            // Not the file's fault, and there is nobody left to ask about the disk.
            SftpError { kind: SftpErrorKind::ConnectionLost { source }, .. } => {
                SshError::ConnectionLost { source }.into()
            }
            source => Self::Sftp { source, free_bytes: None },
        }
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
    match &artifact.content {
        Content::Text(bytes) => Ok(Source::Bytes(Arc::clone(bytes))),
        Content::File { .. } => {
            let file = Arc::new(open_unchanged(artifact)?);
            Ok(Source::File { file, size: artifact.size })
        }
    }
}

/// Opens a file that is as it was when it was hashed.
pub(super) fn open_unchanged(artifact: &Artifact) -> Result<File, UploadError> {
    let path = match &artifact.content {
        Content::File { path, .. } => path,
        // It is in memory.
        Content::Text(_) => {
            return Err(UploadError::LocalChanged { path: artifact.path.to_string() });
        }
    };
    let shown = || path.display().to_string();
    let failed = |source| UploadError::Local { path: shown(), source };
    let file = File::open(path).map_err(failed)?;
    let metadata = file.metadata().map_err(failed)?;
    if !artifact.is_still(&metadata) {
        return Err(UploadError::LocalChanged { path: shown() });
    }
    Ok(file)
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
