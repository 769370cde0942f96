//! Memory that the kernel shares with us: the UMEM, and the rings.
//!
//! ```text
//!  UMEM    │ frame 0 │ frame 1 │ frame 2 │ …       one mapping of our own, pinned by the kernel
//!  owners  │ program │ kernel  │ kernel  │ …       one cache line for each frame, known to us alone
//!
//!  ring    │ producer │ consumer │ flags │ slot 0 │ slot 1 │ … │ slot 2ⁿ-1 │     mapped from the socket
//! ```
//!
//! This file is one of the two islands of `unsafe` in the crate (the other, `sys`, makes system calls). It
//! turns raw memory into values that safe code cannot misuse:
//!
//! * A [`Frame`] is the right to the bytes of one frame. It is made in two places only: by [`Frames`], which
//!   counts through the UMEM once, and by [`Area::claim`], which takes the frame over from the kernel, and
//!   does so only if the kernel has it according to the owners. [`Area::surrender`] consumes it. So there is
//!   at most one `Frame` for each frame, whatever the kernel writes into a ring, and `&Frame` and
//!   `&mut Frame` may be exchanged for `&[u8]` and `&mut [u8]`.
//! * A ring is made of atomics throughout, the slots as well. Whatever the other side does to it, reading
//!   it gives some number and no undefined behaviour; which number is the business of `cursor`.
//!
//! What remains to be trusted is that the kernel does not write into frames that are not its own.
#![allow(unsafe_code, reason = "turns mapped memory into slices and atomics")]

use std::io;
use std::ops::Range;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::ptr::NonNull;
use std::slice;
#[cfg(test)]
use std::sync::Arc;

use crate::sync::{AtomicU8, AtomicU32, AtomicU64, Ordering};

/// A run of bytes given to us by mmap(2); unmapped when dropped.
#[derive(Debug)]
struct Mapping {
    start: NonNull<u8>,
    /// Bytes, as told to mmap.
    length: usize,
}

// SAFETY: an address and a length; all access goes through the types below, which have rules of their own.
unsafe impl Send for Mapping {}
// SAFETY: as above.
unsafe impl Sync for Mapping {}

/// The size of the huge pages we ask for; `MAP_HUGE_2MB` says the same to the kernel.
const HUGE_PAGE: usize = 2 << 20;

#[cfg(not(miri))]
impl Mapping {
    /// Zeroed memory of our own, at the start of a page.
    ///
    /// `flags` are added to those for private anonymous memory.
    fn anonymous(length: usize, flags: i32) -> io::Result<Mapping> {
        Mapping::map(length, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | flags, -1, 0)
    }

    /// The part of a socket that `page_offset` names: one of its rings.
    fn of_socket(socket: BorrowedFd<'_>, length: usize, page_offset: libc::off64_t) -> io::Result<Mapping> {
        Mapping::map(length, libc::MAP_SHARED | libc::MAP_POPULATE, socket.as_raw_fd(), page_offset)
    }

    fn map(length: usize, flags: i32, fd: i32, offset: libc::off64_t) -> io::Result<Mapping> {
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        // SAFETY: without MAP_FIXED the kernel chooses addresses that nothing else uses.
        let start = unsafe { libc::mmap64(std::ptr::null_mut(), length, protection, flags, fd, offset) };
        if start == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let start = NonNull::new(start.cast()).ok_or(io::ErrorKind::OutOfMemory)?;
        Ok(Mapping { start, length })
    }
}

#[cfg(not(miri))]
impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: the range is the one that mmap gave, and whoever had references into it is gone: they
        // borrow from the owner of this value. The kernel keeps pages that it still needs.
        let result = unsafe { libc::munmap(self.start.as_ptr().cast(), self.length) };
        debug_assert_eq!(result, 0, "a mapping is unmapped once");
    }
}

