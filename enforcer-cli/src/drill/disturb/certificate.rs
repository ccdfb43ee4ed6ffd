//! The identity wall: what was withdrawn or has ended is served no more.

use std::time::Duration;

use enforcer_proto::v1;
use tokio::time::{Instant, sleep};

use super::super::agent::{canary, session};
use super::super::canary::{DENIED, Job, SERVED, Side};
use super::super::policy;
use super::super::scratch::Scratch;
use super::super::trouble::{Trouble, must};

/// How long a change may take until the workload sees it.
const LIMIT: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(50);

/// Withdrawn, and given back.
pub(super) async fn revoked(scratch: &Scratch) -> Result<String, Trouble> {
    valid(scratch).await?;
    expect(scratch, SERVED)?;
    let session = session(&scratch.place).await?;
    let request = v1::RevokeIdentityRequest { target: Some(target()), reason: "a drill".to_owned() };
    let start = Instant::now();
    session.answer(session.identity().revoke(request)).await?;
    let said = fetch(scratch)?;
    let took = start.elapsed();
    scratch.under_attack().await;
    let identity = identity(scratch).await?;
    let request = v1::RestoreIdentityRequest { target: Some(target()) };
    session.answer(session.identity().restore(request)).await?;
    must(said == DENIED, || format!("after it was withdrawn, the certificate was {said}"))?;
    must(identity.state() == v1::IdentityState::Revoked && identity.serial.is_empty(), || {
        format!("withdrawn, and then {:?} with serial {:?}", identity.state(), identity.serial)
    })?;
    valid(scratch).await?;
    expect(scratch, SERVED)?;
    Ok(format!(
        "served, refused {} ms after it was withdrawn, served when it was given back",
        took.as_millis()
    ))
}

/// Past the end of a certificate its successor is served, and never the one that ended.
pub(super) async fn expired(scratch: &Scratch) -> Result<String, Trouble> {
    let first = valid(scratch).await?;
    let left = first.seconds_to_expiry.unwrap_or_default();
    let left = Duration::from_secs(u64::try_from(left).unwrap_or_default() + 1);
    must(left < LIMIT, || format!("a certificate of a drill has {} s left", left.as_secs()))?;
    sleep(left).await;
    scratch.under_attack().await;
    let second = valid(scratch).await?;
    must(second.serial != first.serial, || format!("{} is served past its end", first.serial))?;
    must(second.seconds_to_expiry.is_some_and(|left| left >= 0), || format!("{second:?} has ended"))?;
    expect(scratch, SERVED)?;
    Ok("its successor was served when it had ended".to_owned())
}

/// The canary's identity, once it has a certificate.
pub(super) async fn valid(scratch: &Scratch) -> Result<v1::Identity, Trouble> {
    let deadline = Instant::now() + LIMIT;
    loop {
        let identity = identity(scratch).await?;
        let (state, served) = (identity.state(), !identity.serial.is_empty());
        if served && matches!(state, v1::IdentityState::Valid | v1::IdentityState::Renewing) {
            return Ok(identity);
        }
        must(Instant::now() < deadline, || format!("no certificate: {state:?}, {}", identity.reason))?;
        sleep(POLL).await;
    }
}

pub(super) async fn identity(scratch: &Scratch) -> Result<v1::Identity, Trouble> {
    let session = session(&scratch.place).await?;
    let request = v1::ListIdentitiesRequest { tenant: Some(Side::A.tenant().to_owned()) };
    let response = session.answer(session.identity().list(request)).await?;
    let mine = response.identities.into_iter().find(|identity| identity.workload == Side::A.workload());
    mine.ok_or_else(|| Trouble::Wrong("the canary has no identity".to_owned()))
}

fn target() -> v1::IdentityTarget {
    v1::IdentityTarget { who: Some(v1::identity_target::Who::Workload(Side::A.workload().to_owned())) }
}

fn expect(scratch: &Scratch, word: &str) -> Result<(), Trouble> {
    let said = fetch(scratch)?;
    must(said == word, || format!("the canary's certificate was to be {word}, and was {said}"))
}

/// What the Workload API says to a process in the canary's group.
fn fetch(scratch: &Scratch) -> Result<String, Trouble> {
    let group = scratch.place.cgroup.join(Side::A.cgroup().trim_start_matches('/'));
    let job = Job::Fetch { socket: policy::workload_socket(&scratch.place.base) };
    let output = canary(&group, &job)?.output().map_err(Trouble::on("start a canary"))?;
    must(output.status.success(), || String::from_utf8_lossy(&output.stderr).trim().to_owned())?;
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}
