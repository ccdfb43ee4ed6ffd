//! What a change would do, without doing it.

use enforcer_core::policy::objects_diff::objects_diff;
use enforcer_core::policy::plan::extent;
use enforcer_proto::v1;

use super::engine::Engine;
use crate::door::policy::{Forecast, Refusal, Submission};

impl Engine {
    /// Thinks a change through and says what came out.
    pub(super) fn validate(&mut self, submission: &Submission) -> Result<Forecast, Refusal> {
        let now = (self.clock)();
        let prospect = self.prospect(submission, now).map_err(|problems| self.refusal(problems))?;
        let (entries_written, entries_deleted) = extent(&prospect.plan);
        let changes = objects_diff(&self.history.current().policy, &prospect.policy);
        Ok(Forecast {
            diff: v1::Diff { changes, entries_written, entries_deleted },
            warnings: prospect.warnings,
        })
    }
}
