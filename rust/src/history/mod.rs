//! What predictive nets make of sequences: only what they fail to predict needs to be told (Schmidhuber 1991, 1992).

mod cascade;
pub mod chunker;
pub mod codec;
mod event;
mod learner;

pub use cascade::{Cascade, Compressor, Step};
pub use event::{Alphabet, Content, Event, Settings};
pub use learner::{Bits, Learner, Training};
