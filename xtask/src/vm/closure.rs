//! Programs with everything they need to run elsewhere: their shared libraries, as the loader of this machine finds
//! them.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};

/// The shared libraries of programs and the loader itself, by the paths under which programs look for them.
///
/// # Errors
/// One is missing here too.
pub(super) fn libraries<'a>(programs: impl IntoIterator<Item = &'a Path>) -> Result<BTreeSet<PathBuf>> {
    let mut found = BTreeSet::new();
    for program in programs {
        let output = Command::new("ldd").arg(program).output().context("ldd")?;
        let text = String::from_utf8_lossy(&output.stdout);
        if text.contains("not found") {
            bail!("{} lacks libraries:\n{text}", program.display());
        }
        // A static program has none, and ldd says so by failing.
        found.extend(paths(&text));
    }
    Ok(found)
}

/// `libc.so.6 => /lib/libc.so.6 (0x…)`, and `/lib64/ld.so (0x…)` for the loader.
fn paths(text: &str) -> impl Iterator<Item = PathBuf> {
    text.lines().filter_map(|line| {
        let path = line.split_once("=> ").map_or(line, |(_, path)| path).trim();
        let path = path.split_once(" (").map_or(path, |(path, _)| path);
        path.starts_with('/').then(|| PathBuf::from(path))
    })
}

/// A program or library without what only a debugger reads.
///
/// # Errors
/// It is not there.
pub(super) fn stripped(program: &Path) -> Result<Vec<u8>> {
    let copy = tempfile::NamedTempFile::new().context("room for a stripped copy")?;
    let mut strip = Command::new("strip");
    strip.arg("--strip-debug").arg("-o").arg(copy.path()).arg(program);
    // Without binutils the machine only takes longer to unpack.
    let is_smaller = strip.status().is_ok_and(|status| status.success());
    let path = if is_smaller { copy.path() } else { program };
    fs::read(path).with_context(|| format!("{}", program.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_loader_is_a_library_too_and_the_kernels_page_is_none() {
        let text =
            "\tlinux-vdso.so.1 (0x7ffd)\n\tlibc.so.6 => /lib/x/libc.so.6 (0x7f)\n\t/lib64/ld.so.2 (0x7f)\n";
        assert_eq!(
            paths(text).collect::<Vec<_>>(),
            ["/lib/x/libc.so.6", "/lib64/ld.so.2"].map(PathBuf::from)
        );
        assert_eq!(paths("\tstatically linked\n").count(), 0);
    }
}
