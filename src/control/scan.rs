//! Every connection of all shards that fits a filter, each shard as it was at one moment.

use std::sync::Arc;

use super::filter::Filter;
use super::protocol::Missed;
use crate::shard::Record;
use crate::table::Index;
use crate::time::Time;
use crate::view::View;
use crate::view::events::Listener;
use crate::view::listing::{Listing, Step};

/// How often a worker is asked whether its turn is over before the answer is put off: turns take microseconds.
const SPINS: u32 = 200;

/// A listing of all shards under way, one after the other; those that wait keep up with their events.
#[derive(Debug)]
pub(super) struct Scan {
    listings: Vec<Listing>,
    filter: Filter,
    /// Each shard's, once all are known.
    sequences: Vec<u64>,
    /// The listing whose turn it is.
    at: usize,
}

/// What a scan has to say.
#[derive(Debug)]
pub(super) enum Scanned {
    /// A connection that fits, whose view it belongs to, and its place.
    Found(Arc<View>, Index, Record),
    /// A connection that does not fit.
    Other,
    /// It waits for a worker's turn to end.
    Waiting,
    /// That was all.
    Done,
}

impl Scan {
    pub(super) fn new(workers: &[Arc<View>], filter: Filter) -> Scan {
        let listings = workers.iter().map(|view| Listing::new(Arc::clone(view))).collect();
        Scan { listings, filter, sequences: Vec::new(), at: 0 }
    }

    /// Each shard's event number at its moment; none as long as that is not certain.
    pub(super) fn sequences(&mut self) -> Option<&[u64]> {
        if self.sequences.len() < self.listings.len() {
            let known: Option<Vec<u64>> = self.listings.iter_mut().map(sequence).collect();
            self.sequences = known?;
            // The others are numbered, but not read.
            let filter = &self.filter;
            self.listings.retain(|listing| filter.admits_shard(listing.view().number));
        }
        Some(&self.sequences)
    }

    pub(super) fn step(&mut self, latest: Time) -> Scanned {
        if self.sequences().is_none() {
            return Scanned::Waiting;
        }
        for _ in 0..SPINS {
            let Some(listing) = self.listings.get_mut(self.at) else { return Scanned::Done };
            match listing.step(latest) {
                Step::Found(index, record) if self.filter.fits(&record) => {
                    return Scanned::Found(Arc::clone(listing.view()), index, record);
                }
                Step::Found(..) | Step::Going => return Scanned::Other,
                Step::Waiting => std::hint::spin_loop(),
                Step::Done => self.at += 1,
            }
        }
        Scanned::Waiting
    }

    /// To be called now and then, so that listings whose turn has not come miss nothing.
    pub(super) fn keep_up(&mut self) {
        for listing in self.listings.iter_mut().skip(self.at + 1) {
            listing.keep_up();
        }
    }

    /// The events because of which it was not exact, once it is done.
    pub(super) fn missed(&self) -> impl Iterator<Item = Missed> + '_ {
        self.listings.iter().filter_map(|listing| {
            let (from, to) = listing.missed()?;
            Some(Missed { shard: listing.view().number, from, to })
        })
    }

    /// Listens to what came behind it, and on.
    pub(super) fn into_listeners(self) -> Vec<(Arc<View>, Listener)> {
        let views = self.listings.into_iter();
        views.map(|listing| (Arc::clone(listing.view()), listing.into_listener())).collect()
    }
}

fn sequence(listing: &mut Listing) -> Option<u64> {
    (0..SPINS).find_map(|_| {
        std::hint::spin_loop();
        listing.sequence()
    })
}
