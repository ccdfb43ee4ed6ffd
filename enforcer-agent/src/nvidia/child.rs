//! The driver's libraries, asked in a child of our own program, with a bound on its time and on what it may say.

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::thread::sleep;
use std::time::{Duration, Instant};

use enforcer_core::device::class::Kind;
use enforcer_core::device::number::DeviceNumber;
use enforcer_core::device::posture::gpu::NvidiaFacts;

use crate::door::device::DriverProcesses;

/// How long NVML may take: it wakes every GPU that sleeps.
const LIMIT: Duration = Duration::from_secs(20);
const POLL: Duration = Duration::from_millis(20);
/// Bytes of an answer.
const ANSWER_MAX: u64 = 1 << 20;
/// `NV_MAJOR`, and the last minor that is a GPU.
const NVIDIA: u32 = 195;
const LAST_GPU: u32 = 247;

/// How to ask.
#[derive(Clone, Debug)]
pub struct Asker {
    program: PathBuf,
    arguments: Vec<String>,
    driver: PathBuf,
}

impl Default for Asker {
    fn default() -> Self {
        // Also when the file was replaced meanwhile: the child is the program that runs.
        Self::new("/proc/self/exe".into(), vec!["read-nvidia".to_owned()], "/proc/driver/nvidia".into())
    }
}

impl Asker {
    /// With a program that answers as `read-nvidia` does, and the directory that is there when the driver is.
    #[must_use]
    pub const fn new(program: PathBuf, arguments: Vec<String>, driver: PathBuf) -> Self {
        Self { program, arguments, driver }
    }

    /// What NVML says; `None` where the driver is not loaded. Blocks.
    ///
    /// # Errors
    /// It could not be asked, in a sentence.
    pub fn ask(&self) -> Result<Option<NvidiaFacts>, String> {
        if !self.driver.is_dir() {
            return Ok(None);
        }
        let answer = run(&self.program, &self.arguments)?;
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
}

fn is_gpu(device: DeviceNumber) -> bool {
    device.kind == Kind::Char && device.major == NVIDIA && device.minor <= LAST_GPU
}

fn run(program: &Path, arguments: &[String]) -> Result<Vec<u8>, String> {
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(|error| format!("NVML cannot be asked: {error}"))?;
    let out = child.stdout.take().map(reader);
    let err = child.stderr.take().map(reader);
    let ended = wait(&mut child)?;
    let text = |pipe: Option<std::thread::JoinHandle<Vec<u8>>>| pipe.and_then(|pipe| pipe.join().ok());
    let (out, err) = (text(out).unwrap_or_default(), text(err).unwrap_or_default());
    if ended.success() {
        return Ok(out);
    }
    let said = String::from_utf8_lossy(&err);
    let said = said.lines().next().unwrap_or_default().trim_start_matches("enforcer-agent: ");
    Err(if said.is_empty() { format!("NVML could not be read: {ended}") } else { said.to_owned() })
}

fn reader(pipe: impl std::io::Read + Send + 'static) -> std::thread::JoinHandle<Vec<u8>> {
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        let _what_was_read = pipe.take(ANSWER_MAX).read_to_end(&mut bytes);
        bytes
    })
}

fn wait(child: &mut Child) -> Result<std::process::ExitStatus, String> {
    let deadline = Instant::now() + LIMIT;
    loop {
        match child.try_wait() {
            Ok(Some(status)) => return Ok(status),
            Ok(None) if Instant::now() < deadline => sleep(POLL),
            Ok(None) => {
                let _killed = child.kill();
                // Not waited for: a process that hangs in the driver does not end.
                return Err(format!("NVML did not answer within {} s", LIMIT.as_secs()));
            }
            Err(error) => return Err(format!("NVML cannot be asked: {error}")),
        }
    }
}
