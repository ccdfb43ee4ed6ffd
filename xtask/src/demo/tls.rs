//! Mutual TLS by OpenSSL's own programs, which know nothing of Enforcer: they are given files and an address.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, bail};
use enforcer_lab::wait;

use super::stage::{LIMIT, Stage};
use crate::shell;

const OPENSSL: &str = "openssl";
const PORT: u16 = 8443;
/// Leaf, node CA, tenant CA.
const DEPTH: &str = "3";
const CERTIFICATE_END: &str = "-----END CERTIFICATE-----\n";
/// What the server sends back for `hello`: the line from its end.
const ANSWER: &str = "olleh";

/// A certificate in files.
pub(crate) struct Files {
    directory: PathBuf,
    /// The certificates above the leaf: OpenSSL takes them from a file of their own.
    above: PathBuf,
}

impl Files {
    /// Those that `svid fetch --write` left in a directory.
    pub(crate) fn of(directory: &Path) -> Result<Self> {
        let chain = std::fs::read_to_string(directory.join("svid.pem"))?;
        let (_, above) = chain.split_once(CERTIFICATE_END).context("svid.pem holds no certificate")?;
        let file = directory.with_extension("above.pem");
        std::fs::write(&file, above)?;
        Ok(Self { directory: directory.to_owned(), above: file })
    }

    /// Shows this certificate.
    fn show(&self, command: &mut Command) {
        command.arg("-cert").arg(self.directory.join("svid.pem"));
        command.arg("-key").arg(self.directory.join("svid_key.pem"));
        command.arg("-cert_chain").arg(&self.above);
    }

    /// Believes members of this certificate's trust domain.
    fn believe(&self, command: &mut Command) {
        command.arg("-CAfile").arg(self.directory.join("bundle.pem")).arg("-no-CApath");
        command.arg("-verify_return_error");
    }
}

/// A server that turns lines around for those whose certificate it accepts.
pub(crate) struct Server {
    child: Child,
    address: String,
    bundle: PathBuf,
}

impl Server {
    /// Starts it as a workload, and waits until it listens.
    pub(crate) fn start(stage: &Stage, workload: &str, files: &Files) -> Result<Self> {
        let mut command = openssl(stage, workload, "s_server")?;
        command.args(["-accept", &PORT.to_string(), "-rev", "-Verify", DEPTH]);
        files.show(&mut command);
        files.believe(&mut command);
        let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn()?;
        let address = format!("{}:{PORT}", stage.v4(workload)?);
        let mut server = Self { child, address, bundle: files.directory.join("bundle.pem") };
        server.listens()?;
        Ok(server)
    }

    fn listens(&mut self) -> Result<()> {
        let out = self.child.stdout.take().context("no output")?;
        let mut lines = BufReader::new(out).lines().map_while(Result::ok);
        match lines.any(|line| line == "ACCEPT") {
            true => {
                // Nobody else reads what it says; a full pipe would stop it.
                std::thread::spawn(move || lines.for_each(drop));
                Ok(())
            }
            false => bail!("openssl s_server ended"),
        }
    }

    /// Speaks to it from a workload with a certificate: `allowed`, or `refused` and the alert.
    pub(crate) fn answers(&self, stage: &Stage, workload: &str, files: &Files) -> Result<String> {
        let mut command = openssl(stage, workload, "s_client")?;
        command.args(["-connect", &self.address, "-quiet", "-verify", DEPTH, "-verify_return_error"]);
        command.arg("-CAfile").arg(&self.bundle).arg("-no-CApath");
        files.show(&mut command);
        let mut child =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
        if let Some(stdin) = child.stdin.take() {
            // One that ends before it read is judged by what it says.
            let _refused_already = { stdin }.write_all(b"hello\nCLOSE\n");
        }
        let ended = wait::until_true("openssl s_client ends", LIMIT, || Ok(child.try_wait()?.is_some()));
        if ended.is_err() {
            child.kill()?;
        }
        let output = child.wait_with_output()?;
        ended.map(|()| {
            told(&String::from_utf8_lossy(&output.stdout), &String::from_utf8_lossy(&output.stderr))
        })
    }
}

/// Shakes hands with whoever is at an address, believing anybody, and says something. What comes of it is for
/// others to tell.
pub(crate) fn dial(stage: &Stage, workload: &str, address: &str, files: &Files, says: &[u8]) -> Result<()> {
    let mut command = openssl(stage, workload, "s_client")?;
    command.args(["-connect", address, "-quiet", "-noservername", "-alpn", "enforcer/1"]);
    files.show(&mut command);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
    if let Some(stdin) = &mut child.stdin {
        // One that was turned away before it read is no surprise.
        let _turned_away = stdin.write_all(says);
    }
    let ended = wait::until_true("openssl s_client ends", LIMIT, || Ok(child.try_wait()?.is_some()));
    if ended.is_err() {
        child.kill()?;
        child.wait()?;
    }
    ended
}

impl Drop for Server {
    fn drop(&mut self) {
        let _gone = self.child.kill();
        let _reaped = self.child.wait();
    }
}

fn openssl(stage: &Stage, workload: &str, verb: &str) -> Result<Command> {
    if !shell::has(OPENSSL) {
        bail!("{OPENSSL} is not here: apt-get install --yes openssl");
    }
    let mut command = stage.place(workload)?.command(OPENSSL)?;
    command.arg(verb);
    Ok(command)
}

fn told(out: &str, err: &str) -> String {
    if out.lines().any(|line| line == ANSWER) {
        return "allowed".to_owned();
    }
    // "...:SSL routines:...:tlsv1 alert unknown ca:ssl/record/...:SSL alert number 48"
    match err.split_once(" alert ").and_then(|(_, rest)| rest.split(':').next()) {
        Some(alert) => format!("refused: {alert}"),
        None => err.lines().last().unwrap_or("silence").to_owned(),
    }
}
