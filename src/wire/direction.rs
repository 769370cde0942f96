//! Which way a packet travels, seen from its connection.

/// From the originator to the responder, or back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Direction {
    /// From the endpoint that sent the first packet seen.
    Original = 0,
    /// Towards it.
    Reply = 1,
}

impl Direction {
    /// Both, in the order of their numbers.
    pub const BOTH: [Direction; 2] = [Direction::Original, Direction::Reply];

    /// The other way.
    pub const fn opposite(self) -> Direction {
        match self {
            Direction::Original => Direction::Reply,
            Direction::Reply => Direction::Original,
        }
    }

    /// The place of this direction's sender in an array of both endpoints.
    pub const fn index(self) -> usize {
        self as usize
    }

    /// The name in JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Direction::Original => "original",
            Direction::Reply => "reply",
        }
    }
}
