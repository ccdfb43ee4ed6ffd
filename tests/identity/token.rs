//! Keys in a PKCS#11 token: the root's, and the one that seals everything at rest.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use enforcer_lab::config::{Config, key_file};
use enforcer_tests::runner::Case;
use serde_json::{Value, json};

use crate::openssl::{Papers, Root, private, run, text, verifies};
use crate::outside;
use crate::site::Site;

pub(crate) const CASES: &[Case<Site>] = &[
    Case { name: "token::a_root_in_a_token_signs_and_its_key_is_nowhere_else", reasons: &[], run: root },
    Case { name: "token::a_key_encryption_key_in_a_token_seals_and_opens", reasons: &[], run: sealing },
];

/// Where distributions put it.
const MODULES: [&str; 3] = [
    "/usr/lib/softhsm/libsofthsm2.so",
    "/usr/lib64/pkcs11/libsofthsm2.so",
    "/usr/lib/x86_64-linux-gnu/softhsm/libsofthsm2.so",
];
const LABEL: &str = "enforcer-test";
const PIN: &str = "2468";
/// Where SoftHSM finds its configuration.
const VARIABLE: &str = "SOFTHSM2_CONF";

/// A token in a directory.
struct Token {
    configuration: PathBuf,
    pin_file: PathBuf,
}

impl Token {
    fn make(dir: &Path) -> Result<Self> {
        let tokens = dir.join("tokens");
        fs::create_dir(&tokens)?;
        let token = Self { configuration: dir.join("softhsm2.conf"), pin_file: dir.join("pin") };
        fs::write(
            &token.configuration,
            format!("directories.tokendir = {}\nlog.level = ERROR\n", tokens.display()),
        )?;
        fs::write(&token.pin_file, PIN)?;
        private(&token.pin_file)?;
        token.util(&["--init-token", "--free", "--label", LABEL, "--so-pin", "1357"])?;
        Ok(token)
    }

    fn util(&self, words: &[&str]) -> Result<()> {
        let mut command = Command::new("softhsm2-util");
        command.args(words).args(["--pin", PIN]).env(VARIABLE, &self.configuration);
        outside::run(&mut command, "").map(drop)
    }

    fn import(&self, file: &Path, label: &str, kind: &[&str]) -> Result<()> {
        let words = ["--import", &text(file)?, "--token", LABEL, "--label", label, "--id", "01"];
        self.util(&[&words, kind].concat())
    }

    /// As the agent's configuration has it.
    fn words(&self, label: &str) -> Result<Value> {
        let module = MODULES.iter().map(Path::new).find(|path| path.exists()).context("no libsofthsm2.so")?;
        Ok(json!({ "module": module, "token": LABEL, "pinFile": self.pin_file, "label": label }))
    }

    fn config(&self, words: &Value) -> Config {
        Config::default().with_identity(words).with_environment(VARIABLE, &self.configuration)
    }
}

fn root(site: &mut Site) -> Result<()> {
    let dir = site.scratch("token")?;
    let token = Token::make(&dir)?;
    let root = Root::make(&dir, "Example Root in a Token")?;
    let pkcs8 = dir.join("pkcs8.pem");
    run(&["pkcs8", "-topk8", "-nocrypt", "-in", &text(&root.key)?, "-out", &text(&pkcs8)?])?;
    token.import(&pkcs8, "root", &[])?;
    for file in [&pkcs8, &root.key] {
        fs::remove_file(file)?;
    }
    let upstream = json!({ "pkcs11": { "certificate": root.certificate, "key": token.words("root")? } });
    site.anew("n1", &token.config(&json!({ "upstream": upstream })))?;
    ensure!(site.list("n1")?["health"]["upstream"] == "pkcs11", "{}", site.list("n1")?["health"]);
    for name in ["n1-t1-p1", "n1-t2-p1"] {
        let papers = Papers::of(site, name)?;
        for authorities in [&root.certificate, &papers.dir.join("bundle.pem")] {
            let (good, said) = verifies(&papers, authorities)?;
            ensure!(good, "{name}, to {}: {said}", authorities.display());
        }
    }
    Ok(())
}

fn sealing(site: &mut Site) -> Result<()> {
    let dir = site.scratch("token")?;
    let token = Token::make(&dir)?;
    let key = dir.join("kek");
    fs::write(&key, outside::run(&mut crate::openssl::openssl(&["rand", "-hex", "16"]), "")?.trim())?;
    token.import(&key, "kek", &["--aes"])?;
    fs::remove_file(&key)?;
    let config = token.config(&json!({ "key": { "pkcs11": token.words("kek")? } }));
    site.anew("n1", &config)?;
    let health = site.list("n1")?["health"].clone();
    ensure!(health["keyEncryptionKey"] == "pkcs11", "{health}");
    ensure!(!key_file(site.node("n1")?).exists(), "there is a key file all the same");
    let serials = site.serials("n1")?;
    site.kill("n1")?;
    site.resume("n1", &config)?;
    site.settle("n1")?;
    ensure!(site.serials("n1")? == serials, "what the token sealed was not opened");
    Ok(())
}
