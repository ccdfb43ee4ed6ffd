//! The kernel's type information (`/sys/kernel/btf/vmlinux`): where a structure keeps its fields. Reads no more than
//! it is asked for, and believes no length it has not checked.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read as _};

use enforcer_common::layout::FileLayout;
use enforcer_common::telling::TaskLayout;

/// Where the running kernel shows it.
const VMLINUX: &str = "/sys/kernel/btf/vmlinux";
/// More than any kernel has: those of distributions have five to ten mebibytes.
const BYTES_MAX: u64 = 64 * 1024 * 1024;
const MAGIC: u16 = 0xeb9f;
/// How deep unnamed structures and qualifiers may nest.
const DEPTH_MAX: u32 = 16;

const KIND_INT: u32 = 1;
const KIND_ARRAY: u32 = 3;
const KIND_STRUCT: u32 = 4;
const KIND_UNION: u32 = 5;
const KIND_ENUM: u32 = 6;
const KIND_TYPEDEF: u32 = 8;
const KIND_VOLATILE: u32 = 9;
const KIND_CONST: u32 = 10;
const KIND_RESTRICT: u32 = 11;
const KIND_FUNC_PROTO: u32 = 13;
const KIND_VAR: u32 = 14;
const KIND_DATASEC: u32 = 15;
const KIND_DECL_TAG: u32 = 17;
const KIND_TYPE_TAG: u32 = 18;
const KIND_ENUM64: u32 = 19;
const KINDS: u32 = 20;

