//! Writing a graph: leaves, primitives applied to nodes, states and outputs; every node checked when it is made.

use super::primitives as p;
use super::{Graph, Init, Input, Node, NodeId, Op, Param, Primitive, State, Type, Value};
use crate::error::{Error, Result};
use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::Arc;

/// Collects the nodes of a graph while its equations are written. Equal nodes are made once. The first error is kept
/// and reported by [`Builder::finish`], so equations stay free of error handling.
#[derive(Default)]
pub struct Builder {
    inner: RefCell<Inner>,
}

#[derive(Default)]
struct Inner {
    graph: Graph,
    known: HashMap<String, NodeId>,
    error: Option<Error>,
}

impl Builder {
    /// An empty graph of this name.
    pub fn new(name: &str) -> Self {
        let builder = Self::default();
        builder.inner.borrow_mut().graph.name = name.to_string();
        builder
    }

    /// A handle on a node that exists already.
    pub fn value(&self, id: NodeId) -> Value<'_> {
        Value { builder: self, id }
    }

    /// The number of nodes so far.
    pub fn len(&self) -> usize {
        self.inner.borrow().graph.nodes.len()
    }

    /// Whether there are no nodes yet.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The type of a node.
    pub fn ty(&self, id: NodeId) -> Type {
        self.inner.borrow().graph.nodes[id].ty.clone()
    }

    /// Whether a node depends on more than parameters and constants.
    pub fn varies(&self, id: NodeId) -> bool {
        self.inner.borrow().graph.nodes[id].varies
    }

    fn push(&self, op: Op, args: Vec<NodeId>, ty: Type, varies: bool) -> Value<'_> {
        let mut inner = self.inner.borrow_mut();
        inner.graph.nodes.push(Node { op, args, ty, varies });
        Value { builder: self, id: inner.graph.nodes.len() - 1 }
    }

    /// A floating point step input.
    pub fn input(&self, name: &str, shape: &[usize]) -> Value<'_> {
        self.add_input(name, Type::float(shape), None)
    }

    /// An integer step input with values 0 to `limit` - 1.
    pub fn tokens(&self, name: &str, limit: usize) -> Value<'_> {
        self.add_input(name, Type::int(&[]), Some(limit))
    }

    /// A step input of any type.
    pub fn add_input(&self, name: &str, ty: Type, limit: Option<usize>) -> Value<'_> {
        let index = self.inner.borrow().graph.inputs.len();
        let value = self.push(Op::Input(index), vec![], ty, true);
        self.inner.borrow_mut().graph.inputs.push(Input { name: name.into(), node: value.id, limit });
        value
    }

    /// A parameter.
    pub fn param(&self, name: &str, shape: &[usize], init: Init) -> Value<'_> {
        let index = self.inner.borrow().graph.params.len();
        let value = self.push(Op::Param(index), vec![], Type::float(shape), false);
        let param = Param { name: name.into(), shape: shape.to_vec(), init, bound: None, node: value.id };
        self.inner.borrow_mut().graph.params.push(param);
        value
    }

    /// Bounds a parameter: after every update an optimizer brings each element back to at most `limit` in magnitude.
    pub fn bound(&self, param: Value<'_>, limit: f64) {
        let mut inner = self.inner.borrow_mut();
        match inner.graph.params.iter_mut().find(|p| p.node == param.id) {
            Some(param) if limit > 0.0 && limit.is_finite() => param.bound = Some(limit),
            _ => {
                let error = Error::Value(format!("expected a parameter and a positive bound, got a bound of {limit}"));
                inner.error.get_or_insert(error);
            }
        }
    }

    /// A state; [`Builder::next`] gives its value after the step.
    pub fn state(&self, name: &str, shape: &[usize]) -> Value<'_> {
        let index = self.inner.borrow().graph.states.len();
        let value = self.push(Op::State(index), vec![], Type::float(shape), true);
        self.inner.borrow_mut().graph.states.push(State { name: name.into(), node: value.id, next: NodeId::MAX });
        value
    }

    /// Declares the value of `state` after the step.
    pub fn next(&self, state: Value<'_>, value: Value<'_>) {
        let mut inner = self.inner.borrow_mut();
        if let Some(state) = inner.graph.states.iter_mut().find(|s| s.node == state.id) {
            state.next = value.id;
        }
    }

    /// Declares the value of the state declared as number `index` after the step.
    pub(crate) fn next_of(&self, index: usize, value: Value<'_>) {
        self.inner.borrow_mut().graph.states[index].next = value.id;
    }

    /// Declares an output.
    pub fn output(&self, value: Value<'_>) {
        self.inner.borrow_mut().graph.outputs.push(value.id);
    }

    /// The same number in every element of `shape`.
    pub fn constant(&self, number: f64, shape: &[usize]) -> Value<'_> {
        let key = format!("constant {number:?} {:x} {shape:?}", number.to_bits());
        if let Some(&id) = self.inner.borrow().known.get(&key) {
            return Value { builder: self, id };
        }
        let value = self.push(Op::Constant(number), vec![], Type::float(shape), false);
        self.inner.borrow_mut().known.insert(key, value.id);
        value
    }

    /// Given numbers, row by row.
    pub fn tensor(&self, numbers: &[f64], shape: &[usize]) -> Value<'_> {
        self.push(Op::Tensor(numbers.into()), vec![], Type::float(shape), false)
    }

    /// Values one after the other along an axis.
    pub fn concat<'b>(&'b self, values: &[Value<'b>], axis: usize) -> Value<'b> {
        match values {
            [one] if one.ty().shape.len() > axis => *one,
            _ => self.apply(p::Concat { axis }, values),
        }
    }

    /// Applies a primitive; an equal node is used again. After an error the first argument is returned, so that the
    /// equations that follow can be written out.
    pub fn apply<P: Primitive + 'static>(&self, primitive: P, args: &[Value<'_>]) -> Value<'_> {
        self.apply_dyn(Arc::new(primitive), &args.iter().map(|a| a.id).collect::<Vec<_>>())
    }

    /// As [`Builder::apply`], for a primitive known only at run time.
    pub fn apply_dyn(&self, primitive: Arc<dyn Primitive>, args: &[NodeId]) -> Value<'_> {
        let key = format!("{} {:?} {args:?}", primitive.name(), primitive.attributes());
        if let Some(&id) = self.inner.borrow().known.get(&key) {
            return Value { builder: self, id };
        }
        let types: Vec<Type> = args.iter().map(|&a| self.ty(a)).collect();
        match primitive.infer(&types.iter().collect::<Vec<_>>()) {
            Ok(ty) => {
                let varies = primitive.is_random() || args.iter().any(|&a| self.varies(a));
                let value = self.push(Op::Apply(primitive), args.to_vec(), ty, varies);
                let mut inner = self.inner.borrow_mut();
                if let Err(error) = inner.graph.check_arguments(value.id) {
                    inner.error.get_or_insert(error);
                }
                inner.known.insert(key, value.id);
                value
            }
            Err(message) => {
                let id = self.inner.borrow().graph.nodes.len();
                let message = format!("{}: {message}", super::primitive::describe(primitive.name(), id));
                self.inner.borrow_mut().error.get_or_insert(Error::Shape(message));
                args.first().map_or_else(|| self.constant(0.0, &[]), |&id| self.value(id))
            }
        }
    }

    /// Appends a node as it stands in another graph (its inputs, states and parameters must exist here already).
    pub(crate) fn copy(&self, node: &Node, args: &[NodeId]) -> NodeId {
        match &node.op {
            Op::Constant(number) => self.constant(*number, &node.ty.shape).id,
            Op::Tensor(numbers) => self.tensor(numbers, &node.ty.shape).id,
            Op::Apply(primitive) => self.apply_dyn(primitive.clone(), args).id,
            _ => unreachable!("leaves are declared, not copied"),
        }
    }

    /// Checks of the node what types do not say.
    #[cfg(feature = "python")]
    pub(crate) fn check(&self, id: NodeId) -> Result<()> {
        self.inner.borrow().graph.check_arguments(id)
    }

    /// The finished graph, or the first error.
    pub fn finish(self) -> Result<Graph> {
        let inner = self.inner.into_inner();
        if let Some(error) = inner.error {
            return Err(error);
        }
        let graph = inner.graph;
        if let Some(state) = graph.states.iter().find(|s| s.next == NodeId::MAX) {
            return Err(Error::Value(format!(
                "state '{}' of '{}': expected a next value, got none",
                state.name, graph.name
            )));
        }
        graph.validate()?;
        Ok(graph)
    }
}
