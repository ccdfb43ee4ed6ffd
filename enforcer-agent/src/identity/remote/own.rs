//! The node's certificate for its authority, renewed where it lies: two files, PEM, that are replaced together.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use enforcer_core::identity::bundle::Trust;
use enforcer_core::identity::schedule::Term;
use enforcer_core::identity::trust_domain::TrustDomain;
use enforcer_core::identity::x509::leaf::parse_leaf;
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::sign::CertifiedKey;
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

use crate::identity::authority::Clock;
use crate::identity::custody::CustodyError;
use crate::identity::custody::place;
use crate::identity::pem;
use crate::identity::secret::PrivateKey;

/// Authorities of one file.
const AUTHORITIES_MAX: usize = 64;

/// Why the files stay as they are.
#[derive(Debug, thiserror::Error)]
pub(super) enum OwnError {
    #[error("{path} cannot be read: {why}")]
    Read { path: PathBuf, why: String },
    #[error("what the authority sent does not go with our key: {0}")]
    Pair(rustls::Error),
    #[error(transparent)]
    Write(#[from] CustodyError),
}

/// Certificate and key in their files.
#[derive(Clone, Debug)]
pub(super) struct OwnFiles {
    pub(super) certificate: PathBuf,
    pub(super) key: PathBuf,
    pub(super) ca: PathBuf,
}

impl OwnFiles {
    /// Finishes or undoes a replacement that a crash has cut short: the certificate is renamed last.
    pub(super) fn recover(&self) -> Result<(), CustodyError> {
        let (certificate, key) = (beside(&self.certificate), beside(&self.key));
        match (certificate.exists(), key.exists()) {
            (false, false) => Ok(()),
            // The key is in place already.
            (true, false) => rename(&certificate, &self.certificate),
            (true, true) if pair(&certificate, &key).is_ok() => self.put_in_place(),
            _ => place::remove(&certificate).and_then(|()| place::remove(&key)),
        }
    }

    /// True when half of the certificate's life is over, or the clock was set back to before it.
    pub(super) fn is_due(&self, clock: &Clock) -> Result<bool, OwnError> {
        let leaf = self.leaf()?;
        Ok(Term::new(leaf.not_before, leaf.not_after, 0.5).is_due(clock()))
    }

    /// The trust domain that the node is in.
    pub(super) fn fleet(&self) -> Result<TrustDomain, OwnError> {
        Ok(TrustDomain::from(&self.leaf()?.id))
    }

    fn leaf(&self) -> Result<enforcer_core::identity::x509::leaf::Leaf, OwnError> {
        let unreadable = |why: String| OwnError::Read { path: self.certificate.clone(), why };
        let first = certificates(&self.certificate)?.into_iter().next();
        let first = first.ok_or_else(|| unreadable("it holds no certificate".to_owned()))?;
        parse_leaf(&first).map_err(|error| unreadable(error.to_string()))
    }

