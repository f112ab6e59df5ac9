//! The kernels give the same bits on every path, and those of the plain loops in their documentation.
//!
//! Shapes run through all tails; padding is filled with NaN, which must reach nothing.

use proptest::prelude::*;
use rnnrs::kernels::{
    Accumulate, Block, BlockOp, Broadcast, Element, Elementwise, Gemm, Isa, Kernels, Left, Narrow, NarrowGemm, Operand,
    Piece, Precision, Reduce, ReduceKind, Segment, Term, Width, Window, nearest, pack, pack_pairs, packed_len,
    scratch_len,
};

/// Every path that this processor has.
fn paths<E: Element>() -> Vec<&'static Kernels<E>> {
    paths_of(Precision::Full)
}

fn paths_of<E: Element>(precision: Precision) -> Vec<&'static Kernels<E>> {
    let paths: Vec<_> = Isa::ALL.into_iter().filter_map(|isa| E::kernels_of(isa, precision)).collect();
    assert!(paths.iter().any(|kernels| kernels.isa == Isa::Scalar));
    paths
}

/// A matrix whose rows are padded to a multiple of PAD and begin at multiples of 64 bytes.
struct Matrix<E> {
    memory: Vec<E>,
    start: usize,
    rows: usize,
    width: usize,
    stride: usize,
}

impl<E: Element> Matrix<E> {
    /// All NaN.
    fn new(rows: usize, width: usize) -> Self {
        let stride = width.next_multiple_of(E::PAD).max(E::PAD);
        let memory = vec![E::from_f64(f64::NAN); rows * stride + E::PAD];
        let start = memory.as_ptr().align_offset(64);
        Matrix { memory, start, rows, width, stride }
    }

    /// Numbers of a counter-based sequence.
    fn random(rows: usize, width: usize, seed: u64) -> Self {
        let mut matrix = Matrix::new(rows, width);
        for r in 0..rows {
            for k in 0..width {
                let at = matrix.start + r * matrix.stride + k;
                matrix.memory[at] = number(seed, r as u64, k as u64);
            }
        }
        matrix
    }

    fn at(&self, r: usize, k: usize) -> E {
        self.memory[self.start + r * self.stride + k]
    }

    fn ptr(&self) -> *const E {
        self.memory[self.start..].as_ptr()
    }

    fn ptr_mut(&mut self) -> *mut E {
        self.memory[self.start..].as_mut_ptr()
    }

    /// The bits of the valid elements; all NaN are one.
    fn bits(&self) -> Vec<u64> {
        let rows = (0..self.rows).flat_map(|r| (0..self.width).map(move |k| (r, k)));
        rows.map(|(r, k)| bits(self.at(r, k))).collect()
    }
}

fn bits<E: Element>(x: E) -> u64 {
    if x.to_f64().is_nan() { f64::NAN.to_bits() } else { x.to_f64().to_bits() }
}

/// A number in −1..1 made of a seed and a place.
fn number<E: Element>(seed: u64, r: u64, k: u64) -> E {
    let mut z = seed ^ r.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ k.wrapping_mul(0xbf58_476d_1ce4_e5b9);
    for _ in 0..2 {
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^= z >> 31;
    }
    E::from_f64((z >> 11) as f64 / (1u64 << 52) as f64 - 1.0)
}

/// An operand of a product, as a precision takes it.
fn taken<E: Element>(precision: Precision, x: E) -> E {
    match precision {
        Precision::Full => x,
        Precision::Bfloat16 => {
            let rounded = bfloat16(x.to_f64() as f32);
            assert_eq!(rounded.to_bits() >> 16, u32::from(nearest(x.to_f64() as f32)));
            E::from_f64(f64::from(rounded))
        }
    }
}

