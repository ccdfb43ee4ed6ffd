//! Where the root comes from, read again when that changes. A root that was good stays until there is a better
//! one.

use std::fs;
use std::io::{self, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tracing::{error, info, warn};
use zeroize::{Zeroize as _, Zeroizing};

use super::error::{AuthorityError, RootError};
use super::member::{CaKey, CaKind, CaMember};
use super::profile::Rank;
use super::root::{NoRoot, Root};
use super::root_key::{RootKey, TokenKind};
use super::rotation::{self, Entry, Made};
use super::settings::{AuthorityConfig, RootSource};
use super::store::{self, Place};
use crate::identity::custody::place::{Stamp, stamp};
use crate::identity::custody::token::{Token, TokenConfig};
use crate::identity::custody::{CustodyError, Vault};

/// The drawer of what belongs to the authority as a whole.
pub(super) const OWN_DRAWER: &str = "fleet";
const PLACE: Place<'static> = Place { drawer: OWN_DRAWER, item: "root" };
/// How long files are believed without being read, though nothing seems to have changed.
const READ_AGAIN: Duration = Duration::from_secs(60);
/// Largest PEM file.
const PEM_MAX_BYTES: u64 = 64 << 10;

/// The root, as far as it can be had.
#[derive(Debug, Default)]
pub(super) struct RootHolder {
    current: Option<Arc<Root>>,
    problem: Option<String>,
    stamp: Vec<Stamp>,
    read_at: Duration,
    /// Of a self-signed root.
    keys: Option<Vec<Entry<CaMember>>>,
    /// Of a root in a token.
    token: Option<Arc<Token>>,
}

impl RootHolder {
    /// The root that signs, or why there is none.
    pub(super) fn current(&self) -> Result<Arc<Root>, String> {
        let problem = || self.problem.clone().unwrap_or_else(|| "it was not read yet".to_owned());
        self.current.clone().ok_or_else(problem)
    }

    /// What a person should know: why the newest state of the source is not in use.
    pub(super) fn problem(&self) -> Option<&str> {
        self.problem.as_deref()
    }

    /// Certificates of the root that signs and, for one that is self-signed, of the next and of the past.
    pub(super) fn certificates(&self, now: Duration) -> Vec<CertificateDer<'static>> {
        match &self.keys {
            Some(keys) => {
                let published = rotation::published(keys, now.as_secs());
                published.into_iter().map(|entry| entry.key.ca.anchor.clone()).collect()
            }
            None => self.current.iter().map(|root| root.certificate.clone()).collect(),
        }
    }

    /// Brings the root up to date, if there is reason to look.
    pub(super) fn refresh(&mut self, vault: &Vault, config: &AuthorityConfig, now: Duration) {
        let done = match &config.root {
            RootSource::SelfSigned => self.self_signed(vault, config, now),
            RootSource::Disk { certificate, key } => self.when_changed(&[certificate, key], now, |_| {
                let key_der = read_key(key)?;
                read_root(certificate, |_| Ok(key_der))
            }),
            RootSource::Pkcs11 { token, key_label, certificate } => {
                self.when_changed(&[certificate], now, |holder| {
                    let token = holder.token(token);
                    read_root(certificate, |der| in_token(token, key_label, der, certificate))
                })
            }
        };
        match done {
            Ok(()) => self.problem = None,
            Err(problem) => self.complain(&problem),
        }
    }

    /// Prepares a new key of a self-signed root.
    pub(super) fn rotate(
        &mut self,
        vault: &Vault,
        config: &AuthorityConfig,
        now: Duration,
    ) -> Result<(), RootError> {
        self.self_signed(vault, config, now)?;
        let mut keys = self.keys.clone().unwrap_or_default();
        if !rotation::has_prepared(&keys) && keys.len() < rotation::KEYS_ASKED_MAX {
            rotation::prepare(&mut keys, &config.root_schedule(), now.as_secs(), || made(config, now))?;
            self.keep(vault, keys)?;
        }
        Ok(())
    }

    fn self_signed(
        &mut self,
        vault: &Vault,
        config: &AuthorityConfig,
        now: Duration,
    ) -> Result<(), RootError> {
        let mut keys = match &self.keys {
            Some(keys) => keys.clone(),
            None => store::load_root(vault, PLACE).map_err(Box::new)?,
        };
        let changed =
            rotation::step(&mut keys, &config.root_schedule(), now.as_secs(), || made(config, now))?;
        if changed {
            self.keep(vault, keys)?;
        } else {
            self.keys = Some(keys);
        }
        let keys = self.keys.as_deref().unwrap_or_default();
        let Some(active) = rotation::active(keys, now.as_secs()) else { return Ok(()) };
        if self.current.as_ref().is_none_or(|root| root.certificate != active.key.ca.anchor) {
            let ca = &active.key.ca;
            let root = Root::new(ca.anchor.clone(), RootKey::Ours(Arc::clone(ca)));
            self.current = Some(Arc::new(root.map_err(|no| no.of(Path::new("the vault")))?));
        }
        Ok(())
    }

    /// A key is used only once it is kept.
    fn keep(&mut self, vault: &Vault, keys: Vec<Entry<CaMember>>) -> Result<(), RootError> {
        store::save_root(vault, PLACE, &keys).map_err(Box::new)?;
        self.keys = Some(keys);
        Ok(())
    }

    fn when_changed(
        &mut self,
        files: &[&PathBuf],
        now: Duration,
        read: impl FnOnce(&mut Self) -> Result<Root, RootError>,
    ) -> Result<(), RootError> {
        let stamp: Vec<Stamp> = files.iter().map(|path| stamp(path)).collect();
        let recent = now >= self.read_at && now - self.read_at < READ_AGAIN;
        if recent && stamp == self.stamp && self.problem.is_none() {
            return Ok(());
        }
        (self.stamp, self.read_at) = (stamp, now);
        let root = read(self)?;
        if self.current.as_ref().is_none_or(|current| current.digest != root.digest) {
            info!(certificate = %root.digest, "a root was read");
            self.current = Some(Arc::new(root));
        }
        Ok(())
    }

    /// One token for all attempts: it remembers that a PIN was refused.
    fn token(&mut self, config: &TokenConfig) -> Arc<Token> {
        Arc::clone(self.token.get_or_insert_with(|| Arc::new(Token::new(config.clone()))))
    }

    /// Says it once, not at each look.
    fn complain(&mut self, problem: &RootError) {
        let text = problem.to_string();
        if self.problem.as_ref() != Some(&text) {
            if self.current.is_some() {
                warn!(problem = %text, "the root cannot be read again; the one at hand stays");
            } else {
                error!(problem = %text, "there is no root");
            }
        }
        self.problem = Some(text);
    }
}

