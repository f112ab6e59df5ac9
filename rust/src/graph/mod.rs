//! What a cell is: a small dataflow graph of values, from which everything else is derived.

mod builder;
mod json;
mod primitive;
pub mod primitives;
mod reverse;
mod transfer;
mod transform;
mod value;

pub use builder::Builder;
pub use json::{from_json, make_primitive, to_json};
pub use primitive::{Accumulation, Along, Distribution, Evaluation, Primitive, RowOp};
pub(crate) use reverse::parameter_view;
pub use reverse::{GradientOf, Reverse, ReverseInput, Vjp, reverse};
pub use transfer::{Transfer, transfer};
pub use transform::{dense, expectation, recurrent_dropout, residual, zoneout};
pub(crate) use transform::{finish, moved, rebuild};
pub use value::Value;

use crate::error::{Error, Result};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// The most nodes a graph may hold; files that claim more are refused.
pub const MAX_NODES: usize = 65_536;
/// The most elements a value or parameter may hold.
pub const MAX_ELEMENTS: usize = 1 << 56;

/// The index of a node in its graph. Arguments always come before the node that uses them.
pub type NodeId = usize;

/// Whether a value holds floating point numbers or integers (tokens, targets, indices).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Elements of the model's type.
    Float,
    /// Indices.
    Int,
}

impl Kind {
    /// Its name, as in files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Float => "float",
            Self::Int => "int",
        }
    }
}

/// The type of a value: its kind and its shape for one sample (the batch is implicit).
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Type {
    /// Float or integer.
    pub kind: Kind,
    /// Extents; rank 0 to 2 for values, to 3 for parameters.
    pub shape: Vec<usize>,
}

impl Type {
    /// A floating point value of this shape.
    pub fn float(shape: &[usize]) -> Self {
        Self { kind: Kind::Float, shape: shape.to_vec() }
    }

    /// An integer value of this shape.
    pub fn int(shape: &[usize]) -> Self {
        Self { kind: Kind::Int, shape: shape.to_vec() }
    }

    /// The number of elements of one sample.
    pub fn width(&self) -> usize {
        self.shape.iter().product()
    }
}

impl std::fmt::Display for Type {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let extents: Vec<String> = self.shape.iter().map(ToString::to_string).collect();
        let kind = if self.kind == Kind::Int { "int" } else { "" };
        write!(f, "{kind}({})", extents.join(", "))
    }
}

/// What a node is.
#[derive(Clone, Debug)]
pub enum Op {
    /// A parameter: the same for every sample and step.
    Param(usize),
    /// A value given at each step.
    Input(usize),
    /// A state as it was before the step.
    State(usize),
    /// The same number in every element.
    Constant(f64),
    /// Given numbers.
    Tensor(Arc<[f64]>),
    /// A primitive applied to earlier nodes.
    Apply(Arc<dyn Primitive>),
}

/// One value of the graph.
#[derive(Clone, Debug)]
pub struct Node {
    /// What it is.
    pub op: Op,
    /// The nodes it is made from.
    pub args: Vec<NodeId>,
    /// Its type.
    pub ty: Type,
    /// False if it depends on parameters and constants only.
    pub varies: bool,
}

/// A step input.
#[derive(Clone, Debug)]
pub struct Input {
    /// Its name, for messages.
    pub name: String,
    /// Its node.
    pub node: NodeId,
    /// For integer inputs, the number of values allowed: 0 to `limit` - 1.
    pub limit: Option<usize>,
}

