//! Where in a frame a packet lies.
//!
//! ```text
//!  frame   │ free │ request │ packet …………………………… │ free       │
//!          0      └── 24 ───┴ offset ─── length ──▶            2048 or 4096
//! ```
//!
//! A packet longer than a frame is several descriptors one after the other in the ring, all but the last of
//! which *continue*.

use std::error::Error;
use std::fmt;
use std::ops::Range;

use crate::memory::{Frame, Identity, RawDescriptor};
use crate::umem::Umem;

/// A [`Frame`] with the place of a packet, or of a part of one, in it.
///
/// What a descriptor says is always something that the kernel accepts: at least one byte, inside the frame,
/// and behind the room for metadata where the UMEM has that. (What it does not accept it drops, and the
/// frame may never come back.) Only that a packet has too many of them is left to the caller:
/// [`set_continues`](Descriptor::set_continues).
#[derive(Debug, PartialEq, Eq)]
#[must_use = "a frame that is dropped is lost for as long as its UMEM lives"]
pub struct Descriptor {
    frame: Frame,
    offset: u16,
    length: u16,
    continues: bool,
    /// The 24 bytes before the packet ask the device for something.
    has_metadata: bool,
}

/// A place that is not inside a frame, or that holds no byte, or that overlaps the room for metadata.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OutOfFrame;

impl fmt::Display for OutOfFrame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a packet has at least one byte and lies inside its frame, behind the room for metadata")
    }
}

impl Error for OutOfFrame {}

/// Both numbers, if the kernel would accept a packet there.
#[inline]
fn place(umem: Identity, offset: usize, length: usize) -> Result<(u16, u16), OutOfFrame> {
    let is_inside = offset.checked_add(length).is_some_and(|end| end <= umem.frame_size());
    if !is_inside || length == 0 || offset < umem.reserved() {
        return Err(OutOfFrame);
    }
    // Both are at most 4096.
    Ok((offset as u16, length as u16))
}

impl Descriptor {
    /// A packet of `length` bytes, `offset` bytes into the frame. Gives the frame back if it would not fit.
    #[inline]
    pub fn new(frame: Frame, offset: usize, length: usize) -> Result<Descriptor, Frame> {
        match place(frame.umem(), offset, length) {
            Ok((offset, length)) => {
                Ok(Descriptor { frame, offset, length, continues: false, has_metadata: false })
            }
            Err(OutOfFrame) => Err(frame),
        }
    }

    /// The frame, forgetting the packet.
    #[inline]
    pub fn frame(self) -> Frame {
        self.frame
    }

    /// Where in the frame the packet begins, in bytes.
    #[inline]
    pub fn offset(&self) -> usize {
        usize::from(self.offset)
    }

    /// Bytes in this frame; at least 1.
    #[inline]
    #[expect(clippy::len_without_is_empty, reason = "it is never empty")]
    pub fn len(&self) -> usize {
        usize::from(self.length)
    }

    /// Makes the packet shorter, or longer to the right, leaving its bytes as they are.
    ///
    /// Withdraws a [`request_checksum`](Descriptor::request_checksum), which was for another length.
    ///
    /// # Errors
    ///
    /// [`OutOfFrame`] if it would be empty or leave the frame; nothing has changed then.
    #[inline]
    pub fn set_len(&mut self, length: usize) -> Result<(), OutOfFrame> {
        self.set_range(self.offset(), length)
    }

    /// Sets where the packet lies, for instance to put a header before it, leaving its bytes as they are.
    ///
    /// Withdraws a [`request_checksum`](Descriptor::request_checksum), which was for another place.
    ///
    /// # Errors
    ///
    /// [`OutOfFrame`] as for [`Descriptor::new`]; nothing has changed then.
    #[inline]
    pub fn set_range(&mut self, offset: usize, length: usize) -> Result<(), OutOfFrame> {
        (self.offset, self.length) = place(self.frame.umem(), offset, length)?;
        self.has_metadata = false;
        Ok(())
    }

