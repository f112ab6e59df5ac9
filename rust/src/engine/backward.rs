//! The backward pass of a pipeline: exact, chunk by chunk from the last step to the first.

use super::carry::Carry;
use super::frame::{self, Bound, Home, Rule};
use super::lane::{Lane, chunk_steps, enter, leave};
use super::memory::Memory;
use super::pipeline::{Call, Recording, copy_carry};
use super::rows::Rows;
use super::stage::{Ready, ReversePlan, Which, Wire, scratch_len};
use super::sums::Sums;
use super::view::View;
use crate::error::Result;
use crate::graph::ReverseInput;
use crate::kernels::Element;
use crate::plan::padded;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A worker's memory for running backward.
pub(super) struct Back<E: Element> {
    pub bound: Vec<Vec<Bound<E>>>,
    ready: Vec<Arc<Ready<E>>>,
    dy: Bound<E>,
    memory: Memory<E>,
    scratch: Memory<E>,
}

// SAFETY: the pointers lead into its own memory, a lane's, or constants, all of which outlive the call.
unsafe impl<E: Element> Send for Back<E> {}
// SAFETY: written by one worker; read by others only after the workers have met.
unsafe impl<E: Element> Sync for Back<E> {}

impl<E: Element> Call<'_, E> {
    /// Runs backward. `carry` holds the gradients of the final states and is left with those of the initial ones; `dy`
    /// is the gradient of the last stage's output, `dx` takes that of the first stage's first input. Gradients of the
    /// parameters are added to `gradients`, which is laid out as the parameters, if it is there.
    pub fn backward(
        &self,
        recording: &Recording<E>,
        carry: &mut Carry<E>,
        dy: View<E>,
        dx: Option<View<E>>,
        gradients: Option<&mut Memory<E>>,
    ) -> Result<()> {
        let shards = &self.batch.shards;
        let steps = self.batch.longest();
        let modes: Vec<Which> =
            (0..self.stages.len()).map(|i| Which::Reverse(self.training, i > 0 || dx.is_some())).collect();
        let per_row: usize =
            self.stages.iter().zip(&modes).map(|(s, &m)| frame::size(s.plan(m), Home::Chunk, false, 0, 1)).sum();
        let most = shards.iter().map(Rows::count).max().unwrap_or(0);
        let chunk = chunk_steps::<E>((per_row + padded(dy.width, E::PAD)) * most, steps.min(recording.every));
        let backs: Vec<Mutex<Back<E>>> = shards
            .iter()
            .map(|rows| Back::new(self, rows, &modes, dy, chunk).map(Mutex::new))
            .collect::<Result<_>>()?;
        let again: Vec<Mutex<Lane<E>>> = match recording.lanes.is_empty() {
            true => shards
                .iter()
                .map(|rows| self.recording_lane(rows, recording.every).map(Mutex::new))
                .collect::<Result<_>>()?,
            false => Vec::new(),
        };
        let sums = gradients.is_some().then(|| Sums::new(self, &modes)).transpose()?;
        let chunks: Vec<(usize, usize)> = chunks(steps, recording.every, chunk).collect();
        let run = |worker: usize, (from, to): (usize, usize)| {
            self.stop.check(worker == 0)?;
            let rows = &shards[worker];
            let mut back = open(&backs[worker]);
            let mut guard = again.get(worker).map(open);
            let segment = from / recording.every;
            let (first, last) = (segment * recording.every, ((segment + 1) * recording.every).min(steps));
            if let (true, Some(lane)) = (to == last, guard.as_deref_mut()) {
                let states = Carry::new(self.stages, self.batch.count)?;
                copy_carry(&recording.marks[segment], &states, rows);
                self.sweep(lane, rows, &states, &[], first, last.min(rows.steps))?;
            }
            let lane = guard.as_deref().unwrap_or_else(|| &recording.lanes[worker]);
            // SAFETY: workers have disjoint rows, and lane and memory of their own.
            unsafe { back.chunk(self, lane, rows, &modes, carry, (dy, dx), from, to) };
            Ok(back)
        };
        match &sums {
            Some(sums) if !sums.apart(self) => {
                for &(from, to) in &chunks {
                    self.each_worker(|worker| run(worker, (from, to)).map(drop))?;
                    let opened: Vec<MutexGuard<'_, Back<E>>> = backs.iter().map(open).collect();
                    let sources: Vec<_> = opened.iter().map(|b| &b.bound[..]).enumerate().collect();
                    sums.add(self, &modes, &sources, from, to);
                }
            }
            own => self.each_worker(|worker| {
                for &(from, to) in &chunks {
                    let back = run(worker, (from, to))?;
                    if let Some(sums) = own {
                        sums.add_own(self, &modes, (worker, &back.bound), from, to);
                    }
                }
                Ok(())
            })?,
        }
        if let (Some(sums), Some(gradients)) = (sums, gradients) {
            sums.finish(self, &modes, gradients)?;
        }
        for back in backs {
            let back = back.into_inner().unwrap_or_else(PoisonError::into_inner);
            self.arenas.give(back.memory);
            self.arenas.give(back.scratch);
        }
        for lane in again {
            lane.into_inner().unwrap_or_else(PoisonError::into_inner).recycle(self.arenas);
        }
        Ok(())
    }

    /// The backward plan of a stage.
    pub(super) fn reverse(&self, stage: usize, mode: Which) -> &ReversePlan {
        let Which::Reverse(training, dx) = mode else { unreachable!("backward plans only") };
        &self.stages[stage].plans(training).reverse[usize::from(dx)]
    }
}

