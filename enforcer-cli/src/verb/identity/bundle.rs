//! `identity bundle`: what vouches for the members of a trust domain.

use clap::Args;
use enforcer_proto::v1;

use crate::cli::Global;
use crate::console::Console;
use crate::failure::Failure;
use crate::verb::open;
use crate::view::identity::bundle::BundleView;
use crate::view::identity::domain::TrustDomainsView;
use crate::view::raw::RawView;

/// Print the bundle of a trust domain, or list those that there are.
#[derive(Args, Debug)]
#[command(
    long_about = "Prints the bundle of a trust domain as SPIFFE writes it (a JWK Set with a sequence and a refresh \
                  hint), or lists the trust domains of the node with what their bundles hold. Bundles of several \
                  trust domains are never printed as one.",
    after_help = "Examples:\n  enforcerctl identity bundle\n  \
                  enforcerctl identity bundle team-a.fleet.example > bundle.json\n  \
                  enforcerctl identity bundle team-a.fleet.example --pem > ca.pem"
)]
pub(super) struct Bundle {
    /// Name of the trust domain, with or without spiffe:// before it.
    trust_domain: Option<String>,

    /// Print the authorities (PEM) and nothing else.
    #[arg(long, requires = "trust_domain")]
    pem: bool,
}

impl Bundle {
    /// Asks, and prints the bundle or the list.
    pub(super) async fn run(&self, global: &Global, console: &mut Console<'_>) -> Result<(), Failure> {
        let session = open(global).await?;
        let request = v1::ListIdentitiesRequest { tenant: None };
        let response = session.answer(session.identity().list(request)).await?;
        match &self.trust_domain {
            None => console.show(&TrustDomainsView::from(response.trust_domains)),
            Some(name) => self.show(find(response.trust_domains, name)?, console),
        }
    }

    fn show(&self, domain: v1::TrustDomain, console: &mut Console<'_>) -> Result<(), Failure> {
        if self.pem {
            return console.show(&RawView::new("authoritiesPem", domain.authorities_pem));
        }
        let unreadable =
            |why: serde_json::Error| Failure::Unreadable { what: "a bundle", why: why.to_string() };
        console.show(&BundleView::parse(&domain.bundle).map_err(unreadable)?)
    }
}

fn find(domains: Vec<v1::TrustDomain>, name: &str) -> Result<v1::TrustDomain, Failure> {
    let plain = name.strip_prefix("spiffe://").unwrap_or(name);
    let found = domains.into_iter().find(|domain| domain.name.eq_ignore_ascii_case(plain));
    found.ok_or_else(|| Failure::NoTrustDomain(name.to_owned()))
}
