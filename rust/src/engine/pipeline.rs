//! Running stages one behind the other over a sequence: forward, recording, and their backward pass.
//!
//! Time is cut into chunks that fit the cache; each chunk goes through all stages before the next. A worker takes its
//! rows through the whole sequence without meeting the others; only sums over all rows (gradients of parameters) are
//! made together, after each chunk.

use super::carry::Carry;
use super::frame::{self, Bound, Home, Rule};
use super::memory::{Arenas, Memory};
use super::params::{Layout, Params};
use super::pool;
use super::rows::{Batch, Rows};
use super::run::{Draw, Runner};
use super::stage::{Ready, Stage, Which, Wire, scratch_len};
use super::stop::Stop;
use super::view::View;
use crate::error::Result;
use crate::kernels::{Element, Kernels};
use crate::plan::{Place, padded};
use std::sync::Arc;

/// Parameter gradients are chains of this many steps; chunks and checkpoints are multiples of it.
pub const WINDOW: usize = 16;

/// Bytes of a chunk that should stay in a core's second-level cache.
const CHUNK_BYTES: usize = 256 * 1024;

/// Everything a pipeline needs to know of a call.
pub struct Call<'a, E: Element> {
    /// The stages.
    pub stages: &'a [&'a Stage<E>],
    /// Places of the parameters.
    pub layout: &'a Layout,
    /// Their values.
    pub params: &'a Params<E>,
    /// The SIMD path.
    pub kernels: &'static Kernels<E>,
    /// Rows and lengths.
    pub batch: &'a Batch,
    /// Whether random nodes draw.
    pub training: bool,
    /// Randomness of the call.
    pub draw: Draw,
    /// The inputs of the pipeline.
    pub inputs: Vec<View<E>>,
    /// Tells workers to stop.
    pub stop: &'a Stop<'a>,
    /// Memory.
    pub arenas: &'a Arenas<E>,
}

/// What is written out while a pipeline runs.
#[derive(Clone, Copy)]
pub struct Sink<E> {
    /// Whose.
    pub stage: usize,
    /// What.
    pub what: What,
    /// Where to.
    pub view: View<E>,
}

impl<E: Element> Recording<E> {
    /// As a recording of segments.
    pub fn of_segments(self, folded: Folded<E>) -> Self {
        Self { folded: Some(Box::new(folded)), ..self }
    }

    /// Gives the memory back for the next call.
    pub fn recycle(self, arenas: &Arenas<E>) {
        self.lanes.into_iter().for_each(|lane| lane.recycle(arenas));
    }
}

/// What a sink takes.
#[derive(Clone, Copy)]
pub enum What {
    /// The output.
    Output,
    /// A state after each step.
    State(usize),
}

/// What a forward pass kept for the backward pass.
pub struct Recording<E: Element> {
    /// For each worker, the kept values of all steps; absent with checkpoints.
    pub(super) lanes: Vec<Lane<E>>,
    /// Steps between checkpoints (or all).
    pub(super) every: usize,
    /// The states at the beginning of each such stretch.
    pub(super) marks: Vec<Carry<E>>,
    /// Where sequences were folded into segments, these.
    pub folded: Option<Box<Folded<E>>>,
}

/// The segments of folded sequences.
#[derive(Debug)]
pub struct Folded<E> {
    /// The batch of segments.
    pub batch: Batch,
    /// For each pair of moving states, the diagonal of that part of the transfer matrix (segments, width).
    pub transfer: Vec<Vec<E>>,
}

/// A worker's memory for running forward.
pub(super) struct Lane<E: Element> {
    pub which: Vec<Which>,
    pub ready: Vec<Arc<Ready<E>>>,
    pub bound: Vec<Vec<Bound<E>>>,
    pub staged: Vec<Bound<E>>,
    pub chunk: usize,
    chunk_memory: Memory<E>,
    segment_memory: Memory<E>,
    scratch: Memory<E>,
    record: bool,
    first: usize,
}

// SAFETY: the pointers lead into the lane's own memory, the parameters and constants, which outlive it.
unsafe impl<E: Element> Send for Lane<E> {}
// SAFETY: as above; a lane is written by one worker and read by others only after the workers have met.
unsafe impl<E: Element> Sync for Lane<E> {}

