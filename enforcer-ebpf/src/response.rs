//! Responses to alerts, as they hold now.

use aya_ebpf::macros::map;
use aya_ebpf::maps::HashMap;
use enforcer_common::reason;
use enforcer_common::response::refuses;
use enforcer_common::telling::ResponseValue;

use crate::tell::{RESPONSE_BUCKET, admit};

const NO_PREALLOC: u32 = 1;

/// What a tenant may not do for a time.
#[map]
pub static RESPONSES: HashMap<u32, ResponseValue> = HashMap::with_max_entries(16_384, NO_PREALLOC);

/// The drop reason of a response that refuses a tenant a new flow; one that is let through has taken its token. A
/// function of its own: it is asked at every hook, for new flows only.
#[inline(never)]
pub fn refusal(tenant: u32, now_ns: u64) -> u32 {
    // SAFETY: values of a map without preallocation are freed only after a grace period.
    let Some(response) = (unsafe { RESPONSES.get(tenant) }) else { return u32::from(reason::NONE) };
    let has_token = |rate| rate != 0 && admit(tenant | RESPONSE_BUCKET, rate, rate, now_ns) != 0;
    u32::from(refuses(response, now_ns, has_token))
}

/// The same where a limit is left to others: no token is taken.
#[inline(never)]
pub fn denial(tenant: u32, now_ns: u64) -> u32 {
    // SAFETY: as above.
    let Some(response) = (unsafe { RESPONSES.get(tenant) }) else { return u32::from(reason::NONE) };
    u32::from(refuses(response, now_ns, |_| true))
}
