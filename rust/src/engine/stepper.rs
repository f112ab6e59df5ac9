//! A few steps at a time: every address is worked out beforehand, so a step is a list of calls of kernels, and what does
//! not depend on states is computed for all of them at once.

use super::addresses::{Addresses, Moving};
use super::frame::{self, Bound, Home, Rule, Span};
use super::lane::chunk_steps;
use super::memory::Memory;
use super::params::{Layout, Params};
use super::rows::Batch;
use super::run::{Draw, Runner, put_index};
use super::shared;
use super::stage::{Ready, Stage, Which, scratch_len};
use crate::error::{Error, Result};
use crate::kernels::{Block, BlockOp, Element, Gemm, Kernels, Narrow, NarrowGemm, Precision, Width, packed_len};
use crate::plan::{Instruction, Plan, padded};
use std::sync::Arc;

/// The most steps at a time.
const SEVERAL: usize = 64;

/// Stages bound for a few steps of a fixed number of rows.
pub struct Stepper<E: Element> {
    stages: Vec<Prepared<E>>,
    batch: Batch,
    input: Bound<E>,
    output: Bound<E>,
    width: (usize, usize),
    kernels: &'static Kernels<E>,
    stamp: (u64, u64),
    scratch: Memory<E>,
    _memory: Memory<E>,
}

// SAFETY: the pointers lead into memory that the stepper owns and to parameters that the model's lock guards.
unsafe impl<E: Element> Send for Stepper<E> {}

struct Prepared<E: Element> {
    /// What comes before the loop over steps, the loop, and what comes after it.
    lists: [Vec<Job<E>>; 3],
    bound: Vec<Bound<E>>,
    ready: Arc<Ready<E>>,
    /// For each state: before the first step, and the elements of all rows, from a boundary to the next.
    tracks: Vec<(*mut E, usize)>,
}

/// An instruction with its addresses.
enum Job<E> {
    Gemm {
        at: Moving<E>,
        columns: usize,
        weights: *const E,
    },
    /// A product with narrow weights; `E` is float32.
    Narrow {
        at: Moving<f32>,
        weights: Narrow,
    },
    Block {
        at: Moving<E>,
        width: usize,
        ops: Vec<BlockOp>,
        temporaries: usize,
    },
    /// A row operation, run from the plan: which list, which instruction.
    Row(usize, usize),
}

impl<E: Element> Job<E> {
    /// Moves on by so many steps.
    fn advance(&mut self, steps: isize) {
        match self {
            Job::Gemm { at, .. } | Job::Block { at, .. } => at.advance(steps),
            Job::Narrow { at, .. } => at.advance(steps),
            Job::Row(..) => {}
        }
    }
}

fn lists(plan: &Plan) -> [&[Instruction]; 3] {
    [&plan.before, &plan.step, &plan.after]
}

