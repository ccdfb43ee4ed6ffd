//! SoftHSM with a token directory of its own. The library reads its configuration from the environment once, so
//! each test runs itself again in a process that has it from the start.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use crate::identity::custody::token::TokenConfig;

const CHILD: &str = "ENFORCER_TEST_SOFTHSM";
const MODULES: [&str; 3] = [
    "/usr/lib/softhsm/libsofthsm2.so",
    "/usr/lib64/pkcs11/libsofthsm2.so",
    "/usr/lib/x86_64-linux-gnu/softhsm/libsofthsm2.so",
];
/// Label of the token.
pub(in crate::identity) const TOKEN: &str = "enforcer-test";
const PIN: &str = "2468";

/// A fresh token with a user's PIN.
pub(in crate::identity) struct SoftHsm {
    pub(in crate::identity) directory: PathBuf,
}

impl SoftHsm {
    /// How the agent opens the token.
    pub(in crate::identity) fn config(&self) -> TokenConfig {
        let pin_file = self.directory.join("pin");
        fs::write(&pin_file, format!("{PIN}\n")).unwrap();
        fs::set_permissions(&pin_file, fs::Permissions::from_mode(0o600)).unwrap();
        TokenConfig { module: module(), token: TOKEN.to_owned(), pin_file }
    }

    /// Imports a key, PKCS#8 PEM.
    pub(in crate::identity) fn import(&self, pem: &Path, label: &str, id: &str) {
        let pem = pem.to_str().unwrap();
        util(&["--import", pem, "--token", TOKEN, "--label", label, "--id", id, "--pin", PIN]);
    }

    /// Imports 32 bytes as an AES key.
    pub(in crate::identity) fn import_aes(&self, key: [u8; 32], label: &str, id: &str) {
        let file = self.directory.join(label);
        fs::write(&file, key).unwrap();
        let file = file.to_str().unwrap();
        util(&["--import", file, "--aes", "--token", TOKEN, "--label", label, "--id", id, "--pin", PIN]);
    }
}

/// Runs `body` in a process of its own that has a fresh token. `test` is the path of the calling test.
pub(in crate::identity) fn with_softhsm(test: &str, body: impl FnOnce(&SoftHsm)) {
    if let Some(directory) = std::env::var_os(CHILD) {
        return body(&SoftHsm { directory: directory.into() });
    }
    let directory = TempDir::new().unwrap();
    let tokens = directory.path().join("tokens");
    fs::create_dir(&tokens).unwrap();
    let configuration = directory.path().join("softhsm2.conf");
    fs::write(&configuration, format!("directories.tokendir = {}\nlog.level = ERROR\n", tokens.display()))
        .unwrap();
    module();
    let mut init = Command::new("softhsm2-util");
    init.args(["--init-token", "--free", "--label", TOKEN, "--so-pin", "1357", "--pin", PIN]);
    run(init.env("SOFTHSM2_CONF", &configuration));
    let mut child = Command::new(std::env::current_exe().unwrap());
    child.args(["--exact", test, "--nocapture"]).env("SOFTHSM2_CONF", &configuration);
    let output = run(child.env(CHILD, directory.path()));
    assert!(output.contains("1 passed"), "no test is called {test}: {output}");
}

fn module() -> PathBuf {
    let found = MODULES.iter().map(PathBuf::from).find(|path| path.exists());
    found.expect("SoftHSM is not installed: apt-get install -y softhsm2")
}

fn util(args: &[&str]) {
    run(Command::new("softhsm2-util").args(args));
}

fn run(command: &mut Command) -> String {
    let output = command.output().expect("SoftHSM is not installed: apt-get install -y softhsm2");
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&text).into_owned();
    assert!(output.status.success(), "{command:?}: {text}");
    text
}
