//! Compressing and decompressing streams, a block at a time.

use super::coder::{Coder, Decoder, Encoder};
use super::format::{Frame, Hash, Head, Header, Source, check, fill, first};
use super::net;
use super::predictor::Predictor;
use super::settings::Settings;
use crate::Model;
use crate::error::{Error, Result};
use crate::file::Container;
use sha2::{Digest as _, Sha256};
use std::io::{Read, Write};

/// How far the work is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Bytes of content, of the block at work too.
    pub content: u64,
    /// Bytes of the archive, of whole blocks.
    pub archive: u64,
}

/// Is told how far the work is; may stop it with an error.
pub type Watch<'a> = &'a mut dyn FnMut(Progress) -> Result<()>;

/// A model that was trained before, in place of an untrained net: it takes bytes as tokens and gives 256 logits. It goes
/// on learning.
#[derive(Debug)]
pub struct Given {
    model: Model<f32>,
    hash: Hash,
}

impl Given {
    /// The model whose file these bytes are. [`Error::File`] where they are none, [`Error::Value`] or
    /// [`Error::Unsupported`] where it does not predict the next byte step by step.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self> {
        let container = Container::from_bytes(bytes)?;
        if let Some(dtype) = container.metadata.get("model.dtype").filter(|&dtype| dtype != "float32") {
            return Err(Error::dtype("model", "float32", dtype));
        }
        let (model, _) = Model::from_container(container, false)?;
        net::check(&model)?;
        Ok(Self { model, hash: Sha256::digest(bytes).into() })
    }
}

/// What makes blocks short: the predictor, or another in its place.
pub(super) trait BlockCoder {
    /// Codes a block, which stays as it is.
    fn encode(&mut self, block: &mut [u8], tick: &mut dyn FnMut(usize) -> Result<()>) -> Result<Vec<u8>>;
    /// Fills a block from what it was coded to; false where nothing can have been coded to this.
    fn decode(&mut self, stored: &[u8], block: &mut [u8], tick: &mut dyn FnMut(usize) -> Result<()>) -> Result<bool>;
    /// Learns from a block that was stored as it is, just as coding it taught the encoder.
    fn learn(&mut self, block: &mut [u8], tick: &mut dyn FnMut(usize) -> Result<()>) -> Result<()>;
}

impl BlockCoder for Predictor {
    fn encode(&mut self, block: &mut [u8], tick: &mut dyn FnMut(usize) -> Result<()>) -> Result<Vec<u8>> {
        let mut coder = Encoder::default();
        self.code(block, &mut coder, true, tick)?;
        Ok(coder.finish())
    }

    fn decode(&mut self, stored: &[u8], block: &mut [u8], tick: &mut dyn FnMut(usize) -> Result<()>) -> Result<bool> {
        let mut coder = Decoder::new(stored);
        self.code(block, &mut coder, false, tick)?;
        Ok(!coder.invalid)
    }

    fn learn(&mut self, block: &mut [u8], tick: &mut dyn FnMut(usize) -> Result<()>) -> Result<()> {
        struct Silent;
        impl Coder for Silent {
            fn code(&mut self, bit: bool, _: u32) -> bool {
                bit
            }
        }
        self.code(block, &mut Silent, true, tick)
    }
}

/// A predictor that is made when a block asks for it: an archive that is empty or damaged at its beginning costs none.
struct Late {
    settings: Settings,
    model: Option<Model<f32>>,
    made: Option<Predictor>,
}

impl Late {
    fn get(&mut self) -> Result<&mut Predictor> {
        let made = match self.made.take() {
            Some(made) => made,
            None => Predictor::new(&self.settings, self.model.take())?,
        };
        Ok(self.made.insert(made))
    }
}

impl BlockCoder for Late {
    fn encode(&mut self, block: &mut [u8], tick: &mut dyn FnMut(usize) -> Result<()>) -> Result<Vec<u8>> {
        self.get()?.encode(block, tick)
    }

    fn decode(&mut self, stored: &[u8], block: &mut [u8], tick: &mut dyn FnMut(usize) -> Result<()>) -> Result<bool> {
        self.get()?.decode(stored, block, tick)
    }

    fn learn(&mut self, block: &mut [u8], tick: &mut dyn FnMut(usize) -> Result<()>) -> Result<()> {
        self.get()?.learn(block, tick)
    }
}

/// Writes the archive of all that `input` gives; returns the bytes of both. Memory stays below [`Settings::MEMORY`]
/// however long the input is.
pub fn compress(
    settings: &Settings,
    given: Option<Given>,
    input: &mut dyn Read,
    output: &mut dyn Write,
    watch: Watch<'_>,
) -> Result<Progress> {
    settings.check()?;
    let mut block = vec![0; 1 << settings.log_block];
    let length = fill(input, &mut block)?;
    let settings = settings.for_length(length);
    let (model, hash) = given.map_or((None, None), |given| (Some(given.model), Some(given.hash)));
    let mut coder = Late { settings, model, made: None };
    let header = Header { settings, model: hash };
    encode(header, &mut coder, (block, length), input, output, watch)
}

