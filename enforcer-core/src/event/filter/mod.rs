//! What of the records an observer asked for. It must not know who asks: a record is redacted before it is filtered, so
//! that nobody learns by a filter what is not shown.

mod error;
mod words;

use std::net::IpAddr;

use enforcer_proto::v1;
use ipnet::IpNet;

use super::record::LOSS;

pub use error::FilterError;
use words::Serial;

/// Which records to show.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    tenant: Option<String>,
    verdict: Option<String>,
    reason: Option<String>,
    kind: Option<String>,
    after: Option<u64>,
    workload: Option<String>,
    address: Option<IpNet>,
    port: Option<u16>,
    pid: Option<u32>,
    executable: Option<String>,
    device: Option<String>,
    rule: Option<String>,
    serial: Option<Serial>,
}

impl Filter {
    /// From a request. `follow` and `last` are not the filter's; that `last` and `after` contradict each other is said
    /// here all the same.
    ///
    /// # Errors
    /// Everything that means nothing, or that no record could ever pass: it would look like silence.
    pub fn parse(request: &v1::ObserveRequest) -> Result<Self, Vec<FilterError>> {
        // Every field is named: one that is added later is not ignored.
        let v1::ObserveRequest {
            follow: _,
            last,
            tenant,
            verdict,
            reason,
            r#type,
            after,
            workload,
            address,
            port,
            pid,
            executable,
            device,
            rule,
            serial,
        } = request;
        let mut errors = Vec::new();
        let mut ok = |error: Option<FilterError>| errors.extend(error);
        ok(verdict.as_deref().and_then(words::wrong_verdict));
        ok(reason.as_deref().and_then(words::wrong_reason));
        ok(r#type.as_deref().and_then(words::wrong_type));
        for (field, word) in [
            ("tenant", tenant),
            ("workload", workload),
            ("executable", executable),
            ("device", device),
            ("rule", rule),
        ] {
            ok((word.as_deref() == Some("")).then_some(FilterError::Empty(field)));
        }
        ok(executable.as_deref().and_then(words::wrong_executable));
        ok((*pid == Some(0)).then_some(FilterError::Pid));
        ok((last.is_some() && after.is_some()).then_some(FilterError::LastAndAfter));
        let mut parsed = Self {
            tenant: tenant.clone(),
            verdict: verdict.clone(),
            reason: reason.clone(),
            kind: r#type.clone(),
            after: *after,
            workload: workload.clone(),
            pid: *pid,
            executable: executable.clone(),
            device: device.clone(),
            rule: rule.clone(),
            ..Self::default()
        };
        parsed.address = or_push(address.as_deref().map(words::prefix), &mut errors);
        parsed.port = or_push(port.map(words::port), &mut errors);
        parsed.serial = or_push(serial.as_deref().map(Serial::parse), &mut errors);
        errors.extend(parsed.contradictions());
        if errors.is_empty() { Ok(parsed) } else { Err(errors) }
    }

    /// The sequence number behind which to begin, if one was asked for.
    #[must_use]
    pub const fn after(&self) -> Option<u64> {
        self.after
    }

    /// True for a record to show. A loss is shown whatever else was asked for, unless another type was, or it is
    /// another tenant's: who looks for refusals must know that some may be missing.
    #[must_use]
    pub fn passes(&self, record: &v1::Record) -> bool {
        if !is(self.kind.as_deref(), &record.r#type)
            || self.after.is_some_and(|after| record.sequence <= after)
        {
            // What a stream makes itself, to tell of what it missed, has no number.
            return record.r#type == LOSS && record.sequence == 0 && is(self.kind.as_deref(), LOSS);
        }
        if record.r#type == LOSS {
            return record.source.is_none() || self.concerns(record);
        }
        is(self.verdict.as_deref(), &record.verdict)
            && is(self.reason.as_deref(), &record.reason)
            && is(self.rule.as_deref(), &record.rule)
            && self.concerns(record)
            && self.is_at_an_end(record)
            && self.is_of_process(record)
            && self.is_of_device(record)
            && self.has_serial(record)
    }

    fn concerns(&self, record: &v1::Record) -> bool {
        any_end(self.tenant.as_ref(), record, |tenant, end| end.identity == *tenant)
    }

    fn is_at_an_end(&self, record: &v1::Record) -> bool {
        any_end(self.workload.as_ref(), record, |workload, end| end.workload == *workload)
            && any_end(self.port.as_ref(), record, |port, end| end.port == u32::from(*port))
            && any_end(self.address.as_ref(), record, |prefix, end| {
                end.address.parse::<IpAddr>().is_ok_and(|address| prefix.contains(&address))
            })
    }

    fn is_of_process(&self, record: &v1::Record) -> bool {
        if self.pid.is_none() && self.executable.is_none() {
            return true;
        }
        let Some(process) = &record.process else { return false };
        self.pid.is_none_or(|pid| process.pid == pid)
            && self
                .executable
                .as_deref()
                .is_none_or(|wanted| words::is_executable(wanted, &process.executable))
    }

    fn is_of_device(&self, record: &v1::Record) -> bool {
        let class = record.device.as_ref().map_or("", |device| &device.class);
        is(self.device.as_deref(), class)
    }

    fn has_serial(&self, record: &v1::Record) -> bool {
        let Some(wanted) = &self.serial else { return true };
        let ends = [&record.source, &record.destination].into_iter().flatten().map(|end| &end.svid_serial);
        let shown = record.tunnel.iter().flat_map(|facts| [&facts.source_serial, &facts.destination_serial]);
        ends.chain(shown).any(|serial| wanted.is(serial))
    }

    /// What no record of the type that was asked for has.
    fn contradictions(&self) -> impl Iterator<Item = FilterError> {
        let kind = self.kind.clone().unwrap_or_default();
        let asked = [
            ("port", self.port.is_some()),
            ("address", self.address.is_some()),
            ("pid", self.pid.is_some()),
            ("executable", self.executable.is_some()),
            ("device", self.device.is_some()),
        ];
        asked
            .into_iter()
            .filter(|(_, is_asked)| *is_asked)
            .map(|(field, _)| field)
            .filter(move |field| words::never_has(&kind, field))
            .map({
                let kind = self.kind.clone().unwrap_or_default();
                move |field| FilterError::Never { field, kind: kind.clone() }
            })
    }
}

fn or_push<T>(parsed: Option<Result<T, FilterError>>, errors: &mut Vec<FilterError>) -> Option<T> {
    parsed.and_then(|parsed| parsed.map_err(|error| errors.push(error)).ok())
}

fn is(wanted: Option<&str>, word: &str) -> bool {
    wanted.is_none_or(|wanted| wanted == word)
}

fn any_end<T>(wanted: Option<&T>, record: &v1::Record, is: impl Fn(&T, &v1::Endpoint) -> bool) -> bool {
    let Some(wanted) = wanted else { return true };
    [&record.source, &record.destination].into_iter().flatten().any(|end| is(wanted, end))
}

#[cfg(test)]
mod tests;
