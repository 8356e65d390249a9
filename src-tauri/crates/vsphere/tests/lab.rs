//! The client against our own lab: what VMware's simulator can't show (refusals of the directory, sessions that end during a
//! read, tasks that take their time), on the lab's clock.

mod support;

use jiff::SignedDuration;
use lab::onprem::Power;
use lab::{Lab, Options};
use plan::design::VCenterConnection;
use secrets::Secret;
use std::sync::Arc;
use support::{Recorder, connect};
use vsphere::{TaskState, VCenter, check_connection, probe};

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
