//! Running stages one behind the other over a sequence: forward, recording, and their backward pass.
//!
//! Time is cut into chunks that fit the cache; each chunk goes through all stages before the next. A worker takes its
//! rows through the whole sequence without meeting the others; only sums over all rows (gradients of parameters) are
//! made together, after each chunk.

use super::carry::Carry;
use super::frame::Bound;
use super::lane::Lane;
use super::memory::{Arenas, Memory};
use super::params::{Layout, Params};
use super::pool;
use super::rows::{Batch, Rows};
use super::run::{Draw, Runner};
use super::stage::{Ready, Stage, Which};
use super::stop::Stop;
use super::view::View;
use crate::error::Result;
use crate::kernels::{Element, Kernels};
use crate::plan::Plan;
use std::sync::Arc;

/// Parameter gradients are chains of this many steps; chunks and checkpoints are multiples of it.
pub const WINDOW: usize = 16;

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

impl<E: Element> Call<'_, E> {
    /// The plans' constants and packed weights, a plan for each stage.
    pub(super) fn ready(&self, which: &[Which]) -> Result<Vec<Arc<Ready<E>>>> {
        let ready = |(stage, &which): (&&Stage<E>, &Which)| stage.ready(which, self.params, self.layout, self.kernels);
        self.stages.iter().zip(which).map(ready).collect()
    }

    /// A worker's view of a stage's plan, bound for a chunk.
    pub(super) fn runner<'a>(
        &'a self,
        stage: usize,
        plan: &'a Plan,
        (bound, ready): (&'a [Bound<E>], &'a Ready<E>),
        rows: &'a Rows,
        scratch: &Memory<E>,
    ) -> Runner<'a, E> {
        let (ids, path) = (&self.batch.order[rows.range.clone()], &self.stages[stage].path);
        Runner::new(self.kernels, plan, bound, &ready.packs, rows, ids, self.draw, path, scratch.ptr())
    }

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
