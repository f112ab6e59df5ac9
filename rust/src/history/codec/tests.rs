//! What comes back from archives, whole, cut and changed, and from which machines.

use super::format::{Frame, Head, Header, Source, check};
use super::fuzz::count;
use super::stream::{self, BlockCoder, Given, Progress};
use super::{Settings, compress, decompress};
use crate::error::{Error, Result};
use crate::random;
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::io::{self, Read, Write};

/// Small enough to be made thousands of times.
const TINY: Settings =
    Settings { log_block: 9, streams: 2, hidden: 4, layers: 1, steps: 8, rate: 50, histories: 0, log_buckets: 6 };

fn packed(settings: &Settings, content: &[u8]) -> Vec<u8> {
    let mut archive = Vec::new();
    let done = compress(settings, None, &mut &*content, &mut archive, &mut |_| Ok(())).unwrap();
    assert_eq!(done, Progress { content: content.len() as u64, archive: archive.len() as u64 });
    archive
}

/// What decompressing writes, and how it ends.
fn unpacked(archive: &[u8]) -> (Vec<u8>, Result<Progress>) {
    let mut content = Vec::new();
    let end = decompress(None, &mut &*archive, &mut content, &mut |_| Ok(()));
    (content, end)
}

fn text(length: usize) -> Vec<u8> {
    let words = ["the ", "net ", "learns ", "what ", "follows, ", "and ", "forgets.\n"];
    let mut numbers = vec![0; length];
    random::fill_u32(random::key(1, "text", 0), 0, 0, &mut numbers);
    numbers.iter().flat_map(|&n| words[n as usize % words.len()].bytes()).take(length).collect()
}

fn noise(length: usize) -> Vec<u8> {
    let mut numbers = vec![0; length.div_ceil(4)];
    random::fill_u32(random::key(2, "noise", 0), 0, 0, &mut numbers);
    numbers.iter().flat_map(|n| n.to_le_bytes()).take(length).collect()
}

/// An archive with every check made again, so that what was changed reaches the coder. None where its parts cannot be
/// told apart any more.
fn sealed(archive: &[u8]) -> Option<Vec<u8>> {
    let mut source = Source { reader: &mut &*archive, offset: 0 };
    let header = Header::read(&mut source).ok()?;
    let mut out = header.to_bytes();
    let mut rest = archive.get(out.len()..)?;
    for number in 0.. {
        match rest.first()? {
            0 => {
                out.extend(rest.get(..17)?);
                out.extend(check::<4>(&[rest.get(..17)?, &u64::to_le_bytes(number)]));
                return Some(out);
            }
            kind => {
                let number_at = |at: usize| {
                    Some(u32::from_le_bytes([*rest.get(at)?, *rest.get(at + 1)?, *rest.get(at + 2)?, 0]) as usize)
                };
                let (length, stored) = (number_at(1)?, number_at(4)?);
                let store = rest.get(19..)?;
                let store = &store[..stored.min(store.len())];
                let content = rest.get(7..11)?.try_into().ok()?;
                let head = Head { coded: *kind == 1, length, stored: store.len(), content, store: check(&[store]) };
                out.extend(Frame::Block(head).to_bytes(number));
                out.extend(store);
                rest = &rest[19 + store.len()..];
            }
        }
    }
    None
}

#[test]
fn everything_comes_back() {
    let presets = [Settings::FAST, Settings::DEFAULT, Settings::BEST];
    let contents =
        [vec![], vec![7], text(3000), noise(700), vec![0; 5000], [text(600), noise(1100), text(900)].concat()];
    for content in &contents {
        for settings in [TINY, Settings { hidden: 0, ..TINY }, Settings { layers: 2, streams: 3, ..TINY }] {
            let (back, end) = unpacked(&packed(&settings, content));
            assert!(end.is_ok() && back == *content, "{settings:?} {end:?}");
        }
    }
    for settings in presets {
        let settings = Settings { log_block: 11, streams: settings.streams.min(4), ..settings };
        for content in [text(5000), vec![1], vec![]] {
            let (back, end) = unpacked(&packed(&settings, &content));
            assert!(end.is_ok() && back == content, "{settings:?} {end:?}");
        }
    }
}

