//! `openssl`: chains that it builds, and handshakes between two workloads.

use std::fs::{self, File};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};
use enforcer_lab::wait;

use crate::certificate;
use crate::heard::Heard;
use crate::outside;
use crate::site::{LIMIT, Site};

const GREETING: &str = "hello";
/// What `s_server -rev` makes of it.
const ANSWER: &str = "olleh";

/// `openssl` with these words.
pub(crate) fn openssl(words: &[&str]) -> Command {
    let mut command = Command::new("openssl");
    command.args(words);
    command
}

/// Runs `openssl`; it must succeed.
pub(crate) fn run(words: &[&str]) -> Result<String> {
    outside::run(&mut openssl(words), "")
}

/// What a workload needs for a handshake, in files.
#[derive(Clone, Debug)]
pub(crate) struct Papers {
    /// As `enforcerctl svid` keeps it.
    pub(crate) dir: PathBuf,
    /// What follows the leaf, which `openssl` wants in a file of its own.
    chain: PathBuf,
}

impl Papers {
    /// Fetched inside the workload.
    pub(crate) fn of(site: &Site, workload: &str) -> Result<Self> {
        let place = site.scratch(workload)?;
        let dir = place.join("tls");
        site.fetch_files(workload, &dir)?;
        let ders = certificate::of_pem(&fs::read_to_string(dir.join("svid.pem"))?)?;
        let chain = place.join("chain.pem");
        fs::write(&chain, pem(ders.get(1..).unwrap_or_default()))?;
        Ok(Self { dir, chain })
    }

    /// One of the files.
    pub(crate) fn file(&self, name: &str) -> Result<String> {
        text(&self.dir.join(name))
    }

    /// The chain, leaf first, in DER.
    pub(crate) fn ders(&self) -> Result<Vec<Vec<u8>>> {
        certificate::of_pem(&fs::read_to_string(self.dir.join("svid.pem"))?)
    }

    /// Certificate, key and what follows, as both sides of a handshake are told.
    fn own(&self) -> Result<[String; 6]> {
        let words = ["-cert", "-key", "-cert_chain"].map(str::to_owned);
        let [cert, key, chain] = words;
        Ok([cert, self.file("svid.pem")?, key, self.file("svid_key.pem")?, chain, text(&self.chain)?])
    }
}

/// Whether `openssl verify` builds a chain from a workload's leaf to one of the authorities in a file.
pub(crate) fn verifies(papers: &Papers, authorities: &Path) -> Result<(bool, String)> {
    let (svid, authorities) = (papers.file("svid.pem")?, text(authorities)?);
    let words = ["verify", "-x509_strict", "-CAfile", &authorities, "-untrusted", &svid, &svid];
    outside::outcome(&mut openssl(&words), "")
}

/// A server inside a workload that asks for a certificate, and says backwards what it is told.
pub(crate) struct Server {
    _process: Heard,
    at: SocketAddr,
}

impl Server {
    pub(crate) fn start(site: &Site, workload: &str, papers: &Papers, port: u16) -> Result<Self> {
        let address = site.workload(workload)?.v4.context("a workload without an address")?;
        let mut command = site.place(workload)?.command("openssl")?;
        command.args(["s_server", "-4", "-accept", &port.to_string(), "-rev", "-quiet"]);
        command.args(["-Verify", "5", "-verify_return_error", "-CAfile", &papers.file("bundle.pem")?]);
        command.args(papers.own()?);
        let log = File::create(site.scratch("s_server")?.join("stderr"))?;
        command.stderr(log);
        let process = Heard::start(command, &format!("openssl s_server in {workload}"))?;
        Ok(Self { _process: process, at: SocketAddr::new(address.into(), port) })
    }

    /// A handshake must succeed in both directions, and data flow.
    pub(crate) fn answers(&self, site: &Site, workload: &str, papers: &Papers, trusted: &Path) -> Result<()> {
        // It takes a moment until it listens.
        let mut last = String::new();
        let waited = wait::until_true("openssl s_server answers", LIMIT, || {
            match self.greet(site, workload, papers, trusted)? {
                Ok(()) => Ok(true),
                Err(said) => {
                    last = said;
                    Ok(false)
                }
            }
        });
        waited.with_context(|| format!("{workload}: {last}"))
    }

