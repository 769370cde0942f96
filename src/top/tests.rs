//! The screen without a terminal: what was heard and pressed goes in, text comes out.
//!
//! The screens lie beside this file. Regenerate them, and look at what has changed:
//! `LASTACK_BLESS=1 cargo test --lib top`.

use std::path::{Path, PathBuf};

use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::style::Color;
use serde_json::{Value, json};

use super::action::{Action, Mode, Panel};
use super::app::App;
use super::busiest::{Before, Busiest, Listing, MOST};
use super::draw::{Theme, draw};
use super::feed::News;
use crate::config::{Limit, Top};
use crate::control::{Filter, Stats};
use crate::json::Connection;
use crate::time::Time;

const START: f64 = 1_700_000_000.0;

fn at(seconds: u64) -> Time {
    Time::from_nanoseconds(seconds * 1_000_000_000)
}

/// One queue of [`stats`], `seconds` after its start: so many packets of 1000 bytes each second, both ways.
fn queue(number: u32, received: u64, sent: u64, seconds: u64) -> Value {
    let volume = |packets: u64| json!({ "packets": packets * seconds, "bytes": 1000 * packets * seconds });
    json!({
        "queue": number, "mode": "native", "received": volume(received), "sent": volume(sent),
        "lost": { "transmit_full": 2 * seconds }, "kernel": {
            "rx_dropped": 5, "rx_invalid": 0, "tx_invalid": 0, "tx_dropped": 0, "rx_ring_full": 0, "fill_ring_empty": 0,
            "tx_ring_empty": 9,
        },
    })
}

fn worker(number: u32, busy: f64, seconds: u64) -> Value {
    json!({
        "number": number, "cpu": number + 1, "turns": 50_000 * seconds, "bursts": 40_000 * seconds,
        "sleeps": 120 * seconds, "busy": busy * seconds as f64, "handed_over": u64::from(number) * 700 * seconds,
        "taken_over": u64::from(1 - number) * 700 * seconds,
        "overlapped": 0,
    })
}

fn shard(number: u32, seconds: u64) -> Value {
    json!({
        "number": number, "live": 212_000, "capacity": 500_000, "created": 6_000 * seconds, "ended": 5_900 * seconds,
        "accepted": 310_000 * seconds, "dropped": 150 * seconds, "annexes_exhausted": 0, "annexes_displaced": 0,
        "sequence": 1,
    })
}

/// What the middlebox answers `seconds` after its start.
fn answer(seconds: u64) -> Value {
    json!({
        "time": START + seconds as f64, "uptime": 180_000.0 + seconds as f64, "version": "0.1.0",
        "connections": {
            "live": 424_000, "capacity": 1_000_000, "fullest": 0.43, "created": 12_000 * seconds,
            "ended": { "closed": 11_000 * seconds, "expired": 100 * seconds, "reset": 700 * seconds, "reused": 0 },
            "by_protocol": { "tcp": 400_000, "udp": 23_900, "icmp": 100 },
            "by_states": {
                "ESTABLISHED/ESTABLISHED": 230_000 + 50 * seconds, "TIME_WAIT/CLOSED": 150_000 - 20 * seconds,
                "FIN_WAIT_2/CLOSE_WAIT": 19_000, "SYN_RECEIVED/ESTABLISHED": 812,
            },
        },
        "packets": {
            "received": 0, "sent": 0, "accepted": 620_000 * seconds, "dropped": 308 * seconds, "by_class": {},
            "by_reason": { "not_allowed": 233 * seconds, "out_of_window": 17 * seconds, "bad_checksum": 1022,
                "time_wait": 0, "transmit_full": 8 * seconds },
        },
        "shards": [shard(0, seconds), shard(1, seconds)],
        "workers": [worker(0, 0.82, seconds), worker(1, 0.31, seconds)],
        "ports": [
            { "port": "inside", "interface": "ens1f0", "state": "up", "zone": 0, "unclaimed": 0,
              "queues": [queue(0, 212_000, 100_000, seconds), queue(1, 100_000, 90_000, seconds)] },
            { "port": "outside", "interface": "ens1f1", "state": "up", "zone": 0, "unclaimed": 3,
              "queues": [queue(0, 98_000, 210_000, seconds), queue(1, 92_000, 102_000, seconds)] },
        ],
        "memory": { "table": 1, "table_resident": 1, "table_huge": 1, "table_kind": "huge pages", "frames": {
            "total": 1, "size": 2048, "free": 1, "filling": 0, "sending": 0, "held": 0, "under_way": 0,
            "unaccounted": 0,
        } },
    })
}

fn stats(answer: Value) -> News {
    News::Stats(Box::new(serde_json::from_value::<Stats>(answer).unwrap()))
}

