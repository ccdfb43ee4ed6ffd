//! Ships a store, and verifies a copy: `ship STORE URL [NAME=VALUE ...]`, `ship --verify COPY`.

use std::collections::BTreeMap;
use std::error::Error;
use std::path::{Path, PathBuf};

use enforcer_trace::ship::{Pace, Shipper, Target};
use enforcer_trace::{VerifyOptions, verify};

fn main() -> Result<(), Box<dyn Error>> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    match words.as_slice() {
        [flag, copy] if flag == "--verify" => {
            let report = verify(Path::new(copy), &VerifyOptions::default())?;
            println!(
                "{} files, {} records, {} findings",
                report.files,
                report.records,
                report.findings.len()
            );
            for finding in &report.findings {
                println!("{finding:?}");
            }
            if report.findings.is_empty() { Ok(()) } else { Err("the copy is not what was shipped".into()) }
        }
        [store, url, options @ ..] => {
            let options: Option<BTreeMap<String, String>> = options
                .iter()
                .map(|word| word.split_once('=').map(|(name, value)| (name.to_owned(), value.to_owned())))
                .collect();
            let target = Target::parse(url, &options.ok_or("an option is NAME=VALUE")?)?;
            let shipper = Shipper::new(PathBuf::from(store), target, Pace::default());
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            let shipped = runtime.block_on(shipper.pass())?;
            println!(
                "checkpoint {}: {} sent, {} bytes, {} present",
                shipped.checkpoint, shipped.sent, shipped.bytes, shipped.present
            );
            Ok(())
        }
        _ => Err("ship STORE URL [NAME=VALUE ...], or ship --verify COPY".into()),
    }
}
