//! The UMEM: memory that the program and the kernel hand to each other frame by frame.

use std::fmt;
use std::io;
use std::sync::{Arc, Mutex};

use crate::descriptor::Descriptor;
use crate::memory::{Area, Frame, Frames};
use crate::socket::Bound;

/// Bytes that the kernel leaves free before each packet it receives, beside the headroom.
const PACKET_HEADROOM: u32 = 256;

/// The shape of a [`Umem`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UmemOptions {
    /// Number of frames; at least 1.
    pub frames: u32,
    /// Bytes in a frame: 2048 or 4096. The kernel takes 256 of them, and the headroom, before a packet it
    /// receives; a longer packet needs [`multi_buffer`](crate::BindOptions::multi_buffer).
    pub frame_size: u32,
    /// Bytes before each received packet that the program wants for itself, beside the kernel's 256: less
    /// than `frame_size` - 256.
    pub headroom: u32,
    /// Whether packets may carry requests to the device
    /// ([`Descriptor::request_checksum`]; Linux 6.11). Then every packet that is sent begins at an offset of
    /// at least 24.
    pub tx_metadata: bool,
}

impl Default for UmemOptions {
    /// 4096 frames of 4096 bytes, no headroom, no metadata.
    fn default() -> UmemOptions {
        UmemOptions { frames: 4096, frame_size: 4096, headroom: 0, tx_metadata: false }
    }
}

/// The memory of packets, shared with the kernel.
///
/// A handle: clones mean the same memory, which goes when the last of them and the last ring of its sockets
/// have gone. The first [`bind`](Umem::bind) registers it with the kernel.
///
/// The bytes of a packet are reached with the UMEM and the packet's [`Descriptor`] or [`Frame`]; who has
/// these is the only one who can.
#[derive(Clone)]
pub struct Umem {
    inner: Arc<Inner>,
}

struct Inner {
    area: Area,
    headroom: u32,
    /// Sockets that were bound and may still be: later ones share the UMEM with them.
    bound: Mutex<Vec<Bound>>,
}

impl Umem {
    /// Maps the memory, in huge pages if the system has some ready, and gives it with all its frames.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::InvalidInput`] if the options are not as [`UmemOptions`] says; otherwise as mmap(2):
    /// [`io::ErrorKind::OutOfMemory`].
    pub fn new(options: &UmemOptions) -> io::Result<(Umem, Frames)> {
        let invalid = |reason| Err(io::Error::new(io::ErrorKind::InvalidInput, reason));
        if options.frames == 0 {
            return invalid("a UMEM has at least one frame");
        }
        if options.frame_size != 2048 && options.frame_size != 4096 {
            return invalid("a UMEM's frames have 2048 or 4096 bytes");
        }
        if options.headroom >= options.frame_size - PACKET_HEADROOM {
            return invalid("the headroom is less than the frame size - 256");
        }
        let (area, frames) = Area::new(options.frames, options.frame_size == 4096, options.tx_metadata)?;
        let inner = Inner { area, headroom: options.headroom, bound: Mutex::new(Vec::new()) };
        Ok((Umem { inner: Arc::new(inner) }, frames))
    }

    /// The packet's bytes.
    ///
    /// # Panics
    ///
    /// If the descriptor's frame is one of another UMEM.
    #[inline]
    #[track_caller]
    pub fn bytes<'a>(&'a self, descriptor: &'a Descriptor) -> &'a [u8] {
        self.inner.area.bytes(descriptor.frame_ref(), descriptor.range())
    }

    /// The packet's bytes, for writing.
    ///
    /// # Panics
    ///
    /// If the descriptor's frame is one of another UMEM.
    #[inline]
    #[track_caller]
    pub fn bytes_mut<'a>(&'a self, descriptor: &'a mut Descriptor) -> &'a mut [u8] {
        let range = descriptor.range();
        self.inner.area.bytes_mut(descriptor.frame_mut(), range)
    }

    /// All bytes of a frame, for writing a new packet into it. Then [`Descriptor::new`] says where in the
    /// frame the packet lies.
    ///
    /// # Panics
    ///
    /// If the frame is one of another UMEM.
    #[inline]
    #[track_caller]
    pub fn whole_frame_mut<'a>(&'a self, frame: &'a mut Frame) -> &'a mut [u8] {
        let size = frame.size();
        self.inner.area.bytes_mut(frame, 0..size)
    }

    /// Number of frames.
    pub fn frames(&self) -> u32 {
        self.inner.area.frames()
    }

    /// Bytes in a frame.
    pub fn frame_size(&self) -> usize {
        self.inner.area.identity().frame_size()
    }

    /// The least offset at which a packet that is to be sent may begin in its frame: 0, or 24 with
    /// [`tx_metadata`](UmemOptions::tx_metadata).
    pub fn least_offset(&self) -> usize {
        self.inner.area.identity().reserved()
    }

    /// Whether the memory is in huge pages.
    pub fn is_huge(&self) -> bool {
        self.inner.area.is_huge()
    }

    /// How many frames the kernel has: in the rings or in its hands. All others are the program's. Counts
    /// the whole table: for tests and statistics, not for every packet.
    pub fn frames_with_kernel(&self) -> u32 {
        self.inner.area.with_kernel()
    }

    #[inline]
    pub(crate) fn area(&self) -> &Area {
        &self.inner.area
    }

    pub(crate) fn headroom(&self) -> u32 {
        self.inner.headroom
    }

    pub(crate) fn bound(&self) -> &Mutex<Vec<Bound>> {
        &self.inner.bound
    }
}

impl fmt::Debug for Umem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Umem")
            .field("frames", &self.frames())
            .field("frame_size", &self.frame_size())
            .field("is_huge", &self.is_huge())
            .finish_non_exhaustive()
    }
}
