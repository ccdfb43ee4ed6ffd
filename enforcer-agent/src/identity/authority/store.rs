//! What an authority keeps in the vault, as text: keys with their certificates and lives.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustls_pki_types::CertificateDer;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use zeroize::Zeroizing;

use super::error::{AuthorityError, IssueError};
use super::key::EcKey;
use super::member::{CaKey, CaMember, JwtSigner, UnderRoot};
use super::parsed::Authority;
use super::rotation::{Entry, Term};
use crate::identity::custody::{Durability, Vault};

const VERSION: u32 = 1;
/// Room for one state: a growing buffer would leave copies of keys behind.
const STATE_MAX_BYTES: usize = 256 << 10;

/// A trust domain's keys, and what it published last.
#[derive(Clone, Debug, Default)]
pub(super) struct DomainState {
    /// Grows with every change of the bundle (B-2).
    pub(super) sequence: u64,
    /// Digest of the bundle that has this sequence.
    pub(super) published: String,
    pub(super) cas: Vec<Entry<CaMember>>,
    pub(super) jwt: Vec<Entry<Arc<JwtSigner>>>,
}

/// Bytes as base 64, overwritten when dropped.
struct Secret(Zeroizing<Vec<u8>>);

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&Zeroizing::new(STANDARD.encode(&*self.0)))
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Zeroizing::new(String::deserialize(deserializer)?);
        let bytes = STANDARD.decode(text.as_str()).map_err(serde::de::Error::custom)?;
        Ok(Self(Zeroizing::new(bytes)))
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct DomainFile {
    version: u32,
    sequence: u64,
    published: String,
    authorities: Vec<CaFile>,
    jwt_keys: Vec<JwtFile>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RootFile {
    version: u32,
    authorities: Vec<CaFile>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct CaFile {
    term: Term,
    key: Secret,
    certificate: Secret,
    under_root: Option<UnderRootFile>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct UnderRootFile {
    certificate: Secret,
    root: String,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct JwtFile {
    term: Term,
    key: Secret,
}

/// Where a state is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place<'a> {
    pub(super) drawer: &'a str,
    pub(super) item: &'static str,
}

impl Place<'_> {
    fn error(self, what: impl ToString) -> AuthorityError {
        AuthorityError::State { drawer: self.drawer.to_owned(), item: self.item, what: what.to_string() }
    }
}

/// Reads a trust domain's state; `None` when it has none yet.
pub(super) fn load_domain(vault: &Vault, place: Place<'_>) -> Result<Option<DomainState>, AuthorityError> {
    let Some(file) = load::<DomainFile>(vault, place)? else { return Ok(None) };
    if file.version != VERSION {
        return Err(place.error(format!("it is of version {}", file.version)));
    }
    let cas = file.authorities.into_iter().map(ca).collect::<Result<_, _>>();
    let jwt = file.jwt_keys.into_iter().map(jwt).collect::<Result<_, _>>();
    Ok(Some(DomainState {
        sequence: file.sequence,
        published: file.published,
        cas: cas.map_err(|error: IssueError| place.error(error))?,
        jwt: jwt.map_err(|error: IssueError| place.error(error))?,
    }))
}

/// Keeps a trust domain's state.
pub(super) fn save_domain(
    vault: &Vault,
    place: Place<'_>,
    state: &DomainState,
) -> Result<(), AuthorityError> {
    let authorities = state.cas.iter().map(ca_file).collect::<Result<_, _>>();
    let jwt_keys = state.jwt.iter().map(jwt_file).collect::<Result<_, _>>();
    let file = DomainFile {
        version: VERSION,
        sequence: state.sequence,
        published: state.published.clone(),
        authorities: authorities.map_err(|error: IssueError| place.error(error))?,
        jwt_keys: jwt_keys.map_err(|error: IssueError| place.error(error))?,
    };
    save(vault, place, &file)
}

/// Reads the keys of a self-signed root; none when there are none yet.
pub(super) fn load_root(vault: &Vault, place: Place<'_>) -> Result<Vec<Entry<CaMember>>, AuthorityError> {
    let Some(file) = load::<RootFile>(vault, place)? else { return Ok(Vec::new()) };
    if file.version != VERSION {
        return Err(place.error(format!("it is of version {}", file.version)));
    }
    let keys = file.authorities.into_iter().map(ca).collect::<Result<_, _>>();
    keys.map_err(|error: IssueError| place.error(error))
}

/// Keeps the keys of a self-signed root.
pub(super) fn save_root(
    vault: &Vault,
    place: Place<'_>,
    keys: &[Entry<CaMember>],
) -> Result<(), AuthorityError> {
    let authorities = keys.iter().map(ca_file).collect::<Result<_, _>>();
    let authorities = authorities.map_err(|error: IssueError| place.error(error))?;
    save(vault, place, &RootFile { version: VERSION, authorities })
}

/// Reads anything from the vault.
pub(super) fn load<T: DeserializeOwned>(
    vault: &Vault,
    place: Place<'_>,
) -> Result<Option<T>, AuthorityError> {
    let Some(bytes) = vault.get(place.drawer, place.item)? else { return Ok(None) };
    serde_json::from_slice(&bytes).map(Some).map_err(|error| place.error(error))
}

/// Keeps anything in the vault, for good.
pub(super) fn save<T: Serialize>(vault: &Vault, place: Place<'_>, file: &T) -> Result<(), AuthorityError> {
    let mut text = Zeroizing::new(Vec::with_capacity(STATE_MAX_BYTES));
    serde_json::to_writer(&mut *text, file).map_err(|error| place.error(error))?;
    Ok(vault.put(place.drawer, place.item, &text, Durability::Synced)?)
}

fn ca(file: CaFile) -> Result<Entry<CaMember>, IssueError> {
    let ca = CaKey::new(der(&file.certificate), EcKey::from_pkcs8(&file.key.0)?)?;
    let under_root = file.under_root.map(under_root).transpose()?.map(Arc::new);
    Ok(Entry { term: file.term, key: CaMember { ca: Arc::new(ca), under_root } })
}

fn under_root(file: UnderRootFile) -> Result<UnderRoot, IssueError> {
    let certificate = der(&file.certificate);
    let validity = Authority::parse(&certificate).map_err(IssueError::Issuer)?.validity;
    Ok(UnderRoot { certificate, validity, root: file.root })
}

fn jwt(file: JwtFile) -> Result<Entry<Arc<JwtSigner>>, IssueError> {
    Ok(Entry { term: file.term, key: Arc::new(JwtSigner::from_pkcs8(&file.key.0)?) })
}

fn ca_file(entry: &Entry<CaMember>) -> Result<CaFile, IssueError> {
    let CaMember { ca, under_root } = &entry.key;
    let under_root = under_root
        .as_ref()
        .map(|under| UnderRootFile { certificate: public(&under.certificate), root: under.root.clone() });
    let key = Secret(ca.key().pkcs8()?);
    Ok(CaFile { term: entry.term, key, certificate: public(&ca.anchor), under_root })
}

fn jwt_file(entry: &Entry<Arc<JwtSigner>>) -> Result<JwtFile, IssueError> {
    Ok(JwtFile { term: entry.term, key: Secret(entry.key.pkcs8()?) })
}

fn public(der: &CertificateDer<'_>) -> Secret {
    Secret(Zeroizing::new(der.to_vec()))
}

fn der(secret: &Secret) -> CertificateDer<'static> {
    secret.0.to_vec().into()
}
