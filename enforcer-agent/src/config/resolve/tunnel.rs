//! The tunnel's words. Every default and bound stands here.

use std::num::NonZeroUsize;
use std::thread::available_parallelism;

use super::{Problems, span};
use crate::config::ConfigProblem;
use crate::config::raw::{RawTunnel, RawTunnelLimits};
use crate::config::settings::{TunnelLimits, TunnelSettings};

const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;
const MIB: u64 = 1024 * 1024;

const THREADS_MAX: u64 = 256;
/// What a node's tunnels use by default, whatever its size: the data path is a guest.
const THREADS_DEFAULT_MAX: usize = 4;

pub(super) fn tunnel(
    raw: Option<RawTunnel>,
    has_identity: bool,
    problems: &mut Problems,
) -> Option<TunnelSettings> {
    let asked = raw.is_some();
    let RawTunnel {
        enabled,
        hops,
        threads,
        handshake_timeout,
        connect_timeout,
        half_close_timeout,
        idle_timeout,
        drain_timeout,
        limits,
    } = raw.unwrap_or_default();
    if enabled == Some(false) {
        return None;
    }
    if !has_identity {
        if asked {
            problems.push(ConfigProblem::Missing {
                path: "identity".to_owned(),
                hint: "tunnels carry the certificates of identities: turn those on, or set tunnel.enabled: false",
            });
        }
        return None;
    }
    let (native, hbone) = self::hops(hops, problems);
    Some(TunnelSettings {
        native,
        hbone,
        threads: self::threads(threads, problems),
        handshake_timeout: span("tunnel.handshakeTimeout", handshake_timeout, 10, (1, MINUTE), problems),
        connect_timeout: span("tunnel.connectTimeout", connect_timeout, 10, (1, 5 * MINUTE), problems),
        half_close_timeout: span(
            "tunnel.halfCloseTimeout",
            half_close_timeout,
            5 * MINUTE,
            (1, 24 * HOUR),
            problems,
        ),
        idle_timeout: span("tunnel.idleTimeout", idle_timeout, MINUTE, (1, HOUR), problems),
        drain_timeout: span("tunnel.drainTimeout", drain_timeout, 30, (0, HOUR), problems),
        limits: self::limits(&limits.unwrap_or_default(), problems),
    })
}

fn hops(raw: Option<Vec<String>>, problems: &mut Problems) -> (bool, bool) {
    let Some(hops) = raw else { return (true, true) };
    for hop in hops.iter().filter(|hop| !matches!(hop.as_str(), "native" | "hbone")) {
        problems.push(ConfigProblem::Word {
            path: "tunnel.hops".to_owned(),
            value: hop.clone(),
            expected: "native or hbone",
        });
    }
    if hops.is_empty() {
        problems.push(ConfigProblem::Missing {
            path: "tunnel.hops".to_owned(),
            hint: "name native, hbone or both, or set tunnel.enabled: false",
        });
    }
    let has = |name: &str| hops.iter().any(|hop| hop == name);
    (has("native"), has("hbone"))
}

fn threads(raw: Option<u64>, problems: &mut Problems) -> usize {
    let default = available_parallelism().map_or(1, NonZeroUsize::get).min(THREADS_DEFAULT_MAX);
    let Some(threads) = raw else { return default };
    bound("tunnel.threads", threads, (1, THREADS_MAX), problems);
    usize::try_from(threads).unwrap_or(default)
}

fn limits(raw: &RawTunnelLimits, problems: &mut Problems) -> TunnelLimits {
    let RawTunnelLimits { connections, handshakes_per_second, buffered_bytes } = raw;
    let mut bounded = |word: &str, value: Option<u64>, default: u64, range: (u64, u64)| {
        let value = value.unwrap_or(default);
        bound(&format!("tunnel.limits.{word}"), value, range, problems);
        value
    };
    let handshakes = bounded("handshakesPerSecond", *handshakes_per_second, 5_000, (1, 1_000_000));
    TunnelLimits {
        connections: bounded("connections", *connections, 50_000, (1, 1_000_000)),
        handshakes_per_second: u32::try_from(handshakes).unwrap_or(u32::MAX),
        buffered_bytes: bounded("bufferedBytes", *buffered_bytes, 256 * MIB, (MIB, 1024 * 1024 * MIB)),
    }
}

fn bound(path: &str, value: u64, (low, high): (u64, u64), problems: &mut Problems) {
    if value < low || value > high {
        problems.push(ConfigProblem::Range { path: path.to_owned(), value, low, high });
    }
}
