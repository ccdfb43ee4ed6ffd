//! The files of a node's certificate. They are plain ones: the node's agent renews the pair later, and puts each new
//! file in the place of the old one by a rename.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use super::node_svid::NodeSvid;
use crate::svid::directory::{self, DirectoryError};

/// Name of the chain.
pub(crate) const CERTIFICATE: &str = "svid.pem";
/// Name of its key.
pub(crate) const KEY: &str = "svid_key.pem";
/// Name of the authorities.
pub(crate) const AUTHORITIES: &str = "bundle.pem";
const FILE_MODE: u32 = 0o600;

/// A directory for a node's files, ours for as long as this lives.
#[derive(Debug)]
pub(crate) struct Place {
    path: PathBuf,
    /// Released when it is closed.
    _lock: File,
}

impl Place {
    /// Takes a directory of our own, or makes one. Other files in it are left alone.
    pub(crate) fn open(path: &Path) -> Result<Self, DirectoryError> {
        let lock = directory::claim(path)?;
        let place = Self { path: path.to_owned(), _lock: lock };
        [AUTHORITIES, KEY, CERTIFICATE].into_iter().try_for_each(|name| place.check(name))?;
        Ok(place)
    }

    /// Writes all of it beside what is there, and only then puts one after the other in its place: authorities, the
    /// key, its certificate. Whoever sees the new certificate finds its key.
    pub(crate) fn write(&self, svid: &NodeSvid) -> Result<(), DirectoryError> {
        let (key, chain) = (svid.key_pem(), svid.chain_pem());
        let files = [(AUTHORITIES, svid.authorities_pem()), (KEY, &key), (CERTIFICATE, &chain)];
        let written = files.iter().try_for_each(|(name, text)| self.write_beside(name, text));
        if let Err(error) = written {
            files.iter().for_each(|(name, _)| drop(fs::remove_file(self.beside(name))));
            return Err(error);
        }
        files.iter().try_for_each(|(name, _)| self.put(name))?;
        done("write", &self.path, File::open(&self.path).and_then(|directory| directory.sync_all()))
    }

    fn write_beside(&self, name: &str, text: &str) -> Result<(), DirectoryError> {
        let path = self.beside(name);
        // What a run that was interrupted left behind.
        let _not_there = fs::remove_file(&path);
        done("write", &path, create(&path, text))
    }

    fn put(&self, name: &str) -> Result<(), DirectoryError> {
        let path = self.path.join(name);
        done("replace", &path, fs::rename(self.beside(name), &path))
    }

    fn beside(&self, name: &str) -> PathBuf {
        self.path.join(format!(".{name}.new"))
    }

    /// A link would be replaced by a file, and whoever keeps it would put it back.
    fn check(&self, name: &str) -> Result<(), DirectoryError> {
        let path = self.path.join(name);
        match fs::symlink_metadata(&path) {
            Ok(metadata) if metadata.is_file() => Ok(()),
            Ok(_) => Err(DirectoryError::NoFile(path)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => done("look at", &path, Err(error)),
        }
    }
}

fn done(action: &'static str, path: &Path, done: io::Result<()>) -> Result<(), DirectoryError> {
    done.map_err(|error| DirectoryError::Io { action, path: path.to_owned(), error })
}

fn create(path: &Path, text: &str) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(FILE_MODE).open(path)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}
