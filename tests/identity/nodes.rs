//! Two nodes, one authority: members of a tenant know each other across nodes, and a node gets nothing for
//! tenants that it does not run.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use enforcer_lab::policy::{Kind, Policy};
use enforcer_lab::topology::Topology;
use enforcer_lab::wait;
use enforcer_proto::v1;
use enforcer_proto::v1::authority_service_client::AuthorityServiceClient;
use enforcer_tests::runner::Case;
use serde_json::json;
use tonic::transport::{Certificate as Pem, Channel, ClientTlsConfig, Endpoint, Identity};
use tonic::{Code, Status};

use crate::client::Said;
use crate::enrolment::{self, Enrolled, PORT};
use crate::openssl::{Papers, Server};
use crate::site::{LIMIT, Site, domain_of};

pub(crate) const CASES: &[Case<Site>] = &[
    Case {
        name: "nodes::members_of_a_tenant_shake_hands_across_nodes_and_a_stranger_does_not",
        reasons: &[],
        run: handshake,
    },
    Case {
        name: "nodes::a_node_gets_an_authority_only_for_tenants_that_it_runs",
        reasons: &[],
        run: entitled,
    },
    Case { name: "nodes::a_revocation_at_the_authority_takes_effect_everywhere", reasons: &[], run: revoked },
    Case { name: "nodes::what_a_node_revokes_is_revoked_on_that_node", reasons: &[], run: local },
    Case { name: "nodes::without_its_authority_a_node_serves_what_it_has", reasons: &[], run: alone },
    Case { name: "nodes::a_token_of_one_node_is_valid_on_the_other", reasons: &[], run: tokens },
    Case {
        name: "nodes::a_node_renews_its_certificate_for_the_authority_where_it_lies",
        reasons: &[],
        run: renewed,
    },
];

const SERVER_PORT: u16 = 8443;
/// Half of a life of 30 seconds, a look every 5, and patience.
const RENEWED_LIMIT: Duration = Duration::from_secs(60);
const AUDIENCE: &str = "https://db.example";

fn handshake(site: &mut Site) -> Result<()> {
    let (near, far, stranger) =
        (Papers::of(site, "n1-t1-p1")?, Papers::of(site, "n2-t1-p1")?, Papers::of(site, "n2-t2-p1")?);
    ensure!(near.ders()?.get(1) != far.ders()?.get(1), "both nodes have one node CA");
    let server = Server::start(site, "n1-t1-p1", &near, SERVER_PORT)?;
    server.answers(site, "n2-t1-p1", &far, &far.dir.join("bundle.pem"))?;
    server.refuses(site, "n2-t1-p1", &stranger, &far.dir.join("bundle.pem"))?;
    let back = Server::start(site, "n2-t1-p2", &Papers::of(site, "n2-t1-p2")?, SERVER_PORT)?;
    back.answers(site, "n1-t1-p1", &near, &near.dir.join("bundle.pem"))
}

/// Asks the authority directly, as a node that is not satisfied with what its agent asks for.
fn issue(site: &Site, enrolled: &Enrolled, domain: &str) -> Result<Result<usize, Status>> {
    let own = Identity::from_pem(std::fs::read(&enrolled.certificate)?, std::fs::read(&enrolled.key)?);
    let tls =
        ClientTlsConfig::new().identity(own).ca_certificate(Pem::from_pem(std::fs::read(&enrolled.ca)?));
    let address = format!("https://{}:{PORT}", site.node("n1")?.v4);
    let dir = site.scratch("direct")?;
    let csr = enrolment::request(&dir, &dir.join("key.pem"))?;
    // From the other node's namespace.
    site.place("n2")?.inside(|| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async {
            let channel: Channel = Endpoint::from_shared(address)?.tls_config(tls)?.connect().await?;
            let mut client = AuthorityServiceClient::new(channel);
            let request = v1::IssueNodeCaRequest { trust_domain: domain.to_owned(), csr };
            Ok(client.issue_node_ca(request).await.map(|response| response.into_inner().certificates.len()))
        })
    })
}

fn entitled(site: &mut Site) -> Result<()> {
    let dir = site.scratch("again")?;
    let enrolled = enrolment::enroll(site, "n2", &dir)?;
    // Everything of t2 leaves n2.
    let topology = site.lab().topology().clone();
    let policy = without(site.policy(), &topology, "n2", "t2");
    site.apply(&policy)?;
    match issue(site, &enrolled, &domain_of("t1"))? {
        Ok(certificates) => ensure!(certificates > 1, "a chain of {certificates}"),
        Err(status) => bail!("for a tenant that it runs: {status}"),
    }
    for domain in
        [domain_of("t2"), "nobody.lab.internal".to_owned(), "lab.internal".to_owned(), "x".to_owned()]
    {
        let answer = issue(site, &enrolled, &domain)?;
        let code = answer.as_ref().err().map(Status::code);
        let is_right = matches!(code, Some(Code::PermissionDenied | Code::InvalidArgument));
        ensure!(is_right, "n2 asks for {domain}: {answer:?}");
    }
    site.client("n2-t1-p1")?.identity()?;
    site.client("n2-t2-p1")?.is_denied()
}

fn without(policy: Policy, topology: &Topology, node: &str, tenant: &str) -> Policy {
    let gone = topology.workloads.iter().filter(|of| of.node == node && of.tenant == tenant);
    gone.fold(policy, |policy, workload| policy.without(Kind::Workload, &workload.name))
}

