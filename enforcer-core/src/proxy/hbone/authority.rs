//! Where a CONNECT request wants to go: `:authority` (RFC 9113, section 8.5): a host and a port, nothing else.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::num::NonZeroU16;
use std::str::FromStr;

/// Longest host name, in bytes (RFC 1035, section 2.3.4).
pub const NAME_MAX_BYTES: usize = 253;
/// Longest label of a host name, in bytes (RFC 1035, section 2.3.4).
pub const LABEL_MAX_BYTES: usize = 63;
/// Longest authority that is looked at, in bytes: a name, a colon and a port.
pub const AUTHORITY_MAX_BYTES: usize = NAME_MAX_BYTES + 6;

/// The host of an authority.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Host {
    /// An address; an IPv4 address that was written as an IPv6 one reads as IPv4.
    Address(IpAddr),
    /// A name, in lower case.
    Name(HostName),
}

/// A host name in lower case: labels of letters, digits, `-` and `_`, the last of them not a number.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct HostName(String);

impl HostName {
    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A host and a port.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Authority {
    /// The host.
    pub host: Host,
    /// The port; no default fits CONNECT.
    pub port: NonZeroU16,
}

impl Authority {
    /// The address and port, when the host is an address.
    #[must_use]
    pub fn address(&self) -> Option<SocketAddr> {
        match self.host {
            Host::Address(ip) => Some(SocketAddr::new(ip, self.port.get())),
            Host::Name(_) => None,
        }
    }

    /// The authority of an address; `None` for port 0, which is nobody's.
    #[must_use]
    pub fn of(address: SocketAddr) -> Option<Self> {
        let port = NonZeroU16::new(address.port())?;
        Some(Self { host: Host::Address(address.ip().to_canonical()), port })
    }
}

/// Why a text is no authority.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AuthorityError {
    /// Beyond [`AUTHORITY_MAX_BYTES`].
    #[error("it has {0} bytes, and at most {AUTHORITY_MAX_BYTES} are taken")]
    TooLong(usize),
    /// A host without one (RFC 9113, section 8.5: the port is not optional).
    #[error("the port is missing")]
    PortMissing,
    /// Not 1 to 65535 in plain decimal.
    #[error("{0:?} is no port")]
    Port(String),
    /// Brackets around something else (RFC 3986, section 3.2.2).
    #[error("{0:?} is no IPv6 address")]
    Ipv6(String),
    /// Neither an IPv4 address nor a host name.
    #[error("{0:?} is no host")]
    Host(String),
}

impl FromStr for Authority {
    type Err = AuthorityError;

    fn from_str(text: &str) -> Result<Self, AuthorityError> {
        if text.len() > AUTHORITY_MAX_BYTES {
            return Err(AuthorityError::TooLong(text.len()));
        }
        if let Some(rest) = text.strip_prefix('[') {
            let (inside, port) = rest.split_once(']').ok_or_else(|| AuthorityError::Ipv6(text.to_owned()))?;
            let address: Ipv6Addr = inside.parse().map_err(|_| AuthorityError::Ipv6(inside.to_owned()))?;
            let port = port.strip_prefix(':').ok_or(AuthorityError::PortMissing)?;
            let host = Host::Address(IpAddr::V6(address).to_canonical());
            return Ok(Self { host, port: parse_port(port)? });
        }
        let (host, port) = text.rsplit_once(':').ok_or(AuthorityError::PortMissing)?;
        Ok(Self { host: parse_host(host)?, port: parse_port(port)? })
    }
}

fn parse_host(text: &str) -> Result<Host, AuthorityError> {
    if let Ok(address) = text.parse::<Ipv4Addr>() {
        return Ok(Host::Address(address.into()));
    }
    text.parse().map(Host::Name)
}

impl FromStr for HostName {
    type Err = AuthorityError;

    fn from_str(text: &str) -> Result<Self, AuthorityError> {
        let is_number = |label: &str| label.bytes().all(|byte| byte.is_ascii_digit());
        // `10.1` and `0x7f.1` are addresses to some resolvers and names to others: they are neither here.
        let ends_in_number = text.rsplit('.').next().is_none_or(is_number);
        if text.len() > NAME_MAX_BYTES || ends_in_number || !text.split('.').all(is_label) {
            return Err(AuthorityError::Host(text.to_owned()));
        }
        Ok(Self(text.to_ascii_lowercase()))
    }
}

