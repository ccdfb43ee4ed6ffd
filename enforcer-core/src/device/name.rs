//! What devices are called: for records, and from what people type.

use super::class::{self, CLASSES, Kind, LAST_MINOR, Naming};
use super::table::DeviceTable;
use crate::policy::image::DeviceRegion;

/// A device that could not be told from its words.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UnknownDevice {
    /// None of the three forms.
    #[error("\"{0}\" is no device: write /dev/NAME, \"c MAJOR:MINOR\" or CLASS:MINOR")]
    Form(String),
    /// A path that no class has.
    #[error("\"{0}\" is no device of a gated class")]
    Path(String),
    /// The path does not say the number.
    #[error("\"{0}\": the name does not tell the minor number; write CLASS:MINOR")]
    Opaque(String),
    /// The class, or its driver, or the number within it.
    #[error("\"{device}\": {why}")]
    Class {
        /// What was asked.
        device: String,
        /// What is missing.
        why: super::resolve::Unresolved,
    },
}

impl DeviceTable {
    /// The name below `/dev`, as records show it: `nvidia0`, `dri/renderD128`; `vfio:3` where the name does
    /// not follow from the number, `c 1:3` where no class is known.
    #[must_use]
    pub fn device_name(&self, kind: Kind, major: u32, minor: u32) -> String {
        let known = self.span_of(kind, major, minor).filter(|span| span.class != class::UNASSIGNED_NUMBER);
        let Some(span) = known else {
            return format!("{} {major}:{minor}", kind.letter());
        };
        let number = minor.saturating_sub(span.first).saturating_add(span.index);
        match (class::by_number(span.class).map(|class| class.naming), self.class_name(span.class)) {
            (Some(Naming::Single(name)), _) => name.to_owned(),
            (Some(Naming::Numbered { stem, base }), _) => format!("{stem}{}", base.saturating_add(number)),
            (Some(Naming::Opaque) | None, Some(name)) => format!("{name}:{number}"),
            (_, None) => format!("{} {major}:{minor}", kind.letter()),
        }
    }

    /// The class of a device and its number within it; `None` when it is of no class.
    #[must_use]
    pub fn index_of(&self, kind: Kind, major: u32, minor: u32) -> Option<(&str, u32)> {
        let span = self.span_of(kind, major, minor).filter(|span| span.class != class::UNASSIGNED_NUMBER)?;
        let number = minor.saturating_sub(span.first).saturating_add(span.index);
        Some((self.class_name(span.class)?, number))
    }

    /// The device number behind `/dev/nvidia0`, `c 195:0` or `nvidia:0`.
    ///
    /// # Errors
    /// What the words fail to say.
    pub fn parse_device(&self, device: &str) -> Result<DeviceRegion, UnknownDevice> {
        if let Some(path) = device.strip_prefix("/dev/") {
            return self.parse_path(device, path);
        }
        if let Some(region) = parse_numbers(device) {
            return Ok(region);
        }
        let (class, minor) = device
            .rsplit_once(':')
            .filter(|(class, _)| !class.contains(' '))
            .and_then(|(class, minor)| Some((class, parse_decimal(minor)?)))
            .ok_or_else(|| UnknownDevice::Form(device.to_owned()))?;
        self.device_at(device, class, minor)
    }

    fn parse_path(&self, device: &str, path: &str) -> Result<DeviceRegion, UnknownDevice> {
        let single = |class: &&class::Class| matches!(class.naming, Naming::Single(name) if name == path);
        if let Some(class) = CLASSES.iter().find(single) {
            return self.device_at(device, class.name, 0);
        }
        for class in CLASSES {
            let Naming::Numbered { stem, base } = class.naming else { continue };
            let number = path.strip_prefix(stem).and_then(parse_decimal).and_then(|n| n.checked_sub(base));
            if let Some(number) = number {
                return self.device_at(device, class.name, number);
            }
        }
        let opaque = path.starts_with("vfio/") || path.starts_with("hl");
        if opaque {
            return Err(UnknownDevice::Opaque(device.to_owned()));
        }
        Err(UnknownDevice::Path(device.to_owned()))
    }

    /// The device, whatever its role: to ask about a device is not to grant it.
    fn device_at(&self, device: &str, class: &str, minor: u32) -> Result<DeviceRegion, UnknownDevice> {
        self.locate(class, minor).map_err(|why| UnknownDevice::Class { device: device.to_owned(), why })
    }
}

