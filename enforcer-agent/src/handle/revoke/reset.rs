//! The last step: the vendor's way to reset a device, as the operator configured it.

use std::io::Read as _;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::thread::sleep;
use std::time::Duration;

use enforcer_core::device::ledger::device_name;
use enforcer_core::device::number::DeviceNumber;
use enforcer_core::device::table::DeviceTable;
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use tokio::time::Instant;

use super::ladder::Outcome;
use super::wish::Wish;
use crate::handle::desk::{Desk, blocking};

/// How often it is looked whether the command has ended.
const POLL: Duration = Duration::from_millis(20);
/// Bytes of its complaints that are kept.
const TOLD_MAX: u64 = 512;

/// Resets each device, one after the other.
pub(super) async fn run(desk: &Arc<Desk>, wish: &Wish, until: Instant) -> Outcome {
    let Some(argv) = &desk.parts.settings.reset else {
        return Outcome::Absent("deviceGate.revoke.resetCommand is not set".to_owned());
    };
    let in_force = desk.parts.policy.in_force();
    for device in &wish.devices {
        let words = substitute(argv, &in_force.facts.devices, *device);
        let within = until.saturating_duration_since(Instant::now()).min(desk.parts.settings.reset_within);
        let command = words.join(" ");
        if let Err(why) = blocking(move || execute(&words, within)).await {
            return Outcome::Failed(format!("{command}: {why}"));
        }
    }
    Outcome::Ok(format!(
        "{} reset by the configured command, which said that it succeeded",
        wish.devices.len()
    ))
}

fn substitute(argv: &[String], table: &DeviceTable, device: DeviceNumber) -> Vec<String> {
    let name = device_name(table, device);
    let number = name.number.unwrap_or(0).to_string();
    let path = format!("/dev/{}", table.device_name(device.kind, device.major, device.minor));
    let one = |word: &String| {
        word.replace("{device}", &path).replace("{class}", &name.class).replace("{number}", &number)
    };
    argv.iter().map(one).collect()
}

/// Without a shell, an environment or an input; killed with all it began when its time is over.
fn execute(words: &[String], within: Duration) -> Result<(), String> {
    let Some((program, arguments)) = words.split_first() else {
        return Err("the command is empty".to_owned());
    };
    let mut command = Command::new(Path::new(program));
    command.args(arguments).env_clear().current_dir("/").process_group(0);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(|error| error.to_string())?;
    let told = complaints(&mut child);
    let ended = wait(&mut child, within);
    let status = ended.map_err(|error| error.to_string())?;
    match status {
        Some(status) if status.success() => Ok(()),
        Some(status) => {
            // Its output ends with it, unless it left somebody behind: then what it said is not waited for.
            let told = told.recv_timeout(Duration::from_secs(1)).unwrap_or_default();
            Err(format!("{status}{}{}", if told.is_empty() { "" } else { ": " }, told.trim()))
        }
        None => Err(format!("not done within {within:?}, and killed")),
    }
}

/// The beginning of what it says, and no more than that; the rest is read and thrown away, so that it never waits for us.
fn complaints(child: &mut Child) -> std::sync::mpsc::Receiver<String> {
    let (said, told) = std::sync::mpsc::sync_channel(1);
    if let Some(mut output) = child.stderr.take() {
        std::thread::spawn(move || {
            let mut bytes = Vec::new();
            let _as_far_as_it_goes = (&mut output).take(TOLD_MAX).read_to_end(&mut bytes);
            let _nobody_waits = said.send(String::from_utf8_lossy(&bytes).into_owned());
            let _thrown_away = std::io::copy(&mut output, &mut std::io::sink());
        });
    }
    told
}

/// `None`: its time was over.
fn wait(child: &mut Child, within: Duration) -> std::io::Result<Option<ExitStatus>> {
    let begun = std::time::Instant::now();
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        if begun.elapsed() >= within {
            if let Ok(group) = i32::try_from(child.id()) {
                let _ended_already = killpg(Pid::from_raw(group), Signal::SIGKILL);
            }
            child.wait()?;
            return Ok(None);
        }
        sleep(POLL);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Vec<String> {
        ["/bin/sh", "-c", script].map(str::to_owned).into()
    }

    #[test]
    fn what_the_command_says_of_itself_is_believed_and_told() {
        assert_eq!(execute(&shell("exit 0"), Duration::from_secs(5)), Ok(()));
        let refused = execute(&shell("echo busy >&2; exit 7"), Duration::from_secs(5)).unwrap_err();
        assert!(refused.contains('7') && refused.ends_with(": busy"), "{refused}");
        assert!(execute(&["/no/such/program".to_owned()], Duration::from_secs(1)).is_err());
        assert!(execute(&[], Duration::from_secs(1)).is_err());
    }

    #[test]
    fn it_has_no_environment_and_no_more_time_than_it_is_given() {
        assert_eq!(execute(&shell("test -z \"$HOME$USER\""), Duration::from_secs(5)), Ok(()));
        let begun = std::time::Instant::now();
        let late = execute(&shell("sleep 60 & sleep 60"), Duration::from_millis(100)).unwrap_err();
        assert!(late.contains("killed"), "{late}");
        assert!(begun.elapsed() < Duration::from_secs(10));
    }

    #[test]
    fn a_command_that_talks_without_end_is_not_waited_for_and_not_kept() {
        let script = "i=0; while [ $i -lt 20000 ]; do echo 0123456789 >&2; i=$((i+1)); done; exit 1";
        let told = execute(&shell(script), Duration::from_secs(30)).unwrap_err();
        assert!(told.len() < 1024, "{}", told.len());
    }

    #[test]
    fn the_device_is_named_in_three_ways() {
        let table = DeviceTable::default();
        let device = DeviceNumber { kind: enforcer_core::device::class::Kind::Char, major: 195, minor: 3 };
        let argv = ["/bin/reset", "-i{number}", "{class}", "{device}"].map(str::to_owned);
        assert_eq!(substitute(&argv, &table, device), ["/bin/reset", "-i3", "nvidia", "/dev/nvidia3"]);
    }
}
