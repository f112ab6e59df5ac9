//! Threads: a pool of the engine's own, static shares, no work stealing.
//!
//! A call hands the same closure to all workers and takes share 0 itself. Workers look for the next call for a while,
//! then park. A call that finds the pool busy does all shares itself. After a fork the child makes a new pool: the threads
//! of the parent do not exist there.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// Upper limit of [`set_num_threads`].
pub const MAX_THREADS: usize = 256;

/// How often a waiting thread looks before it lets others run: some tens of microseconds.
const SPINS: usize = 2_000;

/// How long it goes on looking, letting others run, before it parks: waking a parked thread can cost more than a phase.
const PATIENCE: Duration = Duration::from_millis(2);

static THREADS: OnceLock<AtomicUsize> = OnceLock::new();

fn threads() -> &'static AtomicUsize {
    THREADS.get_or_init(|| {
        let asked = std::env::var("RNNRS_NUM_THREADS")
            .ok()
            .and_then(|v| v.parse::<usize>().ok())
            .filter(|n| (1..=MAX_THREADS).contains(n));
        let cores = || thread::available_parallelism().map_or(1, usize::from);
        AtomicUsize::new(asked.unwrap_or_else(cores).min(MAX_THREADS))
    })
}

/// How many threads a call may use: `RNNRS_NUM_THREADS`, or the number of cores, until [`set_num_threads`].
pub fn num_threads() -> usize {
    threads().load(Ordering::Relaxed)
}

/// Sets how many threads a call may use.
pub fn set_num_threads(count: usize) -> crate::error::Result<()> {
    if !(1..=MAX_THREADS).contains(&count) {
        return Err(crate::error::Error::value("number of threads", format!("1 to {MAX_THREADS}"), count));
    }
    threads().store(count, Ordering::Relaxed);
    Ok(())
}

/// What all workers run: a closure that outlives the call, made of a pointer to one that does not.
#[derive(Clone, Copy)]
struct Job {
    call: unsafe fn(*const (), usize),
    data: *const (),
}

// SAFETY: a Job points to a closure that is Sync and lives until every worker has reported back (see `run`).
unsafe impl Send for Job {}

struct Worker {
    /// Grows with each job.
    turn: AtomicUsize,
    job: Mutex<Option<Job>>,
    thread: OnceLock<thread::Thread>,
}

struct Pool {
    process: u32,
    workers: Mutex<Vec<Arc<Worker>>>,
    pending: AtomicUsize,
    panicked: AtomicBool,
    caller: Mutex<Option<thread::Thread>>,
}

/// The pool in use. Leaked on purpose: its threads never end, and after a fork the parent's must not be touched.
static POOL: Mutex<Option<&'static Pool>> = Mutex::new(None);

/// Runs `body(0)`, ..., `body(count - 1)`, each on a thread of its own where the pool is free; returns when all are
/// done. A panic in any share is passed on to the caller.
pub fn run(count: usize, body: &(dyn Fn(usize) + Sync)) {
    let alone = || (0..count).for_each(body);
    if count <= 1 {
        return alone();
    }
    // Held for the whole call: whoever finds it taken runs alone. A forked child may find it taken by a thread that
    // does not exist there; then it runs alone, always.
    let Ok(mut held) = POOL.try_lock() else { return alone() };
    let process = std::process::id();
    let pool = match *held {
        Some(pool) if pool.process == process => pool,
        _ => {
            let pool: &'static Pool = Box::leak(Box::new(Pool {
                process,
                workers: Mutex::new(Vec::new()),
                pending: AtomicUsize::new(0),
                panicked: AtomicBool::new(false),
                caller: Mutex::new(None),
            }));
            *held = Some(pool);
            pool
        }
    };
    let helpers = count - 1;
    let workers = pool.at_least(helpers);
    if workers.len() < helpers {
        return alone();
    }
    unsafe fn call(data: *const (), share: usize) {
        // SAFETY: `data` points to the reference `body` below, which lives until `run` has seen every worker report.
        let body = unsafe { *data.cast::<&(dyn Fn(usize) + Sync)>() };
        body(share);
    }
    let job = Job { call, data: (&raw const body).cast() };
    *lock(&pool.caller) = Some(thread::current());
    pool.panicked.store(false, Ordering::Relaxed);
    pool.pending.store(helpers, Ordering::Release);
    for worker in &workers[..helpers] {
        *lock(&worker.job) = Some(job);
        worker.turn.fetch_add(1, Ordering::Release);
        if let Some(thread) = worker.thread.get() {
            thread.unpark();
        }
    }
    let own = catch_unwind(AssertUnwindSafe(|| body(0)));
    let mut patience = Patience::default();
    while pool.pending.load(Ordering::Acquire) > 0 {
        patience.wait();
    }
    drop(held);
    if let Err(panic) = own {
        resume_unwind(panic);
    }
    assert!(!pool.panicked.load(Ordering::Relaxed), "a worker thread panicked");
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// How a thread waits: it spins, then yields, then parks; whoever is waited for unparks.
#[derive(Default)]
struct Patience {
    spins: usize,
    since: Option<Instant>,
}

impl Patience {
    fn wait(&mut self) {
        self.spins += 1;
        if self.spins < SPINS {
            std::hint::spin_loop();
        } else if self.since.get_or_insert_with(Instant::now).elapsed() < PATIENCE {
            thread::yield_now();
        } else {
            thread::park_timeout(Duration::from_secs(1));
        }
    }
}

impl Pool {
    /// The workers, of which new ones are started until there are `count`, or the system refuses.
    fn at_least(&'static self, count: usize) -> Vec<Arc<Worker>> {
        let mut workers = lock(&self.workers);
        while workers.len() < count {
            let worker = Arc::new(Worker { turn: AtomicUsize::new(0), job: Mutex::new(None), thread: OnceLock::new() });
            let (own, share) = (worker.clone(), workers.len() + 1);
            let started = thread::Builder::new().name(format!("rnnrs-{share}")).spawn(move || self.serve(&own, share));
            match started {
                Ok(handle) => {
                    let _ = worker.thread.set(handle.thread().clone());
                    workers.push(worker);
                }
                Err(_) => break,
            }
        }
        workers.clone()
    }

    fn serve(&self, worker: &Worker, share: usize) {
        let mut seen = 0;
        loop {
            let mut patience = Patience::default();
            while worker.turn.load(Ordering::Acquire) == seen {
                patience.wait();
            }
            seen += 1;
            let Some(job) = lock(&worker.job).take() else { continue };
            // SAFETY: the caller of `run` waits for `pending` before the closure's life ends.
            let result = catch_unwind(AssertUnwindSafe(|| unsafe { (job.call)(job.data, share) }));
            if result.is_err() {
                self.panicked.store(true, Ordering::Relaxed);
            }
            let caller = lock(&self.caller).clone();
            if let (1, Some(caller)) = (self.pending.fetch_sub(1, Ordering::Release), caller) {
                caller.unpark();
            }
        }
    }
}
