//! ARM's token buckets per subscription and principal: reads 250 refilled by 25 a second, writes and deletes 200 refilled
//! by 10 a second (Microsoft, request-limits-and-throttling, 05/28/2025), in lab time.

use axum::http::Method;
use jiff::Timestamp;

use super::{Refusal, Req, Resp};
use crate::world::World;

#[derive(Debug, Clone, Copy)]
struct Bucket {
    size: f64,
    per_second: f64,
    left: f64,
    at: Timestamp,
}

impl Bucket {
    fn take(&mut self, now: Timestamp) -> Result<(), u64> {
        let passed = now.duration_since(self.at).as_secs_f64().max(0.0);
        self.left = (self.left + passed * self.per_second).min(self.size);
        self.at = now;
        if self.left < 1.0 {
            return Err(((1.0 - self.left) / self.per_second).ceil().max(1.0) as u64);
        }
        self.left -= 1.0;
        Ok(())
    }
}

#[derive(Debug)]
pub(crate) struct Buckets {
    reads: Bucket,
    writes: Bucket,
    deletes: Bucket,
}

impl Buckets {
    pub fn new(now: Timestamp) -> Buckets {
        let bucket = |size, per_second| Bucket {
            size,
            per_second,
            left: size,
            at: now,
        };
        Buckets {
            reads: bucket(250.0, 25.0),
            writes: bucket(200.0, 10.0),
            deletes: bucket(200.0, 10.0),
        }
    }

    fn of(&mut self, method: &Method) -> (&mut Bucket, &'static str) {
        match *method {
            Method::GET | Method::HEAD => (&mut self.reads, "x-ms-ratelimit-remaining-subscription-reads"),
            Method::DELETE => (&mut self.deletes, "x-ms-ratelimit-remaining-subscription-deletes"),
            _ => (&mut self.writes, "x-ms-ratelimit-remaining-subscription-writes"),
        }
    }
}

/// Takes a token for a request.
pub(crate) fn take(world: &mut World, req: &Req) -> Result<(), Refusal> {
    let now = world.now();
    world.cloud.buckets.of(&req.method).0.take(now).map_err(|wait| {
        let mut refusal = Refusal::new(
            429,
            "SubscriptionRequestsThrottled",
            format!(
                "Number of requests for subscription '{}' exceeded the limit. Please try again after '{wait}' seconds.",
                world.cloud.subscription
            ),
        );
        refusal.headers.push(("retry-after", wait.to_string()));
        refusal
    })
}

/// Tells how many requests are left.
pub(crate) fn stamp(world: &mut World, req: &Req, resp: Resp) -> Resp {
    let (bucket, header) = world.cloud.buckets.of(&req.method);
    let left = bucket.left.max(0.0) as u64;
    resp.with(vec![(header, left.to_string())])
}
