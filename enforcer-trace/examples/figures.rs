//! Bytes an event at rest, and rows a second, on made-up traffic: `figures [RECORDS [FILE]]`, with `--release`. FILE gets
//! the same without encryption, for looking at single columns.
//!
//! A tenant of twenty workloads and sixty processes, some far busier than others. Connections come in bursts; each is an
//! allowed flow, its states and its end, from an ephemeral port to one of a few servers. Between them processes begin
//! and end, and one flow in fifty is refused, with its packet.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use enforcer_proto::v1;
use enforcer_trace::parquet::{Predicate, Protection, Reader, Test, from_nanoseconds, write};

const KEY: [u8; 32] = [9; 32];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let count = std::env::args().nth(1).map_or(Ok(1_000_000), |word| word.parse())?;
    let records: Vec<_> = Traffic::new().take(count).collect();
    let protection = Protection::Sealed { key: &KEY, metadata: b"{}" };

    let begun = Instant::now();
    let mut file = Vec::new();
    let sealed = write(&mut file, &records, protection)?;
    rate("write", count, begun);
    let packets: usize = records.iter().map(|record| record.packet.len()).sum();
    let whole = file.len();
    println!("{whole} bytes, {} an event ({packets} bytes of packets)", per(whole, count));
    for group in &sealed.row_groups {
        println!("  row group of {} records: {} bytes", group.records, group.length);
    }
    if let Some(plain) = std::env::args().nth(2) {
        write(std::fs::File::create(plain)?, &records, Protection::Plain)?;
    }
    let source = Arc::new(file);
    let read = |what: &str, predicate: Predicate| -> Result<(), Box<dyn std::error::Error>> {
        let begun = Instant::now();
        let reader = Reader::open(Arc::clone(&source) as Arc<_>, |_| Ok(KEY), predicate)?;
        let found = reader.collect::<Result<Vec<_>, _>>()?.len();
        rate(&format!("{what} ({found} found)"), count, begun);
        Ok(())
    };
    read("read", Predicate::default())?;
    let test = Test { columns: vec!["verdict"], passes: Arc::new(|record| record.verdict == "deny") };
    read("refused", Predicate { test: Some(test), ..Predicate::default() })?;
    let after = u64::try_from(count)?.saturating_sub(100);
    read("last hundred", Predicate { after: Some(after), ..Predicate::default() })
}

fn rate(what: &str, count: usize, begun: Instant) {
    let seconds = begun.elapsed().as_secs_f64();
    let rows = u32::try_from(count).map_or(f64::INFINITY, f64::from) / seconds;
    println!("{what}: {seconds:.3} s, {rows:.0} rows/s");
}

fn per(bytes: usize, count: usize) -> String {
    let hundredths = bytes.saturating_mul(100) / count.max(1);
    format!("{}.{:02}", hundredths / 100, hundredths % 100)
}

/// Records of one tenant, in order. The numbers are those of a fixed generator: every run is the same.
struct Traffic {
    sequence: u64,
    now_ns: u64,
    random: u64,
    cpu_sequences: [u64; 8],
    waiting: VecDeque<v1::Record>,
}

impl Traffic {
    const fn new() -> Self {
        Self {
            sequence: 0,
            now_ns: 7_200_000_000_000,
            random: 0x9e37_79b9_7f4a_7c15,
            cpu_sequences: [0; 8],
            waiting: VecDeque::new(),
        }
    }

    /// xorshift64*
    fn next_random(&mut self, below: u64) -> u64 {
        self.random ^= self.random >> 12;
        self.random ^= self.random << 25;
        self.random ^= self.random >> 27;
        (self.random.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % below
    }

    /// Low numbers far more often than high ones.
    fn skewed(&mut self, below: u64) -> u64 {
        let one = self.next_random(below);
        let other = self.next_random(one + 1);
        self.next_random(other + 1)
    }

    /// Connections of one process, begun in one burst.
    fn burst(&mut self) {
        let process = self.skewed(60);
        let (server, length) = (self.skewed(12), 1 + self.next_random(24));
        let mut later = Vec::new();
        for _ in 0..length {
            let port = 32_768 + self.next_random(28_232);
            let cookie = 4_096 + self.sequence * 3 + self.next_random(16);
            let is_refused = self.next_random(50) == 0;
            let mut record = flow(process, server, port, cookie, is_refused);
            if is_refused {
                record.packet = (0..60).map(|_| u8::try_from(self.next_random(256)).unwrap_or(0)).collect();
                record.packet_length = 60;
            } else {
                later.push((record.clone(), "SYN-SENT", "ESTAB", "state"));
                later.push((record.clone(), "ESTAB", "CLOSE", "closed"));
            }
            self.waiting.push_back(record);
        }
        for (mut record, before, after, event) in later {
            let facts = record.flow.get_or_insert_default();
            (facts.state_before, facts.state, facts.event) = (before.into(), after.into(), event.into());
            record.verdict = String::new();
            record.rule = String::new();
            record.hook = "sock_ops".to_owned();
            if event == "closed" {
                facts.bytes_sent = 200 + self.skewed(4_000);
                facts.bytes_received = 500 + self.skewed(200_000);
                facts.packets_sent = 4 + facts.bytes_sent / 1_400;
                facts.packets_received = 4 + facts.bytes_received / 1_400;
                facts.duration_ns = 400_000 + self.next_random(50_000_000);
            }
            self.waiting.push_back(record);
        }
    }
}

impl Iterator for Traffic {
    type Item = v1::Record;

