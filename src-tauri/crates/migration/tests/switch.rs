//! The application's configuration in the migrated machine: after a whole rehearsal exactly one connection string differs,
//! undo gives the file back byte for byte, and what is doubtful or has changed stops before anything is written.

#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use engine::{
    Failure, FailureClass, Observed, Runner,
    kind::{Report, Reports},
};
use lab::{Lab, Options};
use migration::Migration;
use plan::{Inventory, Task, smarthotel};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use support::{ctx, plan_of, run_whole, runner};

const CONFIG: &str = r"C:\inetpub\SmartHotel.Registration.Web\web.config";
const BACKUP: &str = r"C:\inetpub\SmartHotel.Registration.Web\web.config.rehost-backup";
const READ: &str = "step-7/run-command/read-config";
const SWITCH: &str = "step-7/run-command/switch-connection";

/// A task of the sample in the lab's subscription.
fn task_of(lab: &Lab, address: &str) -> Task {
    let plan = plan_of(lab, &smarthotel::design(), &Inventory::default());
    plan.task(&address.parse().unwrap()).unwrap().clone()
}

fn file(lab: &Lab, path: &str) -> Vec<u8> {
    lab.guest_files("WEBVM").remove(path).unwrap()
}

/// The file around the value of its one connection string, and that value.
fn cut(bytes: &[u8]) -> (String, String) {
    let text = String::from_utf8(bytes.to_vec()).unwrap();
    let from = text.find("<add name=\"DefaultConnection\"\r\n").unwrap();
    let from = from + text[from..].find("connectionString=\"").unwrap() + "connectionString=\"".len();
    let to = from + text[from..].find('"').unwrap();
    (format!("{}{}", &text[..from], &text[to..]), text[from..to].to_owned())
}

/// What was said and recorded; no exchange shows a password.
fn told(reports: &Reports, said: &mut Vec<String>, facts: &mut BTreeMap<String, Value>) {
    for report in reports.take() {
        match report {
            Report::Evidence(text) => said.push(text),
            Report::Fact { name, value } => drop(facts.insert(name, value)),
            Report::Exchange(e) => {
                let shown = format!("{e:?}");
                for secret in [lab::OLD_PASSWORD, "Canary-Adm1n-Passw0rd"] {
                    assert!(!shown.contains(secret), "a password is in a trace: {shown}");
                }
            }
            _ => {}
        }
    }
}

