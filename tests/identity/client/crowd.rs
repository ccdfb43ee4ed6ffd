//! Streams that are opened and not read.

use std::path::Path;

use anyhow::{Context as _, Result};
use enforcer_proto::spiffe::X509svidRequest;
use enforcer_tests::workload;

use super::library::status_said;
use super::{Said, say};

/// HTTP/2 streams on one connection; servers rarely allow more.
const STREAMS_PER_CONNECTION: usize = 100;

/// Opens them, says how many there are, and keeps them until killed. The first refusal ends the opening.
pub(super) async fn hold(socket: &Path, wanted: usize) -> Result<()> {
    let mut held = Vec::with_capacity(wanted);
    'opening: while held.len() < wanted {
        let mut client = workload::connect(socket).await?;
        for _ in 0..STREAMS_PER_CONNECTION.min(wanted - held.len()) {
            let opened = client.fetch_x509svid(X509svidRequest {}).await;
            // The first message tells that it is served; no other is read.
            let opened = match opened {
                Ok(response) => {
                    let mut stream = response.into_inner();
                    stream.message().await.map(|_| stream)
                }
                Err(status) => Err(status),
            };
            match opened {
                Ok(stream) => held.push((client.clone(), stream)),
                Err(status) => {
                    say(&status_said(&status))?;
                    break 'opening;
                }
            }
        }
    }
    say(&Said::Ready { count: held.len() })?;
    std::future::pending::<()>().await;
    drop(held);
    Err(anyhow::anyhow!("a crowd never ends by itself")).context("crowd")
}