/// The interpreter has no huge pages and no sockets: the standard allocator stands in.
#[cfg(miri)]
impl Mapping {
    fn anonymous(length: usize, flags: i32) -> io::Result<Mapping> {
        if flags != 0 {
            return Err(io::ErrorKind::Unsupported.into());
        }
        let layout = std::alloc::Layout::from_size_align(length, 4096).map_err(io::Error::other)?;
        // SAFETY: the callers ask for at least one frame.
        let start = NonNull::new(unsafe { std::alloc::alloc_zeroed(layout) });
        Ok(Mapping { start: start.ok_or(io::ErrorKind::OutOfMemory)?, length })
    }

    fn of_socket(_: BorrowedFd<'_>, _: usize, _: libc::off64_t) -> io::Result<Mapping> {
        Err(io::ErrorKind::Unsupported.into())
    }
}

#[cfg(miri)]
impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: `anonymous` has checked the same two numbers.
        let layout = unsafe { std::alloc::Layout::from_size_align_unchecked(self.length, 4096) };
        // SAFETY: it came from the allocator under this layout.
        unsafe { std::alloc::dealloc(self.start.as_ptr(), layout) };
    }
}

/// What a frame remembers of its UMEM: which one it is, and the shape of the frames there.
///
/// ```text
///  31                            2 1 0
///  ├──────────────────────────────┼─┼─┤
///  │ number, never used twice     │m│s│   s: 4096 bytes (else 2048)   m: room for TX metadata
///  ├──────────────────────────────┼─┼─┤
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Identity(u32);

impl Identity {
    /// Bytes before a packet that the kernel reads as its metadata: `struct xsk_tx_metadata` of Linux 6.18.
    pub(crate) const METADATA: usize = 24;

    /// A new number; `None` after 2³⁰ of them.
    fn new(is_large: bool, has_metadata: bool) -> Option<Identity> {
        use std::sync::atomic::{AtomicU32, Ordering};
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let next = |number: u32| (number < 1 << 30).then_some(number + 1);
        // Relaxed: it has to be unique, nothing else depends on it.
        let number = NEXT.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next).ok()?;
        Some(Identity(number << 2 | u32::from(has_metadata) << 1 | u32::from(is_large)))
    }

    #[inline]
    pub(crate) const fn frame_size(self) -> usize {
        1 << self.frame_shift()
    }

    /// The frame size as a power of two: an address is a frame's number, shifted, and an offset.
    #[inline]
    const fn frame_shift(self) -> u32 {
        11 + (self.0 & 1)
    }

    /// Bytes from the start of the UMEM to a place in a frame.
    #[inline]
    pub(crate) const fn address(self, index: u32, offset: u16) -> u64 {
        ((index as u64) << self.frame_shift()) + offset as u64
    }

    /// The frame, in the UMEM if it is below the number of frames, and the place in it.
    #[inline]
    pub(crate) const fn split(self, address: u64) -> (u64, usize) {
        let index = address >> self.frame_shift();
        (index, (address - (index << self.frame_shift())) as usize)
    }

    /// Bytes at the start of a frame that a packet must leave free.
    #[inline]
    pub(crate) const fn reserved(self) -> usize {
        if self.has_metadata() { Identity::METADATA } else { 0 }
    }

    #[inline]
    pub(crate) const fn has_metadata(self) -> bool {
        self.0 & 2 != 0
    }
}

/// One frame of a UMEM, in the hands of the program: the right to read and write its bytes.
///
/// It is given away to the kernel by [`FillRing::push`](crate::FillRing::push) and
/// [`TxRing::push`](crate::TxRing::push), and comes back from [`RxRing::receive`](crate::RxRing::receive)
/// and [`CompletionRing::reap`](crate::CompletionRing::reap). There is never a second one for the same
/// frame. It is eight bytes; one that is dropped is lost for as long as its UMEM lives.
#[derive(Debug, PartialEq, Eq)]
#[must_use = "a frame that is dropped is lost for as long as its UMEM lives"]
pub struct Frame {
    umem: Identity,
    index: u32,
}

