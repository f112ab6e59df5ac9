//! A model: a chain of layers with its parameters, and the calls that users make on it.

mod backward;
mod batch_norm;
mod input;
mod inspect;
mod loss;
mod run;
mod scan;
mod storage;
mod update;

pub use backward::Gradients;
pub use input::{Input, Options, Values};
pub use loss::{Target, Training};
pub use run::{Output, Tape};

use crate::engine::{Arenas, Params, Stage, num_threads};
use crate::error::{Error, Result};
use crate::kernels::{self, Element, Isa, Kernels, Precision};
use crate::layers::{Chain, InputKind, Spec, build};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard, TryLockError};
use std::time::Duration;

/// Work (multiply-adds) below which a call stays on one thread.
const SMALL: usize = 100_000;

/// A chain of layers with its parameters. All calls take `&self`: threads may share a model; updates wait for running
/// calls.
#[derive(Debug)]
pub struct Model<E: Element> {
    /// What it was made from.
    pub spec: Spec,
    /// Its layers, ready to run.
    pub chain: Chain<E>,
    params: RwLock<Params<E>>,
    frozen: RwLock<Vec<bool>>,
    whole: &'static Kernels<E>,
    rounding: AtomicBool,
    arenas: Arenas<E>,
    losses: Mutex<Vec<(String, Arc<Stage<E>>)>>,
}

impl<E: Element> Model<E> {
    /// A model with parameters drawn from the seed.
    pub fn new(spec: Spec, seed: u64) -> Result<Self> {
        let chain = build(&spec, None)?;
        Self::with_chain(spec, chain, seed, kernels::isa_checked().map_err(Error::Value)?)
    }

    /// As [`Model::new`], on a given SIMD path: results have the same bits on all of them.
    pub fn with_isa(spec: Spec, seed: u64, isa: Isa) -> Result<Self> {
        let chain = build(&spec, None)?;
        Self::with_chain(spec, chain, seed, isa)
    }

    pub(super) fn with_chain(spec: Spec, chain: Chain<E>, seed: u64, isa: Isa) -> Result<Self> {
        let kernels =
            E::kernels(isa).ok_or_else(|| Error::Unsupported(format!("expected a processor with {isa:?}")))?;
        let params = RwLock::new(Params::new(&chain.layout, seed)?);
        let frozen = RwLock::new(vec![false; chain.layout.slots.len()]);
        let (rounding, arenas, losses) = Default::default();
        Ok(Self { spec, chain, params, frozen, whole: kernels, rounding, arenas, losses })
    }

    /// The parameters, to read. Holding this makes updates wait.
    pub fn params(&self) -> RwLockReadGuard<'_, Params<E>> {
        self.params.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// The parameters, to change: add 1 to the version when done.
    pub fn params_mut(&self) -> RwLockWriteGuard<'_, Params<E>> {
        loop {
            // Never queues: a waiting writer would hold up new readers, one of which may hold what a running call needs
            // to finish (Python's lock, to look for Ctrl-C).
            match self.params.try_write() {
                Ok(guard) => return guard,
                Err(TryLockError::Poisoned(poisoned)) => return poisoned.into_inner(),
                Err(TryLockError::WouldBlock) => std::thread::sleep(Duration::from_micros(50)),
            }
        }
    }

    /// Which parameters optimizers leave alone: those that were frozen, and those that are measured.
    pub fn frozen(&self) -> Vec<bool> {
        let frozen = self.frozen.read().unwrap_or_else(PoisonError::into_inner);
        frozen.iter().zip(&self.chain.layout.slots).map(|(&frozen, slot)| frozen || slot.measured).collect()
    }

    /// Freezes (or thaws) the parameters whose names begin with `prefix`; returns how many there are.
    pub fn freeze(&self, prefix: &str, frozen: bool) -> Result<usize> {
        let mut flags = self.frozen.write().unwrap_or_else(PoisonError::into_inner);
        let mut count = 0;
        for (slot, flag) in self.chain.layout.slots.iter().zip(flags.iter_mut()) {
            if slot.name.starts_with(prefix) {
                *flag = frozen;
                count += 1;
            }
        }
        if count == 0 {
            let names: Vec<&str> = self.chain.layout.slots.iter().map(|s| &s.name[..]).collect();
            return Err(Error::value("prefix", format!("the beginning of one of {names:?}"), prefix));
        }
        Ok(count)
    }

    /// What calls make of the operands of their products.
    pub fn precision(&self) -> Precision {
        if self.rounding.load(Ordering::Relaxed) { Precision::Bfloat16 } else { Precision::Full }
    }

    /// Sets it for the calls that begin from now on; [`Error::Dtype`] where the model's type has none such. A backward
    /// pass has that of its tape.
    pub fn set_precision(&self, precision: Precision) -> Result<()> {
        if E::kernels_of(self.whole.isa, precision).is_none() {
            return Err(Error::dtype("precision", "a float32 model for bfloat16", E::NAME));
        }
        self.rounding.store(precision == Precision::Bfloat16, Ordering::Relaxed);
        Ok(())
    }

    /// The SIMD path in use, with the kernels of the model's precision.
    pub fn kernels(&self) -> &'static Kernels<E> {
        match self.precision() {
            Precision::Full => self.whole,
            // `set_precision` found that there is one.
            precision => E::kernels_of(self.whole.isa, precision).unwrap_or(self.whole),
        }
    }

    /// The same with products in the model's own type.
    pub(crate) fn whole_kernels(&self) -> &'static Kernels<E> {
        self.whole
    }

    /// How many workers a call is worth.
    pub(super) fn workers(&self, rows: usize, steps: usize) -> usize {
        let work = self.chain.layout.len.saturating_mul(rows).saturating_mul(steps);
        if work < SMALL { 1 } else { num_threads().min(rows).max(1) }
    }

    pub(super) fn input_width(&self) -> usize {
        match self.chain.input {
            InputKind::Float(width) => width,
            InputKind::Tokens(_) => 1,
        }
    }

    /// Width of the output of block `index`.
    pub(super) fn width_after(&self, index: usize) -> usize {
        self.chain.blocks[index].width(self.width_before(index))
    }

    /// Width of the input of block `index`.
    pub(super) fn width_before(&self, index: usize) -> usize {
        if index == 0 { self.input_width() } else { self.width_after(index - 1) }
    }
}
