//! The SmartHotel sample: Contoso's two-tier travel application, with the names of the 2018 scenario.

use crate::design::{Connections, Design, DmsDesign, ManagedInstanceDesign, Project};
use ipnet::Ipv4Net;
use std::net::Ipv4Addr;

/// Region of the scenario.
pub const LOCATION: &str = "eastus2";

fn net(a: u8, b: u8, c: u8, d: u8, prefix: u8) -> Ipv4Net {
    // The prefixes below are constants of at most 32, so the assertion can't fail.
    Ipv4Net::new_assert(Ipv4Addr::new(a, b, c, d), prefix)
}

/// Databases that a rehearsal can migrate along.
pub const FURTHER_DATABASES: [&str; 2] = ["SmartHotelReports", "SmartHotel Archive"];

/// The design of the sample.
pub fn design() -> Design {
    Design {
        application: "SmartHotel".into(),
        location: LOCATION.into(),
        location_name: "East US 2".into(),
        datacenter: "contoso-datacenter".into(),
        networking_group: "ContosoNetworkingRG".into(),
        target_group: "ContosoRG".into(),
        failover_group: "ContosoFailoverRG".into(),
        mi: ManagedInstanceDesign {
            name: "contoso-sqlmi".into(),
            network: "VNET-SQLMI-EUS2".into(),
            network_space: net(10, 235, 0, 0, 24),
            subnet: "SQLMI-DS-EUS2".into(),
            subnet_space: net(10, 235, 0, 0, 25),
            workstation_subnet: "SQLMI-SAW-EUS2".into(),
            workstation_space: net(10, 235, 0, 128, 25),
            nsg: "NSG-SQLMI-DS-EUS2".into(),
            route_table: "MIRouteTable".into(),
            vcores: 8,
            storage_gib: 128,
            admin_login: "contosoadmin".into(),
        },
        hub_network: "VNET-HUB-EUS2".into(),
        prod_network: "VNET-PROD-EUS2".into(),
        prod_frontend_subnet: "PROD-FE-EUS2".into(),
        prod_dc_subnet: "PROD-DC-EUS2".into(),
        dns: vec![
            Ipv4Addr::new(10, 245, 42, 4),
            Ipv4Addr::new(10, 245, 42, 5),
            crate::rules::AZURE_RESOLVER,
        ],
        test_network: "VNET-TEST-EUS2".into(),
        test_subnet: "PROD-FE-EUS2-test".into(),
        test_space: net(10, 246, 0, 0, 24),
        test_subnet_space: net(10, 246, 0, 0, 25),
        known_spaces: vec![net(10, 240, 0, 0, 20), net(10, 245, 32, 0, 20), net(172, 16, 0, 0, 16)],
        cache_account: "contosovmsacc20180528".into(),
        backup_account: "contosobackup20180528".into(),
        backup_container: "smarthotel-backup".into(),
        vault: "ContosoMigrationVault".into(),
        policy: "ContosoMigrationPolicy".into(),
        recovery_plan: "ContosoMigrationPlan".into(),
        web_vm: "WEBVM".into(),
        web_vm_size: "Standard_D4s_v5".into(),
        sql_vm: "SQLVM".into(),
        database: "SmartHotelDB".into(),
        further_databases: vec![],
        web_config: r"C:\inetpub\SmartHotel.Registration.Web\web.config".into(),
        connection_string_name: "DefaultConnection".into(),
        switched_by_person: false,
        site_text: "SmartHotel".into(),
        vcenter_role: "Azure_Site_Recovery".into(),
        vcenter_principal: r"CONTOSO\svc-asr".into(),
        mobility_account: "svc-mobility".into(),
        appliance: "ASR-APPLIANCE".into(),
        migrate_project: "ContosoMigrateProject".into(),
        migrate_location: "Central US".into(),
        replication: Default::default(),
        database_method: Default::default(),
        backups: None,
        around: None,
        prove: None,
        certificate: false,
        dms: DmsDesign {
            service: "ContosoDMS".into(),
            share_path: r"\\CONTOSOFILE\SmartHotelDB".into(),
            share_user: r"CONTOSO\svc-backup".into(),
            runtime_host: "CONTOSOIR".into(),
            sql_server: "SQLVM".into(),
            sql_user: "svc-dms".into(),
            ..DmsDesign::default()
        },
        keep_source_days: 30,
        retired_folder: "Migrated to Azure".into(),
        rule_pack: crate::rules::CURRENT.id.into(),
    }
}

/// A rehearsal project of the sample with these connections. Speed 1 to 10,000.
pub fn project(id: &str, connections: Connections, speed: u32, seed: u64) -> Project {
    let design = design();
    Project {
        id: id.into(),
        name: "SmartHotel".into(),
        rehearsal: true,
        rehearsal_speed: speed,
        rehearsal_seed: seed,
        rehearsal_fault: None,
        connections,
        vcenter_certificate: None,
        sql_certificate: None,
        managed_certificate: None,
        design,
        appliance: None,
    }
}
