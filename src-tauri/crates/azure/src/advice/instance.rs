//! Managed instances: what their create, change and delete refuse, and the states in which a creation may seem stuck.
//!
//! Codes: Microsoft's OpenAPI file ManagedInstances.json of 2021-11-01, the list at ManagedInstances_CreateOrUpdate and
//! _Delete (snapshot of 5 November 2024). States: Microsoft, "Troubleshoot management operations stuck in
//! provisioning/starting/updating states" (troubleshoot-management-operations-stuck, 3 March 2026).

use super::Row;

const DESIGN: &str = "Correct it in the design.";
const LATER: &str = "Nothing to do: Rehost waits and tries again.";
const SUPPORT: &str =
    "Retry once. If it stays, open a support request in the portal (Help + support) with the correlation ID.";

#[rustfmt::skip]
pub(super) const TABLE: &[Row] = &[
    // Names and sign-in.
    Row("InvalidServerName", "The instance's name is not allowed", "It must have 1 to 63 small letters, digits and hyphens, and no hyphen at either end.", "Choose another name in the design."),
    Row("ServerAlreadyExists", "The name {name} is taken", "The names of managed instances and SQL servers are unique in the world.", "Choose another name in the design."),
    Row("InvalidIdentifier InvalidUsername", "A name holds a character that is not allowed", "Azure SQL accepts no null, control or unusual Unicode characters here.", "Correct the names of instance, administrator and database in the design."),
    Row("PasswordTooShort PasswordTooLong", "The administrator's password has the wrong length", "It needs 16 to 128 characters.", "Enter another password in Connections."),
    Row("TokenTooLong", "A value is too long", "A name, password or signature in the request is longer than Azure SQL accepts.", "Shorten the names in the design; for a SAS, retry the task that issues it."),
    Row("AadOnlyAuthenticationIsEnabled", "The instance accepts Entra accounts only", "Entra-only authentication is on, so an SQL administrator with a password cannot be used or changed.", "Its administrator switches it off: portal > the instance > Microsoft Entra ID > Support only Microsoft Entra authentication."),
    Row("InvalidExternalAdministratorLogin InvalidExternalAdministratorSid InvalidExternalAdministratorTenantId ExternalAdministratorPrincipalType MissingExternalAdministratorWithAadOnlyAuth", "The Entra administrator is not complete", "Name, object ID, tenant ID and kind (User, Group, Application) must all be given and fit together.", "Copy them from portal > Microsoft Entra ID > Users or Groups > the account > Overview into the design."),
    Row("ExternalAdministratorLoginSameAsSqlAdmin", "The two administrators have the same name", "The Entra administrator and the SQL administrator must have different names.", "Choose another name for the SQL administrator in the design."),

    // Size, hardware, licence, storage.
    Row("InvalidVcoreValue", "The number of vCores is not offered", "The hardware of the design does not come with so many vCores in this region.", "Choose one of the sizes that the Design screen offers."),
    Row("InvalidHardwareGenerationValue ManagedInstanceDeprecatedHardwareFamily MigrationToGen4SubnetNotSupported", "The hardware is not offered", "This hardware generation does not exist, or is being retired.", "Choose GP_Gen5 or BC_Gen5 in the design."),
    Row("InvalidStorageSizeValue", "The storage size is not allowed", "It must be a multiple of 32 GB, within the limits of the size.", DESIGN),
    Row("ManagedInstanceInvalidStorageSizeLessThenCurrentSizeUsed", "The storage is smaller than what is in use", "An instance cannot be made smaller than its databases.", "Choose more storage in the design."),
    Row("ManagedInstanceExceedMaxAzureStorage", "The databases need more files than the storage allows", "A General Purpose instance has 35 TB of storage in all, counted in the sizes of the disks behind the files.", "Use fewer files for each database, or choose Business Critical in the design."),
    Row("ManagedInstanceFileExceededMaxAzureStorageFileSizeLimit", "A database file is too large for General Purpose", "A file can have 8 TB at most.", "The database administrator splits the file, or choose Business Critical in the design."),
    Row("GatewayInvalidEdition", "The tier is not known", "Azure SQL does not offer this tier.", "Choose General Purpose or Business Critical in the design."),
    Row("CloudLifterUnsupportedFeature ManagementServiceFeatureDisabled", "Azure does not offer this here", "The function is switched off for managed instances in this region or subscription.", "Leave the setting out of the design, or let an owner ask for it in the portal: Help + support."),
    Row("ManagedInstanceSloUpdateFailed", "The instance uses more than the new size has", "Its memory or storage in use does not fit into the size that was asked for.", "Choose a larger size in the design."),
    Row("ManagedInstanceLocalStorageUpdateSloDisabled HkCannotSwitchToInactive", "The tier cannot be changed now", "Business Critical instances, and those with memory-optimized objects, cannot simply become General Purpose.", "Keep the tier, or remove the memory-optimized objects first."),
    Row("InstancePoolNotEnoughCapacity InstancePoolNotFound", "The instance pool cannot take the instance", "The pool is full, or it is not there.", "Create the instance without a pool, or enlarge the pool: portal > the pool > Compute + storage."),
    Row("ServerQuotaExceeded", "The quota of managed instances is used up", "The subscription may not have more instances or vCores in this region.", "An owner asks for more in the portal: Help + support > New support request > Service and subscription limits > SQL Managed Instance."),
    Row("RegionDoesNotSupportVersion", "The region does not offer this version", "Managed instances of this version cannot be created there.", "Choose another region in the design."),
    Row("ManagedInstanceZoneRedudantFeatureNotSupported ManagedInstanceZoneRedudantFeatureCantBeEnabled ManagedInstanceZoneRedudantFeatureCantBeDisabled", "Zone redundancy cannot be set so", "The tier or region does not offer it, or it cannot be changed after the creation.", "Choose it before the creation, with a tier and region that offer it, or leave it out of the design."),
    Row("ManagedInstanceBackupStorageTypeNotSupported MiGeoRestoreWithWrongBackupStorageRedundancy UpdatingInstanceAndBackupRedundancy BackupRedundancyUpdateAndInstanceRedundancyConflict InstanceRedundancyUpdateAndBackupRedundancyConflict", "The redundancy of the backups does not fit", "The kinds of redundancy of the instance and of its backups must go together, and cannot be changed at once.", "Choose backup redundancy Local (or Zone for a zone-redundant instance) in the design; change the other one afterwards."),
    Row("InstanceNotReadyForBackupRedundancyUpdate BackupRedundancyUpdateConflict InstanceRedundancyUpdateWhileBackupRedundancyUpdateInProgress", "The redundancy is just being changed", "One change of redundancy must end before the next.", LATER),

    // Collation, time zone, settings.
    Row("CreateManagedInstanceWithNonDefaultCollationNotSupported", "Only the usual collation is offered here", "In this region an instance is created with SQL_Latin1_General_CP1_CI_AS only.", "Choose SQL_Latin1_General_CP1_CI_AS in the design; databases keep their own collation."),
    Row("InstanceCollationUpdateNotSupported InstanceTimezoneUpdateNotSupported UpdateOfParameterNotSupported SubnetIdCantBeUpdated", "This cannot be changed after the creation", "Collation, time zone and some other settings of an instance are fixed when it is created.", "Keep what the instance has, or create another one with a new name in the design."),
    Row("CreateManagedInstanceWithNonDefaultTimezoneNotSupported", "Only UTC is offered here", "In this region an instance is created with time zone UTC only.", "Choose UTC in the design."),
    Row("InvalidMinimalTlsVersion", "The TLS version is not known", "It must be one of None, 1.0, 1.1, 1.2, 1.3.", "Choose 1.2 in the design."),
    Row("InvalidLocation", "The region is not known", "Azure SQL does not know this region.", "Choose another region in the design."),
    Row("InvalidParameterValue InvalidResourceId MismatchingResourceGroupNameWithUrl MismatchingSubscriptionWithUrl MismatchingServerNameWithUrl", "A value in the request is not allowed", "Azure's message names it.", "Correct it in the design; if it is not from the design, report it with the correlation ID."),
    Row("InvalidMaintenanceWindowSettings InvalidMaintenanceWindowProperty InvalidMaintenanceWindowPropertyNull InvalidMaintenanceWindowTypeWithPropertySpecified UpdateManagedServerWithMaintenanceWindowNotAllowed", "The maintenance window is not allowed", "The region does not offer this window, or it cannot be set together with this change.", "Leave the maintenance window at its default in the design."),
    Row("MissingIdentityId InvalidPrimaryIdentityId MissingPrimaryIdentity InvalidIdentityTypeForKeyId PrimaryIdentityMissingPermissionForKeyId UmiMissingAkvPermissions", "The instance's identity does not fit its key", "An own encryption key needs a user-assigned identity that is named as the primary one and may read the key.", "The key vault's owner gives the identity Get, Wrap Key and Unwrap Key; or leave the own key out of the design."),

    // Network.
    Row("VnetResourceNotFound", "A part of the network was not found", "The network, subnet, route table or security group was deleted.", "Retry the task that creates the network."),
    Row("VnetAddressRangeError CreateManagedInstanceInvalidSubnetSize", "The subnet is too small, or its range is not valid", "A managed instance's subnet needs 32 addresses (/27) at least.", "Choose a larger subnet in the design. A subnet in use cannot grow."),
    Row("VnetConfigIsNotAllowed ManagedInstanceClassicVnetNotSupported", "The network does not suit a managed instance", "Something in its configuration is not allowed: it is a classic network, or uses what managed instances do not support, such as IPv6.", "Choose another network in the design."),
    Row("VnetPrepareNIPFailed", "The subnet could not be prepared", "A policy, a lock or another network intent keeps Azure from adding the rules that the instance needs.", "Exempt the subnet from policies that deny Microsoft.Network/networkIntentPolicies and serviceEndpointPolicies, remove locks from the network, then retry."),
    Row("ManagedInstanceAndSubnetAreNotOnTheSameSubscription", "The subnet is in another subscription", "Instance and subnet must be in the same subscription.", "Choose a subnet of this subscription in the design."),
    Row("EmptyPDCInvalidDnsZone InvalidDnsZone InvalidManagedServerDnsZonePartner MigrationToSubnetWithDifferentDnsZoneNotSupported", "The subnet belongs to another DNS zone", "The virtual cluster in it still has the zone of an earlier instance.", "Wait until the empty cluster is gone (some hours), delete it (portal > Virtual clusters), or choose another subnet in the design."),
    Row("MigrationToAnotherVNetNotSupported SourceAndTargetSubnetsMustBeVnetPeered", "The instance cannot move to this subnet", "It is in another network, or the networks are not peered in both directions.", "Choose a subnet of the same network in the design, or peer the two."),
    Row("AddressRangeOfTargetSubnetAndSubnetOfGeoDRReplicaCantOverlap TargetSubnetMustBeConfiguredToAllowGeoDRReplication", "The subnet does not suit the instance's replica", "Its range overlaps the replica's subnet, or its rules keep the two from reaching each other.", "Choose another subnet, or allow ports 5022 and 11000-11999 between the two in both directions."),

    // Other instances, replicas, links.
    Row("ManagedInstanceHasGeoReplica InstanceFailoverGroupDoesNotExist DropDisallowedDuringFailover GeoReplicationDatabaseNotPrimary GeoReplicationDatabaseNotSecondary", "A failover group stands in the way", "The instance or database has a replica in another region, or the group is just failing over.", "Its administrator ends the failover, or removes the group: portal > the instance > Failover groups."),
    Row("UnableToResolveRemoteServer SourceServerNotFound", "The partner instance was not found", "Its name cannot be resolved.", "Check the partner's name in the design, and the network's DNS servers."),
    Row("OperationCanNotStartDueToMiLink", "A managed instance link is being created", "A database on it is in the middle of being linked to a SQL Server.", "Its administrator waits until the link is there, or deletes it: portal > the instance > Databases. Then retry."),
    Row("ServerOverridePreconditionFailed", "The instance is not ready for this", "A database or the instance itself is not in state Ready.", SUPPORT),

    // Not now.
    Row("ManagedInstanceUpdateSloInProgress ConflictingManagedInstanceOperation ConflictingServerOperation ManagedInstanceIsBusy ManagedInstanceStarting", "The managed instance is being changed", "An instance does one management operation at a time.", LATER),
    Row("ManagedInstanceStoppingOrStopped", "The managed instance is stopped", "A stopped instance cannot be changed.", "Its administrator starts it: portal > the instance > Start; or az sql mi start --ids {scope}. Starting takes some 20 minutes."),
    Row("ServerDisabled", "The managed instance is disabled", "Azure has disabled it, most often because the subscription was disabled.", "Its owner looks in the portal: Subscriptions > the subscription > Overview."),
    Row("SubscriptionDisabled", "The subscription is disabled", "Nothing in a disabled subscription can be changed.", "Its owner reactivates it in the portal: Subscriptions > the subscription > Overview > Reactivate."),
    Row("AlterDbDeactivatedNotSupported GatewayInternalServerError", "Azure SQL had an internal error", "The fault is on Azure's side.", "Rehost tries again. If it stays, look at https://status.azure.com and open a support request with the correlation ID."),
    Row("ServerNotFound ServerNotInSubscription ServerNotInSubscriptionResourceGroup ManagedInstanceNotInSubscriptionResourceGroup SubscriptionDoesNotHaveServer ResourceDoesNotExist", "{name} was not found", "The managed instance was never created, or somebody deleted it.", "Check the name in the design. If it was deleted, retry the task that creates it."),
    Row("OperationIdNotFound", "Azure no longer knows the operation", "Azure forgets operations some days after their end.", "Nothing to do: Rehost looks at the resource itself."),
];

