//! Reading a small text file, with everything that can be wrong about it.
use std::fs::{File, FileType};
use std::io::{self, Read};
use std::path::Path;
use std::sync::Arc;

use super::problem::{FileProblem, Problem};
use super::source::SourceText;

/// How large a file may be, as a number and in words.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limit {
    pub(crate) bytes: u64,
    pub(crate) words: &'static str,
}

/// Why a file could not be read, and what to do.
#[derive(Debug)]
pub(crate) struct Unreadable {
    pub(crate) kind: FileProblem,
    pub(crate) source: Arc<SourceText>,
    pub(crate) help: Option<String>,
}

impl From<Unreadable> for Problem {
    fn from(unreadable: Unreadable) -> Self {
        Self::new(unreadable.kind, &unreadable.source).help(unreadable.help)
    }
}

/// Opens a file, if it is one: opening a FIFO would wait for ever, reading a device never end.
pub(crate) fn open(what: &'static str, path: &Path) -> Result<(File, std::fs::Metadata), Box<FileProblem>> {
    let shown = || path.display().to_string();
    let refused = |error: io::Error| match error.kind() {
        io::ErrorKind::NotFound => FileProblem::Missing { what, path: shown() },
        _ => FileProblem::Unreadable { what, path: shown(), reason: reason(&error) },
    };
    let metadata = std::fs::metadata(path).map_err(refused)?;
    if !metadata.is_file() {
        let kind = kind_of(metadata.file_type());
        return Err(Box::new(FileProblem::NotAFile { what, path: shown(), kind }));
    }
    let file = File::open(path).map_err(refused)?;
    Ok((file, metadata))
}

/// The bytes of a small file.
pub(crate) fn read_bytes(what: &'static str, path: &Path, limit: Limit) -> Result<Vec<u8>, Box<FileProblem>> {
    let shown = || path.display().to_string();
    let (file, _) = open(what, path)?;
    let mut bytes = Vec::new();
    let read = file.take(limit.bytes + 1).read_to_end(&mut bytes);
    read.map_err(|error| FileProblem::Unreadable { what, path: shown(), reason: reason(&error) })?;
    if bytes.len() as u64 > limit.bytes {
        return Err(Box::new(FileProblem::TooLarge { what, path: shown(), limit: limit.words }));
    }
    Ok(bytes)
}

/// The text of a small file.
pub(crate) fn read(
    what: &'static str,
    path: &Path,
    limit: Limit,
) -> Result<Arc<SourceText>, Box<Unreadable>> {
    let unreadable = |kind| Unreadable { kind, source: SourceText::unreadable(path), help: None };
    let bytes = read_bytes(what, path, limit).map_err(|kind| unreadable(*kind))?;
    text(what, path, bytes).map_err(|kind| Box::new(unreadable(*kind)))
}

/// The bytes as text.
pub(crate) fn text(
    what: &'static str,
    path: &Path,
    bytes: Vec<u8>,
) -> Result<Arc<SourceText>, Box<FileProblem>> {
    match String::from_utf8(bytes) {
        Ok(text) => Ok(SourceText::new(path, text)),
        Err(error) => {
            let offset = error.utf8_error().valid_up_to();
            let byte = error.as_bytes().get(offset).copied().unwrap_or_default();
            Err(Box::new(FileProblem::NotUtf8 { what, path: path.display().to_string(), offset, byte }))
        }
    }
}

/// The system's words without the number that Rust puts behind them.
pub(crate) fn reason(error: &io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error").next().unwrap_or(&text).to_lowercase()
}

fn kind_of(file_type: FileType) -> &'static str {
    if file_type.is_dir() { "a folder" } else { "a device, a socket or a pipe" }
}
