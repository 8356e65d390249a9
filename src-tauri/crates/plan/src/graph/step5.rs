//! Step 5: appliance, policy, replication.

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
        let appliance = format!("appliance/{}", d.appliance);
        let flow = [
            format!("vm/{}", d.web_vm),
            appliance.clone(),
            format!("vault/{}", d.vault),
            "flow/replication".to_owned(),
        ];
        vec![
                self.capacity("200 machines"),
                task(
                    5,
                    "person",
                    "deploy-appliance",
                    &format!("Deploy the replication appliance {}", d.appliance),
                    &format!("Waits until a VM named {} runs in vCenter.", d.appliance),
                    Action::CheckVmRuns { vm: d.appliance.clone() },
                )
                .after(&[&format!("3/vault/{}", d.vault), &format!("4/permission/{}", d.datacenter)])
                .why("The appliance discovers VMs, receives their changes and sends them to Azure. It replaces the configuration server.")
                .secs(1200, 86_400, "a person's time")
                .back("Delete the appliance VM in vCenter.")
                .person(
                    "vCenter administrator",
                    &[
                        format!("Azure portal, vault {}, Site Recovery, VMware machines to Azure, Prepare infrastructure, Deploy replication appliance: download the OVA.", d.vault),
                        format!("vSphere Client, {}, Deploy OVF Template: name it {}, 8 CPU, 16 GB, disks 80 GB and 620 GB, on the management network.", d.datacenter, d.appliance),
                        "Power it on, accept the licence, set the administrator's password.".into(),
                        "It needs ports 443 (out) and 9443 (from the VMs), and a fixed name in DNS.".into(),
                    ],
                    None,
                )
                .nodes(std::slice::from_ref(&appliance)),
                task(
                    5,
                    "person",
                    "register-appliance",
                    "Register the appliance in the vault",
                    "Waits until the vault lists the appliance's fabric.",
                    Action::Find {
                        list: ResourceId::new(format!("{vault}/replicationFabrics")),
                        condition: vec![Expect::equal("/properties/customDetails/instanceType", "InMageRcm")],
                        wait: true,
                        facts: vec![
                            fact("asr.fabric", "/id"),
                            fact("asr.site", "/properties/customDetails/vmwareSiteId"),
                            fact("asr.processServer", "/properties/customDetails/processServers/0/id"),
                        ],
                        otherwise: "The vault lists no replication appliance yet.".into(),
                    },
                )
                .after(&["5/person/deploy-appliance"])
                .why("Only the appliance's own configuration manager can register it; there is no documented call for it.")
                .secs(720, 86_400, "a person's time")
                .back("Unregister in the vault, Site Recovery infrastructure.")
                .person(
                    "vCenter administrator",
                    &[
                        "On the appliance, open the Microsoft Azure Appliance Configuration Manager (desktop shortcut).".into(),
                        format!("Sign in to Azure; choose subscription, {} and vault {}; paste the vault's appliance key.", d.failover_group, d.vault),
                        format!("Choose the network card for replication traffic: it can't be changed later. Enter vCenter and the account {}.", d.vcenter_principal),
                        format!("Add the account {} for the installation of the Mobility service, and finish.", d.mobility_account),
                    ],
                    None,
                )
                .nodes(&[appliance.clone(), format!("vault/{}", d.vault)]),
                task(
                    5,
                    "check-appliance",
                    &d.appliance,
                    "The appliance is healthy",
                    "Reads the vault's list of replication appliances.",
                    Action::Find {
                        list: ResourceId::new(format!("{vault}/replicationAppliances")),
                        condition: vec![Expect::equal(
                            "/properties/providerSpecificDetails/appliances/*/processServer/health",
                            "Normal",
                        )],
                        wait: true,
                        facts: vec![],
                        otherwise: "Open the vault, Site Recovery infrastructure, and look at the appliance's components.".into(),
                    },
                )
                .after(&["5/person/register-appliance"])
                .why("An unhealthy appliance lets replication start and then lag.")
                .nodes(std::slice::from_ref(&appliance)),
                task(
                    5,
                    "check-container",
                    &d.vault,
                    "The protection container is there",
                    "Reads the container that the registration made.",
                    Action::Find {
                        list: ResourceId::new("${asr.fabric}/replicationProtectionContainers"),
                        condition: vec![Expect::present("/id")],
                        wait: true,
                        facts: vec![fact("asr.container", "/id")],
                        otherwise: "The registration isn't finished yet.".into(),
                    },
                )
                .after(&["5/person/register-appliance"])
                .why("Replicated items live in it."),
                task(
                    5,
                    "check-machine",
                    &d.web_vm,
                    &format!("{} was discovered", d.web_vm),
                    "Waits until the appliance has discovered the VM through vCenter.",
                    Action::Find {
                        list: ResourceId::new("${asr.site}/machines"),
                        condition: vec![Expect::equal("/properties/displayName", d.web_vm.as_str())],
                        wait: true,
                        facts: vec![fact("asr.machine", "/id"), fact("asr.machineName", "/name")],
                        otherwise: "Discovery takes 15 minutes or more. If it stays empty, check vCenter address and account in the appliance.".into(),
                    },
                )
                .after(&["5/person/register-appliance"])
                .why("Only discovered machines can be replicated.")
                .secs(900, 1800, "scenario: 15 minutes or more")
                .nodes(&[format!("vm/{}", d.web_vm), appliance.clone()]),
                task(
                    5,
                    "check-account",
                    &d.mobility_account,
                    "The appliance knows the Mobility account",
                    "Looks for the account among those entered in the appliance.",
                    Action::Find {
                        list: ResourceId::new("${asr.site}/runAsAccounts"),
                        condition: vec![Expect::equal("/properties/displayName", d.mobility_account.as_str())],
                        wait: true,
                        facts: vec![fact("asr.mobilityAccount", "/id")],
                        otherwise: format!("Add the account {} in the appliance's configuration manager.", d.mobility_account),
                    },
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
