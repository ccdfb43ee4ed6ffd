//! A process that moves itself into another control group while it is being served.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};
use enforcer_proto::spiffe::{X509svidRequest, X509svidResponse};
use enforcer_tests::workload::{self, WorkloadClient};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tonic::Status;

use super::library::status_said;
use super::{Said, say};
use crate::certificate::{self, Certificate};

pub(super) async fn wander(socket: &Path, cgroup: &Path) -> Result<()> {
    let mut client = workload::connect(socket).await?;
    let mut stream = client.fetch_x509svid(X509svidRequest {}).await.context("the first call")?.into_inner();
    say(&said(stream.message().await)?)?;
    let mut lines = BufReader::new(tokio::io::stdin()).lines();
    lines.next_line().await?;
    fs::write(cgroup.join("cgroup.procs"), "0").with_context(|| format!("{}", cgroup.display()))?;
    say(&ask(&mut client).await?)?;
    say(&ask(&mut workload::connect(socket).await?).await?)?;
    say(&Said::Ready { count: 1 })?;
    loop {
        let message = stream.message().await;
        let is_end = !matches!(message, Ok(Some(_)));
        say(&said(message)?)?;
        if is_end {
            return Ok(());
        }
    }
}

/// The first message of a new call.
pub(super) async fn ask(client: &mut WorkloadClient) -> Result<Said> {
    match client.fetch_x509svid(X509svidRequest {}).await {
        Ok(response) => said(response.into_inner().message().await),
        Err(status) => Ok(status_said(&status)),
    }
}

fn said(message: Result<Option<X509svidResponse>, Status>) -> Result<Said> {
    let response = match message {
        Ok(Some(response)) => response,
        Ok(None) => {
            return Ok(Said::Refused { code: "Ok".to_owned(), message: "the stream ended".to_owned() });
        }
        Err(status) => return Ok(status_said(&status)),
    };
    let svid = response.svids.first().context("an answer without an SVID")?;
    let leaf = Certificate::parse(&svid.x509_svid)?;
    Ok(Said::Svid {
        id: svid.spiffe_id.clone(),
        serial: leaf.serial(),
        not_before: leaf.not_before(),
        not_after: leaf.not_after(),
        chain: certificate::count(&svid.x509_svid)?,
        bundles: [(leaf.trust_domain()?, certificate::count(&svid.bundle)?)].into(),
    })
}
