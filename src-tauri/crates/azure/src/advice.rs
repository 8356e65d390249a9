//! What an error means to a person: what happened to what, why, who can fix it and how. Data, not code.
//!
//! Codes are those of Microsoft's OpenAPI files and documentation; each table names its source and date. Microsoft
//! words causes, not remedies; the remedies are ours. What an admin meets most is below; the long lists of managed
//! instances, restores, migrations and replications have files of their own.
//!
//! What could not be checked against a published source says "(unverified)" in its text, so that its reader sees it too.

mod database;
mod instance;
mod migration_service;
mod replication;

pub use instance::{State, state};

use crate::{AzureError, NetworkKind, auth, rights, versions};

/// An error in words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Advice {
    /// What happened, to what.
    pub title: String,
    /// Why, and what Azure itself says.
    pub detail: String,
    /// Who fixes it, with the click or command.
    pub hint: String,
}

/// One row: codes (with a space between them), what happened, why, what to do. In all texts `{name}`, `{type}`, `{right}`, `{scope}`, `{namespace}`,
/// `{subscription}` and `{group}` stand for what the request was about.
pub(crate) struct Row(pub &'static str, pub &'static str, pub &'static str, pub &'static str);

#[rustfmt::skip]
const TABLE: &[Row] = &[
    // Any request to the resource manager.
    Row("AuthorizationFailed", "Azure refused access to {name}", "The application has no role that contains the right {right} at {scope}.",
        "An owner of the resource group or subscription gives it one: az role assignment create --assignee CLIENT_ID --role Contributor --scope {scope} (the client ID is in Connections > Azure). A new role takes up to 5 minutes to apply; then retry."),
    Row("LinkedAuthorizationFailed", "Azure refused to link {name} to another resource", "The application may change {name}, but not use a resource that it refers to (a network, an identity, a vault).",
        "An owner of the other resource, named in Azure's message, gives the application a role on it: az role assignment create --assignee CLIENT_ID --role Contributor --scope OTHER_RESOURCE_ID."),
    Row("RoleAssignmentUpdateNotPermitted", "The role assignment cannot be changed", "A role assignment of this name exists with another role or person.", "An owner removes it in the portal: {scope} > Access control (IAM) > Role assignments."),
    Row("RequestDisallowedByPolicy", "A policy of your organisation forbids {name}", "Azure Policy denies resources of this kind or with these settings.",
        "The owner of the policy exempts the resource group: az policy exemption create --name rehost --exemption-category Waiver --policy-assignment ASSIGNMENT_ID --scope {scope} (portal: Policy > Assignments > the policy > Create exemption); or change the design so that it complies."),
    Row("ScopeLocked", "A lock protects {name}", "Somebody put a lock (CanNotDelete or ReadOnly) on the resource, its group or the subscription.",
        "An owner removes it in the portal: {scope} > Locks > Delete; then retry."),
    Row("MissingSubscriptionRegistration", "The subscription does not offer {namespace} yet", "The resource provider {namespace} is not registered in the subscription.",
        "An owner or contributor of the subscription registers it: az provider register --namespace {namespace} --wait --subscription {subscription}."),
    Row("SubscriptionNotRegistered", "The subscription does not offer {namespace} yet", "The resource provider {namespace} is not registered in the subscription.",
        "An owner or contributor of the subscription registers it: az provider register --namespace {namespace} --wait --subscription {subscription}."),
    Row("SubscriptionNotFound", "The subscription was not found", "There is no subscription {subscription} in this tenant that the application can see.",
        "Compare the subscription ID and the tenant ID with the portal (Subscriptions > Overview). If they are right, its owner gives the application a role in it."),
    Row("InvalidSubscriptionId", "The subscription ID is not valid", "`{subscription}` is not the ID of a subscription.", "Copy the ID from the portal: Subscriptions > the subscription > Overview > Subscription ID."),
    Row("ReadOnlyDisabledSubscription", "The subscription is disabled", "A disabled subscription can be read, but nothing in it can be changed.", "Its owner reactivates it in the portal: Subscriptions > the subscription > Overview > Reactivate."),
    Row("ResourceGroupNotFound", "The resource group {group} was not found", "It was never created, or somebody deleted it.", "Check the name in the design, or create the group again and retry."),
    Row("ResourceNotFound", "{name} was not found", "It was never created, or somebody deleted it.", "Check the name in the design. If it was deleted, retry the task that creates it."),
    Row("ParentResourceNotFound", "{name} cannot be created", "The resource that should hold it is not there.", "Retry the task that creates the parent resource first."),
    Row("ResourceGroupBeingDeleted", "The resource group {group} is being deleted", "Nothing can be created in it until it is gone.", "Wait until it is gone, then retry; Rehost looks again by itself."),
    Row("InvalidResourceReference", "{name} refers to a resource that is not there", "A network, subnet or other resource named in the request does not exist, or in another place.", "Check the names in the design. Azure's message says which reference is wrong."),
    Row("InvalidResourceNamespace", "Azure does not know this kind of resource", "The provider {namespace} is not offered in this cloud.", "Check that the connection is to the right cloud, and report it."),
    Row("InvalidResourceType", "Azure does not know this kind of resource", "The type {type} is not offered with this api-version.", "Report it, with the correlation ID."),
    Row("NoRegisteredProviderFound", "Azure does not offer {type} here", "The region or the api-version is not offered for this type.", "Choose another region in the design, or report it."),
    Row("LocationNotAvailableForResourceType", "The region does not offer {type}", "This kind of resource is not available in the region of the design.", "Choose another region in the design."),
    Row("LocationNotAvailableForResourceGroup", "The region is not valid for the resource group", "Azure does not offer this region to the subscription.", "Choose another region in the design."),
    Row("InvalidResourceLocation", "{name} exists in another region", "A resource of this name is already there, in another region. A resource cannot move.", "Choose another name or the other region in the design, or delete the existing resource if nobody needs it."),
    Row("InvalidResourceGroupLocation", "The resource group {group} exists in another region", "A group cannot move.", "Choose another name or that region in the design."),
    Row("InvalidResourceName", "The name {name} is not allowed", "The name breaks the rules of its type.", "Change it in the design; Azure's message says what is allowed."),
    Row("ResourceQuotaExceeded", "The quota is used up", "The subscription's limit for {type} is reached.", "An owner raises it in the portal: Quotas > the provider > Request increase; or remove what is not needed."),
    Row("QuotaExceeded", "The quota is used up", "The subscription's limit for {type} in the region is reached.", "An owner raises it in the portal: Quotas > the provider > Request increase; or choose another size or region."),
    Row("OperationNotAllowed", "Azure does not allow this now", "Most often the quota of cores in the region is used up, or the resource's state forbids it. Azure's message says which.", "For cores: an owner asks for more in the portal, Quotas > Compute > the region. Otherwise wait for the state that the message names."),
    Row("SkuNotAvailable", "The size is not available", "The region has no capacity of this size for the subscription.", "Choose another size or region in the design: az vm list-skus --location REGION --output table."),
    Row("AllocationFailed", "Azure has no capacity for this size now", "The region's hardware of this size is used up for the moment.", "Retry in some hours, or choose another size or region in the design."),
    Row("ZonalAllocationFailed", "The zone has no capacity for this size now", "The zone's hardware of this size is used up for the moment.", "Retry in some hours, or choose another zone or size."),
    Row("Conflict", "{name} is in a state that forbids this", "Azure found a conflict with the resource's present state.", "Look at the resource in the portal; retry when it is no longer changing."),
    Row("AnotherOperationInProgress", "{name} is being changed by something else", "Azure changes a network resource by one operation at a time.", "Nothing to do: Rehost waits and tries again."),
    Row("RetryableError", "{name} is busy", "Another change on it, or on something it depends on, has not finished.", "Nothing to do: Rehost waits and tries again."),
    Row("RetryableErrorDueToAnotherOperation", "{name} is locked by another change", "Azure changes a network resource by one operation at a time.", "Nothing to do: Rehost waits and tries again."),
    Row("ReferencedResourceNotProvisioned", "{name} depends on something that is not ready", "A resource that it refers to is still being created or changed.", "Nothing to do: Rehost waits and tries again."),
    Row("OperationCanceled", "The change of {name} was cancelled", "Somebody, or Azure, cancelled the operation.", "The activity log says who: portal > {name} > Activity log. Then retry."),
    Row("OperationCancelled", "The change of {name} was cancelled", "Somebody, or Azure, cancelled the operation.", "The activity log says who: portal > {name} > Activity log. Then retry."),
    Row("OperationFailed", "Azure could not finish the change of {name}", "The operation ended without a reason.", "The activity log may say more: portal > {name} > Activity log. Retry once; then open a support request with the correlation ID."),
    Row("OperationInterrupted", "The change of {name} was interrupted", "A later change took its place.", "Nothing to do: Rehost tries again."),
    Row("OperationTimedOut", "Azure gave up the change of {name}", "It took Azure too long, and Azure rolled it back.", "Nothing to do: Rehost tries again."),
    Row("RequestTimeout", "Azure did not answer in time", "The service behind the resource manager was too slow.", "Nothing to do: Rehost looks what happened and tries again."),
    Row("InternalServerError", "Azure had an internal error", "The fault is on Azure's side.", "Rehost tries again. If it stays, look at https://status.azure.com and open a support request with the correlation ID."),
    Row("ServiceUnavailable", "An Azure service is not available", "The fault is on Azure's side.", "Rehost tries again. If it stays, look at https://status.azure.com."),
    Row("TooManyRequests", "Azure asks to slow down", "The subscription or the application made too many requests in a short time.", "Nothing to do: Rehost waits as long as Azure asks."),
    Row("SubscriptionRequestsThrottled", "Azure asks to slow down", "The subscription made too many requests in a short time.", "Nothing to do: Rehost waits as long as Azure asks."),
    Row("OperationNotAllowedOnDisabledResource", "{name} is disabled", "A disabled resource cannot be changed.", "Enable it in the portal, then retry."),
    Row("ExpiredAuthenticationToken", "The sign-in has expired", "Azure no longer accepts the token.", "Rehost signs in again by itself. If it does not help, check this computer's clock."),
    Row("InvalidAuthenticationToken", "Azure does not accept the sign-in", "The token is damaged, or for another cloud.", "Check the addresses in Connections > Azure: the resource manager and the sign-in must be of the same cloud."),
    Row("InvalidAuthenticationTokenTenant", "The sign-in is for another tenant", "The subscription belongs to another tenant than the one in the connection.", "Copy the tenant ID from the portal (Subscriptions > the subscription > Overview > Parent management group / Directory) into Connections > Azure."),
    Row("AuthenticationFailed", "Azure does not accept the sign-in", "The signature or token is wrong, expired, or not valid yet.", "Check this computer's clock, then test the connection in Connections > Azure. For a container: issue the SAS again."),
    Row("DisallowedOperation", "The subscription does not allow this", "Its offer (trial, student, sponsorship) excludes the operation.", "Use a subscription of another offer, or let its owner change the offer."),
    Row("DeploymentQuotaExceeded", "The resource group holds too many deployments", "Azure keeps 800 deployments in a group.", "Delete old ones in the portal: the group > Deployments."),

    // Network.
    Row("InUseSubnetCannotBeDeleted", "The subnet is in use", "A resource still has an address in it. A managed instance keeps it until its virtual cluster is gone, up to 90 minutes after the last instance.", "Delete what is in the subnet (portal > the network > Connected devices); for a managed instance wait, then retry."),
    Row("InUsePrefixCannotBeDeleted", "The address range is in use", "Something still has an address in it.", "See the portal: the network > Connected devices."),
    Row("InUseNetworkSecurityGroupCannotBeDeleted", "The network security group is in use", "A subnet or network card still uses it.", "Delete the subnet first, or detach the group from it."),
    Row("InUseRouteTableCannotBeDeleted", "The route table is in use", "A subnet still uses it.", "Delete the subnet first, or detach the table from it."),
    Row("NetcfgInvalidSubnet", "The subnet is not valid in this network", "Its range is outside the network's address space, or overlaps another subnet.", "Correct the range in the design."),
    Row("NetcfgSubnetRangesOverlap", "The subnet overlaps another one", "Two subnets of a network cannot share addresses.", "Correct the range in the design."),
    Row("NetcfgSubnetRangeOutsideVnet", "The subnet is outside its network", "Its range is not within the network's address space.", "Correct the range in the design."),
    Row("InvalidAddressPrefixFormat", "An address range is not valid", "It is not written as 10.0.0.0/24, or the address is not the first of the range.", "Correct the range in the design."),
    Row("InvalidCIDRNotation", "An address range is not valid", "It is not written as 10.0.0.0/24.", "Correct the range in the design."),
    Row("VnetAddressSpacesOverlap", "The networks overlap", "Networks that are peered cannot share addresses.", "Change the new network's range in the design."),
    Row("VnetAddressSpaceOverlapsWithAlreadyPeeredVnet", "The network overlaps one that is already peered", "The other network has a peering with a network of the same addresses.", "Change the new network's range in the design."),
    Row("RemoteVnetHasNoGateways", "The other network has no gateway", "The peering asks to use the other network's gateway, and there is none, or it is still being created (30 to 45 minutes).", "Create the gateway, or wait until it is there (portal > Virtual network gateways), then retry."),
    Row("VnetPeeringCannotUseRemoteGateways", "The network cannot use the other one's gateway", "It has a gateway of its own, or uses that of another network already.", "Remove one of the two in the portal: the network > Peerings."),
    Row("RemotePeeringIsDisconnected", "The peering is broken on the other side", "The other network's half of the peering was deleted.", "Delete both halves in the portal (the network > Peerings) and retry."),
    Row("SubnetDelegationsCannotChangeWhenSubnetUsedByResource", "The subnet is used by something else", "A subnet in use cannot be delegated to managed instances.", "Choose another subnet in the design, or empty this one."),
    Row("SubnetMissingRequiredDelegation", "The subnet is not delegated", "Managed instances need a subnet delegated to Microsoft.Sql/managedInstances.", "Retry the task that creates the network; or portal > the subnet > Subnet delegation."),
    Row("ConflictWithNetworkIntentPolicy", "The managed instance protects its network", "The change would remove rules or routes that the managed instance put into the subnet, its security group or its route table.", "Leave these resources as they are: after the instance is created they are only added to, never replaced."),
    Row("PrivateIPAddressInUse", "The address is taken", "Another network card has this address.", "Choose another address in the design."),
    Row("PrivateIPAddressNotInSubnet", "The address is outside the subnet", "The chosen address is not in the subnet's range.", "Choose another address in the design."),
    Row("SubnetIsFull", "The subnet is full", "It has no free address. Azure itself takes five of each subnet.", "Choose a larger subnet in the design."),

    // Managed instance.
    Row("NameAlreadyExists", "The name {name} is taken", "The names of managed instances and SQL servers are unique in the world, and stay reserved for some days after a deletion.", "Choose another name in the design."),
    Row("InvalidCollation", "The collation is not known", "Azure SQL does not offer this collation.", "Choose the source server's: SELECT SERVERPROPERTY('Collation')."),
    Row("RegionDoesNotAllowProvisioning", "The region takes no new managed instances", "The subscription may not create managed instances in this region now.", "Choose another region in the design, or let an owner ask for access in the portal: Help + support > Service and subscription limits > SQL Managed Instance."),
    Row("ProvisioningDisabled", "The subscription may not create managed instances here", "Azure has switched off new instances for the subscription and region.", "An owner asks for access in the portal: Help + support > Service and subscription limits > SQL Managed Instance."),
    Row("InvalidSubnetResourceId", "The subnet of the managed instance was not found", "The ID in the request names no subnet.", "Retry the task that creates the network."),
    Row("VnetInWrongRegion", "The network is in another region", "Network and managed instance must be in the same region.", "Choose the same region for both in the design."),
    Row("VnetConfigHasInvalidUdr", "The route table does not suit a managed instance", "It holds a route that keeps the instance from its management service.", "Remove that route (portal > the route table > Routes): the table is empty before the instance is created."),
    Row("VnetConfigHasNoUdr", "The subnet has no route table", "A managed instance's subnet needs one, empty at first.", "Retry the task that creates the network; or portal > the subnet > Route table."),
    Row("VnetConfigHasNsg", "The network security group does not suit a managed instance", "It holds rules that keep the instance from its management service.", "Remove your deny rules from it until the instance is created: portal > the group > Inbound and Outbound security rules."),
    Row("VnetConfigHasInvalidDns", "The network's DNS servers do not suit a managed instance", "The instance could not resolve Azure's names through them.", "Add 168.63.129.16 as the last DNS server: portal > the network > DNS servers."),
    Row("VnetConfigHasServiceEndpoints", "The subnet has service endpoints", "A managed instance's subnet must not have them.", "Remove them: portal > the network > Service endpoints."),
    Row("VnetSubnetIsInUse", "The subnet is used by something else", "A managed instance's subnet holds managed instances only.", "Choose another subnet in the design, or empty this one."),
    Row("VnetSubnetIsLocked", "The subnet is locked", "Another operation works on the subnet, or a lock protects it.", "Wait and retry; if it stays, an owner removes the lock: portal > {group} > Locks."),
    Row("VnetSubnetIsGateway", "The subnet is the gateway's", "GatewaySubnet cannot hold a managed instance.", "Choose another subnet in the design."),
    Row("VnetSubnetIsUnknown", "The subnet was not found", "The network has no subnet of this name.", "Retry the task that creates the network."),
    Row("VnetSubnetConflictWithIntendedPolicy", "The subnet conflicts with the managed instance's needs", "Its rules or routes, or an Azure Policy, contradict those that the instance must add.", "Remove your rules and routes from the subnet's security group and route table, and exempt it from policies on network intent."),
    Row("SubnetHasResourcesOfDifferentType", "The subnet holds something else", "A managed instance's subnet holds managed instances only.", "Choose another subnet in the design, or empty this one."),
    Row("VnetDelegationNotAllowed", "The subnet is delegated to something else", "It must be delegated to Microsoft.Sql/managedInstances, and to nothing else.", "Choose another subnet in the design, or change it: portal > the subnet > Subnet delegation."),
    Row("MiCreateFailedNonDelegatedSubnet", "The subnet is not delegated", "It must be delegated to Microsoft.Sql/managedInstances.", "Retry the task that creates the network; or portal > the subnet > Subnet delegation."),
    Row("ManagedInstanceIpAddressRangeLimit", "The subnet is too small", "There are not enough free addresses for the instance; a subnet needs 32 (/27) at least.", "Choose a larger subnet in the design. A subnet in use cannot grow."),
    Row("ManagedInstanceInvalidEditionForSku", "The edition and the hardware do not match", "This SKU does not belong to the chosen tier.", "Choose GP_Gen5 for General Purpose or BC_Gen5 for Business Critical in the design."),
    Row("ManagedInstanceInvalidLicenseType", "The licence type is not known", "It must be LicenseIncluded or BasePrice.", "Correct it in the design."),
    Row("InvalidTimezone", "The time zone is not known", "Azure SQL does not know this time zone.", "Choose one of: az rest --method get --url \"{scope}/timeZones\"; UTC always works."),
    Row("ManagedInstanceOperationInProgress", "The managed instance is being changed", "An instance does one management operation at a time.", "Nothing to do: Rehost waits and tries again."),
    Row("MiDropFailedOnAuthLocks", "A lock protects the managed instance", "A lock on the instance, its group or its network keeps it from being deleted.", "An owner removes it in the portal: {scope} > Locks."),
    Row("CannotCancelOperation", "The operation can no longer be cancelled", "It is past the point where it could be.", "Wait until it ends, then delete the resource."),
    Row("SubscriptionTooManyCreateUpdateRequests", "Azure SQL asks to slow down", "The subscription has too many create or update requests at once.", "Nothing to do: Rehost waits and tries again."),
    Row("SubscriptionTooManyRequests", "Azure SQL asks to slow down", "The subscription made too many requests.", "Nothing to do: Rehost waits and tries again."),
    Row("ConflictingSubscriptionOperation", "Azure SQL is busy with another change", "Another operation of the subscription conflicts with this one.", "Nothing to do: Rehost waits and tries again."),
    Row("PasswordNotComplex", "The administrator's password is too simple", "It needs 16 to 128 characters of three of the four kinds: capital, small, digit, other.", "Enter another password in Connections."),
    Row("InvalidLoginName", "The administrator's name is not allowed", "Names such as admin, sa, root, administrator are reserved.", "Choose another name in the design."),

    // Log Replay Service.
    Row("MissingStorageContainerUri", "The restore does not know its container", "The request named no container.", "Report it, with the correlation ID."),
    Row("MissingStorageContainerSasToken", "The restore has no access to its container", "The request carried no SAS.", "Retry the task that issues the SAS."),
    Row("InvalidStorageContainerUri", "The restore cannot use its container's address", "The address is no container of a storage account.", "Check account and container in the design."),
    Row("InvalidSASToken", "The restore's SAS is not valid", "It is malformed, expired, or has other rights than exactly read and list.", "Retry the task that issues the SAS."),
    Row("BackupSetNotFound", "No backup was found", "The container (or the folder of this database) holds no backup file that can be read.", "The database administrator puts the backup files into the container, directly, not into subfolders."),
    Row("FullBackupNotFound", "No full backup was found", "There are backups, but none is a full one of this database.", "The database administrator takes one: BACKUP DATABASE … TO URL = … WITH CHECKSUM, COMPRESSION."),
    Row("FullBackupMissingChecksum", "The full backup has no checksum", "Log Replay Service restores only backups taken WITH CHECKSUM.", "The database administrator takes it again: BACKUP DATABASE … WITH CHECKSUM, COMPRESSION; and removes the old file."),
    Row("MissingStripeInBackupSet", "A part of a striped backup is missing", "The backup was written to several files, and not all are in the container.", "The database administrator uploads the missing files."),
    Row("BrokenRestorePlanWrongLogBackupLSN", "The log backups do not follow each other", "A log backup does not start where the one before ends.", "The database administrator looks for the missing log backup (other backup jobs take some, too) and uploads it, or takes a new full backup."),
    Row("BrokenRestorePlanGapInLogBackups", "A log backup is missing", "The chain of log backups has a gap.", "The database administrator uploads the missing one (other backup jobs take some, too), or takes a new full backup."),
    Row("BrokenRestorePlanNoFullBackup", "No full backup fits the others", "The log or differential backups belong to no full backup in the container.", "The database administrator uploads the full backup that they are based on."),
    Row("MissingThumbprint", "The certificate of the encrypted database is missing", "The source database is encrypted (TDE), and its certificate is not on the managed instance.", "The database administrator exports the certificate and uploads it: Add-AzSqlManagedInstanceTransparentDataEncryptionCertificate; then retry."),
    Row("BlobStorageFailure", "The container cannot be read", "Log Replay Service got no answer, or a refusal, from the storage account.", "Check that the SAS is valid (retry its task) and that the account's firewall lets the instance's subnet in: portal > the account > Networking."),
    Row("BackupsFromMultipleDatabasesDetectedInTheContainerFromTheStart", "The container holds backups of several databases", "Each database needs a folder of its own.", "The database administrator removes the files of other databases from the folder."),
    Row("ManagedInstanceStorageLimitHit", "The managed instance is full", "The database does not fit into the instance's storage.", "Raise the storage in the design (a multiple of 32 GB), or: az sql mi update --storage SIZE."),
    Row("DatabaseNumberLimitReached", "The managed instance holds too many databases", "It takes 100 databases at most.", "Use another instance, or remove databases."),
    Row("ManagedDatabaseNameInUse", "The database {name} exists already", "A restore creates the database; one of this name is there, perhaps from an earlier attempt.", "If nobody needs it, delete it: az sql midb delete --name {name}; or choose another name in the design."),
    Row("RequiredBackupIsNotLastRestored", "The last backup is not restored yet", "The cut-over names a file that is not the last one restored.", "Wait until the restore shows this file as the last restored one; then retry."),
    Row("ExternalBackupAlreadySignaledToComplete", "The restore is already completing", "The cut-over was asked for before.", "Nothing to do: Rehost follows it."),

    // Storage.
    Row("StorageAccountAlreadyTaken", "The storage account's name {name} is taken", "The names of storage accounts are unique in the world; this one belongs to somebody else.", "Choose another name in the design."),
    Row("StorageAccountAlreadyExists", "The storage account's name {name} is taken", "An account of this name exists in another group or subscription.", "Choose another name in the design."),
    Row("AccountNameInvalid", "The storage account's name is not allowed", "It must have 3 to 24 small letters and digits.", "Change it in the design."),
    Row("KeyBasedAuthenticationNotPermitted", "The storage account does not allow keys", "Shared key access is switched off, and a SAS needs it.", "An owner switches it on: az storage account update --name {name} --allow-shared-key-access true."),
    Row("ContainerBeingDeleted", "The container is being deleted", "Azure takes some 30 seconds and more for it.", "Nothing to do: Rehost waits and tries again."),
    Row("ContainerNotFound", "The container was not found", "It was never created, or somebody deleted it.", "Retry the task that creates it."),
    Row("AuthorizationFailure", "The container refuses the request", "The signature is wrong or expired, or the account's firewall does not let this computer in.", "Retry the task that issues the SAS; check portal > the account > Networking > Firewall."),
    Row("AuthorizationPermissionMismatch", "The SAS does not allow this", "Its permissions do not contain what the request needs.", "Retry the task that issues the SAS."),
    Row("AuthorizationProtocolMismatch", "The SAS is for HTTPS only", "The request came without encryption.", "Check the blob address in Connections > Azure: it must start with https://."),
    Row("PublicAccessNotPermitted", "The storage account allows no public access", "The request carried no signature.", "Retry the task that issues the SAS."),

    // Recovery Services and Site Recovery.
    Row("VaultNotFound", "The vault was not found", "It was never created, or somebody deleted it.", "Retry the task that creates it."),
    Row("ServiceResourceNotEmptyWithContainerDetails", "The vault is not empty", "A vault can be deleted only when no machine, appliance or policy is left in it.", "Retry the clean-up tasks before this one; what is left is in the portal: the vault > Replicated items and Site Recovery infrastructure."),
    Row("ServiceResourceNotEmptyWithBackendMessage", "The vault is not empty", "A vault can be deleted only when no machine, appliance or policy is left in it.", "Retry the clean-up tasks before this one; what is left is in the portal: the vault > Replicated items and Site Recovery infrastructure."),
    Row("CloudServiceRetryableError", "The vault is busy", "The vault's service is working on another change.", "Rehost tries again."),
    Row("UserErrorVaultNameNotAvailable", "The vault's name is taken", "A vault of this name was deleted a short time ago, or exists in another group.", "Choose another name in the design, or wait a day."),

    // Virtual machines.
    Row("VMAgentStatusCommunicationError", "The virtual machine's agent does not answer", "The Azure VM agent in the machine is not running or has no way out.", "On the machine, start the service \"Windows Azure Guest Agent\" and allow outbound 443 and 168.63.129.16; then retry."),
    Row("VMExtensionProvisioningError", "The command in the virtual machine failed", "The script ended with an error; its output is in the task's details.", "Correct the cause in the machine, then retry."),
    Row("RunCommandExecutionInProgress", "Another command runs in the virtual machine", "A machine runs one action command at a time.", "Wait until it ends, then retry."),

    // Entra. Descriptions: learn.microsoft.com/entra/identity-platform/reference-error-codes.
    Row("AADSTS7000215", "The client secret is wrong", "Entra does not know this secret for the application. Often the secret's ID was copied instead of its value.", "Create a new one and copy its Value: portal > Microsoft Entra ID > App registrations > the application > Certificates & secrets > New client secret. Enter it in Connections > Azure."),
    Row("AADSTS7000222", "The client secret has expired", "The application's secret is past its end date.", "Create a new one: portal > Microsoft Entra ID > App registrations > the application > Certificates & secrets > New client secret. Enter it in Connections > Azure."),
    Row("AADSTS7000216", "The client secret is missing", "Entra wants a secret or certificate for this application.", "Enter the secret in Connections > Azure."),
    Row("AADSTS90002", "The tenant was not found", "There is no directory with this tenant ID, or it is in another cloud.", "Compare the tenant ID with portal > Microsoft Entra ID > Overview."),
    Row("AADSTS900023", "The tenant ID is not valid", "It is neither a GUID nor a domain name.", "Copy it from portal > Microsoft Entra ID > Overview > Tenant ID."),
    Row("AADSTS900021", "The tenant ID is not valid", "It is all zeros.", "Copy it from portal > Microsoft Entra ID > Overview > Tenant ID."),
    Row("AADSTS900144", "The sign-in is incomplete", "The request lacks a part that Entra needs.", "Check client ID and secret in Connections > Azure."),
    Row("AADSTS500011", "The resource is unknown in the tenant", "Entra does not know the resource manager's address as a resource: the connection's addresses are of different clouds.", "Correct the addresses in Connections > Azure."),
    Row("AADSTS500014", "The resource is disabled in the tenant", "The service principal of the resource is disabled, or the subscription has lapsed.", "An administrator checks Microsoft Entra admin center > Entra ID > Enterprise apps."),
    Row("AADSTS70011", "Entra does not accept the scope", "The connection's resource manager address is not one that Entra issues tokens for.", "Correct the addresses in Connections > Azure."),
    Row("AADSTS65001", "Nobody has consented to the application", "An administrator has not yet approved it in this tenant.", "An administrator approves it: App registrations > the application > API permissions > Grant admin consent."),
    Row("AADSTS90033", "Entra is not available for the moment", "The fault is on Microsoft's side.", "Nothing to do: Rehost tries again."),
];

