//! Which section of the object each program is in: the loader keeps the names of programs, and not those of the hooks
//! that stand in their sections' names.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result};
use object::{Object as _, ObjectSection as _, ObjectSymbol as _, SymbolKind};

/// The sections of an object's functions, by the names of the functions.
pub(crate) fn of_programs(bytes: &[u8]) -> Result<BTreeMap<String, String>> {
    let file = object::File::parse(bytes).context("the object")?;
    let mut sections = BTreeMap::new();
    for symbol in file.symbols().filter(|symbol| symbol.kind() == SymbolKind::Text) {
        let Some(index) = symbol.section_index() else { continue };
        let section = file.section_by_index(index)?.name()?.to_owned();
        sections.insert(symbol.name()?.to_owned(), section);
    }
    Ok(sections)
}
