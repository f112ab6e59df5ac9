//! A recorded call: its output, and the backward passes from it.

use super::arguments::{Arguments, Borrowed, count_states, state_arrays};
use super::arrays::{Array, array};
use super::errors::internal;
use super::gradients::Gradients;
use super::typed::{Float, Typed, typed};
use super::work::work;
use crate::engine::Draw;
use pyo3::prelude::*;
use std::mem::take;
use std::sync::Arc;

/// A recorded call.
#[pyclass(frozen, module = "rnnrs._core")]
pub(super) struct Tape {
    inner: Typed<Held<f32>, Held<f64>>,
    y: Py<PyAny>,
    state: Vec<Py<PyAny>>,
}

/// The model and what the call kept.
pub(super) struct Held<E: Float> {
    model: Arc<crate::Model<E>>,
    /// There until it is dropped.
    tape: Option<crate::Tape<E>>,
    rows: usize,
    x: Vec<usize>,
    y: Vec<usize>,
}

impl Tape {
    /// Records a call.
    pub(super) fn record<E: Float>(
        py: Python<'_>,
        model: &Arc<crate::Model<E>>,
        arguments: &Arguments<'_, E>,
        checkpoint: Option<usize>,
        (training, draw): (bool, Draw),
        same: impl FnOnce(Held<E>) -> Typed<Held<f32>, Held<f64>>,
    ) -> PyResult<Self> {
        let call: Borrowed<'_, E> = arguments.borrow();
        let mut tape = work(py, |interrupt| {
            model.record(call.input, call.state(), call.options(training, draw, interrupt), checkpoint)
        })?;
        let shape = arguments.output(&model.chain);
        let y = array(py, take(&mut tape.y), &shape)?;
        let state = state_arrays(py, &model.chain, take(&mut tape.states), arguments.rows)?;
        let x = arguments.shape().to_vec();
        let held = Held { model: model.clone(), tape: Some(tape), rows: arguments.rows, x, y: shape };
        Ok(Self { inner: same(held), y, state })
    }
}

#[pymethods]
impl Tape {
    #[getter]
    fn y(&self, py: Python<'_>) -> Py<PyAny> {
        self.y.clone_ref(py)
    }

    #[getter]
    fn state(&self, py: Python<'_>) -> Vec<Py<PyAny>> {
        self.state.iter().map(|state| state.clone_ref(py)).collect()
    }

    #[pyo3(signature = (dy, dstate=None))]
    fn backward(
        &self,
        py: Python<'_>,
        dy: &Bound<'_, PyAny>,
        dstate: Option<Vec<Option<Bound<'_, PyAny>>>>,
    ) -> PyResult<Gradients> {
        typed!(&self.inner, held, Same => {
            let (gradients, shape) = (held.backward(py, dy, dstate)?, &held.x[..]);
            Gradients::new(py, &held.model, gradients, Some(shape), held.rows, Same)
        })
    }
}

impl<E: Float> Held<E> {
    fn backward(
        &self,
        py: Python<'_>,
        dy: &Bound<'_, PyAny>,
        dstate: Option<Vec<Option<Bound<'_, PyAny>>>>,
    ) -> PyResult<crate::Gradients<E>> {
        let dy = Array::<E>::read_shaped("dy", dy, &self.y)?;
        let dstate = dstate.map(|given| self.read_dstate(&given)).transpose()?;
        let dy = dy.data();
        let dstate: Option<Vec<Option<&[E]>>> =
            dstate.as_ref().map(|given| given.iter().map(|array| array.as_ref().map(Array::data)).collect());
        let tape = self.tape.as_ref().ok_or_else(|| internal("a tape that was dropped"))?;
        work(py, |interrupt| self.model.backward(tape, dy, dstate.as_deref(), true, Some(interrupt)))
    }

    fn read_dstate<'py>(&self, given: &[Option<Bound<'py, PyAny>>]) -> PyResult<Vec<Option<Array<'py, E>>>> {
        let states = &self.model.chain.states;
        count_states(&self.model.chain, "dstate", given.len())?;
        let read = |(info, array): (&crate::layers::StateInfo, &Option<Bound<'py, PyAny>>)| {
            let shape = [self.rows, info.width];
            array.as_ref().map(|array| Array::read_shaped(format!("dstate {}", info.name), array, &shape)).transpose()
        };
        states.iter().zip(given).map(read).collect()
    }
}

impl<E: Float> Drop for Held<E> {
    /// The memory goes back to the model, for its next call.
    fn drop(&mut self) {
        if let Some(tape) = self.tape.take() {
            self.model.recycle(tape);
        }
    }
}
