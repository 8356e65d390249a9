//! The certificate of an encrypted database (TDE), which Rehost brings to the managed instance by choice.
//!
//! It is there before backups and target are looked at together, and so before the restore is started. A managed instance
//! takes it through the resource manager alone (`tdeCertificates`), and shows it nowhere: that it is there, is what the
//! journal says of the operation's end.

use super::builder::*;

impl Builder<'_> {
    /// Puts its tasks into step 6, and lets the look before each restore wait for its own. One comes after the other: databases
    /// often share a certificate, and what was brought is not brought again.
    pub(super) fn certificate(&self, steps: &mut [Step]) {
        let Some(six) = steps.get_mut(5).filter(|_| self.d.certificate) else {
            return;
        };
        let mut before = None;
        for one in self.databases() {
            let looks = |t: &Task| {
                matches!(t.action, Action::CheckSource { backups: true, .. }) && t.address.name() == one.d.database
            };
            let mut bring = one.bring_certificate().0;
            bring.after.extend(before.replace(bring.address.clone()));
            for look in six.tasks.iter_mut().filter(|t| looks(t)) {
                look.after.push(bring.address.clone());
            }
            let at = six.tasks.iter().position(looks).unwrap_or(0);
            six.tasks.insert(at, bring);
        }
    }

    fn bring_certificate(&self) -> T {
        let d = self.d;
        let database = &d.database;
        task(
            6,
            "certificate",
            database,
            &format!("Bring the certificate of {database}"),
            &format!(
                "Reads the certificate that encrypts {database} and its private key from SQL Server, in memory only, and hands both to {}.",
                d.mi.name
            ),
            Action::BringCertificate {
                instance: self.mi(),
                database: database.clone(),
            },
        )
        .after(&[&format!("1/managed-instance/{}", d.mi.name)])
        .why("Without it the backup of an encrypted database can't be restored. Where the database is not encrypted, nothing is done.")
        .secs(60, 600, NOT_PUBLISHED)
        .back("The certificate stays on the managed instance: Azure documents no call that takes it away. It serves the restore alone; soon after it, the instance protects the database by a key of its own. The source is untouched.")
        .nodes(&[format!("vm/{}", d.sql_vm), format!("mi/{}", d.mi.name)])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{backup::BackupDesign, graph, smarthotel};

    #[test]
    fn by_choice_it_is_there_before_the_restore_whoever_backs_up() {
        const BRING: &str = "step-6/certificate/SmartHotelDB";
        let planned = |d: &Design| graph::plan(d, "s", &Inventory::default()).unwrap();
        assert!(planned(&smarthotel::design()).task(&BRING.parse().unwrap()).is_none());
        for backups in [None, Some(BackupDesign::default())] {
            for database_method in [
                DatabaseMethod::LogReplay,
                DatabaseMethod::DmsOnline,
                DatabaseMethod::DmsOffline,
            ] {
                let plan = planned(&Design {
                    certificate: true,
                    backups: backups.clone(),
                    database_method,
                    ..smarthotel::design()
                });
                let of = |address: &str| plan.task(&address.parse().unwrap()).unwrap();
                let bring = of(BRING);
                assert!(
                    bring
                        .after
                        .contains(&"step-1/managed-instance/contoso-sqlmi".parse().unwrap())
                );
                assert_eq!(
                    bring.rights,
                    ["azure:Microsoft.Sql/managedInstances/tdeCertificates/action"]
                );
                assert!(of("step-6/check-backups/SmartHotelDB").after.contains(&bring.address));
                // The first backup need not wait for the managed instance.
                assert!(!of("step-6/check-source/SmartHotelDB").after.contains(&bring.address));
            }
        }
    }

    #[test]
    fn of_several_databases_one_after_the_other() {
        let plan = graph::plan(
            &Design {
                certificate: true,
                further_databases: vec!["Reports".into()],
                ..smarthotel::design()
            },
            "s",
            &Inventory::default(),
        )
        .unwrap();
        let waits = |who: &str, on: &str| {
            let task = plan.task(&who.parse().unwrap()).unwrap();
            assert!(task.after.contains(&on.parse().unwrap()), "{who} waits for {on}");
        };
        waits("step-6/certificate/Reports", "step-6/certificate/SmartHotelDB");
        for name in ["SmartHotelDB", "Reports"] {
            waits(
                &format!("step-6/check-backups/{name}"),
                &format!("step-6/certificate/{name}"),
            );
        }
    }
}