fn check_gemm<E: Element>(
    precision: Precision,
    rows: usize,
    n: usize,
    depths: &[usize],
    init: u8,
    in_place: bool,
    seed: u64,
) {
    let columns = n.next_multiple_of(E::PAD);
    let depth = depths.iter().sum();
    let operands: Vec<Matrix<E>> =
        depths.iter().enumerate().map(|(i, &k)| Matrix::random(rows, k, seed + i as u64)).collect();
    let weights: Matrix<E> = Matrix::random(depth, n, seed ^ 77);
    let start: Matrix<E> = Matrix::random(rows, columns, seed ^ 99);
    let mut expected = Matrix::<E>::new(rows, columns);
    for r in 0..rows {
        for j in 0..columns {
            let mut chain = match init {
                0 => E::default(),
                1 => start.at(0, j),
                _ => start.at(r, j),
            };
            let mut row = 0;
            for operand in &operands {
                for k in 0..operand.width {
                    let w = if j < n { weights.at(row + k, j) } else { E::default() };
                    chain = taken(precision, operand.at(r, k)).mul_add(taken(precision, w), chain);
                }
                row += operand.width;
            }
            let at = expected.start + r * expected.stride + j;
            expected.memory[at] = chain;
        }
    }
    for kernels in paths_of::<E>(precision) {
        let mut packed = Matrix::<E>::new(1, packed_len(kernels.panel, columns, depth));
        // Two pieces, one given transposed.
        let cut = n / 3;
        let transposed: Vec<E> =
            (cut..n).flat_map(|j| (0..depth).map(move |k| (k, j))).map(|(k, j)| weights.at(k, j)).collect();
        let mut pieces = Vec::new();
        let mut k0 = 0;
        for &k in depths {
            let src = weights.ptr().wrapping_add(k0 * weights.stride);
            pieces.push(Piece { src, sk: weights.stride, sn: 1, k0, k, n0: 0, n: cut });
            let src = transposed.as_ptr().wrapping_add(k0);
            pieces.push(Piece { src, sk: 1, sn: depth, k0, k, n0: cut, n: n - cut });
            k0 += k;
        }
        // SAFETY: the pieces cover the matrix; the rest is zero.
        unsafe {
            match precision {
                Precision::Full => pack(kernels.panel, columns, depth, &pieces, packed.ptr_mut()),
                Precision::Bfloat16 => pack_pairs(kernels.panel, columns, depths, &pieces, packed.ptr_mut().cast()),
            }
        }
        let mut out = Matrix::<E>::new(rows, columns);
        if in_place && init == 2 {
            out.memory[out.start..out.start + rows * out.stride]
                .copy_from_slice(&start.memory[start.start..start.start + rows * start.stride]);
        }
        // Operands at odd addresses, packed without padding.
        let copies: Vec<Vec<E>> = operands
            .iter()
            .map(|a| {
                [E::default()]
                    .into_iter()
                    .chain((0..rows).flat_map(|r| (0..a.width).map(move |k| a.at(r, k))))
                    .collect()
            })
            .collect();
        let terms: Vec<_> =
            copies.iter().zip(depths).map(|(a, &k)| Term { a: a[1..].as_ptr(), stride: k, k }).collect();
        let out_ptr = out.ptr_mut();
        let (init, init_stride) = match init {
            0 => (std::ptr::null(), 0),
            1 => (start.ptr(), 0),
            _ if in_place => (out_ptr.cast_const(), out.stride),
            _ => (start.ptr(), start.stride),
        };
        let gemm = Gemm {
            rows,
            columns,
            terms: &terms,
            weights: packed.ptr(),
            init,
            init_stride,
            out: out_ptr,
            out_stride: out.stride,
        };
        // SAFETY: the matrices have the shapes that are given.
        unsafe { (kernels.gemm)(&gemm) };
        assert_eq!(out.bits(), expected.bits(), "{:?} {rows} x {depths:?} x {n}", kernels.isa);
    }
}

/// What is left of a weight that is kept in 16 bits: the nearer of its neighbours with an empty lower half.
fn bfloat16(weight: f32) -> f32 {
    let below = f32::from_bits(weight.to_bits() & 0xffff_0000);
    let above = f32::from_bits((weight.to_bits() & 0xffff_0000) + 0x1_0000);
    let distance = |to: f32| (f64::from(weight) - f64::from(to)).abs();
    match distance(below).total_cmp(&distance(above)) {
        std::cmp::Ordering::Less => below,
        std::cmp::Ordering::Greater => above,
        std::cmp::Ordering::Equal => {
            if below.to_bits() >> 16 & 1 == 0 {
                below
            } else {
                above
            }
        }
    }
}

