//! A model: a chain of layers with its parameters, and the calls that users make on it.

use crate::engine::{Arenas, Batch, Call, Carry, Data, Draw, Memory, Params, Recording, Sink, Stage, Stop, View, What, Wire, num_threads};
use crate::error::{Error, Result};
use crate::file::{self, Container, Tensor};
use crate::graph::{self, Graph};
use crate::kernels::{self, Element, Isa, Kernels};
use crate::layers::{Block, Chain, InputKind, Spec, build, loss_graph};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard, TryLockError};
use std::time::Duration;

/// Work (multiply-adds) below which a call stays on one thread.
const SMALL: usize = 100_000;

/// A chain of layers with its parameters. All calls take `&self`: threads may share a model; updates wait for running
/// calls.
#[derive(Debug)]
pub struct Model<E: Element> {
    /// What it was made from.
    pub spec: Spec,
    /// Its layers, ready to run.
    pub chain: Chain<E>,
    params: RwLock<Params<E>>,
    frozen: RwLock<Vec<bool>>,
    kernels: &'static Kernels<E>,
    arenas: Arenas<E>,
    losses: Mutex<Vec<(String, Arc<Stage<E>>)>>,
}

/// A sequence that is given to a model.
#[derive(Clone, Copy, Debug)]
pub struct Input<'a, E> {
    /// The elements, contiguous: (steps, rows, width), or (rows, steps, width) if `batch_first`.
    pub values: Values<'a, E>,
    /// Steps.
    pub steps: usize,
    /// Rows of the batch.
    pub rows: usize,
    /// Whether rows come before steps.
    pub batch_first: bool,
}

/// The elements of a sequence.
#[derive(Clone, Copy, Debug)]
pub enum Values<'a, E> {
    /// Numbers.
    Float(&'a [E]),
    /// Tokens.
    Tokens(&'a [i64]),
}

/// What may be said about a call.
#[derive(Clone, Copy, Default)]
pub struct Options<'a> {
    /// Steps of each row; all if absent.
    pub lengths: Option<&'a [i64]>,
    /// Whether dropout and zoneout draw.
    pub training: bool,
    /// Seed of the draws.
    pub draw: Draw,
    /// Says whether the call should stop (Ctrl-C).
    pub interrupt: Option<&'a (dyn Fn() -> bool + Sync)>,
}

/// What a forward call returns.
#[derive(Debug)]
pub struct Output<E> {
    /// The output, in the layout of the input; (rows, width) if the chain ends in `Last`.
    pub y: Vec<E>,
    /// The final states (rows, width), in the order of [`Chain::states`].
    pub states: Vec<Vec<E>>,
}

/// Gradients of a loss.
#[derive(Debug)]
pub struct Gradients<E: Element> {
    /// Of the parameters, in the layout of the parameters.
    pub params: Memory<E>,
    /// Of the input, in its layout; none for tokens, or where it was not asked for.
    pub x: Option<Vec<E>>,
    /// Of the initial states.
    pub states: Vec<Vec<E>>,
}

/// An array of a sequence between blocks.
enum Sequence<E> {
    Float(Vec<E>),
    Tokens(Vec<u32>),
}

/// What a recorded call kept.
pub struct Tape<E: Element> {
    version: u64,
    batch: Batch,
    last: Option<Batch>,
    training: bool,
    draw: Draw,
    steps: usize,
    rows: usize,
    batch_first: bool,
    /// Elements of the output.
    outputs: usize,
    /// For each block, its input and what it kept.
    blocks: Vec<(Sequence<E>, Vec<Recording<E>>)>,
    /// Final states.
    pub states: Vec<Vec<E>>,
    /// The output.
    pub y: Vec<E>,
}

// SAFETY: a tape's pointers lead into memory that it owns and to parameters that the model's lock guards.
unsafe impl<E: Element> Send for Tape<E> {}
// SAFETY: backward passes only read a tape.
unsafe impl<E: Element> Sync for Tape<E> {}

/// What remains fixed over the blocks of a call.
struct Pass<'a, E: Element> {
    params: &'a Params<E>,
    stop: &'a Stop<'a>,
    training: bool,
    draw: Draw,
}

impl<E: Element> Model<E> {
    /// A model with parameters drawn from the seed.
    pub fn new(spec: Spec, seed: u64) -> Result<Self> {
        let chain = build(&spec, None)?;
        Self::with_chain(spec, chain, seed, kernels::isa_checked().map_err(Error::Value)?)
    }

    /// As [`Model::new`], on a given SIMD path: results have the same bits on all of them.
    pub fn with_isa(spec: Spec, seed: u64, isa: Isa) -> Result<Self> {
        let chain = build(&spec, None)?;
        Self::with_chain(spec, chain, seed, isa)
    }

