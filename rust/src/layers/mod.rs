//! Layers: what a model is made of, each lowered to graphs that run one behind the other.

mod build;
mod spec;
mod stateless;

pub use build::{BatchNorm, Block, Chain, InputKind, Skip, StateInfo, build};
pub use spec::{Layer, Spec};
pub use stateless::loss_graph;
