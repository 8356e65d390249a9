//! Least privileges in vCenter, as dated data: what the account of each replication method must be allowed, and what our own
//! account needs for each task of a plan.
//!
//! Microsoft's pages give display names; the ids are VMware's. The documents of 2019 and 2020 print three that no vCenter
//! knows (`Datastore.LowLevelFileOperations`, `VirtualMachine.Configuration.DiskChangeTracking`,
//! `VirtualMachine.SnapshotManagement.*`): they are not here. Which ids a server has depends on its version, so that a list
//! may hold `X.*` and ids that are missing there; [`expand`] tells both.

use crate::{
    address::Address,
    design::ReplicationMethod,
    task::{Action, Plan},
};
use serde::{Deserialize, Serialize};

/// What one account must be allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Privileges {
    /// What it is for.
    pub name: &'static str,
    lists: &'static [&'static [&'static str]],
    /// Where the role is granted.
    pub place: &'static str,
    /// Privileges that are needed on the vCenter itself as well.
    pub root: &'static [&'static str],
    /// Microsoft's page and its date.
    pub source: &'static str,
}

const CLASSIC: &[&str] = &[
    "Datastore.AllocateSpace",
    "Datastore.Browse",
    "Datastore.FileManagement",
    "Datastore.DeleteFile",
    "Datastore.UpdateVirtualMachineFiles",
    "Network.Assign",
    "Resource.AssignVMToPool",
    "Resource.ColdMigrate",
    "Resource.HotMigrate",
    "Task.Create",
    "Task.Update",
    "VirtualMachine.Config.*",
    "VirtualMachine.Interact.AnswerQuestion",
    "VirtualMachine.Interact.DeviceConnection",
    "VirtualMachine.Interact.SetCDMedia",
    "VirtualMachine.Interact.SetFloppyMedia",
    "VirtualMachine.Interact.PowerOff",
    "VirtualMachine.Interact.PowerOn",
    "VirtualMachine.Interact.ToolsInstall",
    "VirtualMachine.Inventory.Create",
    "VirtualMachine.Inventory.Register",
    "VirtualMachine.Inventory.Unregister",
    "VirtualMachine.Provisioning.GetVmFiles",
    "VirtualMachine.Provisioning.PutVmFiles",
    "VirtualMachine.State.RemoveSnapshot",
];

const ON_DATACENTER: &str = "on the datacenter, propagated to everything in it";

/// Site Recovery classic; agent-based Azure Migrate needs the same. Both have ended: history, to explain what is still there.
pub const CLASSIC_SITE_RECOVERY: Privileges = Privileges {
    name: "Site Recovery classic and agent-based Azure Migrate",
    lists: &[CLASSIC],
    place: ON_DATACENTER,
    root: &[],
    source: "learn.microsoft.com: vmware-azure-tutorial-prepare-on-premises (2019-05-30), migrate-support-matrix-vmware-migration (2024-10-16)",
};

/// Site Recovery modernized: it takes snapshots itself.
pub const SITE_RECOVERY: Privileges = Privileges {
    name: "Site Recovery modernized",
    lists: &[
        CLASSIC,
        &[
            "VirtualMachine.State.CreateSnapshot",
            "VirtualMachine.State.RevertToSnapshot",
        ],
    ],
    place: ON_DATACENTER,
    root: &[],
    source: "learn.microsoft.com: vmware-azure-set-up-replication-tutorial-modernized (2023-08-01)",
};

/// Azure Migrate, discovery only: the built-in role Read-only, and guest operations for the inventory of software.
pub const DISCOVERY: Privileges = Privileges {
    name: "Azure Migrate, discovery",
    lists: &[GUEST],
    place: ON_DATACENTER,
    root: &[],
    source: "learn.microsoft.com: tutorial-discover-vmware (2025-02)",
};

const GUEST: &[&str] = &["VirtualMachine.GuestOperations.*"];

