//! What a JWT-SVID says, after the agent has checked it.

use enforcer_proto::spiffe;
use prost_types::value::Kind;
use prost_types::{Struct, Value};
use serde::Serialize;
use serde_json::{Map, Number};

use crate::console::Show;
use crate::fields::Fields;
use crate::style::{Paint, Style};

/// What a valid JWT-SVID says.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ClaimsView {
    spiffe_id: String,
    claims: Map<String, serde_json::Value>,
}

impl From<spiffe::ValidateJwtsvidResponse> for ClaimsView {
    fn from(response: spiffe::ValidateJwtsvidResponse) -> Self {
        let spiffe::ValidateJwtsvidResponse { spiffe_id, claims } = response;
        Self { spiffe_id, claims: object(claims.unwrap_or_default()) }
    }
}

impl ClaimsView {
    /// True when the mandatory field is there (W-4).
    pub(crate) fn is_whole(&self) -> bool {
        !self.spiffe_id.is_empty()
    }
}

impl Show for ClaimsView {
    fn text(&self, style: Style) -> String {
        let mut fields = Fields::new(style, 12);
        fields.add("valid", &self.spiffe_id, Paint::Good);
        for (name, value) in &self.claims {
            fields.plain(&crate::table::plain(name), &value.to_string());
        }
        fields.into_text()
    }
}

fn object(fields: Struct) -> Map<String, serde_json::Value> {
    fields.fields.into_iter().map(|(name, value)| (name, json(value))).collect()
}

/// The message was decoded, which bounds its depth.
fn json(value: Value) -> serde_json::Value {
    match value.kind {
        None | Some(Kind::NullValue(_)) => serde_json::Value::Null,
        Some(Kind::BoolValue(value)) => value.into(),
        Some(Kind::StringValue(value)) => value.into(),
        Some(Kind::NumberValue(value)) => number(value),
        Some(Kind::ListValue(list)) => list.values.into_iter().map(json).collect(),
        Some(Kind::StructValue(fields)) => object(fields).into(),
    }
}

/// Times are whole seconds, and are written so.
fn number(value: f64) -> serde_json::Value {
    match format!("{value:.0}").parse::<i64>() {
        Ok(whole) if value.fract() == 0.0 => whole.into(),
        Ok(_) | Err(_) => Number::from_f64(value).map_or(serde_json::Value::Null, Into::into),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_whole_where_they_can_be() {
        assert_eq!(number(1_793_700_000.0).to_string(), "1793700000");
        assert_eq!(number(0.5).to_string(), "0.5");
        assert_eq!(number(f64::NAN), serde_json::Value::Null);
        assert_eq!(number(1e300).to_string(), "1e+300");
    }
}
