//! Loading the programs over whatever tables an earlier agent pinned.

use std::collections::BTreeMap;
use std::fs;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};

use aya::programs::links::FdLink;
use aya::programs::{Program, ProgramError, RawTracePoint, SchedClassifier, TcAttachType, TracePoint};
use aya::{Ebpf, EbpfLoader};
use enforcer_common::abi;
use enforcer_common::identity::CANARY;
use enforcer_common::layout::FileLayout;
use enforcer_common::maps::{SETTING_DEFER_TO_SOCKETS, SETTING_DEVICE_AUDIT, Settings};
use enforcer_core::enforce::HookState;

use super::error::{KernelError, kernel};
use super::hooks::{ATTACH_PROGRAM, CGROUP_HOOKS, INTERFACE_HOOKS, TaskHook};
use super::pins::Pins;
use super::tables::{PINNED, Tables};
use super::wall::Wall;
use super::{KernelConfig, OBJECT, sys};

/// Loads the object and every program, with tables from the pins or new ones pinned.
/// Answers as well which programs the kernel refused, and why.
pub(super) fn load(
    config: &KernelConfig,
    pins: &Pins,
    files: Option<&FileLayout>,
) -> Result<(Ebpf, Refused), KernelError> {
    let mut loader = EbpfLoader::new();
    size(&mut loader, config);
    for table in PINNED {
        loader.map_pin_path(table, pins.map(table));
    }
    if let Some(files) = files {
        loader.override_global("OFFSETS", files, true);
    }
    let mut object = loader.load(OBJECT).map_err(Box::new)?;
    let refused = load_programs(&mut object)?;
    Ok((object, refused))
}

/// Sets the tables' sizes. A pinned table keeps the size it was made with.
pub(super) fn size(loader: &mut EbpfLoader<'_>, config: &KernelConfig) {
    let capacity = &config.capacity;
    let sizes = [
        ("TENANTS", capacity.tenants),
        ("ADDRESSES", capacity.addresses),
        ("PAIRS", capacity.pairs),
        ("PORTS", capacity.ports),
        ("CIDRS", capacity.cidrs),
        ("INTERFACES", capacity.interfaces),
        ("CGROUPS", capacity.cgroups),
        ("GRANTS", capacity.grants),
        ("FLOWS", u64::from(config.flows)),
    ];
    for (table, entries) in sizes {
        loader.map_max_entries(table, u32::try_from(entries).unwrap_or(u32::MAX).max(1));
    }
}

/// An interface that every network namespace has.
const ANY_INTERFACE: &str = "lo";
const NO_TCX: &str = "this kernel has no tcx, which came with Linux 6.6";

/// Programs that the kernel refused, and why: an older verifier than the one they were written for.
pub(super) type Refused = BTreeMap<&'static str, String>;

/// Loads every program of the object into the kernel. One that is refused takes its hook with it and no other; a kernel that
/// takes none of them is an error. Where programs cannot hang on interfaces, those for them are not tried: an older verifier
/// takes its time to refuse.
pub(super) fn load_programs(object: &mut Ebpf) -> Result<Refused, KernelError> {
    let names = CGROUP_HOOKS.iter().map(|hook| hook.program).chain([ATTACH_PROGRAM]);
    let (mut refused, mut taken) = (Refused::new(), 0);
    let on_interfaces = INTERFACE_HOOKS.iter().map(|hook| hook.program);
    let names: Vec<&'static str> = match SchedClassifier::query_tcx(ANY_INTERFACE, TcAttachType::Ingress) {
        Ok(_) => names.chain(on_interfaces).collect(),
        Err(error) => {
            tracing::error!(%error, "the hooks on interfaces are absent");
            refused.extend(on_interfaces.map(|name| (name, NO_TCX.to_owned())));
            names.collect()
        }
    };
    for name in names {
        let program = object.program_mut(name).ok_or(KernelError::Missing(name))?;
        match load_program(program) {
            Ok(()) => taken += 1,
            Err(error) if taken == 0 => {
                return Err(KernelError::Program { program: name, error: Box::new(error) });
            }
            Err(error) => {
                let reason = format!("this kernel does not take its program: {}", refusal(&error));
                tracing::error!(program = name, reason, "a hook is absent");
                refused.insert(name, reason);
            }
        }
    }
    Ok(refused)
}

/// What the kernel said, without the verifier's log, which is for the log.
pub(super) fn refusal(error: &ProgramError) -> String {
    tracing::debug!(?error, "a program was not taken");
    match error {
        ProgramError::LoadError { io_error, .. } => io_error.to_string(),
        error => error.to_string().lines().next().unwrap_or_default().to_owned(),
    }
}

fn load_program(program: &mut Program) -> Result<(), ProgramError> {
    match program {
        Program::SchedClassifier(program) => program.load(),
        Program::CgroupSkb(program) => program.load(),
        Program::CgroupSock(program) => program.load(),
        Program::CgroupSockAddr(program) => program.load(),
        Program::CgroupSockopt(program) => program.load(),
        Program::SockOps(program) => program.load(),
        Program::CgroupDevice(program) => program.load(),
        Program::TracePoint(program) => program.load(),
        _ => Err(ProgramError::UnexpectedProgramType),
    }
}

