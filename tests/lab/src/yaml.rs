//! Writes values as block YAML: enough for policy documents that a person may want to read.

use std::fmt::Write as _;

use serde_json::Value;

/// Documents, one after the other.
#[must_use]
pub fn documents<'a>(values: impl IntoIterator<Item = &'a Value>) -> String {
    let mut text = String::new();
    for value in values {
        text.push_str("---\n");
        block(&mut text, value, 0);
    }
    text
}

fn block(text: &mut String, value: &Value, indent: usize) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                let _ok = write!(text, "{:indent$}{name}:", "");
                nested(text, value, indent + 2);
            }
        }
        Value::Array(items) => {
            for item in items {
                let _ok = write!(text, "{:indent$}-", "");
                nested(text, item, indent + 2);
            }
        }
        scalar => {
            let _ok = writeln!(text, "{:indent$}{scalar}", "");
        }
    }
}

/// Scalars and empty containers follow on the same line; JSON's way to write them is YAML's too.
fn nested(text: &mut String, value: &Value, indent: usize) {
    let is_block = match value {
        Value::Object(fields) => !fields.is_empty(),
        Value::Array(items) => !items.is_empty(),
        _ => false,
    };
    if is_block {
        text.push('\n');
        block(text, value, indent);
    } else {
        let _ok = writeln!(text, " {value}");
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn containers_are_blocks_and_empty_ones_are_not() {
        let value = json!({"a": {"b": ["x: y", 1], "c": {}}});
        assert_eq!(documents([&value]), "---\na:\n  b:\n    - \"x: y\"\n    - 1\n  c: {}\n");
    }
}
