//! One step at a time: every address is worked out beforehand, so a step is a list of calls of kernels.

use super::addresses::Addresses;
use super::frame::{self, Bound, Home, Rule, Span};
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

/// Stages bound for steps of a fixed number of rows.
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
    jobs: Vec<Job<E>>,
    bound: Vec<Bound<E>>,
    ready: Arc<Ready<E>>,
    /// For each state: before the step, after it, elements of all rows.
    tracks: Vec<(*mut E, *mut E, usize)>,
}

/// An instruction with its addresses.
enum Job<E> {
    Gemm {
        at: Addresses<E>,
        columns: usize,
        weights: *const E,
    },
    /// A product with narrow weights; `E` is float32.
    Narrow {
        at: Addresses<f32>,
        weights: Narrow,
    },
    Block {
        at: Addresses<E>,
        width: usize,
        ops: Vec<BlockOp>,
        temporaries: usize,
    },
    /// A row operation, run from the plan: which list, which instruction.
    Row(usize, usize),
}

fn lists(plan: &Plan) -> [&[Instruction]; 3] {
    [&plan.before, &plan.step, &plan.after]
}

impl<E: Element> Stepper<E> {
    /// Binds `stages` for `rows` rows; all states are zero. With `narrow`, which only float32 has, products read copies of
    /// their weights in so few bits.
    pub fn new(
        stages: &[&Stage<E>],
        layout: &Layout,
        params: &Params<E>,
        kernels: &'static Kernels<E>,
        rows: usize,
        width: usize,
        narrow: Option<Width>,
    ) -> Result<Self> {
        if narrow.is_some() && E::NAME != f32::NAME {
            return Err(Error::dtype("weights", "a float32 model for narrow weights", E::NAME));
        }
        let batch = Batch::new(1, rows, None, 1)?;
        let shard = &batch.shards[0];
        let which = Which::Infer(false);
        let plans: Vec<&Plan> = stages.iter().map(|s| s.plan(which)).collect();
        let size: usize = plans.iter().map(|p| frame::size(p, Home::Chunk, false, rows, rows)).sum();
        let stride = padded(width, E::PAD);
        let memory: Memory<E> = Memory::new(size + rows * stride)?;
        let input = Bound { ptr: memory.ptr().wrapping_add(size), stride, rule: Rule::Packed { origin: 0 } };
        let scratch = Memory::new(plans.iter().map(|p| scratch_len::<E>(p)).max().unwrap_or(1))?;
        let mut at = 0;
        let mut output = input;
        let mut prepared = Vec::new();
        for (stage, plan) in stages.iter().zip(&plans) {
            let ready = stage.ready(which, params, layout, kernels)?;
            let mut bound = ready.bound.clone();
            at = frame::bind(plan, Home::Chunk, false, &memory, at, shard, 0, rows, &mut bound);
            // Each stage reads the one before; the first reads the input.
            for buffer in plan.inputs.iter().flatten() {
                bound[*buffer] = output;
            }
            let place = plan.outputs[0];
            output = bound[place.buffer].as_input(place);
            let mut jobs = Vec::new();
            for (list, instructions) in lists(plan).into_iter().enumerate() {
                for (index, instruction) in instructions.iter().enumerate() {
                    let at = Addresses::new(instruction, &bound, shard, 0);
                    jobs.push(match instruction {
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
                    });
                }
            }
            let tracks = plan
                .tracks
                .iter()
                .map(|&t| (bound[t].at(shard, 0, 0, false), bound[t].at(shard, 0, 0, true), rows * bound[t].stride))
                .collect();
            prepared.push(Prepared { jobs, bound, ready, tracks });
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

    /// The state of the parameters, and the precision, that it is bound to.
    pub fn bound_to(&self) -> ((u64, u64), Precision) {
        (self.stamp, self.kernels.precision)
    }

    /// Sets all states to zero.
    pub fn reset(&mut self) {
        for &(before, _, len) in self.stages.iter().flat_map(|s| &s.tracks) {
            // SAFETY: a boundary holds `len` elements.
            unsafe { std::ptr::write_bytes(before, 0, len) };
        }
    }

    /// Row `row` of state number `index` over all stages.
    pub fn state(&mut self, index: usize, row: usize, width: usize) -> &mut [E] {
        let (before, _, len) =
            self.stages.iter().flat_map(|s| &s.tracks).copied().nth(index).expect("the caller counts the states");
        let stride = len / self.batch.count;
        // SAFETY: a boundary holds a padded row for each row of the batch; `&mut self` makes the access unique.
        unsafe { std::slice::from_raw_parts_mut(before.wrapping_add(row * stride), width) }
    }

    /// Sets the input of the next step from contiguous rows.
    pub fn set_input(&mut self, x: &[E]) {
        for (row, x) in x.chunks_exact(self.width.0).enumerate() {
            // SAFETY: the input holds a padded row for each row of the batch.
            unsafe {
                std::ptr::copy_nonoverlapping(x.as_ptr(), self.input.ptr.wrapping_add(row * self.input.stride), x.len())
            };
        }
    }

    /// Sets the input of the next step from tokens, checked against their limit.
    pub fn set_tokens(&mut self, tokens: &[u32]) {
        for (row, &token) in tokens.iter().enumerate() {
            // SAFETY: as `set_input`.
            unsafe { put_index(self.input.ptr.wrapping_add(row * self.input.stride), token) };
        }
    }

    /// Runs a step and writes the output to contiguous rows. The stages are those it was made with.
    pub fn step(&mut self, stages: &[&Stage<E>], y: &mut [E]) {
        let rows = self.batch.count;
        for (prepared, stage) in self.stages.iter().zip(stages) {
            for job in &prepared.jobs {
                // SAFETY: `new` bound every address to memory of `rows` rows that this stepper alone uses.
                unsafe {
                    match job {
                        Job::Gemm { at, columns, weights } => {
                            let &Addresses { ref terms, init, init_stride, out, out_stride, .. } = at;
                            let (columns, weights) = (*columns, *weights);
                            let gemm = Gemm { rows, columns, terms, weights, init, init_stride, out, out_stride };
                            shared::gemm(self.kernels, &gemm);
                        }
                        Job::Narrow { at, weights } => {
                            let &Addresses { ref terms, init, init_stride, out, out_stride, .. } = at;
                            let columns = (0, weights.columns());
                            let gemm = NarrowGemm { rows, columns, terms, weights, init, init_stride, out, out_stride };
                            shared::narrow(self.kernels, &gemm);
                        }
                        Job::Block { at, width, ops, temporaries } => {
                            (self.kernels.block)(&Block {
                                rows,
                                width: *width,
                                ops,
                                operands: &at.operands,
                                scratch: self.scratch.ptr(),
                                temporaries: *temporaries,
                            });
                        }
                        Job::Row(list, index) => {
                            let plan = stage.plan(Which::Infer(false));
                            let (shard, ids) = (&self.batch.shards[0], &self.batch.order);
                            let mut runner = Runner::new(
                                self.kernels,
                                plan,
                                &prepared.bound,
                                &prepared.ready.packs,
                                shard,
                                ids,
                                Draw::default(),
                                &stage.path,
                                self.scratch.ptr(),
                            );
                            runner.list(&lists(plan)[*list][*index..=*index], Span::Step(0));
                        }
                    }
                }
            }
            for &(before, after, len) in &prepared.tracks {
                // SAFETY: both boundaries hold `len` elements and do not overlap.
                unsafe { std::ptr::copy_nonoverlapping(after, before, len) };
            }
        }
        // An output that is a state was read on the later boundary, which the copy left as it is.
        let from = self.output.at(&self.batch.shards[0], 0, 0, true);
        for (row, y) in y.chunks_exact_mut(self.width.1).enumerate() {
            // SAFETY: the output holds a padded row for each row of the batch.
            unsafe {
                std::ptr::copy_nonoverlapping(from.wrapping_add(row * self.output.stride), y.as_mut_ptr(), y.len())
            };
        }
    }
}
