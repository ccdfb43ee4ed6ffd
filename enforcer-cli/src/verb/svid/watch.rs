//! `svid watch`: the files of this workload, kept new until somebody says stop.

use std::path::PathBuf;

use clap::Args;
use nix::sys::signal::Signal;
use tokio::time::sleep;

use super::follow::{End, Following};
use super::open;
use super::stop::Stop;
use crate::backoff::Backoff;
use crate::cli::Global;
use crate::clock;
use crate::console::Console;
use crate::failure::Failure;
use crate::notice::{self, Notice};
use crate::svid::directory::{Change, Directory, DirectoryError};
use crate::svid::endpoint::Endpoint;
use crate::svid::files::Files;
use crate::svid::update::Update;
use crate::view::svid::event::EventView;

/// Keep this workload's X.509-SVID in files, and renew them until interrupted.
#[derive(Args, Debug)]
#[command(
    long_about = "Keeps the files that `svid fetch --write` writes, and replaces them whenever the Workload API sends \
                  something new. It prints a line for each change, and comes back when it is interrupted or \
                  terminated. An agent that goes away is waited for; the files stay meanwhile.\n\n\
                  When the workload loses its identity that is said once, and the files stay, unless \
                  --remove-on-denied takes them away.",
    after_help = "Examples:\n  enforcerctl svid watch --write /run/web/tls\n  \
                  enforcerctl svid watch --write /run/web/tls --pid-file /run/nginx.pid --signal HUP\n  \
                  enforcerctl svid watch --write /run/web/tls --remove-on-denied -o json"
)]
pub(super) struct Watch {
    #[command(flatten)]
    endpoint: Endpoint,

    /// Directory to keep them in: empty, not there yet, or written by this program before.
    #[arg(long, value_name = "DIR")]
    write: PathBuf,

    /// Tell the process that this file names after each change.
    #[arg(long, value_name = "FILE")]
    pid_file: Option<PathBuf>,

    /// How to tell it.
    #[arg(long, value_name = "SIGNAL", default_value = "HUP", value_parser = notice::parse_signal, requires = "pid_file")]
    signal: Signal,

    /// Take the files away when the agent says that this workload has no identity.
    #[arg(long)]
    remove_on_denied: bool,
}

/// A watch that is under way.
struct Watching<'w, 'c, 'd> {
    watch: &'w Watch,
    global: &'w Global,
    directory: Directory,
    backoff: Backoff,
    /// What was said last, so that it is not said again.
    said: Option<String>,
    console: &'c mut Console<'d>,
}

impl Watch {
    /// Keeps the files until it is told to stop.
    pub(super) async fn run(&self, global: &Global, console: &mut Console<'_>) -> Result<(), Failure> {
        let mut stop = Stop::listen()?;
        let directory = Directory::open(&self.write)?;
        let mut watching =
            Watching { watch: self, global, directory, backoff: Backoff::default(), said: None, console };
        tokio::select! {
            () = stop.asked() => Ok(()),
            end = watching.keep() => end,
        }
    }
}

impl Watching<'_, '_, '_> {
    /// Connects again and again; comes back only when that is useless.
    async fn keep(&mut self) -> Result<(), Failure> {
        loop {
            match self.follow().await {
                End::Final(failure) => return Err(failure),
                End::Denied(reason) => self.denied(reason)?,
                End::Passing(why) => self.say(why),
            }
            sleep(self.backoff.next(clock::chance())).await;
        }
    }

    /// One connection, until it ends.
    async fn follow(&mut self) -> End {
        match self.try_follow().await {
            Ok(never) => match never {},
            Err(end) => end,
        }
    }

    async fn try_follow(&mut self) -> Result<std::convert::Infallible, End> {
        let session = open(&self.watch.endpoint, self.global).await;
        let session = session.map_err(|failure| match failure {
            Failure::Usage(_) => End::Final(failure),
            failure => End::Passing(failure.to_string()),
        })?;
        let mut following = Following::begin(session).await?;
        loop {
            let update = following.next().await?;
            self.replace(&update)?;
        }
    }

    /// A disk that is full may have room later, when the next connection brings everything again.
    fn replace(&mut self, update: &Update) -> Result<(), End> {
        let change = self.directory.replace(&Files::of(update), clock::unix_nanos());
        let change = change.map_err(|error| End::Passing(error.to_string()))?;
        self.backoff.reset();
        self.said = None;
        match change {
            Change::Same => Ok(()),
            Change::Written => {
                let event = EventView::written(self.directory.path(), &update.first, &clock::now());
                self.changed(&event).map_err(End::Final)
            }
        }
    }

    /// E-5: it may ask again, for the policy may change.
    fn denied(&mut self, reason: String) -> Result<(), Failure> {
        let path = self.directory.path().to_owned();
        match self.remove() {
            Ok(true) => {
                self.said = Some(reason.clone());
                self.changed(&EventView::removed(&path, reason, &clock::now()))
            }
            Ok(false) if self.said.as_ref() == Some(&reason) => Ok(()),
            Ok(false) => {
                self.said = Some(reason.clone());
                self.console.show_next(&EventView::denied(&path, reason, &clock::now()))
            }
            Err(error) => {
                self.say(error.to_string());
                Ok(())
            }
        }
    }

    /// Takes the files away, when that was asked for and there are some.
    fn remove(&self) -> Result<bool, DirectoryError> {
        if !self.watch.remove_on_denied || self.directory.is_empty()? {
            return Ok(false);
        }
        self.directory.clear()?;
        Ok(true)
    }

    /// The files are other ones: says so, to people and to the process that reads them.
    fn changed(&mut self, event: &EventView) -> Result<(), Failure> {
        self.console.show_next(event)?;
        let Some(pid_file) = &self.watch.pid_file else { return Ok(()) };
        let notice = Notice { pid_file: pid_file.clone(), signal: self.watch.signal };
        if let Err(error) = notice.tell() {
            self.console.warn(&format!("the files are new, and nobody was told: {error}"));
        }
        Ok(())
    }

    fn say(&mut self, text: String) {
        if self.said.as_ref() != Some(&text) {
            self.console.warn(&text);
            self.said = Some(text);
        }
    }
}
