//! When a failed attempt is tried again.

use crate::event::FailureClass;
use jiff::SignedDuration;
use plan::Address;
use rand::{Rng, SeedableRng, rngs::StdRng};
use sha2::{Digest, Sha256};

/// Seconds between attempts after a conflict: another operation on the same thing must end first.
const CONFLICT_SECS: i64 = 30;
/// Upper bound of the exponential backoff.
const MAX_BACKOFF_SECS: f64 = 120.0;

/// How long to wait after the `n`-th failure (1, 2, 3…) of this class in a row; none = not again by itself.
pub(crate) fn after(class: &FailureClass, n: u32, run: &str, task: &Address) -> Option<SignedDuration> {
    match class {
        FailureClass::Throttled { after_secs } => Some(SignedDuration::from_secs(
            i64::try_from(*after_secs).unwrap_or(i64::MAX / 2).max(1),
        )),
        FailureClass::Transient => (n < 8).then(|| backoff(n, run, task)),
        FailureClass::Auth => (n < 3).then(|| backoff(n, run, task)),
        FailureClass::Conflict => (n < 10).then(|| SignedDuration::from_secs(CONFLICT_SECS)),
        FailureClass::Permanent | FailureClass::NeedsPerson => None,
    }
}

/// 2 s, 4 s, 8 s… up to 120 s, a quarter more or less. The same for the same run, task and `n`.
pub(crate) fn backoff(n: u32, run: &str, task: &Address) -> SignedDuration {
    let digest = Sha256::digest(format!("{run}\n{task}\n{n}"));
    let jitter = StdRng::from_seed(digest.into()).random_range(0.75..1.25);
    let exponent = i32::try_from(n.clamp(1, 16)).unwrap_or(16);
    let seconds = (2f64.powi(exponent) * jitter).min(MAX_BACKOFF_SECS);
    SignedDuration::from_millis((seconds * 1000.0) as i64)
}
