//! Elman's simple recurrent network (Elman 1990), as torch.nn.RNN.

use super::{Nonlinearity, cell, uniform};
use crate::error::Result;
use crate::graph::Builder;

cell! {
    /// The simple recurrent cell of Elman (1990), as torch.nn.RNN has it.
    ///
    /// h' = f(W_ih x + b_ih + W_hh h + b_hh), y = h'
    ///
    /// Parameters: weight_ih (H, I), weight_hh (H, H), bias_ih (H,), bias_hh (H,). State: h (H).
    Elman "elman" {
        input_size: usize,
        hidden_size: usize,
        /// f: "tanh", "relu", "sigmoid" or "identity".
        nonlinearity: Nonlinearity = Nonlinearity::Tanh,
        /// Whether there are biases.
        bias: bool = true,
    }
}

fn equations(g: &Builder, o: &Options) -> Result<()> {
    let (i, n, init) = (o.input_size, o.hidden_size, uniform(o.hidden_size));

    let x = g.input("x", &[i]);
    let h = g.state("h", &[n]);

    let mut z = x.linear(g.param("weight_ih", &[n, i], init)) + h.linear(g.param("weight_hh", &[n, n], init));
    if o.bias {
        z = z + g.param("bias_ih", &[n], init) + g.param("bias_hh", &[n], init);
    }
    let next = o.nonlinearity.of(z);

    g.next(h, next);
    g.output(next);
    Ok(())
}
