//! JWT answers: bundles as JWK Sets, claims as the protobuf's own JSON.

use enforcer_core::identity::bundle::Bundle;
use enforcer_proto::spiffe::JwtBundlesResponse;
use prost_types::value::Kind;
use prost_types::{ListValue, Struct, Value};

use crate::identity::svid::Material;

/// W-8, W-11: the caller's own and those of the trust domains it may meet, by their IDs.
pub(super) fn bundles(material: &Material, write: fn(&Bundle) -> String) -> JwtBundlesResponse {
    let all = material.federated.values().chain([&material.bundle]);
    let bundles = all.map(|bundle| (bundle.trust_domain.id(), write(bundle).into_bytes())).collect();
    JwtBundlesResponse { bundles }
}

/// The claims of a token. What read them bounds how deep they nest.
pub(super) fn claims(claims: serde_json::Map<String, serde_json::Value>) -> Struct {
    Struct { fields: claims.into_iter().map(|(name, claim)| (name, value(claim))).collect() }
}

fn value(claim: serde_json::Value) -> Value {
    let kind = match claim {
        serde_json::Value::Null => Kind::NullValue(0),
        serde_json::Value::Bool(is_so) => Kind::BoolValue(is_so),
        serde_json::Value::Number(number) => Kind::NumberValue(number.as_f64().unwrap_or(f64::NAN)),
        serde_json::Value::String(text) => Kind::StringValue(text),
        serde_json::Value::Array(all) => {
            Kind::ListValue(ListValue { values: all.into_iter().map(value).collect() })
        }
        serde_json::Value::Object(fields) => Kind::StructValue(self::claims(fields)),
    };
    Value { kind: Some(kind) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_claim_has_its_form() {
        let text = r#"{"aud":["a"],"exp":7,"ok":true,"none":null,"more":{"x":"y"}}"#;
        let claims = claims(serde_json::from_str(text).unwrap());
        let kind = |name: &str| claims.fields[name].kind.clone().unwrap();
        assert_eq!(kind("exp"), Kind::NumberValue(7.0));
        assert_eq!(kind("ok"), Kind::BoolValue(true));
        assert_eq!(kind("none"), Kind::NullValue(0));
        let Kind::ListValue(list) = kind("aud") else { panic!("a list") };
        assert_eq!(list.values[0].kind, Some(Kind::StringValue("a".to_owned())));
        let Kind::StructValue(more) = kind("more") else { panic!("an object") };
        assert_eq!(more.fields["x"].kind, Some(Kind::StringValue("y".to_owned())));
    }
}
