//! The room of posture.
