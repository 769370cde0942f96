//! The page of records that nobody measured: its parts, and what becomes of odd ones.

use super::machine::Processors;
use super::*;
use crate::bench::{Baseline, Percentiles};

fn record(flows: u32, seconds: f64) -> Report {
    Report {
        workload: Workload::Established,
        flows,
        capacity: None,
        shards: 1,
        packets: 20_000_000,
        rate: 20e6 / seconds,
        connections: None,
        bytes_per_connection: 137.4,
        burst_nanoseconds: Percentiles { p50: 900, p99: 1_100, p9999: 5_000, max: 21_000 },
        baseline: None,
    }
}

/// What `expiry` finds: 99.99 % of bursts took so long, and so long before.
fn ending(flows: u32, p9999: u32, before: u32) -> Report {
    let burst_nanoseconds = Percentiles { p9999, max: 300_000, ..record(flows, 1.0).burst_nanoseconds };
    let before = Percentiles { p9999: before, ..burst_nanoseconds };
    let baseline = Some(Baseline { packets: 20_000_000, burst_nanoseconds: before });
    Report { workload: Workload::Expiry, burst_nanoseconds, baseline, ..record(flows, 1.0) }
}

fn content(flows: &[u32]) -> Content {
    let reports: Vec<Report> = flows.iter().map(|&flows| record(flows, 0.5)).collect();
    let ceilings = flows.iter().map(|&flows| Ceiling { flows, packets_per_second: 5e7, found: 0.991 });
    Content {
        ceilings: ceilings.collect(),
        reports,
        machine: Machine {
            processor: "Made <Up> & Sons \"9000\"".to_owned(),
            processors: Processors { all: 2, allowed: vec![0, 1] },
            memory: "24.0 GiB".to_owned(),
            kernel: "6.1.0".to_owned(),
            huge_pages: "madvise".to_owned(),
        },
        disturbance: Disturbance { switches: 20, seconds: 4.0 },
        command: "lastack bench --html '<script>alert(1)</script>.html'".to_owned(),
        seconds_since_1970: 1_700_000_000,
        is_debug_build: false,
    }
}

/// A tag or a text between two.
#[derive(Debug)]
enum Piece<'a> {
    Open(&'a str, Vec<(&'a str, &'a str)>),
    Close,
    Text(&'a str),
}

/// The pieces of a page; fails where it is not well-formed, which is more than a browser asks for.
fn pieces(page: &str) -> Vec<Piece<'_>> {
    let mut pieces = Vec::new();
    let mut open = Vec::new();
    let mut rest = page.strip_prefix("<!DOCTYPE html>").expect("a document's type");
    while let Some(at) = rest.find('<') {
        let (text, behind) = rest.split_at(at);
        assert_text(text);
        pieces.push(Piece::Text(text));
        let (tag, behind) = behind[1..].split_once('>').expect("the end of a tag");
        rest = behind;
        if let Some(name) = tag.strip_prefix('/') {
            assert_eq!(open.pop(), Some(name), "what was opened last is closed first");
            pieces.push(Piece::Close);
            continue;
        }
        let (tag, is_empty) = tag.strip_suffix('/').map_or((tag, false), |tag| (tag, true));
        let (name, attributes) = tag.split_once(' ').unwrap_or((tag, ""));
        assert!(name.chars().all(|c| c.is_ascii_alphanumeric()), "<{tag}>");
        pieces.push(Piece::Open(name, self::attributes(attributes)));
        if is_empty {
            pieces.push(Piece::Close);
        } else {
            open.push(name);
        }
    }
    assert!(open.is_empty() && rest.trim().is_empty(), "{open:?} is open at the end");
    pieces
}

fn attributes(mut text: &str) -> Vec<(&str, &str)> {
    let mut found = Vec::new();
    while !text.is_empty() {
        let (name, behind) = text.split_once("=\"").expect("a value in quotes");
        let (value, behind) = behind.split_once('"').expect("its end");
        assert_text(value);
        found.push((name, value));
        text = behind.trim_start();
    }
    found
}

/// Every ampersand begins one of the few entities that are used.
fn assert_text(text: &str) {
    assert!(!text.contains('>'), "{text}");
    for behind in text.split('&').skip(1) {
        let entity = behind.split_once(';').map_or("", |(entity, _)| entity);
        assert!(["amp", "lt", "gt", "quot"].contains(&entity) || entity.starts_with('#'), "&{behind}");
    }
}

fn number(attributes: &[(&str, &str)], name: &str) -> f64 {
    let found = attributes.iter().find(|(key, _)| *key == name);
    found.unwrap_or_else(|| panic!("no {name} in {attributes:?}")).1.parse().unwrap()
}

