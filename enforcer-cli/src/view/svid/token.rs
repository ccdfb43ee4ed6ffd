//! JWT-SVIDs. They are secrets that were asked for.

use enforcer_proto::spiffe;
use serde::Serialize;

use crate::console::Show;
use crate::style::Style;
use crate::table::plain;

/// JWT-SVIDs, the default one first (W-10).
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct TokensView {
    svids: Vec<TokenView>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct TokenView {
    spiffe_id: String,
    svid: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    hint: String,
}

impl From<spiffe::JwtsvidResponse> for TokensView {
    fn from(response: spiffe::JwtsvidResponse) -> Self {
        let token = |token: spiffe::Jwtsvid| {
            let spiffe::Jwtsvid { spiffe_id, svid, hint } = token;
            TokenView { spiffe_id, svid, hint }
        };
        Self { svids: response.svids.into_iter().map(token).collect() }
    }
}

impl TokensView {
    /// True when the mandatory fields are there (W-4).
    pub(crate) fn is_whole(&self) -> bool {
        !self.svids.is_empty()
            && self.svids.iter().all(|one| !one.spiffe_id.is_empty() && !one.svid.is_empty())
    }

    /// The identities whose tokens people do not see.
    pub(crate) fn others(&self) -> impl Iterator<Item = &str> {
        self.svids.iter().skip(1).map(|one| one.spiffe_id.as_str())
    }
}

/// The default one alone, so that a shell can take it.
impl Show for TokensView {
    fn text(&self, _style: Style) -> String {
        self.svids.first().map(|one| plain(&one.svid) + "\n").unwrap_or_default()
    }
}
