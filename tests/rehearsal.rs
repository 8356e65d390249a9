//! A whole rehearsal without a window: the figures of the issue, and what it leaves behind.

use crate::support::{Home, alone, together};
use report::{Outcome, Report, Status};
use std::time::Duration;

/// From the start of the process to its end, lab and report included, in the debug profile.
const LONGEST: Duration = Duration::from_secs(10);
const MOST_MEMORY_MIB: f64 = 150.0;
const FEWEST_TASKS: usize = 60;

#[tokio::test]
async fn the_sample_is_rehearsed_whole_quickly_and_small() {
    let _machine = alone().await;
    let home = Home::new();
    let (project, folder) = (home.path("SmartHotel.rehost"), home.path("report"));
    let arguments = [
        "rehearse",
        "--project",
        project.to_str().unwrap(),
        "--report",
        folder.to_str().unwrap(),
    ];
    let ended = home.run(&arguments).await;
    ended.must_end_with(0);
    let memory = ended.json["peakMemoryMib"].as_f64().expect("the kernel tells the peak");
    let tasks = usize::try_from(ended.json["tasks"].as_u64().unwrap()).unwrap();
    println!(
        "{tasks} tasks in {:.2} s, at most {memory:.0} MiB",
        ended.took.as_secs_f64()
    );
    assert_eq!(ended.json["outcome"], "done", "{}", ended.stdout);
    assert!(tasks >= FEWEST_TASKS, "the plan has only {tasks} tasks");

    let json = std::fs::read_to_string(ended.json["report"]["json"].as_str().unwrap()).unwrap();
    let report = Report::verify(&json).unwrap();
    assert_eq!((report.mark.as_str(), report.run.outcome), ("REHEARSAL", Outcome::Done));
    assert_eq!(report.steps.len(), 8);
    for step in &report.steps {
        assert_eq!(step.status, Status::Done, "step {}", step.number);
    }
    assert_eq!(report.tasks().count(), tasks);
    for task in report.tasks().filter(|t| t.status == Status::Done) {
        assert!(
            task.started.is_some() && task.ended.is_some(),
            "{} has no times",
            task.address
        );
        // A decision is its own evidence, and so is a wait of days.
        let proven = !task.evidence.is_empty() || task.decision.is_some() || task.elapsed_secs >= Some(86_400);
        assert!(proven, "{} is done without evidence", task.address);
    }
    for task in report.tasks().filter(|t| t.status == Status::Skipped) {
        assert!(
            task.reason.as_ref().is_some_and(|r| !r.is_empty()),
            "{} is skipped without a reason",
            task.address
        );
    }
    assert!(report.summary.decisions >= 2, "test failover and cutover are decisions");
    assert!(report.chain.valid && report.chain.events > 0);
    let html = std::fs::read_to_string(ended.json["report"]["html"].as_str().unwrap()).unwrap();
    assert!(html.contains("REHEARSAL") && html.contains(&report.plan_hash));

    let verified = home.run(&["verify", project.to_str().unwrap()]).await;
    verified.must_end_with(0);
    assert_eq!(verified.json["ok"], true, "{}", verified.stdout);

    assert!(ended.took < LONGEST, "it took {:.1} s", ended.took.as_secs_f64());
    assert!(memory < MOST_MEMORY_MIB, "it took {memory:.0} MiB");
}

#[tokio::test]
async fn several_databases_are_rehearsed_in_one_run() {
    let _machine = together().await;
    let home = Home::new();
    let folder = home.path("report");
    let folder = folder.to_str().unwrap();
    for by in ["person", "rehost"] {
        let project = home.path(&format!("{by}.rehost"));
        let arguments = [
            "rehearse",
            "--several",
            "--backups-by",
            by,
            "--project",
            project.to_str().unwrap(),
            "--report",
            folder,
        ];
        let ended = home.run(&arguments).await;
        ended.must_end_with(0);
        assert_eq!(ended.json["outcome"], "done", "{}", ended.stdout);
        let json = std::fs::read_to_string(ended.json["report"]["json"].as_str().unwrap()).unwrap();
        let report = Report::verify(&json).unwrap();
        for name in std::iter::once("SmartHotelDB").chain(plan::smarthotel::FURTHER_DATABASES) {
            let online = report
                .tasks()
                .find(|t| t.address.to_string() == format!("step-6/check-database/{name}"));
            assert_eq!(online.map(|t| t.status), Some(Status::Done), "{name}");
        }
    }
}

#[tokio::test]
async fn the_same_seed_gives_the_same_rehearsal() {
    let _machine = together().await;
    let home = Home::new();
    let mut seen = vec![];
    for name in ["one", "two"] {
        let project = home.path(&format!("{name}.rehost"));
        let ended = home
            .run(&["rehearse", "--seed", "7", "--project", project.to_str().unwrap()])
            .await;
        ended.must_end_with(0);
        seen.push((ended.json["planHash"].clone(), ended.json["statuses"].clone()));
    }
    assert_eq!(seen[0], seen[1]);
}

#[tokio::test]
async fn a_report_can_be_written_later() {
    let _machine = together().await;
    let home = Home::new();
    let (project, folder) = (home.path("p.rehost"), home.path("later"));
    home.run(&["rehearse", "--project", project.to_str().unwrap()])
        .await
        .must_end_with(0);
    let ended = home
        .run(&[
            "report",
            project.to_str().unwrap(),
            "--report",
            folder.to_str().unwrap(),
        ])
        .await;
    ended.must_end_with(0);
    let json = std::fs::read_to_string(ended.json["json"].as_str().unwrap()).unwrap();
    assert_eq!(Report::verify(&json).unwrap().run.outcome, Outcome::Done);
}
