//! The tables of the two tenants at a flow's ends, as they are to a flow that travels over mutual TLS.

use enforcer_common::address::Address;
use enforcer_common::maps::{
    ACTION_ALLOW, ACTION_TUNNEL, ACTION_TUNNEL_ALWAYS, AddressValue, CidrData, CidrValue, PairKey, PairValue,
    PortKey, RuleValue, TenantSlot,
};
use enforcer_common::policy::Tables;

use crate::policy::image::{PortRegion, TenantImage};

/// The generation that everything is held under; there is only one here.
const GENERATION: u32 = 1;

/// "Allow over mutual TLS" reads as "allow", because that is how the flow travels. Everything else is as the kernel
/// has it, what the kernel withholds for want of mutual TLS with somebody who has none included.
pub(super) struct OverTls<'a>(pub(super) [Option<&'a TenantImage>; 2]);

impl OverTls<'_> {
    fn image(&self, id: u32) -> Option<&TenantImage> {
        self.0.into_iter().flatten().find(|image| image.id == id)
    }

    fn held(&self, owner: u32, generation: u32) -> Option<&TenantImage> {
        self.image(owner).filter(|_| generation == GENERATION)
    }
}

impl Tables for OverTls<'_> {
    fn tenant(&self, identity: u32) -> Option<TenantSlot> {
        let TenantImage { tier, flags, .. } = *self.image(identity)?;
        Some(TenantSlot { generation: GENERATION, tier, flags, reserved: 0 })
    }

    /// Not asked: who is at the ends was found out before.
    fn address(&self, _: &Address) -> Option<AddressValue> {
        None
    }

    fn pair(&self, key: &PairKey) -> Option<PairValue> {
        let pair = *self.held(key.owner, key.generation)?.pairs.get(&key.peer)?;
        Some(PairValue { default: over_tls(pair.default), ..pair })
    }

    fn port(&self, key: &PortKey) -> Option<RuleValue> {
        let PortKey { owner, generation, peer, port, protocol, prefix_len } = *key;
        let region = PortRegion { peer, protocol, port, prefix_len };
        self.held(owner, generation)?.ports.get(&region).copied().map(over_tls)
    }

    /// Not asked: the world has no tunnel.
    fn cidr(&self, _: &CidrData) -> Option<CidrValue> {
        None
    }
}

const fn over_tls(mut value: RuleValue) -> RuleValue {
    if matches!(value.action, ACTION_TUNNEL | ACTION_TUNNEL_ALWAYS) {
        value.action = ACTION_ALLOW;
    }
    if matches!(value.shadow_action, ACTION_TUNNEL | ACTION_TUNNEL_ALWAYS) {
        value.shadow_action = ACTION_ALLOW;
    }
    value
}
