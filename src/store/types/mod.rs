//! What values are made of, type by type: functions on plain bytes that know nothing of keys or replies.

pub mod bitmap;
pub mod hll;
