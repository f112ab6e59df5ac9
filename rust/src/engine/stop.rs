//! Stopping a long call: when the caller asks (Ctrl-C), or when a worker fails.

use crate::error::{Error, Result};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// How often the caller is asked.
const EVERY: Duration = Duration::from_millis(50);

/// Whether a call should stop.
pub struct Stop<'a> {
    set: AtomicBool,
    asked: Mutex<Instant>,
    ask: &'a (dyn Fn() -> bool + Sync),
}

impl<'a> Stop<'a> {
    /// `ask` says whether the caller wants the call to stop; it is asked on the calling thread, at most every 50 ms.
    pub fn new(ask: &'a (dyn Fn() -> bool + Sync)) -> Self {
        Self { set: AtomicBool::new(false), asked: Mutex::new(Instant::now()), ask }
    }

    /// Never stops of its own accord.
    pub fn never() -> Stop<'static> {
        Stop::new(&|| false)
    }

    /// Tells all workers to stop.
    pub fn set(&self) {
        self.set.store(true, Ordering::Relaxed);
    }

    /// An error if the call should stop. The calling thread asks its caller.
    pub fn check(&self, calling_thread: bool) -> Result<()> {
        if self.set.load(Ordering::Relaxed) {
            return Err(Error::Interrupted);
        }
        if calling_thread
            && let Ok(mut asked) = self.asked.try_lock()
            && asked.elapsed() >= EVERY
        {
            *asked = Instant::now();
            if (self.ask)() {
                self.set();
                return Err(Error::Interrupted);
            }
        }
        Ok(())
    }
}
