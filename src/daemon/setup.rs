//! From a plan to open sockets, and to workers that can begin.
//!
//! ```text
//!   UMEM ─► sockets, queue by queue ─► fill rings ─► XDP maps ─► promiscuous ─► attach, port by port
//! ```
//!
//! The order is the kernel's (every mistake is EINVAL), and attaching comes last: until then the host has its
//! packets, and from then on every frame finds its socket. What fails on the way undoes itself: everything
//! that was opened closes with its owner.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};

use af_xdp::{
    BindErrorKind, BindOptions, Copy, Frame, Frames, RxRing, SocketHandle, TxRing, Umem, UmemOptions,
};
use crossbeam_queue::ArrayQueue;
use crossbeam_utils::CachePadded;

use super::ears::Ears;
use super::error::Error;
use super::forward::Exits;
use super::frames::Store;
use super::handover::Exchange;
use super::held::Held;
use super::plan::{Facts, MAX_PARTS, Plan, RING, SocketPlan, Steering};
use super::socket::{Access, QueueRings, Socket};
use super::worker::{State, Worker, watch};
use crate::config::{Config, Port, Xdp};
use crate::link::{self, Link, Promiscuous};
use crate::shard::{BURST, Settings, Shard};
use crate::table::{HashKeys, Reader};
use crate::time::SystemClock;
use crate::view::{
    self, KernelLosses, Plane, PortState, PortView, QueueView, Report, Traffic, View, Watch, events,
};
use crate::xdp::{self, Attached, Loaded, Missed};

/// How many packets one call may send in copy mode, where the kernel lets that be chosen.
const TRANSMIT_BUDGET: u32 = 256;
/// A worker's token for being woken by another thread.
const WAKER: usize = usize::MAX;

/// Everything that runs.
pub(super) struct Setup {
    /// The workers, not yet begun.
    pub(super) workers: Vec<Worker>,
    /// The programs: while they live, packets come.
    pub(super) programs: Vec<Attached>,
    /// What makes ports listen to all addresses.
    pub(super) promiscuous: Vec<Promiscuous>,
    /// What everybody else sees.
    pub(super) plane: Arc<Plane>,
    /// The interfaces, in the order of the ports.
    pub(super) links: Vec<Link>,
    /// What a person should know of each port.
    pub(super) remarks: Vec<String>,
}

/// A socket that is bound, before its queue's rings have found their owner.
struct Bound {
    rx: RxRing,
    tx: TxRing,
    handle: Handle,
}

/// What others than its worker have of a socket.
#[derive(Debug, Clone)]
struct Handle {
    plan: SocketPlan,
    socket: SocketHandle,
    /// Packets that the driver dropped after they were sent.
    refused: Arc<CachePadded<AtomicU64>>,
}

/// All sockets: each worker's, and the rings of each queue.
struct Sockets {
    of_workers: Vec<Vec<Bound>>,
    queues: BTreeMap<(usize, u32), QueueRings>,
}

/// A port whose program is attached.
struct Running {
    program: Attached,
    missed: Missed,
    mode: xdp::Mode,
}

/// What a worker is made of beside its sockets.
struct Core {
    shard: Shard,
    events: events::Writer,
    log: events::Log,
    poll: mio::Poll,
    waker: Arc<mio::Waker>,
}

/// What is known of the machine before anything is opened.
pub(super) struct Site<'a> {
    config: &'a Config,
    plan: Plan,
    links: Vec<Link>,
    /// The one clock of all workers: it never goes back.
    clock: SystemClock,
}

