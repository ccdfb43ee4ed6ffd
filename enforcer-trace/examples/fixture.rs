//! Writes a small store and exports of it, for trying out what reads them: `fixture DIRECTORY`.
//!
//! `trace/` is the store, `keys/TENANT/1` are the tenants' keys, `plain.parquet`, `records.jsonl` and `refused.pcapng` are
//! exports of everything.

use std::error::Error;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use enforcer_proto::v1;
use enforcer_trace::export::{Format, export};
use enforcer_trace::keys::{KeyError, Keys, TenantKey};
use enforcer_trace::query::{Query, Scope, query};
use enforcer_trace::{Limits, Store, parquet};
use zeroize::Zeroizing;

const START: u64 = 1_795_838_400_000_000_000;

fn main() -> Result<(), Box<dyn Error>> {
    let directory = PathBuf::from(std::env::args_os().nth(1).ok_or("fixture DIRECTORY")?);
    let keys: Arc<dyn Keys> = Arc::new(Files::new(directory.join("keys"))?);
    let trace = directory.join("trace");
    let (mut store, _) = Store::open(&trace, Limits::default(), Arc::clone(&keys), "node-1", START)?;
    let records: Vec<_> = (1..=1000).map(record).map(Arc::new).collect();
    store.append(&records, START)?;
    store.seal(START)?;
    let outputs = [
        ("plain.parquet", Format::Parquet),
        ("records.jsonl", Format::JsonLines),
        ("refused.pcapng", Format::PcapNg),
    ];
    for (name, format) in outputs {
        let everything = Query::parse(&v1::QueryRequest::default())?;
        let answer = query(&trace, &keys, &everything, &Scope::Everything)?;
        let exported = export(answer, format, File::create(directory.join(name))?)?;
        println!("{name}: {} records, {} left out", exported.records, exported.left_out);
    }
    Ok(())
}

/// Flows of red and blue; every tenth one is refused between them, with its packet.
fn record(sequence: u64) -> v1::Record {
    let is_refused = sequence.is_multiple_of(10);
    let owner = if sequence.is_multiple_of(3) { "blue" } else { "red" };
    let other = if is_refused { if owner == "red" { "blue" } else { "red" } } else { owner };
    let port = u32::try_from(30_000 + sequence).unwrap_or(1);
    let end = |identity: &str, address: &str, port| {
        let (identity, workload) = (identity.to_owned(), format!("{identity}-web"));
        Some(v1::Endpoint {
            identity,
            workload,
            address: address.to_owned(),
            port,
            ..v1::Endpoint::default()
        })
    };
    v1::Record {
        sequence,
        time: i64::try_from(START + sequence * 1_000_000).ok().map(parquet::from_nanoseconds),
        boot_ns: sequence * 1_000_000,
        node: "node-1".to_owned(),
        r#type: "flow".to_owned(),
        verdict: if is_refused { "deny" } else { "allow" }.to_owned(),
        reason: if is_refused { "cross_tenant_no_rule" } else { "" }.to_owned(),
        rule: if is_refused { "no-rule-matched" } else { "intra-tenant" }.to_owned(),
        hook: "tcx/from_workload".to_owned(),
        protocol: "TCP".to_owned(),
        source: end(owner, "10.1.0.2", port),
        destination: end(other, "10.2.0.3", 443),
        process: Some(v1::Process {
            pid: 77,
            executable: "/usr/bin/curl".to_owned(),
            arguments: vec!["curl".to_owned(), "https://10.2.0.3/".to_owned()],
            identity: owner.to_owned(),
            ..v1::Process::default()
        }),
        packet: if is_refused { packet(port) } else { Vec::new() },
        packet_length: if is_refused { 60 } else { 0 },
        ..v1::Record::default()
    }
}

/// The first bytes of a TCP SYN of 60 bytes: IPv4 and TCP headers without options.
fn packet(port: u32) -> Vec<u8> {
    let mut packet = vec![0x45, 0, 0, 60, 0, 1, 0x40, 0, 64, 6, 0, 0, 10, 1, 0, 2, 10, 2, 0, 3];
    let sum = packet.chunks(2).map(|pair| u32::from(pair[0]) << 8 | u32::from(pair[1])).sum::<u32>();
    let folded = !u16::try_from((sum & 0xffff) + (sum >> 16)).unwrap_or(0);
    packet[10..12].copy_from_slice(&folded.to_be_bytes());
    packet.extend(u16::try_from(port).unwrap_or(1).to_be_bytes());
    packet.extend([1, 0xbb, 0, 0, 0, 1, 0, 0, 0, 0, 0xa0, 2, 0xfa, 0xf0, 0, 0, 0, 0]);
    packet
}

/// Keys in files, as `enforcer_kms.KeyFiles` reads them.
struct Files {
    directory: PathBuf,
    signer: Ed25519KeyPair,
}

impl Files {
    fn new(directory: PathBuf) -> Result<Self, Box<dyn Error>> {
        for tenant in ["red", "blue", "_node"] {
            fs::create_dir_all(directory.join(tenant))?;
            let mut secret = [0; 32];
            aws_lc_rs::rand::fill(&mut secret).map_err(|_| "no randomness")?;
            fs::write(directory.join(tenant).join("1"), secret)?;
        }
        let signer = Ed25519KeyPair::generate().map_err(|_| "no randomness")?;
        Ok(Self { directory, signer })
    }

    fn read(path: &Path) -> Option<Zeroizing<[u8; 32]>> {
        fs::read(path).ok()?.try_into().ok().map(Zeroizing::new)
    }
}

impl Keys for Files {
    fn tenant(&self, tenant: &str) -> Result<TenantKey, KeyError> {
        self.existing(&format!("{tenant}/1"))
    }

    fn existing(&self, id: &str) -> Result<TenantKey, KeyError> {
        let secret = Self::read(&self.directory.join(id)).ok_or_else(|| KeyError::Unknown(id.to_owned()))?;
        TenantKey::new(id, secret)
    }

    fn sign(&self, message: &[u8]) -> Result<[u8; 64], KeyError> {
        self.signer.sign(message).as_ref().try_into().map_err(|_| KeyError::Cipher("sign"))
    }

    fn public(&self) -> [u8; 32] {
        self.signer.public_key().as_ref().try_into().unwrap_or([0; 32])
    }
}
