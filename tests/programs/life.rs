//! The wall across agents: adoption, an older ABI beside it, foreign pins, lost links.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context as _, Result, ensure};
use aya::maps::{Array, MapData};
use enforcer_agent::kernel::{self, Wall};
use enforcer_common::abi;
use enforcer_core::enforce::{Enforcement as _, HookState, Inspection as _};
use enforcer_core::node::Capability;
use enforcer_core::policy::plan::plan_from_image;
use enforcer_tests::runner::Case;

use crate::fixture::{Ground, Node};

pub(crate) const CASES: &[Case<Node>] = &[
    case("life::an_older_abi_stands_until_ours_holds_a_policy_and_then_goes", older_abi),
    case("life::a_lost_link_is_seen", lost_link),
];

const fn case(name: &'static str, run: fn(&mut Node) -> Result<()>) -> Case<Node> {
    Case { name, reasons: &[], run }
}

/// Where a wall of this ABI pins its links.
fn ours(ground: &Ground) -> PathBuf {
    ground.pins().join(format!("v{}", abi::VERSION)).join("links")
}

/// An older agent's directory is stood in for by one with a pinned table; a stranger's by one of another name.
fn older_abi(node: &mut Node) -> Result<()> {
    let ground = node.another_ground()?;
    let (older, foreign) = (ground.pins().join("v0"), ground.pins().join("cni"));
    for directory in [&older, &foreign] {
        fs::create_dir_all(directory)?;
        Array::<MapData, u64>::create(1, 0)?.pin(directory.join("TABLE"))?;
    }
    let mut wall = Wall::open(&ground.config())?;
    ensure!(older.is_dir(), "the older wall went before ours stood");
    ensure!(wall.capabilities().device_gate == Capability::Present, "{:?}", wall.capabilities());
    ensure!(!ours(&ground).join("device_gate").exists(), "ours hangs beside the older one too early");
    let empty = plan_from_image(&wall.read_back()?, &wall.read_back()?);
    let prepared = wall.prepare(&empty)?;
    wall.commit(prepared, &empty, 1)?;
    ensure!(older.is_dir(), "the older wall went for an empty policy");
    let mut image = node.image.clone();
    image.interfaces.clear();
    let plan = plan_from_image(&wall.read_back()?, &image);
    let prepared = wall.prepare(&plan)?;
    wall.commit(prepared, &plan, 2)?;
    ensure!(!older.exists(), "the older wall is still there");
    ensure!(foreign.join("TABLE").exists(), "a stranger's pin was removed");
    let gate =
        wall.hooks().into_iter().find(|hook| hook.name == "cgroup/device").context("no device hook")?;
    ensure!(gate.state == HookState::Verified, "{gate:?}");
    drop(wall);
    let removed = kernel::uninstall(ground.pins())?;
    ensure!(removed.iter().any(|path| path.ends_with("links/device_gate")), "{removed:?}");
    ensure!(foreign.join("TABLE").exists(), "uninstall removed a stranger's pin");
    fs::remove_dir_all(&foreign)?;
    Ok(())
}

/// Status is what the kernel says now, not what was true at the start.
fn lost_link(node: &mut Node) -> Result<()> {
    let ground = node.another_ground()?;
    let wall = Wall::open(&ground.config())?;
    let state = |wall: &Wall| {
        wall.hooks().into_iter().find(|hook| hook.name == "cgroup/connect4").map(|hook| hook.state)
    };
    ensure!(state(&wall) == Some(HookState::Verified), "{:?}", state(&wall));
    fs::remove_file(ours(&ground).join("connect4"))?;
    ensure!(matches!(state(&wall), Some(HookState::Absent(_))), "{:?}", state(&wall));
    Ok(())
}
