//! The disturbances: each says in a sentence what was seen, or why it did not go as it must.

mod certificate;
mod clock;
mod life;
mod limits;

use super::scratch::Scratch;
use super::trouble::Trouble;

/// Does one, with the attacks going on.
pub(super) async fn run(name: &str, scratch: &mut Scratch) -> Result<String, Trouble> {
    match name {
        "steady" => life::steady(scratch).await,
        "agent-killed" => life::killed(scratch).await,
        "control-plane-away" => life::alone(scratch).await,
        "disk-full" => limits::disk(scratch).await,
        "map-full" => limits::map(scratch).await,
        "certificate-revoked" => certificate::revoked(scratch).await,
        "certificate-expired" => certificate::expired(scratch).await,
        "clock-skew" => clock::skewed(scratch).await,
        other => Err(Trouble::Wrong(format!("nobody knows how to drill {other:?}"))),
    }
}

#[cfg(test)]
mod tests {
    /// Each name is one that [`super::run`] knows; the compiler cannot see it.
    #[test]
    fn every_drill_is_known() {
        let source = include_str!("mod.rs");
        for (name, _) in crate::drill::SCRATCH {
            assert!(source.contains(&format!("\"{name}\" =>")), "{name}");
        }
    }
}
