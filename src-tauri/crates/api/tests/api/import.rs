use crate::{Desk, lab};
use api::wire::*;
use plan::{Connections, Inventory, ReplicationMethod, Severity, changes::VmField};
use serde_json::{Value, json};

/// Written by openpyxl 3.1 with the columns of RVTools 4.6: WEBVM, SQLVM, and LEGACY with `two` CPUs.
const WORKBOOK: &[u8] = include_bytes!("../data/rvtools.xlsx");

struct Bench {
    desk: Desk,
    project: String,
}

impl Bench {
    async fn new() -> Self {
        let desk = Desk::new();
        let project = desk.project("contoso").await.path;
        Self { desk, project }
    }

    async fn preview(&self, file: &str, bytes: &[u8]) -> Result<Option<ImportPreview>, UiError> {
        std::fs::write(self.desk.path(file), bytes).unwrap();
        std::fs::write(self.desk.path("next"), self.desk.path(file).display().to_string()).unwrap();
        self.call("inventory_import_preview").await
    }

    async fn call<T: serde::de::DeserializeOwned>(&self, command: &str) -> Result<T, UiError> {
        self.desk.call(command, json!({ "project": self.project })).await
    }

    async fn kept(&self) -> Inventory {
        self.call::<Option<Inventory>>("inventory_get")
            .await
            .unwrap()
            .unwrap_or_default()
    }

    async fn findings(&self, moref: &str) -> Vec<VmFindings> {
        let arguments = json!({ "project": self.project, "morefs": [moref, "vm-none"] });
        self.desk.call("inventory_findings", arguments).await.unwrap()
    }
}

#[tokio::test]
async fn a_workbook_is_shown_before_it_is_kept_and_then_judged() {
    let b = Bench::new().await;
    let shown = b.preview("export.xlsx", WORKBOOK).await.unwrap().unwrap();
    assert_eq!(
        (shown.file.as_str(), shown.rvtools, shown.machines),
        ("export.xlsx", true, 2)
    );
    assert!(shown.replaces, "nothing was kept before");
    let added: Vec<_> = shown.changes.added.iter().map(|v| v.name.as_str()).collect();
    assert_eq!(added, ["WEBVM", "SQLVM"]);
    let [refused] = &shown.refused[..] else {
        panic!("{:?}", shown.refused)
    };
    assert_eq!(
        (refused.sheet.as_str(), refused.line, shown.refused_count),
        ("vInfo", 4, 1)
    );
    assert_eq!(refused.reason, "CPUs: `two` is not a number.");
    assert_eq!(b.kept().await, Inventory::default(), "a look keeps nothing");

    b.call::<()>("inventory_import").await.unwrap();
    let kept = b.kept().await;
    let sql = kept.vm("SQLVM").unwrap();
    assert_eq!(
        (sql.moref.as_str(), sql.memory_mib, sql.secure_boot),
        ("vm-22", 32_768, Some(true))
    );
    let sizes: Vec<_> = sql.disk_bytes().map(|b| b >> 30).collect();
    assert_eq!(sizes, [60, 200]);
    assert_eq!(kept.vcenter_name, "vcenter.contoso.com");
    assert!(kept.read_at.is_some());

    let [judged] = &b.findings("vm-22").await[..] else {
        panic!("one of the two is there")
    };
    let severity = |method, rule: &str| {
        let of = judged.methods.iter().find(|m| m.method == method).unwrap();
        of.findings.iter().find(|f| f.rule == rule).map(|f| f.severity)
    };
    let (rcm, cbt) = (ReplicationMethod::InMageRcm, ReplicationMethod::VMwareCbt);
    assert_eq!(severity(rcm, "vm-secure-boot"), Some(Severity::Blocking));
    assert_eq!(severity(cbt, "vm-secure-boot"), Some(Severity::Warning));
    assert_eq!(severity(rcm, "vm-independent"), None);
    assert_eq!(severity(cbt, "vm-independent"), Some(Severity::Blocking));

    let again = b.call::<()>("inventory_import").await.unwrap_err();
    assert_eq!(again.code, ErrorCode::State);
}

