//! Names: DNS-1123 labels and subdomains (RFC 1123 section 2.1, as Kubernetes reads it).

use super::scope::Scope;
use crate::policy::model::Name;
use crate::policy::parse::limits::{MAX_LABEL, MAX_SUBDOMAIN};
use crate::policy::parse::path::At;
use crate::policy::problem::shown;

/// Words that stand for identities which no tenant may take, because records could not tell them apart.
const RESERVED: [&str; 4] = ["host", "world", "remote-node", "unknown"];

pub(super) fn label(scope: &mut Scope, at: &At, text: &str) -> Option<Name> {
    checked(
        scope,
        at,
        text,
        is_label(text),
        "lower-case letters, digits and '-' inside, at most 63 characters",
    )
}

pub(super) fn subdomain(scope: &mut Scope, at: &At, text: &str) -> Option<Name> {
    checked(
        scope,
        at,
        text,
        is_subdomain(text),
        "labels of lower-case letters, digits and '-' inside, joined by '.', at most 253 characters",
    )
}

/// The name of a device class: drivers write `_` where DNS writes `-`.
pub(super) fn class(scope: &mut Scope, at: &At, text: &str) -> Option<Name> {
    let right = is_label(&text.replace('_', "-"));
    checked(scope, at, text, right, "lower-case letters, digits, '-' and '_' inside, at most 63 characters")
}

/// The name of a tenant that an object is, or that it mentions.
pub(super) fn tenant(scope: &mut Scope, at: &At, text: &str) -> Option<Name> {
    if RESERVED.contains(&text) {
        let message = format!("'{text}' is a reserved identity and no tenant; choose another name");
        scope.refuse("reserved_name", at, message);
        return None;
    }
    label(scope, at, text)
}

/// A name that may be left out: the empty text.
pub(super) fn optional(
    scope: &mut Scope,
    at: &At,
    text: &str,
    parse: fn(&mut Scope, &At, &str) -> Option<Name>,
) -> Option<String> {
    if text.is_empty() {
        return Some(String::new());
    }
    parse(scope, at, text).map(|name| name.as_ref().to_owned())
}

fn checked(scope: &mut Scope, at: &At, text: &str, right: bool, form: &str) -> Option<Name> {
    if text.is_empty() {
        scope.missing(at, "a name");
        return None;
    }
    if !right {
        scope.refuse("invalid_name", at, format!("'{}' is no such name; use {form}", shown(text)));
        return None;
    }
    Some(scope.intern(text))
}

/// True for a DNS-1123 label.
pub(crate) fn is_label(text: &str) -> bool {
    text.len() <= MAX_LABEL && is_part(text)
}

/// True for a DNS-1123 subdomain.
pub(crate) fn is_subdomain(text: &str) -> bool {
    text.len() <= MAX_SUBDOMAIN && text.split('.').all(is_part)
}

fn is_part(text: &str) -> bool {
    let inside = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    !text.is_empty() && text.bytes().all(inside) && !text.starts_with('-') && !text.ends_with('-')
}
