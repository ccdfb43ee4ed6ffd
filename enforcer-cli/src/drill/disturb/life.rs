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

/// A refusal, with this word in one of its problems.
pub(super) fn refused(end: Result<v1::Ack, Trouble>, code: &str) -> Result<(), Trouble> {
    match end {
        Ok(ack) => Err(Trouble::Wrong(format!("what cannot be kept was taken as revision {}", ack.revision))),
        Err(Trouble::Agent(Failure::Refused { message, problems })) => {
            must(problems.iter().any(|problem| problem.code == code), || {
                format!("refused, and not for {code}: {message}")
            })
        }
        Err(other) => Err(other),
    }
}