#[test]
fn several_streams_come_back() {
    // Long enough for all streams of every preset; the tail of a block leaves some rows a byte short.
    let content = [text(70_000), noise(3)].concat();
    let settings = Settings { hidden: 8, log_buckets: 10, ..Settings::DEFAULT };
    let archive = packed(&settings, &content);
    let header = Header::read(&mut Source { reader: &mut &*archive, offset: 0 }).unwrap();
    assert_eq!(header.settings.streams, 4);
    let (back, end) = unpacked(&archive);
    assert!(end.is_ok() && back == content, "{end:?}");
    assert!(archive.len() < content.len() / 4, "{}", archive.len());
}

#[test]
fn the_net_makes_archives_shorter() {
    let content = text(60_000);
    let with = packed(&Settings { hidden: 16, ..TINY }, &content).len();
    let without = packed(&Settings { hidden: 0, ..TINY }, &content).len();
    assert!(with < without, "{with} {without}");
}

#[test]
fn what_cannot_be_made_shorter_grows_by_little() {
    for length in [0, 1, 2, 63, 511, 512, 513, 20_000] {
        let archive = packed(&Settings { log_block: 14, ..TINY }, &noise(length)).len();
        assert!(archive as f64 <= length as f64 * 1.001 + 64.0, "{length} {archive}");
    }
}

#[test]
fn every_changed_bit_and_every_cut_is_an_error_and_says_where() {
    let settings = Settings { log_block: 7, ..TINY };
    let content = [vec![b'a'; 128], noise(128), b"the net".to_vec()].concat();
    let archive = packed(&settings, &content);
    assert!(archive.len() < 300 && unpacked(&archive).1.is_ok());
    let whole =
        |back: &[u8]| content.starts_with(back) && (back.len().is_multiple_of(128) || back.len() == content.len());
    let check = |changed: &[u8], what: &str| {
        let (back, end) = unpacked(changed);
        let error = end.expect_err(what);
        assert!(matches!(error, Error::File(_)), "{what}: {error:?}");
        assert!(whole(&back), "{what}: blocks before the damage come back");
        let text = error.to_string();
        assert!(text.contains("byte") || text.contains("version"), "{what}: {text}");
        back.len()
    };
    for at in 0..archive.len() * 8 {
        let mut changed = archive.clone();
        changed[at / 8] ^= 1 << (at % 8);
        check(&changed, &format!("bit {at}"));
    }
    let mut recovered = vec![];
    for end in 0..archive.len() {
        recovered.push(check(&archive[..end], &format!("cut at {end}")));
    }
    recovered.dedup();
    assert_eq!(recovered, [0, 128, 256, content.len()]);
    check(&[&archive[..], &[0]].concat(), "a byte more");
}

#[test]
fn damage_is_where_the_error_says() {
    let content = text(512 * 3);
    let archive = packed(&TINY, &content);
    let first = 19;
    let mut changed = archive.clone();
    changed[first + 30] ^= 4;
    let error = unpacked(&changed).1.unwrap_err().to_string();
    assert!(error.contains("block 0 at byte 19 of the archive (byte 0 of the content) is damaged"), "{error}");
    let error = unpacked(&archive[..40]).1.unwrap_err().to_string();
    assert!(error.contains("cut at byte 40") && error.contains("block 0"), "{error}");
}

#[test]
fn swapped_blocks_are_an_error() {
    let archive = packed(&Settings { hidden: 0, ..TINY }, &noise(1024));
    let block = 19 + 512;
    let blocks = &archive[19..];
    let swapped = [&archive[..19], &blocks[block..2 * block], &blocks[..block], &blocks[2 * block..]].concat();
    assert_eq!(swapped.len(), archive.len());
    assert!(matches!(unpacked(&swapped).1, Err(Error::File(_))));
}

#[test]
fn headers_claim_no_memory() {
    // The greatest settings that a header can hold, and lengths beyond them: refused before anything is allocated.
    for (at, value) in [(5, 255), (6, 255), (8, 255), (13, 255), (9, 255)] {
        let mut archive = packed(&TINY, b"a small archive");
        archive[at] = value;
        let body = archive[..15].to_vec();
        archive[15..19].copy_from_slice(&check::<4>(&[&body]));
        let error = unpacked(&archive).1.unwrap_err();
        assert!(matches!(error, Error::File(_)), "{error:?}");
    }
    let head = Head { coded: true, length: 1 << 23, stored: 100, content: [0; 4], store: [0; 4] };
    let header = Header { settings: TINY, model: None };
    let archive = [header.to_bytes(), Frame::Block(head).to_bytes(0)].concat();
    assert!(matches!(unpacked(&archive).1, Err(Error::File(_))));
}

