//! One of the two nets: it runs a step at a time and learns with its error sent back a bounded number of steps.

use crate::engine::Draw;
use crate::error::{Error, Result};
use crate::kernels::Element;
use crate::layers::{Block, InputKind};
use crate::model::{Gradients, Input, Model, Options, Tape, Values};
use crate::train::{Optimizer, Schedule, clip};
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;
use std::sync::Arc;

/// How a net learns.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Learning {
    /// The update rule, as [`Optimizer::from_json`] takes it.
    pub optimizer: String,
    /// The learning rate.
    pub lr: f64,
    /// What multiplies it at each update, as [`Schedule::from_json`] takes it.
    pub schedule: String,
}

/// A model in the midst of a stream: the last steps that it read, the states before each of them, its last output.
///
/// Truncated backpropagation through time, BPTT(h; h') of Williams and Peng (1990): every h' steps the errors of the last
/// h' outputs are sent back over the last h = k − 1 + h' steps, so each goes back k steps at least. The first step after
/// an update runs the k − 1 inputs before it again with the new weights, from the state that was kept before them.
pub(super) struct Net<E: Element> {
    pub(super) model: Arc<Model<E>>,
    pub(super) optimizer: Optimizer,
    pub(super) learning: Learning,
    schedule: Schedule,
    pub(super) reach: Reach,
    clip: Option<f64>,
    seed: u64,
    /// Whether dropout and zoneout drew in its last step.
    pub(super) drew: bool,
    /// Steps that it has read.
    pub(super) position: u64,
    /// The inputs of the last steps, at most [`Reach::limit`].
    pub(super) window: VecDeque<Vec<E>>,
    /// The states before each of them, and after the last.
    pub(super) states: VecDeque<Vec<Vec<E>>>,
    /// The last output; zeros before the first step.
    pub(super) y: Vec<E>,
    /// The gradients of the last outputs that wait for the next update.
    pub(super) errors: Vec<Vec<E>>,
    /// The parameters that made the last output and states.
    pub(super) version: Option<u64>,
    /// The window, where the last call ran all of it.
    tape: Option<Tape<E>>,
}

/// How far errors go back, and how often they do.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reach {
    /// Steps that each error goes back at least.
    pub(super) bptt: usize,
    /// Steps between updates.
    pub(super) every: usize,
}

impl Reach {
    /// Steps that are kept at most.
    pub(super) fn limit(self) -> usize {
        (self.bptt - 1).saturating_add(self.every)
    }
}

impl<E: Element> Net<E> {
    pub(super) fn new(
        model: Arc<Model<E>>,
        learning: Learning,
        (reach, clip, seed): (Reach, Option<f64>, u64),
    ) -> Result<Self> {
        if !model.chain.blocks.iter().all(|block| matches!(block, Block::Causal(_))) {
            return Err(Error::Unsupported(
                "a net of a chunker and automatizer: expected layers of one direction, without batch normalisation and \
                 without Last"
                    .into(),
            ));
        }
        if !(learning.lr >= 0.0 && learning.lr.is_finite()) {
            return Err(Error::value("lr", "a finite number not below 0", learning.lr));
        }
        let optimizer = Optimizer::from_json(&learning.optimizer)?;
        let schedule = Schedule::from_json(&learning.schedule)?;
        let y = vec![E::default(); model.chain.output];
        let mut net = Self {
            model,
            optimizer,
            learning,
            schedule,
            reach,
            clip,
            seed,
            drew: false,
            position: 0,
            window: VecDeque::new(),
            states: VecDeque::new(),
            y,
            errors: Vec::new(),
            version: None,
            tape: None,
        };
        net.reset();
        Ok(net)
    }

    /// Forgets the stream: states of zero, nothing read.
    pub(super) fn reset(&mut self) {
        self.window.clear();
        self.states.clear();
        let zeros = self.model.chain.states.iter().map(|state| vec![E::default(); state.width]).collect();
        self.states.push_back(zeros);
        self.y.fill(E::default());
        self.errors.clear();
        self.version = None;
        self.tape = None;
    }

