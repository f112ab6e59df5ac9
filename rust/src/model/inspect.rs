//! Looking into a model: its plan as text, and where the time goes.

use super::Model;
use super::input::{Input, Sequence, Shape};
use super::run::Pass;
use crate::engine::{Batch, Carry, Draw, Sink, Stage, Stop, What};
use crate::error::Result;
use crate::kernels::Element;
use crate::layers::Block;

impl<E: Element> Model<E> {
    /// Where the time of a forward pass goes: seconds for each stage, one after the other over the whole sequence.
    pub fn profile(&self, input: Input<'_, E>, lengths: Option<&[i64]>) -> Result<Vec<(String, f64)>> {
        let batch = Batch::new(input.steps, input.rows, lengths, self.workers(input.rows, input.steps))?;
        let mut current = self.sequence(input, &batch)?;
        let single = Batch::new(1, input.rows, None, 1)?;
        let (mut batch, mut shape) =
            (&batch, Shape { steps: input.steps, rows: input.rows, batch_first: input.batch_first });
        let (never, params) = (|| false, self.params());
        let stop = Stop::new(&never);
        let pass = Pass { params: &params, stop: &stop, training: false, draw: Draw::default() };
        let mut times = Vec::new();
        let mut width = self.input_width();
        for block in &self.chain.blocks {
            if matches!(block, Block::Last) {
                (batch, shape) = (&single, Shape { steps: 1, batch_first: false, ..shape });
                current = Sequence::Float(vec![E::default(); input.rows * width].into());
            }
            let both = matches!(block, Block::Bidirectional { .. });
            for stage in block.stages() {
                let out = stage.graph.width(stage.graph.outputs[0]);
                let view = current.view(&shape, width, false);
                let mut y = vec![E::default(); shape.steps * shape.rows * out];
                let sink = Sink { stage: 0, what: What::Output, view: shape.view(y.as_mut_ptr(), out, 0, out, false) };
                let stages = [stage];
                let call = self.call(&pass, &stages, batch, vec![view]);
                let mut carry = Carry::new(&stages, batch.count)?;
                let start = std::time::Instant::now();
                call.forward(&mut carry, &[sink])?;
                times.push((format!("{} ({})", stage.path, stage.graph.name), start.elapsed().as_secs_f64()));
                if !both {
                    (current, width) = (Sequence::Float(y.into()), out);
                }
            }
            if both {
                width = block.width(width);
                current = Sequence::Float(vec![E::default(); shape.steps * shape.rows * width].into());
            }
        }
        Ok(times)
    }

    /// What the planner made of the model, for people.
    pub fn explain(&self) -> String {
        let mut text = format!(
            "{} parameters, {}, path {:?}\n",
            self.chain.layout.slots.iter().map(|s| s.len).sum::<usize>(),
            E::NAME,
            self.kernels.isa
        );
        let mut stage = |stage: &Stage<E>| {
            let plans = stage.plans(false);
            text += &format!("\nstage {} ({})\n forward\n{}", stage.path, stage.graph.name, plans.record.explain());
            text += &format!(" backward\n{}", plans.reverse[1].plan.explain());
        };
        self.chain.blocks.iter().flat_map(Block::stages).for_each(&mut stage);
        text
    }
}