/// Opens everything.
pub(super) fn open(site: Site<'_>) -> Result<Setup, Error> {
    let plan = &site.plan;
    let cores = make_cores(site.config, plan.workers.len() as u32, &site.clock)?;
    let (umem, mut frames, mut sockets) = open_sockets(&site)?;
    let handles: Vec<Vec<Handle>> = sockets
        .of_workers
        .iter()
        .map(|sockets| sockets.iter().map(|bound| bound.handle.clone()).collect())
        .collect();
    let filled = fill(&mut sockets.queues, &mut frames);
    let spare = Arc::new(ArrayQueue::new(plan.frames as usize));
    for frame in frames {
        // It has room for all of them.
        let _ = spare.push(frame);
    }
    let promiscuous = listen_to_all(&site)?;
    let ports = attach_all(&site, &handles)?;
    let remarks = remarks(&site, &handles, &ports);
    let plane = Arc::new(make_plane(&site, &handles, &ports, &cores, &spare));
    let programs: Vec<Attached> = ports.into_iter().map(|port| port.program).collect();
    let workers =
        Assembly { umem, spare, filled, plane: Arc::clone(&plane) }.into_workers(&site, cores, sockets)?;
    Ok(Setup { workers, programs, promiscuous, plane, links: site.links, remarks })
}

/// Looks at privileges and interfaces, and makes the plan.
pub(super) fn survey(config: &Config) -> Result<Site<'_>, Error> {
    let find = |port: &Port| {
        link::find(&port.interface).map_err(|error| Error::Link { port: port.name.clone(), error })
    };
    let links = config.ports.iter().map(find).collect::<Result<Vec<Link>, Error>>()?;
    let facts: Vec<Facts> = links.iter().map(facts_of).collect();
    let plan = Plan::new(config, &facts)?;
    let missing: Vec<&'static str> =
        link::missing_capabilities().into_iter().filter(|name| *name != "CAP_IPC_LOCK").collect();
    if missing.is_empty() {
        Ok(Site { config, plan, links, clock: SystemClock::since_1970() })
    } else {
        Err(Error::Capabilities(missing))
    }
}

fn facts_of(link: &Link) -> Facts {
    Facts { queues: link.rx_queues, transmit_queues: link.tx_queues, mtu: link.mtu }
}

/// The shards, and what other threads will know them by.
fn make_cores(config: &Config, count: u32, clock: &SystemClock) -> Result<Vec<Core>, Error> {
    let random = |error| Error::System { what: "no randomness for the table's keys", error };
    let keys = HashKeys::random().map_err(random)?;
    let now = clock.now().tick();
    let core = |(layout, settings)| {
        let settings = Settings { sides: 2, ..settings };
        let shard = Shard::new(layout, keys, settings, now).map_err(Error::Table)?;
        let (events, log) = events::ring();
        let unwatched = |error| Error::System { what: "what workers sleep on cannot be made", error };
        let poll = mio::Poll::new().map_err(unwatched)?;
        let waker = mio::Waker::new(poll.registry(), mio::Token(WAKER)).map_err(unwatched)?;
        Ok(Core { shard, events, log, poll, waker: Arc::new(waker) })
    };
    config.split(count)?.into_iter().map(core).collect()
}

/// Opens the UMEM and binds every socket; without zero copy where that is not to be had everywhere, since
/// one UMEM is either copied to and from or not.
fn open_sockets(site: &Site<'_>) -> Result<(Umem, Frames, Sockets), Error> {
    match try_sockets(site, copy_mode(site.config)?) {
        // Drivers refuse to share what they do not copy in many ways; who waits for a queue, or may not, has
        // been told so already.
        Err(Error::Socket { error, .. })
            if copy_mode(site.config)? == Copy::Auto
                && !matches!(error.kind(), BindErrorKind::QueueBusy | BindErrorKind::NotPermitted) =>
        {
            try_sockets(site, Copy::Copy)
        }
        result => result,
    }
}

/// Which of the ports' wishes can be had together.
fn copy_mode(config: &Config) -> Result<Copy, Error> {
    let wants = |mode: Xdp| config.ports.iter().find(|port| port.xdp == mode);
    match (wants(Xdp::ZeroCopy), wants(Xdp::Native).or_else(|| wants(Xdp::Generic))) {
        (None, None) => Ok(Copy::Auto),
        (None, Some(_)) => Ok(Copy::Copy),
        (Some(_), None) => Ok(Copy::ZeroCopy),
        (Some(one), Some(other)) => Err(Error::Configuration(format!(
            "[[port]] xdp: \"{}\" wants zero-copy and \"{}\" copies, but packets move between them in one \
             memory; write the same for both, or \"auto\"",
            one.name, other.name
        ))),
    }
}

