//! How the nets of a history compressor learn to predict: online, within a running stack, or level by level over batches.

use super::cascade::{Cascade, Compressor, Running, Step};
use super::event::{Event, Settings};
use crate::error::{Error, Result};
use crate::kernels::Element;
use crate::model::{Input, Model, Options, Values};
use crate::stream::Stream;
use crate::train::{Optimizer, clip};
use std::sync::Arc;

/// How a net learns.
#[derive(Clone, Debug)]
pub struct Training {
    /// The update rule, as JSON.
    pub optimizer: String,
    /// The learning rate.
    pub lr: f64,
    /// Events over which gradients flow back, and after which an update is made.
    pub bptt: usize,
    /// The greatest norm of a gradient.
    pub clip_norm: Option<f64>,
}

/// What it takes to tell the events of a level, in bits.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Bits {
    /// When they come.
    pub times: f64,
    /// Which symbols they have.
    pub symbols: f64,
    /// How many they are.
    pub events: usize,
}

/// A stack that learns as it runs.
pub struct Learner<E: Element> {
    cascade: Cascade<E>,
}

/// The last events that a net read, over which it will learn.
pub(super) struct Window<E: Element> {
    model: Arc<Model<E>>,
    training: Training,
    optimizer: Optimizer,
    /// The states before the first of them.
    states: Vec<Vec<E>>,
    xs: Vec<E>,
    targets: Vec<Event<E>>,
}

impl Training {
    fn check(self) -> Result<Self> {
        if self.bptt == 0 {
            return Err(Error::value("bptt", "at least 1 event", 0));
        }
        Ok(self)
    }
}

impl<E: Element> Window<E> {
    /// The net is about to read `x`.
    pub(super) fn reads(&mut self, stream: &mut Stream<E>, x: &[E]) {
        if self.xs.is_empty() {
            self.states = stream.states();
        }
        self.xs.extend_from_slice(x);
    }
}

impl<E: Element> Running<E> {
    /// The event that its last output should have said has come.
    pub(super) fn learn(&mut self, settings: &Settings, level: usize, target: &Event<E>) -> Result<()> {
        let Some(window) = &mut self.window else { return Ok(()) };
        window.targets.push(target.clone());
        if window.targets.len() < window.training.bptt {
            return Ok(());
        }
        let rows = [&window.targets[..]];
        let states: Vec<&[E]> = window.states.iter().map(|s| &s[..]).collect();
        let piece = Piece { xs: &window.xs, rows: &rows, steps: window.targets.len(), states: Some(&states) };
        piece.update(settings, level, &window.model, &mut window.optimizer, &window.training)?;
        window.xs.clear();
        window.targets.clear();
        Ok(())
    }
}

impl<E: Element> Learner<E> {
    /// A stack at the beginning of a sequence, which learns.
    pub fn new(compressor: &Compressor<E>, training: &Training) -> Result<Self> {
        let training = training.clone().check()?;
        let mut cascade = compressor.start()?;
        for (running, model) in cascade.running.iter_mut().zip(&compressor.levels) {
            let width = model.chain.output;
            running.window = Some(Window {
                model: model.clone(),
                optimizer: Optimizer::from_json(&training.optimizer)?,
                training: training.clone(),
                states: model.chain.states.iter().map(|s| vec![E::default(); s.width]).collect(),
                xs: vec![E::default(); width],
                targets: Vec::new(),
            });
        }
        Ok(Self { cascade })
    }

    /// An input: it is predicted, learned from and handed up as far as it surprises. Returns what reaches the top.
    pub fn push(&mut self, input: Event<E>, seen: impl FnMut(Step<E>)) -> Result<Option<Event<E>>> {
        self.cascade.push(input, seen)
    }
}

/// A stretch of several sequences of one level side by side.
struct Piece<'a, E> {
    /// What the net reads: (steps, rows, width).
    xs: &'a [E],
    /// What comes; rows may be shorter than `steps`.
    rows: &'a [&'a [Event<E>]],
    steps: usize,
    states: Option<&'a [&'a [E]]>,
}

