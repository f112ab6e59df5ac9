//! Streams: one step a call, as quick as a call from Python can be.

use super::arguments::{read_states, state_arrays};
use super::arrays::{Array, tuple};
use super::typed::{Float, Typed, typed};
use super::work::{quick, work};
use crate::error::{Error, Result};
use crate::kernels::Width;
use crate::layers::InputKind;
use numpy::{PyArrayDyn, PyArrayMethods};
use pyo3::prelude::*;
use pyo3::types::PyInt;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};

/// Multiply-adds of a step from which on the GIL is released: some tens of microseconds.
const LONG: usize = 1_000_000;

/// Multiply-adds between two looks for Ctrl-C: some milliseconds.
const PATIENCE: usize = 30_000_000;

/// A model that takes one step a call and keeps its state between calls.
#[pyclass(frozen, module = "rnnrs._core")]
pub(super) struct Stream {
    inner: Typed<Held<f32>, Held<f64>>,
}

/// The stream, and what its calls are checked against.
pub(super) struct Held<E: Float> {
    model: Arc<crate::Model<E>>,
    stream: Mutex<crate::Stream<E>>,
    batch: usize,
    /// Multiply-adds of a step.
    work: usize,
}

impl Stream {
    /// A stream of `batch` rows, its states zero.
    pub(super) fn new<E: Float>(
        py: Python<'_>,
        model: &Arc<crate::Model<E>>,
        batch: usize,
        weights: &str,
        same: impl FnOnce(Held<E>) -> Typed<Held<f32>, Held<f64>>,
    ) -> PyResult<Self> {
        let narrow = match weights {
            "full" => None,
            "bfloat16" => Some(Width::Bfloat16),
            "int8" => Some(Width::Int8),
            _ => return Err(Error::value("weights", "full, bfloat16 or int8", format!("{weights:?}")).into()),
        };
        let stream = Mutex::new(work(py, |_| crate::Stream::with_weights(model.clone(), batch, narrow))?);
        let work = model.chain.layout.len.saturating_mul(batch);
        Ok(Self { inner: same(Held { model: model.clone(), stream, batch, work }) })
    }
}

#[pymethods]
impl Stream {
    fn step<'py>(&self, py: Python<'py>, x_t: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        typed!(&self.inner, held => held.step(py, x_t))
    }

    fn steps<'py>(&self, py: Python<'py>, x: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        typed!(&self.inner, held => held.steps(py, x))
    }

    #[getter]
    fn get_state(&self, py: Python<'_>) -> PyResult<Vec<Py<PyAny>>> {
        typed!(&self.inner, held => {
            let mut stream = held.lock()?;
            state_arrays(py, &held.model.chain, quick(|| Ok(stream.states()))?, held.batch)
        })
    }

    #[setter]
    fn set_state(&self, value: Vec<Bound<'_, PyAny>>) -> PyResult<()> {
        typed!(&self.inner, held => {
            let arrays = read_states(&held.model.chain, "state", &value, held.batch)?;
            let states: Vec<&[_]> = arrays.iter().map(Array::data).collect();
            let mut stream = held.lock()?;
            quick(|| stream.set_states(&states))
        })
    }

    fn reset(&self) -> PyResult<()> {
        typed!(&self.inner, held => {
            let mut stream = held.lock()?;
            quick(|| {
                stream.reset();
                Ok(())
            })
        })
    }
}

