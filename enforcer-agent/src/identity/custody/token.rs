//! A PKCS#11 token: a session that is logged in, and opened again when it was lost. It never takes a key out.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};

use cryptoki::context::{CInitializeArgs, CInitializeFlags, Pkcs11};
use cryptoki::error::{Error, RvError};
use cryptoki::mechanism::Mechanism;
use cryptoki::mechanism::aead::GcmParams;
use cryptoki::object::{Attribute, KeyType, ObjectClass, ObjectHandle};
use cryptoki::session::{Session, UserType};
use cryptoki::slot::Slot;
use cryptoki::types::AuthPin;
use zeroize::Zeroizing;

use super::error::CustodyError;
use super::frame::NONCE_BYTES;
use super::place::{self, Stamp};

const PIN_FILE_MAX_BYTES: u64 = 1024;
const TAG_BITS: u64 = 128;

/// Modules are loaded and initialised once for the process, as PKCS#11 wants it.
static MODULES: LazyLock<Mutex<BTreeMap<PathBuf, Pkcs11>>> = LazyLock::new(Mutex::default);

/// Which token, and how to open it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenConfig {
    /// The vendor's library.
    pub module: PathBuf,
    /// Label of the token.
    pub token: String,
    /// A file with the user's PIN, 0600.
    pub pin_file: PathBuf,
}

/// A kind of signature that a token makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenSignature {
    /// Over a digest, as r and s in fixed length.
    Ecdsa,
    /// PKCS #1 1.5 over SHA-256 of the message.
    RsaSha256,
}

/// An open token.
pub struct Token {
    config: TokenConfig,
    state: Mutex<State>,
}

enum State {
    Closed,
    Open(Session),
    /// The token did not take the PIN. Trying again would lock it, unless the PIN's file has changed.
    PinRefused(Stamp),
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Token").field("token", &self.config.token).finish_non_exhaustive()
    }
}

impl Token {
    /// Opens a token and logs in.
    ///
    /// # Errors
    /// There is no such module, token or PIN, or the token refuses.
    pub fn open(config: TokenConfig) -> Result<Self, CustodyError> {
        let token = Self::new(config);
        token.with(|_| Ok(()))?;
        Ok(token)
    }

    /// A token that is opened when it is needed. Who keeps it keeps count of refused PINs.
    #[must_use]
    pub const fn new(config: TokenConfig) -> Self {
        Self { config, state: Mutex::new(State::Closed) }
    }

    /// Seals with the AES key of this label.
    pub(super) fn seal(
        &self,
        label: &str,
        nonce: &[u8; NONCE_BYTES],
        aad: &[u8],
        contents: &[u8],
    ) -> Result<Vec<u8>, CustodyError> {
        self.with(|session| {
            let key = self.aes_key(session, label)?;
            let mut nonce = *nonce;
            let parameters = GcmParams::new(&mut nonce, aad, TAG_BITS.into())?;
            Ok(session.encrypt(&Mechanism::AesGcm(parameters), key, contents)?)
        })
    }

    /// Opens with the AES key of this label; `None` when the token says that it is not what was sealed.
    pub(super) fn unseal(
        &self,
        label: &str,
        nonce: &[u8; NONCE_BYTES],
        aad: &[u8],
        sealed: &[u8],
    ) -> Result<Option<Zeroizing<Vec<u8>>>, CustodyError> {
        self.with(|session| {
            let key = self.aes_key(session, label)?;
            let mut nonce = *nonce;
            let parameters = GcmParams::new(&mut nonce, aad, TAG_BITS.into())?;
            match session.decrypt(&Mechanism::AesGcm(parameters), key, sealed) {
                Ok(contents) => Ok(Some(Zeroizing::new(contents))),
                // What tokens answer to a tag that does not fit varies.
                Err(Error::Pkcs11(
                    RvError::EncryptedDataInvalid
                    | RvError::EncryptedDataLenRange
                    | RvError::SignatureInvalid
                    | RvError::GeneralError
                    | RvError::FunctionFailed,
                    _,
                )) => Ok(None),
                Err(error) => Err(error.into()),
            }
        })
    }

    /// True when the token has exactly one AES key of this label.
    pub(super) fn has_aes_key(&self, label: &str) -> Result<bool, CustodyError> {
        self.with(|session| match self.aes_key(session, label) {
            Ok(_) => Ok(true),
            Err(Failure::NoObject(_)) => Ok(false),
            Err(error) => Err(error),
        })
    }

    /// Signs with the private key of this label.
    ///
    /// # Errors
    /// There is no such key, or the token refuses.
    pub fn sign(&self, label: &str, kind: TokenSignature, data: &[u8]) -> Result<Vec<u8>, CustodyError> {
        self.with(|session| {
            let (key_type, mechanism) = match kind {
                TokenSignature::Ecdsa => (KeyType::EC, Mechanism::Ecdsa),
                TokenSignature::RsaSha256 => (KeyType::RSA, Mechanism::Sha256RsaPkcs),
            };
            let key = find(session, ObjectClass::PRIVATE_KEY, key_type, label)?;
            Ok(session.sign(&mechanism, key, data)?)
        })
    }

