//! A loss of power: of every file is left what was waited for, under the names that were waited for, and nothing else.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use super::crash::{check, live};
use super::faulty::Faulty;
use super::{Bench, NOW, record};
use crate::StoreError;
use crate::disk::Disk;

/// A disk that keeps in mind what of it is on the platter.
struct Platter {
    inner: Faulty,
    /// By inode, what was there when somebody waited for it.
    contents: Mutex<BTreeMap<u64, Vec<u8>>>,
    /// By directory, the names there when somebody waited for it, with their inodes; directories have none.
    names: Mutex<BTreeMap<PathBuf, BTreeMap<String, Option<u64>>>>,
}

impl Platter {
    fn dying_at(operation: u64) -> Self {
        Self { inner: Faulty::dying_at(operation), contents: Mutex::default(), names: Mutex::default() }
    }

    /// What is found when the power comes back.
    fn left(&self, root: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
        let mut files = BTreeMap::new();
        self.walk(root, &mut files);
        files
    }

    fn walk(&self, directory: &Path, files: &mut BTreeMap<PathBuf, Vec<u8>>) {
        let names = self.names.lock().unwrap().get(directory).cloned().unwrap_or_default();
        for (name, inode) in names {
            let path = directory.join(name);
            match inode {
                Some(inode) => {
                    let contents = self.contents.lock().unwrap().get(&inode).cloned().unwrap_or_default();
                    files.insert(path, contents);
                }
                None => self.walk(&path, files),
            }
        }
    }
}

impl Disk for Platter {
    fn create(&self, path: &Path) -> io::Result<File> {
        self.inner.create(path)
    }

    fn open(&self, path: &Path) -> io::Result<File> {
        self.inner.open(path)
    }

    fn write_at(&self, file: &File, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.inner.write_at(file, bytes, offset)
    }

    fn sync(&self, file: &File) -> io::Result<()> {
        self.inner.sync(file)?;
        let inode = file.metadata()?.ino();
        let link = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(file));
        self.contents.lock().unwrap().insert(inode, fs::read(link)?);
        Ok(())
    }

    fn set_len(&self, file: &File, bytes: u64) -> io::Result<()> {
        self.inner.set_len(file, bytes)?;
        self.sync(file)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.inner.rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.inner.remove(path)
    }

    fn sync_directory(&self, path: &Path) -> io::Result<()> {
        self.inner.sync_directory(path)?;
        let mut names = BTreeMap::new();
        for entry in fs::read_dir(path)? {
            let entry = entry?;
            let metadata = entry.metadata()?;
            let inode = metadata.is_file().then_some(metadata.ino());
            names.insert(entry.file_name().into_string().unwrap(), inode);
        }
        self.names.lock().unwrap().insert(path.to_owned(), names);
        Ok(())
    }

    fn make_directory(&self, path: &Path) -> io::Result<()> {
        self.inner.make_directory(path)
    }

    fn free_bytes(&self, path: &Path) -> io::Result<u64> {
        self.inner.free_bytes(path)
    }
}

#[test]
fn a_loss_of_power_at_any_operation_loses_nothing_that_was_acknowledged() {
    let mut deaths = 0;
    for dies_at in 1..2000 {
        let bench = Bench::new();
        let disk = Arc::new(Platter::dying_at(dies_at));
        let outcome = live(&bench, disk.clone());
        let Err((kept, _)) = outcome else { break };
        bench.restore(&disk.left(&bench.directory));
        private(&bench.directory);
        check(&bench, &kept, dies_at);
        deaths += 1;
    }
    assert!(deaths > 80, "{deaths}");
}

/// A test that writes files does not make them private; that they are is tested elsewhere.
fn private(directory: &Path) {
    use std::os::unix::fs::PermissionsExt as _;
    fs::create_dir_all(directory).unwrap();
    fs::set_permissions(directory, fs::Permissions::from_mode(0o700)).unwrap();
}

#[test]
fn what_was_not_waited_for_is_gone_with_the_power() {
    let bench = Bench::new();
    let disk = Arc::new(Platter::dying_at(0));
    let (mut store, _) = bench.open_on(disk.clone()).unwrap();
    store.append(&[record(1, "red", "red")], NOW).unwrap();
    disk.inner.does_not_sync.store(true, std::sync::atomic::Ordering::SeqCst);
    let error = store.append(&[record(2, "red", "red")], NOW).unwrap_err();
    assert!(matches!(error, StoreError::Io { operation: "sync", .. }), "{error}");
    drop(store);
    bench.restore(&disk.left(&bench.directory));
    assert_eq!(bench.sequences("red"), [1]);
}