/// Does a task as the engine does.
async fn play(
    lab: &Lab,
    runner: &Migration,
    address: &str,
    facts: &mut BTreeMap<String, Value>,
) -> (Result<(), Failure>, String) {
    let task = task_of(lab, address);
    let kind = runner.kind(&task);
    let mut said = vec![];
    let (now, reports) = ctx(lab, &task, facts.clone());
    assert_eq!(kind.observe(&now).await.unwrap(), Observed::Absent);
    let applied = kind.apply(&now).await;
    told(&reports, &mut said, facts);
    let (mut now, reports) = ctx(lab, &task, facts.clone());
    now.intent_at = Some(lab.clock().now());
    let ended = async {
        if let Some(handle) = applied? {
            kind.settle(&now, &handle).await?;
        }
        kind.verify(&now).await
    };
    let ended = ended.await;
    told(&reports, &mut said, facts);
    (ended, said.join("\n"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn exactly_the_connection_string_is_switched_and_put_back() {
    let lab = support::lab(Options {
        speed: 10_000,
        record: true,
        ..Options::default()
    })
    .await;
    let plan = plan_of(&lab, &smarthotel::design(), &Inventory::default());
    // The run's file is searched for it.
    let state = run_whole(&lab, plan, runner(&lab), || vec![lab::OLD_PASSWORD.to_owned()]).await;
    let of = |address: &str| -> String {
        let task = state.tasks.iter().find(|t| t.address.as_str() == address).unwrap();
        task.evidence.iter().map(|e| format!("{}\n", e.text)).collect()
    };
    let shown = of(READ);
    for part in [
        "line 10, connectionStrings, DefaultConnection",
        "- Data Source=SQLVM;Initial Catalog=SmartHotelDB;User ID=smarthotel;Password=****",
        "+ Data Source=tcp:",
        ".database.windows.net,1433",
    ] {
        assert!(shown.contains(part), "{part} is missing in {shown}");
    }
    assert!(!shown.contains("Weather"), "{shown}");
    assert!(of(SWITCH).contains(BACKUP), "{}", of(SWITCH));
    let recorded = serde_json::to_string(&lab.exchanges()).unwrap();
    assert!(
        !recorded.contains(lab::OLD_PASSWORD),
        "the old password left the machine in clear"
    );

    // Nothing but the one string differs, and the machine has what was.
    let (was, is) = (file(&lab, BACKUP), file(&lab, CONFIG));
    let ((rest, old), (same, new)) = (cut(&was), cut(&is));
    assert_eq!(rest, same);
    assert!(old.starts_with("Data Source=SQLVM;"), "{old}");
    assert!(
        new.contains(".database.windows.net,1433;Initial Catalog=SmartHotelDB"),
        "{new}"
    );

    let host = new.split("tcp:").nth(1).and_then(|s| s.split(',').next()).unwrap();
    let known = BTreeMap::from([
        ("mi.fqdn".to_owned(), json!(host)),
        ("mi.admin".to_owned(), json!("contosoadmin")),
    ]);
    let runner = runner(&lab);
    let switch = task_of(&lab, SWITCH);

    // Once more: nothing to do.
    let mut facts = known.clone();
    let (ended, said) = play(&lab, &runner, READ, &mut facts).await;
    ended.unwrap();
    assert!(said.contains("leads to the managed instance already"), "{said}");
    play_done(&lab, &runner, &mut facts).await;
    assert_eq!(file(&lab, CONFIG), is, "it was switched twice");

    // Edited after the switch: undo leaves it to a person.
    lab.put_guest_file("WEBVM", CONFIG, [&is[..], b" "].concat());
    let (now, _) = ctx(&lab, &switch, facts.clone());
    let refused = runner.kind(&switch).undo(&now).await.unwrap_err();
    assert_eq!(
        (refused.class, refused.code.as_str()),
        (FailureClass::NeedsPerson, "ConfigChanged")
    );
    lab.put_guest_file("WEBVM", CONFIG, is);
    for _ in 0..2 {
        runner.kind(&switch).undo(&now).await.unwrap();
        assert_eq!(
            file(&lab, CONFIG),
            was,
            "byte for byte, and the second time it is done already"
        );
    }
    let left = lab.final_state().to_string().to_lowercase();
    assert!(
        !left.contains("rehost-read-config") && !left.contains("rehost-restore"),
        "{left}"
    );

    doubtful(&lab, &runner, &known, &was).await;
    encrypted(&lab, &runner, &known, &was).await;
    parts(&lab, &runner, &known, &was).await;
    runner.close().await;
    lab.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_person_switches_it_and_no_run_command_is_sent() {
    let lab = support::lab(Options {
        speed: 10_000,
        record: true,
        ..Options::default()
    })
    .await;
    let design = plan::Design {
        switched_by_person: true,
        ..smarthotel::design()
    };
    let plan = plan_of(&lab, &design, &Inventory::default());
    let state = run_whole(&lab, plan, runner(&lab), Vec::new).await;
    let decided = ["step-7/gate/switch-connection", "step-7/gate/site"];
    let gates = state.tasks.iter().filter(|t| decided.contains(&t.address.as_str()));
    assert_eq!(gates.filter(|t| t.status == engine::TaskStatus::Done).count(), 2);
    let sent = lab.exchanges().into_iter().map(|e| e["liveRequest"].clone());
    let commands = sent.filter(|r| r["method"] != "GET" && r["url"].as_str().unwrap().contains("/runCommand"));
    assert_eq!(commands.collect::<Vec<_>>(), [Value::Null; 0]);
    lab.stop().await;
}

/// The switch, when its command may stand there from before.
async fn play_done(lab: &Lab, runner: &Migration, facts: &mut BTreeMap<String, Value>) {
    let (ended, _) = play(lab, runner, SWITCH, facts).await;
    ended.unwrap();
    let switch = task_of(lab, SWITCH);
    let (mut now, _) = ctx(lab, &switch, facts.clone());
    now.intent_at = Some(lab.clock().now());
    assert_eq!(runner.kind(&switch).observe(&now).await.unwrap(), Observed::Matches);
}

/// What is not certain stops it, and nothing is written.
async fn doubtful(lab: &Lab, runner: &Migration, known: &BTreeMap<String, Value>, was: &[u8]) {
    let text = String::from_utf8(was.to_vec()).unwrap();
    let cases = [
        (
            text.replace("\"DefaultConnection\"\r", "\"Bookings\"\r"),
            "ConfigDoubtful",
            "in Design",
        ),
        (
            text.replace("Source=SQLVM", "Source=CLUSTER7"),
            "ConfigDoubtful",
            "enter that name",
        ),
        (
            text.replace("</configuration>", ""),
            "ConfigUnreadable",
            "Correct the file",
        ),
        (
            text.replace("<configuration>", "<!DOCTYPE x [<!ENTITY a 'b'>]><configuration>"),
            "ConfigUnreadable",
            "Correct the file",
        ),
    ];
    for (changed, code, hint) in cases {
        lab.put_guest_file("WEBVM", CONFIG, changed.clone().into_bytes());
        let (ended, _) = play(lab, runner, READ, &mut known.clone()).await;
        let f = ended.unwrap_err();
        assert_eq!((&f.class, f.code.as_str()), (&FailureClass::NeedsPerson, code), "{f:?}");
        assert!(f.hint.contains(hint) && f.hint.contains("Retry"), "{f:?}");
        assert!(!format!("{f:?}").contains(lab::OLD_PASSWORD), "{f:?}");
        assert_eq!(file(lab, CONFIG), changed.into_bytes());
    }
    // Changed after it was shown: shown again, and switched by the next try only.
    lab.put_guest_file("WEBVM", CONFIG, was.to_vec());
    let mut facts = known.clone();
    play(lab, runner, READ, &mut facts).await.0.unwrap();
    let edited = text.replace("debug=\"false\"", "debug=\"true\"").into_bytes();
    lab.put_guest_file("WEBVM", CONFIG, edited.clone());
    let (ended, said) = play(lab, runner, SWITCH, &mut facts).await;
    assert_eq!(ended.unwrap_err().code, "ConfigChanged");
    assert!(said.contains("+ Data Source=tcp:"), "{said}");
    assert_eq!(file(lab, CONFIG), edited);
    play_done(lab, runner, &mut facts).await;
    assert_eq!(cut(&file(lab, CONFIG)).0, cut(&edited).0);
    undone(lab, runner, &facts, &edited).await;
}

async fn undone(lab: &Lab, runner: &Migration, facts: &BTreeMap<String, Value>, was: &[u8]) {
    let switch = task_of(lab, SWITCH);
    let (now, _) = ctx(lab, &switch, facts.clone());
    runner.kind(&switch).undo(&now).await.unwrap();
    assert_eq!(file(lab, CONFIG), was);
    assert!(!lab.guest_files("WEBVM").contains_key(BACKUP));
}

/// An encrypted section is encrypted again, and undo gives the very bytes back.
async fn encrypted(lab: &Lab, runner: &Migration, known: &BTreeMap<String, Value>, was: &[u8]) {
    lab.put_guest_file("WEBVM", CONFIG, was.to_vec());
    lab.encrypt_guest_config("WEBVM");
    let sealed = file(lab, CONFIG);
    assert!(!String::from_utf8_lossy(&sealed).contains("SQLVM"));
    let mut facts = known.clone();
    let (ended, said) = play(lab, runner, READ, &mut facts).await;
    ended.unwrap();
    assert!(said.contains("encrypted; it will be again"), "{said}");
    play_done(lab, runner, &mut facts).await;
    let now = file(lab, CONFIG);
    assert!(now != sealed && !String::from_utf8_lossy(&now).contains("database.windows.net"));
    undone(lab, runner, &facts, &sealed).await;
}

/// Too much for one command's output, and the strings in another file.
async fn parts(lab: &Lab, runner: &Migration, known: &BTreeMap<String, Value>, was: &[u8]) {
    let text = String::from_utf8(was.to_vec()).unwrap();
    let (from, to) = (
        text.find("<connectionStrings>").unwrap(),
        text.find("</connectionStrings>").unwrap(),
    );
    let to = to + "</connectionStrings>".len();
    // Nothing that could be packed.
    let mut x = 1_u64;
    let noise: String = (0..16_000)
        .map(|_| {
            x ^= x << 13;
            x ^= x >> 7;
            x ^= x << 17;
            format!("{:x}", x >> 60)
        })
        .collect();
    let outer = format!(
        "{}<connectionStrings configSource=\"db.config\" /><!-- {noise} -->{}",
        &text[..from],
        &text[to..]
    );
    let inner = text.as_bytes()[from..to].to_vec();
    let place = r"C:\inetpub\SmartHotel.Registration.Web\db.config";
    lab.put_guest_file("WEBVM", CONFIG, outer.clone().into_bytes());
    lab.put_guest_file("WEBVM", place, inner.clone());
    let mut facts = known.clone();
    let (ended, said) = play(lab, runner, READ, &mut facts).await;
    ended.unwrap();
    assert!(said.contains(place), "{said}");
    play_done(lab, runner, &mut facts).await;
    assert_eq!(cut(&file(lab, place)).0, cut(&inner).0);
    undone(lab, runner, &facts, outer.as_bytes()).await;
    assert_eq!(file(lab, place), inner);
}
