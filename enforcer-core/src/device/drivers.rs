//! `/proc/devices` and `/proc/misc`, parsed: which driver has which numbers. A door: bounded, all or nothing,
//! every error reported.

use super::class::Kind;

/// The longest text that is read, in bytes: the kernel lists at most 512 majors of each kind, in short lines.
pub const MAX_TEXT: usize = 64 * 1024;
const MAX_ERRORS: usize = 32;
/// 12 bits (`MAJOR` of a 32-bit `dev_t`).
const LAST_MAJOR: u32 = 4095;

/// What is wrong with a text of `/proc`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DriversError {
    /// Longer than any kernel writes.
    #[error("{file}: {bytes} bytes, more than {MAX_TEXT}")]
    TooLong {
        /// Which file.
        file: &'static str,
        /// Its length.
        bytes: usize,
    },
    /// A heading is missing: this is not the file it should be.
    #[error("{file}: no line \"{heading}\"")]
    NoHeading {
        /// Which file.
        file: &'static str,
        /// Which heading.
        heading: &'static str,
    },
    /// A line that is not a number and a name.
    #[error("{file}, line {line}: \"{text}\" is not a number and a name")]
    Line {
        /// Which file.
        file: &'static str,
        /// From 1.
        line: usize,
        /// Its first characters.
        text: String,
    },
    /// A number beyond what a device number holds.
    #[error("{file}, line {line}: {number} is more than {last}")]
    Number {
        /// Which file.
        file: &'static str,
        /// From 1.
        line: usize,
        /// The number.
        number: u32,
        /// The largest there is.
        last: u32,
    },
}

/// The drivers that are loaded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Drivers {
    /// Kind, major, name; a driver may have several majors, a major several names.
    pub majors: Vec<(Kind, u32, String)>,
    /// Minor of the misc major, and name.
    pub misc: Vec<(u32, String)>,
}

const DEVICES: &str = "/proc/devices";
const MISC: &str = "/proc/misc";
const CHAR_HEADING: &str = "Character devices:";
const BLOCK_HEADING: &str = "Block devices:";

impl Drivers {
    /// Both texts, or every error in them (at most 32).
    ///
    /// # Errors
    /// One for each line that is no entry.
    pub fn parse(proc_devices: &str, proc_misc: &str) -> Result<Self, Vec<DriversError>> {
        let mut errors = Vec::new();
        let drivers = Self {
            majors: parse_devices(proc_devices, &mut errors),
            misc: parse_misc(proc_misc, &mut errors),
        };
        errors.truncate(MAX_ERRORS);
        if errors.is_empty() { Ok(drivers) } else { Err(errors) }
    }
}

fn parse_devices(text: &str, errors: &mut Vec<DriversError>) -> Vec<(Kind, u32, String)> {
    let mut majors = Vec::new();
    if is_too_long(DEVICES, text, errors) {
        return majors;
    }
    if !text.lines().any(|line| line == CHAR_HEADING) {
        errors.push(DriversError::NoHeading { file: DEVICES, heading: CHAR_HEADING });
        return majors;
    }
    let mut kind = None;
    for (index, line) in text.lines().enumerate() {
        match (line, kind) {
            ("", _) => {}
            (CHAR_HEADING, _) => kind = Some(Kind::Char),
            (BLOCK_HEADING, _) => kind = Some(Kind::Block),
            (entry, Some(kind)) => match parse_entry(DEVICES, index + 1, entry, LAST_MAJOR) {
                Ok((major, name)) => majors.push((kind, major, name)),
                Err(error) => errors.push(error),
            },
            (entry, None) => errors.push(not_an_entry(DEVICES, index + 1, entry)),
        }
    }
    majors
}

fn parse_misc(text: &str, errors: &mut Vec<DriversError>) -> Vec<(u32, String)> {
    let mut misc = Vec::new();
    if is_too_long(MISC, text, errors) {
        return misc;
    }
    for (index, line) in text.lines().enumerate().filter(|(_, line)| !line.is_empty()) {
        match parse_entry(MISC, index + 1, line, super::class::LAST_MINOR) {
            Ok(entry) => misc.push(entry),
            Err(error) => errors.push(error),
        }
    }
    misc
}