    fn aes_key(&self, session: &Session, label: &str) -> Result<ObjectHandle, Failure> {
        find(session, ObjectClass::SECRET_KEY, KeyType::AES, label)
    }

    /// Does something in the session; once more in a new one when the session was lost.
    fn with<T>(&self, act: impl Fn(&Session) -> Result<T, Failure>) -> Result<T, CustodyError> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let was_open = matches!(*state, State::Open(_));
        match act(self.session(&mut state)?) {
            Err(Failure::Lost(_)) if was_open => {
                *state = State::Closed;
                act(self.session(&mut state)?).map_err(|failure| self.error(failure))
            }
            done => done.map_err(|failure| self.error(failure)),
        }
    }

    fn session<'a>(&self, state: &'a mut MutexGuard<'_, State>) -> Result<&'a Session, CustodyError> {
        let stamp = place::stamp(&self.config.pin_file);
        let again = match &**state {
            State::Open(_) => false,
            State::Closed => true,
            State::PinRefused(refused) => *refused != stamp,
        };
        if again {
            **state = match self.log_in() {
                Ok(session) => State::Open(session),
                Err(Failure::Pin(_)) => State::PinRefused(stamp),
                Err(failure) => return Err(self.error(failure)),
            };
        }
        match &**state {
            State::Open(session) => Ok(session),
            State::Closed | State::PinRefused(_) => Err(self.error(Failure::Pin(format!(
                "it does not take the PIN in {}; the same is not tried again, which might lock the token",
                self.config.pin_file.display()
            )))),
        }
    }

    fn log_in(&self) -> Result<Session, Failure> {
        let pin = self.pin()?;
        let module = self.module()?;
        let session = module.open_ro_session(self.slot(&module)?)?;
        match session.login(UserType::User, Some(&pin)) {
            // Another session of ours with the same token is logged in: so is this one.
            Ok(()) | Err(Error::Pkcs11(RvError::UserAlreadyLoggedIn, _)) => Ok(session),
            Err(error) => Err(error.into()),
        }
    }

    fn pin(&self) -> Result<AuthPin, Failure> {
        let path = &self.config.pin_file;
        let bytes = place::read(path, place::OTHERS, PIN_FILE_MAX_BYTES)
            .map_err(|error| Failure::Other(error.to_string()))?
            .ok_or_else(|| Failure::Other(format!("there is no PIN in {}", path.display())))?;
        let text = std::str::from_utf8(&bytes)
            .map_err(|_| Failure::Other(format!("the PIN in {} is no text", path.display())))?;
        Ok(AuthPin::from(text.trim_end_matches(['\r', '\n']).to_owned()))
    }

    fn module(&self) -> Result<Pkcs11, Failure> {
        let mut modules = MODULES.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(module) = modules.get(&self.config.module) {
            return Ok(module.clone());
        }
        let module = Pkcs11::new(&self.config.module)?;
        match module.initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK)) {
            Ok(()) | Err(Error::Pkcs11(RvError::CryptokiAlreadyInitialized, _)) => {}
            Err(error) => return Err(error.into()),
        }
        modules.insert(self.config.module.clone(), module.clone());
        Ok(module)
    }

    fn slot(&self, module: &Pkcs11) -> Result<Slot, Failure> {
        for slot in module.get_slots_with_token()? {
            if module.get_token_info(slot)?.label() == self.config.token {
                return Ok(slot);
            }
        }
        Err(Failure::Other(format!("{} knows no such token", self.config.module.display())))
    }

    fn error(&self, failure: Failure) -> CustodyError {
        let (Failure::Lost(what) | Failure::Pin(what) | Failure::NoObject(what) | Failure::Other(what)) =
            failure;
        CustodyError::Token { token: self.config.token.clone(), what }
    }
}

fn find(session: &Session, class: ObjectClass, kind: KeyType, label: &str) -> Result<ObjectHandle, Failure> {
    let template =
        [Attribute::Class(class), Attribute::KeyType(kind), Attribute::Label(label.as_bytes().to_vec())];
    match session.find_objects(&template)?.as_slice() {
        [key] => Ok(*key),
        [] => Err(Failure::NoObject(format!("it holds no {kind} key labelled {label:?}"))),
        [_, _, ..] => Err(Failure::Other(format!("it holds several {kind} keys labelled {label:?}"))),
    }
}

/// What can be done about it.
enum Failure {
    /// The session: open another.
    Lost(String),
    /// The PIN: nothing, or the token locks itself.
    Pin(String),
    /// The object that was asked for is not there.
    NoObject(String),
    Other(String),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let what = error.to_string();
        match error {
            Error::Pkcs11(
                RvError::SessionHandleInvalid
                | RvError::SessionClosed
                | RvError::DeviceRemoved
                | RvError::DeviceError
                | RvError::TokenNotPresent
                | RvError::UserNotLoggedIn,
                _,
            ) => Self::Lost(what),
            Error::Pkcs11(
                RvError::PinIncorrect
                | RvError::PinInvalid
                | RvError::PinLenRange
                | RvError::PinExpired
                | RvError::PinLocked,
                _,
            ) => Self::Pin(what),
            _ => Self::Other(what),
        }
    }
}
