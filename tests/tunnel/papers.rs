//! Certificates to show to others: a workload's own, and those that nobody should believe. The latter are made by a
//! node of the fleet that has gone bad: it has a node CA of t1, and the key of it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use enforcer_lab::config::TRUST_DOMAIN;
use enforcer_proto::v1;
use enforcer_proto::v1::authority_service_client::AuthorityServiceClient;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tonic::transport::{Certificate, ClientTlsConfig, Endpoint, Identity};

use crate::site::Site;

/// A chain, leaf first, and the leaf's key.
pub(crate) struct Papers {
    pub(crate) chain: Vec<CertificateDer<'static>>,
    pub(crate) key: PrivateKeyDer<'static>,
}

impl Clone for Papers {
    fn clone(&self) -> Self {
        Self { chain: self.chain.clone(), key: self.key.clone_key() }
    }
}

impl Papers {
    /// What the agent gives a workload.
    pub(crate) fn of(site: &Site, workload: &str) -> Result<Self> {
        let dir = site.fetch(workload)?;
        Self::read(&dir.join("svid.pem"), &dir.join("svid_key.pem"))
    }

    fn read(chain: &Path, key: &Path) -> Result<Self> {
        let chain = CertificateDer::pem_file_iter(chain)?.collect::<Result<Vec<_>, _>>()?;
        let key = PrivateKeyDer::from_pem_file(key).with_context(|| format!("{}", key.display()))?;
        Ok(Self { chain, key })
    }

    /// The first certificates of the chain alone.
    pub(crate) fn cut(mut self, length: usize) -> Self {
        self.chain.truncate(length);
        self
    }
}

/// A node CA of a tenant whose key is in our hands.
pub(crate) struct Rogue {
    dir: PathBuf,
    above: Vec<CertificateDer<'static>>,
}

/// What is wrong with a leaf, by name.
pub(crate) struct Wrong {
    pub(crate) name: &'static str,
    extensions: String,
    days: &'static str,
}

impl Rogue {
    /// Asks the authority for one, as a node that runs the tenant may.
    pub(crate) fn enrol(site: &Site, tenant: &str) -> Result<Self> {
        let dir = site.scratch("rogue")?;
        let written = dir.join("node");
        let text = written.to_str().context("a path that is not text")?;
        site.ctl("n1")?.run(&["identity", "enroll", "--write", text, "n2"], "")?;
        let csr = dir.join("request.der");
        requested(&dir, "ca", &["-new", "-subj", "/CN=node", "-outform", "DER", "-out", path(&csr)?])?;
        let own =
            Identity::from_pem(fs::read(written.join("svid.pem"))?, fs::read(written.join("svid_key.pem"))?);
        let ca = Certificate::from_pem(fs::read(written.join("bundle.pem"))?);
        let tls = ClientTlsConfig::new().identity(own).ca_certificate(ca);
        let address = format!("https://{}:7443", site.node("n1")?.v4);
        let request =
            v1::IssueNodeCaRequest { trust_domain: format!("{tenant}.{TRUST_DOMAIN}"), csr: fs::read(&csr)? };
        let answer = site.place("n2")?.inside(|| {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(async {
                let channel = Endpoint::from_shared(address)?.tls_config(tls)?.connect().await?;
                Ok(AuthorityServiceClient::new(channel).issue_node_ca(request).await?.into_inner())
            })
        })?;
        let above: Vec<CertificateDer<'static>> =
            answer.certificates.into_iter().map(CertificateDer::from).collect();
        let first = above.first().context("no certificate")?;
        fs::write(dir.join("ca.der"), first)?;
        let (der, pem) = (dir.join("ca.der"), dir.join("ca.pem"));
        openssl(&["x509", "-inform", "DER", "-in", path(&der)?, "-out", path(&pem)?])?;
        Ok(Self { dir, above })
    }

    /// A leaf with these extensions, as the authority knows nothing of it.
    pub(crate) fn issue(&self, wrong: &Wrong) -> Result<Papers> {
        let dir = &self.dir;
        let (request, leaf) = (dir.join("leaf.csr"), dir.join("leaf.pem"));
        let extensions = dir.join("extensions");
        fs::write(&extensions, &wrong.extensions)?;
        requested(dir, "leaf", &["-new", "-subj", "/O=Enforcer", "-out", path(&request)?])?;
        let (ca, ca_key) = (dir.join("ca.pem"), dir.join("ca_key.pem"));
        let signed = ["-req", "-in", path(&request)?, "-CA", path(&ca)?, "-CAkey", path(&ca_key)?];
        let made =
            ["-CAcreateserial", "-days", wrong.days, "-extfile", path(&extensions)?, "-out", path(&leaf)?];
        openssl(&[&["x509"], &signed[..], &made[..]].concat())?;
        let mut papers = Papers::read(&leaf, &dir.join("leaf_key.pem"))?;
        papers.chain.extend(self.above.iter().cloned());
        Ok(papers)
    }
}