proptest! {
    #[test]
    fn random_bytes_come_back(content in prop::collection::vec(any::<u8>(), 0..1500), streams in 1usize..5, steps in 1usize..20) {
        let (back, end) = unpacked(&packed(&Settings { streams, steps, ..TINY }, &content));
        prop_assert!(end.is_ok() && back == content);
    }

    /// Changed archives whose checks are made again, so that they reach the coder and the net.
    #[test]
    fn changed_archives_are_errors_or_what_they_say(
        changes in prop::collection::vec((19usize..400, any::<u8>()), 1..6), cut in 0usize..40, more in prop::collection::vec(any::<u8>(), 0..30)
    ) {
        let content = text(600);
        let mut archive = packed(&TINY, &content);
        for (at, value) in changes {
            let at = at % archive.len();
            archive[at] = value;
        }
        let keep = archive.len() - cut;
        let tail = archive.split_off(keep);
        archive.extend(more);
        archive.extend(tail);
        if let Some(archive) = sealed(&archive) {
            let (back, end) = unpacked(&archive);
            // Checks of the content stay as they were: what is written is right, whatever was decoded beside it.
            prop_assert!(content.starts_with(&back));
            prop_assert!(end.is_err() || back == content);
        }
    }

    #[test]
    fn any_bytes_after_a_header_are_an_error(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let header = Header { settings: TINY, model: None };
        prop_assert!(unpacked(&[header.to_bytes(), bytes.clone()].concat()).1.is_err());
        prop_assert!(unpacked(&bytes).1.is_err());
    }
}

/// A count of equal bytes, in place of the predictor.
struct Runs;

impl BlockCoder for Runs {
    fn encode(&mut self, block: &mut [u8], _: &mut dyn FnMut(usize) -> Result<()>) -> Result<Vec<u8>> {
        let same = block.iter().all(|&byte| byte == block[0]);
        Ok(if same { vec![block[0]] } else { block.to_vec() })
    }

    fn decode(&mut self, stored: &[u8], block: &mut [u8], _: &mut dyn FnMut(usize) -> Result<()>) -> Result<bool> {
        block.fill(stored[0]);
        Ok(true)
    }

    fn learn(&mut self, _: &mut [u8], _: &mut dyn FnMut(usize) -> Result<()>) -> Result<()> {
        Ok(())
    }
}

/// Counts what is written, and keeps the end.
#[derive(Default)]
struct Tail {
    count: u64,
    last: Vec<u8>,
}

impl Write for Tail {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.count += bytes.len() as u64;
        self.last = bytes.to_vec();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Zeros and then a few bytes, through the format with a trivial coder, forth and back.
fn long(zeros: u64) {
    let header = Header { settings: Settings { log_block: 23, ..TINY }, model: None };
    let mut input = io::repeat(0).take(zeros).chain(&b"the end"[..]);
    let mut archive = Vec::new();
    let none = &mut |_| Ok(());
    let done = stream::encode(header, &mut Runs, (vec![0; 1 << 23], 0), &mut io::empty(), &mut Vec::new(), none);
    assert_eq!(done.unwrap().content, 0);
    let mut block = vec![0; 1 << 23];
    let length = super::format::fill(&mut input, &mut block).unwrap();
    let done = stream::encode(header, &mut Runs, (block, length), &mut input, &mut archive, &mut |_| Ok(())).unwrap();
    assert_eq!(done.content, zeros + 7);
    let mut tail = Tail::default();
    let mut reader = &archive[..];
    let mut source = Source { reader: &mut reader, offset: 0 };
    let read = Header::read(&mut source).unwrap();
    let end = stream::decode(&read, &mut Runs, source, &mut tail, &mut |_| Ok(())).unwrap();
    assert_eq!((end.content, tail.count), (zeros + 7, zeros + 7));
    assert!(tail.last.ends_with(b"the end"));
    // Damage beyond is told with its place in the content: of the last block, before the 21 bytes of the trailer.
    let at = archive.len() - 22;
    archive[at] ^= 1;
    let mut reader = &archive[..];
    let mut source = Source { reader: &mut reader, offset: 0 };
    let read = Header::read(&mut source).unwrap();
    let error = stream::decode(&read, &mut Runs, source, &mut Tail::default(), &mut |_| Ok(())).unwrap_err();
    assert!(error.to_string().contains(&format!("byte {}", zeros >> 23 << 23)), "{error}");
}

#[test]
fn long_streams_keep_count() {
    // Beyond 4 GB where the property tests are long.
    long(count((1 << 25) + 5, (1 << 32) + (1 << 25)));
}

#[test]
fn readers_and_writers_that_fail_are_told() {
    struct Broken;
    impl Read for Broken {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(io::Error::from(io::ErrorKind::PermissionDenied))
        }
    }
    impl Write for Broken {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::Error::from(io::ErrorKind::BrokenPipe))
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let end = compress(&TINY, None, &mut Broken, &mut Vec::new(), &mut |_| Ok(()));
    assert!(matches!(end, Err(Error::Io(_))));
    let end = compress(&TINY, None, &mut &b"abc"[..], &mut Broken, &mut |_| Ok(()));
    assert!(matches!(end, Err(Error::Io(_))));
    let end = decompress(None, &mut Broken, &mut Vec::new(), &mut |_| Ok(()));
    assert!(matches!(end, Err(Error::Io(_))));
}