/// How a parameter starts.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Init {
    /// Uniform in [-bound, bound).
    Uniform(f64),
    /// Normal with this standard deviation.
    Normal(f64),
    /// The same number everywhere.
    Constant(f64),
    /// Uniform in [from, to).
    Between {
        /// The least number.
        from: f64,
        /// What all numbers are below.
        to: f64,
    },
    /// ln u for u uniform in (0, to].
    LogUniform {
        /// The greatest u.
        to: f64,
    },
    /// ln(-ln |z|) for z uniform on the ring of the plane between two radii of at most 1.
    Ring {
        /// The inner radius.
        from: f64,
        /// The outer radius.
        to: f64,
    },
    /// Uniform in [-bound, bound), then `plus` added to the elements `from..to` (a forget gate's bias).
    Shifted {
        /// Half width of the interval.
        bound: f64,
        /// First element that is shifted.
        from: usize,
        /// One past the last element that is shifted.
        to: usize,
        /// The shift.
        plus: f64,
    },
}

/// A parameter.
#[derive(Clone, Debug)]
pub struct Param {
    /// Its name, as PyTorch's where PyTorch has the cell.
    pub name: String,
    /// Its shape.
    pub shape: Vec<usize>,
    /// Its initial value.
    pub init: Init,
    /// What no element exceeds in magnitude after an update.
    pub bound: Option<f64>,
    /// Its node.
    pub node: NodeId,
}

/// A state: what a cell carries from step to step.
#[derive(Clone, Debug)]
pub struct State {
    /// Its name: "h", "c", ...
    pub name: String,
    /// The node of its value before the step.
    pub node: NodeId,
    /// The node of its value after the step.
    pub next: NodeId,
}

/// A cell: nodes in an order in which arguments precede their uses.
#[derive(Clone, Debug, Default)]
pub struct Graph {
    /// The cell's name.
    pub name: String,
    /// All values.
    pub nodes: Vec<Node>,
    /// Step inputs.
    pub inputs: Vec<Input>,
    /// Parameters.
    pub params: Vec<Param>,
    /// States.
    pub states: Vec<State>,
    /// Outputs; a cell has one, y.
    pub outputs: Vec<NodeId>,
}

impl Graph {
    /// The type of a node.
    pub fn ty(&self, id: NodeId) -> &Type {
        &self.nodes[id].ty
    }

    /// The width (elements of a sample) of a node.
    pub fn width(&self, id: NodeId) -> usize {
        self.nodes[id].ty.width()
    }

    /// For each node, how often other nodes, outputs and states use it.
    pub fn uses(&self) -> Vec<usize> {
        let mut uses = vec![0; self.nodes.len()];
        let ends = self.outputs.iter().chain(self.states.iter().map(|s| &s.next));
        for &id in self.nodes.iter().flat_map(|n| n.args.iter()).chain(ends) {
            uses[id] += 1;
        }
        uses
    }

    /// For each node, whether it depends on a state.
    pub fn stateful(&self) -> Vec<bool> {
        let mut stateful = vec![false; self.nodes.len()];
        for (id, node) in self.nodes.iter().enumerate() {
            stateful[id] = matches!(node.op, Op::State(_)) || node.args.iter().any(|&a| stateful[a]);
        }
        stateful
    }

    /// For each node, whether a state's next value depends on it.
    pub fn feeds_state(&self) -> Vec<bool> {
        let mut feeds = vec![false; self.nodes.len()];
        for state in &self.states {
            feeds[state.next] = true;
        }
        for id in (0..self.nodes.len()).rev() {
            if feeds[id] {
                for &arg in &self.nodes[id].args {
                    feeds[arg] = true;
                }
            }
        }
        feeds
    }

    /// The number of values that an integer node may have: 0 to this - 1; unknown for those of a reverse graph.
    fn limit(&self, id: NodeId) -> Option<usize> {
        match &self.nodes[id].op {
            Op::Input(index) => self.inputs[*index].limit,
            Op::Apply(primitive) => match primitive.evaluation() {
                Evaluation::Row(RowOp::Along { what: Along::Argsort | Along::Argmax, axis }) => {
                    self.ty(self.nodes[id].args[0]).shape.get(axis).copied()
                }
                _ => None,
            },
            _ => None,
        }
    }

