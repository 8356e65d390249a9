//! Step 5: appliance, policy, replication.
//!
//! What people do on the appliance: MicrosoftDocs/azure-docs, `deploy-vmware-azure-replication-appliance-modernized`
//! (2023-08) and `replication-appliance-support-matrix` (2026-04). What stands in neither says "(unverified)".

use super::builder::*;

impl Builder<'_> {
    pub(super) fn step5(&self) -> Step {
        let tasks = match self.d.replication {
            ReplicationMethod::InMageRcm => self.replicate_by_site_recovery(),
            ReplicationMethod::VMwareCbt => self.replicate_by_migrate(),
        };
        step(5, "Replicate WEBVM", tasks)
    }

    /// Deployment planning, with the limits of one appliance in words.
    pub(super) fn capacity(&self, limits: &str) -> T {
        let d = self.d;
        task(
            5,
            "check-capacity",
            d.replication_home(),
            "Deployment planning is done",
            &format!("Checks the source machine once more against the limits of one appliance ({limits})."),
            Action::CheckVm {
                vm: d.web_vm.clone(),
                method: d.replication,
                size: d.web_vm_size.clone(),
            },
        )
        .after(&[&format!("4/check-vm/{}", d.web_vm)])
        .why("The scenario asks to confirm that deployment planning was completed.")
        .nodes(&[format!("vm/{}", d.web_vm)])
    }

    fn replicate_by_site_recovery(&self) -> Vec<T> {
        let d = self.d;
        let vault = self.vault();
        let policy = vault.child("replicationPolicies", &d.policy);
        let appliance = self.appliance_node();
        let flow = [
            format!("vm/{}", d.web_vm),
            appliance.clone(),
            format!("vault/{}", d.vault),
            "flow/replication".to_owned(),
        ];
        vec![
                self.capacity("200 machines"),
                self.deploy_appliance(
                    "replication",
                    &[&format!("3/vault/{}", d.vault)],
                    "The appliance discovers VMs, receives their changes and sends them to Azure.",
                    &[
                        format!("Azure portal, vault {}, Getting started, Site Recovery, VMware machines to Azure, Prepare infrastructure: download the OVF template of the replication appliance, and copy the appliance key.", d.vault),
                        format!("Choose Deploy with Rehost on this page and the downloaded file; or, in the vSphere Client, {}, Deploy OVF Template: name it {}, 8 CPU, 16 GB, disks 80 GB and 620 GB, on the management network.", d.datacenter, d.appliance),
                        "Power it on, accept the licence, set the administrator's password and choose Finalize; it restarts.".into(),
                        "It needs ports 443 and 9443 (from the VMs), and a fixed name in DNS.".into(),
                    ],
                ),
                self.register_appliance(
                    "Register the appliance in the vault",
                    "Waits until the vault lists the appliance's fabric.",
                    await_some(
                        &format!("{vault}/replicationFabrics"),
                        vec![Expect::equal("/properties/customDetails/instanceType", "InMageRcm")],
                        vec![
                            fact("asr.fabric", "/id"),
                            fact("asr.site", "/properties/customDetails/vmwareSiteId"),
                            fact("asr.processServer", "/properties/customDetails/processServers/0/id"),
                        ],
                        "The vault lists no replication appliance yet.",
                    ),
                    &[
                        "Sign in to the appliance: the Microsoft Azure Appliance Configuration Manager opens by itself and checks what it needs.".into(),
                        "Choose how the VMs reach the appliance, by name rather than by address. The network card can't be changed later (unverified).".into(),
                        format!("Paste the appliance key, choose Login and enter the shown code within 5 minutes, as a user with the Entra role Application Developer who is owner of the subscription, or contributor and User Access Administrator. It must then show {} and vault {}.", d.failover_group, d.vault),
                        format!("Choose Add vCenter Server and enter vCenter and the account {}. {PASSWORD_RULE}", d.vcenter_principal),
                        format!("Choose Add virtual machine credentials and enter {}, for the installation of the Mobility service; then Continue. It takes up to 30 minutes.", d.mobility_account),
                    ],
                )
                .secs(720, 86_400, "a person's time")
                .back("Unregister in the vault, Site Recovery infrastructure."),
                task(
                    5,
                    "check-appliance",
                    &d.appliance,
                    "The appliance is healthy",
                    "Reads the vault's list of replication appliances.",
                    await_some(
                        &format!("{vault}/replicationAppliances"),
                        vec![Expect::equal(
                            "/properties/providerSpecificDetails/appliances/*/processServer/health",
                            "Normal",
                        )],
                        vec![],
                        "Open the vault, Site Recovery infrastructure, and look at the appliance's components.",
                    ),
                )
                .after(&["5/person/register-appliance"])
                .why("An unhealthy appliance lets replication start and then lag.")
                .nodes(std::slice::from_ref(&appliance)),
                self.check_container("5/person/register-appliance")
                    .why("Replicated items live in it."),
                self.check_machine("5/person/register-appliance", vec![], vec![]),
                task(
                    5,
                    "check-account",
                    &d.mobility_account,
                    "The appliance knows the Mobility account",
                    "Looks for the account among those entered in the appliance.",
                    await_some(
                        "${asr.site}/runAsAccounts",
                        vec![Expect::equal("/properties/displayName", d.mobility_account.as_str())],
                        vec![fact("asr.mobilityAccount", "/id")],
                        &format!("Add the account {} in the appliance's configuration manager.", d.mobility_account),
                    ),
                )
                .after(&["5/person/register-appliance", "4/person/mobility-account"])
                .why("Without it the Mobility service can't be installed by push.")
                .nodes(std::slice::from_ref(&appliance)),
                task(
                    5,
                    "policy",
                    &d.policy,
                    &format!("Replication policy {}", d.policy),
                    "Creates the policy: recovery points kept 24 hours, application-consistent snapshots every 60 minutes.",
                    put(
                        policy.clone(),
                        json!({ "properties": { "providerSpecificInput": {
                            "instanceType": "InMageRcm", "recoveryPointHistoryInMinutes": 1440,
                            "crashConsistentFrequencyInMinutes": 5, "appConsistentFrequencyInMinutes": 60,
                            "enableMultiVmSync": "false" } } }),
                    ),
                )
                .after(&[&format!("3/vault/{}", d.vault)])
                .why("It says how often recovery points are made and how long they are kept; these are the scenario's defaults.")
                .secs(30, 120, NOT_PUBLISHED)
                .back("Delete the policy (step 8 does).")
                .nodes(&[format!("vault/{}", d.vault)]),
                task(
                    5,
                    "mapping",
                    &d.policy,
                    "Associate the policy with the appliance",
                    "Maps the protection container of the appliance to Azure with this policy.",
                    put(
                        ResourceId::new("${asr.container}").child("replicationProtectionContainerMappings", &format!("{}-mapping", d.policy)),
                        // InMageRcm has no input of its own here: the base type's name, as in Microsoft's example.
                        json!({ "properties": { "targetProtectionContainerId": "Microsoft Azure", "policyId": policy,
                            "providerSpecificInput": { "instanceType": "ReplicationProviderSpecificContainerMappingInput" } } }),
                    ),
                )
                .after(&[&format!("5/policy/{}", d.policy), &format!("5/check-container/{}", d.vault)])
                .why("A policy works only where it is mapped.")
                .secs(30, 120, NOT_PUBLISHED)
                .back("Remove the mapping (step 8 does).")
                .nodes(&[format!("vault/{}", d.vault), appliance]),
                task(
                    5,
                    "protect",
                    &d.web_vm,
                    &format!("Enable replication of {}", d.web_vm),
                    "Installs the Mobility service by push and starts replicating the VM's disks.",
                    Action::Put {
                        id: self.item(),
                        body: json!({ "properties": { "policyId": policy, "providerSpecificDetails": {
                            "instanceType": "InMageRcm", "fabricDiscoveryMachineId": "${asr.machine}",
                            "processServerId": "${asr.processServer}", "runAsAccountId": "${asr.mobilityAccount}",
                            "targetResourceGroupId": self.target, "targetNetworkId": self.vnet(&d.prod_network),
                            "targetSubnetName": d.prod_frontend_subnet, "testNetworkId": self.vnet(&d.test_network),
                            "testSubnetName": d.test_subnet, "targetVmName": d.web_vm, "targetVmSize": d.web_vm_size,
                            "licenseType": "NoLicenseType",
                            "disksDefault": { "diskType": "Premium_LRS", "logStorageAccountId": self.account(&d.cache_account) } } } }),
                        facts: vec![fact("asr.item", "/id")],
                        follow: self.job(),
                    },
                )
                .after(&[
                    &format!("5/mapping/{}", d.policy),
                    &format!("5/check-machine/{}", d.web_vm),
                    &format!("5/check-account/{}", d.mobility_account),
                    &format!("5/check-appliance/{}", d.appliance),
                    &format!("5/check-capacity/{}", d.vault),
                    &format!("3/storage/{}", d.cache_account),
                    &format!("3/check-subnet/{}", d.prod_frontend_subnet),
                    &format!("3/vnet/{}", d.test_network),
                    &format!("3/check-size/{}", d.web_vm_size),
                    &format!("1/group/{}", d.target_group),
                    "4/readiness/san",
                ])
                .why("From here on every change on WEBVM is sent to Azure; the VM goes on working.")
                .secs(720, 1800, NOT_PUBLISHED)
                .cost("Site Recovery per instance, plus storage of the replica disks.")
                .back("Disable replication; the Mobility service can be uninstalled.")
                .nodes(&flow),
                task(
                    5,
                    "replicate",
                    &d.web_vm,
                    &format!("Initial replication of {}", d.web_vm),
                    "Follows the first copy of the disks until the item is protected.",
                    Action::Check {
                        id: self.item(),
                        condition: vec![Expect::equal("/properties/protectionState", "Protected")],
                        absent: false,
                        wait: true,
                        facts: vec![],
                        follow: Follow::Resource {
                            percent: "/properties/providerSpecificDetails/initialReplicationProgressPercentage".into(),
                            text: vec!["/properties/protectionStateDescription".into(), "/properties/replicationHealth".into()],
                        },
                        otherwise: "Initial replication goes on.".into(),
                    },
                )
                .after(&[&format!("5/protect/{}", d.web_vm)])
                .why("A test or failover needs a complete first copy.")
                .secs(5700, 14_400, "depends on disk size and bandwidth; assumed for 60 GB")
                .back("Disable replication.")
                .nodes(&flow),
                task(
                    5,
                    "recovery-point",
                    &d.web_vm,
                    "Finalize protection: first recovery point",
                    "Waits for the first recovery point.",
                    Action::Check {
                        id: self.item(),
                        condition: vec![
                            Expect::equal("/properties/allowedOperations/*", "TestFailover"),
                            Expect::present("/properties/providerSpecificDetails/lastRecoveryPointId"),
                        ],
                        absent: false,
                        wait: true,
                        facts: vec![fact("asr.recoveryPoint", "/properties/providerSpecificDetails/lastRecoveryPointId")],
                        follow: Follow::Resource {
                            percent: String::new(),
                            text: vec!["/properties/providerSpecificDetails/lastRecoveryPointReceived".into()],
                        },
                        otherwise: "The first recovery point comes within the policy's frequency.".into(),
                    },
                )
                .after(&[&format!("5/replicate/{}", d.web_vm)])
                .why("After it the machine is ready for failover.")
                .secs(300, 900, "policy: crash-consistent points every 5 minutes")
                .nodes(&flow),
            ]
    }
}
