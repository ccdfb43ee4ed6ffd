//! Lists as JSON text. A typed list of Parquet costs levels and a dictionary index for every element in every row; a
//! process's arguments and ancestors are the same from record to record, so that their text is one index a row, and
//! three columns of ancestors are one. Query engines take JSON apart with a function each.

use enforcer_proto::v1;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize)]
struct Ancestor<'a> {
    pid: u32,
    start_boot_ns: u64,
    #[serde(borrow)]
    executable: std::borrow::Cow<'a, str>,
}

#[derive(Serialize, Deserialize)]
struct Field<'a> {
    #[serde(borrow)]
    name: std::borrow::Cow<'a, str>,
    #[serde(borrow)]
    value: std::borrow::Cow<'a, str>,
}

/// `["a","b"]`; nothing for no element.
pub(super) fn words(list: &[String]) -> Option<String> {
    if list.is_empty() {
        return None;
    }
    text(&list)
}

/// The elements of a text that [`words`] made.
pub(super) fn parse_words(text: &str) -> Result<Vec<String>, serde_json::Error> {
    serde_json::from_str(text)
}

/// `[{"pid":1,"start_boot_ns":2,"executable":"/sbin/init"}]`
pub(super) fn ancestors(list: &[v1::Ancestor]) -> Option<String> {
    if list.is_empty() {
        return None;
    }
    let shown = list.iter().map(|ancestor| Ancestor {
        pid: ancestor.pid,
        start_boot_ns: ancestor.start_boot_ns,
        executable: ancestor.executable.as_str().into(),
    });
    text(&shown.collect::<Vec<_>>())
}

/// The ancestors of a text that [`ancestors`] made.
pub(super) fn parse_ancestors(text: &str) -> Result<Vec<v1::Ancestor>, serde_json::Error> {
    let list: Vec<Ancestor<'_>> = serde_json::from_str(text)?;
    let whole = |ancestor: Ancestor<'_>| v1::Ancestor {
        pid: ancestor.pid,
        start_boot_ns: ancestor.start_boot_ns,
        executable: ancestor.executable.into_owned(),
    };
    Ok(list.into_iter().map(whole).collect())
}

/// `[{"name":"a","value":"b"}]`: names may repeat and their order is kept, which an object would not do.
pub(super) fn fields(list: &[v1::Field]) -> Option<String> {
    if list.is_empty() {
        return None;
    }
    let shown = list
        .iter()
        .map(|field| Field { name: field.name.as_str().into(), value: field.value.as_str().into() });
    text(&shown.collect::<Vec<_>>())
}

/// The fields of a text that [`fields`] made.
pub(super) fn parse_fields(text: &str) -> Result<Vec<v1::Field>, serde_json::Error> {
    let list: Vec<Field<'_>> = serde_json::from_str(text)?;
    Ok(list
        .into_iter()
        .map(|field| v1::Field { name: field.name.into_owned(), value: field.value.into_owned() })
        .collect())
}

/// Strings and numbers are always JSON.
fn text(list: &impl Serialize) -> Option<String> {
    serde_json::to_string(list).ok()
}
