//! Forward passes over whole sequences, recorded or not.

use super::batch_norm::Moments;
use super::input::{Input, Options, Sequence, Shape, add, for_last, for_valid};
use super::{Model, scan};
use crate::engine::{Arenas, Batch, Call, Carry, Draw, Params, Recording, Sink, Stage, Stop, View, What, zeros};
use crate::error::{Error, Result};
use crate::kernels::{Element, Kernels};
use crate::layers::{Block, Skip};

/// What a forward call returns.
#[derive(Debug)]
pub struct Output<E> {
    /// The output, in the layout of the input; (rows, width) if the chain ends in `Last`.
    pub y: Vec<E>,
    /// The final states (rows, width), in the order of [`Chain::states`](crate::layers::Chain::states).
    pub states: Vec<Vec<E>>,
}

/// What a recorded call kept.
pub struct Tape<E: Element> {
    pub(super) version: u64,
    pub(super) kernels: &'static Kernels<E>,
    pub(super) batch: Batch,
    pub(super) last: Option<Batch>,
    pub(super) training: bool,
    pub(super) draw: Draw,
    pub(super) steps: usize,
    pub(super) rows: usize,
    pub(super) batch_first: bool,
    /// Elements of the output.
    pub(super) outputs: usize,
    /// The version of the running statistics, out of training.
    pub(super) measurements: Option<u64>,
    /// What each block kept.
    pub(super) blocks: Vec<Kept<E>>,
    /// Final states.
    pub states: Vec<Vec<E>>,
    /// The output.
    pub y: Vec<E>,
}

/// What a block keeps for the backward pass.
pub(super) struct Kept<E: Element> {
    /// Its input, empty where the block does not need it again.
    pub(super) input: Sequence<'static, E>,
    /// What its stages recorded.
    pub(super) recordings: Vec<Recording<E>>,
    /// The statistics of the batch, of batch normalisation in training.
    pub(super) moments: Option<Moments>,
}

// SAFETY: a tape's pointers lead into memory that it owns and to parameters that the model's lock guards.
unsafe impl<E: Element> Send for Tape<E> {}
// SAFETY: backward passes only read a tape.
unsafe impl<E: Element> Sync for Tape<E> {}

/// What remains fixed over the blocks of a call.
pub(super) struct Pass<'a, E: Element> {
    pub(super) params: &'a Params<E>,
    pub(super) kernels: &'static Kernels<E>,
    pub(super) stop: &'a Stop<'a>,
    pub(super) training: bool,
    pub(super) draw: Draw,
}

/// Stages to run over a batch.
struct Job<'a, E: Element> {
    stages: &'a [&'a Stage<E>],
    batch: &'a Batch,
    view: View<E>,
    sink: Sink<E>,
    shape: &'a Shape,
    flip: bool,
}

impl<E: Element> Model<E> {
    /// Runs a sequence. `state` holds the initial states (rows, width) in the order of [`Chain::states`](crate::layers::Chain::states), or zeros.
    pub fn forward(&self, input: Input<'_, E>, state: Option<&[&[E]]>, options: Options<'_>) -> Result<Output<E>> {
        let tape = self.run(&self.params(), input, state, options, None, None)?;
        self.measure(&tape);
        Ok(Output { y: tape.y, states: tape.states })
    }

    /// All states after each step (steps, rows, width), whatever the layout of the input. Past a row's end its states
    /// stay what they were.
    pub fn all_states(&self, input: Input<'_, E>, state: Option<&[&[E]]>, options: Options<'_>) -> Result<Vec<Vec<E>>> {
        let (steps, rows) = (input.steps, input.rows);
        let mut all: Vec<Vec<E>> =
            self.chain.states.iter().map(|s| vec![E::default(); steps * rows * s.width]).collect();
        let tape = self.run(&self.params(), input, state, options, None, Some(&mut all))?;
        for (all, last) in all.iter_mut().zip(&tape.states) {
            let width = last.len() / rows.max(1);
            for (row, &id) in tape.batch.order.iter().enumerate() {
                for t in tape.batch.lengths[row]..steps {
                    all[(t * rows + id) * width..][..width].copy_from_slice(&last[id * width..][..width]);
                }
            }
        }
        Ok(all)
    }

