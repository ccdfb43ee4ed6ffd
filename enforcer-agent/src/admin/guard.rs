//! The check before every call of every service: is the caller one that may call?

use tonic::{Request, Status};

use super::caller::Caller;

/// What every refused caller is told, whatever the reason: the log knows more.
const REFUSAL: &str = "permission denied";

/// Lets known callers pass, whatever they are.
pub(super) fn guard(request: Request<()>) -> Result<Request<()>, Status> {
    match request.extensions().get::<Caller>() {
        Some(Caller::Local { .. } | Caller::Remote(_) | Caller::Node(_)) => Ok(request),
        Some(Caller::Refused) | None => Err(Status::permission_denied(REFUSAL)),
    }
}

/// Lets those pass who operate the node: every service but the authority's has this before it.
pub(super) fn operators(request: Request<()>) -> Result<Request<()>, Status> {
    match request.extensions().get::<Caller>() {
        Some(Caller::Local { .. } | Caller::Remote(_)) => Ok(request),
        Some(Caller::Node(_) | Caller::Refused) | None => Err(Status::permission_denied(REFUSAL)),
    }
}

/// Who made a call that [`guard`] let pass.
pub(super) fn caller<T>(request: &Request<T>) -> Caller {
    request.extensions().get::<Caller>().cloned().unwrap_or(Caller::Refused)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_without_a_caller_is_refused_like_a_refused_one() {
        assert_eq!(guard(Request::new(())).unwrap_err().message(), REFUSAL);
        let mut request = Request::new(());
        request.extensions_mut().insert(Caller::Refused);
        assert_eq!(guard(request).unwrap_err().message(), REFUSAL);
        let mut request = Request::new(());
        request.extensions_mut().insert(Caller::Local { uid: 0 });
        assert!(guard(request).is_ok());
    }

    #[test]
    fn a_node_operates_nothing() {
        let mut request = Request::new(());
        request.extensions_mut().insert(Caller::Node("n1".to_owned()));
        let request = guard(request).unwrap();
        assert_eq!(operators(request).unwrap_err().message(), REFUSAL);
    }
}
