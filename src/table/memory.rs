//! The table's one mapping and the typed regions it is divided into.
//!
//! ```text
//!  reserved  ┌──────┬────────────────────────────────────────────────────────────────┬──────┐
//!            │ slack│ header │ buckets │ wheel │ connections │ annexes │ addresses    │ slack│
//!            └──────┴────────────────────────────────────────────────────────────────┴──────┘
//!                   ▲ 2 MiB aligned, so that huge pages fit            untouched tail: no memory
//! ```
//!
//! Life cycle: [`Memory::reserve`] asks the operating system for zeroed anonymous memory, once, and gives
//! a [`Carver`]; that hands out each byte at most once, as a [`Shared`] or an [`Owned`] region; the
//! mapping goes when the last region goes. Pages become real when they are first written.
//!
//! This file is one of the islands of `unsafe`: elsewhere a region is a slice. What makes it sound is in
//! three places: bytes are carved once (`Carver::carve`), types are valid when zero ([`Zeroed`]), and
//! every region keeps the mapping alive.
#![allow(unsafe_code, reason = "turns raw mapped memory into slices, and prefetches")]

use std::io;
use std::mem::{align_of, needs_drop, size_of};
use std::ops::{Deref, DerefMut};
use std::ptr::NonNull;
use std::slice;
use std::sync::Arc;

/// The span and alignment of a transparent huge page on the machines this is for.
#[cfg(not(any(miri, loom, allocated)))]
const HUGE_PAGE: usize = 2 << 20;

/// What may lie in mapped memory.
///
/// # Safety
///
/// All bytes zero must be a valid value of the type, and its size must not be zero.
pub(super) unsafe trait Zeroed: Default {}

// SAFETY: an atomic integer has the representation of its integer, for which zero is a value.
unsafe impl Zeroed for std::sync::atomic::AtomicU32 {}

/// A run of elements inside the mapping.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Extent {
    /// Bytes from the start of the mapping.
    pub(super) offset: usize,
    /// Number of elements.
    pub(super) length: usize,
}

/// The mapping; released when dropped.
pub(super) struct Memory {
    start: NonNull<u8>,
    size: usize,
    #[cfg(not(any(miri, loom, allocated)))]
    mapping: memmap2::MmapRaw,
}

// SAFETY: the struct is an address and what releases it; all access goes through the regions, which have
// bounds of their own.
unsafe impl Send for Memory {}
// SAFETY: as above; the methods that take &self read fields that never change.
unsafe impl Sync for Memory {}

#[cfg(not(any(miri, loom, allocated)))]
impl Memory {
    /// Reserves `size` bytes of zeroed memory; fails as mmap(2) does.
    ///
    /// The kernel accounts for all of it at once (no `MAP_NORESERVE`): a table too large for the machine
    /// is refused here and not when it has filled up.
    pub(super) fn reserve(size: usize) -> io::Result<Carver> {
        let slack = if size >= HUGE_PAGE { HUGE_PAGE } else { 0 };
        let reserved = size.checked_add(slack).ok_or(io::ErrorKind::OutOfMemory)?;
        let mapping = memmap2::MmapRaw::from(memmap2::MmapOptions::new().len(reserved).map_anon()?);
        let skip = if slack == 0 { 0 } else { mapping.as_ptr().addr().wrapping_neg() % HUGE_PAGE };
        // Only whole huge pages: the rest of a small table would otherwise cost up to 2 MiB of its own.
        // A kernel without transparent huge pages refuses the advice, and ordinary pages do as well.
        #[cfg(target_os = "linux")]
        if slack > 0 {
            let _ = mapping.advise_range(memmap2::Advice::HugePage, skip, size & !(HUGE_PAGE - 1));
        }
        let start =
            NonNull::new(mapping.as_mut_ptr().wrapping_add(skip)).ok_or(io::ErrorKind::OutOfMemory)?;
        Ok(Carver { memory: Arc::new(Memory { start, size, mapping }), taken: 0 })
    }

