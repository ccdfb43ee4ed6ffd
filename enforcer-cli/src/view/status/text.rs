//! A status for people: what matters first, then a table a subject.

use super::StatusView;
use crate::console::Show;
use crate::fields::Fields;
use crate::style::{Paint, Style};
use crate::table::{Cell, Table};

impl Show for StatusView {
    fn text(&self, style: Style) -> String {
        let mut text = self.head(style);
        let tables = [
            (self.hook_table(), self.hooks.is_empty()),
            (self.capability_table(), self.capabilities.is_empty()),
            (self.capacity_table(), self.capacities.is_empty()),
            (self.loss_table(), self.losses.is_empty()),
            (self.unencrypted_table(), self.unencrypted.is_empty()),
            (self.uncovered_table(), self.uncovered.is_empty()),
        ];
        for (table, is_empty) in tables {
            if !is_empty {
                text.push('\n');
                text.push_str(&table.render(style));
            }
        }
        text
    }
}

impl StatusView {
    fn head(&self, style: Style) -> String {
        let mut fields = Fields::new(style, 12);
        let mut field = |name: &str, value: &str, paint: Paint| fields.add(name, value, paint);
        field("node", &self.node, Paint::None);
        field(
            "agent",
            &format!("{} (kernel {}, map ABI {})", self.version, self.kernel, self.abi),
            Paint::None,
        );
        field("started", self.started.as_deref().unwrap_or_default(), Paint::None);
        field("revision", &self.revision.to_string(), Paint::None);
        field("digest", &self.digest, Paint::None);
        match self.in_sync {
            true => field("in sync", "yes: read back from the kernel", Paint::Good),
            false => field("in sync", "NO", Paint::Bad),
        }
        for drift in &self.drift {
            field("  drift", drift, Paint::Bad);
        }
        match self.identity_ready {
            Some(true) => field("identity", "every certificate is in time", Paint::Good),
            Some(false) => field("identity", "LATE: `enforcerctl identity list` says whose", Paint::Bad),
            None => field("identity", "turned off", Paint::Warn),
        }
        let gate = if self.device_gate_mode == "enforce" { Paint::None } else { Paint::Warn };
        field("device gate", &self.device_gate_mode, gate);
        for warning in &self.warnings {
            field("warning", warning, Paint::Warn);
        }
        fields.into_text()
    }

    /// What is not stopped, by why: one missing hook leaves many attacks open.
    fn uncovered_table(&self) -> Table {
        let mut table = Table::new(&["NOT STOPPED", "WHY"]);
        let mut whys: Vec<&str> = Vec::new();
        for one in &self.uncovered {
            if !whys.contains(&one.why.as_str()) {
                whys.push(&one.why);
            }
        }
        for why in whys {
            let attacks = self.uncovered.iter().filter(|one| one.why == why);
            let attacks: Vec<&str> = attacks.map(|one| one.attack.as_str()).collect();
            table.row([Cell::from(attacks.join(" ").as_str()), Cell::from(why)]);
        }
        table
    }

    fn hook_table(&self) -> Table {
        let mut table = Table::new(&["HOOK", "STATE", "PROGRAM", "ATTACHED TO", "WHY"]);
        for hook in &self.hooks {
            let paint = match hook.state {
                "verified" => Paint::Good,
                "declared" => Paint::Warn,
                _ => Paint::Bad,
            };
            table.row([
                Cell::from(hook.name.as_str()),
                Cell::from(hook.state).painted(paint),
                hook.program_id.map_or_else(Cell::absent, Cell::from),
                Cell::or_absent(&abridged(&hook.attached_to)),
                Cell::or_absent(&hook.reason),
            ]);
        }
        table
    }

    fn capability_table(&self) -> Table {
        let mut table = Table::new(&["CAPABILITY", "PRESENT", "WHY NOT"]);
        for capability in &self.capabilities {
            let present = match capability.present {
                true => Cell::from("yes").painted(Paint::Good),
                false => Cell::from("no").painted(Paint::Warn),
            };
            table.row([Cell::from(capability.name.as_str()), present, Cell::or_absent(&capability.reason)]);
        }
        table
    }

    fn capacity_table(&self) -> Table {
        let mut table = Table::new(&["TABLE", "USED", "CAPACITY", "FULL", "MEMORY KIB"]);
        for capacity in &self.capacities {
            let percent = capacity.used.saturating_mul(100).checked_div(capacity.capacity);
            let full = percent.map_or_else(Cell::absent, |percent| {
                Cell::from(format!("{percent}%")).painted(fullness(percent))
            });
            table.row([
                Cell::from(capacity.name.as_str()),
                Cell::from(capacity.used),
                Cell::from(capacity.capacity),
                full,
                Cell::from(capacity.memory_bytes.div_ceil(1024)),
            ]);
        }
        table
    }

