// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// Brings every frame of an interface to the AF_XDP socket of the worker that owns its connection.
//
//   frame ─ link, VLAN tags ─ IPv4 │ IPv6, extension headers ─ ports ─► hash ─┐
//                                    └ ICMP error: the packet it quotes ┘     │
//   queue ──────────────────────────► key = queue * workers + hash % workers ◄┘
//                                      └► sockets[key]: redirect;  none there: drop, and count
//
// The hash is the one that src/shard/steering.rs spells out, of what src/wire reads. Both must agree, or the
// two directions of a connection meet different workers; tests/wire/steering.rs holds them against each
// other, frame by frame. What may differ, because it belongs to no connection in either: packets with a
// wrong checksum or malformed options, which are not looked at here, and jumbograms.
//
// Nothing is passed on to the host's own stack, whatever it is: behind a firewall that would be the way
// around it.
//
// Built by tools/build-xdp, which also checks that steer.bpf.o was made of this text. Nothing is included, so
// that clang alone builds it. Headers are copied out of the packet field by field, at whatever address they
// lie: the architectures with AF_XDP drivers read words from there.

typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;

#define SECTION(name) __attribute__((section(name), used))
#define INLINE static inline __attribute__((always_inline))
#define from_be16(number) __builtin_bswap16(number)
#define from_be32(number) __builtin_bswap32(number)

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "build it with -target bpfel"
#endif

const char terms[] SECTION("license") = "Dual MIT/GPL";

// By this tools/build-xdp recognises the text that the object was made of.
const char source_sha256[] SECTION("source") = SOURCE_SHA256;

// --- What the kernel offers: linux/bpf.h ---

struct xdp_md {
    u32 data;
    u32 data_end;
    u32 data_meta;
    u32 ingress_ifindex;
    u32 rx_queue_index;
    u32 egress_ifindex;
};

struct map {
    u32 type;
    u32 key_size;
    u32 value_size;
    u32 max_entries;
    u32 flags;
};

enum map_type { PERCPU_ARRAY = 6, XSKMAP = 17 };
enum action { XDP_DROP = 1 };

static void *(*const bpf_map_lookup_elem)(void *map, const void *key) = (void *)1;
static long (*const bpf_redirect_map)(void *map, u64 key, u64 flags) = (void *)51;
static u64 (*const bpf_xdp_get_buff_len)(struct xdp_md *frame) = (void *)188;
static long (*const bpf_xdp_load_bytes)(struct xdp_md *frame, u32 at, void *into, u32 length) = (void *)189;

// --- What the loader sets: src/xdp/program.rs ---

// The zone of the port, which its connections have in common.
volatile const u32 zone = 0;
// How many workers share a queue; with one there is nothing to choose.
volatile const u32 workers = 1;
// Tests only: the action is the key. As the kernel knows the value when it checks the program, the branch
// costs nothing where it is not taken.
volatile const u32 answer_with_key = 0;

// The workers' sockets: queues * workers of them.
struct map sockets SECTION("maps") = {XSKMAP, sizeof(u32), sizeof(u32), 1, 0};
// Frames dropped on this CPU because no socket had their key.
struct map missed SECTION("maps") = {PERCPU_ARRAY, sizeof(u32), sizeof(u64), 1, 0};

// --- Frames ---

enum {
    ETHERNET = 14,
    // Tags and extension headers beyond these are not looked behind: the verifier wants a bound, and follows
    // every path up to it. RFC 8200 section 4.1 knows of seven headers; frames with more than eight reach
    // a worker all the same, which hands them over.
    MOST_TAGS = 8,
    MOST_EXTENSIONS = 8,
    // The farthest offset that the verifier lets be added to a packet's address, less any header.
    FARTHEST = 0x7fff,
    // Beyond the end of any frame.
    ANYWHERE = 0x1ffff,
};

enum ether_type { IPV4 = 0x0800, IPV6 = 0x86dd, CUSTOMER_TAG = 0x8100, SERVICE_TAG = 0x88a8, OLD_TAG = 0x9100 };

enum protocol {
    HOP_BY_HOP = 0,
    ICMP = 1,
    TCP = 6,
    UDP = 17,
    ROUTING = 43,
    FRAGMENT = 44,
    AUTHENTICATION = 51,
    ICMPV6 = 58,
    DESTINATION_OPTIONS = 60,
    MOBILITY = 135,
    HOST_IDENTITY = 139,
    SHIM6 = 140,
};

struct vlan_tag {
    u16 id;
    u16 ether_type;
};

