//! The identity wall's words. Every default, and every bound of a lifetime, stands here.

use std::collections::BTreeSet;
use std::path::PathBuf;

use enforcer_core::identity::trust_domain::TrustDomain;

use super::{Problems, absolute, checked, span};
use crate::config::ConfigProblem;
use crate::config::raw::{
    RawAuthority, RawDisk, RawFederation, RawIdentity, RawKey, RawLifetimes, RawLimits, RawToken,
    RawTokenAuthority, RawUpstream,
};
use crate::config::settings::{
    AuthoritySettings, CertificateFiles, FederationSettings, IdentitySettings, KeySettings, LifetimeSettings,
    LimitSettings, TokenSettings, UpstreamSettings,
};

const TRUST_DOMAIN: &str = "enforcer.internal";
const SOCKET: &str = "/run/enforcer/workload/api.sock";
/// Where `enforcer-agent init` makes the key-encryption key.
pub const KEY_FILE: &str = "/etc/enforcer/key-encryption.key";

const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;

const STREAMS_PER_TENANT: u64 = 20_000;
const REQUESTS_PER_SECOND: u64 = 1_000;

pub(super) fn identity(raw: RawIdentity, problems: &mut Problems) -> Option<IdentitySettings> {
    let RawIdentity {
        enabled,
        trust_domain,
        socket,
        key,
        upstream,
        names,
        lifetimes,
        refresh_hint,
        name_constraints,
        limits,
        federation,
    } = raw;
    if enabled == Some(false) {
        return None;
    }
    let name = trust_domain.unwrap_or_else(|| TRUST_DOMAIN.to_owned());
    let trust_domain = domain("identity.trustDomain", name, problems);
    let hint = span("identity.refreshHint", refresh_hint, 5 * MINUTE, (1, DAY), problems);
    let federation = federation.and_then(|raw| self::federation(raw, trust_domain.as_ref(), problems));
    Some(IdentitySettings {
        socket: absolute("identity.socket", socket, SOCKET, problems),
        key: self::key(key, problems)?,
        upstream: self::upstream(upstream.unwrap_or_default(), problems)?,
        names: names.unwrap_or_default(),
        lifetimes: self::lifetimes(lifetimes.unwrap_or_default(), problems),
        refresh_hint: hint,
        name_constraints: self::name_constraints(name_constraints, problems),
        limits: self::limits(&limits.unwrap_or_default(), problems),
        federation,
        trust_domain: trust_domain?,
    })
}

fn domain(path: &str, value: String, problems: &mut Problems) -> Option<TrustDomain> {
    match value.parse::<TrustDomain>() {
        // Constraints on URIs do not reach hosts that are addresses (RFC 5280, 4.2.1.10).
        Ok(domain) if domain.is_address() => {
            let expected = "a name, not an address";
            problems.push(ConfigProblem::Word { path: path.to_owned(), value, expected });
            None
        }
        Ok(domain) => Some(domain),
        Err(error) => {
            problems.push(ConfigProblem::SpiffeId { path: path.to_owned(), value, error });
            None
        }
    }
}

fn key(raw: Option<RawKey>, problems: &mut Problems) -> Option<KeySettings> {
    let Some(RawKey { file, credential, pkcs11 }) = raw else {
        return Some(KeySettings::File(PathBuf::from(KEY_FILE)));
    };
    match (file, credential, pkcs11) {
        (Some(file), None, None) => Some(KeySettings::File(checked("identity.key.file", file, problems))),
        (None, Some(name), None) => Some(KeySettings::Credential(name)),
        (None, None, Some(raw)) => token("identity.key.pkcs11", raw, problems).map(KeySettings::Token),
        _ => one_of("identity.key", "file, credential, pkcs11", problems),
    }
}

