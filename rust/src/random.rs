//! Random numbers that are a function of where they are used: a counter-based generator, never a state that advances.
//!
//! The generator is Philox4x32-10 (Salmon, Moraes, Dror and Shaw, *Parallel Random Numbers: As Easy as 1, 2, 3*, SC 2011):
//! a keyed bijection of 128-bit counters. A [`Key`] stands for (seed, path of the node, update), the counter for (row,
//! position, unit). So a draw depends on neither batch, chunk nor thread, and a backward pass or a recomputation
//! draws the same again. Only integer operations and IEEE + − × ÷ √ (and the crate's own logarithm) are used: the bits
//! are the same on every machine.

use sha2::{Digest, Sha256};

use crate::kernels::Element;

/// The two words that select one of Philox's 2⁶⁴ streams; made by [`key`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Key([u32; 2]);

/// The key of one use of random numbers: the first 8 bytes of SHA-256 over a tag, `seed`, `update` and `path`.
///
/// `path` names the node with its layer and direction ("1.l0.reverse.zoneout_h"); `update` counts the training updates.
#[must_use]
pub fn key(seed: u64, path: &str, update: u64) -> Key {
    let digest = Sha256::new()
        .chain_update(b"rnnrs random 1\0")
        .chain_update(seed.to_le_bytes())
        .chain_update(update.to_le_bytes())
        .chain_update(path)
        .finalize();
    let word = |i: usize| u32::from_le_bytes([digest[i], digest[i + 1], digest[i + 2], digest[i + 3]]);
    Key([word(0), word(4)])
}

const MULTIPLIERS: [u32; 2] = [0xD251_1F53, 0xCD9E_8D57];
/// Weyl increments of the key: the golden ratio and √3 − 1, as fractions of 2³².
const WEYL: [u32; 2] = [0x9E37_79B9, 0xBB67_AE85];
const ROUNDS: usize = 10;
/// Numbers in the output of one counter.
const WORDS: usize = 4;

/// Philox4x32-10 of one counter.
#[inline(always)]
fn philox(key: Key, [mut c0, mut c1, mut c2, mut c3]: [u32; WORDS]) -> [u32; WORDS] {
    let [mut k0, mut k1] = key.0;
    for _ in 0..ROUNDS {
        let p0 = u64::from(c0) * u64::from(MULTIPLIERS[0]);
        let p1 = u64::from(c2) * u64::from(MULTIPLIERS[1]);
        (c0, c1) = ((p1 >> 32) as u32 ^ c1 ^ k0, p1 as u32);
        (c2, c3) = ((p0 >> 32) as u32 ^ c3 ^ k1, p0 as u32);
        k0 = k0.wrapping_add(WEYL[0]);
        k1 = k1.wrapping_add(WEYL[1]);
    }
    [c0, c1, c2, c3]
}

/// The counter of block `block` of units at (`row`, `position`): 32 bits of block, 48 of position, 48 of row.
#[inline(always)]
fn counter(row: u64, position: u64, block: u32) -> [u32; WORDS] {
    let high = ((row >> 32) as u32) << 16 | (position >> 32) as u32 & 0xFFFF;
    [block, position as u32, row as u32, high]
}

/// The number, uniform over all 32-bit integers, of one unit in one row at one absolute position.
///
/// `row` and `position` count modulo 2⁴⁸. Four consecutive units share a block, so [`fill_u32`] is cheaper than this.
#[must_use]
pub fn uniform_u32(key: Key, row: u64, position: u64, unit: u32) -> u32 {
    philox(key, counter(row, position, unit / WORDS as u32))[unit as usize % WORDS]
}

/// The numbers of units 0, 1, 2, … of one row at one position: `out[u] = uniform_u32(key, row, position, u)`.
pub fn fill_u32(key: Key, row: u64, position: u64, out: &mut [u32]) {
    fill_with(key, row, position, out, |number| number);
}

/// Bernoulli draws: `out[u]` is `hit` where `uniform_u32(key, row, position, u) < p · 2³²`, else `miss`.
///
/// `p` ≤ 0 never hits, `p` ≥ 1 always. A dropout mask of rate q is `fill_bernoulli(.., 1 - q, 1 / (1 - q), 0, ..)`.
pub fn fill_bernoulli<E: Copy>(key: Key, row: u64, position: u64, p: f64, hit: E, miss: E, out: &mut [E]) {
    let threshold = (p * 4_294_967_296.0) as u64; // saturates: negative and NaN give 0
    fill_with(key, row, position, out, |number| {
        std::hint::select_unpredictable(u64::from(number) < threshold, hit, miss)
    });
}

