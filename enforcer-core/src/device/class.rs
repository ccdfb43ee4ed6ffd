//! The inventory of accelerator doors, as data: name, role, and where a class finds its numbers. It must not
//! know a node.

use enforcer_common::device::{KIND_BLOCK, KIND_CHAR};

/// Who may ever be granted a device of a class.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// Tenant memory or compute behind a door of its own: one tenant at a time, unless all are `shared`.
    Accelerator,
    /// A door that many need and that shows nothing of others by itself.
    Control,
    /// Reaches beyond any tenant (fabric, subnet management): no tenant, ever.
    Never,
}

impl Role {
    /// The word in status and `DevicesResponse`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Accelerator => "accelerator",
            Self::Control => "control",
            Self::Never => "never",
        }
    }

    /// The role of a word.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Accelerator, Self::Control, Self::Never].into_iter().find(|role| role.name() == name)
    }
}

/// Character or block device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// Block.
    Block,
    /// Character.
    Char,
}

impl Kind {
    /// `enforcer_common::device::KIND_*`.
    #[must_use]
    pub const fn number(self) -> u32 {
        match self {
            Self::Block => KIND_BLOCK,
            Self::Char => KIND_CHAR,
        }
    }

    /// The kind of a number.
    #[must_use]
    pub const fn from_number(number: u32) -> Option<Self> {
        match number {
            KIND_BLOCK => Some(Self::Block),
            KIND_CHAR => Some(Self::Char),
            _ => None,
        }
    }

    /// `char` or `block`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Block => "block",
            Self::Char => "char",
        }
    }

    /// The kind of a word.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Block, Self::Char].into_iter().find(|kind| kind.name() == name)
    }

    /// `c` or `b`, as `ls` and container runtimes write it.
    #[must_use]
    pub const fn letter(self) -> char {
        match self {
            Self::Block => 'b',
            Self::Char => 'c',
        }
    }
}

/// The largest minor number of the kernel (20 bits, `MINORBITS`).
pub const LAST_MINOR: u32 = (1 << 20) - 1;
/// The major of misc devices (`MISC_MAJOR`): shared by strangers, so gated by exact minor only.
pub const MISC_MAJOR: u32 = 10;

/// Where a class finds its numbers. All are character devices.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// A major that the kernel or the vendor assigned for ever: gated with or without a driver.
    Fixed { major: u32, minors: Minors },
    /// A major that the driver is given when it loads, by its name in `/proc/devices`.
    Driver { driver: &'static str, minors: Minors },
    /// A minor of the misc major, by its name in `/proc/misc`.
    Misc { device: &'static str },
}

/// `first..=last` of a major; `first` is number `index` of the class.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Minors {
    pub(crate) first: u32,
    pub(crate) last: u32,
    pub(crate) index: u32,
}

/// What a device of a class is called below `/dev`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Naming {
    /// One device.
    Single(&'static str),
    /// A stem and the number within the class, counted from `base`.
    Numbered { stem: &'static str, base: u32 },
    /// The name does not follow from the number (vfio names groups, not minors).
    Opaque,
}

/// A class of gated devices.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Class {
    /// What `GateValue` and events carry: never used again for another class.
    pub number: u32,
    /// What policies and records say.
    pub name: &'static str,
    /// Who may have it.
    pub role: Role,
    pub(crate) places: &'static [Place],
    pub(crate) naming: Naming,
}

/// Extra classes of the node's configuration take numbers from here up, in their order.
pub const FIRST_EXTRA: u32 = 0x1_0000;

/// The class of a number that lies in a gated major and belongs to no class.
pub const UNASSIGNED: &str = "unassigned";
pub(crate) const UNASSIGNED_NUMBER: u32 = 1;

const ALL_MINORS: Minors = range(0, LAST_MINOR, 0);

const fn range(first: u32, last: u32, index: u32) -> Minors {
    Minors { first, last, index }
}

const fn fixed(major: u32, first: u32, last: u32) -> Place {
    Place::Fixed { major, minors: range(first, last, 0) }
}

const fn driver(driver: &'static str) -> Place {
    Place::Driver { driver, minors: ALL_MINORS }
}

const fn driver_minor(driver: &'static str, minor: u32) -> Place {
    Place::Driver { driver, minors: range(minor, minor, 0) }
}

const fn numbered(stem: &'static str) -> Naming {
    Naming::Numbered { stem, base: 0 }
}

macro_rules! classes {
    ($($number:literal $name:literal $role:ident $naming:expr, [$($place:expr),*];)+) => {
        /// Every class that needs no configuration.
        pub const CLASSES: &[Class] = &[$(Class {
            number: $number, name: $name, role: Role::$role, naming: $naming, places: &[$($place),*],
        }),+];
    };
}

