//! A stream of flows. It reads at the client's pace: a slow client holds a few answers and slows nobody down, it misses
//! records, and is told how many.

use std::sync::Arc;

use enforcer_core::hubble::names::Names;
use enforcer_core::hubble::query::{Answer, Begin, Query, Reader, Rewind};
use enforcer_proto::hubble::observer::GetFlowsResponse;
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio_stream::wrappers::ReceiverStream;
use tokio_stream::{Stream, StreamExt as _};
use tonic::Status;

use super::limits::AHEAD;
use super::room::Room;
use crate::door::records::{Records, Scope, Start};
use crate::door::stop::Stop;

type Item = Result<GetFlowsResponse, Status>;

/// The answer. Its task ends when the query is answered, when the client is gone, and at the word to stop.
pub(super) fn stream(
    room: &Arc<Room>,
    query: Query,
    scope: Scope,
    mut stop: Stop,
    place: OwnedSemaphorePermit,
) -> impl Stream<Item = Item> + Send + use<> {
    let (out, answers) = mpsc::channel(AHEAD);
    // Taken now, so that nothing that comes after the call is missed before the task first runs.
    let opened = open(room, query, &scope);
    let room = Arc::clone(room);
    tokio::spawn(async move {
        let _place = place;
        tokio::select! {
            () = answer(&room, opened, scope, &out) => {}
            () = out.closed() => {}
            () = stop.wait() => {
                let _gone = out.try_send(Err(Status::unavailable("the agent is stopping")));
            }
        }
    });
    ReceiverStream::new(answers)
}

/// Where the answer comes from.
enum Opened {
    /// Records from where the query begins.
    Ready(Reader, Records),
    /// What is held has to be looked through for the last so many flows.
    Search(Query, Rewind, Records),
}

fn open(room: &Room, query: Query, scope: &Scope) -> Opened {
    let read = |start, follow| (room.hubble.subscribe)(scope.clone(), start, follow);
    let is_follow = query.is_follow();
    match query.begin() {
        Begin::Oldest => Opened::Ready(Reader::new(query), read(Start::Oldest, is_follow)),
        Begin::Newest => Opened::Ready(Reader::new(query), read(Start::Newest, is_follow)),
        // As many as there can be: no need to look for where they begin.
        Begin::Last(number) if number >= (room.hubble.holding)().capacity => {
            Opened::Ready(Reader::rewound(query, number), read(Start::Oldest, is_follow))
        }
        Begin::Last(number) => Opened::Search(query, Rewind::new(number), read(Start::Oldest, false)),
    }
}

async fn answer(room: &Room, opened: Opened, scope: Scope, out: &mpsc::Sender<Item>) {
    let mut names = Current::new(room);
    let (mut reader, mut records) = match opened {
        Opened::Ready(reader, records) => (reader, records),
        Opened::Search(query, mut rewind, mut held) => {
            while let Some(record) = held.next().await {
                rewind.see(&record, &query, names.now());
            }
            let (after, count) = rewind.end();
            let (start, is_follow) = (after.map_or(Start::Oldest, Start::After), query.is_follow());
            (Reader::rewound(query, count), (room.hubble.subscribe)(scope, start, is_follow))
        }
    };
    while let Some(record) = records.next().await {
        let (response, is_last) = match reader.take(&record, names.now()) {
            Answer::Skip => continue,
            Answer::Send(response) => (response, false),
            Answer::Last(response) => (response, true),
            Answer::End => return,
        };
        if out.send(Ok(*response)).await.is_err() || is_last {
            return;
        }
    }
}

/// What names mean, as policies come into force.
struct Current<'a> {
    room: &'a Room,
    names: Names,
}

impl<'a> Current<'a> {
    fn new(room: &'a Room) -> Self {
        Self { room, names: room.names() }
    }

    fn now(&mut self) -> &Names {
        let is_old = {
            let in_force = self.room.hubble.in_force.borrow();
            !Arc::ptr_eq(&in_force.current.policy, self.names.policy())
        };
        if is_old {
            self.names = self.room.names();
        }
        &self.names
    }
}
