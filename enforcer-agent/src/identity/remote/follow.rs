//! Stays connected, and believes what the authority sends. After a failure it waits longer each time, and never
//! in step with other nodes.

use std::sync::Arc;
use std::time::Duration;

use enforcer_core::identity::wire;
use enforcer_proto::v1::authority_service_client::AuthorityServiceClient;
use enforcer_proto::v1::{Trust, WatchTrustRequest};
use tokio::sync::watch;
use tokio::task::spawn_blocking;
use tokio::time::{interval, sleep};
use tonic::transport::Channel;
use tonic::{Status, Streaming};
use tracing::{info, warn};

use super::answer::{self, MESSAGE_MAX_BYTES};
use super::known::Known;
use super::{CALL_MAX, RemoteConfig, connect, renew};
use crate::door::stop::Stop;
use crate::door::upstream::UpstreamError;
use crate::identity::clock::die;

const FIRST_WAIT: Duration = Duration::from_millis(250);
const LONGEST_WAIT: Duration = Duration::from_secs(30);
/// How often it is looked whether the files or the age of the trust have changed.
const LOOK: Duration = Duration::from_secs(5);

/// Follows the authority until the word to stop.
pub(super) async fn run(
    config: RemoteConfig,
    known: Arc<Known>,
    connected: watch::Sender<Option<Channel>>,
    mut stop: Stop,
) {
    let aging = Arc::clone(&known);
    let renewing = renew::Renewing { config: &config, known: &known, connection: connected.subscribe() };
    tokio::select! {
        () = stop.wait() => {}
        () = keep_connected(&config, &known, &connected) => {}
        () = age(&aging) => {}
        () = renewing.run() => {}
    }
    // Whoever waits for a connection waits in vain.
    drop(connected);
}

/// Trust that nobody confirms has an end.
async fn age(known: &Known) {
    let mut look = interval(LOOK);
    loop {
        look.tick().await;
        known.age();
    }
}

async fn keep_connected(
    config: &RemoteConfig,
    known: &Arc<Known>,
    connected: &watch::Sender<Option<Channel>>,
) {
    let mut wait = FIRST_WAIT;
    loop {
        let stamps = connect::stamps(config);
        match connect::connect(config).await {
            Ok(channel) => {
                connected.send_replace(Some(channel.clone()));
                let heard = tokio::select! {
                    heard = listen(channel, known) => heard,
                    () = files_changed(config, &stamps) => {
                        info!("the certificates for the authority changed: connecting anew");
                        true
                    }
                };
                connected.send_replace(None);
                if heard {
                    wait = FIRST_WAIT;
                }
            }
            Err(error) => {
                warn!(authority = %config.address, %error, "the authority cannot be reached");
                known.trouble(error.to_string());
            }
        }
        sleep(jittered(wait)).await;
        wait = wait.saturating_mul(2).min(LONGEST_WAIT);
    }
}

/// Says whether the authority sent anything.
async fn listen(channel: Channel, known: &Arc<Known>) -> bool {
    let mut client = AuthorityServiceClient::new(channel).max_decoding_message_size(MESSAGE_MAX_BYTES);
    let mut stream = match tokio::time::timeout(CALL_MAX, client.watch_trust(WatchTrustRequest {})).await {
        Ok(Ok(stream)) => stream.into_inner(),
        Ok(Err(status)) => {
            refused(&status, known).await;
            return false;
        }
        Err(_) => {
            warn!("the authority does not answer");
            return false;
        }
    };
    info!("following the authority's trust");
    let heard = take_all(&mut stream, known).await;
    known.lost();
    heard
}

async fn take_all(stream: &mut Streaming<Trust>, known: &Arc<Known>) -> bool {
    let mut heard = false;
    loop {
        let message = match stream.message().await {
            Ok(Some(message)) => message,
            Ok(None) => {
                warn!("the authority ended the stream of trust");
                return heard;
            }
            Err(status) => {
                refused(&status, known).await;
                return heard;
            }
        };
        if !take(message, known).await {
            return heard;
        }
        heard = true;
    }
}

async fn refused(status: &Status, known: &Arc<Known>) {
    warn!(code = ?status.code(), reason = status.message(), "the authority sends no trust");
    if matches!(answer::error(status), UpstreamError::Revoked(_)) {
        let known = Arc::clone(known);
        let _stopping = spawn_blocking(move || known.disown()).await;
    }
}

/// Believes a message, if it is one.
async fn take(message: Trust, known: &Arc<Known>) -> bool {
    let known = Arc::clone(known);
    let taken = spawn_blocking(move || match wire::parse(&message) {
        Ok(trust) => {
            known.hear(trust, &message);
            true
        }
        Err(problems) => {
            let first = problems.first().map(ToString::to_string).unwrap_or_default();
            warn!(problems = problems.len(), %first, "the authority's trust cannot be read; the last one stays");
            false
        }
    });
    taken.await.unwrap_or(false)
}

async fn files_changed(config: &RemoteConfig, stamps: &connect::Stamps) {
    let mut look = interval(LOOK);
    while connect::stamps(config) == *stamps {
        look.tick().await;
    }
}

/// Between half and all of it.
fn jittered(wait: Duration) -> Duration {
    wait / 2 + (wait / 2).mul_f64(die())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_is_between_half_and_all() {
        let waits: Vec<_> = (0..100).map(|_| jittered(LONGEST_WAIT)).collect();
        assert!(waits.iter().all(|wait| (LONGEST_WAIT / 2..=LONGEST_WAIT).contains(wait)));
        assert!(waits.iter().any(|wait| *wait != waits[0]));
    }
}
