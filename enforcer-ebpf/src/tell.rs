//! How something worth telling gets into its ring: it takes a number, then a token of its source, then room. Whatever
//! it fails at, the number is taken and the loss is counted, so that a reader can account for every number.

use aya_ebpf::bindings::{BPF_RB_AVAIL_DATA, BPF_RB_FORCE_WAKEUP, BPF_RB_NO_WAKEUP};
use aya_ebpf::helpers::generated::{bpf_get_smp_processor_id, bpf_ktime_get_boot_ns};
use aya_ebpf::maps::RingBuf;
use aya_ebpf::maps::ring_buf::RingBufEntry;
use enforcer_common::event::{Header, RING_EVENTS, RING_PROCESSES, RING_SAMPLES};
use enforcer_common::identity;
use enforcer_common::maps::{
    BucketValue, LOST_EVENT_FULL, LOST_EVENT_RATE, LOST_PROCESS_FULL, LOST_PROCESS_RATE, LOST_SAMPLE_FULL,
    LOST_SAMPLE_RATE,
};
use enforcer_common::response::take;

use crate::tables::{BUCKETS, EVENTS, PROCESSES, SAMPLES, SEQUENCES, TELLING, add_one, lose};

/// Set in the number of a bucket for device events: packets, however many, take none of these.
const DEVICE_BUCKET: u32 = 1 << 31;
const SAMPLE_BUCKET: u32 = 1 << 30;
const PROCESS_BUCKET: u32 = 1 << 29;
/// The bucket of new flows under a response.
pub const RESPONSE_BUCKET: u32 = 1 << 28;

/// Bytes that may wait in a ring whose reader is not woken for each event.
const WAITING: u64 = 128 * 1024;

/// Which ring, whose tokens.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Channel {
    /// Refusals.
    Security,
    /// Decisions of the device gate, which share the ring with them and have tokens of their own.
    Device,
    /// Alerts, in the same ring. They are few, and need no token.
    Alert,
    /// Allowed flows, sockets.
    Sample,
    /// Processes.
    Process,
}

impl Channel {
    #[inline(always)]
    const fn ring(self) -> (u16, &'static RingBuf) {
        match self {
            Self::Security | Self::Device | Self::Alert => (RING_EVENTS, &EVENTS),
            Self::Sample => (RING_SAMPLES, &SAMPLES),
            Self::Process => (RING_PROCESSES, &PROCESSES),
        }
    }

    /// Causes of a loss: for want of a token, for want of room.
    #[inline(always)]
    const fn causes(self) -> (u32, u32) {
        match self {
            Self::Security | Self::Device | Self::Alert => (LOST_EVENT_RATE, LOST_EVENT_FULL),
            Self::Sample => (LOST_SAMPLE_RATE, LOST_SAMPLE_FULL),
            Self::Process => (LOST_PROCESS_RATE, LOST_PROCESS_FULL),
        }
    }

    #[inline(always)]
    const fn bucket(self) -> u32 {
        match self {
            Self::Security | Self::Alert => 0,
            Self::Device => DEVICE_BUCKET,
            Self::Sample => SAMPLE_BUCKET,
            Self::Process => PROCESS_BUCKET,
        }
    }

    /// Rate and burst; 0 for no bound, also before the agent set any.
    #[inline(always)]
    fn rate(self) -> (u32, u32) {
        let Some(telling) = TELLING.get(0) else { return (0, 0) };
        match self {
            Self::Security | Self::Device => (telling.security_rate, telling.security_burst),
            Self::Alert => (0, 0),
            Self::Sample => (telling.sample_rate, telling.sample_burst),
            Self::Process => (telling.process_rate, telling.process_burst),
        }
    }
}

/// Room for an event in the channel's ring, with its header written and nothing else; `None` when it is lost, and
/// then it is counted.
#[inline(always)]
pub fn room<T>(channel: Channel, kind: u16, source: u32, now_ns: u64) -> Option<RingBufEntry<T>> {
    let (number, ring) = channel.ring();
    let sequence = SEQUENCES.get_ptr_mut(u32::from(number)).map_or(0, add_one) + 1;
    let (for_token, for_room) = channel.causes();
    let (rate, burst) = channel.rate();
    if rate != 0 && admit(bucket_of(source) | channel.bucket(), rate, burst, now_ns) == 0 {
        lose(source, for_token);
        return None;
    }
    let Some(mut entry) = ring.reserve::<T>(0) else {
        lose(source, for_room);
        return None;
    };
    // SAFETY: every event begins with a header. The helpers take no pointer.
    unsafe {
        entry.as_mut_ptr().cast::<Header>().write(Header {
            boot_ns: bpf_ktime_get_boot_ns(),
            sequence,
            kind,
            cpu: bpf_get_smp_processor_id() as u16,
            ring: number,
            reserved: 0,
        });
    }
    Some(entry)
}

/// Hands an event over. Security events wake their reader at once; of the others, one does when a good part of their
/// ring is full: it looks at them often enough besides, and a connection should not wait for that.
#[inline(always)]
pub fn submit<T>(channel: Channel, entry: RingBufEntry<T>) {
    let flags = match channel {
        Channel::Security | Channel::Device | Channel::Alert => 0,
        Channel::Sample | Channel::Process => wakeup(channel.ring().1, size_of::<T>() as u64 + 8),
    };
    entry.submit(flags);
}

#[inline(always)]
fn wakeup(ring: &RingBuf, bytes: u64) -> u64 {
    let waiting = ring.query(u64::from(BPF_RB_AVAIL_DATA));
    if waiting > WAITING && waiting <= WAITING + bytes {
        u64::from(BPF_RB_FORCE_WAKEUP)
    } else {
        u64::from(BPF_RB_NO_WAKEUP)
    }
}

/// The bucket of a source. Identities that are no tenant share one.
#[inline(always)]
fn bucket_of(source: u32) -> u32 {
    if identity::is_tenant(source) { source } else { identity::UNKNOWN }
}

/// Takes a token from a bucket; 0 when there is none. A function of its own: it is asked at every hook.
#[inline(never)]
pub fn admit(bucket: u32, rate: u32, burst: u32, now_ns: u64) -> u32 {
    let burst = if burst == 0 { 1 } else { burst };
    let Some(held) = BUCKETS.get_ptr_mut(bucket) else {
        let full = BucketValue { filled_ns: now_ns, tokens: u64::from(burst) - 1 };
        return u32::from(BUCKETS.insert(bucket, full, 0).is_ok());
    };
    // SAFETY: the value is the map's, and aligned. Two processors may race here; a token counted twice or lost is
    // within what a rate means.
    u32::from(take(unsafe { &mut *held }, rate, burst, now_ns))
}
