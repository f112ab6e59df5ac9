//! The extension module `rnnrs._core`: the crate over NumPy arrays. The only code that names pyo3.

mod arguments;
mod arrays;
mod chunker;
mod codec;
mod errors;
mod functions;
mod gradients;
mod history;
mod loss;
mod model;
mod optimizer;
mod stream;
mod tape;
mod trace;
mod typed;
mod work;

use pyo3::prelude::*;

/// The Rust module: models, tapes, optimizers and streams over NumPy arrays; the package around it adds no numerics.
#[pymodule]
fn _core(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add("__version__", env!("CARGO_PKG_VERSION"))?;
    errors::add_to(module)?;
    functions::add_to(module)?;
    module.add_class::<chunker::ChunkerAutomatizer>()?;
    module.add_function(wrap_pyfunction!(codec::compress, module)?)?;
    module.add_function(wrap_pyfunction!(codec::decompress, module)?)?;
    module.add_class::<model::Model>()?;
    module.add_class::<tape::Tape>()?;
    module.add_class::<gradients::Gradients>()?;
    module.add_class::<history::Events>()?;
    module.add_class::<history::History>()?;
    module.add_class::<history::HistoryStream>()?;
    module.add_class::<optimizer::Optimizer>()?;
    module.add_class::<stream::Stream>()?;
    module.add_class::<trace::GraphBuilder>()
}
