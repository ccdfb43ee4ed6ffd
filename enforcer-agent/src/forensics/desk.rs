//! What it takes to make records of events, and to complete records that others made.

use std::collections::VecDeque;
use std::sync::Arc;

use enforcer_common::event::{
    Event, HOOK_CONNECT, HOOK_SENDMSG, HOOK_SOCKET_INGRESS, KIND_PROCESS_EXEC, KIND_PROCESS_EXIT,
    KIND_PROCESS_FORK, ring_name,
};
use enforcer_common::maps::{CounterKey, CounterValue};
use enforcer_core::enforce::Loss;
use enforcer_core::event::batch::Batch;
use enforcer_core::event::clock::{Clock, Jump, Reading};
use enforcer_core::event::decode::{Decoded, decode, header};
use enforcer_core::event::gaps::Gaps;
use enforcer_core::event::names::is_default_rule;
use enforcer_core::event::record::{
    Context, LOG, end_of, of_packet, of_process, of_socket, of_unknown, record,
};
use enforcer_core::event::scene::Scene;
use enforcer_core::event::sequence::Sequencer;
use enforcer_core::event::totals::Totals;
use enforcer_proto::v1;

use super::clock;
use super::paths::{PathLookup, Paths};
use super::proc::GroupLookup;
use super::processes::{Processes, Role};
use super::serials::Serials;
use super::sockets::{Owner, Sockets};

/// How many scenes are kept, so that an event is named by the policy that was in force when it happened.
const SCENES: usize = 8;

pub(super) struct Desk {
    sequencer: Sequencer,
    paths: Paths,
    /// Newest last; never empty.
    scenes: VecDeque<Arc<Scene>>,
    clock: Clock,
    gaps: Gaps,
    totals: Totals,
    totals_at_ns: Option<u64>,
    processes: Processes,
    sockets: Sockets,
    serials: Serials,
}

/// Who did it, besides what the event tells.
struct Actor {
    role: Role,
    at_ns: u64,
    identity: u32,
}

impl Desk {
    pub(super) fn new(
        node: String,
        first: u64,
        losses: &[Loss],
        scene: Arc<Scene>,
        (paths, groups): (PathLookup, GroupLookup),
        serials: Serials,
    ) -> Self {
        let reading = clock::read();
        Self {
            sequencer: Sequencer::new(node, first, losses),
            paths: Paths::new(paths),
            scenes: VecDeque::from([scene]),
            clock: Clock::new(reading),
            gaps: Gaps::new(reading.boot_ns, losses),
            totals: Totals::default(),
            totals_at_ns: None,
            processes: Processes::new(groups),
            sockets: Sockets::default(),
            serials,
        }
    }

    /// Takes the processes that are there already.
    pub(super) fn seed(&mut self) {
        let Some(scene) = self.scenes.back() else { return };
        self.processes.seed(scene, &mut self.paths, clock::boot_ns());
    }

    pub(super) fn remember(&mut self, scene: Arc<Scene>) {
        // The node changes under one revision too: its latest look replaces the earlier one.
        self.scenes.retain(|known| known.revision != scene.revision);
        while self.scenes.len() >= SCENES {
            self.scenes.pop_front();
        }
        self.scenes.push_back(scene);
    }

    /// Records of a batch, in the order of time. Whom the processes are is learnt first: they come through another ring.
    pub(super) fn records(&mut self, batch: &Batch) -> Vec<v1::Record> {
        self.serials.refresh();
        let mut order = Vec::with_capacity(batch.len());
        for (index, bytes) in batch.iter().enumerate() {
            let head = header(bytes).unwrap_or_default();
            order.push((head.boot_ns, index, bytes));
            if matches!(head.kind, KIND_PROCESS_EXEC | KIND_PROCESS_FORK | KIND_PROCESS_EXIT)
                && let Ok(Decoded::Process(event)) = decode(bytes)
            {
                self.processes.apply(&event);
            }
        }
        order.sort_unstable_by_key(|(boot_ns, index, _)| (*boot_ns, *index));
        let mut records = Vec::with_capacity(batch.len());
        let mut undecodable = 0;
        for (_, _, bytes) in order {
            match decode(bytes) {
                Ok(decoded) => {
                    // What is missing before it is not told here: it may be another tenant's, and loss records account for it.
                    self.gaps.take(decoded.header());
                    let told = self.record_of(&decoded);
                    records.extend(told.map(|told| self.sequencer.number(told)));
                }
                Err(_) => undecodable += 1,
            }
        }
        if undecodable != 0 {
            let loss = self.sequencer.loss("undecodable", undecodable, clock::now());
            records.push(self.sequencer.number(loss));
        }
        records
    }

