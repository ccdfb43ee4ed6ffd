//! Where rooms meet: the channels between them and what travels through. It knows no room, so that every
//! room may know it.

pub mod accept;
pub mod authority;
pub mod detect;
pub mod device;
pub mod identity;
pub mod library;
pub mod manager;
pub mod names;
pub mod policy;
pub mod records;
pub mod safe;
pub mod stop;
pub mod survey;
pub mod trace;
pub mod tunnel;
pub mod unix;
pub mod upstream;
