//! What a peer says of its workload: `baggage` (W3C Baggage) with Istio's keys. A hint for records: it authorises
//! nothing, and who sends it can write anything.

use std::fmt::{self, Write as _};
use std::str::FromStr;

/// Longest value that is looked at, in bytes (W3C Baggage, section 3.3.2).
pub const BAGGAGE_MAX_BYTES: usize = 8192;
/// Most members that are looked at (W3C Baggage, section 3.3.2).
pub const MEMBERS_MAX: usize = 64;
/// Longest value of one member, in bytes: what a Kubernetes name may have.
pub const VALUE_MAX_BYTES: usize = 253;

/// What kind of object a workload belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WorkloadKind {
    /// A deployment.
    Deployment,
    /// A cron job.
    CronJob,
    /// A pod of its own.
    Pod,
    /// A job.
    Job,
}

impl WorkloadKind {
    const fn key(self) -> &'static str {
        match self {
            Self::Deployment => "k8s.deployment.name",
            Self::CronJob => "k8s.cronjob.name",
            Self::Pod => "k8s.pod.name",
            Self::Job => "k8s.job.name",
        }
    }
}

/// What a peer says of its workload; what it does not say is `None`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Baggage {
    /// `k8s.cluster.name`.
    pub cluster: Option<BaggageValue>,
    /// `k8s.namespace.name`.
    pub namespace: Option<BaggageValue>,
    /// `k8s.KIND.name`.
    pub workload: Option<(WorkloadKind, BaggageValue)>,
    /// `service.name`.
    pub service: Option<BaggageValue>,
    /// `service.version`.
    pub version: Option<BaggageValue>,
    /// `cloud.region`.
    pub region: Option<BaggageValue>,
    /// `cloud.availability_zone`.
    pub zone: Option<BaggageValue>,
}

/// A value of at most [`VALUE_MAX_BYTES`] bytes, not empty, without control characters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BaggageValue(String);

impl BaggageValue {
    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Why a text is no value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it is empty, longer than {VALUE_MAX_BYTES} bytes, or has control characters")]
pub struct BaggageValueError;

impl TryFrom<String> for BaggageValue {
    type Error = BaggageValueError;

    fn try_from(text: String) -> Result<Self, BaggageValueError> {
        let is_taken = (1..=VALUE_MAX_BYTES).contains(&text.len()) && !text.chars().any(char::is_control);
        if is_taken { Ok(Self(text)) } else { Err(BaggageValueError) }
    }
}

/// Why a text is no baggage.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BaggageError {
    /// Beyond [`BAGGAGE_MAX_BYTES`].
    #[error("it has {0} bytes, and at most {BAGGAGE_MAX_BYTES} are taken")]
    TooLong(usize),
    /// Beyond [`MEMBERS_MAX`].
    #[error("it has more than {MEMBERS_MAX} members")]
    TooMany,
    /// Not `key=value`.
    #[error("a member is not key=value")]
    Member,
    /// A value of a known key that is too long, or not text.
    #[error("the value of {0:?} is not taken")]
    Value(&'static str),
}

impl FromStr for Baggage {
    type Err = BaggageError;

    fn from_str(text: &str) -> Result<Self, BaggageError> {
        if text.len() > BAGGAGE_MAX_BYTES {
            return Err(BaggageError::TooLong(text.len()));
        }
        if text.split(',').count() > MEMBERS_MAX {
            return Err(BaggageError::TooMany);
        }
        let mut baggage = Self::default();
        let members = text.split(',').map(str::trim).filter(|member| !member.is_empty());
        for member in members {
            let (key, value) = member.split_once('=').ok_or(BaggageError::Member)?;
            // Properties follow a semicolon (section 3.3.1.4); none is known.
            let value = value.split_once(';').map_or(value, |(value, _)| value).trim();
            baggage.take(key.trim(), value)?;
        }
        Ok(baggage)
    }
}

impl Baggage {
    /// Whether nothing was said.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Of two members with one key the first is kept.
    fn take(&mut self, key: &str, value: &str) -> Result<(), BaggageError> {
        if value.is_empty() {
            return Ok(());
        }
        use WorkloadKind::{CronJob, Deployment, Job, Pod};
        if let Some(kind) = [Deployment, CronJob, Pod, Job].into_iter().find(|kind| kind.key() == key) {
            let value = decode(value).ok_or(BaggageError::Value(kind.key()))?;
            self.workload.get_or_insert((kind, value));
            return Ok(());
        }
        if let Some((known, slot)) = self.slots().into_iter().find(|(known, _)| *known == key) {
            let value = decode(value).ok_or(BaggageError::Value(known))?;
            slot.get_or_insert(value);
        }
        Ok(())
    }

