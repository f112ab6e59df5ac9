//! Direct connections from hashed histories to the bits of the next byte (Mikolov et al. 2011, with a tree of binary
//! decisions in place of the softmax): what followed a history before, as probabilities that learn as they are used.

use super::logistic::{Logistic, PROBABILITY_BITS};

/// Cells of a bucket: a check, and the decisions in four bits of a byte.
const BUCKET: usize = 16;
/// Low bits of a cell, that count how often it was used.
const COUNT_BITS: u32 = 10;
/// Ranges of counts that are told apart in what a cell means.
const STAGES: usize = 12;
/// Ranges of probabilities that are told apart in what a cell means.
const LEVELS: usize = 32;
/// Numbers that a history gives the mixing network.
pub(super) const INPUTS: usize = 2;

const HALF: u32 = 1 << (PROBABILITY_BITS - 1);
/// How often a cell counts at most: it forgets beyond.
const CELL_LIMIT: u32 = 250;
const MEANING_LIMIT: u32 = 1000;

/// A probability that comes nearer to each bit by 1 / (n + 3/2), n being how often it was used.
#[inline(always)]
fn learn(cell: &mut u32, bit: bool, limit: u32, rates: &[u32]) {
    let (p, count) = (*cell >> COUNT_BITS, *cell & ((1 << COUNT_BITS) - 1));
    let target = if bit { (1 << PROBABILITY_BITS) - 1 } else { 0 };
    let moved = ((i64::from(target) - i64::from(p)) * i64::from(rates[count as usize])) >> 16;
    let p = (i64::from(p) + moved) as u32;
    *cell = p << COUNT_BITS | if count < limit { count + 1 } else { count };
}

/// Which histories there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum History {
    /// The last so many bytes.
    Order(u32),
    /// The letters of the word so far, and so many words before.
    Words(u32),
    /// Bytes under this mask (lowest: the last), others left out.
    Sparse(u64),
    /// The column, and the byte above.
    Column,
}

/// What a stream remembers of its bytes.
#[derive(Clone, Debug, Default)]
pub(super) struct Past {
    /// The last eight bytes, the latest lowest.
    pub(super) bytes: u64,
    /// Hashes of the word so far, of the one before, and of the one before that.
    words: [u32; 3],
    /// Bytes since the beginning of the line.
    column: u32,
    line: Vec<u8>,
    above: Vec<u8>,
}

impl Past {
    /// A byte more.
    pub(super) fn push(&mut self, byte: u8) {
        self.bytes = self.bytes << 8 | u64::from(byte);
        let letter = byte.to_ascii_lowercase();
        if letter.is_ascii_alphanumeric() || byte >= 128 {
            self.words[0] = self.words[0].wrapping_add(u32::from(letter) + 1).wrapping_mul(0x2F0B_4C47);
        } else if self.words[0] != 0 {
            self.words = [0, self.words[0], self.words[1]];
        }
        if byte == b'\n' || self.line.len() == 255 {
            std::mem::swap(&mut self.line, &mut self.above);
            self.line.clear();
        } else {
            self.line.push(byte);
        }
        self.column = self.line.len() as u32;
    }

    fn hash(&self, history: History) -> u64 {
        let mask = |bytes: u32| if bytes >= 8 { u64::MAX } else { (1 << (8 * bytes)) - 1 };
        match history {
            History::Order(order) => self.bytes & mask(order),
            History::Words(before) => {
                let word = u64::from(self.words[0]);
                let last = self.bytes & 0xff;
                match before {
                    0 => word << 8 | last,
                    1 => word ^ u64::from(self.words[1]) << 32,
                    _ => {
                        word ^ (u64::from(self.words[1]) << 32 | u64::from(self.words[2]))
                            .wrapping_mul(0x9E37_79B9_7F4A_7C15)
                    }
                }
            }
            History::Sparse(mask) => self.bytes & mask,
            History::Column => {
                let above = self.above.get(self.line.len()).copied().unwrap_or(0);
                u64::from(self.column) << 16 | u64::from(above) << 8 | self.bytes & 0xff
            }
        }
    }
}

/// The histories' cells, and what a cell of each means.
pub(super) struct Direct {
    histories: &'static [History],
    /// Buckets of every history, found by hash.
    cells: Vec<u32>,
    buckets: usize,
    /// For each history, stage of the count and level of the probability: how often a 1 came.
    meanings: Vec<u32>,
    stages: Vec<u8>,
    levels: Vec<u8>,
    rates: Vec<u32>,
    /// Where the present cells and meanings are.
    at: Vec<(usize, usize)>,
    base: Vec<usize>,
}

