//! The chunker and the automatizer: streams and sequences in, what each net did with them out.

use super::arrays::{Array, array};
use super::model::Model;
use super::typed::{Float, Typed, typed};
use super::work::work;
use crate::error::{Error, Result};
use crate::file::{self, Container};
use crate::history::chunker::{self, INTERVAL, Settings};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};

type Both<E> = Mutex<chunker::ChunkerAutomatizer<E>>;

/// Two nets that divide the work. One call at a time works on it, others wait.
#[pyclass(frozen, module = "rnnrs._core")]
pub(super) struct ChunkerAutomatizer {
    inner: Typed<Both<f32>, Both<f64>>,
}

/// As all locks, to be taken without the GIL.
fn lock<E: Float>(both: &Both<E>) -> MutexGuard<'_, chunker::ChunkerAutomatizer<E>> {
    both.lock().unwrap_or_else(PoisonError::into_inner)
}

#[pymethods]
impl ChunkerAutomatizer {
    #[new]
    fn new(py: Python<'_>, automatizer: &Model, chunker: &Model, settings: &str) -> PyResult<Self> {
        let parse = || -> Result<Settings> {
            serde_json::from_str(settings).map_err(|error| Error::value("settings", "settings as JSON", error))
        };
        let settings = parse()?;
        let inner = match (&automatizer.inner, &chunker.inner) {
            (Typed::Float32(a), Typed::Float32(c)) => Typed::Float32(Mutex::new(work(py, |_| {
                chunker::ChunkerAutomatizer::new(a.clone(), c.clone(), settings)
            })?)),
            (Typed::Float64(a), Typed::Float64(c)) => Typed::Float64(Mutex::new(work(py, |_| {
                chunker::ChunkerAutomatizer::new(a.clone(), c.clone(), settings)
            })?)),
            (Typed::Float32(_), _) => return Err(Error::dtype("chunker", "float32", "float64").into()),
            (Typed::Float64(_), _) => return Err(Error::dtype("chunker", "float64", "float32").into()),
        };
        Ok(Self { inner })
    }

    #[getter]
    fn settings(&self, py: Python<'_>) -> PyResult<String> {
        typed!(&self.inner, both => work(py, |_| {
            Ok(serde_json::to_string(lock(both).settings()).expect("settings have a JSON form"))
        }))
    }

    #[getter]
    fn automatizer(&self, py: Python<'_>) -> PyResult<Model> {
        typed!(&self.inner, both, Same => Ok(Model { inner: Same(work(py, |_| Ok(lock(both).automatizer().clone()))?) }))
    }

    #[getter]
    fn chunker(&self, py: Python<'_>) -> PyResult<Model> {
        typed!(&self.inner, both, Same => Ok(Model { inner: Same(work(py, |_| Ok(lock(both).chunker().clone()))?) }))
    }

    /// (steps of an entry, entries (n, 5)): steps, failures, and the sums of the three errors.
    #[getter]
    fn history(&self, py: Python<'_>) -> PyResult<(u64, Py<PyAny>)> {
        let values: Vec<f64> = typed!(&self.inner, both => work(py, |_| {
            let entries = lock(both);
            let rows = entries.history().iter();
            Ok(rows.flat_map(|e| [e.steps, e.failures, e.prediction, e.imitation, e.chunker]).collect())
        }))?;
        let count = values.len() / 5;
        Ok((INTERVAL, array(py, values, &[count, 5])?))
    }

    fn reset(&self, py: Python<'_>) -> PyResult<()> {
        typed!(&self.inner, both => work(py, |_| {
            lock(both).reset();
            Ok(())
        }))
    }

