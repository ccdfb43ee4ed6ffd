//! A node that uses another as its authority: how it gets its first certificate, and what its configuration
//! says.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use enforcer_lab::config::Config;
use enforcer_proto::v1;
use enforcer_proto::v1::identity_service_client::IdentityServiceClient;
use enforcer_tests::workload;
use serde_json::json;

use crate::openssl::{pem, private, run, text};
use crate::site::{Site, id_of};

/// The port of the authority's network door.
pub(crate) const PORT: u16 = 7443;
/// The workload that may operate the authority over the network.
pub(crate) const OPERATOR: &str = "n1-t1-p1";

/// A node's first certificate, in files.
#[derive(Clone, Debug)]
pub(crate) struct Enrolled {
    pub(crate) certificate: PathBuf,
    pub(crate) key: PathBuf,
    pub(crate) ca: PathBuf,
}

/// The configuration of a node that others reach.
pub(crate) fn with_door(site: &Site) -> Result<Config> {
    let address = format!("{}:{PORT}", site.node("n1")?.v4);
    let allowed = [id_of(site.workload(OPERATOR)?)];
    Ok(Config::default().with("listener", json!({ "address": address, "allowedSpiffeIds": allowed })))
}

/// The configuration of a node whose authority is `n1`.
pub(crate) fn below(site: &Site, enrolled: &Enrolled) -> Result<Config> {
    let grpc = json!({
        "address": format!("https://{}:{PORT}", site.node("n1")?.v4),
        "certificate": enrolled.certificate,
        "key": enrolled.key,
        "ca": enrolled.ca,
    });
    Ok(Config::default().with_identity(&json!({ "upstream": { "grpc": grpc } })))
}

/// The authority first: without it the other node has nothing to start with.
pub(crate) fn start_both(site: &mut Site) -> Result<()> {
    let door = with_door(site)?;
    site.start("n1", &door)?;
    let dir = site.scratch("enrolled-n2")?;
    let enrolled = enroll(site, "n2", &dir)?;
    let below = below(site, &enrolled)?;
    site.start("n2", &below)
}

/// Asks `n1`, over its local door, as its operator would.
pub(crate) fn enroll(site: &Site, node: &str, dir: &Path) -> Result<Enrolled> {
    let enrolled =
        Enrolled { certificate: dir.join("node.pem"), key: dir.join("node_key.pem"), ca: dir.join("ca.pem") };
    let csr = request(dir, &enrolled.key)?;
    let socket = site.node("n1")?.socket.clone();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let response = runtime.block_on(async {
        let mut client = IdentityServiceClient::new(workload::channel(&socket).await?);
        let request = v1::EnrollNodeRequest { node: node.to_owned(), csr };
        Ok::<_, anyhow::Error>(client.enroll_node(request).await.context("EnrollNode")?.into_inner())
    })?;
    fs::write(&enrolled.certificate, pem(&response.certificates))?;
    fs::write(&enrolled.ca, response.authorities_pem)?;
    Ok(enrolled)
}

/// A fresh key, and the request (PKCS#10, DER) that proves that we have it.
pub(crate) fn request(dir: &Path, key: &Path) -> Result<Vec<u8>> {
    let csr = dir.join("request.der");
    run(&[
        "req",
        "-new",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:P-256",
        "-noenc",
        "-subj",
        "/CN=counts for nothing",
        "-keyout",
        &text(key)?,
        "-outform",
        "DER",
        "-out",
        &text(&csr)?,
    ])?;
    private(key)?;
    fs::read(&csr).with_context(|| format!("{}", csr.display()))
}
