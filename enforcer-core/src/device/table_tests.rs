//! Tables of realistic nodes.

use enforcer_common::device::{KIND_BLOCK, KIND_CHAR};

use super::super::resolve::Unresolved;
use super::*;
use crate::policy::image::DeviceRegion;

const BASE: &str = "Character devices:\n  1 mem\n  4 /dev/vc/0\n  5 /dev/tty\n 10 misc\n 13 input\n136 pts\n";
const BLOCK: &str = "\nBlock devices:\n  7 loop\n  8 sd\n259 blkext\n";
const MISC: &str = "237 vga_arbiter\n229 fuse\n200 tun\n196 vfio\n 58 iommu\n 59 rdma_cm\n";

fn node(drivers: &str, extra: &[ExtraClass]) -> DeviceTable {
    DeviceTable::parse(&format!("{BASE}{drivers}{BLOCK}"), MISC, extra).unwrap()
}

fn gate(table: &DeviceTable, major: u32, minor: u32) -> Option<String> {
    let value = table.gates().get(&GateKey { kind: KIND_CHAR, major, minor }).copied()?;
    table.class_name(value.class).map(str::to_owned)
}

fn char_device(major: u32, minor: u32) -> DeviceRegion {
    DeviceRegion { kind: KIND_CHAR, major, minor }
}

const NVIDIA: &str = "195 nvidia\n195 nvidia-modeset\n195 nvidiactl\n226 drm\n234 nvidia-nvswitch\n\
                      235 nvidia-nvlink\n236 gdrdrv\n237 nvidia-fs\n507 nvidia-caps-imex-channels\n\
                      509 nvidia-uvm\n511 nvidia-caps\n";

#[test]
fn nvidia_node() {
    let table = node(NVIDIA, &[]);
    for (major, minor, class) in [
        (195, 0, "nvidia"),
        (195, 247, "nvidia"),
        (195, 254, "nvidia-modeset"),
        (195, 255, "nvidiactl"),
        (195, MINOR_ANY, "unassigned"),
        (509, 0, "nvidia-uvm"),
        (509, 1, "nvidia-uvm-tools"),
        (509, MINOR_ANY, "unassigned"),
        (511, MINOR_ANY, "nvidia-caps"),
        (507, MINOR_ANY, "nvidia-caps-imex-channels"),
        (234, MINOR_ANY, "nvidia-nvswitch"),
        (236, MINOR_ANY, "gdrdrv"),
        (226, 0, "dri-card"),
        (226, 128, "dri-render"),
        (10, 59, "rdma_cm"),
    ] {
        assert_eq!(gate(&table, major, minor).as_deref(), Some(class), "{major}:{minor}");
    }
    assert_eq!(table.class_of(Kind::Char, 511, 77), Some("nvidia-caps"));
    assert_eq!(table.class_of(Kind::Char, 195, 250), Some("unassigned"));
    assert_eq!(table.resolve("nvidia", Some(&[1, 0, 1])), Ok(vec![char_device(195, 0), char_device(195, 1)]));
    assert_eq!(table.resolve("nvidiactl", None), Ok(vec![char_device(195, 255)]));
    assert_eq!(table.resolve("nvidia-uvm", None), Ok(vec![char_device(509, 0)]));
    assert_eq!(table.resolve("nvidia-uvm-tools", Some(&[0])), Ok(vec![char_device(509, 1)]));
    assert_eq!(table.resolve("gdrdrv", None), Ok(vec![char_device(236, MINOR_ANY)]));
    assert_eq!(table.resolve("nvidia-caps", Some(&[12])), Ok(vec![char_device(511, 12)]));
}

#[test]
fn amd_node() {
    let table = node("226 drm\n234 kfd\n", &[]);
    assert_eq!(table.resolve("kfd", None), Ok(vec![char_device(234, MINOR_ANY)]));
    assert_eq!(
        table.resolve("dri-render", Some(&[0, 7])),
        Ok(vec![char_device(226, 128), char_device(226, 135)])
    );
    assert_eq!(table.class_of(Kind::Char, 226, 192), Some("unassigned"));
    assert_eq!(table.class_of(Kind::Char, 226, 64), Some("unassigned"));
}

