use std::fs::File;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use shipit::ssh::{Folder, Reuse, SftpErrorKind, SftpOperation, Source, SshError, Upload};

use crate::server::Server;

fn bytes(length: usize, seed: u32) -> Vec<u8> {
    let mut state = seed | 1;
    std::iter::repeat_with(|| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    })
    .take(length)
    .collect()
}

fn upload(path: &Path, mode: u32, content: Vec<u8>) -> Upload {
    Upload { path: path.to_str().unwrap().into(), mode, source: Source::Bytes(content.into()), reuse: None }
}

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

#[tokio::test]
async fn a_file_arrives_whole_and_with_its_mode() {
    let Some(server) = Server::start("") else { return };
    let sftp = server.connect().await.sftp().await.unwrap();
    for (length, file_mode) in [(0, 0o755), (1, 0o600), (261_120, 0o666), (9_000_001, 0o755)] {
        let content = bytes(length, 7);
        let path = server.path(&format!("file{length}"));
        let told = AtomicU64::new(0);
        let progress = |more| {
            told.fetch_add(more, Ordering::Relaxed);
        };
        sftp.write_file(&upload(&path, file_mode, content.clone()), &progress).await.unwrap();
        assert!(std::fs::read(&path).unwrap() == content);
        assert_eq!((mode(&path), told.into_inner()), (file_mode, length as u64));
    }
}

/// A file that is to be sent, and one on the server that has all but the second of its three parts.
fn patch(server: &Server) -> (Vec<u8>, Upload) {
    let content = bytes(300_001, 11);
    let mut old = content.clone();
    old[100_000..200_000].fill(0);
    std::fs::write(server.path("old"), &old).unwrap();
    let path = server.path("old").to_str().unwrap().into();
    let reuse = Reuse { path, ranges: vec![0..100_000, 200_000..300_001] };
    let upload = Upload { reuse: Some(reuse), ..upload(&server.path("new"), 0o750, content.clone()) };
    (content, upload)
}

#[tokio::test]
async fn what_the_server_has_is_copied_there() {
    let Some(server) = Server::start("") else { return };
    let (mut content, upload) = patch(&server);
    // So that it shows which bytes were copied.
    std::fs::write(server.path("old"), vec![9; 300_001]).unwrap();
    server.connect().await.sftp().await.unwrap().write_file(&upload, &|_| ()).await.unwrap();
    let written = std::fs::read(server.path("new")).unwrap();
    // Pieces of 64 KiB, as far as they are not copied as a whole.
    content[..65_536].fill(9);
    content[200_000..300_001].fill(9);
    assert_eq!(written.len(), content.len());
    assert!(written[..65_536] == content[..65_536] && written[100_000..200_000] == content[100_000..200_000]);
    assert!(written[262_144..] == content[262_144..]);
    assert_eq!(mode(&server.path("new")), 0o750);
}

#[tokio::test]
async fn a_patched_file_arrives_whole_and_so_does_one_whose_base_is_gone() {
    let Some(server) = Server::start("") else { return };
    let (content, upload) = patch(&server);
    let sftp = server.connect().await.sftp().await.unwrap();
    sftp.write_file(&upload, &|_| ()).await.unwrap();
    assert!(std::fs::read(server.path("new")).unwrap() == content);

    std::fs::remove_file(server.path("new")).unwrap();
    std::fs::remove_file(server.path("old")).unwrap();
    sftp.write_file(&upload, &|_| ()).await.unwrap();
    assert!(std::fs::read(server.path("new")).unwrap() == content);
}

#[tokio::test]
async fn a_large_file_is_striped_over_what_channels_there_are() {
    let Some(server) = Server::start("MaxSessions 3") else { return };
    let connection = server.connect().await;
    let pool = connection.sftp_pool(8).await.unwrap();
    assert_eq!(pool.channels(), 3);
    let content = bytes(20_000_003, 3);
    std::fs::write(server.path("source"), &content).unwrap();
    let file = Arc::new(File::open(server.path("source")).unwrap());
    let source = Source::File { file, size: content.len() as u64 };
    let large =
        Upload { path: server.path("large").to_str().unwrap().into(), mode: 0o755, source, reuse: None };
    let mut uploads = vec![large];
    uploads.extend(
        (0..150).map(|n| upload(&server.path(&format!("small{n}")), 0o644, bytes(n * 100, n as u32))),
    );
    let told = AtomicU64::new(0);
    let progress = |more| {
        told.fetch_add(more, Ordering::Relaxed);
    };
    pool.write_files(&uploads, &progress).await.unwrap();
    assert!(std::fs::read(server.path("large")).unwrap() == content);
    for n in 0..150 {
        assert!(std::fs::read(server.path(&format!("small{n}"))).unwrap() == bytes(n * 100, n as u32));
    }
    assert_eq!(told.into_inner(), uploads.iter().map(|upload| upload.source.size()).sum::<u64>());
    assert_eq!(
        server.log().matches("Accepted publickey").count(),
        1,
        "no further connection for what is not needed"
    );
}

