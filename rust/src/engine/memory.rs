//! Aligned memory, and a pool that hands it out again.

use crate::error::{Error, Result};
use crate::kernels::Element;
use std::alloc::{Layout, alloc_zeroed, dealloc};
use std::marker::PhantomData;
use std::ptr::NonNull;
use std::sync::{Mutex, MutexGuard, TryLockError};

/// Two cache lines: aligned loads of every path, and no line shared by two threads.
const ALIGN: usize = 128;

/// A block of elements, aligned; zero when it is new. The engine and its workers write disjoint parts of it.
#[derive(Debug)]
pub struct Memory<E> {
    data: NonNull<E>,
    length: usize,
    marker: PhantomData<E>,
}

// SAFETY: Memory owns plain numbers; whoever shares a pointer into it keeps accesses disjoint (see `frame`).
unsafe impl<E: Element> Send for Memory<E> {}
// SAFETY: as above; through a shared reference only reads are offered.
unsafe impl<E: Element> Sync for Memory<E> {}

impl<E: Element> Memory<E> {
    /// `length` elements, all zero.
    pub fn new(length: usize) -> Result<Self> {
        let bytes = Self::bytes(length)?;
        let data = zeroed(bytes).ok_or_else(|| Error::Memory(format!("expected {bytes} bytes of memory, got none")))?;
        Ok(Self { data: data.cast(), length, marker: PhantomData })
    }

    fn bytes(length: usize) -> Result<usize> {
        let bytes = length.checked_mul(size_of::<E>()).and_then(|b| b.checked_add(ALIGN));
        bytes.filter(|&b| b <= isize::MAX as usize - ALIGN).ok_or_else(|| {
            Error::Memory(format!(
                "expected a size that fits memory, got {length} elements of {} bytes",
                size_of::<E>()
            ))
        })
    }

    /// How many elements it holds.
    pub fn len(&self) -> usize {
        self.length
    }

    /// Whether it holds none.
    pub fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// The first element. Writing through it is up to the holder's discipline.
    pub fn ptr(&self) -> *mut E {
        self.data.as_ptr()
    }

    /// All elements.
    pub fn slice(&self) -> &[E] {
        // SAFETY: `length` initialised elements (zeroed at allocation), owned by self.
        unsafe { std::slice::from_raw_parts(self.data.as_ptr(), self.length) }
    }

    /// All elements, to write.
    pub fn slice_mut(&mut self) -> &mut [E] {
        // SAFETY: as `slice`; `&mut self` makes the access unique.
        unsafe { std::slice::from_raw_parts_mut(self.data.as_ptr(), self.length) }
    }

    /// A copy.
    pub fn duplicate(&self) -> Result<Self> {
        let mut copy = Self::new(self.length)?;
        copy.slice_mut().copy_from_slice(self.slice());
        Ok(copy)
    }
}

impl<E> Drop for Memory<E> {
    fn drop(&mut self) {
        // SAFETY: the size with which `new` allocated it; nobody uses it any more.
        unsafe { release(self.data.cast(), self.length * size_of::<E>() + ALIGN) }
    }
}

/// Blocks from this size on come from the system directly: zero without being touched, in huge pages where it has them.
#[cfg(unix)]
const LARGE: usize = 4 << 20;

/// Zeros for the caller to keep; many of them in huge pages where the system has them.
pub fn zeros<E: Element>(length: usize) -> Vec<E> {
    let zeros = vec![E::default(); length];
    #[cfg(target_os = "linux")]
    if length * size_of::<E>() >= LARGE {
        const PAGE: usize = 4096;
        let (start, end) = (zeros.as_ptr() as usize, zeros.as_ptr_range().end as usize);
        let (start, end) = (start.next_multiple_of(PAGE), end / PAGE * PAGE);
        // SAFETY: whole pages of an allocation of ours; the advice changes no content. Its failure costs speed alone.
        unsafe {
            libc::madvise(start as *mut libc::c_void, end - start, libc::MADV_HUGEPAGE);
        }
    }
    zeros
}