impl<E: Element> Stepper<E> {
    /// Binds `stages` for `rows` rows, and for one step at a time or, with `several`, as many as stay in the cache; all
    /// states are zero. With `narrow`, which only float32 has, products read copies of their weights in so few bits.
    #[allow(clippy::too_many_arguments, reason = "one call site")]
    pub fn new(
        stages: &[&Stage<E>],
        layout: &Layout,
        params: &Params<E>,
        kernels: &'static Kernels<E>,
        rows: usize,
        width: usize,
        narrow: Option<Width>,
        several: bool,
    ) -> Result<Self> {
        if narrow.is_some() && E::NAME != f32::NAME {
            return Err(Error::dtype("weights", "a float32 model for narrow weights", E::NAME));
        }
        let which = Which::Infer(false);
        let plans: Vec<&Plan> = stages.iter().map(|s| s.plan(which)).collect();
        let stride = padded(width, E::PAD);
        let size = |rows, packed| plans.iter().map(|p| frame::size(p, Home::Chunk, false, rows, packed)).sum::<usize>();
        let steps = if several { chunk_steps::<E>((size(0, 1) + stride) * rows, SEVERAL) } else { 1 };
        let batch = Batch::new(steps, rows, None, 1)?;
        let shard = &batch.shards[0];
        let size = size(rows, rows * steps);
        let memory: Memory<E> = Memory::new(size + rows * steps * stride)?;
        let input = Bound { ptr: memory.ptr().wrapping_add(size), stride, rule: Rule::Packed { origin: 0 } };
        let scratch = Memory::new(plans.iter().map(|p| scratch_len::<E>(p)).max().unwrap_or(1))?;
        let mut at = 0;
        let mut output = input;
        let mut prepared = Vec::new();
        for (stage, plan) in stages.iter().zip(&plans) {
            let ready = stage.ready(which, params, layout, kernels)?;
            let mut bound = ready.bound.clone();
            at = frame::bind(plan, Home::Chunk, false, &memory, at, shard, 0, rows * steps, &mut bound);
            // Each stage reads the one before; the first reads the input.
            for buffer in plan.inputs.iter().flatten() {
                bound[*buffer] = output;
            }
            let place = plan.outputs[0];
            output = bound[place.buffer].as_input(place);
            let job = |(list, index, instruction): (usize, usize, &Instruction)| {
                let at = Moving::new(instruction, &bound, shard, (0, true), 0);
                match instruction {
                    Instruction::Gemm { pack, .. } => {
                        let pack_of = &plan.packs[*pack];
                        let (columns, depth) = (pack_of.columns, pack_of.depths.iter().sum());
                        let weights = ready.packs[*pack];
                        match narrow {
                            None => Job::Gemm { at, columns, weights },
                            Some(width) => {
                                let length = packed_len(kernels.panel, columns, depth);
                                // SAFETY: the pack holds so many elements, which stay as they are while the model's
                                // parameters are locked.
                                let packed = unsafe { std::slice::from_raw_parts(weights, length) };
                                let weights = Narrow::new(width, kernels.panel, columns, depth, packed);
                                Job::Narrow { at: at.cast(), weights }
                            }
                        }
                    }
                    Instruction::Block { width, ops, temporaries, .. } => {
                        Job::Block { at, width: *width, ops: ops.clone(), temporaries: *temporaries }
                    }
                    Instruction::Row { .. } => Job::Row(list, index),
                }
            };
            let all = lists(plan);
            let jobs = |list: usize| all[list].iter().enumerate().map(|(i, x)| job((list, i, x))).collect();
            let lists = [jobs(0), jobs(1), jobs(2)];
            let boundary = |&track: &usize| (bound[track].at(shard, 0, 0, false), rows * bound[track].stride);
            let tracks = plan.tracks.iter().map(boundary).collect();
            prepared.push(Prepared { lists, bound, ready, tracks });
        }
        let out_width = stages.last().map_or(width, |s| s.graph.width(s.graph.outputs[0]));
        let mut stepper = Self {
            stages: prepared,
            batch,
            input,
            output,
            width: (width, out_width),
            kernels,
            stamp: params.stamp(),
            scratch,
            _memory: memory,
        };
        stepper.reset();
        Ok(stepper)
    }

    /// The most steps that it runs at a time.
    pub fn most(&self) -> usize {
        self.batch.steps
    }

    /// The state of the parameters, and the precision, that it is bound to.
    pub fn bound_to(&self) -> ((u64, u64), Precision) {
        (self.stamp, self.kernels.precision)
    }

    /// Sets all states to zero.
    pub fn reset(&mut self) {
        for &(before, len) in self.stages.iter().flat_map(|s| &s.tracks) {
            // SAFETY: a boundary holds `len` elements.
            unsafe { std::ptr::write_bytes(before, 0, len) };
        }
    }

    /// Row `row` of state number `index` over all stages.
    pub fn state(&mut self, index: usize, row: usize, width: usize) -> &mut [E] {
        let (before, len) =
            self.stages.iter().flat_map(|s| &s.tracks).copied().nth(index).expect("the caller counts the states");
        let stride = len / self.batch.count;
        // SAFETY: a boundary holds a padded row for each row of the batch; `&mut self` makes the access unique.
        unsafe { std::slice::from_raw_parts_mut(before.wrapping_add(row * stride), width) }
    }

    /// Sets the input of the next steps from contiguous rows.
    pub fn set_input(&mut self, x: &[E]) {
        for (row, x) in x.chunks_exact(self.width.0).enumerate() {
            // SAFETY: the input holds a padded row for each row of a step.
            unsafe {
                std::ptr::copy_nonoverlapping(x.as_ptr(), self.input.ptr.wrapping_add(row * self.input.stride), x.len())
            };
        }
    }

