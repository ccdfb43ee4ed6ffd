//! The kernel side of the agent: loads or adopts the programs, writes and reads back their tables, proves
//! their hooks. The only room that knows aya and `bpf(2)`; it must not know what a policy is, only its image.

mod adopt;
mod btf;
mod canary;
mod check;
mod child;
mod custody;
mod detour;
mod enforce;
mod error;
mod events;
mod handles;
mod hooks;
mod inspect;
mod ledger;
mod lsm;
mod lsm_probe;
mod pins;
mod probe;
mod prove;
mod read_back;
mod rules;
mod step;
mod sys;
mod tables;
mod tap;
mod telling;
mod uninstall;
mod walk;
mod wall;

use std::path::PathBuf;

use enforcer_common::layout::FileLayout;
use enforcer_common::telling::{AGGREGATION_CONNECTIONS, Telling};
use enforcer_core::policy::image::Entries;

pub use error::KernelError;
pub use events::EventReader;
pub use pins::tracefs;
pub use uninstall::uninstall;
pub use wall::Wall;

/// The programs, as built for this agent.
static OBJECT: &[u8] = aya::include_bytes_aligned!(env!("ENFORCER_BPF_OBJECT"));

/// The programs' ELF object: the program tests load it by themselves.
#[must_use]
pub fn object() -> &'static [u8] {
    OBJECT
}

/// Where the running kernel keeps what the programs read of open files, for what loads the object by itself: the object's
/// global `OFFSETS`, without which no program on open files loads.
///
/// # Errors
/// The kernel does not say it.
pub fn file_layout() -> Result<FileLayout, KernelError> {
    btf::layouts().files.map_err(KernelError::Types)
}

/// What the kernel room is told.
#[derive(Clone, Debug)]
pub struct KernelConfig {
    /// Directory on a BPF file system that holds one directory for each ABI version.
    pub pin_root: PathBuf,
    /// The control group whose processes the socket and device hooks cover: the root of the cgroup2
    /// hierarchy on a real node.
    pub cgroup_root: PathBuf,
    /// Record what the device gate would refuse, and let it pass.
    pub device_audit: bool,
    /// The bits of the packet mark that carry the tag.
    pub tag_mask: u32,
    /// How far the tag is shifted into them.
    pub tag_shift: u32,
    /// Entries of each policy table.
    pub capacity: Entries,
    /// Tracked flows.
    pub flows: u32,
    /// How much is told.
    pub telling: Telling,
}

/// How much is told when nobody says otherwise.
pub const TELLING: Telling = Telling {
    security_rate: 2_000,
    security_burst: 2_000,
    sample_rate: 20_000,
    sample_burst: 20_000,
    process_rate: 2_000,
    process_burst: 2_000,
    packet_bytes: 128,
    aggregation: AGGREGATION_CONNECTIONS,
};
