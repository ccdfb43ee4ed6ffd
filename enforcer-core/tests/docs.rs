//! Generated pages: each says what the code says, or the build fails. `UPDATE_DOCS=1 cargo test -p
//! enforcer-core --test docs` writes them anew.

use std::env;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use enforcer_common::reason;

const DROP_REASONS_HEAD: &str = "\
# Drop reasons

Generated from `enforcer-common/src/reason.rs`; do not edit. The word stands in records, counters and `enforcerctl explain`. A
number, once released, keeps its meaning for ever.

| number | word | meaning |
| ---: | --- | --- |
";

fn drop_reasons() -> String {
    let mut page = DROP_REASONS_HEAD.to_owned();
    for (number, word, meaning) in reason::ALL {
        writeln!(page, "| {number} | `{word}` | {} |", meaning.trim()).unwrap();
    }
    page
}

fn page(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs").join(name)
}

fn assert_page(name: &str, wanted: &str) {
    let path = page(name);
    if env::var_os("UPDATE_DOCS").is_some_and(|value| value == "1") {
        fs::write(&path, wanted).unwrap();
        return;
    }
    let found = fs::read_to_string(&path).unwrap_or_default();
    for (index, (found, wanted)) in found.lines().zip(wanted.lines()).enumerate() {
        assert_eq!(found, wanted, "docs/{name}, line {}: run with UPDATE_DOCS=1", index + 1);
    }
    assert_eq!(found.lines().count(), wanted.lines().count(), "docs/{name}: run with UPDATE_DOCS=1");
}

#[test]
fn drop_reasons_page_is_the_table() {
    assert_page("drop-reasons.md", &drop_reasons());
}

#[test]
fn every_drop_reason_fits_a_table_row() {
    for (number, word, meaning) in reason::ALL {
        assert!(!meaning.contains(['|', '\n']), "reason {number} ({word}) would break the table");
        assert!(meaning.ends_with('.'), "reason {number} ({word}) is no sentence");
    }
}