fn is_too_long(file: &'static str, text: &str, errors: &mut Vec<DriversError>) -> bool {
    let too_long = text.len() > MAX_TEXT;
    if too_long {
        errors.push(DriversError::TooLong { file, bytes: text.len() });
    }
    too_long
}

/// `"195 nvidia"`, right-aligned number.
fn parse_entry(
    file: &'static str,
    line: usize,
    entry: &str,
    last: u32,
) -> Result<(u32, String), DriversError> {
    let (number, name) = entry.trim_start().split_once(' ').ok_or_else(|| not_an_entry(file, line, entry))?;
    let number: u32 = number.parse().map_err(|_| not_an_entry(file, line, entry))?;
    if number > last {
        return Err(DriversError::Number { file, line, number, last });
    }
    let name = name.trim();
    if name.is_empty() { Err(not_an_entry(file, line, entry)) } else { Ok((number, name.to_owned())) }
}

fn not_an_entry(file: &'static str, line: usize, entry: &str) -> DriversError {
    DriversError::Line { file, line, text: entry.chars().take(40).collect() }
}

/// What the fuzzer calls, with both texts around a NUL: whatever they say, the table that comes of them gates
/// every number that it gives away.
#[doc(hidden)]
pub fn door(bytes: &[u8]) {
    use enforcer_common::maps::GateKey;

    let text = String::from_utf8_lossy(bytes);
    let (proc_devices, proc_misc) = text.split_once('\0').unwrap_or((&text, ""));
    let Ok(table) = super::table::DeviceTable::parse(proc_devices, proc_misc, &[]) else { return };
    let gates = table.gates();
    for (class, _) in table.classes() {
        for region in table.regions(class).unwrap_or_default() {
            let key = GateKey { kind: region.kind, major: region.major, minor: region.minor };
            assert!(gates.contains_key(&key), "{class} has {key:?}, which is not gated");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_sections_and_misc_are_read() {
        let drivers = Drivers::parse(
            "Character devices:\n  1 mem\n  4 /dev/vc/0\n195 nvidia\n\nBlock devices:\n  7 loop\n",
            "237 vga_arbiter\n 59 rdma_cm\n",
        )
        .unwrap();
        assert!(drivers.majors.contains(&(Kind::Char, 195, "nvidia".to_owned())));
        assert!(drivers.majors.contains(&(Kind::Block, 7, "loop".to_owned())));
        assert_eq!(drivers.majors.len(), 4);
        assert_eq!(drivers.misc, [(237, "vga_arbiter".to_owned()), (59, "rdma_cm".to_owned())]);
    }

    #[test]
    fn every_error_is_reported_with_its_line() {
        let errors = Drivers::parse("Character devices:\nx mem\n 9999 big\n195\n", "rdma_cm\n").unwrap_err();
        assert_eq!(errors.len(), 4);
        assert_eq!(errors[0], DriversError::Line { file: DEVICES, line: 2, text: "x mem".to_owned() });
        assert_eq!(errors[1], DriversError::Number { file: DEVICES, line: 3, number: 9999, last: 4095 });
        assert!(matches!(errors[3], DriversError::Line { file: MISC, line: 1, .. }));
    }

    proptest::proptest! {
        #[test]
        fn any_text_goes_through_the_door(
            drivers in "([ 0-9]{1,4} (kfd|accel|drm|vfio|nvidia-uvm|infiniband_verbs|mem)\\n){0,12}",
            misc in "([ 0-9]{1,4} (vfio|rdma_cm|fuse)\\n|.){0,6}",
        ) {
            door(format!("Character devices:\n{drivers}\0{misc}").as_bytes());
        }
    }

    #[test]
    fn an_empty_or_foreign_file_is_an_error_and_not_a_node_without_drivers() {
        assert_eq!(
            Drivers::parse("", "").unwrap_err(),
            [DriversError::NoHeading { file: DEVICES, heading: CHAR_HEADING }]
        );
        let long = "x".repeat(MAX_TEXT + 1);
        assert_eq!(Drivers::parse(&long, &long).unwrap_err().len(), 2);
    }
}
