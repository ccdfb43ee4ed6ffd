//! Headers between the words of the wire and ours.

use std::str::FromStr;

use http::HeaderMap;

/// A header that a peer may send: what is not there, is there twice, or cannot be read says nothing.
pub(super) fn hint<T: FromStr>(headers: &HeaderMap, name: &str) -> Option<T> {
    let mut values = headers.get_all(name).iter();
    let value = values.next()?;
    if values.next().is_some() {
        return None;
    }
    value.to_str().ok()?.parse().ok()
}
