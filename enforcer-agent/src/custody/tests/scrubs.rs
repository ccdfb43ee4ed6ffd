//! Scrubbers over files, with faults.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use enforcer_core::device::class::Kind;
use enforcer_core::device::custody::DeviceKey;
use enforcer_core::device::custody::receipt::Evidence;
use enforcer_core::device::number::DeviceNumber;

use crate::custody::scrub::{
    Command, Content, Job, Overwrite, Place, Reader, Report, Reset, ScrubError, Scrubber as _,
};

fn job() -> Job {
    Job {
        key: DeviceKey { class: "disk".to_owned(), number: 0 },
        device: DeviceNumber { kind: Kind::Block, major: 7, minor: 0 },
        nonce: [7; 32],
        seed: [9; 32],
    }
}

fn reader(path: &Path, content: Content, samples: Option<u64>) -> Reader {
    let place = Place { path: path.display().to_string(), bytes: None, is_device: false };
    Reader { place, content, samples }
}

fn disk(bytes: usize) -> tempfile::NamedTempFile {
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), vec![0xab; bytes]).unwrap();
    file
}

fn shell(script: &str) -> Command {
    Command {
        method: "command",
        argv: ["/bin/sh", "-c", script].into_iter().map(str::to_owned).collect(),
        verify: None,
        reader: None,
        is_own: false,
        reset: None,
        group: None,
        min_covered: 100,
        limit: Duration::from_secs(10),
    }
}

const HONEST: &str = r#"{"bytes_covered":10000,"bytes_total":10000}"#;

#[tokio::test]
async fn the_built_in_one_leaves_nothing_and_says_how_much_it_read() {
    let file = disk(10_000);
    let sampled = Overwrite { reader: reader(file.path(), Content::Pattern, Some(4)) };
    let outcome = sampled.scrub(&job()).await.unwrap();
    assert_eq!((outcome.bytes_covered, outcome.bytes_total), (10_000, 10_000));
    assert_eq!((outcome.evidence, outcome.samples), (Evidence::Sampled, 13));
    let after = fs::read(file.path()).unwrap();
    assert_eq!(after.len(), 10_000);
    assert!(!after.windows(8).any(|bytes| bytes == [0xab; 8]));
    let full = Overwrite { reader: reader(file.path(), Content::Pattern, None) };
    let outcome = full.scrub(&job()).await.unwrap();
    assert_eq!((outcome.evidence, outcome.samples), (Evidence::Full, 3));
}

#[tokio::test]
async fn a_device_that_runs_full_or_keeps_nothing_is_not_clean() {
    for (path, bytes) in [("/dev/full", 8192), ("/dev/null", 8192)] {
        let place = Place { path: path.to_owned(), bytes: Some(bytes), is_device: false };
        let reader = Reader { place, content: Content::Pattern, samples: Some(4) };
        let error = Overwrite { reader }.scrub(&job()).await.unwrap_err();
        assert!(matches!(error, ScrubError::Io { .. } | ScrubError::Canary), "{path}: {error}");
    }
}

#[tokio::test]
async fn what_is_not_the_device_is_not_written_to() {
    let file = disk(100);
    let mut reader = reader(file.path(), Content::Pattern, Some(4));
    reader.place.is_device = true;
    let error = Overwrite { reader: reader.clone() }.scrub(&job()).await.unwrap_err();
    assert!(matches!(error, ScrubError::Stranger { .. }), "{error}");
    assert_eq!(fs::read(file.path()).unwrap(), vec![0xab; 100]);
    reader.place.path = "/dev/null".to_owned();
    let error = Overwrite { reader }.scrub(&job()).await.unwrap_err();
    assert!(error.to_string().contains("c 1:3"), "{error}");
}

