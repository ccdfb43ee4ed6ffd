//! The keeper with a real vault and a real authority, under a clock that the tests set. Only the authority's
//! absence is played.

mod late;
mod life;
mod restart;
mod revoke;
mod stage;
