//! Names for process ids: the table, what `/proc` says when the table does not know, and how both are told in a record.

use enforcer_common::event::ProcessEvent;
use enforcer_common::identity;
use enforcer_core::event::names::command_text;
use enforcer_core::event::scene::Scene;
use enforcer_core::process::{Gap, Image, Key, Life, Limits, Link, Seen, Table};
use enforcer_proto::v1;

use super::paths::Paths;
use super::proc::{self, GroupLookup};

/// Looks into `/proc` in one second of the boot clock: each takes tens of microseconds.
const LOOKS_MAX: u32 = 200;

/// How sure it is whose number this is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// The process did it itself, at that time.
    Acts,
    /// It made the socket, at that time or before.
    MadeSocket,
}

pub(super) struct Processes {
    table: Table,
    groups: GroupLookup,
    /// The second, and the looks that are left in it.
    looks: (u64, u32),
}

impl Processes {
    pub(super) fn new(groups: GroupLookup) -> Self {
        Self { table: Table::new(Limits::default()), groups, looks: (0, LOOKS_MAX) }
    }

    /// Takes every process that is there already.
    pub(super) fn seed(&mut self, scene: &Scene, paths: &mut Paths, now_ns: u64) {
        for pid in proc::all() {
            if let Some(seen) = proc::look(pid, &self.groups) {
                self.table.seed(owned(seen, scene, paths), now_ns);
            }
        }
    }

    pub(super) fn apply(&mut self, event: &ProcessEvent) {
        self.table.apply(event);
    }

    /// Completes what a record says of its process. `of` is whose it is by the event: tenant, host service, host.
    pub(super) fn complete(
        &mut self,
        process: &mut v1::Process,
        (role, at_ns): (Role, u64),
        of: &str,
        scene: &Scene,
        paths: &mut Paths,
    ) {
        if process.pid == 0 {
            process.identity = of.to_owned();
            return;
        }
        let found =
            self.find(process, role, at_ns).map(|(key, life)| self.tell(process, key, life, at_ns, scene));
        let Err(gap) = found else { return };
        if self.look(process.pid, at_ns, scene, paths)
            && let Ok((key, life)) = self.find(process, role, at_ns)
        {
            self.tell(process, key, life, at_ns, scene);
            return;
        }
        process.identity = of.to_owned();
        process.gap = gap.word().to_owned();
    }

    fn find(&self, process: &v1::Process, role: Role, at_ns: u64) -> Result<(Key, &Life), Gap> {
        match role {
            Role::Acts => self.table.running(process.pid, at_ns),
            Role::MadeSocket => self.table.maker(process.pid, at_ns, process.cgroup_id),
        }
    }

    fn look(&mut self, pid: u32, at_ns: u64, scene: &Scene, paths: &mut Paths) -> bool {
        let second = at_ns / 1_000_000_000;
        if self.looks.0 != second {
            self.looks = (second, LOOKS_MAX);
        }
        let Some(left) = self.looks.1.checked_sub(1) else { return false };
        self.looks.1 = left;
        let Some(seen) = proc::look(pid, &self.groups) else { return false };
        self.table.seed(owned(seen, scene, paths), at_ns);
        true
    }

    fn tell(&self, process: &mut v1::Process, key: Key, life: &Life, at_ns: u64, scene: &Scene) {
        let Some(image) = life.image_at(at_ns) else { return };
        process.start_boot_ns = key.start_ns;
        process.executable = image.program.executable.to_string();
        process.arguments = image.program.arguments().map(str::to_owned).collect();
        process.arguments_cut = image.program.is_arguments_cut;
        process.uid = image.uid;
        process.identity = scene.identity_name(image.identity);
        process.ancestors = self.table.ancestors(key, life).iter().map(ancestor).collect();
        process.gap = gap_of(image).to_owned();
        if process.command.is_empty() {
            process.command = command_text(&image.command);
        }
    }
}

fn gap_of(image: &Image) -> &'static str {
    match &image.program {
        program if program.executable.is_empty() => "its executable was not seen",
        program if program.is_executable_cut => "the path of its executable is longer",
        program if program.is_arguments_absent => "its arguments could not be read",
        _ => "",
    }
}

fn ancestor(link: &Link) -> v1::Ancestor {
    v1::Ancestor {
        pid: link.key.pid,
        start_boot_ns: link.key.start_ns,
        executable: link.program.executable.to_string(),
    }
}

/// Whose it is, by its control group: the kernel did not say.
fn owned(seen: Seen, scene: &Scene, paths: &mut Paths) -> Seen {
    let path = paths.of(seen.image.cgroup);
    let workload = scene.workload_in(seen.image.cgroup).or_else(|| scene.workload_below(path.as_deref()?));
    let tenant = workload.and_then(|name| {
        let workload = scene.policy.workloads.get(name)?;
        scene.policy.tenants.get(&workload.tenant)
    });
    let identity = tenant.map_or(identity::HOST, |tenant| tenant.id);
    Seen { image: Image { identity, ..seen.image }, ..seen }
}
