//! Numbers: table sizes, the tag, the record ring. The defaults and bounds stand here, in one place.

use enforcer_core::policy::image::Entries;

use super::Problems;
use crate::config::ConfigProblem;
use crate::config::raw::{RawCapacities, RawTag};
use crate::config::settings::TagSettings;

const TAG: TagSettings = TagSettings { mask: 0xffff_0000, shift: 16 };
/// Fewer bits than this would leave no room above the reserved identities.
const TAG_BITS_MIN: u32 = 8;

const RECORDS: usize = 65_536;
const RECORDS_MAX: usize = 4_194_304;

/// Tracked flows: about 160 bytes each in the kernel.
const FLOWS: u64 = 262_144;
/// Tables beyond this cost gigabytes of kernel memory.
const ENTRIES_MAX: u64 = 16_777_216;

pub(super) fn capacities(raw: &RawCapacities, problems: &mut Problems) -> (Entries, u32) {
    let mut size = |word: &str, value: Option<u64>, default: u64| {
        let value = value.unwrap_or(default);
        if value == 0 || value > ENTRIES_MAX {
            problems.push(range(format!("capacities.{word}"), value, ENTRIES_MAX));
        }
        value
    };
    let entries = Entries {
        tenants: size("tenants", raw.tenants, 16_384),
        pairs: size("pairs", raw.pairs, 262_144),
        ports: size("ports", raw.ports, 1_048_576),
        cidrs: size("cidrs", raw.cidrs, 262_144),
        grants: size("grants", raw.grants, 65_536),
        addresses: size("addresses", raw.addresses, 1_100_000),
        interfaces: size("interfaces", raw.interfaces, 4_096),
        cgroups: size("cgroups", raw.cgroups, 16_384),
    };
    let flows = size("flows", raw.flows, FLOWS);
    (entries, u32::try_from(flows).unwrap_or(u32::MAX))
}

pub(super) fn tag(raw: &RawTag, problems: &mut Problems) -> TagSettings {
    let mask = match raw.mask.as_deref().map(|text| (text, number(text))) {
        None => TAG.mask,
        Some((_, Some(mask))) => mask,
        Some((text, None)) => {
            problems.push(ConfigProblem::Word {
                path: "tag.mask".to_owned(),
                value: text.to_owned(),
                expected: "32 bits, decimal or 0x hexadecimal",
            });
            return TAG;
        }
    };
    let shift = raw.shift.unwrap_or(TAG.shift);
    if !is_run(mask, shift) {
        problems.push(ConfigProblem::Tag { mask, shift });
        return TAG;
    }
    TagSettings { mask, shift }
}

pub(super) fn records(value: Option<usize>, problems: &mut Problems) -> usize {
    let value = value.unwrap_or(RECORDS);
    if value == 0 || value > RECORDS_MAX {
        let told = u64::try_from(value).unwrap_or(u64::MAX);
        problems.push(range("records".to_owned(), told, 4_194_304));
        return RECORDS;
    }
    value
}

fn number(text: &str) -> Option<u32> {
    match text.strip_prefix("0x") {
        Some(digits) => u32::from_str_radix(digits, 16).ok(),
        None => text.parse().ok(),
    }
}

/// One run of ones that starts at `shift` and is wide enough.
fn is_run(mask: u32, shift: u32) -> bool {
    mask != 0
        && mask.trailing_zeros() == shift
        && (mask >> shift).trailing_ones() == mask.count_ones()
        && mask.count_ones() >= TAG_BITS_MIN
}

fn range(path: String, value: u64, high: u64) -> ConfigProblem {
    ConfigProblem::Range { path, value, low: 1, high }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_is_one_run_of_bits_at_its_shift() {
        assert!(is_run(0xffff_0000, 16));
        assert!(is_run(0x0000_ff00, 8));
        assert!(is_run(u32::MAX, 0));
        assert!(!is_run(0xffff_0000, 8));
        assert!(!is_run(0x00f0_f000, 12));
        assert!(!is_run(0x0f00_0000, 24));
        assert!(!is_run(0, 0));
    }
}
