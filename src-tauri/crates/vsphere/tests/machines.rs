//! What is done to machines, against VMware's own simulator, as a vCenter and as a stand-alone host.

mod support;

use plan::privileges::{Place, RightNeed};
use support::Vcsim;
use vsphere::{TaskInfo, TaskRef, TaskState, VCenter, VsphereError};

async fn ended(vcenter: &VCenter, task: Result<TaskRef, VsphereError>) -> TaskInfo {
    let task = task.expect("started");
    loop {
        let info = vcenter.task(&task).await.expect("a task");
        if matches!(info.state, TaskState::Success | TaskState::Error) {
            break info;
        }
    }
}

async fn done(vcenter: &VCenter, task: Result<TaskRef, VsphereError>) -> Option<String> {
    let info = ended(vcenter, task).await;
    assert_eq!((info.state, info.error), (TaskState::Success, None));
    info.result
}

async fn machine(vcenter: &VCenter, name: &str) -> plan::Vm {
    vcenter.find_vm(name).await.expect("read").expect("there")
}

#[tokio::test]
async fn snapshots_are_taken_gone_back_to_and_removed() {
    for (flags, name) in [(&[][..], "DC0_C0_RP0_VM0"), (&["-esx"][..], "ha-host_VM0")] {
        let vcsim = Vcsim::start(flags);
        let (vcenter, _) = vcsim.sign_in().await;
        let vm = machine(&vcenter, name).await;
        let names = async || -> Vec<(String, String)> {
            let details = machine(&vcenter, name).await.details.expect("details");
            details.snapshots.into_iter().map(|s| (s.moref, s.name)).collect()
        };
        let take = async |name: &str| {
            let task = vcenter
                .create_snapshot(&vm.moref, name, "Before <the> change & more", true)
                .await;
            done(&vcenter, task).await.expect("its reference")
        };
        let first = take("100% before").await;
        let second = take("later").await;
        assert_eq!(
            names().await,
            [
                (first.clone(), "100% before".to_owned()),
                (second.clone(), "later".to_owned())
            ]
        );
        done(&vcenter, vcenter.revert_snapshot(&first).await).await;
        // The simulator breaks down when the current snapshot is removed while it has children.
        done(&vcenter, vcenter.revert_snapshot(&second).await).await;
        done(&vcenter, vcenter.remove_snapshot(&first).await).await;
        assert_eq!(names().await, [(second.clone(), "later".to_owned())]);
        let gone = vcenter.remove_snapshot(&first).await.expect_err("gone");
        assert!(gone.is_not_found(), "{gone:?}");
        done(&vcenter, vcenter.remove_snapshot(&second).await).await;
        assert_eq!(names().await, []);
    }
}

#[tokio::test]
async fn a_machine_is_annotated_and_put_into_a_folder() {
    let vcsim = Vcsim::start(&[]);
    let (vcenter, _) = vcsim.sign_in().await;
    let vm = machine(&vcenter, "DC0_C0_RP0_VM0").await;
    let notes = "Migrated to Azure:\n<WEBVM> & Co.";
    done(&vcenter, vcenter.annotate(&vm.moref, notes).await).await;
    let details = machine(&vcenter, &vm.name).await.details.expect("details");
    assert_eq!(details.annotation.as_deref(), Some(notes));

    let datacenter = vcenter.datacenter("DC0").await.expect("read").expect("there");
    let top = vcenter.vm_folder(&datacenter).await.expect("read");
    assert_eq!(vcenter.folder_of(&vm.moref).await.expect("read").as_ref(), Some(&top));
    let name = "Migrated to Azure/2026";
    assert_eq!(vcenter.folder(&top, name).await.expect("read"), None);
    let folder = vcenter.create_folder(&top, name).await.expect("created");
    let twice = vcenter.create_folder(&top, name).await.expect_err("there");
    assert_eq!(twice.code(), "DuplicateName");
    assert_eq!(
        vcenter.folder(&top, &name.to_uppercase()).await.expect("read").as_ref(),
        Some(&folder)
    );
    // Of another datacenter's folder, or of one somewhere below, the name alone says nothing.
    assert_eq!(vcenter.folder(&folder, name).await.expect("read"), None);

    done(&vcenter, vcenter.move_vm(&vm.moref, &folder).await).await;
    assert_eq!(vcenter.folder_of(&vm.moref).await.expect("read"), Some(folder));
    let moved = machine(&vcenter, &vm.name).await;
    assert_eq!((moved.datacenter.as_deref(), moved.moref), (Some("DC0"), vm.moref));
}