fn try_sockets(site: &Site<'_>, copy: Copy) -> Result<(Umem, Frames, Sockets), Error> {
    let plan = &site.plan;
    let (frames, frame_size) = (plan.frames, plan.frame_size);
    let options = UmemOptions { frames, frame_size, headroom: 0, tx_metadata: false };
    let bytes = u64::from(frames) * u64::from(frame_size);
    let (umem, frames) = Umem::new(&options).map_err(|error| Error::Frames { bytes, error })?;
    let mut sockets = Sockets { of_workers: Vec::new(), queues: BTreeMap::new() };
    for planned in &plan.sockets {
        let mut mine = Vec::new();
        for &socket in planned {
            mine.push(bind(site, &umem, socket, copy, &mut sockets.queues)?);
        }
        sockets.of_workers.push(mine);
    }
    Ok((umem, frames, sockets))
}

fn bind(
    site: &Site<'_>,
    umem: &Umem,
    plan: SocketPlan,
    copy: Copy,
    queues: &mut BTreeMap<(usize, u32), QueueRings>,
) -> Result<Bound, Error> {
    let port = &site.config.ports[plan.port];
    let options = BindOptions {
        rx: RING,
        tx: RING,
        fill: RING,
        completion: RING,
        copy,
        // Only where it is needed: drivers that could do without copying may refuse it, and old kernels do.
        multi_buffer: site.plan.longest > 0,
        transmit_budget: Some(TRANSMIT_BUDGET),
        ..BindOptions::new(site.links[plan.port].index, plan.queue)
    };
    let failed = |error| Error::Socket {
        port: port.name.clone(),
        interface: port.interface.clone(),
        queue: plan.queue,
        error,
    };
    let mut socket = umem.bind(&options).map_err(failed)?;
    if let (Some(fill), Some(completion)) = (socket.fill.take(), socket.completion.take()) {
        queues.insert((plan.port, plan.queue), QueueRings { fill, completion });
    }
    let handle = Handle { plan, socket: socket.handle(), refused: Arc::default() };
    match (socket.rx.take(), socket.tx.take()) {
        (Some(rx), Some(tx)) => Ok(Bound { rx, tx, handle }),
        _ => Err(Error::System { what: "binding a socket", error: io::ErrorKind::Other.into() }),
    }
}

/// Gives each queue its first frames; returns how many each has got.
fn fill(queues: &mut BTreeMap<(usize, u32), QueueRings>, frames: &mut Frames) -> BTreeMap<(usize, u32), i64> {
    let mut filled = BTreeMap::new();
    for (place, rings) in queues {
        let mut count = 0;
        for frame in frames.by_ref().take(RING as usize) {
            // The ring is new and has room for as many.
            count += i64::from(rings.fill.push(frame).is_ok());
        }
        rings.fill.commit();
        filled.insert(*place, count);
    }
    filled
}

fn listen_to_all(site: &Site<'_>) -> Result<Vec<Promiscuous>, Error> {
    let set = |(link, port): (&Link, &Port)| {
        Promiscuous::set(link.index).map_err(|error| Error::Port {
            port: port.name.clone(),
            interface: port.interface.clone(),
            what: "cannot be made to listen to all addresses",
            error,
        })
    };
    site.links.iter().zip(&site.config.ports).map(set).collect()
}

/// Loads and attaches a program for each port, last of all.
fn attach_all(site: &Site<'_>, handles: &[Vec<Handle>]) -> Result<Vec<Running>, Error> {
    let ports = site.config.ports.iter().enumerate();
    ports.map(|(number, port)| attach(site, number, port, handles)).collect()
}

