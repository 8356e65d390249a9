//! What is known to fail late is looked for once more in the run: a source can change after the plan was approved, and much
//! can be seen only then, because nothing was there before.
//!
//! * Before the first backup: the source, the place of the backups as SQL Server reaches it, the account's firewall.
//! * Before the restore is started: all of that again, the managed instance, the backups themselves, and the SAS.

use super::{around::wait, builder::*};

impl Builder<'_> {
    /// Puts its tasks into step 6, and lets backup and start wait for them.
    pub(super) fn source(&self, steps: &mut [Step]) {
        let Some(six) = steps.get_mut(5) else { return };
        let all: Vec<Builder> = self.databases().collect();
        // The first tasks of the step, in the order of the databases.
        for one in all.iter().rev() {
            one.source_of(six);
        }
    }

    fn source_of(&self, six: &mut Step) {
        let first = self.check_source(
            "check-source",
            "The source can be moved as it is now",
            "Reads the source again, tries the place of the backups, and judges what is found by the rules.",
            false,
        );
        let storage = format!("2/storage/{}", self.d.backup_account);
        let first = first
            .after(&[&storage])
            .why("The source can have changed since the plan was approved; what fails late must be found before the first backup.")
            .0;
        for (kind, name) in [("person", "full-backup"), ("backup", "full")] {
            wait(six, &Address::new(6, kind, &self.own(name)), &first.address);
        }
        let starts = |t: &Task| {
            matches!(t.action, Action::StartLogReplay { .. } | Action::StartDms { .. })
                && t.address.name() == self.d.database
        };
        let mut second = self
            .check_source(
                "check-backups",
                "Backups and target fit each other",
                "Reads what lies in the place of the backups, the managed instance and the source, and judges it by the rules.",
                true,
            )
            .why("The services find most of this only hours after their start, and say little.")
            .0;
        if let Some(start) = six.tasks.iter_mut().find(|t| starts(t)) {
            second.after.clone_from(&start.after);
            start.after.push(second.address.clone());
        }
        let at = six.tasks.iter().position(starts).unwrap_or(six.tasks.len());
        six.tasks.insert(at, second);
        six.tasks.insert(0, first);
    }

    fn check_source(&self, kind: &str, title: &str, what: &str, backups: bool) -> T {
        let d = self.d;
        // Before the first backup a database's own folder is not there yet.
        let place = if backups { d } else { self.whole };
        let share = if d.from_share() {
            place.dms.share_path.clone()
        } else {
            String::new()
        };
        task(
            6,
            kind,
            &d.database,
            &self.own_title(title),
            what,
            Action::CheckSource {
                instance: self.mi(),
                admin: d.mi.admin_login.clone(),
                storage_gib: d.mi.storage_gib,
                account: self.account(&d.backup_account),
                container: place.backup_container.clone(),
                subnet: self.vnet(&d.mi.network).child("subnets", &d.mi.subnet),
                share,
                database: d.database.clone(),
                along: self
                    .whole
                    .databases()
                    .filter(|n| *n != d.database)
                    .map(str::to_owned)
                    .collect(),
                method: d.database_method,
                pack: d.rule_pack.clone(),
                backups,
                certificate: d.certificate,
            },
        )
        .secs(10, 60, "a few requests")
        .back("Nothing to take back: it only reads.")
        .nodes(&[format!("vm/{}", d.sql_vm), format!("mi/{}", d.mi.name)])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{design::BackupSource, graph, smarthotel};

    #[test]
    fn nothing_is_backed_up_or_started_before_it_was_looked_at() {
        for method in [
            DatabaseMethod::LogReplay,
            DatabaseMethod::DmsOnline,
            DatabaseMethod::DmsOffline,
        ] {
            for source in [BackupSource::Blob, BackupSource::Share] {
                let mut design = Design {
                    database_method: method,
                    ..smarthotel::design()
                };
                design.dms.source = source;
                let plan = graph::plan(&design, "s", &Inventory::default()).unwrap();
                let of = |address: &str| plan.task(&address.parse().unwrap()).unwrap();
                let waits = |who: &str, on: &str| {
                    assert!(of(who).after.contains(&on.parse().unwrap()), "{who} waits for {on}");
                };
                let (source, backups) = ("step-6/check-source/SmartHotelDB", "step-6/check-backups/SmartHotelDB");
                waits("step-6/person/full-backup", source);
                let starts: Vec<&Task> = plan
                    .tasks()
                    .filter(|t| matches!(t.action, Action::StartLogReplay { .. } | Action::StartDms { .. }))
                    .collect();
                assert_eq!(starts.len(), 1);
                waits(&starts[0].address.to_string(), backups);
                let last = match method {
                    DatabaseMethod::DmsOffline => "step-6/person/tail-backup",
                    _ => "step-6/person/full-backup",
                };
                waits(backups, last);
                waits(backups, "step-1/managed-instance/contoso-sqlmi");
            }
        }
    }
}
