//! Log lines as records. It must not log: what it hands over goes to a queue that never waits and says nothing.

use std::fmt::{self, Write as _};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use enforcer_core::event::record::LOG;
use enforcer_proto::v1;
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::filter::FilterFn;
use tracing_subscriber::layer::Context;
use tracing_subscriber::registry::LookupSpan;

use crate::forensics::{Maker, TARGET};

/// Lines in a second; the others are counted.
const LINES_MAX: u64 = 100;
/// Fields of a line, and bytes of a value.
const FIELDS_MAX: usize = 32;
const VALUE_MAX: usize = 1_024;

/// Makes records of lines.
pub(super) struct Capture {
    maker: Maker,
    /// Which second it is, and how many lines it had.
    second: AtomicU64,
    lines: AtomicU64,
    unsaid: AtomicU64,
}

impl Capture {
    /// Lines of a level and of those above it. Records as lines are left out: they are records already.
    pub(super) fn layer<S>(maker: Maker, level: Level) -> impl Layer<S>
    where
        S: Subscriber + for<'a> LookupSpan<'a>,
    {
        let capture =
            Self { maker, second: AtomicU64::new(0), lines: AtomicU64::new(0), unsaid: AtomicU64::new(0) };
        capture.with_filter(FilterFn::new(move |meta| *meta.level() <= level && meta.target() != TARGET))
    }

    /// Close enough where two threads meet at the turn of a second.
    fn has_room(&self, now: SystemTime) -> bool {
        let second = now.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        if self.second.swap(second, Ordering::Relaxed) != second {
            self.lines.store(0, Ordering::Relaxed);
        }
        let has_room = self.lines.fetch_add(1, Ordering::Relaxed) < LINES_MAX;
        if !has_room {
            self.unsaid.fetch_add(1, Ordering::Relaxed);
        }
        has_room
    }
}

impl<S: Subscriber> Layer<S> for Capture {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let now = SystemTime::now();
        if !self.has_room(now) {
            return;
        }
        let meta = event.metadata();
        let mut note = Words::default();
        event.record(&mut note);
        let Words { message, mut fields } = note;
        let unsaid = self.unsaid.swap(0, Ordering::Relaxed);
        if unsaid != 0 {
            fields.push(v1::Field { name: "lines_unsaid_before".to_owned(), value: unsaid.to_string() });
        }
        self.maker.tell(v1::Record {
            time: Some(now.into()),
            r#type: LOG.to_owned(),
            note: Some(v1::Note {
                event: "logged".to_owned(),
                subject: meta.target().to_owned(),
                actor: "agent".to_owned(),
                level: meta.level().as_str().to_ascii_lowercase(),
                message,
                fields,
            }),
            ..v1::Record::default()
        });
    }
}

#[derive(Default)]
struct Words {
    message: String,
    fields: Vec<v1::Field>,
}

impl Words {
    fn put(&mut self, field: &Field, value: String) {
        if field.name() == "message" {
            self.message = value;
        } else if self.fields.len() < FIELDS_MAX {
            self.fields.push(v1::Field { name: field.name().to_owned(), value });
        }
    }
}

impl Visit for Words {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field, bounded(format_args!("{value}")));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.put(field, bounded(format_args!("{value:?}")));
    }
}

/// As much of a text as is kept: no more is ever written.
fn bounded(text: fmt::Arguments<'_>) -> String {
    struct Room(String);
    impl fmt::Write for Room {
        fn write_str(&mut self, part: &str) -> fmt::Result {
            for c in part.chars() {
                if self.0.len() + c.len_utf8() > VALUE_MAX {
                    return Err(fmt::Error);
                }
                self.0.push(c);
            }
            Ok(())
        }
    }
    let mut room = Room(String::new());
    if room.write_fmt(text).is_err() {
        room.0.push('…');
    }
    room.0
}

#[cfg(test)]
mod tests {
    use tracing_subscriber::layer::SubscriberExt as _;

    use super::*;
    use crate::forensics;

    async fn recorded(log: impl FnOnce()) -> Vec<v1::Note> {
        let (maker, mut made) = forensics::queue();
        let subscriber = tracing_subscriber::registry().with(Capture::layer(maker, Level::WARN));
        tracing::subscriber::with_default(subscriber, log);
        made.waiting().await.into_iter().filter_map(|record| record.note).collect()
    }

    #[tokio::test]
    async fn what_a_person_should_look_at_is_recorded_with_its_fields() {
        let notes = recorded(|| {
            tracing::info!("nothing");
            tracing::warn!(tenant = "red", count = 3, "strange");
            tracing::error!(target: TARGET, "a record as a line");
        })
        .await;
        assert_eq!(notes.len(), 1);
        assert_eq!((notes[0].level.as_str(), notes[0].message.as_str()), ("warn", "strange"));
        let fields: Vec<_> = notes[0].fields.iter().map(|field| (&*field.name, &*field.value)).collect();
        assert_eq!(fields, [("tenant", "red"), ("count", "3")]);
    }

    #[tokio::test]
    async fn a_flood_is_bounded_and_counted_and_a_long_line_is_cut() {
        let notes = recorded(|| {
            for _ in 0..LINES_MAX * 3 {
                tracing::error!("{}", "x".repeat(10_000));
            }
        })
        .await;
        assert!(!notes.is_empty() && notes.len() < usize::try_from(LINES_MAX * 3).unwrap());
        assert!(notes[0].message.len() <= VALUE_MAX + '…'.len_utf8());
    }
}
