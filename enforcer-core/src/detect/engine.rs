//! The rules at work: records in, alerts out.

use std::collections::HashMap;
use std::sync::Arc;

use enforcer_proto::v1;
use serde::{Deserialize, Serialize};

use super::alert::Alert;
use super::baseline::Baseline;
pub use super::facts::Party;
use super::facts::{Fact, Subject, Tick};
use super::limits::{BACKWARD_TOLERATED_NS, TENANTS_MAX};
use super::page::Page;
use super::rule::{Pattern, Rule, Rules};
use super::seen::Seen;
use crate::policy::model::{Name, UnixNanos};

/// Version of [`Saved`].
const SAVED_VERSION: u32 = 1;
/// Baselines that are taken from a file.
const SAVED_MAX: usize = 65_536;

/// Every rule, and what it holds of every tenant.
#[derive(Debug)]
pub struct Engine {
    books: Vec<Book>,
    seen: Seen,
    now: UnixNanos,
    remembered: HashMap<(Name, Name), SavedBaseline>,
    tallies: Tallies,
}

#[derive(Debug)]
struct Book {
    rule: Arc<Rule>,
    /// Tenants, the platform's parts, and what is done to tenants from outside, each apart: so that nobody pushes out what
    /// is held of another, whatever names they have.
    pages: HashMap<(Party, Name), Page>,
    raised: u64,
}

/// What went by without being counted, and how often the clock went back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tallies {
    /// Records that were told twice.
    pub replayed: u64,
    /// Subjects that others of their tenant pushed out.
    pub pushed_out: u64,
    /// Records of tenants beyond [`TENANTS_MAX`].
    pub unfollowed: u64,
    /// How often the clock was set back, and every window begun anew.
    pub rewound: u64,
}

/// What is usual for a tenant, for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Learned {
    /// The tenant.
    pub tenant: Name,
    /// The rule.
    pub rule: Arc<Rule>,
    /// What was learned.
    pub baseline: Baseline,
    /// What the window holds now.
    pub latest: u64,
    /// From when on it is too much; `None` while it still learns.
    pub limit: Option<u64>,
    /// Windows that it must have seen first.
    pub samples_min: u64,
}

/// Baselines, as they are kept over a restart.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Saved {
    version: u32,
    baselines: Vec<SavedBaseline>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct SavedBaseline {
    tenant: String,
    rule: String,
    pattern: String,
    window_s: u64,
    baseline: Baseline,
}

/// Why saved baselines cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SavedError {
    /// Written by another version.
    #[error("it has version {0}, and {SAVED_VERSION} is read here")]
    Version(u32),
    /// More than were ever written.
    #[error("it holds {0} baselines, and at most {SAVED_MAX} are kept")]
    TooMany(usize),
    /// Longer than any that was learned.
    #[error("the baseline of {tenant} for {rule} is longer than any that was learned")]
    TooLong {
        /// Whose.
        tenant: String,
        /// For which rule.
        rule: String,
    },
}

impl Engine {
    /// With rules, at a time; nothing was seen yet.
    #[must_use]
    pub fn new(rules: &Rules, now: UnixNanos) -> Self {
        let book = |rule: &Arc<Rule>| Book { rule: Arc::clone(rule), pages: HashMap::new(), raised: 0 };
        Self {
            books: rules.iter().map(book).collect(),
            seen: Seen::default(),
            now,
            remembered: HashMap::new(),
            tallies: Tallies::default(),
        }
    }

    /// Takes what an earlier run learned. What belongs to a rule that has changed since is left out.
    ///
    /// # Errors
    /// It was not written by [`Self::save`] of this version.
    pub fn remember(&mut self, saved: Saved) -> Result<(), SavedError> {
        let Saved { version, baselines } = saved;
        if version != SAVED_VERSION {
            return Err(SavedError::Version(version));
        }
        if baselines.len() > SAVED_MAX {
            return Err(SavedError::TooMany(baselines.len()));
        }
        if let Some(long) = baselines.iter().find(|one| !one.baseline.is_sound()) {
            return Err(SavedError::TooLong { tenant: long.tenant.clone(), rule: long.rule.clone() });
        }
        for one in baselines {
            let Some(book) = self.books.iter_mut().find(|book| *book.rule.name == *one.rule) else {
                continue;
            };
            let Some(terms) = book.rule.terms_for(&one.tenant) else { continue };
            let fits = one.pattern == book.rule.pattern.word() && one.window_s == terms.window_s;
            if fits && terms.factor.is_some() {
                self.remembered.insert((one.tenant.as_str().into(), one.rule.as_str().into()), one);
            }
        }
        for ((tenant, rule), _) in self.remembered.clone() {
            self.page(&tenant, &rule);
        }
        Ok(())
    }

