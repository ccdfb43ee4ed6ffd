//! Attributes of OpenTelemetry: what is empty is left out.

use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, ArrayValue, KeyValue};

/// Attributes in the order in which they were put.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Attributes(Vec<KeyValue>);

impl Attributes {
    /// A text, unless it is empty.
    pub(super) fn text(&mut self, key: &str, value: &str) {
        if !value.is_empty() {
            self.put(key, Value::StringValue(value.to_owned()));
        }
    }

    /// Texts, unless there are none.
    pub(super) fn texts(&mut self, key: &str, values: impl IntoIterator<Item = String>) {
        let any = |value| AnyValue { value: Some(Value::StringValue(value)) };
        let values: Vec<AnyValue> = values.into_iter().map(any).collect();
        if !values.is_empty() {
            self.put(key, Value::ArrayValue(ArrayValue { values }));
        }
    }

    /// A number, unless it is zero. OpenTelemetry has no unsigned numbers: what does not fit is a text.
    pub(super) fn number(&mut self, key: &str, value: impl Into<u64>) {
        let value = value.into();
        if value != 0 {
            self.count(key, value);
        }
    }

    /// A number, zero too.
    pub(super) fn count(&mut self, key: &str, value: impl Into<u64>) {
        let value = value.into();
        let whole = i64::try_from(value).map(Value::IntValue);
        self.put(key, whole.unwrap_or_else(|_| Value::StringValue(value.to_string())));
    }

    /// A word that is said only when it is true.
    pub(super) fn flag(&mut self, key: &str, value: bool) {
        if value {
            self.put(key, Value::BoolValue(true));
        }
    }

    /// Bytes, unless there are none.
    pub(super) fn bytes(&mut self, key: &str, value: &[u8]) {
        if !value.is_empty() {
            self.put(key, Value::BytesValue(value.to_vec()));
        }
    }

    /// All of them.
    pub(super) fn done(self) -> Vec<KeyValue> {
        self.0
    }

    fn put(&mut self, key: &str, value: Value) {
        self.0.push(KeyValue {
            key: key.to_owned(),
            value: Some(AnyValue { value: Some(value) }),
            ..KeyValue::default()
        });
    }
}

/// A text as a value.
pub(super) fn text(value: String) -> AnyValue {
    AnyValue { value: Some(Value::StringValue(value)) }
}