/// Steps of a chunk, given the elements of a step.
pub(super) fn chunk_steps<E>(elements_per_step: usize, steps: usize) -> usize {
    let fit = CHUNK_BYTES / size_of::<E>() / elements_per_step.max(1);
    (fit / WINDOW).clamp(1, 256).saturating_mul(WINDOW).min(steps.max(1).next_multiple_of(WINDOW))
}

impl<E: Element> Lane<E> {
    /// Memory for a worker: for the steps of a chunk, and when recording for `steps` steps.
    fn new(call: &Call<'_, E>, rows: &Rows, record: bool, steps: usize) -> Result<Self> {
        let pick = if record { Which::Record } else { Which::Infer };
        let which = vec![pick(call.training); call.stages.len()];
        let ready: Vec<_> = call
            .stages
            .iter()
            .zip(&which)
            .map(|(s, &w)| s.ready(w, call.params, call.layout, call.kernels))
            .collect::<Result<_>>()?;
        let stride = |view: &View<E>| padded(view.width, E::PAD);
        let staging: usize = call.inputs.iter().map(stride).sum();
        let plans: Vec<_> = call.stages.iter().zip(&which).map(|(s, &w)| s.plan(w)).collect();
        let per_row = plans.iter().map(|p| frame::size(p, Home::Chunk, record, 0, 1)).sum::<usize>() + staging;
        let chunk = chunk_steps::<E>(per_row * rows.count(), steps);
        let in_chunk = rows.most(chunk);
        let in_segment = rows.most(steps);
        let mut chunk_size: usize =
            plans.iter().map(|p| frame::size(p, Home::Chunk, record, rows.count(), in_chunk)).sum();
        let mut segment_size: usize =
            plans.iter().map(|p| frame::size(p, Home::Segment, record, rows.count(), in_segment)).sum();
        let staged_rows = if record { in_segment } else { in_chunk };
        *(if record { &mut segment_size } else { &mut chunk_size }) += staging * staged_rows;
        let chunk_memory = call.arenas.take(chunk_size.max(1))?;
        let segment_memory = call.arenas.take(segment_size.max(1))?;
        let mut bound: Vec<Vec<Bound<E>>> = ready.iter().map(|r| r.bound.clone()).collect();
        let (mut at_chunk, mut at_segment) = (0, 0);
        for (plan, bound) in plans.iter().zip(&mut bound) {
            at_chunk = frame::bind(plan, Home::Chunk, record, &chunk_memory, at_chunk, rows, 0, in_chunk, bound);
            at_segment =
                frame::bind(plan, Home::Segment, record, &segment_memory, at_segment, rows, 0, in_segment, bound);
        }
        let (memory, mut at) = if record { (&segment_memory, at_segment) } else { (&chunk_memory, at_chunk) };
        let mut staged = Vec::new();
        for view in &call.inputs {
            staged.push(Bound {
                ptr: memory.ptr().wrapping_add(at),
                stride: stride(view),
                rule: Rule::Packed { origin: 0 },
            });
            at += stride(view) * staged_rows;
        }
        assert!(at <= memory.len(), "staged inputs fit the memory taken for them");
        let scratch = call.arenas.take(plans.iter().map(|p| scratch_len::<E>(p)).max().unwrap_or(1))?;
        Ok(Self { which, ready, bound, staged, chunk, chunk_memory, segment_memory, scratch, record, first: 0 })
    }

    /// Moves on: kept memory holds the steps from `first`.
    fn begin(&mut self, call: &Call<'_, E>, rows: &Rows, first: usize) {
        let record = self.record;
        self.first = first;
        for (stage, (bound, &which)) in call.stages.iter().zip(self.bound.iter_mut().zip(&self.which)) {
            frame::rebase(stage.plan(which), Home::Segment, record, rows, first, bound);
        }
        if record {
            self.staged.iter_mut().for_each(|s| s.rule = Rule::Packed { origin: rows.offset(first) });
        }
    }

