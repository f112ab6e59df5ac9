//! What a model is given: sequences, states, lengths, and their checks.

use super::Model;
use crate::engine::{Batch, Data, Draw, View};
use crate::error::{Error, Result};
use crate::kernels::Element;
use crate::layers::InputKind;
use std::borrow::Cow;

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

/// An array of a sequence between blocks.
pub(super) enum Sequence<'a, E: Element> {
    Float(Cow<'a, [E]>),
    Tokens(Vec<u32>),
}

impl<E: Element> Sequence<'_, E> {
    /// The sequence, of this width, as the input of a pipeline.
    pub(super) fn view(&self, shape: &Shape, width: usize, flip: bool) -> View<E> {
        match self {
            Sequence::Float(x) => shape.view(x.as_ptr().cast_mut(), width, 0, width, flip),
            Sequence::Tokens(x) => {
                let (step, row) = shape.strides(1);
                View { step, row, flip, ..View::indices(x.as_ptr(), shape.rows) }
            }
        }
    }

    /// The sequence for a tape: its elements only if they are `needed`.
    pub(super) fn kept(self, needed: bool) -> Sequence<'static, E> {
        match self {
            Sequence::Float(x) => Sequence::Float(if needed { x.into_owned() } else { Vec::new() }.into()),
            Sequence::Tokens(x) => Sequence::Tokens(if needed { x } else { Vec::new() }),
        }
    }
}

impl<E: Element> Model<E> {
    /// Checks a sequence against the model, and makes it an array of its own where that is needed.
    pub(super) fn sequence<'a>(&self, input: Input<'a, E>, batch: &Batch) -> Result<Sequence<'a, E>> {
        let count = input
            .steps
            .checked_mul(input.rows)
            .ok_or_else(|| Error::shape("x", "a size that fits memory", "an overflow"))?;
        match (self.chain.input, input.values) {
            (InputKind::Float(width), Values::Float(values)) => {
                if values.len() != count * width {
                    return Err(Error::shape(
                        "x",
                        format!("{} steps x {} rows x {width} features", input.steps, input.rows),
                        format!("{} elements", values.len()),
                    ));
                }
                Ok(Sequence::Float(Cow::Borrowed(values)))
            }
            (InputKind::Tokens(limit), Values::Tokens(tokens)) => {
                if tokens.len() != count {
                    return Err(Error::shape(
                        "x",
                        format!("{} steps x {} rows of tokens", input.steps, input.rows),
                        format!("{} elements", tokens.len()),
                    ));
                }
                let shape = Shape { steps: input.steps, rows: input.rows, batch_first: input.batch_first };
                Ok(Sequence::Tokens(checked_tokens("x", tokens, limit, batch, &shape)?))
            }
            (InputKind::Float(width), Values::Tokens(_)) => {
                Err(Error::dtype("x", format!("numbers ({width} features a step)"), "integers"))
            }
            (InputKind::Tokens(limit), Values::Float(_)) => {
                Err(Error::dtype("x", format!("integer tokens 0 to {}", limit - 1), "floating point numbers"))
            }
        }
    }

    pub(super) fn check_states(&self, state: Option<&[&[E]]>, rows: usize) -> Result<()> {
        let Some(state) = state else { return Ok(()) };
        let expected = &self.chain.states;
        if state.len() != expected.len() {
            return Err(Error::shape("state", format!("{} arrays", expected.len()), state.len()));
        }
        for (info, given) in expected.iter().zip(state) {
            if given.len() != rows * info.width {
                return Err(Error::shape(
                    format!("state '{}'", info.name),
                    format!("{rows} rows x {}", info.width),
                    format!("{} elements", given.len()),
                ));
            }
        }
        Ok(())
    }
}

/// The layout of a sequence's array.
pub(super) struct Shape {
    pub steps: usize,
    pub rows: usize,
    pub batch_first: bool,
}

impl Shape {
    /// Elements from step to step and from row to row.
    pub(super) fn strides(&self, width: usize) -> (usize, usize) {
        if self.batch_first { (width, self.steps * width) } else { (self.rows * width, width) }
    }

    /// Columns `offset..offset + part` of an array of this width.
    pub(super) fn view<E: Element>(
        &self,
        data: *mut E,
        width: usize,
        offset: usize,
        part: usize,
        flip: bool,
    ) -> View<E> {
        let (step, row) = self.strides(width);
        View { data: Data::Float(data.wrapping_add(offset)), step, row, width: part, flip, add: false, fold: None }
    }
}

/// Calls `each(row, element)` with the place of each row's last valid step.
pub(super) fn for_last(batch: &Batch, shape: &Shape, width: usize, mut each: impl FnMut(usize, usize)) {
    let (step, stride) = shape.strides(width);
    for (row, &id) in batch.order.iter().enumerate() {
        if batch.lengths[row] > 0 {
            each(id, (batch.lengths[row] - 1) * step + id * stride);
        }
    }
}

/// Calls `each` with the first columns of `to` and of `from`, each an array with its width, at valid steps.
pub(super) fn for_valid<E: Element>(
    (from, from_width): (&[E], usize),
    (to, to_width): (&mut [E], usize),
    batch: &Batch,
    shape: &Shape,
    each: impl Fn(&mut E, E),
) {
    let ((from_step, from_row), (to_step, to_row)) = (shape.strides(from_width), shape.strides(to_width));
    for (row, &id) in batch.order.iter().enumerate() {
        for t in 0..batch.lengths[row] {
            let from = &from[t * from_step + id * from_row..][..from_width];
            let to = &mut to[t * to_step + id * to_row..][..to_width];
            to.iter_mut().zip(from).for_each(|(to, &from)| each(to, from));
        }
    }
}

/// a ← a + b.
pub(super) fn add<E: Element>(a: &mut E, b: E) {
    *a = *a + b;
}

/// The tokens of valid steps, each below `limit`; 0 in the padding, whatever stands there.
pub(super) fn checked_tokens(
    what: &str,
    tokens: &[i64],
    limit: usize,
    batch: &Batch,
    shape: &Shape,
) -> Result<Vec<u32>> {
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
