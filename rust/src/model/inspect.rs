//! Looking into a model: its plan as text, its graphs as data, and where the time goes.

use super::Model;
use super::input::{Input, Sequence, Shape};
use super::run::Pass;
use crate::engine::{Batch, Carry, Draw, Sink, Stage, Stop, What};
use crate::error::Result;
use crate::graph::{expectation, to_json};
use crate::kernels::Element;
use crate::layers::{Block, Skip};
use crate::plan::normal_form;
use serde_json::{Value as Json, json};

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
        let pass =
            Pass { params: &params, kernels: self.kernels(), stop: &stop, training: false, draw: Draw::default() };
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
            self.whole.isa
        );
        let mut stage = |stage: &Stage<E>| {
            let plans = stage.plans(false);
            text += &format!("\nstage {} ({})\n forward\n{}", stage.path, stage.graph.name, plans.record.explain());
            text += &format!(" backward\n{}", plans.reverse[1].plan.explain());
        };
        self.chain.blocks.iter().flat_map(Block::stages).for_each(&mut stage);
        text
    }

    /// The model as data: its blocks, and of each stage the graph in the normal form that every plan is made from, and the
    /// names of its parameters. Random nodes stand for themselves in training, else for their means.
    pub fn definition(&self, training: bool) -> Result<Json> {
        let stage = |stage: &Stage<E>| -> Result<Json> {
            let graph = if training { stage.graph.clone() } else { expectation(&stage.graph)? };
            let names: Vec<&str> = stage.params.iter().map(|&p| &self.chain.layout.slots[p].name[..]).collect();
            Ok(json!({"path": stage.path, "params": names, "graph": to_json(&normal_form(&graph, &[])?.0)}))
        };
        let blocks = self.chain.blocks.iter().map(|block| {
            let stages = block.stages().iter().map(stage).collect::<Result<Vec<_>>>()?;
            Ok(match block {
                Block::Causal(_) | Block::BatchNorm(_) => json!({"block": "causal", "stages": stages}),
                Block::Bidirectional { skip, .. } => {
                    let skip = match skip {
                        Skip::None => "none",
                        Skip::Residual => "residual",
                        Skip::Dense => "dense",
                    };
                    json!({"block": "bidirectional", "stages": stages, "skip": skip})
                }
                Block::Last => json!({"block": "last"}),
            })
        });
        Ok(json!({"blocks": blocks.collect::<Result<Vec<_>>>()?}))
    }
}