#[test]
fn intel_and_habana_nodes() {
    let intel = node("226 drm\n261 accel\n", &[]);
    assert_eq!(intel.resolve("accel", Some(&[0])), Ok(vec![char_device(261, 0)]));
    let habana = node("239 habanalabs\n261 accel\n", &[]);
    assert_eq!(habana.resolve("habanalabs", Some(&[2])), Ok(vec![char_device(239, 2)]));
    assert_eq!(habana.resolve("habanalabs", None), Err(Unresolved::MinorsRequired("habanalabs".to_owned())));
}

#[test]
fn tpu_nodes() {
    let v4 = node("240 accel\n", &[]);
    assert_eq!(gate(&v4, 240, MINOR_ANY).as_deref(), Some("accel"));
    assert_eq!(v4.resolve("accel", Some(&[0])), Ok(vec![char_device(240, 0)]));
    let v6 = node("241 vfio\n242 vfio-dev\n", &[]);
    assert_eq!(v6.resolve("vfio", Some(&[3])), Ok(vec![char_device(241, 3)]));
    assert_eq!(v6.resolve("vfio-container", None), Ok(vec![char_device(10, 196)]));
    assert_eq!(gate(&v6, 242, MINOR_ANY).as_deref(), Some("vfio-dev"));
}

#[test]
fn infiniband_node() {
    let table =
        node("231 infiniband_mad\n231 infiniband_verbs\n238 infiniband_mad\n240 infiniband_verbs\n", &[]);
    for (major, minor, class) in [
        (231, 0, "umad"),
        (231, 64, "issm"),
        (231, 192, "uverbs"),
        (231, 224, "ucm"),
        (231, MINOR_ANY, "unassigned"),
        (238, MINOR_ANY, "umad"),
        (240, MINOR_ANY, "uverbs"),
    ] {
        assert_eq!(gate(&table, major, minor).as_deref(), Some(class), "{major}:{minor}");
    }
    assert_eq!(
        table.resolve("uverbs", Some(&[0, 31, 32])),
        Ok(vec![char_device(231, 192), char_device(231, 223), char_device(240, 0)])
    );
    for class in ["umad", "issm", "ucm"] {
        assert_eq!(table.resolve(class, Some(&[0])), Err(Unresolved::Never(class.to_owned())));
        assert_eq!(table.resolve(class, None), Err(Unresolved::Never(class.to_owned())));
    }
}

#[test]
fn a_node_without_drivers_gates_what_is_assigned_for_ever() {
    for table in [DeviceTable::default(), node("", &[])] {
        for (major, minor) in [(195, 0), (195, MINOR_ANY), (226, 128), (231, 192)] {
            assert!(gate(&table, major, minor).is_some(), "{major}:{minor}");
        }
        assert_eq!(table.resolve("nvidia", Some(&[0])), Ok(vec![char_device(195, 0)]));
        assert_eq!(table.resolve("kfd", None), Err(Unresolved::DriverAbsent("kfd".to_owned())));
        assert_eq!(table.role("kfd"), Some(Role::Control));
    }
}

#[test]
fn strangers_on_the_misc_major_are_left_alone() {
    let table = node("", &[]);
    assert_eq!(gate(&table, MISC_MAJOR, MINOR_ANY), None);
    assert_eq!(table.class_of(Kind::Char, MISC_MAJOR, 229), None);
    assert_eq!(table.class_of(Kind::Char, MISC_MAJOR, 59), Some("rdma_cm"));
    assert_eq!(table.class_of(Kind::Char, 1, 3), None);
    assert_eq!(table.class_of(Kind::Block, 195, 0), None);
}

fn extra(name: &str, kind: Kind, major: u32, role: Role) -> ExtraClass {
    ExtraClass { name: name.to_owned(), kind, major, role }
}

#[test]
fn extra_classes_gate_a_whole_major() {
    let classes = [
        extra("char:1", Kind::Char, 1, Role::Accelerator),
        extra("disks", Kind::Block, 8, Role::Control),
        extra("forbidden", Kind::Char, 13, Role::Never),
    ];
    let table = node("", &classes);
    assert_eq!(gate(&table, 1, MINOR_ANY).as_deref(), Some("char:1"));
    assert_eq!(table.resolve("char:1", Some(&[3])), Ok(vec![char_device(1, 3)]));
    assert_eq!(table.resolve("char:1", None), Err(Unresolved::MinorsRequired("char:1".to_owned())));
    let block = DeviceRegion { kind: KIND_BLOCK, major: 8, minor: MINOR_ANY };
    assert_eq!(table.resolve("disks", None), Ok(vec![block]));
    assert_eq!(table.resolve("forbidden", None), Err(Unresolved::Never("forbidden".to_owned())));
    assert_eq!(table.resolve("char:195", None), Err(Unresolved::UnknownClass("char:195".to_owned())));
    assert_eq!(table.class_of(Kind::Block, 8, 1), Some("disks"));
    assert_eq!(table.device_name(Kind::Char, 1, 3), "char:1:3");
}

