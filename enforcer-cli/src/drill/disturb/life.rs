//! The agent comes and goes, and so does its control plane. The wall is the kernel's.

use std::time::Instant;

use enforcer_proto::v1;
use tokio_stream::StreamExt as _;

use super::super::agent::{session, status};
use super::super::canary::Side;
use super::super::scratch::Scratch;
use super::super::trouble::{Trouble, must};
use crate::failure::Failure;

/// A port that no canary uses.
const PUSHED_PORT: u32 = 30_000;

/// Nothing but attacks.
pub(super) async fn steady(scratch: &Scratch) -> Result<String, Trouble> {
    scratch.under_attack().await;
    let status = status(&scratch.place).await?;
    must(status.in_sync, || format!("the kernel holds something else: {}", status.drift.join("; ")))?;
    Ok(format!("revision {} in force", status.revision))
}

/// No agent for a while, then another.
pub(super) async fn killed(scratch: &mut Scratch) -> Result<String, Trouble> {
    let before = status(&scratch.place).await?;
    scratch.kill_agent()?;
    must(session(&scratch.place).await.is_err(), || "the agent answers though it was killed".to_owned())?;
    scratch.under_attack().await;
    let start = Instant::now();
    scratch.start_agent().await?;
    let back = start.elapsed();
    scratch.under_attack().await;
    let after = status(&scratch.place).await?;
    same(&before, &after)?;
    Ok(format!("the wall stood without an agent; a new one took over within {} ms", back.as_millis()))
}

/// A control plane pushes, and is gone before it hears what became of its second push.
pub(super) async fn alone(scratch: &Scratch) -> Result<String, Trouble> {
    let base = status(&scratch.place).await?.revision;
    {
        let session = session(&scratch.place).await?;
        let pushes = [push("first", base), push("second", base + 1)];
        let requests = tokio_stream::iter(pushes).chain(tokio_stream::pending());
        let stream = session.answer(session.policy().push(requests)).await?;
        let mut stream = stream;
        let answer = session.in_time(stream.message()).await?.map_err(|status| session.failed(&status))?;
        let result = answer.and_then(|answer| answer.result);
        must(matches!(result, Some(v1::push_response::Result::Ack(_))), || {
            format!("the control plane's push was refused: {result:?}")
        })?;
    }
    scratch.under_attack().await;
    let after = status(&scratch.place).await?;
    must(after.in_sync && after.revision > base, || {
        format!("revision {}, {:?}", after.revision, after.drift)
    })?;
    Ok(format!("revision {} stayed in force without a control plane", after.revision))
}

fn push(nonce: &str, base: u64) -> v1::PushRequest {
    let peer = |side: Side| v1::Peer { who: Some(v1::peer::Who::Tenant(side.tenant().to_owned())) };
    let port =
        v1::Port { protocol: v1::Protocol::Tcp.into(), port: Some(PUSHED_PORT), ..v1::Port::default() };
    let rule = v1::Rule {
        name: format!("pushed-{nonce}"),
        from: Some(peer(Side::A)),
        to: Some(peer(Side::B)),
        ports: Some(v1::PortList { items: vec![port] }),
        action: v1::Action::Allow.into(),
        mode: v1::Mode::Enforce.into(),
        ..v1::Rule::default()
    };
    let upsert = v1::Snapshot { rules: vec![rule], ..v1::Snapshot::default() };
    let delta = v1::Delta { upsert: Some(upsert), ..v1::Delta::default() };
    v1::PushRequest {
        nonce: nonce.to_owned(),
        base_revision: Some(base),
        change: Some(v1::push_request::Change::Delta(delta)),
    }
}

/// Nothing has changed in force.
pub(super) fn same(before: &v1::StatusResponse, after: &v1::StatusResponse) -> Result<(), Trouble> {
    must(after.in_sync, || format!("the kernel holds something else: {}", after.drift.join("; ")))?;
    let (was, is) = ((before.revision, &before.digest), (after.revision, &after.digest));
    must(was == is, || format!("revision {} was in force, and now {} is", was.0, is.0))
}

/// A refusal for this reason: words of the message, or the place that a problem names.
pub(super) fn refused(end: Result<v1::Ack, Trouble>, reason: &str) -> Result<(), Trouble> {
    let (message, is_it) = match end {
        Ok(ack) => {
            return Err(Trouble::Wrong(format!(
                "what cannot be kept was taken as revision {}",
                ack.revision
            )));
        }
        Err(Trouble::Agent(Failure::Refused { message, problems })) => {
            let is_it = message.contains(reason) || problems.iter().any(|problem| problem.path == reason);
            (message, is_it)
        }
        Err(Trouble::Agent(Failure::Agent { message, .. })) => {
            let is_it = message.contains(reason);
            (message, is_it)
        }
        Err(other) => return Err(other),
    };
    must(is_it, || format!("refused, and not for {reason}: {message}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::problem::Problem;

    fn refusal(path: &str) -> Trouble {
        let problems = vec![Problem { path: path.to_owned(), ..Problem::default() }];
        Trouble::Agent(Failure::Refused { message: "no".to_owned(), problems })
    }

    #[test]
    fn only_a_refusal_for_the_right_reason_will_do() {
        assert!(refused(Err(refusal("capacities.ports")), "capacities.ports").is_ok());
        assert!(refused(Err(refusal("rules[x]")), "capacities.ports").is_err());
        assert!(refused(Ok(v1::Ack::default()), "capacities.ports").is_err());
        assert!(refused(Err(Trouble::Wrong("gone".to_owned())), "gone").is_err());
    }

    #[test]
    fn another_revision_or_a_kernel_that_differs_is_not_the_same() {
        let status =
            |revision, in_sync| v1::StatusResponse { revision, in_sync, ..v1::StatusResponse::default() };
        assert!(same(&status(3, true), &status(3, true)).is_ok());
        assert!(same(&status(3, true), &status(4, true)).is_err());
        assert!(same(&status(3, true), &status(3, false)).is_err());
    }
}