/// The middle of a mark, if that is what the element is.
fn mark(name: &str, attributes: &[(&str, &str)]) -> Option<(f64, f64)> {
    let class = attributes.iter().find(|(key, _)| *key == "class")?.1;
    if !class.starts_with("mark") {
        return None;
    }
    Some(match name {
        "circle" => (number(attributes, "cx"), number(attributes, "cy")),
        "rect" => (number(attributes, "x") + 3.5, number(attributes, "y") + 3.5),
        _ => {
            let path = attributes.iter().find(|(key, _)| *key == "d").unwrap().1;
            let (x, rest) = path.strip_prefix('M').unwrap().split_once(' ').unwrap();
            (x.parse().unwrap(), rest.split('l').next().unwrap().parse::<f64>().unwrap() + 5.0)
        }
    })
}

/// All labels lie within the picture, and none covers another or a mark.
fn assert_labels_are_apart_and_inside(page: &str) -> usize {
    let (mut width, mut height) = (0.0, 0.0);
    let mut labels: Vec<(f64, f64, f64, &str)> = Vec::new();
    let mut marks: Vec<(f64, f64)> = Vec::new();
    let mut pictures = 0;
    let all = pieces(page);
    for pair in all.windows(2) {
        if let Piece::Open(name, attributes) = &pair[0] {
            marks.extend(mark(name, attributes));
        }
        let [Piece::Open(name, attributes), Piece::Text(text)] = pair else { continue };
        if *name == "svg" {
            let view = attributes.iter().find(|(key, _)| *key == "viewBox").unwrap().1;
            let sizes: Vec<f64> = view.split(' ').map(|number| number.parse().unwrap()).collect();
            (width, height) = (sizes[2], sizes[3]);
            labels.clear();
            marks.clear();
            pictures += 1;
        } else if *name == "text" {
            let (x, y) = (number(attributes, "x"), number(attributes, "y"));
            let long = text.chars().count() as f64 * 6.6;
            let anchor =
                attributes.iter().find(|(key, _)| *key == "text-anchor").map_or("start", |pair| pair.1);
            let left = x - match anchor {
                "middle" => long / 2.0,
                "end" => long,
                _ => 0.0,
            };
            assert!(left >= 0.0 && left + long <= width, "{text} at {left} is {long} wide of {width}");
            assert!(y >= 10.0 && y <= height - 3.0, "{text} at {y} of {height}");
            for (other_left, other_right, other_y, other) in &labels {
                let is_apart =
                    left + long <= *other_left || *other_right <= left || (y - other_y).abs() >= 11.0;
                assert!(is_apart, "{text:?} covers {other:?}");
            }
            for (mark_x, mark_y) in &marks {
                let is_beside = mark_x + 3.5 <= left || left + long <= mark_x - 3.5;
                let is_apart = is_beside || mark_y + 3.5 <= y - 9.0 || y + 2.0 <= mark_y - 3.5;
                assert!(is_apart, "{text:?} at {left}, {y} covers the mark at {mark_x}, {mark_y}");
            }
            labels.push((left, left + long, y, text));
        }
    }
    pictures
}

#[test]
fn a_page_shows_each_record_beside_the_bare_loop_and_the_machine() {
    let page = content(&[10_000, 1_000_000, 4_000_000]).render();
    assert_eq!(assert_labels_are_apart_and_inside(&page), 4, "two, and two of memory");
    let row = "<tr><td>established</td><td>1,000,000</td><td>1</td><td>40.00</td><td>25.0</td>\
               <td>&#8211;</td><td>50.00</td><td>0.80</td><td>137.4</td><td>0.9</td><td>1.1</td><td>5.0</td><td>21.0</td>\
               <td>&#8211;</td></tr>";
    assert!(page.contains(row), "{page}");
    assert_eq!(page.matches("<tr><td>").count(), 3);
    for part in [
        "550 MB for 4,000,000",
        "24.0 GiB",
        "6.1.0",
        "madvise",
        "bare loop",
        "0.80 of the bare loop",
        "2023-11-14 22:13 UTC",
    ] {
        assert!(page.contains(part), "{part} is missing");
    }
}