    /// Puts a new pair in place of the old.
    pub(super) fn replace(
        &self,
        chain: &[CertificateDer<'static>],
        key: &PrivateKey,
    ) -> Result<(), OwnError> {
        let private = PrivateKeyDer::try_from(key.expose())
            .map_err(|why| OwnError::Read { path: self.key.clone(), why: why.to_owned() })?;
        CertifiedKey::from_der(chain.to_vec(), private.clone_key(), &default_provider())
            .map_err(OwnError::Pair)?;
        let (new_certificate, new_key) = (beside(&self.certificate), beside(&self.key));
        write(&new_key, pem::block("PRIVATE KEY", key.expose()).as_bytes())?;
        write(&new_certificate, pem::certificates(chain).as_bytes())?;
        Ok(self.put_in_place()?)
    }

    fn put_in_place(&self) -> Result<(), CustodyError> {
        rename(&beside(&self.key), &self.key)?;
        rename(&beside(&self.certificate), &self.certificate)
    }

    /// Adds the fleet's authorities that the file does not have yet, and drops those that have ended.
    pub(super) fn learn_authorities(&self, trust: &Arc<Trust>, now: Duration) -> Result<bool, OwnError> {
        let Some(bundle) = trust.bundles.get(&self.fleet()?) else { return Ok(false) };
        let known = certificates(&self.ca)?;
        let mut kept: Vec<_> = known.iter().filter(|one| !has_ended(one, now)).cloned().collect();
        kept.extend(bundle.x509.iter().filter(|one| !known.contains(one)).cloned());
        if kept == known || kept.is_empty() || kept.len() > AUTHORITIES_MAX {
            return Ok(false);
        }
        write(&beside(&self.ca), pem::certificates(&kept).as_bytes())?;
        rename(&beside(&self.ca), &self.ca)?;
        Ok(true)
    }
}

fn has_ended(certificate: &CertificateDer<'_>, now: Duration) -> bool {
    use x509_parser::prelude::{FromDer as _, X509Certificate};
    let Ok((_, certificate)) = X509Certificate::from_der(certificate) else { return false };
    u64::try_from(certificate.validity().not_after.timestamp()).is_ok_and(|end| end <= now.as_secs())
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, OwnError> {
    let unreadable = |why: String| OwnError::Read { path: path.to_owned(), why };
    CertificateDer::pem_file_iter(path)
        .map_err(|error| unreadable(error.to_string()))?
        .take(AUTHORITIES_MAX)
        .collect::<Result<_, _>>()
        .map_err(|error| unreadable(error.to_string()))
}

fn pair(certificate: &Path, key: &Path) -> Result<(), OwnError> {
    let private = PrivateKeyDer::from_pem_file(key)
        .map_err(|error| OwnError::Read { path: key.to_owned(), why: error.to_string() })?;
    CertifiedKey::from_der(certificates(certificate)?, private, &default_provider())
        .map(drop)
        .map_err(OwnError::Pair)
}

fn beside(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".new");
    name.into()
}

/// What an earlier attempt left behind is replaced.
fn write(path: &Path, bytes: &[u8]) -> Result<(), CustodyError> {
    place::remove(path)?;
    place::create(path, bytes, true).map_err(|error| CustodyError::io("write", path, error))
}

fn rename(from: &Path, to: &Path) -> Result<(), CustodyError> {
    fs::rename(from, to).map_err(|error| CustodyError::io("put in place", to, error))?;
    place::sync(to.parent().unwrap_or(Path::new("/")))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use rcgen::{CertificateParams, KeyPair, KeyUsagePurpose, SanType};
    use tempfile::TempDir;
    use zeroize::Zeroizing;

    use super::*;

    const START: u64 = 1_767_225_600;

    fn made(files: &OwnFiles) -> (Vec<CertificateDer<'static>>, PrivateKey) {
        let mut params = CertificateParams::default();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.subject_alt_names = vec![SanType::URI("spiffe://fleet.example/node/n1".try_into().unwrap())];
        params.not_before = rcgen::date_time_ymd(2026, 1, 1);
        params.not_after = rcgen::date_time_ymd(2026, 1, 3);
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap();
        if !files.ca.exists() {
            fs::write(&files.ca, certificate.pem()).unwrap();
        }
        (vec![certificate.der().clone()], PrivateKey::new(Zeroizing::new(key.serialize_der())))
    }

    fn files(directory: &TempDir) -> OwnFiles {
        let at = |name: &str| directory.path().join(name);
        OwnFiles { certificate: at("svid.pem"), key: at("svid_key.pem"), ca: at("bundle.pem") }
    }

    fn at(seconds: u64) -> Clock {
        Arc::new(move || Duration::from_secs(seconds))
    }

    #[test]
    fn a_pair_is_replaced_whole_and_the_key_is_private() {
        let directory = TempDir::new().unwrap();
        let files = files(&directory);
        let (chain, key) = made(&files);
        files.replace(&chain, &key).unwrap();
        pair(&files.certificate, &files.key).unwrap();
        let mode = fs::metadata(&files.key).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let (other, _) = made(&files);
        assert!(matches!(files.replace(&other, &key), Err(OwnError::Pair(_))));
        pair(&files.certificate, &files.key).unwrap();
        assert!(!files.is_due(&at(START + 3600)).unwrap() && files.is_due(&at(START + 90_000)).unwrap());
    }

    #[test]
    fn a_crash_between_the_two_files_is_made_good() {
        let directory = TempDir::new().unwrap();
        let files = files(&directory);
        let (chain, key) = made(&files);
        files.replace(&chain, &key).unwrap();
        let (next, next_key) = made(&files);
        let write_next = || {
            write(&beside(&files.key), pem::block("PRIVATE KEY", next_key.expose()).as_bytes()).unwrap();
            write(&beside(&files.certificate), pem::certificates(&next).as_bytes()).unwrap();
        };
        let shown = || certificates(&files.certificate).unwrap();
        // Before the first rename, whole: it goes on.
        write_next();
        files.recover().unwrap();
        assert_eq!(shown(), next);
        pair(&files.certificate, &files.key).unwrap();
        // Between the two.
        files.replace(&chain, &key).unwrap();
        write_next();
        fs::rename(beside(&files.key), &files.key).unwrap();
        files.recover().unwrap();
        assert_eq!(shown(), next);
        pair(&files.certificate, &files.key).unwrap();
        // Before both were written: it never happened.
        write(&beside(&files.key), b"half").unwrap();
        files.recover().unwrap();
        assert_eq!(shown(), next);
        assert!(!beside(&files.key).exists());
    }

    #[test]
    fn new_authorities_of_the_fleet_are_learned_and_ended_ones_forgotten() {
        let directory = TempDir::new().unwrap();
        let files = files(&directory);
        let (chain, key) = made(&files);
        files.replace(&chain, &key).unwrap();
        let (next, _) = made(&files);
        let fleet = files.fleet().unwrap();
        let bundle = enforcer_core::identity::bundle::Bundle {
            trust_domain: fleet.clone(),
            x509: next.clone(),
            jwt: Vec::new(),
            sequence: 1,
            refresh_hint_seconds: 300,
        };
        let mut trust = Trust::default();
        trust.bundles.insert(fleet, Arc::new(bundle));
        let trust = Arc::new(trust);
        let learn = |seconds| files.learn_authorities(&trust, Duration::from_secs(seconds)).unwrap();
        assert!(learn(START));
        assert_eq!(certificates(&files.ca).unwrap(), [chain[0].clone(), next[0].clone()]);
        assert!(!learn(START), "nothing is written twice");
    }
}
