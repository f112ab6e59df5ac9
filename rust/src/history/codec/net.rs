//! The recurrent net that predicts the next byte of every stream and learns as it goes: truncated backpropagation
//! through time over a few steps, then one update by Adam, the states carried on.

use super::logistic::{LIMIT, apply};
use super::settings::Settings;
use crate::error::{Error, Result};
use crate::kernels::Elementwise;
use crate::layers::{InputKind, Layer, Scan, Spec};
use crate::stream::Stream;
use crate::train::Optimizer;
use crate::{Input, Model, Options, Tape, Values};
use std::sync::Arc;

/// Bytes, as classes.
pub(super) const BYTES: usize = 256;

/// A net with its states and what its optimizer remembers.
pub(super) struct Net {
    model: Arc<Model<f32>>,
    stream: Stream<f32>,
    optimizer: Optimizer,
    rows: usize,
    rate: f64,
    /// States at the beginning of the chunk.
    states: Vec<Vec<f32>>,
    /// The byte before, of every row at each step of the chunk: (steps, rows).
    tokens: Vec<i64>,
    tape: Option<Tape<f32>>,
    /// Logits of the decisions of the tree, 256 a row and step (that at 0 means nothing).
    decisions: Vec<f32>,
    /// Outputs of the chunk's steps.
    outputs: Vec<f32>,
    tree: Vec<f32>,
}

/// The specification of an untrained net.
fn spec(settings: &Settings) -> String {
    let (hidden, layers, embedding) = (settings.hidden, settings.layers, settings.embedding());
    let cell = format!(
        r#"{{"layer": "recurrent", "cell": "lstm", "options": {{"input_size": {embedding}, "hidden_size": {hidden}}},
            "num_layers": {layers}, "dense": {}}}"#,
        layers > 1
    );
    let features = if layers > 1 { embedding + hidden * layers } else { hidden };
    format!(
        r#"{{"prefix": true, "layers": [
            {{"layer": "embedding", "num_embeddings": {BYTES}, "embedding_dim": {embedding}}}, {cell},
            {{"layer": "linear", "in_features": {features}, "out_features": {BYTES}}}]}}"#
    )
}

/// That a model predicts bytes from bytes, step by step with the bits of a longer call.
pub(super) fn check(model: &Model<f32>) -> Result<()> {
    let outputs = model.chain.output;
    if !model.chain.output_steps {
        return Err(Error::value("model", "one with an output at each step", "one with an output at the last"));
    }
    let parallel = |layer: &Layer| matches!(layer, Layer::Recurrent { scan: Scan::Parallel, .. });
    if model.spec.layers.iter().any(parallel) {
        return Err(Error::Unsupported("a model to compress with needs scan=\"loop\", got \"parallel\"".into()));
    }
    match model.chain.input {
        InputKind::Tokens(BYTES) if outputs == BYTES => Ok(()),
        InputKind::Tokens(inputs) => Err(Error::value(
            "model",
            "one with 256 tokens and 256 outputs, the bytes",
            format!("{inputs} tokens and {outputs} outputs"),
        )),
        InputKind::Float(_) => Err(Error::value("model", "one with 256 tokens, the bytes", "one of numbers")),
    }
}

impl Net {
    /// The net that the settings describe, or a model that was trained before.
    pub(super) fn new(settings: &Settings, given: Option<Model<f32>>) -> Result<Self> {
        let model = match given {
            Some(model) => model,
            None => Model::new(Spec::parse(&spec(settings))?, 1)?,
        };
        check(&model)?;
        let model = Arc::new(model);
        let rows = settings.streams;
        let stream = Stream::new(model.clone(), rows)?;
        let states = model.chain.states.iter().map(|state| vec![0.0; rows * state.width]).collect();
        let optimizer = r#"{"optimizer":"adam","beta1":0.9,"beta2":0.999,"eps":1e-8}"#;
        Ok(Self {
            stream,
            optimizer: Optimizer::from_json(optimizer)?,
            rows,
            rate: f64::from(settings.rate) * 1e-4,
            states,
            tokens: vec![0; rows],
            tape: None,
            decisions: vec![0.0; settings.steps * rows * BYTES],
            outputs: vec![0.0; settings.steps * rows * BYTES],
            tree: vec![0.0; 2 * BYTES],
            model,
        })
    }

    /// Runs the chunk whose inputs are known: all rows of as many steps as there are `tokens` for.
    pub(super) fn run(&mut self, tokens: &[i64]) -> Result<()> {
        self.tokens = tokens.to_vec();
        self.record()?;
        let tape = self.tape.as_ref().map_or(&[][..], |tape| &tape.y);
        self.outputs[..tape.len()].copy_from_slice(tape);
        self.decide(0..tokens.len());
        Ok(())
    }

