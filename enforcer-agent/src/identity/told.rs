//! What is told of identities: who was issued a certificate, whose was taken away, who was turned away.

use enforcer_core::event::record::IDENTITY;
use enforcer_proto::v1;

/// Something that happened to a workload's identity.
#[derive(Clone, Debug, Default)]
pub(crate) struct Told<'a> {
    /// "issued", "renewed", "withdrawn", "revoked", "restored", "denied".
    pub(crate) event: &'static str,
    pub(crate) tenant: &'a str,
    pub(crate) workload: &'a str,
    pub(crate) id: String,
    pub(crate) serial: String,
    /// Whom or what it is about where that is no workload of this node.
    pub(crate) subject: String,
    /// Who did it; the agent itself when nobody is named.
    pub(crate) actor: &'a str,
    pub(crate) message: &'a str,
    pub(crate) fields: Vec<(&'static str, String)>,
}

impl Told<'_> {
    pub(crate) fn record(self) -> v1::Record {
        let Self { event, tenant, workload, id, serial, subject, actor, message, fields } = self;
        let source = (!tenant.is_empty()).then(|| v1::Endpoint {
            identity: tenant.to_owned(),
            workload: workload.to_owned(),
            spiffe_id: id,
            svid_serial: serial,
            ..v1::Endpoint::default()
        });
        let fields = fields.into_iter().map(|(name, value)| v1::Field { name: name.to_owned(), value });
        v1::Record {
            time: Some(std::time::SystemTime::now().into()),
            r#type: IDENTITY.to_owned(),
            source,
            note: Some(v1::Note {
                event: event.to_owned(),
                subject: if subject.is_empty() { workload.to_owned() } else { subject },
                actor: if actor.is_empty() { "agent" } else { actor }.to_owned(),
                level: String::new(),
                message: message.to_owned(),
                fields: fields.collect(),
            }),
            ..v1::Record::default()
        }
    }
}