    #[pyo3(signature = (x, targets=None, learn=true, detail=false))]
    fn run<'py>(
        &self,
        py: Python<'py>,
        x: &Bound<'py, PyAny>,
        targets: Option<&Bound<'py, PyAny>>,
        learn: bool,
        detail: bool,
    ) -> PyResult<Bound<'py, PyDict>> {
        typed!(&self.inner, both => {
            let x = symbols(x)?;
            let targets = targets.map(|targets| Array::read("targets", targets)).transpose()?;
            let (x, targets) = (x.data(), targets.as_ref().map(Array::data));
            let found = work(py, |stop| lock(both).run(x, targets, (learn, detail), stop))?;
            given(py, found, x.len(), detail)
        })
    }

    #[pyo3(signature = (x, targets=None))]
    fn learn_sequence<'py>(
        &self,
        py: Python<'py>,
        x: &Bound<'py, PyAny>,
        targets: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyDict>> {
        typed!(&self.inner, both => {
            let x = symbols(x)?;
            let targets = targets.map(|targets| Array::read("targets", targets)).transpose()?;
            let (x, targets) = (x.data(), targets.as_ref().map(Array::data));
            let found = work(py, |_| lock(both).learn_sequence(x, targets))?;
            given(py, found, x.len(), false)
        })
    }

    #[pyo3(signature = (extra=BTreeMap::new()))]
    fn to_bytes<'py>(&self, py: Python<'py>, extra: BTreeMap<String, String>) -> PyResult<Bound<'py, PyBytes>> {
        let bytes = typed!(&self.inner, both => work(py, |_| lock(both).to_bytes(&extra)))?;
        Ok(PyBytes::new(py, &bytes))
    }

    #[staticmethod]
    #[pyo3(signature = (data, allow_nonfinite=false))]
    fn from_bytes(py: Python<'_>, data: &[u8], allow_nonfinite: bool) -> PyResult<(Self, BTreeMap<String, String>)> {
        work(py, |_| Self::read(data, allow_nonfinite))
    }

    fn save(&self, py: Python<'_>, path: PathBuf, extra: BTreeMap<String, String>) -> PyResult<()> {
        typed!(&self.inner, both => work(py, |_| file::save(&path, &lock(both).to_bytes(&extra)?)))
    }

    #[staticmethod]
    #[pyo3(signature = (path, allow_nonfinite=false))]
    fn load(py: Python<'_>, path: PathBuf, allow_nonfinite: bool) -> PyResult<(Self, BTreeMap<String, String>)> {
        work(py, |_| Self::read(&file::load(&path)?, allow_nonfinite))
    }
}

impl ChunkerAutomatizer {
    /// Both nets of the type that the file says, and the caller's metadata.
    fn read(bytes: &[u8], allow_nonfinite: bool) -> Result<(Self, BTreeMap<String, String>)> {
        let file = Container::from_bytes(bytes)?;
        match chunker::dtype_of(&file) {
            Some("float32") => {
                let (both, extra) = chunker::ChunkerAutomatizer::from_container(file, allow_nonfinite)?;
                Ok((Self { inner: Typed::Float32(Mutex::new(both)) }, extra))
            }
            Some("float64") => {
                let (both, extra) = chunker::ChunkerAutomatizer::from_container(file, allow_nonfinite)?;
                Ok((Self { inner: Typed::Float64(Mutex::new(both)) }, extra))
            }
            _ => Err(Error::file("file", "a chunker and automatizer", "another file")),
        }
    }
}

/// Symbols (steps).
fn symbols<'py>(x: &Bound<'py, PyAny>) -> PyResult<Array<'py, i64>> {
    let array = Array::read("x", x)?;
    match array.shape() {
        [_] => Ok(array),
        shape => Err(Error::shape("x", "(T,) symbols", super::arrays::tuple(shape)).into()),
    }
}

/// What was found, as arrays by name.
fn given<'py, E: Float>(
    py: Python<'py>,
    found: chunker::Work<E>,
    steps: usize,
    detail: bool,
) -> PyResult<Bound<'py, PyDict>> {
    let given = PyDict::new(py);
    let width = |values: &Vec<E>| [steps, values.len().checked_div(steps).unwrap_or(0)];
    given.set_item("probability", array(py, found.probability, &[steps])?)?;
    given.set_item("predicted", array(py, found.predicted, &[steps])?)?;
    given.set_item("failures", array(py, found.failures, &[steps])?)?;
    let shape = width(&found.targets);
    given.set_item("targets", array(py, found.targets, &shape)?)?;
    if detail {
        for (name, values) in [
            ("predictions", found.predictions),
            ("automatizer_states", found.automatizer),
            ("chunker_states", found.chunker),
        ] {
            let shape = width(&values);
            given.set_item(name, array(py, values, &shape)?)?;
        }
    }
    Ok(given)
}
