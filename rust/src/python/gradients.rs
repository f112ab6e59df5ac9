//! Gradients of a loss: those of the parameters stay in the engine's layout, where optimizers take them.

use super::arguments::state_arrays;
use super::arrays::array;
use super::typed::{Float, Typed, typed, typed_both};
use super::work::work;
use crate::engine::{Memory, Slot};
use crate::error::{Error, Result};
use crate::train::clip;
use pyo3::prelude::*;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Gradients of the parameters, of the input and of the initial state.
#[pyclass(frozen, module = "rnnrs._core")]
pub(super) struct Gradients {
    pub(super) inner: Typed<Held<f32>, Held<f64>>,
    x: Option<Py<PyAny>>,
    state: Vec<Py<PyAny>>,
}

/// Gradients of the parameters of a model, in its layout.
pub(super) struct Held<E: Float> {
    model: Arc<crate::Model<E>>,
    params: Mutex<Memory<E>>,
}

impl<E: Float> Drop for Held<E> {
    fn drop(&mut self) {
        let params = self.params.get_mut().unwrap_or_else(PoisonError::into_inner);
        if let Ok(none) = Memory::new(0) {
            self.model.recycle_gradients(std::mem::replace(params, none));
        }
    }
}

impl Gradients {
    /// `shape` is that of x, where its gradient is wanted.
    pub(super) fn new<E: Float>(
        py: Python<'_>,
        model: &Arc<crate::Model<E>>,
        gradients: crate::Gradients<E>,
        shape: Option<&[usize]>,
        rows: usize,
        same: impl FnOnce(Held<E>) -> Typed<Held<f32>, Held<f64>>,
    ) -> PyResult<Self> {
        let x = gradients.x.zip(shape).map(|(values, shape)| array(py, values, shape)).transpose()?;
        let state = state_arrays(py, &model.chain, gradients.states, rows)?;
        let held = Held { model: model.clone(), params: Mutex::new(gradients.params) };
        Ok(Self { inner: same(held), x, state })
    }
}

#[pymethods]
impl Gradients {
    #[getter]
    fn x(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        self.x.as_ref().map(|x| x.clone_ref(py))
    }

    #[getter]
    fn state(&self, py: Python<'_>) -> Vec<Py<PyAny>> {
        self.state.iter().map(|state| state.clone_ref(py)).collect()
    }

    #[getter]
    fn names(&self) -> Vec<&str> {
        typed!(&self.inner, held => held.slots().iter().map(|slot| &slot.name[..]).collect())
    }

    fn get(&self, py: Python<'_>, name: &str) -> PyResult<Py<PyAny>> {
        typed!(&self.inner, held => {
            let slot = find(held.slots(), name)?;
            let values = work(py, |_| Ok(held.lock().slice()[slot.range()].to_vec()))?;
            array(py, values, &slot.shape)
        })
    }

    fn norm(&self, py: Python<'_>) -> PyResult<f64> {
        typed!(&self.inner, held => work(py, |_| Ok(clip::norm(held.lock().slice(), &held.trained()))))
    }

    fn clip_norm(&self, py: Python<'_>, limit: f64) -> PyResult<f64> {
        typed!(&self.inner, held => work(py, |_| clip::clip_norm(held.lock().slice_mut(), &held.trained(), limit)))
    }

    fn clip_value(&self, py: Python<'_>, limit: f64) -> PyResult<()> {
        typed!(&self.inner, held => work(py, |_| clip::clip_value(held.lock().slice_mut(), &held.trained(), limit)))
    }

    fn add(&self, py: Python<'_>, other: &Self) -> PyResult<()> {
        typed_both!("gradients to add", (&self.inner, &other.inner), (own, other) => work(py, |_| own.add(other)))
    }

    fn scale(&self, py: Python<'_>, factor: f64) -> PyResult<()> {
        typed!(&self.inner, held => work(py, |_| {
            held.scale(factor);
            Ok(())
        }))
    }
}

impl<E: Float> Held<E> {
    /// The gradients, to use. As all locks, to be taken without the GIL.
    pub(super) fn lock(&self) -> MutexGuard<'_, Memory<E>> {
        self.params.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Names, shapes and places.
    pub(super) fn slots(&self) -> &[Slot] {
        &self.model.chain.layout.slots
    }

    /// Where the gradients lie that an optimizer uses: norms leave those of frozen parameters out, as PyTorch does.
    fn trained(&self) -> Vec<Range<usize>> {
        self.slots()
            .iter()
            .zip(self.model.frozen())
            .filter(|(_, frozen)| !frozen)
            .map(|(slot, _)| slot.range())
            .collect()
    }

    fn add(&self, other: &Self) -> Result<()> {
        if std::ptr::eq(self, other) {
            self.scale(2.0);
            return Ok(());
        }
        same_layout("gradients to add", self.slots(), other.slots())?;
        // Of two locks always that of the lower address first, so that two threads cannot wait for each other.
        let (mut own, other) = if std::ptr::from_ref(self) < std::ptr::from_ref(other) {
            let own = self.lock();
            (own, other.lock())
        } else {
            let other = other.lock();
            (self.lock(), other)
        };
        own.slice_mut().iter_mut().zip(other.slice()).for_each(|(own, &other)| *own = *own + other);
        Ok(())
    }

    fn scale(&self, factor: f64) {
        let factor = E::from_f64(factor);
        self.lock().slice_mut().iter_mut().for_each(|g| *g = *g * factor);
    }
}

/// The parameter of this name.
pub(super) fn find<'a>(slots: &'a [Slot], name: &str) -> Result<&'a Slot> {
    slots.iter().find(|slot| slot.name == name).ok_or_else(|| {
        let names: Vec<&str> = slots.iter().map(|slot| &slot.name[..]).collect();
        Error::value("name of a parameter", format!("one of {names:?}"), format!("{name:?}"))
    })
}

/// That two models have the same parameters.
pub(super) fn same_layout(what: &str, expected: &[Slot], actual: &[Slot]) -> Result<()> {
    let describe = |slot: Option<&Slot>| match slot {
        Some(slot) => format!("{} {:?}", slot.name, slot.shape),
        None => "no more parameters".into(),
    };
    for index in 0..expected.len().max(actual.len()) {
        let (expected, actual) = (describe(expected.get(index)), describe(actual.get(index)));
        if expected != actual {
            return Err(Error::shape(what, expected, actual));
        }
    }
    Ok(())
}
