//! The network that joins what the nets and the direct connections say of a bit: a gated layer of logistic units, a unit
//! over those, and a correction by context; all learn after each bit.

use super::logistic::{LIMIT, Logistic};

/// Inputs that are added up side by side.
const LANES: usize = 8;

/// Σ aᵢ bᵢ: term i belongs to partial sum i mod 8; the partial sums are joined in a fixed tree.
#[inline(always)]
fn dot(a: &[f32], b: &[f32]) -> f32 {
    let mut sums = [0.0; LANES];
    for (a, b) in a.chunks_exact(LANES).zip(b.chunks_exact(LANES)) {
        for lane in 0..LANES {
            sums[lane] += a[lane] * b[lane];
        }
    }
    let quarter = |i: usize| sums[i] + sums[i + 4];
    (quarter(0) + quarter(2)) + (quarter(1) + quarter(3))
}

/// One layer of units; a context chooses which unit of each group speaks (gated linear networks; Mahoney 2005).
struct Layer {
    width: usize,
    /// Of each group, where its weights begin.
    starts: Vec<usize>,
    weights: Vec<f32>,
    chosen: Vec<usize>,
    p: Vec<f32>,
}

impl Layer {
    fn new(width: usize, groups: &[usize], weight: f32) -> Self {
        let width = width.next_multiple_of(LANES);
        let mut starts = Vec::new();
        let mut total = 0;
        for &contexts in groups {
            starts.push(total);
            total += contexts * width;
        }
        Self { width, starts, weights: vec![weight; total], chosen: vec![0; groups.len()], p: vec![0.0; groups.len()] }
    }

    #[inline(always)]
    fn mix(&mut self, inputs: &[f32], contexts: &[usize], table: &Logistic, logits: &mut [f32]) {
        for (group, &context) in contexts.iter().enumerate() {
            let at = self.starts[group] + context * self.width;
            let logit = dot(&self.weights[at..at + self.width], &inputs[..self.width]).clamp(-LIMIT, LIMIT);
            self.chosen[group] = at;
            self.p[group] = table.squash(logit);
            logits[group] = logit;
        }
    }

    #[inline(always)]
    fn learn(&mut self, inputs: &[f32], target: f32, rate: f32) {
        for (&at, &p) in self.chosen.iter().zip(&self.p) {
            let step = (target - p) * rate;
            for (weight, &input) in self.weights[at..at + self.width].iter_mut().zip(inputs) {
                *weight += step * input;
            }
        }
    }
}

/// Corrects a probability by what came when it was said in this context before, between 33 places on a line.
struct Correction {
    cells: Vec<f32>,
    mask: usize,
    at: usize,
    share: f32,
}

const PLACES: usize = 33;

impl Correction {
    fn new(contexts: usize, table: &Logistic) -> Self {
        let row: Vec<f32> = (0..PLACES).map(|i| table.squash((i as f32 - 16.0) * 0.5)).collect();
        Self { cells: row.repeat(contexts), mask: contexts - 1, at: 0, share: 0.0 }
    }

    #[inline(always)]
    fn correct(&mut self, logit: f32, context: usize) -> f32 {
        let place = (logit.clamp(-7.999, 7.999) + 8.0) * 2.0;
        let index = (place as usize).min(PLACES - 2);
        self.share = place - index as f32;
        self.at = (context & self.mask) * PLACES + index;
        self.cells[self.at] * (1.0 - self.share) + self.cells[self.at + 1] * self.share
    }

    #[inline(always)]
    fn learn(&mut self, target: f32) {
        const RATE: f32 = 0.02;
        let (low, high) = (1.0 - self.share, self.share);
        self.cells[self.at] += (target - self.cells[self.at]) * RATE * low;
        self.cells[self.at + 1] += (target - self.cells[self.at + 1]) * RATE * high;
    }
}

/// Groups of the first layer.
const GROUPS: usize = 4;
/// Units of each: by the bits of the byte so far, by the last byte and the bit's place, by what is known, and by the byte
/// before the last.
const UNITS: [usize; GROUPS] = [256, 256 * 8, 16 * HISTORIES, 256];
/// Learning rates of the layers.
const RATES: [f32; 2] = [0.004, 0.002];
/// Contexts of a correction at most: 2 to this power.
const LOG_CONTEXTS: u32 = 16;

/// The whole network.
pub(super) struct Mixer {
    first: Layer,
    second: Layer,
    corrections: [Correction; 2],
    logits: [f32; LANES],
    contexts: usize,
    p: f32,
}

/// What a bit is coded after.
pub(super) struct Context {
    /// The bits of the byte so far with a 1 before them, 1 to 255.
    pub(super) node: usize,
    /// The last byte, and the one before it.
    pub(super) last: [u8; 2],
    /// How many histories are known, to `HISTORIES`.
    pub(super) known: usize,
    /// How sure a long match is, 0 to 15.
    pub(super) length: usize,
}

/// Histories that a context tells apart at most.
const HISTORIES: usize = 16;

impl Mixer {
    /// Bytes of memory of so many inputs, with 2^`log_contexts` contexts of the corrections.
    pub(super) fn memory(inputs: usize, log_contexts: u32) -> u64 {
        let units: usize = UNITS.iter().sum();
        ((units * inputs.next_multiple_of(LANES) + 2 * (PLACES << log_contexts.min(LOG_CONTEXTS))) * 4) as u64
    }

    /// A network of so many inputs, with 2^`log_contexts` contexts of the corrections, at most 2^16.
    pub(super) fn new(inputs: usize, log_contexts: u32) -> Self {
        let table = Logistic::get();
        Self {
            first: Layer::new(inputs, &UNITS, 0.2),
            second: Layer::new(GROUPS, &[256], 1.0 / GROUPS as f32),
            corrections: [0, 1].map(|_| Correction::new(1 << log_contexts.min(LOG_CONTEXTS), table)),
            logits: [0.0; LANES],
            contexts: 0,
            p: 0.5,
        }
    }

    /// Elements that a buffer of inputs needs.
    pub(super) fn width(&self) -> usize {
        self.first.width
    }

    /// The probability that the bit is 1.
    #[inline(always)]
    pub(super) fn mix(&mut self, inputs: &[f32], context: &Context, table: &Logistic) -> f32 {
        let [last, before] = context.last.map(usize::from);
        let depth = (usize::BITS - 1 - context.node.leading_zeros()) as usize & 7;
        let chosen = [
            context.node & 255,
            last * 8 + depth,
            (context.known.min(HISTORIES - 1)) * 16 + context.length.min(15),
            before,
        ];
        self.first.mix(inputs, &chosen, table, &mut self.logits);
        self.contexts = context.node & 255;
        let mut logit = [0.0];
        self.second.mix(&self.logits, &[self.contexts], table, &mut logit);
        let node = context.node & 255;
        let hashed = (before << 8 | last).wrapping_mul(0x9E5D) ^ node.wrapping_mul(0x3D4D);
        let p = table.squash(logit[0]);
        let one = self.corrections[0].correct(logit[0], last << 8 | node);
        let two = self.corrections[1].correct(logit[0], hashed ^ hashed >> 16);
        self.p = p * 0.5 + (one + two) * 0.25;
        self.p
    }

    /// What the bit was.
    #[inline(always)]
    pub(super) fn learn(&mut self, inputs: &[f32], bit: bool) {
        let target = f32::from(u8::from(bit));
        self.first.learn(inputs, target, RATES[0]);
        self.second.learn(&self.logits, target, RATES[1]);
        for correction in &mut self.corrections {
            correction.learn(target);
        }
    }
}
