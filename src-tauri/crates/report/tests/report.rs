//! A small made-up run, looked at from the outside.

#![allow(clippy::unwrap_used, reason = "a test")]

use jiff::{SignedDuration, Timestamp};
use plan::{
    Action, Actor, Address, Plan, Task,
    task::{Duration, Step},
};
use report::{
    Chain, Decision, Evidence, Failure, Input, LedgerEntry, Moment, Outcome, Report, ReportError, Run, Status,
    TaskFacts,
};
use serde_json::json;
use std::collections::BTreeMap;

const CANARY: &str = "CanaryHush4711";

fn at(minutes: i64) -> Timestamp {
    "2026-11-21T19:00:00Z".parse::<Timestamp>().unwrap() + SignedDuration::from_mins(minutes)
}

fn planned(step: u8, kind: &str, name: &str, title: &str, action: Action) -> Task {
    Task {
        address: Address::new(step, kind, name),
        title: title.into(),
        what: format!("Does the work of <{name}>."),
        why: "Because later tasks need it.".into(),
        actor: if kind == "person" {
            Actor::Person {
                role: "Database administrator".into(),
                instructions: vec![],
                script: None,
            }
        } else {
            Actor::Rehost
        },
        action,
        after: vec![],
        rights: vec![],
        duration: Duration {
            p50: 60,
            p95: 300,
            source: "a test".into(),
        },
        cost: None,
        way_back: "Delete it again.".into(),
        no_return: kind == "commit",
        calls: vec![],
        nodes: vec![],
    }
}

fn input() -> Input {
    let check = || Action::CheckVm {
        vm: "WEBVM".into(),
        method: Default::default(),
        size: "Standard_D4s_v5".into(),
    };
    let gate = Action::Gate {
        question: "Is the test failover of WEBVM good?".into(),
        accept: "a".into(),
        reject: "r".into(),
        safe_because: "s".into(),
    };
    let tasks = [
        vec![
            planned(1, "vnet", "VNET-SQLMI-EUS2", "Create the network", check()),
            planned(
                1,
                "none",
                "OLD",
                "Sign up for the preview",
                Action::NotNeeded { reason: "GA".into() },
            ),
        ],
        vec![planned(2, "person", "backup", "Take the full backup", check())],
        vec![
            planned(3, "gate", "test", "Accept the test", gate),
            planned(3, "commit", "WEBVM", "Commit", check()),
        ],
    ];
    let steps = tasks
        .into_iter()
        .enumerate()
        .map(|(i, tasks)| Step {
            number: u8::try_from(i).unwrap() + 1,
            title: format!("Step {i} & more"),
            tasks,
        })
        .collect();
    let plan = Plan {
        format: 1,
        application: "Smart<Hotel>".into(),
        rules: "current 2026-11".into(),
        steps,
        findings: vec![],
    };
    let fact = |address: Address, status, from: i64, to: i64| TaskFacts {
        status,
        attempts: 1,
        started: Some(at(from)),
        ended: Some(at(to)),
        ..TaskFacts::not_started(address)
    };
    let address = |i: usize| plan.tasks().nth(i).unwrap().address.clone();
    let tasks = vec![
        TaskFacts {
            attempts: 2,
            failures: vec![Failure {
                at: at(1),
                attempt: 1,
                class: "throttled".into(),
                code: "TooManyRequests".into(),
                title: "Azure asked to slow down".into(),
                detail: format!("GET https://a/b?sp=rl&sig={CANARY}%3D&x=1 <script>alert(1)</script>"),
                hint: "Nothing; it is tried again.".into(),
                correlation_id: Some("c-1".into()),
            }],
            evidence: vec![Evidence {
                at: at(2),
                text: format!("Token was Bearer {CANARY}.{CANARY}"),
            }],
            ..fact(address(0), Status::Done, 0, 2)
        },
        TaskFacts {
            reason: Some("General availability since 2018.".into()),
            ..fact(address(1), Status::Skipped, 0, 0)
        },
        TaskFacts {
            overdue: true,
            ..fact(address(2), Status::Done, 2, 90)
        },
        TaskFacts {
            decision: Some(Decision {
                at: at(95),
                accepted: true,
                by: "anna".into(),
                note: "Seen & <liked>".into(),
            }),
            ..fact(address(3), Status::Done, 90, 95)
        },
        fact(address(4), Status::Done, 95 + 30 * 24 * 60, 99 + 30 * 24 * 60),
    ];
    let created = |resource: &str, minute, created| LedgerEntry {
        at: at(minute),
        task: Address::new(1, "vnet", "VNET-SQLMI-EUS2"),
        resource: resource.into(),
        created,
    };
    Input {
        project_id: "p".into(),
        project_name: "SmartHotel".into(),
        rehearsal: true,
        plan_hash: plan.hash(),
        run: Run {
            id: "0193-run".into(),
            outcome: Outcome::Done,
            by: "anna".into(),
            host: "JUMP01".into(),
            version: "0.1.0".into(),
            started: Some(at(0)),
            ended: Some(at(99 + 30 * 24 * 60)),
            moments: vec![Moment {
                at: at(0),
                what: "Started".into(),
                by: "anna".into(),
            }],
        },
        plan,
        tasks,
        ledger: vec![
            created("/subscriptions/s/resourceGroups/ContosoRG", 1, true),
            created(
                "/subscriptions/s/resourceGroups/ContosoRG/providers/Microsoft.Network/virtualNetworks/V",
                2,
                true,
            ),
            created("vcenter:role:Azure_Site_Recovery", 3, true),
            created(
                "/subscriptions/s/resourcegroups/contosorg/providers/microsoft.network/virtualnetworks/v",
                4,
                false,
            ),
        ],
        facts: BTreeMap::from([("sas".into(), json!({"uri": format!("https://x/?sig={CANARY}")}))]),
        chain: Chain {
            events: 42,
            head: "ab".repeat(32),
            valid: true,
        },
        made_by: "Rehost 0.1.0".into(),
        made_at: at(100 + 30 * 24 * 60),
    }
}

