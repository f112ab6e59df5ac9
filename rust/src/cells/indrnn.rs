//! The independently recurrent network (Li et al. 2018): each unit sees of the state itself alone.

use super::{Nonlinearity, cell, layer_norm, param_if, positive, uniform};
use crate::error::{Error, Result};
use crate::graph::{Builder, Init};
use crate::kernels::Element;

cell! {
    /// The independently recurrent network (Li, Li, Cook, Zhu and Gao 2018, equation 2): each unit has one recurrent
    /// weight, its own, so that no matrix product is left in the loop over time.
    ///
    /// h' = f(W_ih x + b + u * h), y = h'
    /// h' = f(LN(W_ih x + b) + u * h)                with layer_norm
    ///
    /// Parameters: weight_ih (H, I), weight_hh u (H,), bias (H,); with layer_norm weight_ln (H,), bias_ln (H,). u starts
    /// uniform in [0, 1), with steps in [0, gamma). State: h (H).
    IndRNN "indrnn" {
        input_size: usize,
        hidden_size: usize,
        /// f: "tanh", "relu", "sigmoid" or "identity".
        nonlinearity: Nonlinearity = Nonlinearity::Relu,
        /// For sequences of T steps, |u| is kept at most gamma = 2^(1/T) after every update (section 3.2, for f whose slope
        /// is at most 1): a gradient at most doubles on its way through the sequence. None: no bound.
        steps: Option<usize> = None::<usize>,
        /// u starts uniform in [2^(-1/T), gamma), for a last layer that must remember the whole sequence; needs steps.
        remember: bool = false,
        /// Layer normalisation of what comes from the input (Ba, Kiros and Hinton 2016), with 1e-5 added to the variance.
        layer_norm: bool = false,
        /// Whether there is a bias.
        bias: bool = true,
    }
}

const EPS: f64 = 1e-5;

fn equations(g: &Builder, o: &Options) -> Result<()> {
    let (i, n, init) = (o.input_size, o.hidden_size, uniform(o.hidden_size));
    if o.remember && o.steps.is_none() {
        return Err(Error::Value("indrnn: expected steps with remember=true, got none".into()));
    }

    let x = g.input("x", &[i]);
    let h = g.state("h", &[n]);
    let w_ih = g.param("weight_ih", &[n, i], init);
    let u = match o.steps {
        Some(steps) => {
            positive("indrnn", "steps", steps)?;
            let root = |base: f64| Element::exp(Element::ln(base) / steps as f64);
            let from = if o.remember { root(0.5) } else { 0.0 };
            let u = g.param("weight_hh", &[n], Init::Between { from, to: root(2.0) });
            g.bound(u, root(2.0));
            u
        }
        None => g.param("weight_hh", &[n], Init::Between { from: 0.0, to: 1.0 }),
    };

    let mut from_x = x.linear(w_ih) + param_if(o.bias, g, "bias", &[n], init);
    if o.layer_norm {
        let weight = g.param("weight_ln", &[n], Init::Constant(1.0));
        from_x = layer_norm(from_x, weight, g.param("bias_ln", &[n], Init::Constant(0.0)), EPS);
    }
    let next = o.nonlinearity.of(from_x + u * h);

    g.next(h, next);
    g.output(next);
    Ok(())
}
