//! The ways out, read by those for whom they are: Prometheus' parser, OpenTelemetry's messages, Wireshark, an S3 server.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use enforcer_lab::enter::Place;
use enforcer_lab::wait;
use enforcer_tests::runner::Case;
use serde_json::{Value, json};

use crate::outside::{self, Running};
use crate::site::{INTRUDER, LIMIT, NODE, OWNER, Site};
use crate::tamper::findings;

pub(crate) const CASES: &[Case<Site>] = &[
    Case { name: "exports::prometheus_reads_the_metrics_and_they_are_exact", reasons: &[], run: prometheus },
    Case {
        name: "exports::a_collector_that_was_away_gets_everything_once_it_is_back",
        reasons: &[],
        run: collector,
    },
    Case { name: "exports::wireshark_opens_refused_packets_with_their_verdicts", reasons: &[], run: pcapng },
    Case { name: "exports::an_export_overwrites_nothing_unless_it_is_told_to", reasons: &[], run: careful },
    Case { name: "exports::traces_in_a_bucket_verify_like_those_on_the_node", reasons: &[], run: bucket },
];

const METRICS: &str = "127.0.0.1:9464";
const COLLECTOR: &str = "127.0.0.1:4317";
const S3: &str = "127.0.0.1:5999";
/// The agent copies once a minute.
const SHIPPED: Duration = Duration::from_secs(100);

/// A program of the node, in its namespace.
fn on_node(site: &Site, command: &Command) -> Result<Command> {
    let mut inside = Place { netns: site.place(NODE)?.netns, cgroup: None }.command(command.get_program())?;
    inside.args(command.get_args());
    Ok(inside)
}

fn prometheus(site: &mut Site) -> Result<()> {
    let export = json!({ "metrics": { "address": METRICS, "minInterval": "1s" } });
    let config = site.config()?.with("export", export);
    site.again(&config)?;
    for _ in 0..5 {
        site.dial(INTRUDER, OWNER)?;
    }
    for format in ["openmetrics", "text"] {
        let mut client = outside::client("metrics.py")?;
        client.args([&format!("http://{METRICS}/metrics"), "--format", format]);
        let mut client = on_node(site, &client)?;
        wait::until_true("five refusals in the metrics", LIMIT, || {
            let said = outside::json(&mut client)?;
            let metrics = said["metrics"].as_object().context("no metrics")?;
            let family = metrics
                .iter()
                .find(|(name, _)| matches!(name.as_str(), "enforcer_verdicts" | "enforcer_verdicts_total"));
            let samples =
                family.and_then(|(_, family)| family["samples"].as_array()).context("no verdicts")?;
            let of = |sample: &&Value| {
                sample[0]["source"] == "t2"
                    && sample[0]["destination"] == "t1"
                    && sample[0]["reason"] == "cross_tenant_no_rule"
            };
            Ok(samples.iter().filter(of).filter_map(|sample| sample[1].as_f64()).sum::<f64>() >= 5.0)
        })?;
    }
    Ok(())
}

/// What a collector wrote down.
fn taken(book: &Path) -> Result<Vec<Value>> {
    if !book.exists() {
        return Ok(Vec::new());
    }
    let text = fs::read_to_string(book)?;
    let calls = text.lines().map(serde_json::from_str::<Value>).collect::<Result<Vec<_>, _>>()?;
    let logs = calls.iter().filter(|call| call["signal"] == "logs" && call["answer"] == "ok");
    Ok(logs.flat_map(|call| call["records"].as_array().cloned().unwrap_or_default()).collect())
}

fn collector(site: &mut Site) -> Result<()> {
    let otlp = json!({ "endpoint": format!("http://{COLLECTOR}"), "batch": { "delay": "1s" } });
    let config = site.config()?.with("export", json!({ "otlp": otlp }));
    site.again(&config)?;
    for _ in 0..5 {
        site.intrude()?;
    }
    let wanted: Vec<u64> = site
        .stored(&["--tenant", "t2", "--verdict", "deny"], 10)?
        .iter()
        .filter_map(|record| record["sequence"].as_u64())
        .collect();
    let book = site.scratch("otlp")?.join("book.jsonl");
    let mut server = outside::client("otlp.py")?;
    server.arg(COLLECTOR).arg(&book);
    let server = Running::start(&mut on_node(site, &server)?)?;
    let mut arrived = Vec::new();
    wait::until_true("everything from before arrives", LIMIT + LIMIT, || {
        arrived = taken(&book)?;
        Ok(wanted.iter().all(|number| arrived.iter().any(|one| is_number(one, *number))))
    })?;
    for number in &wanted {
        let times = arrived.iter().filter(|one| is_number(one, *number)).count();
        ensure!(times == 1, "record {number} comes {times} times from a collector that took each call");
    }
    let one = arrived.iter().find(|one| one["attributes"]["enforcer.reason"] == "cross_tenant_no_rule");
    let one = one.context("no refusal")?;
    let pid = &one["attributes"]["process.pid"];
    ensure!(pid.as_u64() > Some(0), "{one:#}");
    ensure!(one["attributes"]["enforcer.source.identity"] == "t2", "{one:#}");
    drop(server);
    Ok(())
}