    /// Whether the next descriptor in the ring holds more of the same packet.
    #[inline]
    pub fn continues(&self) -> bool {
        self.continues
    }

    /// Says whether the next descriptor in the ring will hold more of the same packet.
    ///
    /// In copy mode a packet has at most 18 descriptors (CONFIG_MAX_SKB_FRAGS + 1). The kernel drops a longer
    /// one, counts its descriptors as [`tx_invalid`](crate::Statistics::tx_invalid), and completes them.
    #[inline]
    pub fn set_continues(&mut self, continues: bool) {
        self.continues = continues;
    }

    /// Asks the device to complete a checksum when it sends the packet: it sums the bytes from `start` to
    /// the packet's end, which for TCP and UDP includes the pseudo-header's sum that the program has put
    /// into the checksum field, and writes the result `offset` bytes behind `start`. Of a packet in several
    /// descriptors the first one asks.
    ///
    /// Copy mode can do it for every device. With zero copy it is the driver's business; what it can is told
    /// by the netdev family of netlink (`xsk-features`), and one that cannot sends the packet as it is.
    ///
    /// # Errors
    ///
    /// [`OutOfFrame`] if the field is not inside this descriptor, or the UMEM was made without
    /// [`tx_metadata`](crate::UmemOptions::tx_metadata); nothing is asked for then.
    ///
    /// # Panics
    ///
    /// If the frame is one of another UMEM.
    pub fn request_checksum(&mut self, umem: &Umem, start: u16, offset: u16) -> Result<(), OutOfFrame> {
        // The kernel checks the same; it would hold up all packets behind one that fails.
        let field_end = usize::from(start) + usize::from(offset) + 2;
        if field_end > self.len() || !self.frame.umem().has_metadata() {
            return Err(OutOfFrame);
        }
        // struct xsk_tx_metadata: flags, csum_start, csum_offset, the rest for other requests.
        let mut metadata = [0; Identity::METADATA];
        metadata[..8].copy_from_slice(&u64::from(libc::XDP_TXMD_FLAGS_CHECKSUM).to_ne_bytes());
        metadata[8..10].copy_from_slice(&start.to_ne_bytes());
        metadata[10..12].copy_from_slice(&offset.to_ne_bytes());
        let packet = self.offset();
        umem.area()
            .bytes_mut(&mut self.frame, packet - Identity::METADATA..packet)
            .copy_from_slice(&metadata);
        self.has_metadata = true;
        Ok(())
    }

    #[inline]
    pub(crate) fn frame_ref(&self) -> &Frame {
        &self.frame
    }

    #[inline]
    pub(crate) fn frame_mut(&mut self) -> &mut Frame {
        &mut self.frame
    }

    #[inline]
    pub(crate) fn range(&self) -> Range<usize> {
        self.offset()..self.offset() + self.len()
    }

    /// Gives the frame to the kernel; the result goes into a ring.
    #[inline]
    #[track_caller]
    pub(crate) fn surrender(self, umem: &Umem) -> RawDescriptor {
        let (offset, length) = (self.offset, self.length);
        let mut options = 0;
        if self.continues {
            options |= libc::XDP_PKT_CONTD;
        }
        if self.has_metadata {
            options |= libc::XDP_TX_METADATA;
        }
        let index = umem.area().surrender(self.frame);
        let address = umem.area().identity().address(index, offset);
        RawDescriptor { address, length: u32::from(length), options }
    }

    /// Takes a frame back from the kernel that has put a packet into it; `None` if what the ring says makes
    /// no sense.
    #[inline]
    pub(crate) fn claim(umem: &Umem, raw: RawDescriptor) -> Option<Descriptor> {
        let identity = umem.area().identity();
        let (index, offset) = identity.split(raw.address);
        let (offset, length) = place(identity, offset, usize::try_from(raw.length).ok()?).ok()?;
        let frame = umem.area().claim(index)?;
        let continues = raw.options & libc::XDP_PKT_CONTD != 0;
        Some(Descriptor { frame, offset, length, continues, has_metadata: false })
    }
}
