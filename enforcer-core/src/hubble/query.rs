//! What a request for flows means: where to begin, which records to send, when to stop.

use std::collections::VecDeque;

use enforcer_proto::hubble::flow::Flow;
use enforcer_proto::hubble::observer::{GetFlowsRequest, GetFlowsResponse};
use enforcer_proto::v1;
use prost_types::Timestamp;

use super::filter::Filters;
use super::flow::{flow, flow_response, lost_response};
use super::mask::Mask;
use super::names::Names;
use super::refusal::Refusal;

/// Nanoseconds since the Unix epoch, before it too.
type Instant = i128;

/// A request that makes sense.
#[derive(Debug)]
pub struct Query {
    /// 0: no bound.
    number: u64,
    is_first: bool,
    is_follow: bool,
    since: Option<Instant>,
    until: Option<Instant>,
    filters: Filters,
    mask: Option<Mask>,
}

/// Where reading begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Begin {
    /// With the oldest record that is held.
    Oldest,
    /// With the next one.
    Newest,
    /// Where the last so many flows that pass begin: see [`Rewind`].
    Last(u64),
}

impl Query {
    /// From a request. Every field of it is named here.
    ///
    /// # Errors
    /// The first field that makes no sense, or cannot be answered.
    pub fn parse(request: &GetFlowsRequest) -> Result<Self, Refusal> {
        let GetFlowsRequest {
            number,
            follow,
            blacklist,
            whitelist,
            since,
            until,
            first,
            field_mask,
            // Has no field that could be set.
            experimental: _,
            extensions,
        } = request;
        if *first && *follow {
            return Err(Refusal::new("first", "first cannot be specified with follow"));
        }
        if extensions.is_some() {
            return Err(Refusal::new("extensions", "this server knows none"));
        }
        Ok(Self {
            number: *number,
            is_first: *first,
            is_follow: *follow,
            since: since.as_ref().map(|time| valid("since", time)).transpose()?,
            until: until.as_ref().map(|time| valid("until", time)).transpose()?,
            filters: Filters::parse(whitelist, blacklist)?,
            mask: field_mask.as_ref().map_or(Ok(None), |mask| Mask::parse(&mask.paths))?,
        })
    }

    /// Whether what is to come is wanted too.
    #[must_use]
    pub const fn is_follow(&self) -> bool {
        self.is_follow
    }

    /// Where to begin. A time prevails over a number, and `first` means the oldest.
    #[must_use]
    pub const fn begin(&self) -> Begin {
        if self.since.is_some() || self.is_first {
            return Begin::Oldest;
        }
        match (self.number, self.is_follow) {
            (0, true) => Begin::Newest,
            (0, false) => Begin::Oldest,
            (number, _) => Begin::Last(number),
        }
    }

    /// The flow of a record, if it is one that was asked for.
    fn pick(&self, record: &v1::Record, names: &Names) -> Option<Flow> {
        let time = instant(&record.time.unwrap_or_default());
        let is_within =
            self.since.is_none_or(|since| time >= since) && self.until.is_none_or(|until| time <= until);
        // The filters see the whole flow: the mask is of the answer.
        is_within.then(|| flow(record, names)).flatten().filter(|flow| self.filters.passes(flow))
    }

    fn is_after(&self, record: &v1::Record) -> bool {
        self.until.is_some_and(|until| record.time.is_some_and(|time| instant(&time) > until))
    }
}

fn valid(field: &str, time: &Timestamp) -> Result<Instant, Refusal> {
    // The years 1 to 9999, as the format says.
    const SECONDS: std::ops::RangeInclusive<i64> = -62_135_596_800..=253_402_300_799;
    if SECONDS.contains(&time.seconds) && (0..1_000_000_000).contains(&time.nanos) {
        Ok(instant(time))
    } else {
        Err(Refusal::new(field, "is no time"))
    }
}

fn instant(time: &Timestamp) -> Instant {
    i128::from(time.seconds) * 1_000_000_000 + i128::from(time.nanos)
}

/// Looks through what is held for where the last flows begin. It remembers numbers alone, and no more of them than are
/// held.
#[derive(Debug)]
pub struct Rewind {
    wanted: usize,
    found: VecDeque<u64>,
}

impl Rewind {
    /// For the last `number`.
    #[must_use]
    pub fn new(number: u64) -> Self {
        Self { wanted: usize::try_from(number).unwrap_or(usize::MAX), found: VecDeque::new() }
    }

    /// Sees a record, oldest first.
    pub fn see(&mut self, record: &v1::Record, query: &Query, names: &Names) {
        if query.pick(record, names).is_none() {
            return;
        }
        if self.found.len() >= self.wanted {
            self.found.pop_front();
        }
        self.found.push_back(record.sequence);
    }

    /// Behind which number to read, and how many flows there are. `None` for the first: from the oldest on, since there are
    /// fewer than were asked for, and what was lost before them is told too.
    #[must_use]
    pub fn end(self) -> (Option<u64>, u64) {
        let first = self.found.front().filter(|_| self.found.len() >= self.wanted);
        (first.map(|first| first.saturating_sub(1)), u64::try_from(self.found.len()).unwrap_or(u64::MAX))
    }
}

/// What becomes of a record.
#[derive(Clone, Debug, PartialEq)]
pub enum Answer {
    /// Nothing.
    Skip,
    /// It is sent.
    Send(Box<GetFlowsResponse>),
    /// It is sent, and is the last.
    Last(Box<GetFlowsResponse>),
    /// The answer ended before it.
    End,
}

/// Goes through records, and answers.
#[derive(Debug)]
pub struct Reader {
    query: Query,
    /// Flows that may still be sent.
    left: Option<u64>,
    /// Whether the last of them ends the answer. After a rewind it does not: what was lost behind it is still told.
    ends_at_last: bool,
}

impl Reader {
    /// For a query that begins at the oldest or the newest record.
    #[must_use]
    pub const fn new(query: Query) -> Self {
        let left = if query.is_follow || query.number == 0 { None } else { Some(query.number) };
        Self { query, left, ends_at_last: true }
    }

    /// For a query for the last `count` flows, as a rewind counted them.
    #[must_use]
    pub const fn rewound(query: Query, count: u64) -> Self {
        let left = if query.is_follow { None } else { Some(count) };
        Self { query, left, ends_at_last: false }
    }

    /// What becomes of the next record.
    pub fn take(&mut self, record: &v1::Record, names: &Names) -> Answer {
        // Who looks for some flows must know that some may be missing, whichever they look for.
        if let Some(lost) = lost_response(record, names) {
            return Answer::Send(Box::new(lost));
        }
        if self.query.is_follow && self.query.is_after(record) {
            return Answer::End;
        }
        let Some(flow) = self.query.pick(record, names) else { return Answer::Skip };
        if self.left == Some(0) {
            return Answer::End;
        }
        self.left = self.left.map(|left| left - 1);
        let mut response = Box::new(flow_response(flow));
        if let Some(mask) = &self.query.mask {
            mask_flow(&mut response, mask);
        }
        if self.ends_at_last && self.left == Some(0) {
            Answer::Last(response)
        } else {
            Answer::Send(response)
        }
    }
}

/// Node and time of the answer stay, whatever the mask says of the flow.
fn mask_flow(response: &mut GetFlowsResponse, mask: &Mask) {
    use enforcer_proto::hubble::observer::get_flows_response::ResponseTypes;
    if let Some(ResponseTypes::Flow(flow)) = &mut response.response_types {
        *flow = mask.apply(flow);
    }
}

#[cfg(test)]
#[path = "query_tests.rs"]
mod tests;
