//! `bench --html`: one file that holds everything, or none.

use crate::common::{Scratch, lastack};

#[test]
fn the_page_holds_each_record_and_names_nothing_outside_of_itself() {
    let scratch = Scratch::new();
    let file = scratch.path("bench.html");
    let path = file.to_str().unwrap();
    let established = ["--workload", "established", "--packets", "640"];
    let run = lastack(
        &[&["bench", "--json", "--html", path, "--flows", "1000", "--flows", "3000"], &established[..]]
            .concat(),
    );
    assert_eq!(run.status, Some(0), "{}", run.stderr);
    let page = std::fs::read_to_string(&file).unwrap();
    assert_eq!(run.stdout.lines().count(), 2);
    for line in run.stdout.lines() {
        assert!(page.contains(&line.replace('"', "&quot;")), "{line} is missing in: {page}");
    }
    assert!(page.contains("<td>1,000</td>") && page.contains("<td>3,000</td>"));
    assert!(page.contains("bench --json --html"), "the command");
    assert!(page.contains("The times of bursts say little here"), "20 of them");
    assert!(page.starts_with("<!DOCTYPE html>") && page.ends_with("</html>\n"));
    let namespaces = page.matches("xmlns=\"http://www.w3.org/2000/svg\"").count();
    assert!(namespaces >= 3, "throughput, latency, memory");
    assert_eq!(page.matches("http").count(), namespaces, "nothing is fetched");
    let names = std::fs::read_dir(file.parent().unwrap()).unwrap();
    assert!(names.flatten().all(|entry| !entry.file_name().to_string_lossy().contains(".part")));
}

#[test]
fn a_page_that_cannot_be_written_exits_1_before_anything_is_measured() {
    let scratch = Scratch::new();
    let file = scratch.path("absent/bench.html");
    // It would take minutes.
    let run =
        lastack(&["bench", "--flows", "1000", "--packets", "900000000000", "--html", file.to_str().unwrap()]);
    assert_eq!((run.status, run.stdout.as_str()), (Some(1), ""));
    assert!(run.stderr.contains("absent/bench.html"), "{}", run.stderr);
    assert!(!file.parent().unwrap().exists());
}
