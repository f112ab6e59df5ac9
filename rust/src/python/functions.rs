//! The functions of the module: threads, the SIMD path, schedules, and the tables of what there is.

use super::arguments::whole;
use super::work::{quick, work};
use crate::cells::{CELLS, Cell, CellOption};
use crate::error::{Error, Result};
use crate::train::Schedule;
use crate::{engine, graph, kernels, random};
use pyo3::prelude::*;
use pyo3::types::PyTuple;
use serde_json::json;

/// The factor of the learning rate at an update.
#[pyfunction]
fn schedule(spec: &str, #[pyo3(from_py_with = whole::update)] update: u64) -> PyResult<f64> {
    quick(|| Ok(Schedule::from_json(spec)?.factor(update)))
}

/// How many threads a call may use.
#[pyfunction]
fn set_num_threads(#[pyo3(from_py_with = whole::threads)] n: usize) -> Result<()> {
    engine::set_num_threads(n)
}

/// How many threads a call may use.
#[pyfunction]
fn get_num_threads() -> usize {
    engine::num_threads()
}

/// The SIMD path in use.
#[pyfunction]
fn simd() -> Result<&'static str> {
    kernels::isa_checked().map(kernels::Isa::name).map_err(Error::Value)
}

/// The most float32 multiply-adds a second of one thread, and the most bytes a second that it reads of memory of so many
/// bytes, each measured for so many seconds.
#[pyfunction]
fn yardsticks(py: Python<'_>, size: usize, seconds: f64) -> PyResult<(f64, f64)> {
    if !(0.0..=60.0).contains(&seconds) || size > 1 << 32 {
        return Err(Error::value("seconds", "0 to 60, of at most 4 GiB", seconds).into());
    }
    let duration = std::time::Duration::from_secs_f64(seconds);
    let kernels =
        <f32 as kernels::Element>::kernels(kernels::isa()).ok_or_else(|| Error::Unsupported("no path".into()))?;
    work(py, |_| Ok(((kernels.multiply_adds)(duration), (kernels.reads)(size, duration))))
}

/// The names of all cells.
#[pyfunction]
fn cells() -> Vec<&'static str> {
    CELLS.iter().map(|cell| cell.name).collect()
}

/// Every cell as JSON: name, class, documentation, and its options with defaults and documentation.
#[pyfunction]
fn cell_table() -> String {
    let option = |option: CellOption| {
        let required = option.default.is_none();
        json!({"name": option.name, "required": required, "default": option.default, "doc": option.doc})
    };
    let describe = |cell: &Cell| {
        let options: Vec<_> = (cell.options)().into_iter().map(option).collect();
        json!({"name": cell.name, "class": cell.class, "doc": cell.doc, "options": options})
    };
    CELLS.iter().map(describe).collect::<serde_json::Value>().to_string()
}

/// The graph of a cell as it is stored in files, given its name and options as JSON.
#[pyfunction]
fn cell_graph(name: &str, options: &str) -> PyResult<String> {
    quick(|| {
        let options = serde_json::from_str(options).map_err(|e| Error::value("options of a cell", "JSON", e))?;
        Ok(graph::to_json(&crate::cells::build(name, &options)?).to_string())
    })
}

/// The shape of each node of a graph that is stored as JSON.
#[pyfunction]
fn graph_shapes<'py>(py: Python<'py>, graph: &str) -> PyResult<Vec<Bound<'py, PyTuple>>> {
    let graph = quick(|| {
        let json = serde_json::from_str(graph).map_err(|e| Error::value("graph", "JSON", e))?;
        graph::from_json(&json)
    })?;
    graph.nodes.iter().map(|node| PyTuple::new(py, &node.ty.shape)).collect()
}

/// The name and version of each primitive.
#[pyfunction]
fn primitives() -> Vec<(&'static str, u32)> {
    graph::primitives::TABLE.iter().map(|(name, version, _)| (*name, *version)).collect()
}

/// The names of all variants of the crate's error.
#[pyfunction]
fn error_variants() -> Vec<&'static str> {
    Error::VARIANTS.to_vec()
}

/// The numbers that a random node of a model draws in a call with this seed: (steps, rows, width) one after the other;
/// standard normal, or uniform in [0, 1). With `steps` None those of a node that draws once a sequence. `node` is its
/// path in the model and its label: "0.0.0.zoneout_h".
#[pyfunction]
#[pyo3(signature = (seed, node, normal, steps, rows, width))]
fn draws(
    py: Python<'_>,
    #[pyo3(from_py_with = whole::seed)] seed: u64,
    node: &str,
    normal: bool,
    steps: Option<usize>,
    rows: usize,
    width: usize,
) -> PyResult<Vec<f64>> {
    work(py, |_| {
        let key = random::key(seed, node, 0);
        let total = steps.unwrap_or(1).checked_mul(rows).and_then(|n| n.checked_mul(width));
        let total = total.filter(|&n| n <= 1 << 32).ok_or_else(|| Error::value("draws", "at most 2^32", "more"))?;
        let mut out = vec![0.0; total];
        for (index, units) in out.chunks_exact_mut(width.max(1)).enumerate() {
            let position = if steps.is_some() { (index / rows) as u64 } else { u64::MAX };
            let row = (index % rows) as u64;
            match normal {
                true => random::draw_normal(key, row, position, 0.0, 1.0, units),
                false => random::draw_uniform(key, row, position, 0.0, 1.0, units),
            }
        }
        Ok(out)
    })
}

/// Adds the functions to the module.
pub(super) fn add_to(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(schedule, module)?)?;
    module.add_function(wrap_pyfunction!(set_num_threads, module)?)?;
    module.add_function(wrap_pyfunction!(get_num_threads, module)?)?;
    module.add_function(wrap_pyfunction!(simd, module)?)?;
    module.add_function(wrap_pyfunction!(yardsticks, module)?)?;
    module.add_function(wrap_pyfunction!(cells, module)?)?;
    module.add_function(wrap_pyfunction!(cell_table, module)?)?;
    module.add_function(wrap_pyfunction!(cell_graph, module)?)?;
    module.add_function(wrap_pyfunction!(graph_shapes, module)?)?;
    module.add_function(wrap_pyfunction!(primitives, module)?)?;
    module.add_function(wrap_pyfunction!(draws, module)?)?;
    module.add_function(wrap_pyfunction!(error_variants, module)?)
}