/// The descriptor of a loaded program.
pub(super) fn program_fd<'a>(object: &'a Ebpf, name: &'static str) -> Result<BorrowedFd<'a>, KernelError> {
    let program = object.program(name).ok_or(KernelError::Missing(name))?;
    let fd = program.fd().map_err(|error| KernelError::Program { program: name, error: Box::new(error) })?;
    Ok(fd.as_fd())
}

/// What the kernel says of a loaded program.
pub(super) fn program_info(object: &Ebpf, name: &str) -> Option<aya::programs::ProgramInfo> {
    object.program(name)?.info().ok()
}

/// Checks the ABI of adopted tables, and writes this node's settings.
pub(super) fn settle_settings(
    config: &KernelConfig,
    pins: &Pins,
    tables: &mut Tables,
) -> Result<(), KernelError> {
    let found = tables.settings.get(&0, 0).map_err(kernel("read", "SETTINGS"))?;
    if found.abi != 0 && found.abi != abi::VERSION {
        return Err(KernelError::Abi { path: pins.maps(), found: found.abi, expected: abi::VERSION });
    }
    let audit = if config.device_audit { SETTING_DEVICE_AUDIT } else { 0 };
    let settings = Settings {
        abi: abi::VERSION,
        flags: audit | found.flags & SETTING_DEFER_TO_SOCKETS,
        // No more bits than a tenant's number has, which is what the programs take a tag for.
        tag_mask: config.tag_mask & CANARY.checked_shl(config.tag_shift).unwrap_or(0),
        tag_shift: config.tag_shift,
    };
    tables.settings.set(0, settings, 0).map_err(kernel("write", "SETTINGS"))?;
    tables.telling.set(0, config.telling, 0).map_err(kernel("write", "TELLING"))?;
    Ok(())
}

/// Leaves the node's own addresses to the socket hooks only if they were proven to run.
pub(super) fn settle_deferral(wall: &mut Wall) -> Result<(), KernelError> {
    let mut settings = wall.tables.settings.get(&0, 0).map_err(kernel("read", "SETTINGS"))?;
    let proven = wall.state("cgroup/socket_ingress") == HookState::Verified;
    settings.flags &= !SETTING_DEFER_TO_SOCKETS;
    if proven {
        settings.flags |= SETTING_DEFER_TO_SOCKETS;
    }
    wall.tables.settings.set(0, settings, 0).map_err(kernel("write", "SETTINGS"))?;
    Ok(())
}

/// Attaches the tracepoint. Its kind of link takes no other program, so a new one is pinned over the old.
pub(super) fn hang_tracepoint(object: &mut Ebpf, pins: &Pins) -> Result<OwnedFd, KernelError> {
    let fail = |error| KernelError::Program { program: ATTACH_PROGRAM, error: Box::new(error) };
    let program = object.program_mut(ATTACH_PROGRAM).ok_or(KernelError::Missing(ATTACH_PROGRAM))?;
    let program: &mut TracePoint = program.try_into().map_err(fail)?;
    let id = program.attach("cgroup", "cgroup_attach_task").map_err(fail)?;
    let link = program.take_link(id).map_err(fail)?;
    let link = FdLink::try_from(link).map_err(|error| KernelError::File {
        operation: "make a pinnable link for",
        path: pins.link(ATTACH_PROGRAM),
        error: std::io::Error::other(error),
    })?;
    pin_over(link, pins, ATTACH_PROGRAM)
}

/// Loads a program of processes and attaches it. What it tells decides nothing: where the kernel will not have it, the
/// wall stands all the same.
pub(super) fn hang_task_hook(
    object: &mut Ebpf,
    pins: &Pins,
    hook: &TaskHook,
) -> Result<OwnedFd, KernelError> {
    let fail = |error| KernelError::Program { program: hook.program, error: Box::new(error) };
    let program = object.program_mut(hook.program).ok_or(KernelError::Missing(hook.program))?;
    let program: &mut RawTracePoint = program.try_into().map_err(fail)?;
    if program.fd().is_err() {
        program.load().map_err(fail)?;
    }
    let id = program.attach(hook.tracepoint).map_err(fail)?;
    let link = FdLink::from(program.take_link(id).map_err(fail)?);
    pin_over(link, pins, hook.program)
}

/// Pins a link over an older one of the same name.
pub(super) fn pin_over(link: FdLink, pins: &Pins, name: &str) -> Result<OwnedFd, KernelError> {
    let path = pins.link(name);
    let fresh = pins.link(&format!("{name}-new"));
    let _ = fs::remove_file(&fresh);
    let pinned = link.pin(&fresh).map_err(|error| KernelError::File {
        operation: "pin",
        path: fresh.clone(),
        error: std::io::Error::other(error),
    })?;
    drop(pinned);
    fs::rename(&fresh, &path).map_err(KernelError::file("rename over", &path))?;
    sys::open_pin(&path).map_err(KernelError::file("open link", &path))
}
