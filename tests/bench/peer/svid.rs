//! A workload that asks for its certificates.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdout, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use enforcer_lab::enter::Place;
use enforcer_proto::spiffe::{X509svidRequest, X509svidResponse};
use enforcer_tests::workload::{self, WorkloadClient};
use nix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};
use tokio::runtime::Runtime;
use tonic::Streaming;

use super::end::READY;

/// Between two attempts of a watcher that was refused.
const PAUSE: Duration = Duration::from_millis(5);

/// What somebody found who connected again and again.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Firsts {
    /// From before the connection until the SVID was there, in microseconds.
    pub(crate) micros: Vec<f64>,
}

/// What a watcher says, with the time of the machine's monotonic clock in nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Ended {
    /// It is served.
    Served(u64),
    /// It was told that it is nobody any more.
    Refused(u64),
}

pub(super) fn first(socket: &Path, count: usize) -> Result<Firsts> {
    let runtime = runtime()?;
    let mut micros = Vec::with_capacity(count);
    for _ in 0..count {
        let start = Instant::now();
        runtime.block_on(async { served(&mut workload::connect(socket).await?).await })?;
        micros.push(start.elapsed().as_secs_f64() * 1e6);
    }
    Ok(Firsts { micros })
}

pub(super) fn hold(socket: &Path, connections: usize, streams: usize) -> Result<()> {
    runtime()?.block_on(async {
        let mut held = Vec::with_capacity(connections * streams);
        for _ in 0..connections {
            let mut client = workload::connect(socket).await?;
            for _ in 0..streams {
                held.push((client.clone(), served(&mut client).await?));
            }
        }
        println!("{READY}");
        std::future::pending::<()>().await;
        drop(held);
        Ok(())
    })
}

pub(super) fn watch(socket: &Path) -> Result<()> {
    println!("{READY}");
    runtime()?.block_on(async {
        loop {
            let mut client = workload::connect(socket).await?;
            let Ok(mut stream) = served(&mut client).await else {
                tokio::time::sleep(PAUSE).await;
                continue;
            };
            say(Ended::Served(monotonic()?))?;
            while let Ok(Some(_)) = stream.message().await {}
            say(Ended::Refused(monotonic()?))?;
        }
    })
}

async fn served(client: &mut WorkloadClient) -> Result<Streaming<X509svidResponse>> {
    let mut stream = client.fetch_x509svid(X509svidRequest {}).await?.into_inner();
    let first = stream.message().await?.context("a stream without a message")?;
    ensure!(!first.svids.is_empty(), "a message without an SVID");
    Ok(stream)
}

fn say(ended: Ended) -> Result<()> {
    let mut out = std::io::stdout();
    writeln!(out, "{}", serde_json::to_string(&ended)?)?;
    Ok(out.flush()?)
}

fn runtime() -> Result<Runtime> {
    Ok(tokio::runtime::Builder::new_current_thread().enable_all().build()?)
}

/// The same in every process of the machine.
pub(crate) fn monotonic() -> Result<u64> {
    let now = clock_gettime(ClockId::CLOCK_MONOTONIC)?;
    Ok(u64::try_from(now.tv_sec())? * 1_000_000_000 + u64::try_from(now.tv_nsec())?)
}

/// A watcher from the other side.
pub(crate) struct Watching {
    child: Child,
    out: BufReader<ChildStdout>,
}

impl Watching {
    pub(crate) fn start(place: &Place, socket: &Path) -> Result<Self> {
        let mut command = place.command(std::env::current_exe()?)?;
        command.args(["peer", "watch"]).arg(socket).stdin(Stdio::null()).stdout(Stdio::piped());
        let mut child = command.spawn().context("a watcher")?;
        let out = BufReader::new(child.stdout.take().context("standard output")?);
        let mut watching = Self { child, out };
        ensure!(watching.line()?.trim() == READY, "the watcher is not ready");
        Ok(watching)
    }

    /// The next thing it says.
    pub(crate) fn next(&mut self) -> Result<Ended> {
        let line = self.line()?;
        serde_json::from_str(&line).with_context(|| line.clone())
    }

    /// When it was served.
    pub(crate) fn served(&mut self) -> Result<u64> {
        match self.next()? {
            Ended::Served(at) => Ok(at),
            other => bail!("expected to be served: {other:?}"),
        }
    }

    /// When it was refused.
    pub(crate) fn refused(&mut self) -> Result<u64> {
        match self.next()? {
            Ended::Refused(at) => Ok(at),
            other => bail!("expected to be refused: {other:?}"),
        }
    }

    fn line(&mut self) -> Result<String> {
        let mut line = String::new();
        self.out.read_line(&mut line)?;
        Ok(line)
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        let _gone = self.child.kill();
        let _reaped = self.child.wait();
    }
}
