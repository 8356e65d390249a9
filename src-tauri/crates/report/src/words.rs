//! How times, spans and states read on paper.

use crate::facts::{Outcome, Status};
use jiff::{Timestamp, tz::TimeZone};

/// `2026-11-21 22:47:03`, UTC; the page says once that all times are.
pub(crate) fn time(at: Timestamp) -> String {
    at.to_zoned(TimeZone::UTC).strftime("%Y-%m-%d %H:%M:%S").to_string()
}

/// `38 s`, `9 min 12 s`, `1 h 53 min`, `30 d 2 h`: the two largest units are enough for a reader.
pub(crate) fn span(seconds: i64) -> String {
    let s = seconds.max(0);
    let two = |a: i64, unit: &str, b: i64, small: &str| {
        if b == 0 {
            format!("{a} {unit}")
        } else {
            format!("{a} {unit} {b} {small}")
        }
    };
    match s {
        0..60 => format!("{s} s"),
        60..3600 => two(s / 60, "min", s % 60, "s"),
        3600..86_400 => two(s / 3600, "h", s % 3600 / 60, "min"),
        _ => two(s / 86_400, "d", s % 86_400 / 3600, "h"),
    }
}

/// `9 to 14 min` from two figures in seconds, in the unit of the larger.
pub(crate) fn usual(p50: u32, p95: u32) -> String {
    let (unit, size) = match p95 {
        0..120 => ("s", 1),
        120..7200 => ("min", 60),
        7200..172_800 => ("h", 3600),
        _ => ("d", 86_400),
    };
    let show = |v: u32| {
        let n = f64::from(v) / f64::from(size);
        if n < 10.0 && n.fract() > 0.05 {
            format!("{n:.1}")
        } else {
            format!("{n:.0}")
        }
    };
    let (low, high) = (show(p50), show(p95));
    if low == high {
        format!("{high} {unit}")
    } else {
        format!("{low} to {high} {unit}")
    }
}

/// The same words as on screen.
pub(crate) fn status(s: Status) -> &'static str {
    match s {
        Status::NotStarted => "Not started",
        Status::Blocked => "Blocked",
        Status::Running => "Running",
        Status::Waiting => "Waiting",
        Status::NeedsPerson => "Needs a person",
        Status::Done => "Done",
        Status::Adopted => "Already there",
        Status::Skipped => "Skipped",
        Status::Failed => "Failed",
        Status::Rejected => "Rejected",
        Status::Undoing => "Being undone",
        Status::Undone => "Undone",
    }
}

pub(crate) fn outcome(o: Outcome) -> &'static str {
    match o {
        Outcome::Running => "Still running",
        Outcome::Paused => "Paused",
        Outcome::Done => "Completed",
        Outcome::Stopped => "Stopped",
        Outcome::Cancelled => "Cancelled",
    }
}

/// Blanks what must never stand on paper, should another part ever let it through: SAS signatures, bearer and JWT
/// tokens. Not the protection itself, which is that secrets have their own type and never get here; the second lock.
pub(crate) fn scrub(text: &str) -> String {
    const MARKS: [&str; 3] = ["sig=", "bearer ", "eyj"];
    let lower = text.to_ascii_lowercase();
    if !MARKS.iter().any(|m| lower.contains(m)) {
        return text.to_owned();
    }
    let ends = |c: char| c.is_whitespace() || matches!(c, '&' | '"' | '\'' | '<' | '>' | ';' | ',');
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    while at < text.len() {
        let rest = &lower[at..];
        let mark = MARKS.iter().find(|m| rest.starts_with(**m));
        // `eyJ` begins a token only when a word begins there and is as long as one.
        let value = |skip: usize| rest[skip..].find(ends).map_or(rest.len(), |e| skip + e);
        match mark {
            Some(&"eyj") if value(0) < 40 => {}
            Some(m) => {
                let keep = if *m == "eyj" { 0 } else { m.len() };
                out.push_str(&text[at..at + keep]);
                out.push_str("(removed)");
                at += value(keep);
                continue;
            }
            None => {}
        }
        let Some(c) = text[at..].chars().next() else { break };
        out.push(c);
        at += c.len_utf8();
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_and_usual_durations_read_well() {
        let spans = [0, 38, 60, 552, 3600, 6780, 86_400, 2_599_200].map(span);
        assert_eq!(
            spans,
            [
                "0 s",
                "38 s",
                "1 min",
                "9 min 12 s",
                "1 h",
                "1 h 53 min",
                "1 d",
                "30 d 2 h"
            ]
        );
        assert_eq!(usual(10, 15), "10 to 15 s");
        assert_eq!(usual(540, 840), "9 to 14 min");
        assert_eq!(usual(90, 150), "1.5 to 2.5 min");
        assert_eq!(usual(2_592_000, 2_592_000), "30 d");
    }

    #[test]
    fn a_secret_that_slipped_through_is_blanked() {
        let t = scrub("GET https://a/b?sv=1&sp=rl&sig=Canary%2Bx&se=2; Authorization: Bearer canary.token, done ünï");
        assert!(!t.to_lowercase().contains("canary"), "{t}");
        assert!(t.contains("&se=2") && t.ends_with("done ünï"), "{t}");
        let jwt = format!("token eyJ{} end", "a".repeat(60));
        assert_eq!(scrub(&jwt), "token (removed) end");
        assert_eq!(scrub("heyjude keyj"), "heyjude keyj");
    }
}
