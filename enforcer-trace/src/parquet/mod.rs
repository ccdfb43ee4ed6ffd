//! Records as encrypted Parquet files: one row a record, one flat column a field. It knows the format and a data key;
//! where files lie, whose they are and how data keys are wrapped it does not know.
//!
//! Files are written by the `parquet` crate. Without its arrow half that crate cannot read encrypted pages, so what is
//! read here is opened here: modules ([`modules`]), the footer ([`footer`]) and pages ([`pages`]). Every byte that
//! steers a decoder was authenticated before: a damaged file is an error, never a panic.

mod cell;
mod columns;
mod footer;
mod instant;
mod lists;
mod modules;
mod pages;
mod read;
#[cfg(test)]
pub(crate) mod sample;
mod shape;
mod source;
mod thrift;
mod write;

#[cfg(test)]
pub(crate) use columns::project;
pub use columns::{has_column, names};
pub use instant::{from_nanoseconds, nanoseconds};
pub use read::{Predicate, Reader, Test, read};
pub use source::ReadAt;
pub use write::{Protection, ROW_GROUP_ROWS, RowGroup, Sealed, Writer, write};

/// What is wrong with a file.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It could not be read or written.
    #[error("{0}")]
    Io(#[from] std::io::Error),
    /// It neither begins nor ends as an encrypted Parquet file does.
    #[error("not an encrypted Parquet file")]
    Magic,
    /// A length in it leads out of it, or beyond a bound.
    #[error("cut off or damaged: {what} of {length} bytes at offset {offset}")]
    Length {
        /// Which part.
        what: &'static str,
        /// Where it begins.
        offset: u64,
        /// How long it would be.
        length: u64,
    },
    /// A part of it does not open: another key's, or changed.
    #[error("{what} at offset {offset} does not open: the key is another one, or the bytes were changed")]
    Sealed {
        /// Which part.
        what: &'static str,
        /// Where it begins.
        offset: u64,
    },
    /// The data key is not one of AES-128 or AES-256.
    #[error("a data key of {0} bytes")]
    KeyLength(usize),
    /// No key for the file's key metadata.
    #[error("no data key: {0}")]
    Key(String),
    /// A structure of the format is not what it should be.
    #[error("damaged: {0}")]
    Thrift(&'static str),
    /// Something of the format that we never write.
    #[error("not written by this program: {0}")]
    Foreign(String),
    /// The `parquet` crate refuses.
    #[error("{0}")]
    Format(#[from] ::parquet::errors::ParquetError),
    /// A value that its field cannot hold.
    #[error("column {column}: {problem}")]
    Value {
        /// Which column.
        column: &'static str,
        /// What is wrong.
        problem: String,
    },
}
