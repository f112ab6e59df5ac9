//! Fuzzing of the decompressor: archives that nobody compressed and whose every check is right, and the same cut,
//! changed and made of random bytes.
//!
//! A check of content can only be right if somebody knows what an arbitrary sequence of bytes decodes to. So two
//! predictors go through all streams in step: the first decodes each block while the archive is made, the second reads
//! the archive, and must find the same. A third one reads what is broken.

use super::Settings;
use super::format::{Frame, Head, Header, Source, check, first};
use super::predictor::Predictor;
use super::stream::{self, BlockCoder};
use crate::error::{Error, Result};
use crate::random;
use sha2::{Digest as _, Sha256};

/// Streams that the same predictors go through before others begin anew.
const TOGETHER: u64 = 64;

/// Random numbers of a stream.
struct Dice {
    key: random::Key,
    thrown: u64,
}

impl Dice {
    fn new(stream: u64) -> Self {
        Self { key: random::key(stream, "fuzz", 0), thrown: 0 }
    }

    fn below(&mut self, bound: usize) -> usize {
        let mut number = [0];
        random::fill_u32(self.key, self.thrown, 0, &mut number);
        self.thrown += 1;
        ((u64::from(number[0]) * bound as u64) >> 32) as usize
    }

    fn bytes(&mut self, length: usize) -> Vec<u8> {
        (0..length).map(|_| self.below(256) as u8).collect()
    }
}

/// A block as an archive stores it.
#[derive(Clone)]
struct Stored {
    coded: bool,
    length: usize,
    bytes: Vec<u8>,
}

/// The blocks of an archive that was compressed.
fn blocks(archive: &[u8]) -> Vec<Stored> {
    let mut source = Source { reader: &mut &*archive, offset: 0 };
    let header = Header::read(&mut source).unwrap();
    let mut blocks = vec![];
    while let Frame::Block(head) = Frame::read(&mut source, blocks.len() as u64, &header.settings).unwrap() {
        let mut bytes = vec![0; head.stored];
        source.exact(&mut bytes, "a block").unwrap();
        blocks.push(Stored { coded: head.coded, length: head.length, bytes });
    }
    blocks
}

/// A few blocks: random ones, or those of an archive with bytes, lengths and places changed.
fn invented(dice: &mut Dice, compressed: &[Stored], most: usize) -> Vec<Stored> {
    let count = dice.below(4);
    (0..count)
        .map(|_| {
            let random = dice.below(2) == 0;
            let mut block = if random {
                let length = 2 + dice.below(most - 1);
                let bytes = dice.below(length);
                Stored { coded: true, length, bytes: dice.bytes(bytes) }
            } else {
                compressed[dice.below(compressed.len())].clone()
            };
            for _ in 0..dice.below(4) {
                let at = dice.below(block.bytes.len() + 1);
                match dice.below(3) {
                    0 if at < block.bytes.len() => block.bytes[at] ^= 1 << dice.below(8),
                    1 if block.bytes.len() + 1 < block.length => block.bytes.insert(at, dice.below(256) as u8),
                    _ => block.bytes.truncate(at),
                }
            }
            // What a reader would refuse for its lengths alone never reaches the coder.
            block.coded |= block.bytes.len() < block.length;
            if !block.coded {
                block.length = block.bytes.len();
            }
            block
        })
        .filter(|block| block.length > 0 && block.coded == (block.bytes.len() < block.length))
        .collect()
}

/// The archive of blocks with every check right, its content, and whether an encoder may have written it.
fn archive(header: &Header, coder: &mut Predictor, blocks: &[Stored]) -> (Vec<u8>, Vec<u8>, bool) {
    let (mut archive, mut content) = (header.to_bytes(), vec![]);
    for (number, Stored { coded, length, bytes }) in blocks.iter().enumerate() {
        let mut block = vec![0; *length];
        let possible = if *coded {
            coder.decode(bytes, &mut block, &mut |_| Ok(())).unwrap()
        } else {
            block.copy_from_slice(bytes);
            coder.learn(&mut block.clone(), &mut |_| Ok(())).unwrap();
            true
        };
        let (of_content, of_bytes) = (check(&[&block]), check(&[bytes]));
        let head = Head { coded: *coded, length: *length, stored: bytes.len(), content: of_content, store: of_bytes };
        archive.extend(Frame::Block(head).to_bytes(number as u64));
        archive.extend(bytes);
        if !possible {
            return (archive, content, false);
        }
        content.extend(block);
    }
    let trailer = Frame::Trailer { length: content.len() as u64, digest: first(&Sha256::digest(&content)) };
    archive.extend(trailer.to_bytes(blocks.len() as u64));
    (archive, content, true)
}