    /// Nothing for a canary, and for a process that was made: it is only remembered.
    fn record_of(&mut self, decoded: &Decoded) -> Option<v1::Record> {
        if decoded.is_canary() || decoded.header().kind == KIND_PROCESS_FORK {
            return None;
        }
        let (revision, cgroup) = match decoded {
            Decoded::Decision(event) => (event.revision, event.cgroup),
            Decoded::Packet(packet) => (packet.event.revision, packet.event.cgroup),
            Decoded::Socket(socket) => (0, socket.cgroup),
            Decoded::Process(process) => (0, process.cgroup),
            Decoded::Unknown(_) => (0, 0),
        };
        let scene = self.scene_of(revision)?;
        let path = self.paths.of(cgroup);
        let context = Context { scene: &scene, clock: &self.clock, cgroup_path: path.as_deref() };
        let at_ns = decoded.header().boot_ns;
        let (mut told, actor) = match decoded {
            Decoded::Decision(event) => (record(event, &context), self.actor(event)),
            Decoded::Packet(packet) => (of_packet(packet, &context), self.actor(&packet.event)),
            Decoded::Socket(socket) => {
                // When it was connected, its maker was nearer than when it ends.
                let then = if socket.since_ns == 0 { at_ns } else { socket.since_ns };
                let owner = Owner { pid: socket.process, cgroup, at_ns: then };
                self.sockets.remember(socket.cookie, owner);
                let actor = Actor { role: Role::MadeSocket, at_ns: then, identity: socket.identity };
                (of_socket(socket, &context), actor)
            }
            Decoded::Process(process) => {
                (of_process(process, &context), Actor { role: Role::Acts, at_ns, identity: process.identity })
            }
            Decoded::Unknown(header) => return Some(of_unknown(header, &context)),
        };
        if let Some(process) = &mut told.process {
            let of = scene.identity_name(actor.identity);
            self.processes.complete(process, (actor.role, actor.at_ns), &of, &scene, &mut self.paths);
        }
        self.serials.fill(told.source.as_mut());
        self.serials.fill(told.destination.as_mut());
        Some(told)
    }

    fn actor(&mut self, event: &Event) -> Actor {
        let at_ns = event.header.boot_ns;
        self.sockets.remember(event.cookie, Owner { pid: event.process, cgroup: event.cgroup, at_ns });
        let identity = match event.hook {
            HOOK_SOCKET_INGRESS => event.destination_identity,
            _ => event.source_identity,
        };
        // At a packet's hooks only the socket's maker is known; the others run in the context of who asks.
        let is_packet = event.protocol != 0 && !matches!(event.hook, HOOK_CONNECT | HOOK_SENDMSG);
        let role = if is_packet { Role::MadeSocket } else { Role::Acts };
        Actor { role, at_ns, identity }
    }

    /// Records that others made, with what they could not know.
    pub(super) fn numbered(&mut self, records: Vec<v1::Record>, lost: u64) -> Vec<v1::Record> {
        self.serials.refresh();
        let loss = (lost != 0).then(|| self.sequencer.loss("tell_full", lost, clock::now()));
        let records: Vec<_> = records.into_iter().map(|record| self.completed(record)).collect();
        loss.into_iter().chain(records).map(|record| self.sequencer.number(record)).collect()
    }

    fn completed(&mut self, mut record: v1::Record) -> v1::Record {
        let Some(scene) = self.scene_of(record.revision) else { return record };
        if record.node.is_empty() {
            record.node.clone_from(&scene.facts.name);
        }
        if record.rule_owner.is_empty() && !is_default_rule(&record.rule) {
            let owner = scene.policy.rules.get(record.rule.as_str()).and_then(|rule| rule.owner());
            record.rule_owner = owner.map_or_else(String::new, ToString::to_string);
        }
        if record.tunnel.is_some() {
            self.complete_tunnel(&mut record, &scene);
        }
        self.serials.fill(record.source.as_mut());
        self.serials.fill(record.destination.as_mut());
        record
    }

