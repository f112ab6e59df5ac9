//! The form of an archive (.rnz): a header, blocks, a trailer, each with its checks.
//!
//! | part | bytes |
//! | --- | --- |
//! | header | magic 4, version 1, settings 9, 1 if a model was given, its SHA-256 (32) if so, check 4 |
//! | block | kind 1 (1 coded, 2 as it is), length of the content 3, of what is stored 3, check of content 4, of what is stored 4, check of these and of the block's number 4, what is stored |
//! | trailer | kind 0, length of all content 8, its digest 8, check of these and of the number of blocks 4 |
//!
//! Numbers are little-endian; checks and digests are the first bytes of a SHA-256.

use super::settings::Settings;
use crate::error::{Error, Result};
use sha2::{Digest as _, Sha256};
use std::io::{ErrorKind, Read};

/// How every archive begins.
pub(super) const MAGIC: [u8; 4] = *b"\xabRNZ";
/// The version that is written and read.
pub(super) const VERSION: u8 = 1;
/// The SHA-256 of a model's file.
pub(super) type Hash = [u8; 32];

/// The first bytes of the SHA-256 of parts one after the other.
pub(super) fn check<const N: usize>(parts: &[&[u8]]) -> [u8; N] {
    let mut hash = Sha256::new();
    parts.iter().for_each(|part| hash.update(part));
    first(&hash.finalize())
}

/// The first bytes.
pub(super) fn first<const N: usize>(bytes: &[u8]) -> [u8; N] {
    std::array::from_fn(|index| bytes.get(index).copied().unwrap_or(0))
}

/// How an archive was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) settings: Settings,
    pub(super) model: Option<Hash>,
}

/// What is said of a block, or of the whole at its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Frame {
    Block(Head),
    Trailer { length: u64, digest: [u8; 8] },
}

/// What is said of a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Head {
    /// Whether what is stored went through the coder.
    pub(super) coded: bool,
    /// Bytes of the content.
    pub(super) length: usize,
    /// Bytes that are stored.
    pub(super) stored: usize,
    /// Check of the content.
    pub(super) content: [u8; 4],
    /// Check of what is stored.
    pub(super) store: [u8; 4],
}

impl Header {
    pub(super) fn to_bytes(self) -> Vec<u8> {
        let mut bytes = MAGIC.to_vec();
        bytes.push(VERSION);
        bytes.extend(self.settings.to_bytes());
        bytes.push(u8::from(self.model.is_some()));
        bytes.extend(self.model.iter().flatten());
        bytes.extend(check::<4>(&[&bytes]));
        bytes
    }

    pub(super) fn read<R: Read + ?Sized>(from: &mut Source<'_, R>) -> Result<Self> {
        let [magic] = [from.take::<4>("the archive's first bytes")?];
        if magic != MAGIC {
            return Err(Error::file("archive", format!("the first bytes {MAGIC:02x?}"), format!("{magic:02x?}")));
        }
        let [version] = from.take::<1>("the version")?;
        if version != VERSION {
            return Err(Error::file("archive", format!("version {VERSION}"), format!("{version}")));
        }
        let settings = from.take::<{ Settings::BYTES }>("the settings")?;
        let [given] = from.take::<1>("the header")?;
        let model = if given == 1 { Some(from.take::<32>("the model's hash")?) } else { None };
        let expected = from.take::<4>("the header's check")?;
        let found = check(&[&magic, &[version], &settings, &[given], model.as_ref().map_or(&[], |hash| hash)]);
        if expected != found {
            return Err(Error::File(format!("the archive's header (bytes 0 to {}) is damaged", from.offset)));
        }
        let settings = Settings::from_bytes(settings).map_err(|error| Error::File(format!("header: {error}")))?;
        Ok(Self { settings, model })
    }
}

impl Frame {
    pub(super) fn to_bytes(self, number: u64) -> Vec<u8> {
        let mut bytes = Vec::new();
        match self {
            Frame::Block(head) => {
                bytes.push(if head.coded { 1 } else { 2 });
                bytes.extend(&(head.length as u32).to_le_bytes()[..3]);
                bytes.extend(&(head.stored as u32).to_le_bytes()[..3]);
                bytes.extend(head.content);
                bytes.extend(head.store);
            }
            Frame::Trailer { length, digest } => {
                bytes.push(0);
                bytes.extend(length.to_le_bytes());
                bytes.extend(digest);
            }
        }
        bytes.extend(check::<4>(&[&bytes, &number.to_le_bytes()]));
        bytes
    }

    pub(super) fn read<R: Read + ?Sized>(from: &mut Source<'_, R>, number: u64, settings: &Settings) -> Result<Self> {
        let start = from.offset;
        let [kind] = from.take::<1>("a block or the trailer")?;
        let damaged = || Error::File(format!("the head of block {number} at byte {start} of the archive is damaged"));
        let sealed = |body: &[u8], seal: [u8; 4]| {
            if check::<4>(&[&[kind], body, &number.to_le_bytes()]) == seal { Ok(()) } else { Err(damaged()) }
        };
        match kind {
            0 => {
                let body = from.take::<16>("the trailer")?;
                sealed(&body, from.take("the trailer's check")?)?;
                Ok(Frame::Trailer { length: u64::from_le_bytes(first(&body)), digest: first(&body[8..]) })
            }
            1 | 2 => {
                let body = from.take::<14>("the head of a block")?;
                sealed(&body, from.take("the head of a block")?)?;
                let number = |at: usize| u32::from_le_bytes([body[at], body[at + 1], body[at + 2], 0]) as usize;
                let (coded, length, stored) = (kind == 1, number(0), number(3));
                let possible = length > 0
                    && length <= 1 << settings.log_block
                    && if coded { stored < length } else { stored == length };
                if !possible {
                    return Err(damaged());
                }
                Ok(Frame::Block(Head { coded, length, stored, content: first(&body[6..]), store: first(&body[10..]) }))
            }
            _ => Err(damaged()),
        }
    }
}

/// An archive that is read, and how far.
pub(super) struct Source<'a, R: ?Sized> {
    pub(super) reader: &'a mut R,
    pub(super) offset: u64,
}

impl<R: Read + ?Sized> Source<'_, R> {
    /// As many bytes as there are, up to the length of `buffer`.
    pub(super) fn fill(&mut self, buffer: &mut [u8]) -> Result<usize> {
        let count = fill(self.reader, buffer)?;
        self.offset += count as u64;
        Ok(count)
    }

    /// All of `buffer`, or an error that says where the archive ends.
    pub(super) fn exact(&mut self, buffer: &mut [u8], what: &str) -> Result<()> {
        let count = self.fill(buffer)?;
        if count < buffer.len() {
            let (end, more) = (self.offset, buffer.len() - count);
            return Err(Error::File(format!(
                "the archive is cut at byte {end}: expected {more} more bytes of {what}, got its end"
            )));
        }
        Ok(())
    }

    fn take<const N: usize>(&mut self, what: &str) -> Result<[u8; N]> {
        let mut bytes = [0; N];
        self.exact(&mut bytes, what)?;
        Ok(bytes)
    }
}

/// Reads until the buffer is full or the source at its end.
pub(super) fn fill<R: Read + ?Sized>(reader: &mut R, buffer: &mut [u8]) -> Result<usize> {
    let mut count = 0;
    while count < buffer.len() {
        match reader.read(&mut buffer[count..]) {
            Ok(0) => break,
            // A reader that claims more than it was asked for is not believed.
            Ok(more) => count = (count + more).min(buffer.len()),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(count)
}