/// What a state means in which a managed instance stays while it is created, started or changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct State {
    /// As Azure writes it.
    pub name: &'static str,
    pub means: &'static str,
    /// What a person can look at, and what to do.
    pub advice: &'static str,
    /// Hours in this state after which Microsoft wants to hear of it; none where it depends on the size.
    pub escalate_after_hours: Option<u32>,
}

const STATES: &[State] = &[
    State {
        name: "Provisioning",
        means: "Azure builds the virtual cluster and the machines under the instance.",
        advice: "Wait; a first instance in a subnet can take several hours. Meanwhile check the subnet's rules, the quota of vCores and the region's capacity.",
        escalate_after_hours: Some(6),
    },
    State {
        name: "ReadyForCreationKickOff",
        means: "Azure has accepted the request and queues it behind other work in the same subnet.",
        advice: "Wait; it begins when the operations before it have ended (portal > the virtual cluster > Operations).",
        escalate_after_hours: Some(1),
    },
    State {
        name: "WaitingForManagedServerActivation",
        means: "The machines are ready, and SQL Server is being started on them.",
        advice: "Wait some minutes; look for an incident in portal > Service Health.",
        escalate_after_hours: Some(1),
    },
    State {
        name: "CreatingPhysicalDatabase",
        means: "The system databases are being created.",
        advice: "Wait; check that nothing in the subnet's rules keeps the instance from Azure Storage.",
        escalate_after_hours: Some(2),
    },
    State {
        name: "WaitingForOperationToComplete",
        means: "A step underneath, such as copying data to a replica, goes on.",
        advice: "Wait, and begin nothing else on this instance or subnet. The time grows with the size of the databases.",
        escalate_after_hours: None,
    },
    State {
        name: "NoComputeAvailable",
        means: "Azure has no free machines of this kind in the region now.",
        advice: "Retry in some hours. If it fails several times, choose another region or size in the design, or ask Microsoft for capacity (Help + support).",
        escalate_after_hours: Some(4),
    },
    State {
        name: "Starting",
        means: "The instance starts after a stop, a maintenance or a failover.",
        advice: "Wait; it takes some 20 minutes, or hours if a virtual cluster must be built.",
        escalate_after_hours: Some(4),
    },
    State {
        name: "Updating",
        means: "Size, tier, hardware or maintenance window are being changed.",
        advice: "Wait, and begin no other change.",
        escalate_after_hours: None,
    },
];

/// Looks up what a state of an instance means that is not done yet. Never a reason to delete the instance, to retry while
/// the operation runs, or to change something else on it: Microsoft advises against all three.
pub fn state(name: &str) -> Option<&'static State> {
    STATES.iter().find(|s| s.name.eq_ignore_ascii_case(name))
}
