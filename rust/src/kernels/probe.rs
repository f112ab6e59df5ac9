//! What the processor can do at most: multiply-adds from registers, and reads of memory of a size. The yardsticks that
//! benchmarks hold the other kernels against.

use pulp::{Simd, WithSimd};
use std::hint::black_box;
use std::time::{Duration, Instant};

use super::gemm::{Gemm, Term};
use super::simd::V;
use super::tables::{Kernels, Path};

/// Chains side by side: enough to hide the latency of a multiply-add on two units.
const CHAINS: usize = 12;

/// Float32 multiply-adds a second of one thread, out of registers: the best of many short trials.
pub(super) fn multiply_adds<P: Path>(duration: Duration) -> f64 {
    struct Trial(usize);
    impl WithSimd for Trial {
        type Output = f32;

        #[inline(always)]
        fn with_simd<S: Simd>(self, s: S) -> f32 {
            let mut chains = [V::splat(s, 1.0f32); CHAINS];
            let (factor, summand) = (V::splat(s, black_box(0.999)), V::splat(s, black_box(0.001)));
            for _ in 0..self.0 {
                for chain in &mut chains {
                    *chain = chain.fma(factor, summand);
                }
            }
            chains.into_iter().fold(V::splat(s, 0.0), |sum, chain| sum + chain).first()
        }
    }
    const ROUNDS: usize = 20_000;
    // SAFETY: a table is given out only where the processor has its path.
    let simd = unsafe { P::token() };
    let count = ROUNDS * CHAINS * V::<P::Simd, f32>::LANES;
    count as f64 / best(duration, || _ = black_box(simd.vectorize(Trial(black_box(ROUNDS)))))
}

/// Bytes a second that one thread reads, over and over, of memory of `bytes` bytes.
pub(super) fn reads<P: Path>(bytes: usize, duration: Duration) -> f64 {
    struct Trial<'a>(&'a [f32]);
    impl WithSimd for Trial<'_> {
        type Output = f32;

        #[inline(always)]
        fn with_simd<S: Simd>(self, s: S) -> f32 {
            const SUMS: usize = 8;
            let lanes = V::<S, f32>::LANES;
            let mut sums = [V::splat(s, 0.0f32); SUMS];
            for part in self.0.chunks_exact(SUMS * lanes) {
                for (sum, at) in sums.iter_mut().zip((0..).step_by(lanes)) {
                    // SAFETY: a part holds so many vectors.
                    *sum = *sum + unsafe { V::load(s, part.as_ptr().add(at)) };
                }
            }
            sums.into_iter().fold(V::splat(s, 0.0), |total, sum| total + sum).first()
        }
    }
    let length = (bytes / 4).next_multiple_of(512);
    let memory = vec![1.0f32; length + 16];
    // From the beginning of a cache line on.
    let memory = &memory[memory.as_ptr().align_offset(64).min(16)..][..length];
    // SAFETY: as above.
    let simd = unsafe { P::token() };
    // Short memory is read many times in a trial, for the clock to see it.
    let rounds = (1 << 22) / (4 * length) + 1;
    let trial = || (0..rounds).for_each(|_| _ = black_box(simd.vectorize(Trial(black_box(memory)))));
    (rounds * 4 * length) as f64 / best(duration, trial)
}

/// Which of two tables is quicker at a product of some rows, of operands that stay in the first-level cache.
pub(super) fn quicker(some: &'static Kernels<f32>, other: &'static Kernels<f32>) -> &'static Kernels<f32> {
    const ROWS: usize = 24;
    const DEPTH: usize = 64;
    let columns = 2 * some.panel;
    let (left, weights, mut out) = (vec![1.0; ROWS * DEPTH], vec![0.0; columns * DEPTH], vec![0.0; ROWS * columns]);
    let gemm = Gemm {
        rows: ROWS,
        columns,
        terms: &[Term { a: left.as_ptr(), stride: DEPTH, k: DEPTH }],
        weights: weights.as_ptr(),
        init: core::ptr::null(),
        init_stride: 0,
        out: out.as_mut_ptr(),
        out_stride: columns,
    };
    // SAFETY: the arrays have these shapes, weights of any precision being no more than these.
    let seconds = |table: &Kernels<f32>| best(Duration::from_micros(200), || unsafe { (table.gemm)(black_box(&gemm)) });
    if seconds(some) < seconds(other) { some } else { other }
}

/// Seconds of the quickest of the trials that so much time allows, at least one.
fn best(duration: Duration, mut trial: impl FnMut()) -> f64 {
    let began = Instant::now();
    let mut least = f64::INFINITY;
    while least == f64::INFINITY || began.elapsed() < duration {
        let start = Instant::now();
        trial();
        least = least.min(start.elapsed().as_secs_f64());
    }
    least
}

#[cfg(test)]
mod tests {
    use crate::kernels::Element;
    use crate::kernels::Isa;
    use std::time::Duration;

    #[test]
    fn the_yardsticks_are_of_this_world() {
        for kernels in Isa::ALL.into_iter().filter_map(f32::kernels) {
            let rate = (kernels.multiply_adds)(Duration::from_millis(5));
            assert!((1e6..1e13).contains(&rate), "{:?}: {rate}", kernels.isa);
            let rate = (kernels.reads)(1 << 14, Duration::from_millis(5));
            assert!((1e6..1e13).contains(&rate), "{:?}: {rate}", kernels.isa);
        }
    }
}
