//! Where a flow comes from, as the peer says: `forwarded` (RFC 7239). A hint: it authorises nothing.

use std::fmt;
use std::net::SocketAddr;
use std::str::FromStr;

use super::authority::HostName;

/// Longest value that is looked at, in bytes.
pub const FORWARDED_MAX_BYTES: usize = 1024;
/// Most parameters that are looked at.
pub const PARAMETERS_MAX: usize = 16;

/// The nearest hop that the header names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Forwarded {
    /// Where the flow comes from; `None` when it is not said, or not as an address with a port.
    pub source: Option<SocketAddr>,
    /// The service that was asked for.
    pub host: Option<HostName>,
}

/// Why a text is no such header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ForwardedError {
    /// Beyond [`FORWARDED_MAX_BYTES`].
    #[error("it has {0} bytes, and at most {FORWARDED_MAX_BYTES} are taken")]
    TooLong(usize),
    /// Beyond [`PARAMETERS_MAX`].
    #[error("it has more than {PARAMETERS_MAX} parameters")]
    TooMany,
    /// Not `name=value` (section 4).
    #[error("a parameter is not name=value")]
    Pair,
    /// Section 4: each parameter at most once per hop.
    #[error("a parameter is there twice")]
    Twice,
    /// No name of a host.
    #[error("the host is no name")]
    Host,
}

impl FromStr for Forwarded {
    type Err = ForwardedError;

    fn from_str(text: &str) -> Result<Self, ForwardedError> {
        if text.len() > FORWARDED_MAX_BYTES {
            return Err(ForwardedError::TooLong(text.len()));
        }
        let (mut source, mut host) = (None, None);
        let mut rest = text.trim_matches([' ', '\t']);
        for _ in 0..PARAMETERS_MAX {
            let Some((name, value, after)) = pair(rest)? else {
                let source = source.and_then(|value: &str| value.parse().ok());
                let host =
                    host.map(|value: &str| value.parse().map_err(|_| ForwardedError::Host)).transpose()?;
                return Ok(Self { source, host });
            };
            let slot = match name.to_ascii_lowercase().as_str() {
                "for" => &mut source,
                "host" => &mut host,
                // By, proto, and whatever comes.
                _ => &mut None,
            };
            if slot.replace(value).is_some() {
                return Err(ForwardedError::Twice);
            }
            rest = after;
        }
        Err(ForwardedError::TooMany)
    }
}

/// The next parameter of the first hop, and what follows it.
fn pair(text: &str) -> Result<Option<(&str, &str, &str)>, ForwardedError> {
    let text = text.trim_start_matches([' ', '\t', ';']);
    if text.is_empty() || text.starts_with(',') {
        return Ok(None);
    }
    let (name, rest) = text.split_once('=').ok_or(ForwardedError::Pair)?;
    if name.is_empty() || !name.bytes().all(is_token) {
        return Err(ForwardedError::Pair);
    }
    let (value, rest) = match rest.strip_prefix('"') {
        // An address and a name need no escape: what has one is neither.
        Some(quoted) => quoted.split_once('"').ok_or(ForwardedError::Pair)?,
        None => rest.split_at(rest.bytes().take_while(|&byte| is_token(byte)).count()),
    };
    let is_end = rest.trim_start_matches([' ', '\t']).starts_with([';', ',']) || rest.trim().is_empty();
    if is_end { Ok(Some((name, value, rest))) } else { Err(ForwardedError::Pair) }
}

fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

impl fmt::Display for Forwarded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut between = "";
        if let Some(source) = self.source {
            write!(f, "for=\"{source}\"")?;
            between = ";";
        }
        match &self.host {
            Some(host) => write!(f, "{between}host={}", host.as_str()),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(source: &str, host: Option<&str>) -> Forwarded {
        Forwarded { source: source.parse().ok(), host: host.map(|host| host.parse().unwrap()) }
    }

    #[test]
    fn what_peers_write_is_read() {
        for (text, expected) in [
            (r#"for="10.0.0.1:1234""#, of("10.0.0.1:1234", None)),
            (r#"for="[fd00::1]:1234";host=web.shop.svc"#, of("[fd00::1]:1234", Some("web.shop.svc"))),
            (r#" For="10.0.0.1:1" ; by=_x;proto=http;;"#, of("10.0.0.1:1", None)),
            (r#"host="web""#, of("", Some("web"))),
            (r#"for="10.0.0.1:1", for="10.0.0.2:2";what?"#, of("10.0.0.1:1", None)),
            ("for=10.0.0.1", Forwarded::default()),
            ("for=unknown", Forwarded::default()),
            ("for=_hidden", Forwarded::default()),
            ("", Forwarded::default()),
        ] {
            assert_eq!(text.parse(), Ok(expected), "{text}");
        }
    }

    #[test]
    fn what_is_written_reads_back() {
        for forwarded in [of("10.0.0.1:1234", None), of("[fd00::1]:9", Some("a.b")), of("", Some("a"))] {
            assert_eq!(forwarded.to_string().parse(), Ok(forwarded));
        }
        assert_eq!(of("10.0.0.1:1234", Some("svc")).to_string(), r#"for="10.0.0.1:1234";host=svc"#);
    }

    #[test]
    fn everything_else_is_refused_by_name() {
        use ForwardedError as E;
        let many = "a=b;".repeat(PARAMETERS_MAX);
        let long = "a".repeat(FORWARDED_MAX_BYTES + 1);
        for (text, error) in [
            ("for", E::Pair),
            ("=x", E::Pair),
            ("f or=x", E::Pair),
            (r#"for="10.0.0.1:1"#, E::Pair),
            (r#"for="10.0.0.1:1"x"#, E::Pair),
            ("for=a:1", E::Pair),
            ("for=a;for=b", E::Twice),
            ("host=_;host=b", E::Twice),
            ("host=1.2", E::Host),
            (&many, E::TooMany),
            (&long, E::TooLong(long.len())),
        ] {
            assert_eq!(text.parse::<Forwarded>(), Err(error), "{text}");
        }
    }
}
