//! Settings that isolation rests on.

use enforcer_proto::v1;
use serde::Serialize;

use crate::console::Show;
use crate::style::Style;
use crate::table::{Cell, Table};
use crate::{hex, instant};

/// Settings of a node's drivers and kernel.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct PostureView {
    time: String,
    digest: String,
    settings: Vec<SettingView>,
}

/// One of them.
#[derive(Clone, Debug, PartialEq, Serialize)]
struct SettingView {
    name: String,
    source: String,
    value: String,
    judgement: String,
    detail: String,
}

impl From<v1::PostureResponse> for PostureView {
    fn from(response: v1::PostureResponse) -> Self {
        let settings = response.settings.into_iter().map(|setting| {
            let v1::Setting { name, source, value, judgement, detail } = setting;
            SettingView { name, source, value, judgement, detail }
        });
        Self {
            time: response.time.as_ref().map(instant::rfc3339).unwrap_or_default(),
            digest: hex::encode(&response.digest),
            settings: settings.collect(),
        }
    }
}

impl Show for PostureView {
    fn text(&self, style: Style) -> String {
        let mut table = Table::new(&["SETTING", "SOURCE", "VALUE", "JUDGEMENT", "WHY"]);
        for setting in &self.settings {
            table.row([
                Cell::from(setting.name.as_str()),
                Cell::from(setting.source.as_str()),
                Cell::or_absent(&setting.value),
                Cell::from(setting.judgement.as_str()),
                Cell::or_absent(&setting.detail),
            ]);
        }
        format!("{}\ndigest {} at {}\n", table.render(style), self.digest, self.time)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_setting_is_a_row_and_the_digest_follows() {
        let setting = v1::Setting {
            name: "lockdown".to_owned(),
            source: "securityfs".to_owned(),
            value: String::new(),
            judgement: "absent".to_owned(),
            detail: "not there".to_owned(),
        };
        let time = Some(prost_types::Timestamp { seconds: 1_793_700_000, nanos: 0 });
        let view =
            PostureView::from(v1::PostureResponse { time, digest: vec![0xab; 2], settings: vec![setting] });
        let text = view.text(Style::Plain);
        assert!(text.contains("lockdown  securityfs  -      absent     not there"), "{text}");
        assert!(text.contains("digest abab at "), "{text}");
    }
}