    fn with_chain(spec: Spec, chain: Chain<E>, seed: u64, isa: Isa) -> Result<Self> {
        let kernels = E::kernels(isa).ok_or_else(|| Error::Unsupported(format!("expected a processor with {isa:?}")))?;
        let params = RwLock::new(Params::new(&chain.layout, seed)?);
        let frozen = RwLock::new(vec![false; chain.layout.slots.len()]);
        Ok(Self { spec, chain, params, frozen, kernels, arenas: Arenas::default(), losses: Mutex::default() })
    }

    /// The parameters, to read. Holding this makes updates wait.
    pub fn params(&self) -> RwLockReadGuard<'_, Params<E>> {
        self.params.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// The parameters, to change: add 1 to the version when done.
    pub fn params_mut(&self) -> RwLockWriteGuard<'_, Params<E>> {
        loop {
            // Never queues: a waiting writer would hold up new readers, one of which may hold what a running call needs
            // to finish (Python's lock, to look for Ctrl-C).
            match self.params.try_write() {
                Ok(guard) => return guard,
                Err(TryLockError::Poisoned(poisoned)) => return poisoned.into_inner(),
                Err(TryLockError::WouldBlock) => std::thread::sleep(Duration::from_micros(50)),
            }
        }
    }

    /// Which parameters optimizers leave alone.
    pub fn frozen(&self) -> Vec<bool> {
        self.frozen.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Freezes (or thaws) the parameters whose names begin with `prefix`; returns how many there are.
    pub fn freeze(&self, prefix: &str, frozen: bool) -> Result<usize> {
        let mut flags = self.frozen.write().unwrap_or_else(PoisonError::into_inner);
        let mut count = 0;
        for (slot, flag) in self.chain.layout.slots.iter().zip(flags.iter_mut()) {
            if slot.name.starts_with(prefix) {
                *flag = frozen;
                count += 1;
            }
        }
        if count == 0 {
            let names: Vec<&str> = self.chain.layout.slots.iter().map(|s| &s.name[..]).collect();
            return Err(Error::value("prefix", format!("the beginning of one of {names:?}"), prefix));
        }
        Ok(count)
    }

    /// The SIMD path in use.
    pub fn kernels(&self) -> &'static Kernels<E> {
        self.kernels
    }

    /// Checks a sequence against the model, and makes it an array of its own where that is needed.
    fn sequence(&self, input: Input<'_, E>, batch: &Batch) -> Result<Sequence<E>> {
        let count = input.steps.checked_mul(input.rows).ok_or_else(|| Error::shape("x", "a size that fits memory", "an overflow"))?;
        match (self.chain.input, input.values) {
            (InputKind::Float(width), Values::Float(values)) => {
                if values.len() != count * width {
                    return Err(Error::shape("x", format!("{} steps x {} rows x {width} features", input.steps, input.rows), format!("{} elements", values.len())));
                }
                Ok(Sequence::Float(values.to_vec()))
            }
            (InputKind::Tokens(limit), Values::Tokens(tokens)) => {
                if tokens.len() != count {
                    return Err(Error::shape("x", format!("{} steps x {} rows of tokens", input.steps, input.rows), format!("{} elements", tokens.len())));
                }
                let shape = Shape { steps: input.steps, rows: input.rows, batch_first: input.batch_first };
                Ok(Sequence::Tokens(checked_tokens("x", tokens, limit, batch, &shape)?))
            }
            (InputKind::Float(width), Values::Tokens(_)) => Err(Error::dtype("x", format!("numbers ({width} features a step)"), "integers")),
            (InputKind::Tokens(limit), Values::Float(_)) => Err(Error::dtype("x", format!("integer tokens 0 to {}", limit - 1), "floating point numbers")),
        }
    }

    /// How many workers a call is worth.
    fn workers(&self, rows: usize, steps: usize) -> usize {
        let work = self.chain.layout.len.saturating_mul(rows).saturating_mul(steps);
        if work < SMALL { 1 } else { num_threads().min(rows).max(1) }
    }

    /// Runs a sequence. `state` holds the initial states (rows, width) in the order of [`Chain::states`], or zeros.
    pub fn forward(&self, input: Input<'_, E>, state: Option<&[&[E]]>, options: Options<'_>) -> Result<Output<E>> {
        let tape = self.run(&self.params(), input, state, options, None, None)?;
        Ok(Output { y: tape.y, states: tape.states })
    }

    /// All states after each step (steps, rows, width), or (rows, steps, width) if `batch_first`; zero past a row's end.
    pub fn all_states(&self, input: Input<'_, E>, state: Option<&[&[E]]>, options: Options<'_>) -> Result<Vec<Vec<E>>> {
        let steps = input.steps * input.rows;
        let mut all: Vec<Vec<E>> = self.chain.states.iter().map(|s| vec![E::default(); steps * s.width]).collect();
        self.run(&self.params(), input, state, options, None, Some(&mut all))?;
        Ok(all)
    }

    /// Runs a sequence and keeps what the backward pass needs: everything, or with `checkpoint` the states of every so
    /// many steps (rounded up to a multiple of 16), from which the rest is computed again.
    pub fn record(&self, input: Input<'_, E>, state: Option<&[&[E]]>, options: Options<'_>, checkpoint: Option<usize>) -> Result<Tape<E>> {
        if checkpoint == Some(0) {
            return Err(Error::value("checkpoint", "at least 1 step", 0));
        }
        self.run(&self.params(), input, state, options, Some(checkpoint), None)
    }

    fn call<'a>(&'a self, pass: &'a Pass<'a, E>, stages: &'a [&'a Stage<E>], batch: &'a Batch, inputs: Vec<View<E>>) -> Call<'a, E> {
        Call {
            stages,
            layout: &self.chain.layout,
            params: pass.params,
            kernels: self.kernels,
            batch,
            training: pass.training,
            draw: pass.draw,
            inputs,
            stop: pass.stop,
            arenas: &self.arenas,
        }
    }

    fn run(&self, params: &Params<E>, input: Input<'_, E>, state: Option<&[&[E]]>, options: Options<'_>, record: Option<Option<usize>>, mut all: Option<&mut Vec<Vec<E>>>) -> Result<Tape<E>> {
        let (steps, rows) = (input.steps, input.rows);
        self.check_states(state, rows)?;
        let batch = Batch::new(steps, rows, options.lengths, self.workers(rows, steps))?;
        let sequence = self.sequence(input, &batch)?;
        let never = || false;
        let stop = Stop::new(options.interrupt.unwrap_or(&never));
        let pass = Pass { params, stop: &stop, training: options.training, draw: options.draw };
        let mut tape = Tape {
            version: params.version,
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
            let width = self.width_after(index);
            let mut recordings = Vec::new();
            let mut y = vec![E::default(); if matches!(block, Block::Last) { rows * width } else { shape.steps * rows * width }];
            match block {
                Block::Causal(stages) => {
                    let stages: Vec<&Stage<E>> = stages.iter().collect();
                    let sink = Sink { stage: stages.len() - 1, what: What::Output, view: shape.view(y.as_mut_ptr(), width, 0, width, false) };
                    let view = self.input_view(&current, &shape, index, false);
                    let job = Job { stages: &stages, batch, view, sink, shape: &shape, flip: false };
                    recordings.extend(self.run_stages(&pass, job, state, &mut tape.states, record, all.as_deref_mut())?);
                }
                Block::Bidirectional { forward, reverse, residual } => {
                    for (direction, stage) in [forward, reverse].into_iter().enumerate() {
                        let flip = direction == 1;
                        let sink = Sink { stage: 0, what: What::Output, view: shape.view(y.as_mut_ptr(), width, direction * width / 2, width / 2, flip) };
                        let view = self.input_view(&current, &shape, index, flip);
                        let job = Job { stages: &[stage], batch, view, sink, shape: &shape, flip };
                        recordings.extend(self.run_stages(&pass, job, state, &mut tape.states, record, all.as_deref_mut())?);
                    }
                    if let (true, Sequence::Float(x)) = (*residual, &current) {
                        add_valid(x, &mut y, batch, &shape, width);
                    }
                }
                Block::Last => {
                    if let Sequence::Float(x) = &current {
                        for_last(batch, &shape, width, |row, at| y[row * width..][..width].copy_from_slice(&x[at..at + width]));
                    }
                }
            }
            let next = Sequence::Float(y);
            let done = std::mem::replace(&mut current, next);
            if record.is_some() {
                tape.blocks.push((done, recordings));
            }
            if matches!(block, Block::Last) {
                tape.last = Some(Batch::new(1, rows, None, self.workers(rows, 1))?);
            }
        }
        if let Sequence::Float(y) = current {
            (tape.outputs, tape.y) = (y.len(), y);
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
                    let view = job.shape.view(all[index].as_mut_ptr(), width, 0, width, job.flip);
                    sinks.push(Sink { stage, what: What::State(state), view });
                    index += 1;
                }
            }
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

    fn input_view(&self, sequence: &Sequence<E>, shape: &Shape, block: usize, flip: bool) -> View<E> {
        match sequence {
            Sequence::Float(x) => {
                let width = if block == 0 { self.input_width() } else { self.width_after(block - 1) };
                shape.view(x.as_ptr().cast_mut(), width, 0, width, flip)
            }
            Sequence::Tokens(x) => {
                let (step, row) = shape.strides(1);
                View { step, row, flip, ..View::indices(x.as_ptr(), shape.rows) }
            }
        }
    }

    fn input_width(&self) -> usize {
        match self.chain.input {
            InputKind::Float(width) => width,
            InputKind::Tokens(_) => 1,
        }
    }

    /// Width of the output of block `index`.
    fn width_after(&self, index: usize) -> usize {
        let width = |stage: &Stage<E>| stage.graph.width(stage.graph.outputs[0]);
        match &self.chain.blocks[index] {
            Block::Causal(stages) => stages.last().map_or(0, width),
            Block::Bidirectional { forward, .. } => 2 * width(forward),
            Block::Last if index > 0 => self.width_after(index - 1),
            Block::Last => self.input_width(),
        }
    }

    fn check_states(&self, state: Option<&[&[E]]>, rows: usize) -> Result<()> {
        let Some(state) = state else { return Ok(()) };
        let expected = &self.chain.states;
        if state.len() != expected.len() {
            return Err(Error::shape("state", format!("{} arrays", expected.len()), state.len()));
        }
        for (info, given) in expected.iter().zip(state) {
            if given.len() != rows * info.width {
                return Err(Error::shape(format!("state '{}'", info.name), format!("{rows} rows x {}", info.width), format!("{} elements", given.len())));
            }
        }
        Ok(())
    }

    /// Runs a tape backward from the gradient of its output `dy` (same layout) and of its final states. A tape may be
    /// used many times, until the parameters change.
    pub fn backward(&self, tape: &Tape<E>, dy: &[E], dstate: Option<&[Option<&[E]>]>, input_gradient: bool, interrupt: Option<&(dyn Fn() -> bool + Sync)>) -> Result<Gradients<E>> {
        self.backward_with(&self.params(), tape, dy, dstate, input_gradient, interrupt)
    }

    fn backward_with(&self, params: &Params<E>, tape: &Tape<E>, dy: &[E], dstate: Option<&[Option<&[E]>]>, input_gradient: bool, interrupt: Option<&(dyn Fn() -> bool + Sync)>) -> Result<Gradients<E>> {
        let never = || false;
        let stop = Stop::new(interrupt.unwrap_or(&never));
        if params.version != tape.version {
            return Err(Error::Stale(format!("expected parameters of version {} (when the tape was recorded), got version {}", tape.version, params.version)));
        }
        if dy.len() != tape.outputs {
            return Err(Error::shape("dy", format!("{} elements, as y", tape.outputs), dy.len()));
        }
        if let Some(dstate) = dstate {
            if dstate.len() != self.chain.states.len() {
                return Err(Error::shape("dstate", format!("{} arrays", self.chain.states.len()), dstate.len()));
            }
            for (info, given) in self.chain.states.iter().zip(dstate) {
                if given.is_some_and(|g| g.len() != tape.rows * info.width) {
                    return Err(Error::shape(format!("dstate '{}'", info.name), format!("{} rows x {}", tape.rows, info.width), format!("{} elements", given.map_or(0, <[E]>::len))));
                }
            }
        }
        let pass = Pass { params, stop: &stop, training: tape.training, draw: tape.draw };
        let mut gradients = Memory::new(self.chain.layout.len.max(1))?;
        let mut states: Vec<Vec<E>> = vec![Vec::new(); self.chain.states.len()];
        let mut first_state = self.chain.states.len();
        let mut current: Option<Vec<E>> = None;
        let last_at = self.chain.blocks.iter().position(|b| matches!(b, Block::Last));
        for (index, block) in self.chain.blocks.iter().enumerate().rev() {
            let after_last = last_at.is_some_and(|last| index > last);
            let batch = if after_last { tape.last.as_ref().unwrap_or(&tape.batch) } else { &tape.batch };
            let shape = Shape { steps: batch.steps, rows: tape.rows, batch_first: tape.batch_first && !after_last };
            let width = self.width_after(index);
            let (x, recordings) = &tape.blocks[index];
            let is_float = matches!(x, Sequence::Float(_));
            let wanted = is_float && (index > 0 || input_gradient);
            let input_width = if index == 0 { self.input_width() } else { self.width_after(index - 1) };
            let mut dx = if wanted { vec![E::default(); shape.steps * tape.rows * input_width] } else { Vec::new() };
            let dy: &[E] = current.as_deref().unwrap_or(dy);
            let dy_at = |offset: usize, part: usize, flip: bool| shape.view(dy.as_ptr().cast_mut(), width, offset, part, flip);
            match block {
                Block::Causal(stages) => {
                    let stages: Vec<&Stage<E>> = stages.iter().collect();
                    let view = self.input_view(x, &shape, index, false);
                    let call = self.call(&pass, &stages, batch, vec![view]);
                    let dx_view = wanted.then(|| shape.view(dx.as_mut_ptr(), input_width, 0, input_width, false));
                    first_state -= self.back_stages(&call, &recordings[0], (dy_at(0, width, false), dx_view), dstate, &mut states, first_state, &mut gradients)?;
                }
                Block::Bidirectional { forward, reverse, residual } => {
                    let own = forward.graph.states.len();
                    first_state -= 2 * own;
                    for (direction, stage) in [forward, reverse].into_iter().enumerate() {
                        let flip = direction == 1;
                        let view = self.input_view(x, &shape, index, flip);
                        let stages = [stage];
                        let call = self.call(&pass, &stages, batch, vec![view]);
                        let dx_view = wanted.then(|| View { add: flip, ..shape.view(dx.as_mut_ptr(), input_width, 0, input_width, flip) });
                        let end = first_state + (direction + 1) * own;
                        self.back_stages(&call, &recordings[direction], (dy_at(direction * width / 2, width / 2, flip), dx_view), dstate, &mut states, end, &mut gradients)?;
                    }
                    if *residual && wanted {
                        add_valid(dy, &mut dx, batch, &shape, width);
                    }
                }
                Block::Last => for_last(batch, &shape, width, |row, at| dx[at..at + width].copy_from_slice(&dy[row * width..][..width])),
            }
            current = Some(dx);
        }
        let x = current.filter(|_| input_gradient && matches!(self.chain.input, InputKind::Float(_)));
        Ok(Gradients { params: gradients, x, states })
    }

    /// Runs the stages of a call backward; `end` is one past their last state. Returns how many states they have.
    #[allow(clippy::too_many_arguments, reason = "called twice, with what a block knows")]
    fn back_stages(
        &self,
        call: &Call<'_, E>,
        recording: &Recording<E>,
        (dy, dx): (View<E>, Option<View<E>>),
        dstate: Option<&[Option<&[E]>]>,
        states: &mut [Vec<E>],
        end: usize,
        gradients: &mut Memory<E>,
    ) -> Result<usize> {
        let mut carry = Carry::new(call.stages, call.batch.count)?;
        let count = carry.count();
        let first = end - count;
        for index in 0..count {
            if let Some(given) = dstate.and_then(|d| d[first + index]) {
                carry.set(index, given, &call.batch.order);
            }
        }
        call.backward(recording, &mut carry, dy, dx, gradients)?;
        for index in 0..count {
            states[first + index] = carry.get(index, &call.batch.order);
        }
        Ok(count)
    }

    /// The stage of a loss on outputs of this model.
    fn loss_stage(&self, name: &str) -> Result<Arc<Stage<E>>> {
        let mut known = self.losses.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, stage)) = known.iter().find(|(n, _)| n == name) {
            return Ok(stage.clone());
        }
        let graph = loss_graph(name, self.chain.output)?;
        let stage = Arc::new(Stage::new("loss".into(), graph, vec![Wire::Previous, Wire::External(1)], vec![])?);
        known.push((name.to_string(), stage.clone()));
        Ok(stage)
    }

    /// The mean loss of outputs `y` (of shape `shape`), Σ w·l / Σ w over valid steps, the sum of weights, and if asked
    /// for the gradient with respect to y.
    fn loss_of(&self, params: &Params<E>, y: &[E], target: &Target<'_, E>, batch: &Batch, shape: &Shape, stop: &Stop<'_>, gradient: bool) -> Result<(f64, f64, Vec<E>)> {
        let width = self.chain.output;
        let count = shape.steps * shape.rows;
        let (indices, mut weights) = target.check(width, batch, shape)?;
        for (row, &id) in batch.order.iter().enumerate() {
            for t in batch.lengths[row]..shape.steps {
                let (step, stride) = shape.strides(1);
                weights[t * step + id * stride] = E::default();
            }
        }
        let stage = self.loss_stage(target.loss)?;
        let stages = [&*stage];
        let view = shape.view(y.as_ptr().cast_mut(), width, 0, width, false);
        let (step, row) = shape.strides(1);
        let target_view = match (&indices, target.values) {
            (Some(indices), _) => View { step, row, ..View::indices(indices.as_ptr(), shape.rows) },
            (None, Values::Float(values)) => shape.view(values.as_ptr().cast_mut(), width, 0, width, false),
            (None, Values::Tokens(_)) => return Err(Error::dtype("targets", "numbers", "integers")),
        };
        let pass = Pass { params, stop, training: false, draw: Draw::default() };
        let call = self.call(&pass, &stages, batch, vec![view, target_view]);
        let mut losses = vec![E::default(); count];
        let sink = Sink { stage: 0, what: What::Output, view: shape.view(losses.as_mut_ptr(), 1, 0, 1, false) };
        let mut carry = Carry::new(&stages, batch.count)?;
        let recording = if gradient { Some(call.record(&mut carry, &[sink], None)?) } else { call.forward(&mut carry, &[sink]).map(|()| None)? };
        let (mut sum, mut total) = (0.0, 0.0);
        for (loss, weight) in losses.iter().zip(&weights) {
            let weight = weight.to_f64();
            if weight != 0.0 {
                sum += weight * loss.to_f64();
                total += weight;
            }
        }
        let mut dy = Vec::new();
        if let Some(recording) = recording {
            dy = vec![E::default(); y.len()];
            if total != 0.0 {
                for weight in &mut weights {
                    *weight = E::from_f64(weight.to_f64() / total);
                }
                let mut none = Memory::new(1)?;
                let dx = shape.view(dy.as_mut_ptr(), width, 0, width, false);
                call.backward(&recording, &mut carry, shape.view(weights.as_mut_ptr(), 1, 0, 1, false), Some(dx), &mut none)?;
            }
        }
        Ok((if total == 0.0 { 0.0 } else { sum / total }, total, dy))
    }

    /// The loss, the sum of the weights, gradients of the parameters, and the final states.
    pub fn value_and_grad(&self, input: Input<'_, E>, target: &Target<'_, E>, state: Option<&[&[E]]>, options: Options<'_>) -> Result<(f64, f64, Gradients<E>, Vec<Vec<E>>)> {
        let never = || false;
        let stop = Stop::new(options.interrupt.unwrap_or(&never));
        let params = self.params();
        let tape = self.run(&params, input, state, options, Some(None), None)?;
        let (value, total, dy) = self.loss_of(&params, &tape.y, target, tape.last.as_ref().unwrap_or(&tape.batch), &tape.output_shape(), &stop, true)?;
        let gradients = self.backward_with(&params, &tape, &dy, None, false, options.interrupt)?;
        let states = tape.states.clone();
        tape.recycle(&self.arenas);
        Ok((value, total, gradients, states))
    }

    /// The loss, the sum of the weights, and the outputs.
    pub fn loss(&self, input: Input<'_, E>, target: &Target<'_, E>, state: Option<&[&[E]]>, options: Options<'_>) -> Result<(f64, f64, Output<E>)> {
        let never = || false;
        let stop = Stop::new(options.interrupt.unwrap_or(&never));
        let params = self.params();
        let tape = self.run(&params, input, state, options, None, None)?;
        let (value, total, _) = self.loss_of(&params, &tape.y, target, tape.last.as_ref().unwrap_or(&tape.batch), &tape.output_shape(), &stop, false)?;
        Ok((value, total, Output { y: tape.y, states: tape.states }))
    }

    /// Takes the memory of a tape back for the next call.
    pub fn recycle(&self, tape: Tape<E>) {
        tape.recycle(&self.arenas);
    }

    /// Where the time of a forward pass goes: seconds for each stage, one after the other over the whole sequence.
    pub fn profile(&self, input: Input<'_, E>, lengths: Option<&[i64]>) -> Result<Vec<(String, f64)>> {
        let batch = Batch::new(input.steps, input.rows, lengths, self.workers(input.rows, input.steps))?;
        let mut current = self.sequence(input, &batch)?;
        let single = Batch::new(1, input.rows, None, 1)?;
        let (mut batch, mut shape) = (&batch, Shape { steps: input.steps, rows: input.rows, batch_first: input.batch_first });
        let (never, params) = (|| false, self.params());
        let stop = Stop::new(&never);
        let pass = Pass { params: &params, stop: &stop, training: false, draw: Draw::default() };
        let mut times = Vec::new();
        let mut width = self.input_width();
        for block in &self.chain.blocks {
            let stages: Vec<&Stage<E>> = match block {
                Block::Causal(stages) => stages.iter().collect(),
                Block::Bidirectional { forward, reverse, .. } => vec![forward, reverse],
                Block::Last => {
                    (batch, shape) = (&single, Shape { steps: 1, batch_first: false, ..shape });
                    current = Sequence::Float(vec![E::default(); input.rows * width]);
                    continue;
                }
            };
            let both = matches!(block, Block::Bidirectional { .. });
            for stage in stages {
                let out = stage.graph.width(stage.graph.outputs[0]);
                let view = match &current {
                    Sequence::Float(x) => shape.view(x.as_ptr().cast_mut(), width, 0, width, false),
                    Sequence::Tokens(x) => {
                        let (step, row) = shape.strides(1);
                        View { step, row, ..View::indices(x.as_ptr(), shape.rows) }
                    }
                };
                let mut y = vec![E::default(); shape.steps * shape.rows * out];
                let sink = Sink { stage: 0, what: What::Output, view: shape.view(y.as_mut_ptr(), out, 0, out, false) };
                let stages = [stage];
                let call = self.call(&pass, &stages, batch, vec![view]);
                let mut carry = Carry::new(&stages, batch.count)?;
                let start = std::time::Instant::now();
                call.forward(&mut carry, &[sink])?;
                times.push((format!("{} ({})", stage.path, stage.graph.name), start.elapsed().as_secs_f64()));
                if !both {
                    (current, width) = (Sequence::Float(y), out);
                }
            }
            if let Block::Bidirectional { forward, .. } = block {
                width = 2 * forward.graph.width(forward.graph.outputs[0]);
                current = Sequence::Float(vec![E::default(); shape.steps * shape.rows * width]);
            }
        }
        Ok(times)
    }

    /// What the planner made of the model, for people.
    pub fn explain(&self) -> String {
        let mut text = format!("{} parameters, {}, path {:?}\n", self.chain.layout.slots.iter().map(|s| s.len).sum::<usize>(), E::NAME, self.kernels.isa);
        let mut stage = |stage: &Stage<E>| {
            let plans = stage.plans(false);
            text += &format!("\nstage {} ({})\n forward\n{}", stage.path, stage.graph.name, plans.record.explain());
            text += &format!(" backward\n{}", plans.reverse[1].plan.explain());
        };
        for block in &self.chain.blocks {
            match block {
                Block::Causal(stages) => stages.iter().for_each(&mut stage),
                Block::Bidirectional { forward, reverse, .. } => [forward, reverse].into_iter().for_each(&mut stage),
                Block::Last => {}
            }
        }
        text
    }

    /// The model as the bytes of a file, with `extra` metadata of the caller's.
    pub fn to_bytes(&self, extra: &BTreeMap<String, String>) -> Result<Vec<u8>> {
        let params = self.params();
        let mut metadata = extra.clone();
        let graphs: Vec<_> = self.chain.graphs.iter().map(graph::to_json).collect();
        let frozen: Vec<String> = self.chain.layout.slots.iter().zip(self.frozen()).filter(|(_, f)| *f).map(|(s, _)| s.name.clone()).collect();
        metadata.insert("model.spec".into(), self.spec.text());
        metadata.insert("model.dtype".into(), E::NAME.into());
        metadata.insert("model.graphs".into(), serde_json::Value::from(graphs).to_string());
        metadata.insert("model.frozen".into(), serde_json::json!(frozen).to_string());
        let tensors = self.chain.layout.slots.iter().map(|slot| {
            let values = &params.memory.slice()[slot.offset..slot.offset + slot.len];
            Ok((slot.name.clone(), Tensor::new(&slot.shape, values)?))
        });
        Container { metadata, tensors: tensors.collect::<Result<_>>()? }.to_bytes()
    }

    /// A model from the bytes of a file, and the caller's metadata. Runs no code; checks everything.
    pub fn from_container(container: Container<'_>, allow_nonfinite: bool) -> Result<(Self, BTreeMap<String, String>)> {
        let mut metadata = container.metadata;
        let mut take = |key: &str| metadata.remove(key).ok_or_else(|| Error::File(format!("expected metadata '{key}' of a model, got none")));
        let spec = take("model.spec")?;
        let spec = Spec::parse(&spec).map_err(|e| Error::File(e.to_string()))?;
        let (_, graphs, frozen) = (take("model.dtype")?, take("model.graphs")?, take("model.frozen")?);
        let parse = |text: &str| serde_json::from_str::<Vec<serde_json::Value>>(text).map_err(|e| Error::File(format!("stored graphs: {e}")));
        let graphs: Vec<Graph> = parse(&graphs)?.iter().map(graph::from_json).collect::<Result<_>>()?;
        let as_file = |e: Error| match e {
            Error::Memory(_) | Error::Io(_) => e,
            e => Error::File(e.to_string()),
        };
        let chain = build(&spec, Some(graphs)).map_err(as_file)?;
        let names: Vec<(&str, &[usize])> = chain.layout.slots.iter().map(|s| (&s.name[..], &s.shape[..])).collect();
        let mut given: Vec<(&str, &[usize])> = container.tensors.iter().map(|(name, t)| (&name[..], t.shape())).collect();
        let mut expected = names.clone();
        expected.sort_unstable();
        given.sort_unstable();
        if expected != given {
            return Err(Error::File(format!("expected tensors {expected:?}, got {given:?}")));
        }
        let model = Self::with_chain(spec, chain, 0, kernels::isa_checked().map_err(Error::Value)?).map_err(as_file)?;
        {
            let mut params = model.params_mut();
            for slot in &model.chain.layout.slots {
                let tensor = &container.tensors[&slot.name];
                let values: Vec<E> = tensor.values()?;
                if let (false, Some(bad)) = (allow_nonfinite, values.iter().find(|v| !v.to_f64().is_finite())) {
                    return Err(Error::File(format!("'{}': expected finite numbers (allow_nonfinite=True accepts others), got {}", slot.name, bad.to_f64())));
                }
                params.memory.slice_mut()[slot.offset..slot.offset + slot.len].copy_from_slice(&values);
            }
        }
        let frozen: Vec<String> = serde_json::from_str(&frozen).map_err(|e| Error::File(format!("stored names: {e}")))?;
        let mut flags = model.frozen.write().unwrap_or_else(PoisonError::into_inner);
        for (slot, flag) in model.chain.layout.slots.iter().zip(flags.iter_mut()) {
            *flag = frozen.contains(&slot.name);
        }
        drop(flags);
        Ok((model, metadata))
    }

    /// Writes the model to a file: all of it or nothing.
    pub fn save(&self, path: &std::path::Path, extra: &BTreeMap<String, String>) -> Result<()> {
        file::save(path, &self.to_bytes(extra)?)
    }
}

