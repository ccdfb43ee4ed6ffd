//! Detection: rules over records, what is usual for a tenant, and what is done about what is not.
//!
//! `record → fact → window → limit → alert → response`. Everything here is pure: the time, the records and the rules are
//! arguments, and what should be done comes back as a value. Every table has a bound of its own for each tenant, so that
//! a noisy tenant pushes out nobody's evidence but its own.

pub mod alert;
pub mod baseline;
pub mod engine;
mod facts;
pub mod hours;
pub mod limits;
mod page;
pub mod parse;
pub mod respond;
pub mod rule;
mod seen;
pub mod window;

#[cfg(test)]
mod tests;
