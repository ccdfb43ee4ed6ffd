//! The driver's libraries, asked in a child of our own program, with a bound on its time and on what it may say.

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{JoinHandle, sleep};
use std::time::{Duration, Instant};

use enforcer_core::device::class::Kind;
use enforcer_core::device::number::DeviceNumber;
use enforcer_core::device::posture::gpu::NvidiaFacts;

use crate::door::device::{DriverIds, DriverProcesses};

/// How long NVML may take: it wakes every GPU that sleeps. Whoever wants proof that a device is free waits ten seconds.
const LIMIT: Duration = Duration::from_secs(9);
const POLL: Duration = Duration::from_millis(20);
/// Bytes of an answer.
const ANSWER_MAX: u64 = 1 << 20;
/// `NV_MAJOR`, and the last minor that is a GPU.
const NVIDIA: u32 = 195;
const LAST_GPU: u32 = 247;

/// Where the driver is when it is loaded.
const DRIVER: &str = "/proc/driver/nvidia";

/// How to ask: one question at a time, and none while an earlier one hangs in the driver.
#[derive(Clone, Debug)]
pub struct Asker {
    program: PathBuf,
    arguments: Vec<String>,
    driver: Option<PathBuf>,
    limit: Duration,
    hanging: Arc<Mutex<Option<Child>>>,
}

impl Asker {
    /// Asks our own program, with a library other than the usual one, and from a control group that the gate lets through
    /// instead of the agent's. Where the library is named, it is asked whether the driver is seen or not.
    #[must_use]
    pub fn own(library: Option<&Path>, group: Option<&Path>) -> Self {
        let mut arguments = vec!["read-nvidia".to_owned()];
        for (flag, path) in [("--nvml-library", library), ("--cgroup", group)] {
            arguments.extend(path.into_iter().flat_map(|path| [flag.to_owned(), path.display().to_string()]));
        }
        let driver = library.is_none().then(|| DRIVER.into());
        // Also when the file was replaced meanwhile: the child is the program that runs.
        Self::new("/proc/self/exe".into(), arguments, driver)
    }

    /// With a program that answers as `read-nvidia` does, and the directory that is there when the driver is.
    #[must_use]
    pub fn new(program: PathBuf, arguments: Vec<String>, driver: Option<PathBuf>) -> Self {
        Self { program, arguments, driver, limit: LIMIT, hanging: Arc::default() }
    }

    /// The same, with another bound on its time.
    #[must_use]
    pub fn within(self, limit: Duration) -> Self {
        Self { limit, ..self }
    }

    /// What NVML says; `None` where the driver is not loaded. Blocks.
    ///
    /// # Errors
    /// It could not be asked, in a sentence.
    pub fn ask(&self) -> Result<Option<NvidiaFacts>, String> {
        if self.driver.as_ref().is_some_and(|driver| !driver.is_dir()) {
            return Ok(None);
        }
        let answer = self.run()?;
        serde_json::from_slice(&answer).map(Some).map_err(|error| format!("NVML's answer: {error}"))
    }

    /// The driver's own list of processes.
    #[must_use]
    pub fn processes(self) -> DriverProcesses {
        Arc::new(move |device| {
            if !is_gpu(device) {
                return Ok(None);
            }
            let Some(facts) = self.ask()? else { return Ok(None) };
            let gpu = facts.gpus.into_iter().find(|gpu| gpu.minor == device.minor);
            gpu.ok_or_else(|| format!("NVML lists no GPU behind /dev/nvidia{}", device.minor))?
                .processes
                .map(Some)
        })
    }

    /// The ids under which the driver knows its GPUs. Those of MIG instances are not among them.
    #[must_use]
    pub fn ids(self) -> DriverIds {
        Arc::new(move || {
            let gpus = self.ask()?.map(|facts| facts.gpus).unwrap_or_default();
            Ok(gpus.into_iter().map(|gpu| (gpu.uuid, gpu_of(gpu.minor))).collect())
        })
    }

