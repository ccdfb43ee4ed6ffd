//! YAML documents → wire messages, with the line of every field kept for what is found wrong later.
//!
//! `apiVersion: enforcer.dev/v1`, `kind`, `metadata`, `spec`; camel case; the words of Kubernetes'
//! NetworkPolicy where it has them. Anchors, aliases and tags are refused: what is written is what is meant.

mod binding;
mod document;
pub(crate) mod fields;
mod net;
pub(crate) mod node;
mod rule;
pub(crate) mod scalar;
mod source;
mod tenant;
mod workload;

use std::collections::BTreeSet;

use enforcer_proto::v1;

use crate::policy::parse::limits::{MAX_DOCUMENT_BYTES, MAX_FILES};
use crate::policy::parse::wire::{Understood, read_snapshot};
use crate::policy::problem::{Problem, Problems};
use source::Sources;

pub(crate) const API_VERSION: &str = "enforcer.dev/v1";

/// What a set of documents says, and where.
#[derive(Clone, Debug, Default)]
pub struct ParsedDocuments {
    snapshot: v1::Snapshot,
    sources: Sources,
    broken_tenants: BTreeSet<String>,
    problems: Problems,
}

impl ParsedDocuments {
    /// The objects, in the order they were read.
    #[must_use]
    pub const fn snapshot(&self) -> &v1::Snapshot {
        &self.snapshot
    }

    /// File and line of a path such as `rules[web-to-db].to.tenant`, or of the nearest part of it.
    #[must_use]
    pub fn locate(&self, path: &str) -> Option<(String, u32)> {
        self.sources.locate(path)
    }

    pub(crate) fn add_problems_to(&self, understood: &mut Understood) {
        understood.problems.append(self.problems.clone());
        understood.broken_tenants.extend(self.broken_tenants.iter().cloned());
    }
}

/// Reads files of YAML documents: pairs of a name, for messages, and a text.
///
/// # Errors
/// Every problem of every document, that of its fields' values included.
pub fn documents<N: AsRef<str>, T: AsRef<str>>(files: &[(N, T)]) -> Result<ParsedDocuments, Vec<Problem>> {
    let parsed = read(files);
    if parsed.problems.is_empty() {
        return Ok(parsed);
    }
    // What is right as YAML may be wrong as policy: say so at once too. The lease does not matter here.
    let Understood { mut problems, .. } = read_snapshot(&parsed.snapshot, 0);
    problems.locate(|path| parsed.locate(path));
    let mut every = parsed.problems;
    every.append(problems);
    every.sort_by_line();
    Err(every.into_vec())
}

/// Reads files like [`documents`], but keeps the problems inside, so that [`crate::policy::change::apply`]
/// reports them together with what is wrong between objects. It never applies a set that has any.
pub fn read<N: AsRef<str>, T: AsRef<str>>(files: &[(N, T)]) -> ParsedDocuments {
    let mut parsed = ParsedDocuments::default();
    if files.len() > MAX_FILES {
        let message = format!("has {} files where {MAX_FILES} are the most; push fewer", files.len());
        parsed.problems.add("too_many", "documents", message);
        return parsed;
    }
    let mut seen = 0;
    for (name, text) in files {
        let (name, text) = (name.as_ref(), text.as_ref());
        if text.len() > MAX_DOCUMENT_BYTES {
            let message =
                format!("is {} bytes where {MAX_DOCUMENT_BYTES} are the most; split it", text.len());
            parsed.problems.push(in_file(Problem::new("document_too_large", "documents", message), name, 1));
            seen += 1;
            continue;
        }
        seen += node::each_document(name, text, &mut parsed, |parsed| &mut parsed.problems, document::read);
    }
    if seen == 0 {
        let message = "holds no document; an empty push is stated as an empty snapshot";
        parsed.problems.add("no_documents", "documents", message);
    }
    parsed
}

pub(crate) fn in_file(problem: Problem, file: &str, line: u32) -> Problem {
    Problem { file: Some(file.to_owned()), line: Some(line), ..problem }
}

#[cfg(test)]
mod tests;
