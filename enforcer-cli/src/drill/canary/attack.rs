//! The loops: serve the own tenant, use what is the own tenant's, attack what is the other's. Each way has a thread
//! of its own, so that a slow refusal on one does not slow down the others.

use std::collections::BTreeMap;
use std::io::{self, Read as _, Write as _};
use std::net::{TcpListener, UdpSocket};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use super::job::{Attack, Side};
use super::ways::{self, Outcome};
use crate::drill::tally::{Count, Tally, Way};

/// Between two rounds, so that a drill does not take a processor for itself.
const PAUSE: Duration = Duration::from_millis(3);
/// How long a client may keep the listener.
const CLIENT_PATIENCE: Duration = Duration::from_millis(200);

/// What came of everything so far.
#[derive(Clone, Debug, Default)]
pub(super) struct Counters(Arc<Mutex<BTreeMap<Way, Count>>>);

impl Counters {
    /// Now.
    pub(super) fn tally(&self) -> Tally {
        Tally(self.lock().clone())
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Way, Count>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, way: Way, change: impl FnOnce(&mut Count)) {
        change(self.lock().entry(way).or_default());
    }

    fn attempted(&self, way: Way, outcome: Outcome) {
        self.change(way, |count| {
            count.attempts += 1;
            match outcome {
                Outcome::Through => count.crossed += 1,
                Outcome::Held => {}
                Outcome::Unclear => count.unclear += 1,
            }
        });
    }

    fn controlled(&self, way: Way, outcome: Outcome) {
        self.change(way, |count| match outcome {
            Outcome::Through => count.controls += 1,
            Outcome::Held | Outcome::Unclear => count.broken += 1,
        });
    }
}

/// Starts every loop; they end with the process.
pub(super) fn start(attack: &Attack) -> io::Result<Counters> {
    let counters = Counters::default();
    let side = attack.side;
    let listener = TcpListener::bind(ways::local(side.port()))?;
    thread::spawn(move || listen(&listener));
    let socket = UdpSocket::bind(ways::local(side.port()))?;
    let heard = counters.clone();
    thread::spawn(move || hear(&socket, side, &heard));
    let sender = UdpSocket::bind(ways::local(0))?;
    for way in Way::ALL {
        let (attack, counters, sender) = (attack.clone(), counters.clone(), sender.try_clone()?);
        thread::spawn(move || {
            loop {
                round(way, &attack, &sender, &counters);
                thread::sleep(PAUSE);
            }
        });
    }
    Ok(counters)
}

fn round(way: Way, attack: &Attack, sender: &UdpSocket, counters: &Counters) {
    let (own, other) = (attack.side, attack.side.other());
    match way {
        Way::Tcp => {
            counters.controlled(way, ways::converse(own.port()));
            counters.attempted(way, ways::connect(other.port()));
        }
        Way::Udp => {
            counters.controlled(way, ways::exchange(own.port(), own.sign()));
            // One that left is not yet one that arrived: the other end counts those.
            match ways::send(sender, other.port(), own.sign()) {
                Outcome::Through | Outcome::Held => counters.attempted(way, Outcome::Held),
                Outcome::Unclear => counters.attempted(way, Outcome::Unclear),
            }
        }
        Way::Open => {
            counters.controlled(way, ways::open(&attack.nodes.join(own.node())));
            counters.attempted(way, ways::open(&attack.nodes.join(other.node())));
        }
        Way::Mknod => {
            let path = attack.nodes.join(format!("made-by-{}", own.tenant()));
            counters.controlled(way, ways::make_null(&path));
            counters.attempted(way, ways::make(&path, attack.major, other.minor()));
        }
    }
}

/// Gives everybody back what they say: who gets this far was let through.
fn listen(listener: &TcpListener) {
    for mut stream in listener.incoming().flatten() {
        let mut byte = [0];
        let patient = stream.set_read_timeout(Some(CLIENT_PATIENCE));
        let _gone =
            patient.and_then(|()| stream.read_exact(&mut byte)).and_then(|()| stream.write_all(&byte));
    }
}

/// Answers its own tenant's datagrams; every one of the other's has crossed.
fn hear(socket: &UdpSocket, side: Side, counters: &Counters) {
    let mut byte = [0];
    loop {
        let Ok((1, from)) = socket.recv_from(&mut byte) else { continue };
        if byte == [side.sign()] {
            let _gone = socket.send_to(&byte, from);
        } else {
            counters.change(Way::Udp, |count| count.crossed += 1);
        }
    }
}