/// `out[u] = value(uniform_u32(key, row, position, u))`, a block at a time.
#[inline(always)]
fn fill_with<E>(key: Key, row: u64, position: u64, out: &mut [E], value: impl Fn(u32) -> E) {
    let (blocks, rest) = out.as_chunks_mut::<WORDS>();
    for (block, out) in (0..).zip(&mut *blocks) {
        *out = philox(key, counter(row, position, block)).map(&value);
    }
    let last = philox(key, counter(row, position, blocks.len() as u32));
    for (out, number) in rest.iter_mut().zip(last) {
        *out = value(number);
    }
}

/// Draws uniform in [`low`, `high`): low + (high − low)·u in float64, rounded once, where u is the unit's number over 2³².
pub fn draw_uniform<E: Element>(key: Key, row: u64, position: u64, low: f64, high: f64, out: &mut [E]) {
    fill_with(key, row, position, out, |number| {
        let value = E::from_f64(low + (high - low) * (f64::from(number) / 4_294_967_296.0));
        if value < E::from_f64(high) { value } else { E::from_f64(low) }
    });
}

/// Normal draws by the method of Box and Muller (1958) in float64, rounded once; each unit has a block of its own.
pub fn draw_normal<E: Element>(key: Key, row: u64, position: u64, mean: f64, deviation: f64, out: &mut [E]) {
    for (unit, out) in (0..).zip(out) {
        let [a, b, c, d] = philox(key, counter(row, position, unit));
        let unit = |low: u32, high: u32| (u64::from(high) << 32 | u64::from(low)) >> 11;
        // 1 − u lies in (0, 1], where the logarithm is finite.
        let radius = 1.0 - unit(a, b) as f64 / 9_007_199_254_740_992.0;
        let angle = std::f64::consts::TAU * (unit(c, d) as f64 / 9_007_199_254_740_992.0);
        let normal = Element::sqrt(-2.0 * Element::ln(radius)) * Element::cos(angle);
        *out = E::from_f64(mean + deviation * normal);
    }
}

/// Two numbers uniform in [0, 1), multiples of 2⁻⁵³, of element `index` at attempt `attempt`.
fn uniform_pair(key: Key, index: u64, attempt: u64) -> [f64; 2] {
    let [a, b, c, d] = philox(key, counter(index, attempt, 0));
    let unit = |low: u32, high: u32| {
        let bits = u64::from(high) << 32 | u64::from(low);
        (bits >> 11) as f64 * (1.0 / 9_007_199_254_740_992.0)
    };
    [unit(a, b), unit(c, d)]
}

/// Fills `out` with numbers uniform in [`low`, `high`): low + (high − low)·u in float64, rounded once to `E`.
///
/// A number that rounds up to `high` becomes `low`. `out[i]` depends on the key and on `i` alone.
pub fn fill_uniform<E: Element>(key: Key, low: f64, high: f64, out: &mut [E]) {
    for (index, pair) in out.chunks_mut(2).enumerate() {
        let draws = uniform_pair(key, index as u64, 0);
        for (out, u) in pair.iter_mut().zip(draws) {
            let value = E::from_f64(low + (high - low) * u);
            *out = if value < E::from_f64(high) { value } else { E::from_f64(low) };
        }
    }
}

/// Fills `out` with normal numbers, by Marsaglia's polar method in float64, rounded once to `E`.
///
/// (u, v) uniform in the square (−1, 1)² until 0 < s = u² + v² < 1; then u·m and v·m with m = √(−2 ln s / s) are
/// independent standard normals (Marsaglia and Bray, *A convenient method for generating normal variables*, 1964).
/// `out[i]` depends on the key and on `i` alone.
pub fn fill_normal<E: Element>(key: Key, mean: f64, deviation: f64, out: &mut [E]) {
    for (index, pair) in out.chunks_mut(2).enumerate() {
        let [a, b] = polar(key, index as u64);
        for (out, normal) in pair.iter_mut().zip([a, b]) {
            *out = E::from_f64(mean + deviation * normal);
        }
    }
}

