//! A metric with its samples, apart from how it is written.

use std::borrow::Cow;

/// What its values are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Only grows.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Says something by its labels; its value is 1.
    Info,
}

/// Since when a counter counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Since {
    /// The kernel keeps it over the agent's restarts.
    Boot,
    /// The agent keeps it.
    Agent,
}

/// A number.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Value {
    /// Exact.
    Whole(u64),
    /// As near as can be.
    Real(f64),
}

/// One series.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Sample {
    pub(crate) labels: Vec<(Cow<'static, str>, String)>,
    pub(crate) value: Value,
}

impl Sample {
    /// What a label says.
    pub(crate) fn label(&self, name: &str) -> Option<&str> {
        self.labels.iter().find(|(label, _)| label == name).map(|(_, value)| value.as_str())
    }
}

/// A metric. The name of a counter is without `_total`, that of an info without `_info`.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Family {
    pub(crate) name: Cow<'static, str>,
    pub(crate) help: Cow<'static, str>,
    pub(crate) kind: Kind,
    pub(crate) since: Since,
    pub(crate) samples: Vec<Sample>,
}

impl Family {
    fn new(name: &'static str, help: &'static str, kind: Kind, since: Since) -> Self {
        Self { name: name.into(), help: help.into(), kind, since, samples: Vec::new() }
    }

    /// Of the agent.
    pub(crate) fn gauge(name: &'static str, help: &'static str) -> Self {
        Self::new(name, help, Kind::Gauge, Since::Agent)
    }

    /// Of the agent.
    pub(crate) fn counter(name: &'static str, help: &'static str) -> Self {
        Self::new(name, help, Kind::Counter, Since::Agent)
    }

    /// Of the kernel.
    pub(crate) fn kernel_counter(name: &'static str, help: &'static str) -> Self {
        Self::new(name, help, Kind::Counter, Since::Boot)
    }

    /// Labels that say something.
    pub(crate) fn info(name: &'static str, help: &'static str) -> Self {
        Self::new(name, help, Kind::Info, Since::Agent)
    }

    /// With one more series.
    #[must_use]
    pub(crate) fn with(mut self, labels: &[(&'static str, &str)], value: u64) -> Self {
        self.push(labels, value);
        self
    }

    /// With one more series.
    #[must_use]
    pub(crate) fn with_real(mut self, value: f64) -> Self {
        self.samples.push(Sample { labels: Vec::new(), value: Value::Real(value) });
        self
    }

    /// Adds a series.
    pub(crate) fn push(&mut self, labels: &[(&'static str, &str)], value: u64) {
        let labels = labels.iter().map(|(name, value)| (Cow::Borrowed(*name), (*value).to_owned()));
        self.samples.push(Sample { labels: labels.collect(), value: Value::Whole(value) });
    }

    /// Only the series that a label says are a tenant's.
    pub(crate) fn of_tenant(&self, tenant: &str) -> Self {
        let own = self.samples.iter().filter(|sample| sample.label("tenant") == Some(tenant));
        Self { samples: own.cloned().collect(), ..self.clone() }
    }
}

/// Families of one name as one, in the order in which they came.
pub(crate) fn merged(families: Vec<Family>) -> Vec<Family> {
    let mut merged: Vec<Family> = Vec::new();
    for family in families {
        match merged.iter_mut().find(|known| known.name == family.name) {
            Some(known) => known.samples.extend(family.samples),
            None => merged.push(family),
        }
    }
    merged
}