    /// Whether it has read anything.
    pub(super) fn has_begun(&self) -> bool {
        !self.window.is_empty()
    }

    /// Width of a step's input.
    pub(super) fn input(&self) -> usize {
        match self.model.chain.input {
            InputKind::Float(width) => width,
            InputKind::Tokens(_) => 0,
        }
    }

    /// All states after the last step, side by side.
    pub(super) fn state(&self) -> Vec<E> {
        self.states.back().map(|states| states.concat()).unwrap_or_default()
    }

    /// Reads a step. `training` says whether dropout and zoneout draw; without it, errors that wait are let go.
    pub(super) fn step(&mut self, x: Vec<E>, training: bool) -> Result<()> {
        if !training {
            self.errors.clear();
        }
        if self.errors.is_empty() {
            let kept = self.window.len().min(self.reach.bptt - 1);
            self.window.drain(..self.window.len() - kept);
            self.states.drain(..self.states.len() - 1 - kept);
        }
        self.window.push_back(x);
        self.position += 1;
        self.drew = training;
        let anew = self.reach.every == 1 || self.version != Some(self.model.params().version);
        let last = self.run(if anew { self.window.len() } else { 1 })?;
        self.states.push_back(last);
        Ok(())
    }

    /// Runs the window again where somebody else has changed the parameters since its last step.
    pub(super) fn refresh(&mut self) -> Result<()> {
        if self.has_begun() && self.version != Some(self.model.params().version) {
            self.again()?;
        }
        Ok(())
    }

    /// Runs the window again.
    fn again(&mut self) -> Result<()> {
        let last = self.run(self.window.len())?;
        self.states.pop_back();
        self.states.push_back(last);
        Ok(())
    }

    /// Records the last steps of the window; sets the output and returns the final states.
    fn run(&mut self, steps: usize) -> Result<Vec<Vec<E>>> {
        let first = self.window.len() - steps;
        let x: Vec<E> = self.window.range(first..).flatten().copied().collect();
        let input = Input { values: Values::Float(&x), steps, rows: 1, batch_first: false };
        let state: Vec<&[E]> = self.states[first].iter().map(|s| &s[..]).collect();
        let draw = Draw { seed: self.seed, position: self.position - steps as u64 };
        let options = Options { training: self.drew, draw, ..Options::default() };
        if let Some(tape) = self.tape.take() {
            self.model.recycle(tape);
        }
        let version = self.model.params().version;
        let tape = self.model.record(input, Some(&state), options, None)?;
        let start = tape.y.len() - self.y.len();
        self.y.copy_from_slice(&tape.y[start..]);
        let last = tape.states.clone();
        self.version = Some(version);
        if first == 0 {
            self.tape = Some(tape);
        } else {
            self.model.recycle(tape);
        }
        Ok(last)
    }

    /// Takes the gradient of the last output; with enough of them, one update from their mean.
    pub(super) fn learn(&mut self, dy: Vec<E>) -> Result<()> {
        self.errors.push(dy);
        let every = self.reach.every;
        if self.errors.len() < every {
            return Ok(());
        }
        if self.tape.is_none() {
            self.again()?;
        }
        let Some(tape) = &self.tape else { return Ok(()) };
        let mut all = vec![E::default(); tape.y.len()];
        let start = all.len() - every * self.y.len();
        let share = E::from_f64(1.0 / every as f64);
        for (all, &dy) in all[start..].iter_mut().zip(self.errors.iter().flatten()) {
            *all = dy * share;
        }
        let gradients = self.model.backward(tape, &all, None, false, None)?;
        self.errors.clear();
        self.update(gradients)
    }

    /// One update of the parameters.
    pub(super) fn update(&mut self, mut gradients: Gradients<E>) -> Result<()> {
        if let Some(limit) = self.clip {
            clip::clip_norm(gradients.params.slice_mut(), &self.model.chain.layout.ranges(), limit)?;
        }
        let rate = self.learning.lr * self.schedule.factor(self.optimizer.updates());
        self.model.update(&mut self.optimizer, gradients.params.slice(), rate)?;
        self.model.recycle_gradients(gradients.params);
        Ok(())
    }
}