impl AzureError {
    /// Says in words what happened, why, and what a person can do.
    pub fn advice(&self) -> Advice {
        match self {
            Self::Api(e) => {
                let mut subject = Subject::of(&e.method, &e.url);
                if let Some(namespace) = self.unregistered_provider() {
                    subject.namespace = namespace.to_owned();
                }
                let said = match e.details.iter().find(|d| !d.message.is_empty() && d.message != e.message) {
                    Some(detail) => format!("{} ({})", e.message, detail.message),
                    None => e.message.clone(),
                };
                let policies = match e.policies.as_slice() {
                    [] => String::new(),
                    policies => format!(" Policies: {}.", policies.join(", ")),
                };
                let says = format!("Azure says: {said} [{}]{policies}", e.code);
                // The particular cause is often one level down.
                let row = row(&e.code).or_else(|| e.details.iter().find_map(|d| row(&d.code)));
                match row {
                    Some(Row(_, title, why, fix)) => Advice {
                        title: subject.fill(title),
                        detail: format!("{} {says}", subject.fill(why)),
                        hint: subject.fill(fix),
                    },
                    None => Advice {
                        title: subject.fill(verb(&e.method)),
                        detail: says,
                        hint: subject.fill(by_status(e.status)),
                    },
                }
            }
            Self::Network { kind, host, message, .. } => {
                let (title, why, fix) = network(*kind);
                Advice {
                    title: title.replace("{host}", host),
                    detail: format!("{} [{message}]", why.replace("{host}", host)),
                    hint: fix.replace("{host}", host),
                }
            }
            Self::Token { code, message, .. } => {
                let subject = Subject::default();
                let says = format!("Entra says: {message}");
                match row(code) {
                    // Here the message is the command to run.
                    Some(Row(_, title, why, fix)) if code == auth::claims::OF_CLI => {
                        Advice { title: (*title).into(), detail: (*why).into(), hint: format!("{fix} {message}") }
                    }
                    Some(Row(_, title, why, fix)) => {
                        Advice { title: (*title).into(), detail: format!("{} {says}", subject.fill(why)), hint: (*fix).into() }
                    }
                    None => Advice {
                        title: "Azure sign-in failed".into(),
                        detail: format!("{says} [{code}]"),
                        hint: "Check tenant ID, client ID and secret in Connections > Azure. An administrator sees the reason in Microsoft Entra admin center > Entra ID > Monitoring & health > Sign-in logs > Service principal sign-ins.".into(),
                    },
                }
            }
            Self::Parse { method, url, path, message } => Advice {
                title: "An answer could not be understood".into(),
                detail: format!("{method} {url}: {message}{}", if path.is_empty() { String::new() } else { format!(" (at {path})") }),
                hint: "If a proxy or a firewall stands between this computer and Azure, let its administrator pass the host through unchanged. Otherwise report it, with the exchange from the task's details.".into(),
            },
            Self::Redirected { method, from, to } => Advice {
                title: "The request was sent elsewhere".into(),
                detail: format!("{method} {from} was answered with a pointer to {to}. That is not Azure Resource Manager, so the sign-in was not sent there."),
                hint: "If a proxy asks for a sign-in, sign in to it in a browser or let its administrator exempt the host; then retry.".into(),
            },
            Self::Config { field, message } => Advice {
                title: "The Azure connection is not complete".into(),
                detail: format!("{field}: {message}."),
                hint: "Correct it in Connections > Azure.".into(),
            },
        }
    }
}