#[tokio::test]
async fn a_program_is_believed_as_far_as_it_goes() {
    let silent = shell("true").scrub(&job()).await.unwrap();
    assert_eq!((silent.evidence, silent.bytes_covered), (Evidence::Declared, 0));
    let tells = shell(&format!("echo begun; echo '{HONEST}'")).scrub(&job()).await.unwrap();
    assert_eq!((tells.evidence, tells.bytes_covered), (Evidence::Attested, 10_000));
    let mut verified = shell(&format!("echo '{HONEST}'"));
    let sampled = r#"echo '{"bytes_covered":0,"bytes_total":0,"samples":5}'"#;
    verified.verify = Some(["/bin/sh", "-c", sampled].into_iter().map(str::to_owned).collect());
    let outcome = verified.scrub(&job()).await.unwrap();
    assert_eq!((outcome.evidence, outcome.samples), (Evidence::Sampled, 5));
    let own = Command { is_own: true, ..shell(r#"echo '{"bytes_covered":1,"bytes_total":1,"samples":5}'"#) };
    assert_eq!(own.scrub(&job()).await.unwrap().evidence, Evidence::Sampled);
}

#[tokio::test]
async fn a_program_that_lies_is_caught_by_the_samples() {
    let file = disk(10_000);
    let mut lies = shell(&format!("echo '{HONEST}'"));
    lies.reader = Some(reader(file.path(), Content::Zeros, Some(4)));
    let error = lies.scrub(&job()).await.unwrap_err();
    assert!(matches!(error, ScrubError::Mismatch { mismatches: 1.., .. }), "{error}");
    // It writes all but the end.
    let most = format!(
        "head -c 8192 /dev/zero | dd of={0} conv=notrunc 2>&1; echo '{HONEST}'",
        file.path().display()
    );
    let mut short = shell(&most);
    short.reader = Some(reader(file.path(), Content::Zeros, Some(4)));
    let error = short.scrub(&job()).await.unwrap_err();
    assert!(matches!(error, ScrubError::Mismatch { .. }), "{error}");
    let all = format!(
        "head -c 10000 /dev/zero | dd of={0} conv=notrunc 2>&1; echo '{HONEST}'",
        file.path().display()
    );
    let mut honest = shell(&all);
    honest.reader = Some(reader(file.path(), Content::Zeros, Some(4)));
    assert_eq!(honest.scrub(&job()).await.unwrap().evidence, Evidence::Sampled);
}

#[tokio::test]
async fn a_short_write_a_bad_end_and_words_that_are_not_known_have_failed() {
    let fails = |script: &'static str| async move { shell(script).scrub(&job()).await.unwrap_err() };
    let short = fails(r#"echo '{"bytes_covered":9,"bytes_total":10}'"#).await;
    assert!(matches!(short, ScrubError::Short { covered: 9, total: 10 }), "{short}");
    let most = r#"echo '{"bytes_covered":9,"bytes_total":10,"samples":1,"not_covered":["a page"]}'"#;
    let most = Command { min_covered: 90, is_own: true, ..shell(most) }.scrub(&job()).await.unwrap();
    assert_eq!(most.not_covered, ["a page", "1 bytes that were not overwritten"]);
    let wrong = fails(r#"echo '{"bytes_covered":9,"bytes_total":9,"samples":2,"mismatches":1}'"#).await;
    assert!(matches!(wrong, ScrubError::Mismatch { .. }), "{wrong}");
    let status = fails("echo no such device >&2; exit 3").await;
    assert!(status.to_string().contains("no such device"), "{status}");
    for words in [r#"{"bytes_covered":1,"bytes_total":1,"clean":true}"#, "{", r#"{"bytes_covered":-1}"#] {
        assert!(matches!(Report::parse(words), Err(ScrubError::Report(_))), "{words}");
    }
    assert_eq!(Report::parse("done\n").unwrap(), None);
}

#[tokio::test]
async fn time_and_output_are_bounded_and_nothing_is_left_running() {
    let mark = tempfile::tempdir().unwrap();
    let late = mark.path().join("late");
    let script = format!("(sleep 2; touch {}) & sleep 30", late.display());
    let mut slow = shell(&script);
    slow.limit = Duration::from_millis(300);
    let begun = Instant::now();
    assert!(matches!(slow.scrub(&job()).await, Err(ScrubError::Timeout(_))));
    assert!(begun.elapsed() < Duration::from_secs(2));
    let flood = shell("yes").scrub(&job()).await.unwrap_err();
    assert!(matches!(flood, ScrubError::Flood(_)), "{flood}");
    tokio::time::sleep(Duration::from_millis(2_200)).await;
    assert!(!late.exists(), "what it had started went on");
}

#[tokio::test]
async fn a_program_has_no_environment_and_is_told_what_to_scrub() {
    let mark = tempfile::tempdir().unwrap();
    let out = mark.path().join("out");
    let script =
        format!("echo {{device}} {{major}} {{minor}} {{number}} {{nonce}} > {0}; env >> {0}", out.display());
    shell(&script).scrub(&job()).await.unwrap();
    let said = fs::read_to_string(&out).unwrap();
    let nonce = "07".repeat(32);
    assert!(said.starts_with(&format!("disk:0 7 0 0 {nonce}\n")), "{said}");
    assert!(!said.contains("HOME=") && !said.contains("CARGO"), "{said}");
}

#[tokio::test]
async fn a_reset_comes_after_a_failure_once() {
    let mark = tempfile::tempdir().unwrap();
    let flag = mark.path().join("flag");
    let mut flaky = shell(&format!("test -e {}", flag.display()));
    let reset = ["/bin/sh".to_owned(), "-c".to_owned(), format!("touch {}", flag.display())];
    flaky.reset = Some((Reset::OnFailure, reset.to_vec()));
    assert_eq!(flaky.scrub(&job()).await.unwrap().evidence, Evidence::Declared);
    let mut broken = shell("false");
    broken.reset = Some((Reset::OnFailure, reset.to_vec()));
    assert!(broken.scrub(&job()).await.is_err());
}
