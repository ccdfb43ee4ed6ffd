//! Paths of control groups and network namespaces, names of interfaces.

use super::scope::Scope;
use crate::policy::parse::limits::{MAX_INTERFACE, MAX_PATH};
use crate::policy::parse::path::At;
use crate::policy::problem::shown;

/// An absolute path without detours, so that two texts never mean one place.
pub(super) fn absolute(scope: &mut Scope, at: &At, text: &str) -> Option<String> {
    let right = text.len() <= MAX_PATH
        && text.strip_prefix('/').is_some_and(|rest| rest.split('/').all(is_component));
    if !right {
        let message = format!(
            "'{}' is no absolute path below the root; write /a/b without '.', '..', empty parts or control characters",
            shown(text)
        );
        scope.refuse("invalid_path", at, message);
    }
    right.then(|| text.to_owned())
}

fn is_component(text: &str) -> bool {
    !matches!(text, "" | "." | "..") && !text.chars().any(char::is_control)
}

/// A name that the kernel would give an interface (`dev_valid_name`).
pub(super) fn interface(scope: &mut Scope, at: &At, text: &str) -> Option<String> {
    let right = text.len() <= MAX_INTERFACE
        && !matches!(text, "" | "." | "..")
        && text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'/' && byte != b':');
    if !right {
        let message = format!(
            "'{}' is no interface name; use 1 to 15 characters without '/', ':' or spaces",
            shown(text)
        );
        scope.refuse("invalid_interface", at, message);
    }
    right.then(|| text.to_owned())
}
