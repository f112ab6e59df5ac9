//! Operations on whole rows, one sample after the other: parts, reductions along an axis, products of matrices, gathers,
//! draws. A matrix lies in its row as its own rows one after the other.

use super::frame::Span;
use super::run::{Runner, put_index};
use crate::graph::{Along, Distribution, RowOp};
use crate::kernels::{Broadcast, Element, Gemm, Piece, Reduce, ReduceKind, Term};
use crate::plan::{Place, padded};
use crate::random::{self, Key};

/// Partials of a sum along an axis, as in the kernels' reductions.
const PARTIALS: usize = 16;

/// Where each argument of one sample begins.
type Arguments<'a, E> = &'a dyn Fn(usize) -> *const E;

/// Elements of scratch memory that an operation needs.
pub fn scratch_len<E: Element>(op: &RowOp, [m, k, n]: [usize; 3]) -> usize {
    match op {
        RowOp::MatMul { .. } => {
            m * k + k * padded(n, E::PAD).max(padded(m, E::PAD)) + m * padded(n, E::PAD) + 2 * E::PAD
        }
        RowOp::Solve { .. } => m * m,
        RowOp::Along { what: Along::Sum, .. } => PARTIALS,
        _ => 0,
    }
}

impl<E: Element> Runner<'_, E> {
    /// Runs a row operation on the `rows` rows of a span.
    ///
    /// # Safety
    /// As [`Runner::steps`].
    #[allow(clippy::too_many_arguments, reason = "the fields of the instruction, and the span")]
    pub(super) unsafe fn row(
        &self,
        op: &RowOp,
        args: &[(Place, usize)],
        out: Place,
        width: usize,
        extents: [usize; 3],
        span: Span,
        rows: usize,
    ) {
        let t = span.first();
        let (target, out_stride) = (self.at(out, t), self.bound[out.buffer].stride);
        let arg = |i: usize| (self.at(args[i].0, t).cast_const(), self.bound[args[i].0.buffer].stride);
        let each = |run: &dyn Fn(Arguments<'_, E>, *mut E)| {
            for r in 0..rows {
                let at = |i: usize| {
                    let (a, stride) = arg(i);
                    a.wrapping_add(r * stride)
                };
                run(&at, target.wrapping_add(r * out_stride));
            }
        };
        // SAFETY: in all branches, bound places hold `rows` rows of their widths; indices were checked when they came in.
        unsafe {
            match op {
                RowOp::Sum | RowOp::Max => {
                    let (a, a_stride) = arg(0);
                    let kind = if *op == RowOp::Sum { ReduceKind::Sum } else { ReduceKind::Max };
                    (self.kernels.reduce)(&Reduce { kind, rows, n: args[0].1, a, a_stride, out: target, out_stride });
                }
                RowOp::Broadcast => {
                    let (a, a_stride) = arg(0);
                    let width = padded(width, E::PAD);
                    (self.kernels.broadcast)(&Broadcast { rows, width, a, a_stride, out: target, out_stride });
                }
                RowOp::Copy => each(&|a, to| std::ptr::copy_nonoverlapping(a(0), to, width)),
                RowOp::Along { what, .. } => {
                    let count = args[0].1;
                    each(&|a, to| along(*what, extents, width / extents[0].max(1), a, count, to, self.scratch));
                }
                RowOp::Concat { .. } => each(&|a, mut to| {
                    for outer in 0..extents[0] {
                        for (i, &(_, count)) in args.iter().enumerate() {
                            let count = count / extents[0];
                            std::ptr::copy_nonoverlapping(a(i).add(outer * count), to, count);
                            to = to.add(count);
                        }
                    }
                }),
                RowOp::Gather => each(&|a, to| {
                    let table = self.at(args[0].0, t);
                    std::ptr::copy_nonoverlapping(table.add(index(a(1), 0) * width), to, width);
                }),
                RowOp::Pick => each(&|a, to| *to = *a(0).add(index(a(1), 0))),
                RowOp::Place => each(&|a, to| {
                    std::ptr::write_bytes(to, 0, width);
                    *to.add(index(a(1), 0)) = *a(0);
                }),
                RowOp::Take => each(&|a, to| {
                    let inner = extents[2];
                    for k in 0..width / inner {
                        std::ptr::copy_nonoverlapping(a(0).add(index(a(1), k) * inner), to.add(k * inner), inner);
                    }
                }),
                RowOp::ScatterAdd => each(&|a, to| {
                    let [_, count, inner] = extents;
                    std::ptr::write_bytes(to, 0, width);
                    for k in 0..count {
                        let (from, to) = (a(0).add(k * inner), to.add(index(a(1), k) * inner));
                        (0..inner).for_each(|j| *to.add(j) = *to.add(j) + *from.add(j));
                    }
                }),
                RowOp::Transpose => each(&|a, to| {
                    let [_, rows, columns] = extents;
                    for i in 0..rows {
                        (0..columns).for_each(|j| *to.add(j * rows + i) = *a(0).add(i * columns + j));
                    }
                }),
                RowOp::MatMul { transposed } => each(&|a, to| self.matmul(*transposed, extents, a(0), a(1), to)),
                RowOp::Solve { transposed } => {
                    each(&|a, to| solve(*transposed, width, a(0), a(1), to, self.scratch));
                }
                RowOp::Draw { distribution, per_sequence, name } => {
                    let key = random::key(self.draw.seed, &format!("{}.{name}", self.path), 0);
                    self.draws(key, *distribution, *per_sequence, (target, out_stride), width, span);
                }
            }
        }
    }

    /// A · B of one sample: one of them packed, then the kernel that all products use, so each element is one chain.
    unsafe fn matmul(&self, [ta, tb]: [bool; 2], [m, k, n]: [usize; 3], a: *const E, b: *const E, out: *mut E) {
        let packed = self.scratch;
        let multiply = |rows: usize, term: Term<E>, piece: Piece<E>, columns: usize, out: *mut E, out_stride: usize| {
            // SAFETY: the scratch begins with room for the packed operand, by `scratch_len`; it overlaps nothing else.
            unsafe {
                self.kernels.pack(columns, &[k], &[piece], packed);
                let (init, init_stride) = (std::ptr::null(), 0);
                let weights = packed.cast_const();
                let terms = &[term];
                (self.kernels.gemm)(&Gemm { rows, columns, terms, weights, init, init_stride, out, out_stride });
            }
        };
        if n == 1 {
            // A vector: outᵀ = bᵀ Aᵀ, so that vectors run across the elements of the result.
            let (sk, sn) = if ta { (m, 1) } else { (1, k) };
            let columns = padded(m, E::PAD);
            let piece = Piece { src: a, sk, sn, k0: 0, k, n0: 0, n: m };
            return multiply(1, Term { a: b.cast_mut(), stride: k, k }, piece, columns, out, columns);
        }
        let columns = padded(n, E::PAD);
        let (sk, sn) = if tb { (1, k) } else { (n, 1) };
        let piece = Piece { src: b, sk, sn, k0: 0, k, n0: 0, n };
        // SAFETY: the scratch holds the packed operand, A turned round, and the padded result, by `scratch_len`.
        unsafe {
            let turned = packed.add(k * columns);
            let left = if ta && m > 1 && k > 1 {
                for i in 0..m {
                    (0..k).for_each(|j| *turned.add(i * k + j) = *a.add(j * m + i));
                }
                turned
            } else {
                a.cast_mut()
            };
            let term = Term { a: left, stride: k, k };
            if n == columns || m == 1 {
                return multiply(m, term, piece, columns, out, columns);
            }
            let wide = turned.add(m * k);
            multiply(m, term, piece, columns, wide, columns);
            (0..m).for_each(|i| std::ptr::copy_nonoverlapping(wide.add(i * columns), out.add(i * n), n));
        }
    }

    unsafe fn draws(
        &self,
        key: Key,
        distribution: Distribution,
        per_sequence: bool,
        out: (*mut E, usize),
        width: usize,
        span: Span,
    ) {
        let (from, to) = match span {
            Span::Step(t) => (t, t + 1),
            Span::Range(from, to) => (from, to),
        };
        let mut row = out.0;
        for t in from..to {
            for r in 0..self.rows.active(t) {
                let position = if per_sequence { u64::MAX } else { self.draw.position + t as u64 };
                // SAFETY: `out` holds all rows of the span.
                let units = unsafe { std::slice::from_raw_parts_mut(row, width) };
                let id = self.ids[r] as u64;
                match distribution {
                    Distribution::Bernoulli { probability, value } => {
                        let hit = E::from_f64(value);
                        random::fill_bernoulli(key, id, position, probability, hit, E::default(), units);
                    }
                    Distribution::Uniform { from, to } => random::draw_uniform(key, id, position, from, to, units),
                    Distribution::Normal { mean, deviation } => {
                        random::draw_normal(key, id, position, mean, deviation, units);
                    }
                }
                row = row.wrapping_add(out.1);
            }
        }
    }
}

