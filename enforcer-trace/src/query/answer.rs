//! The answer to a query.

use std::collections::VecDeque;
use std::io;
use std::path::Path;
use std::sync::Arc;

use enforcer_proto::v1;

use super::gap::Gap;
use super::log::{Log, Settled};
use super::merge::{Merge, Source, Waiting};
use super::sealed::{Chain, FileSource};
use super::{Query, QueryError, Scope};
use crate::keys::Keys;
use crate::name;
use crate::parquet::Predicate;

/// What the directory of a tenant begins with.
const TENANT: &str = "tenant=";
/// Rows that are decoded at once, all files together.
const ROWS_MOST: usize = 16 * 1024;

/// Records, lowest number first. Losses among them that have no number were found while reading.
pub struct Answer {
    records: Box<dyn Iterator<Item = v1::Record> + Send>,
}

impl Iterator for Answer {
    type Item = v1::Record;

    fn next(&mut self) -> Option<v1::Record> {
        self.records.next()
    }
}

/// The stored records that a query asks for, as far as the scope goes. Nothing is read before the first is taken but
/// the lines of the chains and the frames of the log.
///
/// # Errors
/// The store cannot be listed. What is wrong with a single file is a record of the answer.
pub fn query(store: &Path, keys: &Arc<dyn Keys>, query: &Query, scope: &Scope) -> Result<Answer, QueryError> {
    let predicate = query.predicate(scope);
    // The log first: see `log`.
    let log = Log::read(store, keys, |tenant, first, last| {
        is_within(scope, tenant) && predicate.reaches(first, last)
    })?;
    let tenants = tenants(store, scope)?;
    let mut sources = Sources::new(store, keys, &predicate, tenants.len());
    for tenant in &tenants {
        sources.sealed(tenant)?;
    }
    sources.log(log);
    let wanted = query.clone();
    let records = Merge::new(sources.waiting).filter(move |record| wanted.passes(record));
    Ok(Answer { records: cut(records, query) })
}

/// The first so many, or the last.
fn cut(
    records: impl Iterator<Item = v1::Record> + Send + 'static,
    query: &Query,
) -> Box<dyn Iterator<Item = v1::Record> + Send> {
    if let Some(last) = query.last() {
        let most = usize::try_from(last).unwrap_or(usize::MAX);
        let mut kept = VecDeque::new();
        for record in records {
            if kept.len() == most {
                kept.pop_front();
            }
            kept.push_back(record);
        }
        kept.truncate(most);
        return Box::new(kept.into_iter());
    }
    let most = query.limit().map_or(usize::MAX, |limit| usize::try_from(limit).unwrap_or(usize::MAX));
    Box::new(records.take(most))
}

fn is_within(scope: &Scope, tenant: &str) -> bool {
    match scope {
        Scope::Everything => true,
        Scope::Tenant(own) => own == tenant,
    }
}

/// Whose directories there are to look into.
fn tenants(store: &Path, scope: &Scope) -> io::Result<Vec<String>> {
    let mut tenants = match scope {
        // Its directory may not be there yet: its records are in the log.
        Scope::Tenant(own) => vec![own.clone()],
        Scope::Everything => {
            let mut tenants = Vec::new();
            for entry in std::fs::read_dir(store)? {
                let entry = entry?;
                let name =
                    entry.file_name().to_str().and_then(|name| name.strip_prefix(TENANT)).map(str::to_owned);
                tenants.extend(name.filter(|_| entry.file_type().is_ok_and(|kind| kind.is_dir())));
            }
            tenants
        }
    };
    tenants.retain(|tenant| name::check(tenant).is_ok());
    tenants.sort_unstable();
    Ok(tenants)
}

struct Sources<'a> {
    store: &'a Path,
    keys: &'a Arc<dyn Keys>,
    predicate: &'a Predicate,
    rows: usize,
    waiting: Vec<Waiting>,
    settled: Settled,
}

impl<'a> Sources<'a> {
    fn new(store: &'a Path, keys: &'a Arc<dyn Keys>, predicate: &'a Predicate, tenants: usize) -> Self {
        let rows = (ROWS_MOST / tenants.max(1)).clamp(16, 1024);
        Self { store, keys, predicate, rows, waiting: Vec::new(), settled: Settled::default() }
    }

    fn sealed(&mut self, tenant: &str) -> io::Result<()> {
        let directory = self.store.join(format!("{TENANT}{tenant}"));
        let Chain { files, gaps, settled } = Chain::read(&directory, tenant, self.predicate)?;
        gaps.into_iter().for_each(|gap| self.gap(gap));
        settled
            .into_iter()
            .for_each(|(segment, first, last)| self.settled.note(tenant, segment, first, last));
        for file in files {
            let first = file.first;
            let source = FileSource::new(
                &directory,
                tenant,
                file,
                Arc::clone(self.keys),
                self.predicate.clone(),
                self.rows,
            );
            self.wait(first, tenant, Source::File(Box::new(source)));
        }
        Ok(())
    }

    fn log(&mut self, log: Log) {
        log.gaps.into_iter().for_each(|gap| self.gap(gap));
        for frame in log.frames {
            if !self.settled.holds(&frame) {
                let (tenant, (_, first, _)) = (frame.tenant().to_owned(), frame.place());
                self.wait(first, &tenant, Source::Frame(Box::new(frame)));
            }
        }
    }

    fn gap(&mut self, gap: Gap) {
        let tenant = gap.tenant.clone();
        self.wait(gap.first, &tenant, Source::Gap(gap));
    }

    fn wait(&mut self, first: u64, tenant: &str, source: Source) {
        self.waiting.push(Waiting { first, tenant: tenant.to_owned(), source });
    }
}

#[cfg(test)]
#[path = "answer_tests.rs"]
mod tests;
