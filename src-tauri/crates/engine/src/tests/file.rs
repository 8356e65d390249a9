use super::{
    address, open, options, plan, project, task,
    world::{Scripted, World, beginning, exchange},
};
use crate::{Engine, EngineError, Event, Outcome, ProjectError, ProjectFile};
use rusqlite::Connection;
use std::{fs, path::PathBuf, sync::Arc};
use tempfile::TempDir;

fn fresh() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.rehost");
    drop(ProjectFile::create(&path, &project()).unwrap());
    (folder, path)
}

fn paused() -> Event {
    Event::RunPaused { by: "Ann".into() }
}

fn machine(moref: &str) -> plan::Vm {
    plan::Vm {
        moref: moref.into(),
        ..Default::default()
    }
}

#[test]
fn machines_change_one_by_one_in_files_of_earlier_versions_too() {
    let (_folder, path) = fresh();
    let file = open(&path);
    let inventory = plan::Inventory {
        vms: ["vm-2", "vm-1", "vm-3"].map(machine).into(),
        ..Default::default()
    };
    file.save_inventory(&inventory).unwrap();
    let on = plan::Vm {
        power_state: "poweredOn".into(),
        ..machine("vm-1")
    };
    let change = |file: &ProjectFile| {
        assert_eq!(file.machine_count().unwrap(), 3);
        file.change_machines(&[on.clone(), machine("vm-4")], &["vm-3".into()])
            .unwrap();
        let now = file.inventory().unwrap().unwrap();
        assert_eq!(now.vms, [machine("vm-2"), on.clone(), machine("vm-4")]);
        assert_eq!(file.machine("vm-1").unwrap(), Some(on.clone()));
        assert_eq!(file.machine("vm-3").unwrap(), None);
        assert_eq!(file.places().unwrap().unwrap().vms, []);
    };
    change(&file);
    drop(file);

    // As earlier versions wrote it.
    let database = rusqlite::Connection::open(&path).unwrap();
    database.execute("DROP TABLE machine", []).unwrap();
    let json = serde_json::to_string(&inventory).unwrap();
    database.execute("UPDATE inventory SET json = ?1", [json]).unwrap();
    drop(database);
    let look = ProjectFile::open_read_only(&path).unwrap();
    assert_eq!(look.inventory().unwrap().unwrap(), inventory);
    drop(look);
    change(&open(&path));
}

#[test]
fn keeps_everything() {
    let (_folder, path) = fresh();
    let file = open(&path);
    let p = plan(vec![task("a", &[])]);
    let q = plan(vec![task("b", &[])]);
    assert_eq!(file.inventory().unwrap(), None);
    assert_eq!(file.latest_plan().unwrap(), None);
    let hash = file.save_plan(&p).unwrap();
    file.save_plan(&q).unwrap();
    assert_eq!(file.latest_plan().unwrap(), Some(q));
    assert_eq!(file.save_plan(&p).unwrap(), hash);
    assert_eq!(
        file.latest_plan().unwrap(),
        Some(p.clone()),
        "saved again is the latest again"
    );
    let inventory = plan::Inventory {
        vcenter_uuid: "u".into(),
        vms: ["vm-2", "vm-1", "vm-3"].map(machine).into(),
        ..Default::default()
    };
    file.save_inventory(&inventory).unwrap();
    let changed = plan::Project {
        name: "Other".into(),
        ..project()
    };
    file.save_project(&changed).unwrap();
    let line = file.append("r", beginning(), paused()).unwrap();
    drop(file);

    let file = open(&path);
    assert_eq!(file.project().unwrap(), changed);
    assert_eq!(file.inventory().unwrap(), Some(inventory));
    assert_eq!(file.plan(&hash).unwrap(), Some(p));
    assert_eq!(file.plan("none").unwrap(), None);
    assert_eq!(file.journal("r").unwrap(), [line]);
    assert_eq!(file.verify_chain().unwrap().seq, 1);
}

#[test]
fn keeps_the_newest_exchanges_of_each_task() {
    let (_folder, path) = fresh();
    let file = open(&path);
    for i in 0..70 {
        file.save_exchanges(
            "r",
            &[(address("a"), exchange(&i.to_string())), (address("b"), exchange("b"))],
        )
        .unwrap();
    }
    let kept = file.exchanges("r", &address("a")).unwrap();
    assert_eq!(
        (kept.len(), kept[0].url.as_str(), kept[59].url.as_str()),
        (60, "10", "69")
    );
    assert_eq!(file.exchanges("other", &address("a")).unwrap(), []);
}

