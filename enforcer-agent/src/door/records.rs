//! How the gRPC service reaches the records without knowing who keeps them.

use std::pin::Pin;
use std::sync::Arc;

use enforcer_proto::v1;
use tokio_stream::Stream;

/// Records, as they come.
pub type Records = Pin<Box<dyn Stream<Item = v1::Record> + Send>>;

/// Answers an `Observe` call; a problem with the request is a sentence.
pub type Observe = Arc<dyn Fn(v1::ObserveRequest) -> Result<Records, String> + Send + Sync>;
