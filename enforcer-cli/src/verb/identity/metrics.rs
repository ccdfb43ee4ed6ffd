//! `identity metrics`: what a monitoring system reads.

use clap::Args;
use enforcer_proto::v1;

use crate::cli::Global;
use crate::console::Console;
use crate::failure::Failure;
use crate::verb::open;
use crate::view::raw::RawView;

/// Print the metrics of the identity wall, as OpenMetrics text.
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  enforcerctl identity metrics\n  \
                        enforcerctl identity metrics > /var/lib/node_exporter/enforcer.prom")]
pub(super) struct Metrics {}

impl Metrics {
    /// Asks, and prints.
    pub(super) async fn run(&self, global: &Global, console: &mut Console<'_>) -> Result<(), Failure> {
        let session = open(global).await?;
        let request = v1::IdentityMetricsRequest {};
        let response = session.answer(session.identity().metrics(request)).await?;
        console.show(&RawView::new("openMetrics", response.text))
    }
}
