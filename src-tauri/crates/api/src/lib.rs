//! Every use case as a plain async function.
pub mod wire;