#[test]
fn every_workload_has_its_panel_and_what_it_alone_counts() {
    let mut all = content(&[5_000; 5]);
    for (report, workload) in all.reports.iter_mut().zip(Workload::ALL) {
        report.workload = workload;
    }
    all.reports[2].connections = Some(2_500_000.0);
    all.reports[4] = ending(5_000, 5_000, 4_321);
    let page = all.render();
    assert_eq!(assert_labels_are_apart_and_inside(&page), 12);
    for part in [
        "2.50 M connections/s",
        "<title>Lastack: 2.5 at 5 k connections",
        "<td>2.50</td>",
        "<td>4.3</td>",
        "<title>99.99 % before",
        "5.00 µs</b><span class=\"faint\">while 5,000 connections end; 4.32 µs before<",
    ] {
        assert!(page.contains(part), "{part} is missing");
    }
    assert_eq!(page.matches("<title>bare loop: the ceiling").count(), 2, "where it does the same work");
}

#[test]
fn what_comes_from_outside_is_text_and_nothing_else() {
    let page = content(&[1_000_000]).render();
    assert!(page.contains("Made &lt;Up&gt; &amp; Sons &quot;9000&quot;"));
    assert!(page.contains("&lt;script&gt;alert(1)&lt;/script&gt;.html"));
    assert!(!page.contains("<script"));
}

#[test]
fn nothing_is_fetched() {
    let page = content(&[1_000_000]).render();
    let namespaces = page.matches("xmlns=\"http://www.w3.org/2000/svg\"").count();
    assert_eq!(page.matches("http").count(), namespaces);
    for word in ["src=", "href=", "url(", "@import", "<link", "<iframe"] {
        assert!(!page.contains(word), "{word}");
    }
}

#[test]
fn values_of_lines_that_meet_do_not_cover_each_other() {
    for seconds in [0.33, 0.34, 0.35, 0.36] {
        let mut near = content(&[1_000, 10_000, 100_000, 1_000_000]);
        near.reports[1] = record(10_000, seconds);
        assert_labels_are_apart_and_inside(&near.render());
    }
}

/// Where the labels of a series stand in a chart: its class, then height and text of each.
fn values<'a>(page: &'a str, class: &str) -> Vec<(f64, &'a str)> {
    let all = pieces(page);
    let of_class = |pair: &[Piece<'a>]| match pair {
        [Piece::Open("text", attributes), Piece::Text(text)] => {
            let is_it = attributes.contains(&("class", class));
            is_it.then(|| (number(attributes, "y"), *text))
        }
        _ => None,
    };
    all.windows(2).filter_map(of_class).collect()
}

fn texts<'a>(values: &[(f64, &'a str)]) -> Vec<&'a str> {
    values.iter().map(|(_, text)| *text).collect()
}

#[test]
fn times_while_connections_end_and_before_are_told_apart_however_near_they_are() {
    let mut near = content(&[]);
    let found = [(10_000, 25_200, 34_900), (100_000, 33_200, 33_900), (1_000_000, 34_600, 31_300)];
    near.reports = found.map(|(flows, during, before)| ending(flows, during, before)).to_vec();
    let page = near.render();
    assert_labels_are_apart_and_inside(&page);
    let (during, before) = (values(&page, "value d"), values(&page, "value b"));
    assert_eq!(texts(&during), ["25.2 µs", "33.2 µs", "34.6 µs"]);
    assert_eq!(texts(&before), ["34.9 µs", "33.9 µs", "31.3 µs"]);
    // Downwards: the longer time stands above the shorter one.
    let is_above: Vec<bool> =
        during.iter().zip(&before).map(|(during, before)| during.0 < before.0).collect();
    assert_eq!(is_above, [false, false, true]);
}

#[test]
fn values_hide_no_mark_of_a_line_that_is_near() {
    for p99 in [905, 950, 1_000, 1_200, 1_600, 2_500, 4_900] {
        for p50 in [900, 990, 1_010, 2_900] {
            let mut near = content(&[1_000, 10_000, 100_000, 1_000_000]);
            for report in &mut near.reports {
                (report.burst_nanoseconds.p50, report.burst_nanoseconds.p99) = (p50, p50.max(p99));
            }
            let page = near.render();
            assert_labels_are_apart_and_inside(&page);
            assert_eq!(values(&page, "value d").len(), 4, "99.99 %, {p50} and {p99}");
        }
    }
}

#[test]
fn one_number_of_connections_is_a_mark_without_a_line() {
    let page = content(&[3_000]).render();
    assert_labels_are_apart_and_inside(&page);
    assert!(!page.contains("<polyline"));
    assert!(page.contains("<circle class=\"mark\""));
}

#[test]
fn records_of_one_number_of_connections_share_its_bare_loop() {
    let page = content(&[5_000, 5_000]).render();
    pieces(&page);
    assert_eq!(page.matches("<title>bare loop: the ceiling").count(), 1);
}