/// All rows.
fn rows() -> impl Iterator<Item = &'static Row> {
    [
        TABLE,
        auth::advice::TABLE,
        instance::TABLE,
        database::TABLE,
        migration_service::TABLE,
        replication::TABLE,
    ]
    .into_iter()
    .flatten()
}

fn row(code: &str) -> Option<&'static Row> {
    rows().find(|r| r.0.split(' ').any(|c| c.eq_ignore_ascii_case(code)))
}

/// Says in words what a service reported inside an answer, such as the failure of a migration; none for a code that
/// nothing is known about. `said` is what Azure says beside it.
pub fn known(code: &str, said: &str) -> Option<Advice> {
    let Row(_, title, why, fix) = row(code)?;
    let subject = Subject::default();
    Some(Advice {
        title: subject.fill(title),
        detail: format!("{} {}", subject.fill(why), says(code, said)),
        hint: subject.fill(fix),
    })
}

/// The same for any code.
pub fn of_code(code: &str, said: &str) -> Advice {
    known(code, said).unwrap_or_else(|| Advice {
        title: "The service could not go on".into(),
        detail: says(code, said),
        hint: Subject::default().fill(by_status(400)),
    })
}

fn says(code: &str, said: &str) -> String {
    match (said.trim(), code) {
        ("", code) => format!("Azure reports {code}."),
        (said, "") => format!("Azure says: {said}"),
        (said, code) => format!("Azure says: {said} [{code}]"),
    }
}

