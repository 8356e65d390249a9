//! Step 1 of the scenario: network, routing and managed instance.

use super::builder::*;

impl Builder<'_> {
    pub(super) fn step1(&self) -> Step {
        let d = self.d;
        let mi = &d.mi;
        let subnet = self.vnet(&mi.network).child("subnets", &mi.subnet);
        let nsg = self
            .networking
            .resource("Microsoft.Network/networkSecurityGroups", &mi.nsg);
        let routes = self
            .networking
            .resource("Microsoft.Network/routeTables", &mi.route_table);
        let sql_rule = |name: &str, ports: &str, priority: u16| {
            json!({ "name": name, "properties": {
                "protocol": "Tcp", "sourceAddressPrefix": "VirtualNetwork", "sourcePortRange": "*",
                "destinationAddressPrefix": mi.subnet_space.to_string(), "destinationPortRange": ports,
                "access": "Allow", "priority": priority, "direction": "Inbound" } })
        };
        let net_node = format!("net/{}", mi.network);
        let mi_node = format!("mi/{}", mi.name);
        step(
            1,
            "Prepare SQL Managed Instance",
            vec![
                register(1, "Microsoft.Network", "Networks, route tables and security groups belong to this provider."),
                register(1, "Microsoft.Sql", "Managed instances belong to this provider."),
                task(
                    1,
                    "check-locks",
                    "subscription",
                    "No lock is in the way",
                    "Reads the locks of the subscription, its groups and resources.",
                    // What the plan changes is known when all steps are.
                    Action::CheckLocks { changes: vec![] },
                )
                .why("A lock found later would stop the run in the middle, some of them at the failover."),
                task(
                    1,
                    "check-rights",
                    "vcenter",
                    "Our account may do in vCenter what the plan needs",
                    "Asks vCenter, for each task of all steps, whether the account has the rights on the machine, folder or datacenter.",
                    // What the plan needs is known when all steps are.
                    Action::CheckVCenterRights { needs: vec![] },
                )
                .why("A right that is missing would stop the run in the middle, some of them in the change window.")
                .nodes(&["vcenter/vcenter".into()]),
                self.check_network(
                    1,
                    &d.hub_network,
                    &["GatewaySubnet"],
                    "The managed instance is reached from the datacenter through the hub's gateway.",
                    "Ask the network team to deploy the hub network first.",
                ),
                task(
                    1,
                    "check-gateway",
                    &d.hub_network,
                    "The hub's VPN gateway is running",
                    "Looks for a provisioned virtual network gateway in the networking resource group.",
                    Action::Find {
                        list: ResourceId::new(format!("{}/providers/Microsoft.Network/virtualNetworkGateways", self.networking)),
                        condition: vec![Expect::equal("/properties/provisioningState", "Succeeded")],
                        wait: false,
                        facts: vec![fact("hub.gateway", "/id")],
                        otherwise: "A peering can't use remote gateways before the hub's gateway is provisioned. Ask the network team.".into(),
                    },
                )
                .why("Peerings that use the hub's gateway are refused until it is provisioned.")
                .nodes(&["gateway/hub".into(), "vpn/onprem".into()]),
                self.check_network(
                    1,
                    &d.prod_network,
                    &[&d.prod_frontend_subnet, &d.prod_dc_subnet],
                    "WEBVM will run there, and the domain controllers that resolve names are there.",
                    "Ask the network team to deploy the production network with these subnets.",
                ),
                task(
                    1,
                    "check-sku",
                    &mi.name,
                    "The region offers the managed instance",
                    &format!("Asks {} for General Purpose with {} vCores and {} GiB.", d.location_name, mi.vcores, mi.storage_gib),
                    Action::CheckSqlCapability {
                        location: d.location.clone(),
                        sku: "GP_Gen5".into(),
                        vcores: mi.vcores,
                        storage_gib: mi.storage_gib,
                        instance: Some(self.mi()),
                    },
                )
                .after(&["1/provider/Microsoft.Sql"])
                .why("A create that the region refuses would fail only after minutes.")
                .nodes(std::slice::from_ref(&mi_node)),
                task(
                    1,
                    "group",
                    &d.networking_group,
                    &format!("Resource group {}", d.networking_group),
                    &format!("Creates the resource group {}, or uses the one that is there.", d.networking_group),
                    put(self.networking.clone(), json!({ "location": d.location })),
                )
                .why("All networks of the scenario live in this group.")
                .secs(3, 15, NOT_PUBLISHED)
                .back("It existed before; Rehost never deletes it."),
                self.group(1, &d.target_group, "The managed instance and the migrated VM live in this group."),
                task(
                    1,
                    "nsg",
                    &mi.nsg,
                    &format!("Network security group {}", mi.nsg),
                    "Creates the group that lets SQL traffic of the networks in; the instance adds its own mandatory rules.",
                    put(
                        nsg.clone(),
                        json!({ "location": d.location, "properties": { "securityRules": [
                            sql_rule("allow-tds-inbound", "1433", 1000),
                            sql_rule("allow-redirect-inbound", "11000-11999", 1100),
                        ] } }),
                    ),
                )
                .after(&["1/provider/Microsoft.Network", &format!("1/group/{}", d.networking_group)])
                .why("Today a managed instance requires a network security group on its subnet; the 2018 tutorial forbade one.")
                .secs(6, 30, NOT_PUBLISHED)
                .back("Delete the group after the managed instance is gone.")
                .nodes(&[format!("subnet/{}", mi.subnet)]),
                task(
                    1,
                    "route-table",
                    &mi.route_table,
                    &format!("Route table {}", mi.route_table),
                    "Creates the route table with the scenario's default route to the Internet; the instance adds its own routes.",
                    put(
                        routes.clone(),
                        json!({ "location": d.location, "properties": { "disableBgpRoutePropagation": false, "routes": [
                            { "name": "default", "properties": { "addressPrefix": "0.0.0.0/0", "nextHopType": "Internet" } }
                        ] } }),
                    ),
                )
                .after(&["1/provider/Microsoft.Network", &format!("1/group/{}", d.networking_group)])
                .why("The instance must reach the service that manages it; without a route table the create is refused.")
                .secs(6, 30, NOT_PUBLISHED)
                .back("Delete the route table after the managed instance is gone.")
                .nodes(&[format!("subnet/{}", mi.subnet)]),
                task(
                    1,
                    "vnet",
                    &mi.network,
                    &format!("Network {}", mi.network),
                    &format!("Creates {} with a subnet delegated to managed instances, one for workstations, and the DNS servers.", mi.network_space),
                    put(
                        self.vnet(&mi.network),
                        json!({ "location": d.location, "properties": {
                            "addressSpace": { "addressPrefixes": [mi.network_space.to_string()] },
                            "dhcpOptions": { "dnsServers": d.dns.iter().map(ToString::to_string).collect::<Vec<_>>() },
                            "subnets": [
                                { "name": mi.subnet, "properties": {
                                    "addressPrefix": mi.subnet_space.to_string(),
                                    "networkSecurityGroup": { "id": nsg },
                                    "routeTable": { "id": routes },
                                    "delegations": [{ "name": "managedInstances", "properties": { "serviceName": "Microsoft.Sql/managedInstances" } }] } },
                                { "name": mi.workstation_subnet, "properties": { "addressPrefix": mi.workstation_space.to_string() } }
                            ] } }),
                    ),
                )
                .after(&[&format!("1/nsg/{}", mi.nsg), &format!("1/route-table/{}", mi.route_table)])
                .why("A managed instance needs a dedicated, delegated subnet of at least 32 addresses.")
                .secs(8, 40, NOT_PUBLISHED)
                .back("Delete the network once the virtual cluster is gone (up to 90 minutes after the last instance).")
                .nodes(&[net_node.clone(), format!("subnet/{}", mi.subnet), format!("subnet/{}", mi.workstation_subnet), "dns/contoso".into()]),
                self.peering(&mi.network, &d.hub_network, json!({ "useRemoteGateways": true }))
                    .after(&[
                        &format!("1/vnet/{}", mi.network),
                        &format!("1/check-gateway/{}", d.hub_network),
                        &format!("1/check-network/{}", d.hub_network),
                        &format!("1/peering/{}-to-{}", d.hub_network, mi.network),
                    ])
                    .why("The datacenter reaches the managed instance through the hub's gateway."),
                self.peering(&d.hub_network, &mi.network, json!({ "allowGatewayTransit": true }))
                    .after(&[&format!("1/vnet/{}", mi.network), &format!("1/check-gateway/{}", d.hub_network), &format!("1/check-network/{}", d.hub_network)])
                    .why("A peering works only when both sides exist; the hub's side lends its gateway."),
                self.peering(&mi.network, &d.prod_network, json!({}))
                    .after(&[&format!("1/vnet/{}", mi.network), &format!("1/check-network/{}", d.prod_network), &format!("1/peering/{}-to-{}", mi.network, d.hub_network)])
                    .why("WEBVM in the production network must reach the database."),
                self.peering(&d.prod_network, &mi.network, json!({}))
                    .after(&[&format!("1/vnet/{}", mi.network), &format!("1/check-network/{}", d.prod_network)])
                    .why("A peering works only when both sides exist."),
                task(
                    1,
                    "check-peering",
                    &mi.network,
                    "All peerings are connected",
                    "Reads the network and checks that no peering is left half-made.",
                    Action::Check {
                        id: self.vnet(&mi.network).child("virtualNetworkPeerings", &format!("{}-to-{}", mi.network, d.prod_network)),
                        condition: vec![Expect::equal("/properties/peeringState", "Connected")],
                        absent: false,
                        wait: true,
                        facts: vec![],
                        follow: Follow::Operation,
                        otherwise: "Both sides must exist. Open both networks in the portal, Peerings, and delete the side that shows Disconnected.".into(),
                    },
                )
                .after(&[
                    &format!("1/peering/{}-to-{}", mi.network, d.prod_network),
                    &format!("1/peering/{}-to-{}", d.prod_network, mi.network),
                    &format!("1/peering/{}-to-{}", d.hub_network, mi.network),
                ])
                .why("A peering with one side only passes no traffic.")
                .nodes(std::slice::from_ref(&net_node)),
                task(
                    1,
                    "managed-instance",
                    &mi.name,
                    &format!("Managed instance {}", mi.name),
                    &format!("Creates a General Purpose instance with {} vCores and {} GiB in {}.", mi.vcores, mi.storage_gib, mi.subnet),
                    Action::Put {
                        id: self.mi(),
                        body: json!({ "location": d.location, "sku": { "name": "GP_Gen5", "tier": "GeneralPurpose" }, "properties": {
                            "subnetId": subnet, "vCores": mi.vcores, "storageSizeInGB": mi.storage_gib,
                            "licenseType": "LicenseIncluded", "administratorLogin": mi.admin_login,
                            "administratorLoginPassword": "${secret:mi-admin}",
                            "collation": "SQL_Latin1_General_CP1_CI_AS", "timezoneId": "UTC", "proxyOverride": "Proxy",
                            "minimalTlsVersion": "1.2", "publicDataEndpointEnabled": false,
                            "requestedBackupStorageRedundancy": "Local" } }),
                        facts: vec![fact("mi.fqdn", "/properties/fullyQualifiedDomainName"), fact("mi.dnsZone", "/properties/dnsZone")],
                        follow: Follow::InstanceSteps,
                    },
                )
                .after(&[
                    &format!("1/vnet/{}", mi.network),
                    &format!("1/check-sku/{}", mi.name),
                    &format!("1/group/{}", d.target_group),
                ])
                .why("It is the target of the database. It takes longest, so it starts as early as possible.")
                .secs(1500, 1800, "learn.microsoft.com: 95 % of creates finish in 30 minutes (2026-07-10)")
                .cost("Charged by vCore and storage from the moment it is created.")
                .back("Delete the instance (the last one in a subnet takes up to 90 minutes); billing stops at once.")
                .nodes(std::slice::from_ref(&mi_node)),
                task(
                    1,
                    "check-cluster",
                    &mi.name,
                    "The virtual cluster has appeared",
                    "Looks for the virtual cluster that Azure made for the subnet.",
                    Action::Find {
                        list: ResourceId::new(format!("{}/providers/Microsoft.Sql/virtualClusters", self.target)),
                        condition: vec![Expect::equal("/properties/subnetId", subnet.as_str())],
                        wait: false,
                        facts: vec![],
                        otherwise: "The instance is there without its virtual cluster. Open a support request with the correlation id.".into(),
                    },
                )
                .after(&[&format!("1/managed-instance/{}", mi.name)])
                .why("The scenario expects two new resources: instance and virtual cluster.")
                .nodes(&[mi_node]),
            ],
        )
    }
}
