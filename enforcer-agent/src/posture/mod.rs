//! What isolation rests on besides the gate: reads the settings of drivers and kernel every so often and when somebody asks,
//! and raises an alarm when they change while a tenant has a device. It must not know how a setting is judged.

mod rdma;
mod read;
mod room;

pub use self::read::{AskNvidia, Place, Reader};
pub use self::room::{Parts, open};
