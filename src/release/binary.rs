//! What kind of program a file is, and which machines can run it.
//!
//! Reads the few parts of the file that say so, however large it is.
use std::fmt;
use std::io::{self, Read, Seek, SeekFrom};
use std::str::FromStr;

use goblin::container::Ctx;
use goblin::elf::Elf;
use goblin::elf::dynamic::{DF_1_PIE, DT_FLAGS_1, Dynamic};
use goblin::elf::header::{self, Header};
use goblin::elf::program_header::{PT_DYNAMIC, PT_INTERP, ProgramHeader};
use goblin::elf::section_header::{SHT_GNU_VERNEED, SectionHeader};
use goblin::elf::symver::VerneedSection;
use thiserror::Error;

/// A program that Linux can start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BinaryKind {
    /// Machine code.
    Elf {
        /// The machines it is for.
        machine: Machine,
        /// The newest version of the GNU C library that it needs, if it needs one.
        glibc: Option<GlibcVersion>,
        /// How it gets its libraries.
        linkage: Linkage,
    },
    /// A text that begins with `#!`.
    Script {
        /// The program that runs it.
        interpreter: String,
    },
}

/// How a program gets its libraries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Linkage {
    /// It brings them along.
    Static,
    /// The dynamic linker, which has to be on the host, loads them.
    Dynamic {
        /// The path of the dynamic linker.
        interpreter: String,
    },
}

/// A version of the GNU C library.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GlibcVersion {
    /// The 2 of 2.36.
    pub major: u32,
    /// The 36 of 2.36.
    pub minor: u32,
}

/// Why a text is no version of the GNU C library.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("`{}` is not a version of the GNU C library", .0.escape_debug())]
pub struct GlibcError(pub String);

impl fmt::Display for GlibcVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

impl FromStr for GlibcVersion {
    type Err = GlibcError;

    /// Takes `2.36` and `2.36.1`, whose last part adds no interfaces.
    fn from_str(text: &str) -> Result<Self, GlibcError> {
        let mut parts = text.split('.').map(|part| part.parse().ok());
        match (parts.next().flatten(), parts.next().flatten()) {
            (Some(major), Some(minor)) => Ok(Self { major, minor }),
            _ => Err(GlibcError(text.chars().take(40).collect())),
        }
    }
}

/// The machines a program is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Machine {
    /// 64-bit PCs.
    X86_64,
    /// 32-bit PCs.
    I686,
    /// 64-bit ARM.
    Aarch64,
    /// 32-bit ARM.
    Arm,
    /// 64-bit RISC-V.
    Riscv64,
    /// 64-bit POWER, little end first.
    Ppc64Le,
    /// 64-bit POWER, big end first.
    Ppc64,
    /// IBM Z.
    S390x,
    /// 64-bit LoongArch.
    Loongarch64,
    /// One that shipit has no name for: `e_machine` of its header.
    Other(u16),
}

impl Machine {
    fn of(header: &Header) -> Self {
        let little = header.e_ident.get(header::EI_DATA) == Some(&header::ELFDATA2LSB);
        let wide = header.e_ident.get(header::EI_CLASS) == Some(&header::ELFCLASS64);
        match (header.e_machine, little, wide) {
            (header::EM_X86_64, true, true) => Self::X86_64,
            (header::EM_386, true, false) => Self::I686,
            (header::EM_AARCH64, true, true) => Self::Aarch64,
            (header::EM_ARM, true, false) => Self::Arm,
            (header::EM_RISCV, true, true) => Self::Riscv64,
            (header::EM_PPC64, true, true) => Self::Ppc64Le,
            (header::EM_PPC64, false, true) => Self::Ppc64,
            (header::EM_S390, false, true) => Self::S390x,
            // 258: EM_LOONGARCH in <elf.h>.
            (258, true, true) => Self::Loongarch64,
            (other, ..) => Self::Other(other),
        }
    }

