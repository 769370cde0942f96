//! The list of behaviours in docs/proof.md, with the states that each walks through: printed by what was
//! played, and compared with it.

use std::fmt::Write;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use super::{CHAPTERS, Chapter, Played};

/// What ends a chapter's lines.
const END: &str = "<!-- end -->\n";
/// Who writes the page does so alone.
static PAGE: Mutex<()> = Mutex::new(());

fn path() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/proof.md")
}

fn is_to_be_written() -> bool {
    std::env::var_os("LASTACK_BLESS").is_some()
}

/// The chapter's place in the page.
fn place(page: &str, chapter: &Chapter) -> std::ops::Range<usize> {
    let begin = format!("<!-- behaviours: {} -->\n", chapter.title);
    let start = page.find(&begin).unwrap_or_else(|| panic!("docs/proof.md has no {begin}")) + begin.len();
    start..start + page[start..].find(END).expect("docs/proof.md ends each list")
}

/// Holds the page against what was played; with `LASTACK_BLESS=1` writes it there.
pub(super) fn compare(chapter: &Chapter, played: &[Played]) {
    let steps: usize = played.iter().map(|played| played.steps).sum();
    let title = &chapter.title;
    let mut text = format!("**{title}**: {} behaviours, {steps} steps\n\n", played.len());
    for (behaviour, played) in chapter.behaviours.iter().zip(played) {
        writeln!(text, "- {}: {}", behaviour.title, played.trail.join(" → ")).unwrap();
    }
    let _alone = PAGE.lock().unwrap_or_else(PoisonError::into_inner);
    let mut page = std::fs::read_to_string(path()).unwrap();
    let place = place(&page, chapter);
    if is_to_be_written() {
        page.replace_range(place, &text);
        std::fs::write(path(), page).unwrap();
    } else {
        assert!(
            page[place] == text,
            "docs/proof.md is not what was played; LASTACK_BLESS=1 cargo test --test wire behaviours"
        );
    }
}

#[test]
fn the_page_names_every_behaviour() {
    if is_to_be_written() {
        return;
    }
    let page = std::fs::read_to_string(path()).unwrap();
    for chapter in &CHAPTERS {
        let lines = page[place(&page, chapter)].lines().skip(2);
        let listed: Vec<&str> = lines.map(|line| line.trim_start_matches("- ")).collect();
        assert_eq!(listed.len(), chapter.behaviours.len(), "{}", chapter.title);
        for (line, behaviour) in listed.iter().zip(chapter.behaviours) {
            assert!(line.starts_with(&format!("{}: ", behaviour.title)), "{line} is not {}", behaviour.title);
        }
    }
}
