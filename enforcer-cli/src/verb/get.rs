//! `get`: objects of the policy, devices of the node and who holds them, revisions.

use clap::{Args, ValueEnum};
use enforcer_proto::v1;

use super::open;
use crate::cli::Global;
use crate::clock;
use crate::console::{Console, Format};
use crate::document::{self, Document, Kind};
use crate::failure::Failure;
use crate::hex;
use crate::session::Session;
use crate::view::custody::{CustodyView, ReceiptsView};
use crate::view::device::DevicesView;
use crate::view::handle::HandlesView;
use crate::view::policy::PolicyView;
use crate::view::posture::PostureView;
use crate::view::revision::RevisionsView;

/// Print objects of the policy, the devices of the node, who holds them, or the revisions it had.
#[derive(Args, Debug)]
#[command(
    long_about = "Prints objects of the policy in force, or of an older revision. With -o yaml they are documents \
                  which `apply -f` takes back; a lease is then what is left of it. `policy` stands for all four kinds \
                  of objects.\n\n\
                  `handles` are the processes that hold a gated device now, and what is not right about it. Exit code 0 says \
                  that it could be looked at, not that nothing was found. `custody` is where each device is between two \
                  tenants, `receipts` are the signed words about how it got there, newest first.\n\n\
                  A NAME is the name of an object, the address of a binding, the class of a device, the number of \
                  a revision.",
    after_help = "Examples:\n  enforcerctl get tenants\n  enforcerctl get rules --tenant team-a --revision 7\n  \
                  enforcerctl get handles --device nvidia:0\n  \
                  enforcerctl get receipts --device nvidia:0 --last 1 -o json > receipt.json\n  \
                  enforcerctl get policy -o yaml > backup.yaml"
)]
pub(crate) struct Get {
    /// What to print.
    #[arg(value_enum)]
    what: What,

    /// Only this one.
    name: Option<String>,

    /// Only what belongs to this tenant or names it.
    #[arg(long, value_name = "TENANT")]
    tenant: Option<String>,

    /// Of this revision instead of the one in force.
    #[arg(long, value_name = "N")]
    revision: Option<u64>,

    /// Only handles of this device (CLASS:NUMBER) or class; only receipts of this device.
    #[arg(long, value_name = "DEVICE")]
    device: Option<String>,

    /// Only the last N receipts.
    #[arg(long, value_name = "N")]
    last: Option<u32>,
}

/// What to print.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum What {
    #[value(alias = "tenant")]
    Tenants,
    #[value(alias = "workload")]
    Workloads,
    #[value(alias = "rule")]
    Rules,
    #[value(alias = "binding")]
    Bindings,
    Policy,
    #[value(alias = "device")]
    Devices,
    #[value(alias = "handle")]
    Handles,
    Custody,
    #[value(alias = "receipt")]
    Receipts,
    #[value(alias = "revision")]
    Revisions,
    /// Settings of drivers and kernel that isolation rests on.
    Posture,
}

impl Get {
    /// Asks, and prints what fits.
    pub(crate) async fn run(&self, global: &Global, console: &mut Console<'_>) -> Result<(), Failure> {
        self.check()?;
        let session = open(global).await?;
        match self.what {
            What::Tenants => self.objects(&session, console, &[Kind::Tenant]).await,
            What::Workloads => self.objects(&session, console, &[Kind::Workload]).await,
            What::Rules => self.objects(&session, console, &[Kind::Rule]).await,
            What::Bindings => self.objects(&session, console, &[Kind::Binding]).await,
            What::Policy => self.objects(&session, console, &Kind::ALL).await,
            What::Devices => self.devices(&session, console).await,
            What::Handles => self.handles(&session, console).await,
            What::Custody => self.custody(&session, console).await,
            What::Receipts => self.receipts(&session, console).await,
            What::Revisions => self.revisions(&session, console).await,
            What::Posture => {
                let response = session.answer(session.device().posture(v1::PostureRequest {})).await?;
                console.show(&PostureView::from(response))
            }
        }
    }

