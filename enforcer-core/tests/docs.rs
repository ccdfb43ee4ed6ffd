//! Generated pages: each says what the code says, or the build fails. `UPDATE_DOCS=1 cargo test -p
//! enforcer-core --test docs` writes them anew.

#![expect(clippy::unwrap_used, reason = "a page that cannot be read fails the test")]

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

/// Everything on the page but the table of attacks is written by hand.
const ATTACKS_BEGIN: &str = "<!-- attacks: enforcer-core/src/device/attack.rs -->\n";
const ATTACKS_END: &str = "<!-- end of attacks -->";

#[test]
fn the_table_of_attacks_is_the_one_that_status_reads() {
    let found = fs::read_to_string(page("device-wall.md")).unwrap();
    let (head, rest) = found.split_once(ATTACKS_BEGIN).unwrap();
    let (_, tail) = rest.split_once(ATTACKS_END).unwrap();
    let table = enforcer_core::device::attack::table();
    assert_page("device-wall.md", &format!("{head}{ATTACKS_BEGIN}{table}{ATTACKS_END}{tail}"));
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

/// Words between backticks in a table's column, for the rows below a heading.
fn quoted(page: &str, heading: &str, column: usize) -> Vec<String> {
    let section = page.split("\n## ").find(|section| section.starts_with(heading)).unwrap();
    let rows = section.lines().filter(|line| line.starts_with('|')).skip(2);
    let cells = rows.map(|row| row.split('|').nth(column).unwrap());
    cells.flat_map(|cell| cell.split('`').skip(1).step_by(2)).map(str::to_owned).collect()
}

fn sources(directory: &Path, found: &mut String) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_dir() && name != "target" && !name.starts_with('.') {
            sources(&path, found);
        } else if name.ends_with(".rs") && name != "docs.rs" {
            found.push_str(&fs::read_to_string(&path).unwrap());
        }
    }
}

#[test]
fn every_claim_names_tests_that_exist() {
    let root = page("..");
    let architecture = fs::read_to_string(root.join("ARCHITECTURE.md")).unwrap();
    let threats = fs::read_to_string(page("threat-model.md")).unwrap().replace("\n### Tests", "\n## Tests");
    let mut names = quoted(&architecture, "Invariants", 3);
    names.extend(quoted(&threats, "Tests", 2));
    let mut code = String::new();
    sources(&root, &mut code);
    code.push_str(include_str!("docs.rs"));
    assert!(names.len() >= 50, "only {} tests are named", names.len());
    for name in names.iter().filter(|name| !name.contains('/')) {
        assert!(code.contains(&format!("fn {name}(")), "no test is called {name}");
    }
}

/// Statements of the SPIFFE standards that concern us, by their first letters, and how many there are of each.
const STATEMENTS: [(&str, u32); 7] =
    [("ID", 7), ("X", 12), ("B", 6), ("E", 6), ("W", 11), ("J", 5), ("F", 10)];
const STATEMENTS_HEAD: &str = "SPIFFE, statement by statement";
/// Where the paths of the table of statements begin.
const STATEMENTS_PLACES: [(&str, &str); 3] = [
    ("core/", "enforcer-core/src/identity"),
    ("agent/", "enforcer-agent/src/identity"),
    ("cli/", "enforcer-cli/src"),
];

#[test]
fn every_statement_of_the_standards_has_its_row() {
    let identity = fs::read_to_string(page("identity.md")).unwrap();
    let table = identity.split("\n## ").find(|section| section.starts_with(STATEMENTS_HEAD)).unwrap();
    let rows = table.lines().filter_map(|line| line.strip_prefix("| "));
    let begun: Vec<&str> = rows.flat_map(|row| row.split([':', '(']).next().unwrap().split(", ")).collect();
    for (letters, count) in STATEMENTS {
        for number in 1..=count {
            let statement = format!("{letters}-{number}");
            let found = begun.iter().filter(|found| found.trim() == statement).count();
            assert_eq!(found, 1, "{statement} has {found} rows");
        }
    }
}

/// A function, or a case of the tests of identities.
#[test]
fn every_statement_names_tests_and_places_that_exist() {
    let root = page("..");
    let identity = fs::read_to_string(page("identity.md")).unwrap();
    let mut code = String::new();
    sources(&root, &mut code);
    let names = quoted(&identity, STATEMENTS_HEAD, 3);
    assert!(names.len() >= 100, "only {} tests are named", names.len());
    for name in names {
        let wanted = if name.contains("::") { format!("\"{name}\"") } else { format!("fn {name}(") };
        assert!(code.contains(&wanted), "no test is called {name}");
    }
    for place in quoted(&identity, STATEMENTS_HEAD, 2) {
        let start =
            STATEMENTS_PLACES.iter().find_map(|(short, long)| Some((place.strip_prefix(short)?, long)));
        let (rest, long) = start.unwrap_or_else(|| panic!("{place} begins with no crate"));
        assert!(root.join(long).join(rest).is_file(), "the table names {place}, which is not there");
    }
}

#[test]
fn every_place_of_the_code_map_exists() {
    let root = page("..");
    let architecture = fs::read_to_string(root.join("ARCHITECTURE.md")).unwrap();
    let places = quoted(&architecture, "Code map", 1);
    assert!(places.len() >= 30, "the code map has only {} places", places.len());
    for place in places {
        assert!(root.join(&place).exists(), "the code map names {place}, which is not there");
    }
}

#[test]
fn every_decision_is_listed_and_linked_pages_exist() {
    let adr = page("adr");
    let list = fs::read_to_string(adr.join("README.md")).unwrap();
    for entry in fs::read_dir(&adr).unwrap() {
        let name = entry.unwrap().file_name().to_string_lossy().into_owned();
        assert!(name == "README.md" || list.contains(&format!("]({name})")), "{name} is not in the list");
    }
    for link in list.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
        assert!(adr.join(link).is_file(), "the list names {link}, which is not there");
    }
}