    fn page(&mut self, tenant: &Name, rule: &Name) {
        let now = self.now;
        let Some(book) = self.books.iter_mut().find(|book| book.rule.name == *rule) else { return };
        book.page(tenant, Party::Tenant, now, &mut self.remembered);
    }

    /// What was learned, to be kept.
    #[must_use]
    pub fn save(&self) -> Saved {
        let of_book = |book: &Book| {
            let rule = Arc::clone(&book.rule);
            let of_page = |((party, tenant), page): (&(Party, Name), &Page)| {
                let learner = page.learner.as_ref().filter(|_| *party == Party::Tenant)?;
                Some(SavedBaseline {
                    tenant: tenant.to_string(),
                    rule: rule.name.to_string(),
                    pattern: rule.pattern.word().to_owned(),
                    window_s: page.terms.window_s,
                    baseline: learner.baseline.clone(),
                })
            };
            book.pages.iter().filter_map(of_page).collect::<Vec<_>>()
        };
        let mut baselines: Vec<SavedBaseline> = self.books.iter().flat_map(of_book).take(SAVED_MAX).collect();
        baselines.sort_by(|one, other| (&one.tenant, &one.rule).cmp(&(&other.tenant, &other.rule)));
        Saved { version: SAVED_VERSION, baselines }
    }

    /// Counts a record. `party` says who somebody is to the policy in force.
    pub fn observe(
        &mut self,
        record: &v1::Record,
        now: UnixNanos,
        party: &dyn Fn(&str) -> Party,
    ) -> Vec<Alert> {
        self.advance(now);
        if !self.seen.is_new(record.sequence) {
            self.tallies.replayed += 1;
            return Vec::new();
        }
        let Some(fact) = Fact::of(record) else { return Vec::new() };
        let now = self.now;
        let at = record.time.as_ref().map_or(now, nanos).min(now);
        let actor = if fact.of_node { Party::Platform } else { party(fact.identity) };
        let (who, whom) = match actor {
            Party::Outside if party(fact.toward) == Party::Tenant => (Party::Outside, fact.toward),
            Party::Outside => return Vec::new(),
            known => (known, fact.identity),
        };
        let whom: Name = whom.into();
        let mut alerts = Vec::new();
        for book in &mut self.books {
            let Some((subject, tick)) = counted(&book.rule, &fact, who, at) else { continue };
            let page = book.page(&whom, who, now, &mut self.remembered);
            let Some(page) = page else {
                self.tallies.unfollowed += u64::from(book.rule.terms_for(&whom).is_some());
                continue;
            };
            let Some(over) = page.add(subject.clone(), tick, at, now) else { continue };
            let terms = Arc::clone(&page.terms);
            book.raised += 1;
            alerts.push(Alert::new((&book.rule, &terms), (&whom, who), (&fact, &subject), over, now));
        }
        alerts
    }

    /// Time goes on without a record: whole windows are learned from.
    pub fn tick(&mut self, now: UnixNanos) {
        self.advance(now);
        let now = self.now;
        self.books.iter_mut().flat_map(|book| book.pages.values_mut()).for_each(|page| page.tick(now));
    }

    /// The clock as windows know it: it goes on, or was set back, and then every window begins anew. Nobody is accused
    /// for what was counted at times that have not come yet.
    fn advance(&mut self, now: UnixNanos) {
        if now >= self.now {
            self.now = now;
        } else if self.now - now > BACKWARD_TOLERATED_NS {
            let back_ns = self.now - now;
            self.now = now;
            self.tallies.rewound += 1;
            self.books
                .iter_mut()
                .flat_map(|book| book.pages.values_mut())
                .for_each(|page| page.rewind(now, back_ns));
        }
    }

    /// Forgets tenants that are no more.
    pub fn retain(&mut self, is_known: &dyn Fn(&str) -> bool) {
        for book in &mut self.books {
            book.pages.retain(|(party, name), _| *party == Party::Platform || is_known(name));
        }
        self.remembered.retain(|(tenant, _), _| is_known(tenant));
    }

