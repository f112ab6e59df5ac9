//! How fast the kernels are on every path of this processor, at the shapes that recurrent layers have.
//!
//! Throughput is given in elements: for products and gradients a multiply-add counts as two, so that "Gelem/s" reads as
//! GFLOP/s; for elementwise programs an element of the result counts as one.

#![allow(missing_docs, reason = "criterion_group! makes a public function")]

use std::hint::black_box;
use std::ptr::null;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use rnnrs::kernels::{
    Accumulate, Block, BlockOp, Element, Elementwise, Gemm, Isa, Kernels, Left, Operand, Segment, Term, Window,
    scratch_len,
};

/// The paths of this processor but scalar, which is for comparison only.
fn paths<E: Element>() -> impl Iterator<Item = &'static Kernels<E>> {
    Isa::ALL.into_iter().filter(|&isa| isa != Isa::Scalar).filter_map(E::kernels)
}

/// Numbers between −½ and ½, from the first multiple of 64 bytes on.
struct Buffer<E>(Vec<E>);

impl<E: Element> Buffer<E> {
    fn new(len: usize) -> Self {
        Buffer((0..len + E::PAD).map(|i| E::from_f64((i * 7919 % 1000) as f64 * 1e-3 - 0.5)).collect())
    }

    fn ptr(&mut self) -> *mut E {
        let start = self.0.as_ptr().align_offset(64);
        self.0[start..].as_mut_ptr()
    }
}

fn gemm<E: Element>(c: &mut Criterion) {
    let mut group = c.benchmark_group(format!("gemm {}", E::NAME));
    for (rows, k, columns) in
        [(16, 128, 512), (32, 512, 2048), (8, 256, 1024), (4, 256, 1024), (1, 64, 128), (1, 128, 512), (1, 512, 2048)]
    {
        let (mut a, mut w, mut out) =
            (Buffer::<E>::new(rows * k), Buffer::<E>::new(k * columns), Buffer::<E>::new(rows * columns));
        let terms = [Term { a: a.ptr().cast_const(), stride: k, k }];
        let gemm = Gemm {
            rows,
            columns,
            terms: &terms,
            weights: w.ptr(),
            init: null(),
            init_stride: 0,
            out: out.ptr(),
            out_stride: columns,
        };
        group.throughput(Throughput::Elements(2 * (rows * k * columns) as u64));
        for kernels in paths::<E>() {
            let id = BenchmarkId::new(kernels.isa.name(), format!("{rows}x{k}x{columns}"));
            // SAFETY: the buffers have the shapes that are given.
            group.bench_function(id, |b| b.iter(|| unsafe { (kernels.gemm)(black_box(&gemm)) }));
        }
    }
}

fn accumulate<E: Element>(c: &mut Criterion) {
    let mut group = c.benchmark_group(format!("accumulate {}", E::NAME));
    for (m, v, rows, windows) in
        [(512, 128, 512, 2), (2048, 512, 1024, 1), (128, 512, 512, 6), (64, 256, 16, 60), (1, 256, 1024, 6)]
    {
        let all = rows * windows;
        let (mut a, mut b, mut total) = (Buffer::<E>::new(all * m), Buffer::<E>::new(all * v), Buffer::<E>::new(m * v));
        let (a, b) = (a.ptr(), b.ptr());
        let segments: Vec<_> = (0..windows)
            .map(|w| Segment { b: b.wrapping_add(w * rows * v).cast_const(), b_stride: v as isize, rows })
            .collect();
        let lefts: Vec<_> = (0..windows).map(|w| a.wrapping_add(w * rows * m).cast_const()).collect();
        let ranges: Vec<_> = (0..windows).map(|first| Window { first, count: 1 }).collect();
        let left = Left { m, a: &lefts, a_stride: m as isize, total: total.ptr(), total_stride: v };
        let accumulate = Accumulate { v, windows: &ranges, segments: &segments, lefts: &[left], fresh: true };
        group.throughput(Throughput::Elements(2 * (m * v * all) as u64));
        for kernels in paths::<E>() {
            let id = BenchmarkId::new(kernels.isa.name(), format!("{m}x{v}, {windows} windows of {rows}"));
            // SAFETY: the buffers have the shapes that are given.
            group.bench_function(id, |b| b.iter(|| unsafe { (kernels.accumulate)(black_box(&accumulate)) }));
        }
    }
}

/// The nine elementwise operations of an LSTM, and single operations.
fn block<E: Element>(c: &mut Criterion) {
    use Elementwise::{Add, Exp, Flush, Fma, Log, Mul, Sigmoid, Sin, Softplus, Tanh};
    let op = |op, dst, a, b, c| BlockOp { op, dst, a, b, c };
    // Operands: gates i, f, g, o; c; h. Temporaries from 6 on.
    let lstm = vec![
        op(Sigmoid, 6, 0, 0, 0),
        op(Sigmoid, 7, 1, 0, 0),
        op(Tanh, 8, 2, 0, 0),
        op(Sigmoid, 9, 3, 0, 0),
        op(Mul, 8, 6, 8, 0),
        op(Fma, 8, 7, 4, 8),
        op(Flush, 4, 8, 0, 0),
        op(Tanh, 8, 4, 0, 0),
        op(Mul, 5, 9, 8, 0),
    ];
    let mut programs = vec![("lstm".to_string(), lstm)];
    for single in [Sigmoid, Tanh, Exp, Log, Softplus, Sin, Add] {
        programs.push((format!("{single:?}").to_lowercase(), vec![op(single, 5, 4, 4, 0)]));
    }
    let mut group = c.benchmark_group(format!("block {}", E::NAME));
    for (rows, width) in [(1, 32), (1, 128), (16, 128)] {
        let (mut gates, mut c, mut h, mut scratch) = (
            Buffer::<E>::new(rows * 4 * width),
            Buffer::<E>::new(rows * width),
            Buffer::<E>::new(rows * width),
            Buffer::<E>::new(scratch_len(4)),
        );
        let gates = gates.ptr();
        let mut operands: Vec<_> =
            (0..4).map(|gate| Operand { ptr: gates.wrapping_add(gate * width), stride: 4 * width }).collect();
        operands.extend([c.ptr(), h.ptr()].map(|ptr| Operand { ptr, stride: width }));
        group.throughput(Throughput::Elements((rows * width) as u64));
        for (name, ops) in &programs {
            let block = Block { rows, width, ops, operands: &operands, scratch: scratch.ptr(), temporaries: 4 };
            for kernels in paths::<E>() {
                let id = BenchmarkId::new(format!("{name} {}", kernels.isa.name()), format!("{rows}x{width}"));
                // SAFETY: the buffers have the shapes that are given.
                group.bench_function(id, |b| b.iter(|| unsafe { (kernels.block)(black_box(&block)) }));
            }
        }
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .sample_size(20)
        .warm_up_time(std::time::Duration::from_millis(200))
        .measurement_time(std::time::Duration::from_millis(600));
    targets = gemm::<f32>, gemm::<f64>, accumulate::<f32>, accumulate::<f64>, block::<f32>, block::<f64>
}
criterion_main!(benches);