/// Index `k` of a row of indices: each lies at the start of an element.
///
/// # Safety
/// Element `k` was written by [`put_index`].
unsafe fn index<E>(row: *const E, k: usize) -> usize {
    // SAFETY: elements are at least four bytes wide and aligned for u32.
    unsafe { row.add(k).cast::<u32>().read() as usize }
}

/// An operation along the axis of `extents`; `block` is the width of the result for each outer index.
///
/// # Safety
/// Arguments hold `count` elements, the target as many as the operation gives; the scratch [`scratch_len`].
unsafe fn along<E: Element>(
    what: Along,
    [outer, n, inner]: [usize; 3],
    block: usize,
    a: Arguments<'_, E>,
    count: usize,
    to: *mut E,
    scratch: *mut E,
) {
    let from = a(0);
    // SAFETY: every index stays within outer × n × inner elements of the argument and outer × block of the target.
    unsafe {
        let x = |o: usize, k: usize, j: usize| *from.add((o * n + k) * inner + j);
        let lines = || (0..outer).flat_map(move |o| (0..inner).map(move |j| (o, j)));
        match what {
            Along::Sum => {
                let partials = std::slice::from_raw_parts_mut(scratch, PARTIALS);
                for (o, j) in lines() {
                    partials.fill(E::default());
                    (0..n).for_each(|k| partials[k % PARTIALS] = partials[k % PARTIALS] + x(o, k, j));
                    for half in [8, 4, 2, 1] {
                        (0..half).for_each(|p| partials[p] = partials[p] + partials[p + half]);
                    }
                    *to.add(o * block + j) = partials[0];
                }
            }
            Along::Max => {
                for (o, j) in lines() {
                    *to.add(o * block + j) = x(o, argmax(n, |k| x(o, k, j)), j);
                }
            }
            Along::Argmax => {
                for (o, j) in lines() {
                    put_index(to.add(o * block + j), argmax(n, |k| x(o, k, j)) as u32);
                }
            }
            Along::Cumsum { reverse } => {
                for (o, j) in lines() {
                    let mut sum = E::default();
                    for step in 0..n {
                        let k = if reverse { n - 1 - step } else { step };
                        sum = sum + x(o, k, j);
                        *to.add(o * block + k * inner + j) = sum;
                    }
                }
            }
            Along::Cumprod => {
                for (o, j) in lines() {
                    let mut product = E::from_f64(1.0);
                    for k in 0..n {
                        product = product * x(o, k, j);
                        *to.add(o * block + k * inner + j) = product;
                    }
                }
            }
            Along::CumprodGradient => {
                let g = a(1);
                for (o, j) in lines() {
                    let at = |k: usize| o * block + k * inner + j;
                    // First sₖ from the last to the first, then times the product of those before.
                    let mut s = E::default();
                    for k in (0..n).rev() {
                        let next = if k + 1 < n { x(o, k + 1, j) * s } else { E::default() };
                        s = *g.add(at(k)) + next;
                        *to.add(at(k)) = s;
                    }
                    let mut before = E::from_f64(1.0);
                    for k in 0..n {
                        *to.add(at(k)) = before * *to.add(at(k));
                        before = before * x(o, k, j);
                    }
                }
            }
            Along::Roll { shift } => {
                let shift = shift.rem_euclid(n as i64) as usize;
                for o in 0..outer {
                    let (source, target) = (from.add(o * n * inner), to.add(o * block));
                    let head = (n - shift) * inner;
                    std::ptr::copy_nonoverlapping(source, target.add(shift * inner), head);
                    std::ptr::copy_nonoverlapping(source.add(head), target, shift * inner);
                }
            }
            Along::Argsort => {
                let mut order: Vec<u32> = Vec::with_capacity(n);
                for (o, j) in lines() {
                    order.clear();
                    order.extend(0..n as u32);
                    let at = |k: &u32| x(o, *k as usize, j).to_f64();
                    // NaN is last, zeros are equal.
                    order.sort_by(|a, b| {
                        let (a, b) = (at(a), at(b));
                        a.partial_cmp(&b).unwrap_or_else(|| a.is_nan().cmp(&b.is_nan()))
                    });
                    for (k, &index) in order.iter().enumerate() {
                        put_index(to.add(o * block + k * inner + j), index);
                    }
                }
            }
            Along::Repeat => {
                for o in 0..outer {
                    for k in 0..n {
                        std::ptr::copy_nonoverlapping(from.add(o * inner), to.add((o * n + k) * inner), inner);
                    }
                }
            }
            Along::Part { from: first } => {
                for o in 0..outer {
                    std::ptr::copy_nonoverlapping(from.add((o * n + first) * inner), to.add(o * block), block);
                }
            }
            Along::Pad { before } => {
                std::ptr::write_bytes(to, 0, outer * block);
                let length = count / outer;
                for o in 0..outer {
                    std::ptr::copy_nonoverlapping(from.add(o * length), to.add(o * block + before * inner), length);
                }
            }
        }
    }
}