fn verb(method: &str) -> &'static str {
    match method {
        "GET" | "HEAD" => "Azure could not read {name}",
        "DELETE" => "Azure could not delete {name}",
        "POST" => "Azure could not do this with {name}",
        _ => "Azure could not create or change {name}",
    }
}

fn by_status(status: u16) -> &'static str {
    match status {
        401 => "Test the connection in Connections > Azure.",
        403 => {
            "An owner gives the application the right {right}: az role assignment create --assignee CLIENT_ID --role Contributor --scope {scope} (the client ID is in Connections > Azure)."
        }
        404 => "Check in the portal whether {name} is there, and the names in the design.",
        409 | 412 => "Look at {name} in the portal; retry when nothing changes it any more.",
        408 | 429 | 500..=599 => "Nothing to do: Rehost tries again. If it stays, look at https://status.azure.com.",
        _ => {
            "Correct what Azure's message names, in the design or in the portal, and retry. Quote the correlation ID to Microsoft's support."
        }
    }
}

fn network(kind: NetworkKind) -> (&'static str, &'static str, &'static str) {
    match kind {
        NetworkKind::Dns => (
            "{host} was not found",
            "The name cannot be resolved.",
            "Check the address in Connections > Azure, and this computer's network and DNS: nslookup the name.",
        ),
        NetworkKind::Refused => (
            "{host} refuses the connection",
            "Nothing listens there, or a firewall refuses.",
            "Check the address and port in Connections > Azure; let the firewall's administrator allow outbound HTTPS to {host}.",
        ),
        NetworkKind::Tls => (
            "The encrypted connection to {host} failed",
            "The certificate is not trusted, not valid now, or for another name.",
            "If a proxy inspects the traffic, add its certificate authority (PEM) in Connections > Azure > Certificate authority. Otherwise check the address and this computer's clock.",
        ),
        NetworkKind::Timeout => (
            "{host} did not answer in time",
            "The network is slow, or a firewall drops the packets.",
            "Rehost tries again. If it stays, let the firewall's administrator allow outbound HTTPS to {host}.",
        ),
        NetworkKind::Other => (
            "The connection to {host} broke",
            "The network or a proxy ended it.",
            "Rehost tries again. If it stays, check this computer's network and proxy.",
        ),
    }
}