#[tokio::test]
async fn a_stand_alone_host_has_no_folders_to_make_but_notes() {
    let vcsim = Vcsim::start(&["-esx"]);
    let (vcenter, _) = vcsim.sign_in().await;
    assert!(!vcenter.about().is_vcenter);
    let vm = machine(&vcenter, "ha-host_VM0").await;
    done(&vcenter, vcenter.annotate(&vm.moref, "retired").await).await;
    let details = machine(&vcenter, &vm.name).await.details.expect("details");
    assert_eq!(details.annotation.as_deref(), Some("retired"));
}

#[tokio::test]
async fn the_last_events_of_a_machine_come_newest_first() {
    for (flags, name) in [(&[][..], "DC0_C0_RP0_VM0"), (&["-esx"][..], "ha-host_VM0")] {
        let vcsim = Vcsim::start(flags);
        let (vcenter, recorder) = vcsim.sign_in().await;
        let vm = machine(&vcenter, name).await;
        done(&vcenter, vcenter.power_off(&vm.moref).await).await;
        done(&vcenter, vcenter.power_on(&vm.moref).await).await;
        let events = vcenter.vm_events(&vm.moref, 50).await.expect("read");
        let kinds: Vec<&str> = events.iter().map(|e| e.kind.as_str()).collect();
        assert_eq!(
            kinds[..4],
            [
                "VmPoweredOnEvent",
                "VmStartingEvent",
                "VmPoweredOffEvent",
                "VmStoppingEvent"
            ],
        );
        assert!(events.len() > 4 && events.is_sorted_by(|a, b| a.key > b.key));
        assert!(events[0].message.contains("on"), "{:?}", events[0]);
        assert_eq!(vcenter.vm_events(&vm.moref, 1).await.expect("read"), events[..1]);
        assert_eq!(recorder.count("DestroyCollector"), 2);
        let none = vcenter.vm_events(&vm.moref, 5000).await.expect_err("too many");
        assert_eq!(
            (none.code(), recorder.count("DestroyCollector")),
            ("InvalidArgument", 2)
        );
    }
}

#[tokio::test]
async fn what_an_administrator_needs_is_there() {
    for (flags, name, datacenter) in [
        (&[][..], "DC0_C0_RP0_VM0", "DC0"),
        (&["-esx"][..], "ha-host_VM0", "ha-datacenter"),
    ] {
        let vcsim = Vcsim::start(flags);
        let (vcenter, _) = vcsim.sign_in().await;
        let need = |on, privileges: &[&str]| RightNeed {
            task: "step-8/rename/X".parse().expect("an address"),
            title: "Rename".into(),
            on,
            privileges: privileges.iter().map(|p| (*p).to_owned()).collect(),
        };
        let rights = vcenter
            .rights(&[
                need(Place::Root, &["Authorization.ModifyRoles"]),
                need(
                    Place::Datacenter {
                        name: datacenter.into(),
                    },
                    &["VirtualMachine.State.*"],
                ),
                need(
                    Place::FolderOf { vm: name.into() },
                    &["VirtualMachine.Inventory.Delete"],
                ),
                need(
                    Place::Vm { name: "nobody".into() },
                    &["VirtualMachine.Config.Rename", "Made.Up"],
                ),
                need(Place::Datacenter { name: "nowhere".into() }, &["Folder.Create"]),
            ])
            .await
            .expect("read");
        let missing: Vec<_> = rights
            .iter()
            .map(|r| (r.seen, r.missing.len(), r.unknown.len()))
            .collect();
        assert_eq!(
            missing,
            [(true, 0, 0), (true, 0, 0), (true, 0, 0), (true, 0, 1), (false, 1, 0)],
            "{rights:?}"
        );
    }
}
