//! The network door: TCP, then TLS with both certificates checked, then the same services as the local door.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use rustls::ServerConfig;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tracing::{debug, info, warn};

use super::guests::Guests;
use super::tls::TlsSource;
use super::{ListenError, peer};
use crate::admin::connection::{Connection, Io};
use crate::admin::limits::{CERTIFICATE_POLL, HANDSHAKE_MAX, HANDSHAKES_MAX, NETWORK_CONNECTIONS_MAX};
use crate::door::accept::rest_after;

/// The network door, open.
pub struct NetworkDoor {
    listener: TcpListener,
    source: TlsSource,
    config: Arc<ServerConfig>,
}

impl NetworkDoor {
    /// Reads the certificates, then opens the socket.
    ///
    /// # Errors
    /// The certificates cannot be used, or the address cannot be had.
    pub async fn open(address: SocketAddr, source: TlsSource) -> Result<Self, ListenError> {
        let config = source.load()?;
        let listener =
            TcpListener::bind(address).await.map_err(|error| ListenError::io("bind", address, error))?;
        Ok(Self { listener, source, config })
    }

    /// Where it listens: of use when port 0 was asked for.
    ///
    /// # Errors
    /// The kernel does not say.
    pub fn address(&self) -> Result<SocketAddr, ListenError> {
        self.listener.local_addr().map_err(|error| ListenError::io("look at", "the network socket", error))
    }

    /// Accepts until the receiver is gone. New certificates are taken up as they appear.
    pub(in crate::admin) async fn accept(mut self, connections: mpsc::Sender<Connection>) {
        // Strangers who shake hands slowly take no place from callers who are known.
        let strangers = Arc::new(Semaphore::new(HANDSHAKES_MAX));
        let places = Arc::new(Semaphore::new(NETWORK_CONNECTIONS_MAX));
        let guests = Arc::new(self.source.guests.clone());
        let mut handshakes = JoinSet::new();
        let mut stamp = self.source.stamp();
        let mut poll = tokio::time::interval(CERTIFICATE_POLL);
        loop {
            tokio::select! {
                () = connections.closed() => return,
                Some(_) = handshakes.join_next() => {}
                _ = poll.tick() => {
                    let seen = self.source.stamp();
                    if seen != stamp {
                        stamp = seen;
                        self.reload();
                    }
                }
                accepted = self.listener.accept() => match accepted {
                    Ok((stream, from)) => match Arc::clone(&strangers).try_acquire_owned() {
                        Ok(handshake) => {
                            let acceptor = TlsAcceptor::from(Arc::clone(&self.config));
                            let (connections, places) = (connections.clone(), Arc::clone(&places));
                            let guests = Arc::clone(&guests);
                            handshakes.spawn(async move {
                                if let Some(connection) = shake(stream, from, acceptor, &guests, &places).await {
                                    drop(handshake);
                                    let _closing = connections.send(connection).await;
                                }
                            });
                        }
                        Err(_) => warn!(%from, "connection dropped: too many at once"),
                    },
                    Err(error) => rest_after(&error).await,
                },
            }
        }
    }

    fn reload(&mut self) {
        match self.source.load() {
            Ok(config) => {
                self.config = config;
                info!("the listener's certificates were read again");
            }
            Err(error) => warn!(%error, "the listener's new certificates cannot be used; the old ones stay"),
        }
    }
}

async fn shake(
    stream: TcpStream,
    from: SocketAddr,
    acceptor: TlsAcceptor,
    guests: &Guests,
    places: &Arc<Semaphore>,
) -> Option<Connection> {
    let stream = match timeout(HANDSHAKE_MAX, acceptor.accept(stream)).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => {
            warn!(%from, %error, "caller from the network refused");
            return None;
        }
        Err(_) => {
            debug!(%from, "no handshake in time");
            return None;
        }
    };
    // The verifier let it in, so it is there and parses; anything else is refused all the same.
    let leaf = stream.get_ref().1.peer_certificates()?.first()?;
    let peer = peer::parse(leaf).ok()?;
    let caller = guests.caller(&peer.id)?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let left = peer.not_after.saturating_sub(now);
    let Ok(permit) = Arc::clone(places).try_acquire_owned() else {
        warn!(%from, caller = %peer.id, "connection dropped: too many at once");
        return None;
    };
    debug!(%from, caller = %peer.id, "caller from the network");
    Some(Connection::new(Io::Remote(Box::new(stream)), caller, Some(left), permit))
}