/// The chunks of a backward pass, from the last to the first: stretches of `every` steps, cut into at most `chunk`.
fn chunks(steps: usize, every: usize, chunk: usize) -> impl Iterator<Item = (usize, usize)> {
    let of = move |first: usize| {
        let last = (first + every).min(steps);
        (first..last).step_by(chunk).rev().map(move |from| (from, (from + chunk).min(last)))
    };
    (0..steps).step_by(every).rev().flat_map(of)
}

fn open<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<E: Element> Back<E> {
    fn new(call: &Call<'_, E>, rows: &Rows, modes: &[Which], dy: View<E>, chunk: usize) -> Result<Self> {
        let packed = rows.most(chunk);
        let stride = padded(dy.width, E::PAD);
        let plans: Vec<_> = call.stages.iter().zip(modes).map(|(s, &m)| s.plan(m)).collect();
        let size: usize = plans.iter().map(|p| frame::size(p, Home::Chunk, false, rows.count(), packed)).sum();
        let memory = call.arenas.take((size + stride * packed).max(1))?;
        let ready = call.ready(modes)?;
        let mut bound: Vec<Vec<Bound<E>>> = ready.iter().map(|r| r.bound.clone()).collect();
        let mut at = 0;
        for (plan, bound) in plans.iter().zip(&mut bound) {
            at = frame::bind(plan, Home::Chunk, false, &memory, at, rows, 0, packed, bound);
        }
        let dy = Bound { ptr: memory.ptr().wrapping_add(at), stride, rule: Rule::Packed { origin: 0 } };
        let scratch = call.arenas.take(plans.iter().map(|p| scratch_len::<E>(p)).max().unwrap_or(1))?;
        Ok(Self { bound, ready, dy, memory, scratch })
    }

    /// Runs the steps from..to (one chunk), last to first, through all stages, last to first.
    ///
    /// # Safety
    /// No other worker uses this memory, `lane`, or rows of `rows` in carry and views; the lane holds these steps.
    #[allow(clippy::too_many_arguments, reason = "one call site")]
    unsafe fn chunk(
        &mut self,
        call: &Call<'_, E>,
        lane: &Lane<E>,
        rows: &Rows,
        modes: &[Which],
        carry: &Carry<E>,
        (dy, dx): (View<E>, Option<View<E>>),
        from: usize,
        to: usize,
    ) {
        let to = to.min(rows.steps);
        if from >= to {
            return;
        }
        self.dy.rule = Rule::Packed { origin: rows.offset(from) };
        // SAFETY: the caller's promise.
        unsafe { dy.gather(call.batch, rows, from, to, &self.dy) };
        for index in (0..call.stages.len()).rev() {
            let stage = call.stages[index];
            let ReversePlan { plan, inputs, inputs_of } = call.reverse(index, modes[index]);
            frame::rebase(plan, Home::Chunk, false, rows, from, &mut self.bound[index]);
            self.connect(call, lane, modes, index, inputs);
            let bound = &self.bound[index];
            for (state, &track) in plan.tracks.iter().enumerate() {
                // SAFETY: boundary `to` holds the rows active before it.
                unsafe { enter(&bound[track], carry, (index, state), rows, 0..rows.active(to - 1), to) };
            }
            let mut runner = call.runner(index, plan, (bound, &self.ready[index]), rows, &self.scratch);
            let join = |t: usize| {
                if t + 1 < to && rows.active(t) > rows.active(t + 1) {
                    for (state, &track) in plan.tracks.iter().enumerate() {
                        // SAFETY: boundary t + 1 holds the rows active at t; those that end there join now.
                        unsafe {
                            enter(&bound[track], carry, (index, state), rows, rows.active(t + 1)..rows.active(t), t + 1)
                        };
                    }
                }
            };
            // SAFETY: all buffers of the plan are bound for this chunk.
            unsafe { runner.steps(from, to, join) };
            for (state, &track) in plan.tracks.iter().enumerate() {
                for r in 0..rows.active(from) {
                    // SAFETY: the last step run wrote boundary `from` for these rows.
                    unsafe { leave(&bound[track], carry, (index, state), rows, r, from) };
                }
            }
            if let (0, Some(view)) = (index, dx) {
                let first = stage.wires.iter().position(|w| *w == Wire::Previous);
                if let Some(output) = inputs_of.iter().position(|&i| Some(i) == first) {
                    let place = plan.outputs[output];
                    // SAFETY: the caller's promise.
                    unsafe { view.scatter(call.batch, rows, from, to, &bound[place.buffer].as_input(place)) };
                }
            }
        }
    }

    /// Binds the inputs of a stage's backward plan: saved values, and the gradient of its output.
    fn connect(&mut self, call: &Call<'_, E>, lane: &Lane<E>, modes: &[Which], index: usize, inputs: &[ReverseInput]) {
        let record = call.stages[index].plan(lane.which[index]);
        let gradient = if index + 1 == call.stages.len() {
            self.dy
        } else {
            let ReversePlan { plan, inputs_of, .. } = call.reverse(index + 1, modes[index + 1]);
            let wire = call.stages[index + 1].wires.iter().position(|w| *w == Wire::Previous);
            let output =
                inputs_of.iter().position(|&i| Some(i) == wire).expect("every later stage is fed by the one before");
            let place = plan.outputs[output];
            self.bound[index + 1][place.buffer].as_input(place)
        };
        let plan = &call.reverse(index, modes[index]).plan;
        for (input, buffer) in inputs.iter().zip(&plan.inputs) {
            let Some(buffer) = *buffer else { continue };
            self.bound[index][buffer] = match *input {
                ReverseInput::OutputGradient(_) => gradient,
                ReverseInput::Saved(node) => {
                    let place = record.saved[&node];
                    lane.bound[index][place.buffer].as_input(place)
                }
            };
        }
    }
}