    fn next(&mut self) -> Option<v1::Record> {
        while self.waiting.is_empty() {
            self.burst();
        }
        let mut record = self.waiting.pop_front()?;
        self.sequence += 1;
        self.now_ns += 20_000 + self.next_random(400_000);
        let cpu = self.next_random(8);
        let lane = self.cpu_sequences.get_mut(usize::try_from(cpu).unwrap_or(0))?;
        *lane += 1;
        record.cpu_sequence = *lane;
        record.cpu = u32::try_from(cpu).ok();
        record.sequence = self.sequence;
        record.boot_ns = self.now_ns;
        record.time = i64::try_from(1_795_838_400_000_000_000 + self.now_ns).ok().map(from_nanoseconds);
        record.time_error_ns = 1_000;
        Some(record)
    }
}

fn flow(process: u64, server: u64, port: u64, cookie: u64, is_refused: bool) -> v1::Record {
    let number = |value: u64| u32::try_from(value).unwrap_or(0);
    let workload = process % 20;
    v1::Record {
        node: "node-17.rack-3.example".to_owned(),
        r#type: "flow".to_owned(),
        verdict: if is_refused { "deny" } else { "allow" }.to_owned(),
        reason: if is_refused { "cross_tenant_no_rule" } else { "" }.to_owned(),
        rule: if is_refused { "no-rule-matched" } else { "intra-tenant" }.to_owned(),
        revision: 41,
        hook: "tcx/from_workload".to_owned(),
        protocol: "TCP".to_owned(),
        source: Some(v1::Endpoint {
            identity: "red".to_owned(),
            workload: format!("trainer-{workload}"),
            address: format!("10.42.7.{}", 10 + workload),
            port: number(port),
            spiffe_id: format!("spiffe://example.org/tenant/red/workload/trainer-{workload}"),
            svid_serial: format!("4f3a9c0d7712e{workload:03x}"),
            ..v1::Endpoint::default()
        }),
        destination: Some(v1::Endpoint {
            identity: if is_refused { "another tenant" } else { "red" }.to_owned(),
            workload: if is_refused { String::new() } else { format!("store-{server}") },
            address: if is_refused { String::new() } else { format!("10.42.9.{}", 10 + server) },
            port: [443, 8443, 5432, 9000].get(usize::try_from(server % 4).unwrap_or(0)).copied().unwrap_or(0),
            ..v1::Endpoint::default()
        }),
        process: Some(v1::Process {
            pid: number(10_000 + process * 7),
            command: format!("worker-{}", process % 12),
            cgroup_id: 5_000 + workload,
            cgroup: format!("/kubepods/pod-{workload}/main"),
            start_boot_ns: 3_600_000_000_000 + process * 77_777_777,
            executable: format!("/opt/train/bin/worker-{}", process % 12),
            arguments: vec!["worker".to_owned(), "--rank".to_owned(), process.to_string()],
            uid: 1000,
            identity: "red".to_owned(),
            ancestors: vec![
                v1::Ancestor {
                    pid: number(9_000 + workload),
                    start_boot_ns: 3_500_000_000_000 + workload,
                    executable: "/usr/bin/python3.12".to_owned(),
                },
                v1::Ancestor {
                    pid: 1,
                    start_boot_ns: 1_000,
                    executable: "/usr/lib/systemd/systemd".to_owned(),
                },
            ],
            ..v1::Process::default()
        }),
        flow: Some(v1::FlowFacts { event: "opened".to_owned(), tcp_flags: 2, ..v1::FlowFacts::default() }),
        cookie,
        ..v1::Record::default()
    }
}