    /// Sets the input of the next steps from tokens, checked against their limit.
    pub fn set_tokens(&mut self, tokens: &[u32]) {
        for (row, &token) in tokens.iter().enumerate() {
            // SAFETY: as `set_input`.
            unsafe { put_index(self.input.ptr.wrapping_add(row * self.input.stride), token) };
        }
    }

    /// Runs so many steps, at most [`Self::most`], and writes their outputs to contiguous rows. The stages are those it was
    /// made with.
    pub fn steps(&mut self, stages: &[&Stage<E>], steps: usize, y: &mut [E]) {
        assert!(steps <= self.most(), "a stepper runs {} steps at a time", self.most());
        let rows = self.batch.count;
        let shared = Shared { kernels: self.kernels, batch: &self.batch, scratch: self.scratch.ptr() };
        for (prepared, stage) in self.stages.iter_mut().zip(stages) {
            let Prepared { lists: [before, step, after], bound, ready, .. } = prepared;
            // SAFETY: `new` bound every address to memory of so many steps that this stepper alone uses.
            unsafe {
                before.iter().for_each(|job| shared.run(job, stage, bound, ready, Span::Range(0, steps)));
                for t in 0..steps {
                    for job in step.iter_mut() {
                        shared.run(job, stage, bound, ready, Span::Step(t));
                        if t + 1 < steps {
                            job.advance(1);
                        }
                    }
                }
                after.iter().for_each(|job| shared.run(job, stage, bound, ready, Span::Range(0, steps)));
            }
            if steps > 1 {
                step.iter_mut().for_each(|job| job.advance(1 - steps as isize));
            }
        }
        let from = self.output.at(&self.batch.shards[0], 0, 0, true);
        for (row, y) in y.chunks_exact_mut(self.width.1).take(rows * steps).enumerate() {
            // SAFETY: the output holds a padded row for each row of a step.
            unsafe {
                std::ptr::copy_nonoverlapping(from.wrapping_add(row * self.output.stride), y.as_mut_ptr(), y.len())
            };
        }
        for &(before, len) in self.stages.iter().flat_map(|s| &s.tracks) {
            let after = before.wrapping_add(steps * len);
            // SAFETY: both boundaries hold `len` elements and do not overlap.
            unsafe { std::ptr::copy_nonoverlapping(after, before, if steps > 0 { len } else { 0 }) };
        }
    }
}

/// What all jobs use.
struct Shared<'a, E: Element> {
    kernels: &'static Kernels<E>,
    batch: &'a Batch,
    scratch: *mut E,
}

impl<E: Element> Shared<'_, E> {
    /// Runs a job on the rows of a span.
    ///
    /// # Safety
    /// Its addresses lead to memory of these rows.
    #[inline(always)]
    unsafe fn run(&self, job: &Job<E>, stage: &Stage<E>, bound: &[Bound<E>], ready: &Ready<E>, span: Span) {
        let shard = &self.batch.shards[0];
        let rows = span.rows(shard);
        // SAFETY: the caller's promise.
        unsafe {
            match job {
                Job::Gemm { at, columns, weights } => {
                    let &Addresses { ref terms, init, init_stride, out, out_stride, .. } = &at.at;
                    let (columns, weights) = (*columns, *weights);
                    let gemm = Gemm { rows, columns, terms, weights, init, init_stride, out, out_stride };
                    shared::gemm(self.kernels, &gemm);
                }
                Job::Narrow { at, weights } => {
                    let &Addresses { ref terms, init, init_stride, out, out_stride, .. } = &at.at;
                    let columns = (0, weights.columns());
                    let gemm = NarrowGemm { rows, columns, terms, weights, init, init_stride, out, out_stride };
                    shared::narrow(self.kernels, &gemm);
                }
                Job::Block { at, width, ops, temporaries } => {
                    let (width, temporaries, operands) = (*width, *temporaries, &at.at.operands);
                    (self.kernels.block)(&Block { rows, width, ops, operands, scratch: self.scratch, temporaries });
                }
                Job::Row(list, index) => {
                    let plan = stage.plan(Which::Infer(false));
                    let (ids, draw, scratch) = (&self.batch.order, Draw::default(), self.scratch);
                    let mut runner =
                        Runner::new(self.kernels, plan, bound, &ready.packs, shard, ids, draw, &stage.path, scratch);
                    runner.list(&lists(plan)[*list][*index..=*index], span);
                }
            }
        }
    }
}