    fn slots(&mut self) -> [(&'static str, &mut Option<BaggageValue>); 6] {
        let Self { cluster, namespace, workload: _, service, version, region, zone } = self;
        [
            ("k8s.cluster.name", cluster),
            ("k8s.namespace.name", namespace),
            ("service.name", service),
            ("service.version", version),
            ("cloud.region", region),
            ("cloud.availability_zone", zone),
        ]
    }

    fn members(&self) -> [(&'static str, Option<&BaggageValue>); 7] {
        let Self { cluster, namespace, workload, service, version, region, zone } = self;
        let (key, name) = match workload {
            Some((kind, name)) => (kind.key(), Some(name)),
            None => ("", None),
        };
        [
            ("k8s.cluster.name", cluster.as_ref()),
            ("k8s.namespace.name", namespace.as_ref()),
            (key, name),
            ("service.name", service.as_ref()),
            ("service.version", version.as_ref()),
            ("cloud.region", region.as_ref()),
            ("cloud.availability_zone", zone.as_ref()),
        ]
    }
}

/// Percent-decoded (section 3.3.1.3), within bounds.
fn decode(text: &str) -> Option<BaggageValue> {
    let mut bytes = Vec::with_capacity(text.len().min(VALUE_MAX_BYTES + 1));
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'%' => nibble(rest.next()?)? << 4 | nibble(rest.next()?)?,
            _ => byte,
        });
        if bytes.len() > VALUE_MAX_BYTES {
            return None;
        }
    }
    String::from_utf8(bytes).ok()?.try_into().ok()
}

fn nibble(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        b'A'..=b'F' => Some(byte - b'A' + 10),
        _ => None,
    }
}

/// Section 3.3.1.3: what may stand in a value as it is, less the percent sign.
fn is_plain(byte: u8) -> bool {
    byte.is_ascii_graphic() && !matches!(byte, b'"' | b',' | b';' | b'\\' | b'%')
}

impl fmt::Display for Baggage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let said = self.members().into_iter().filter_map(|(key, value)| Some((key, value?)));
        for (place, (key, value)) in said.enumerate() {
            let between = if place == 0 { "" } else { "," };
            write!(f, "{between}{key}=")?;
            for byte in value.0.bytes() {
                if is_plain(byte) { f.write_char(char::from(byte))? } else { write!(f, "%{byte:02X}")? }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(text: &str) -> Option<BaggageValue> {
        Some(text.to_owned().try_into().unwrap())
    }

    fn whole() -> Baggage {
        Baggage {
            cluster: value("Kubernetes"),
            namespace: value("shop"),
            workload: Some((WorkloadKind::Deployment, value("web").unwrap())),
            service: value("web front, \"é\" 100%"),
            version: value("v1"),
            region: value("r"),
            zone: value("z"),
        }
    }

    #[test]
    fn what_is_written_reads_back() {
        for baggage in [whole(), Baggage::default(), Baggage { zone: value("z"), ..Baggage::default() }] {
            assert_eq!(baggage.to_string().parse(), Ok(baggage));
        }
        let text = whole().to_string();
        let start =
            "k8s.cluster.name=Kubernetes,k8s.namespace.name=shop,k8s.deployment.name=web,service.name=web%20";
        assert!(text.starts_with(start), "{text}");
        assert!(Baggage::default().is_empty());
    }

    #[test]
    fn what_peers_write_is_read() {
        for (text, expected) in [
            (" k8s.pod.name = p ;x=y , other=1,,", "k8s.pod.name=p"),
            ("k8s.job.name=a,k8s.cronjob.name=b", "k8s.job.name=a"),
            ("service.name=,service.name=a,service.name=b", "service.name=a"),
            ("", ""),
        ] {
            assert_eq!(text.parse::<Baggage>().unwrap().to_string(), expected, "{text}");
        }
    }

    #[test]
    fn everything_else_is_refused_by_name() {
        use BaggageError as E;
        let long = "a".repeat(BAGGAGE_MAX_BYTES + 1);
        let value = format!("cloud.region={}", "a".repeat(VALUE_MAX_BYTES + 1));
        let many = "a=b,".repeat(MEMBERS_MAX);
        for (text, error) in [
            ("service.name", E::Member),
            ("service.name=%4", E::Value("service.name")),
            ("service.name=%+1", E::Value("service.name")),
            ("service.name=%0a", E::Value("service.name")),
            ("service.name=%ff", E::Value("service.name")),
            ("k8s.pod.name=%ff", E::Value("k8s.pod.name")),
            (&value, E::Value("cloud.region")),
            (&many, E::TooMany),
            (&long, E::TooLong(long.len())),
        ] {
            assert_eq!(text.parse::<Baggage>(), Err(error), "{text}");
        }
    }
}