    /// Runs a sequence and keeps what the backward pass needs: everything, or with `checkpoint` the states of every so
    /// many steps (rounded up to a multiple of 16), from which the rest is computed again.
    pub fn record(
        &self,
        input: Input<'_, E>,
        state: Option<&[&[E]]>,
        options: Options<'_>,
        checkpoint: Option<usize>,
    ) -> Result<Tape<E>> {
        if checkpoint == Some(0) {
            return Err(Error::value("checkpoint", "at least 1 step", 0));
        }
        let tape = self.run(&self.params(), input, state, options, Some(checkpoint), None)?;
        self.measure(&tape);
        Ok(tape)
    }

    pub(super) fn call<'a>(
        &'a self,
        pass: &'a Pass<'a, E>,
        stages: &'a [&'a Stage<E>],
        batch: &'a Batch,
        inputs: Vec<View<E>>,
    ) -> Call<'a, E> {
        Call {
            stages,
            layout: &self.chain.layout,
            params: pass.params,
            kernels: pass.kernels,
            batch,
            training: pass.training,
            draw: pass.draw,
            inputs,
            stop: pass.stop,
            arenas: &self.arenas,
        }
    }

    pub(super) fn run(
        &self,
        params: &Params<E>,
        input: Input<'_, E>,
        state: Option<&[&[E]]>,
        options: Options<'_>,
        record: Option<Option<usize>>,
        mut all: Option<&mut Vec<Vec<E>>>,
    ) -> Result<Tape<E>> {
        let (steps, rows) = (input.steps, input.rows);
        self.check_states(state, rows)?;
        let batch = Batch::new(steps, rows, options.lengths, self.workers(rows, steps))?;
        let sequence = self.sequence(input, &batch)?;
        let never = || false;
        let stop = Stop::new(options.interrupt.unwrap_or(&never));
        let kernels = self.kernels();
        let pass = Pass { params, kernels, stop: &stop, training: options.training, draw: options.draw };
        let mut tape = Tape {
            version: params.version,
            kernels,
            measurements: (!options.training).then_some(params.measurements),
            batch,
            last: None,
            training: options.training,
            draw: options.draw,
            steps,
            rows,
            batch_first: input.batch_first,
            outputs: 0,
            blocks: Vec::new(),
            states: Vec::new(),
            y: Vec::new(),
        };
        let mut current = sequence;
        for (index, block) in self.chain.blocks.iter().enumerate() {
            let batch = tape.last.as_ref().unwrap_or(&tape.batch);
            let shape = Shape { steps: batch.steps, rows, batch_first: input.batch_first && tape.last.is_none() };
            let (input_width, width) = (self.width_before(index), self.width_after(index));
            let (mut recordings, mut moments) = (Vec::new(), None);
            let elements = if matches!(block, Block::Last) { rows * width } else { shape.steps * rows * width };
            let mut y = zeros(elements);
            match block {
                Block::BatchNorm(norm) if options.training => {
                    if let Sequence::Float(x) = &current {
                        moments = Some(self.normalise(norm, params, x, &mut y, batch, &shape)?);
                    }
                }
                Block::Causal(_) | Block::BatchNorm(_) => {
                    let stages: Vec<&Stage<E>> = block.stages().iter().collect();
                    let sink = Sink {
                        stage: stages.len() - 1,
                        what: What::Output,
                        view: shape.view(y.as_mut_ptr(), width, 0, width, false),
                    };
                    let view = current.view(&shape, input_width, false);
                    let job = Job { stages: &stages, batch, view, sink, shape: &shape, flip: false };
                    recordings.extend(self.run_stages(
                        &pass,
                        job,
                        state,
                        &mut tape.states,
                        record,
                        all.as_deref_mut(),
                    )?);
                }
                Block::Bidirectional { directions, skip } => {
                    let before = if *skip == Skip::Dense { input_width } else { 0 };
                    let part = (width - before) / 2;
                    for (direction, stage) in directions.iter().enumerate() {
                        let flip = direction == 1;
                        let sink = Sink {
                            stage: 0,
                            what: What::Output,
                            view: shape.view(y.as_mut_ptr(), width, before + direction * part, part, flip),
                        };
                        let view = current.view(&shape, input_width, flip);
                        let job = Job { stages: &[stage], batch, view, sink, shape: &shape, flip };
                        recordings.extend(self.run_stages(
                            &pass,
                            job,
                            state,
                            &mut tape.states,
                            record,
                            all.as_deref_mut(),
                        )?);
                    }
                    if let Sequence::Float(x) = &current {
                        let (x, y) = ((&x[..], input_width), (&mut y[..], width));
                        match skip {
                            Skip::None => {}
                            Skip::Residual => for_valid(x, y, batch, &shape, add),
                            Skip::Dense => for_valid(x, y, batch, &shape, |y, x| *y = x),
                        }
                    }
                }
                Block::Last => {
                    if let Sequence::Float(x) = &current {
                        for_last(batch, &shape, width, |row, at| {
                            y[row * width..][..width].copy_from_slice(&x[at..at + width])
                        });
                    }
                }
            }
            let next = Sequence::Float(y.into());
            let done = std::mem::replace(&mut current, next);
            // Recorded stages have their inputs staged; only what runs again needs them, and batch normalisation.
            let needed = matches!(record, Some(checkpoint) if checkpoint.is_some() || moments.is_some());
            tape.blocks.push(Kept { input: done.kept(needed), recordings, moments });
            if matches!(block, Block::Last) {
                tape.last = Some(Batch::new(1, rows, None, self.workers(rows, 1))?);
            }
        }
        if let Sequence::Float(y) = current {
            (tape.outputs, tape.y) = (y.len(), y.into_owned());
        }
        Ok(tape)
    }

    fn run_stages(
        &self,
        pass: &Pass<'_, E>,
        job: Job<'_, E>,
        state: Option<&[&[E]]>,
        states: &mut Vec<Vec<E>>,
        record: Option<Option<usize>>,
        all: Option<&mut Vec<Vec<E>>>,
    ) -> Result<Option<Recording<E>>> {
        let call = self.call(pass, job.stages, job.batch, vec![job.view]);
        let mut carry = Carry::new(job.stages, job.batch.count)?;
        let first = states.len();
        if let Some(state) = state {
            for index in 0..carry.count() {
                carry.set(index, state[first + index], &job.batch.order);
            }
        }
        let mut sinks = vec![job.sink];
        if let Some(all) = all {
            let mut index = first;
            for (stage, slots) in carry.slots.iter().enumerate() {
                for (state, &(_, _, width)) in slots.iter().enumerate() {
                    let shape = Shape { batch_first: false, ..*job.shape };
                    let view = shape.view(all[index].as_mut_ptr(), width, 0, width, job.flip);
                    sinks.push(Sink { stage, what: What::State(state), view });
                    index += 1;
                }
            }
        }
        if let Some((stage, scan)) = scan::of(job.stages, job.batch.steps) {
            let start = (0..carry.count()).map(|index| carry.get(index, &job.batch.order)).collect();
            let (last, recording) =
                self.scan_forward(pass, (stage, scan), job.batch, job.view, &sinks, start, record)?;
            states.extend(last);
            return Ok(recording);
        }
        let recording = match record {
            None => {
                call.forward(&mut carry, &sinks)?;
                None
            }
            Some(checkpoint) => Some(call.record(&mut carry, &sinks, checkpoint)?),
        };
        states.extend((0..carry.count()).map(|index| carry.get(index, &job.batch.order)));
        Ok(recording)
    }

    /// Takes the memory of a tape back for the next call.
    pub fn recycle(&self, tape: Tape<E>) {
        tape.recycle(&self.arenas);
    }
}

impl<E: Element> Tape<E> {
    pub(super) fn output_batch(&self) -> &Batch {
        self.last.as_ref().unwrap_or(&self.batch)
    }

    pub(super) fn output_shape(&self) -> Shape {
        match &self.last {
            Some(last) => Shape { steps: last.steps, rows: self.rows, batch_first: false },
            None => Shape { steps: self.steps, rows: self.rows, batch_first: self.batch_first },
        }
    }

    pub(super) fn recycle(self, arenas: &Arenas<E>) {
        self.blocks.into_iter().flat_map(|kept| kept.recordings).for_each(|r| r.recycle(arenas));
    }
}