    fn run(&self) -> Result<Vec<u8>, String> {
        let mut hanging = self.hanging();
        if let Some(child) = &mut *hanging
            && matches!(child.try_wait(), Ok(None))
        {
            return Err("NVML has not answered an earlier question yet".to_owned());
        }
        *hanging = None;
        let mut command = Command::new(&self.program);
        command.args(&self.arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().map_err(|error| format!("NVML cannot be asked: {error}"))?;
        let (out, err) = (child.stdout.take().map(reader), child.stderr.take().map(reader));
        let Some(ended) = wait(&mut child, self.limit)? else {
            let _killed = child.kill();
            // Not waited for: a process that hangs in the driver does not end.
            *hanging = Some(child);
            return Err(format!("NVML did not answer within {} s", self.limit.as_secs_f32()));
        };
        let text = |pipe: Option<JoinHandle<Vec<u8>>>| pipe.and_then(|pipe| pipe.join().ok());
        let (out, err) = (text(out).unwrap_or_default(), text(err).unwrap_or_default());
        if ended.success() {
            return Ok(out);
        }
        let said = String::from_utf8_lossy(&err);
        let said = said.lines().next().unwrap_or_default().trim_start_matches("enforcer-agent: ");
        Err(if said.is_empty() { format!("NVML could not be read: {ended}") } else { said.to_owned() })
    }

    fn hanging(&self) -> MutexGuard<'_, Option<Child>> {
        self.hanging.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

const fn gpu_of(minor: u32) -> DeviceNumber {
    DeviceNumber { kind: Kind::Char, major: NVIDIA, minor }
}

fn is_gpu(device: DeviceNumber) -> bool {
    device.kind == Kind::Char && device.major == NVIDIA && device.minor <= LAST_GPU
}

fn reader(pipe: impl std::io::Read + Send + 'static) -> JoinHandle<Vec<u8>> {
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        let _what_was_read = pipe.take(ANSWER_MAX).read_to_end(&mut bytes);
        bytes
    })
}

/// `None` when it has not ended in time.
fn wait(child: &mut Child, limit: Duration) -> Result<Option<ExitStatus>, String> {
    let deadline = Instant::now() + limit;
    loop {
        match child.try_wait() {
            Ok(None) if Instant::now() < deadline => sleep(POLL),
            Ok(ended) => return Ok(ended),
            Err(error) => return Err(format!("NVML cannot be asked: {error}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Asker {
        let arguments = ["-c".to_owned(), script.to_owned()];
        Asker::new("/bin/sh".into(), arguments.into(), None).within(Duration::from_millis(300))
    }

    #[test]
    fn without_the_driver_nobody_is_asked() {
        let asker = Asker::new("/nonexistent".into(), Vec::new(), Some("/nonexistent".into()));
        assert_eq!(asker.ask(), Ok(None));
        assert_eq!(asker.processes()(gpu_of(0)), Ok(None));
    }

    #[test]
    fn what_hangs_is_ended_and_what_fails_says_why() {
        let hangs = shell("exec sleep 60");
        assert!(hangs.ask().is_err_and(|why| why.contains("did not answer")));
        let process = hangs.hanging().as_ref().map(Child::id).unwrap();
        // It was told to end, and whoever asks next looks whether it has.
        let deadline = Instant::now() + Duration::from_secs(20);
        while Path::new(&format!("/proc/{process}")).exists() {
            assert!(Instant::now() < deadline, "it is still there");
            assert!(hangs.ask().is_err());
        }
        assert_eq!(shell("echo enforcer-agent: because >&2; exit 1").ask(), Err("because".to_owned()));
        assert!(shell("echo nonsense").ask().is_err_and(|why| why.contains("answer")));
    }

    #[test]
    fn only_gpus_have_a_list_of_processes() {
        let asker = shell("exit 1");
        for number in [
            DeviceNumber { minor: 255, ..gpu_of(0) },
            DeviceNumber { major: 226, ..gpu_of(0) },
            DeviceNumber { kind: Kind::Block, ..gpu_of(0) },
        ] {
            assert_eq!(asker.clone().processes()(number), Ok(None), "{number:?}");
        }
        assert!(asker.processes()(gpu_of(0)).is_err(), "a driver that cannot be asked proves nothing");
    }
}