/// Azure Migrate, agentless: snapshots and changed block tracking, and nothing that changes a machine's configuration.
pub const AGENTLESS: Privileges = Privileges {
    name: "Azure Migrate, agentless",
    lists: &[
        &[
            "Datastore.Browse",
            "Datastore.FileManagement",
            "VirtualMachine.Config.ChangeTracking",
            "VirtualMachine.Config.DiskLease",
            "VirtualMachine.Provisioning.DiskRandomRead",
            "VirtualMachine.Provisioning.DiskRandomAccess",
            "VirtualMachine.Provisioning.GetVmFiles",
            "VirtualMachine.State.*",
            "VirtualMachine.Interact.PowerOff",
        ],
        GUEST,
    ],
    place: ON_DATACENTER,
    root: &["VirtualMachine.Provisioning.GetVmFiles"],
    source: "learn.microsoft.com: migrate-support-matrix-vmware-migration (2024-10-16)",
};

/// Deploying the appliance's template with our own account, and removing what an interrupted deployment leaves.
/// `VirtualMachine.Inventory.Create`, `Resource.AssignVMToPool`, `VirtualMachine.Config.AddNewDisk` and
/// `VirtualMachine.Config.AdvancedConfig` are unverified: the client of vSphere asks for them, the reference of the call
/// doesn't name them.
pub const DEPLOYMENT: Privileges = Privileges {
    name: "Deploying the appliance from a template",
    lists: &[&[
        "VApp.Import",
        "Datastore.AllocateSpace",
        "Network.Assign",
        "Resource.AssignVMToPool",
        "VirtualMachine.Config.AddNewDisk",
        "VirtualMachine.Config.AdvancedConfig",
        "VirtualMachine.Inventory.Create",
        "VirtualMachine.Inventory.Delete",
        "VirtualMachine.Interact.PowerOn",
    ]],
    place: ON_DATACENTER,
    root: &[],
    source: "VMware's API reference: ResourcePool.ImportVApp, VirtualMachine.PowerOnVM_Task, Destroy_Task (9.1)",
};

/// What our own account needs to deploy the appliance from a template in place of a person. It is no part of a plan's needs,
/// since a person may as well do it in the vSphere Client.
pub fn deployment_needs(datacenter: &str) -> Vec<RightNeed> {
    vec![RightNeed {
        task: Address::new(5, "person", "deploy-appliance"),
        title: DEPLOYMENT.name.into(),
        on: Place::Datacenter {
            name: datacenter.into(),
        },
        privileges: DEPLOYMENT.ids(),
    }]
}

impl Privileges {
    /// Of the appliance's account for a method.
    pub fn of(method: ReplicationMethod) -> &'static Privileges {
        match method {
            ReplicationMethod::InMageRcm => &SITE_RECOVERY,
            ReplicationMethod::VMwareCbt => &AGENTLESS,
        }
    }

    /// Ids, some as `X.*`.
    pub fn ids(&self) -> Vec<String> {
        owned(self.lists.concat())
    }
}

fn owned(ids: impl IntoIterator<Item = &'static str>) -> Vec<String> {
    ids.into_iter().map(str::to_owned).collect()
}

/// Replaces `X.*` by what the server offers; returns those ids, sorted, and what of `wanted` this server does not have.
pub fn expand(wanted: &[String], offered: &[String]) -> (Vec<String>, Vec<String>) {
    let (mut have, mut lack) = (Vec::new(), Vec::new());
    for w in wanted {
        let fits = |o: &&String| match w.strip_suffix('*') {
            Some(prefix) => o.starts_with(prefix),
            None => *o == w,
        };
        let before = have.len();
        have.extend(offered.iter().filter(fits).cloned());
        if have.len() == before {
            lack.push(w.clone());
        }
    }
    have.sort();
    have.dedup();
    (have, lack)
}

