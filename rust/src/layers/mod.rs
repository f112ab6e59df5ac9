//! Layers: what a model is made of, each lowered to graphs that run one behind the other.

mod block;
mod build;
mod spec;
mod stateless;

pub use block::{BatchNorm, Block, Skip};
pub use build::{Chain, InputKind, StateInfo, build};
pub use spec::{Layer, Scan, Spec};
pub use stateless::loss_graph;