    /// Begins a chunk whose inputs come step by step.
    pub(super) fn begin(&mut self) -> Result<()> {
        self.tokens.clear();
        let states: Vec<&[f32]> = self.states.iter().map(|state| &state[..]).collect();
        self.stream.set_states(&states)
    }

    /// The chunk's next step.
    pub(super) fn step(&mut self, tokens: &[i64]) -> Result<()> {
        let first = self.tokens.len();
        let range = first * BYTES..(first + self.rows) * BYTES;
        self.stream.step_tokens(tokens, &mut self.outputs[range])?;
        self.tokens.extend_from_slice(tokens);
        self.decide(first..first + self.rows);
        Ok(())
    }

    fn record(&mut self) -> Result<()> {
        let states: Vec<&[f32]> = self.states.iter().map(|state| &state[..]).collect();
        let steps = self.tokens.len() / self.rows;
        let input = Input { values: Values::Tokens(&self.tokens), steps, rows: self.rows, batch_first: false };
        self.tape = Some(self.model.record(input, Some(&states), Options::default(), None)?);
        Ok(())
    }

    /// Makes decisions of outputs: softmax, sums over the subtrees of a binary tree, and for each node the logit of
    /// going to the right.
    fn decide(&mut self, items: std::ops::Range<usize>) {
        let kernels = self.model.kernels();
        for item in items {
            let logits = &self.outputs[item * BYTES..][..BYTES];
            let decisions = &mut self.decisions[item * BYTES..][..BYTES];
            if !logits.iter().all(|x| x.is_finite()) {
                decisions.fill(0.0);
                continue;
            }
            let top = logits.iter().fold(f32::NEG_INFINITY, |a, &b| if b > a { b } else { a });
            let (inner, leaves) = self.tree.split_at_mut(BYTES);
            leaves.iter_mut().zip(logits).for_each(|(leaf, &logit)| *leaf = logit - top);
            apply(kernels, Elementwise::Exp, leaves);
            // What the logits call impossible stays possible.
            leaves.iter_mut().for_each(|leaf| *leaf += 1e-6);
            inner[0] = 1.0;
            for node in (1..BYTES).rev() {
                self.tree[node] = self.tree[2 * node] + self.tree[2 * node + 1];
            }
            apply(kernels, Elementwise::Log, &mut self.tree);
            for (decision, children) in decisions.iter_mut().zip(self.tree.chunks_exact(2)) {
                *decision = (children[1] - children[0]).clamp(-LIMIT, LIMIT);
            }
        }
    }

    /// The decisions of a row at a step of the chunk.
    pub(super) fn decisions(&self, step: usize, row: usize) -> &[f32] {
        &self.decisions[(step * self.rows + row) * BYTES..][..BYTES]
    }

    /// Learns from the chunk: `targets` (steps, rows) are the bytes that came, none where a row had ended.
    pub(super) fn learn(&mut self, targets: &[Option<u8>]) -> Result<()> {
        if self.tape.is_none() {
            self.record()?;
        }
        let Some(tape) = self.tape.take() else { return Ok(()) };
        let kernels = self.model.kernels();
        let mut dy = tape.y.clone();
        let share = 1.0 / targets.len() as f32;
        for (row, target) in dy.chunks_exact_mut(BYTES).zip(targets) {
            let Some(target) = target else {
                row.fill(0.0);
                continue;
            };
            let top = row.iter().fold(f32::NEG_INFINITY, |a, &b| if b > a { b } else { a });
            row.iter_mut().for_each(|x| *x -= top);
            apply(kernels, Elementwise::Exp, row);
            // Eight partial sums side by side, joined in order.
            let mut sums = [0.0f32; 8];
            row.chunks_exact(8).for_each(|eight| sums.iter_mut().zip(eight).for_each(|(sum, x)| *sum += x));
            let scale = share / sums.iter().fold(0.0, |a, b| a + b);
            row.iter_mut().for_each(|x| *x *= scale);
            row[usize::from(*target)] -= share;
        }
        let gradients = self.model.backward(&tape, &dy, None, false, None)?;
        for (state, last) in self.states.iter_mut().zip(&tape.states) {
            state.copy_from_slice(last);
        }
        self.model.recycle(tape);
        self.model.update(&mut self.optimizer, gradients.params.slice(), self.rate)?;
        self.model.recycle_gradients(gradients.params);
        Ok(())
    }
}
