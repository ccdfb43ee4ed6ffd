//! Log lines: fields, as text or as one JSON object a line, on standard error. What a person should look at goes to the
//! records as well.

mod capture;

use std::io;

use tracing::Level;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::Layer as _;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

use self::capture::Capture;
use crate::config::settings::{LogFormat, LogSettings};
use crate::forensics::{self, Made, Maker};

/// Lines of this level, and of those above it, are recorded.
const RECORDED: Level = Level::WARN;

/// Where records that are not the kernel's wait: log lines are among them from the first one.
#[derive(Debug)]
pub struct Logs {
    pub(super) maker: Maker,
    pub(super) made: Made,
}

/// Starts logging. Once a process.
pub fn start(settings: &LogSettings) -> Logs {
    let (maker, made) = forensics::queue();
    // The filter was parsed when the configuration was resolved.
    let filter = EnvFilter::try_new(&settings.filter).unwrap_or_else(|_| EnvFilter::new("info"));
    let lines = tracing_subscriber::fmt::layer().with_writer(io::stderr);
    let lines = match settings.format {
        LogFormat::Text => lines.with_ansi(false).with_filter(filter).boxed(),
        LogFormat::Json => lines.json().flatten_event(true).with_filter(filter).boxed(),
    };
    // Whatever is printed: what is recorded is a matter of its own.
    tracing_subscriber::registry().with(lines).with(Capture::layer(maker.clone(), RECORDED)).init();
    Logs { maker, made }
}