fn attach(site: &Site<'_>, number: usize, port: &Port, handles: &[Vec<Handle>]) -> Result<Running, Error> {
    let planned = &site.plan.ports[number];
    let steering = xdp::Steering {
        zone: planned.zone,
        workers: site.plan.sockets_per_queue(),
        queues: planned
            .queues
            .iter()
            .max()
            .map_or(1, |highest| highest + 1)
            .max(site.links[number].rx_queues),
    };
    let failed = |error| Error::Program { port: port.name.clone(), interface: port.interface.clone(), error };
    let mut program = Loaded::load(steering).map_err(failed)?;
    for (worker, sockets) in handles.iter().enumerate() {
        let place = if steering.workers == 1 { 0 } else { worker as u32 };
        let here = sockets.iter().filter(|handle| handle.plan.port == number && handle.plan.receives);
        for handle in here {
            program.set_socket(handle.plan.queue, place, handle.socket.as_fd()).map_err(|error| {
                Error::Port {
                    port: port.name.clone(),
                    interface: port.interface.clone(),
                    what: "its socket cannot be made known to the XDP program",
                    error,
                }
            })?;
        }
    }
    let index = site.links[number].index;
    let missed = program.missed();
    let (attached, mode) = match port.xdp {
        Xdp::Generic => (program.attach(index, xdp::Mode::Generic), xdp::Mode::Generic),
        Xdp::Native | Xdp::ZeroCopy => (program.attach(index, xdp::Mode::Native), xdp::Mode::Native),
        Xdp::Auto => match program.attach(index, xdp::Mode::Native) {
            Err(refused) if refused.1.generic_may_work() => {
                (refused.0.attach(index, xdp::Mode::Generic), xdp::Mode::Generic)
            }
            result => (result, xdp::Mode::Native),
        },
    };
    let program = attached.map_err(|refused| failed(refused.1))?;
    Ok(Running { program, missed, mode })
}

/// What a queue's mode is called.
fn mode_name(mode: xdp::Mode, is_zero_copy: bool) -> &'static str {
    match (mode, is_zero_copy) {
        (xdp::Mode::Native, true) => "zero-copy",
        (xdp::Mode::Native, false) => "native",
        (xdp::Mode::Generic, _) => "generic",
    }
}

/// What each port got, and what a person should know about it.
fn remarks(site: &Site<'_>, handles: &[Vec<Handle>], ports: &[Running]) -> Vec<String> {
    let mut remarks = Vec::new();
    let workers = site.plan.workers.len();
    match site.plan.steering {
        Steering::Hash => remarks.push(format!("steering: hash, {workers} workers")),
        Steering::Rss if workers > 1 => remarks.push(format!("steering: rss, {workers} workers")),
        Steering::Rss => {}
    }
    for (number, (port, running)) in site.config.ports.iter().zip(ports).enumerate() {
        for &queue in &site.plan.ports[number].queues {
            let here = |Handle { plan, .. }: &&Handle| plan.place() == (number, queue) && plan.receives;
            let zero_copy =
                handles.iter().flatten().any(|handle| here(&handle) && handle.socket.is_zero_copy());
            let workers: Vec<String> = handles
                .iter()
                .enumerate()
                .filter(|(_, sockets)| sockets.iter().any(|socket| here(&socket)))
                .map(|(worker, _)| worker.to_string())
                .collect();
            remarks.push(format!(
                "port \"{}\": {}, queue {queue}: {}, worker {}",
                port.name,
                port.interface,
                mode_name(running.mode, zero_copy),
                workers.join(" and ")
            ));
        }
        if running.mode == xdp::Mode::Generic {
            remarks.push(generic_remark(port));
        }
        let opposite = site.plan.ports[number].opposite;
        let (own, other) = (&site.links[number], &site.links[opposite]);
        if own.mtu > other.mtu {
            remarks.push(format!(
                "port \"{}\": {} has an MTU of {}, and {} opposite only {}: longer packets cannot leave there",
                port.name, port.interface, own.mtu, site.config.ports[opposite].interface, other.mtu
            ));
        }
    }
    remarks
}

/// What generic mode means for a port, and what to turn off there.
fn generic_remark(port: &Port) -> String {
    let joining: Vec<String> = link::offloads(&port.interface)
        .map(|offloads| offloads.joining().map(str::to_owned).collect())
        .unwrap_or_default();
    let advice = if joining.is_empty() {
        "turn segmentation offload off at its senders".to_owned()
    } else {
        format!(
            "it joins packets ({}): turn that off (ethtool -K {}), and segmentation offload at its senders",
            joining.join(", "),
            port.interface
        )
    };
    format!(
        "port \"{}\": {} runs in generic mode, which is slower and sees what the network stack has put \
         together; {advice}",
        port.name, port.interface
    )
}