#[test]
fn every_fault_of_the_extra_classes_is_reported() {
    let errors = DeviceTable::parse(
        "",
        "",
        &[
            extra("nvidia", Kind::Char, 300, Role::Control),
            extra("mine", Kind::Char, 195, Role::Control),
            extra("Mine", Kind::Char, 301, Role::Control),
            extra("char:5", Kind::Char, 302, Role::Control),
            extra("again", Kind::Char, 302, Role::Control),
        ],
    )
    .unwrap_err();
    assert!(errors.contains(&DeviceTableError::NameTaken("nvidia".to_owned())));
    let taken =
        |name: &str, major| DeviceTableError::MajorTaken { name: name.to_owned(), kind: Kind::Char, major };
    assert!(errors.contains(&taken("mine", 195)));
    assert!(errors.contains(&DeviceTableError::NameUnfit("Mine".to_owned())));
    assert!(errors.contains(&DeviceTableError::NameUnfit("char:5".to_owned())));
    assert!(errors.contains(&taken("again", 302)));
    assert!(matches!(errors.last(), Some(DeviceTableError::Drivers(_))));
    assert_eq!(errors.len(), 6);
}

#[test]
fn a_driver_that_takes_the_major_of_an_extra_class_keeps_its_role() {
    let table = node("300 nvidia-nvlink\n", &[extra("mine", Kind::Char, 300, Role::Control)]);
    assert_eq!(gate(&table, 300, MINOR_ANY).as_deref(), Some("nvidia-nvlink"));
    assert_eq!(table.resolve("mine", None), Err(Unresolved::DriverAbsent("mine".to_owned())));
    assert_eq!(table.warnings().len(), 1);
}

#[test]
fn a_number_that_means_two_devices_is_given_to_nobody() {
    let table = node("261 accel\n300 accel\n", &[]);
    let ambiguous = Unresolved::Ambiguous { class: "accel".to_owned(), minor: 0 };
    assert_eq!(table.resolve("accel", Some(&[0])), Err(ambiguous));
    assert_eq!(table.class_of(Kind::Char, 300, 0), Some("accel"));
}

#[test]
fn two_drivers_on_one_major_are_nobodys() {
    let table = node("300 kfd\n300 gdrdrv\n", &[]);
    assert_eq!(gate(&table, 300, MINOR_ANY).as_deref(), Some("unassigned"));
    assert_eq!(table.resolve("kfd", None), Err(Unresolved::DriverAbsent("kfd".to_owned())));
}

#[test]
fn every_resolved_device_is_gated_under_its_class_and_every_gate_has_a_role() {
    let table = node(NVIDIA, &[extra("char:1", Kind::Char, 1, Role::Control)]);
    let gates = table.gates();
    assert!(gates.len() < 1024, "{}", gates.len());
    for value in gates.values() {
        assert!(table.class_name(value.class).and_then(|name| table.role(name)).is_some());
    }
    for (class, _) in table.classes() {
        for region in table.regions(class).unwrap() {
            let key = GateKey { kind: region.kind, major: region.major, minor: region.minor };
            let number = gates.get(&key).unwrap().class;
            assert_eq!(table.class_name(number), Some(class));
        }
    }
}

#[test]
fn no_class_is_resolved_with_an_empty_list() {
    let table = node(NVIDIA, &[]);
    for class in ["nvidia", "nvidiactl"] {
        assert_eq!(table.resolve(class, Some(&[])), Err(Unresolved::NoMinors(class.to_owned())));
    }
    let missing = Unresolved::NoSuchMinor { class: "nvidia".to_owned(), minor: 248 };
    assert_eq!(table.resolve("nvidia", Some(&[0, 248])), Err(missing));
}