/// The index of the largest of `n` numbers, the first of several; of the first NaN, if there is one.
fn argmax<E: Element>(n: usize, x: impl Fn(usize) -> E) -> usize {
    (1..n).fold(0, |best, k| {
        let (old, new) = (x(best).to_f64(), x(k).to_f64());
        if new > old || (new.is_nan() && !old.is_nan()) { k } else { best }
    })
}

/// x with A x = b by Gaussian elimination with partial pivoting, ties to the lower row.
///
/// # Safety
/// `a` holds n × n elements, `b` and `x` n; the scratch [`scratch_len`].
unsafe fn solve<E: Element>(transposed: bool, n: usize, a: *const E, b: *const E, x: *mut E, scratch: *mut E) {
    // SAFETY: the caller's promise.
    let (a, b, x, m) = unsafe {
        (
            std::slice::from_raw_parts(a, n * n),
            std::slice::from_raw_parts(b, n),
            std::slice::from_raw_parts_mut(x, n),
            std::slice::from_raw_parts_mut(scratch, n * n),
        )
    };
    for i in 0..n {
        for j in 0..n {
            m[i * n + j] = if transposed { a[j * n + i] } else { a[i * n + j] };
        }
    }
    x.copy_from_slice(b);
    let magnitude = |value: E| value.to_f64().abs();
    for column in 0..n {
        let pivot = (column + 1..n).fold(column, |best, i| {
            if magnitude(m[i * n + column]) > magnitude(m[best * n + column]) { i } else { best }
        });
        if pivot != column {
            (0..n).for_each(|j| m.swap(pivot * n + j, column * n + j));
            x.swap(pivot, column);
        }
        for i in column + 1..n {
            let factor = m[i * n + column] / m[column * n + column];
            for j in column + 1..n {
                m[i * n + j] = m[i * n + j] - factor * m[column * n + j];
            }
            x[i] = x[i] - factor * x[column];
        }
    }
    for i in (0..n).rev() {
        let known = (i + 1..n).fold(x[i], |sum, j| sum - m[i * n + j] * x[j]);
        x[i] = known / m[i * n + i];
    }
}
