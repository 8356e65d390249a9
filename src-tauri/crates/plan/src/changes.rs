//! What differs between two inventories, and how one is laid over another.
//!
//! A machine is the same if it has the same reference in the same vCenter, or the same instance UUID, as after it was
//! registered anew; a machine that was imported without either is known by its name. Compared is what a migration depends
//! on: not the ESXi host and the used space, which change by themselves from hour to hour.

use crate::inventory::{Inventory, Vm};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;

/// References of machines that came from a file without them begin so; their name follows.
pub const IMPORTED: &str = "import/";

/// What a new inventory changes.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ts_rs::TS)]
#[serde(rename_all = "camelCase")]
#[ts(export)]
pub struct InventoryChanges {
    pub added: Vec<VmName>,
    pub removed: Vec<VmName>,
    pub changed: Vec<VmChange>,
}

impl InventoryChanges {
    pub fn is_empty(&self) -> bool {
        self.added.is_empty() && self.removed.is_empty() && self.changed.is_empty()
    }
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ts_rs::TS)]
#[serde(rename_all = "camelCase")]
#[ts(export)]
pub struct VmName {
    pub moref: String,
    pub name: String,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ts_rs::TS)]
#[serde(rename_all = "camelCase")]
#[ts(export)]
pub struct VmChange {
    /// As it is now.
    pub moref: String,
    pub name: String,
    pub fields: Vec<FieldChange>,
}

/// One field. An empty text is a value that is not known.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ts_rs::TS)]
#[serde(rename_all = "camelCase")]
#[ts(export)]
pub struct FieldChange {
    pub field: VmField,
    pub before: String,
    pub after: String,
}

/// What is compared: fields of [`Vm`], and of its details where both have them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ts_rs::TS)]
#[serde(rename_all = "camelCase")]
#[ts(export)]
pub enum VmField {
    Name,
    Moref,
    PowerState,
    ConnectionState,
    GuestFullName,
    HostName,
    IpAddress,
    Cpus,
    MemoryMib,
    DiskCount,
    NicCount,
    Firmware,
    SecureBoot,
    ToolsStatus,
    Template,
    Cluster,
    Datacenter,
    Readiness,
    Disks,
    Networks,
    Snapshots,
}

/// Compares two inventories.
pub fn changes(before: &Inventory, after: &Inventory) -> InventoryChanges {
    let pairs = same(before, after);
    let mut gone = vec![true; before.vms.len()];
    let mut out = InventoryChanges::default();
    for (vm, old) in after.vms.iter().zip(pairs) {
        match old {
            None => out.added.push(named(vm)),
            Some(old) => {
                gone[old] = false;
                let fields = fields(&before.vms[old], vm);
                if !fields.is_empty() {
                    out.changed.push(VmChange {
                        moref: vm.moref.clone(),
                        name: vm.name.clone(),
                        fields,
                    });
                }
            }
        }
    }
    let gone = before.vms.iter().zip(gone).filter(|(_, gone)| *gone);
    out.removed = gone.map(|(vm, _)| named(vm)).collect();
    out
}

/// Lays an imported inventory over the one that is kept, and says whether it replaces it: what comes from another vCenter
/// does, everything else adds machines and what a file knows of them. A file may be a part, so nothing is removed.
pub fn merged(kept: Option<&Inventory>, imported: Inventory) -> (Inventory, bool) {
    let Some(kept) = kept.filter(|k| !k.vms.is_empty()) else {
        return (imported, true);
    };
    if known(&kept.vcenter_uuid, &imported.vcenter_uuid) && kept.vcenter_uuid != imported.vcenter_uuid {
        return (imported, true);
    }
    let pairs = same(kept, &imported);
    let mut out = kept.clone();
    for (vm, old) in imported.vms.into_iter().zip(pairs) {
        match old {
            Some(old) => lay_over(&mut out.vms[old], vm),
            None => out.vms.push(vm),
        }
    }
    for host in imported.hosts {
        if !out.hosts.iter().any(|h| h.name == host.name) {
            out.hosts.push(host);
        }
    }
    if out.vcenter_uuid.is_empty() {
        (out.vcenter_uuid, out.api_version) = (imported.vcenter_uuid, imported.api_version);
    }
    (out, false)
}

