//! What the page says in sentences, for somebody who has never seen Lastack.

use crate::bench::Workload;

/// What a workload is called, what it does, and what its figures mean.
pub(super) struct About {
    pub(super) title: &'static str,
    /// What is timed, beside the charts.
    pub(super) timed: &'static str,
    /// What to look at.
    pub(super) meaning: &'static str,
    /// What its first figure is of, at the head of the page.
    pub(super) figure: &'static str,
    /// Whether the bare loop does the same work, the least of it.
    pub(super) is_bounded: bool,
}

pub(super) const fn about(workload: Workload) -> About {
    match workload {
        Workload::Established => About {
            title: "Packets of open connections, IPv4",
            timed: "Bare TCP acknowledgements (54 bytes), each of a uniformly random connection, directions \
                    alternating: what a middlebox does nearly all of the time. There is no list of recent connections \
                    to make the next packet of one cheaper.",
            meaning: "The nearer to the bare loop, the less is left to gain on this machine. Where both lines fall \
                      with more connections, the table has outgrown the processor's cache, and memory is the limit.",
            figure: "Packets of open connections, IPv4",
            is_bounded: true,
        },
        Workload::Established6 => About {
            title: "Packets of open connections, IPv6",
            timed: "The same over IPv6 (74 bytes).",
            meaning: "The bare loop beside it is that of IPv4, whose addresses are a quarter as long: an IPv6 \
                      connection takes one more line of memory.",
            figure: "Packets of open connections, IPv6",
            is_bounded: true,
        },
        Workload::Lifecycle => About {
            title: "Whole connections",
            timed: "Connections from their first SYN to the last acknowledgement, nine packets with 100 bytes of data, \
                    opened and closed as fast as it goes, while as many as the axis says are in the table, those in \
                    TIME_WAIT included.",
            meaning: "This is what limits a middlebox before many short connections: web requests, name servers over \
                      TCP, health checks. Each of them is made, moved through its states and timers, and forgotten.",
            figure: "Whole connections, opened and closed",
            is_bounded: false,
        },
        Workload::SynFlood => About {
            title: "A flood of SYNs against a full table",
            timed: "Nine SYNs from random sources that never complete, then one packet of an open connection, \
                    and so on.",
            meaning: "A denial of service by its usual means: above this rate, packets wait and are lost. No open \
                      connection was given up for a SYN, or there would be no figure.",
            figure: "Packets of a SYN flood, table full",
            is_bounded: false,
        },
        Workload::Expiry => About {
            title: "Many connections ending at once",
            timed: "As many connections in TIME_WAIT as the axis says come due within one second while packets of as \
                    many open ones go on.",
            meaning: "No packet should have to wait for that work: the line of 99.99 % should lie near the one of the \
                      same traffic before.",
            figure: "9,999 of 10,000 bursts of 32 take at most",
            is_bounded: false,
        },
    }
}

pub(super) const LEAD: &str = "<p class=\"lead\">Lastack is a middlebox that knows every connection through it. What \
    does that cost? Here the whole engine is timed as it runs between two network ports, from the bytes of a frame \
    to the verdict: parsing, verified checksums, connection table, TCP rules, timers, counters. The <i>bare loop</i> \
    is the ceiling: the least that any connection tracker must do for a packet on this machine. Network cards are \
    not part of it.</p>\n";

pub(super) const READING: &str = "<div class=\"columns\">\n<section>\n<h2>How to read this</h2>\n<ul>\n\
<li><b>Throughput</b>: higher is better. The bare loop reads a frame, hashes its addresses, fetches two cache lines \
from memory, compares, moves a window. It tracks nothing: no checksum, no timer, no policy, no counter, and no second burst under way while memory is awaited. The distance \
to it is what everything else costs. It runs on one core, however many shards the engine has; a shard is a part of \
the table with a core of its own.</li>\n\
<li><b>Latency</b>: lower is better. Packets are handled in bursts of 32, two of which are under way at once; the time is \
that of a whole burst, from its first frame being written to its last verdict. Half of all bursts take the median or less, one in 10,000 takes longer than the line \
of 99.99&#160;%. The longest one is mostly the operating system, which did something else meanwhile: so are \
times of milliseconds, where other programs run as well.</li>\n\
<li><b>Memory</b>: lower is better. All that the engine holds for its tables and timers, over the connections that \
there is room for: as many as there are, unless the command says otherwise. It is reserved at the start and does not grow.</li>\n\
<li><b>What is enough?</b> A 10&#160;Gbit/s link carries at most 14.9 million packets per second in one direction (64-byte frames and 20 \
bytes between them: 10,000,000,000 / (84 &#215; 8)), and 0.81 million of full size (1518 bytes and 20).</li>\n\
</ul>\n</section>\n<section>\n\
<h2>What was not measured</h2>\n\
<ul>\n\
<li>Network cards, their drivers, and how frames come and go: here they are written into memory within the timed loop. In a \
middlebox these cost as well, often more than the engine.</li>\n\
<li>Packets with data, whose checksums take the longer the more of it there is; losses, and segments out of order.</li>\n\
<li>Address translation, and readers of the table while traffic goes on.</li>\n\
<li>Other machines. Compare figures of one run with one another; those of two machines compare the machines.</li>\n\
</ul>\n</section>\n</div>\n";
