//! A record for people: one line.

use std::fmt::Write as _;

use super::{EndpointView, ProcessView, RecordView};
use crate::console::Show;
use crate::style::{self, Paint, Style};
use crate::table::plain;
use crate::view::device::DeviceView;
use crate::view::tunnel::facts::FactsView;

impl Show for RecordView {
    fn text(&self, style: Style) -> String {
        let mut text = String::new();
        if self.lost_before > 0 {
            let lost = format!("-- {} records lost before the next --", self.lost_before);
            let _ = writeln!(text, "{}", style.paint(Paint::Warn, &lost));
        }
        let verdict = style.paint(style::of_verdict(&self.verdict), &format!("{:<5}", plain(&self.verdict)));
        let _ = write!(text, "{}  {verdict}  {:<7}", plain(&self.column), plain(&self.kind));
        for part in self.parts() {
            let _ = write!(text, "  {}", plain(&part));
        }
        text.push('\n');
        text
    }
}

impl RecordView {
    /// What is known, in the order in which one reads it.
    fn parts(&self) -> Vec<String> {
        let reason = if self.reason == "none" { "" } else { &self.reason };
        let tunnel = self.tunnel.as_ref().map(FactsView::parts).unwrap_or_default();
        let parts = [
            self.ends(),
            self.service(),
            self.device_and_access(),
            tunnel.join("  "),
            labelled("carriage", &self.carriage),
            reason.to_owned(),
            labelled("rule", &self.rule),
            labelled("shadow", &self.shadow_rule),
            self.process.as_ref().map(ProcessView::brief).unwrap_or_default(),
            labelled("hook", &self.hook),
            labelled("revision", &self.revision.to_string()),
        ];
        parts.into_iter().filter(|part| !part.is_empty()).collect()
    }

    fn ends(&self) -> String {
        match (&self.source, &self.destination) {
            (Some(source), Some(destination)) => format!("{} -> {}", source.brief(), destination.brief()),
            (Some(one), None) | (None, Some(one)) => one.brief(),
            (None, None) => String::new(),
        }
    }

    fn service(&self) -> String {
        match (self.icmp_type, self.icmp_code) {
            (Some(kind), Some(code)) => format!("{} type={kind} code={code}", self.protocol),
            (Some(kind), None) => format!("{} type={kind}", self.protocol),
            (None, _) => self.protocol.clone(),
        }
    }

    fn device_and_access(&self) -> String {
        let device = self.device.as_ref().map(DeviceView::brief).unwrap_or_default();
        if self.access.is_empty() { device } else { format!("{device} {}", self.access).trim().to_owned() }
    }
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

impl ProcessView {
    /// `curl[1234]`, with the cgroup when it is known.
    fn brief(&self) -> String {
        if self.pid == 0 && self.cgroup.is_empty() {
            return String::new();
        }
        let cgroup = labelled(" cgroup", &self.cgroup);
        format!("{}[{}]{cgroup}", self.command, self.pid)
    }
}

#[cfg(test)]
mod tests {
    use enforcer_proto::v1;

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
    fn its_fields_are_stable() {
        let json = serde_json::to_value(RecordView::from(flow())).unwrap();
        assert_eq!(json["type"], "flow");
        assert_eq!(json["time"], "2026-11-03T10:00:00.250Z");
        assert_eq!(json["source"]["workload"], "web");
        assert_eq!(json["destination"]["port"], 5432);
        assert_eq!(json["process"]["cgroupId"], 99);
        assert_eq!(json["lostBefore"], 0);
        assert!(json.get("icmpType").is_none());
    }
}
