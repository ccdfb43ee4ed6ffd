//! What tasks found or did, taken into account.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use enforcer_core::identity::lifecycle::{Action, Event};
use enforcer_core::identity::schedule::Term;
use enforcer_core::identity::trust_domain::TrustDomain;
use enforcer_core::identity::x509::leaf::parse_leaf;
use enforcer_core::policy::model::Name;
use rustls::sign::CertifiedKey;
use tracing::{debug, info, warn};

use super::domain::RevokedSerial;

use super::member::Member;
use super::run::Keeper;
use super::task::{Outcome, Shelved, Wish};
use crate::door::upstream::UpstreamError;
use crate::hex::hex;
use crate::identity::authority::NodeCa;
use crate::identity::clock::die;
use crate::identity::svid::Svid;
use crate::identity::told::Told;

impl Keeper {
    /// Learns what a task found or did.
    pub(super) fn learn(&mut self, outcome: Outcome) {
        match outcome {
            Outcome::Looked(domain, found) => {
                self.running = self.running.saturating_sub(1);
                for (wish, svid) in found {
                    match svid {
                        Some(svid) => self.granted(&wish, svid),
                        None => self.wanted.entry(domain.clone()).or_default().push(wish),
                    }
                }
            }
            Outcome::Issued(issued) => {
                self.running = self.running.saturating_sub(1);
                for (wish, svid) in issued {
                    match svid {
                        Ok(svid) => {
                            if let Some(member) = self.members.get_mut(&wish.workload) {
                                member.issued += 1;
                            }
                            self.granted(&wish, svid);
                        }
                        Err(error) => self.failed(&wish, &UpstreamError::Away(error)),
                    }
                }
            }
            Outcome::Shelved(domain, shelved) => self.take_shelved(domain, shelved),
            Outcome::NodeCa(domain, answer) => self.take_ca(&domain, answer),
            Outcome::Own(answer) => self.take_own(answer),
            Outcome::Tidied => self.chores.done(),
            Outcome::Told(reply, answer) => {
                // The authority published before it answered.
                if self.trusts.has_changed().unwrap_or(false) {
                    self.follow_trust();
                }
                let _gone = reply.send(answer);
            }
        }
    }

    /// Takes up what the vault had, and asks for a node CA if it had none.
    fn take_shelved(&mut self, name: TrustDomain, shelved: Shelved) {
        let now = (self.clock)();
        let Shelved { latest, before, revoked } = shelved;
        let Some(domain) = self.domains.get_mut(&name) else { return };
        if let Some(before) = before {
            domain.take(before, now, die());
        }
        domain.recall(revoked, now);
        match latest {
            Some(latest) => self.take_ca(&name, Ok(latest)),
            None => self.ask_for_ca(name),
        }
    }

    fn take_ca(&mut self, name: &TrustDomain, answer: Result<Arc<NodeCa>, UpstreamError>) {
        let now = (self.clock)();
        let Some(domain) = self.domains.get_mut(name) else { return };
        domain.is_asked = false;
        match answer {
            Ok(ca) => {
                info!(domain = %name, not_after = ca.not_after().as_secs(), "node CA in place");
                domain.take(ca, now, die());
                for workload in domain.unlisted.clone() {
                    if let Some(svid) = self.members.get(&workload).and_then(|member| member.svid.as_ref()) {
                        domain.note_issuer(&workload, svid);
                    }
                }
                self.publish_to_all_who_meet(&BTreeSet::from([name.clone()]));
            }
            Err(error) => {
                warn!(domain = %name, %error, "no node CA");
                domain.fail(error, now, die());
            }
        }
    }

    fn take_own(&mut self, answer: Result<Arc<CertifiedKey>, UpstreamError>) {
        let now = (self.clock)();
        let answer = answer.and_then(|key| {
            let leaf = key.cert.first().ok_or_else(|| UpstreamError::Refused("an empty chain".to_owned()))?;
            let leaf = parse_leaf(leaf).map_err(|error| UpstreamError::Refused(error.to_string()))?;
            Ok((key, Term::new(leaf.not_before, leaf.not_after, die())))
        });
        if self.own.answered(answer, now, die()) {
            self.ask_for_own();
        }
    }

    /// A certificate came: it is served if it still answers what was asked last.
    fn granted(&mut self, wish: &Wish, svid: Svid) {
        let now = (self.clock)();
        let is_wanted = |member: &&Member| member.question == wish.question && member.id() == Some(&svid.id);
        if self.members.get(&wish.workload).filter(is_wanted).is_none() {
            debug!(workload = %wish.workload, "a certificate came that is no longer wanted");
            // It is on the shelf already. Should a wanted one be there by now, that is issued anew after a restart.
            self.chores.remove_svid(&TrustDomain::from(&svid.id), &wish.workload);
            return;
        }
        let term = Term::new(svid.not_before, svid.not_after, die());
        if self.step(&wish.workload, Event::Issued(term)) == Action::Serve {
            self.serve(&wish.workload, svid, now);
        }
        self.publish(&wish.workload);
    }

    /// Puts a certificate in the place of the one before.
    fn serve(&mut self, workload: &Name, svid: Svid, now: Duration) {
        let Some(member) = self.members.get_mut(workload) else { return };
        if let Some(domain) = self.domains.get_mut(&member.entitlement.domain) {
            domain.note_issuer(workload, &svid);
        }
        info!(
            %workload,
            id = %svid.id,
            serial = hex(&svid.serial),
            not_after = svid.not_after.as_secs(),
            "certificate in place"
        );
        (self.tell)(
            Told {
                event: if member.svid.is_some() { "renewed" } else { "issued" },
                tenant: &member.entitlement.tenant,
                workload,
                id: svid.id.to_string(),
                serial: hex(&svid.serial),
                fields: vec![("not_after", svid.not_after.as_secs().to_string())],
                ..Told::default()
            }
            .record(),
        );
        member.earlier.retain(|entry| !entry.has_ended(now));
        let before = member.svid.replace(Arc::new(svid));
        member.earlier.extend(before.as_deref().and_then(RevokedSerial::of));
    }

    /// Nothing came.
    pub(super) fn failed(&mut self, wish: &Wish, error: &UpstreamError) {
        let Some(member) = self.members.get(&wish.workload) else { return };
        if member.question != wish.question {
            return;
        }
        warn!(workload = %wish.workload, %error, "no certificate");
        let event = match error {
            UpstreamError::Away(_) | UpstreamError::Request(_) => Event::Failed,
            UpstreamError::Refused(_) | UpstreamError::Revoked(_) => Event::Refused(error.to_string().into()),
        };
        self.apply(&wish.workload, event);
    }
}