/// What the appliance's password must not hold. Source: the note on SSO passwords in
/// migrate-support-matrix-vmware-migration (2024-10-16).
pub const PASSWORD_RULE: &str =
    "The appliance does not accept a password with one of & ; \" ' ^ \\ % < > £ or anything outside ASCII.";

/// Whether the appliance accepts this password.
pub fn accepts_password(password: &str) -> bool {
    password.chars().all(|c| c.is_ascii() && !"&;\"'^\\%<>".contains(c))
}

/// An object in vCenter on which rights are needed.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, ts_rs::TS)]
#[serde(tag = "is", rename_all = "camelCase", rename_all_fields = "camelCase")]
#[ts(export)]
pub enum Place {
    /// The vCenter itself, its root folder.
    Root,
    Datacenter {
        name: String,
    },
    /// A machine; one that is not there yet has the rights of its datacenter.
    Vm {
        name: String,
    },
    /// The folder that a machine is in.
    FolderOf {
        vm: String,
    },
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        match self {
            Place::Root => write!(f, "the vCenter"),
            Place::Datacenter { name } => write!(f, "datacenter {name}"),
            Place::Vm { name } => write!(f, "{name}"),
            Place::FolderOf { vm } => write!(f, "the folder of {vm}"),
        }
    }
}

/// Rights that our own account needs for one task on one object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ts_rs::TS)]
#[serde(rename_all = "camelCase")]
#[ts(export)]
pub struct RightNeed {
    pub task: Address,
    /// Title of the task.
    pub title: String,
    pub on: Place,
    /// Ids, some as `X.*`.
    pub privileges: Vec<String>,
}

/// Where an action needs which rights. Source: "Required privileges" in VMware's API reference of each method it calls.
/// Granting or taking a role also needs the privileges that are in it: [`needs`] adds them.
pub(crate) fn of_action(action: &Action, datacenter: &str) -> Vec<(Place, Vec<String>)> {
    let root = |id| vec![(Place::Root, owned([id]))];
    let vm = |name: &String, id| vec![(Place::Vm { name: name.clone() }, owned([id]))];
    let dc = |name: &str| Place::Datacenter { name: name.into() };
    match action {
        Action::CheckVCenter { .. } | Action::CheckPrincipal { .. } | Action::CheckVCenterRights { .. } => {
            root("System.View")
        }
        Action::CheckVm { vm: name, .. }
        | Action::CheckVmRuns { vm: name }
        | Action::CheckReadiness { vm: name, .. }
        | Action::NoteReports { vm: name }
        | Action::CheckReported { vm: name, .. }
        | Action::CheckPower { vm: name, .. }
        | Action::CutOverDms { application: name, .. }
        | Action::CompleteLogReplay { application: name, .. } => vm(name, "System.Read"),
        Action::EnsureRole { .. } | Action::RemoveRole { .. } => root("Authorization.ModifyRoles"),
        Action::GrantRole { datacenter, .. } | Action::RevokeRole { datacenter, .. } => {
            let on = datacenter.as_deref().map_or(Place::Root, dc);
            vec![(on, owned(["Authorization.ModifyPermissions"]))]
        }
        Action::ShutDownVm { vm: name, .. } => vm(name, "VirtualMachine.Interact.PowerOff"),
        Action::RenameVm { vm: name, .. } => vm(name, "VirtualMachine.Config.Rename"),
        Action::AnnotateVm { vm: name, .. } => vm(name, "VirtualMachine.Config.Annotation"),
        Action::EnsureFolder { .. } => vec![(dc(datacenter), owned(["Folder.Create"]))],
        Action::MoveVm { vm: name, .. } => [
            Place::Vm { name: name.clone() },
            Place::FolderOf { vm: name.clone() },
            dc(datacenter),
        ]
        .map(|on| (on, owned(["VirtualMachine.Inventory.Move"])))
        .into(),
        Action::DestroyVm { vm: name, .. } => [Place::Vm { name: name.clone() }, Place::FolderOf { vm: name.clone() }]
            .map(|on| (on, owned(["VirtualMachine.Inventory.Delete"])))
            .into(),
        _ => vec![],
    }
}

