//! Models: a chain of layers with its parameters, and the calls on it.

use super::arguments::{Arguments, state_arrays, whole};
use super::arrays::{Array, array};
use super::gradients::{Gradients, find};
use super::loss::Targets;
use super::stream::Stream;
use super::tape::Tape;
use super::typed::{Float, Typed, typed};
use super::work::work;
use crate::engine::{Draw, Slot};
use crate::error::{Error, Result};
use crate::file::{self, Container};
use crate::kernels::Precision;
use crate::layers::{InputKind, Spec};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyTuple};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

/// A list of arrays, one for each state.
type Arrays = Vec<Py<PyAny>>;

/// A chain of layers with its parameters. Threads may share it; the GIL is released during work.
#[pyclass(frozen, module = "rnnrs._core")]
pub(super) struct Model {
    pub(super) inner: Typed<Arc<crate::Model<f32>>, Arc<crate::Model<f64>>>,
}

#[pymethods]
impl Model {
    #[new]
    #[pyo3(signature = (spec, dtype="float32", seed=None))]
    fn new(
        py: Python<'_>,
        spec: &str,
        dtype: &str,
        #[pyo3(from_py_with = whole::seed_or_none)] seed: Option<u64>,
    ) -> PyResult<Self> {
        let inner = work(py, |_| {
            let seed = seed.map_or_else(|| getrandom::u64().map_err(|e| Error::Io(std::io::Error::other(e))), Ok)?;
            let spec = Spec::parse(spec)?;
            match dtype {
                "float32" => Ok(Typed::Float32(Arc::new(crate::Model::new(spec, seed)?))),
                "float64" => Ok(Typed::Float64(Arc::new(crate::Model::new(spec, seed)?))),
                _ => Err(Error::dtype("dtype of the model", "float32 or float64", dtype)),
            }
        })?;
        Ok(Self { inner })
    }

    #[getter]
    fn spec(&self) -> String {
        typed!(&self.inner, model => model.spec.text())
    }