impl<E: Element> Piece<'_, E> {
    fn lengths(&self) -> Vec<i64> {
        self.rows.iter().map(|row| row.len() as i64).collect()
    }

    fn input(&self) -> Input<'_, E> {
        Input { values: Values::Float(self.xs), steps: self.steps, rows: self.rows.len(), batch_first: false }
    }

    /// One update towards predicting the stretch; its loss in nats, the states after it.
    fn update(
        &self,
        settings: &Settings,
        level: usize,
        model: &Model<E>,
        optimizer: &mut Optimizer,
        training: &Training,
    ) -> Result<(f64, Vec<Vec<E>>)> {
        let lengths = self.lengths();
        let options = Options { lengths: Some(&lengths), training: true, ..Options::default() };
        let tape = model.record(self.input(), self.states, options, None)?;
        let (width, rows) = (model.chain.output, self.rows.len());
        let mut dy = vec![E::default(); tape.y.len()];
        let mut total = 0.0;
        for (r, row) in self.rows.iter().enumerate() {
            for (t, event) in row.iter().enumerate() {
                let at = (t * rows + r) * width..(t * rows + r + 1) * width;
                total += settings.loss(level, event, &tape.y[at.clone()], &mut dy[at]);
            }
        }
        let count: usize = self.rows.iter().map(|row| row.len()).sum();
        let scale = E::from_f64(1.0 / count.max(1) as f64);
        dy.iter_mut().for_each(|d| *d = *d * scale);
        let mut gradients = model.backward(&tape, &dy, None, false, None)?;
        if let Some(limit) = training.clip_norm {
            clip::clip_norm(gradients.params.slice_mut(), &model.chain.layout.ranges(), limit)?;
        }
        model.update(optimizer, gradients.params.slice(), training.lr)?;
        model.recycle_gradients(gradients.params);
        Ok((total, tape.states))
    }
}

impl<E: Element> Compressor<E> {
    /// One pass of a level's net over batches of sequences of its events; returns nats an event. `orders` says which
    /// sequences are read side by side.
    pub fn train(
        &self,
        level: usize,
        sequences: &[Vec<Event<E>>],
        orders: &[Vec<usize>],
        optimizer: &mut Optimizer,
        training: &Training,
        stop: &(dyn Fn() -> bool + Sync),
    ) -> Result<f64> {
        let training = training.clone().check()?;
        let model = self.level(level)?;
        let (mut total, mut count) = (0.0, 0);
        for order in orders {
            let rows: Vec<&[Event<E>]> = order.iter().map(|&k| &sequences[k][..]).collect();
            self.over(level, &rows, training.bptt, |piece| {
                if stop() {
                    return Err(Error::Interrupted);
                }
                let (nats, states) = piece.update(&self.settings, level, model, optimizer, &training)?;
                total += nats;
                Ok(states)
            })?;
            count += rows.iter().map(|row| row.len()).sum::<usize>();
        }
        Ok(total / count.max(1) as f64)
    }

    /// What it takes to tell a sequence of a level's events with the probabilities that its net gives them.
    pub fn bits(&self, level: usize, sequence: &[Event<E>]) -> Result<Bits> {
        const STEPS: usize = 1024;
        let model = self.level(level)?;
        let width = model.chain.output;
        let mut bits = Bits { events: sequence.len(), ..Bits::default() };
        self.over(level, &[sequence], STEPS, |piece| {
            let output = model.forward(piece.input(), piece.states, Options::default())?;
            for (event, y) in piece.rows[0].iter().zip(output.y.chunks_exact(width)) {
                let [times, symbols] = self.settings.surprise(level, event, y);
                bits.times += times / std::f64::consts::LN_2;
                bits.symbols += symbols / std::f64::consts::LN_2;
            }
            Ok(output.states)
        })?;
        Ok(bits)
    }

    fn level(&self, level: usize) -> Result<&Arc<Model<E>>> {
        let count = self.levels.len();
        self.levels.get(level).ok_or_else(|| Error::value("level", format!("0 to {}", count - 1), level))
    }

    /// Goes over sequences side by side, so many steps at once, with the states carried on.
    fn over(
        &self,
        level: usize,
        sequences: &[&[Event<E>]],
        most: usize,
        mut body: impl FnMut(&Piece<'_, E>) -> Result<Vec<Vec<E>>>,
    ) -> Result<()> {
        let (width, count) = (self.settings.width(level), sequences.len());
        let longest = sequences.iter().map(|s| s.len()).max().unwrap_or(0);
        let mut states: Option<Vec<Vec<E>>> = None;
        for from in (0..longest).step_by(most) {
            let steps = most.min(longest - from);
            let mut xs = vec![E::default(); steps * count * width];
            let mut rows = Vec::new();
            for (r, sequence) in sequences.iter().enumerate() {
                let row = &sequence[from.min(sequence.len())..(from + steps).min(sequence.len())];
                for t in 0..row.len() {
                    // The net says what comes after it has read what came before; at first it has read nothing.
                    if let Some(before) = (from + t).checked_sub(1) {
                        self.settings.encode(level, &sequence[before], &mut xs[(t * count + r) * width..][..width]);
                    }
                }
                rows.push(row);
            }
            let given: Option<Vec<&[E]>> = states.as_ref().map(|all| all.iter().map(|s| &s[..]).collect());
            states = Some(body(&Piece { xs: &xs, rows: &rows, steps, states: given.as_deref() })?);
        }
        Ok(())
    }
}
