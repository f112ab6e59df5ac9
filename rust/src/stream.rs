//! Streaming: a step a call, the states kept here.

use crate::engine::{Stage, Stepper};
use crate::error::{Error, Result};
use crate::kernels::{Element, Kernels, Width};
use crate::layers::{Block, InputKind};
use crate::model::Model;
use std::ops::Range;
use std::sync::Arc;

/// A model that is run step by step, with the bits of a run over the whole sequence. After an update of the parameters
/// it goes on with the new ones and its states.
///
/// A chain that ends in `Last` gives the output of the step, the last so far.
pub struct Stream<E: Element> {
    model: Arc<Model<E>>,
    rows: usize,
    narrow: Option<Width>,
    stepper: Stepper<E>,
}

fn stages<E: Element>(model: &Model<E>) -> Result<Vec<&Stage<E>>> {
    let mut all = Vec::new();
    for block in &model.chain.blocks {
        match block {
            Block::Causal(_) | Block::BatchNorm(_) | Block::Last => all.extend(block.stages()),
            Block::Bidirectional { .. } => {
                return Err(Error::Unsupported(
                    "a bidirectional layer needs the whole sequence: expected layers of one direction for streaming"
                        .into(),
                ));
            }
        }
    }
    Ok(all)
}

impl<E: Element> Stream<E> {
    /// A stream of `rows` rows with zero states.
    pub fn new(model: Arc<Model<E>>, rows: usize) -> Result<Self> {
        Self::with_weights(model, rows, None)
    }

    /// The same with matrices in 16 or 8 bits, of a float32 model: less to read at each step, at the price of their
    /// rounding. All else, biases and embeddings too, stays float32, and so do sums. [`Error::Dtype`] with another model.
    pub fn with_weights(model: Arc<Model<E>>, rows: usize, narrow: Option<Width>) -> Result<Self> {
        if rows == 0 {
            return Err(Error::value("batch_size", "at least 1", 0));
        }
        let stepper = Self::stepper(&model, rows, narrow, false)?;
        Ok(Self { model, rows, narrow, stepper })
    }

