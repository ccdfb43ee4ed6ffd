//! The peer certificate door, as the listeners use it: the rules are in the core, with their tests. Whether the
//! issuer is trusted is the business of rustls, before this is asked.

pub(super) use enforcer_core::identity::x509::leaf::parse_leaf as parse;
