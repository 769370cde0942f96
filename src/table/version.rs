//! A sequence counter: how one thread writes a connection while others read it, without either waiting.
//!
//! ```text
//!  writer   version ─ odd ── words… ── even ─────────────▶
//!  reader                ▲ sees odd: again   ▲ even, copies the words, still the same: a true copy
//! ```
//!
//! The counter is even while the words it guards are at rest and odd while they are being written. It
//! never goes back, not even when its connection is removed and the place is used again, so a copy that
//! began in one connection cannot end in the next. (It wraps after 2^31 writes: a reader would have to
//! be held up for exactly as many within one copy to be misled.)
//!
//! Who may call: [`Version::write`] the one thread that owns the table; [`Version::read`] any thread.
//! The guarded words are atomics themselves, moved with `Relaxed`: on every machine a plain move.
//!
//! The pairings, which `loom_tests` below tries in every order:
//!
//! - R1: the reader's first load (acquire) pairs with W3, the writer's closing store (release): an even
//!   version is seen only together with the words written before it.
//! - R3: the reader's fence (acquire) pairs with W2, the writer's fence (release): a word of a write
//!   under way is seen only together with the odd version that announced it, so the reload differs.

use super::sync::{AtomicU32, Ordering, fence, pause};

/// The counter; zero, as fresh memory is, means at rest and never written.
#[derive(Debug, Default)]
#[repr(transparent)]
pub(super) struct Version(AtomicU32);

impl Version {
    /// Runs `change`, which may store to the guarded words, as one write. Only the owner may call.
    #[inline(always)]
    pub(super) fn write<R>(&self, change: impl FnOnce() -> R) -> R {
        let before = self.0.load(Ordering::Relaxed);
        let open = Open { version: self, after: before.wrapping_add(2) };
        self.0.store(before.wrapping_add(1), Ordering::Relaxed); // W1
        fence(Ordering::Release); // W2, pairs with R3
        let result = change();
        drop(open);
        result
    }

    /// The value of `copy`, which may load the guarded words, from a moment when no write was under way.
    ///
    /// Repeats `copy` until it was not disturbed; what a disturbed one returned is thrown away.
    pub(super) fn read<R>(&self, mut copy: impl FnMut() -> R) -> R {
        let mut attempts = 0;
        loop {
            let before = self.0.load(Ordering::Acquire); // R1, pairs with W3
            if before & 1 == 0 {
                let result = copy();
                fence(Ordering::Acquire); // R3, pairs with W2
                if self.0.load(Ordering::Relaxed) == before {
                    return result;
                }
            }
            pause(&mut attempts);
        }
    }
}

/// A write under way; its end makes the version even again, even if the change panicked: readers would
/// otherwise wait for ever.
struct Open<'a> {
    version: &'a Version,
    after: u32,
}

impl Drop for Open<'_> {
    #[inline(always)]
    fn drop(&mut self) {
        self.version.0.store(self.after, Ordering::Release); // W3, pairs with R1
    }
}

#[cfg(all(test, loom))]
mod loom_tests {
    use std::sync::atomic::{AtomicBool, Ordering::SeqCst};

    use loom::{sync::Arc, thread};

    use super::super::sync::{AtomicU64, Ordering};
    use super::*;

    #[derive(Default)]
    struct Guarded {
        version: Version,
        words: [AtomicU64; 2],
    }

    impl Guarded {
        fn set(&self, value: u64) {
            self.version.write(|| self.words.each_ref().map(|word| word.store(value, Ordering::Relaxed)));
        }

        fn get(&self) -> [u64; 2] {
            self.version.read(|| self.words.each_ref().map(|word| word.load(Ordering::Relaxed)))
        }
    }

    #[test]
    fn a_copy_is_of_one_write_in_every_interleaving() {
        loom::model(|| {
            let guarded = Arc::new(Guarded::default());
            let reader = thread::spawn({
                let guarded = Arc::clone(&guarded);
                move || guarded.get()
            });
            guarded.set(1);
            guarded.set(2);
            let [first, second] = reader.join().expect("the reader does not panic");
            assert_eq!(first, second, "a torn copy");
        });
    }

    /// Loom must be able to find a torn copy, or the tests above prove nothing: without the version it does.
    #[test]
    fn without_the_version_a_copy_is_torn() {
        static TORN: AtomicBool = AtomicBool::new(false);
        loom::model(|| {
            let guarded = Arc::new(Guarded::default());
            let reader = thread::spawn({
                let guarded = Arc::clone(&guarded);
                move || guarded.words.each_ref().map(|word| word.load(Ordering::Relaxed))
            });
            guarded.set(1);
            let [first, second] = reader.join().expect("the reader does not panic");
            TORN.fetch_or(first != second, SeqCst);
        });
        assert!(TORN.load(SeqCst));
    }
}