#[test]
fn many_numbers_of_connections_leave_room_for_their_labels() {
    let flows: Vec<u32> = (1..=24).map(|power| (1 << power).min(16_000_000)).collect();
    assert_eq!(assert_labels_are_apart_and_inside(&content(&flows).render()), 4);
}

#[test]
fn a_workload_without_records_has_no_panel() {
    let page = content(&[]).render();
    pieces(&page);
    assert!(!page.contains("<svg") && !page.contains(about(Workload::Established).title));
}

#[test]
fn a_rate_that_is_no_number_is_left_out_of_the_chart() {
    let mut odd = content(&[1_000, 2_000]);
    odd.reports[0].rate = f64::INFINITY;
    let page = odd.render();
    assert_labels_are_apart_and_inside(&page);
    assert!(!page.contains("\"inf") && !page.contains("NaN"));
}

#[test]
fn a_build_for_debugging_says_so() {
    let mut debug = content(&[1_000]);
    assert!(!debug.render().contains("class=\"warning\""));
    debug.is_debug_build = true;
    assert!(debug.render().contains("class=\"warning\""));
}

#[test]
fn percentiles_of_few_bursts_are_warned_of() {
    let enough = content(&[1_000]);
    assert!(enough.warnings().is_empty());
    let mut few = content(&[1_000, 2_000]);
    few.reports[1].packets = 319_968;
    assert!(
        few.warnings()[0].contains("of established with 2,000 connections 9,999 were timed"),
        "{:?}",
        few.warnings()
    );
    assert!(few.render().contains("<p class=\"warning\">The times of bursts say little here"));
    let mut few = content(&[1_000]);
    few.reports[0] = ending(1_000, 2, 1);
    assert!(few.warnings().is_empty());
    few.reports[0].baseline.as_mut().unwrap().packets = 3_200;
    assert!(
        few.warnings()[0].contains("of expiry with 1,000 connections 100 were timed"),
        "the baseline's count as well"
    );
}

#[test]
fn a_processor_that_was_shared_is_warned_of() {
    let mut shared = content(&[1_000]);
    shared.disturbance = Disturbance { switches: 1_201, seconds: 4.0 };
    let warning = &shared.warnings()[0];
    assert!(warning.contains("1,201 times in 4 seconds"), "{warning}");
    shared.reports[0].shards = 8;
    assert!(shared.warnings().is_empty(), "that is few of eight threads");
}

#[test]
fn disturbances_are_those_of_the_measurement() {
    let (before, after) =
        (Disturbance { switches: 70, seconds: 10.5 }, Disturbance { switches: 90, seconds: 12.0 });
    let Disturbance { switches, seconds } = after.since(before);
    assert_eq!((switches, seconds), (20, 1.5));
    assert!(Disturbance::until_now().seconds > 1.7e9);
}

/// A folder that goes with the test.
struct Folder(std::path::PathBuf);

impl Folder {
    fn new(name: &str) -> Folder {
        let path = std::env::temp_dir().join(format!("lastack-page-{name}-{}", std::process::id()));
        std::fs::create_dir(&path).unwrap();
        Folder(path)
    }

    fn names(&self) -> Vec<String> {
        let entries = std::fs::read_dir(&self.0).unwrap();
        let mut names: Vec<_> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[test]
fn a_file_is_replaced_whole_and_nothing_is_left_beside_it() {
    let folder = Folder::new("replaced");
    let path = folder.0.join("page.html");
    std::fs::write(&path, "old").unwrap();
    let destination = Destination::new(&path).unwrap();
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "old", "the trial leaves it as it is");
    destination.write("new").unwrap();
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "new");
    assert_eq!(folder.names(), ["page.html"]);
}

#[test]
fn a_link_stays_one_and_its_file_is_replaced() {
    let folder = Folder::new("link");
    let (file, link) = (folder.0.join("file.html"), folder.0.join("link.html"));
    std::fs::write(&file, "old").unwrap();
    std::os::unix::fs::symlink(&file, &link).unwrap();
    Destination::new(&link).unwrap().write("new").unwrap();
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "new");
    assert!(link.symlink_metadata().unwrap().is_symlink());
}

#[test]
fn a_path_that_cannot_be_a_page_is_refused_by_name() {
    let folder = Folder::new("refused");
    for path in [folder.0.clone(), folder.0.join("absent/page.html"), "/dev/null".into()] {
        let error = Destination::new(&path).unwrap_err().to_string();
        assert!(error.starts_with(path.to_str().unwrap()), "{error}");
    }
    assert!(folder.names().is_empty());
}
