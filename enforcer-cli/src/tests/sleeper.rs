//! A process that only waits to be told something, and goes with the test.

use std::os::unix::process::ExitStatusExt as _;
use std::process::{Child, Command, Stdio};

pub(crate) struct Sleeper(Child);

impl Sleeper {
    pub(crate) fn start() -> Self {
        let mut command = Command::new("sleep");
        Self(
            command
                .arg("600")
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
                .unwrap(),
        )
    }

    pub(crate) fn pid(&self) -> libc::pid_t {
        self.0.id().try_into().unwrap()
    }

    /// The signal that ended it.
    pub(crate) fn ended_by(&mut self) -> Option<i32> {
        self.0.wait().unwrap().signal()
    }
}

impl Drop for Sleeper {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