    /// Checks what types do not say: indices stay within what they index, weights and tables do not vary.
    fn check_arguments(&self, id: NodeId) -> Result<()> {
        let node = &self.nodes[id];
        let Op::Apply(primitive) = &node.op else { return Ok(()) };
        let fixed: Vec<NodeId> = match primitive.evaluation() {
            Evaluation::Affine { init, .. } => {
                node.args[usize::from(init)..].iter().skip(1).step_by(2).copied().collect()
            }
            Evaluation::Row(RowOp::Gather) => node.args[..1].to_vec(),
            _ => Vec::new(),
        };
        if let Some(&varying) = fixed.iter().find(|&&a| self.nodes[a].varies) {
            return Err(Error::Value(format!(
                "node {id} ({}): expected a matrix made of parameters and constants, got node {varying}, which varies",
                primitive.name()
            )));
        }
        let extent = match primitive.evaluation() {
            Evaluation::Row(RowOp::Gather | RowOp::Pick | RowOp::Take) => {
                node.args.first().and_then(|&a| self.ty(a).shape.first().copied())
            }
            Evaluation::Row(RowOp::Place | RowOp::ScatterAdd) => node.ty.shape.first().copied(),
            Evaluation::Accumulate(Accumulation::Rows) => node.ty.shape.first().copied(),
            _ => return Ok(()),
        };
        let index = if primitive.name() == "accumulate_rows" { 0 } else { 1 };
        let limit = node.args.get(index).and_then(|&a| self.limit(a));
        match (extent, limit) {
            (Some(extent), Some(limit)) if limit > extent => Err(Error::Shape(format!(
                "node {id} ({}): expected indices below {extent}, got indices up to {}",
                primitive.name(),
                limit - 1
            ))),
            _ => Ok(()),
        }
    }

    /// Checks what a builder guarantees and a file may break: order, types, limits.
    pub fn validate(&self) -> Result<()> {
        let bad = |what: String| Err(Error::Value(format!("graph '{}': {what}", self.name)));
        if self.nodes.len() > MAX_NODES {
            return bad(format!("expected at most {MAX_NODES} nodes, got {}", self.nodes.len()));
        }
        for (id, node) in self.nodes.iter().enumerate() {
            if let Some(&arg) = node.args.iter().find(|&&a| a >= id) {
                return bad(format!("node {id}: expected arguments that come before it, got node {arg} (a cycle)"));
            }
            let elements = node.ty.shape.iter().try_fold(1usize, |n, &d| n.checked_mul(d));
            if node.ty.shape.len() > 3 || !elements.is_some_and(|n| (1..=MAX_ELEMENTS).contains(&n)) {
                return bad(format!(
                    "node {id}: expected a shape of rank 0 to 3 of 1 to {MAX_ELEMENTS} elements, got {}",
                    node.ty
                ));
            }
            if let Op::Tensor(numbers) = &node.op
                && (numbers.len() != node.ty.width() || !numbers.iter().all(|n| n.is_finite()))
            {
                return bad(format!("node {id}: expected {} finite numbers, got others", node.ty.width()));
            }
            if let Op::Apply(primitive) = &node.op {
                let args: Vec<&Type> = node.args.iter().map(|&a| self.ty(a)).collect();
                let ty = primitive
                    .infer(&args)
                    .map_err(|e| Error::Shape(format!("node {id} ({}): {e}", primitive.name())))?;
                if ty != node.ty {
                    return bad(format!("node {id} ({}): expected type {ty}, got {}", primitive.name(), node.ty));
                }
                self.check_arguments(id)?;
            }
        }
        let count = self.nodes.len();
        if self.outputs.iter().chain(self.states.iter().map(|s| &s.next)).any(|&id| id >= count) {
            return bad(format!("expected outputs and states among {count} nodes, got another"));
        }
        for state in &self.states {
            if self.ty(state.node) != self.ty(state.next) {
                return Err(Error::Shape(format!(
                    "state '{}' of '{}': expected the next value to have shape {}, got {}",
                    state.name,
                    self.name,
                    self.ty(state.node),
                    self.ty(state.next)
                )));
            }
        }
        Ok(())
    }
}
