//! `trace unwrap`: the data key of a file, for a query engine.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use clap::Args;
use enforcer_proto::v1;
use serde::Serialize;
use zeroize::Zeroizing;

use crate::cli::Global;
use crate::console::{Console, Show};
use crate::failure::Failure;
use crate::style::Style;
use crate::verb::open;

/// Print the data key of a sealed file, in base 64; it goes on record.
#[derive(Args, Debug)]
#[command(
    long_about = "Prints the data key of a sealed file, in base 64, for the KMS client of a query engine: what the file's \
                  key material (PKMT1) calls masterKeyID and wrappedDEK. Only for operators, and each use is a record \
                  that the tenant sees.",
    after_help = "Examples:\n  enforcerctl trace unwrap --master-key-id team-a/9f2c01d3a4b5c6d7 --wrapped-key BASE64"
)]
pub(super) struct Unwrap {
    /// `masterKeyID` of the file's key material.
    #[arg(long, value_name = "ID")]
    master_key_id: String,

    /// `wrappedDEK` of the file's key material.
    #[arg(long, value_name = "BASE64")]
    wrapped_key: String,
}

#[derive(Serialize)]
struct KeyView<'a> {
    key: &'a str,
}

impl Show for KeyView<'_> {
    fn text(&self, _: Style) -> String {
        format!("{}\n", self.key)
    }
}

impl Unwrap {
    /// Asks, and prints.
    pub(super) async fn run(&self, global: &Global, console: &mut Console<'_>) -> Result<(), Failure> {
        let session = open(global).await?;
        let request = v1::UnwrapRequest {
            master_key_id: self.master_key_id.clone(),
            wrapped_key: self.wrapped_key.clone(),
        };
        let response = session.answer(session.trace().unwrap(request)).await?;
        let key = Zeroizing::new(response.key);
        let text = Zeroizing::new(STANDARD.encode(&*key));
        console.show(&KeyView { key: &text })
    }
}
