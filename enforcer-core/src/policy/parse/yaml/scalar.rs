//! Plain scalars: null, truth, whole numbers; everything else is text. What YAML 1.1 and 1.2 read differently
//! is refused rather than guessed.

use super::node::{Node, Value};

/// What a scalar is, by YAML 1.2's core schema.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Scalar<'n> {
    Null,
    Bool(bool),
    Number(u64),
    Text(&'n str),
}

/// `None` for a list or a map.
pub(crate) fn of(node: &Node) -> Option<Scalar<'_>> {
    let Value::Scalar { text, plain } = &node.value else { return None };
    if !plain {
        return Some(Scalar::Text(text));
    }
    Some(match text.as_str() {
        "" | "~" | "null" | "Null" | "NULL" => Scalar::Null,
        "true" | "True" | "TRUE" => Scalar::Bool(true),
        "false" | "False" | "FALSE" => Scalar::Bool(false),
        _ => match number(text) {
            Some(number) => Scalar::Number(number),
            None => Scalar::Text(text),
        },
    })
}

/// Decimal, without sign and without a leading zero, which some readers take for octal.
fn number(text: &str) -> Option<u64> {
    let canonical = text == "0" || (!text.starts_with('0') && text.bytes().all(|byte| byte.is_ascii_digit()));
    if canonical { text.parse().ok() } else { None }
}

/// What stands there, for a message.
pub(crate) const fn describe(node: &Node) -> &'static str {
    match &node.value {
        Value::Scalar { .. } => "a single value",
        Value::List(_) => "a list",
        Value::Map(_) => "a map",
    }
}