fn check_narrow(rows: usize, n: usize, depths: &[usize], started: bool, width: Width, seed: u64) {
    let columns = n.next_multiple_of(f32::PAD);
    let depth: usize = depths.iter().sum();
    let operands: Vec<Matrix<f32>> =
        depths.iter().enumerate().map(|(i, &k)| Matrix::random(rows, k, seed + i as u64)).collect();
    let weights: Matrix<f32> = Matrix::random(depth, columns, seed ^ 77);
    let start: Matrix<f32> = Matrix::random(rows, columns, seed ^ 99);
    let mut expected = Matrix::<f32>::new(rows, columns);
    for j in 0..columns {
        let scale = match width {
            Width::Bfloat16 => 1.0,
            Width::Int8 => (0..depth).map(|k| weights.at(k, j).abs() / 127.0).fold(0.0, f32::max),
        };
        let kept = |k: usize| match width {
            Width::Bfloat16 => bfloat16(weights.at(k, j)),
            Width::Int8 if scale == 0.0 => 0.0,
            Width::Int8 => (weights.at(k, j) / scale).round_ties_even(),
        };
        for r in 0..rows {
            let left = operands.iter().flat_map(|a| (0..a.width).map(move |k| a.at(r, k)));
            let chain = left.enumerate().fold(0.0f32, |chain, (k, a)| a.mul_add(kept(k), chain));
            let at = expected.start + r * expected.stride + j;
            expected.memory[at] = scale.mul_add(chain, if started { start.at(r, j) } else { 0.0 });
        }
    }
    for kernels in paths::<f32>() {
        let mut packed = Matrix::<f32>::new(1, packed_len(kernels.panel, columns, depth));
        let piece = Piece { src: weights.ptr(), sk: weights.stride, sn: 1, k0: 0, k: depth, n0: 0, n: columns };
        // SAFETY: the piece covers the matrix.
        unsafe { pack(kernels.panel, columns, depth, &[piece], packed.ptr_mut()) };
        let elements = &packed.memory[packed.start..][..columns * depth];
        let narrow = Narrow::new(width, kernels.panel, columns, depth, elements);
        let terms: Vec<_> = operands.iter().map(|a| Term { a: a.ptr(), stride: a.stride, k: a.width }).collect();
        let mut out = Matrix::<f32>::new(rows, columns);
        // In two parts, as two threads do it.
        let cut = columns / kernels.panel / 2 * kernels.panel;
        for columns in [(0, cut), (cut, columns)] {
            let gemm = NarrowGemm {
                rows,
                columns,
                terms: &terms,
                weights: &narrow,
                init: if started { start.ptr() } else { std::ptr::null() },
                init_stride: start.stride,
                out: out.ptr_mut(),
                out_stride: out.stride,
            };
            // SAFETY: the matrices have the shapes that are given.
            unsafe { (kernels.narrow)(&gemm) };
        }
        assert_eq!(out.bits(), expected.bits(), "{:?} {rows} x {depths:?} x {n}, {width:?}", kernels.isa);
    }
}