    fn unencrypted_table(&self) -> Table {
        let mut table = Table::new(&["TENANT", "UNENCRYPTED BETWEEN NODES"]);
        for unencrypted in &self.unencrypted {
            for what in &unencrypted.what {
                table.row([Cell::from(unencrypted.tenant.as_str()), Cell::from(what.as_str())]);
            }
        }
        table
    }

    fn loss_table(&self) -> Table {
        let mut table = Table::new(&["LOST RECORDS", "OF", "COUNT"]);
        for loss in &self.losses {
            let paint = if loss.count == 0 { Paint::None } else { Paint::Warn };
            table.row([
                Cell::from(loss.cause.as_str()),
                Cell::from(loss.source.as_str()),
                Cell::from(loss.count).painted(paint),
            ]);
        }
        table
    }
}

const fn fullness(percent: u64) -> Paint {
    match percent {
        0..=79 => Paint::None,
        80..=94 => Paint::Warn,
        _ => Paint::Bad,
    }
}

/// A node can have thousands of interfaces; JSON names them all.
fn abridged(names: &[String]) -> String {
    const SHOWN: usize = 3;
    match (names.get(..SHOWN), names.len().saturating_sub(SHOWN)) {
        (Some(first), more) if more > 0 => format!("{} and {more} more", first.join(",")),
        _ => names.join(","),
    }
}

#[cfg(test)]
mod tests {
    use enforcer_proto::v1;

    use super::*;
    use crate::view::status::HookView;

    fn response() -> v1::StatusResponse {
        let names = |names: &[&str]| names.iter().map(ToString::to_string).collect::<Vec<_>>();
        v1::StatusResponse {
            uncovered: Vec::new(),
            node: "n1".to_owned(),
            version: "0.1.0".to_owned(),
            kernel: "6.18".to_owned(),
            abi: 1,
            revision: 7,
            digest: vec![1, 2],
            in_sync: false,
            identity_ready: Some(true),
            unencrypted: vec![v1::Unencrypted {
                tenant: "red".to_owned(),
                what: names(&["rule r1: to tenant blue, TCP 80"]),
            }],
            drift: vec!["addresses: 10.0.0.1 is missing".to_owned()],
            hooks: vec![
                v1::Hook {
                    name: "tcx/from_workload".to_owned(),
                    state: v1::HookState::Verified.into(),
                    program_id: 40,
                    attached_to: names(&["veth0", "veth1", "veth2", "veth3"]),
                    ..v1::Hook::default()
                },
                v1::Hook {
                    name: "lsm/file_receive".to_owned(),
                    state: v1::HookState::Absent.into(),
                    reason: "no BPF LSM".to_owned(),
                    ..v1::Hook::default()
                },
            ],
            capacities: vec![v1::Capacity {
                name: "pairs".to_owned(),
                used: 95,
                capacity: 100,
                memory_bytes: 4097,
            }],
            capabilities: vec![v1::Capability {
                name: "tier-isolated".to_owned(),
                present: false,
                reason: "no BPF LSM".to_owned(),
            }],
            device_gate_mode: "enforce".to_owned(),
            warnings: Vec::new(),
            losses: vec![v1::Loss { cause: "event_full".to_owned(), count: 0, ..Default::default() }],
            started: None,
        }
    }

    #[test]
    fn drift_and_absent_hooks_are_shown_by_name() {
        assert_eq!(
            StatusView::from(response()).text(Style::Plain),
            "node         n1\n\
             agent        0.1.0 (kernel 6.18, map ABI 1)\n\
             revision     7\n\
             digest       0102\n\
             in sync      NO\n  \
               drift      addresses: 10.0.0.1 is missing\n\
             identity     every certificate is in time\n\
             device gate  enforce\n\
             \n\
             HOOK               STATE     PROGRAM  ATTACHED TO                   WHY\n\
             tcx/from_workload  verified  40       veth0,veth1,veth2 and 1 more  -\n\
             lsm/file_receive   absent    -        -                             no BPF LSM\n\
             \n\
             CAPABILITY     PRESENT  WHY NOT\n\
             tier-isolated  no       no BPF LSM\n\
             \n\
             TABLE  USED  CAPACITY  FULL  MEMORY KIB\n\
             pairs  95    100       95%   5\n\
             \n\
             LOST RECORDS  OF  COUNT\n\
             event_full        0\n\
             \n\
             TENANT  UNENCRYPTED BETWEEN NODES\n\
             red     rule r1: to tenant blue, TCP 80\n"
        );
    }

    #[test]
    fn a_hook_state_of_the_future_is_not_called_verified() {
        let hook = v1::Hook { state: 77, ..v1::Hook::default() };
        assert_eq!(HookView::from(hook).state, "unknown");
    }
}