/// Why the type information says nothing.
#[derive(Debug, thiserror::Error)]
pub(super) enum BtfError {
    /// It is not there.
    #[error("the kernel's type information ({VMLINUX}) cannot be read: {0}")]
    File(#[from] io::Error),
    /// It is longer than any kernel's.
    #[error("the kernel's type information has more than {BYTES_MAX} bytes")]
    Large,
    /// It ends before it should, or says something that cannot be.
    #[error("the kernel's type information is malformed at byte {0}")]
    Malformed(usize),
    /// It has no such structure.
    #[error("the kernel's type information has no struct {0}")]
    NoStruct(&'static str),
    /// The structure has no such field.
    #[error("the kernel's struct {0} has no field {1} at a whole byte")]
    NoField(&'static str, &'static str),
}

/// Where the running kernel keeps what the programs read, or why that is not known: of a task, and of an open file.
pub(super) struct Layouts {
    pub(super) tasks: Result<TaskLayout, String>,
    pub(super) files: Result<FileLayout, String>,
}

/// Both, from one reading of what the kernel says.
pub(super) fn layouts() -> Layouts {
    let words = |error: BtfError| error.to_string();
    let read = vmlinux().and_then(|bytes| {
        let btf = Btf::read(&bytes)?;
        Ok(Layouts { tasks: tasks_in(&btf).map_err(words), files: files_in(&btf).map_err(words) })
    });
    read.map_err(words).unwrap_or_else(|error| Layouts { tasks: Err(error.clone()), files: Err(error) })
}

fn vmlinux() -> Result<Vec<u8>, BtfError> {
    let file = File::open(VMLINUX)?;
    let mut bytes = Vec::new();
    file.take(BYTES_MAX + 1).read_to_end(&mut bytes)?;
    if u64::try_from(bytes.len()).is_ok_and(|length| length > BYTES_MAX) {
        return Err(BtfError::Large);
    }
    Ok(bytes)
}

fn files_in(btf: &Btf<'_>) -> Result<FileLayout, BtfError> {
    let offset = |structure, field| btf.structure(structure)?.offset(field);
    if offset("cgroup", "self")? != 0 {
        // The programs take a control group's state for the group.
        return Err(BtfError::NoField("cgroup", "self, first of all"));
    }
    Ok(FileLayout {
        file_inode: offset("file", "f_inode")?,
        file_mode: offset("file", "f_mode")?,
        inode_mode: offset("inode", "i_mode")?,
        inode_rdev: offset("inode", "i_rdev")?,
        inode_sb: offset("inode", "i_sb")?,
        sb_magic: offset("super_block", "s_magic")?,
        path_dentry: offset("path", "dentry")?,
        dentry_sb: offset("dentry", "d_sb")?,
        uring_cmd_file: offset("io_uring_cmd", "file").unwrap_or(0),
        vma_file: offset("vm_area_struct", "vm_file")?,
        vma_start: offset("vm_area_struct", "vm_start")?,
        mount_sb: offset("vfsmount", "mnt_sb")?,
        task_cgroups: offset("task_struct", "cgroups")?,
        css_set_cgroup: offset("css_set", "dfl_cgrp")?,
        cgroup_kn: offset("cgroup", "kn")?,
        kn_id: offset("kernfs_node", "id")?,
        css_parent: offset("cgroup_subsys_state", "parent")?,
        task_tgid: offset("task_struct", "tgid")?,
    })
}

fn tasks_in(btf: &Btf<'_>) -> Result<TaskLayout, BtfError> {
    let task = btf.structure("task_struct")?;
    let memory = btf.structure("mm_struct")?;
    Ok(TaskLayout {
        pid: task.offset("pid")?,
        tgid: task.offset("tgid")?,
        group_leader: task.offset("group_leader")?,
        real_parent: task.offset("real_parent")?,
        start_boottime: task.offset("start_boottime")?,
        exit_code: task.offset("exit_code")?,
        signal: task.offset("signal")?,
        live: btf.structure("signal_struct")?.offset("live")?,
        mm: task.offset("mm")?,
        arg_start: memory.offset("arg_start")?,
        arg_end: memory.offset("arg_end")?,
        filename: btf.structure("linux_binprm")?.offset("filename")?,
    })
}

/// Types by number, and names.
struct Btf<'a> {
    bytes: &'a [u8],
    /// Where each type begins; number 0 is `void` and has no place.
    types: Vec<usize>,
    strings: usize,
    strings_end: usize,
    /// Structures with a name.
    structures: BTreeMap<&'a [u8], u32>,
}

/// A structure.
struct Structure<'a, 'b> {
    btf: &'b Btf<'a>,
    name: &'static str,
    number: u32,
}

impl<'a> Btf<'a> {
    fn read(bytes: &'a [u8]) -> Result<Self, BtfError> {
        let magic = bytes.first_chunk().map(|magic| u16::from_ne_bytes(*magic));
        if magic != Some(MAGIC) {
            return Err(BtfError::Malformed(0));
        }
        let [header, types, types_length, strings, strings_length] =
            [4, 8, 12, 16, 20].map(|place| word(bytes, place));
        let header = index(header?)?;
        let section = |offset: Result<u32, BtfError>, length: Result<u32, BtfError>| {
            let start = header.checked_add(index(offset?)?).ok_or(BtfError::Malformed(8))?;
            let end = start.checked_add(index(length?)?).ok_or(BtfError::Malformed(8))?;
            if end > bytes.len() { Err(BtfError::Malformed(8)) } else { Ok((start, end)) }
        };
        let (start, end) = section(types, types_length)?;
        let (strings, strings_end) = section(strings, strings_length)?;
        let mut btf = Self { bytes, types: vec![0], strings, strings_end, structures: BTreeMap::new() };
        btf.list(start, end)?;
        Ok(btf)
    }

    /// Notes where each type is, and what the structures are called.
    fn list(&mut self, start: usize, end: usize) -> Result<(), BtfError> {
        let mut place = start;
        while place < end {
            let info = word(self.bytes, place + 4)?;
            let number = u32::try_from(self.types.len()).map_err(|_| BtfError::Malformed(place))?;
            if kind(info) == KIND_STRUCT {
                let name = self.name(word(self.bytes, place)?)?;
                if !name.is_empty() {
                    self.structures.entry(name).or_insert(number);
                }
            }
            self.types.push(place);
            place = place.checked_add(12 + behind(info, place)?).ok_or(BtfError::Malformed(place))?;
        }
        if place == end { Ok(()) } else { Err(BtfError::Malformed(place)) }
    }

    fn name(&self, offset: u32) -> Result<&'a [u8], BtfError> {
        let start = self.strings.checked_add(index(offset)?).ok_or(BtfError::Malformed(self.strings))?;
        let rest = self.bytes.get(start..self.strings_end).ok_or(BtfError::Malformed(start))?;
        let length = rest.iter().position(|byte| *byte == 0).ok_or(BtfError::Malformed(start))?;
        Ok(rest.get(..length).unwrap_or_default())
    }