impl Frame {
    /// The frame's number in its UMEM, from 0.
    #[inline]
    pub fn index(&self) -> u32 {
        self.index
    }

    /// Bytes in the frame.
    #[inline]
    pub fn size(&self) -> usize {
        self.umem.frame_size()
    }

    #[inline]
    pub(crate) fn umem(&self) -> Identity {
        self.umem
    }
}

/// Every frame of a new UMEM, each once.
#[derive(Debug)]
#[must_use = "these are the only frames that the UMEM will ever have"]
pub struct Frames {
    umem: Identity,
    rest: Range<u32>,
}

impl Iterator for Frames {
    type Item = Frame;

    fn next(&mut self) -> Option<Frame> {
        self.rest.next().map(|index| Frame { umem: self.umem, index })
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.rest.size_hint()
    }
}

impl ExactSizeIterator for Frames {}
impl std::iter::FusedIterator for Frames {}

/// Values in the table of owners.
const PROGRAM: u8 = 0;
const KERNEL: u8 = 1;

/// Who has a frame. On a cache line of its own: frames change hands between threads one by one, so neighbours in the
/// UMEM are soon different threads', and two of these on one line would have the threads wait for each other twice for
/// every packet. It takes a 32nd of the UMEM's size at most.
#[derive(Debug)]
#[repr(align(64))]
struct Owner(AtomicU8);

const _: () = assert!(size_of::<Owner>() == 64, "no two owners lie on one line");

/// The memory of a UMEM, divided into frames, and who has each of them.
#[derive(Debug)]
pub(crate) struct Area {
    mapping: Mapping,
    is_huge: bool,
    identity: Identity,
    owners: Box<[Owner]>,
}

impl Area {
    /// Maps memory for `frames` frames (at least one) of 4096 bytes (`is_large`) or 2048.
    pub(crate) fn new(frames: u32, is_large: bool, has_metadata: bool) -> io::Result<(Area, Frames)> {
        let identity = Identity::new(is_large, has_metadata).ok_or(io::ErrorKind::QuotaExceeded)?;
        let length = usize::try_from(frames).ok().and_then(|count| count.checked_mul(identity.frame_size()));
        let length = length.filter(|&length| length > 0 && length <= isize::MAX as usize - HUGE_PAGE);
        let length = length.ok_or(io::ErrorKind::InvalidInput)?;
        let huge =
            Mapping::anonymous(length.next_multiple_of(HUGE_PAGE), libc::MAP_HUGETLB | libc::MAP_HUGE_2MB);
        // Few machines keep huge pages ready. Ordinary ones cost some speed, nothing else.
        let (mapping, is_huge) = match huge {
            Ok(mapping) => (mapping, true),
            Err(_) => (Mapping::anonymous(length, 0)?, false),
        };
        let owners = (0..frames).map(|_| Owner(AtomicU8::new(PROGRAM))).collect();
        let all = Frames { umem: identity, rest: 0..frames };
        Ok((Area { mapping, is_huge, identity, owners }, all))
    }

    pub(crate) fn is_huge(&self) -> bool {
        self.is_huge
    }

    pub(crate) fn identity(&self) -> Identity {
        self.identity
    }

    /// Where the area begins, for the kernel.
    pub(crate) fn address(&self) -> u64 {
        self.mapping.start.addr().get() as u64
    }

    /// Bytes in all frames together.
    pub(crate) fn length(&self) -> u64 {
        self.owners.len() as u64 * self.identity.frame_size() as u64
    }

    pub(crate) fn frames(&self) -> u32 {
        self.owners.len() as u32
    }

    /// How many frames the kernel has; with others pushing and taking, a number of the recent past.
    pub(crate) fn with_kernel(&self) -> u32 {
        self.owners.iter().filter(|owner| owner.0.load(Ordering::Relaxed) == KERNEL).count() as u32
    }