    /// Whether a machine that `uname -m` calls so runs such programs.
    #[must_use]
    pub fn runs_on(&self, uname_m: &str) -> bool {
        match self {
            Self::X86_64 => matches!(uname_m, "x86_64" | "amd64"),
            Self::I686 => matches!(uname_m, "i386" | "i486" | "i586" | "i686" | "x86_64" | "amd64"),
            Self::Aarch64 => matches!(uname_m, "aarch64" | "arm64"),
            // Most 64-bit ARM machines run 32-bit programs; one that doesn't says so when the service starts.
            Self::Arm => matches!(uname_m, "aarch64" | "arm64") || uname_m.starts_with("armv"),
            Self::Riscv64 => uname_m == "riscv64",
            Self::Ppc64Le => uname_m == "ppc64le",
            Self::Ppc64 => uname_m == "ppc64",
            Self::S390x => uname_m == "s390x",
            Self::Loongarch64 => uname_m == "loongarch64",
            Self::Other(_) => false,
        }
    }
}

impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self {
            Self::X86_64 => "x86_64",
            Self::I686 => "i686",
            Self::Aarch64 => "aarch64",
            Self::Arm => "32-bit ARM",
            Self::Riscv64 => "riscv64",
            Self::Ppc64Le => "ppc64le",
            Self::Ppc64 => "ppc64",
            Self::S390x => "s390x",
            Self::Loongarch64 => "loongarch64",
            Self::Other(number) => return write!(f, "machine {number}"),
        };
        f.pad(name)
    }
}

/// Why a file is no program.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum BinaryError {
    /// It can't be read.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// It is something else, or broken.
    #[error("{0}")]
    NotAProgram(String),
}

fn not(reason: impl Into<String>) -> BinaryError {
    BinaryError::NotAProgram(reason.into())
}

/// Tables larger than this are no tables: a program has tens of headers and some KB of version names.
const MAX_TABLE: u64 = 4 * 1024 * 1024;
/// The kernel looks at so many bytes of a `#!` line (`BINPRM_BUF_SIZE` in Linux).
const SCRIPT_LINE: u64 = 256;

impl BinaryKind {
    /// Looks at a file.
    ///
    /// # Errors
    ///
    /// When it can't be read, or Linux could not start it.
    pub fn inspect(file: &mut (impl Read + Seek)) -> Result<Self, BinaryError> {
        let start = read_at(file, 0, SCRIPT_LINE)?;
        if start.is_empty() {
            return Err(not("it is empty"));
        }
        if start.starts_with(b"#!") {
            return script(&start);
        }
        if start.starts_with(header::ELFMAG) {
            return elf(file, &start);
        }
        Err(not(guess(&start)))
    }
}

