//! What followed the last time that the same bytes came: one long history that is matched exactly, where hashed
//! histories end.

use super::logistic::{Logistic, PROBABILITY_BITS};

/// Bytes that must agree for a match to begin.
const LEAST: u32 = 6;
const LONGEST: u32 = 65_535;
/// Numbers that a match gives the mixing network.
pub(super) const INPUTS: usize = 2;
/// Lengths that are told apart.
const LENGTHS: usize = 32;

/// Where a byte stands: a stream, and a count of its bytes.
#[derive(Clone, Copy, Default)]
struct Place {
    stream: u32,
    position: u32,
}

/// What a stream is matched with.
#[derive(Clone, Copy, Default)]
struct Match {
    place: Place,
    length: u32,
    /// The byte that followed, while the bits of the present one agree.
    expected: Option<u8>,
}

/// The last bytes of every stream, and where each six of them came last.
pub(super) struct Recall {
    rings: Vec<Vec<u8>>,
    counts: Vec<u32>,
    table: Vec<Place>,
    matches: Vec<Match>,
    /// For each length: how often the byte that followed was right, per bit.
    right: Vec<u32>,
    used: Option<usize>,
}

fn bucket(length: u32) -> usize {
    match length {
        0..16 => length as usize,
        16..32 => 16 + (length as usize - 16) / 4,
        _ => (20 + (length.ilog2() as usize - 5)).min(LENGTHS - 1),
    }
}

impl Recall {
    /// Bytes of memory of so many bytes a stream and so many places.
    pub(super) fn memory(streams: usize, log_ring: u32, log_table: u32) -> u64 {
        ((streams as u64) << log_ring) + (8 << log_table)
    }

    pub(super) fn new(streams: usize, log_ring: u32, log_table: u32) -> Self {
        Self {
            rings: vec![vec![0; 1 << log_ring]; streams],
            counts: vec![0; streams],
            table: vec![Place::default(); 1 << log_table],
            matches: vec![Match::default(); streams],
            right: vec![3 << (PROBABILITY_BITS - 2); LENGTHS],
            used: None,
        }
    }

    /// A byte more in a stream, the last eight now being `bytes` (the latest lowest).
    pub(super) fn push(&mut self, stream: usize, bytes: u64) {
        let (byte, count) = (bytes as u8, self.counts[stream]);
        let ring = &mut self.rings[stream];
        let mask = ring.len() as u32 - 1;
        ring[(count & mask) as usize] = byte;
        self.counts[stream] = count.wrapping_add(1);
        let present = Place { stream: stream as u32, position: count.wrapping_add(1) };
        let found = &mut self.matches[stream];
        if found.length > 0 {
            let was = self.rings[found.place.stream as usize][(found.place.position & mask) as usize];
            found.place.position = found.place.position.wrapping_add(1);
            found.length = if was == byte { (found.length + 1).min(LONGEST) } else { 0 };
        }
        let hash = (bytes & ((1 << (8 * LEAST)) - 1)).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 20;
        let index = hash as usize & (self.table.len() - 1);
        let slot = &mut self.table[index];
        let candidate = std::mem::replace(slot, present);
        if found.length == 0 {
            let past = |place: Place, back: u32| {
                let ring = &self.rings[place.stream as usize];
                ring[(place.position.wrapping_sub(back) & mask) as usize]
            };
            let agree = (1..=32).take_while(|&back| past(candidate, back) == past(present, back)).count() as u32;
            if candidate.position != 0 && agree >= LEAST {
                *found = Match { place: candidate, length: agree, expected: None };
            }
        }
        // Where a place has no byte after it yet, or one that has been overwritten, there is nothing to recall.
        let Place { stream: other, position } = found.place;
        let behind = self.counts[other as usize].wrapping_sub(position);
        if behind == 0 || behind > mask {
            found.length = 0;
        }
        found.expected = (found.length > 0).then(|| self.rings[other as usize][(position & mask) as usize]);
    }

    /// What the stream's match says of the next bit, after the bits of `node`: logits, and how sure it is (0 to 15).
    #[inline(always)]
    pub(super) fn predict(&mut self, stream: usize, node: usize, table: &Logistic, inputs: &mut [f32]) -> usize {
        let found = self.matches[stream];
        self.used = None;
        inputs[0] = 0.0;
        inputs[1] = 0.0;
        let Some(expected) = found.expected else { return 0 };
        let path = usize::from(expected) | 256;
        let depth = node.ilog2();
        if path >> (8 - depth) != node {
            return 0;
        }
        let bucket = bucket(found.length);
        let bit = path >> (7 - depth) & 1 == 1;
        self.used = Some(bucket << 1 | usize::from(bit));
        let logit = table.stretch(self.right[bucket]);
        inputs[0] = if bit { logit } else { -logit };
        inputs[1] = (if bit { 0.25 } else { -0.25 }) * (bucket as f32 / 8.0).min(2.0);
        1 + bucket / 2
    }

    /// What the bit was.
    #[inline(always)]
    pub(super) fn learn(&mut self, bit: bool) {
        if let Some(used) = self.used {
            let cell = &mut self.right[used >> 1];
            if (used & 1 == 1) == bit {
                *cell += ((1 << PROBABILITY_BITS) - 1 - *cell) >> 7;
            } else {
                *cell -= *cell >> 7;
            }
        }
    }
}