    /// Narrow weights are made of whole ones, whatever the model's precision.
    fn kernels(model: &Model<E>, narrow: Option<Width>) -> &'static Kernels<E> {
        if narrow.is_some() { model.whole_kernels() } else { model.kernels() }
    }

    fn stepper(model: &Model<E>, rows: usize, narrow: Option<Width>, several: bool) -> Result<Stepper<E>> {
        let width = match model.chain.input {
            InputKind::Float(width) => width,
            InputKind::Tokens(_) => 1,
        };
        let params = model.params();
        let kernels = Self::kernels(model, narrow);
        Stepper::new(&stages(model)?, &model.chain.layout, &params, kernels, rows, width, narrow, several)
    }

    /// The model.
    pub fn model(&self) -> &Arc<Model<E>> {
        &self.model
    }

    /// Rows of the batch.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Binds anew if the parameters, or the model's precision, have changed, or if these are the first several steps at a
    /// time: whoever makes one a call has all of a step in little memory.
    fn refresh(&mut self, steps: usize) -> Result<()> {
        let precision = Self::kernels(&self.model, self.narrow).precision;
        let several = steps > 1 || self.stepper.most() > 1;
        let bound = self.stepper.bound_to() == (self.model.params().stamp(), precision);
        if !bound || several != (self.stepper.most() > 1) {
            let states = self.states();
            self.stepper = Self::stepper(&self.model, self.rows, self.narrow, several)?;
            let states: Vec<&[E]> = states.iter().map(|s| &s[..]).collect();
            self.set_states(&states)?;
        }
        Ok(())
    }

    /// Runs so many steps, as many at a time as the stepper does, after their inputs were set.
    fn run(&mut self, steps: usize, y: &mut [E], mut set: impl FnMut(&mut Stepper<E>, Range<usize>)) -> Result<()> {
        let each = self.rows * self.model.chain.output;
        if y.len() != steps * each {
            let expected = format!("{steps} steps x {} rows x {}", self.rows, self.model.chain.output);
            return Err(Error::shape("y", expected, format!("{} elements", y.len())));
        }
        let model = self.model.clone();
        // Updates wait while steps run.
        let _params = model.params();
        let stages = stages(&model)?;
        let most = self.stepper.most();
        for first in (0..steps).step_by(most) {
            let last = (first + most).min(steps);
            set(&mut self.stepper, first..last);
            self.stepper.steps(&stages, last - first, &mut y[first * each..last * each]);
        }
        Ok(())
    }

    /// A step of numbers, or several: x (steps, rows, width) to y (steps, rows, output).
    pub fn step_float(&mut self, x: &[E], y: &mut [E]) -> Result<()> {
        let InputKind::Float(width) = self.model.chain.input else {
            return Err(Error::dtype("x", "integer tokens", "floating point numbers"));
        };
        let each = self.rows * width;
        if !x.len().is_multiple_of(each) {
            return Err(Error::shape(
                "x",
                format!("{} rows x {width} features", self.rows),
                format!("{} elements", x.len()),
            ));
        }
        self.refresh(x.len() / each)?;
        self.run(x.len() / each, y, |stepper, steps| {
            stepper.set_input(&x[steps.start * each..steps.end * each]);
        })
    }

    /// A step of tokens, or several: x (steps, rows) to y (steps, rows, output).
    pub fn step_tokens(&mut self, x: &[i64], y: &mut [E]) -> Result<()> {
        let InputKind::Tokens(limit) = self.model.chain.input else {
            return Err(Error::dtype("x", "floating point numbers", "integers"));
        };
        if !x.len().is_multiple_of(self.rows) {
            return Err(Error::shape("x", format!("{} tokens", self.rows), format!("{} elements", x.len())));
        }
        let check = |&token: &i64| {
            u32::try_from(token)
                .ok()
                .filter(|&t| (t as usize) < limit)
                .ok_or_else(|| Error::value("x", format!("tokens 0 to {}", limit - 1), token))
        };
        let tokens: Vec<u32> = x.iter().map(check).collect::<Result<_>>()?;
        let rows = self.rows;
        self.refresh(tokens.len() / rows)?;
        self.run(tokens.len() / rows, y, |stepper, steps| {
            stepper.set_tokens(&tokens[steps.start * rows..steps.end * rows]);
        })
    }

    /// The states (rows, width), in the order of the model's.
    pub fn states(&mut self) -> Vec<Vec<E>> {
        let widths: Vec<usize> = self.model.chain.states.iter().map(|s| s.width).collect();
        let rows = self.rows;
        widths
            .iter()
            .enumerate()
            .map(|(index, &width)| (0..rows).flat_map(|row| self.stepper.state(index, row, width).to_vec()).collect())
            .collect()
    }

    /// Sets all states.
    pub fn set_states(&mut self, states: &[&[E]]) -> Result<()> {
        let infos = &self.model.chain.states;
        if states.len() != infos.len() {
            return Err(Error::shape("state", format!("{} arrays", infos.len()), states.len()));
        }
        for (info, given) in infos.iter().zip(states) {
            if given.len() != self.rows * info.width {
                return Err(Error::shape(
                    format!("state '{}'", info.name),
                    format!("{} rows x {}", self.rows, info.width),
                    format!("{} elements", given.len()),
                ));
            }
        }
        let widths: Vec<usize> = infos.iter().map(|s| s.width).collect();
        for (index, (&width, given)) in widths.iter().zip(states).enumerate() {
            for (row, values) in given.chunks_exact(width).enumerate() {
                self.stepper.state(index, row, width).copy_from_slice(values);
            }
        }
        Ok(())
    }

    /// Sets all states to zero.
    pub fn reset(&mut self) {
        self.stepper.reset();
    }
}
