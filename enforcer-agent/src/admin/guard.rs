//! The check before every call of every service: is the caller one that may call?

use tonic::{Request, Status};

use super::caller::Caller;

/// What every refused caller is told, whatever the reason: the log knows more.
const REFUSAL: &str = "permission denied";

/// Lets known callers pass.
pub(super) fn guard(request: Request<()>) -> Result<Request<()>, Status> {
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
}
