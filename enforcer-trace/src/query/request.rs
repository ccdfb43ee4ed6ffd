//! A request for stored records, and which columns decide on it.

use std::sync::Arc;

use enforcer_core::event::filter::{Filter, FilterError};
use enforcer_proto::v1;

use super::Scope;
use crate::parquet::{Predicate, Test, nanoseconds};

/// As many of the last records as can be asked for: they are held before the first is given.
const LAST_MOST: u32 = 100_000;

/// What is wrong with a request.
#[derive(Debug, thiserror::Error)]
pub enum QueryError {
    /// Its filter.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Filter(Vec<FilterError>),
    /// Stored records end; who wants new ones observes.
    #[error("stored records cannot be followed; observe, or stream, instead")]
    Follow,
    /// It could not pass anything.
    #[error("\"until\" is not after \"from\"")]
    Span,
    /// More than is held.
    #[error("the last {0} records are more than the {LAST_MOST} that can be asked for; give a time instead")]
    Last(u32),
    /// The first so many and the last so many.
    #[error("last and limit say two numbers of records; leave one of them out")]
    LastAndLimit,
    /// The store cannot be listed.
    #[error("cannot read the store: {0}")]
    Store(#[from] std::io::Error),
}

/// A request that means something.
#[derive(Clone, Debug)]
pub struct Query {
    filter: Filter,
    columns: Vec<&'static str>,
    from: Option<i64>,
    until: Option<i64>,
    limit: Option<u64>,
    last: Option<u32>,
}

impl Query {
    /// From a request.
    ///
    /// # Errors
    /// Everything that means nothing.
    pub fn parse(request: &v1::QueryRequest) -> Result<Self, QueryError> {
        let nothing = v1::ObserveRequest::default();
        let wanted = request.filter.as_ref().unwrap_or(&nothing);
        let filter = Filter::parse(wanted).map_err(QueryError::Filter)?;
        let (from, until) = (request.from.as_ref().map(nanoseconds), request.until.as_ref().map(nanoseconds));
        let limit = (request.limit != 0).then_some(request.limit);
        match wanted.last {
            _ if wanted.follow => Err(QueryError::Follow),
            _ if from.zip(until).is_some_and(|(from, until)| until <= from) => Err(QueryError::Span),
            Some(last) if last > LAST_MOST => Err(QueryError::Last(last)),
            Some(_) if limit.is_some() => Err(QueryError::LastAndLimit),
            last => Ok(Self { filter, columns: columns(wanted), from, until, limit, last }),
        }
    }

    /// At most so many records.
    pub(super) const fn limit(&self) -> Option<u64> {
        self.limit
    }

    /// Only so many at the end.
    pub(super) const fn last(&self) -> Option<u32> {
        self.last
    }

    /// True for a record to give.
    pub(super) fn passes(&self, record: &v1::Record) -> bool {
        self.range().is_within(record) && self.filter.passes(record)
    }

    /// By number and time alone. A loss that a stream makes has no number, so that it is the filter's to decide.
    fn range(&self) -> Predicate {
        Predicate { from: self.from, until: self.until, ..Predicate::default() }
    }