    /// Gives a frame to the kernel; its number goes into a ring.
    ///
    /// # Panics
    ///
    /// If the frame is one of another UMEM.
    #[inline]
    #[track_caller]
    pub(crate) fn surrender(&self, frame: Frame) -> u32 {
        self.check(&frame);
        // Release: what the program did to the frame's bytes comes before whoever claims it next.
        self.owners[frame.index as usize].0.store(KERNEL, Ordering::Release);
        frame.index
    }

    /// Takes a frame back of which a ring says that the kernel has done with it. `None` if it is not in
    /// this UMEM, or not the kernel's to give.
    #[inline]
    pub(crate) fn claim(&self, index: u64) -> Option<Frame> {
        let owner = self.owners.get(usize::try_from(index).ok()?)?;
        // A swap, so that of two threads that are offered the same frame only one gets it. Acquire: pairs
        // with the Release in `surrender`, in case another thread wrote to the frame last.
        if owner.0.swap(PROGRAM, Ordering::Acquire) != KERNEL {
            return None;
        }
        Some(Frame { umem: self.identity, index: index as u32 })
    }

    /// # Panics
    ///
    /// If the frame is one of another UMEM: its number would mean other bytes here.
    #[inline]
    #[track_caller]
    fn check(&self, frame: &Frame) {
        assert!(frame.umem == self.identity, "a frame is used with the UMEM that it came from");
    }

    /// Bytes of a frame; `range` is counted from its start.
    ///
    /// # Panics
    ///
    /// If the frame is one of another UMEM, or the range leaves it.
    #[inline]
    #[track_caller]
    pub(crate) fn bytes<'a>(&'a self, frame: &'a Frame, range: Range<usize>) -> &'a [u8] {
        let start = self.locate(frame, &range);
        // SAFETY: `locate` gave bytes inside one frame of the mapping, which `&'a self` keeps. The frame is
        // the program's, since a `Frame` exists; there is only this one, and `&'a` of it excludes
        // `bytes_mut` and `surrender` for 'a. Mapped memory is initialised: it was zeroed.
        unsafe { slice::from_raw_parts(start.as_ptr(), range.len()) }
    }

    /// As [`bytes`](Area::bytes), for writing.
    #[inline]
    #[track_caller]
    pub(crate) fn bytes_mut<'a>(&'a self, frame: &'a mut Frame, range: Range<usize>) -> &'a mut [u8] {
        let start = self.locate(frame, &range);
        // SAFETY: as in `bytes`, and `&'a mut` of the only `Frame` excludes every other access for 'a.
        unsafe { slice::from_raw_parts_mut(start.as_ptr(), range.len()) }
    }

    #[inline]
    #[track_caller]
    fn locate(&self, frame: &Frame, range: &Range<usize>) -> NonNull<u8> {
        self.check(frame);
        let size = self.identity.frame_size();
        assert!(range.start <= range.end && range.end <= size, "a range lies inside its frame");
        // SAFETY: a frame of this area has an index below `frames`, and frames * size <= the mapping's
        // length (both in `new`); start <= size. So the result is inside the mapping or one past its end.
        unsafe { self.mapping.start.add(frame.index as usize * size + range.start) }
    }
}

/// What lies in a slot of a ring, made of atomics.
///
/// # Safety
///
/// Every pattern of bits is a valid value, the type has no padding, and shared references to it allow no
/// access but by atomic operations.
pub(crate) unsafe trait Slot: Sync {
    /// What is put into a slot and taken out of it.
    type Value: Copy;

    /// An empty slot, for rings that are not the kernel's.
    #[cfg(test)]
    fn empty() -> Self;
    fn get(&self) -> Self::Value;
    fn put(&self, value: Self::Value);
}

// SAFETY: one atomic integer.
unsafe impl Slot for AtomicU64 {
    type Value = u64;

    #[cfg(test)]
    fn empty() -> AtomicU64 {
        AtomicU64::new(0)
    }

    // Relaxed here and below: the indexes of the ring order what is in the slots.
    #[inline]
    fn get(&self) -> u64 {
        self.load(Ordering::Relaxed)
    }