fn is_label(label: &str) -> bool {
    let is_inner = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    let has_room = (1..=LABEL_MAX_BYTES).contains(&label.len());
    has_room && label.bytes().all(is_inner) && !label.starts_with('-') && !label.ends_with('-')
}

fn parse_port(text: &str) -> Result<NonZeroU16, AuthorityError> {
    let is_plain = text.bytes().all(|byte| byte.is_ascii_digit()) && !text.starts_with('0');
    let port = text.parse().ok().filter(|_| is_plain);
    port.ok_or_else(|| AuthorityError::Port(text.to_owned()))
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(IpAddr::V4(address)) => address.fmt(f),
            Self::Address(IpAddr::V6(address)) => write!(f, "[{address}]"),
            Self::Name(name) => f.write_str(&name.0),
        }
    }
}

impl fmt::Display for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_and_names_read_back_as_themselves() {
        for (text, written) in [
            ("10.0.0.1:8080", "10.0.0.1:8080"),
            ("[fd00::1]:8080", "[fd00::1]:8080"),
            ("[FD00:0:0::1]:65535", "[fd00::1]:65535"),
            ("[::ffff:10.0.0.1]:1", "10.0.0.1:1"),
            ("Web.shop.svc.cluster.local:80", "web.shop.svc.cluster.local:80"),
            ("_dns.a-b:53", "_dns.a-b:53"),
            ("0x7f:1", "0x7f:1"),
        ] {
            let authority: Authority = text.parse().unwrap_or_else(|error| panic!("{text}: {error}"));
            assert_eq!(authority.to_string(), written);
            assert_eq!(written.parse(), Ok(authority), "{text}");
        }
    }

    #[test]
    fn an_address_has_its_socket_address_and_a_name_has_none() {
        let authority: Authority = "[::ffff:10.0.0.1]:15008".parse().unwrap();
        let address: SocketAddr = "10.0.0.1:15008".parse().unwrap();
        assert_eq!(authority.address(), Some(address));
        assert_eq!(Authority::of(address), Some(authority));
        assert_eq!("web:80".parse::<Authority>().unwrap().address(), None);
        assert_eq!(Authority::of("10.0.0.1:0".parse().unwrap()), None);
    }

    #[test]
    fn everything_else_is_refused_by_name() {
        use AuthorityError as E;
        let long = format!("{}:80", "a.".repeat(130));
        for (text, error) in [
            ("", E::PortMissing),
            ("10.0.0.1", E::PortMissing),
            ("web", E::PortMissing),
            ("[fd00::1]", E::PortMissing),
            ("[fd00::1", E::Ipv6("[fd00::1".into())),
            ("[10.0.0.1]:80", E::Ipv6("10.0.0.1".into())),
            ("[fe80::1%eth0]:80", E::Ipv6("fe80::1%eth0".into())),
            ("fd00::1:80", E::Host("fd00::1".into())),
            ("10.0.0.1:", E::Port(String::new())),
            ("10.0.0.1:0", E::Port("0".into())),
            ("10.0.0.1:080", E::Port("080".into())),
            ("10.0.0.1:+80", E::Port("+80".into())),
            ("10.0.0.1:65536", E::Port("65536".into())),
            (":80", E::Host(String::new())),
            ("10.0.0:80", E::Host("10.0.0".into())),
            ("10.0.0.01:80", E::Host("10.0.0.01".into())),
            ("user@web:80", E::Host("user@web".into())),
            ("web.:80", E::Host("web.".into())),
            ("web..shop:80", E::Host("web..shop".into())),
            ("-web:80", E::Host("-web".into())),
            ("web-:80", E::Host("web-".into())),
            ("wéb:80", E::Host("wéb".into())),
            ("http://web:80", E::Host("http://web".into())),
            (&long, E::TooLong(263)),
        ] {
            assert_eq!(text.parse::<Authority>(), Err(error), "{text}");
        }
        let label = format!("{}:80", "a".repeat(LABEL_MAX_BYTES + 1));
        assert!(matches!(label.parse::<Authority>(), Err(E::Host(_))));
    }
}
