//! Where this machine gets Debian's packages from: the one mirror that its administrator chose, with other suites.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

const LIST: &str = "/etc/apt/sources.list";
const PARTS: &str = "/etc/apt/sources.list.d";
/// Keys of Debian's archive, in the places where releases of its package put them.
const KEYRINGS: [&str; 2] =
    ["/usr/share/keyrings/debian-archive-keyring.gpg", "/usr/share/keyrings/debian-archive-keyring.pgp"];
/// Where a mirror keeps Debian itself, beside its security updates and other people's archives.
const ARCHIVE: &str = "debian";
/// Suites that have cloud kernels. One that is gone is no error as long as another has the kernel.
const SUITES: [&str; 5] = ["bookworm", "bookworm-backports", "trixie", "trixie-backports", "sid"];

/// The text of a list of sources that has the mirror's cloud kernels of every release.
///
/// # Errors
/// apt knows no mirror of Debian here, or there are no keys to check it with.
pub(super) fn list() -> Result<String> {
    let mirror = mirror().context(
        "no source of apt on this machine is a mirror of Debian, which is where the kernels come from",
    )?;
    let keyring = KEYRINGS.into_iter().find(|path| Path::new(path).is_file());
    let keyring = keyring.context("Debian's keys are missing: install debian-archive-keyring")?;
    let line = |suite| format!("deb [signed-by={keyring} arch=amd64] {mirror} {suite} main\n");
    Ok(SUITES.map(line).concat())
}

fn mirror() -> Option<String> {
    let mut files = vec![PathBuf::from(LIST)];
    let parts = fs::read_dir(PARTS).into_iter().flatten().flatten();
    files.extend(parts.map(|entry| entry.path()));
    files.iter().find_map(|path| {
        let text = fs::read_to_string(path).ok()?;
        match path.extension()?.to_str()? {
            "list" => of_lines(&text),
            "sources" => of_stanzas(&text),
            _ => None,
        }
    })
}

/// `deb [options] URI SUITE COMPONENT…`
fn of_lines(text: &str) -> Option<String> {
    text.lines().find_map(|line| {
        let rest = line.trim().strip_prefix("deb ")?.trim_start();
        let rest =
            rest.strip_prefix('[').map_or(Some(rest), |with| with.split_once(']').map(|(_, rest)| rest))?;
        rest.split_whitespace().next().filter(|uri| is_debian(uri)).map(str::to_owned)
    })
}

/// Stanzas of `Field: value`, whose values go on in lines that begin with a space.
fn of_stanzas(text: &str) -> Option<String> {
    text.split("\n\n").find_map(|stanza| {
        let value = |name| field(stanza, name).unwrap_or_default();
        let is_used = value("Types").iter().any(|kind| kind == "deb") && value("Enabled") != ["no"];
        is_used.then(|| value("URIs").into_iter().find(|uri| is_debian(uri))).flatten()
    })
}

/// The words of a field.
fn field(stanza: &str, name: &str) -> Option<Vec<String>> {
    let mut lines = stanza
        .lines()
        .skip_while(|line| !line.split_once(':').is_some_and(|(found, _)| found.eq_ignore_ascii_case(name)));
    let (_, first) = lines.next()?.split_once(':')?;
    let more = lines.take_while(|line| line.starts_with([' ', '\t']));
    let words = std::iter::once(first).chain(more).flat_map(str::split_whitespace);
    Some(words.map(str::to_owned).collect())
}

fn is_debian(uri: &str) -> bool {
    uri.trim_end_matches('/').rsplit('/').next() == Some(ARCHIVE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mirror_is_found_in_both_forms() {
        let stanzas = "Types: deb\nURIs: http://mirror.test/debian-security\nSuites: a\n\n\
                       Types: deb\n# a remark\nURIs:\n http://mirror.test/debian/\nSuites: a b\n";
        assert_eq!(of_stanzas(stanzas).as_deref(), Some("http://mirror.test/debian/"));
        let lines = "# deb http://no.test/debian a main\ndeb-src http://no.test/debian a main\n\
                     deb [arch=amd64 signed-by=/k] http://mirror.test/debian a main\n";
        assert_eq!(of_lines(lines).as_deref(), Some("http://mirror.test/debian"));
    }

    #[test]
    fn a_source_that_is_switched_off_is_none() {
        assert_eq!(of_stanzas("Types: deb\nEnabled: no\nURIs: http://mirror.test/debian\n"), None);
        assert_eq!(of_stanzas("Types: deb-src\nURIs: http://mirror.test/debian\n"), None);
    }
}
