//! Figures, so that nobody has to believe in speed: of a whole rehearsal, and of one call to the resource manager.

pub(crate) mod arm;
pub(crate) mod rehearsal;