/// Everything that our own account needs for a plan, in the plan's order. A name that a machine gets in the plan stands for
/// the machine as it is called before.
pub fn needs(plan: &Plan, datacenter: &str) -> Vec<RightNeed> {
    let before = |name: &mut String| {
        let renamed = plan.tasks().find_map(|t| match &t.action {
            Action::RenameVm { vm, to } if to == name => Some(vm.clone()),
            _ => None,
        });
        *name = renamed.unwrap_or_else(|| std::mem::take(name));
    };
    let of_role = |wanted: &str| {
        plan.tasks().find_map(|t| match &t.action {
            Action::EnsureRole { role, privileges } if role == wanted => Some(privileges.clone()),
            _ => None,
        })
    };
    let mut all = Vec::new();
    for t in plan.tasks() {
        for (mut on, mut privileges) in of_action(&t.action, datacenter) {
            if let Place::Vm { name } | Place::FolderOf { vm: name } = &mut on {
                before(name);
            }
            if let Action::GrantRole { role, .. } | Action::RevokeRole { role, .. } = &t.action {
                privileges.extend(of_role(role).unwrap_or_default());
            }
            all.push(RightNeed {
                task: t.address.clone(),
                title: t.title.clone(),
                on,
                privileges,
            });
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(all: &[&str]) -> Vec<String> {
        all.iter().map(|s| (*s).to_owned()).collect()
    }

    #[test]
    fn wildcards_expand_to_what_the_server_has() {
        let offered = texts(&["A.C", "A.B", "AB.C", "D.E"]);
        let (have, lack) = expand(&texts(&["A.*", "D.E", "A.B", "X.Y", "Z.*"]), &offered);
        assert_eq!((have, lack), (texts(&["A.B", "A.C", "D.E"]), texts(&["X.Y", "Z.*"])));
    }

    #[test]
    fn no_privilege_stands_twice_or_has_a_name_that_no_vcenter_knows() {
        for set in [CLASSIC_SITE_RECOVERY, SITE_RECOVERY, DISCOVERY, AGENTLESS, DEPLOYMENT] {
            let mut all = set.ids();
            all.sort_unstable();
            all.dedup();
            assert_eq!(all.len(), set.ids().len(), "{}", set.name);
            assert!(set.root.iter().all(|r| all.iter().any(|a| a == r)), "{}", set.name);
            for wrong in ["LowLevel", "Configuration.", "SnapshotManagement"] {
                assert!(!all.iter().any(|id| id.contains(wrong)), "{wrong} in {}", set.name);
            }
        }
    }

    #[test]
    fn the_lists_have_the_lengths_of_the_reference_on_6_5() {
        let offered: Vec<String> = include_str!("../../lab/src/vsphere/privileges.txt")
            .lines()
            .filter_map(|l| l.split_once(": "))
            .flat_map(|(group, names)| names.split(' ').map(move |n| format!("{group}.{n}")))
            .collect();
        for (set, length) in [
            (CLASSIC_SITE_RECOVERY, 51),
            (SITE_RECOVERY, 53),
            (DISCOVERY, 5),
            (AGENTLESS, 17),
            (DEPLOYMENT, 9),
        ] {
            let (have, lack) = expand(&set.ids(), &offered);
            assert_eq!((have.len(), lack), (length, vec![]), "{}", set.name);
        }
    }

    #[test]
    fn passwords_that_the_appliance_refuses() {
        assert!(accepts_password("Correct-horse#battery!staple$1"));
        for bad in [
            "a&b", "a;b", "a\"b", "a'b", "a^b", "a\\b", "a%b", "a<b", "a>b", "a£b", "añb",
        ] {
            assert!(!accepts_password(bad), "{bad}");
        }
    }
}