struct ipv4 {
    u8 version_and_words;
    u8 service;
    u16 total;
    u16 id;
    u16 fragmentation;
    u8 ttl;
    u8 protocol;
    u16 checksum;
    u32 source;
    u32 destination;
};

struct ipv6 {
    u8 version_and_class;
    u8 class_and_flow;
    u16 flow;
    u16 payload;
    u8 next_header;
    u8 hops;
    u32 source[4];
    u32 destination[4];
};

struct extension {
    u8 next_header;
    u8 length;
    u16 fragmentation;
    u32 id;
};

struct ports {
    u16 source;
    u16 destination;
};

struct icmp {
    u8 type;
    u8 code;
    u16 checksum;
    u16 id;
    u16 sequence;
};

// Reads a header that begins `at` bytes into the frame; whether it is there. Headers are nearly always in the
// frame's first buffer; what lies in the others only the helper can reach.
#define READ(frame, at, header)                                                                     \
    ({                                                                                              \
        u64 offset = (at);                                                                          \
        const void *begin = (const void *)(u64)(frame)->data;                                       \
        const void *end = (const void *)(u64)(frame)->data_end;                                     \
        int is_there;                                                                               \
        if (offset <= FARTHEST && begin + offset + sizeof(*(header)) <= end) {                      \
            *(header) = *(const typeof(*(header)) *)(begin + offset);                               \
            is_there = 1;                                                                           \
        } else {                                                                                    \
            is_there = bpf_xdp_load_bytes((frame), offset, (header), sizeof(*(header))) == 0;       \
        }                                                                                           \
        is_there;                                                                                   \
    })

// An offset, of which the verifier knows nothing any more. It follows each path through the program for each value
// that it can tell apart; after a loop over headers those would be more than it has patience for. What is
// added is zero, but two loads are two unknown numbers to it.
INLINE u32 forgotten(struct xdp_md *frame, u32 at)
{
    const volatile u32 *number = &frame->rx_queue_index;
    return (at + (*number - *number)) & ANYWHERE;
}

// The length of the whole frame, of which at least `needed` bytes are of interest. Only frames in several
// buffers, and truncated ones, need to ask.
INLINE u32 frame_length(struct xdp_md *frame, u32 needed)
{
    u32 first = frame->data_end - frame->data;
    return needed <= first ? first : bpf_xdp_get_buff_len(frame);
}

// --- Tuples ---

// What is hashed. The hash treats both sides alike, so that their sums are all it needs.
struct tuple {
    u32 addresses;
    u32 ports;
    u32 protocol;
};

// What was found of a tuple.
enum found {
    // Not even addresses: the hash is 0.
    NOTHING,
    // As much as there is.
    TUPLE,
    // An ICMP error about the packet that it quotes.
    QUOTE,
};

// Where in the frame a packet stands, and what it is.
struct place {
    // Where its header begins; once that is read, where what follows begins.
    u32 at;
    // Where the packet ends: as its header states, or with the frame. Of a quote: where the error ends, for
    // what a quote states is not held against it.
    u32 end;
    // Quoted by an ICMP error.
    int is_quote;
    // The packet is malformed, but its ports can be read.
    int is_malformed;
};

// An ICMP query's request type, or what else a type is.
enum { ERROR = 256, CONTROL, UNDEFINED };

// The same table as in src/wire/icmp.rs.
INLINE u32 icmp_class(u32 type)
{
    switch (type) {
    case 0:
    case 8:
        return 8;
    case 13:
    case 15:
    case 17:
    case 42:
        return type;
    case 14:
    case 16:
    case 18:
    case 43:
        return type - 1;
    case 3:
    case 4:
    case 5:
    case 11:
    case 12:
        return ERROR;
    case 9:
    case 10:
    case 30:
    case 40:
        return CONTROL;
    default:
        return UNDEFINED;
    }
}

INLINE u32 icmpv6_class(u32 type)
{
    if (type == 128 || type == 160)
        return type;
    if (type == 129 || type == 161)
        return type - 1;
    if (type >= 1 && type <= 4)
        return ERROR;
    return type >= 130 && type <= 159 ? CONTROL : UNDEFINED;
}