fn upstream(raw: RawUpstream, problems: &mut Problems) -> Option<UpstreamSettings> {
    match (raw.disk, raw.pkcs11, raw.grpc) {
        (None, None, None) => Some(UpstreamSettings::SelfSigned),
        (Some(RawDisk { certificate, key }), None, None) => {
            pair("identity.upstream.disk", certificate, key, problems).map(UpstreamSettings::Disk)
        }
        (None, Some(RawTokenAuthority { certificate, key }), None) => {
            let path = "identity.upstream.pkcs11";
            let certificate = file(&format!("{path}.certificate"), certificate, problems);
            let key = token(&format!("{path}.key"), key.unwrap_or_default(), problems);
            Some(UpstreamSettings::Token { certificate: certificate?, key: key? })
        }
        (None, None, Some(raw)) => authority(raw, problems).map(UpstreamSettings::Grpc),
        _ => one_of("identity.upstream", "disk, pkcs11, grpc, or nothing", problems),
    }
}

fn authority(raw: RawAuthority, problems: &mut Problems) -> Option<AuthoritySettings> {
    let path = "identity.upstream.grpc";
    let address = raw.address.filter(|address| address.starts_with("https://"));
    if address.is_none() {
        problems.push(ConfigProblem::Missing {
            path: format!("{path}.address"),
            hint: "https://HOST:PORT of the authority's listener",
        });
    }
    let own = pair(path, raw.certificate, raw.key, problems);
    let ca = file(&format!("{path}.ca"), raw.ca, problems);
    Some(AuthoritySettings { address: address?, own: own?, ca: ca?, server_name: raw.server_name })
}

pub(super) fn pair(
    path: &str,
    certificate: Option<PathBuf>,
    key: Option<PathBuf>,
    problems: &mut Problems,
) -> Option<CertificateFiles> {
    let certificate = file(&format!("{path}.certificate"), certificate, problems);
    let key = file(&format!("{path}.key"), key, problems);
    Some(CertificateFiles { certificate: certificate?, key: key? })
}

fn token(path: &str, raw: RawToken, problems: &mut Problems) -> Option<TokenSettings> {
    let module = file(&format!("{path}.module"), raw.module, problems);
    let pin_file = file(&format!("{path}.pinFile"), raw.pin_file, problems);
    let mut label = |word: &str, value: Option<String>| {
        if value.is_none() {
            let hint = "the label, as the token has it";
            problems.push(ConfigProblem::Missing { path: format!("{path}.{word}"), hint });
        }
        value
    };
    let (token, label) = (label("token", raw.token), label("label", raw.label));
    Some(TokenSettings { module: module?, token: token?, pin_file: pin_file?, label: label? })
}

fn file(path: &str, value: Option<PathBuf>, problems: &mut Problems) -> Option<PathBuf> {
    if value.is_none() {
        problems.push(ConfigProblem::Missing { path: path.to_owned(), hint: "name a file" });
    }
    value.map(|value| checked(path, value, problems))
}

fn lifetimes(raw: RawLifetimes, problems: &mut Problems) -> LifetimeSettings {
    let RawLifetimes { svid, jwt, node, tenant } = raw;
    let mut span = |word: &str, value, default, bounds| {
        span(&format!("identity.lifetimes.{word}"), value, default, bounds, problems)
    };
    LifetimeSettings {
        svid: span("svid", svid, HOUR, (10, 7 * DAY)),
        jwt: span("jwt", jwt, 5 * MINUTE, (10, HOUR)),
        node: span("node", node, DAY, (20, 30 * DAY)),
        tenant: span("tenant", tenant, 90 * DAY, (60, 3_650 * DAY)),
    }
}

fn name_constraints(word: Option<String>, problems: &mut Problems) -> bool {
    match word.as_deref() {
        None | Some("uri") => true,
        Some("none") => false,
        Some(other) => {
            problems.push(ConfigProblem::Word {
                path: "identity.nameConstraints".to_owned(),
                value: other.to_owned(),
                expected: "uri or none",
            });
            true
        }
    }
}

