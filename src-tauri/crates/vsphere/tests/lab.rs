//! The client against our own lab: what VMware's simulator can't show (refusals of the directory, sessions that end during a
//! read, tasks that take their time), on the lab's clock.

#![allow(clippy::panic)]

mod support;

use futures::StreamExt;
use jiff::{SignedDuration, Timestamp};
use lab::onprem::{Backing, Hardware, LabCard, LabPermission, LabRole, Power};
use lab::{Lab, Options};
use plan::design::{Proxy, VCenterConnection};
use plan::privileges::{Place, RightNeed};
use secrets::Secret;
use std::sync::Arc;
use support::{Gate, Recorder, connect};
use vsphere::{Change, ErrorClass, Part, TaskRef, TaskState, Time, VCenter, VsphereError, check_connection, probe};

async fn start() -> (Lab, VCenterConnection, VCenter, Arc<Recorder>) {
    support::lab(Options::default().speed).await
}

fn later(lab: &Lab, wait: SignedDuration) {
    lab.clock().advance_to(lab.clock().now() + wait);
}

#[tokio::test]
async fn the_datacenter_of_the_scenario() {
    let (lab, connection, vcenter, recorder) = start().await;
    assert_eq!(
        probe(&connection, None).await.expect("a certificate").sha256,
        connection.thumbprint
    );
    assert_eq!(
        (vcenter.about().api_version.as_str(), vcenter.about().is_vcenter),
        ("7.0.3.0", true)
    );

    let inventory = vcenter.inventory().await.expect("read");
    assert_eq!(
        inventory.vms.iter().map(|v| v.name.as_str()).collect::<Vec<_>>(),
        ["SQLVM", "WEBVM", "contosodc1", "vcenter"]
    );
    let listed = inventory.vm("webvm").expect("there");
    assert_eq!(
        (listed.datacenter.as_deref(), listed.host.as_deref()),
        (Some("contoso-datacenter"), Some("contosohost1.contoso.com"))
    );
    assert_eq!(
        (
            listed.cluster.as_deref(),
            listed.firmware.as_deref(),
            listed.secure_boot
        ),
        (None, Some("bios"), Some(false))
    );

    lab.with_world(|w| {
        let vm = w.onprem.vms.iter_mut().find(|v| v.name == "WEBVM").expect("there");
        vm.extra_config
            .insert("guestinfo.rehost.readiness".into(), "rdp=1;san=OnlineAll".into());
    });
    let whole = vcenter.find_vm("WEBVM").await.expect("read").expect("there");
    assert_eq!(
        (whole.disk_bytes().collect::<Vec<_>>(), whole.readiness.as_deref()),
        (vec![60 << 30], Some("rdp=1;san=OnlineAll"))
    );
    assert_eq!(
        plan::Vm {
            details: None,
            readiness: None,
            ..whole
        },
        *listed
    );

    vcenter.logout().await;
    assert_eq!(recorder.count("Logout"), 1);
    lab.with_world(|w| assert!(w.onprem.sessions.is_empty()));
    let steps = check_connection(
        &connection,
        &Secret::from(lab.addresses().vcenter_password.as_str()),
        &[],
        recorder,
    )
    .await;
    assert!(steps.len() == 4 && steps.iter().all(|s| s.ok), "{steps:?}");
    lab.with_world(|w| assert!(w.onprem.sessions.is_empty()));
}

#[tokio::test]
async fn long_lists_come_in_pages_of_a_hundred() {
    let (lab, _, vcenter, recorder) = start().await;
    lab.with_world(|w| {
        let one = w.onprem.vms[0].clone();
        w.onprem.vms.extend((0..250).map(|i| {
            let mut vm = one.clone();
            (vm.moref, vm.name) = (format!("vm-{}", 1000 + i), format!("100% a/b\\c {i:03}"));
            vm
        }));
    });
    let inventory = vcenter.inventory().await.expect("read");
    assert_eq!(
        (inventory.vms.len(), recorder.count("ContinueRetrievePropertiesEx")),
        (254, 2)
    );
    assert_eq!(inventory.vms[0].name, "100% a/b\\c 000");
    assert_eq!(
        vcenter
            .find_vm("100% a/b\\c 249")
            .await
            .expect("read")
            .expect("there")
            .moref,
        "vm-1249"
    );
}

#[tokio::test]
async fn a_session_that_ends_is_renewed_once_and_a_change_is_not_repeated() {
    let (lab, _, vcenter, recorder) = start().await;
    later(&lab, SignedDuration::from_mins(31));
    let (a, b, c) = tokio::join!(vcenter.inventory(), vcenter.roles(), vcenter.find_vm("SQLVM"));
    assert_eq!(
        (
            a.expect("read").vms.len(),
            b.expect("read").len(),
            c.expect("read").is_some()
        ),
        (4, 5, true)
    );
    assert_eq!(recorder.count("Login"), 2);

    later(&lab, SignedDuration::from_mins(31));
    let ended = vcenter.power_off("vm-22").await.expect_err("ended");
    assert_eq!(
        (ended.code(), recorder.count("PowerOffVM_Task"), recorder.count("Login")),
        ("NotAuthenticated", 1, 3)
    );
    lab.with_world(|w| assert!(w.onprem.tasks.is_empty()));
}