    fn check(&self) -> Result<(), Failure> {
        let wrong = |what: &str| Err(Failure::Usage(what.to_owned()));
        match self.what {
            What::Revisions if self.tenant.is_some() => {
                wrong("revisions are of all tenants: leave --tenant out")
            }
            What::Revisions if self.revision.is_some() => {
                wrong("write the number behind `get revisions`, without --revision")
            }
            What::Devices if self.revision.is_some() => {
                wrong("devices are the node's, not a revision's: leave --revision out")
            }
            What::Posture if self.name.is_some() || self.tenant.is_some() || self.revision.is_some() => {
                wrong("the posture is the node's: `get posture` takes no name, tenant or revision")
            }
            What::Handles if self.revision.is_some() => {
                wrong("handles are the node's, not a revision's: leave --revision out")
            }
            What::Handles if self.name.is_some() => {
                wrong("`get handles` takes no name: say --device CLASS:NUMBER or --tenant T")
            }
            What::Custody | What::Receipts if self.revision.is_some() || self.tenant.is_some() => {
                wrong("custody is the node's: leave --revision and --tenant out")
            }
            What::Custody | What::Receipts if self.name.is_some() => {
                wrong("`get custody` and `get receipts` take no name; receipts have --device CLASS:NUMBER")
            }
            _ if self.device.is_some() && !matches!(self.what, What::Handles | What::Receipts) => {
                wrong("--device goes with `get handles` and `get receipts`")
            }
            _ if self.last.is_some() && self.what != What::Receipts => {
                wrong("--last goes with `get receipts`")
            }
            What::Policy if self.name.is_some() => wrong("`get policy` takes no name"),
            _ => Ok(()),
        }
    }

    async fn objects(
        &self,
        session: &Session,
        console: &mut Console<'_>,
        kinds: &[Kind],
    ) -> Result<(), Failure> {
        let request = v1::GetRequest { revision: self.revision };
        let response = session.answer(session.policy().get(request)).await?;
        let all = document::of_snapshot(response.snapshot.unwrap_or_default())?;
        let items: Vec<Document> = all.into_iter().filter(|item| self.wants(item, kinds)).collect();
        if let (true, Some(name), [kind]) = (items.is_empty(), &self.name, kinds) {
            return Err(not_found(kind.word(), name, response.revision));
        }
        if console.format() == Format::Yaml {
            return console.print(&document::stream(&items, &clock::now())?);
        }
        let digest = hex::encode(&response.digest);
        console.show(&PolicyView { revision: response.revision, digest, items, kinds: kinds.to_vec() })
    }

    fn wants(&self, item: &Document, kinds: &[Kind]) -> bool {
        kinds.contains(&item.kind)
            && self.name.as_ref().is_none_or(|name| item.metadata.name == *name)
            && self.tenant.as_ref().is_none_or(|tenant| item.names_tenant(tenant))
    }

    async fn devices(&self, session: &Session, console: &mut Console<'_>) -> Result<(), Failure> {
        let response = session.answer(session.node().devices(v1::DevicesRequest {})).await?;
        let view = DevicesView::select(response, self.name.as_deref(), self.tenant.as_deref());
        match &self.name {
            Some(name) if view.is_empty() => Err(Failure::NoDevice(name.clone())),
            _ => console.show(&view),
        }
    }

    async fn handles(&self, session: &Session, console: &mut Console<'_>) -> Result<(), Failure> {
        let request = v1::HandlesRequest { tenant: self.tenant.clone(), device: self.device.clone() };
        let response = session.answer(session.device().handles(request)).await?;
        let view = HandlesView::from(response);
        console.show(&view)?;
        if console.format() == Format::Table {
            view.notes().iter().for_each(|note| console.note(note));
        }
        Ok(())
    }

    async fn custody(&self, session: &Session, console: &mut Console<'_>) -> Result<(), Failure> {
        let response = session.answer(session.device().custody(v1::CustodyRequest {})).await?;
        let view = CustodyView::from(response);
        console.show(&view)?;
        if console.format() == Format::Table {
            view.notes().iter().for_each(|note| console.warn(note));
        }
        Ok(())
    }

    async fn receipts(&self, session: &Session, console: &mut Console<'_>) -> Result<(), Failure> {
        let request = v1::ReceiptsRequest { device: self.device.clone(), last: self.last };
        let response = session.answer(session.device().receipts(request)).await?;
        console.show(&ReceiptsView::read(response)?)
    }

    async fn revisions(&self, session: &Session, console: &mut Console<'_>) -> Result<(), Failure> {
        let wanted = self.name.as_deref().map(parse_revision).transpose()?;
        let response = session.answer(session.policy().list_revisions(v1::ListRevisionsRequest {})).await?;
        let view = RevisionsView::select(response, wanted);
        match wanted {
            Some(revision) if view.is_empty() => Err(Failure::NoRevision(revision)),
            _ => console.show(&view),
        }
    }
}

fn parse_revision(text: &str) -> Result<u64, Failure> {
    text.parse().map_err(|_| Failure::Usage(format!("{text:?} is no revision: write a number")))
}

fn not_found(kind: &'static str, name: &str, revision: u64) -> Failure {
    Failure::NotFound { kind, name: name.to_owned(), revision }
}
