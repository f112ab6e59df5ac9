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
/// Truncated backpropagation through time, BPTT(k; 1) of Williams and Peng (1990): a step runs the last k inputs again
/// with the present weights, from the state that was kept before them; the error of the last output is sent back over
/// these k steps.
pub(super) struct Net<E: Element> {
    pub(super) model: Arc<Model<E>>,
    pub(super) optimizer: Optimizer,
    pub(super) learning: Learning,
    schedule: Schedule,
    limit: usize,
    clip: Option<f64>,
    seed: u64,
    /// Whether dropout and zoneout drew in its last step.
    pub(super) drew: bool,
    /// Steps that it has read.
    pub(super) position: u64,
    /// The inputs of the last steps, at most `limit`.
    pub(super) window: VecDeque<Vec<E>>,
    /// The states before each of them, and after the last.
    pub(super) states: VecDeque<Vec<Vec<E>>>,
    /// The last output; zeros before the first step.
    pub(super) y: Vec<E>,
    tape: Option<(u64, Tape<E>)>,
}

impl<E: Element> Net<E> {
    pub(super) fn new(
        model: Arc<Model<E>>,
        learning: Learning,
        (limit, clip, seed): (usize, Option<f64>, u64),
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
            limit,
            clip,
            seed,
            drew: false,
            position: 0,
            window: VecDeque::new(),
            states: VecDeque::new(),
            y,
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

    /// Reads a step. `training` says whether dropout and zoneout draw.
    pub(super) fn step(&mut self, x: Vec<E>, training: bool) -> Result<()> {
        if self.window.len() == self.limit {
            self.window.pop_front();
            self.states.pop_front();
        }
        self.window.push_back(x);
        self.position += 1;
        self.drew = training;
        let last = self.run()?;
        self.states.push_back(last);
        Ok(())
    }

    /// Runs the window again where somebody else has changed the parameters since its last step.
    pub(super) fn refresh(&mut self) -> Result<()> {
        let version = self.model.params().version;
        if self.has_begun() && self.tape.as_ref().is_none_or(|(recorded, _)| *recorded != version) {
            let last = self.run()?;
            self.states.pop_back();
            self.states.push_back(last);
        }
        Ok(())
    }

    /// Records the window; sets the output and returns the final states.
    fn run(&mut self) -> Result<Vec<Vec<E>>> {
        let x: Vec<E> = self.window.iter().flatten().copied().collect();
        let steps = self.window.len();
        let input = Input { values: Values::Float(&x), steps, rows: 1, batch_first: false };
        let state: Option<Vec<&[E]>> = self.states.front().map(|states| states.iter().map(|s| &s[..]).collect());
        let draw = Draw { seed: self.seed, position: self.position - steps as u64 };
        let options = Options { training: self.drew, draw, ..Options::default() };
        if let Some((_, tape)) = self.tape.take() {
            self.model.recycle(tape);
        }
        let version = self.model.params().version;
        let tape = self.model.record(input, state.as_deref(), options, None)?;
        let start = tape.y.len() - self.y.len();
        self.y.copy_from_slice(&tape.y[start..]);
        let last = tape.states.clone();
        self.tape = Some((version, tape));
        Ok(last)
    }

    /// One update from the gradient of the last output, sent back over the window.
    pub(super) fn learn(&mut self, dy: &[E]) -> Result<()> {
        let Some((_, tape)) = &self.tape else { return Ok(()) };
        let mut all = vec![E::default(); tape.y.len()];
        let start = all.len() - dy.len();
        all[start..].copy_from_slice(dy);
        let gradients = self.model.backward(tape, &all, None, false, None)?;
        self.update(gradients)
    }

    /// One update of the parameters.
    pub(super) fn update(&mut self, mut gradients: Gradients<E>) -> Result<()> {
        let slots = &self.model.chain.layout.slots;
        if let Some(limit) = self.clip {
            let ranges: Vec<_> = slots.iter().map(|slot| slot.offset..slot.offset + slot.len).collect();
            clip::clip_norm(gradients.params.slice_mut(), &ranges, limit)?;
        }
        let rate = self.learning.lr * self.schedule.factor(self.optimizer.updates());
        self.model.update(&mut self.optimizer, gradients.params.slice(), rate)
    }
}