impl<E: Float> Held<E> {
    /// The stream; an error, and no waiting, where a thread is in the midst of a step.
    fn lock(&self) -> Result<MutexGuard<'_, crate::Stream<E>>> {
        match self.stream.try_lock() {
            Ok(stream) => Ok(stream),
            Err(TryLockError::Poisoned(poisoned)) => Ok(PoisonError::into_inner(poisoned)),
            Err(TryLockError::WouldBlock) => Err(Error::Unsupported(
                "stream: expected one call at a time, got a second one from another thread".into(),
            )),
        }
    }

    fn step<'py>(&self, py: Python<'py>, x: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        match self.model.chain.input {
            InputKind::Float(width) => {
                let array = Array::<E>::read("x_t", x)?;
                let rows = match *array.shape() {
                    [features] if features == width && self.batch == 1 => None,
                    [rows, features] if features == width && rows == self.batch => Some(rows),
                    ref shape => return Err(self.misshapen(&width.to_string(), shape)),
                };
                let x = array.data();
                self.output(py, rows, |stream, y| stream.step_float(x, y))
            }
            InputKind::Tokens(_) if x.is_instance_of::<PyInt>() => {
                if self.batch != 1 {
                    return Err(self.misshapen("", &[]));
                }
                let token = x.extract::<i64>().map_err(|_| Error::value("x_t", "a token", x))?;
                self.output(py, None, |stream, y| stream.step_tokens(&[token], y))
            }
            InputKind::Tokens(_) => {
                let array = Array::<i64>::read("x_t", x)?;
                if *array.shape() != [self.batch] {
                    return Err(self.misshapen("", array.shape()));
                }
                let x = array.data();
                self.output(py, Some(self.batch), |stream, y| stream.step_tokens(x, y))
            }
        }
    }

    fn steps<'py>(&self, py: Python<'py>, x: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        match self.model.chain.input {
            InputKind::Float(width) => {
                let array = Array::<E>::read("x", x)?;
                let (steps, rows) = match *array.shape() {
                    [steps, features] if features == width && self.batch == 1 => (steps, None),
                    [steps, rows, features] if features == width && rows == self.batch => (steps, Some(rows)),
                    ref shape => return Err(self.misshapen_steps(&format!(", {width}"), shape)),
                };
                let x = array.data();
                let each = self.batch * width;
                self.outputs(py, steps, rows, |stream, range, y| {
                    stream.step_float(&x[range.start * each..range.end * each], y)
                })
            }
            InputKind::Tokens(_) => {
                let array = Array::<i64>::read("x", x)?;
                let (steps, rows) = match *array.shape() {
                    [steps] if self.batch == 1 => (steps, None),
                    [steps, rows] if rows == self.batch => (steps, Some(rows)),
                    ref shape => return Err(self.misshapen_steps("", shape)),
                };
                let x = array.data();
                let each = self.batch;
                self.outputs(py, steps, rows, |stream, range, y| {
                    stream.step_tokens(&x[range.start * each..range.end * each], y)
                })
            }
        }
    }

    /// A new array (rows, width), or (width,), filled by a step.
    fn output<'py>(
        &self,
        py: Python<'py>,
        rows: Option<usize>,
        step: impl FnOnce(&mut crate::Stream<E>, &mut [E]) -> Result<()> + Send,
    ) -> PyResult<Bound<'py, PyAny>> {
        let width = self.model.chain.output;
        // A step can take less than a microsecond, so its shape is not put together in memory.
        let y = match rows {
            None => PyArrayDyn::<E>::zeros(py, &[width][..], false),
            Some(rows) => PyArrayDyn::<E>::zeros(py, &[rows, width][..], false),
        };
        // SAFETY: the array has just been made; nobody else knows it.
        let elements = unsafe { y.as_slice_mut() }.expect("a new array is contiguous");
        let mut stream = self.lock()?;
        let stream = &mut *stream;
        if self.work >= LONG {
            work(py, |_| step(stream, elements))?
        } else {
            quick(|| step(stream, elements))?
        }
        Ok(y.into_any())
    }

    /// A new array (steps, rows, width), or (steps, width), filled by some steps at a time; after an error, Ctrl-C
    /// included, the states are what they were.
    fn outputs<'py>(
        &self,
        py: Python<'py>,
        steps: usize,
        rows: Option<usize>,
        run: impl Fn(&mut crate::Stream<E>, Range<usize>, &mut [E]) -> Result<()> + Sync,
    ) -> PyResult<Bound<'py, PyAny>> {
        let shape: Vec<usize> = [steps].into_iter().chain(rows).chain([self.model.chain.output]).collect();
        let y = PyArrayDyn::<E>::zeros(py, &shape[..], false);
        // SAFETY: as above.
        let elements = unsafe { y.as_slice_mut() }.expect("a new array is contiguous");
        let each = self.batch * self.model.chain.output;
        let patience = (PATIENCE / self.work.max(1)).max(1);
        let mut stream = self.lock()?;
        let stream = &mut *stream;
        work(py, |interrupt| {
            let before = stream.states();
            let mut all = || {
                for (from, part) in (0..steps).step_by(patience).zip(elements.chunks_mut(patience * each)) {
                    if from > 0 && interrupt() {
                        return Err(Error::Interrupted);
                    }
                    run(stream, from..from + part.len() / each, part)?;
                }
                Ok(())
            };
            all().or_else(|error| {
                stream.set_states(&before.iter().map(|state| &state[..]).collect::<Vec<_>>())?;
                Err(error)
            })
        })?;
        Ok(y.into_any())
    }

    fn misshapen_steps(&self, width: &str, shape: &[usize]) -> PyErr {
        let alone =
            if self.batch == 1 { format!("(steps{width}) or ").replace("(steps)", "(steps,)") } else { String::new() };
        Error::shape("x", format!("{alone}(steps, {}{width})", self.batch), tuple(shape)).into()
    }

    fn misshapen(&self, width: &str, shape: &[usize]) -> PyErr {
        let expected = match (self.batch, width) {
            (1, "") => "an integer, or the shape (1,)".into(),
            (rows, "") => format!("({rows},)"),
            (1, _) => format!("({width},) or (1, {width})"),
            (rows, _) => format!("({rows}, {width})"),
        };
        Error::shape("x_t", expected, tuple(shape)).into()
    }
}