    fn structure(&self, name: &'static str) -> Result<Structure<'a, '_>, BtfError> {
        let number = *self.structures.get(name.as_bytes()).ok_or(BtfError::NoStruct(name))?;
        Ok(Structure { btf: self, name, number })
    }

    /// The bit at which a field lies, in the structure itself or in an unnamed one inside it.
    fn bit_of(&self, number: u32, field: &[u8], depth: u32) -> Result<Option<u32>, BtfError> {
        let place = self.types.get(index(number)?).copied().filter(|place| *place != 0);
        let (Some(place), true) = (place, depth < DEPTH_MAX) else { return Ok(None) };
        let (info, inner) = (word(self.bytes, place + 4)?, word(self.bytes, place + 8)?);
        match kind(info) {
            KIND_STRUCT | KIND_UNION => {}
            KIND_TYPEDEF | KIND_VOLATILE | KIND_CONST | KIND_RESTRICT | KIND_TYPE_TAG => {
                return self.bit_of(inner, field, depth + 1);
            }
            _ => return Ok(None),
        }
        let has_bit_sizes = info >> 31 != 0;
        for member in 0..index(info & 0xffff)? {
            let member = place + 12 + 12 * member;
            let (name, inner) = (self.name(word(self.bytes, member)?)?, word(self.bytes, member + 4)?);
            let offset = word(self.bytes, member + 8)?;
            let bit = if has_bit_sizes { offset & 0x00ff_ffff } else { offset };
            if name == field {
                return Ok(Some(bit));
            }
            if name.is_empty()
                && let Some(within) = self.bit_of(inner, field, depth + 1)?
            {
                return Ok(bit.checked_add(within));
            }
        }
        Ok(None)
    }
}

impl Structure<'_, '_> {
    /// Offset of a field in bytes.
    fn offset(&self, field: &'static str) -> Result<u32, BtfError> {
        let bit = self.btf.bit_of(self.number, field.as_bytes(), 0)?;
        match bit {
            Some(bit) if bit % 8 == 0 => Ok(bit / 8),
            _ => Err(BtfError::NoField(self.name, field)),
        }
    }
}

const fn kind(info: u32) -> u32 {
    (info >> 24) & 0x1f
}

/// Bytes that follow a type's three words.
fn behind(info: u32, place: usize) -> Result<usize, BtfError> {
    let many = index(info & 0xffff)?;
    match kind(info) {
        0 | KINDS.. => Err(BtfError::Malformed(place)),
        KIND_INT | KIND_VAR | KIND_DECL_TAG => Ok(4),
        KIND_ARRAY => Ok(12),
        KIND_STRUCT | KIND_UNION | KIND_DATASEC | KIND_ENUM64 => Ok(12 * many),
        KIND_ENUM | KIND_FUNC_PROTO => Ok(8 * many),
        _ => Ok(0),
    }
}

fn word(bytes: &[u8], place: usize) -> Result<u32, BtfError> {
    let four = bytes.get(place..).and_then(<[u8]>::first_chunk);
    four.map(|four| u32::from_ne_bytes(*four)).ok_or(BtfError::Malformed(place))
}

