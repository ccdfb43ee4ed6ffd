//! One request, one answer: the newest bundle (F-4), or why there is none.

use std::sync::Arc;

use enforcer_core::identity::bundle::Bundle;
use enforcer_core::identity::trust_domain::TrustDomain;
use http_body_util::Full;
use hyper::body::Bytes;
use hyper::header::{ALLOW, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, ETAG, HeaderValue, IF_NONE_MATCH};
use hyper::{Method, Request, Response, StatusCode};

use super::Publication;
use crate::identity::serve::sds::digest;

type Answer = Response<Full<Bytes>>;

/// Answers it.
pub(super) fn answer<B>(request: &Request<B>, publication: &Publication) -> Answer {
    let is_head = match *request.method() {
        Method::GET => false,
        Method::HEAD => true,
        _ => return not_allowed(),
    };
    let Some(bundle) = bundle(request.uri().path(), publication) else {
        return plain(StatusCode::NOT_FOUND);
    };
    let text = (publication.write)(&bundle);
    let tag = format!("\"{}-{}\"", bundle.sequence, digest([text.as_bytes()]));
    if request.headers().get_all(IF_NONE_MATCH).iter().any(|given| is_listed(given, &tag)) {
        return described(plain(StatusCode::NOT_MODIFIED), &bundle, &tag);
    }
    let length = HeaderValue::from(text.len());
    let body = if is_head { Bytes::new() } else { Bytes::from(text) };
    let mut answer = described(Response::new(Full::new(body)), &bundle, &tag);
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    answer.headers_mut().insert(CONTENT_LENGTH, length);
    answer
}

/// `/` is the fleet's, `/NAME` a trust domain's; nobody is sent elsewhere (F-7). One that is not listed is no different
/// from one that is not there.
fn bundle(path: &str, publication: &Publication) -> Option<Arc<Bundle>> {
    let domain = match path.strip_prefix('/')? {
        "" => publication.fleet.clone(),
        name => name.parse::<TrustDomain>().ok()?,
    };
    let is_listed = publication.published.contains(&domain);
    let trust = publication.trust.borrow();
    trust.bundles.get(&domain).filter(|_| is_listed).cloned()
}

/// Asking more often than the hint says is of no use (B-3, F-10).
fn described(mut answer: Answer, bundle: &Bundle, tag: &str) -> Answer {
    let age = format!("max-age={}", bundle.refresh_hint_seconds);
    for (name, value) in [(CACHE_CONTROL, age.as_str()), (ETAG, tag)] {
        if let Ok(value) = HeaderValue::from_str(value) {
            answer.headers_mut().insert(name, value);
        }
    }
    answer
}

fn is_listed(given: &HeaderValue, tag: &str) -> bool {
    let given = given.to_str().unwrap_or_default();
    given.split(',').map(|one| one.trim().trim_start_matches("W/")).any(|one| one == tag || one == "*")
}

fn not_allowed() -> Answer {
    let mut answer = plain(StatusCode::METHOD_NOT_ALLOWED);
    answer.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
    answer
}

fn plain(status: StatusCode) -> Answer {
    let mut answer = Response::new(Full::new(Bytes::new()));
    *answer.status_mut() = status;
    answer
}
