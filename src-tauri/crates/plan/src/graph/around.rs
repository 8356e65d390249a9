//! What stands around the database, and the proof that it arrived. Both need [`crate::design::Connections::sql`], so the
//! design has them only by choice.
//!
//! * The source is measured after the application was stopped and before the tail of its log is backed up: between the two
//!   nobody writes, and after them nobody can read.
//! * The target is proved before anything on it may write: jobs come after the proof, and the application's connection
//!   string is switched only when the proof is equal and its users have their logins.
//! * Before the change window both servers are signed in to once: what is closed or forbidden is known in time.
//! * Logins come before what names them. All of it is read on the source, so that the old server is shut down only then.
//! * Of several databases each is measured, proved, and gets its users mapped. What belongs to the server is moved once, when
//!   all of them are online: a job may run in any.

use super::builder::*;
use crate::around::{AroundKind, RowCount};

const READS: &str = "Nothing to take back: it only reads.";

impl Builder<'_> {
    /// Puts its tasks into steps 6 and 7, and lets tasks that are there wait for them.
    pub(super) fn around(&self, steps: &mut [Step]) {
        let [.., six, seven, _] = steps else { return };
        let online = self.all_online();
        let switch = self.switched();
        let shutdown = Address::new(7, "shutdown", &self.d.sql_vm);
        if self.d.around.is_none() && self.d.prove.is_none() {
            return;
        }
        let check = self.check_servers().0;
        wait(seven, &Address::new(7, "gate", "cutover"), &check.address);
        six.tasks.insert(0, check);
        let mut new = vec![];
        for one in self.databases() {
            let Some(measure) = one.measure() else { continue };
            let measure = measure.0;
            for (kind, name) in [("person", "tail-backup"), ("backup", "tail")] {
                wait(six, &Address::new(6, kind, &one.own(name)), &measure.address);
            }
            let prove = one.prove(&measure.address).0;
            wait(seven, &switch, &prove.address);
            six.tasks.push(measure);
            new.push(prove);
        }
        let kinds = self.d.around.iter().flat_map(|a| &a.kinds);
        let tasks = kinds.flat_map(|kind| {
            let of = match kind {
                AroundKind::Users => self.each.len(),
                _ => 1,
            };
            self.databases()
                .take(of)
                .map(|one| (*kind, one.one_kind(*kind, &online).0))
        });
        let mut before: Option<Address> = None;
        for (kind, mut task) in tasks {
            task.after.extend(before.take());
            if kind == AroundKind::Jobs {
                task.after.extend(
                    new.iter()
                        .filter(|t| t.address.kind() == "prove")
                        .map(|t| t.address.clone()),
                );
            }
            if kind == AroundKind::Users {
                wait(seven, &switch, &task.address);
            }
            wait(seven, &shutdown, &task.address);
            before = Some(task.address.clone());
            new.push(task);
        }
        // They are shown where they happen: before the connection string is switched.
        let at = seven.tasks.iter().position(|t| t.address == switch);
        let at = at.unwrap_or(seven.tasks.len());
        seven.tasks.splice(at..at, new);
    }

    fn check_servers(&self) -> T {
        let d = self.d;
        task(
            6,
            "check-servers",
            &d.mi.name,
            "Both SQL Servers let Rehost in",
            "Signs in to the source and to the managed instance, and says what beside the database can't be moved.",
            Action::CheckServers {
                instance: self.mi(),
                admin: d.mi.admin_login.clone(),
                database: d.database.clone(),
                around: d.around.clone(),
            },
        )
        .after(&[&format!("1/managed-instance/{}", d.mi.name)])
        .why("A closed port or a missing right must be known before the change window, not in it.")
        .secs(5, 60, "a few requests")
        .back(READS)
        .nodes(&[format!("vm/{}", d.sql_vm), format!("mi/{}", d.mi.name)])
    }

    fn measure(&self) -> Option<T> {
        let d = self.d;
        let prove = d.prove.clone()?;
        let usual = match prove.rows {
            RowCount::Counted => (60, 900, "every table is read once; assumed for 42 GB"),
            RowCount::Metadata => (5, 30, "a few requests"),
        };
        let measure = task(
            6,
            "measure",
            &self.own("source"),
            &format!("Measure {} on the source", d.database),
            "Counts the rows of each table and the objects of each type, and computes the checksums that were chosen.",
            Action::MeasureDatabase {
                database: d.database.clone(),
                prove,
            },
        );
        Some(
            measure
                .after(&[&format!("6/check-stopped/{}", d.web_vm)])
                .why("Nobody writes any more, and nobody can read after the last backup: what is measured now must arrive.")
                .secs(usual.0, usual.1, usual.2)
                .back(READS)
                .nodes(&[format!("vm/{}", d.sql_vm)]),
        )
    }

    fn prove(&self, measure: &Address) -> T {
        let d = self.d;
        task(
            7,
            "prove",
            &self.own("database"),
            &format!("{} has arrived whole", d.database),
            "Measures the database on the managed instance and compares it with the source, table by table.",
            Action::ProveDatabase {
                instance: self.mi(),
                admin: d.mi.admin_login.clone(),
                database: d.database.clone(),
                prove: d.prove.clone().unwrap_or_default(),
            },
        )
        .after(&[&format!("6/check-database/{}", d.database)])
        .after_task(measure.clone())
        .why("After the application writes to the managed instance, nobody can tell any more whether a row was lost.")
        .secs(60, 900, "every table is read once; assumed for 42 GB")
        .back(READS)
        .nodes(&[format!("mi/{}", d.mi.name)])
    }

    fn one_kind(&self, kind: AroundKind, online: &[String]) -> T {
        let d = self.d;
        let why = match kind {
            AroundKind::Logins => {
                "They are not in the database. With their ids, users find them again; with their hashes, passwords stay."
            }
            AroundKind::Roles => "Who may do what on the server is not in the database either.",
            AroundKind::Credentials => "What can't be moved must be known before somebody misses it.",
            AroundKind::LinkedServers => "Code that uses them fails without them.",
            AroundKind::Users => "A user without a login is nobody: the application could not sign in.",
            AroundKind::Jobs => "What ran every night must go on doing so.",
        };
        let back = match kind {
            AroundKind::Logins => {
                "DROP LOGIN on the managed instance for each that the evidence names. The source is untouched."
            }
            AroundKind::Roles => {
                "ALTER SERVER ROLE … DROP MEMBER and REVOKE on the managed instance for each that the evidence names. The source is untouched."
            }
            AroundKind::Credentials => READS,
            AroundKind::LinkedServers => {
                "EXEC sp_dropserver on the managed instance for each that the evidence names. The source is untouched."
            }
            AroundKind::Users => {
                "ALTER USER … WITH LOGIN on the managed instance maps a user to another login. The source is untouched."
            }
            AroundKind::Jobs => {
                "EXEC msdb.dbo.sp_delete_job on the managed instance for each that the evidence names. The source is untouched."
            }
        };
        let words = kind.words();
        let (title, what) = match kind {
            AroundKind::Credentials => (
                format!("List {words}"),
                format!(
                    "Reads {words} on the source and says which are missing on the managed instance; their secrets can't be read."
                ),
            ),
            _ => (
                match kind {
                    AroundKind::Users if self.each.len() > 1 => format!("Move {words} of {}", d.database),
                    _ => format!("Move {words}"),
                },
                format!(
                    "Reads {words} on the source, makes those that the managed instance lacks, and lists what can't be moved."
                ),
            ),
        };
        task(
            7,
            "around",
            &self.own(kind.id()),
            &title,
            &what,
            Action::MoveAround {
                kind,
                instance: self.mi(),
                admin: d.mi.admin_login.clone(),
                database: d.database.clone(),
                around: d.around.clone().unwrap_or_default(),
            },
        )
        .after(&online.iter().map(String::as_str).collect::<Vec<_>>())
        .why(why)
        .secs(5, 60, "a few requests")
        .back(back)
        .nodes(&[format!("vm/{}", d.sql_vm), format!("mi/{}", d.mi.name)])
    }
}

