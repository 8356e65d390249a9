//! The client against our own lab: what VMware's simulator can't show (refusals of the directory, sessions that end during a
//! read, tasks that take their time), on the lab's clock.

mod support;

use futures::StreamExt;
use jiff::{SignedDuration, Timestamp};
use lab::onprem::{Backing, Hardware, LabCard, Power};
use lab::{Lab, Options};
use plan::design::{Proxy, VCenterConnection};
use secrets::Secret;
use std::sync::Arc;
use support::{Gate, Recorder, connect};
use vsphere::{Change, ErrorClass, Part, TaskState, Time, VCenter, check_connection, probe};

async fn start() -> (Lab, VCenterConnection, VCenter, Arc<Recorder>) {
    let lab = Lab::start(Options {
        people: false,
        ..Options::default()
    })
    .await
    .expect("a lab");
    let a = lab.addresses();
    let connection = VCenterConnection {
        url: a.vcenter,
        user: a.vcenter_user,
        thumbprint: a.vcenter_thumbprint,
        ..VCenterConnection::default()
    };
    let recorder = Arc::new(Recorder::default());
    let vcenter = connect(&connection, &a.vcenter_password, recorder.clone())
        .await
        .expect("signed in");
    (lab, connection, vcenter, recorder)
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
        recorder,
    )
    .await;
    assert!(steps.len() == 5 && steps.iter().all(|s| s.ok), "{steps:?}");
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
        (4, 4, true)
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
    let grant = |to: &'static str| vcenter.grant("Datacenter", &datacenter, to, id);
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
    let folder = vcenter
        .grant("Folder", "group-v3", "CONTOSO\\svc-asr", id)
        .await
        .expect_err("not on these folders");
    assert_eq!(folder.code(), "InvalidArgument");

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