#[test]
fn says_what_is_wrong_with_a_file() {
    let (folder, path) = fresh();
    let at = |name: &str| folder.path().join(name);
    assert!(matches!(
        ProjectFile::open(&at("none.rehost")),
        Err(ProjectError::NotFound { .. })
    ));
    assert!(matches!(
        ProjectFile::open(folder.path()),
        Err(ProjectError::NotSqlite { .. })
    ));
    assert!(matches!(
        ProjectFile::create(&path, &project()),
        Err(ProjectError::Exists { .. })
    ));
    assert!(matches!(
        ProjectFile::create(&at("no/folder.rehost"), &project()),
        Err(ProjectError::NotFound { .. })
    ));

    fs::write(at("text"), "Dear diary, today I moved a hotel.").unwrap();
    assert!(matches!(
        ProjectFile::open(&at("text")),
        Err(ProjectError::NotSqlite { .. })
    ));
    fs::write(at("empty"), "").unwrap();
    assert!(matches!(
        ProjectFile::open(&at("empty")),
        Err(ProjectError::Damaged { .. })
    ));

    Connection::open(at("foreign"))
        .unwrap()
        .execute_batch("CREATE TABLE t (x)")
        .unwrap();
    assert!(matches!(
        ProjectFile::open(&at("foreign")),
        Err(ProjectError::NotAProject { .. })
    ));

    for (format, newer) in [(2, true), (0, false)] {
        let name = at(&format!("format-{format}"));
        fs::copy(&path, &name).unwrap();
        Connection::open(&name)
            .unwrap()
            .pragma_update(None, "user_version", format)
            .unwrap();
        match ProjectFile::open(&name) {
            Err(ProjectError::NewerFormat { found, .. }) => assert!(newer && found == format),
            Err(ProjectError::OlderFormat { found, .. }) => assert!(!newer && found == format),
            other => panic!("format {format}: {other:?}"),
        }
    }
}

#[test]
fn says_that_a_file_was_cut_off_wherever_it_was() {
    let (folder, path) = fresh();
    {
        let file = open(&path);
        for i in 0..200 {
            file.append("r", beginning(), Event::RunPaused { by: format!("Ann {i}") })
                .unwrap();
        }
    }
    let whole = fs::read(&path).unwrap();
    assert!(whole.len() > 20_000);
    for length in [
        3,
        60,
        100,
        4096,
        5000,
        8192,
        whole.len() / 2,
        whole.len() - 4096,
        whole.len() - 1,
    ] {
        let name = folder.path().join(format!("cut-{length}"));
        fs::write(&name, &whole[..length]).unwrap();
        for opened in [ProjectFile::open(&name), ProjectFile::open_read_only(&name)] {
            assert!(
                matches!(opened, Err(ProjectError::Damaged { .. })),
                "{length}: {opened:?}"
            );
        }
    }
}

#[test]
fn one_process_at_a_time() {
    let (_folder, path) = fresh();
    let first = open(&path);
    match ProjectFile::open(&path) {
        Err(e @ ProjectError::OpenElsewhere { .. }) => {
            assert!(
                e.to_string().contains(&format!("process {}", std::process::id())),
                "{e}"
            );
        }
        other => panic!("{other:?}"),
    }
    first.append("r", beginning(), paused()).unwrap();
    let reader = ProjectFile::open_read_only(&path).unwrap();
    assert_eq!(reader.journal("r").unwrap().len(), 1);
    first.append("r", beginning(), paused()).unwrap();
    assert_eq!(
        reader.verify_chain().unwrap().seq,
        2,
        "a reader sees what is written meanwhile"
    );
    assert!(matches!(
        reader.append("r", beginning(), paused()),
        Err(ProjectError::ReadOnly { .. })
    ));
    drop((first, reader));
    open(&path);
}

