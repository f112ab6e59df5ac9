//! The backward pass over a tape.

use super::input::{Sequence, Shape, add, for_last, for_valid};
use super::run::{Kept, Pass, Tape};
use super::{Model, scan};
use crate::engine::{Call, Carry, Memory, Params, Recording, Stage, Stop, View, zeros};
use crate::error::{Error, Result};
use crate::kernels::Element;
use crate::layers::{Block, InputKind, Skip};

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

impl<E: Element> Model<E> {
    /// Takes the memory of gradients back that are no longer needed, for the next ones: the system takes longer to give
    /// new memory than it takes to clear this.
    pub fn recycle_gradients(&self, gradients: Memory<E>) {
        self.arenas.give(gradients);
    }

    /// Runs a tape backward from the gradient of its output `dy` (same layout) and of its final states. A tape may be
    /// used many times, until the parameters change.
    pub fn backward(
        &self,
        tape: &Tape<E>,
        dy: &[E],
        dstate: Option<&[Option<&[E]>]>,
        input_gradient: bool,
        interrupt: Option<&(dyn Fn() -> bool + Sync)>,
    ) -> Result<Gradients<E>> {
        self.backward_with(&self.params(), tape, dy, dstate, input_gradient, interrupt)
    }

    pub(super) fn backward_with(
        &self,
        params: &Params<E>,
        tape: &Tape<E>,
        dy: &[E],
        dstate: Option<&[Option<&[E]>]>,
        input_gradient: bool,
        interrupt: Option<&(dyn Fn() -> bool + Sync)>,
    ) -> Result<Gradients<E>> {
        let never = || false;
        let stop = Stop::new(interrupt.unwrap_or(&never));
        if params.version != tape.version {
            return Err(Error::Stale(format!(
                "expected parameters of version {} (when the tape was recorded), got version {}",
                tape.version, params.version
            )));
        }
        if tape.measurements.is_some_and(|version| version != params.measurements) {
            return Err(Error::Stale(
                "expected the running statistics with which the tape was recorded, got others".into(),
            ));
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
                    return Err(Error::shape(
                        format!("dstate '{}'", info.name),
                        format!("{} rows x {}", tape.rows, info.width),
                        format!("{} elements", given.map_or(0, <[E]>::len)),
                    ));
                }
            }
        }
        let pass = Pass { params, kernels: tape.kernels, stop: &stop, training: tape.training, draw: tape.draw };
        let mut gradients = self.arenas.zeros(self.chain.layout.len.max(1))?;
        let mut states: Vec<Vec<E>> = vec![Vec::new(); self.chain.states.len()];
        let mut first_state = self.chain.states.len();
        let mut current: Option<Vec<E>> = None;
        let last_at = self.chain.blocks.iter().position(|b| matches!(b, Block::Last));
        for (index, block) in self.chain.blocks.iter().enumerate().rev() {
            let after_last = last_at.is_some_and(|last| index > last);
            let batch = if after_last { tape.last.as_ref().unwrap_or(&tape.batch) } else { &tape.batch };
            let shape = Shape { steps: batch.steps, rows: tape.rows, batch_first: tape.batch_first && !after_last };
            let width = self.width_after(index);
            let Kept { input: x, recordings, moments } = &tape.blocks[index];
            let is_float = matches!(x, Sequence::Float(_));
            let wanted = is_float && (index > 0 || input_gradient);
            let input_width = self.width_before(index);
            let mut dx = zeros(if wanted { shape.steps * tape.rows * input_width } else { 0 });
            let dy: &[E] = current.as_deref().unwrap_or(dy);
            let dy_at =
                |offset: usize, part: usize, flip: bool| shape.view(dy.as_ptr().cast_mut(), width, offset, part, flip);
            match block {
                Block::BatchNorm(norm) if moments.is_some() => {
                    if let (Some(moments), Sequence::Float(x)) = (moments, x) {
                        let to = (&mut dx[..], gradients.slice_mut());
                        self.normalise_back(norm, params, moments, (x, dy), to, batch, &shape);
                    }
                }
                Block::Causal(_) | Block::BatchNorm(_) => {
                    let stages: Vec<&Stage<E>> = block.stages().iter().collect();
                    let view = x.view(&shape, input_width, false);
                    let call = self.call(&pass, &stages, batch, vec![view]);
                    let dx_view = wanted.then(|| shape.view(dx.as_mut_ptr(), input_width, 0, input_width, false));
                    first_state -= self.back_stages(
                        &pass,
                        &call,
                        &recordings[0],
                        (dy_at(0, width, false), dx_view),
                        dstate,
                        &mut states,
                        first_state,
                        &mut gradients,
                    )?;
                }
                Block::Bidirectional { directions, skip } => {
                    let before = if *skip == Skip::Dense { input_width } else { 0 };
                    let part = (width - before) / 2;
                    let own = directions[0].graph.states.len();
                    first_state -= 2 * own;
                    for (direction, stage) in directions.iter().enumerate() {
                        let flip = direction == 1;
                        let view = x.view(&shape, input_width, flip);
                        let stages = [stage];
                        let call = self.call(&pass, &stages, batch, vec![view]);
                        let dx_view = wanted.then(|| View {
                            add: flip,
                            ..shape.view(dx.as_mut_ptr(), input_width, 0, input_width, flip)
                        });
                        let end = first_state + (direction + 1) * own;
                        self.back_stages(
                            &pass,
                            &call,
                            &recordings[direction],
                            (dy_at(before + direction * part, part, flip), dx_view),
                            dstate,
                            &mut states,
                            end,
                            &mut gradients,
                        )?;
                    }
                    if *skip != Skip::None && wanted {
                        // The input's columns come first, where they are not all there are.
                        for_valid((dy, width), (&mut dx, input_width), batch, &shape, add);
                    }
                }
                Block::Last => for_last(batch, &shape, width, |row, at| {
                    dx[at..at + width].copy_from_slice(&dy[row * width..][..width])
                }),
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
        pass: &Pass<'_, E>,
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
        if let (Some((stage, scan)), Some(kept)) = (scan::of(call.stages, call.batch.steps), &recording.folded) {
            let after: Vec<_> = (0..count).map(|index| carry.get(index, &call.batch.order)).collect();
            let views = (call.inputs[0], dy, dx);
            let before =
                self.scan_backward(pass, (stage, scan), (call.batch, recording, kept), views, &after, gradients)?;
            states[first..end].iter_mut().zip(before).for_each(|(state, before)| *state = before);
            return Ok(count);
        }
        call.backward(recording, &mut carry, dy, dx, Some(gradients))?;
        for index in 0..count {
            states[first + index] = carry.get(index, &call.batch.order);
        }
        Ok(count)
    }
}
