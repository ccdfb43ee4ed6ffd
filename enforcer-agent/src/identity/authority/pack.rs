//! What goes into the vault as bytes: a version, then values with their lengths. One allocation each time: a
//! growing buffer would leave copies of a key behind.

use std::time::Duration;

use enforcer_core::identity::spiffe_id::SpiffeId;
use rustls_pki_types::CertificateDer;
use zeroize::Zeroizing;

use super::error::IssueError;
use crate::identity::secret::PrivateKey;
use crate::identity::svid::Svid;

/// Certificates in one chain.
const CHAIN_MAX: usize = 8;
/// What a sealed SVID begins with.
const SEALED_SVID: u8 = 2;

/// Writes.
pub(super) struct Pack(Zeroizing<Vec<u8>>);

impl Pack {
    pub(super) fn new(version: u8, chain: &[CertificateDer<'_>], key: &[u8], more: usize) -> Self {
        let certificates: usize = chain.iter().map(|der| der.len() + 4).sum();
        let mut bytes = Vec::with_capacity(1 + 4 + certificates + 4 + key.len() + more);
        bytes.push(version);
        Self(Zeroizing::new(bytes))
    }

    pub(super) fn bytes(&mut self, bytes: &[u8]) {
        self.length(bytes.len());
        self.0.extend_from_slice(bytes);
    }

    pub(super) fn chain(&mut self, chain: &[CertificateDer<'_>]) {
        self.length(chain.len());
        for der in chain {
            self.bytes(der);
        }
    }

    fn time(&mut self, time: Duration) {
        self.0.extend_from_slice(&time.as_secs().to_be_bytes());
    }

    fn length(&mut self, length: usize) {
        // Certificates, keys and names stay far below.
        self.0.extend_from_slice(&u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes());
    }

    pub(super) fn done(self) -> Zeroizing<Vec<u8>> {
        self.0
    }
}

/// Reads, and takes nothing that was not written.
pub(super) struct Unpack<'a>(&'a [u8]);

const SHORT: IssueError = IssueError::Sealed("it is cut short");

impl<'a> Unpack<'a> {
    pub(super) fn new(version: u8, bytes: &'a [u8]) -> Result<Self, IssueError> {
        match bytes.split_first() {
            Some((found, rest)) if *found == version => Ok(Self(rest)),
            Some(_) => Err(IssueError::Sealed("it is of another kind or version")),
            None => Err(SHORT),
        }
    }

    pub(super) fn bytes(&mut self) -> Result<&'a [u8], IssueError> {
        let length = usize::try_from(self.number()?).map_err(|_| SHORT)?;
        let (bytes, rest) = self.0.split_at_checked(length).ok_or(SHORT)?;
        self.0 = rest;
        Ok(bytes)
    }

    pub(super) fn chain(&mut self) -> Result<Vec<CertificateDer<'static>>, IssueError> {
        let length = usize::try_from(self.number()?).map_err(|_| SHORT)?;
        if length > CHAIN_MAX {
            return Err(IssueError::Sealed("its chain is too long"));
        }
        (0..length).map(|_| self.bytes().map(|der| der.to_vec().into())).collect()
    }

    fn number(&mut self) -> Result<u32, IssueError> {
        let (number, rest) = self.0.split_first_chunk().ok_or(SHORT)?;
        self.0 = rest;
        Ok(u32::from_be_bytes(*number))
    }

    fn time(&mut self) -> Result<Duration, IssueError> {
        let (seconds, rest) = self.0.split_first_chunk().ok_or(SHORT)?;
        self.0 = rest;
        Ok(Duration::from_secs(u64::from_be_bytes(*seconds)))
    }

    pub(super) fn end(&self) -> Result<(), IssueError> {
        if self.0.is_empty() { Ok(()) } else { Err(IssueError::Sealed("bytes follow it")) }
    }
}

/// An SVID, for the vault.
#[must_use]
pub fn seal_svid(svid: &Svid) -> Zeroizing<Vec<u8>> {
    let key = svid.key.expose();
    let id = svid.id.as_str().as_bytes();
    let mut pack = Pack::new(SEALED_SVID, &svid.chain, key, 4 + id.len() + 4 + svid.serial.len() + 16);
    pack.bytes(id);
    pack.chain(&svid.chain);
    pack.bytes(key);
    pack.bytes(&svid.serial);
    pack.time(svid.not_before);
    pack.time(svid.not_after);
    pack.done()
}

/// An SVID, back from the vault.
///
/// # Errors
/// It is not what [`seal_svid`] wrote.
pub fn open_svid(bytes: &[u8]) -> Result<Svid, IssueError> {
    let mut unpack = Unpack::new(SEALED_SVID, bytes)?;
    let id = std::str::from_utf8(unpack.bytes()?).ok().and_then(|id| id.parse::<SpiffeId>().ok());
    let svid = Svid {
        id: id.ok_or(IssueError::Sealed("its ID is none"))?,
        chain: unpack.chain()?,
        key: PrivateKey::new(Zeroizing::new(unpack.bytes()?.to_vec())),
        serial: unpack.bytes()?.to_vec(),
        not_before: unpack.time()?,
        not_after: unpack.time()?,
    };
    unpack.end()?;
    Ok(svid)
}
