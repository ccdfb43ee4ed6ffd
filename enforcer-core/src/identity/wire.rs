//! What a verifier goes by, as an authority sends it to its nodes: messages, there and back. All or nothing, because
//! what is left out of a bundle is withdrawn, and what is left out of the revocations is let in.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use enforcer_proto::v1;

use super::bundle::{Bundle, Revocations, Trust};
use super::jwks;
use super::trust_domain::TrustDomain;
use crate::policy::model::Name;
use crate::policy::parse::limits::{MAX_TENANTS, MAX_WORKLOADS};
use crate::policy::parse::wire::{is_label, is_subdomain};
use crate::policy::problem::{Problem, Problems, shown};

/// As a message.
#[must_use]
pub fn write(trust: &Trust) -> v1::Trust {
    let Trust { bundles, revoked: Revocations { tenants, workloads, spiffe_ids } } = trust;
    let texts = |names: &BTreeSet<Name>| names.iter().map(|name| name.as_ref().to_owned()).collect();
    v1::Trust {
        bundles: bundles.values().map(|bundle| write_bundle(bundle)).collect(),
        revocations: Some(v1::Revocations {
            tenants: texts(tenants),
            workloads: texts(workloads),
            spiffe_ids: spiffe_ids.iter().map(ToString::to_string).collect(),
        }),
    }
}

fn write_bundle(bundle: &Bundle) -> v1::TrustBundle {
    v1::TrustBundle { trust_domain: bundle.trust_domain.to_string(), jwks: jwks::write(bundle) }
}

/// Parses a message.
///
/// # Errors
/// Every mistake.
pub fn parse(message: &v1::Trust) -> Result<Trust, Vec<Problem>> {
    let mut problems = Problems::default();
    let v1::Trust { bundles, revocations } = message;
    let bundles = parse_bundles(&mut problems, bundles);
    let revoked = match revocations {
        Some(revocations) => parse_revocations(&mut problems, revocations),
        None => {
            problems.add("missing_field", "revocations", "is missing; state it, be it empty");
            Revocations::default()
        }
    };
    problems.into_result(Trust { bundles, revoked })
}

fn parse_bundles(
    problems: &mut Problems,
    messages: &[v1::TrustBundle],
) -> BTreeMap<TrustDomain, Arc<Bundle>> {
    let mut bundles = BTreeMap::new();
    if !at_most(problems, "bundles", messages.len(), MAX_TENANTS) {
        return bundles;
    }
    for (place, v1::TrustBundle { trust_domain, jwks }) in messages.iter().enumerate() {
        let refuse = |code, message: String| Problem::new(code, format_args!("bundles[{place}]"), message);
        let domain: TrustDomain = match trust_domain.parse() {
            Ok(domain) => domain,
            Err(error) => {
                let message = format!("'{}' is no trust domain: {error}", shown(trust_domain));
                problems.push(refuse("invalid_name", message));
                continue;
            }
        };
        match jwks::parse(jwks, &domain) {
            // B-5: unique names. Which of the two is meant is not clear.
            Ok(bundle) => {
                if bundles.insert(domain, Arc::new(bundle)).is_some() {
                    problems.push(refuse("duplicate_name", format!("states {} twice", shown(trust_domain))));
                }
            }
            Err(error) => problems.push(refuse("invalid_bundle", format!("of {domain} is refused: {error}"))),
        }
    }
    bundles
}

fn parse_revocations(problems: &mut Problems, message: &v1::Revocations) -> Revocations {
    let v1::Revocations { tenants, workloads, spiffe_ids } = message;
    let name = |is_one: fn(&str) -> bool| move |text: &str| is_one(text).then(|| Name::from(text));
    Revocations {
        tenants: parse_set(problems, "revocations.tenants", tenants, MAX_TENANTS, name(is_label)),
        workloads: parse_set(problems, "revocations.workloads", workloads, MAX_WORKLOADS, name(is_subdomain)),
        spiffe_ids: parse_set(problems, "revocations.spiffeIds", spiffe_ids, MAX_WORKLOADS, |text| {
            text.parse().ok()
        }),
    }
}