/// Two independent standard normals.
fn polar(key: Key, index: u64) -> [f64; 2] {
    let mut attempt = 0;
    loop {
        let [u, v] = uniform_pair(key, index, attempt).map(|u| 2.0 * u - 1.0);
        let s = u * u + v * v;
        if s > 0.0 && s < 1.0 {
            let m = (-2.0 * Element::ln(s) / s).sqrt();
            return [u * m, v * m];
        }
        attempt += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Random123's kat_vectors, `philox4x32 10`: counter, key, result.
    #[test]
    fn philox_matches_the_published_vectors() {
        let pi = [0x243f_6a88, 0x85a3_08d3, 0x1319_8a2e, 0x0370_7344];
        let cases: [([u32; 4], [u32; 2], [u32; 4]); 3] = [
            ([0; 4], [0; 2], [0x6627_e8d5, 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8]),
            ([!0; 4], [!0; 2], [0x408f_276d, 0x41c8_3b0e, 0xa20b_c7c6, 0x6d54_51fd]),
            (pi, [0xa409_3822, 0x299f_31d0], [0xd16c_fe09, 0x94fd_cceb, 0x5001_e420, 0x2412_6ea1]),
        ];
        for (counter, key, expected) in cases {
            assert_eq!(philox(Key(key), counter), expected);
        }
    }

    #[test]
    fn a_draw_depends_on_its_place_alone() {
        let key = key(7, "0.l0.zoneout_h", 3);
        for units in [0, 1, 3, 4, 31, 32, 33, 100] {
            let mut row = vec![0; units];
            fill_u32(key, 5, 1 << 33, &mut row);
            for (unit, &number) in row.iter().enumerate() {
                assert_eq!(number, uniform_u32(key, 5, 1 << 33, unit as u32));
            }
        }
    }

    #[test]
    fn every_part_of_the_place_matters() {
        let base = (1, "a", 2, 3, 4, 5);
        let places = [
            base,
            (9, "a", 2, 3, 4, 5),
            (1, "b", 2, 3, 4, 5),
            (1, "a", 9, 3, 4, 5),
            (1, "a", 2, 9, 4, 5),
            (1, "a", 2, 3 + (1 << 32), 4, 5),
            (1, "a", 2, 3, 9, 5),
            (1, "a", 2, 3, 4 + (1 << 32), 5),
            (1, "a", 2, 3, 4, 6),
            (1, "a", 2, 3, 4, 9),
        ];
        let draws = places.map(|(s, path, u, row, t, unit)| uniform_u32(key(s, path, u), row, t, unit));
        for (i, a) in draws.iter().enumerate() {
            assert!(draws[..i].iter().all(|b| a != b));
        }
    }

    #[test]
    fn bernoulli_hits_at_its_rate() {
        let key = key(0, "mask", 0);
        let mut mask = vec![0.0f32; 40_000];
        fill_bernoulli(key, 0, 0, 0.3, 1.0, 0.0, &mut mask);
        // five standard deviations: 5·√(0.3·0.7/40000)
        assert!((mask.iter().sum::<f32>() / 40_000.0 - 0.3).abs() < 0.0115);
        for (p, expected) in [(0.0, 0.0), (-1.0, 0.0), (1.0, 1.0), (2.0, 1.0)] {
            fill_bernoulli(key, 0, 0, p, 1.0, 0.0, &mut mask);
            assert!(mask.iter().all(|&m| m == expected));
        }
    }

    #[test]
    fn uniform_stays_in_its_interval_with_its_moments() {
        let mut out = vec![0.0f32; 100_000];
        fill_uniform(key(1, "weight", 0), -0.5, 0.25, &mut out);
        assert!(out.iter().all(|&u| (-0.5..0.25).contains(&u)));
        let mean = out.iter().map(|&u| f64::from(u)).sum::<f64>() / 1e5;
        let square = out.iter().map(|&u| f64::from(u) * f64::from(u)).sum::<f64>() / 1e5;
        assert!((mean + 0.125).abs() < 0.0035);
        assert!((square - mean * mean - 0.75 * 0.75 / 12.0).abs() < 0.001);
        let mut narrow = vec![0.0f32; 1000];
        fill_uniform(key(1, "weight", 0), 1.0, 1.0 + f64::from(f32::EPSILON), &mut narrow);
        assert!(narrow.iter().all(|&u| u == 1.0));
    }

    #[test]
    fn normal_has_its_moments_and_prefixes() {
        let key = key(2, "weight", 0);
        let mut out = vec![0.0f64; 100_001];
        fill_normal(key, 1.0, 2.0, &mut out);
        let standard: Vec<f64> = out.iter().map(|x| (x - 1.0) / 2.0).collect();
        let moment = |n: i32| standard.iter().map(|&x| (0..n).fold(1.0, |p, _| p * x)).sum::<f64>() / 100_001.0;
        // five standard deviations of each sample moment: √(1, 2, 15, 96 / n)
        assert!(moment(1).abs() < 0.016);
        assert!((moment(2) - 1.0).abs() < 0.023);
        assert!(moment(3).abs() < 0.062);
        assert!((moment(4) - 3.0).abs() < 0.16);
        let mut prefix = vec![0.0f64; 7];
        fill_normal(key, 1.0, 2.0, &mut prefix);
        assert_eq!(prefix, out[..7]);
    }
}