impl Direct {
    /// Bytes of memory of so many buckets.
    pub(super) fn memory(log_buckets: u32) -> u64 {
        (BUCKET as u64 * 4) << log_buckets
    }

    /// Untrained connections from these histories, with 2^`log_buckets` buckets.
    pub(super) fn new(histories: &'static [History], log_buckets: u32) -> Self {
        let buckets = 1usize << log_buckets;
        // The system's zeros: pages that are not used cost nothing. A cell of 0 is one that nothing has set.
        let cells = vec![0; buckets * BUCKET];
        let table = Logistic::get();
        let level = |p: u32| ((table.stretch(p << 10) + 8.0) * 2.0).clamp(0.0, (LEVELS - 1) as f32) as u8;
        let stage = |n: u32| [1, 2, 3, 4, 6, 9, 14, 24, 49, 99, 249].iter().filter(|&&bound| n >= bound).count() as u8;
        let mut meanings = Vec::new();
        for _ in histories {
            for _ in 0..STAGES {
                meanings.extend((0..LEVELS as u32).map(|level| {
                    let p = table.squash(level as f32 / 2.0 - 7.75);
                    ((p * (1 << PROBABILITY_BITS) as f32) as u32) << COUNT_BITS
                }));
            }
        }
        Self {
            histories,
            cells,
            buckets,
            meanings,
            stages: (0..1 << COUNT_BITS).map(stage).collect(),
            levels: (0..1 << 12).map(level).collect(),
            rates: (0..1 << COUNT_BITS).map(|n| 2 * 65536 / (2 * n + 3)).collect(),
            at: vec![(0, 0); histories.len()],
            base: vec![0; histories.len()],
        }
    }

    /// Finds the buckets for the byte's upper (`high` absent) or lower four bits.
    pub(super) fn enter(&mut self, past: &Past, high: Option<u8>) {
        for (index, &history) in self.histories.iter().enumerate() {
            let half = high.map_or(0, |bits| u64::from(bits) + 1);
            let key = (past.hash(history) ^ (index as u64 + 1) << 56).wrapping_mul(0x9E37_79B9_7F4A_7C15);
            let key = (key ^ key >> 29 ^ half << 40 ^ half).wrapping_mul(0xBF58_476D_1CE4_E5B9);
            let key = key ^ key >> 32;
            let check = ((key >> 40) as u32) | 1;
            let first = key as usize & (self.buckets - 1);
            let other = first ^ 1;
            let find = |bucket: usize| self.cells[bucket * BUCKET] == check;
            let bucket = if find(first) {
                first
            } else if find(other) {
                other
            } else {
                // The one that was used less goes.
                let used = |bucket: usize| self.cells[bucket * BUCKET + 1] & ((1 << COUNT_BITS) - 1);
                let bucket = if used(other) < used(first) { other } else { first };
                let cells = &mut self.cells[bucket * BUCKET..][..BUCKET];
                cells.fill(HALF << COUNT_BITS);
                cells[0] = check;
                bucket
            };
            self.base[index] = bucket * BUCKET;
        }
    }

    /// What the histories say of the next bit, at this node (1 to 15) of the four bits: [`INPUTS`] logits each. Returns
    /// how many of them have been seen.
    #[inline(always)]
    pub(super) fn predict(&mut self, node: usize, table: &Logistic, inputs: &mut [f32]) -> usize {
        let mut known = 0;
        for (index, input) in inputs[..self.base.len() * INPUTS].chunks_exact_mut(INPUTS).enumerate() {
            let at = self.base[index] + (node & 15);
            let cell = self.cells[at];
            let (p, count) = (cell >> COUNT_BITS, cell & ((1 << COUNT_BITS) - 1));
            let stage = usize::from(self.stages[count as usize]);
            let level = usize::from(self.levels[(p >> 10) as usize]);
            let meaning = (index * STAGES + stage) * LEVELS + level;
            self.at[index] = (at, meaning);
            input[0] = table.stretch(self.meanings[meaning] >> COUNT_BITS);
            input[1] = if count == 0 { 0.0 } else { (p as f32 - HALF as f32) * (4.0 / (1 << PROBABILITY_BITS) as f32) };
            known += usize::from(count > 0);
        }
        known
    }

    /// What the bit was.
    #[inline(always)]
    pub(super) fn learn(&mut self, bit: bool) {
        for &(at, meaning) in &self.at {
            learn(&mut self.cells[at], bit, CELL_LIMIT, &self.rates);
            learn(&mut self.meanings[meaning], bit, MEANING_LIMIT, &self.rates);
        }
    }
}
