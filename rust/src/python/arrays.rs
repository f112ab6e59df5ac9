//! NumPy arrays in and out: contiguous elements of the type and shape that are needed, or a typed error.

use super::errors::internal;
use crate::error::Error;
use numpy::ndarray::{ArrayD, IxDyn};
use numpy::{Element, PyArrayDyn, PyArrayMethods, PyUntypedArray, PyUntypedArrayMethods, dtype};
use pyo3::prelude::*;
use std::fmt::Display;

/// An array that is read: contiguous in C's order, aligned.
///
/// Its elements may be read without the GIL. A thread that writes to them meanwhile makes the numbers arbitrary, as with
/// NumPy's own functions; indices are therefore checked as they are copied.
pub(super) struct Array<'py, T: Element>(Bound<'py, PyArrayDyn<T>>);

impl<'py, T: Element> Array<'py, T> {
    /// An argument of name `what`, copied where its elements are not contiguous.
    pub(super) fn read(what: impl Display, argument: &Bound<'py, PyAny>) -> PyResult<Self> {
        let Ok(array) = argument.cast::<PyArrayDyn<T>>() else {
            let expected = format!("a NumPy array of {}", dtype::<T>(argument.py()));
            return Err(Error::dtype(what, expected, describe(argument)?).into());
        };
        if is_plain(array) {
            return Ok(Self(array.clone()));
        }
        let copy = array.call_method1("copy", ("C",))?.cast_into::<PyArrayDyn<T>>()?;
        if is_plain(&copy) { Ok(Self(copy)) } else { Err(internal("a copy of an array is not contiguous")) }
    }

    /// As [`Array::read`], of exactly this shape.
    pub(super) fn read_shaped(what: impl Display, argument: &Bound<'py, PyAny>, shape: &[usize]) -> PyResult<Self> {
        let array = Self::read(&what, argument)?;
        if array.shape() != shape {
            return Err(Error::shape(what, tuple(shape), tuple(array.shape())).into());
        }
        Ok(array)
    }

    /// The dimensions.
    pub(super) fn shape(&self) -> &[usize] {
        self.0.shape()
    }

    /// The elements.
    pub(super) fn data(&self) -> &[T] {
        // SAFETY: nothing in this crate writes to an array that it was given; of others see above.
        unsafe { self.0.as_slice() }.expect("`read` has seen that the elements are contiguous and aligned")
    }
}

/// Whether the elements can be taken as they lie in memory.
fn is_plain<T: Element>(array: &Bound<'_, PyArrayDyn<T>>) -> bool {
    // SAFETY: the slice is not used; whether there is one tells that the elements are aligned.
    array.is_c_contiguous() && unsafe { array.as_slice() }.is_ok()
}

/// What an argument is, for messages.
fn describe(argument: &Bound<'_, PyAny>) -> PyResult<String> {
    Ok(match argument.cast::<PyUntypedArray>() {
        Ok(array) => array.dtype().str()?.to_string(),
        Err(_) => argument.get_type().name()?.to_string(),
    })
}

/// An array that takes the values without a copy.
pub(super) fn array<T: Element>(py: Python<'_>, values: Vec<T>, shape: &[usize]) -> PyResult<Py<PyAny>> {
    match ArrayD::from_shape_vec(IxDyn(shape), values) {
        Ok(values) => Ok(PyArrayDyn::from_owned_array(py, values).into_any().unbind()),
        Err(error) => Err(internal(&format!("an array of {}: {error}", tuple(shape)))),
    }
}

/// A shape as Python writes it.
pub(super) fn tuple(shape: &[usize]) -> String {
    let sizes: Vec<String> = shape.iter().map(ToString::to_string).collect();
    match &sizes[..] {
        [size] => format!("({size},)"),
        sizes => format!("({})", sizes.join(", ")),
    }
}