/// What comes out of an archive, and how it ends. Fails where more is written, or worked on, than the blocks hold.
fn read(coder: &mut Predictor, archive: &[u8], settings: &Settings) -> (Vec<u8>, Result<()>) {
    let (mut content, mut worked) = (vec![], 0);
    let mut reader = archive;
    let mut source = Source { reader: &mut reader, offset: 0 };
    let end = Header::read(&mut source).and_then(|header| {
        assert_eq!(header.settings, *settings);
        stream::decode(&header, coder, source, &mut content, &mut |done| {
            worked = worked.max(done.content);
            Ok(())
        })
    });
    // 19 bytes are the head of a block.
    let bound = (archive.len() / 19) << settings.log_block;
    assert!(content.len() <= bound && worked as usize <= bound, "{} {worked} {bound}", content.len());
    (content, end.map(|_| ()))
}

/// Reads so many archives through the net of these settings, whose blocks have at most so many bytes; says how many ended
/// well.
fn fuzz(settings: Settings, most: usize, streams: u64) -> u64 {
    let header = Header { settings, model: None };
    let text: Vec<u8> = b"the net learns, the net forgets; ".iter().copied().cycle().take(most * 5 / 2).collect();
    let compressed = {
        let mut coder = Predictor::new(&settings, None).unwrap();
        let mut archive = vec![];
        let mut rest = &text[most..];
        stream::encode(header, &mut coder, (text[..most].to_vec(), most), &mut rest, &mut archive, &mut |_| Ok(()))
            .unwrap();
        blocks(&archive)
    };
    assert!(compressed.len() >= 2 && compressed.iter().any(|block| block.coded));
    let predictor = || Predictor::new(&settings, None).unwrap();
    let (mut writer, mut reader, mut broken) = (predictor(), predictor(), predictor());
    let mut well = 0;
    for stream in 0..streams {
        if stream > 0 && stream % TOGETHER == 0 {
            (writer, reader) = (predictor(), predictor());
        }
        let mut dice = Dice::new(stream);
        let (archive, content, possible) = archive(&header, &mut writer, &invented(&mut dice, &compressed, most));
        let (back, end) = read(&mut reader, &archive, &settings);
        assert!(back == content, "stream {stream}: both decode the same");
        match (possible, end) {
            (true, Ok(())) => well += 1,
            (false, Err(Error::File(text))) => assert!(text.contains("no encoder"), "stream {stream}: {text}"),
            (_, end) => panic!("stream {stream}: possible {possible}, got {end:?}"),
        }
        // The same, cut or with other bytes behind the header.
        let mut changed = archive;
        let start = header.to_bytes().len();
        match dice.below(3) {
            0 => changed.truncate(start + dice.below(changed.len() - start)),
            1 => {
                let at = start + dice.below(changed.len() - start);
                changed[at] ^= 1 << dice.below(8);
            }
            _ => {
                changed.truncate(start);
                let length = dice.below(60);
                changed.extend(dice.bytes(length));
            }
        }
        let (back, end) = read(&mut broken, &changed, &settings);
        assert!(matches!(end, Err(Error::File(_))), "stream {stream}: {end:?}");
        assert!(content.starts_with(&back), "stream {stream}: whole blocks before the damage come back");
    }
    well
}

/// How many where the property tests are short, and where they are long.
pub(super) fn count(short: u64, long: u64) -> u64 {
    let cases = std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(0u64);
    if cases >= 4096 { long } else { short }
}

#[test]
fn archives_with_right_checks_reach_a_tiny_net() {
    let settings =
        Settings { log_block: 5, streams: 2, hidden: 4, layers: 1, steps: 8, rate: 50, histories: 0, log_buckets: 6 };
    let streams = count(4_000, 1_000_000);
    let well = fuzz(settings, 24, streams);
    assert!(well > streams / 2, "{well} of {streams}");
}

#[test]
fn archives_with_right_checks_reach_the_default_net() {
    let well = fuzz(Settings { log_buckets: 12, ..Settings::DEFAULT }, 200, 1000);
    assert!(well > 500, "{well}");
}
