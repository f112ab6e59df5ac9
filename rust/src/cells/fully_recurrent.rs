//! The fully recurrent network (Williams and Zipser 1989): every unit sees every unit; inputs and outputs are some of them.

use super::{Nonlinearity, cell, param_if, uniform};
use crate::error::{Error, Result};
use crate::graph::Builder;

cell! {
    /// The fully recurrent network of Williams and Zipser (1989, equations 1 and 2): every unit sees every unit, the
    /// first units see the input, the last are the output.
    ///
    /// h' = f(W_hh h + b + (W_ih x, 0))
    /// y = the last output_units units of h'
    ///
    /// Parameters: weight_ih (input_units, I), weight_hh (H, H), bias (H,). State: h (H).
    FullyRecurrent "fully_recurrent" {
        input_size: usize,
        hidden_size: usize,
        /// How many units, the first ones, see the input; None: all.
        input_units: Option<usize> = None::<usize>,
        /// How many units, the last ones, are the output; None: all.
        output_units: Option<usize> = None::<usize>,
        /// f: "tanh", "relu", "sigmoid" or "identity".
        nonlinearity: Nonlinearity = Nonlinearity::Sigmoid,
        /// Whether there is a bias.
        bias: bool = true,
    }
}

fn equations(g: &Builder, o: &Options) -> Result<()> {
    let (i, n, init) = (o.input_size, o.hidden_size, uniform(o.hidden_size));
    let inputs = units("input_units", o.input_units, n)?;
    let outputs = units("output_units", o.output_units, n)?;

    let x = g.input("x", &[i]);
    let h = g.state("h", &[n]);
    let (w_ih, w_hh) = (g.param("weight_ih", &[inputs, i], init), g.param("weight_hh", &[n, n], init));
    let bias = param_if(o.bias, g, "bias", &[n], init);

    let from_x = x.linear(w_ih);
    let from_x = if inputs < n { from_x.pad(0, n) } else { from_x };
    let next = o.nonlinearity.of(from_x + h.linear(w_hh) + bias);

    g.next(h, next);
    g.output(if outputs < n { next.slice(n - outputs, n) } else { next });
    Ok(())
}

/// How many of the units; all where nothing is said.
fn units(name: &str, given: Option<usize>, all: usize) -> Result<usize> {
    let count = given.unwrap_or(all);
    if !(1..=all).contains(&count) {
        return Err(Error::Value(format!("fully_recurrent: expected {name} in 1..={all} (hidden_size), got {count}")));
    }
    Ok(count)
}
