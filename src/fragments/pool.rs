//! A fixed number of things to borrow from and give back to, by index; and queues through them.

/// No index: the end of a list.
pub(super) const NONE: u32 = u32::MAX;

/// `T`s allocated once. An index that was taken stays valid until it is given back.
#[derive(Debug, Clone)]
pub(super) struct Pool<T> {
    items: Vec<T>,
    free: Vec<u32>,
}

impl<T: Clone> Pool<T> {
    /// A pool of `size` copies of `item`.
    pub(super) fn new(size: u32, item: T) -> Pool<T> {
        Pool { items: vec![item; size as usize], free: (0..size).rev().collect() }
    }

    /// One that is not in use, as it was left; none if all are.
    pub(super) fn take(&mut self) -> Option<u32> {
        self.free.pop()
    }

    /// Gives back what [`Pool::take`] gave, once.
    pub(super) fn give_back(&mut self, index: u32) {
        self.free.push(index);
    }

    /// How many are in use.
    pub(super) fn used(&self) -> u32 {
        (self.items.len() - self.free.len()) as u32
    }

    pub(super) fn get(&self, index: u32) -> &T {
        &self.items[index as usize]
    }

    pub(super) fn get_mut(&mut self, index: u32) -> &mut T {
        &mut self.items[index as usize]
    }
}

/// What can stand in a [`Queue`].
pub(super) trait Linked {
    fn links(&mut self) -> &mut Links;
}

/// The neighbours in a queue.
#[derive(Debug, Clone, Copy)]
pub(super) struct Links {
    previous: u32,
    next: u32,
}

impl Links {
    pub(super) const NONE: Links = Links { previous: NONE, next: NONE };
}

/// A queue through the items of a pool: first in, first out, and out of the middle. Each item stands in
/// at most one queue.
#[derive(Debug, Clone)]
pub(super) struct Queue {
    first: u32,
    last: u32,
    length: u32,
}

impl Queue {
    pub(super) const EMPTY: Queue = Queue { first: NONE, last: NONE, length: 0 };

    pub(super) fn first(&self) -> Option<u32> {
        (self.first != NONE).then_some(self.first)
    }

    pub(super) fn len(&self) -> u32 {
        self.length
    }

    /// Appends `index`, which stands in no queue.
    pub(super) fn append<T: Linked + Clone>(&mut self, pool: &mut Pool<T>, index: u32) {
        *pool.get_mut(index).links() = Links { previous: self.last, next: NONE };
        match self.last {
            NONE => self.first = index,
            last => pool.get_mut(last).links().next = index,
        }
        self.last = index;
        self.length += 1;
    }

    /// Removes `index`, which stands in this queue.
    pub(super) fn remove<T: Linked + Clone>(&mut self, pool: &mut Pool<T>, index: u32) {
        let Links { previous, next } = *pool.get_mut(index).links();
        match previous {
            NONE => self.first = next,
            previous => pool.get_mut(previous).links().next = next,
        }
        match next {
            NONE => self.last = previous,
            next => pool.get_mut(next).links().previous = previous,
        }
        self.length -= 1;
    }
}