fn check_accumulate<E: Element>(
    precision: Precision,
    m: usize,
    v: usize,
    windows: &[Vec<usize>],
    fresh: bool,
    ones: bool,
    seed: u64,
) {
    let m = if ones { 1 } else { m };
    let flat: Vec<usize> = windows.iter().flatten().copied().collect();
    let a: Vec<Matrix<E>> = flat.iter().enumerate().map(|(i, &r)| Matrix::random(r, m, seed + i as u64)).collect();
    let b: Vec<Matrix<E>> =
        flat.iter().enumerate().map(|(i, &r)| Matrix::random(r, v, seed + 1000 + i as u64)).collect();
    let start = Matrix::<E>::random(m, v, seed ^ 5);
    let mut expected = Matrix::<E>::new(m, v);
    for i in 0..m {
        for j in 0..v {
            let mut total = if fresh { E::default() } else { start.at(i, j) };
            let mut segment = 0;
            for (w, window) in windows.iter().enumerate() {
                let mut part = E::default();
                for _ in window {
                    for r in 0..flat[segment] {
                        let left = if ones { E::from_f64(1.0) } else { taken(precision, a[segment].at(r, i)) };
                        part = left.mul_add(taken(precision, b[segment].at(r, j)), part);
                    }
                    segment += 1;
                }
                total = if fresh && w == 0 { part } else { total + part };
            }
            let at = expected.start + i * expected.stride + j;
            expected.memory[at] = total;
        }
    }
    let mut first = 0;
    let ranges: Vec<_> = windows
        .iter()
        .map(|w| {
            first += w.len();
            Window { first: first - w.len(), count: w.len() }
        })
        .collect();
    // Rows end where their memory ends, so that a tool which watches memory sees a read beyond; they lie in either order.
    for turned in [false, true] {
        let tight = |matrices: &[Matrix<E>]| -> Vec<Vec<E>> {
            let rows = |matrix: &Matrix<E>| {
                let row = |r: usize| if turned { matrix.rows - 1 - r } else { r };
                (0..matrix.rows).flat_map(|r| (0..matrix.width).map(move |k| matrix.at(row(r), k))).collect()
            };
            matrices.iter().map(rows).collect()
        };
        let stride = |width: usize| width as isize * if turned { -1 } else { 1 };
        let begin = |memory: &[E], width: usize| {
            memory.as_ptr().wrapping_add(if turned { memory.len().saturating_sub(width) } else { 0 })
        };
        let (left_rows, right_rows) = (tight(&a), tight(&b));
        let segment = |(memory, &rows): (&Vec<E>, &usize)| Segment { b: begin(memory, v), b_stride: stride(v), rows };
        let segments: Vec<_> = right_rows.iter().zip(&flat).map(segment).collect();
        let lefts: Vec<_> = if ones { vec![] } else { left_rows.iter().map(|memory| begin(memory, m)).collect() };
        for kernels in paths_of::<E>(precision) {
            let mut total = Matrix::<E>::random(m, v, seed ^ 5);
            let mut again = Matrix::<E>::random(m, v, seed ^ 5);
            let left = |total: &mut Matrix<E>| {
                let total_stride = total.stride;
                Left { m, a: &lefts, a_stride: stride(m), total: total.ptr_mut(), total_stride }
            };
            // Several operands on the left are each as one alone.
            let both = [left(&mut total), left(&mut again)];
            let accumulate = Accumulate { v, windows: &ranges, segments: &segments, lefts: &both, fresh };
            // SAFETY: the matrices have the shapes that are given.
            unsafe { (kernels.accumulate)(&accumulate) };
            for total in [total, again] {
                assert_eq!(total.bits(), expected.bits(), "{:?} {m} x {v}, {windows:?}, fresh {fresh}", kernels.isa);
            }
        }
    }
}