#[tokio::test]
async fn roles_and_permissions() {
    let (lab, _, vcenter, _) = start().await;
    let known = vcenter.privileges().await.expect("read");
    for needed in [
        "Datastore.FileManagement",
        "VirtualMachine.Config.ChangeTracking",
        "VirtualMachine.State.CreateSnapshot",
    ] {
        assert!(known.iter().any(|k| k == needed), "{needed}");
    }
    let wanted = ["Network.Assign".to_owned()];
    let id = vcenter.add_role("Azure_Site_Recovery", &wanted).await.expect("added");
    assert_eq!(
        vcenter
            .add_role("Azure_Site_Recovery", &wanted)
            .await
            .expect_err("exists")
            .code(),
        "AlreadyExists"
    );
    assert_eq!(
        vcenter
            .add_role("B", &["No.Such".into()])
            .await
            .expect_err("unknown")
            .code(),
        "InvalidArgument"
    );
    assert_eq!(
        vcenter.remove_role(-1).await.expect_err("a system role").code(),
        "InvalidArgument"
    );

    let datacenter = vcenter
        .datacenter("contoso-datacenter")
        .await
        .expect("read")
        .expect("there");
    let grant = |to: &'static str| vcenter.grant(("Datacenter", &datacenter), to, id, true);
    assert!(!vcenter.principal_exists("CONTOSO\\svc-asr").await.expect("read"));
    assert!(!vcenter.principal_exists("NOWHERE\\svc-asr").await.expect("read"));
    assert_eq!(
        grant("CONTOSO\\svc-asr").await.expect_err("nobody").code(),
        "UserNotFound"
    );
    lab.with_world(|w| w.onprem.principals.insert("CONTOSO\\svc-asr".into()));
    assert!(vcenter.principal_exists("contoso\\SVC-ASR").await.expect("read"));
    assert!(vcenter.principal_exists("svc-asr@contoso.com").await.expect("read"));
    grant("CONTOSO\\svc-asr").await.expect("granted");
    grant("CONTOSO\\ContosoAdmin").await.expect("granted");
    grant("CONTOSO\\svc-asr").await.expect("granted again");
    let set = vcenter.permissions("Datacenter", &datacenter).await.expect("read");
    let mut who: Vec<_> = set
        .iter()
        .map(|p| (p.principal.as_str(), p.role_id, p.propagate, p.group))
        .collect();
    who.sort_unstable();
    assert_eq!(
        who,
        [
            ("CONTOSO\\ContosoAdmin", id, true, false),
            ("CONTOSO\\svc-asr", id, true, false)
        ]
    );
    for (on, role) in [
        (("Folder", "group-v3"), id),
        (("ResourcePool", "resgroup-10"), id),
        (("HostSystem", "host-9"), id),
        // View and Anonymous can't be given.
        (("Datacenter", &datacenter), -3),
        (("Datacenter", &datacenter), -4),
    ] {
        let refused = vcenter.grant(on, "CONTOSO\\svc-asr", role, true).await;
        assert_eq!(
            refused.expect_err("not here").code(),
            "InvalidArgument",
            "{on:?} {role}"
        );
    }
    let own = vcenter
        .revoke("Folder", "group-d1", "VSPHERE.LOCAL\\Administrator")
        .await;
    assert_eq!(own.expect_err("the last one").code(), "AuthMinimumAdminPermission");

    assert_eq!(
        vcenter.remove_role(id).await.expect_err("in use").code(),
        "RemoveFailed"
    );
    for principal in ["CONTOSO\\svc-asr", "CONTOSO\\svc-asr", "CONTOSO\\ContosoAdmin"] {
        vcenter
            .revoke("Datacenter", &datacenter, principal)
            .await
            .expect("revoked, or not there");
    }
    vcenter.remove_role(id).await.expect("removed");
}

#[tokio::test]
async fn machines_take_their_time() {
    let (lab, _, vcenter, _) = start().await;
    vcenter.shutdown_guest("vm-21").await.expect("asked");
    let power = async || {
        vcenter
            .find_vm("WEBVM")
            .await
            .expect("read")
            .expect("there")
            .power_state
    };
    assert_eq!(power().await, "poweredOn");
    later(&lab, SignedDuration::from_mins(2));
    assert_eq!(power().await, "poweredOff");
    assert_eq!(
        vcenter.shutdown_guest("vm-21").await.expect_err("off").code(),
        "InvalidPowerState"
    );

    let task = vcenter.rename("vm-21", "WEBVM/migrated").await.expect("started");
    assert_eq!(vcenter.task(&task).await.expect("a task").state, TaskState::Running);
    later(&lab, SignedDuration::from_secs(10));
    assert_eq!(vcenter.task(&task).await.expect("a task").state, TaskState::Success);
    assert_eq!(
        vcenter
            .find_vm("WEBVM/migrated")
            .await
            .expect("read")
            .expect("there")
            .moref,
        "vm-21"
    );

    let running = vcenter.destroy("vm-22").await.expect("started");
    let removed = vcenter.destroy("vm-21").await.expect("started");
    later(&lab, SignedDuration::from_secs(20));
    let refused = vcenter.task(&running).await.expect("a task");
    assert_eq!(
        (refused.state, refused.error.expect("an error").kind.as_str()),
        (TaskState::Error, "InvalidPowerState")
    );
    assert_eq!(vcenter.task(&removed).await.expect("a task").state, TaskState::Success);
    assert!(vcenter.power_on("vm-21").await.expect_err("gone").is_not_found());

    lab.with_world(|w| w.onprem.vm_mut("vm-23").expect("there").tools_running = false);
    assert_eq!(
        vcenter.shutdown_guest("vm-23").await.expect_err("no tools").code(),
        "ToolsUnavailable"
    );
    lab.with_world(|w| assert_eq!(w.onprem.vm("vm-23").map(|v| v.power), Some(Power::On)));
}

