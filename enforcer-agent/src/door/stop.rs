//! The word to stop: given once, heard by everyone.

use tokio::sync::watch;

/// Who gives the word.
#[derive(Debug, Default)]
pub struct Stopper(watch::Sender<bool>);

impl Stopper {
    /// One who will hear it.
    #[must_use]
    pub fn listener(&self) -> Stop {
        Stop(self.0.subscribe())
    }

    /// Gives the word.
    pub fn stop(&self) {
        self.0.send_replace(true);
    }
}

/// Who hears it. A stopper that is gone means the same.
#[derive(Clone, Debug)]
pub struct Stop(watch::Receiver<bool>);

impl Stop {
    /// Waits for the word; at once when it was given.
    pub async fn wait(&mut self) {
        let _given_or_gone = self.0.wait_for(|stop| *stop).await;
    }
}
