//! The compressor over callables that read and write, so that files, pipes and bytes are one.

use super::work::work;
use crate::error::{Error, Result};
use crate::history::codec::{self, Given, Progress, Settings};
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use std::io::{self, Read, Write};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Time between two calls of a progress callable.
const PAUSE: Duration = Duration::from_millis(100);
/// Bytes that a reader is asked for at once.
const PIECE: usize = 1 << 20;

/// What the first callable that failed raised.
type Raised = Mutex<Option<PyErr>>;

fn keep(raised: &Raised, error: PyErr) {
    raised.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
}

/// A callable of a size that returns bytes, none at the end; or one of bytes.
struct Callable<'a> {
    call: Py<PyAny>,
    raised: &'a Raised,
}

impl Read for Callable<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let size = buffer.len().min(PIECE);
        let read = |py: Python<'_>| -> PyResult<usize> {
            let bytes = self.call.bind(py).call1((size,))?;
            let bytes: &[u8] = bytes.extract()?;
            let count = bytes.len().min(size);
            buffer[..count].copy_from_slice(&bytes[..count]);
            Ok(count)
        };
        Python::attach(read).map_err(|error| {
            keep(self.raised, error);
            io::Error::other("reading failed")
        })
    }
}

impl Write for Callable<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let write = |py: Python<'_>| self.call.bind(py).call1((PyBytes::new(py, bytes),)).map(|_| ());
        Python::attach(write).map_err(|error| {
            keep(self.raised, error);
            io::Error::other("writing failed")
        })?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// One way or the other: everything but the work itself.
fn run(
    py: Python<'_>,
    (read, write, progress): (Py<PyAny>, Py<PyAny>, Option<Py<PyAny>>),
    body: impl FnOnce(&mut dyn Read, &mut dyn Write, codec::Watch<'_>) -> Result<Progress> + Send,
) -> PyResult<(u64, u64)> {
    let raised = Raised::default();
    let done = work(py, |interrupt| {
        let mut reader = Callable { call: read, raised: &raised };
        let mut writer = Callable { call: write, raised: &raised };
        let mut last = Instant::now();
        let mut watch = |at: Progress| {
            if last.elapsed() < PAUSE {
                return Ok(());
            }
            last = Instant::now();
            if interrupt() {
                return Err(Error::Interrupted);
            }
            let Some(progress) = &progress else { return Ok(()) };
            Python::attach(|py| progress.bind(py).call1((at.content, at.archive)).map(|_| ())).map_err(|error| {
                keep(&raised, error);
                Error::Interrupted
            })
        };
        body(&mut reader, &mut writer, &mut watch)
    });
    match (done, raised.into_inner().unwrap_or_else(PoisonError::into_inner)) {
        (Err(_), Some(raised)) => Err(raised),
        (done, _) => done.map(|done| (done.content, done.archive)),
    }
}

/// Compresses what `read(size)` returns until it returns nothing, to `write(bytes)`; returns the bytes of both.
#[pyfunction]
#[pyo3(signature = (read, write, preset, model=None, progress=None))]
pub(super) fn compress(
    py: Python<'_>,
    read: Py<PyAny>,
    write: Py<PyAny>,
    preset: &str,
    model: Option<&[u8]>,
    progress: Option<Py<PyAny>>,
) -> PyResult<(u64, u64)> {
    run(py, (read, write, progress), |reader, writer, watch| {
        let settings = Settings::preset(preset)?;
        codec::compress(&settings, model.map(Given::from_bytes).transpose()?, reader, writer, watch)
    })
}

/// Decompresses what `read(size)` returns, to `write(bytes)`, whole blocks that are equal to their checks; returns the
/// bytes of both.
#[pyfunction]
#[pyo3(signature = (read, write, model=None, progress=None))]
pub(super) fn decompress(
    py: Python<'_>,
    read: Py<PyAny>,
    write: Py<PyAny>,
    model: Option<&[u8]>,
    progress: Option<Py<PyAny>>,
) -> PyResult<(u64, u64)> {
    run(py, (read, write, progress), |reader, writer, watch| {
        codec::decompress(model.map(Given::from_bytes).transpose()?, reader, writer, watch)
    })
}
