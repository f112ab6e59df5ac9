//! A worker's memory for running forward, and how a chunk of steps goes through all stages in it.

use super::carry::Carry;
use super::frame::{self, Bound, Home, Rule};
use super::memory::{Arenas, Memory};
use super::pipeline::{Call, Sink, WINDOW, What};
use super::rows::Rows;
use super::stage::{Ready, Which, Wire, scratch_len};
use super::view::View;
use crate::error::Result;
use crate::kernels::Element;
use crate::plan::{Place, padded};
use std::sync::Arc;

/// Bytes of a chunk that should stay in a core's second-level cache.
const CHUNK_BYTES: usize = 256 * 1024;

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
    pub(super) fn new(call: &Call<'_, E>, rows: &Rows, record: bool, steps: usize) -> Result<Self> {
        let pick = if record { Which::Record } else { Which::Infer };
        let which = vec![pick(call.training); call.stages.len()];
        let ready = call.ready(&which)?;
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
    pub(super) fn begin(&mut self, call: &Call<'_, E>, rows: &Rows, first: usize) {
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
    pub(super) unsafe fn chunk(
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
            let mut runner = call.runner(index, plan, (bound, &self.ready[index]), rows, &self.scratch);
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
