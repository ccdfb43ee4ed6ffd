//! Whether this kernel lets a program run at a security hook: tried with the smallest one, and without the wall.

use std::fs;

use anyhow::{Context as _, Result};
use enforcer_lab::verdict::Verdict;

use crate::attack::lsm_program;

const MODULES: &str = "/sys/kernel/security/lsm";
const TYPES: &str = "/sys/kernel/btf/vmlinux";
/// Behind this function stands the hook: a program of ours lets every call pass.
const HOOK: &str = "bpf_lsm_file_open";

/// `struct btf_header`
const HEADER_BYTES: usize = 24;
/// `struct btf_type`
const TYPE_BYTES: usize = 12;
/// `BTF_KIND_FUNC`
const FUNCTION: u32 = 12;

/// Done, or who refuses.
pub(crate) fn hooks() -> Result<Verdict> {
    let modules = fs::read_to_string(MODULES).unwrap_or_default();
    if !modules.trim().split(',').any(|module| module == "bpf") {
        return Ok(Verdict::Absent("bpf is not among the kernel's security modules".to_owned()));
    }
    let types = fs::read(TYPES).context(TYPES)?;
    let function = number_of(&types, HOOK).with_context(|| format!("{TYPES} has no {HOOK}"))?;
    Ok(Verdict::from(lsm_program(function)))
}

/// The number of a function among a kernel's types (linux/btf.h); `None` also where these are not well formed.
fn number_of(types: &[u8], name: &str) -> Option<u32> {
    let (header, start) = (|at| word(types, at), usize::try_from(word(types, 4)?).ok()?);
    let section = |offset: usize, length: usize| {
        let from = start.checked_add(usize::try_from(header(offset)?).ok()?)?;
        types.get(from..from.checked_add(usize::try_from(header(length)?).ok()?)?)
    };
    let (mut rest, names) = (section(8, 12)?, section(16, HEADER_BYTES - 4)?);
    // Number 0 is `void`, and is not written down.
    let mut number = 1;
    while !rest.is_empty() {
        let (name_at, info) = (usize::try_from(word(rest, 0)?).ok()?, word(rest, 4)?);
        let kind = (info >> 24) & 0x1f;
        let is_it = || Some(names.get(name_at..)?.split(|byte| *byte == 0).next()? == name.as_bytes());
        if kind == FUNCTION && is_it()? {
            return Some(number);
        }
        let members = usize::try_from(info & 0xffff).ok()?;
        rest = rest.get(TYPE_BYTES + tail_bytes(kind, members)..)?;
        number += 1;
    }
    None
}

/// What follows a type, by its kind.
const fn tail_bytes(kind: u32, members: usize) -> usize {
    match kind {
        // Integer, variable, tag of a declaration.
        1 | 14 | 17 => 4,
        // Array.
        3 => 12,
        // Structure, union, section of variables, enumeration of 64 bits.
        4 | 5 | 15 | 19 => 12 * members,
        // Enumeration, prototype of a function.
        6 | 13 => 8 * members,
        _ => 0,
    }
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk().map(|word| u32::from_ne_bytes(*word))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An integer, a structure of two members, and a function.
    fn types() -> Vec<u8> {
        let types = [
            [1_u32, 1 << 24, 4, 32].as_slice(),
            &[5, (4 << 24) | 2, 8, 0, 1, 0, 0, 1, 32],
            &[9, FUNCTION << 24, 1],
        ];
        let types: Vec<u8> = types.concat().iter().flat_map(|word| word.to_ne_bytes()).collect();
        let names = b"\0int\0two\0hook\0";
        let (types_bytes, names_bytes) = (u32::try_from(types.len()).unwrap(), 14_u32);
        let header = [0x0001_eb9f_u32, 24, 0, types_bytes, types_bytes, names_bytes];
        let header: Vec<u8> = header.iter().flat_map(|word| word.to_ne_bytes()).collect();
        [header.as_slice(), &types, names].concat()
    }

    #[test]
    fn a_function_is_found_behind_types_of_any_size() {
        assert_eq!(number_of(&types(), "hook"), Some(3));
        assert_eq!(number_of(&types(), "two"), None, "a structure is no function");
    }

    #[test]
    fn types_that_are_cut_off_name_nothing() {
        let whole = types();
        for length in 0..whole.len() - 1 {
            assert_eq!(number_of(&whole[..length], "hook"), None, "{length} bytes");
        }
    }
}