/// Connection `id`, which has moved `bytes` in each direction.
fn connection(
    id: u64,
    protocol: &str,
    source: &str,
    states: Option<[&str; 2]>,
    bytes: u64,
) -> Connection<'static> {
    let destination = if source.contains(':') { "2001:db8:beef::80" } else { "203.0.113.80" };
    let (from, to) = (40_000 + id, 443);
    serde_json::from_value(json!({
        "id": id, "zone": 0, "protocol": protocol,
        "original": { "source": source, "source_port": from, "destination": destination, "destination_port": to },
        "reply": { "source": destination, "source_port": to, "destination": source, "destination_port": from },
        "states": states, "end": null, "started": START - 75.0 * id as f64, "last_seen": START, "expires_in": 60.0,
        "packets": { "original": bytes / 60, "reply": bytes / 1000 }, "bytes": { "original": bytes / 8, "reply": bytes },
    }))
    .unwrap()
}

/// A listing `seconds` after the start.
fn listing(seconds: u64) -> Listing {
    let open = Some(["ESTABLISHED", "ESTABLISHED"]);
    Listing {
        time: START + seconds as f64,
        is_whole: true,
        connections: vec![
            connection(1, "tcp", "10.1.0.17", open, 90_000_000 + 1_000_000 * seconds),
            connection(2, "tcp", "2001:db8:12:34::5a", open, 20_000 * seconds),
            connection(3, "udp", "10.1.0.33", None, 300_000 * seconds),
            connection(4, "tcp", "10.1.0.4", Some(["TIME_WAIT", "CLOSED"]), 70_000),
            connection(5, "tcp", "192.168.100.200", Some(["FIN_WAIT_2", "CLOSE_WAIT"]), 40_000 * seconds),
        ],
    }
}

/// Of which [`answer`] reaches none.
fn limits() -> Top {
    Top { time_wait_warn: Limit::Percent(80), ..Top::default() }
}

/// A screen that has heard six answers and as many listings.
fn watching() -> App {
    let mut app = App::new(limits(), at(0));
    let mut before = Before::default();
    for seconds in 1..=6 {
        app.hear(stats(answer(seconds)), at(seconds));
        app.hear(News::Busiest(before.advance(&listing(seconds))), at(seconds));
        app.tick(at(seconds));
    }
    app
}

fn screen(app: &App, width: u16, height: u16, theme: Theme) -> TestBackend {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    terminal.draw(|frame| draw(frame, app, theme)).unwrap();
    terminal.backend().clone()
}

fn text(app: &App, width: u16, height: u16) -> String {
    let backend = screen(app, width, height, Theme::new(true));
    let cells = backend.buffer().content();
    let lines = cells.chunks(width.into()).map(|line| {
        let line: String = line.iter().map(|cell| cell.symbol()).collect();
        format!("{}\n", line.trim_end())
    });
    lines.collect()
}

/// Holds the screen against the file `name`.
fn assert_looks_like(name: &str, found: &str) {
    let path: PathBuf = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/top/tests").join(name);
    if std::env::var_os("LASTACK_BLESS").is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, found).unwrap();
    }
    let expected = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(found == expected, "the screen is not that of src/top/tests/{name}:\n{found}");
}

#[test]
fn it_looks_as_it_should_on_screens_of_every_size() {
    for (width, height) in [(140, 40), (100, 30), (80, 24), (60, 12), (20, 5)] {
        assert_looks_like(&format!("{width}x{height}.txt"), &text(&watching(), width, height));
    }
}

#[test]
fn no_size_of_a_screen_is_too_much_for_it() {
    let mut app = watching();
    for mode in [Action::Cancel, Action::Help, Action::Filter, Action::Zoom] {
        app.act(mode);
        for width in [1, 39, 40, 41, 53, 69, 75, 76, 77, 89, 110, 200] {
            for height in [1, 7, 8, 9, 16, 19, 20, 21, 60] {
                screen(&app, width, height, Theme::new(true));
            }
        }
    }
}

#[test]
fn before_the_first_answer_it_says_that_it_waits_and_of_one_answer_there_are_no_rates() {
    let mut app = App::new(Top::default(), at(0));
    assert!(text(&app, 80, 24).contains("waiting for the first answer"));
    app.hear(stats(answer(1)), at(1));
    let screen = text(&app, 100, 30);
    assert!(screen.contains("opening –/s, ending –/s"), "{screen}");
    assert!(!screen.contains('█'), "no bars without rates: {screen}");
}