fn revoked(site: &mut Site) -> Result<()> {
    let watch = site.client("n2-t1-p1")?.start(&["watch"])?;
    watch.svid_other_than(&[])?;
    site.ctl("n1")?.run(&["identity", "revoke", "--tenant", "t1", "--reason", "a test", "--yes"], "")?;
    watch.is_denied()?;
    for name in ["n1-t1-p1", "n2-t1-p1", "n2-t1-p2"] {
        let client = site.client(name)?;
        wait::until_true(&format!("{name} is refused"), LIMIT, || Ok(client.is_denied().is_ok()))?;
    }
    site.client("n2-t2-p1")?.identity()?;
    let answer = site.ctl("n2")?.call(&["identity", "restore", "--tenant", "t1"], "")?;
    ensure!(answer.code != 0, "a node has restored what its authority revoked: {}", answer.out);
    site.client("n2-t1-p1")?.is_denied()?;
    site.ctl("n1")?.run(&["identity", "restore", "--tenant", "t1"], "")?;
    for node in ["n1", "n2"] {
        site.settle(node)?;
    }
    site.client("n2-t1-p1")?.identity().map(drop)
}

/// What a node revokes by itself is revoked on that node.
fn local(site: &mut Site) -> Result<()> {
    site.ctl("n2")?.run(&["identity", "revoke", "n2-t2-p1", "--reason", "a test", "--yes"], "")?;
    site.listed("n2-t2-p1", "revoked", |one| one["state"] == "revoked")?;
    site.client("n2-t2-p1")?.is_denied()?;
    site.client("n2-t2-p2")?.identity()?;
    site.client("n1-t2-p1")?.identity()?;
    site.ctl("n2")?.run(&["identity", "restore", "n2-t2-p1"], "")?;
    site.settle("n2")
}

fn alone(site: &mut Site) -> Result<()> {
    site.expect_errors();
    let serials = site.serials("n2")?;
    site.mark_changed();
    site.stop("n1")?;
    let client = site.client("n2-t1-p1")?;
    client.identity()?;
    // Its node CA needs nobody for this.
    site.ctl("n2")?.run(&["identity", "rotate", "n2-t1-p1"], "")?;
    site.listed("n2-t1-p1", "rotated without its authority", |one| {
        one["state"] == "valid" && one["serial"].as_str() != serials.get("n2-t1-p1").map(String::as_str)
    })?;
    let served = site.serials("n2")?;
    let below = Enrolled {
        certificate: site_file(site, "node.pem")?,
        key: site_file(site, "node_key.pem")?,
        ca: site_file(site, "ca.pem")?,
    };
    let config = enrolment::below(site, &below)?;
    site.kill("n2")?;
    site.resume("n2", &config)?;
    wait::until_true("it serves again, with its authority away", LIMIT, || Ok(client.identity().is_ok()))?;
    let after: BTreeMap<String, String> = site.serials("n2")?;
    ensure!(after == served, "{served:?} became {after:?}");
    let door = enrolment::with_door(site)?;
    site.resume("n1", &door)?;
    site.settle("n1")?;
    site.settle("n2")
}

/// With certificates of nodes that last seconds: the first one ends, and the node is still known.
fn renewed(site: &mut Site) -> Result<()> {
    site.expect_errors();
    site.mark_changed();
    for node in ["n2", "n1"] {
        site.stop(node)?;
    }
    let short = enrolment::with_door(site)?.with_identity(&json!({ "lifetimes": { "node": "30s" } }));
    site.resume("n1", &short)?;
    let dir = site.scratch("short")?;
    let enrolled = enrolment::enroll(site, "n2", &dir)?;
    let (first, first_key) = (std::fs::read(&enrolled.certificate)?, std::fs::read(&enrolled.key)?);
    let below = enrolment::below(site, &enrolled)?;
    site.resume("n2", &below)?;
    wait::until_true("the certificate is another one", RENEWED_LIMIT, || {
        Ok(std::fs::read(&enrolled.certificate)? != first)
    })?;
    ensure!(std::fs::read(&enrolled.key)? != first_key, "a new certificate for the old key");
    let mode = std::fs::metadata(&enrolled.key)?.permissions().mode() & 0o777;
    ensure!(mode == 0o600, "the key has mode {mode:o}");
    // The authority takes the new pair, from the files as they are now.
    wait::until_true("the authority knows the node by its new certificate", LIMIT, || {
        Ok(issue(site, &enrolled, &domain_of("t1"))?.is_ok())
    })?;
    site.client("n2-t1-p1")?.identity().map(drop)
}

/// A file of the first enrolment of `n2`.
fn site_file(site: &Site, name: &str) -> Result<std::path::PathBuf> {
    let path = site.scratch_root().join("enrolled-n2").join(name);
    path.exists().then_some(path).with_context(|| name.to_owned())
}

fn tokens(site: &mut Site) -> Result<()> {
    let said = site.client("n2-t1-p1")?.ask(&["jwt", AUDIENCE])?;
    let Said::Token { token, .. } = said else { bail!("no token on n2: {said:?}") };
    let said = site.client("n1-t1-p1")?.ask(&["validate", AUDIENCE, &token])?;
    ensure!(matches!(said, Said::Token { .. }), "n1 validates a token of n2: {said:?}");
    let said = site.client("n1-t2-p1")?.ask(&["validate", AUDIENCE, &token])?;
    ensure!(matches!(said, Said::Refused { .. }), "another tenant validates it: {said:?}");
    Ok(())
}