/// What outputs should have been.
#[derive(Clone, Copy, Debug)]
pub struct Target<'a, E> {
    /// cross_entropy, bernoulli or mse.
    pub loss: &'a str,
    /// The targets, laid out as the output.
    pub values: Values<'a, E>,
    /// A weight for each step, laid out as the output.
    pub weights: Option<&'a [E]>,
    /// A token that has no weight.
    pub ignore_index: Option<i64>,
}

impl<E: Element> Target<'_, E> {
    /// Indices (for tokens) and weights of the steps.
    fn check(&self, width: usize, batch: &Batch, shape: &Shape) -> Result<(Option<Vec<u32>>, Vec<E>)> {
        let count = shape.steps * shape.rows;
        let mut weights = match self.weights {
            None => vec![E::from_f64(1.0); count],
            Some(given) if given.len() == count => given.to_vec(),
            Some(given) => return Err(Error::shape("weights", format!("{count} elements, one a step"), given.len())),
        };
        if let Some(bad) = weights.iter().find(|w| !(w.to_f64() >= 0.0 && w.to_f64().is_finite())) {
            return Err(Error::value("weights", "numbers that are finite and not negative", bad.to_f64()));
        }
        match (self.loss, self.values) {
            ("cross_entropy", Values::Tokens(tokens)) => {
                if tokens.len() != count {
                    return Err(Error::shape("targets", format!("{count} tokens, one a step"), tokens.len()));
                }
                let mut tokens = tokens.to_vec();
                for (token, weight) in tokens.iter_mut().zip(&mut weights) {
                    if Some(*token) == self.ignore_index {
                        (*token, *weight) = (0, E::default());
                    }
                }
                Ok((Some(checked_tokens("targets", &tokens, width, batch, shape)?), weights))
            }
            ("cross_entropy", Values::Float(_)) => Err(Error::dtype("targets of cross_entropy", "integers", "floating point numbers")),
            (_, Values::Float(values)) if values.len() == count * width => Ok((None, weights)),
            (_, Values::Float(values)) => Err(Error::shape("targets", format!("{} elements, as y", count * width), values.len())),
            (loss, Values::Tokens(_)) => Err(Error::dtype(format!("targets of {loss}"), "floating point numbers", "integers")),
        }
    }
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