/// What a watch tells first; signs of life are left out.
async fn told(changes: &mut (impl futures::Stream<Item = Change> + Unpin)) -> Change {
    loop {
        match changes.next().await.expect("it goes on") {
            Change::Quiet => {}
            change => return change,
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_are_told_as_they_happen() {
    let (lab, _, vcenter, recorder) = start().await;
    lab.with_world(|w| {
        for (kind, moref, name, parent) in [
            ("ClusterComputeResource", "domain-c30", "Gold%2f1", "group-h4"),
            ("HostSystem", "host-31", "contosohost2.contoso.com", "domain-c30"),
            ("DistributedVirtualPortgroup", "dvportgroup-32", "Prod/DB", "group-n6"),
        ] {
            w.onprem.entities.push(lab::onprem::Entity {
                kind,
                moref: moref.into(),
                name: name.into(),
                parent: Some(parent.into()),
            });
        }
    });
    let inventory = vcenter.inventory().await.expect("read");
    let named = |list: Vec<&str>| list.join(", ");
    assert_eq!(inventory.datacenters, ["contoso-datacenter"]);
    assert_eq!(inventory.clusters[0].hosts, 1);
    assert_eq!(
        named(inventory.hosts.iter().map(|h| h.version.as_str()).collect()),
        "7.0.3, 7.0.3"
    );
    assert_eq!(inventory.hosts[1].cluster.as_deref(), Some("Gold%2f1"));
    assert_eq!(
        (
            inventory.datastores[0].kind.as_str(),
            inventory.datastores[0].accessible
        ),
        ("VMFS", true)
    );
    assert_eq!(
        named(inventory.networks.iter().map(|n| n.name.as_str()).collect()),
        "Prod/DB, VM Network"
    );

    let mut known = inventory.vms.clone();
    known.retain(|v| v.name != "SQLVM");
    known.push(plan::Vm {
        moref: "vm-999".into(),
        ..plan::Vm::default()
    });
    let mut changes = vcenter.watch(known);
    match (told(&mut changes).await, told(&mut changes).await) {
        (Change::Upserted(vms), Change::Removed(gone)) => {
            assert_eq!(
                (vms.len(), vms[0].name.as_str(), gone),
                (1, "SQLVM", vec!["vm-999".to_owned()])
            );
        }
        other => panic!("{other:?}"),
    }

    lab.with_world(|w| {
        let vm = w.onprem.vm_mut("vm-21").expect("there");
        vm.hardware.host = Some("host-31".into());
        vm.ip = "10.245.48.77".into();
    });
    let Change::Upserted(vms) = told(&mut changes).await else {
        panic!("upserted")
    };
    let moved = &vms[0];
    assert_eq!(
        (
            moved.ip_address.as_deref(),
            moved.host.as_deref(),
            moved.cluster.as_deref()
        ),
        (Some("10.245.48.77"), Some("contosohost2.contoso.com"), Some("Gold%2f1"))
    );

    // A task of the server's own: lab time passes, and somebody waits in real time.
    vcenter.power_off("vm-22").await.expect("started");
    later(&lab, SignedDuration::from_secs(10));
    match told(&mut changes).await {
        Change::Upserted(vms) => assert_eq!((vms.len(), vms[0].power_state.as_str()), (1, "poweredOff")),
        other => panic!("{other:?}"),
    }
    vcenter.destroy("vm-22").await.expect("started");
    later(&lab, SignedDuration::from_secs(20));
    match told(&mut changes).await {
        Change::Removed(gone) => assert_eq!(gone, ["vm-22"]),
        other => panic!("{other:?}"),
    }

    // The session ends while the call waits: what happened meanwhile is told once, and nothing else.
    lab.with_world(|w| {
        w.onprem.sessions.clear();
        w.onprem.vm_mut("vm-23").expect("there").host_name = "dc1.contoso.com".into();
    });
    match told(&mut changes).await {
        Change::Upserted(vms) => assert_eq!((vms.len(), vms[0].host_name.as_deref()), (1, Some("dc1.contoso.com"))),
        other => panic!("{other:?}"),
    }
    assert_eq!(recorder.count("Login"), 2);

    drop(changes);
    // Of the inventory's two views, the places of two sessions, and the watch.
    while recorder.count("DestroyView") < 5 {
        tokio::task::yield_now().await;
    }
    assert_eq!(
        (
            recorder.count("CancelWaitForUpdates"),
            recorder.count("DestroyPropertyCollector")
        ),
        (1, 1)
    );
}

#[tokio::test]
async fn details_of_many_come_in_pages_and_without_those_that_are_gone() {
    let (lab, _, vcenter, recorder) = start().await;
    lab.with_world(|w| {
        w.onprem.entities.push(lab::onprem::Entity {
            kind: "DistributedVirtualPortgroup",
            moref: "dvportgroup-32".into(),
            name: "Prod/DB".into(),
            parent: Some("group-n6".into()),
        });
        let one = w.onprem.vm("vm-22").expect("there").clone();
        w.onprem.vms.extend((0..250).map(|i| {
            let mut vm = one.clone();
            (vm.moref, vm.name) = (format!("vm-{}", 1000 + i), format!("M{i:03}"));
            vm
        }));
        let vm = w.onprem.vm_mut("vm-1000").expect("there");
        let raw = Backing {
            mode: "independent_persistent",
            sharing: Some("sharingMultiWriter"),
            raw: Some("physicalMode"),
            thick: true,
            encrypted: true,
        };
        vm.hardware = Hardware {
            controller: Some("ParaVirtualSCSIController"),
            bus_sharing: Some("physicalSharing"),
            disks: [(2001, raw)].into(),
            cards: vec![LabCard {
                network: "dvportgroup-32".into(),
                mac: "00:50:56:aa:bb:cc".into(),
                ip: "10.9.9.9".into(),
            }],
            dhcp: true,
            vtpm: true,
            passthrough: 1,
            key_id: Some("vm-key".into()),
            change_tracking: true,
            secure_boot: true,
            consolidation_needed: true,
            host: None,
        };
        vm.extra_config
            .insert("guestinfo.rehost.readiness".into(), "rdp=1".into());
    });
    let mut morefs: Vec<String> = (0..250).map(|i| format!("vm-{}", 1000 + i)).collect();
    morefs.insert(1, "vm-1".into());
    let vms = vcenter.details(&morefs).await.expect("read");
    assert_eq!(vms.len(), 250);
    assert_eq!(
        recorder.count("RetrievePropertiesEx"),
        3 + 1,
        "three pages, places when new"
    );
    let (vm, plain) = (&vms[0], vms[1].details.as_ref().expect("details"));
    assert_eq!(
        (
            vm.readiness.as_deref(),
            vm.host.as_deref(),
            vm.nic_count,
            vm.secure_boot
        ),
        (Some("rdp=1"), Some("contosohost1.contoso.com"), 2, Some(true))
    );
    let d = vm.details.as_ref().expect("details");
    let raw = &d.disks[1];
    assert_eq!(
        (
            raw.controller.as_str(),
            raw.unit,
            raw.mode.as_deref(),
            raw.sharing.as_deref()
        ),
        (
            "ParaVirtualSCSIController",
            1,
            Some("independent_persistent"),
            Some("sharingMultiWriter")
        )
    );
    assert_eq!(
        (raw.bus_sharing.as_deref(), raw.raw.as_deref(), raw.thin, raw.encrypted),
        (Some("physicalSharing"), Some("physicalMode"), None, true)
    );
    assert_eq!(
        (d.disks[0].thin, plain.disks[0].thin, plain.encrypted),
        (Some(true), Some(true), false)
    );
    assert_eq!(
        d.nics.iter().map(|n| n.network.as_deref()).collect::<Vec<_>>(),
        [Some("VM Network"), Some("Prod/DB")]
    );
    assert_eq!(
        d.addresses
            .iter()
            .map(|a| (a.ip.as_str(), a.origin.as_deref()))
            .collect::<Vec<_>>(),
        [("10.245.48.11", Some("dhcp")), ("10.9.9.9", Some("dhcp"))]
    );
    assert_eq!(
        d.volumes.iter().map(|v| v.path.as_str()).collect::<Vec<_>>(),
        ["C:\\", "D:\\"]
    );
    assert!(d.vtpm && d.encrypted && d.passthrough == 1 && d.consolidation_needed == Some(true));
    assert_eq!(
        (d.cbt_supported, d.cbt_enabled, plain.cbt_enabled),
        (Some(true), Some(true), Some(false))
    );
    assert_eq!(vcenter.find_vm("M000").await.expect("read").as_ref(), Some(vm));
    assert_eq!(vcenter.details(&[]).await.expect("read"), []);
    assert!(
        !recorder.text().contains("guestinfo.rehost"),
        "other programs keep secrets in extraConfig"
    );
}

/// Lets an account sign in that has a role of these privileges on an object, and nothing else.
async fn account(lab: &Lab, name: &str, on: (&str, &str), propagate: bool, privileges: &[&str]) -> VCenter {
    let principal = format!("CONTOSO\\{name}");
    lab.with_world(|w| {
        let o = &mut w.onprem;
        o.principals.insert(principal.clone());
        o.accounts.insert(principal.clone(), "its password".into());
        let id = 2000 + o.roles.len() as i32;
        let all = privileges
            .iter()
            .chain(&["System.Anonymous", "System.Read", "System.View"]);
        o.roles.push(LabRole {
            id,
            name: format!("role of {name}"),
            label: String::new(),
            privileges: all.map(|p| (*p).to_owned()).collect(),
            system: false,
        });
        o.permissions.push(LabPermission {
            entity: on.1.into(),
            entity_kind: on.0.into(),
            principal: principal.clone(),
            group: false,
            role: id,
            propagate,
        });
    });
    sign_in(lab, &principal).await.expect("signed in")
}

async fn sign_in(lab: &Lab, user: &str) -> Result<VCenter, VsphereError> {
    let a = lab.addresses();
    let connection = VCenterConnection {
        url: a.vcenter,
        user: user.into(),
        thumbprint: a.vcenter_thumbprint,
        ..VCenterConnection::default()
    };
    connect(&connection, "its password", Arc::new(Recorder::default())).await
}

const DATACENTER: (&str, &str) = ("Datacenter", "datacenter-2");
const ROOT: (&str, &str) = ("Folder", "group-d1");

/// What was refused: privilege and object.
fn refusal<T: std::fmt::Debug>(outcome: Result<T, VsphereError>) -> (String, String) {
    match outcome.expect_err("refused") {
        VsphereError::NoPermission { privilege, object, .. } => (privilege, object),
        other => (other.code().to_owned(), String::new()),
    }
}

#[tokio::test]
async fn an_account_without_the_right_is_told_which_and_where() {
    let (lab, ..) = start().await;
    let vcenter = account(&lab, "reader", DATACENTER, true, &[]).await;
    let vm = |privilege: &str| (privilege.to_owned(), "VirtualMachine vm-21".to_owned());
    let root = |privilege: &str| (privilege.to_owned(), "Folder group-d1".to_owned());
    assert_eq!(
        refusal(vcenter.shutdown_guest("vm-21").await),
        vm("VirtualMachine.Interact.PowerOff")
    );
    assert_eq!(
        refusal(vcenter.power_off("vm-21").await),
        vm("VirtualMachine.Interact.PowerOff")
    );
    assert_eq!(
        refusal(vcenter.power_on("vm-21").await),
        vm("VirtualMachine.Interact.PowerOn")
    );
    assert_eq!(
        refusal(vcenter.rename("vm-21", "X").await),
        vm("VirtualMachine.Config.Rename")
    );
    assert_eq!(
        refusal(vcenter.annotate("vm-21", "X").await),
        vm("VirtualMachine.Config.Annotation")
    );
    assert_eq!(
        refusal(vcenter.destroy("vm-21").await),
        vm("VirtualMachine.Inventory.Delete")
    );
    assert_eq!(
        refusal(vcenter.create_snapshot("vm-21", "X", "", false).await),
        vm("VirtualMachine.State.CreateSnapshot")
    );
    assert_eq!(
        refusal(vcenter.move_vm("vm-21", "group-v3").await),
        vm("VirtualMachine.Inventory.Move")
    );
    assert_eq!(
        refusal(vcenter.create_folder("group-v3", "X").await),
        ("Folder.Create".into(), "Folder group-v3".into())
    );
    assert_eq!(
        refusal(vcenter.grant(DATACENTER, "CONTOSO\\ContosoAdmin", -2, true).await),
        (
            "Authorization.ModifyPermissions".into(),
            "Datacenter datacenter-2".into()
        )
    );
    // Nothing was given on the root folder, where roles are made and read.
    assert_eq!(
        refusal(vcenter.add_role("X", &[]).await),
        root("Authorization.ModifyRoles")
    );
    lab.with_world(|w| assert!(w.onprem.tasks.is_empty()));

    // A stranger gets no session at all.
    lab.with_world(|w| {
        w.onprem
            .accounts
            .insert("CONTOSO\\ContosoAdmin".into(), "its password".into())
    });
    assert_eq!(
        refusal(sign_in(&lab, "ContosoAdmin@contoso.com").await),
        root("System.View")
    );
    let wrong = sign_in(&lab, "CONTOSO\\nobody").await.expect_err("unknown");
    assert_eq!(wrong.code(), "InvalidLogin");
}

#[tokio::test]
async fn an_account_gives_only_what_it_has() {
    let (lab, ..) = start().await;
    let own = [
        "Authorization.ModifyPermissions",
        "Authorization.ModifyRoles",
        "Network.Assign",
    ];
    let vcenter = account(&lab, "delegate", ROOT, true, &own).await;
    let small = vcenter
        .add_role("small", &["Network.Assign".into()])
        .await
        .expect("added");
    let large = vcenter
        .add_role("large", &["Folder.Delete".into()])
        .await
        .expect("added");
    let to = "CONTOSO\\ContosoAdmin";
    vcenter
        .grant(DATACENTER, to, small, true)
        .await
        .expect("it has all of it");
    assert_eq!(
        refusal(vcenter.grant(DATACENTER, to, large, true).await).0,
        "Folder.Delete"
    );
    assert_eq!(
        refusal(vcenter.update_role(small, "small", &["Folder.Move".into()]).await).0,
        "Folder.Move"
    );
    assert_eq!(
        vcenter
            .privileges_of(to, DATACENTER.0, DATACENTER.1)
            .await
            .expect("read")
            .expect("told"),
        ["Network.Assign", "System.Anonymous", "System.Read", "System.View"]
    );
}

#[tokio::test]
async fn somebody_elses_new_sign_in_is_noticed() {
    let (lab, _, vcenter, recorder) = start().await;
    lab.with_world(|w| {
        let one = w.onprem.vms[0].clone();
        w.onprem.vms.extend((0..1000).map(|i| {
            let mut vm = one.clone();
            (vm.moref, vm.name) = (format!("vm-{}", 1000 + i), format!("M{i:04}"));
            vm
        }));
    });
    let mut parts = vcenter.discover(100);
    let mut read = 0;
    for _ in 0..3 {
        if let Some(Ok(Part::Machines(vms))) = parts.next().await {
            read += vms.len();
        }
    }
    // The reader waits with full hands: its session ends, and a role is read in a new one.
    lab.with_world(|w| w.onprem.sessions.clear());
    vcenter.roles().await.expect("read");
    while let Some(part) = parts.next().await {
        match part.expect("read") {
            Part::Machines(vms) => read += vms.len(),
            Part::Places(_) => panic!("places come once"),
        }
    }
    assert_eq!((read, recorder.count("Login")), (1004, 2));
}

/// A clock that stands until a test moves it.
struct Hand(tokio::sync::watch::Sender<Timestamp>);

impl Time for Hand {
    fn now(&self) -> Timestamp {
        *self.0.borrow()
    }

    fn sleep_until(&self, until: Timestamp) -> futures::future::BoxFuture<'_, ()> {
        let mut moved = self.0.subscribe();
        Box::pin(async move {
            let _ = moved.wait_for(|now| *now >= until).await;
        })
    }
}

#[tokio::test]
async fn an_idle_session_is_kept_alive() {
    let (lab, connection, _other, _) = start().await;
    let time = Arc::new(Hand(tokio::sync::watch::Sender::new(Timestamp::UNIX_EPOCH)));
    let password = Secret::from(lab.addresses().vcenter_password.as_str());
    let recorder = Arc::new(Recorder::default());
    let vcenter = VCenter::connect_in(time.clone(), &connection, &password, recorder.clone())
        .await
        .expect("signed in");
    let requests = || lab.stats().requests;
    let pass = |minutes: i64| time.0.send_modify(|now| *now += SignedDuration::from_mins(minutes));
    let settle = async |until: &dyn Fn() -> bool| {
        while !until() {
            tokio::task::yield_now().await;
        }
    };
    // Used a moment ago.
    pass(9);
    vcenter.roles().await.expect("read");
    let before = requests();
    pass(9);
    for _ in 0..1000 {
        tokio::task::yield_now().await;
    }
    assert_eq!(requests(), before);
    pass(1);
    settle(&|| requests() == before + 1).await;
    for minute in 1..=3 {
        // Forty lab minutes in all: without a sign of life the session would have ended.
        later(&lab, SignedDuration::from_mins(10));
        pass(10);
        settle(&|| requests() == before + 1 + minute).await;
    }
    later(&lab, SignedDuration::from_mins(10));
    vcenter.roles().await.expect("read");
    assert_eq!(recorder.count("Login"), 1);
    drop(vcenter);
    settle(&|| lab.with_world(|w| w.onprem.sessions.len()) == 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_connection_is_told_and_taken_up_again() {
    let (lab, connection, _, _) = start().await;
    let time = Arc::new(Hand(tokio::sync::watch::Sender::new(Timestamp::UNIX_EPOCH)));
    let password = Secret::from(lab.addresses().vcenter_password.as_str());
    let gate = Gate::open(&connection.url).await;
    let through = VCenterConnection {
        proxy: Proxy::Explicit {
            url: gate.url.clone(),
            user: String::new(),
        },
        ..connection
    };
    let vcenter = VCenter::connect_in(time.clone(), &through, &password, Arc::new(Recorder::default()))
        .await
        .expect("signed in");
    let known = vcenter.inventory().await.expect("read").vms;
    let mut changes = vcenter.watch(known);
    assert!(matches!(changes.next().await, Some(Change::Quiet)));

    gate.close();
    match changes.next().await {
        Some(Change::Lost(e)) => assert_eq!(e.class(), ErrorClass::Transient, "{e:?}"),
        other => panic!("{other:?}"),
    }
    lab.with_world(|w| w.onprem.vm_mut("vm-23").expect("there").cpus = 7);
    // Tries again after 1, 2, 4… seconds; said once.
    let refused = gate.refused();
    while gate.refused() == refused {
        time.0.send_modify(|now| *now += SignedDuration::from_secs(1));
        tokio::task::yield_now().await;
    }
    gate.reopen();
    let mut heard = Vec::new();
    while !matches!(heard.last(), Some(Change::Back)) {
        time.0.send_modify(|now| *now += SignedDuration::from_secs(1));
        let next = tokio::time::timeout(std::time::Duration::from_millis(20), changes.next()).await;
        heard.extend(next.ok().flatten());
    }
    assert!(
        matches!(&heard[..], [Change::Upserted(vms), Change::Back] if vms.len() == 1 && vms[0].cpus == 7),
        "{heard:?}"
    );

    // A password that is wrong now ends the watch: trying again would lock the account.
    lab.with_world(|w| {
        w.onprem.password = "another".into();
        w.onprem.sessions.clear();
    });
    match told(&mut changes).await {
        Change::Lost(e) => assert_eq!(e.code(), "InvalidLogin"),
        other => panic!("{other:?}"),
    }
    assert!(changes.next().await.is_none());
}

#[tokio::test]
async fn permissions_are_merged_as_vsphere_does() {
    let (lab, _, vcenter, _) = start().await;
    let held = async |moref: &str| -> Vec<String> {
        let all = vcenter.privileges_of("CONTOSO\\anna", "VirtualMachine", moref).await;
        let all = all.expect("read").expect("told");
        all.into_iter().filter(|p| !p.starts_with("System.")).collect()
    };
    let role = async |name: &str, privilege: &str| vcenter.add_role(name, &[privilege.into()]).await.expect("added");
    lab.with_world(|w| w.onprem.principals.insert("CONTOSO\\anna".into()));
    assert_eq!(held("vm-21").await, [] as [String; 0]);

    let (users, anna) = (role("users", "Network.Assign").await, role("anna", "Folder.Move").await);
    lab.with_world(|w| {
        w.onprem.permissions.push(LabPermission {
            entity: "datacenter-2".into(),
            entity_kind: "Datacenter".into(),
            principal: "CONTOSO\\Domain Users".into(),
            group: true,
            role: users,
            propagate: true,
        })
    });
    assert_eq!(held("vm-21").await, ["Network.Assign"]);
    // Her own permission is not added to that of her group: it takes its place.
    vcenter
        .grant(DATACENTER, "CONTOSO\\anna", anna, true)
        .await
        .expect("granted");
    assert_eq!(held("vm-21").await, ["Folder.Move"]);
    // One further down takes the place of one further up, and only there.
    vcenter
        .grant(("VirtualMachine", "vm-21"), "CONTOSO\\anna", users, false)
        .await
        .expect("granted");
    assert_eq!(held("vm-21").await, ["Network.Assign"]);
    assert_eq!(held("vm-22").await, ["Folder.Move"]);
    // Not propagated it counts for the datacenter and its own folders alone.
    vcenter
        .grant(DATACENTER, "CONTOSO\\anna", anna, false)
        .await
        .expect("granted");
    assert_eq!(held("vm-22").await, ["Network.Assign"]);
    let folder = vcenter.privileges_of("CONTOSO\\anna", "Folder", "group-v3").await;
    assert!(folder.expect("read").expect("told").contains(&"Folder.Move".to_owned()));
}

#[tokio::test]
async fn what_an_account_may_not_see_is_not_there_for_it() {
    let (lab, ..) = start().await;
    let vcenter = account(&lab, "narrow", ("VirtualMachine", "vm-21"), false, &[]).await;
    let seen: Vec<String> = vcenter
        .inventory()
        .await
        .expect("read")
        .vms
        .into_iter()
        .map(|v| v.name)
        .collect();
    assert_eq!(seen, ["WEBVM"]);
    assert!(vcenter.find_vm("SQLVM").await.expect("read").is_none());
    assert_eq!(refusal(vcenter.vm_events("vm-22", 10).await).0, "System.View");
}

#[tokio::test]
async fn rights_for_all_steps_are_known_before_the_first() {
    let (lab, ..) = start().await;
    let needs = |privileges: &[(&str, Place, &str)]| -> Vec<RightNeed> {
        let one = |(task, on, privilege): &(&str, Place, &str)| RightNeed {
            task: task.parse().expect("an address"),
            title: format!("do {task}"),
            on: on.clone(),
            privileges: vec![(*privilege).to_owned()],
        };
        privileges.iter().map(one).collect()
    };
    let vm = |name: &str| Place::Vm { name: name.into() };
    let dc = |name: &str| Place::Datacenter { name: name.into() };
    let needs = needs(&[
        ("step-4/role/R", Place::Root, "Authorization.ModifyRoles"),
        (
            "step-4/permission/D",
            dc("contoso-datacenter"),
            "VirtualMachine.State.*",
        ),
        ("step-7/shutdown/SQLVM", vm("SQLVM"), "VirtualMachine.Interact.PowerOff"),
        (
            "step-8/appliance-off/A",
            vm("NOT-YET"),
            "VirtualMachine.Interact.PowerOff",
        ),
        (
            "step-8/remove-vm/SQLVM",
            Place::FolderOf { vm: "SQLVM".into() },
            "VirtualMachine.Inventory.Delete",
        ),
        ("step-8/rename/SQLVM", vm("SQLVM"), "Of.A.Later.Version"),
    ]);
    let vcenter = account(
        &lab,
        "half",
        DATACENTER,
        true,
        &[
            "VirtualMachine.Interact.PowerOff",
            "VirtualMachine.State.CreateSnapshot",
        ],
    )
    .await;
    let rights = vcenter.rights(&needs).await.expect("read");
    let missing: Vec<usize> = rights.iter().map(|r| r.missing.len()).collect();
    assert_eq!(missing, [1, 3, 0, 0, 1, 0]);
    assert_eq!(rights[5].unknown, ["Of.A.Later.Version"]);
    let advice = vsphere::lacking(&rights).expect("some lack");
    for part in [
        "On the vCenter: Authorization.ModifyRoles. Needed for step 4, do step-4/role/R.",
        "On datacenter contoso-datacenter: VirtualMachine.State.RemoveSnapshot, ",
        "On the folder of SQLVM: VirtualMachine.Inventory.Delete. Needed for step 8, do step-8/remove-vm/SQLVM.",
    ] {
        assert!(advice.detail.contains(part), "{part} is missing in {}", advice.detail);
    }

    let connection = VCenterConnection {
        url: lab.addresses().vcenter,
        user: "CONTOSO\\half".into(),
        thumbprint: lab.addresses().vcenter_thumbprint,
        ..VCenterConnection::default()
    };
    let recorder = Arc::new(Recorder::default());
    let steps = check_connection(&connection, &Secret::from("its password"), &needs, recorder.clone()).await;
    let last = steps.last().expect("steps");
    assert!(!last.ok && last.detail.contains("do step-4/role/R"), "{last:?}");
    // Asked once for all, then for each, since the root folder may not even be read.
    assert_eq!(recorder.count("HasPrivilegeOnEntities"), 5);
    let elsewhere = RightNeed {
        on: dc("other"),
        ..needs[1].clone()
    };
    let nowhere = vcenter.rights(&[elsewhere]).await.expect("read");
    assert_eq!((nowhere[0].seen, nowhere[0].missing.len()), (false, 4));
}

#[tokio::test]
async fn tasks_tell_their_progress_end_early_and_are_forgotten() {
    let (lab, _, vcenter, recorder) = start().await;
    let task = vcenter
        .create_snapshot("vm-21", "before", "", true)
        .await
        .expect("started");
    later(&lab, SignedDuration::from_secs(4));
    let half = vcenter.task(&task).await.expect("a task");
    assert_eq!(
        (half.state, half.cancelable, half.result.as_deref()),
        (TaskState::Running, true, None)
    );
    assert!(half.progress.is_some_and(|p| (30..80).contains(&p)), "{half:?}");

    // One thing at a time.
    let second = vcenter.power_off("vm-21").await.expect("started");
    later(&lab, SignedDuration::from_secs(1));
    let busy = vcenter.task(&second).await.expect("a task").error.expect("refused");
    assert_eq!(busy.kind, "TaskInProgress");

    vcenter.cancel_task(&task).await.expect("asked");
    assert_eq!(
        vcenter.cancel_task(&task).await.expect_err("twice").code(),
        "InvalidState"
    );
    later(&lab, SignedDuration::from_secs(60));
    let ended = vcenter.task(&task).await.expect("a task");
    assert_eq!(
        (ended.state, ended.error.expect("why").kind.as_str()),
        (TaskState::Error, "RequestCanceled")
    );
    assert!(
        vcenter
            .find_vm("WEBVM")
            .await
            .expect("read")
            .expect("there")
            .details
            .expect("details")
            .snapshots
            .is_empty()
    );

    let task = vcenter.power_off("vm-21").await.expect("started");
    assert_eq!(
        vcenter.cancel_task(&task).await.expect_err("not this one").code(),
        "NotSupported"
    );
    // The session ends while the task goes on: whoever waits signs in again and finds it.
    lab.with_world(|w| w.onprem.sessions.clear());
    assert_eq!(vcenter.task(&task).await.expect("a task").state, TaskState::Running);
    assert_eq!(recorder.count("Login"), 2);
    later(&lab, SignedDuration::from_mins(11));
    let forgotten = vcenter.task(&task).await.expect_err("forgotten");
    assert!(forgotten.is_not_found(), "{forgotten:?}");
    lab.with_world(|w| assert_eq!(w.onprem.vm("vm-21").map(|v| v.power), Some(Power::Off)));

    // Somebody removes the machine meanwhile.
    let task = vcenter.annotate("vm-21", "X").await.expect("started");
    lab.with_world(|w| w.onprem.vms.retain(|v| v.moref != "vm-21"));
    later(&lab, SignedDuration::from_secs(9));
    let gone = vcenter.task(&task).await.expect("a task").error.expect("an error");
    assert_eq!(gone.kind, "ManagedObjectNotFound");
}

#[tokio::test]
async fn snapshots_form_a_tree_and_bring_back_what_was() {
    let (lab, _, vcenter, _) = start().await;
    let done = async |task: Result<TaskRef, VsphereError>| {
        let task = task.expect("started");
        later(&lab, SignedDuration::from_secs(15));
        let info = vcenter.task(&task).await.expect("a task");
        assert_eq!((info.state, info.error), (TaskState::Success, None));
        info.result
    };
    let details = async || {
        vcenter
            .find_vm("WEBVM")
            .await
            .expect("read")
            .expect("there")
            .details
            .expect("details")
    };
    done(vcenter.annotate("vm-21", "before").await).await;
    let first = done(vcenter.create_snapshot("vm-21", "100% first", "", true).await)
        .await
        .expect("made");
    let second = done(vcenter.create_snapshot("vm-21", "second", "", true).await)
        .await
        .expect("made");
    done(vcenter.annotate("vm-21", "after").await).await;
    let names: Vec<String> = details().await.snapshots.into_iter().map(|s| s.name).collect();
    assert_eq!(names, ["100% first", "second"]);
    done(vcenter.revert_snapshot(&first).await).await;
    assert_eq!(details().await.annotation.as_deref(), Some("before"));
    // Of disks alone, it is the state of a machine that is off.
    lab.with_world(|w| assert_eq!(w.onprem.vm("vm-21").map(|v| v.power), Some(Power::Off)));
    done(vcenter.remove_snapshot(&first).await).await;
    done(vcenter.remove_snapshot(&second).await).await;
    assert!(details().await.snapshots.is_empty());
    assert!(vcenter.revert_snapshot(&first).await.expect_err("gone").is_not_found());
}

#[tokio::test]
async fn machines_move_into_folders_for_machines_only() {
    let (lab, _, vcenter, _) = start().await;
    let ended = async |task: Result<TaskRef, VsphereError>| {
        let task = task.expect("started");
        later(&lab, SignedDuration::from_secs(9));
        vcenter.task(&task).await.expect("a task").error.map(|e| e.kind)
    };
    let top = vcenter.vm_folder("datacenter-2").await.expect("read");
    let folder = vcenter.create_folder(&top, "Migrated/2026").await.expect("made");
    assert_eq!(
        vcenter.folder(&top, "migrated/2026").await.expect("read").as_ref(),
        Some(&folder)
    );
    assert_eq!(
        vcenter
            .create_folder(&top, "Migrated/2026")
            .await
            .expect_err("there")
            .code(),
        "DuplicateName"
    );
    // A machine has the name: in vCenter a folder's children share one space of names.
    assert_eq!(
        vcenter.create_folder(&top, "WEBVM").await.expect_err("taken").code(),
        "DuplicateName"
    );
    assert_eq!(ended(vcenter.move_vm("vm-21", &folder).await).await, None);
    assert_eq!(vcenter.folder_of("vm-21").await.expect("read"), Some(folder));
    assert_eq!(
        ended(vcenter.move_vm("vm-21", "group-h4").await).await.as_deref(),
        Some("NotSupported")
    );
    let moved = vcenter.find_vm("WEBVM").await.expect("read").expect("there");
    assert_eq!(moved.datacenter.as_deref(), Some("contoso-datacenter"));
}

#[tokio::test]
async fn a_machines_history_says_who_did_what() {
    let (lab, _, vcenter, _) = start().await;
    for n in 0..12 {
        vcenter.annotate("vm-21", &format!("note {n}")).await.expect("started");
        later(&lab, SignedDuration::from_secs(9));
    }
    vcenter.power_off("vm-22").await.expect("started");
    vcenter.shutdown_guest("vm-21").await.expect("asked");
    later(&lab, SignedDuration::from_mins(3));
    let all = vcenter.vm_events("vm-21", 50).await.expect("read");
    assert_eq!(all.len(), 14);
    let who: Vec<_> = all.iter().map(|e| (e.kind.as_str(), e.user.as_str())).take(3).collect();
    assert_eq!(
        who,
        [
            ("VmPoweredOffEvent", ""),
            ("VmGuestShutdownEvent", "VSPHERE.LOCAL\\Administrator"),
            ("VmReconfiguredEvent", "VSPHERE.LOCAL\\Administrator"),
        ]
    );
    assert_eq!(
        all[0].message,
        "WEBVM on contosohost1.contoso.com in contoso-datacenter is powered off"
    );
    assert_eq!(vcenter.vm_events("vm-21", 3).await.expect("read"), all[..3]);
    assert!(vcenter.vm_events("vm-99", 3).await.expect_err("nobody").is_not_found());
}
