//! The check before every call of every service: is the caller one that may call?

use enforcer_core::identity::spiffe_id::SpiffeId;
use enforcer_core::identity::trust_domain::TrustDomain;
use enforcer_core::policy::model::Name;
use tonic::service::Interceptor;
use tonic::{Request, Status};

use super::caller::Caller;
use crate::door::identity::IsRevoked;
use crate::door::records::Scope;
use crate::door::upstream::PERMISSION_DENIED;

/// Lets known callers pass, whatever they are; not one who was revoked since the connection was made.
#[derive(Clone)]
pub(super) struct Guard {
    /// `None` without an identity wall.
    pub(super) is_revoked: Option<IsRevoked>,
    /// The fleet's trust domain, in which nodes are.
    pub(super) fleet: Option<TrustDomain>,
}

impl Guard {
    fn is_welcome(&self, caller: &Caller) -> bool {
        let is_good = |id: &SpiffeId| self.is_revoked.as_ref().is_none_or(|is_revoked| !is_revoked(id));
        match caller {
            Caller::Local { .. } => true,
            Caller::Remote(id) | Caller::Reader { id, .. } => is_good(id),
            Caller::Node(name) => {
                let id = self.fleet.as_ref().and_then(|fleet| fleet.member(&format!("/node/{name}")).ok());
                id.is_some_and(|id| is_good(&id))
            }
            Caller::Refused => false,
        }
    }
}

impl Interceptor for Guard {
    fn call(&mut self, request: Request<()>) -> Result<Request<()>, Status> {
        match request.extensions().get::<Caller>() {
            Some(caller) if self.is_welcome(caller) => Ok(request),
            Some(_) | None => Err(denied()),
        }
    }
}

/// Lets those pass who operate the node: every service has this before it but the authority's, and those with
/// [`readers`].
pub(super) fn operators(request: Request<()>) -> Result<Request<()>, Status> {
    operator(&request)?;
    Ok(request)
}

/// Lets those pass who may read records. What a service behind it offers beside records asks for an [`operator`] itself.
pub(super) fn readers(request: Request<()>) -> Result<Request<()>, Status> {
    scope(&caller(&request))?;
    Ok(request)
}

/// Lets everybody pass who may call at all, but for tenants' readers: they are here for their records alone.
pub(super) fn members(request: Request<()>) -> Result<Request<()>, Status> {
    match caller(&request) {
        Caller::Local { .. } | Caller::Remote(_) | Caller::Node(_) => Ok(request),
        Caller::Reader { .. } | Caller::Refused => Err(denied()),
    }
}

/// Refuses who does not operate the node.
pub(super) fn operator<T>(request: &Request<T>) -> Result<(), Status> {
    match caller(request) {
        Caller::Local { .. } | Caller::Remote(_) => Ok(()),
        Caller::Reader { .. } | Caller::Node(_) | Caller::Refused => Err(denied()),
    }
}

/// Whose records a caller may see.
///
/// # Errors
/// Nobody's.
pub(crate) fn scope(caller: &Caller) -> Result<Scope, Status> {
    match caller {
        Caller::Local { .. } | Caller::Remote(_) => Ok(Scope::Everything),
        Caller::Reader { tenant, .. } => Ok(Scope::Tenant(Name::clone(tenant))),
        Caller::Node(_) | Caller::Refused => Err(denied()),
    }
}

/// One word for everybody who may not: it tells nothing.
fn denied() -> Status {
    Status::permission_denied(PERMISSION_DENIED)
}

/// Who made a call that [`guard`] let pass.
pub(super) fn caller<T>(request: &Request<T>) -> Caller {
    request.extensions().get::<Caller>().cloned().unwrap_or(Caller::Refused)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn guard(caller: Option<Caller>) -> Result<Request<()>, Status> {
        let is_revoked: IsRevoked = Arc::new(|id| id.path().ends_with("/lost"));
        let mut guard = Guard { is_revoked: Some(is_revoked), fleet: Some("fleet.example".parse().unwrap()) };
        let mut request = Request::new(());
        request.extensions_mut().extend(
            caller
                .map(|caller| {
                    let mut one = tonic::Extensions::new();
                    one.insert(caller);
                    one
                })
                .unwrap_or_default(),
        );
        guard.call(request)
    }

    #[test]
    fn a_call_without_a_caller_is_refused_like_a_refused_one() {
        assert_eq!(guard(None).unwrap_err().message(), PERMISSION_DENIED);
        assert_eq!(guard(Some(Caller::Refused)).unwrap_err().message(), PERMISSION_DENIED);
        assert!(guard(Some(Caller::Local { uid: 0 })).is_ok());
    }

    #[test]
    fn a_node_operates_nothing() {
        let request = guard(Some(Caller::Node("n1".to_owned()))).unwrap();
        assert_eq!(operators(request).unwrap_err().message(), PERMISSION_DENIED);
    }

    fn reader(path: &str) -> Caller {
        let id = format!("spiffe://red.fleet.example{path}").parse().unwrap();
        Caller::Reader { id, tenant: "red".into() }
    }

    #[test]
    fn every_kind_of_caller_has_its_scope_or_none() {
        let plane = Caller::Remote("spiffe://fleet.example/plane".parse().unwrap());
        assert_eq!(scope(&Caller::Local { uid: 0 }).unwrap(), Scope::Everything);
        assert_eq!(scope(&plane).unwrap(), Scope::Everything);
        assert_eq!(scope(&reader("/auditor")).unwrap(), Scope::Tenant("red".into()));
        for nobody in [Caller::Node("n1".to_owned()), Caller::Refused] {
            assert_eq!(scope(&nobody).unwrap_err().message(), PERMISSION_DENIED, "{nobody}");
        }
    }

    #[test]
    fn a_reader_passes_where_records_are_and_nowhere_else() {
        let request = || guard(Some(reader("/auditor"))).unwrap();
        assert!(readers(request()).is_ok());
        assert_eq!(operators(request()).unwrap_err().message(), PERMISSION_DENIED);
        assert_eq!(members(request()).unwrap_err().message(), PERMISSION_DENIED);
        assert_eq!(guard(Some(reader("/lost"))).unwrap_err().message(), PERMISSION_DENIED);
    }

    #[test]
    fn who_was_revoked_is_refused_on_a_connection_that_is_open() {
        let remote = |path: &str| Caller::Remote(format!("spiffe://fleet.example{path}").parse().unwrap());
        assert!(guard(Some(remote("/plane"))).is_ok());
        assert_eq!(guard(Some(remote("/lost"))).unwrap_err().message(), PERMISSION_DENIED);
        assert_eq!(guard(Some(Caller::Node("lost".to_owned()))).unwrap_err().message(), PERMISSION_DENIED);
    }
}