    #[getter]
    fn dtype(&self) -> &'static str {
        typed!(&self.inner, model => name(model))
    }

    #[getter]
    fn precision(&self) -> &'static str {
        match typed!(&self.inner, model => model.precision()) {
            Precision::Full => "full",
            Precision::Bfloat16 => "bfloat16",
        }
    }

    #[setter]
    fn set_precision(&self, name: &str) -> PyResult<()> {
        let precision = match name {
            "full" => Precision::Full,
            "bfloat16" => Precision::Bfloat16,
            _ => return Err(Error::value("precision", "\"full\" or \"bfloat16\"", name).into()),
        };
        Ok(typed!(&self.inner, model => model.set_precision(precision))?)
    }

    #[getter]
    fn version(&self, py: Python<'_>) -> PyResult<u64> {
        typed!(&self.inner, model => work(py, |_| Ok(model.params().version)))
    }

    #[getter]
    fn input(&self) -> (&'static str, usize) {
        match typed!(&self.inner, model => model.chain.input) {
            InputKind::Float(width) => ("float", width),
            InputKind::Tokens(vocabulary) => ("tokens", vocabulary),
        }
    }

    #[getter]
    fn output_size(&self) -> usize {
        typed!(&self.inner, model => model.chain.output)
    }

    #[getter]
    fn widths(&self) -> Vec<usize> {
        typed!(&self.inner, model => model.chain.widths.clone())
    }

    #[getter]
    fn output_steps(&self) -> bool {
        typed!(&self.inner, model => model.chain.output_steps)
    }

    #[getter]
    fn states(&self) -> Vec<(usize, usize, usize, &str, usize)> {
        let states = typed!(&self.inner, model => &model.chain.states);
        states.iter().map(|s| (s.layer, s.sublayer, s.direction, &s.name[..], s.width)).collect()
    }

    fn parameters<'py>(&self, py: Python<'py>) -> PyResult<Vec<(&str, Bound<'py, PyTuple>, bool)>> {
        let (slots, frozen) = typed!(&self.inner, model => (&model.chain.layout.slots, model.frozen()));
        slots
            .iter()
            .zip(frozen)
            .map(|(slot, frozen)| Ok((&slot.name[..], PyTuple::new(py, &slot.shape)?, frozen)))
            .collect()
    }

    fn get(&self, py: Python<'_>, name: &str) -> PyResult<Py<PyAny>> {
        typed!(&self.inner, model => {
            let slot = find(&model.chain.layout.slots, name)?;
            let values = work(py, |_| Ok(model.params().memory.slice()[slot.range()].to_vec()))?;
            array(py, values, &slot.shape)
        })
    }

    #[pyo3(signature = (values, strict=true))]
    fn set(&self, py: Python<'_>, values: &Bound<'_, PyDict>, strict: bool) -> PyResult<()> {
        typed!(&self.inner, model => set(py, model, values, strict))
    }

    #[pyo3(signature = (prefix, frozen=true))]
    fn freeze(&self, py: Python<'_>, prefix: &str, frozen: bool) -> PyResult<usize> {
        typed!(&self.inner, model => work(py, |_| model.freeze(prefix, frozen)))
    }

    #[pyo3(signature = (x, state=None, lengths=None, batch_first=false, training=false, seed=0, position=0))]
    #[expect(clippy::too_many_arguments, reason = "they are the arguments of a call from Python")]
    fn forward(
        &self,
        py: Python<'_>,
        x: &Bound<'_, PyAny>,
        state: Option<Vec<Bound<'_, PyAny>>>,
        lengths: Option<&Bound<'_, PyAny>>,
        batch_first: bool,
        training: bool,
        #[pyo3(from_py_with = whole::seed)] seed: u64,
        #[pyo3(from_py_with = whole::position)] position: u64,
    ) -> PyResult<(Py<PyAny>, Arrays)> {
        typed!(&self.inner, model => {
            let arguments = Arguments::read(&model.chain, x, state, lengths, batch_first)?;
            let (call, draw) = (arguments.borrow(), Draw { seed, position });
            let output = work(py, |interrupt| {
                model.forward(call.input, call.state(), call.options(training, draw, interrupt))
            })?;
            let y = array(py, output.y, &arguments.output(&model.chain))?;
            Ok((y, state_arrays(py, &model.chain, output.states, arguments.rows)?))
        })
    }

    #[pyo3(signature = (x, state=None, lengths=None, batch_first=false, training=false, seed=0, position=0))]
    #[expect(clippy::too_many_arguments, reason = "they are the arguments of a call from Python")]
    fn all_states(
        &self,
        py: Python<'_>,
        x: &Bound<'_, PyAny>,
        state: Option<Vec<Bound<'_, PyAny>>>,
        lengths: Option<&Bound<'_, PyAny>>,
        batch_first: bool,
        training: bool,
        #[pyo3(from_py_with = whole::seed)] seed: u64,
        #[pyo3(from_py_with = whole::position)] position: u64,
    ) -> PyResult<Vec<Py<PyAny>>> {
        typed!(&self.inner, model => {
            let arguments = Arguments::read(&model.chain, x, state, lengths, batch_first)?;
            let (call, draw) = (arguments.borrow(), Draw { seed, position });
            let states = work(py, |interrupt| {
                model.all_states(call.input, call.state(), call.options(training, draw, interrupt))
            })?;
            let (steps, rows) = (arguments.steps, arguments.rows);
            let give = |(values, info): (_, &crate::layers::StateInfo)| array(py, values, &[steps, rows, info.width]);
            states.into_iter().zip(&model.chain.states).map(give).collect()
        })
    }

    #[pyo3(signature = (
        x, state=None, lengths=None, batch_first=false, checkpoint=None, training=true, seed=0, position=0
    ))]
    #[expect(clippy::too_many_arguments, reason = "they are the arguments of a call from Python")]
    fn record(
        &self,
        py: Python<'_>,
        x: &Bound<'_, PyAny>,
        state: Option<Vec<Bound<'_, PyAny>>>,
        lengths: Option<&Bound<'_, PyAny>>,
        batch_first: bool,
        #[pyo3(from_py_with = whole::checkpoint)] checkpoint: Option<usize>,
        training: bool,
        #[pyo3(from_py_with = whole::seed)] seed: u64,
        #[pyo3(from_py_with = whole::position)] position: u64,
    ) -> PyResult<Tape> {
        typed!(&self.inner, model, Same => {
            let arguments = Arguments::read(&model.chain, x, state, lengths, batch_first)?;
            let draw = Draw { seed, position };
            Tape::record(py, model, &arguments, checkpoint, (training, draw), Same)
        })
    }

    #[pyo3(signature = (
        x, targets, loss, weights=None, state=None, lengths=None, batch_first=false, training=true, seed=0, position=0
    ))]
    #[expect(clippy::too_many_arguments, reason = "they are the arguments of a call from Python")]
    fn value_and_grad(
        &self,
        py: Python<'_>,
        x: &Bound<'_, PyAny>,
        targets: &Bound<'_, PyAny>,
        loss: &str,
        weights: Option<&Bound<'_, PyAny>>,
        state: Option<Vec<Bound<'_, PyAny>>>,
        lengths: Option<&Bound<'_, PyAny>>,
        batch_first: bool,
        training: bool,
        #[pyo3(from_py_with = whole::seed)] seed: u64,
        #[pyo3(from_py_with = whole::position)] position: u64,
    ) -> PyResult<(f64, f64, Gradients, Arrays)> {
        typed!(&self.inner, model, Same => {
            let arguments = Arguments::read(&model.chain, x, state, lengths, batch_first)?;
            let targets = Targets::read(&model.chain, &arguments, loss, targets, weights)?;
            let (call, target, draw) = (arguments.borrow(), targets.borrow(), Draw { seed, position });
            let crate::Training { value, total, gradients, states } = work(py, |interrupt| {
                model.value_and_grad(call.input, &target, call.state(), call.options(training, draw, interrupt))
            })?;
            let gradients = Gradients::new(py, model, gradients, None, arguments.rows, Same)?;
            Ok((value, total, gradients, state_arrays(py, &model.chain, states, arguments.rows)?))
        })
    }

    #[pyo3(signature = (x, targets, loss, weights=None, state=None, lengths=None, batch_first=false))]
    #[expect(clippy::too_many_arguments, reason = "they are the arguments of a call from Python")]
    fn loss(
        &self,
        py: Python<'_>,
        x: &Bound<'_, PyAny>,
        targets: &Bound<'_, PyAny>,
        loss: &str,
        weights: Option<&Bound<'_, PyAny>>,
        state: Option<Vec<Bound<'_, PyAny>>>,
        lengths: Option<&Bound<'_, PyAny>>,
        batch_first: bool,
    ) -> PyResult<(f64, f64, Py<PyAny>, Arrays)> {
        typed!(&self.inner, model => {
            let arguments = Arguments::read(&model.chain, x, state, lengths, batch_first)?;
            let targets = Targets::read(&model.chain, &arguments, loss, targets, weights)?;
            let (call, target) = (arguments.borrow(), targets.borrow());
            let (value, total, output) = work(py, |interrupt| {
                model.loss(call.input, &target, call.state(), call.options(false, Draw::default(), interrupt))
            })?;
            let y = array(py, output.y, &arguments.output(&model.chain))?;
            Ok((value, total, y, state_arrays(py, &model.chain, output.states, arguments.rows)?))
        })
    }

    #[pyo3(signature = (batch_size=1, weights="full"))]
    fn stream(
        &self,
        py: Python<'_>,
        #[pyo3(from_py_with = whole::batch_size)] batch_size: usize,
        weights: &str,
    ) -> PyResult<Stream> {
        typed!(&self.inner, model, Same => Stream::new(py, model, batch_size, weights, Same))
    }

    fn explain(&self, py: Python<'_>) -> PyResult<String> {
        typed!(&self.inner, model => work(py, |_| Ok(model.explain())))
    }

    /// The model's blocks and the normal forms of their graphs, as JSON.
    #[pyo3(signature = (training=false))]
    fn definition(&self, py: Python<'_>, training: bool) -> PyResult<String> {
        typed!(&self.inner, model => work(py, |_| Ok(model.definition(training)?.to_string())))
    }

    #[pyo3(signature = (x, lengths=None, batch_first=false))]
    fn profile(
        &self,
        py: Python<'_>,
        x: &Bound<'_, PyAny>,
        lengths: Option<&Bound<'_, PyAny>>,
        batch_first: bool,
    ) -> PyResult<Vec<(String, f64)>> {
        typed!(&self.inner, model => {
            let arguments = Arguments::read(&model.chain, x, None, lengths, batch_first)?;
            let call = arguments.borrow();
            work(py, |_| model.profile(call.input, call.lengths))
        })
    }

    fn to_bytes<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyBytes>> {
        let bytes = typed!(&self.inner, model => work(py, |_| model.to_bytes(&BTreeMap::new())))?;
        Ok(PyBytes::new(py, &bytes))
    }

    #[staticmethod]
    #[pyo3(signature = (data, allow_nonfinite=false))]
    fn from_bytes(py: Python<'_>, data: &[u8], allow_nonfinite: bool) -> PyResult<Self> {
        work(py, |_| Ok(Self::read(data, allow_nonfinite)?.0))
    }

    fn save(&self, py: Python<'_>, path: PathBuf, extra: BTreeMap<String, String>) -> PyResult<()> {
        typed!(&self.inner, model => work(py, |_| model.save(&path, &extra)))
    }

    #[staticmethod]
    #[pyo3(signature = (path, allow_nonfinite=false))]
    fn load(py: Python<'_>, path: PathBuf, allow_nonfinite: bool) -> PyResult<(Self, BTreeMap<String, String>)> {
        work(py, |_| Self::read(&file::load(&path)?, allow_nonfinite))
    }
}