fn make_plane(
    site: &Site<'_>,
    handles: &[Vec<Handle>],
    running: &[Running],
    cores: &[Core],
    spare: &Arc<ArrayQueue<Frame>>,
) -> Plane {
    let plan = &site.plan;
    let clock = site.clock.clone();
    let views = cores.iter().zip(handles).enumerate();
    let workers = views.map(|(number, (core, sockets))| {
        let sockets: view::Sockets = sockets
            .iter()
            .map(|Handle { plan, .. }| view::Socket { port: plan.port, queue: plan.queue })
            .collect();
        let report = first_report(&core.shard, sockets.len());
        Arc::new(View::new(
            number as u32,
            plan.workers[number],
            sockets,
            core.shard.table().reader(),
            core.log.clone(),
            report,
            Arc::clone(&core.waker),
        ))
    });
    let ports = site.config.ports.iter().zip(running).enumerate();
    let ports = ports.map(|(number, (port, running))| PortView {
        name: port.name.clone(),
        interface: port.interface.clone(),
        zone: Some(plan.ports[number].zone),
        queues: queue_views(number, running.mode, handles),
        unclaimed: unclaimed(running.missed.clone()),
        state: PortState::default(),
    });
    let spare = Arc::clone(spare);
    Plane {
        workers: workers.collect(),
        ports: ports.collect(),
        started: clock.now().seconds(),
        clock,
        umem_frames: u64::from(plan.frames),
        frame_size: u64::from(plan.frame_size),
        spare_frames: Watch::new(move || spare.len() as u64),
        table_memory: "anonymous memory, huge pages where the kernel has some".to_owned(),
        table_bytes: cores.iter().map(|core| core.shard.table().mapped_bytes()).sum(),
        table_resident: of_tables(cores, |tables| tables.iter().map(Reader::resident_bytes).sum()),
        table_huge: of_tables(cores, Reader::huge_bytes_of),
    }
}

/// Frames that found no socket; the last number known, where the kernel gives none.
fn unclaimed(missed: Missed) -> Watch<u64> {
    let last = AtomicU64::new(0);
    Watch::new(move || match missed.count() {
        Ok(count) => last.fetch_max(count, Relaxed).max(count),
        Err(_) => last.load(Relaxed),
    })
}

/// A number of bytes of all tables together; none where the system does not tell.
fn of_tables(cores: &[Core], bytes: fn(&[Reader]) -> io::Result<u64>) -> Watch<Option<u64>> {
    let tables: Vec<Reader> = cores.iter().map(|core| core.shard.table().reader()).collect();
    Watch::new(move || bytes(&tables).ok())
}

/// A worker's numbers before it begins.
fn first_report(shard: &Shard, sockets: usize) -> Report {
    Report {
        counters: shard.counters().clone(),
        census: shard.census().clone(),
        work: view::Work::default(),
        frames: view::Frames::default(),
        sockets: vec![Traffic::default(); sockets],
    }
}

fn queue_views(port: usize, mode: xdp::Mode, handles: &[Vec<Handle>]) -> Vec<QueueView> {
    let view = |&queue: &u32| {
        let here: Vec<Handle> =
            handles.iter().flatten().filter(|handle| handle.plan.place() == (port, queue)).cloned().collect();
        let zero_copy = here.iter().any(|handle| handle.socket.is_zero_copy());
        QueueView { queue, mode: mode_name(mode, zero_copy), losses: Watch::new(move || losses(&here)) }
    };
    // Those that only send included.
    let places = handles.iter().flatten().map(|handle| handle.plan.place());
    let queues: BTreeSet<u32> = places.filter(|place| place.0 == port).map(|place| place.1).collect();
    queues.iter().map(view).collect()
}

