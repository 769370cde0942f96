//! What a connection is looked up by, and the keyed hash of it.
//!
//! ```text
//!  Key  source ─ source_port ┐ unordered        ┌ 63 …    home bucket: multiply-shift, from the top
//!       destination ─ port   ┘ pair   ─ ahash ─▶┤
//!       protocol, zone         as they are      └ 15 … 1  tag in the bucket
//! ```
//!
//! Both directions of a connection have the same hash because the two endpoints are put in an order of
//! their own before they are hashed. The hash's keys are drawn when the table is made: whoever does not
//! know them cannot choose tuples that fall together (tests.rs measures it).

use std::hash::{BuildHasher, Hasher};
use std::io;

use ahash::RandomState;

use super::connection::Sense;
use super::identity::Identity;

/// What a packet says about the connection it belongs to, seen from the packet: source and destination. It does not
/// need the frame any more: the packet may be judged when others have been read meanwhile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Key {
    pub(super) identity: Identity,
    /// Source and destination address of IPv6, each in [`halves`].
    pub(super) v6: Option<([u64; 2], [u64; 2])>,
}

impl Key {
    /// What stands for the key of something without one; it equals no other, and no place matches it.
    pub const NOBODYS: Key = Key { identity: Identity::NOBODYS, v6: None };

    /// An IPv4 key; source and destination are an address (host order) and a port, or what stands for it in a protocol
    /// without ports. The same tuple in two zones (bridge, VLAN) is two connections.
    #[inline(always)]
    pub const fn v4(source: (u32, u16), destination: (u32, u16), protocol: u8, zone: u16) -> Key {
        Key { identity: Identity::new(source, destination, protocol, zone, false), v6: None }
    }

    /// An IPv6 key; source and destination are an address (as in the frame) and a port.
    ///
    /// Each address also appears folded to 32 bits, so that most comparisons end in the connection's
    /// first cache line; the hash and the final comparison take all 128.
    #[inline(always)]
    pub fn v6(source: (&[u8; 16], u16), destination: (&[u8; 16], u16), protocol: u8, zone: u16) -> Key {
        let ends = (halves(source.0), halves(destination.0));
        let identity =
            Identity::new((fold(ends.0), source.1), (fold(ends.1), destination.1), protocol, zone, true);
        Key { identity, v6: Some(ends) }
    }

    /// The same key, seen from the other side.
    pub fn reversed(&self) -> Key {
        let v6 = self.v6.map(|(source, destination)| (destination, source));
        Key { identity: self.identity.turned(Sense::Backward), v6 }
    }

    /// Whether its addresses are IPv6.
    #[inline(always)]
    pub const fn is_v6(&self) -> bool {
        self.v6.is_some()
    }
}

/// The four 32-bit words of an address, combined by exclusive or.
#[inline(always)]
fn fold([high, low]: [u64; 2]) -> u32 {
    let both = high ^ low;
    (both ^ (both >> 32)) as u32
}

/// An IPv6 address as two words, in the machine's own byte order.
#[inline(always)]
pub(super) fn halves(address: &[u8; 16]) -> [u64; 2] {
    let word = u128::from_ne_bytes(*address);
    [word as u64, (word >> 64) as u64]
}

/// The inverse of [`halves`].
pub(super) fn joined(halves: [u64; 2]) -> [u8; 16] {
    whole(halves).to_ne_bytes()
}

#[inline(always)]
fn whole([low, high]: [u64; 2]) -> u128 {
    u128::from(low) | u128::from(high) << 64
}

/// The secret that a table's hash depends on.
#[derive(Clone, Copy)]
pub struct HashKeys(pub [u64; 4]);

impl std::fmt::Debug for HashKeys {
    /// Keeps the secret.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("HashKeys(..)")
    }
}

impl HashKeys {
    /// Keys from the operating system's source of randomness; fails where it has none.
    pub fn random() -> io::Result<HashKeys> {
        let mut keys = [0; 4];
        for key in &mut keys {
            *key = getrandom::u64()?;
        }
        Ok(HashKeys(keys))
    }
}

/// The hash of a [`Key`] under one table's keys: where the search begins, and the tag.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hash(pub(super) u64);

impl Hash {
    /// What stands for the hash of something without a key: to be looked for in vain is all it is good for.
    pub const NOBODYS: Hash = Hash(0);

    /// The first bucket to look at, of `buckets`: multiply-shift, so that their number is free.
    #[inline(always)]
    pub(super) const fn home(self, buckets: u32) -> u32 {
        ((self.0 as u128 * buckets as u128) >> 64) as u32
    }

    /// The tag: fifteen bits, and one that is set, since zero marks an empty slot.
    #[inline(always)]
    pub(super) const fn tag(self) -> u16 {
        self.0 as u16 | 1
    }
}

