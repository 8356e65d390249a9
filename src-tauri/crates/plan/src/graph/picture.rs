//! The architecture diagram of a design: source left, network in the middle, target right.

use crate::{
    design::{Design, ReplicationMethod},
    diagram::{Diagram, Edge, EdgeKind, Node, NodeKind},
    inventory::Inventory,
    rules,
};

/// Draws the design: what is there before, what will be there after, and what flows between.
pub fn diagram(d: &Design, inventory: &Inventory) -> Diagram {
    let mut nodes = Vec::new();
    let mut node =
        |id: String, kind: NodeKind, label: &str, detail: String, parent: Option<String>, before: bool, after: bool| {
            nodes.push(Node {
                id,
                kind,
                label: label.into(),
                detail,
                parent,
                before,
                after,
            });
        };
    let on = Some("site/onprem".to_owned());
    let az = Some("site/azure".to_owned());
    let vm_detail = |name: &str| {
        inventory.vm(name).map_or(String::new(), |v| {
            let system = v.guest_full_name.as_deref().unwrap_or_default();
            let system = system
                .split('(')
                .next()
                .unwrap_or_default()
                .replace("Microsoft Windows ", "")
                .replace(" or later", "")
                .trim()
                .to_owned();
            if system.is_empty() {
                format!("{} CPU", v.cpus)
            } else {
                format!("{system} · {} CPU", v.cpus)
            }
        })
    };
    let host = inventory
        .vm(&d.web_vm)
        .and_then(|v| v.host.clone())
        .unwrap_or_else(|| "ESXi".into());
    let host_id = format!("host/{host}");
    let net = |name: &str| format!("net/{name}");
    let home = match d.replication {
        ReplicationMethod::InMageRcm => "Vault",
        ReplicationMethod::VMwareCbt => "Azure Migrate",
    };
    node(
        "site/onprem".into(),
        NodeKind::Site,
        "On-premises",
        d.datacenter.clone(),
        None,
        true,
        true,
    );
    node(
        "site/azure".into(),
        NodeKind::Site,
        "Azure",
        d.location_name.clone(),
        None,
        true,
        true,
    );
    node(
        "vcenter/vcenter".into(),
        NodeKind::VCenter,
        "vCenter Server",
        inventory.vcenter_name.clone(),
        on.clone(),
        true,
        true,
    );
    node(
        host_id.clone(),
        NodeKind::Host,
        host.split('.').next().unwrap_or(&host),
        "ESXi".into(),
        on.clone(),
        true,
        true,
    );
    for vm in [&d.web_vm, &d.sql_vm] {
        node(
            format!("vm/{vm}"),
            NodeKind::Vm,
            vm,
            vm_detail(vm),
            Some(host_id.clone()),
            true,
            false,
        );
    }
    node(
        format!("appliance/{}", d.appliance),
        NodeKind::Appliance,
        "Replication appliance",
        d.appliance.clone(),
        on.clone(),
        false,
        false,
    );
    let folder = d.backups.as_ref().filter(|_| d.uploads_backups()).map(|b| &b.folder);
    if let Some(path) = folder.or(d.from_share().then_some(&d.dms.share_path)) {
        node(
            "share/backups".into(),
            NodeKind::Storage,
            "Backup share",
            path.clone(),
            on.clone(),
            true,
            true,
        );
    }
    if d.from_share() {
        node(
            format!("runtime/{}", d.dms.runtime_host),
            NodeKind::Appliance,
            "Integration runtime",
            d.dms.runtime_host.clone(),
            on.clone(),
            false,
            false,
        );
    }
    node(
        "dc/contosodc1".into(),
        NodeKind::DomainController,
        "contosodc1",
        "domain controller".into(),
        on.clone(),
        true,
        true,
    );
    node(
        "vpn/onprem".into(),
        NodeKind::VpnDevice,
        "VPN device",
        "site-to-site tunnel".into(),
        on,
        true,
        true,
    );

    node(
        net(&d.prod_network),
        NodeKind::Network,
        &d.prod_network,
        String::new(),
        az.clone(),
        true,
        true,
    );
    node(
        format!("subnet/{}", d.prod_frontend_subnet),
        NodeKind::Subnet,
        &d.prod_frontend_subnet,
        "front end".into(),
        Some(net(&d.prod_network)),
        true,
        true,
    );
    node(
        format!("azvm/{}", d.web_vm),
        NodeKind::Vm,
        &d.web_vm,
        d.web_vm_size.clone(),
        Some(net(&d.prod_network)),
        false,
        true,
    );
    node(
        net(&d.test_network),
        NodeKind::Network,
        &d.test_network,
        d.test_space.to_string(),
        az.clone(),
        false,
        false,
    );
    node(
        format!("azvm/{}", d.test_vm()),
        NodeKind::Vm,
        &format!("{} · test copy", d.web_vm),
        d.test_subnet.clone(),
        Some(net(&d.test_network)),
        false,
        false,
    );
    node(
        net(&d.hub_network),
        NodeKind::Network,
        &d.hub_network,
        String::new(),
        az.clone(),
        true,
        true,
    );
    node(
        "gateway/hub".into(),
        NodeKind::Gateway,
        "VPN gateway",
        "gateway transit".into(),
        Some(net(&d.hub_network)),
        true,
        true,
    );
    node(
        net(&d.mi.network),
        NodeKind::Network,
        &d.mi.network,
        d.mi.network_space.to_string(),
        az.clone(),
        false,
        true,
    );
    node(
        format!("subnet/{}", d.mi.subnet),
        NodeKind::Subnet,
        &d.mi.subnet,
        format!("/{} · delegated · NSG · routes", d.mi.subnet_space.prefix_len()),
        Some(net(&d.mi.network)),
        false,
        true,
    );
    node(
        format!("mi/{}", d.mi.name),
        NodeKind::ManagedInstance,
        &d.mi.name,
        match d.further_databases.len() {
            0 => format!("GP {} vCores · {}", d.mi.vcores, d.database),
            n => format!("GP {} vCores · {} and {n} more", d.mi.vcores, d.database),
        },
        Some(net(&d.mi.network)),
        false,
        true,
    );
    node(
        format!("vault/{}", d.replication_home()),
        NodeKind::Vault,
        home,
        d.replication_home().to_owned(),
        az.clone(),
        false,
        false,
    );
    node(
        format!("storage/{}", d.replication_cache()),
        NodeKind::Storage,
        "Replication cache",
        d.replication_cache().to_owned(),
        az.clone(),
        false,
        false,
    );
    node(
        format!("storage/{}", d.backup_account),
        NodeKind::Storage,
        "Backups",
        d.backup_container.clone(),
        az.clone(),
        false,
        false,
    );
    if d.uses_dms() {
        node(
            format!("dms/{}", d.dms.service),
            NodeKind::MigrationService,
            "Database Migration Service",
            d.dms.service.clone(),
            az.clone(),
            false,
            false,
        );
    }
    let servers = d
        .dns
        .iter()
        .filter(|a| **a != rules::AZURE_RESOLVER)
        .map(ToString::to_string)
        .collect::<Vec<_>>();
    node(
        "dns/contoso".into(),
        NodeKind::Dns,
        "DNS · CONTOSODC3 and 4",
        servers.join(" · "),
        az,
        true,
        true,
    );

    let edge = |id: &str, from: String, to: String, kind: EdgeKind, label: &str| Edge {
        id: id.into(),
        from,
        to,
        kind,
        label: label.into(),
    };
    let mi_net = net(&d.mi.network);
    let store = format!("storage/{}", d.backup_account);
    let sql = format!("vm/{}", d.sql_vm);
    let runtime = format!("runtime/{}", d.dms.runtime_host);
    let mut backups = if d.from_share() {
        vec![
            edge("flow/backup", sql, "share/backups".into(), EdgeKind::Flow, "backups"),
            edge(
                "flow/share",
                "share/backups".into(),
                runtime.clone(),
                EdgeKind::Flow,
                "backups",
            ),
            edge("flow/upload", runtime, store, EdgeKind::Flow, "upload"),
        ]
    } else if d.uploads_backups() {
        let share = "share/backups".to_owned();
        vec![
            edge("flow/backup", sql, share.clone(), EdgeKind::Flow, "backups"),
            edge("flow/upload", share, store, EdgeKind::Flow, "upload"),
        ]
    } else {
        vec![edge("flow/backup", sql, store, EdgeKind::Flow, "backups")]
    };
    if d.uses_dms() {
        backups.push(edge(
            "link/dms",
            format!("dms/{}", d.dms.service),
            format!("mi/{}", d.mi.name),
            EdgeKind::Link,
            "steers the restore",
        ));
    }
    let mut edges = vec![
        edge(
            "flow/replication",
            format!("vm/{}", d.web_vm),
            format!("appliance/{}", d.appliance),
            EdgeKind::Flow,
            "changes",
        ),
        edge(
            "flow/vault",
            format!("appliance/{}", d.appliance),
            format!("vault/{}", d.replication_home()),
            EdgeKind::Flow,
            "replication",
        ),
        edge(
            "flow/restore",
            format!("storage/{}", d.backup_account),
            format!("mi/{}", d.mi.name),
            EdgeKind::Flow,
            "restore",
        ),
        edge(
            "link/vpn",
            "vpn/onprem".into(),
            "gateway/hub".into(),
            EdgeKind::Link,
            "site-to-site VPN",
        ),
        edge(
            "link/hub-prod",
            net(&d.hub_network),
            net(&d.prod_network),
            EdgeKind::Link,
            "peering",
        ),
        edge(
            &format!("link/{}-{}", d.mi.network, d.hub_network),
            mi_net.clone(),
            net(&d.hub_network),
            EdgeKind::Link,
            "peering",
        ),
        edge(
            &format!("link/{}-{}", d.mi.network, d.prod_network),
            mi_net,
            net(&d.prod_network),
            EdgeKind::Link,
            "peering",
        ),
    ];
    edges.splice(2..2, backups);
    Diagram { nodes, edges }
}