fn parse_set<T: Ord>(
    problems: &mut Problems,
    list: &str,
    texts: &[String],
    most: usize,
    parse: impl Fn(&str) -> Option<T>,
) -> BTreeSet<T> {
    let mut set = BTreeSet::new();
    if !at_most(problems, list, texts.len(), most) {
        return set;
    }
    for (place, text) in texts.iter().enumerate() {
        match parse(text) {
            Some(value) => drop(set.insert(value)),
            None => {
                let message = format!("'{}' is no such name", shown(text));
                problems.add("invalid_name", format_args!("{list}[{place}]"), message);
            }
        }
    }
    set
}

fn at_most(problems: &mut Problems, list: &str, length: usize, most: usize) -> bool {
    if length > most {
        problems.add("too_many", list, format!("has {length} items where {most} are the most"));
    }
    length <= most
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::bundle::{JwtKey, JwtPublicKey};

    fn bundle(name: &str, jwt: Vec<JwtKey>) -> (TrustDomain, Arc<Bundle>) {
        let trust_domain: TrustDomain = name.parse().unwrap();
        let bundle = Bundle {
            trust_domain: trust_domain.clone(),
            x509: Vec::new(),
            jwt,
            sequence: 7,
            refresh_hint_seconds: 60,
        };
        (trust_domain, Arc::new(bundle))
    }

    fn trust() -> Trust {
        let key = JwtPublicKey::P256([&[4], [1; 64].as_slice()].concat());
        Trust {
            bundles: BTreeMap::from([
                bundle("blue.fleet.example", Vec::new()),
                bundle("red.fleet.example", vec![JwtKey { id: "a".to_owned(), key }]),
            ]),
            revoked: Revocations {
                tenants: BTreeSet::from(["blue".into()]),
                workloads: BTreeSet::from(["web.shop".into()]),
                spiffe_ids: BTreeSet::from(["spiffe://red.fleet.example/a".parse().unwrap()]),
            },
        }
    }

    #[test]
    fn trust_is_read_back_as_it_was_written() {
        assert_eq!(parse(&write(&trust())), Ok(trust()));
        assert_eq!(parse(&write(&Trust::default())), Ok(Trust::default()));
    }

    /// B-5.
    #[test]
    fn trust_is_taken_whole_or_not_at_all_and_every_mistake_is_named() {
        let mut message = write(&trust());
        message.bundles.push(message.bundles[0].clone());
        message.bundles[1].jwks = "{}".to_owned();
        message.bundles.push(v1::TrustBundle { trust_domain: "a/b".to_owned(), jwks: String::new() });
        let revocations = message.revocations.as_mut().unwrap();
        revocations.tenants.push("a.b".to_owned());
        revocations.workloads.push("A".to_owned());
        revocations.spiffe_ids.push("spiffe://a".to_owned());
        let problems = parse(&message).unwrap_err();
        let found: Vec<_> = problems.iter().map(|problem| (problem.code, problem.path.as_str())).collect();
        let expected = [
            ("invalid_bundle", "bundles[1]"),
            ("duplicate_name", "bundles[2]"),
            ("invalid_name", "bundles[3]"),
            ("invalid_name", "revocations.tenants[1]"),
            ("invalid_name", "revocations.workloads[1]"),
            ("invalid_name", "revocations.spiffeIds[1]"),
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn absent_revocations_are_no_empty_ones() {
        let message = v1::Trust { revocations: None, ..write(&trust()) };
        assert_eq!(parse(&message).unwrap_err()[0].code, "missing_field");
    }

    #[test]
    fn a_flood_is_refused() {
        let mut message = write(&Trust::default());
        message.revocations.as_mut().unwrap().tenants = vec!["a".to_owned(); MAX_TENANTS + 1];
        assert_eq!(parse(&message).unwrap_err()[0].code, "too_many");
    }
}
