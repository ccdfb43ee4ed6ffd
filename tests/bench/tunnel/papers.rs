//! An authority and two certificates for proxies that know nothing of identities: P-256, as ours are.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use tempfile::TempDir;

/// Files in PEM, removed with this value.
pub(super) struct Papers {
    dir: TempDir,
}

impl Papers {
    pub(super) fn make() -> Result<Self> {
        let papers = Self { dir: TempDir::new()? };
        let (ca, ca_key) = (papers.file("ca.pem"), papers.file("ca_key.pem"));
        let usage = "keyUsage=critical,keyCertSign,cRLSign";
        let own = ["-subj", "/CN=bench", "-addext", usage, "-days", "2"];
        openssl(&[&["req", "-x509"], &P256[..], &own[..], &["-keyout", &ca_key, "-out", &ca]].concat())?;
        for name in ["client", "server"] {
            papers.issue(name, &ca, &ca_key)?;
        }
        Ok(papers)
    }

    fn issue(&self, name: &str, ca: &str, ca_key: &str) -> Result<()> {
        let (key, request) = (self.file(&format!("{name}_key.pem")), self.file("request.pem"));
        let (certificate, extensions) = (self.file(&format!("{name}.pem")), self.file("extensions"));
        fs::write(&extensions, format!("subjectAltName=URI:spiffe://bench/{name}\n"))?;
        let subject = format!("/CN={name}");
        openssl(&[&["req"], &P256[..], &["-subj", &subject, "-keyout", &key, "-out", &request]].concat())?;
        let signed = ["-req", "-in", &request, "-CA", ca, "-CAkey", ca_key, "-CAcreateserial", "-days", "1"];
        openssl(&[&["x509"], &signed[..], &["-extfile", &extensions, "-out", &certificate]].concat())?;
        // HAProxy wants both in one file.
        let both = [fs::read(&certificate)?, fs::read(&key)?].concat();
        Ok(fs::write(self.path(&format!("{name}_both.pem")), both)?)
    }

    pub(super) fn dir(&self) -> &Path {
        self.dir.path()
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// The same, as an argument.
    pub(super) fn file(&self, name: &str) -> String {
        self.path(name).display().to_string()
    }
}

const P256: [&str; 5] = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-noenc"];

fn openssl(words: &[&str]) -> Result<()> {
    let output = Command::new("openssl").args(words).output().context("openssl")?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "openssl {}: {said}", words.join(" "));
    Ok(())
}
