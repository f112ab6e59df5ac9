//! The recurrent multilayer perceptron (Puskorius and Feldkamp 1994): several hidden layers, each with its own recurrence.

use super::{Nonlinearity, cell, count, param_if, uniform};
use crate::error::Result;
use crate::graph::Builder;

cell! {
    /// The recurrent multilayer perceptron (Puskorius and Feldkamp 1994): hidden layers k = 0 to n - 1, each of which sees
    /// the layer below, itself at the step before, and with feedback the layer above at the step before.
    ///
    /// h_k' = f(W_k h_(k-1)' + U_k h_k + V_k h_(k+1) + b_k), with x below the first layer
    /// y = h_(n-1)'
    ///
    /// Parameters of each layer k: weight_in_k W (H, I for the first, H above), weight_rec_k U (H, H),
    /// weight_back_k V (H, H) below the last layer with feedback, bias_k (H,). State: h0 (H), h1 (H), ...
    RecurrentMLP "recurrent_mlp" {
        input_size: usize,
        hidden_size: usize,
        /// How many hidden layers n.
        num_hidden: usize = 2,
        /// Whether each layer sees the one above.
        feedback: bool = true,
        /// f: "tanh", "relu", "sigmoid" or "identity".
        nonlinearity: Nonlinearity = Nonlinearity::Tanh,
        /// Whether there are biases.
        bias: bool = true,
    }
}

fn equations(g: &Builder, o: &Options) -> Result<()> {
    count("recurrent_mlp", "num_hidden", o.num_hidden, 1024)?;
    let (n, init) = (o.hidden_size, uniform(o.hidden_size));

    let mut below = g.input("x", &[o.input_size]);
    let h: Vec<_> = (0..o.num_hidden).map(|k| g.state(&format!("h{k}"), &[n])).collect();
    for k in 0..o.num_hidden {
        let mut z = below.linear(g.param(&format!("weight_in_{k}"), &[n, below.width()], init));
        z = z + h[k].linear(g.param(&format!("weight_rec_{k}"), &[n, n], init));
        if o.feedback && k + 1 < o.num_hidden {
            z = z + h[k + 1].linear(g.param(&format!("weight_back_{k}"), &[n, n], init));
        }
        below = o.nonlinearity.of(z + param_if(o.bias, g, &format!("bias_{k}"), &[n], init));
        g.next(h[k], below);
    }
    g.output(below);
    Ok(())
}
