//! How the states after many steps depend on those before, where a recurrence is linear: the graph that carries this
//! along, for scans that run time in parallel.

use super::{Builder, Graph, Node, NodeId, Op, Value, rebuild};
use crate::error::{Error, Result};

/// A cell whose recurrence is linear, with states added that carry its transfer matrix.
#[derive(Clone, Debug)]
pub struct Transfer {
    /// The cell's graph; after its own states come, for each pair of moving states (i, j), i first, the states M_ij with
    /// stateᵢ(t) = Σⱼ M_ij stateⱼ(0) + what the inputs made. They start as M_ii = 1, M_ij = 0.
    pub graph: Graph,
    /// The states that depend on themselves, linearly.
    pub moving: Vec<usize>,
    /// The states that depend on the last few inputs alone.
    pub delays: Vec<usize>,
    /// Over how many steps those reach.
    pub depth: usize,
}

/// The transfer graph of a cell, or why there is none.
pub fn transfer(graph: &Graph) -> Result<Transfer> {
    if graph.nodes.iter().any(|n| matches!(&n.op, Op::Apply(p) if p.is_random())) {
        return Err(refusal(graph, "a recurrence without random values (zoneout), got one with some"));
    }
    let (delays, depth) = delays(graph);
    let moving: Vec<usize> = (0..graph.states.len()).filter(|i| !delays.contains(i)).collect();
    let width = |&i: &usize| graph.ty(graph.states[i].node).clone();
    if moving.windows(2).any(|pair| width(&pair[0]) != width(&pair[1])) {
        return Err(refusal(graph, "states of one shape, got several"));
    }
    let feeds = graph.feeds_state();
    let builder = Builder::new(&graph.name);
    let map = rebuild(graph, &builder, |_, _, _, _| None);
    let mut first = None;
    let mut ends: Vec<(Value<'_>, Value<'_>)> = Vec::new();
    let matrix: Vec<Vec<Value<'_>>> = moving
        .iter()
        .map(|&i| {
            let shape = &graph.ty(graph.states[i].node).shape;
            (0..moving.len()).map(|j| builder.state(&format!("transfer_{i}_{j}"), shape)).collect()
        })
        .collect();
    for j in 0..moving.len() {
        let column: Vec<Value<'_>> = matrix.iter().map(|row| row[j]).collect();
        let mut tangents: Vec<Option<Value<'_>>> = vec![None; graph.nodes.len()];
        for (&i, &entry) in moving.iter().zip(&column) {
            tangents[graph.states[i].node] = Some(entry);
        }
        for id in 0..graph.nodes.len() {
            if tangents[id].is_none() {
                tangents[id] = tangent(graph, &builder, &map, &tangents, id, feeds[id])?;
            }
        }
        for (&i, &entry) in moving.iter().zip(&column) {
            let next = tangents[graph.states[i].next];
            let zero = || builder.constant(0.0, &graph.ty(graph.states[i].node).shape);
            ends.push((entry, next.unwrap_or_else(zero)));
        }
    }
    for (index, state) in graph.states.iter().enumerate() {
        builder.next_of(index, builder.value(map[state.next]));
        first.get_or_insert(map[state.next]);
    }
    ends.into_iter().for_each(|(state, next)| builder.next(state, next));
    // Nobody reads the output; a graph has one.
    let output = first.ok_or_else(|| refusal(graph, "a state, got none"))?;
    builder.output(builder.value(output));
    Ok(Transfer { graph: builder.finish()?, moving, delays, depth })
}

fn refusal(graph: &Graph, what: &str) -> Error {
    Error::Unsupported(format!("scan='parallel' of '{}': expected {what}", graph.name))
}

/// The states that depend on no state but other such ones, and over how many steps they reach.
fn delays(graph: &Graph) -> (Vec<usize>, usize) {
    let mut reach: Vec<Option<usize>> = vec![None; graph.states.len()];
    let depends = |next: NodeId| {
        let mut seen = vec![false; graph.nodes.len()];
        seen[next] = true;
        for id in (0..=next).rev() {
            if seen[id] {
                graph.nodes[id].args.iter().for_each(|&a| seen[a] = true);
            }
        }
        seen
    };
    let seen: Vec<Vec<bool>> = graph.states.iter().map(|s| depends(s.next)).collect();
    loop {
        let mut changed = false;
        for i in 0..graph.states.len() {
            let on = graph.states.iter().enumerate().filter(|(_, s)| seen[i][s.node]);
            let depth = on.map(|(j, _)| reach[j]).try_fold(0, |most, depth| depth.map(|d| d.max(most)));
            if let (None, Some(depth)) = (reach[i], depth) {
                reach[i] = Some(depth + 1);
                changed = true;
            }
        }
        if !changed {
            break;
        }
    }
    let delays = (0..reach.len()).filter(|&i| reach[i].is_some()).collect();
    (delays, reach.into_iter().flatten().max().unwrap_or(0))
}

/// The derivative of a node in the direction of the states' derivatives; none where it does not depend on them.
/// `feeds` says whether a state depends on the node.
fn tangent<'b>(
    graph: &Graph,
    b: &'b Builder,
    map: &[NodeId],
    tangents: &[Option<Value<'b>>],
    id: NodeId,
    feeds: bool,
) -> Result<Option<Value<'b>>> {
    let node: &Node = &graph.nodes[id];
    let Op::Apply(primitive) = &node.op else { return Ok(None) };
    let of = |i: usize| tangents[node.args[i]];
    if (0..node.args.len()).all(|i| of(i).is_none()) {
        return Ok(None);
    }
    let value = |i: usize| b.value(map[node.args[i]]);
    let sum = |x: Option<Value<'b>>, y: Option<Value<'b>>| match (x, y) {
        (Some(x), Some(y)) => Some(x + y),
        (x, y) => x.or(y),
    };
    let product = |i: usize, j: usize| match (of(i), of(j)) {
        (Some(_), Some(_)) => Err(()),
        (Some(x), None) => Ok(Some(x * value(j))),
        (None, Some(y)) => Ok(Some(value(i) * y)),
        (None, None) => Ok(None),
    };
    let made = match primitive.name() {
        "add" => Ok(sum(of(0), of(1))),
        "sub" => Ok(sum(of(0), of(1).map(|y| -y))),
        "neg" => Ok(of(0).map(|x| -x)),
        "mul" => product(0, 1),
        "div" if of(1).is_none() => Ok(of(0).map(|x| x / value(1))),
        "fma" => product(0, 1).map(|p| sum(p, of(2))),
        "flush" => Ok(of(0)),
        "reshape" => Ok(of(0).map(|x| x.reshape(&node.ty.shape))),
        _ => Err(()),
    };
    match made {
        Ok(tangent) => Ok(tangent),
        // What only the output sees may be anything.
        Err(()) if !feeds => Ok(None),
        Err(()) => {
            let what = format!(
                "a recurrence that is linear in its states, element by element, got '{}' of one",
                primitive.name()
            );
            Err(refusal(graph, &what))
        }
    }
}
