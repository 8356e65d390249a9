//! What is wrong in the datacenter from the start, when a fault script wants it so, until somebody cures it: each of it is
//! known to fail a migration late. And what people back up, written into msdb as SQL Server does.

use jiff::Timestamp;
use serde::Deserialize;

use super::{
    certificate,
    data::{Instance, civil, int, text},
    managed,
};
use crate::{
    LabError,
    cloud::Blob,
    people::{self, DATABASE},
    world::World,
};

/// Another database's backup, in the wrong folder.
pub(crate) const STRANGER: &str = "Payroll_full_01.bak";

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Defect {
    /// SmartHotelDB has a memory-optimised file group; the cure is to move its tables out and to rebuild it without.
    MemoryOptimised,
    /// SmartHotelDB is encrypted (TDE); the cure is to bring the certificate to the managed instance.
    Encrypted,
    /// SmartHotelDB is contained; the cure is to allow that on the managed instance.
    Contained,
    /// The source is SQL Server 2025; the cure is the update policy of the managed instance.
    Newer,
    /// SmartHotelDB has grown beyond the managed instance's storage; the cure is to shrink it.
    Outgrown,
    /// People back up without CHECKSUM; the cure is to back up once more.
    Unchecked,
    /// The backup of another database goes into the same folder; the cure is to take it away.
    Stranger,
    /// The second log backup is moved away as soon as it is there; the cure is to bring it back.
    MovedAway,
    /// The file server does not answer; nothing is known of the share; SQL Server may not open it.
    FileServerSilent,
    ShareGone,
    ShareDenied,
    /// A firewall closes SQL Server's port.
    PortClosed,
    /// It is Express, a named instance without TCP/IP.
    NoTcp,
}

impl World {
    /// The defects of the fault script begin to stand, unless somebody has cured them. Returns whether the scenario's own
    /// instance listens, and its name when it must be asked for by it.
    pub(crate) fn begin_defects(&mut self) -> Result<(bool, Option<String>), LabError> {
        let all = self.trouble.begin_defects();
        for defect in &all {
            self.defect(*defect, true)?;
        }
        let listens = !all.iter().any(|d| matches!(d, Defect::PortClosed | Defect::NoTcp));
        let instance = &self.onprem.instances[0].spec.instance;
        Ok((listens, (!instance.is_empty()).then(|| instance.clone())))
    }

    /// A defect begins to stand, or is cured.
    pub(crate) fn defect(&mut self, defect: Defect, on: bool) -> Result<(), LabError> {
        let now = self.now();
        let Some(source) = self.onprem.instances.first_mut() else {
            return Ok(());
        };
        let sql = &mut self.onprem.sql;
        let mut spec = source.spec.clone();
        let Some(database) = spec.databases.iter_mut().find(|d| d.name == DATABASE) else {
            return Ok(());
        };
        match defect {
            Defect::MemoryOptimised => database.memory_optimised = on,
            Defect::Outgrown => database.data_mib = if on { 1 << 20 } else { 512 },
            Defect::Encrypted if on => database.certificate = certificate::NAME,
            Defect::Contained if on => database.contained = true,
            Defect::Newer if on => spec.year = 2025,
            Defect::NoTcp if on => {
                spec.instance = "SQLEXPRESS".into();
                spec.edition = "Express Edition (64-bit)";
                spec.tcp = false;
            }
            Defect::NoTcp => spec.tcp = true,
            Defect::Encrypted | Defect::Contained | Defect::Newer => return self.adapt_target(defect),
            Defect::FileServerSilent => {
                sql.share_gone = on.then_some("53(The network path was not found.)");
                return Ok(());
            }
            Defect::ShareGone => {
                sql.share_gone = on.then_some("67(The network name cannot be found.)");
                return Ok(());
            }
            Defect::ShareDenied => {
                sql.share_gone = on.then_some("5(Access is denied.)");
                return Ok(());
            }
            Defect::PortClosed => {
                source.cut();
                return source.listen(!on);
            }
            Defect::Unchecked | Defect::Stranger | Defect::MovedAway => {
                if on {
                    self.people.careless = Some(defect);
                } else {
                    people::correct(self);
                }
                return Ok(());
            }
        }
        let (listened, listens) = (source.spec.tcp, spec.tcp);
        let new = Instance::new(spec, now)?;
        let source = &mut self.onprem.instances[0];
        source.become_other(new);
        if listened != listens {
            source.listen(listens)?;
        }
        Ok(())
    }

    /// The managed instance gets what a database of the source needs.
    fn adapt_target(&mut self, defect: Defect) -> Result<(), LabError> {
        let instances = &mut self.onprem.instances;
        match (defect, instances.get_mut(managed::PLACE)) {
            (Defect::Encrypted, _) => {
                self.managed.certificates.insert(certificate::thumbprint());
            }
            (Defect::Contained, Some(target)) => {
                let name = || text("contained database authentication");
                target.update("sys.configurations", "value", int(1), "name", name());
                target.update("sys.configurations", "value_in_use", int(1), "name", name());
            }
            (Defect::Newer, _) => crate::arm::sql::set_update_policy(self, "AlwaysUpToDate"),
            _ => {}
        }
        Ok(())
    }
}

impl Instance {
    /// Opens its port, at once, or closes it, soon.
    fn listen(&mut self, on: bool) -> Result<(), LabError> {
        let port = self.port;
        let bind = |source| LabError::Bind {
            service: "SQL Server",
            port,
            source,
        };
        let tcp = match on {
            true => Some(super::bound(port).map_err(bind)?),
            false => None,
        };
        if let Some(listener) = &self.listener {
            // It is gone with the lab.
            let _ = listener.send(tcp);
        }
        Ok(())
    }

    /// Its connections end; new ones are taken.
    pub(crate) fn cut(&mut self) {
        std::mem::take(&mut self.cut).cancel();
    }

    /// Writes a backup that a person took into msdb.
    pub(crate) fn note_backup(
        &mut self,
        database: &str,
        kind: &str,
        device: &str,
        at: Timestamp,
        file: &Blob,
        checksum: bool,
    ) {
        let id = self.count("msdb.dbo.backupset") + 1;
        let lsn = |n: u64| text(&format!("{}", 34_000_001_000_000_000_u64 + n * 1_000));
        let end = text(&civil(at).to_string());
        self.add(
            "msdb.dbo.backupset",
            &[
                ("backup_set_id", int(id)),
                ("media_set_id", int(id)),
                ("database_name", text(database)),
                ("type", text(kind)),
                ("backup_start_date", end.clone()),
                ("backup_finish_date", end),
                ("first_lsn", lsn(file.log.0)),
                ("last_lsn", lsn(file.log.1)),
                ("database_backup_lsn", lsn(0)),
                ("has_backup_checksums", int(i64::from(checksum))),
                ("is_copy_only", int(0)),
                ("is_damaged", int(0)),
                ("recovery_model", text("FULL")),
                ("backup_size", int((file.size * 2).cast_signed())),
                ("compressed_backup_size", int(file.size.cast_signed())),
            ],
        );
        self.add(
            "msdb.dbo.backupmediafamily",
            &[
                ("media_set_id", int(id)),
                ("family_sequence_number", int(1)),
                ("physical_device_name", text(device)),
                ("device_type", int(if device.starts_with("https") { 9 } else { 2 })),
            ],
        );
    }

    /// All of its backups have their checksum.
    pub(crate) fn check_backups(&mut self) {
        let _ = self
            .engine
            .execute("UPDATE \"msdb.dbo.backupset\" SET has_backup_checksums = 1", []);
    }
}
