//! Killed at any moment, the run goes on: same end, nothing repeated without need, chain intact.
//!
//! The lab holds one chosen changing request, before it is carried out or after it but unanswered; exactly then the
//! process is killed with SIGKILL, which it can't notice.

use crate::support::{Ended, Home, LabProcess, around_and_proved, backed_up, together, until};
use serde_json::{Value, json};
use std::process::Stdio;

const MOMENTS: u64 = 20;

/// What an unbroken run leaves and how much it changes.
struct Unbroken {
    state: Value,
    repeated: Value,
    mutations: u64,
}

async fn lab(home: &Home) -> LabProcess {
    LabProcess::start(home, &["--seed", "11"]).await
}

/// One whose database administrator takes no backups.
async fn lab_without_dba(home: &Home) -> LabProcess {
    LabProcess::start(home, &["--seed", "11", "--no-dba"]).await
}

async fn unbroken(home: &Home) -> Unbroken {
    unbroken_at(home, lab(home).await).await
}

async fn unbroken_at(home: &Home, lab: LabProcess) -> Unbroken {
    Ended::of(&mut lab.run(home, &home.path("p.rehost"), &[]))
        .await
        .must_end_with(0);
    Unbroken {
        state: timeless(&lab.get("state").await),
        repeated: lab.get("stats").await["repeated"].clone(),
        mutations: changes(&lab).await,
    }
}

/// A state without the times in files' names (14 digits): a run that was killed ends later.
fn timeless(state: &Value) -> Value {
    match state {
        Value::String(text) => {
            let parts = text.split('_').map(|p| match p.split_once('.').unwrap_or((p, "")) {
                (name, end) if name.len() == 14 && name.bytes().all(|b| b.is_ascii_digit()) => format!("TIME.{end}"),
                _ => p.to_owned(),
            });
            Value::from(parts.collect::<Vec<_>>().join("_"))
        }
        Value::Array(all) => all.iter().map(timeless).collect(),
        Value::Object(all) => all.iter().map(|(k, v)| (k.clone(), timeless(v))).collect(),
        other => other.clone(),
    }
}

/// How many changing requests the lab has carried out.
async fn changes(lab: &LabProcess) -> u64 {
    lab.get("stats").await["mutations"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|m| m["count"].as_u64())
        .sum()
}

