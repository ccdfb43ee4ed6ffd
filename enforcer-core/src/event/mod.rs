//! Kernel events: from bytes to records with names.
