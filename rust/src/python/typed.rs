//! One class of Python over two types of Rust: what is made of float32 or of float64.

use crate::kernels::Element;

/// An element type of models that NumPy knows too.
pub(super) trait Float: Element + numpy::Element {}

impl Float for f32 {}
impl Float for f64 {}

/// Something of float32, or the same of float64.
pub(super) enum Typed<A, B> {
    Float32(A),
    Float64(B),
}

/// The same code for both types: `typed!(&self.inner, value => ...)`; with `typed!(&self.inner, value, Same => ...)`,
/// `Same(x)` is a [`Typed`] of the type at hand.
macro_rules! typed {
    ($inner:expr, $value:ident => $body:expr) => {
        match $inner {
            $crate::python::typed::Typed::Float32($value) => $body,
            $crate::python::typed::Typed::Float64($value) => $body,
        }
    };
    ($inner:expr, $value:ident, $same:ident => $body:expr) => {
        match $inner {
            $crate::python::typed::Typed::Float32($value) => {
                use $crate::python::typed::Typed::Float32 as $same;
                $body
            }
            $crate::python::typed::Typed::Float64($value) => {
                use $crate::python::typed::Typed::Float64 as $same;
                $body
            }
        }
    };
}

/// The same code where two things are of one type, [`Error::Dtype`](crate::Error::Dtype) where they are not:
/// `typed_both!("gradients", (&a.inner, &b.inner), (x, y) => ...)`.
macro_rules! typed_both {
    ($what:expr, ($first:expr, $second:expr), ($a:ident, $b:ident) => $body:expr) => {
        match ($first, $second) {
            ($crate::python::typed::Typed::Float32($a), $crate::python::typed::Typed::Float32($b)) => $body,
            ($crate::python::typed::Typed::Float64($a), $crate::python::typed::Typed::Float64($b)) => $body,
            ($crate::python::typed::Typed::Float32(_), _) => {
                Err($crate::Error::dtype($what, "float32", "float64").into())
            }
            ($crate::python::typed::Typed::Float64(_), _) => {
                Err($crate::Error::dtype($what, "float64", "float32").into())
            }
        }
    };
}

pub(super) use {typed, typed_both};
