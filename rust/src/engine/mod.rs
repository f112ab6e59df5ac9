//! Runs plans over sequences: the only time loop, threads, memory.

mod addresses;
mod backward;
mod carry;
mod frame;
mod lane;
mod memory;
mod params;
mod part;
mod pipeline;
mod pool;
mod rows;
mod rowwise;
mod run;
mod shared;
mod stage;
mod stepper;
mod stop;
mod sums;
mod view;

pub use carry::Carry;
pub use memory::{Arenas, Memory, zeros};
pub use params::{Layout, Params, Slot};
pub use pipeline::{Call, Folded, Recording, Sink, WINDOW, What};
pub use pool::{MAX_THREADS, num_threads, run as run_workers, set_num_threads};
pub use rows::Batch;
pub use run::Draw;
pub use stage::{Scan, Stage, Which, Wire};
pub use stepper::Stepper;
pub use stop::Stop;
pub use view::{Data, Fold, View};