fn index(number: u32) -> Result<usize, BtfError> {
    usize::try_from(number).map_err(|_| BtfError::Malformed(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Type information in the making.
    struct Made {
        types: Vec<u8>,
        strings: Vec<u8>,
    }

    impl Made {
        fn new() -> Self {
            Self { types: Vec::new(), strings: vec![0] }
        }

        fn name(&mut self, name: &str) -> u32 {
            if name.is_empty() {
                return 0;
            }
            let place = u32::try_from(self.strings.len()).unwrap();
            self.strings.extend(name.as_bytes());
            self.strings.push(0);
            place
        }

        fn words(&mut self, words: &[u32]) {
            words.iter().for_each(|word| self.types.extend(word.to_ne_bytes()));
        }

        fn integer(&mut self) {
            let name = self.name("int");
            self.words(&[name, KIND_INT << 24, 4, 32]);
        }

        fn aggregate(&mut self, kind: u32, name: &str, members: &[(&str, u32, u32)]) {
            let name = self.name(name);
            let many = u32::try_from(members.len()).unwrap();
            self.words(&[name, kind << 24 | many, 64]);
            for (name, number, bit) in members {
                let name = self.name(name);
                self.words(&[name, *number, *bit]);
            }
        }

        fn bytes(&self) -> Vec<u8> {
            let length = |bytes: &Vec<u8>| u32::try_from(bytes.len()).unwrap();
            let mut bytes = MAGIC.to_ne_bytes().to_vec();
            bytes.extend([1, 0]);
            for word in [24, 0, length(&self.types), length(&self.types), length(&self.strings)] {
                bytes.extend(word.to_ne_bytes());
            }
            bytes.extend(&self.types);
            bytes.extend(&self.strings);
            bytes
        }
    }

    /// 1: int; 2: an unnamed structure; 3: `outer` with it inside; 4: one that holds itself.
    fn sample() -> Vec<u8> {
        let mut made = Made::new();
        made.integer();
        made.aggregate(KIND_STRUCT, "", &[("first", 1, 0), ("second", 1, 32)]);
        made.aggregate(KIND_STRUCT, "outer", &[("a", 1, 0), ("", 2, 64), ("odd", 1, 131), ("b", 1, 160)]);
        made.aggregate(KIND_UNION, "", &[("", 4, 0)]);
        made.aggregate(KIND_STRUCT, "snake", &[("", 4, 0), ("tail", 1, 8)]);
        made.bytes()
    }

    #[test]
    fn fields_are_found_also_in_unnamed_structures() {
        let bytes = sample();
        let btf = Btf::read(&bytes).unwrap();
        let outer = btf.structure("outer").unwrap();
        let found = ["a", "first", "second", "b"].map(|field| outer.offset(field).unwrap());
        assert_eq!(found, [0, 8, 12, 20]);
    }

    #[test]
    fn what_is_not_there_is_named() {
        let bytes = sample();
        let btf = Btf::read(&bytes).unwrap();
        assert!(matches!(btf.structure("task_struct"), Err(BtfError::NoStruct("task_struct"))));
        let outer = btf.structure("outer").unwrap();
        assert!(matches!(outer.offset("c"), Err(BtfError::NoField("outer", "c"))));
        assert!(
            matches!(outer.offset("odd"), Err(BtfError::NoField("outer", "odd"))),
            "a bit field has no byte"
        );
    }

    #[test]
    fn a_type_that_holds_itself_comes_to_an_end() {
        let bytes = sample();
        let btf = Btf::read(&bytes).unwrap();
        assert_eq!(btf.structure("snake").unwrap().offset("tail").unwrap(), 1);
    }

    #[test]
    fn a_cut_at_any_byte_is_an_error_and_no_panic() {
        let bytes = sample();
        for length in 0..bytes.len() {
            assert!(Btf::read(&bytes[..length]).is_err(), "cut at {length}");
        }
    }

    #[test]
    fn any_changed_byte_is_read_without_a_panic() {
        let bytes = sample();
        for place in 0..bytes.len() {
            for value in [0, 1, 0x7f, 0xff] {
                let mut changed = bytes.clone();
                changed[place] = value;
                if let Ok(btf) = Btf::read(&changed)
                    && let Ok(outer) = btf.structure("outer")
                {
                    let _any = outer.offset("second");
                }
            }
        }
    }

    #[test]
    fn the_running_kernel_says_where_everything_is() {
        if !std::path::Path::new(VMLINUX).exists() {
            return;
        }
        let layout = layouts().tasks.unwrap();
        let TaskLayout {
            pid,
            tgid,
            group_leader,
            real_parent,
            start_boottime,
            exit_code,
            signal,
            live,
            mm,
            arg_start,
            arg_end,
            filename,
        } = layout;
        let all = [
            pid,
            tgid,
            group_leader,
            real_parent,
            start_boottime,
            exit_code,
            signal,
            live,
            mm,
            arg_start,
            arg_end,
            filename,
        ];
        assert!(all.iter().all(|offset| *offset != 0 && *offset < 16_384), "{layout:?}");
        assert_eq!((tgid, arg_end), (pid + 4, arg_start + 8), "neighbours in every kernel");
    }
}