/// What a request was about, for the texts.
#[derive(Default)]
struct Subject {
    name: String,
    kind: String,
    right: String,
    scope: String,
    namespace: String,
    subscription: String,
    group: String,
}

impl Subject {
    fn of(method: &str, url: &str) -> Self {
        let path = url.split('?').next().unwrap_or_default();
        let path = path
            .find("://")
            .and_then(|i| path[i + 3..].find('/').map(|j| &path[i + 3 + j..]))
            .unwrap_or(path);
        // An action is no part of the resource's id.
        let resource = if method == "POST" {
            path.rsplit_once('/').map_or(path, |(id, _)| id)
        } else {
            path
        };
        let id = plan::ResourceId::new(resource);
        let part = |kind: &str| id.part(kind).unwrap_or_default().to_owned();
        let (subscription, group) = (part("subscriptions"), part("resourceGroups"));
        let scope = match (subscription.is_empty(), group.is_empty()) {
            (true, _) => "the subscription".into(),
            (_, true) => format!("/subscriptions/{subscription}"),
            _ => plan::ResourceId::group(&subscription, &group).as_str().to_owned(),
        };
        let kind = versions::type_of(resource).unwrap_or_default();
        let namespace = match id.part("providers") {
            Some(namespace) => namespace.to_owned(),
            None => kind.split('/').next().unwrap_or_default().to_owned(),
        };
        Self {
            name: id.name().to_owned(),
            right: rights::needed(method, path).unwrap_or_else(|| "that this needs".into()),
            kind,
            scope,
            namespace,
            subscription,
            group,
        }
    }