    /// The part of the mapping that is backed by memory, in bytes: mincore(2).
    pub(super) fn resident(&self) -> io::Result<u64> {
        // SAFETY: sysconf only reads; the name is valid.
        let page = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
        let page = usize::try_from(page).map_err(io::Error::other)?;
        let pages = self.size.div_ceil(page);
        let mut flags = [0u8; 4096];
        let mut resident = 0;
        for first in (0..pages).step_by(flags.len()) {
            let count = flags.len().min(pages - first);
            let start = self.start.as_ptr().wrapping_add(first * page);
            // SAFETY: the range lies in the mapping, which self.mapping keeps (its end is rounded up to a
            // page by the kernel as by us), begins at a page, and flags has a byte for each of its pages.
            let result = unsafe { libc::mincore(start.cast(), count * page, flags.as_mut_ptr().cast()) };
            if result != 0 {
                return Err(io::Error::last_os_error());
            }
            resident += flags[..count].iter().filter(|&&flag| flag & 1 != 0).count();
        }
        debug_assert!(self.mapping.len() >= self.size);
        Ok((resident * page) as u64)
    }

    /// The part of the mapping that lies in huge pages, in bytes, by the text of [`smaps`].
    pub(super) fn huge(&self, smaps: &str) -> io::Result<u64> {
        let start = self.start.as_ptr().addr() as u64;
        huge_of(smaps, start..start + self.size as u64)
            .ok_or_else(|| io::Error::other("/proc/self/smaps is not as it was"))
    }
}

/// This process's mappings, proc_pid_smaps(5). The kernel walks all of their pages for it.
pub(super) fn smaps() -> io::Result<String> {
    std::fs::read_to_string("/proc/self/smaps")
}

/// How many bytes of `range` lie in huge pages, by the text of smaps. Mappings beside each other may be shown as one: then
/// no more than the range has of it.
#[cfg(not(any(miri, loom, allocated)))]
fn huge_of(smaps: &str, range: std::ops::Range<u64>) -> Option<u64> {
    let (mut huge, mut within) = (0, 0);
    for line in smaps.lines() {
        let mut words = line.split_whitespace();
        let first = words.next()?;
        if first == "AnonHugePages:" {
            huge += within.min(1024 * words.next()?.parse::<u64>().ok()?);
        } else if let Some((start, end)) = first.split_once('-') {
            let [start, end] = [start, end].map(|end| u64::from_str_radix(end, 16).ok());
            within = end?.min(range.end).saturating_sub(start?.max(range.start));
        }
    }
    Some(huge)
}

/// Interpreters have no mappings and no huge pages, and sanitizers do not know where a mapping's bytes end: the standard
/// allocator stands in.
#[cfg(any(miri, loom, allocated))]
impl Memory {
    const ALIGNMENT: usize = 4096;

    pub(super) fn reserve(size: usize) -> io::Result<Carver> {
        let layout =
            std::alloc::Layout::from_size_align(size.max(1), Self::ALIGNMENT).map_err(io::Error::other)?;
        // SAFETY: the size is not zero.
        let start = NonNull::new(unsafe { std::alloc::alloc_zeroed(layout) });
        let start = start.ok_or(io::ErrorKind::OutOfMemory)?;
        Ok(Carver { memory: Arc::new(Memory { start, size }), taken: 0 })
    }

    pub(super) fn resident(&self) -> io::Result<u64> {
        Ok(self.size as u64)
    }

    pub(super) fn huge(&self, _smaps: &str) -> io::Result<u64> {
        Ok(0)
    }
}

#[cfg(any(miri, loom, allocated))]
impl Drop for Memory {
    fn drop(&mut self) {
        // SAFETY: `reserve` has checked the same two numbers.
        let layout =
            unsafe { std::alloc::Layout::from_size_align_unchecked(self.size.max(1), Self::ALIGNMENT) };
        // SAFETY: it came from the allocator under this layout, and no region is left.
        unsafe { std::alloc::dealloc(self.start.as_ptr(), layout) };
    }
}

/// Divides a mapping: gives out extents in ascending order, so that no two overlap.
pub(super) struct Carver {
    memory: Arc<Memory>,
    taken: usize,
}

impl Carver {
    /// The mapping that is being divided.
    pub(super) fn memory(&self) -> &Arc<Memory> {
        &self.memory
    }

