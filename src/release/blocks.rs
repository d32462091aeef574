//! Hashes of a large file's blocks: which parts of a new version the host has already.
//!
//! They only say what need not be sent. Whether the file is right is for its SHA-256 to say, which the host checks, so
//! eight bytes a block are enough.
use std::fmt::Write as _;
use std::ops::Range;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// Smaller files are sent as fast as they are compared.
const SMALLEST_FILE: u64 = 1 << 20;

/// The shortest block.
const SHORTEST: u64 = 64 << 10;

/// At most so many blocks a file, give or take a few: their hashes are part of each probe's answer.
const BLOCKS: u64 = 256;

/// Hex digits of one block's hash.
const DIGITS: usize = 16;

/// The hashes of a file's blocks, all of one length but the last.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Blocks {
    length: u64,
    hashes: String,
}

impl Blocks {
    /// The parts of a file with these blocks that a file with the blocks `old` has in the same places.
    #[must_use]
    pub fn kept(&self, old: &Self, size: u64) -> Vec<Range<u64>> {
        let mut kept: Vec<Range<u64>> = Vec::new();
        if self.length != old.length {
            return kept;
        }
        let pairs = self.hashes.as_bytes().chunks(DIGITS).zip(old.hashes.as_bytes().chunks(DIGITS));
        for (number, _) in (0u64..).zip(pairs).filter(|(_, (new, old))| new == old) {
            let start = number.saturating_mul(self.length);
            let end = start.saturating_add(self.length).min(size);
            match kept.last_mut() {
                Some(last) if last.end == start => last.end = end,
                _ => kept.push(start..end),
            }
        }
        kept
    }
}

/// Takes a file's bytes in order, and hashes its blocks.
pub(super) struct BlockHasher {
    length: u64,
    filled: u64,
    hasher: Sha256,
    hashes: String,
}

impl BlockHasher {
    /// For a file of this size; `None` when it is too small to be worth it.
    pub(super) fn new(size: u64) -> Option<Self> {
        let length = (size / BLOCKS).next_power_of_two().max(SHORTEST);
        (size >= SMALLEST_FILE).then(|| Self {
            length,
            filled: 0,
            hasher: Sha256::new(),
            hashes: String::new(),
        })
    }

    pub(super) fn update(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let room = usize::try_from(self.length - self.filled).unwrap_or(usize::MAX);
            let (now, later) = bytes.split_at(room.min(bytes.len()));
            self.hasher.update(now);
            self.filled += now.len() as u64;
            if self.filled == self.length {
                self.end_block();
            }
            bytes = later;
        }
    }

    pub(super) fn finish(mut self) -> Blocks {
        if self.filled > 0 {
            self.end_block();
        }
        Blocks { length: self.length, hashes: self.hashes }
    }

    fn end_block(&mut self) {
        self.filled = 0;
        for byte in self.hasher.finalize_reset().iter().take(DIGITS / 2) {
            // Writing to a String does not fail.
            let _ = write!(self.hashes, "{byte:02x}");
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn blocks(bytes: &[u8], pieces: usize) -> Blocks {
        let mut hasher = BlockHasher::new(bytes.len() as u64).unwrap();
        bytes.chunks(pieces).for_each(|piece| hasher.update(piece));
        hasher.finish()
    }

    fn kept(new: &Blocks, old: &Blocks, size: u64) -> Vec<(u64, u64)> {
        new.kept(old, size).into_iter().map(|range| (range.start, range.end)).collect()
    }

    #[test]
    fn there_are_few_blocks_whatever_the_size() {
        for (size, length) in [(1 << 20, 64 << 10), (21_000_000, 128 << 10), (10_000_000_000, 64 << 20)] {
            assert_eq!(BlockHasher::new(size).map(|hasher| hasher.length), Some(length), "{size}");
        }
        assert!(BlockHasher::new((1 << 20) - 1).is_none());
    }

    #[test]
    fn what_is_kept_is_everything_but_the_changed_blocks() {
        let old = vec![7; 1_100_000];
        let mut new = old.clone();
        new[200_000] = 8;
        let (old, new) = (blocks(&old, 1000), blocks(&new, 70_000));
        assert_eq!(kept(&new, &new, 1_100_000), [(0, 1_100_000)]);
        assert_eq!(kept(&new, &old, 1_100_000), [(0, 196_608), (262_144, 1_100_000)]);
        let longer = blocks(&[7; 1_200_000], 9999);
        assert_eq!(kept(&longer, &old, 1_200_000), [(0, 1_048_576)], "the last block was shorter");
        assert_eq!(kept(&longer, &blocks(&vec![7; 40 << 20], 9999), 1_200_000), [], "another block length");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]
        /// What is kept, patched with what is not, is the new file.
        #[test]
        fn kept_parts_are_the_same_in_both(changes in proptest::collection::vec(0usize..1_300_000, 0..6), length in 1_048_576usize..1_300_000) {
            let old: Vec<u8> = (0..1_200_000u32).map(|n| (n / 3000) as u8).collect();
            let mut new = old.clone();
            new.resize(length, 1);
            for at in changes {
                if let Some(byte) = new.get_mut(at) { *byte ^= 255 }
            }
            for range in blocks(&new, 4096).kept(&blocks(&old, 4096), length as u64) {
                let range = range.start as usize..range.end as usize;
                prop_assert_eq!(old.get(range.clone()), new.get(range));
            }
        }
    }
}