/// Lets a task wait for another one, if it is there.
pub(super) fn wait(step: &mut Step, who: &Address, on: &Address) {
    if let Some(t) = step.tasks.iter_mut().find(|t| t.address == *who) {
        t.after.push(on.clone());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        around::{AroundDesign, ProveDesign},
        graph, smarthotel,
        task::Plan,
    };

    fn planned(design: &Design) -> Plan {
        graph::plan(design, "s", &Inventory::default()).unwrap()
    }

    #[test]
    fn by_choice_and_in_the_right_order() {
        let without = planned(&smarthotel::design());
        assert!(
            !without
                .tasks()
                .any(|t| matches!(t.address.kind(), "around" | "measure" | "prove"))
        );
        let both = Design {
            around: Some(AroundDesign::default()),
            prove: Some(ProveDesign::default()),
            ..smarthotel::design()
        };
        for method in [
            DatabaseMethod::LogReplay,
            DatabaseMethod::DmsOnline,
            DatabaseMethod::DmsOffline,
        ] {
            let plan = planned(&Design {
                database_method: method,
                ..both.clone()
            });
            let after = |who: &str, on: &str| {
                let task = plan.task(&who.parse().unwrap()).unwrap_or_else(|| panic!("{who}"));
                assert!(
                    task.after.contains(&on.parse().unwrap()),
                    "{who} must wait for {on}: {:?}",
                    task.after
                );
            };
            after("step-6/person/tail-backup", "step-6/measure/source");
            after("step-6/measure/source", "step-6/check-stopped/WEBVM");
            after("step-7/gate/cutover", "step-6/check-servers/contoso-sqlmi");
            after(
                "step-6/check-servers/contoso-sqlmi",
                "step-1/managed-instance/contoso-sqlmi",
            );
            after("step-7/prove/database", "step-6/check-database/SmartHotelDB");
            after("step-7/around/roles", "step-7/around/logins");
            after("step-7/around/users", "step-7/around/linked-servers");
            after("step-7/around/jobs", "step-7/prove/database");
            for on in ["step-7/prove/database", "step-7/around/users"] {
                after("step-7/run-command/switch-connection", on);
            }
            for kind in AroundKind::ALL {
                after("step-7/shutdown/SQLVM", &format!("step-7/around/{}", kind.id()));
            }
            let new = plan
                .tasks()
                .filter(|t| matches!(t.address.kind(), "around" | "measure" | "prove"));
            for t in new {
                assert!(
                    !t.why.is_empty() && !t.calls.is_empty() && !t.no_return,
                    "{}",
                    t.address
                );
            }
        }
        let logins = AroundDesign {
            kinds: vec![AroundKind::Logins],
            ..AroundDesign::default()
        };
        let plan = planned(&Design {
            around: Some(logins),
            ..smarthotel::design()
        });
        assert_eq!(plan.tasks().filter(|t| t.address.kind() == "around").count(), 1);
        assert!(!plan.tasks().any(|t| t.address.kind() == "prove"));
    }
}