    /// A region for any number of threads.
    pub(super) fn shared<T: Zeroed + Sync>(&mut self, extent: Extent) -> Shared<T> {
        Shared { start: self.carve(extent), length: extent.length, memory: Arc::clone(&self.memory) }
    }

    /// A region for the owner of the table alone.
    pub(super) fn owned<T: Zeroed>(&mut self, extent: Extent) -> Owned<T> {
        Owned { start: self.carve(extent), length: extent.length, _memory: Arc::clone(&self.memory) }
    }

    /// The start of an extent that nothing else has: aligned, inside the mapping, above all before it.
    ///
    /// # Panics
    ///
    /// If the extent is not so. [`Layout`](super::Layout) computes them; this is what `unsafe` rests on.
    fn carve<T: Zeroed>(&mut self, Extent { offset, length }: Extent) -> NonNull<T> {
        const { assert!(!needs_drop::<T>()) };
        let end = length.checked_mul(size_of::<T>()).and_then(|size| size.checked_add(offset));
        let end = end.expect("an extent ends inside the address space");
        assert!(offset >= self.taken && end <= self.memory.size, "an extent lies in free memory");
        self.taken = end;
        // SAFETY: offset <= end <= size, all of which is one allocation.
        let start = unsafe { self.memory.start.add(offset) }.cast::<T>();
        assert!(start.addr().get().is_multiple_of(align_of::<T>()), "an extent is aligned");
        // Loom's atomics are not made of zeroes.
        #[cfg(loom)]
        for index in 0..length {
            // SAFETY: inside the extent, aligned, and nobody has a reference yet.
            unsafe { start.add(index).write(T::default()) };
        }
        start
    }
}

/// A region that any thread may read: its elements are made of atomics.
#[derive(Debug)]
pub(super) struct Shared<T> {
    start: NonNull<T>,
    length: usize,
    memory: Arc<Memory>,
}

// SAFETY: gives out `&T` only, which `T: Sync` allows on any thread; the Arc keeps the mapping.
unsafe impl<T: Sync> Send for Shared<T> {}
// SAFETY: as above.
unsafe impl<T: Sync> Sync for Shared<T> {}

impl<T> Shared<T> {
    /// The mapping that it lies in.
    pub(super) fn memory(&self) -> &Memory {
        &self.memory
    }
}

impl<T> Clone for Shared<T> {
    fn clone(&self) -> Shared<T> {
        Shared { start: self.start, length: self.length, memory: Arc::clone(&self.memory) }
    }
}

impl<T> Deref for Shared<T> {
    type Target = [T];

    #[inline(always)]
    fn deref(&self) -> &[T] {
        // SAFETY: `Carver::carve` made the extent aligned, inside the mapping (alive by the Arc) and
        // disjoint from every Owned; zeroed memory is a valid T; nobody ever gets a `&mut T` of it.
        unsafe { slice::from_raw_parts(self.start.as_ptr(), self.length) }
    }
}

/// A region that only the owner of the table reads and writes.
#[derive(Debug)]
pub(super) struct Owned<T> {
    start: NonNull<T>,
    length: usize,
    _memory: Arc<Memory>,
}

// SAFETY: it is the only way to its extent, like a `Box<[T]>`.
unsafe impl<T: Send> Send for Owned<T> {}
// SAFETY: as above.
unsafe impl<T: Sync> Sync for Owned<T> {}

impl<T> Deref for Owned<T> {
    type Target = [T];

    #[inline(always)]
    fn deref(&self) -> &[T] {
        // SAFETY: `Carver::carve` made the extent aligned, inside the mapping (alive by the Arc) and
        // disjoint from every other region; zeroed memory is a valid T; `&self` excludes `deref_mut`.
        unsafe { slice::from_raw_parts(self.start.as_ptr(), self.length) }
    }
}

impl<T> DerefMut for Owned<T> {
    #[inline(always)]
    fn deref_mut(&mut self) -> &mut [T] {
        // SAFETY: as in `deref`, and `&mut self` excludes every other reference.
        unsafe { slice::from_raw_parts_mut(self.start.as_ptr(), self.length) }
    }
}