#[test]
fn the_chain_shows_every_change() {
    let tamper = |sql: &str| {
        let (_folder, path) = fresh();
        {
            let file = open(&path);
            for i in 0..10 {
                file.append("r", beginning(), Event::RunPaused { by: format!("Ann {i}") })
                    .unwrap();
            }
        }
        let c = Connection::open(&path).unwrap();
        assert!(c.execute_batch(sql).is_err(), "the file itself refuses");
        c.execute_batch("DROP TRIGGER journal_keeps_lines; DROP TRIGGER journal_keeps_words")
            .unwrap();
        c.execute_batch(sql).unwrap();
        drop(c);
        match open(&path).verify_chain() {
            Err(ProjectError::ChainBroken { seq, .. }) => seq,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(
        tamper("UPDATE journal SET event = replace(event, 'Ann', 'Bob') WHERE seq = 4"),
        4
    );
    assert_eq!(
        tamper("UPDATE journal SET at = '2026-11-21T19:00:01Z' WHERE seq = 1"),
        1
    );
    assert_eq!(tamper("UPDATE journal SET run = 's' WHERE seq = 9"), 9);
    assert_eq!(tamper("DELETE FROM journal WHERE seq = 5"), 5);
    assert_eq!(tamper("DELETE FROM journal WHERE seq = 10"), 10, "also a missing end");
    assert_eq!(tamper("UPDATE journal SET hash = 'x' WHERE seq = 7"), 7);
}

#[tokio::test]
async fn a_broken_chain_is_not_continued() {
    let (_folder, path) = fresh();
    let world = Arc::new(World::new(&[]));
    let runner = Arc::new(Scripted(world.clone()));
    let file = open(&path);
    let p = Arc::new(plan(vec![task("a", &[])]));
    let run = Engine::start(file.clone(), p, runner.clone(), world.clock(), options()).unwrap();
    assert_eq!(run.finished().await.unwrap(), Outcome::Done);
    let id = run.run().to_owned();
    run.stop().await;
    drop((run, file));
    let c = Connection::open(&path).unwrap();
    c.execute_batch("DROP TRIGGER journal_keeps_words; UPDATE journal SET hash = 'x' WHERE seq = 3")
        .unwrap();
    drop(c);
    let resumed = Engine::resume(open(&path), &id, runner, world.clock(), options());
    assert!(
        matches!(&resumed, Err(EngineError::Project(e)) if matches!(**e, ProjectError::ChainBroken { seq: 3, .. })),
        "{resumed:?}"
    );
}

#[test]
fn a_full_disk_loses_nothing() {
    let (_folder, path) = fresh();
    let file = open(&path);
    file.append("r", beginning(), paused()).unwrap();
    file.limit_to_present_size();
    let failed = (0..1000)
        .map(|_| file.append("r", beginning(), Event::RunPaused { by: "A".repeat(500) }))
        .find_map(Result::err);
    assert!(matches!(failed, Some(ProjectError::DiskFull { .. })), "{failed:?}");
    let kept = file.verify_chain().unwrap().seq;
    drop(file);
    let file = open(&path);
    assert_eq!(file.verify_chain().unwrap().seq, kept);
    assert_eq!(file.append("r", beginning(), paused()).unwrap().seq, kept + 1);
}

#[test]
fn every_error_says_what_to_do() {
    let path = PathBuf::from("x.rehost");
    let (detail, by) = (String::from("d"), String::from("b"));
    let all = [
        ProjectError::NotFound { path: path.clone() },
        ProjectError::Exists { path: path.clone() },
        ProjectError::NotSqlite { path: path.clone() },
        ProjectError::NotAProject { path: path.clone() },
        ProjectError::NewerFormat {
            path: path.clone(),
            found: 2,
        },
        ProjectError::OlderFormat {
            path: path.clone(),
            found: 0,
        },
        ProjectError::Damaged {
            path: path.clone(),
            detail: detail.clone(),
        },
        ProjectError::OpenElsewhere { path: path.clone(), by },
        ProjectError::DiskFull { path: path.clone() },
        ProjectError::ReadOnly { path: path.clone() },
        ProjectError::ChainBroken {
            path: path.clone(),
            seq: 1,
        },
        ProjectError::Disk { path, detail },
    ];
    for e in all {
        assert!(
            e.to_string().contains("x.rehost") && e.to_string().ends_with('.') && e.hint().ends_with('.'),
            "{e}"
        );
    }
}