    #[inline]
    fn put(&self, value: u64) {
        self.store(value, Ordering::Relaxed);
    }
}

/// `struct xdp_desc`.
#[derive(Debug)]
#[repr(C)]
pub(crate) struct DescriptorSlot {
    address: AtomicU64,
    length: AtomicU32,
    options: AtomicU32,
}

/// The value of a [`DescriptorSlot`], not yet checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RawDescriptor {
    /// Bytes from the start of the UMEM.
    pub(crate) address: u64,
    /// Bytes.
    pub(crate) length: u32,
    /// `XDP_PKT_CONTD`, `XDP_TX_METADATA`.
    pub(crate) options: u32,
}

// SAFETY: three atomic integers, 8 + 4 + 4 bytes aligned to 8.
unsafe impl Slot for DescriptorSlot {
    type Value = RawDescriptor;

    #[cfg(test)]
    fn empty() -> DescriptorSlot {
        DescriptorSlot { address: AtomicU64::new(0), length: AtomicU32::new(0), options: AtomicU32::new(0) }
    }

    #[inline]
    fn get(&self) -> RawDescriptor {
        RawDescriptor {
            address: self.address.load(Ordering::Relaxed),
            length: self.length.load(Ordering::Relaxed),
            options: self.options.load(Ordering::Relaxed),
        }
    }

    #[inline]
    fn put(&self, value: RawDescriptor) {
        self.address.store(value.address, Ordering::Relaxed);
        self.length.store(value.length, Ordering::Relaxed);
        self.options.store(value.options, Ordering::Relaxed);
    }
}

#[cfg(not(loom))]
const _: () = {
    use std::mem::{offset_of, size_of};
    assert!(size_of::<DescriptorSlot>() == size_of::<libc::xdp_desc>());
    assert!(offset_of!(DescriptorSlot, address) == offset_of!(libc::xdp_desc, addr));
    assert!(offset_of!(DescriptorSlot, length) == offset_of!(libc::xdp_desc, len));
    assert!(offset_of!(DescriptorSlot, options) == offset_of!(libc::xdp_desc, options));
};

/// What keeps the memory of a ring.
#[derive(Debug)]
enum Backing<S> {
    Mapped {
        _mapping: Mapping,
        _slots: std::marker::PhantomData<S>,
    },
    /// Ordinary memory, of which two sides have a share each: a ring without a kernel.
    #[cfg(test)]
    Plain {
        _ring: Arc<PlainRing<S>>,
    },
}

/// The memory of one ring, shared with whoever has its other side.
#[derive(Debug)]
pub(crate) struct RingMemory<S> {
    producer: NonNull<AtomicU32>,
    consumer: NonNull<AtomicU32>,
    flags: NonNull<AtomicU32>,
    slots: NonNull<S>,
    size: u32,
    _backing: Backing<S>,
}

// SAFETY: gives out shared references to atomics only, which any thread may use; `_backing` may be dropped
// on any thread.
unsafe impl<S: Slot> Send for RingMemory<S> {}

