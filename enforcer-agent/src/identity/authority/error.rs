//! Why an authority could not be opened, and why nothing was issued.

use std::path::PathBuf;

use crate::identity::custody::CustodyError;

/// Why there is no authority.
#[derive(Debug, thiserror::Error)]
pub enum AuthorityError {
    /// The vault.
    #[error(transparent)]
    Custody(#[from] CustodyError),
    /// What the vault holds is not what was put in it.
    #[error(
        "{drawer}/{item} in the vault makes no sense: {what}. Nothing was replaced: restore it from a backup"
    )]
    State {
        /// Whose.
        drawer: String,
        /// Which.
        item: &'static str,
        /// What does not fit.
        what: String,
    },
    /// The node's own name can be no part of a SPIFFE ID.
    #[error("the node's name {name:?} makes no SPIFFE ID: {why}")]
    NodeName {
        /// The name.
        name: String,
        /// Which rule it breaks.
        why: String,
    },
    /// A further name for the node is none.
    #[error("{0:?} is neither a DNS name nor an address")]
    FurtherName(String),
    /// A lifetime is zero, or longer than that of who signs.
    #[error("the lifetime of {what} makes no sense: {why}")]
    Lifetime {
        /// Of what.
        what: &'static str,
        /// Why.
        why: &'static str,
    },
}

/// Why a root cannot sign.
#[derive(Debug, thiserror::Error)]
pub enum RootError {
    /// The vault or the token.
    #[error(transparent)]
    Custody(#[from] CustodyError),
    /// A file cannot be read.
    #[error("cannot read {path}: {why}")]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        why: String,
    },
    /// The certificate cannot be that of a root of ours.
    #[error("the certificate in {path} cannot be the root: {what}")]
    Certificate {
        /// Its file.
        path: PathBuf,
        /// What it lacks.
        what: String,
    },
    /// The certificate is another key's.
    #[error("the key is not that of the certificate in {0}")]
    Mismatch(PathBuf),
    /// The certificate is not valid now.
    #[error(
        "the root's certificate is not valid now: from {not_before} to {not_after} in seconds since 1970"
    )]
    NotNow {
        /// Start.
        not_before: u64,
        /// End.
        not_after: u64,
    },
    /// What the vault holds of a self-signed root makes no sense.
    #[error(transparent)]
    State(#[from] Box<AuthorityError>),
    /// Signing failed.
    #[error(transparent)]
    Issue(#[from] IssueError),
}

/// Why a certificate was not made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IssueError {
    /// The issuer is not valid now, so nothing that it signs would be.
    #[error(
        "the issuer's certificate is not valid now: it ends {not_after} seconds after 1970, and it is {now}"
    )]
    IssuerEnded {
        /// End of the issuer.
        not_after: u64,
        /// The time.
        now: u64,
    },
    /// The issuer may sign for its own trust domain alone.
    #[error("{id} is not in the trust domain {domain}")]
    ForeignDomain {
        /// For whom.
        id: String,
        /// Whose issuer it is.
        domain: String,
    },
    /// The issuer's certificate is not what an issuer's should be.
    #[error("the issuer's certificate cannot be used: {0}")]
    Issuer(String),
    /// A private key is none.
    #[error("the key cannot be used: {0}")]
    Key(&'static str),
    /// What was sealed is not what comes back.
    #[error("what was kept makes no sense: {0}")]
    Sealed(&'static str),
    /// A name cannot be written into a certificate.
    #[error("{0:?} cannot be written into a certificate")]
    Name(String),
    /// The library refused.
    #[error("the cipher library refused to {0}")]
    Library(&'static str),
    /// The certificate writer refused.
    #[error("the certificate could not be written: {0}")]
    Writer(String),
}

impl From<rcgen::Error> for IssueError {
    fn from(error: rcgen::Error) -> Self {
        Self::Writer(error.to_string())
    }
}