    /// Runs the steps from..to (one chunk) through all stages.
    ///
    /// # Safety
    /// No other worker uses this lane, or rows of `rows` in carry and sinks; the views hold these steps.
    unsafe fn chunk(
        &mut self,
        call: &Call<'_, E>,
        rows: &Rows,
        carry: &Carry<E>,
        sinks: &[Sink<E>],
        from: usize,
        to: usize,
    ) {
        let record = self.record;
        if !record {
            self.staged.iter_mut().for_each(|s| s.rule = Rule::Packed { origin: rows.offset(from) });
        }
        for (view, staged) in call.inputs.iter().zip(&self.staged) {
            // SAFETY: the caller's promise; staged memory was taken for a chunk (or segment) of steps.
            unsafe { view.gather(call.batch, rows, from, to, staged) };
        }
        for index in 0..call.stages.len() {
            let stage = call.stages[index];
            let plan = stage.plan(self.which[index]);
            frame::rebase(plan, Home::Chunk, record, rows, from, &mut self.bound[index]);
            self.connect(call, index);
            let bound = &self.bound[index];
            if !record || from == self.first {
                for (state, &track) in plan.tracks.iter().enumerate() {
                    // SAFETY: boundary `from` holds the rows active at `from`.
                    unsafe { enter(&bound[track], carry, (index, state), rows, 0..rows.active(from), from) };
                }
            }
            let ids = &call.batch.order[rows.range.clone()];
            let ready = &self.ready[index];
            let mut runner = Runner::new(
                call.kernels,
                plan,
                bound,
                &ready.packs,
                rows,
                ids,
                call.draw,
                &stage.path,
                self.scratch.ptr(),
            );
            // SAFETY: all buffers of the plan are bound for this chunk.
            unsafe { runner.steps(from, to, |_| {}) };
            for (state, &track) in plan.tracks.iter().enumerate() {
                for r in 0..rows.active(from) {
                    let boundary = rows.length(r).min(to);
                    // SAFETY: boundaries from..=to were written for the rows active there.
                    unsafe { leave(&bound[track], carry, (index, state), rows, r, boundary) };
                }
            }
            for sink in sinks.iter().filter(|s| s.stage == index) {
                let place = match sink.what {
                    What::Output => plan.outputs[0],
                    What::State(state) => Place { buffer: plan.tracks[state], offset: 0, later: true },
                };
                // SAFETY: the caller's promise.
                unsafe { sink.view.scatter(call.batch, rows, from, to, &bound[place.buffer].as_input(place)) };
            }
        }
    }

    /// Binds the inputs of a stage to what they come from.
    fn connect(&mut self, call: &Call<'_, E>, index: usize) {
        let stage = call.stages[index];
        for (wire, buffer) in stage.wires.iter().zip(&stage.plan(self.which[index]).inputs) {
            let Some(buffer) = *buffer else { continue };
            self.bound[index][buffer] = match *wire {
                Wire::External(input) => self.staged[input],
                Wire::Previous if index == 0 => self.staged[0],
                Wire::Previous => {
                    let place = call.stages[index - 1].plan(self.which[index - 1]).outputs[0];
                    self.bound[index - 1][place.buffer].as_input(place)
                }
            };
        }
    }

    pub(super) fn recycle(self, arenas: &Arenas<E>) {
        [self.chunk_memory, self.segment_memory, self.scratch].into_iter().for_each(|memory| arenas.give(memory));
    }
}

/// Copies rows of a carried state to boundary `boundary` of its track.
///
/// # Safety
/// The boundary holds these rows.
pub(super) unsafe fn enter<E: Element>(
    track: &Bound<E>,
    carry: &Carry<E>,
    (stage, state): (usize, usize),
    rows: &Rows,
    which: std::ops::Range<usize>,
    boundary: usize,
) {
    let width = carry.slots[stage][state].2;
    let base = track.boundary(rows, boundary);
    for r in which {
        let from = carry.row(stage, state, rows.range.start + r);
        // SAFETY: the caller's promise; carries hold a padded row for each row.
        unsafe { std::ptr::copy_nonoverlapping(from, base.wrapping_add(r * track.stride), width) };
    }
}

/// Copies row `r` of boundary `boundary` of a track to the carried state.
///
/// # Safety
/// As [`enter`].
pub(super) unsafe fn leave<E: Element>(
    track: &Bound<E>,
    carry: &Carry<E>,
    (stage, state): (usize, usize),
    rows: &Rows,
    r: usize,
    boundary: usize,
) {
    let width = carry.slots[stage][state].2;
    let from = track.boundary(rows, boundary).wrapping_add(r * track.stride);
    // SAFETY: the caller's promise.
    unsafe { std::ptr::copy_nonoverlapping(from, carry.row(stage, state, rows.range.start + r), width) };
}