    fn fill(&self, text: &str) -> String {
        let or = |value: &str, otherwise: &str| {
            if value.is_empty() {
                otherwise.to_owned()
            } else {
                value.to_owned()
            }
        };
        text.replace("{name}", &or(&self.name, "the resource"))
            .replace("{type}", &or(&self.kind, "this kind of resource"))
            .replace("{right}", &self.right)
            .replace("{scope}", &or(&self.scope, "the subscription"))
            .replace("{namespace}", &or(&self.namespace, "the provider"))
            .replace("{subscription}", &or(&self.subscription, "SUBSCRIPTION_ID"))
            .replace("{group}", &or(&self.group, "the resource group"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ApiError, Detail};
    use std::collections::HashSet;

    fn api(method: &str, path: &str, status: u16, code: &str) -> AzureError {
        AzureError::Api(Box::new(ApiError {
            status,
            code: code.into(),
            message: "Azure's own words.".into(),
            method: method.into(),
            url: format!("https://arm.local{path}?api-version=1"),
            ..ApiError::default()
        }))
    }

    const VNET: &str = "/subscriptions/sub-1/resourceGroups/ContosoNetworkingRG/providers/Microsoft.Network/virtualNetworks/VNET-PROD-EUS2";

    #[test]
    fn every_row_is_whole_and_unique() {
        let mut seen = HashSet::new();
        for Row(codes, title, why, fix) in rows() {
            for code in codes.split(' ') {
                assert!(seen.insert(code.to_ascii_lowercase()), "{code} twice");
            }
            let code = codes.split(' ').next().unwrap();
            assert!(!title.is_empty() && !title.ends_with('.'), "{code}");
            assert!(why.ends_with('.') && fix.ends_with('.'), "{code}");
            for status in [200, 400] {
                let advice = api("PUT", VNET, status, code).advice();
                for text in [&advice.title, &advice.detail, &advice.hint] {
                    assert!(!text.contains('{') && !text.is_empty(), "{code}: {text}");
                }
            }
        }
    }

    /// Each documented code has a sentence of its own, and the class that is written down for it.
    #[test]
    fn every_documented_code_has_a_sentence() {
        let documented = include_str!("../tests/data/codes.txt").lines();
        let rows = documented.filter(|l| !l.is_empty() && !l.starts_with('#'));
        let mut count = 0;
        for line in rows {
            let [status, code, class] = line.split(' ').collect::<Vec<_>>()[..] else {
                unreachable!("{line}")
            };
            let e = api("PUT", VNET, status.parse().unwrap(), code);
            let class_of = format!("{:?}", e.class());
            assert!(class_of.starts_with(class), "{line}: {class_of}");
            let advice = e.advice();
            assert!(row(code).is_some(), "{code} has no sentence");
            assert!(advice.detail.contains(code) && advice.detail.contains("Azure's own words."));
            assert!(known(code, "x").is_some());
            count += 1;
        }
        assert!(count > 280, "{count}");
    }

    #[test]
    fn states_that_look_stuck_have_microsofts_advice() {
        let stuck = state("nocomputeavailable").unwrap();
        assert!(stuck.advice.contains("another region"));
        assert_eq!(
            state("ReadyForCreationKickOff").and_then(|s| s.escalate_after_hours),
            Some(1)
        );
        assert_eq!(state("Ready"), None);
    }

    #[test]
    fn a_refused_right_is_named() {
        let advice = api("PUT", VNET, 403, "AuthorizationFailed").advice();
        assert!(advice.title.contains("VNET-PROD-EUS2"));
        assert!(advice.detail.contains("Microsoft.Network/virtualNetworks/write"));
        assert!(
            advice
                .hint
                .contains("--scope /subscriptions/sub-1/resourceGroups/ContosoNetworkingRG")
        );
        let advice = api(
            "POST",
            "/subscriptions/sub-1/providers/Microsoft.Sql/register",
            403,
            "SomethingNew",
        )
        .advice();
        assert!(advice.hint.contains("Microsoft.Sql/register/action"), "{advice:?}");
    }

    #[test]
    fn missing_registration_names_the_namespace() {
        let advice = api("PUT", VNET, 409, "MissingSubscriptionRegistration").advice();
        assert!(
            advice
                .hint
                .contains("az provider register --namespace Microsoft.Network --wait --subscription sub-1")
        );
    }

    #[test]
    fn unknown_codes_keep_azures_words() {
        let advice = api("DELETE", VNET, 400, "NeverSeen").advice();
        assert_eq!(advice.title, "Azure could not delete VNET-PROD-EUS2");
        assert!(advice.detail.contains("Azure's own words.") && advice.detail.contains("NeverSeen"));
        assert!(!advice.hint.is_empty());
    }

    #[test]
    fn a_known_cause_inside_an_unknown_error_is_found() {
        let AzureError::Api(mut e) = api("PUT", VNET, 400, "DeploymentFailed") else {
            unreachable!()
        };
        e.details = vec![Detail {
            code: "NetcfgSubnetRangesOverlap".into(),
            message: "a overlaps b".into(),
            target: None,
        }];
        let advice = AzureError::Api(e).advice();
        assert_eq!(advice.title, "The subnet overlaps another one");
        assert!(advice.detail.contains("a overlaps b"));
    }
}
