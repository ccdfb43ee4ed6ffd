//! Records for other programs: JSON lines, plain Parquet, and refused packets as pcapng. It knows formats; what it is
//! given was redacted for whoever gets it.

mod pcapng;

use std::io::{self, BufWriter, Write};

use enforcer_core::event::json;
use enforcer_proto::v1;

use crate::parquet::{self, Protection};
use pcapng::Capture;

/// What records become.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// A JSON object a line.
    JsonLines,
    /// The packets that were refused, with what was decided as a comment. Records without a packet are left out.
    PcapNg,
    /// Parquet with the columns of sealed files, and no encryption.
    Parquet,
}

impl Format {
    /// Every format.
    pub const ALL: [Self; 3] = [Self::JsonLines, Self::PcapNg, Self::Parquet];

    /// As it is asked for.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::JsonLines => "jsonl",
            Self::PcapNg => "pcapng",
            Self::Parquet => "parquet",
        }
    }

    /// The format of a name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|format| format.name() == name)
    }
}

/// What came of an export.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Exported {
    /// Records that were written.
    pub records: u64,
    /// Records that the format has no place for.
    pub left_out: u64,
    /// Records that are known to be missing from what was exported.
    pub lost: u64,
}

/// Why an export broke off.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// What it is written to.
    #[error("cannot write the export: {0}")]
    Io(#[from] io::Error),
    /// Parquet refuses.
    #[error("cannot write the export: {0}")]
    Parquet(#[from] parquet::Error),
}

/// Writes records, one after another, and holds none of them.
///
/// # Errors
/// What cannot be written.
pub fn export(
    records: impl Iterator<Item = v1::Record>,
    format: Format,
    out: impl Write + Send,
) -> Result<Exported, ExportError> {
    let mut exported = Exported::default();
    let records = records.inspect(|record| exported.lost = exported.lost.saturating_add(record.lost_before));
    let (written, left_out) = match format {
        Format::JsonLines => (json_lines(records, out)?, 0),
        Format::PcapNg => packets(records, out)?,
        Format::Parquet => (parquet::write(out, records, Protection::Plain)?.records, 0),
    };
    Ok(Exported { records: written, left_out, ..exported })
}

fn json_lines(records: impl Iterator<Item = v1::Record>, out: impl Write) -> io::Result<u64> {
    let (mut out, mut written) = (BufWriter::new(out), 0);
    for record in records {
        out.write_all(json::line(&record).as_bytes())?;
        out.write_all(b"\n")?;
        written += 1;
    }
    out.flush()?;
    Ok(written)
}

fn packets(records: impl Iterator<Item = v1::Record>, out: impl Write) -> io::Result<(u64, u64)> {
    let mut capture = Capture::begin(BufWriter::new(out))?;
    let (mut written, mut left_out) = (0, 0);
    for record in records {
        if record.packet.is_empty() {
            left_out += 1;
        } else {
            capture.packet(&record)?;
            written += 1;
        }
    }
    capture.finish()?;
    Ok((written, left_out))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parquet::sample::flows;

    #[test]
    fn each_record_is_a_line_of_json() {
        let mut out = Vec::new();
        let mut records = flows(3);
        records[1].node = "two\nlines".to_owned();
        records[2].lost_before = 7;
        let exported = export(records.into_iter(), Format::JsonLines, &mut out).unwrap();
        assert_eq!(exported, Exported { records: 3, left_out: 0, lost: 7 });
        let lines: Vec<serde_json::Value> =
            String::from_utf8(out).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(lines.len(), 3);
        assert_eq!((&lines[1]["node"], &lines[1]["sequence"]), (&"two\nlines".into(), &2.into()));
    }

    #[test]
    fn plain_parquet_takes_losses_without_a_number_too() {
        let mut records = flows(3);
        records.insert(2, v1::Record { lost_before: 9, ..v1::Record::default() });
        let mut out = Vec::new();
        let exported = export(records.into_iter(), Format::Parquet, &mut out).unwrap();
        assert_eq!((exported.records, exported.lost), (4, 9));
        assert!(out.starts_with(b"PAR1") && out.ends_with(b"PAR1"));
    }

    #[test]
    fn formats_have_names() {
        for format in Format::ALL {
            assert_eq!(Format::from_name(format.name()), Some(format));
        }
        assert_eq!(Format::from_name("csv"), None);
    }
}