/// The kernel's loss counters, summed over sockets; none where it gives none any more.
fn losses(sockets: &[Handle]) -> Option<KernelLosses> {
    let mut sum = KernelLosses::default();
    for Handle { socket, refused, .. } in sockets {
        let one = socket.statistics().ok()?;
        sum.tx_dropped += refused.load(Relaxed);
        sum.rx_dropped += one.rx_dropped;
        sum.rx_invalid += one.rx_invalid;
        sum.tx_invalid += one.tx_invalid;
        sum.rx_ring_full += one.rx_ring_full;
        // The queue's own, which each of its sockets reports.
        sum.fill_ring_empty = sum.fill_ring_empty.max(one.fill_ring_empty);
        sum.tx_ring_empty += one.tx_ring_empty;
    }
    Some(sum)
}

/// What workers are put together from.
struct Assembly {
    umem: Umem,
    spare: Arc<ArrayQueue<Frame>>,
    filled: BTreeMap<(usize, u32), i64>,
    plane: Arc<Plane>,
}

impl Assembly {
    fn into_workers(self, site: &Site<'_>, cores: Vec<Core>, sockets: Sockets) -> Result<Vec<Worker>, Error> {
        let Assembly { umem, spare, mut filled, plane } = self;
        let count = cores.len();
        let exchange = Exchange::new(count);
        let most_parts = if site.plan.longest == 0 { 1 } else { MAX_PARTS };
        let mut rings = Rings::new(sockets.queues);
        let mut workers = Vec::new();
        for (number, (core, bound)) in cores.into_iter().zip(sockets.of_workers).enumerate() {
            let Core { shard, events, poll, .. } = core;
            let mut mine = Vec::new();
            for Bound { rx, tx, handle } in bound {
                let Handle { plan, socket, refused } = handle;
                let place = plan.place();
                let access = rings.access(place, plan.is_shared)?;
                let mut socket = Socket::new(plan, rx, tx, access, socket, refused, most_parts);
                // The first that has the queue answers for what was put in before it.
                socket.filling = filled.remove(&place).unwrap_or(0);
                let watched = watch(&poll, &socket, mine.len());
                watched.map_err(|error| Error::System { what: "a socket cannot be waited for", error })?;
                mine.push(socket);
            }
            let report = first_report(&shard, mine.len());
            let exits = Exits::new(&mine, site.plan.ports.len());
            workers.push(Worker {
                exits,
                number,
                shard,
                umem: umem.clone(),
                sockets: mine,
                ports: site.plan.ports.clone().into(),
                steering: site.plan.steering,
                wait: site.config.workers.wait,
                exchange: Arc::clone(&exchange),
                plane: Arc::clone(&plane),
                store: Store::new(Vec::new(), Arc::clone(&spare)),
                poll,
                clock: plane.clock.clone(),
                ears: Ears::new(number as u32, count as u32, site.config.fragments.max, events),
                held: Held::new(site.config.fragments.max as usize + BURST),
                events: mio::Events::with_capacity(64),
                state: State::new(report, count, site.plan.longest),
            });
        }
        Ok(workers)
    }
}

/// The queues' rings on their way to their users.
struct Rings {
    own: BTreeMap<(usize, u32), QueueRings>,
    shared: BTreeMap<(usize, u32), Arc<Mutex<QueueRings>>>,
}

impl Rings {
    fn new(own: BTreeMap<(usize, u32), QueueRings>) -> Rings {
        Rings { own, shared: BTreeMap::new() }
    }

    /// A worker's way to the rings of a queue.
    fn access(&mut self, place: (usize, u32), is_shared: bool) -> Result<Access, Error> {
        if let Some(shared) = self.shared.get(&place) {
            return Ok(Access::Shared(Arc::clone(shared)));
        }
        let missing = || Error::System { what: "a queue has no rings", error: io::ErrorKind::Other.into() };
        let rings = self.own.remove(&place).ok_or_else(missing)?;
        if !is_shared {
            return Ok(Access::Own(rings));
        }
        let rings = Arc::new(Mutex::new(rings));
        self.shared.insert(place, Arc::clone(&rings));
        Ok(Access::Shared(rings))
    }
}
