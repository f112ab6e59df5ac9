//! The quasi-recurrent network (Bradbury et al. 2016): a convolution over time, and a pooling that is linear in its state.

use super::{cell, count, param_if, uniform};
use crate::error::Result;
use crate::graph::Builder;
use serde::{Deserialize, Serialize};

cell! {
    /// The quasi-recurrent network (Bradbury, Merity, Xiong and Socher 2016, equations 1 to 5): gates from a masked
    /// convolution over time, pooled by one of
    ///
    /// c' = f * c + (1 - f) * z, y = c'                 pooling "f"
    /// c' = f * c + (1 - f) * z, y = o * c'             pooling "fo"
    /// c' = f * c + i * z, y = o * c'                   pooling "ifo"
    ///
    /// where a = W_0 x(t) + W_1 x(t-1) + ... + b, z = tanh(a_z) and f, o, i = sigmoid(a_f), sigmoid(a_o), sigmoid(a_i).
    /// Before the sequence x is 0.
    ///
    /// Parameters, K the kernel size and G = 2, 3 or 4 the number of rows z, f, o, i that the pooling has: weight_ih
    /// (GH, KI) with columns jI to (j+1)I for x(t-j), bias (GH,). State: c (H); p1 (GH) to p(K-1), the parts of the
    /// convolution that later steps need: p_j' = W_j x + p_(j+1).
    QRNN "qrnn" {
        input_size: usize,
        hidden_size: usize,
        /// How many steps the convolution sees.
        kernel_size: usize = 2,
        /// "f", "fo" or "ifo".
        pooling: Pooling = Pooling::Fo,
        /// Whether there is a bias.
        bias: bool = true,
    }
}

/// What is pooled, and how.
#[derive(Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Pooling {
    F,
    Fo,
    Ifo,
}

fn equations(g: &Builder, o: &Options) -> Result<()> {
    count("qrnn", "kernel_size", o.kernel_size, 1024)?;
    let (i, n, kernel, init) = (o.input_size, o.hidden_size, o.kernel_size, uniform(o.hidden_size));
    let rows = n * match o.pooling {
        Pooling::F => 2,
        Pooling::Fo => 3,
        Pooling::Ifo => 4,
    };

    let x = g.input("x", &[i]);
    let c = g.state("c", &[n]);
    let parts: Vec<_> = (1..kernel).map(|j| g.state(&format!("p{j}"), &[rows])).collect();
    let weight = g.param("weight_ih", &[rows, kernel * i], init);
    let bias = param_if(o.bias, g, "bias", &[rows], init);

    // The convolution up to W_j x(t), for the step j steps ahead.
    let sum = |j: usize| {
        let product = x.linear(weight.slice_axis(1, j * i, (j + 1) * i));
        parts.get(j).map_or(product, |&part| product + part)
    };
    for (j, &part) in parts.iter().enumerate() {
        g.next(part, sum(j + 1));
    }
    let a = sum(0) + bias;
    let part = |k: usize| a.slice(k * n, (k + 1) * n);
    let (z, f) = (part(0).tanh(), part(1).sigmoid());
    let i = if o.pooling == Pooling::Ifo { part(3).sigmoid() } else { 1.0 - f };
    let next = f * c + i * z;

    g.next(c, next);
    g.output(if o.pooling == Pooling::F { next } else { part(2).sigmoid() * next });
    Ok(())
}