/// A moment: how many changing requests from now, and `before` or `after` it is carried out.
type Moment = (u64, &'static str);

/// Spread over the whole run, one in each twentieth, reproducible.
fn moments(seed: u64, of: u64) -> Vec<Moment> {
    let mut x = seed;
    let mut random = move || {
        // SplitMix64: good enough to choose moments, and the same everywhere.
        x = x.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    };
    (0..MOMENTS)
        .map(|i| {
            let (from, to) = (i * of / MOMENTS, (i + 1) * of / MOMENTS);
            (
                1 + from + random() % (to - from).max(1),
                if i % 2 == 0 { "before" } else { "after" },
            )
        })
        .collect()
}

/// Runs until the moment has come and kills the process. False when the run ended before.
async fn killed_at(lab: &LabProcess, home: &Home, (after, phase): Moment, only: &str) -> bool {
    lab.post("trap", &json!({"afterMutations": after, "phase": phase, "only": only}))
        .await;
    let mut child = lab
        .run(home, &home.path("p.rehost"), &[])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let held = until("the lab holds a request, or the run ends", async || {
        if lab.get("trap").await["held"] == true {
            return Some(true);
        }
        child.try_wait().unwrap().map(|_| false)
    })
    .await;
    child.kill().await.unwrap();
    lab.post("release", &json!({})).await;
    held
}

async fn must_equal(lab: &LabProcess, home: &Home, whole: &Unbroken, how: &str) {
    let ended = Ended::of(&mut lab.run(home, &home.path("p.rehost"), &[])).await;
    ended.must_end_with(0);
    assert_eq!(ended.json["outcome"], "done", "{how}: {}", ended.stdout);
    let state = timeless(&lab.get("state").await);
    assert!(
        state == whole.state,
        "{how}: the lab ends in another state:\n{}",
        difference(&whole.state, &state, String::new())
    );
    assert_eq!(
        lab.get("stats").await["repeated"],
        whole.repeated,
        "{how}: something was changed twice"
    );
    let verified = home.run(&["verify", home.path("p.rehost").to_str().unwrap()]).await;
    verified.must_end_with(0);
}

/// Names the places where two documents differ.
fn difference(a: &Value, b: &Value, at: String) -> String {
    match (a, b) {
        (Value::Object(x), Value::Object(y)) => {
            let keys: std::collections::BTreeSet<&String> = x.keys().chain(y.keys()).collect();
            keys.into_iter()
                .map(|k| {
                    difference(
                        x.get(k).unwrap_or(&Value::Null),
                        y.get(k).unwrap_or(&Value::Null),
                        format!("{at}/{k}"),
                    )
                })
                .collect()
        }
        (a, b) if a == b => String::new(),
        (a, b) => format!("{at}: {a} instead of {b}\n"),
    }
}

#[tokio::test]
async fn a_run_killed_at_any_of_twenty_moments_goes_on_to_the_same_end() {
    let _machine = together().await;
    let whole = unbroken(&Home::new()).await;
    println!("an unbroken run makes {} changing requests", whole.mutations);
    for moment in moments(2018, whole.mutations) {
        let home = Home::new();
        let lab = lab(&home).await;
        assert!(
            killed_at(&lab, &home, moment, "").await,
            "the run ended before {moment:?} came"
        );
        must_equal(&lab, &home, &whole, &format!("killed at {moment:?}")).await;
    }
}

/// What stands around the database is made by statements, not by requests: none of them is repeated, either.
#[tokio::test]
async fn a_run_that_moves_what_stands_around_and_proves_goes_on_to_the_same_end() {
    let _machine = together().await;
    let chosen = || {
        let home = Home::new();
        around_and_proved(&home.path("p.rehost"));
        home
    };
    let whole = unbroken(&chosen()).await;
    let home = chosen();
    let lab = lab(&home).await;
    // Each statement is held twice: before it is carried out, and when it is sent again, after it.
    let mut kills = 0;
    for phase in ["before", "after"].into_iter().cycle() {
        if !killed_at(&lab, &home, (1, phase), "TDS").await {
            break;
        }
        kills += 1;
    }
    println!("killed {kills} times");
    assert!(kills >= 6, "only {kills}: two logins and a role are made");
    must_equal(&lab, &home, &whole, "killed at each statement").await;
}

/// A backup that a kill has cut off is taken again, and one that was taken is not, whether Rehost has heard of it or not.
#[tokio::test]
async fn a_run_that_backs_up_goes_on_to_the_same_end() {
    let _machine = together().await;
    let chosen = || {
        let home = Home::new();
        backed_up(&home.path("p.rehost"));
        home
    };
    let home = chosen();
    let whole = unbroken_at(&home, lab_without_dba(&home).await).await;
    let home = chosen();
    let lab = lab_without_dba(&home).await;
    let mut kills = 0;
    for phase in ["before", "after"].into_iter().cycle() {
        if !killed_at(&lab, &home, (1, phase), "TDS BACKUP").await {
            break;
        }
        kills += 1;
    }
    println!("killed {kills} times");
    assert!(
        kills >= 10,
        "only {kills}: full, differential, two logs and the tail are taken"
    );
    must_equal(&lab, &home, &whole, "killed at each backup").await;
}

#[tokio::test]
async fn a_run_killed_twenty_times_goes_on_to_the_same_end() {
    let _machine = together().await;
    let whole = unbroken(&Home::new()).await;
    let home = Home::new();
    let lab = lab(&home).await;
    let mut kills = 0;
    // Not the very last requests: the trap counts from where the run is, and that may be one short of it.
    for (at, phase) in moments(4711, whole.mutations - 4) {
        let distance = at.saturating_sub(changes(&lab).await).max(1);
        kills += u64::from(killed_at(&lab, &home, (distance, phase), "").await);
    }
    println!("killed {kills} times");
    assert_eq!(kills, MOMENTS, "the run ended too early");
    must_equal(&lab, &home, &whole, "killed again and again").await;
}