impl std::fmt::Debug for Memory {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Memory").field("size", &self.size).finish()
    }
}

/// Asks the processor to fetch every cache line of an element; any index is harmless. For the table, and for what is
/// held against it.
#[inline(always)]
pub fn prefetch<T>(region: &[T], index: u32) {
    #[cfg(all(target_arch = "x86_64", not(miri)))]
    {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        let element = region.as_ptr().wrapping_add(index as usize).cast::<i8>();
        for line in (0..size_of::<T>()).step_by(64) {
            // SAFETY: a prefetch of any address changes nothing and never faults.
            unsafe { _mm_prefetch::<_MM_HINT_T0>(element.wrapping_add(line)) };
        }
    }
    #[cfg(not(all(target_arch = "x86_64", not(miri))))]
    let _ = (region, index);
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

    #[test]
    fn regions_are_zero_and_apart() {
        let mut carver = Memory::reserve(4096).expect("a page");
        let first: Shared<AtomicU32> = carver.shared(Extent { offset: 0, length: 2 });
        let mut second: Owned<AtomicU32> = carver.owned(Extent { offset: 8, length: 2 });
        drop(carver);
        first[1].store(7, Relaxed);
        *second[0].get_mut() = 9;
        assert_eq!(first.iter().map(|word| word.load(Relaxed)).collect::<Vec<_>>(), [0, 7]);
        assert_eq!(second.iter().map(|word| word.load(Relaxed)).collect::<Vec<_>>(), [9, 0]);
    }

    #[test]
    #[should_panic(expected = "free memory")]
    fn bytes_are_carved_once() {
        let mut carver = Memory::reserve(4096).expect("a page");
        let _first: Shared<AtomicU32> = carver.shared(Extent { offset: 0, length: 2 });
        let _again: Shared<AtomicU32> = carver.shared(Extent { offset: 4, length: 1 });
    }

    #[test]
    #[should_panic(expected = "free memory")]
    fn nothing_is_carved_past_the_end() {
        let mut carver = Memory::reserve(4096).expect("a page");
        let _past: Shared<AtomicU32> = carver.shared(Extent { offset: 4096, length: 1 });
    }

    #[test]
    #[should_panic(expected = "aligned")]
    fn a_crooked_extent_is_refused() {
        let mut carver = Memory::reserve(4096).expect("a page");
        let _crooked: Shared<AtomicU32> = carver.shared(Extent { offset: 2, length: 1 });
    }

    /// Two mappings, the second as large as the range and a neighbour together.
    #[cfg(not(any(miri, allocated)))]
    #[test]
    fn huge_pages_are_counted_where_the_range_is() {
        let smaps = "7f0000000000-7f0000400000 rw-p 00000000 00:00 0 \nRss:  4096 kB\nAnonHugePages:      2048 kB\n\
                     7f0000400000-7f0000c00000 rw-p 00000000 00:00 0 [heap]\nAnonHugePages:      8192 kB\nVmFlags: rd wr\n";
        let of = |range| huge_of(smaps, range);
        assert_eq!(of(0x7f00_0000_0000..0x7f00_0040_0000), Some(2 << 20));
        assert_eq!(of(0x7f00_0040_0000..0x7f00_0080_0000), Some(4 << 20), "no more than it has");
        assert_eq!(of(0x7f00_0020_0000..0x7f00_0060_0000), Some((2 << 20) + (2 << 20)));
        assert_eq!(of(0..4096), Some(0));
        assert_eq!(huge_of("7f00-zz rw-p\n", 0..1), None);
    }

    /// What the lazy table rests on: only what was written is resident, and nothing else.
    #[cfg(not(any(miri, allocated)))]
    #[test]
    fn untouched_memory_is_not_resident() {
        let mut carver = Memory::reserve(1 << 20).expect("a mebibyte");
        let region: Shared<AtomicU32> = carver.shared(Extent { offset: 0, length: 1 << 18 });
        let resident = || carver.memory().resident().expect("mincore");
        assert_eq!(resident(), 0);
        region[0].store(1, Relaxed);
        let one = resident();
        assert!((1..=64 << 10).contains(&one), "{one} bytes for one word");
    }
}