#[tokio::test]
async fn failures_name_the_path_and_keep_the_kind() {
    let Some(server) = Server::start("") else { return };
    let sftp = server.connect().await.sftp().await.unwrap();
    let nowhere = server.path("nowhere/file");
    let error = sftp.write_file(&upload(&nowhere, 0o644, vec![1]), &|_| ()).await.unwrap_err();
    assert!(matches!(error.kind, SftpErrorKind::NoSuchFile { .. }), "{error:?}");
    assert_eq!(error.to_string(), format!("cannot open {}", nowhere.display()));
    let there = server.path("there");
    std::fs::write(&there, "mine").unwrap();
    let error = sftp.write_file(&upload(&there, 0o644, vec![1]), &|_| ()).await.unwrap_err();
    assert!(matches!(error.kind, SftpErrorKind::Failure { .. }), "{error:?}");
    assert_eq!(std::fs::read(&there).unwrap(), b"mine");
    let error = sftp.mkdir(there.to_str().unwrap(), 0o755).await.unwrap_err();
    assert!(matches!(error.kind, SftpErrorKind::Failure { .. }), "{error:?}");
    // A local file that has become shorter.
    let file = Arc::new(File::open(&there).unwrap());
    let path = server.path("short").to_str().unwrap().to_owned();
    let short = Upload { path, mode: 0o644, source: Source::File { file, size: 1 << 20 }, reuse: None };
    let error = sftp.write_file(&short, &|_| ()).await.unwrap_err();
    assert!(matches!(error.kind, SftpErrorKind::Source { .. }), "{error:?}");
    // The channel is fine after all that.
    sftp.write_file(&upload(&server.path("fine"), 0o644, vec![1]), &|_| ()).await.unwrap();
}

/// SSH_FX_FAILURE is all that sshd says about a full disk. `ulimit -f` is as full as a disk gets without a mount.
#[tokio::test]
async fn a_disk_that_is_full_fails_the_write() {
    let Some(server) = Server::start("") else { return };
    let disk = server.path("disk");
    std::fs::create_dir(&disk).unwrap();
    let mounted = std::process::Command::new("mount")
        .args(["-t", "tmpfs", "-o", "size=1m", "tmpfs"])
        .arg(&disk)
        .status()
        .is_ok_and(|status| status.success());
    if !mounted {
        eprintln!("SKIPPED: needs the right to mount");
        return;
    }
    let result = async {
        let sftp = server.connect().await.sftp().await.unwrap();
        sftp.write_file(&upload(&disk.join("file"), 0o644, vec![1; 8 << 20]), &|_| ()).await
    };
    let error = result.await.unwrap_err();
    assert!(std::process::Command::new("umount").arg(&disk).status().unwrap().success());
    assert_eq!(error.operation, SftpOperation::Write);
    assert!(matches!(error.kind, SftpErrorKind::Failure { .. }), "{error:?}");
}

#[tokio::test]
async fn the_small_operations() {
    let Some(server) = Server::start("") else { return };
    let sftp = server.connect().await.sftp().await.unwrap();
    let path = |name: &str| server.path(name).to_str().unwrap().to_owned();
    sftp.mkdir(&path("dir"), 0o700).await.unwrap();
    assert_eq!(mode(&server.path("dir")), 0o700);
    std::fs::write(server.path("old"), "old").unwrap();
    std::fs::write(server.path("new"), bytes(100_000, 1)).unwrap();
    sftp.rename(&path("new"), &path("old")).await.unwrap();
    assert_eq!(sftp.stat(&path("new")).await.unwrap(), None);
    assert_eq!(sftp.stat(&path("old")).await.unwrap().unwrap().size, Some(100_000));
    assert!(sftp.read_small(&path("old"), 100_000).await.unwrap() == bytes(100_000, 1));
    let error = sftp.read_small(&path("old"), 99_999).await.unwrap_err();
    assert!(matches!(error.kind, SftpErrorKind::TooLarge { limit: 99_999 }), "{error:?}");
    sftp.remove(&path("old")).await.unwrap();
    let error = sftp.remove(&path("old")).await.unwrap_err();
    assert!(matches!(error.kind, SftpErrorKind::NoSuchFile { .. }), "{error:?}");
}

#[tokio::test]
async fn a_server_without_sftp_says_so() {
    let Some(server) = Server::start("Subsystem other internal-sftp\nMatch all\nForceCommand /bin/false")
    else {
        return;
    };
    let error = server.connect().await.sftp().await.unwrap_err();
    assert!(matches!(error, SshError::Sftp(_) | SshError::RequestRefused { .. }), "{error:?}");
}

/// A connection that is gone is an error for what would wait for an answer, and no wait without an end.
#[tokio::test]
async fn an_upload_over_a_connection_that_is_gone_ends() {
    let Some(server) = Server::start("") else { return };
    let connection = server.connect().await;
    let sftp = connection.sftp_pool(1).await.unwrap();
    let mut shell =
        connection.start_with_input("exec /bin/sh -s", b"kill -9 $PPID\n".to_vec()).await.unwrap();
    while shell.next().await.is_ok_and(|output| output.is_some()) {}
    let folders = [Folder { path: server.path("made").display().to_string(), mode: Some(0o755) }];
    let uploads = [upload(&server.path("made/file"), 0o644, bytes(10, 1))];
    let written = tokio::time::timeout(Duration::from_secs(10), sftp.write_tree(&folders, &uploads, &|_| {}));
    let error = written.await.expect("it ends").unwrap_err();
    assert!(matches!(error.kind, SftpErrorKind::ConnectionLost { .. }), "{error:?}");
}

#[tokio::test]
async fn a_server_that_ends_its_output_before_it_ends_is_asked_how_it_ended() {
    let Some(server) = Server::start("ForceCommand exec <&- >&-; sleep 0.5; exit 127") else { return };
    let error = server.connect().await.sftp().await.unwrap_err();
    assert!(format!("{error:?}").contains("the program was not found"), "{error:?}");
}