/// Of a number that JSON or a text has.
fn is_number(record: &Value, number: u64) -> bool {
    let own = &record["attributes"]["enforcer.sequence"];
    own.as_u64() == Some(number) || own.as_str().is_some_and(|text| text == number.to_string())
}

fn pcapng(site: &mut Site) -> Result<()> {
    // In the workload's namespace, but in no group of it: what it sends is refused as a packet.
    let place = Place {
        netns: site.place(INTRUDER)?.netns,
        cgroup: Some(format!("{}/world", site.lab().topology().cgroup())),
    };
    let to = site.address(OWNER)?;
    let mut command = place.command(&site.lab().binaries().probe)?;
    outside::run(command.args(["tcp", &to.to_string(), "--timeout-ms", "800"]))?;
    site.stored(&["--tenant", "t2", "--verdict", "deny", "--type", "flow"], 1)?;
    let file = site.scratch("pcapng")?.join("refused.pcapng");
    let text = file.display().to_string();
    let words =
        ["trace", "export", "--format", "pcapng", "--file", &text, "--tenant", "t2", "--verdict", "deny"];
    site.ctl()?.run(&words, "")?;
    let mut tshark = Command::new("tshark");
    tshark.args(["-r", &text, "-Y", "tcp.flags.syn==1", "-T", "fields", "-E", "separator=|"]);
    tshark.args(["-e", "ip.dst", "-e", "tcp.dstport", "-e", "frame.comment"]);
    let said = outside::run(&mut tshark)?;
    let line = said.lines().find(|line| line.starts_with(&format!("{}|{}|", to.ip(), to.port())));
    let line = line.with_context(|| format!("tshark sees {said:?}"))?;
    for word in ["verdict=deny", "reason=cross_tenant_no_rule", "rule=no-rule-matched", "source=t2/n1-t2-p1"]
    {
        ensure!(line.contains(word), "no {word} in the comment: {line}");
    }
    Ok(())
}

fn careful(site: &mut Site) -> Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    let file = site.scratch("careful")?.join("export.jsonl");
    fs::write(&file, "mine")?;
    let text = file.display().to_string();
    let words = ["trace", "export", "--format", "json", "--file", &text];
    let answer = site.ctl()?.call(&words, "")?;
    ensure!(answer.code != 0 && fs::read_to_string(&file)? == "mine", "{answer:?}");
    ensure!(answer.err.contains("--force"), "{}", answer.err);
    site.ctl()?.run(&[&words[..], &["--force"]].concat(), "")?;
    ensure!(fs::read_to_string(&file)?.lines().all(|line| serde_json::from_str::<Value>(line).is_ok()));
    ensure!(fs::metadata(&file)?.permissions().mode() & 0o7777 == 0o600, "an export is for its owner");
    Ok(())
}

/// moto's S3, with an empty bucket.
fn s3(site: &Site) -> Result<Running> {
    let mut server = Command::new(outside::of_python("moto_server")?);
    server.args(["-H", "127.0.0.1", "-p", "5999"]);
    let running = Running::start(&mut on_node(site, &server)?)?;
    wait::until_true("the S3 server answers", LIMIT, || {
        let mut put = Command::new("curl");
        put.args(["--silent", "--fail", "--noproxy", "*", "-X", "PUT", &format!("http://{S3}/traces")]);
        Ok(outside::outcome(&mut on_node(site, &put)?)?.0)
    })?;
    Ok(running)
}

fn bucket(site: &mut Site) -> Result<()> {
    let server = s3(site)?;
    let options = json!({
        "aws_endpoint": format!("http://{S3}"),
        "aws_access_key_id": "test",
        "aws_secret_access_key": "test",
        "aws_region": "us-east-1",
        "aws_allow_http": "true",
    });
    let ship = json!({ "url": "s3://traces/fleet/n1", "options": options });
    let config = site.config()?.with("trace", json!({ "ship": ship }));
    site.again(&config)?;
    for _ in 0..2 {
        site.intrude()?;
        site.stored(&["--tenant", "t2", "--verdict", "deny"], 2)?;
        site.seal()?;
    }
    let copy = site.scratch("bucket")?;
    let mut download = outside::client("download.py")?;
    download.args([&format!("http://{S3}"), "traces", "fleet/n1"]).arg(&copy);
    let mut download = on_node(site, &download)?;
    let sealed = site.sealed("t2")?;
    let name = sealed.strip_prefix(site.traces()?)?.to_owned();
    wait::until_true("the sealed files are in the bucket", SHIPPED, || {
        outside::run(&mut download)?;
        Ok(copy.join(&name).exists() && findings(site, &copy, &[])?.is_empty())
    })?;
    ensure!(
        fs::read(copy.join(&name))? == fs::read(&sealed)?,
        "{} is another file in the bucket",
        name.display()
    );
    let mut bytes = fs::read(copy.join(&name))?;
    let middle = bytes.len() / 2;
    *bytes.get_mut(middle).context("an empty file")? ^= 1;
    fs::write(copy.join(&name), bytes)?;
    ensure!(!findings(site, &copy, &[])?.is_empty(), "a copy that was changed verifies");
    drop(server);
    Ok(())
}
