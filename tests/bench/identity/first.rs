//! From a connection to the first SVID, through the real socket.

use anyhow::Result;
use serde_json::json;

use super::wall::Wall;
use crate::figure::Figure;
use crate::peer::{Firsts, ask};
use crate::sample::Sample;
use crate::suite::Effort;

pub(super) fn measure(effort: Effort) -> Result<Vec<Figure>> {
    let count = match effort {
        Effort::Full => "5000",
        Effort::Quick => "100",
    };
    let wall = Wall::with(2, &json!({}))?;
    let socket = wall.socket()?.display().to_string();
    let firsts: Firsts = ask(&wall.place(0)?, &["first", &socket, count])?;
    let sample = Sample::from(firsts.micros);
    Ok(vec![
        Figure::of("first/median", "us", &sample).note(
            "connect, HTTP/2, attestation, certificate, bundle and key; client and agent on one machine",
        ),
        Figure::of("first/p99", "us", &sample).percentile(&sample, 99.0),
    ])
}