fn read_at(file: &mut (impl Read + Seek), offset: u64, len: u64) -> io::Result<Vec<u8>> {
    file.seek(SeekFrom::Start(offset))?;
    let mut bytes = Vec::new();
    file.take(len.min(MAX_TABLE)).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn script(start: &[u8]) -> Result<BinaryKind, BinaryError> {
    let line = start.split(|&byte| byte == b'\n').next().unwrap_or_default();
    let line = String::from_utf8_lossy(line.get(2..).unwrap_or_default()).into_owned();
    if line.ends_with('\r') {
        return Err(not(
            "its first line ends as on Windows, and Linux looks for an interpreter of that name",
        ));
    }
    match line.split_whitespace().next() {
        Some(interpreter) if interpreter.starts_with('/') => {
            Ok(BinaryKind::Script { interpreter: interpreter.to_owned() })
        }
        Some(interpreter) => Err(not(format!("its interpreter `{interpreter}` is not an absolute path"))),
        None => Err(not("its first line `#!` names no interpreter")),
    }
}

fn guess(start: &[u8]) -> String {
    let kind = match start {
        [b'M', b'Z', ..] => "a Windows program",
        [0xfe, 0xed, 0xfa, 0xce | 0xcf, ..]
        | [0xcf | 0xce, 0xfa, 0xed, 0xfe, ..]
        | [0xca, 0xfe, 0xba, 0xbe, ..] => "a macOS program or Java class",
        [0x1f, 0x8b, ..] => "a gzip archive",
        [b'P', b'K', ..] => "a zip archive",
        [b'!', b'<', b'a', b'r', b'c', b'h', b'>', ..] => "a static library or package",
        [0, b'a', b's', b'm', ..] => "a WebAssembly module",
        start if start.iter().all(|byte| byte.is_ascii_graphic() || byte.is_ascii_whitespace()) => {
            return "it is text that does not begin with `#!`".to_owned();
        }
        _ => return "it is neither an ELF file nor a script".to_owned(),
    };
    format!("it is {kind}")
}

fn elf(file: &mut (impl Read + Seek), start: &[u8]) -> Result<BinaryKind, BinaryError> {
    let broken = |error: goblin::error::Error| not(format!("its ELF header is broken: {error}"));
    let header = Elf::parse_header(start).map_err(broken)?;
    let container = header.container().map_err(broken)?;
    let ctx = Ctx::new(container, header.endianness().map_err(broken)?);
    match header.e_type {
        header::ET_EXEC | header::ET_DYN => {}
        header::ET_REL => return Err(not("it is an object file that was not linked")),
        header::ET_CORE => return Err(not("it is a core dump")),
        other => return Err(not(format!("it is an ELF file of type {other}"))),
    }
    let size = u64::from(header.e_phnum) * u64::from(header.e_phentsize);
    let table = read_at(file, header.e_phoff, size)?;
    let programs = ProgramHeader::parse(&table, 0, usize::from(header.e_phnum), ctx)
        .map_err(|_| not("its ELF header is broken: the file is shorter than it says"))?;
    let interpreter = match programs.iter().find(|program| program.p_type == PT_INTERP) {
        Some(program) => {
            let bytes = read_at(file, program.p_offset, program.p_filesz.min(4096))?;
            let path = bytes.split(|&byte| byte == 0).next().unwrap_or_default();
            Some(String::from_utf8_lossy(path).into_owned())
        }
        None => None,
    };
    if interpreter.is_none() && header.e_type == header::ET_DYN && !is_pie(file, &programs, ctx)? {
        return Err(not("it is a shared library"));
    }
    let glibc = glibc(file, &header, ctx)?;
    let linkage = interpreter.map_or(Linkage::Static, |interpreter| Linkage::Dynamic { interpreter });
    Ok(BinaryKind::Elf { machine: Machine::of(&header), glibc, linkage })
}

/// Whether a position-independent file calls itself a program: static ones look like libraries otherwise.
fn is_pie(file: &mut (impl Read + Seek), programs: &[ProgramHeader], ctx: Ctx) -> Result<bool, BinaryError> {
    let Some(dynamic) = programs.iter().find(|program| program.p_type == PT_DYNAMIC) else {
        // Without a dynamic section there is nothing to load it by: it can only be a program.
        return Ok(true);
    };
    let bytes = read_at(file, dynamic.p_offset, dynamic.p_filesz)?;
    let moved = ProgramHeader { p_offset: 0, p_filesz: bytes.len() as u64, ..dynamic.clone() };
    let parsed = Dynamic::parse(&bytes, &[moved], ctx).ok().flatten();
    let entries = parsed.map(|dynamic| dynamic.dyns).unwrap_or_default();
    Ok(entries.iter().any(|entry| entry.d_tag == DT_FLAGS_1 && entry.d_val & DF_1_PIE != 0))
}

/// The newest `GLIBC_x.y` in the section of needed versions. A file without section headers tells nothing.
fn glibc(
    file: &mut (impl Read + Seek),
    header: &Header,
    ctx: Ctx,
) -> Result<Option<GlibcVersion>, BinaryError> {
    let size = u64::from(header.e_shnum) * u64::from(header.e_shentsize);
    if size == 0 {
        return Ok(None);
    }
    let table = read_at(file, header.e_shoff, size)?;
    let count = usize::from(header.e_shnum);
    // `parse` takes an offset of 0 to mean that there is no table.
    let Ok(sections) = SectionHeader::parse_from(&table, 0, count, ctx) else { return Ok(None) };
    let Some(needed) = sections.iter().find(|section| section.sh_type == SHT_GNU_VERNEED) else {
        return Ok(None);
    };
    let Some(names) = sections.get(needed.sh_link as usize) else { return Ok(None) };
    let names = read_at(file, names.sh_offset, names.sh_size)?;
    let bytes = read_at(file, needed.sh_offset, needed.sh_size)?;
    let moved = SectionHeader { sh_offset: 0, sh_size: bytes.len() as u64, ..needed.clone() };
    let Ok(Some(versions)) = VerneedSection::parse(&bytes, &[moved], ctx) else { return Ok(None) };
    let name = |offset: usize| {
        let rest = names.get(offset..)?;
        std::str::from_utf8(rest.split(|&byte| byte == 0).next()?).ok()
    };
    // Bounded, since a broken section could lead in circles.
    let needs = versions.iter().take(1000).flat_map(|need| need.iter().take(1000).collect::<Vec<_>>());
    let versions = needs.filter_map(|need| name(need.vna_name)?.strip_prefix("GLIBC_")?.parse().ok());
    Ok(versions.max())
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use proptest::prelude::*;

    use super::*;

    fn own() -> Vec<u8> {
        std::fs::read(std::env::current_exe().unwrap()).unwrap()
    }

    fn inspect(bytes: &[u8]) -> Result<BinaryKind, String> {
        BinaryKind::inspect(&mut Cursor::new(bytes)).map_err(|error| error.to_string())
    }

    #[test]
    fn this_very_test_is_a_program_for_this_machine() {
        let BinaryKind::Elf { machine, glibc, linkage } = inspect(&own()).unwrap() else { panic!() };
        assert!(machine.runs_on(std::env::consts::ARCH), "{machine}");
        if cfg!(target_env = "gnu") {
            assert!(glibc.unwrap() >= "2.2".parse().unwrap(), "{glibc:?}");
            assert!(matches!(linkage, Linkage::Dynamic { .. }));
        }
    }

    #[test]
    fn everything_else_says_what_it_is() {
        assert_eq!(
            inspect(b"#!/usr/bin/env python3\nx"),
            Ok(BinaryKind::Script { interpreter: "/usr/bin/env".to_owned() })
        );
        assert!(inspect(b"#!/bin/sh\r\n").unwrap_err().contains("Windows"));
        assert!(inspect(b"#!sh\n").unwrap_err().contains("absolute"));
        assert!(inspect(b"#!\n").unwrap_err().contains("no interpreter"));
        assert!(inspect(b"").unwrap_err().contains("empty"));
        assert!(inspect(b"echo hi\n").unwrap_err().contains("text"));
        assert!(inspect(b"MZ\x90\0").unwrap_err().contains("Windows"));
        assert!(inspect(b"\x7fELF").unwrap_err().contains("broken"));
        assert!(inspect(&own()[..100]).unwrap_err().contains("shorter"));
    }

    #[test]
    fn the_type_in_the_header_counts() {
        let mut elf = own();
        for (e_type, expected) in [(1, "object file"), (4, "core dump")] {
            elf[16] = e_type;
            assert!(inspect(&elf).unwrap_err().contains(expected));
        }
        let (mut elf, aarch64) = (own(), 183);
        elf[18] = aarch64;
        elf[19] = 0;
        let BinaryKind::Elf { machine, .. } = inspect(&elf).unwrap() else { panic!() };
        assert_eq!(machine, Machine::Aarch64);
        assert!(!machine.runs_on("x86_64"));
    }

    #[test]
    fn versions_are_compared_as_numbers() {
        let version = |text: &str| text.parse::<GlibcVersion>().unwrap();
        assert!(version("2.38") > version("2.4"));
        assert_eq!(version("2.2.5").to_string(), "2.2");
        assert!("PRIVATE".parse::<GlibcVersion>().is_err());
        assert!(Machine::I686.runs_on("x86_64") && !Machine::X86_64.runs_on("i686"));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn broken_headers_are_errors_not_panics(changes in proptest::collection::vec((0usize..64, any::<u8>()), 1..8)) {
            let mut elf = own();
            for (at, byte) in changes {
                elf[at] = byte;
            }
            let _ = inspect(&elf);
        }

        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let mut elf = b"\x7fELF\x02\x01\x01".to_vec();
            elf.extend(&bytes);
            let _ = inspect(&elf);
            let _ = inspect(&bytes);
        }
    }
}
