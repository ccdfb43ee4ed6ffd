//! SVIDs that one core issues, beside what the same core can generate and sign.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result, anyhow, ensure};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair};
use enforcer_agent::identity::authority::{self, NodeCa};
use enforcer_core::identity::spiffe_id::SpiffeId;
use nix::sched::{CpuSet, sched_setaffinity};
use nix::unistd::Pid;
use tempfile::TempDir;

use crate::figure::{Figure, Goal};
use crate::sample::Sample;
use crate::suite::Effort;

const GOAL: Goal = Goal::RatioAtLeast(0.5);
const DOMAIN: &str = "t1.bench.internal";
const LIFETIME: Duration = Duration::from_secs(3600);
/// The core that everything here runs on.
const CORE: usize = 0;

pub(super) fn measure(effort: Effort) -> Result<Vec<Figure>> {
    // Children inherit it, and so does `openssl`.
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            let mut core = CpuSet::new();
            core.set(CORE)?;
            sched_setaffinity(Pid::from_raw(0), &core).context("one core")?;
            on_this_core(effort)
        });
        thread.join().map_err(|_| anyhow!("the measurement panicked"))?
    })
}

fn on_this_core(effort: Effort) -> Result<Vec<Figure>> {
    let (rounds, span) = match effort {
        Effort::Full => (7, Duration::from_secs(2)),
        Effort::Quick => (3, Duration::from_millis(200)),
    };
    let dir = TempDir::new()?;
    let ca = node_ca(dir.path())?;
    let id: SpiffeId = format!("spiffe://{DOMAIN}/ns/bench/sa/one").parse()?;
    let random = SystemRandom::new();
    let key = generate()?;
    let (mut issued, mut library, mut openssl) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..rounds {
        issued.push(rate(span, || ca.issue_svid(&id, now(), LIFETIME).map(drop).map_err(Into::into))?);
        let keys = rate(span, || generate().map(drop))?;
        let sign = || key.sign(&random, b"a certificate").map(drop).map_err(|_| anyhow!("cannot sign"));
        let signatures = rate(span, sign)?;
        library.push(both(keys, signatures));
        let (signatures, agreements) = speed(span)?;
        openssl.push(both(agreements, signatures));
    }
    let ratio = |limits: &[f64]| Sample::zip(&issued, limits, |issued, limit| issued / limit).median();
    let sample = Sample::from(issued.clone());
    Ok(vec![
        Figure::of("issue/svids", "1/s", &sample)
            .over(ratio(&library), "key + signature, aws-lc")
            .goal(GOAL)
            .note("one thread; a fresh P-256 key, a certificate, its signature. The limit: the same library on the \
                 same core generates a key and signs once"),
        Figure::of("issue/svids", "1/s", &sample)
            .over(ratio(&openssl), "key + signature, openssl speed")
            .goal(GOAL)
            .note("`openssl speed` has no key generation: ecdhp256, one multiplication of any point, stands in for \
                 it and is slower"),
        Figure::of("issue/limit/aws-lc", "1/s", &Sample::from(library)),
        Figure::of("issue/limit/openssl", "1/s", &Sample::from(openssl)),
    ])
}

/// How often one after the other goes into a second.
fn both(one: f64, other: f64) -> f64 {
    1.0 / (1.0 / one + 1.0 / other)
}

fn rate(span: Duration, mut work: impl FnMut() -> Result<()>) -> Result<f64> {
    let (start, mut count) = (Instant::now(), 0_u32);
    while start.elapsed() < span {
        work()?;
        count += 1;
    }
    Ok(f64::from(count) / start.elapsed().as_secs_f64())
}

fn generate() -> Result<EcdsaKeyPair> {
    EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).map_err(|_| anyhow!("cannot generate a key"))
}

fn now() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

/// What `openssl speed` says: signatures and agreements a second.
fn speed(span: Duration) -> Result<(f64, f64)> {
    let seconds = span.as_secs().max(1).to_string();
    let mut command = Command::new("openssl");
    let output = command.args(["speed", "-mr", "-seconds", &seconds, "ecdsap256", "ecdhp256"]).output()?;
    let text = String::from_utf8_lossy(&output.stdout);
    // `+F4:<index>:<bits>:<signatures a second>:...`, and `+F5:` likewise for agreements.
    let number = |kind: &str| -> Result<f64> {
        let line = text.lines().find_map(|line| line.strip_prefix(kind)).with_context(|| text.to_string())?;
        Ok(line.split(':').nth(2).with_context(|| line.to_owned())?.parse()?)
    };
    Ok((number("+F4:")?, number("+F5:")?))
}

/// A node CA below a root of `openssl`'s making, with a chain as long as those that are served.
fn node_ca(dir: &Path) -> Result<NodeCa> {
    let (key, request) = authority::request()?;
    let path = |name: &str| dir.join(name).display().to_string();
    fs::write(path("request.der"), request)?;
    let extensions = format!(
        "basicConstraints=critical,CA:TRUE,pathlen:0\nkeyUsage=critical,keyCertSign,cRLSign\n\
         subjectAltName=URI:spiffe://{DOMAIN}\nsubjectKeyIdentifier=hash\nauthorityKeyIdentifier=keyid\n"
    );
    fs::write(path("extensions"), extensions)?;
    openssl(&[
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:P-256",
        "-noenc",
        "-days",
        "2",
        "-subj",
        "/CN=bench",
        "-addext",
        "keyUsage=critical,keyCertSign",
        "-keyout",
        &path("root_key.pem"),
        "-out",
        &path("root.pem"),
    ])?;
    openssl(&["x509", "-in", &path("root.pem"), "-outform", "DER", "-out", &path("root.der")])?;
    openssl(&["req", "-inform", "DER", "-in", &path("request.der"), "-out", &path("request.pem")])?;
    openssl(&[
        "x509",
        "-req",
        "-in",
        &path("request.pem"),
        "-CA",
        &path("root.pem"),
        "-CAkey",
        &path("root_key.pem"),
        "-subj",
        "/CN=node CA",
        "-set_serial",
        "1",
        "-days",
        "1",
        "-extfile",
        &path("extensions"),
        "-outform",
        "DER",
        "-out",
        &path("ca.der"),
    ])?;
    let chain = ["ca.der", "root.der"].map(|name| fs::read(path(name)));
    let chain = chain.into_iter().collect::<Result<Vec<_>, _>>()?;
    NodeCa::new(chain.into_iter().map(Into::into).collect(), &key).context("the node CA")
}

fn openssl(words: &[&str]) -> Result<()> {
    let output = Command::new("openssl").args(words).output().context("openssl")?;
    ensure!(
        output.status.success(),
        "openssl {}: {}",
        words.join(" "),
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(())
}