/// The keyed hash function of one table.
#[derive(Debug, Clone)]
pub(super) struct KeyedHash(RandomState);

impl KeyedHash {
    pub(super) fn new(HashKeys([a, b, c, d]): HashKeys) -> KeyedHash {
        KeyedHash(RandomState::with_seeds(a, b, c, d))
    }

    /// The hash of `key`, and of the same key seen from the other direction.
    #[inline(always)]
    pub(super) fn hash(&self, key: &Key) -> Hash {
        let mut hasher = self.0.build_hasher();
        match key.v6 {
            None => hash_v4(&mut hasher, key),
            Some(addresses) => hash_v6(&mut hasher, key, addresses),
        }
        Hash(hasher.finish())
    }
}

/// An endpoint is 48 bits: protocol and zone fill the pair up to 128, which are one write.
#[inline(always)]
fn hash_v4(hasher: &mut impl Hasher, key: &Key) {
    let (source, destination) = key.identity.endpoints();
    let lower = source.min(destination) | u64::from(key.identity.protocol()) << 48;
    let upper = source.max(destination) | u64::from(key.identity.zone()) << 48;
    hasher.write_u128(u128::from(lower) | u128::from(upper) << 64);
}

/// The endpoints change places by exclusive or under a mask: directions alternate at random, and a
/// branch would be mispredicted every other packet.
#[inline(always)]
fn hash_v6(hasher: &mut impl Hasher, key: &Key, (source, destination): ([u64; 2], [u64; 2])) {
    let (source, destination) = (whole(source), whole(destination));
    let identity = key.identity;
    let (source_port, destination_port) =
        (u64::from(identity.originator().1), u64::from(identity.responder().1));
    let is_upper = (source > destination) | ((source == destination) & (source_port > destination_port));
    let addresses = (source ^ destination) & u128::from(is_upper).wrapping_neg();
    let ports = (source_port ^ destination_port) & u64::from(is_upper).wrapping_neg();
    hasher.write_u128(source ^ addresses);
    hasher.write_u128(destination ^ addresses);
    let ports = (source_port ^ ports) | (destination_port ^ ports) << 16;
    hasher.write_u64(ports | u64::from(identity.protocol()) << 32 | u64::from(identity.zone()) << 48);
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    const A: [u8; 16] = [0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];
    const B: [u8; 16] = [0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2];

    #[test]
    fn both_directions_hash_alike_even_between_equal_addresses() {
        let hash = KeyedHash::new(HashKeys([1, 2, 3, 4]));
        for (a, b) in [((9, 80), (7, 4000)), ((7, 80), (7, 4000))] {
            assert_eq!(hash.hash(&Key::v4(a, b, 6, 0)), hash.hash(&Key::v4(b, a, 6, 0)));
        }
        for (a, b) in [((&A, 80), (&B, 4000)), ((&A, 80), (&A, 4000))] {
            assert_eq!(hash.hash(&Key::v6(a, b, 6, 0)), hash.hash(&Key::v6(b, a, 6, 0)));
        }
    }

    #[test]
    fn ports_stay_with_their_addresses() {
        let hash = KeyedHash::new(HashKeys([1, 2, 3, 4]));
        assert_ne!(hash.hash(&Key::v4((9, 80), (7, 81), 6, 0)), hash.hash(&Key::v4((9, 81), (7, 80), 6, 0)));
        assert_ne!(
            hash.hash(&Key::v6((&A, 80), (&B, 81), 6, 0)),
            hash.hash(&Key::v6((&A, 81), (&B, 80), 6, 0))
        );
    }

    #[test]
    fn protocol_zone_and_keys_change_the_hash() {
        let hash = KeyedHash::new(HashKeys([1, 2, 3, 4]));
        let other = KeyedHash::new(HashKeys([1, 2, 3, 5]));
        let v4 = |protocol, zone| Key::v4((9, 80), (7, 4000), protocol, zone);
        let v6 = |protocol, zone| Key::v6((&A, 80), (&B, 4000), protocol, zone);
        for key in [v4, v6 as fn(u8, u16) -> Key] {
            assert_ne!(hash.hash(&key(6, 0)), hash.hash(&key(17, 0)));
            assert_ne!(hash.hash(&key(6, 0)), hash.hash(&key(6, 1)));
            assert_ne!(hash.hash(&key(6, 0)), other.hash(&key(6, 0)));
        }
    }

    #[test]
    fn every_hash_has_a_home_and_a_tag() {
        for buckets in [121, 1_000_003, u32::MAX] {
            for hash in [0, 1, u64::MAX, 0x1234_5678_9abc_def0].map(Hash) {
                assert!(hash.home(buckets) < buckets);
                assert_ne!(hash.tag(), 0);
            }
        }
    }
}
