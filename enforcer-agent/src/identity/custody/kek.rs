//! The key-encryption key: where it comes from, and sealing with it. The current key seals, older ones still open.

use std::fmt;
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use super::error::CustodyError;
use super::frame::{self, Cipher, Frame, Kind};
use super::place::Stamp;
use super::token::{Token, TokenConfig};
use super::{keyfile, place};

/// Where key-encryption keys come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KekSource {
    /// A file that `enforcer-agent init` made.
    File(PathBuf),
    /// The same text as a credential of the service manager, by name: `$CREDENTIALS_DIRECTORY/<name>`.
    Credential(String),
    /// AES-256 keys that never leave a token. The label is the id of the current one; older ones are opened
    /// with the labels that they had.
    Pkcs11 {
        /// The token.
        token: TokenConfig,
        /// Label of the key that seals.
        key_label: String,
    },
}

impl KekSource {
    /// `file`, `systemd-credential`, `pkcs11`.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::File(_) => "file",
            Self::Credential(_) => "systemd-credential",
            Self::Pkcs11 { .. } => "pkcs11",
        }
    }

    /// For a person.
    pub(super) fn place(&self) -> String {
        match self {
            Self::File(path) => path.display().to_string(),
            Self::Credential(name) => format!("the credential {name:?}"),
            Self::Pkcs11 { token, .. } => format!("the token {:?}", token.token),
        }
    }

    pub(super) fn load(&self) -> Result<Kek, CustodyError> {
        match self {
            Self::File(path) => from_file(path, place::OTHERS, ""),
            // The service manager's directory is closed; the file's group bits are the mask of an access list.
            Self::Credential(name) => from_file(
                &credential(name)?,
                place::WORLD,
                " and hand it over with LoadCredential= or LoadCredentialEncrypted=",
            ),
            Self::Pkcs11 { token, key_label } => from_token(token, key_label),
        }
    }

    /// Changes when the source does; always the same for a token.
    pub(super) fn stamp(&self) -> Stamp {
        let path = match self {
            Self::File(path) => path.clone(),
            Self::Credential(name) => match credential(name) {
                Ok(path) => path,
                Err(_) => return Stamp::default(),
            },
            Self::Pkcs11 { .. } => return Stamp::default(),
        };
        place::stamp(&path)
    }
}

/// Key-encryption keys at hand.
pub(super) enum Kek {
    /// At least one; the first seals.
    Keys(Vec<(String, Cipher)>),
    Token(Token, String),
}

impl fmt::Debug for Kek {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Kek({:?})", self.current())
    }
}

impl Kek {
    /// The id of the key that seals.
    pub(super) fn current(&self) -> &str {
        match self {
            Self::Keys(keys) => keys.first().map_or("", |(id, _)| id),
            Self::Token(_, label) => label,
        }
    }

    /// Seals a drawer's key into a whole file.
    pub(super) fn seal(&self, name: &str, contents: &[u8]) -> Result<Vec<u8>, CustodyError> {
        match self {
            Self::Keys(keys) => match keys.first() {
                Some((id, cipher)) => cipher.seal(Kind::DrawerKey, id, name, contents),
                None => Err(CustodyError::Cipher("seal without a key")),
            },
            Self::Token(token, label) => {
                let nonce = frame::random()?;
                let aad = frame::associated(Kind::DrawerKey, label, name);
                let sealed = token.seal(label, &nonce, &aad, contents)?;
                Ok(frame::assemble(Kind::DrawerKey, label, &nonce, &sealed))
            }
        }
    }

    /// Opens a drawer's key; `Ok(None)` when its key is at hand and it is not what was sealed.
    pub(super) fn open(&self, name: &str, frame: &Frame<'_>) -> Result<Opened, CustodyError> {
        match self {
            Self::Keys(keys) => Ok(match keys.iter().find(|(id, _)| id == frame.key_id) {
                None => Opened::UnknownKey,
                Some((_, cipher)) => {
                    cipher.open(Kind::DrawerKey, name, frame).map_or(Opened::Damaged, Opened::Contents)
                }
            }),
            Self::Token(token, _) => {
                if !token.has_aes_key(frame.key_id)? {
                    return Ok(Opened::UnknownKey);
                }
                let aad = frame::associated(Kind::DrawerKey, frame.key_id, name);
                let opened = token.unseal(frame.key_id, &frame.nonce, &aad, frame.sealed)?;
                Ok(opened.map_or(Opened::Damaged, Opened::Contents))
            }
        }
    }
}

/// What became of a sealed drawer key.
pub(super) enum Opened {
    Contents(Zeroizing<Vec<u8>>),
    UnknownKey,
    Damaged,
}

fn credential(name: &str) -> Result<PathBuf, CustodyError> {
    super::name::item(name)?;
    let directory = std::env::var_os("CREDENTIALS_DIRECTORY");
    let directory = directory.ok_or_else(|| CustodyError::NoCredentials(name.to_owned()))?;
    Ok(Path::new(&directory).join(name))
}

fn from_file(path: &Path, forbidden: u32, more: &'static str) -> Result<Kek, CustodyError> {
    let text = place::read(path, forbidden, keyfile::BYTES_MAX)?
        .ok_or_else(|| CustodyError::NoKey { place: path.display().to_string(), more })?;
    let ciphers = keyfile::parse(path, &text)?.into_iter().map(|key| Ok((key.id, Cipher::new(&key.bytes)?)));
    Ok(Kek::Keys(ciphers.collect::<Result<_, CustodyError>>()?))
}

fn from_token(config: &TokenConfig, label: &str) -> Result<Kek, CustodyError> {
    let fits = !label.is_empty() && label.len() <= frame::KEY_ID_MAX_BYTES;
    if !fits {
        return Err(CustodyError::Name(label.to_owned()));
    }
    let token = Token::open(config.clone())?;
    if token.has_aes_key(label)? {
        return Ok(Kek::Token(token, label.to_owned()));
    }
    Err(CustodyError::NoKey {
        place: format!("the token {:?} under the label {label:?}", config.token),
        more: ", or one of AES-256 in the token with its own tool (`pkcs11-tool --keygen --key-type AES:32`)",
    })
}