impl<S: Slot> RingMemory<S> {
    /// Maps a ring of `size` slots (a power of two) from an AF_XDP socket that has been told that size.
    ///
    /// Fails as mmap(2) does, or with [`io::ErrorKind::InvalidData`] if the kernel's offsets make no sense.
    pub(crate) fn map(
        socket: BorrowedFd<'_>,
        page_offset: u64,
        offsets: &libc::xdp_ring_offset,
        size: u32,
    ) -> io::Result<RingMemory<S>> {
        assert!(size_of::<AtomicU32>() == 4 && align_of::<AtomicU32>() == 4, "no ring of loom's is mapped");
        let invalid = || io::Error::from(io::ErrorKind::InvalidData);
        let place = |offset: u64| usize::try_from(offset).map_err(|_| invalid());
        let slots = place(offsets.desc)?;
        let bytes = usize::try_from(size).ok().and_then(|size| size.checked_mul(size_of::<S>()));
        let length = bytes.and_then(|bytes| bytes.checked_add(slots)).ok_or_else(invalid)?;
        if !size.is_power_of_two() || slots % align_of::<S>() != 0 {
            return Err(invalid());
        }
        let page_offset = libc::off64_t::try_from(page_offset).map_err(|_| invalid())?;
        let mapping = Mapping::of_socket(socket, length, page_offset)?;
        let word = |offset: u64| {
            let offset = place(offset)?;
            let is_inside = offset.checked_add(4).is_some_and(|end| end <= length);
            if !is_inside || offset % 4 != 0 {
                return Err(invalid());
            }
            // SAFETY: inside the mapping, as has just been checked.
            Ok(unsafe { mapping.start.add(offset) }.cast::<AtomicU32>())
        };
        Ok(RingMemory {
            producer: word(offsets.producer)?,
            consumer: word(offsets.consumer)?,
            flags: word(offsets.flags)?,
            // SAFETY: slots <= length, the size of the mapping.
            slots: unsafe { mapping.start.add(slots) }.cast(),
            size,
            _backing: Backing::Mapped { _mapping: mapping, _slots: std::marker::PhantomData },
        })
    }

    /// The number of slots: a power of two.
    #[inline]
    pub(crate) fn size(&self) -> u32 {
        self.size
    }

    /// Counts what was ever put into the ring; the producer's to write.
    #[inline]
    pub(crate) fn producer(&self) -> &AtomicU32 {
        // SAFETY: inside the memory that `_backing` keeps and aligned (checked where the pointer was made);
        // nobody has a `&mut` of it; any bits are a valid integer.
        unsafe { self.producer.as_ref() }
    }

    /// Counts what was ever taken out of the ring; the consumer's to write.
    #[inline]
    pub(crate) fn consumer(&self) -> &AtomicU32 {
        // SAFETY: as for `producer`.
        unsafe { self.consumer.as_ref() }
    }

    /// What the kernel has to tell: `XDP_RING_NEED_WAKEUP`.
    #[inline]
    pub(crate) fn flags(&self) -> &AtomicU32 {
        // SAFETY: as for `producer`.
        unsafe { self.flags.as_ref() }
    }

    /// The slot for the `index`-th entry that was ever put into the ring (modulo 2³²).
    #[inline]
    pub(crate) fn slot(&self, index: u32) -> &S {
        let place = index & (self.size - 1);
        // SAFETY: place < size, a power of two; the memory that `_backing` keeps has as many slots, aligned.
        let slot = unsafe { self.slots.add(place as usize) };
        // SAFETY: as above; nobody has a `&mut` of it, and `Slot` promises that any bits are a value.
        unsafe { slot.as_ref() }
    }
}

/// A ring in ordinary memory.
#[cfg(test)]
#[derive(Debug)]
struct PlainRing<S> {
    producer: AtomicU32,
    consumer: AtomicU32,
    flags: AtomicU32,
    slots: Box<[S]>,
}

#[cfg(test)]
impl<S: Slot> RingMemory<S> {
    /// Both sides' views of a ring in ordinary memory whose indexes start at `first`.
    pub(crate) fn plain(size: u32, first: u32) -> (RingMemory<S>, RingMemory<S>) {
        assert!(size.is_power_of_two());
        let ring = Arc::new(PlainRing {
            producer: AtomicU32::new(first),
            consumer: AtomicU32::new(first),
            flags: AtomicU32::new(0),
            slots: (0..size).map(|_| S::empty()).collect(),
        });
        (RingMemory::view(&ring), RingMemory::view(&ring))
    }

    fn view(ring: &Arc<PlainRing<S>>) -> RingMemory<S> {
        RingMemory {
            producer: NonNull::from(&ring.producer),
            consumer: NonNull::from(&ring.consumer),
            flags: NonNull::from(&ring.flags),
            slots: NonNull::from(&*ring.slots).cast(),
            size: ring.slots.len() as u32,
            _backing: Backing::Plain { _ring: Arc::clone(ring) },
        }
    }
}