fn named(vm: &Vm) -> VmName {
    VmName {
        moref: vm.moref.clone(),
        name: vm.name.clone(),
    }
}

fn known(a: &str, b: &str) -> bool {
    !a.is_empty() && !b.is_empty()
}

/// For each machine of `after` the index of the same machine in `before`.
fn same(before: &Inventory, after: &Inventory) -> Vec<Option<usize>> {
    let one_vcenter = !known(&before.vcenter_uuid, &after.vcenter_uuid) || before.vcenter_uuid == after.vcenter_uuid;
    let by = |key: fn(&Vm) -> Option<String>| -> HashMap<String, Option<usize>> {
        let mut map = HashMap::new();
        for (i, vm) in before.vms.iter().enumerate() {
            if let Some(key) = key(vm) {
                // What stands twice identifies nothing.
                map.entry(key).and_modify(|at| *at = None).or_insert(Some(i));
            }
        }
        map
    };
    let uuid = |vm: &Vm| vm.instance_uuid.as_ref().map(|u| u.to_ascii_lowercase());
    let name = |vm: &Vm| Some(vm.name.to_lowercase());
    let (morefs, uuids, names) = (by(|vm| Some(vm.moref.clone())), by(uuid), by(name));
    let mut free = vec![true; before.vms.len()];
    let mut out: Vec<Option<usize>> = vec![None; after.vms.len()];
    let mut pass = |find: &dyn Fn(&Vm) -> Option<usize>| {
        for (vm, at) in after.vms.iter().zip(&mut out) {
            if at.is_none()
                && let Some(old) = find(vm).filter(|old| free[*old])
            {
                free[old] = false;
                *at = Some(old);
            }
        }
    };
    let other_machine = |vm: &Vm, old: usize| {
        let (a, b) = (uuid(vm), uuid(&before.vms[old]));
        a.is_some() && b.is_some() && a != b
    };
    pass(&|vm| {
        let old = *morefs.get(&vm.moref)?;
        old.filter(|old| one_vcenter && !other_machine(vm, *old))
    });
    pass(&|vm| *uuids.get(&uuid(vm)?)?);
    pass(&|vm| {
        let old = (*names.get(&name(vm)?)?)?;
        let imported = |vm: &Vm| vm.moref.starts_with(IMPORTED);
        ((imported(vm) || imported(&before.vms[old])) && !other_machine(vm, old)).then_some(old)
    });
    out
}

fn fields(before: &Vm, after: &Vm) -> Vec<FieldChange> {
    let mut out = Vec::new();
    let mut add = |field, before: String, after: String| {
        if before != after {
            out.push(FieldChange { field, before, after });
        }
    };
    let text = |t: &Option<String>| t.clone().unwrap_or_default();
    let mut compare = |field, of: &dyn Fn(&Vm) -> String| add(field, of(before), of(after));
    compare(VmField::Name, &|v| v.name.clone());
    compare(VmField::Moref, &|v| v.moref.clone());
    compare(VmField::PowerState, &|v| v.power_state.clone());
    compare(VmField::ConnectionState, &|v| text(&v.connection_state));
    compare(VmField::GuestFullName, &|v| text(&v.guest_full_name));
    compare(VmField::HostName, &|v| text(&v.host_name));
    compare(VmField::IpAddress, &|v| text(&v.ip_address));
    compare(VmField::Cpus, &|v| v.cpus.to_string());
    compare(VmField::MemoryMib, &|v| format!("{} MiB", v.memory_mib));
    compare(VmField::DiskCount, &|v| v.disk_count.to_string());
    compare(VmField::NicCount, &|v| v.nic_count.to_string());
    compare(VmField::Firmware, &|v| text(&v.firmware));
    compare(VmField::SecureBoot, &|v| {
        v.secure_boot.map(|s| s.to_string()).unwrap_or_default()
    });
    compare(VmField::ToolsStatus, &|v| text(&v.tools_status));
    compare(VmField::Template, &|v| v.template.to_string());
    compare(VmField::Cluster, &|v| text(&v.cluster));
    compare(VmField::Datacenter, &|v| text(&v.datacenter));
    // A discovery reads neither for all machines: what is not known now has not changed.
    if before.readiness.is_some() && after.readiness.is_some() {
        compare(VmField::Readiness, &|v| text(&v.readiness));
    }
    if let (Some(_), Some(_)) = (&before.details, &after.details) {
        let of = |v: &Vm, list: &dyn Fn(&crate::inventory::VmDetails) -> Vec<String>| {
            v.details.as_ref().map(|d| list(d).join(", ")).unwrap_or_default()
        };
        compare(VmField::Disks, &|v| {
            of(v, &|d| {
                let gib = |bytes: u64| format!("{:.1} GiB", bytes as f64 / f64::from(1 << 30));
                d.disks.iter().map(|d| gib(d.capacity_bytes)).collect()
            })
        });
        compare(VmField::Networks, &|v| {
            of(v, &|d| d.nics.iter().filter_map(|n| n.network.clone()).collect())
        });
        compare(VmField::Snapshots, &|v| {
            of(v, &|d| d.snapshots.iter().map(|s| s.name.clone()).collect())
        });
    }
    out
}

