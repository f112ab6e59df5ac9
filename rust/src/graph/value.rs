//! Values as equations are written: with operators and methods, from which nodes are made.

use super::primitives as p;
use super::{Builder, NodeId, Primitive, Type};
use std::ops::{Add, Div, Mul, Neg, Sub};

/// A value in a graph under construction.
#[derive(Clone, Copy)]
pub struct Value<'b> {
    pub(super) builder: &'b Builder,
    /// Its node.
    pub id: NodeId,
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
        let all = from == 0 && self.ty().shape.get(axis) == Some(&to);
        if all { self } else { self.unary(p::Slice { from, to, axis }) }
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
