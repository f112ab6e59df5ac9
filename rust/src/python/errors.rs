//! The exception classes, and the one match from the crate's errors to them.

use crate::error::Error;
use pyo3::exceptions::{
    PyException, PyKeyboardInterrupt, PyMemoryError, PyNotImplementedError, PyOSError, PyRuntimeError, PyValueError,
};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyDict, PyTuple, PyType};
use std::io;

/// The classes, made when the module is.
static CLASSES: PyOnceLock<Classes> = PyOnceLock::new();

struct Classes {
    error: Py<PyType>,
    shape: Py<PyType>,
    dtype: Py<PyType>,
    value: Py<PyType>,
    unsupported: Py<PyType>,
    file: Py<PyType>,
    stale: Py<PyType>,
}

impl Classes {
    fn new(py: Python<'_>) -> PyResult<Self> {
        let error = class(
            py,
            "Error",
            "What rnnrs raises, apart from failures of the system.",
            &[py.get_type::<PyException>()],
        )?;
        let make = |name: &str, doc: &str, other: Bound<'_, PyType>| {
            class(py, name, doc, &[error.clone(), other]).map(Bound::unbind)
        };
        Ok(Self {
            shape: make(
                "ShapeError",
                "An array has another shape than the one needed.",
                py.get_type::<PyValueError>(),
            )?,
            dtype: make(
                "DtypeError",
                "An array has another element type than the one needed.",
                py.get_type::<PyValueError>(),
            )?,
            value: make("InvalidValueError", "A value is not among those allowed.", py.get_type::<PyValueError>())?,
            unsupported: make(
                "UnsupportedError",
                "A valid request that this version cannot carry out.",
                py.get_type::<PyNotImplementedError>(),
            )?,
            file: make(
                "FileError",
                "A file is damaged, of another version, or not one of rnnrs.",
                py.get_type::<PyValueError>(),
            )?,
            stale: make(
                "StaleTapeError",
                "A tape is used after the parameters that it was recorded with have changed.",
                py.get_type::<PyRuntimeError>(),
            )?,
            error: error.unbind(),
        })
    }

    fn get(py: Python<'_>) -> PyResult<&Self> {
        CLASSES.get_or_try_init(py, || Self::new(py))
    }
}

/// A class with several bases, which pyo3 has no macro for. It is found as `rnnrs.<name>`, also by pickle.
fn class<'py>(py: Python<'py>, name: &str, doc: &str, bases: &[Bound<'py, PyType>]) -> PyResult<Bound<'py, PyType>> {
    let members = PyDict::new(py);
    members.set_item("__module__", "rnnrs")?;
    members.set_item("__doc__", doc)?;
    let class = py.get_type::<PyType>().call1((name, PyTuple::new(py, bases)?, members))?;
    Ok(class.cast_into()?)
}

/// Adds the classes to the module.
pub(super) fn add_to(module: &Bound<'_, PyModule>) -> PyResult<()> {
    let Classes { error, shape, dtype, value, unsupported, file, stale } = Classes::get(module.py())?;
    for class in [error, shape, dtype, value, unsupported, file, stale] {
        let class = class.bind(module.py());
        module.add(class.name()?, class)?;
    }
    Ok(())
}

impl From<Error> for PyErr {
    fn from(error: Error) -> Self {
        Python::attach(|py| {
            let classes = match Classes::get(py) {
                Ok(classes) => classes,
                Err(raised) => return raised,
            };
            let class = match &error {
                Error::Shape(_) => &classes.shape,
                Error::Dtype(_) => &classes.dtype,
                Error::Value(_) => &classes.value,
                Error::Unsupported(_) => &classes.unsupported,
                Error::File(_) => &classes.file,
                Error::Stale(_) => &classes.stale,
                Error::Memory(message) => return PyMemoryError::new_err(message.clone()),
                Error::Interrupted => return PyKeyboardInterrupt::new_err(()),
                Error::Io(error) => return system(error),
            };
            PyErr::from_type(class.bind(py).clone(), error.to_string())
        })
    }
}

/// What must not happen: a fault of this crate, as an exception that `except Exception` catches.
pub(super) fn internal(message: &str) -> PyErr {
    Python::attach(|py| match Classes::get(py) {
        Ok(classes) => PyErr::from_type(classes.error.bind(py).clone(), format!("internal error of rnnrs: {message}")),
        Err(raised) => raised,
    })
}

/// OSError, or its subclass for the number; Python chooses it.
fn system(error: &io::Error) -> PyErr {
    // An error that says which file it befell wraps that of the system, perhaps more than once.
    fn cause(error: &io::Error) -> Option<&io::Error> {
        error.get_ref()?.source()?.downcast_ref()
    }
    match std::iter::successors(Some(error), |error| cause(error)).find_map(io::Error::raw_os_error) {
        Some(number) => PyOSError::new_err((number, error.to_string())),
        None => PyOSError::new_err(error.to_string()),
    }
}
