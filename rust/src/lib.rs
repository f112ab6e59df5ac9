//! Recurrent networks: cells as data, exact backpropagation through time, the same bits everywhere.
//!
//! A cell is a small graph, written once as equations ([`cells`]); its backward pass, batching, ragged lengths,
//! streaming, files and every SIMD path are derived from it. A [`Model`] is a chain of layers with its parameters.
//!
//! ```
//! use rnnrs::layers::Spec;
//! use rnnrs::{Input, Model, Options, Values};
//!
//! // A GRU of 8 units on 3 inputs; parameters drawn from seed 0.
//! let spec = r#"{"prefix": false, "layers": [
//!     {"layer": "recurrent", "cell": "gru", "options": {"input_size": 3, "hidden_size": 8}}]}"#;
//! let model = Model::<f32>::new(Spec::parse(spec)?, 0)?;
//!
//! // Two sequences of five steps, forward and backward.
//! let x = vec![0.1; 5 * 2 * 3];
//! let input = Input { values: Values::Float(&x), steps: 5, rows: 2, batch_first: false };
//! let tape = model.record(input, None, Options::default(), None)?;
//! let dy = vec![1.0; tape.y.len()];
//! let gradients = model.backward(&tape, &dy, None, true, None)?;
//! assert_eq!(gradients.x.map(|dx| dx.len()), Some(x.len()));
//! # Ok::<(), rnnrs::Error>(())
//! ```

pub mod cells;
pub mod engine;
pub mod error;
pub mod file;
pub mod graph;
pub mod history;
pub mod kernels;
pub mod layers;
mod model;
pub mod plan;
#[cfg(feature = "python")]
mod python;
pub mod random;
mod stream;
pub mod train;

pub use error::{Error, Result};
pub use model::{Gradients, Input, Model, Options, Output, Tape, Target, Training, Values};
pub use stream::Stream;
