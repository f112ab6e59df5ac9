//! Graphs of layers and losses that have no state: the same engine runs them, without a time loop.

use crate::cells::layer_norm as normalise;
use crate::error::{Error, Result};
use crate::graph::primitives::{Draw, Gather};
use crate::graph::{Builder, Distribution, Graph, Init};

/// y = row x of the weight.
pub(super) fn embedding(count: usize, width: usize) -> Result<Graph> {
    let g = Builder::new("embedding");
    let x = g.tokens("x", count);
    let weight = g.param("weight", &[count, width], Init::Normal(1.0));
    g.output(g.apply(Gather, &[weight, x]));
    g.finish()
}

/// y = W x + b.
pub(super) fn linear(inputs: usize, outputs: usize, bias: bool) -> Result<Graph> {
    let g = Builder::new("linear");
    let init = Init::Uniform(1.0 / (inputs as f64).sqrt());
    let mut y = g.input("x", &[inputs]).linear(g.param("weight", &[outputs, inputs], init));
    if bias {
        y = y + g.param("bias", &[outputs], init);
    }
    g.output(y);
    g.finish()
}

/// y = x · mask / (1 − p).
pub(super) fn dropout(width: usize, p: f64) -> Result<Graph> {
    let g = Builder::new("dropout");
    let draw = Draw {
        distribution: Distribution::Bernoulli { probability: 1.0 - p, value: 1.0 / (1.0 - p) },
        shape: vec![width],
        per_sequence: false,
        label: "dropout".into(),
    };
    g.output(g.input("x", &[width]) * g.apply(draw, &[]));
    g.finish()
}

/// Layer normalisation (Ba et al. 2016).
pub(super) fn layer_norm(width: usize, eps: f64) -> Result<Graph> {
    let g = Builder::new("layer_norm");
    let x = g.input("x", &[width]);
    let (weight, bias) =
        (g.param("weight", &[width], Init::Constant(1.0)), g.param("bias", &[width], Init::Constant(0.0)));
    g.output(normalise(x, weight, bias, eps));
    g.finish()
}

/// Batch normalisation with statistics that are given (Ioffe & Szegedy 2015, algorithm 2), behind `label` in the names.
pub(super) fn batch_norm(label: &str, width: usize, eps: f64) -> Result<Graph> {
    let g = Builder::new("batch_norm");
    let x = g.input("x", &[width]);
    let start = [("weight", 1.0), ("bias", 0.0), ("running_mean", 0.0), ("running_var", 1.0)];
    let [weight, bias, mean, variance] =
        start.map(|(name, number)| g.param(&format!("{label}{name}"), &[width], Init::Constant(number)));
    g.output((x - mean.stop()) * (weight / (variance.stop() + eps).sqrt()) + bias);
    g.finish()
}

/// The loss of a step as a graph of the model's output and the target.
///
/// - `cross_entropy`: logsumexp(y) − y at the target, nats
/// - `bernoulli`: Σ softplus(y) − target · y over units, nats; y are logits
/// - `mse`: mean over units of (y − target)²
pub fn loss_graph(name: &str, width: usize) -> Result<Graph> {
    let g = Builder::new(name);
    let y = g.input("y", &[width]);
    let loss = match name {
        "cross_entropy" => {
            let target = g.tokens("target", width);
            // The largest logit is taken out so that exp cannot overflow; the loss does not depend on it.
            let largest = y.max().stop();
            (y - largest).exp().sum().log() + largest - y.pick(target)
        }
        "bernoulli" => (y.softplus() - g.input("target", &[width]) * y).sum(),
        "mse" => {
            let error = y - g.input("target", &[width]);
            (error * error).mean()
        }
        _ => return Err(Error::value("loss", "cross_entropy, bernoulli or mse", name)),
    };
    g.output(loss);
    g.finish()
}