    /// The certificates that were shown are the ends', and the process is whoever made the intercepted socket.
    fn complete_tunnel(&mut self, record: &mut v1::Record, scene: &Scene) {
        let Some(facts) = &record.tunnel else { return };
        if let Some(source) = &mut record.source {
            source.spiffe_id.clone_from(&facts.source_id);
            source.svid_serial.clone_from(&facts.source_serial);
        }
        if let Some(destination) = &mut record.destination {
            destination.spiffe_id.clone_from(&facts.destination_id);
            destination.svid_serial.clone_from(&facts.destination_serial);
        }
        record.cookie = facts.cookie;
        let end = if facts.direction == "inbound" { &record.destination } else { &record.source };
        if let Some(end) = end
            && record.process.is_none()
        {
            let process = self.of_socket(facts.cookie, end, scene);
            record.process = process;
        }
    }

    fn of_socket(&mut self, cookie: u64, end: &v1::Endpoint, scene: &Scene) -> Option<v1::Process> {
        if let Some(owner) = self.sockets.owner(cookie) {
            let cgroup = self.paths.of(owner.cgroup).map_or_else(String::new, |path| path.to_string());
            let mut process =
                v1::Process { pid: owner.pid, cgroup_id: owner.cgroup, cgroup, ..v1::Process::default() };
            let when = (Role::MadeSocket, owner.at_ns);
            self.processes.complete(&mut process, when, &end.identity, scene, &mut self.paths);
            return Some(process);
        }
        let workload = scene.policy.workloads.get(end.workload.as_str())?;
        Some(v1::Process {
            cgroup: workload.cgroup.clone().unwrap_or_default(),
            identity: end.identity.clone(),
            gap: "the socket's maker was not seen".to_owned(),
            ..v1::Process::default()
        })
    }

    /// Records of what was lost since the last time, and of what is missing and nobody counted.
    pub(super) fn losses(&mut self, losses: &[Loss]) -> Vec<v1::Record> {
        let Some(scene) = self.scene_of(0) else { return Vec::new() };
        let now = clock::now();
        let mut records = self.sequencer.losses(losses, now, |source| end_of(&scene, source));
        for missing in self.gaps.check(losses) {
            let cause = format!("{}_unaccounted", ring_name(missing.ring));
            let loss = self.sequencer.loss(&cause, missing.count, now);
            records.push(self.sequencer.number(loss));
        }
        records
    }

    /// Records of what the counters say since the last time.
    pub(super) fn totals(&mut self, counters: &[(CounterKey, CounterValue)]) -> Vec<v1::Record> {
        let Some(scene) = self.scene_of(0) else { return Vec::new() };
        let now_ns = clock::boot_ns();
        let since = self.totals_at_ns.replace(now_ns).map(|before| now_ns.saturating_sub(before));
        let records = self.totals.take(counters, &scene, clock::now(), since);
        records.into_iter().map(|record| self.sequencer.number(record)).collect()
    }

    /// Reads the clocks again; a record when the time of day was set.
    pub(super) fn tick(&mut self, reading: Reading) -> Option<v1::Record> {
        let jump = self.clock.take(reading)?;
        let record = v1::Record {
            time: Some(clock::now()),
            node: self.scene_of(0).map_or_else(String::new, |scene| scene.facts.name.clone()),
            r#type: LOG.to_owned(),
            boot_ns: reading.boot_ns,
            note: Some(note_of(&jump)),
            ..v1::Record::default()
        };
        Some(self.sequencer.number(record))
    }

    /// The policy that decided; the newest one when that is no longer, or not yet, known.
    fn scene_of(&self, revision: u64) -> Option<Arc<Scene>> {
        let then = self.scenes.iter().find(|scene| scene.revision == revision && revision != 0);
        then.or_else(|| self.scenes.back()).map(Arc::clone)
    }
}

fn note_of(jump: &Jump) -> v1::Note {
    let field = |name: &str, value: String| v1::Field { name: name.to_owned(), value };
    let by = i128::from(jump.to.offset_ns) - i128::from(jump.from.offset_ns);
    v1::Note {
        event: "clock_jumped".to_owned(),
        actor: "agent".to_owned(),
        level: "warn".to_owned(),
        message: "the time of day was set".to_owned(),
        fields: vec![
            field("by_ns", by.to_string()),
            field("between_boot_ns", jump.from.boot_ns.to_string()),
            field("and_boot_ns", jump.to.boot_ns.to_string()),
        ],
        ..v1::Note::default()
    }
}
