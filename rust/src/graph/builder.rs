//! Writing a graph as equations: values with operators, from which nodes are made.

use super::primitives as p;
use super::{Graph, Init, Input, Node, NodeId, Op, Param, Primitive, State, Type};
use crate::error::{Error, Result};
use std::cell::RefCell;
use std::collections::HashMap;
use std::ops::{Add, Div, Mul, Neg, Sub};
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

/// A value in a graph under construction.
#[derive(Clone, Copy)]
pub struct Value<'b> {
    builder: &'b Builder,
    /// Its node.
    pub id: NodeId,
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
    pub fn concat(&self, values: &[Value<'_>], axis: usize) -> Value<'_> {
        self.apply(p::Concat { axis }, values)
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

impl<'b> Value<'b> {
    /// Its type.
    pub fn ty(self) -> Type {
        self.builder.ty(self.id)
    }

    /// The number of elements of one sample.
    pub fn width(self) -> usize {
        self.ty().width()
    }

    /// The graph it belongs to.
    pub fn builder(self) -> &'b Builder {
        self.builder
    }

    fn unary<P: Primitive + 'static>(self, primitive: P) -> Value<'b> {
        self.builder.apply(primitive, &[self])
    }

    /// x · Wᵀ.
    pub fn linear(self, weight: Value<'b>) -> Value<'b> {
        self.builder.apply(p::Linear, &[self, weight])
    }

    /// 1 / (1 + e⁻ˣ).
    pub fn sigmoid(self) -> Value<'b> {
        self.unary(p::Sigmoid)
    }

    /// tanh x.
    pub fn tanh(self) -> Value<'b> {
        self.unary(p::Tanh)
    }

    /// max(x, 0).
    pub fn relu(self) -> Value<'b> {
        self.unary(p::Relu)
    }

    /// eˣ.
    pub fn exp(self) -> Value<'b> {
        self.unary(p::Exp)
    }

    /// ln x.
    pub fn log(self) -> Value<'b> {
        self.unary(p::Log)
    }

    /// ln(1 + eˣ).
    pub fn softplus(self) -> Value<'b> {
        self.unary(p::Softplus)
    }

    /// √x.
    pub fn sqrt(self) -> Value<'b> {
        self.unary(p::Sqrt)
    }

    /// 1 where x > y, else 0.
    pub fn greater(self, other: Value<'b>) -> Value<'b> {
        self.builder.apply(p::Greater, &[self, other])
    }

    /// a where this is not 0, else b.
    pub fn select(self, a: Value<'b>, b: Value<'b>) -> Value<'b> {
        self.builder.apply(p::Select, &[self, a, b])
    }

    /// sin x.
    pub fn sin(self) -> Value<'b> {
        self.unary(p::Sin)
    }

    /// cos x.
    pub fn cos(self) -> Value<'b> {
        self.unary(p::Cos)
    }

    /// |x|.
    pub fn abs(self) -> Value<'b> {
        self.unary(p::Abs)
    }

    /// 1 or −1, and x itself where it is ±0.
    pub fn sign(self) -> Value<'b> {
        self.unary(p::Sign)
    }

    /// The greatest integer not above x.
    pub fn floor(self) -> Value<'b> {
        self.unary(p::Floor)
    }

    /// The lesser of both.
    pub fn minimum(self, other: Value<'b>) -> Value<'b> {
        self.binary(p::Minimum, other)
    }

    /// The greater of both.
    pub fn maximum(self, other: Value<'b>) -> Value<'b> {
        self.binary(p::Maximum, other)
    }

    /// x, through which no gradient flows.
    pub fn stop(self) -> Value<'b> {
        self.unary(p::Stop)
    }

    /// The sum over the elements: a scalar.
    pub fn sum(self) -> Value<'b> {
        self.unary(p::Sum { axis: None })
    }

    /// The sum along an axis, which goes.
    pub fn sum_axis(self, axis: usize) -> Value<'b> {
        self.unary(p::Sum { axis: Some(axis) })
    }

    /// The mean over the elements: a scalar.
    pub fn mean(self) -> Value<'b> {
        self.sum() * (1.0 / self.width() as f64)
    }

    /// The largest element: a scalar.
    pub fn max(self) -> Value<'b> {
        self.unary(p::Max { axis: None })
    }

    /// The largest along an axis, which goes.
    pub fn max_axis(self, axis: usize) -> Value<'b> {
        self.unary(p::Max { axis: Some(axis) })
    }

    /// A scalar repeated to `shape`.
    pub fn broadcast(self, shape: &[usize]) -> Value<'b> {
        self.spread(shape, None)
    }

    /// A vector repeated along `axis` of a matrix of this shape.
    pub fn broadcast_axis(self, shape: &[usize], axis: usize) -> Value<'b> {
        self.spread(shape, Some(axis))
    }

    /// What a sum along the axis (or of all elements) came from: its gradient.
    pub(crate) fn spread(self, shape: &[usize], axis: Option<usize>) -> Value<'b> {
        match axis {
            // A vector's only axis: what is left is a scalar.
            Some(_) if shape.len() == 1 => self.unary(p::Broadcast { shape: shape.to_vec(), axis: None }),
            _ => self.unary(p::Broadcast { shape: shape.to_vec(), axis }),
        }
    }

    /// The same elements, row by row, in another shape.
    pub fn reshape(self, shape: &[usize]) -> Value<'b> {
        if self.ty().shape == shape { self } else { self.unary(p::Reshape { shape: shape.to_vec() }) }
    }

    /// The transpose of a matrix.
    pub fn transpose(self) -> Value<'b> {
        self.unary(p::Transpose)
    }

    /// The product of two matrices of each sample.
    pub fn matmul(self, other: Value<'b>) -> Value<'b> {
        self.builder.apply(p::MatMul { transposed: [false, false] }, &[self, other])
    }

    /// The product of a matrix and a vector of each sample.
    pub fn matvec(self, vector: Value<'b>) -> Value<'b> {
        let rows = self.ty().shape.first().copied().unwrap_or(0);
        self.matmul(vector.reshape(&[vector.width(), 1])).reshape(&[rows])
    }

    /// a bᵀ of two vectors: a matrix.
    pub fn outer(self, other: Value<'b>) -> Value<'b> {
        self.reshape(&[self.width(), 1]).matmul(other.reshape(&[1, other.width()]))
    }

    /// Σ_jk W_ijk a_j b_k over a parameter of rank 3.
    pub fn bilinear(self, other: Value<'b>, weight: Value<'b>) -> Value<'b> {
        let pairs = self.width() * other.width();
        let rows = weight.ty().shape.first().copied().unwrap_or(0);
        self.outer(other).reshape(&[pairs]).linear(weight.reshape(&[rows, pairs]))
    }

    /// Elements `from..to` (of a matrix: rows).
    pub fn slice(self, from: usize, to: usize) -> Value<'b> {
        self.slice_axis(0, from, to)
    }

    /// Elements `from..to` along an axis.
    pub fn slice_axis(self, axis: usize, from: usize, to: usize) -> Value<'b> {
        self.unary(p::Slice { from, to, axis })
    }

    /// This as elements `before..` of `total`, zero elsewhere.
    pub fn pad(self, before: usize, total: usize) -> Value<'b> {
        self.unary(p::Pad { before, total, axis: 0 })
    }

    /// `N` equal parts, one after the other.
    pub fn split<const N: usize>(self) -> [Value<'b>; N] {
        let part = self.ty().shape.first().copied().unwrap_or(0) / N;
        std::array::from_fn(|i| self.slice(i * part, (i + 1) * part))
    }

    /// Element `index` of the row: a scalar.
    pub fn pick(self, index: Value<'b>) -> Value<'b> {
        self.builder.apply(p::Pick, &[self, index])
    }

    fn binary<P: Primitive + 'static>(self, primitive: P, other: Value<'b>) -> Value<'b> {
        let (a, b) = (self.ty(), other.ty());
        // A scalar meets a tensor: it is repeated, so that elementwise nodes only ever see equal shapes.
        if a.shape.is_empty() && !b.shape.is_empty() {
            return self.builder.apply(primitive, &[self.broadcast(&b.shape), other]);
        }
        if b.shape.is_empty() && !a.shape.is_empty() {
            return self.builder.apply(primitive, &[self, other.broadcast(&a.shape)]);
        }
        self.builder.apply(primitive, &[self, other])
    }

    fn same(self, number: f64) -> Value<'b> {
        self.builder.constant(number, &self.ty().shape)
    }
}

macro_rules! operators {
    ($($trait:ident $method:ident $primitive:ident),*) => {$(
        impl<'b> $trait for Value<'b> {
            type Output = Value<'b>;
            fn $method(self, other: Value<'b>) -> Value<'b> {
                self.binary(p::$primitive, other)
            }
        }
        impl<'b> $trait<f64> for Value<'b> {
            type Output = Value<'b>;
            fn $method(self, number: f64) -> Value<'b> {
                self.binary(p::$primitive, self.same(number))
            }
        }
        impl<'b> $trait<Value<'b>> for f64 {
            type Output = Value<'b>;
            fn $method(self, value: Value<'b>) -> Value<'b> {
                value.same(self).binary(p::$primitive, value)
            }
        }
    )*};
}
operators!(Add add Add, Sub sub Sub, Mul mul Mul, Div div Div);

impl<'b> Neg for Value<'b> {
    type Output = Value<'b>;
    fn neg(self) -> Value<'b> {
        self.unary(p::Neg)
    }
}