/// The layout of a sequence's array.
struct Shape {
    steps: usize,
    rows: usize,
    batch_first: bool,
}

impl Shape {
    /// Elements from step to step and from row to row.
    fn strides(&self, width: usize) -> (usize, usize) {
        if self.batch_first { (width, self.steps * width) } else { (self.rows * width, width) }
    }

    /// Columns `offset..offset + part` of an array of this width.
    fn view<E: Element>(&self, data: *mut E, width: usize, offset: usize, part: usize, flip: bool) -> View<E> {
        let (step, row) = self.strides(width);
        View { data: Data::Float(data.wrapping_add(offset)), step, row, width: part, flip, add: false }
    }
}

impl<E: Element> Tape<E> {
    fn output_shape(&self) -> Shape {
        match &self.last {
            Some(last) => Shape { steps: last.steps, rows: self.rows, batch_first: false },
            None => Shape { steps: self.steps, rows: self.rows, batch_first: self.batch_first },
        }
    }

    fn recycle(self, arenas: &Arenas<E>) {
        self.blocks.into_iter().flat_map(|b| b.1).for_each(|r| r.recycle(arenas));
    }
}

/// Calls `each(row, element)` with the place of each row's last valid step.
fn for_last(batch: &Batch, shape: &Shape, width: usize, mut each: impl FnMut(usize, usize)) {
    let (step, stride) = shape.strides(width);
    for (row, &id) in batch.order.iter().enumerate() {
        if batch.lengths[row] > 0 {
            each(id, (batch.lengths[row] - 1) * step + id * stride);
        }
    }
}

/// Adds `from` to `to` at valid steps.
fn add_valid<E: Element>(from: &[E], to: &mut [E], batch: &Batch, shape: &Shape, width: usize) {
    let (step, stride) = shape.strides(width);
    for (row, &id) in batch.order.iter().enumerate() {
        for t in 0..batch.lengths[row] {
            let at = t * step + id * stride;
            for k in at..at + width {
                to[k] = to[k] + from[k];
            }
        }
    }
}

/// The tokens of valid steps, each below `limit`; 0 in the padding, whatever stands there.
fn checked_tokens(what: &str, tokens: &[i64], limit: usize, batch: &Batch, shape: &Shape) -> Result<Vec<u32>> {
    let (step, stride) = shape.strides(1);
    let mut checked = vec![0; tokens.len()];
    for (row, &id) in batch.order.iter().enumerate() {
        for t in 0..batch.lengths[row] {
            let at = t * step + id * stride;
            checked[at] = match u32::try_from(tokens[at]) {
                Ok(index) if (index as usize) < limit => index,
                _ => return Err(Error::value(what, format!("tokens 0 to {}", limit - 1), tokens[at])),
            };
        }
    }
    Ok(checked)
}