#[test]
fn figures_come_from_the_facts() {
    let r = Report::new(input()).unwrap();
    let s = &r.summary;
    assert_eq!((s.tasks, s.done, s.skipped, s.failed, s.open), (5, 4, 1, 0, 0));
    assert_eq!((s.by_people, s.decisions, s.repeated, s.overdue), (1, 1, 1, 1));
    assert_eq!((s.points_of_no_return, s.points_of_no_return_passed), (1, 1));
    assert_eq!(
        (s.created, s.removed, r.remaining.len()),
        (3, 1, 2),
        "the id's case does not matter"
    );
    assert_eq!(r.steps.iter().map(|s| s.status).collect::<Vec<_>>(), [Status::Done; 3]);
}

#[test]
fn the_page_escapes_what_people_and_systems_say() {
    let html = report::render(&Report::new(input()).unwrap()).unwrap();
    assert!(
        !html.contains("<script>") && html.contains("&lt;script&gt;"),
        "an answer of Azure must not become markup"
    );
    for text in [
        "Smart&lt;Hotel&gt;",
        "Seen &amp; &lt;liked&gt;",
        "REHEARSAL",
        "Completed",
        "General availability since 2018.",
    ] {
        assert!(html.contains(text), "{text} must be on the page");
    }
    for bad in ["http://", "https://www", "src=", "@import", "url("] {
        assert!(!html.contains(bad), "the page must not load anything: {bad}");
    }
}

#[test]
fn no_secret_reaches_either_file() {
    let r = Report::new(input()).unwrap();
    for (name, text) in [("html", report::render(&r).unwrap()), ("json", r.to_json().unwrap())] {
        assert!(!text.contains(CANARY), "the canary reached the {name}");
    }
}

#[test]
fn a_changed_copy_is_noticed() {
    let json = Report::new(input()).unwrap().to_json().unwrap();
    assert_eq!(Report::verify(&json).unwrap().summary.tasks, 5);
    let changed = json.replace("\"accepted\": true", "\"accepted\": false");
    assert!(matches!(Report::verify(&changed), Err(ReportError::Changed { .. })));
    assert!(matches!(Report::verify("{"), Err(ReportError::Json(_))));
}

#[test]
fn the_same_facts_give_the_same_report() {
    let json = || Report::new(input()).unwrap().to_json().unwrap();
    assert_eq!(json(), json());
}

#[test]
fn an_unfinished_run_says_so() {
    let mut i = input();
    i.run.outcome = Outcome::Running;
    i.run.ended = None;
    i.rehearsal = false;
    i.tasks.truncate(2);
    let r = Report::new(i).unwrap();
    assert_eq!(r.steps[1].status, Status::NotStarted);
    let html = report::render(&r).unwrap();
    assert!(html.contains("is not finished") && html.contains("REAL RUN") && !html.contains("REHEARSAL"));
}

#[test]
fn files_are_whole_or_not_there() {
    let r = Report::new(input()).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let saved = report::save(&r, &dir.path().join("new"), "SmartHotel").unwrap();
    assert_eq!(
        Report::verify(&std::fs::read_to_string(&saved.json).unwrap()).unwrap(),
        r
    );
    assert!(saved.html.ends_with("SmartHotel.html"));
    let file = dir.path().join("file");
    std::fs::write(&file, "x").unwrap();
    assert!(
        matches!(report::save(&r, &file, "a"), Err(ReportError::Write { .. })),
        "a file is no folder"
    );
}

#[test]
fn the_database_has_a_table_of_before_and_after() {
    let proof = |bookings: &str| {
        json!({"database": "SmartHotelDB", "source": "SQLVM", "target": "managed-instance", "limits": ["Only <likely>."], "also": ["CHECKDB found nothing."],
            "rows": [{"name": "dbo.<Bookings>", "what": "rows", "before": "40", "after": bookings, "equal": bookings == "40"}]})
    };
    let with = |bookings: &str| {
        let mut input = input();
        input
            .facts
            .insert(format!("{}SmartHotelDB", plan::around::PROOF_FACT), proof(bookings));
        input.facts.insert(
            format!("{}SmartHotelDB", plan::around::MEASURE_FACT),
            json!({"server": "SQLVM"}),
        );
        Report::new(input).unwrap()
    };
    let report = with("39");
    assert!(!report.facts.keys().any(|k| k.starts_with("database.")));
    let page = report::render(&report).unwrap();
    for part in [
        "The database, before and after",
        "1 differ",
        "dbo.&lt;Bookings&gt;",
        "CHECKDB found nothing.",
        "Only &lt;likely&gt;.",
    ] {
        assert!(page.contains(part), "{part}");
    }
    let again = Report::verify(&report.to_json().unwrap()).unwrap();
    assert_eq!(again.proofs, report.proofs);
    assert!(!report::render(&with("40")).unwrap().contains("differ</"));
    assert!(
        !report::render(&Report::new(input()).unwrap())
            .unwrap()
            .contains("before and after</h2>")
    );
}