#[tokio::test]
async fn csv_files_of_one_export_are_read_together_and_change_only_what_they_say() {
    let b = Bench::new().await;
    b.preview("export.xlsx", WORKBOOK).await.unwrap();
    b.call::<()>("inventory_import").await.unwrap();
    let disks = "\u{feff}VM;Disk;Capacity MB;Path;VM ID\r\nWEBVM;Hard disk 1;81.920;[ds] a.vmdk;vm-21\r\n";
    std::fs::write(b.desk.path("RVTools_tabvDisk.csv"), disks).unwrap();
    let info = "\u{feff}VM;CPUs;Memory;Disks;VM ID\r\nWEBVM;8;8.192;1;vm-21\r\nNEW;2;4.096;1;vm-30\r\n";
    let shown = b
        .preview("RVTools_tabvInfo.csv", info.as_bytes())
        .await
        .unwrap()
        .unwrap();
    assert!(!shown.replaces);
    assert_eq!(shown.changes.removed, []);
    assert_eq!(shown.changes.added[0].name, "NEW");
    let [web] = &shown.changes.changed[..] else {
        panic!("{:?}", shown.changes)
    };
    let fields: Vec<_> = web
        .fields
        .iter()
        .map(|f| (f.field, f.before.as_str(), f.after.as_str()))
        .collect();
    assert_eq!(
        fields[..2],
        [(VmField::Cpus, "4", "8"), (VmField::Disks, "60.0 GiB", "80.0 GiB")]
    );
    b.call::<()>("inventory_import").await.unwrap();
    let kept = b.kept().await;
    assert_eq!(kept.vms.len(), 3);
    assert_eq!(
        kept.vm("webvm").unwrap().host_name.as_deref(),
        Some("webvm.contoso.com")
    );
}

#[tokio::test]
async fn what_cannot_be_imported_is_said_and_a_closed_dialog_is_nothing() {
    let b = Bench::new().await;
    std::fs::write(b.desk.path("next"), "").unwrap();
    assert_eq!(
        b.call::<Option<ImportPreview>>("inventory_import_preview")
            .await
            .unwrap(),
        None
    );
    for (file, bytes, why) in [
        ("a.xlsx", &b"nothing"[..], "no workbook"),
        ("a.csv", b"colour;size\nred;1\n", "`VM`"),
        ("b.csv", b"Name,Memory\nweb,8\n", "Memory GiB"),
    ] {
        let error = b.preview(file, bytes).await.unwrap_err();
        assert_eq!(error.code, ErrorCode::Invalid, "{file}");
        assert!(error.title.contains(file) && error.detail.contains(why), "{error:?}");
    }
    assert_eq!(
        b.call::<()>("inventory_import").await.unwrap_err().code,
        ErrorCode::State
    );
}

#[tokio::test]
async fn a_discovery_says_what_changed_and_outdates_what_was_looked_at() {
    let (b, lab) = (Bench::new().await, lab().await);
    let a = lab.addresses();
    let view: ProjectView = b.call("project_get").await.unwrap();
    let mut connections: Connections = view.connections.connections;
    (connections.vcenter.url, connections.vcenter.user) = (a.vcenter, a.vcenter_user);
    connections.vcenter.thumbprint = a.vcenter_thumbprint;
    let save =
        json!({ "project": b.project, "kind": "vcenter", "connections": connections, "secret": a.vcenter_password });
    b.desk.call::<Value>("connection_save", save).await.unwrap();
    let read = async || {
        let heard: Vec<InventoryMessage> = b.desk.stream("inventory_read", json!({ "project": b.project })).await;
        match heard.last().cloned() {
            Some(InventoryMessage::Done { changes, .. }) => changes,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(read().await, None, "there was nothing to compare with");
    b.preview("list.csv", b"Name,CPU\nWEBVM,16\n").await.unwrap();
    lab.with_world(|w| {
        w.onprem.vms.retain(|v| v.name != "contosodc1");
        w.onprem.vms.iter_mut().find(|v| v.name == "SQLVM").unwrap().memory_mib = 65_536;
    });
    let found = read().await.unwrap();
    assert_eq!(
        found.removed.iter().map(|v| v.name.as_str()).collect::<Vec<_>>(),
        ["contosodc1"]
    );
    assert_eq!(found.added, []);
    let [sql] = &found.changed[..] else { panic!("{found:?}") };
    assert_eq!((sql.name.as_str(), sql.fields[0].field), ("SQLVM", VmField::MemoryMib));
    let late = b.call::<()>("inventory_import").await.unwrap_err();
    assert_eq!(late.code, ErrorCode::State, "the preview was of another inventory");
}