    /// What is usual, for one tenant or for all, in the order of tenants and rules.
    pub fn learned(&mut self, tenant: Option<&str>) -> Vec<Learned> {
        let now = self.now;
        let mut learned: Vec<Learned> = Vec::new();
        for book in &mut self.books {
            let rule = &book.rule;
            let pages = book.pages.iter_mut().filter(|((party, name), _)| {
                *party == Party::Tenant && tenant.is_none_or(|tenant| tenant == &**name)
            });
            learned.extend(pages.filter_map(|((_, name), page)| of_page(rule, name, page, now)));
        }
        learned.sort_by(|one, other| (&one.tenant, &one.rule.name).cmp(&(&other.tenant, &other.rule.name)));
        learned
    }

    /// Freezes what is usual for a tenant, by one rule or by all, or lets it learn again; says for which it did.
    pub fn freeze(&mut self, tenant: &str, rule: Option<&str>, frozen: bool) -> Vec<Learned> {
        for book in self.books.iter_mut().filter(|book| rule.is_none_or(|rule| rule == &*book.rule.name)) {
            let page = book.pages.get_mut(&(Party::Tenant, tenant.into()));
            if let Some(learner) = page.and_then(|page| page.learner.as_mut()) {
                learner.baseline.freeze(frozen);
            }
        }
        let mut learned = self.learned(Some(tenant));
        learned.retain(|one| rule.is_none_or(|rule| rule == &*one.rule.name));
        learned
    }

    /// Rules with how often each has spoken.
    pub fn rules(&self) -> impl Iterator<Item = (&Arc<Rule>, u64)> {
        self.books.iter().map(|book| (&book.rule, book.raised))
    }

    /// What went by.
    #[must_use]
    pub fn tallies(&self) -> Tallies {
        let pages = self.books.iter().flat_map(|book| book.pages.values());
        Tallies { pushed_out: pages.map(|page| page.pushed_out).sum(), ..self.tallies }
    }

    /// Subjects and values that are held, for those who watch the bounds.
    #[must_use]
    pub fn held(&self) -> (usize, usize) {
        let pages = || self.books.iter().flat_map(|book| book.pages.values());
        (pages().map(Page::subjects).sum(), pages().map(Page::values).sum())
    }
}

impl Book {
    /// The page of a tenant that this rule is for, while there is room.
    fn page(
        &mut self,
        tenant: &Name,
        who: Party,
        now: UnixNanos,
        remembered: &mut HashMap<(Name, Name), SavedBaseline>,
    ) -> Option<&mut Page> {
        let key = (who, Arc::clone(tenant));
        if !self.pages.contains_key(&key) {
            let terms = Arc::clone(self.rule.terms_for(tenant)?);
            if self.pages.len() >= TENANTS_MAX {
                return None;
            }
            let known = remembered.remove(&(Arc::clone(tenant), Arc::clone(&self.rule.name)));
            let page = Page::new(self.rule.pattern, terms, known.map(|known| known.baseline), now);
            self.pages.insert(key.clone(), page);
        }
        self.pages.get_mut(&key)
    }
}

/// What a rule counts of a fact. From outside, only scans are looked for: nobody there has an identity.
fn counted(rule: &Rule, fact: &Fact<'_>, who: Party, at: UnixNanos) -> Option<(Subject, Tick)> {
    let concerns = match who {
        Party::Tenant => true,
        Party::Platform => rule.platform,
        Party::Outside => matches!(rule.pattern, Pattern::PortScan | Pattern::HostScan),
    };
    if !concerns {
        return None;
    }
    if rule.pattern == Pattern::UnusualHours {
        let whom = if who == Party::Outside { fact.toward } else { fact.identity };
        let usual = rule.terms_for(whom)?.usual?;
        if usual.contain(at) {
            return None;
        }
    }
    fact.count(rule.pattern, rule.per)
}

fn of_page(rule: &Arc<Rule>, tenant: &Name, page: &mut Page, now: UnixNanos) -> Option<Learned> {
    let latest = page.latest(now);
    let baseline = page.learner.as_ref()?.baseline.clone();
    Some(Learned {
        tenant: Arc::clone(tenant),
        rule: Arc::clone(rule),
        limit: baseline.limit_under(&page.terms),
        samples_min: page.terms.samples_min,
        baseline,
        latest,
    })
}

fn nanos(time: &prost_types::Timestamp) -> UnixNanos {
    let seconds = u64::try_from(time.seconds).unwrap_or(0);
    let nanos = u64::try_from(time.nanos).unwrap_or(0);
    seconds.saturating_mul(1_000_000_000).saturating_add(nanos)
}