#[test]
fn work_can_be_watched_and_stopped() {
    let content = text(3000);
    let mut seen = vec![];
    let mut archive = vec![];
    compress(&TINY, None, &mut &content[..], &mut archive, &mut |progress| {
        seen.push(progress);
        Ok(())
    })
    .unwrap();
    assert!(seen.is_sorted_by_key(|progress| progress.content) && seen.len() > 100);
    assert_eq!(*seen.last().unwrap(), Progress { content: 3000, archive: archive.len() as u64 });
    let mut left = 20;
    let end = decompress(None, &mut &archive[..], &mut Vec::new(), &mut |_| {
        left -= 1;
        if left == 0 { Err(Error::Interrupted) } else { Ok(()) }
    });
    assert!(matches!(end, Err(Error::Interrupted)) && left == 0);
}

fn given(spec: &str) -> Vec<u8> {
    let model = crate::Model::<f32>::new(crate::layers::Spec::parse(spec).unwrap(), 3).unwrap();
    model.to_bytes(&BTreeMap::new()).unwrap()
}

#[test]
fn a_given_model_is_needed_on_both_sides() {
    let spec = |outputs: usize, scan: &str| {
        format!(
            r#"{{"prefix": true, "layers": [{{"layer": "embedding", "num_embeddings": 256, "embedding_dim": 5}},
            {{"layer": "recurrent", "cell": "min_gru", "scan": "{scan}", "options": {{"input_size": 5, "hidden_size": 6}}}},
            {{"layer": "linear", "in_features": 6, "out_features": {outputs}}}]}}"#
        )
    };
    let file = given(&spec(256, "loop"));
    let content = text(2000);
    let mut archive = Vec::new();
    let model = || Some(Given::from_bytes(&file).unwrap());
    compress(&TINY, model(), &mut &content[..], &mut archive, &mut |_| Ok(())).unwrap();
    let mut back = Vec::new();
    decompress(model(), &mut &archive[..], &mut back, &mut |_| Ok(())).unwrap();
    assert_eq!(back, content);
    let other = file.len() - 1;
    let error = unpacked(&archive).1.unwrap_err();
    assert!(matches!(&error, Error::Value(text) if text.contains("SHA-256") && text.contains("none")), "{error}");
    let mut changed = file.clone();
    changed[other] ^= 1;
    assert!(matches!(Given::from_bytes(&changed), Err(Error::File(_))));
    let plain = packed(&TINY, &content);
    let end = decompress(model(), &mut &plain[..], &mut Vec::new(), &mut |_| Ok(()));
    assert!(matches!(end, Err(Error::Value(_))));
    assert!(matches!(Given::from_bytes(&given(&spec(255, "loop"))), Err(Error::Value(_))));
    assert!(matches!(Given::from_bytes(&given(&spec(256, "parallel"))), Err(Error::Unsupported(_))));
}