impl Model {
    /// A model of the type that the file says, and the caller's metadata.
    fn read(bytes: &[u8], allow_nonfinite: bool) -> Result<(Self, BTreeMap<String, String>)> {
        let container = Container::from_bytes(bytes)?;
        let (inner, extra) = match container.metadata.get("model.dtype").map(String::as_str) {
            Some("float32") => {
                let (model, extra) = crate::Model::from_container(container, allow_nonfinite)?;
                (Typed::Float32(Arc::new(model)), extra)
            }
            Some("float64") => {
                let (model, extra) = crate::Model::from_container(container, allow_nonfinite)?;
                (Typed::Float64(Arc::new(model)), extra)
            }
            other => return Err(Error::file("model.dtype", "float32 or float64", other.unwrap_or("none"))),
        };
        Ok((Self { inner }, extra))
    }
}

fn name<E: Float>(_: &crate::Model<E>) -> &'static str {
    <E as crate::kernels::Element>::NAME
}

/// Sets parameters: all that are given, or on an error none.
fn set<E: Float>(py: Python<'_>, model: &crate::Model<E>, values: &Bound<'_, PyDict>, strict: bool) -> PyResult<()> {
    let slots = &model.chain.layout.slots;
    let given: BTreeMap<String, Bound<'_, PyAny>> = values.extract()?;
    let mut arrays = Vec::new();
    for (name, values) in &given {
        let slot = find(slots, name)?;
        let array = Array::<E>::read_shaped(name, values, &slot.shape)?;
        if let Some(bad) = array.data().iter().find(|value| !value.to_f64().is_finite()) {
            return Err(Error::value(name, "finite numbers", bad).into());
        }
        arrays.push((slot, array));
    }
    if let (true, Some(missing)) = (strict, slots.iter().find(|slot| !given.contains_key(&slot.name))) {
        return Err(Error::value("parameters", format!("a value for {:?} too", missing.name), "none").into());
    }
    let arrays: Vec<(&Slot, &[E])> = arrays.iter().map(|(slot, array)| (*slot, array.data())).collect();
    work(py, |_| {
        let mut params = model.params_mut();
        for (slot, values) in &arrays {
            params.memory.slice_mut()[slot.range()].copy_from_slice(values);
        }
        params.version += 1;
        Ok(())
    })
}