fn check_block<E: Element>(rows: usize, width: usize, program: &[(usize, u16, u16, u16, u16)], seed: u64) {
    let padded = width.next_multiple_of(E::PAD);
    let temporaries = 3;
    let externals = 4;
    let all = Elementwise::ALL;
    // Operands 0..3 are matrices (2 is a part of a wider one), 3 is a row for all; then the temporaries.
    let clean = |index: u16, writes: bool| index % (if writes { 3 } else { 4 } + temporaries as u16);
    let index = |i: u16, writes: bool| {
        let i = clean(i, writes);
        if writes && i >= 3 { i + 1 } else { i }
    };
    let mut ops: Vec<BlockOp> = (0..temporaries)
        .map(|t| BlockOp { op: Elementwise::Copy, dst: externals + t as u16, a: t as u16, b: 0, c: 0 })
        .collect();
    ops.extend(program.iter().map(|&(op, dst, a, b, c)| BlockOp {
        op: all[op % all.len()],
        dst: index(dst, true),
        a: index(a, false),
        b: index(b, false),
        c: index(c, false),
    }));
    let mut first: Option<Vec<u64>> = None;
    for kernels in paths::<E>() {
        let mut x = Matrix::<E>::random(rows, padded, seed);
        let mut y = Matrix::<E>::random(rows, padded, seed ^ 3);
        let mut wide = Matrix::<E>::random(rows, 3 * padded, seed ^ 4);
        let mut row = Matrix::<E>::random(1, padded, seed ^ 6);
        let strides = [x.stride, y.stride, wide.stride, 0];
        let operands: Vec<_> = [x.ptr_mut(), y.ptr_mut(), wide.ptr_mut().wrapping_add(padded), row.ptr_mut()]
            .into_iter()
            .zip(strides)
            .map(|(ptr, stride)| Operand { ptr, stride })
            .collect();
        let mut scratch = Matrix::<E>::new(1, scratch_len(temporaries));
        let block =
            Block { rows, width: padded, ops: &ops, operands: &operands, scratch: scratch.ptr_mut(), temporaries };
        // SAFETY: the matrices have the shapes that are given; temporaries are written first.
        unsafe { (kernels.block)(&block) };
        let bits = [x.bits(), y.bits(), wide.bits()].concat();
        match &first {
            None => first = Some(bits),
            Some(first) => assert!(*first == bits, "{:?} {rows} x {width} {ops:?}", kernels.isa),
        }
        // The same elements alone, in the smallest block there is.
        for r in [0, rows - 1] {
            for k in [0, width - 1] {
                let from = k / E::PAD * E::PAD;
                let cut = |m: &Matrix<E>, r: usize, from: usize| {
                    let mut part = Matrix::<E>::new(1, E::PAD);
                    for j in 0..E::PAD {
                        let at = part.start + j;
                        part.memory[at] = m.at(r, from + j);
                    }
                    part
                };
                let mut parts = [
                    cut(&Matrix::random(rows, padded, seed), r, from),
                    cut(&Matrix::random(rows, padded, seed ^ 3), r, from),
                    cut(&Matrix::random(rows, 3 * padded, seed ^ 4), r, padded + from),
                    cut(&Matrix::random(1, padded, seed ^ 6), 0, from),
                ];
                let operands: Vec<_> =
                    parts.iter_mut().map(|part| Operand { ptr: part.ptr_mut(), stride: part.stride }).collect();
                let block = Block {
                    rows: 1,
                    width: E::PAD,
                    ops: &ops,
                    operands: &operands,
                    scratch: scratch.ptr_mut(),
                    temporaries,
                };
                // SAFETY: as above.
                unsafe { (kernels.block)(&block) };
                assert_eq!(bits_at(&parts[0], k - from), bits_at_row(&x, r, k), "{:?} {ops:?}", kernels.isa);
                assert_eq!(bits_at(&parts[1], k - from), bits_at_row(&y, r, k));
                assert_eq!(bits_at(&parts[2], k - from), bits_at_row(&wide, r, padded + k));
            }
        }
    }
}

/// Operations made as one round where their parts do.
fn check_fused<E: Element>(seed: u64) {
    use Elementwise::{
        Add, Flush, FlushedAdd, FlushedFma, FlushedMul, Fma, Mul, SigmoidSlope, Sub, TanhSlope, TimesSigmoidSlope,
        TimesTanhSlope,
    };
    // Operands 0, 1, 2 are numbers, 3 ones, 4 what the parts give, 5 what the whole gives; 6 is a temporary.
    let op = |op, dst, a, b, c| BlockOp { op, dst, a, b, c };
    let square = op(Mul, 6, 1, 1, 0);
    let cases = [
        (vec![square, op(Sub, 4, 1, 6, 0)], op(SigmoidSlope, 5, 1, 0, 0)),
        (vec![square, op(Sub, 4, 3, 6, 0)], op(TanhSlope, 5, 1, 0, 0)),
        (vec![square, op(Sub, 6, 1, 6, 0), op(Mul, 4, 0, 6, 0)], op(TimesSigmoidSlope, 5, 0, 1, 0)),
        (vec![square, op(Sub, 6, 3, 6, 0), op(Mul, 4, 0, 6, 0)], op(TimesTanhSlope, 5, 0, 1, 0)),
        (vec![op(Add, 6, 0, 1, 0), op(Flush, 4, 6, 0, 0)], op(FlushedAdd, 5, 0, 1, 0)),
        (vec![op(Mul, 6, 0, 1, 0), op(Flush, 4, 6, 0, 0)], op(FlushedMul, 5, 0, 1, 0)),
        (vec![op(Fma, 6, 0, 1, 2), op(Flush, 4, 6, 0, 0)], op(FlushedFma, 5, 0, 1, 2)),
    ];
    let width = 4 * E::PAD;
    for kernels in paths::<E>() {
        for (parts, whole) in &cases {
            let mut values: Vec<Matrix<E>> = (0..6).map(|i| Matrix::random(1, width, seed + i)).collect();
            for k in 0..width {
                let at = values[3].start + k;
                values[3].memory[at] = E::from_f64(1.0);
                // Some products and sums are so small that they are flushed.
                if k % 3 == 0 {
                    for matrix in &mut values[..3] {
                        let at = matrix.start + k;
                        matrix.memory[at] = matrix.memory[at] * E::TINY;
                    }
                }
            }
            let operands: Vec<_> = values.iter_mut().map(|v| Operand { ptr: v.ptr_mut(), stride: v.stride }).collect();
            let ops: Vec<BlockOp> = parts.iter().chain([whole]).copied().collect();
            let mut scratch = Matrix::<E>::new(1, scratch_len(1));
            let scratch = scratch.ptr_mut();
            let block = Block { rows: 1, width, ops: &ops, operands: &operands, scratch, temporaries: 1 };
            // SAFETY: the matrices have the shapes that are given; the temporary is written first.
            unsafe { (kernels.block)(&block) };
            assert_eq!(values[4].bits(), values[5].bits(), "{:?} {whole:?}", kernels.isa);
        }
    }
}