// The transport header. `own_icmp` is the protocol number of the IP version's ICMP.
INLINE enum found transport(struct xdp_md *frame, struct place *place, u32 own_icmp, struct tuple *tuple)
{
    u32 left = place->end - place->at;
    if (tuple->protocol == TCP || tuple->protocol == UDP) {
        struct ports ports;
        // Of a quoted segment also the sequence number must be there.
        u32 needed = place->is_quote && tuple->protocol == TCP ? 8 : sizeof(ports);
        if (left >= needed && READ(frame, place->at, &ports))
            tuple->ports = from_be16(ports.source) + from_be16(ports.destination);
    } else if (tuple->protocol == own_icmp && !place->is_malformed) {
        struct icmp icmp;
        if (left < sizeof(icmp) || !READ(frame, place->at, &icmp))
            return TUPLE;
        u32 class = own_icmp == ICMP ? icmp_class(icmp.type) : icmpv6_class(icmp.type);
        if (class < ERROR) {
            tuple->ports = class + from_be16(icmp.id);
        } else if (!place->is_quote && class == ERROR) {
            place->at += sizeof(icmp);
            return QUOTE;
        } else if (!place->is_quote && class == CONTROL) {
            // Not tracked.
            tuple->protocol = 0;
        }
    }
    return TUPLE;
}

// Whether a fragment of these many bytes can be one (RFC 791 section 3.2, RFC 8200 section 4.5).
INLINE int is_possible_fragment(u32 offset, int more, u32 length)
{
    return length > 0 && (!more || length % 8 == 0) && offset + length <= 65535;
}

INLINE enum found ipv4(struct xdp_md *frame, struct place *place, struct tuple *tuple)
{
    struct ipv4 header;
    if ((place->is_quote && place->end - place->at < sizeof(header)) || !READ(frame, place->at, &header))
        return NOTHING;
    u32 length = (header.version_and_words & 0x0f) * 4;
    if (header.version_and_words >> 4 != 4 || length < sizeof(header))
        return NOTHING;
    *tuple = (struct tuple){from_be32(header.source) + from_be32(header.destination), 0, header.protocol};
    u32 fragmentation = from_be16(header.fragmentation);
    u32 offset = (fragmentation & 0x1fff) * 8;
    if (!place->is_quote) {
        u32 total = from_be16(header.total);
        u32 stated_end = place->at + total;
        place->end = frame_length(frame, place->at + (total < length ? length : total));
        if (place->end - place->at < length || total < length)
            return TUPLE;
        if (stated_end > place->end) {
            place->is_malformed = 1;
        } else {
            place->end = stated_end;
            if (fragmentation & 0x3fff) {
                if (is_possible_fragment(offset, fragmentation & 0x2000, total - length)) {
                    tuple->protocol = 0;
                    return TUPLE;
                }
                place->is_malformed = 1;
            }
        }
    } else if (place->end - place->at < length) {
        return TUPLE;
    }
    place->at += length;
    // Only the beginning of a datagram has ports.
    return offset ? TUPLE : transport(frame, place, ICMP, tuple);
}

INLINE int is_extension(u32 protocol)
{
    return protocol == HOP_BY_HOP || protocol == ROUTING || protocol == FRAGMENT ||
           protocol == AUTHENTICATION || protocol == DESTINATION_OPTIONS || protocol == MOBILITY ||
           protocol == HOST_IDENTITY || protocol == SHIM6;
}

// Where a walk along extension headers ended.
struct chain {
    // The upper layer was reached, or a fragment header.
    int is_whole;
    // The fields of the fragment header, if it is really a fragment's.
    int is_fragment;
    int more;
    u32 offset;
};

INLINE struct chain walk(struct xdp_md *frame, struct place *place, struct tuple *tuple)
{
    struct chain chain = {};
    for (int walked = 0; walked < MOST_EXTENSIONS; walked++) {
        struct extension header;
        u32 left = place->end - place->at;
        if (!is_extension(tuple->protocol)) {
            chain.is_whole = 1;
            return chain;
        }
        // Hop-by-hop options stand first or nowhere.
        if (tuple->protocol == HOP_BY_HOP && walked > 0)
            return chain;
        if (left < sizeof(header) || !READ(frame, place->at, &header))
            return chain;
        u32 length = (header.length + 1) * 8;
        if (tuple->protocol == FRAGMENT) {
            length = sizeof(header);
        } else if (tuple->protocol == AUTHENTICATION) {
            if (header.length == 0)
                return chain;
            length = (header.length + 2) * 4;
        }
        if (left < length)
            return chain;
        place->at = forgotten(frame, place->at + length);
        u32 fragmentation = from_be16(header.fragmentation);
        // With neither offset nor more to come it is a whole datagram (RFC 6946).
        if (tuple->protocol == FRAGMENT && (fragmentation & 0xfff9)) {
            tuple->protocol = header.next_header;
            return (struct chain){1, 1, fragmentation & 1, fragmentation & 0xfff8};
        }
        tuple->protocol = header.next_header;
    }
    chain.is_whole = !is_extension(tuple->protocol);
    return chain;
}

