//! `tunnel metrics`: what a monitoring system reads.

use clap::Args;
use enforcer_proto::v1;

use crate::cli::Global;
use crate::console::Console;
use crate::failure::Failure;
use crate::verb::open;
use crate::view::raw::RawView;

/// Print the metrics of the tunnel, as OpenMetrics text.
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  enforcerctl tunnel metrics\n  \
                        enforcerctl tunnel metrics > /var/lib/node_exporter/tunnel.prom")]
pub(super) struct Metrics {}

impl Metrics {
    /// Asks, and prints.
    pub(super) async fn run(&self, global: &Global, console: &mut Console<'_>) -> Result<(), Failure> {
        let session = open(global).await?;
        let request = v1::TunnelMetricsRequest {};
        let response = session.answer(session.tunnel().metrics(request)).await?;
        console.show(&RawView::new("openMetrics", response.text))
    }
}