fn bits_at<E: Element>(m: &Matrix<E>, k: usize) -> u64 {
    bits(m.at(0, k))
}

fn bits_at_row<E: Element>(m: &Matrix<E>, r: usize, k: usize) -> u64 {
    bits(m.at(r, k))
}

fn check_reduce<E: Element>(rows: usize, n: usize, nan: Option<usize>, seed: u64) {
    let mut a = Matrix::<E>::random(rows, n, seed);
    if let (Some(k), true) = (nan, n > 0) {
        let at = a.start + (rows - 1) * a.stride + k % n;
        a.memory[at] = E::from_f64(f64::NAN);
    }
    for kind in [ReduceKind::Sum, ReduceKind::Max] {
        let join = |a: E, b: E| match kind {
            ReduceKind::Sum => a + b,
            ReduceKind::Max if a > b || a.to_f64().is_nan() => a,
            ReduceKind::Max => b,
        };
        let expected: Vec<u64> = (0..rows)
            .map(|r| {
                let start = if kind == ReduceKind::Sum { 0.0 } else { f64::NEG_INFINITY };
                let mut partials = [E::from_f64(start); 16];
                for k in 0..n {
                    partials[k % 16] = join(partials[k % 16], a.at(r, k));
                }
                for half in [8, 4, 2, 1] {
                    for j in 0..half {
                        partials[j] = join(partials[j], partials[j + half]);
                    }
                }
                bits(partials[0])
            })
            .collect();
        for kernels in paths::<E>() {
            let mut out = Matrix::<E>::new(rows, E::PAD);
            let reduce =
                Reduce { kind, rows, n, a: a.ptr(), a_stride: a.stride, out: out.ptr_mut(), out_stride: out.stride };
            // SAFETY: the matrices have the shapes that are given.
            unsafe { (kernels.reduce)(&reduce) };
            let got: Vec<u64> = (0..rows).map(|r| bits(out.at(r, 0))).collect();
            assert_eq!(got, expected, "{:?} {kind:?} {rows} x {n}", kernels.isa);
            assert!((0..E::PAD).all(|k| bits(out.at(0, k)) == expected[0]));

            let width = n.next_multiple_of(E::PAD);
            let mut spread = Matrix::<E>::new(rows, width);
            let broadcast = Broadcast {
                rows,
                width,
                a: out.ptr(),
                a_stride: out.stride,
                out: spread.ptr_mut(),
                out_stride: spread.stride,
            };
            // SAFETY: as above.
            unsafe { (kernels.broadcast)(&broadcast) };
            let repeated: Vec<u64> = expected.iter().flat_map(|&x| vec![x; width]).collect();
            assert_eq!(spread.bits(), repeated, "{:?} broadcast {rows} x {width}", kernels.isa);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn gemm(
        rows in 1usize..20,
        n in 1usize..200,
        depths in prop::collection::vec(0usize..40, 1..4),
        init in 0u8..3,
        in_place: bool,
        seed: u64,
    ) {
        let seed = seed >> 8;
        check_gemm::<f32>(Precision::Full, rows, n, &depths, init, in_place, seed);
        check_gemm::<f64>(Precision::Full, rows, n, &depths, init, in_place, seed);
        check_gemm::<f32>(Precision::Bfloat16, rows, n, &depths, init, in_place, seed);
    }

    #[test]
    fn narrow(
        rows in 1usize..4,
        n in 1usize..200,
        depths in prop::collection::vec(0usize..40, 1..4),
        started: bool,
        seed: u64,
    ) {
        for width in [Width::Bfloat16, Width::Int8] {
            check_narrow(rows, n, &depths, started, width, seed >> 8);
        }
    }

    #[test]
    fn accumulate(
        m in 1usize..40,
        v in 1usize..100,
        windows in prop::collection::vec(prop::collection::vec(0usize..40, 0..4), 0..12),
        fresh: bool,
        ones: bool,
        seed: u64,
    ) {
        let seed = seed >> 8;
        check_accumulate::<f32>(Precision::Full, m, v, &windows, fresh, ones, seed);
        check_accumulate::<f64>(Precision::Full, m, v, &windows, fresh, ones, seed);
        check_accumulate::<f32>(Precision::Bfloat16, m, v, &windows, fresh, ones, seed);
    }

    #[test]
    fn block(
        rows in 1usize..9,
        width in 1usize..140,
        program in prop::collection::vec(any::<(usize, u16, u16, u16, u16)>(), 1..30),
        seed: u64,
    ) {
        let seed = seed >> 8;
        check_block::<f32>(rows, width, &program, seed);
        check_block::<f64>(rows, width, &program, seed);
    }

    #[test]
    fn reduce_and_broadcast(rows in 1usize..5, n in 0usize..100, nan: Option<usize>, seed: u64) {
        let seed = seed >> 8;
        check_reduce::<f32>(rows, n, nan, seed);
        check_reduce::<f64>(rows, n, nan, seed);
    }
}

#[test]
fn fused_operations_are_their_parts() {
    for seed in 0..20 {
        check_fused::<f32>(seed);
        check_fused::<f64>(seed);
    }
}

/// Sizes that the property tests do not reach: many tiles, panels, stretches and pieces.
#[test]
fn large_shapes() {
    check_gemm::<f32>(Precision::Full, 33, 300, &[70, 130], 1, false, 1);
    check_gemm::<f32>(Precision::Full, 1, 1000, &[50], 2, true, 2);
    check_gemm::<f64>(Precision::Full, 3, 500, &[50], 0, false, 3);
    check_accumulate::<f32>(Precision::Full, 300, 150, &[vec![100, 200], vec![90], vec![1, 1, 1]], true, false, 4);
    check_accumulate::<f64>(Precision::Full, 270, 90, &[vec![130, 40], vec![300]], false, false, 5);
    check_accumulate::<f32>(Precision::Full, 3, 200, &vec![vec![1]; 200], true, false, 6);
    check_accumulate::<f32>(Precision::Full, 2, 200, &vec![vec![0]; 150], true, false, 7);
    check_accumulate::<f32>(Precision::Full, 2, 40, &[vec![1; 100], vec![0; 70]], true, false, 8);
    check_gemm::<f32>(Precision::Bfloat16, 213, 300, &[71, 600], 2, false, 12);
    check_accumulate::<f32>(Precision::Bfloat16, 300, 150, &[vec![100, 200], vec![90]], true, false, 13);
    check_block::<f32>(3, 1100, &[(7, 0, 1, 2, 3), (8, 1, 0, 2, 3), (3, 2, 1, 0, 0)], 9);
    check_block::<f64>(70, 8, &[(7, 0, 1, 2, 3), (8, 1, 0, 2, 3), (3, 2, 1, 0, 0)], 10);
    check_reduce::<f32>(2, 5000, None, 11);
}
