//! Graphs as versioned JSON: how cells are stored in files. Reading runs no code and checks everything.

use super::primitives::TABLE;
use super::{Graph, Init, Input, Kind, MAX_NODES, Node, NodeId, Op, Param, Primitive, State, Type};
use crate::error::{Error, Result};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json};
use std::sync::Arc;

/// The version of the form itself; each primitive has its own besides.
const FORMAT: u32 = 1;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    format: u32,
    name: String,
    nodes: Vec<StoredNode>,
    states: Vec<StoredState>,
    outputs: Vec<NodeId>,
}

#[derive(Serialize, Deserialize)]
#[serde(tag = "node", rename_all = "lowercase", deny_unknown_fields)]
enum StoredNode {
    Param {
        name: String,
        shape: Vec<usize>,
        init: Init,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        bound: Option<f64>,
    },
    Input {
        name: String,
        kind: Kind,
        shape: Vec<usize>,
        limit: Option<usize>,
    },
    State {
        name: String,
        shape: Vec<usize>,
    },
    Constant {
        value: f64,
        shape: Vec<usize>,
    },
    Tensor {
        values: Vec<f64>,
        shape: Vec<usize>,
    },
    Apply {
        primitive: String,
        version: u32,
        attributes: Map<String, Json>,
        args: Vec<NodeId>,
    },
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StoredState {
    node: NodeId,
    next: NodeId,
}

/// The graph as JSON.
pub fn to_json(graph: &Graph) -> Json {
    let store = |node: &Node| match &node.op {
        Op::Param(i) => {
            let param = &graph.params[*i];
            let Param { name, shape, init, bound, .. } = param.clone();
            StoredNode::Param { name, shape, init, bound }
        }
        Op::Input(i) => {
            let input = &graph.inputs[*i];
            StoredNode::Input {
                name: input.name.clone(),
                kind: node.ty.kind,
                shape: node.ty.shape.clone(),
                limit: input.limit,
            }
        }
        Op::State(i) => StoredNode::State { name: graph.states[*i].name.clone(), shape: node.ty.shape.clone() },
        Op::Constant(value) => StoredNode::Constant { value: *value, shape: node.ty.shape.clone() },
        Op::Tensor(values) => StoredNode::Tensor { values: values.to_vec(), shape: node.ty.shape.clone() },
        Op::Apply(primitive) => StoredNode::Apply {
            primitive: primitive.name().into(),
            version: primitive.version(),
            attributes: primitive.attributes(),
            args: node.args.clone(),
        },
    };
    let stored = Stored {
        format: FORMAT,
        name: graph.name.clone(),
        nodes: graph.nodes.iter().map(store).collect(),
        states: graph.states.iter().map(|s| StoredState { node: s.node, next: s.next }).collect(),
        outputs: graph.outputs.clone(),
    };
    serde_json::to_value(stored).expect("a graph holds nothing that JSON cannot")
}

/// A graph from JSON, checked: known primitives of known versions, arguments before uses, types that agree, limits.
pub fn from_json(json: &Json) -> Result<Graph> {
    let bad = |what: String| Error::File(format!("stored graph: {what}"));
    let stored: Stored =
        Stored::deserialize(json).map_err(|e| bad(format!("expected nodes, states and outputs, got: {e}")))?;
    if stored.format != FORMAT {
        return Err(bad(format!("expected format {FORMAT}, got {}", stored.format)));
    }
    if stored.nodes.len() > MAX_NODES {
        return Err(bad(format!("expected at most {MAX_NODES} nodes, got {}", stored.nodes.len())));
    }
    let mut graph = Graph { name: stored.name, outputs: stored.outputs, ..Graph::default() };
    for (id, node) in stored.nodes.into_iter().enumerate() {
        let node = restore(&mut graph, id, node).map_err(|e| bad(format!("node {id}: {e}")))?;
        graph.nodes.push(node);
    }
    if stored.states.len() != graph.states.len() {
        return Err(bad(format!("expected {} states, got {}", graph.states.len(), stored.states.len())));
    }
    for state in stored.states {
        let count = graph.nodes.len();
        match graph.states.iter_mut().find(|s| s.node == state.node) {
            Some(found) if state.next < count => found.next = state.next,
            _ => return Err(bad(format!("state {} -> {}: expected nodes of the graph", state.node, state.next))),
        }
    }
    if graph.states.iter().any(|s| s.next == NodeId::MAX) {
        return Err(bad("expected a next value for every state".into()));
    }
    graph.validate().map_err(|e| bad(e.to_string()))?;
    Ok(graph)
}

/// The primitive of this name with exactly these attributes.
pub fn make_primitive(name: &str, attributes: &Map<String, Json>) -> std::result::Result<Arc<dyn Primitive>, String> {
    let (_, _, make) = TABLE
        .iter()
        .find(|(known, ..)| *known == name)
        .ok_or_else(|| format!("expected a known primitive, got '{name}'"))?;
    let primitive = make(attributes)?;
    if primitive.attributes() != *attributes {
        return Err(format!("expected attributes {:?}, got {attributes:?}", primitive.attributes()));
    }
    Ok(primitive)
}

fn restore(graph: &mut Graph, id: NodeId, stored: StoredNode) -> std::result::Result<Node, String> {
    let leaf = |op, ty, varies| Node { op, args: vec![], ty, varies };
    Ok(match stored {
        StoredNode::Param { name, shape, init, bound } => {
            if bound.is_some_and(|bound| bound <= 0.0) {
                return Err(format!("expected a positive bound, got {bound:?}"));
            }
            graph.params.push(Param { name, shape: shape.clone(), init, bound, node: id });
            leaf(Op::Param(graph.params.len() - 1), Type::float(&shape), false)
        }
        StoredNode::Input { name, kind, shape, limit } => {
            if (kind == Kind::Int) != limit.is_some() {
                return Err("expected a limit for integer inputs and for no others".into());
            }
            graph.inputs.push(Input { name, node: id, limit });
            leaf(Op::Input(graph.inputs.len() - 1), Type { kind, shape }, true)
        }
        StoredNode::State { name, shape } => {
            graph.states.push(State { name, node: id, next: NodeId::MAX });
            leaf(Op::State(graph.states.len() - 1), Type::float(&shape), true)
        }
        StoredNode::Constant { value, shape } => leaf(Op::Constant(value), Type::float(&shape), false),
        StoredNode::Tensor { values, shape } => leaf(Op::Tensor(values.into()), Type::float(&shape), false),
        StoredNode::Apply { primitive, version, attributes, args } => {
            let primitive = make_primitive(&primitive, &attributes)?;
            if primitive.version() != version {
                return Err(format!(
                    "expected version {} of '{}', got {version}",
                    primitive.version(),
                    primitive.name()
                ));
            }
            if let Some(arg) = args.iter().find(|&&a| a >= id) {
                return Err(format!("expected arguments that come before it, got node {arg} (a cycle)"));
            }
            let types: Vec<&Type> = args.iter().map(|&a| graph.ty(a)).collect();
            let ty = primitive.infer(&types)?;
            let varies = primitive.is_random() || args.iter().any(|&a| graph.nodes[a].varies);
            Node { op: Op::Apply(primitive), args, ty, varies }
        }
    })
}
