//! The next policy while it is being made: old versions out, new ones in, the index kept beside.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::edit::Edit;
use super::index::{self, company};
use crate::policy::model::{Company, Index, Name, Policy, Tenant};
use crate::policy::parse::path::At;
use crate::policy::problem::Problems;

pub(super) struct Draft<'a> {
    /// What is in force.
    pub(super) current: &'a Policy,
    /// What would be.
    pub(super) policy: Policy,
    /// Tenants that are named but could not be understood.
    pub(super) broken_tenants: BTreeSet<String>,
    pub(super) problems: Problems,
    pub(super) warnings: Vec<String>,
}

impl<'a> Draft<'a> {
    pub(super) fn new(
        current: &'a Policy,
        broken_tenants: BTreeSet<String>,
        problems: Problems,
        warnings: Vec<String>,
    ) -> Self {
        Self { current, policy: current.clone(), broken_tenants, problems, warnings }
    }

    /// True for a tenant of the next policy, also one that is spelled wrongly inside.
    pub(super) fn has_tenant(&self, name: &Name) -> bool {
        self.policy.tenants.contains_key(name) || self.broken_tenants.contains(&**name)
    }

    /// Everything old goes before anything new comes, so that an address, a number or a place may change
    /// hands within one change.
    pub(super) fn put(&mut self, edit: &Edit) {
        self.take_out(edit);
        self.put_tenants(edit);
        self.put_workloads(edit);
        self.put_rules(edit);
        self.put_bindings(edit);
        self.free_numbers(edit);
    }

    fn take_out(&mut self, edit: &Edit) {
        let Policy { tenants, workloads, rules, bindings, index } = &mut self.policy;
        for name in edit.gone_workloads.iter().chain(edit.workloads.iter().map(|workload| &workload.name)) {
            if let Some(old) = workloads.remove(name) {
                index::workload_out(index, &old, company_of(self.current, &old.tenant));
            }
        }
        for name in edit.gone_rules.iter().chain(edit.rules.iter().map(|rule| &rule.name)) {
            if let Some(old) = rules.remove(name) {
                index::rule_out(index, &old);
            }
        }
        for address in edit.gone_bindings.iter().chain(edit.bindings.iter().map(|binding| &binding.address)) {
            if let Some(old) = bindings.remove(address) {
                index::binding_out(index, &old);
            }
        }
        for name in &edit.gone_tenants {
            if let Some(old) = tenants.remove(name) {
                index::tenant_out(index, &old);
                index.retired_ids.insert(old.id, Arc::clone(&old.name));
            }
        }
        for tenant in &edit.tenants {
            if let Some(old) = tenants.remove(&tenant.name) {
                index::tenant_out(index, &old);
            }
        }
    }

    fn put_tenants(&mut self, edit: &Edit) {
        for (id, name) in &edit.retired_ids {
            retire(&mut self.policy.index, *id, name, &mut self.problems);
        }
        for tenant in &edit.tenants {
            self.claim_id(tenant);
            let before = company_of(self.current, &tenant.name);
            if self.current.tenants.contains_key(&tenant.name) && before != company(tenant) {
                index::change_company(&mut self.policy.index, &tenant.name, before, company(tenant));
            }
            index::tenant_in(&mut self.policy.index, tenant);
            self.policy.tenants.insert(Arc::clone(&tenant.name), Arc::clone(tenant));
        }
    }

    fn claim_id(&mut self, tenant: &Tenant) {
        let list = At::root("tenants");
        let object = list.name(&tenant.name);
        let at = object.field("id");
        let index = &mut self.policy.index;
        if let Some(held) = self.current.tenants.get(&tenant.name)
            && held.id != tenant.id
        {
            let message = format!(
                "is {} now and cannot become {}: the number is the tenant's identity in the kernel; delete the tenant first",
                held.id, tenant.id
            );
            self.problems.add("tenant_id_changed", at, message);
        } else if let Some(other) = index.tenant_by_id.get(&tenant.id) {
            let message =
                format!("{} is the number of tenant '{other}'; choose one that was never used", tenant.id);
            self.problems.add("id_taken", at, message);
        } else if let Some(former) = index.retired_ids.get(&tenant.id)
            && *former != tenant.name
        {
            let message = format!(
                "{} was the number of tenant '{former}' and is never used again; choose another",
                tenant.id
            );
            self.problems.add("id_reused", at, message);
        } else {
            index.retired_ids.remove(&tenant.id);
        }
    }

    fn put_workloads(&mut self, edit: &Edit) {
        for workload in &edit.workloads {
            let company = self.policy.tenants.get(&workload.tenant).map_or(Company::Accepts, |t| company(t));
            index::workload_in(&mut self.policy.index, workload, company, &mut self.problems);
            self.policy.workloads.insert(Arc::clone(&workload.name), Arc::clone(workload));
        }
    }

    fn put_rules(&mut self, edit: &Edit) {
        for rule in &edit.rules {
            index::rule_in(&mut self.policy.index, rule);
            self.policy.rules.insert(Arc::clone(&rule.name), Arc::clone(rule));
        }
    }

    fn put_bindings(&mut self, edit: &Edit) {
        for binding in &edit.bindings {
            index::binding_in(&mut self.policy.index, binding, &mut self.problems);
            self.policy.bindings.insert(binding.address, Arc::clone(binding));
        }
    }

    /// Numbers are freed last, and only of what is gone: what is replaced keeps its own.
    fn free_numbers(&mut self, edit: &Edit) {
        for name in &edit.gone_workloads {
            self.policy.index.free_workload_number(name);
        }
        for name in &edit.gone_rules {
            self.policy.index.free_rule_number(name);
        }
    }
}

fn company_of(policy: &Policy, tenant: &Name) -> Company {
    policy.tenants.get(tenant).map_or(Company::Accepts, |tenant| company(tenant))
}

fn retire(index: &mut Index, id: u32, name: &Name, problems: &mut Problems) {
    let known = index.tenant_by_id.get(&id).or_else(|| index.retired_ids.get(&id));
    match known {
        Some(known) if known == name => {}
        Some(known) => {
            let list = At::root("retiredIds");
            let id = id.to_string();
            let message =
                format!("is said to have been '{name}', and was '{known}' here; the histories disagree");
            problems.add("retired_id_disagrees", list.name(&id), message);
        }
        None => {
            index.retired_ids.insert(id, Arc::clone(name));
        }
    }
}