#[test]
fn rates_are_differences_over_the_middleboxs_own_time() {
    let screen = text(&watching(), 140, 40);
    // 312,000 and 190,000 packets of 1000 bytes came in each second.
    assert!(screen.contains("502 kpkt/s   4.02 Gbit/s"), "{screen}");
    assert!(screen.contains("opening 12.0k/s, ending 11.8k/s"), "{screen}");
    assert!(screen.contains("ended/s: closed 11.0k expired 100 reset 700"), "{screen}");
    // A megabyte a second one way, an eighth of it the other.
    let first = screen.lines().find(|line| line.contains("10.1.0.17:40001")).unwrap();
    assert!(first.contains("1.00M  8.00M"), "{first}");
}

#[test]
fn the_busiest_come_first_and_another_order_is_a_key_away() {
    let mut app = watching();
    let order = |app: &App| app.connections(10).iter().map(|row| row.id).collect::<Vec<_>>();
    assert_eq!(order(&app), [1, 3, 5, 2, 4]);
    app.act(Action::Focus(Panel::Connections));
    for (name, expected) in [
        ("packet/s", [1, 3, 5, 2, 4]),
        ("bytes", [1, 3, 5, 2, 4]),
        ("age", [5, 4, 3, 2, 1]),
        ("idle", [1, 3, 5, 2, 4]),
    ] {
        app.act(Action::Sort);
        assert_eq!(app.order(Panel::Connections), name);
        assert_eq!(order(&app), expected, "by {name}");
    }
    app.act(Action::Sort);
    assert_eq!(app.order(Panel::Connections), "bit/s");
}

#[test]
fn of_many_connections_those_on_the_screen_are_in_order_and_the_others_a_scroll_away() {
    let mut app = watching();
    let mut before = Before::default();
    let one = connection(1, "udp", "10.0.0.1", None, 0);
    let many = |seconds: u64| Listing {
        time: START + seconds as f64,
        is_whole: false,
        connections: (0..MOST as u64)
            .map(|id| Connection { id, bytes: [0, id * seconds].into(), ..one.clone() })
            .collect(),
    };
    before.advance(&many(1));
    app.hear(News::Busiest(before.advance(&many(2))), at(7));
    let first = |app: &App| app.connections(8)[0].id;
    assert_eq!(first(&app), 19_999);
    assert_eq!(app.connections(8).len(), 8);
    app.act(Action::Scroll(10));
    assert_eq!(first(&app), 19_989);
    app.act(Action::Scroll(i32::MAX));
    assert_eq!(app.connections(8).last().unwrap().id, 0, "the end can be reached, and not passed");
    app.act(Action::Scroll(i32::MIN));
    assert_eq!(first(&app), 19_999);
    assert!(text(&app, 100, 30).contains("of the first 20,000 only; a filter finds others"));
}

#[test]
fn a_connection_that_began_between_two_whole_listings_counts_from_nothing() {
    let mut before = Before::default();
    before.advance(&Listing { connections: Vec::new(), ..listing(1) });
    let mut newcomer = connection(9, "udp", "10.0.0.9", None, 8_000);
    newcomer.started = START + 1.5;
    let old = connection(1, "udp", "10.0.0.1", None, 8_000);
    let next = Listing { time: START + 2.0, is_whole: true, connections: vec![newcomer, old] };
    let rows = before.advance(&next).rows;
    assert_eq!(rows[0].bits, Some([8_000.0, 64_000.0]));
    assert_eq!(rows[1].bits, None, "it was there before, and nobody had looked at it");
}

#[test]
fn a_pile_up_is_warned_of_where_the_configuration_says_so_and_nowhere_else() {
    let warning = "TIME_WAIT, 38% of TCP: many short connections";
    assert!(!text(&watching(), 140, 40).contains('▲'));
    let limits =
        Top { time_wait_warn: Limit::Percent(37), close_wait_warn: Limit::Count(0), ..Top::default() };
    let mut app = App::new(limits, at(0));
    app.hear(stats(answer(1)), at(1));
    let screen = text(&app, 140, 40);
    assert!(screen.contains(warning), "{screen}");
    assert_eq!(screen.matches('▲').count(), 1);
    let limits =
        Top { syn_received_warn: Limit::Count(812), time_wait_warn: Limit::Count(0), ..Top::default() };
    let mut app = App::new(limits, at(0));
    app.hear(stats(answer(1)), at(1));
    assert!(text(&app, 140, 40).contains("▲ 812 in SYN_RECEIVED, <1% of TCP: handshakes do not complete"));
}

#[test]
fn a_port_that_is_down_and_a_full_table_are_warned_of() {
    let mut app = App::new(Top::default(), at(0));
    let mut down = answer(1);
    down["ports"][1]["state"] = json!("down");
    down["connections"]["fullest"] = json!(0.95);
    app.hear(stats(down), at(1));
    let screen = text(&app, 140, 40);
    assert!(screen.contains("▲ port outside (ens1f1) is down"), "{screen}");
    assert!(screen.contains("▲ the connection table is 95% full"), "{screen}");
}