const USAGE: &str = "keyUsage=critical,digitalSignature\nextendedKeyUsage=serverAuth,clientAuth\n\
                     basicConstraints=critical,CA:FALSE\n";

impl Wrong {
    /// Nothing at all: with it, everything else that a test does is seen to be right.
    pub(crate) fn nothing(id: &str) -> Self {
        Self::with("nothing", format!("{USAGE}subjectAltName=URI:{id}\n"))
    }

    fn with(name: &'static str, extensions: String) -> Self {
        Self { name, extensions, days: "1" }
    }

    /// Every rule of X509-SVID that a leaf can break, below an authority that is believed.
    pub(crate) fn each(id: &str, stranger: &str) -> Vec<Self> {
        let named = |names: &str| format!("{USAGE}subjectAltName={names}\n");
        let ca = "keyUsage=critical,digitalSignature,keyCertSign\nbasicConstraints=critical,CA:TRUE\n";
        let usage = |usage: &str| {
            format!(
                "keyUsage=critical,{usage}\nbasicConstraints=critical,CA:FALSE\nsubjectAltName=URI:{id}\n"
            )
        };
        let purpose = |purpose: &str| format!("{}extendedKeyUsage={purpose}\n", usage("digitalSignature"));
        vec![
            Self::with("two URIs", named(&format!("URI:{id},URI:{id}x"))),
            Self::with("no name", USAGE.to_owned()),
            Self::with("a DNS name alone", named("DNS:n1-t1-p1.t1.lab.internal")),
            Self::with("a URI that is no SPIFFE ID", named("URI:https://t1.lab.internal/ns/lab/sa/n1-t1-p1")),
            Self::with("a SPIFFE ID without a path", named(&format!("URI:spiffe://t1.{TRUST_DOMAIN}"))),
            Self::with("another trust domain's name", named(&format!("URI:{stranger}"))),
            Self::with("an authority", format!("{ca}subjectAltName=URI:{id}\n")),
            Self::with("a key that may not sign", usage("keyAgreement")),
            Self::with("a purpose that is not TLS", purpose("codeSigning")),
            Self { days: "-1", ..Self::with("an end before its beginning", named(&format!("URI:{id}"))) },
        ]
    }
}

/// Somebody who vouches for themselves.
pub(crate) fn self_signed(site: &Site, id: &str) -> Result<Papers> {
    let dir = site.scratch("self-signed")?;
    let certificate = dir.join("leaf.pem");
    let name = format!("subjectAltName=URI:{id}");
    let words =
        ["-x509", "-subj", "/O=Enforcer", "-days", "1", "-addext", &name, "-out", path(&certificate)?];
    requested(&dir, "leaf", &words)?;
    Papers::read(&certificate, &dir.join("leaf_key.pem"))
}

/// A leaf that another leaf signed.
pub(crate) fn below_a_leaf(site: &Site, workload: &str, id: &str) -> Result<Papers> {
    let real = site.fetch(workload)?;
    let dir = site.scratch("below-a-leaf")?;
    let above = CertificateDer::pem_file_iter(real.join("svid.pem"))?.collect::<Result<Vec<_>, _>>()?;
    fs::copy(real.join("svid.pem"), dir.join("ca.pem"))?;
    fs::copy(real.join("svid_key.pem"), dir.join("ca_key.pem"))?;
    Rogue { dir, above }.issue(&Wrong::nothing(id))
}

/// A request or a certificate with a new key, by way of `openssl req`.
fn requested(dir: &Path, name: &str, words: &[&str]) -> Result<()> {
    let file = dir.join(format!("{name}_key.pem"));
    let new = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-noenc", "-keyout", path(&file)?];
    openssl(&[&["req"], &new[..], words].concat())
}

fn path(path: &Path) -> Result<&str> {
    path.to_str().context("a path that is not text")
}

fn openssl(words: &[&str]) -> Result<()> {
    let output = Command::new("openssl").args(words).output().context("openssl")?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "openssl {}: {}", words.join(" "), said.trim());
    Ok(())
}
