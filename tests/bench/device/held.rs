//! What is done with a device that is open: the hooks that only BPF LSM has.

use anyhow::Result;

use super::ground::Three;
use crate::figure::Figure;
use crate::ground;
use crate::suite::Effort;

/// What is done again and again.
const DONE: [&str; 4] = ["read", "ioctl", "mmap", "receive"];

pub(super) fn measure(effort: Effort) -> Result<Vec<Figure>> {
    ground::apart(|| {
        let three = Three::new("held")?;
        let mut figures = Vec::new();
        for what in DONE {
            let runs = three.ask(&["use", what, "/dev/zero"], effort)?;
            figures.extend(runs.figures(what, None, &three.hooks()));
        }
        Ok(figures)
    })
}