/// Aligned zero bytes.
fn zeroed(bytes: usize) -> Option<NonNull<u8>> {
    #[cfg(unix)]
    if bytes >= LARGE {
        let (access, kind) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
        // SAFETY: an anonymous mapping at an address of the system's choice touches no memory of ours.
        let data = unsafe { libc::mmap(std::ptr::null_mut(), bytes, access, kind, -1, 0) };
        if data == libc::MAP_FAILED {
            return None;
        }
        #[cfg(target_os = "linux")]
        // SAFETY: the mapping is ours; the advice changes no content. Its failure costs speed alone.
        unsafe {
            libc::madvise(data, bytes, libc::MADV_HUGEPAGE);
        }
        return NonNull::new(data.cast());
    }
    let layout = Layout::from_size_align(bytes, ALIGN).ok()?;
    // SAFETY: the layout is not empty: sizes include one line to spare.
    NonNull::new(unsafe { alloc_zeroed(layout) })
}

/// Gives back what `zeroed` gave.
///
/// # Safety
/// `data` came from `zeroed(bytes)` and is not used any more.
unsafe fn release(data: NonNull<u8>, bytes: usize) {
    #[cfg(unix)]
    if bytes >= LARGE {
        // SAFETY: the mapping of this size that `zeroed` made.
        unsafe { libc::munmap(data.as_ptr().cast(), bytes) };
        return;
    }
    // SAFETY: the size and alignment with which `zeroed` allocated it.
    unsafe { dealloc(data.as_ptr(), Layout::from_size_align_unchecked(bytes, ALIGN)) }
}

/// Blocks that were given back, for the next call.
#[derive(Debug)]
pub struct Arenas<E> {
    free: Mutex<Vec<Memory<E>>>,
}

impl<E> Default for Arenas<E> {
    fn default() -> Self {
        Self { free: Mutex::new(Vec::new()) }
    }
}

impl<E: Element> Arenas<E> {
    /// A block of this length is never too large for a request.
    const SMALL: usize = 16 * 1024;
    /// How many blocks wait at most; more are freed.
    const KEEP: usize = 16;
    /// How often a worker looks for its turn; another has the lock for less than a microsecond.
    const LOOKS: usize = 10_000;

    /// The blocks that are free; none where they cannot be had soon: after a fork the lock may be held by a thread that
    /// does not exist.
    fn lock(&self) -> Option<MutexGuard<'_, Vec<Memory<E>>>> {
        (0..Self::LOOKS).find_map(|_| match self.free.try_lock() {
            Ok(free) => Some(free),
            Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
            Err(TryLockError::WouldBlock) => {
                std::hint::spin_loop();
                None
            }
        })
    }

    /// A block of at least `length` elements, with anything in it: the smallest that fits, unless it is far too large.
    /// Where none fits, a new block takes the place of the largest that is too small.
    pub fn take(&self, length: usize) -> Result<Memory<E>> {
        let Some(mut free) = self.lock() else { return Memory::new(length) };
        let fits = |m: &Memory<E>| m.len() >= length && m.len() / 4 <= length.max(Self::SMALL);
        if let Some(best) = (0..free.len()).filter(|&i| fits(&free[i])).min_by_key(|&i| free[i].len()) {
            return Ok(free.swap_remove(best));
        }
        let smaller = (0..free.len()).filter(|&i| free[i].len() < length);
        if let Some(largest) = smaller.max_by_key(|&i| free[i].len()) {
            drop(free.swap_remove(largest));
        }
        drop(free);
        Memory::new(length)
    }

    /// `length` zeros: a block of this length that was given back, or a new one.
    pub fn zeros(&self, length: usize) -> Result<Memory<E>> {
        let held = self.lock().and_then(|mut free| {
            let same = free.iter().position(|block| block.len() == length)?;
            Some(free.swap_remove(same))
        });
        let Some(mut block) = held else { return Memory::new(length) };
        block.slice_mut().fill(E::default());
        Ok(block)
    }

    /// Takes a block back.
    pub fn give(&self, memory: Memory<E>) {
        let Some(mut free) = self.lock() else { return };
        if free.len() >= Self::KEEP {
            free.remove(0);
        }
        free.push(memory);
    }
}