impl NoRoot {
    fn of(self, path: &Path) -> RootError {
        match self {
            Self::Certificate(what) => RootError::Certificate { path: path.to_owned(), what },
            Self::Mismatch => RootError::Mismatch(path.to_owned()),
            Self::Key(error) => error,
        }
    }
}

fn made(config: &AuthorityConfig, now: Duration) -> Result<Made<CaMember>, RootError> {
    let kind = CaKind { domain: &config.fleet, title: "root", rank: Rank::Root };
    let ca = CaKey::generate(kind, now, config.lifetimes.root)?;
    let (not_before, not_after) = (ca.validity.not_before.as_secs(), ca.validity.not_after.as_secs());
    Ok(Made { key: CaMember { ca: Arc::new(ca), under_root: None }, not_before, not_after })
}

fn read_root(
    path: &Path,
    key: impl FnOnce(&CertificateDer<'_>) -> Result<RootKey, RootError>,
) -> Result<Root, RootError> {
    let certificate = |what: &str| RootError::Certificate { path: path.to_owned(), what: what.to_owned() };
    let text = read(path)?;
    let all: Vec<_> = CertificateDer::pem_slice_iter(&text)
        .collect::<Result<_, _>>()
        .map_err(|error| certificate(&format!("it is no PEM: {error}")))?;
    let Ok([only]) = <[CertificateDer<'static>; 1]>::try_from(all) else {
        return Err(certificate("the file holds not exactly one certificate"));
    };
    let key = key(&only)?;
    Root::new(only, key).map_err(|no| no.of(path))
}

fn read_key(path: &Path) -> Result<RootKey, RootError> {
    let error = |why: &str| RootError::File { path: path.to_owned(), why: why.to_owned() };
    let metadata = fs::metadata(path).map_err(|io| error(&io.to_string()))?;
    let mode = metadata.mode() & 0o7777;
    if mode & 0o077 != 0 {
        return Err(CustodyError::Permissions { path: path.to_owned(), mode, wanted: 0o600 }.into());
    }
    let text = read(path)?;
    let mut der =
        PrivateKeyDer::from_pem_slice(&text).map_err(|_| error("it holds no private key in PEM"))?;
    let key = RootKey::from_der(&der);
    der.zeroize();
    key.ok_or_else(|| error("its key is neither on P-256 or P-384, nor RSA, nor Ed25519"))
}

fn read(path: &Path) -> Result<Zeroizing<Vec<u8>>, RootError> {
    let error = |io: io::Error| RootError::File { path: path.to_owned(), why: io.to_string() };
    let file = fs::File::open(path).map_err(error)?;
    let mut text = Zeroizing::new(Vec::with_capacity(usize::try_from(PEM_MAX_BYTES).unwrap_or(0)));
    file.take(PEM_MAX_BYTES).read_to_end(&mut text).map_err(error)?;
    Ok(text)
}

fn in_token(
    token: Arc<Token>,
    label: &str,
    der: &CertificateDer<'_>,
    path: &Path,
) -> Result<RootKey, RootError> {
    let kind = token_kind(der).ok_or_else(|| RootError::Certificate {
        path: path.to_owned(),
        what: "its key is neither on P-256 or P-384, nor RSA".to_owned(),
    })?;
    Ok(RootKey::Token(token, label.to_owned(), kind))
}

fn token_kind(der: &CertificateDer<'_>) -> Option<TokenKind> {
    use x509_parser::oid_registry::{
        OID_EC_P256, OID_KEY_TYPE_EC_PUBLIC_KEY, OID_NIST_EC_P384, OID_PKCS1_RSAENCRYPTION,
    };
    use x509_parser::prelude::{FromDer as _, X509Certificate};
    let (_, x509) = X509Certificate::from_der(der).ok()?;
    let algorithm = &x509.public_key().algorithm;
    if algorithm.algorithm == OID_PKCS1_RSAENCRYPTION {
        return Some(TokenKind::Rsa);
    }
    let curve = algorithm.parameters.as_ref()?.as_oid().ok()?;
    let known = [(OID_EC_P256, TokenKind::P256), (OID_NIST_EC_P384, TokenKind::P384)];
    let is_ec = algorithm.algorithm == OID_KEY_TYPE_EC_PUBLIC_KEY;
    known.into_iter().find(|(oid, _)| is_ec && *oid == curve).map(|(_, kind)| kind)
}

impl From<AuthorityError> for RootError {
    fn from(error: AuthorityError) -> Self {
        Self::State(Box::new(error))
    }
}
