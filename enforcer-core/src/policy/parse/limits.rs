//! How much a push may hold. Every bound of the policy door stands here.

/// Bytes of one YAML document file.
pub const MAX_DOCUMENT_BYTES: usize = 8 << 20;
/// Bytes of one push message: what the gRPC server is told to accept.
pub const MAX_PUSH_BYTES: usize = 64 << 20;
/// Files in one push of documents.
pub const MAX_FILES: usize = 10_000;
/// Nodes (scalars, lists, maps) of one YAML document file.
pub const MAX_YAML_NODES: usize = 1_000_000;
/// Levels of lists and maps in one YAML document.
pub const MAX_YAML_DEPTH: usize = 32;
/// Bytes of one YAML scalar.
pub const MAX_YAML_SCALAR: usize = 8 << 10;

/// Tenants of a policy.
pub const MAX_TENANTS: usize = 65_536;
/// Workloads of a policy.
pub const MAX_WORKLOADS: usize = 262_144;
/// Rules of a policy.
pub const MAX_RULES: usize = 1_048_576;
/// Bindings of a policy.
pub const MAX_BINDINGS: usize = 2_097_152;
/// Tenant numbers that a node remembers as used.
pub const MAX_RETIRED_IDS: usize = 1_048_576;

/// Bytes of a DNS-1123 label: tenant names, namespaces.
pub const MAX_LABEL: usize = 63;
/// Bytes of a DNS-1123 subdomain: every other name.
pub const MAX_SUBDOMAIN: usize = 253;
/// Bytes of a path: a Linux path with its final zero is 4096.
pub const MAX_PATH: usize = 4095;
/// Bytes of an interface name: `IFNAMSIZ` less its final zero.
pub const MAX_INTERFACE: usize = 15;

/// Port ranges of one rule.
pub const MAX_PORTS: usize = 256;
/// Left-out prefixes of one block.
pub const MAX_EXCEPT: usize = 256;
/// Egress rules of one tenant.
pub const MAX_EGRESS: usize = 1_024;
/// Device grants of one tenant.
pub const MAX_DEVICES: usize = 256;
/// Minor numbers of one grant.
pub const MAX_MINORS: usize = 4_096;
/// Largest minor number: the kernel's `MINORBITS` is 20.
pub const MAX_MINOR: u32 = (1 << 20) - 1;
/// Largest major number: the kernel's `CHRDEV_MAJOR_MAX` is smaller; 12 bits are what a `dev_t` holds.
pub const MAX_MAJOR: u32 = (1 << 12) - 1;
/// Addresses of one workload.
pub const MAX_ADDRESSES: usize = 64;
/// Longest lease, in seconds: ten years.
pub const MAX_LEASE_SECONDS: u64 = 10 * 366 * 24 * 3_600;

/// Problems that are listed in one answer; the rest is counted.
pub const MAX_PROBLEMS: usize = 500;
/// Characters of a sender's text that a problem repeats.
pub const MAX_SHOWN: usize = 96;
