//! The multiple timescale network (Yamashita and Tani 2008): groups of units that change fast or slowly.

use super::{Nonlinearity, cell, param_if, positive, uniform};
use crate::error::{Error, Result};
use crate::graph::{Builder, Value};

cell! {
    /// The multiple timescale recurrent network (Yamashita and Tani 2008, equations 2 and 3): groups of units, each with
    /// its own time constant tau and its own choice of groups that it sees.
    ///
    /// u' = (1 - 1/tau) * u + 1/tau * (W_ih x + W_hh f(u) + b)
    /// y = f(u')
    ///
    /// Weights from groups that are not connected, and from x to groups that do not see it, count as 0.
    ///
    /// Parameters: weight_ih (H, I), weight_hh (H, H), bias (H,). State: h (H), which holds u.
    MTRNN "mtrnn" {
        input_size: usize,
        hidden_size: usize,
        /// How many units each group has, hidden_size in all.
        groups: Vec<usize>,
        /// tau of each group, at least 1, in steps.
        time_constants: Vec<f64>,
        /// connections[i][j]: whether group i sees group j. None: each sees itself and its neighbours.
        connections: Option<Vec<Vec<bool>>> = None::<Vec<Vec<bool>>>,
        /// The groups that see x.
        input_groups: Vec<usize> = [0],
        /// f: "tanh", "relu", "sigmoid" or "identity".
        nonlinearity: Nonlinearity = Nonlinearity::Tanh,
        /// Whether there is a bias.
        bias: bool = true,
    }
}

fn equations<'b>(g: &'b Builder, o: &Options) -> Result<()> {
    check(o)?;
    let (i, n, init) = (o.input_size, o.hidden_size, uniform(o.hidden_size));
    let count = o.groups.len();
    let connected = |to: usize, from: usize| match &o.connections {
        Some(connections) => connections[to][from],
        None => to.abs_diff(from) <= 1,
    };
    // For each group a number, or rows of numbers, one group below the other.
    let each = |rows: &dyn Fn(usize) -> Value<'b>| g.concat(&(0..count).map(rows).collect::<Vec<_>>(), 0);
    let seen = |is_seen: bool, shape: &[usize]| g.constant(f64::from(u8::from(is_seen)), shape);

    let x = g.input("x", &[i]);
    let h = g.state("h", &[n]);
    let sees_x = each(&|to| seen(o.input_groups.contains(&to), &[o.groups[to], i]));
    let sees_units = each(&|to| {
        let columns = (0..count).map(|from| seen(connected(to, from), &[o.groups[to], o.groups[from]]));
        g.concat(&columns.collect::<Vec<_>>(), 1)
    });
    let w_ih = g.param("weight_ih", &[n, i], init) * sees_x;
    let w_hh = g.param("weight_hh", &[n, n], init) * sees_units;
    let bias = param_if(o.bias, g, "bias", &[n], init);
    let rate = each(&|group| g.constant(1.0 / o.time_constants[group], &[o.groups[group]]));

    let next = h + rate * (x.linear(w_ih) + o.nonlinearity.of(h).linear(w_hh) + bias - h);

    g.next(h, next);
    g.output(o.nonlinearity.of(next));
    Ok(())
}

/// That the groups and what is said of them agree.
fn check(o: &Options) -> Result<()> {
    let refuse = |what: String| Err(Error::Value(format!("mtrnn: expected {what}")));
    let count = o.groups.len();
    o.groups.iter().try_for_each(|&units| positive("mtrnn", "units of a group", units))?;
    if o.groups.iter().sum::<usize>() != o.hidden_size {
        return refuse(format!("groups of {} units in all (hidden_size), got {:?}", o.hidden_size, o.groups));
    }
    if o.time_constants.len() != count || o.time_constants.iter().any(|&tau| !(1.0..f64::INFINITY).contains(&tau)) {
        return refuse(format!("{count} time_constants of at least 1, got {:?}", o.time_constants));
    }
    let square = |rows: &Vec<Vec<bool>>| rows.len() == count && rows.iter().all(|row| row.len() == count);
    if o.connections.as_ref().is_some_and(|rows| !square(rows)) {
        return refuse(format!("connections of {count} groups to {count} groups, got {:?}", o.connections));
    }
    if o.input_groups.is_empty() || o.input_groups.iter().any(|&group| group >= count) {
        return refuse(format!("input_groups among 0..{count}, got {:?}", o.input_groups));
    }
    Ok(())
}