/// `"c 195:0"`.
fn parse_numbers(device: &str) -> Option<DeviceRegion> {
    let (letter, numbers) = device.split_once(' ')?;
    let kind = [Kind::Char, Kind::Block].into_iter().find(|kind| letter == kind.letter().to_string())?;
    let (major, minor) = numbers.split_once(':')?;
    Some(DeviceRegion { kind: kind.number(), major: parse_decimal(major)?, minor: parse_decimal(minor)? })
}

/// Digits only: no sign, no white space; at most the largest minor.
fn parse_decimal(digits: &str) -> Option<u32> {
    let only_digits = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    digits.parse().ok().filter(|number| only_digits && *number <= LAST_MINOR)
}

#[cfg(test)]
mod tests {
    use enforcer_common::device::{KIND_BLOCK, KIND_CHAR};

    use super::super::resolve::Unresolved;
    use super::*;

    const DEVICES: &str = "Character devices:\n195 nvidia\n226 drm\n231 infiniband_verbs\n\
                           241 vfio\n509 nvidia-uvm\n511 nvidia-caps\n237 infiniband_verbs\n\
                           261 accel\n";

    fn table() -> DeviceTable {
        DeviceTable::parse(DEVICES, "196 vfio\n 59 rdma_cm\n", &[]).unwrap()
    }

    fn char_device(major: u32, minor: u32) -> DeviceRegion {
        DeviceRegion { kind: KIND_CHAR, major, minor }
    }

    #[test]
    fn names_and_numbers_agree_both_ways() {
        let table = table();
        for (path, major, minor) in [
            ("nvidia0", 195, 0),
            ("nvidia247", 195, 247),
            ("nvidiactl", 195, 255),
            ("nvidia-modeset", 195, 254),
            ("nvidia-uvm", 509, 0),
            ("nvidia-uvm-tools", 509, 1),
            ("nvidia-caps/nvidia-cap12", 511, 12),
            ("dri/card1", 226, 1),
            ("dri/renderD129", 226, 129),
            ("infiniband/uverbs0", 231, 192),
            ("infiniband/uverbs32", 237, 0),
            ("infiniband/umad3", 231, 3),
            ("infiniband/rdma_cm", 10, 59),
            ("vfio/vfio", 10, 196),
            ("accel/accel2", 261, 2),
        ] {
            assert_eq!(table.parse_device(&format!("/dev/{path}")), Ok(char_device(major, minor)), "{path}");
            assert_eq!(table.device_name(Kind::Char, major, minor), path);
        }
        assert_eq!(table.device_name(Kind::Char, 241, 3), "vfio:3");
        assert_eq!(table.device_name(Kind::Char, 195, 250), "c 195:250");
        assert_eq!(table.device_name(Kind::Block, 8, 1), "b 8:1");
    }

    #[test]
    fn numbers_and_classes_are_understood() {
        let table = table();
        assert_eq!(table.parse_device("c 195:0"), Ok(char_device(195, 0)));
        assert_eq!(table.parse_device("b 8:1"), Ok(DeviceRegion { kind: KIND_BLOCK, major: 8, minor: 1 }));
        assert_eq!(table.parse_device("nvidia:7"), Ok(char_device(195, 7)));
        assert_eq!(table.parse_device("dri-render:1"), Ok(char_device(226, 129)));
    }

    #[test]
    fn what_is_no_device_is_an_error_that_says_why() {
        let table = table();
        for form in ["", "nvidia", "c 195", "c 195:-1", "c 195:+1", "x 1:3", "c 1:99999999999"] {
            assert_eq!(table.parse_device(form), Err(UnknownDevice::Form(form.to_owned())));
        }
        assert_eq!(table.parse_device("/dev/null"), Err(UnknownDevice::Path("/dev/null".to_owned())));
        assert_eq!(table.parse_device("/dev/vfio/12"), Err(UnknownDevice::Opaque("/dev/vfio/12".to_owned())));
        assert_eq!(
            table.parse_device("/dev/kfd"),
            Err(UnknownDevice::Class {
                device: "/dev/kfd".to_owned(),
                why: Unresolved::DriverAbsent("kfd".to_owned())
            })
        );
        assert!(matches!(table.parse_device("nvidia:248"), Err(UnknownDevice::Class { .. })));
    }
}
