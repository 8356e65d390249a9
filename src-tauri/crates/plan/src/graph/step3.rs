//! Step 3: storage, networks and vault for Site Recovery, or the project of Azure Migrate.

use super::builder::*;

impl Builder<'_> {
    pub(super) fn step3(&self) -> Step {
        let d = self.d;
        let mut tasks = self.target_tasks();
        tasks.extend(match d.replication {
            ReplicationMethod::InMageRcm => self.vault_tasks(),
            ReplicationMethod::VMwareCbt => self.project_tasks(),
        });
        step(3, "Prepare Azure for Site Recovery", tasks)
    }

    /// What both methods need.
    fn target_tasks(&self) -> Vec<T> {
        let d = self.d;
        vec![
                register(3, "Microsoft.RecoveryServices", "The vault belongs to this provider."),
                register(3, "Microsoft.Compute", "The migrated VM belongs to this provider."),
                task(
                    3,
                    "check-size",
                    &d.web_vm_size,
                    &format!("{} can be had in {}", d.web_vm_size, d.location_name),
                    "Checks that the VM size is offered without restriction and that the quota suffices for test and migration.",
                    Action::CheckSize { location: d.location.clone(), size: d.web_vm_size.clone(), vcpus: 8 },
                )
                .after(&["3/provider/Microsoft.Compute"])
                .why("Without quota the failover would fail in the change window.")
                .nodes(&[format!("azvm/{}", d.web_vm)]),
                task(
                    3,
                    "check-subnet",
                    &d.prod_frontend_subnet,
                    &format!("Subnet {} can take WEBVM", d.prod_frontend_subnet),
                    "Reads the subnet in which the VM will be placed.",
                    exists(
                        self.vnet(&d.prod_network).child("subnets", &d.prod_frontend_subnet),
                        vec![Expect::equal("/properties/provisioningState", "Succeeded")],
                        "Ask the network team to create the subnet.",
                    ),
                )
                .after(&[&format!("1/check-network/{}", d.prod_network)])
                .why("Site Recovery needs an existing network to fail over into.")
                .nodes(&[format!("subnet/{}", d.prod_frontend_subnet)]),
                task(
                    3,
                    "vnet",
                    &d.test_network,
                    &format!("Test network {}", d.test_network),
                    &format!("Creates {} without any peering, for the test failover.", d.test_space),
                    put(
                        self.vnet(&d.test_network),
                        json!({ "location": d.location, "properties": {
                            "addressSpace": { "addressPrefixes": [d.test_space.to_string()] },
                            "subnets": [{ "name": d.test_subnet, "properties": { "addressPrefix": d.test_subnet_space.to_string() } }] } }),
                    ),
                )
                .after(&["1/provider/Microsoft.Network", &format!("1/group/{}", d.networking_group)])
                .why("A test copy in an isolated network can't answer for the real WEBVM.")
                .secs(8, 40, NOT_PUBLISHED)
                .back("Delete the network after the test clean-up (step 8 does).")
                .nodes(&[format!("net/{}", d.test_network), format!("subnet/{}", d.test_subnet)]),
                task(
                    3,
                    "check-retired",
                    "replication",
                    "Retired generations of replication",
                    "Looks through the subscription's vaults for configuration servers and machines that they replicate, and says what became of them.",
                    Action::CheckRetired { vm: d.web_vm.clone() },
                )
                .after(&["3/provider/Microsoft.RecoveryServices"])
                .why("Microsoft has switched them off: nothing may be built on them, and what they still hold should be known. A machine can't be replicated twice.")
                .nodes(&[format!("vault/{}", d.replication_home())]),
            ]
    }

    /// Site Recovery: cache account and vault.
    fn vault_tasks(&self) -> Vec<T> {
        let d = self.d;
        let [free, account] = self.storage_account(
            3,
            &d.cache_account,
            "Creates the general-purpose LRS account through which replicated data goes.",
        );
        vec![
                free,
                account
                    .why("Site Recovery caches replicated data in it before it writes managed disks.")
                    .cost("Storage and transactions while the VM replicates.")
                    .back("Delete the account after replication was stopped (step 8 does)."),
                task(
                    3,
                    "vault",
                    &d.vault,
                    &format!("Recovery Services vault {}", d.vault),
                    "Creates the vault that holds policy, replicated items, jobs and recovery plan.",
                    put(
                        self.vault(),
                        json!({ "location": d.location, "sku": { "name": "RS0", "tier": "Standard" },
                            "identity": { "type": "SystemAssigned" }, "properties": { "publicNetworkAccess": "Enabled" } }),
                    ),
                )
                .after(&["3/provider/Microsoft.RecoveryServices", &format!("2/group/{}", d.failover_group)])
                .why("Today's replication appliance needs a new vault of its own.")
                .secs(15, 90, NOT_PUBLISHED)
                .cost("Site Recovery charges per protected instance after 31 days.")
                .back("Delete the vault once it is empty (step 8 does).")
                .nodes(&[format!("vault/{}", d.vault)]),
            ]
    }
}
