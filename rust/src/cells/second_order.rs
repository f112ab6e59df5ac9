//! The second-order network (Giles et al. 1992): a weight for each product of a unit and a feature.

use super::{Nonlinearity, cell, param_if, uniform};
use crate::error::Result;
use crate::graph::{Builder, Init};

cell! {
    /// The second-order recurrent network (Giles, Miller, Chen, Chen, Sun and Lee 1992, equation 1), whose units see the
    /// products of all units with all features.
    ///
    /// h'_i = f(sum over j, k of W_ijk h_j x_k + b_i)
    /// h' = f(W h x + W_ih x + W_hh h + b)              with first_order
    /// y = h'
    ///
    /// Parameters: weight (H, H, I), uniform within 1/sqrt(H I) at the start, bias (H,); with first_order weight_ih (H, I),
    /// weight_hh (H, H). State: h (H).
    SecondOrder "second_order" {
        input_size: usize,
        hidden_size: usize,
        /// Whether there are the products of a first-order network too: the mixed network.
        first_order: bool = false,
        /// f: "tanh", "relu", "sigmoid" or "identity".
        nonlinearity: Nonlinearity = Nonlinearity::Sigmoid,
        /// Whether there is a bias.
        bias: bool = true,
    }
}

fn equations(g: &Builder, o: &Options) -> Result<()> {
    let (i, n, init) = (o.input_size, o.hidden_size, uniform(o.hidden_size));

    let x = g.input("x", &[i]);
    let h = g.state("h", &[n]);
    let weight = g.param("weight", &[n, n, i], Init::Uniform(1.0 / (n as f64 * i as f64).sqrt()));

    let mut z = h.bilinear(x, weight);
    if o.first_order {
        z = z + x.linear(g.param("weight_ih", &[n, i], init)) + h.linear(g.param("weight_hh", &[n, n], init));
    }
    let next = o.nonlinearity.of(z + param_if(o.bias, g, "bias", &[n], init));

    g.next(h, next);
    g.output(next);
    Ok(())
}
