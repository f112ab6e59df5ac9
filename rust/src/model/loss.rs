//! Losses of a model's outputs, and their gradients.

use super::Model;
use super::backward::Gradients;
use super::input::{Input, Options, Shape, Values, checked_tokens};
use super::run::{Output, Pass};
use crate::engine::{Batch, Carry, Draw, Sink, Stage, Stop, View, What, Wire, zeros};
use crate::error::{Error, Result};
use crate::kernels::Element;
use crate::layers::loss_graph;
use std::sync::{Arc, PoisonError};

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

/// What a pass with loss and gradient returns.
#[derive(Debug)]
pub struct Training<E: Element> {
    /// The loss.
    pub value: f64,
    /// The sum of the weights.
    pub total: f64,
    /// Gradients of the parameters (not of the input).
    pub gradients: Gradients<E>,
    /// The final states.
    pub states: Vec<Vec<E>>,
}

impl<E: Element> Model<E> {
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
    fn loss_of(
        &self,
        pass: &Pass<'_, E>,
        y: &[E],
        target: &Target<'_, E>,
        batch: &Batch,
        shape: &Shape,
        gradient: bool,
    ) -> Result<(f64, f64, Vec<E>)> {
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
        let call = self.call(pass, &stages, batch, vec![view, target_view]);
        let mut losses = vec![E::default(); count];
        let sink = Sink { stage: 0, what: What::Output, view: shape.view(losses.as_mut_ptr(), 1, 0, 1, false) };
        let mut carry = Carry::new(&stages, batch.count)?;
        let recording = if gradient {
            Some(call.record(&mut carry, &[sink], None)?)
        } else {
            call.forward(&mut carry, &[sink]).map(|()| None)?
        };
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
            dy = zeros(y.len());
            if total != 0.0 {
                for weight in &mut weights {
                    *weight = E::from_f64(weight.to_f64() / total);
                }
                let dx = shape.view(dy.as_mut_ptr(), width, 0, width, false);
                call.backward(
                    &recording,
                    &mut carry,
                    shape.view(weights.as_mut_ptr(), 1, 0, 1, false),
                    Some(dx),
                    None,
                )?;
            }
        }
        Ok((if total == 0.0 { 0.0 } else { sum / total }, total, dy))
    }

    /// The loss, the sum of the weights, gradients of the parameters, and the final states.
    pub fn value_and_grad(
        &self,
        input: Input<'_, E>,
        target: &Target<'_, E>,
        state: Option<&[&[E]]>,
        options: Options<'_>,
    ) -> Result<Training<E>> {
        let never = || false;
        let stop = Stop::new(options.interrupt.unwrap_or(&never));
        let params = self.params();
        let pass =
            Pass { params: &params, kernels: self.kernels(), stop: &stop, training: false, draw: Draw::default() };
        let tape = self.run(&params, input, state, options, Some(None), None)?;
        let (value, total, dy) =
            self.loss_of(&pass, &tape.y, target, tape.output_batch(), &tape.output_shape(), true)?;
        let gradients = self.backward_with(&params, &tape, &dy, None, false, options.interrupt)?;
        let states = tape.states.clone();
        drop(params);
        self.measure(&tape);
        tape.recycle(&self.arenas);
        Ok(Training { value, total, gradients, states })
    }

    /// The loss, the sum of the weights, and the outputs.
    pub fn loss(
        &self,
        input: Input<'_, E>,
        target: &Target<'_, E>,
        state: Option<&[&[E]]>,
        options: Options<'_>,
    ) -> Result<(f64, f64, Output<E>)> {
        let never = || false;
        let stop = Stop::new(options.interrupt.unwrap_or(&never));
        let params = self.params();
        let pass =
            Pass { params: &params, kernels: self.kernels(), stop: &stop, training: false, draw: Draw::default() };
        let tape = self.run(&params, input, state, options, None, None)?;
        let (value, total, _) =
            self.loss_of(&pass, &tape.y, target, tape.output_batch(), &tape.output_shape(), false)?;
        drop(params);
        self.measure(&tape);
        Ok((value, total, Output { y: tape.y, states: tape.states }))
    }
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
            ("cross_entropy", Values::Float(_)) => {
                Err(Error::dtype("targets of cross_entropy", "integers", "floating point numbers"))
            }
            (_, Values::Float(values)) if values.len() == count * width => Ok((None, weights)),
            (_, Values::Float(values)) => {
                Err(Error::shape("targets", format!("{} elements, as y", count * width), values.len()))
            }
            (loss, Values::Tokens(_)) => {
                Err(Error::dtype(format!("targets of {loss}"), "floating point numbers", "integers"))
            }
        }
    }
}