/// What the file says counts; what it doesn't say stays.
fn lay_over(vm: &mut Vm, with: Vm) {
    let some = |at: &mut Option<String>, with: Option<String>| {
        if with.is_some() {
            *at = with;
        }
    };
    if !with.moref.starts_with(IMPORTED) {
        vm.moref = with.moref;
    }
    vm.name = with.name;
    if !with.power_state.is_empty() {
        vm.power_state = with.power_state;
    }
    // A name from the file must not stand beside the id of another system.
    if with.guest_full_name.is_some() && with.guest_full_name != vm.guest_full_name {
        vm.guest_id = with.guest_id;
    }
    some(&mut vm.instance_uuid, with.instance_uuid);
    some(&mut vm.connection_state, with.connection_state);
    some(&mut vm.guest_full_name, with.guest_full_name);
    some(&mut vm.host_name, with.host_name);
    some(&mut vm.ip_address, with.ip_address);
    some(&mut vm.firmware, with.firmware);
    some(&mut vm.tools_status, with.tools_status);
    some(&mut vm.host, with.host);
    some(&mut vm.cluster, with.cluster);
    some(&mut vm.datacenter, with.datacenter);
    vm.secure_boot = with.secure_boot.or(vm.secure_boot);
    vm.template |= with.template;
    vm.details = with.details.or(vm.details.take());
    let count = |at: &mut u32, with: u32| {
        if with > 0 {
            *at = with;
        }
    };
    count(&mut vm.cpus, with.cpus);
    count(&mut vm.disk_count, with.disk_count);
    count(&mut vm.nic_count, with.nic_count);
    for (at, with) in [
        (&mut vm.memory_mib, with.memory_mib),
        (&mut vm.storage_bytes, with.storage_bytes),
    ] {
        if with > 0 {
            *at = with;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inventory::{Disk, VmDetails};

    fn vm(moref: &str, name: &str, uuid: &str) -> Vm {
        Vm {
            moref: moref.into(),
            name: name.into(),
            instance_uuid: (!uuid.is_empty()).then(|| uuid.into()),
            cpus: 2,
            memory_mib: 4096,
            ..Vm::default()
        }
    }

    fn inventory(vcenter: &str, vms: Vec<Vm>) -> Inventory {
        Inventory {
            vcenter_uuid: vcenter.into(),
            vms,
            ..Inventory::default()
        }
    }

    fn names(list: &[VmName]) -> Vec<&str> {
        list.iter().map(|v| v.name.as_str()).collect()
    }

    fn changed(found: &InventoryChanges) -> Vec<(&str, Vec<VmField>)> {
        found
            .changed
            .iter()
            .map(|c| (c.name.as_str(), c.fields.iter().map(|f| f.field).collect()))
            .collect()
    }

    #[test]
    fn what_came_what_went_and_what_changed() {
        let before = inventory(
            "vc",
            vec![vm("vm-1", "WEB", "a"), vm("vm-2", "SQL", "b"), vm("vm-3", "OLD", "c")],
        );
        let mut web = vm("vm-1", "WEB", "a");
        (web.memory_mib, web.host, web.storage_bytes) = (8192, Some("other".into()), 7);
        let after = inventory("vc", vec![web, vm("vm-2", "SQL", "b"), vm("vm-4", "NEW", "d")]);
        let found = changes(&before, &after);
        assert_eq!(names(&found.added), ["NEW"]);
        assert_eq!(names(&found.removed), ["OLD"]);
        assert_eq!(
            found.changed[0].fields,
            [FieldChange {
                field: VmField::MemoryMib,
                before: "4096 MiB".into(),
                after: "8192 MiB".into()
            }],
            "host and space change by themselves"
        );
        assert_eq!(found.changed.len(), 1);
        assert!(changes(&after, &after).is_empty());
    }

    #[test]
    fn a_machine_that_was_registered_anew_is_the_same() {
        let before = inventory("vc", vec![vm("vm-1", "WEB", "A-1")]);
        let after = inventory("vc", vec![vm("vm-9", "WEB", "a-1")]);
        let found = changes(&before, &after);
        assert_eq!((found.added.len(), found.removed.len()), (0, 0));
        assert_eq!(changed(&found), [("WEB", vec![VmField::Moref])]);
    }

    #[test]
    fn the_same_reference_elsewhere_is_another_machine() {
        let before = inventory("vc-a", vec![vm("vm-1", "WEB", "")]);
        let other_vcenter = changes(&before, &inventory("vc-b", vec![vm("vm-1", "WEB", "")]));
        assert_eq!((other_vcenter.added.len(), other_vcenter.removed.len()), (1, 1));
        let before = inventory("vc", vec![vm("vm-1", "WEB", "a")]);
        let reused = changes(&before, &inventory("vc", vec![vm("vm-1", "DB", "b")]));
        assert_eq!((reused.added.len(), reused.removed.len()), (1, 1));
    }

    #[test]
    fn an_instance_uuid_that_stands_twice_identifies_nothing() {
        let before = inventory("vc", vec![vm("vm-1", "A", "x"), vm("vm-2", "B", "x")]);
        let after = inventory("vc", vec![vm("vm-3", "A", "x")]);
        assert_eq!(changes(&before, &after).removed.len(), 2);
    }

    #[test]
    fn details_are_compared_only_where_both_have_them() {
        let with = |bytes| {
            let mut vm = vm("vm-1", "WEB", "a");
            vm.details = Some(VmDetails {
                disks: vec![Disk {
                    capacity_bytes: bytes,
                    ..Disk::default()
                }],
                ..VmDetails::default()
            });
            inventory("vc", vec![vm])
        };
        let without = inventory("vc", vec![vm("vm-1", "WEB", "a")]);
        assert!(changes(&with(1 << 30), &without).is_empty());
        let found = changes(&with(1 << 30), &with(2 << 30));
        assert_eq!(changed(&found), [("WEB", vec![VmField::Disks])]);
    }

    #[test]
    fn an_import_adds_and_completes_and_removes_nothing() {
        let mut web = vm("vm-1", "WEB", "a");
        (web.guest_id, web.guest_full_name) =
            (Some("windows9Server64Guest".into()), Some("Windows Server 2016".into()));
        let kept = inventory("vc", vec![web, vm("vm-2", "SQL", "b")]);
        let mut row = vm("import/web", "web", "");
        (row.cpus, row.guest_full_name) = (0, Some("Microsoft Windows Server 2022 (64-bit)".into()));
        let file = inventory("", vec![row, vm("import/new", "new", "")]);
        let (out, replaces) = merged(Some(&kept), file.clone());
        assert!(!replaces);
        assert_eq!(out.vms.len(), 3);
        let web = &out.vms[0];
        assert_eq!((web.moref.as_str(), web.cpus, &web.guest_id), ("vm-1", 2, &None));
        assert_eq!(out.vcenter_uuid, "vc");
        assert_eq!(names(&changes(&kept, &out).added), ["new"]);
        let elsewhere = inventory("vc-b", vec![vm("vm-1", "X", "")]);
        assert_eq!(merged(Some(&kept), elsewhere.clone()), (elsewhere, true));
        assert_eq!(merged(None, file.clone()), (file, true));
    }
}