fn limits(raw: &RawLimits, problems: &mut Problems) -> LimitSettings {
    let mut bounded = |word: &str, value: Option<u64>, default: u64| {
        let value = value.unwrap_or(default);
        if !(1..=1_000_000).contains(&value) {
            let path = format!("identity.limits.{word}");
            problems.push(ConfigProblem::Range { path, value, low: 1, high: 1_000_000 });
        }
        value
    };
    let streams = bounded("streamsPerTenant", raw.streams_per_tenant, STREAMS_PER_TENANT);
    let requests = bounded("requestsPerSecond", raw.requests_per_second, REQUESTS_PER_SECOND);
    LimitSettings {
        streams_per_tenant: usize::try_from(streams).unwrap_or(usize::MAX),
        requests_per_second: u32::try_from(requests).unwrap_or(u32::MAX),
    }
}

fn federation(
    raw: RawFederation,
    fleet: Option<&TrustDomain>,
    problems: &mut Problems,
) -> Option<FederationSettings> {
    let path = "identity.federation";
    let address = super::listener::socket_address(&format!("{path}.address"), raw.address, problems);
    let own = pair(path, raw.certificate, raw.key, problems);
    let fleet = fleet?;
    let mut published = BTreeSet::new();
    for (index, tenant) in raw.tenants.unwrap_or_default().into_iter().enumerate() {
        let path = format!("{path}.tenants[{index}]");
        published.extend(domain(&path, format!("{tenant}.{fleet}"), problems));
    }
    if published.is_empty() {
        let hint = "list the tenants whose bundles others may have";
        problems.push(ConfigProblem::Empty { path: format!("{path}.tenants"), hint });
    }
    Some(FederationSettings { address: address?, own: own?, published })
}

fn one_of<T>(path: &str, choices: &'static str, problems: &mut Problems) -> Option<T> {
    problems.push(ConfigProblem::OneOf { path: path.to_owned(), choices });
    None
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::config::host::Host;
    use crate::config::raw;
    use crate::config::resolve::resolve;

    fn resolved(text: &str) -> Result<Option<IdentitySettings>, Vec<String>> {
        let host = Host { name: Some("node".to_owned()), cgroup_mount: Some("/c".into()) };
        resolve(raw::parse(text).unwrap(), &host)
            .map(|settings| settings.identity)
            .map_err(|all| all.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn identity_is_on_unless_it_is_turned_off_by_name() {
        let settings = resolved("").unwrap().unwrap();
        assert_eq!(settings.trust_domain.as_str(), "enforcer.internal");
        assert_eq!(settings.key, KeySettings::File(KEY_FILE.into()));
        assert_eq!(settings.upstream, UpstreamSettings::SelfSigned);
        assert_eq!(settings.lifetimes.svid, Duration::from_secs(3600));
        assert!(settings.name_constraints);
        assert_eq!(resolved("identity: {enabled: false}").unwrap(), None);
    }

    #[test]
    fn two_keys_or_two_upstreams_are_one_too_many() {
        let all = resolved(
            "identity:\n  key: {file: /k, credential: c}\n  upstream: {disk: {certificate: /c, key: /k}, grpc: {}}\n",
        )
        .unwrap_err();
        assert_eq!(all.len(), 1, "{all:?}");
        assert!(all[0].contains("identity.key needs exactly one of"), "{all:?}");
    }

    #[test]
    fn every_problem_is_told_with_its_path() {
        let all = resolved(
            "identity:\n  trustDomain: a/b\n  lifetimes: {svid: 1s, jwt: soon}\n  nameConstraints: dns\n  \
             federation: {address: nowhere, tenants: []}\n",
        )
        .unwrap_err();
        for word in
            ["trustDomain", "lifetimes.svid", "lifetimes.jwt", "nameConstraints", "federation.address"]
        {
            assert!(
                all.iter().any(|problem| problem.contains(&format!("identity.{word}"))),
                "{word}: {all:?}"
            );
        }
    }
}