#[test]
fn a_middlebox_that_vanishes_is_missed_and_one_that_comes_back_begins_anew() {
    let mut app = watching();
    app.hear(News::Lost("the socket is gone".to_owned()), at(7));
    app.tick(at(9));
    let screen = text(&app, 100, 30);
    assert!(screen.contains("✖ nothing heard for 3 s, trying again: the socket is gone"), "{screen}");
    assert!(screen.contains("○ lost"), "{screen}");
    assert!(screen.contains("424,000 connections"), "the last numbers stay: {screen}");
    let mut restarted = answer(10);
    restarted["uptime"] = json!(1.0);
    app.hear(stats(restarted), at(10));
    app.tick(at(10));
    let screen = text(&app, 100, 30);
    assert!(screen.contains("● live"), "{screen}");
    assert!(screen.contains("opening –/s"), "no rate between two different middleboxes: {screen}");
}

#[test]
fn silence_is_noticed_without_being_told() {
    let mut app = watching();
    app.tick(at(8));
    assert!(text(&app, 100, 30).contains("● live"));
    app.tick(at(9));
    assert!(text(&app, 100, 30).contains("lastack does not answer"));
}

#[test]
fn a_screen_that_holds_still_does_not_change_until_it_goes_on() {
    let mut app = watching();
    app.act(Action::Pause);
    let before = text(&app, 100, 30);
    app.hear(stats(answer(60)), at(7));
    app.hear(News::Busiest(Busiest::default()), at(7));
    app.tick(at(7));
    assert_eq!(text(&app, 100, 30), before);
    assert!(before.contains("‖ paused"));
    app.act(Action::Pause);
    app.hear(stats(answer(61)), at(8));
    assert_ne!(text(&app, 100, 30), before);
}

#[test]
fn a_filter_is_typed_mended_taken_and_left() {
    let mut app = watching();
    app.act(Action::Filter);
    for character in "port 443".chars() {
        app.act(Action::Type(character));
    }
    app.act(Action::Accept);
    assert_eq!(app.mode(), Mode::Typing, "a filter that means nothing is not taken");
    assert!(text(&app, 140, 24).contains("port: neither an address, nor a port, a state or a protocol"));
    assert_eq!(app.take_wish(), None);
    app.act(Action::Clear);
    for character in "4433".chars() {
        app.act(Action::Type(character));
    }
    app.act(Action::Erase);
    app.act(Action::Accept);
    assert_eq!(app.take_wish(), Some(Filter { port: Some(443), ..Filter::default() }));
    assert_eq!(app.take_wish(), None, "it is told once");
    app.hear(News::Busiest(Busiest { rows: Vec::new(), is_whole: true }), at(7));
    assert!(text(&app, 140, 24).contains("Busiest connections ─ 443: of 0"));
    app.act(Action::Filter);
    app.act(Action::Type('x'));
    app.act(Action::Cancel);
    assert_eq!(app.query(), "443", "what was typed in vain is forgotten");
    app.act(Action::Cancel);
    assert_eq!(app.take_wish(), Some(Filter::default()));
}

#[test]
fn keys_move_between_panels_in_a_circle_and_one_can_have_the_screen() {
    let mut app = watching();
    app.act(Action::Focus(Panel::Connections));
    app.act(Action::Turn(1));
    assert_eq!(app.focus(), Panel::Ports);
    app.act(Action::Turn(-1));
    assert_eq!(app.focus(), Panel::Connections);
    app.act(Action::Focus(Panel::Drops));
    app.act(Action::Zoom);
    let screen = text(&app, 100, 30);
    assert!(screen.contains("4 Drops by reason") && !screen.contains("1 Ports"), "{screen}");
    app.act(Action::Cancel);
    assert!(text(&app, 100, 30).contains("1 Ports"));
    app.act(Action::Quit);
    assert!(app.is_over());
}

#[test]
fn the_help_names_every_key_and_leaves_at_the_next() {
    let mut app = watching();
    app.act(Action::Help);
    let screen = text(&app, 80, 24);
    for key in ["tab, 1–5", "z, enter", "esc", "10.0.0.0/8"] {
        assert!(screen.contains(key), "{screen}");
    }
    app.act(Action::Cancel);
    assert!(!text(&app, 80, 24).contains("Help"));
}

#[test]
fn without_colours_nothing_has_one_and_with_them_something_has() {
    let mut app = watching();
    app.act(Action::Focus(Panel::States));
    let colours = |theme| {
        let backend = screen(&app, 100, 30, theme);
        backend
            .buffer()
            .content()
            .iter()
            .filter(|cell| (cell.fg, cell.bg) != (Color::Reset, Color::Reset))
            .count()
    };
    assert_eq!(colours(Theme::new(false)), 0);
    assert!(colours(Theme::new(true)) > 100);
}