    /// What is read of a file. Half a record may not pass where the whole one does, so where halves are joined they are
    /// all read.
    pub(super) fn predicate(&self, scope: &Scope) -> Predicate {
        let filter = self.filter.clone();
        let passes: Arc<dyn Fn(&v1::Record) -> bool + Send + Sync> = match scope {
            Scope::Everything => Arc::new(move |record| record.half || filter.passes(record)),
            Scope::Tenant(_) => Arc::new(move |record| filter.passes(record)),
        };
        Predicate {
            after: self.filter.after(),
            test: Some(Test { columns: self.columns.clone(), passes }),
            ..self.range()
        }
    }
}

/// What the filter of a request looks at. A filter that looks elsewhere is found by the test below.
fn columns(request: &v1::ObserveRequest) -> Vec<&'static str> {
    // Every field is named: one that is added later is not forgotten.
    let v1::ObserveRequest {
        follow: _,
        last: _,
        tenant: _,
        verdict,
        reason,
        r#type: _,
        after: _,
        workload,
        address,
        port,
        pid,
        executable,
        device,
        rule,
        serial,
    } = request;
    let ends: &[&str] = &["type", "half", "source_identity", "destination_identity"];
    let parts: [(bool, &[&'static str]); 9] = [
        (verdict.is_some(), &["verdict"]),
        (reason.is_some(), &["reason"]),
        (rule.is_some(), &["rule"]),
        (workload.is_some(), &["source_workload", "destination_workload"]),
        (address.is_some(), &["source_address", "destination_address"]),
        (port.is_some(), &["source_port", "destination_port"]),
        (pid.is_some() || executable.is_some(), &["process_pid", "process_executable"]),
        (device.is_some(), &["device_class"]),
        (
            serial.is_some(),
            &[
                "source_svid_serial",
                "destination_svid_serial",
                "tunnel_source_serial",
                "tunnel_destination_serial",
            ],
        ),
    ];
    let asked = parts.into_iter().filter(|(is_asked, _)| *is_asked).flat_map(|(_, columns)| columns);
    ends.iter().chain(asked).copied().collect()
}

#[cfg(test)]
mod tests {
    use proptest::option;
    use proptest::prelude::*;

    use super::*;
    use crate::parquet::{has_column, project, sample::any_record};

    /// Words that records of the test have too.
    fn word() -> impl Strategy<Value = Option<String>> {
        option::weighted(0.2, "[a-c]{1,2}")
    }

    fn any_request() -> impl Strategy<Value = v1::ObserveRequest> {
        let number = |most: u32| option::weighted(0.2, 1..most);
        let kind = option::weighted(0.3, prop_oneof![Just("flow"), Just("loss"), Just("device")]);
        let words = (word(), word(), word(), word(), word());
        let rest = (kind, number(4), number(4), option::weighted(0.2, Just("10.0.0.0/8")), any::<bool>());
        (words, rest).prop_map(|((tenant, workload, executable, device, rule), rest)| {
            let (kind, port, pid, address, has_serial) = rest;
            v1::ObserveRequest {
                tenant,
                workload,
                executable,
                device,
                rule,
                r#type: kind.map(str::to_owned),
                port,
                pid,
                address: address.map(str::to_owned),
                serial: has_serial.then(|| "a".to_owned()),
                verdict: pid.is_some().then(|| "deny".to_owned()),
                ..v1::ObserveRequest::default()
            }
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        #[test]
        fn the_columns_that_are_read_first_decide_as_the_whole_record_does(
            mut record in any_record(),
            request in any_request(),
            kind in prop_oneof![Just("flow"), Just("loss"), Just("device")],
            (address, is_denied) in (prop_oneof![Just("10.0.0.1"), Just("::1")], any::<bool>()),
        ) {
            record.r#type = kind.to_owned();
            if is_denied {
                record.verdict = "deny".to_owned();
            }
            if let Some(end) = record.destination.as_mut() {
                end.address = address.to_owned();
            }
            if let Ok(filter) = Filter::parse(&request) {
                let columns = columns(&request);
                prop_assert!(columns.iter().all(|name| has_column(name)), "{:?}", columns);
                let part = project(&record, |name| name == "sequence" || columns.contains(&name));
                prop_assert_eq!(filter.passes(&part), filter.passes(&record));
            }
        }
    }

    fn refused(request: &v1::QueryRequest) -> String {
        Query::parse(request).unwrap_err().to_string()
    }

    #[test]
    fn what_means_nothing_is_refused_with_what_is_wrong() {
        let at = |seconds| Some(prost_types::Timestamp { seconds, nanos: 0 });
        let with = |filter| v1::QueryRequest { filter: Some(filter), ..v1::QueryRequest::default() };
        let observe = v1::ObserveRequest::default;
        assert!(
            refused(&with(v1::ObserveRequest { follow: true, ..observe() })).contains("cannot be followed")
        );
        assert!(refused(&with(v1::ObserveRequest { last: Some(100_001), ..observe() })).contains("100001"));
        let both = v1::QueryRequest { limit: 1, ..with(v1::ObserveRequest { last: Some(1), ..observe() }) };
        assert!(refused(&both).contains("last and limit"));
        let backwards = v1::QueryRequest { from: at(2), until: at(2), ..v1::QueryRequest::default() };
        assert!(refused(&backwards).contains("until"));
        let unknown = v1::ObserveRequest { verdict: Some("drop".to_owned()), ..observe() };
        assert!(refused(&with(unknown)).contains("drop"));
        Query::parse(&v1::QueryRequest::default()).unwrap();
    }
}