impl<E: Element> Call<'_, E> {
    /// Runs forward over the whole sequence; `carry` holds the states before and after.
    pub fn forward(&self, carry: &mut Carry<E>, sinks: &[Sink<E>]) -> Result<()> {
        self.each_worker(|worker| {
            let rows = &self.batch.shards[worker];
            let mut lane = Lane::new(self, rows, false, rows.steps)?;
            let result = self.sweep(&mut lane, rows, carry, sinks, 0, rows.steps);
            lane.recycle(self.arenas);
            result
        })
    }

    /// Runs forward and keeps what the backward pass needs: everything, or with `checkpoint` the states of every so
    /// many steps (a multiple of 16).
    pub fn record(&self, carry: &mut Carry<E>, sinks: &[Sink<E>], checkpoint: Option<usize>) -> Result<Recording<E>> {
        let steps = self.batch.longest();
        let Some(every) = checkpoint.map(|k| k.max(1).next_multiple_of(WINDOW)).filter(|&k| k < steps) else {
            let lanes: Vec<_> =
                self.batch.shards.iter().map(|rows| Lane::new(self, rows, true, rows.steps)).collect::<Result<_>>()?;
            let lanes: Vec<_> = lanes.into_iter().map(std::sync::Mutex::new).collect();
            self.each_worker(|worker| {
                let rows = &self.batch.shards[worker];
                let mut lane = lanes[worker].lock().unwrap_or_else(std::sync::PoisonError::into_inner);
                self.sweep(&mut lane, rows, carry, sinks, 0, rows.steps)
            })?;
            let lanes =
                lanes.into_iter().map(|l| l.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner)).collect();
            return Ok(Recording { lanes, every: steps.max(1), marks: Vec::new(), folded: None });
        };
        let mut marks = Vec::new();
        for _ in 0..steps.div_ceil(every) {
            marks.push(Carry::new(self.stages, self.batch.count)?);
        }
        self.each_worker(|worker| {
            let rows = &self.batch.shards[worker];
            let mut lane = Lane::new(self, rows, false, rows.steps.min(every))?;
            for (segment, mark) in marks.iter().enumerate() {
                copy_carry(carry, mark, rows);
                let from = segment * every;
                self.sweep(&mut lane, rows, carry, sinks, from, (from + every).min(rows.steps))?;
            }
            lane.recycle(self.arenas);
            Ok(())
        })?;
        Ok(Recording { lanes: Vec::new(), every, marks, folded: None })
    }

    /// Runs a worker's rows through the steps from..to, chunk by chunk.
    pub(super) fn sweep(
        &self,
        lane: &mut Lane<E>,
        rows: &Rows,
        carry: &Carry<E>,
        sinks: &[Sink<E>],
        from: usize,
        to: usize,
    ) -> Result<()> {
        lane.begin(self, rows, from);
        let mut t = from;
        while t < to {
            self.stop.check(rows.range.start == 0)?;
            let end = (t + lane.chunk).min(to);
            // SAFETY: a lane belongs to one worker; workers have disjoint rows.
            unsafe { lane.chunk(self, rows, carry, sinks, t, end) };
            t = end;
        }
        Ok(())
    }

    /// A worker's lane for recording a stretch of `steps` steps.
    pub(super) fn recording_lane(&self, rows: &Rows, steps: usize) -> Result<Lane<E>> {
        Lane::new(self, rows, true, steps.min(rows.steps))
    }

    /// Runs `body` for every worker; the first error is returned.
    pub(super) fn each_worker(&self, body: impl Fn(usize) -> Result<()> + Sync) -> Result<()> {
        let failed = std::sync::Mutex::new(None);
        pool::run(self.batch.shards.len(), &|worker| {
            if let Err(error) = body(worker) {
                self.stop.set();
                let mut failed = failed.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
                // A real error says more than the stop that follows from it.
                if !matches!((&*failed, &error), (Some(_), crate::error::Error::Interrupted)) {
                    *failed = Some(error);
                }
            }
        });
        let failed = failed.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
        failed.map_or(Ok(()), Err)
    }
}

/// Copies a worker's rows of all states.
pub(super) fn copy_carry<E: Element>(from: &Carry<E>, to: &Carry<E>, rows: &Rows) {
    for (stage, states) in from.slots.iter().enumerate() {
        for (state, &(_, stride, _)) in states.iter().enumerate() {
            let (source, target) = (from.row(stage, state, rows.range.start), to.row(stage, state, rows.range.start));
            // SAFETY: both hold a row for each row of the batch; workers have disjoint rows.
            unsafe { std::ptr::copy_nonoverlapping(source, target, rows.count() * stride) };
        }
    }
}