    /// A handshake must fail, on a server that answers others.
    pub(crate) fn refuses(
        &self,
        site: &Site,
        workload: &str,
        papers: &Papers,
        trusted: &Path,
    ) -> Result<String> {
        match self.greet(site, workload, papers, trusted)? {
            Ok(()) => bail!("{workload} was answered with the papers in {}", papers.dir.display()),
            Err(said) => Ok(said),
        }
    }

    /// One connection: whether there was an answer, or what the client said instead.
    fn greet(
        &self,
        site: &Site,
        workload: &str,
        papers: &Papers,
        trusted: &Path,
    ) -> Result<Result<(), String>> {
        let errors = site.scratch("s_client")?.join("stderr");
        let mut command = site.place(workload)?.command("openssl")?;
        command.args(["s_client", "-quiet", "-connect", &self.at.to_string()]);
        command.args(["-verify", "5", "-verify_return_error", "-CAfile", &text(trusted)?]);
        command.args(papers.own()?).stderr(File::create(&errors)?);
        let mut client = Heard::start(command, &format!("openssl s_client in {workload}"))?;
        // It may have ended already, which is an answer too.
        let _refused = client.tell(GREETING);
        let answered = wait::until("openssl s_client hears an answer, or ends", LIMIT, || {
            let is_answered = client.lines().iter().any(|line| line.contains(ANSWER));
            Ok((is_answered || client.has_ended()).then_some(is_answered))
        })?;
        Ok(if answered { Ok(()) } else { Err(fs::read_to_string(&errors)?) })
    }
}

/// An authority as an organisation has it: key and certificate, P-256.
pub(crate) struct Root {
    pub(crate) certificate: PathBuf,
    pub(crate) key: PathBuf,
}

impl Root {
    pub(crate) fn make(dir: &Path, name: &str) -> Result<Self> {
        let (certificate, key) = (dir.join("root.pem"), dir.join("root_key.pem"));
        let subject = format!("/O=Example/CN={name}");
        let usage = "keyUsage=critical,keyCertSign,cRLSign";
        run(&[
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-noenc",
            "-days",
            "30",
            "-subj",
            &subject,
            "-addext",
            "basicConstraints=critical,CA:TRUE",
            "-addext",
            usage,
            "-keyout",
            &text(&key)?,
            "-out",
            &text(&certificate)?,
        ])?;
        private(&key)?;
        Ok(Self { certificate, key })
    }
}

/// A certificate for a web server at an address, signed by itself.
pub(crate) fn web(dir: &Path, address: &str) -> Result<(PathBuf, PathBuf)> {
    let (certificate, key) = (dir.join("web.pem"), dir.join("web_key.pem"));
    let name = format!("subjectAltName=IP:{address}");
    run(&[
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:P-256",
        "-noenc",
        "-days",
        "30",
        "-subj",
        "/CN=web",
        "-addext",
        &name,
        "-keyout",
        &text(&key)?,
        "-out",
        &text(&certificate)?,
    ])?;
    private(&key)?;
    Ok((certificate, key))
}

/// PEM of certificates.
pub(crate) fn pem(ders: &[Vec<u8>]) -> String {
    let blocks: Vec<pem::Pem> = ders.iter().map(|der| pem::Pem::new("CERTIFICATE", der.clone())).collect();
    pem::encode_many(&blocks)
}

/// A path as an argument.
pub(crate) fn text(path: &Path) -> Result<String> {
    path.to_str().map(str::to_owned).context("a path that is not text")
}

/// Keys are for nobody but their owner.
pub(crate) fn private(path: &Path) -> Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    fs::set_permissions(path, fs::Permissions::from_mode(0o600))
        .with_context(|| format!("{}", path.display()))
}