INLINE u32 fold(const u32 address[4])
{
    return from_be32(address[0] ^ address[1] ^ address[2] ^ address[3]);
}

INLINE enum found ipv6(struct xdp_md *frame, struct place *place, struct tuple *tuple)
{
    struct ipv6 header;
    if ((place->is_quote && place->end - place->at < sizeof(header)) || !READ(frame, place->at, &header))
        return NOTHING;
    if (header.version_and_class >> 4 != 6)
        return NOTHING;
    *tuple = (struct tuple){fold(header.source) + fold(header.destination), 0, header.next_header};
    place->at += sizeof(header);
    if (!place->is_quote) {
        u32 stated_end = place->at + from_be16(header.payload);
        place->end = frame_length(frame, stated_end);
        if (stated_end > place->end)
            place->is_malformed = 1;
        else
            place->end = stated_end;
    }
    if (is_extension(tuple->protocol)) {
        struct chain chain = walk(frame, place, tuple);
        if (!chain.is_whole)
            return TUPLE;
        if (chain.is_fragment && place->is_quote) {
            // The first fragment has the transport header, unless more extension headers come first.
            if (chain.offset || is_extension(tuple->protocol))
                return TUPLE;
        } else if (chain.is_fragment && !place->is_malformed) {
            if (is_possible_fragment(chain.offset, chain.more, place->end - place->at)) {
                tuple->protocol = 0;
                return TUPLE;
            }
            place->is_malformed = 1;
            if (chain.offset)
                return TUPLE;
        }
    }
    return transport(frame, place, ICMPV6, tuple);
}

// --- The hash ---

INLINE u32 mix(u32 x)
{
    x ^= x >> 16;
    x *= 0x7feb352d;
    x ^= x >> 15;
    x *= 0x846ca68b;
    return x ^ x >> 16;
}

INLINE u32 hash_of(enum found found, const struct tuple *tuple)
{
    if (found == NOTHING)
        return 0;
    return mix(tuple->addresses * 0x9e3779b1 + tuple->ports + tuple->protocol * 0x85ebca6b + zone);
}

// The hash of a packet that an ICMP error quotes. Errors are rare: not worth a second copy of the code in the
// way of every packet.
static __attribute__((noinline)) u32 quoted_hash(struct xdp_md *frame, u32 at, u32 end, u32 is_ipv6)
{
    struct place place = {at, end, 1, 0};
    struct tuple tuple = {};
    enum found found = is_ipv6 ? ipv6(frame, &place, &tuple) : ipv4(frame, &place, &tuple);
    return hash_of(found, &tuple);
}

INLINE u32 steering_hash(struct xdp_md *frame)
{
    struct vlan_tag tag;
    struct tuple tuple = {};
    struct place place = {ETHERNET, 0, 0, 0};
    enum found found;
    // The bytes before the type are like the tag's: an address instead of an identifier.
    if (!READ(frame, ETHERNET - sizeof(tag), &tag))
        return 0;
    u32 type = from_be16(tag.ether_type);
    for (int tags = 0; tags < MOST_TAGS; tags++) {
        if (type != CUSTOMER_TAG && type != SERVICE_TAG && type != OLD_TAG)
            break;
        if (!READ(frame, place.at, &tag))
            return 0;
        type = from_be16(tag.ether_type);
        place.at += sizeof(tag);
    }
    place.at = forgotten(frame, place.at);
    if (type == IPV4)
        found = ipv4(frame, &place, &tuple);
    else if (type == IPV6)
        found = ipv6(frame, &place, &tuple);
    else
        return 0;
    if (found == QUOTE)
        return quoted_hash(frame, forgotten(frame, place.at), forgotten(frame, place.end), type == IPV6);
    return hash_of(found, &tuple);
}

SECTION("xdp.frags")
int steer(struct xdp_md *frame)
{
    u32 key = frame->rx_queue_index * workers;
    if (workers > 1)
        key += steering_hash(frame) % workers;
    if (answer_with_key)
        return key;
    long action = bpf_redirect_map(&sockets, key, XDP_DROP);
    if (action == XDP_DROP) {
        u32 only = 0;
        u64 *count = bpf_map_lookup_elem(&missed, &only);
        if (count)
            *count += 1;
    }
    return action;
}
