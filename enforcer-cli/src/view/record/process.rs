//! A process for people: who it is, what it runs, who made it.

use enforcer_proto::v1;

/// Ancestors that are shown; `-o json` has all of them.
const PARENTS_SHOWN: usize = 3;

/// `curl[1234] exe=/usr/bin/curl args="curl -v x" parents=bash[1200]<sshd[900] uid=1000 cgroup=/a`: what is known.
pub(super) fn brief(process: &v1::Process) -> String {
    let v1::Process {
        pid,
        command,
        cgroup_id: _,
        cgroup,
        start_boot_ns,
        executable,
        arguments,
        arguments_cut,
        uid,
        identity: _,
        ancestors,
        gap,
    } = process;
    if *pid == 0 && cgroup.is_empty() {
        return String::new();
    }
    let mut parts = Vec::new();
    if *pid != 0 {
        parts.push(format!("{command}[{pid}]"));
    }
    if !executable.is_empty() {
        parts.push(format!("exe={executable}"));
    }
    if !arguments.is_empty() {
        let more = if *arguments_cut { " …" } else { "" };
        parts.push(format!("args=\"{}{more}\"", arguments.join(" ")));
    }
    if !ancestors.is_empty() {
        parts.push(format!("parents={}", parents(ancestors)));
    }
    if *start_boot_ns != 0 {
        parts.push(format!("uid={uid}"));
    }
    if !cgroup.is_empty() {
        parts.push(format!("cgroup={cgroup}"));
    }
    if !gap.is_empty() {
        parts.push(format!("({gap})"));
    }
    parts.join(" ")
}

fn parents(ancestors: &[v1::Ancestor]) -> String {
    let brief = |ancestor: &v1::Ancestor| {
        let name = ancestor.executable.rsplit('/').next().filter(|name| !name.is_empty()).unwrap_or("?");
        format!("{name}[{}]", ancestor.pid)
    };
    let shown: Vec<String> = ancestors.iter().take(PARENTS_SHOWN).map(brief).collect();
    let more = if ancestors.len() > PARENTS_SHOWN { "<…" } else { "" };
    format!("{}{more}", shown.join("<"))
}