/// Writes what was compressed; returns the bytes of both.
///
/// [`Error::File`] says where an archive is damaged or cut; what has been written by then are whole blocks, each equal to
/// its checks. [`Error::Value`] where it needs another model than is given.
pub fn decompress(
    given: Option<Given>,
    input: &mut dyn Read,
    output: &mut dyn Write,
    watch: Watch<'_>,
) -> Result<Progress> {
    let mut source = Source { reader: input, offset: 0 };
    let header = Header::read(&mut source)?;
    let hex = |hash: &Hash| hash.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let model = match (header.model, given) {
        (None, None) => None,
        (Some(hash), Some(given)) if hash == given.hash => Some(given.model),
        (Some(hash), given) => {
            let got = given.map_or("none".into(), |given| hex(&given.hash));
            return Err(Error::value("model", format!("the file with SHA-256 {}", hex(&hash)), got));
        }
        (None, Some(_)) => return Err(Error::value("model", "none, as when the archive was made", "one")),
    };
    decode(&header, &mut Late { settings: header.settings, model, made: None }, source, output, watch)
}

/// The rest of [`compress`] with any coder of blocks; the first block has been read.
pub(super) fn encode(
    header: Header,
    coder: &mut dyn BlockCoder,
    (mut block, mut length): (Vec<u8>, usize),
    input: &mut dyn Read,
    output: &mut dyn Write,
    watch: Watch<'_>,
) -> Result<Progress> {
    let mut done = Progress::default();
    let mut digest = Sha256::new();
    let mut write = |bytes: &[u8], done: &mut Progress| {
        done.archive += bytes.len() as u64;
        output.write_all(bytes)
    };
    write(&header.to_bytes(), &mut done)?;
    let mut number = 0;
    while length > 0 {
        let part = &mut block[..length];
        digest.update(&*part);
        let stored = {
            let mut at = done;
            coder.encode(part, &mut |bytes| {
                at.content += bytes as u64;
                watch(at)
            })?
        };
        let coded = stored.len() < length;
        let stored = if coded { &stored[..] } else { &*part };
        let (content, store) = (check(&[part]), check(&[stored]));
        let head = Head { coded, length, stored: stored.len(), content, store };
        write(&Frame::Block(head).to_bytes(number), &mut done)?;
        write(stored, &mut done)?;
        done.content += length as u64;
        watch(done)?;
        number += 1;
        length = fill(input, &mut block)?;
    }
    let trailer = Frame::Trailer { length: done.content, digest: first(&digest.finalize()) };
    write(&trailer.to_bytes(number), &mut done)?;
    output.flush()?;
    watch(done)?;
    Ok(done)
}

/// The rest of [`decompress`] with any coder of blocks; the header has been read.
pub(super) fn decode<R: Read + ?Sized>(
    header: &Header,
    coder: &mut dyn BlockCoder,
    mut source: Source<'_, R>,
    output: &mut dyn Write,
    watch: Watch<'_>,
) -> Result<Progress> {
    let mut done = Progress::default();
    let mut digest = Sha256::new();
    let (mut stored, mut block) = (Vec::new(), Vec::new());
    let mut number = 0;
    loop {
        let start = source.offset;
        let head = match Frame::read(&mut source, number, &header.settings)? {
            Frame::Block(head) => head,
            Frame::Trailer { length, digest: expected } => {
                let whole = length == done.content && first::<8>(&digest.finalize()) == expected;
                if !whole {
                    let found = done.content;
                    return Err(Error::File(format!(
                        "the archive's trailer at byte {start} tells of {length} bytes of content, got {found} bytes or others"
                    )));
                }
                if source.fill(&mut [0])? > 0 {
                    let end = source.offset - 1;
                    return Err(Error::File(format!("expected the archive's end at byte {end}, got more bytes")));
                }
                done.archive = source.offset;
                output.flush()?;
                watch(done)?;
                return Ok(done);
            }
        };
        stored.resize(head.stored, 0);
        source.exact(&mut stored, &format!("block {number}"))?;
        let place = || format!("block {number} at byte {start} of the archive (byte {} of the content)", done.content);
        if check(&[&stored]) != head.store {
            return Err(Error::File(format!("{} is damaged", place())));
        }
        let mut tick = |bytes: usize, at: &mut Progress| {
            at.content += bytes as u64;
            watch(*at)
        };
        let mut at = done;
        block.clear();
        if head.coded {
            block.resize(head.length, 0);
            if !coder.decode(&stored, &mut block, &mut |bytes| tick(bytes, &mut at))? {
                return Err(Error::File(format!("{} holds what no encoder writes", place())));
            }
        } else {
            block.extend_from_slice(&stored);
        }
        if check(&[&block]) != head.content {
            return Err(Error::File(format!("{} decodes to other bytes than were compressed", place())));
        }
        output.write_all(&block)?;
        digest.update(&block);
        if !head.coded {
            coder.learn(&mut block, &mut |bytes| tick(bytes, &mut at))?;
        }
        done.content += head.length as u64;
        done.archive = source.offset;
        watch(done)?;
        number += 1;
    }
}
