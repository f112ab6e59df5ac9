//! Blocks: stages that run together, and what joins them to what came before.

use crate::engine::Stage;

/// Stages that run together.
#[derive(Debug)]
pub enum Block<E> {
    /// Stages in which a step depends on earlier steps only: they run one behind the other, chunk by chunk.
    Causal(Vec<Stage<E>>),
    /// Two directions over the whole sequence, outputs side by side.
    Bidirectional {
        /// The stage that reads from the first step to the last, and that which reads from the last to the first.
        directions: Vec<Stage<E>>,
        /// The connection around both.
        skip: Skip,
    },
    /// Batch normalisation: in training it needs the whole sequence.
    BatchNorm(Box<BatchNorm<E>>),
    /// Each row's last valid step.
    Last,
}

/// How a layer's input joins its output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Skip {
    /// Not at all.
    None,
    /// It is added.
    Residual,
    /// It stands before it.
    Dense,
}

/// Batch normalisation.
#[derive(Debug)]
pub struct BatchNorm<E> {
    /// What it is out of training. Parameters: weight, bias, running mean, running variance.
    pub stage: Stage<E>,
    /// Added to the variance.
    pub eps: f64,
    /// How far the running statistics move with a batch.
    pub momentum: f64,
}

impl<E> Block<E> {
    /// Its stages, in order.
    pub fn stages(&self) -> &[Stage<E>] {
        match self {
            Self::Causal(stages) | Self::Bidirectional { directions: stages, .. } => stages,
            Self::BatchNorm(norm) => std::slice::from_ref(&norm.stage),
            Self::Last => &[],
        }
    }

    /// Width of its output, given that of its input.
    pub fn width(&self, input: usize) -> usize {
        let width = |stage: &Stage<E>| stage.graph.width(stage.graph.outputs[0]);
        match self {
            Self::Causal(stages) => stages.last().map_or(0, width),
            Self::BatchNorm(norm) => width(&norm.stage),
            Self::Bidirectional { directions, skip } => {
                directions.iter().map(width).sum::<usize>() + if *skip == Skip::Dense { input } else { 0 }
            }
            Self::Last => input,
        }
    }
}
