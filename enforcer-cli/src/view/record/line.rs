//! A record for people: one line.

use std::fmt::Write as _;

use enforcer_proto::v1;

use super::{EndpointView, RecordView, process};
use crate::console::Show;
use crate::instant;
use crate::style::{self, Paint, Style};
use crate::table::plain;
use crate::view::device::DeviceView;
use crate::view::tunnel::facts::{CertificateView, FactsView};

impl Show for RecordView {
    fn text(&self, style: Style) -> String {
        let record = &self.0;
        let mut text = String::new();
        if record.lost_before > 0 {
            let lost = format!("-- {} records lost before the next --", record.lost_before);
            let _ = writeln!(text, "{}", style.paint(Paint::Warn, &lost));
        }
        let verdict = &record.verdict;
        let verdict = style.paint(style::of_verdict(verdict), &format!("{:<5}", plain(verdict)));
        let time = instant::column(record.time.as_ref());
        let _ = write!(text, "{time}  {verdict}  {:<7}", plain(&record.r#type));
        for part in parts(record) {
            let _ = write!(text, "  {}", plain(&part));
        }
        text.push('\n');
        text
    }
}

/// What is known, in the order in which one reads it.
fn parts(record: &v1::Record) -> Vec<String> {
    let reason = if record.reason == "none" { "" } else { &record.reason };
    let tunnel = record.tunnel.clone().map(|facts| FactsView::from(facts).parts()).unwrap_or_default();
    let revision = if record.revision == 0 { String::new() } else { record.revision.to_string() };
    let parts = [
        ends(record),
        service(record),
        device_and_access(record),
        tunnel.join("  "),
        certificates(record),
        record.flow.as_ref().map(flow).unwrap_or_default(),
        record.note.as_ref().map(note).unwrap_or_default(),
        labelled("carriage", &record.carriage),
        reason.to_owned(),
        rule(record),
        labelled("shadow", &record.shadow_rule),
        record.process.as_ref().map(process::brief).unwrap_or_default(),
        if record.half { "half".to_owned() } else { String::new() },
        labelled("hook", &record.hook),
        labelled("revision", &revision),
    ];
    parts.into_iter().filter(|part| !part.is_empty()).collect()
}

fn ends(record: &v1::Record) -> String {
    let brief = |end: &v1::Endpoint| EndpointView::from(end.clone()).brief();
    match (&record.source, &record.destination) {
        (Some(source), Some(destination)) => format!("{} -> {}", brief(source), brief(destination)),
        (Some(one), None) | (None, Some(one)) => brief(one),
        (None, None) => String::new(),
    }
}

fn service(record: &v1::Record) -> String {
    match (record.icmp_type, record.icmp_code) {
        (Some(kind), Some(code)) => format!("{} type={kind} code={code}", record.protocol),
        (Some(kind), None) => format!("{} type={kind}", record.protocol),
        (None, _) => record.protocol.clone(),
    }
}

fn device_and_access(record: &v1::Record) -> String {
    let device = record.device.clone().map(|device| DeviceView::from(device).brief()).unwrap_or_default();
    if record.access.is_empty() { device } else { format!("{device} {}", record.access).trim().to_owned() }
}

/// The certificates that the ends held; a tunnel's facts say which were shown.
fn certificates(record: &v1::Record) -> String {
    if record.tunnel.is_some() {
        return String::new();
    }
    let brief = |end: &Option<v1::Endpoint>| {
        let certificate = end
            .as_ref()
            .map(|end| CertificateView { spiffe_id: end.spiffe_id.clone(), serial: end.svid_serial.clone() });
        certificate.map(|certificate| certificate.brief()).unwrap_or_default()
    };
    let (source, destination) = (brief(&record.source), brief(&record.destination));
    [labelled("from", &source), labelled("to", &destination)].join(" ").trim().to_owned()
}

/// The rule with its owner, where that is a tenant.
fn rule(record: &v1::Record) -> String {
    let owner =
        if record.rule_owner.is_empty() { String::new() } else { format!(" of {}", record.rule_owner) };
    if record.rule.is_empty() { String::new() } else { format!("rule={}{owner}", record.rule) }
}

/// `ESTAB->CLOSE-WAIT`, and what was moved where that was counted.
fn flow(facts: &v1::FlowFacts) -> String {
    let mut text = facts.event.clone();
    if !facts.state.is_empty() {
        let _ = write!(text, " {}->{}", facts.state_before, facts.state);
    }
    if facts.packets_sent != 0 || facts.packets_received != 0 {
        let _ = write!(text, " bytes={}/{}", facts.bytes_sent, facts.bytes_received);
        let _ = write!(text, " packets={}/{}", facts.packets_sent, facts.packets_received);
    }
    if facts.duration_ns != 0 {
        let _ =
            write!(text, " after={:.3}s", std::time::Duration::from_nanos(facts.duration_ns).as_secs_f64());
    }
    text
}

fn note(note: &v1::Note) -> String {
    let words = [&note.level, &note.event, &note.subject].map(String::as_str);
    let mut parts: Vec<String> =
        words.into_iter().filter(|word| !word.is_empty()).map(str::to_owned).collect();
    parts.push(labelled("by", &note.actor));
    parts.push(note.message.clone());
    parts.extend(note.fields.iter().map(|field| labelled(&field.name, &field.value)));
    parts.retain(|part| !part.is_empty());
    parts.join(" ")
}

fn labelled(label: &str, value: &str) -> String {
    if value.is_empty() { String::new() } else { format!("{label}={value}") }
}

impl EndpointView {
    /// `a/web 10.0.0.1:80`, `world [2001:db8::1]:443`, `host`.
    pub(crate) fn brief(&self) -> String {
        let Self { identity, workload, address, port } = self;
        let mut text = identity.clone();
        if !workload.is_empty() {
            let _ = write!(text, "/{workload}");
        }
        match (address.is_empty(), *port) {
            (true, _) => {}
            (false, 0) => drop(write!(text, " {address}")),
            (false, port) if address.contains(':') => drop(write!(text, " [{address}]:{port}")),
            (false, port) => drop(write!(text, " {address}:{port}")),
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flow() -> v1::Record {
        let end = |identity: &str, workload: &str, address: &str, port| v1::Endpoint {
            identity: identity.to_owned(),
            workload: workload.to_owned(),
            address: address.to_owned(),
            port,
            ..Default::default()
        };
        v1::Record {
            sequence: 41,
            time: Some(prost_types::Timestamp { seconds: 1_793_700_000, nanos: 250_000_000 }),
            node: "n1".to_owned(),
            r#type: "flow".to_owned(),
            verdict: "deny".to_owned(),
            reason: "cross_tenant_no_rule".to_owned(),
            rule: "no-rule-matched".to_owned(),
            revision: 7,
            hook: "from_workload".to_owned(),
            source: Some(end("a", "web", "10.0.0.1", 40_000)),
            destination: Some(end("b", "", "2001:db8::1", 5_432)),
            protocol: "TCP".to_owned(),
            process: Some(v1::Process {
                pid: 12,
                command: "curl".to_owned(),
                cgroup_id: 99,
                cgroup: "/a".to_owned(),
                ..Default::default()
            }),
            ..v1::Record::default()
        }
    }

    #[test]
    fn a_record_is_one_line() {
        assert_eq!(
            RecordView::from(flow()).text(Style::Plain),
            "2026-11-03T10:00:00.250Z  deny   flow     a/web 10.0.0.1:40000 -> b [2001:db8::1]:5432  TCP  \
             cross_tenant_no_rule  rule=no-rule-matched  curl[12] cgroup=/a  hook=from_workload  revision=7\n"
        );
    }

    #[test]
    fn a_loss_is_told_before_the_record_it_precedes() {
        let text = RecordView::from(v1::Record { lost_before: 12, ..flow() }).text(Style::Plain);
        assert!(text.starts_with("-- 12 records lost before the next --\n2026-"), "{text}");
    }

    #[test]
    fn a_device_record_names_device_and_access() {
        let device =
            v1::Device { class: "nvidia".to_owned(), major: 195, minor: Some(0), ..Default::default() };
        let record = v1::Record {
            r#type: "device".to_owned(),
            device: Some(device),
            access: "read,write".to_owned(),
            reason: "device_not_granted".to_owned(),
            destination: None,
            protocol: String::new(),
            ..flow()
        };
        let text = RecordView::from(record).text(Style::Plain);
        assert!(text.contains("  nvidia 195:0 read,write  device_not_granted  "), "{text}");
    }

    #[test]
    fn a_tunnel_is_told_with_both_certificates_and_its_end() {
        let facts = v1::TunnelFacts {
            event: "closed".to_owned(),
            direction: "inbound".to_owned(),
            hop: "native".to_owned(),
            source_id: "spiffe://a.fleet.example/web".to_owned(),
            source_serial: "0a".to_owned(),
            destination_id: "spiffe://b.fleet.example/db".to_owned(),
            destination_serial: "0b".to_owned(),
            trace_id: "07".repeat(16),
            bytes_forward: 10,
            bytes_back: 20,
            end: "policy".to_owned(),
            ..v1::TunnelFacts::default()
        };
        let record = v1::Record {
            r#type: "tunnel".to_owned(),
            verdict: "allow".to_owned(),
            reason: "none".to_owned(),
            rule: "web-to-db".to_owned(),
            process: None,
            hook: String::new(),
            tunnel: Some(facts.clone()),
            ..flow()
        };
        assert_eq!(
            RecordView::from(record.clone()).text(Style::Plain),
            "2026-11-03T10:00:00.250Z  allow  tunnel   a/web 10.0.0.1:40000 -> b [2001:db8::1]:5432  TCP  \
             closed inbound native  spiffe://a.fleet.example/web#0a -> spiffe://b.fleet.example/db#0b  bytes=10/20  \
             end=policy  trace=07070707070707070707070707070707  rule=web-to-db  revision=7\n"
        );
        let json = serde_json::to_value(RecordView::from(record.clone())).unwrap();
        assert_eq!(json["tunnel"]["destination"]["serial"], "0b");
        assert!(json.get("carriage").is_none());
        let stranger =
            v1::TunnelFacts { destination_id: String::new(), destination_serial: String::new(), ..facts };
        let text = RecordView::from(v1::Record { tunnel: Some(stranger), ..record }).text(Style::Plain);
        assert!(text.contains("web#0a -> ?"), "{text}");
    }

    #[test]
    fn a_command_cannot_drive_the_terminal_or_forge_a_line() {
        let mut record = flow();
        if let Some(process) = record.process.as_mut() {
            process.command = "x\n2026 allow\x1b[2J".to_owned();
        }
        let text = RecordView::from(record).text(Style::Plain);
        assert_eq!(text.matches('\n').count(), 1);
        assert!(!text.contains('\x1b'));
    }

    #[test]
    fn who_did_it_is_told_with_what_it_ran_and_who_made_it() {
        let mut record = flow();
        record.rule = "web-to-db".to_owned();
        record.rule_owner = "b".to_owned();
        if let Some(source) = record.source.as_mut() {
            source.spiffe_id = "spiffe://a.example/web".to_owned();
            source.svid_serial = "0a1b".to_owned();
        }
        let parent =
            |pid, executable: &str| v1::Ancestor { pid, start_boot_ns: 1, executable: executable.to_owned() };
        record.process = Some(v1::Process {
            start_boot_ns: 5,
            executable: "/usr/bin/curl".to_owned(),
            arguments: vec!["curl".to_owned(), "-v".to_owned()],
            arguments_cut: true,
            uid: 1_000,
            ancestors: vec![parent(11, "/bin/bash"), parent(1, "")],
            ..record.process.unwrap_or_default()
        });
        let text = RecordView::from(record).text(Style::Plain);
        assert!(
            text.contains(
                "  from=spiffe://a.example/web#0a1b  cross_tenant_no_rule  rule=web-to-db of b  curl[12] \
                 exe=/usr/bin/curl args=\"curl -v …\" parents=bash[11]<?[1] uid=1000 cgroup=/a  hook="
            ),
            "{text}"
        );
    }

    #[test]
    fn what_the_agent_noticed_and_how_a_flow_ended_are_told() {
        let note = v1::Note {
            event: "committed".to_owned(),
            subject: "revision 8".to_owned(),
            actor: "uid:0".to_owned(),
            fields: vec![v1::Field { name: "source".to_owned(), value: "apply".to_owned() }],
            ..v1::Note::default()
        };
        let record = v1::Record { r#type: "policy".to_owned(), note: Some(note), ..v1::Record::default() };
        let text = RecordView::from(record).text(Style::Plain);
        assert_eq!(text, "-         policy   committed revision 8 by=uid:0 source=apply\n");
        let facts = v1::FlowFacts {
            event: "closed".to_owned(),
            state_before: "LAST-ACK".to_owned(),
            state: "UNCONN".to_owned(),
            bytes_sent: 10,
            packets_sent: 2,
            duration_ns: 1_500_000_000,
            ..v1::FlowFacts::default()
        };
        let text = RecordView::from(v1::Record { flow: Some(facts), ..flow() }).text(Style::Plain);
        let told = "  closed LAST-ACK->UNCONN bytes=10/0 packets=2/0 after=1.500s  ";
        assert!(text.contains(told), "{text}");
    }

    #[test]
    fn its_fields_are_stable() {
        let json = serde_json::to_value(RecordView::from(flow())).unwrap();
        assert_eq!(json["type"], "flow");
        assert_eq!(json["time"], "2026-11-03T10:00:00.250Z");
        assert_eq!(json["source"]["workload"], "web");
        assert_eq!(json["destination"]["port"], 5432);
        assert_eq!(json["process"]["cgroupId"], 99);
        assert!(json.get("lostBefore").is_none());
        assert!(json.get("icmpType").is_none());
    }
}
