//! Policy files: a file, a directory or standard input, read within bounds. What they mean is not known here.

use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use enforcer_core::policy::parse::limits::{MAX_DOCUMENT_BYTES, MAX_FILES, MAX_PUSH_BYTES};
use enforcer_proto::v1;

const ENDINGS: [&str; 3] = ["yaml", "yml", "json"];

/// Why a file could not be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FileError {
    /// The system said no.
    #[error("cannot read {path}: {error}")]
    Read { path: String, error: io::Error },
    /// Binary, or another encoding.
    #[error("{path}: byte {at} is not UTF-8: save the file as UTF-8")]
    NotUtf8 { path: String, at: usize },
    /// Beyond a bound.
    #[error("{path} has more than {MAX_DOCUMENT_BYTES} bytes: split it into several files")]
    TooLarge { path: String },
    /// Beyond a bound.
    #[error("the files have more than {MAX_PUSH_BYTES} bytes together: apply them in parts")]
    TooMuch,
    /// Beyond a bound.
    #[error("there are more than {MAX_FILES} files: join some of them")]
    TooMany,
    /// A directory without policy files, which would otherwise mean "an empty policy".
    #[error("{path} holds no file that ends in .yaml, .yml or .json")]
    EmptyDirectory { path: String },
    /// Standard input can be read only once.
    #[error("-f - was given more than once")]
    StdinTwice,
}

/// Reads everything that `-f` names, in the order given and within a directory by file name.
pub(crate) fn read(sources: &[PathBuf], stdin: &mut dyn Read) -> Result<Vec<v1::Document>, FileError> {
    if sources.iter().filter(|source| is_stdin(source)).count() > 1 {
        return Err(FileError::StdinTwice);
    }
    let mut documents = Vec::new();
    let mut total = 0_usize;
    for source in sources {
        for path in expand(source)? {
            let document = if is_stdin(&path) { read_text("stdin", stdin)? } else { read_file(&path)? };
            total = total.saturating_add(document.content.len());
            if total > MAX_PUSH_BYTES {
                return Err(FileError::TooMuch);
            }
            if documents.len() == MAX_FILES {
                return Err(FileError::TooMany);
            }
            documents.push(document);
        }
    }
    Ok(documents)
}

fn is_stdin(path: &Path) -> bool {
    path.as_os_str() == "-"
}

/// The files of a directory, or the file itself.
fn expand(source: &Path) -> Result<Vec<PathBuf>, FileError> {
    if is_stdin(source) {
        return Ok(vec![source.to_owned()]);
    }
    let denied = |error| FileError::Read { path: source.display().to_string(), error };
    if !fs::metadata(source).map_err(denied)?.is_dir() {
        return Ok(vec![source.to_owned()]);
    }
    let mut files = Vec::new();
    for entry in fs::read_dir(source).map_err(denied)? {
        let path = entry.map_err(denied)?.path();
        if is_policy_file(&path) {
            files.push(path);
        }
    }
    if files.is_empty() {
        return Err(FileError::EmptyDirectory { path: source.display().to_string() });
    }
    files.sort();
    Ok(files)
}

/// By its ending, and not hidden: Kubernetes keeps `..data` and editors keep `.#name` beside the real ones.
fn is_policy_file(path: &Path) -> bool {
    let hidden = path.file_name().is_none_or(|name| name.as_encoded_bytes().starts_with(b"."));
    let known = path.extension().is_some_and(|ending| ENDINGS.iter().any(|known| ending == *known));
    !hidden && known && path.is_file()
}

fn read_file(path: &Path) -> Result<v1::Document, FileError> {
    let name = path.display().to_string();
    match fs::File::open(path) {
        Ok(mut file) => read_text(&name, &mut file),
        Err(error) => Err(FileError::Read { path: name, error }),
    }
}

fn read_text(name: &str, source: &mut dyn Read) -> Result<v1::Document, FileError> {
    let mut bytes = Vec::new();
    let read = source.take(MAX_DOCUMENT_BYTES as u64 + 1).read_to_end(&mut bytes);
    let read = read.map_err(|error| FileError::Read { path: name.to_owned(), error })?;
    if read > MAX_DOCUMENT_BYTES {
        return Err(FileError::TooLarge { path: name.to_owned() });
    }
    match String::from_utf8(bytes) {
        Ok(content) => Ok(v1::Document { name: name.to_owned(), content }),
        Err(error) => Err(FileError::NotUtf8 { path: name.to_owned(), at: error.utf8_error().valid_up_to() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_none(sources: &[PathBuf]) -> Result<Vec<v1::Document>, FileError> {
        read(sources, &mut io::empty())
    }

    #[test]
    fn a_directory_is_its_policy_files_by_name() {
        let dir = tempfile::tempdir().unwrap();
        for (name, content) in [("b.yaml", "b"), ("a.yml", "a"), (".hidden.yaml", "h"), ("readme.md", "r")] {
            fs::write(dir.path().join(name), content).unwrap();
        }
        let documents = read_none(&[dir.path().to_owned()]).unwrap();
        let contents: Vec<&str> = documents.iter().map(|document| document.content.as_str()).collect();
        assert_eq!(contents, ["a", "b"]);
        assert!(
            documents
                .iter()
                .all(|document| document.name.ends_with("yml") || document.name.ends_with("yaml"))
        );
    }

    #[test]
    fn an_empty_directory_is_not_an_empty_policy() {
        let dir = tempfile::tempdir().unwrap();
        let error = read_none(&[dir.path().to_owned()]).unwrap_err();
        assert!(matches!(error, FileError::EmptyDirectory { .. }), "{error}");
    }

    #[test]
    fn standard_input_is_read_once() {
        let mut stdin: &[u8] = b"kind: Tenant";
        let documents = read(&[PathBuf::from("-")], &mut stdin).unwrap();
        assert_eq!(
            documents,
            [v1::Document { name: "stdin".to_owned(), content: "kind: Tenant".to_owned() }]
        );
        let twice = [PathBuf::from("-"), PathBuf::from("-")];
        assert!(matches!(read_none(&twice), Err(FileError::StdinTwice)));
    }

    #[test]
    fn what_cannot_be_read_says_so_with_its_name() {
        let dir = tempfile::tempdir().unwrap();
        let missing = dir.path().join("missing.yaml");
        assert!(read_none(&[missing]).unwrap_err().to_string().contains("missing.yaml"));
        let latin = dir.path().join("latin.yaml");
        fs::write(&latin, b"name: caf\xe9").unwrap();
        assert!(matches!(read_none(&[latin]), Err(FileError::NotUtf8 { at: 9, .. })));
    }

    #[test]
    fn an_endless_input_is_refused_at_the_bound() {
        let error = read(&[PathBuf::from("-")], &mut io::repeat(b'#')).unwrap_err();
        assert!(matches!(error, FileError::TooLarge { .. }), "{error}");
    }
}
