//! Optimizers: an update of a model's parameters from gradients.

use super::gradients::{Gradients, Held, same_layout};
use super::model::Model;
use super::typed::{Float, typed_both};
use super::work::work;
use crate::error::Result;
use crate::train;
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// An update rule and what it remembers.
#[pyclass(frozen, module = "rnnrs._core")]
pub(super) struct Optimizer {
    inner: Mutex<train::Optimizer>,
}

#[pymethods]
impl Optimizer {
    #[new]
    fn new(py: Python<'_>, spec: &str) -> PyResult<Self> {
        Ok(Self { inner: Mutex::new(work(py, |_| train::Optimizer::from_json(spec))?) })
    }

    #[getter]
    fn spec(&self, py: Python<'_>) -> PyResult<String> {
        work(py, |_| Ok(self.lock().to_json()))
    }

    #[getter]
    fn updates(&self, py: Python<'_>) -> PyResult<u64> {
        work(py, |_| Ok(self.lock().updates()))
    }

    fn step(&self, py: Python<'_>, model: &Model, grads: &Gradients, lr: f64) -> PyResult<()> {
        typed_both!("gradients", (&model.inner, &grads.inner), (model, grads) => work(py, |_| self.update(model, grads, lr)))
    }

    fn to_bytes<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyBytes>> {
        Ok(PyBytes::new(py, &work(py, |_| self.lock().to_bytes())?))
    }

    #[staticmethod]
    fn from_bytes(py: Python<'_>, data: &[u8]) -> PyResult<Self> {
        Ok(Self { inner: Mutex::new(work(py, |_| train::Optimizer::from_bytes(data))?) })
    }
}

impl Optimizer {
    /// As all locks, to be taken without the GIL.
    pub(super) fn lock(&self) -> MutexGuard<'_, train::Optimizer> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One update, once no call uses the parameters any more.
    fn update<E: Float>(&self, model: &crate::Model<E>, grads: &Held<E>, lr: f64) -> Result<()> {
        same_layout("gradients", &model.chain.layout.slots, grads.slots())?;
        let (mut optimizer, grads) = (self.lock(), grads.lock());
        model.update(&mut optimizer, grads.slice(), lr)
    }
}
