//! What options of cells are refused, and where recurrent dropout acts.

use rnnrs::Error;
use rnnrs::cells::{CELLS, build};
use rnnrs::graph::{Graph, Op};
use serde_json::{Value as Json, json};

/// Sizes 2 and 4, and what else must be given.
fn options(cell: &str, more: Json) -> Json {
    let mut all = match cell {
        "jordan" | "elman_jordan" => json!({"output_size": 2}),
        "mtrnn" => json!({"groups": [3, 1], "time_constants": [1.0, 4.0]}),
        _ => json!({}),
    };
    let map = all.as_object_mut().unwrap();
    map.extend([("input_size".to_string(), json!(2)), ("hidden_size".to_string(), json!(4))]);
    map.extend(more.as_object().unwrap().clone());
    all
}

#[test]
fn options_that_make_no_sense_are_refused() {
    for (cell, more, message) in [
        ("jordan", json!({"output_size": 0}), "output_size in 1..="),
        ("jordan", json!({"decay": 1.0}), "decay at least 0 and below 1, got 1"),
        ("elman_jordan", json!({"decay": -0.5}), "decay at least 0"),
        ("fully_recurrent", json!({"input_units": 5}), "input_units in 1..=4 (hidden_size), got 5"),
        ("fully_recurrent", json!({"output_units": 0}), "output_units in 1..=4"),
        ("recurrent_mlp", json!({"num_hidden": 0}), "num_hidden in 1..="),
        ("gated_feedback", json!({"num_hidden": 65}), "num_hidden in 1..=64, got 65"),
        ("gated_feedback", json!({"unit": "elman"}), "unknown variant `elman`"),
        ("ctrnn", json!({"dt": 0.0}), "dt above 0"),
        ("ctrnn", json!({"time_constant": -1.0}), "time_constant above 0"),
        ("ctrnn", json!({"substeps": 0}), "substeps in 1..="),
        ("ctrnn", json!({"input_size": 1, "timestamps": true}), "input_size at least 2 with timestamps=true"),
        ("ctrnn", json!({"method": "heun"}), "unknown variant `heun`"),
        ("mtrnn", json!({"groups": [3, 2]}), "groups of 4 units in all"),
        ("mtrnn", json!({"groups": [4, 0]}), "units of a group in 1..="),
        ("mtrnn", json!({"time_constants": [1.0]}), "2 time_constants of at least 1"),
        ("mtrnn", json!({"time_constants": [1.0, 0.5]}), "2 time_constants of at least 1"),
        ("mtrnn", json!({"connections": [[true, true]]}), "connections of 2 groups to 2 groups"),
        ("mtrnn", json!({"input_groups": [2]}), "input_groups among 0..2"),
        ("mtrnn", json!({"input_groups": []}), "input_groups among 0..2"),
        ("indrnn", json!({"remember": true}), "steps with remember=true"),
        ("indrnn", json!({"steps": 0}), "steps in 1..="),
        ("simplified_gru", json!({"kind": 4}), "kind 1, 2 or 3, got 4"),
        ("qrnn", json!({"kernel_size": 0}), "kernel_size in 1..="),
        ("lru", json!({"r_min": 0.9, "r_max": 0.5}), "0 <= r_min < r_max <= 1"),
        ("lru", json!({"r_max": 1.5}), "0 <= r_min < r_max <= 1"),
        ("lru", json!({"max_phase": 7.0}), "max_phase above 0 and at most 2 pi"),
        ("lru", json!({"output_size": 0}), "output_size in 1..="),
        ("slstm", json!({"heads": 3}), "heads that divide hidden_size 4, got 3"),
        ("mlstm", json!({"heads": 0}), "heads in 1..=4"),
        ("lstm", json!({"coupled": true, "forget_gate": false}), "with coupled=true"),
        ("lstm", json!({"coupled": true, "input_gate": false}), "with coupled=true"),
        ("lstm", json!({"full_gate_recurrence": true, "output_gate": false}), "full_gate_recurrence=true"),
        ("lstm", json!({"full_gate_recurrence": true, "coupled": true}), "full_gate_recurrence=true"),
        ("mgu", json!({"peephole": true}), "unknown field `peephole`"),
    ] {
        match build(cell, &options(cell, more.clone())) {
            Err(Error::Value(said)) => assert!(said.contains(message), "{cell} {more}: {said}"),
            other => panic!("{cell} {more}: expected a refusal, got {other:?}"),
        }
    }
}

#[test]
fn recurrent_dropout_needs_a_product_that_sees_the_state() {
    let without = ["indrnn", "min_gru", "min_lstm", "sru", "qrnn", "lru", "mlstm"];
    for cell in CELLS {
        match build(cell.name, &options(cell.name, json!({"recurrent_dropout": 0.5}))) {
            Ok(_) => assert!(!without.contains(&cell.name), "{}", cell.name),
            Err(Error::Unsupported(_)) => assert!(without.contains(&cell.name), "{}", cell.name),
            Err(other) => panic!("{}: {other}", cell.name),
        }
    }
}

/// Whether a node is something times a draw, or is made from such.
fn masked(graph: &Graph, id: usize) -> bool {
    let node = &graph.nodes[id];
    let Op::Apply(primitive) = &node.op else { return false };
    match primitive.name() {
        "mul" => node.args.iter().any(|&arg| drawn(graph, arg)),
        "concat" | "reshape" | "matmul" => node.args.iter().any(|&arg| masked(graph, arg)),
        _ => false,
    }
}

/// Whether a node is a draw, or a part of one.
fn drawn(graph: &Graph, id: usize) -> bool {
    let node = &graph.nodes[id];
    match &node.op {
        Op::Apply(primitive) if primitive.name() == "slice" => drawn(graph, node.args[0]),
        Op::Apply(primitive) => primitive.is_random(),
        _ => false,
    }
}

#[test]
fn recurrent_dropout_acts_on_every_product_with_the_state_before_the_step_and_on_no_other() {
    for (cell, more, expected, masks) in [
        ("elman", json!({}), 1, 1),
        ("lstm", json!({"proj_size": 2}), 1, 1),
        ("lstm", json!({"full_gate_recurrence": true, "output_gate": true}), 4, 4),
        ("gru", json!({"reset_after": false}), 3, 1),
        ("jordan", json!({}), 1, 1),
        ("elman_jordan", json!({}), 2, 2),
        ("recurrent_mlp", json!({}), 3, 2),
        ("gated_feedback", json!({"unit": "gru"}), 10, 2),
        ("gated_feedback", json!({"unit": "tanh"}), 6, 2),
        ("ctrnn", json!({"method": "rk4", "substeps": 2}), 8, 1),
        ("mtrnn", json!({}), 1, 1),
        ("second_order", json!({"first_order": true}), 2, 1),
        ("simplified_gru", json!({"kind": 3}), 1, 1),
        ("slstm", json!({"heads": 2}), 8, 1),
    ] {
        let mut all = options(cell, more.clone());
        all["recurrent_dropout"] = json!(0.5);
        let graph = build(cell, &all).unwrap();
        let applies = |id: &usize, name: &str| matches!(&graph.nodes[*id].op, Op::Apply(p) if p.name() == name);
        let products =
            (0..graph.nodes.len()).filter(|id| applies(id, "linear") && masked(&graph, graph.nodes[*id].args[0]));
        let draws = graph.nodes.iter().filter(|node| matches!(&node.op, Op::Apply(p) if p.is_random()));
        assert_eq!((products.count(), draws.count()), (expected, masks), "{cell} {more}");
    }
}
