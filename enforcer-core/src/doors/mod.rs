//! What every door promises, as functions over bytes: the bodies of the fuzz targets, and of the tests that
//! replay their corpus. Each panics when its door breaks its promise.

pub mod detect;
pub mod identity;
pub mod policy;
pub mod proxy;
pub mod tunnel;

/// The body of a fuzz target.
pub type Door = fn(&[u8]);

/// Every door of this crate, by the name of its fuzz target and corpus folder.
pub const DOORS: &[(&str, Door)] = &[
    ("policy_yaml", policy::policy_yaml),
    ("policy_wire", policy::policy_wire),
    ("detection_rules", detect::detection_rules),
    ("kernel_event", crate::event::decode::door),
    ("node_facts", crate::device::drivers::door),
    ("device_posture", crate::device::posture::door),
    ("peer_certificate", identity::peer_certificate),
    ("authority_certificate", identity::authority_certificate),
    ("jwt_svid", identity::jwt_svid),
    ("trust_bundle", identity::trust_bundle),
    ("trust_wire", identity::trust_wire),
    ("tunnel_header", tunnel::tunnel_header),
    ("hbone_headers", proxy::hbone_headers),
];
