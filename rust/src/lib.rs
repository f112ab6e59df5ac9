//! Recurrent networks: cells as data, exact backpropagation through time, the same bits everywhere.

pub mod cells;
pub mod engine;
pub mod error;
pub mod file;
pub mod graph;
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
