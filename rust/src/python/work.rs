//! The one way into long work: without the GIL, open to Ctrl-C, safe from panics.

use super::errors::internal;
use crate::error::{Error, Result};
use pyo3::prelude::*;
use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Mutex, PoisonError};

/// Asks whether a call should stop.
pub(super) type Interrupt<'a> = &'a (dyn Fn() -> bool + Sync);

/// Runs `body` with the GIL released. `body` may ask the [`Interrupt`] whether a signal handler of Python has raised
/// something, which is then what the caller gets. Locks of the core are taken inside of it only: who holds one may
/// have to wait for the GIL, in order to ask.
pub(super) fn work<T: Send>(py: Python<'_>, body: impl FnOnce(Interrupt<'_>) -> Result<T> + Send) -> PyResult<T> {
    let raised = Mutex::new(None);
    let interrupt = || match Python::attach(|py| py.check_signals()) {
        Ok(()) => false,
        Err(error) => {
            *raised.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
            true
        }
    };
    match py.detach(|| catch_unwind(AssertUnwindSafe(|| body(&interrupt)))) {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => match raised.into_inner().unwrap_or_else(PoisonError::into_inner) {
            Some(raised) if matches!(error, Error::Interrupted) => Err(raised),
            _ => Err(error.into()),
        },
        Err(panic) => Err(panicked(&*panic)),
    }
}

/// Runs short work with the GIL held; a panic becomes an exception all the same.
pub(super) fn quick<T>(body: impl FnOnce() -> Result<T>) -> PyResult<T> {
    catch_unwind(AssertUnwindSafe(body)).map_err(|panic| panicked(&*panic))?.map_err(PyErr::from)
}

fn panicked(panic: &(dyn Any + Send)) -> PyErr {
    let text = panic.downcast_ref::<&str>().copied().or(panic.downcast_ref::<String>().map(String::as_str));
    internal(text.unwrap_or("unknown"))
}
