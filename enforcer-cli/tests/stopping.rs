//! The program as the shell runs it: how a watch ends when somebody says stop.

#![expect(clippy::unwrap_used, reason = "a test that cannot start its program should fail there")]

use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Child, Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// A watch whose agent does not answer; it comes back when it has said so, and so listens to signals.
fn watch(dir: &tempfile::TempDir) -> Child {
    let mut command = Command::new(env!("CARGO_BIN_EXE_enforcerctl"));
    command.args(["svid", "watch", "--workload-socket", "/nonexistent/api.sock", "--write"]);
    let mut child = command.arg(dir.path().join("tls")).stderr(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stderr.take().unwrap()).read_line(&mut line).unwrap();
    assert!(line.starts_with("warning: cannot reach the agent"), "{line}");
    child
}

#[test]
fn a_watch_that_is_told_to_stop_ends_well() {
    for signal in [Signal::SIGINT, Signal::SIGTERM] {
        let dir = tempfile::tempdir().unwrap();
        let mut child = watch(&dir);
        kill(Pid::from_raw(child.id().try_into().unwrap()), signal).unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(0), "{signal}");
        let mode = std::fs::metadata(dir.path().join("tls")).unwrap().permissions().mode();
        assert_eq!(mode & 0o7777, 0o700);
    }
}

#[test]
fn the_environment_names_the_endpoint_as_e_3_says() {
    let run = |endpoint: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_enforcerctl"));
        let output =
            command.args(["svid", "fetch"]).env("SPIFFE_ENDPOINT_SOCKET", endpoint).output().unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    let (code, error) = run("unix:///nonexistent/other.sock");
    assert_eq!(code, Some(3), "{error}");
    assert!(error.contains("/nonexistent/other.sock"), "{error}");
    let (code, error) = run("tcp://127.0.0.1:8000");
    assert_eq!(code, Some(2), "{error}");
    assert!(error.contains("which process asks"), "{error}");
}