// Numbers and names: NVIDIA nv-chardev-numbers.h, Linux devices.txt (226, 231), user_mad.c, uverbs_main.c,
// drm_drv.c; the rest are the names that drivers register.
classes! {
    1 "unassigned" Never Naming::Opaque, [];
    2 "nvidia" Accelerator numbered("nvidia"), [fixed(195, 0, 247)];
    3 "nvidiactl" Control Naming::Single("nvidiactl"), [fixed(195, 255, 255)];
    4 "nvidia-modeset" Control Naming::Single("nvidia-modeset"), [fixed(195, 254, 254)];
    5 "nvidia-uvm" Control Naming::Single("nvidia-uvm"), [driver_minor("nvidia-uvm", 0)];
    6 "nvidia-uvm-tools" Control Naming::Single("nvidia-uvm-tools"), [driver_minor("nvidia-uvm", 1)];
    // One capability is one MIG instance (or the right to make them): never "all minors".
    7 "nvidia-caps" Accelerator numbered("nvidia-caps/nvidia-cap"), [driver("nvidia-caps")];
    // Whoever holds the same channel can share memory.
    8 "nvidia-caps-imex-channels" Accelerator numbered("nvidia-caps-imex-channels/channel"),
        [driver("nvidia-caps-imex-channels")];
    9 "nvidia-nvswitch" Never numbered("nvidia-nvswitch"), [driver("nvidia-nvswitch")];
    10 "nvidia-nvlink" Never numbered("nvidia-nvlink"), [driver("nvidia-nvlink")];
    11 "gdrdrv" Control Naming::Single("gdrdrv"), [driver("gdrdrv")];
    12 "nvidia-fs" Control numbered("nvidia-fs"), [driver("nvidia-fs")];
    13 "dri-card" Accelerator numbered("dri/card"), [fixed(226, 0, 63)];
    // Number N of the class is renderD(128 + N), minor 128 + N: the N that also counts cards.
    14 "dri-render" Accelerator Naming::Numbered { stem: "dri/renderD", base: 128 }, [fixed(226, 128, 191)];
    // One door for every AMD GPU; its driver asks this gate again for the render node behind it.
    15 "kfd" Control Naming::Single("kfd"), [driver("kfd")];
    16 "accel" Accelerator numbered("accel/accel"), [driver("accel")];
    17 "habanalabs" Accelerator Naming::Opaque, [driver("habanalabs")];
    // Minor numbers of groups, which are not the group numbers that /dev/vfio shows.
    18 "vfio" Accelerator Naming::Opaque, [driver("vfio")];
    19 "vfio-dev" Accelerator numbered("vfio/devices/vfio"), [driver("vfio-dev")];
    20 "vfio-container" Control Naming::Single("vfio/vfio"), [Place::Misc { device: "vfio" }];
    21 "iommu" Control Naming::Single("iommu"), [Place::Misc { device: "iommu" }];
    22 "uverbs" Accelerator numbered("infiniband/uverbs"), [
        fixed(231, 192, 223),
        Place::Driver { driver: "infiniband_verbs", minors: range(0, LAST_MINOR, 32) }
    ];
    // The dynamic major holds umad and issm of the ports beyond 64: both are never.
    23 "umad" Never numbered("infiniband/umad"), [
        fixed(231, 0, 63),
        Place::Driver { driver: "infiniband_mad", minors: range(0, LAST_MINOR, 64) }
    ];
    24 "issm" Never numbered("infiniband/issm"), [fixed(231, 64, 127)];
    25 "ucm" Never numbered("infiniband/ucm"), [fixed(231, 224, 255)];
    26 "rdma_cm" Control Naming::Single("infiniband/rdma_cm"), [Place::Misc { device: "rdma_cm" }];
}

/// The class of a name, on any node.
#[must_use]
pub fn by_name(name: &str) -> Option<&'static Class> {
    CLASSES.iter().find(|class| class.name == name)
}

/// The class of a number, on any node.
#[must_use]
pub fn by_number(number: u32) -> Option<&'static Class> {
    CLASSES.iter().find(|class| class.number == number)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn numbers_and_names_are_unique_and_below_the_extras() {
        let numbers: BTreeSet<u32> = CLASSES.iter().map(|class| class.number).collect();
        let names: BTreeSet<&str> = CLASSES.iter().map(|class| class.name).collect();
        assert_eq!(numbers.len(), CLASSES.len());
        assert_eq!(names.len(), CLASSES.len());
        assert!(numbers.iter().all(|number| (1..FIRST_EXTRA).contains(number)));
        assert_eq!(by_number(UNASSIGNED_NUMBER).map(|class| class.name), Some(UNASSIGNED));
    }

    #[test]
    fn fixed_places_do_not_overlap() {
        let mut places = Vec::new();
        for class in CLASSES {
            for place in class.places {
                if let Place::Fixed { major, minors } = place {
                    places.push((*major, minors.first, minors.last));
                }
            }
        }
        places.sort_unstable();
        for pair in places.windows(2) {
            assert!(pair[0].0 != pair[1].0 || pair[0].2 < pair[1].1, "{pair:?}");
        }
    }

    #[test]
    fn what_reaches_beyond_a_tenant_is_never_granted() {
        for name in ["umad", "issm", "ucm", "nvidia-nvswitch", "nvidia-nvlink", UNASSIGNED] {
            assert_eq!(by_name(name).map(|class| class.role), Some(Role::Never), "{name}");
        }
    }
}
