//! An agent elsewhere: both ends must prove who they are.

use std::fs;
use std::path::Path;

use enforcer_proto::v1;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, SanType};
use tempfile::TempDir;
use tonic::transport::{Certificate, Identity, ServerTlsConfig};

use super::fake::{Agent, Answers};
use super::{Ran, enforcerctl};
use crate::exit::Exit;

type Authority = CertifiedIssuer<'static, KeyPair>;

fn authority(name: &str) -> Authority {
    let mut params = CertificateParams::new(Vec::<String>::new()).unwrap();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

/// Certificate and key, in PEM.
fn issue(authority: &Authority, name: SanType) -> (String, String) {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(Vec::<String>::new()).unwrap();
    params.subject_alt_names = vec![name];
    (params.signed_by(&key, authority).unwrap().pem(), key.serialize_pem())
}

fn client_name() -> SanType {
    SanType::URI("spiffe://platform.example/control".try_into().unwrap())
}

/// An agent whose certificate says "agent.example", and who trusts `clients`.
async fn agent(servers: &Authority, clients: &Authority) -> (Agent, u16) {
    let (cert, key) = issue(servers, SanType::DnsName("agent.example".try_into().unwrap()));
    let tls = ServerTlsConfig::new()
        .identity(Identity::from_pem(cert, key))
        .client_ca_root(Certificate::from_pem(clients.pem()));
    let counters = Some(Ok(v1::CountersResponse::default()));
    Agent::start_tls(Answers { counters, ..Answers::default() }, tls).await
}

/// Asks for counters with a certificate of `ours`, trusting `theirs`.
async fn ask(port: u16, ours: &Authority, theirs: &Authority, options: &[&str]) -> Ran {
    let dir = tempfile::tempdir().unwrap();
    let (cert, key) = issue(ours, client_name());
    let cert = write(&dir, "cert.pem", &cert);
    let key = write(&dir, "key.pem", &key);
    let ca = write(&dir, "ca.pem", &theirs.pem());
    let address = format!("https://127.0.0.1:{port}");
    let args = ["--address", &address, "--cert", &cert, "--key", &key, "--ca", &ca, "counters"];
    enforcerctl(&[args.as_slice(), options].concat(), "").await
}

fn write(dir: &TempDir, name: &str, text: &str) -> String {
    let path = Path::join(dir.path(), name);
    fs::write(&path, text).unwrap();
    path.display().to_string()
}

const NAMED: [&str; 2] = ["--server-name", "agent.example"];

#[tokio::test]
async fn both_ends_prove_who_they_are() {
    let (servers, clients) = (authority("servers"), authority("clients"));
    let (_agent, port) = agent(&servers, &clients).await;
    let ran = ask(port, &clients, &servers, &NAMED).await;
    assert_eq!(ran.exit, Exit::Ok, "{}", ran.err);
}

#[tokio::test]
async fn an_agent_that_nobody_vouches_for_is_told_nothing() {
    let (servers, clients) = (authority("servers"), authority("clients"));
    let (_agent, port) = agent(&servers, &clients).await;
    let ran = ask(port, &clients, &authority("strangers"), &NAMED).await;
    assert_eq!(ran.exit, Exit::Unreachable, "{}", ran.err);
    assert!(ran.err.contains("cannot trust the agent"), "{}", ran.err);
}

#[tokio::test]
async fn an_agent_of_another_name_is_told_nothing() {
    let (servers, clients) = (authority("servers"), authority("clients"));
    let (_agent, port) = agent(&servers, &clients).await;
    let ran = ask(port, &clients, &servers, &[]).await;
    assert_eq!(ran.exit, Exit::Unreachable, "{}", ran.err);
    assert!(ran.err.contains("--server-name"), "{}", ran.err);
}

#[tokio::test]
async fn a_certificate_that_the_agent_does_not_know_is_not_permitted() {
    let (servers, clients) = (authority("servers"), authority("clients"));
    let (_agent, port) = agent(&servers, &clients).await;
    let ran = ask(port, &authority("strangers"), &servers, &NAMED).await;
    assert_eq!(ran.exit, Exit::NotPermitted, "{}", ran.err);
}
