"""Microsoft's Python clients carry out the scenario against a lab: `python scenario.py CONTROL CA REPLICATION DATABASE`.

Names and figures are the scenario's own, written down here a second time on purpose: what Rehost sends for the same
operation must be equal to what Microsoft's models make of them. The last line is JSON with what was done.
"""

import base64
import hashlib
import hmac
import json
import secrets
import sys
import zlib

from azure.core.exceptions import ResourceNotFoundError
from azure.mgmt.compute import models as compute
from azure.mgmt.network import models as network
from azure.mgmt.resource.resources import models as resources
from azure.mgmt.sql import models as sql
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

import database
import replication
import vcenter
from azure_side import DATABASE, FAILOVER, INSTANCE, LOCATION, NETWORKING, SIZE, TARGET, VM, Azure
from lab import Lab

REPLICATION = {"inmage-rcm": replication.InMageRcm, "vmware-cbt": replication.VMwareCbt}
DATABASES = {
    "log-replay": database.LogReplay,
    "dms-offline": database.DmsOffline,
    "dms-online": database.DmsOnline,
}


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def opened(printed: str, key: bytes) -> dict[str, bytes]:
    """The files in what a command that reads has printed: one part holds them all."""
    place, sealed = printed.removeprefix("part=").split()
    assert place == "0/1", place
    sealed = base64.b64decode(sealed)
    told, tag = sealed[:-32], sealed[-32:]
    assert hmac.digest(key[32:], place.encode() + told, "sha256") == tag
    cipher = Cipher(algorithms.AES(key[:32]), modes.CBC(told[:16])).decryptor()
    padded = cipher.update(told[16:]) + cipher.finalize()
    head, rest = zlib.decompress(padded[: -padded[-1]], wbits=-15).split(b"\n\n", 1)
    files = {}
    for line in head.decode().split("\n"):
        path, raw, length, encrypted = line.split(" ")
        file, rest = rest[: int(length)], rest[int(length) :]
        assert encrypted != "-" or raw == sha(file)
        files[base64.b64decode(path).decode()] = file
    assert not rest
    return files


class Scenario:
    def __init__(self, azure: Azure, machine, data):
        self.azure, self.machine, self.data = azure, machine, data
        self.done: list[str] = []

    def run(self) -> None:
        for step in [
            self.look_around,
            self.providers_and_groups,
            self.networks,
            self.instance,
            self.data.prepare,
            self.machine.prepare,
            self.machine.replicate,
            self.data.restore,
            self.test_failover,
            self.failover,
            self.data.cut_over,
            self.connection,
            self.machine.commit,
            self.clean_up,
        ]:
            print(f"{step.__qualname__} …", file=sys.stderr)
            step()
            self.done.append(step.__qualname__)

    def look_around(self) -> None:
        """Pages and lists; what Rehost asks before it begins."""
        assert [t.tenant_id for t in self.azure.subscriptions.tenants.list()] == [self.azure.lab.where["tenantId"]]
        (subscription,) = self.azure.subscriptions.subscriptions.list()
        assert subscription.state == "Enabled", subscription.state
        locations = self.azure.subscriptions.subscriptions.list_locations(self.azure.lab.subscription)
        assert LOCATION in [place.name for place in locations]
        assert len(list(self.azure.resources.providers.list())) >= 6
        groups = {g.name for g in self.azure.resources.resource_groups.list()}
        assert NETWORKING in groups and TARGET not in groups, groups
        assert list(self.azure.authorization.permissions.list_for_resource_group(NETWORKING))
        sizes = [s.name for s in self.azure.compute.resource_skus.list(filter=f"location eq '{LOCATION}'")]
        assert "Standard_D4s_v5" in sizes
        assert all(u.limit >= u.current_value for u in self.azure.compute.usage.list(LOCATION))
        offered = self.azure.sql.capabilities.list_by_location(LOCATION)
        assert offered.supported_managed_instance_versions
        (gateway,) = self.azure.network.virtual_network_gateways.list(NETWORKING)
        assert gateway.provisioning_state == "Succeeded"
        try:
            self.azure.sql.managed_instances.get(TARGET, INSTANCE)
            raise AssertionError("nothing is there yet")
        except ResourceNotFoundError as e:
            assert e.error.code in ("ResourceGroupNotFound", "ResourceNotFound"), e.error

    def providers_and_groups(self) -> None:
        # The clients would register a provider by themselves when Azure refuses; Rehost asks before it does.
        self.azure.register(*(f"Microsoft.{n}" for n in ["Network", "Sql", "Storage", "RecoveryServices", "Compute"]))
        for group in [NETWORKING, TARGET, FAILOVER]:
            made = self.azure.resources.resource_groups.create_or_update(group, resources.ResourceGroup(location=LOCATION))
            assert made.properties.provisioning_state == "Succeeded"
        assert self.azure.resources.resource_groups.check_existence(TARGET)

    def networks(self) -> None:
        def allow(name, ports, priority):
            return network.SecurityRule(
                name=name,
                protocol="Tcp",
                source_address_prefix="VirtualNetwork",
                source_port_range="*",
                destination_address_prefix="10.235.0.0/25",
                destination_port_range=ports,
                access="Allow",
                priority=priority,
                direction="Inbound",
            )

        nsg = self.azure.ended(
            self.azure.network.network_security_groups.begin_create_or_update(
                NETWORKING,
                "NSG-SQLMI-DS-EUS2",
                network.NetworkSecurityGroup(
                    location=LOCATION,
                    security_rules=[
                        allow("allow-tds-inbound", "1433", 1000),
                        allow("allow-redirect-inbound", "11000-11999", 1100),
                    ],
                ),
            )
        )
        assert len(nsg.default_security_rules) == 6
        routes = self.azure.ended(
            self.azure.network.route_tables.begin_create_or_update(
                NETWORKING,
                "MIRouteTable",
                network.RouteTable(
                    location=LOCATION,
                    disable_bgp_route_propagation=False,
                    routes=[network.Route(name="default", address_prefix="0.0.0.0/0", next_hop_type="Internet")],
                ),
            )
        )
        made = self.azure.ended(
            self.azure.network.virtual_networks.begin_create_or_update(
                NETWORKING,
                "VNET-SQLMI-EUS2",
                network.VirtualNetwork(
                    location=LOCATION,
                    address_space=network.AddressSpace(address_prefixes=["10.235.0.0/24"]),
                    dhcp_options=network.DhcpOptions(dns_servers=["10.245.42.4", "10.245.42.5", "168.63.129.16"]),
                    subnets=[
                        network.Subnet(
                            name="SQLMI-DS-EUS2",
                            address_prefix="10.235.0.0/25",
                            network_security_group=network.NetworkSecurityGroup(id=nsg.id),
                            route_table=network.RouteTable(id=routes.id),
                            delegations=[
                                network.Delegation(
                                    name="managedInstances", service_name="Microsoft.Sql/managedInstances"
                                )
                            ],
                        ),
                        network.Subnet(name="SQLMI-SAW-EUS2", address_prefix="10.235.0.128/25"),
                    ],
                ),
            )
        )
        assert [s.name for s in made.subnets] == ["SQLMI-DS-EUS2", "SQLMI-SAW-EUS2"]
        # The side that lends the gateway comes before the one that uses it.
        sides = [
            ("VNET-HUB-EUS2", "VNET-SQLMI-EUS2", {"allow_gateway_transit": True}),
            ("VNET-SQLMI-EUS2", "VNET-HUB-EUS2", {"use_remote_gateways": True}),
            ("VNET-PROD-EUS2", "VNET-SQLMI-EUS2", {}),
            ("VNET-SQLMI-EUS2", "VNET-PROD-EUS2", {}),
        ]
        for here, there, gateway in sides:
            peering = network.VirtualNetworkPeering(
                remote_virtual_network=network.SubResource(id=self.azure.vnet(there)),
                allow_virtual_network_access=True,
                allow_forwarded_traffic=True,
                **gateway,
            )
            self.azure.ended(
                self.azure.network.virtual_network_peerings.begin_create_or_update(
                    NETWORKING, here, f"{here}-to-{there}", peering
                )
            )
        states = {p.name: p.peering_state for p in self.azure.network.virtual_network_peerings.list(NETWORKING, "VNET-SQLMI-EUS2")}
        assert set(states.values()) == {"Connected"}, states
        self.azure.ended(
            self.azure.network.virtual_networks.begin_create_or_update(
                NETWORKING,
                "VNET-TEST-EUS2",
                network.VirtualNetwork(
                    location=LOCATION,
                    address_space=network.AddressSpace(address_prefixes=["10.246.0.0/24"]),
                    subnets=[network.Subnet(name="PROD-FE-EUS2-test", address_prefix="10.246.0.0/25")],
                ),
            )
        )
        names = {n.name for n in self.azure.network.virtual_networks.list_all()}
        assert names >= {"VNET-HUB-EUS2", "VNET-PROD-EUS2", "VNET-SQLMI-EUS2", "VNET-TEST-EUS2"}, names

    def instance(self) -> None:
        poller = self.azure.sql.managed_instances.begin_create_or_update(
            TARGET,
            INSTANCE,
            sql.ManagedInstance(
                location=LOCATION,
                sku=sql.Sku(name="GP_Gen5", tier="GeneralPurpose"),
                properties=sql.ManagedInstanceProperties(
                    subnet_id=self.azure.vnet("VNET-SQLMI-EUS2") + "/subnets/SQLMI-DS-EUS2",
                    v_cores=8,
                    storage_size_in_gb=128,
                    license_type="LicenseIncluded",
                    administrator_login="contosoadmin",
                    administrator_login_password="Judge-0-password!",
                    collation="SQL_Latin1_General_CP1_CI_AS",
                    timezone_id="UTC",
                    proxy_override="Proxy",
                    minimal_tls_version="1.2",
                    public_data_endpoint_enabled=False,
                    requested_backup_storage_redundancy="Local",
                ),
            ),
        )
        (operation,) = self.azure.sql.managed_instance_operations.list_by_managed_instance(TARGET, INSTANCE)
        assert operation.properties.operation_steps.steps_list, "an instance's creation has steps"
        made = self.azure.ended(poller)
        assert made.properties.state == "Ready" and made.properties.fully_qualified_domain_name
        (cluster,) = self.azure.sql.virtual_clusters.list_by_resource_group(TARGET)
        assert cluster.properties.child_resources

    def test_failover(self) -> None:
        name = self.machine.test()
        self.runs(name, self.azure.vnet(replication.TEST[0]))
        self.machine.clean_up_test()

    def runs(self, name: str, where: str) -> None:
        """The VM runs, its agent is ready, and it stands in the network."""

        def ready():
            vm = self.azure.compute.virtual_machines.get(TARGET, name, expand="instanceView")
            agent = vm.instance_view.vm_agent
            power = [s.code for s in vm.instance_view.statuses]
            ready = agent and agent.statuses[0].code == "ProvisioningState/succeeded"
            return vm if ready and "PowerState/running" in power else None

        vm = self.azure.lab.until(f"{name} runs", ready)
        assert vm.hardware_profile.vm_size == SIZE
        nic = vm.network_profile.network_interfaces[0].id.split("/")
        card = self.azure.network.network_interfaces.get(nic[4], nic[8])
        assert card.ip_configurations[0].subnet.id.lower().startswith(where.lower())
        boot = self.azure.compute.virtual_machines.retrieve_boot_diagnostics_data(TARGET, name)
        assert boot.console_screenshot_blob_uri and boot.serial_console_log_blob_uri

    def failover(self) -> None:
        self.machine.fail_over()
        with vcenter.VCenter(self.azure.lab) as v:
            assert v.power(VM) == "poweredOff"
        self.runs(VM, self.azure.vnet(replication.PROD[0]))

    def connection(self) -> None:
        assert [d.name for d in self.azure.sql.managed_databases.list_by_instance(TARGET, INSTANCE)] == [DATABASE]
        host = self.azure.sql.managed_instances.get(TARGET, INSTANCE).properties.fully_qualified_domain_name
        path = r"C:\inetpub\SmartHotel.Registration.Web\web.config"
        key = secrets.token_bytes(64)
        read = f"rehost-read-config-smarthotel-{secrets.token_hex(4)}"
        printed = self.command(read, [("Does", "read"), ("Path", path), ("Part", "0")], [("Key", b64(key))])
        self.forget(read)
        files = opened(printed, key)
        assert len(files) == 2, files.keys()
        was = files[path]
        old = b"Data Source=SQLVM;Initial Catalog=SmartHotelDB;"
        assert was.startswith(b"\xef\xbb\xbf<?xml") and was.count(old) == 1 and b"\r\n" in was, was
        new = f"Data Source=tcp:{host},1433;Initial Catalog={DATABASE};Encrypt=True;".encode()
        at = was.index(old)
        after = sha(was[:at] + new + was[at + len(old) :])
        change = f"file {b64(path.encode())} {sha(was)} {after}\nedit {at} {len(old)} {b64(new)}\n"
        give = [("Does", "switch"), ("Path", path)]
        switched = self.command("rehost-switch-connection-smarthotel", give, [("Change", b64(change.encode()))])
        assert after in switched and "switched=ok" in switched, switched
        assert "iisreset=ok" in self.command("rehost-iisreset-smarthotel", [], [])
        give = [("Path", path), ("Name", "DefaultConnection"), ("Server", host), ("Text", "SmartHotel")]
        probed = self.command("rehost-probe-smarthotel", give, [])
        assert probed.split() == ["tcp=ok", "sql=ok", "http=200", "text=ok"], probed

    def command(self, name: str, plain, protected) -> str:
        """Runs a managed command, and gives what it printed."""
        give = lambda pairs: [compute.RunCommandInputParameter(name=n, value=v) for n, v in pairs]
        commands = self.azure.compute.virtual_machine_run_commands
        self.azure.ended(
            commands.begin_create_or_update(
                TARGET,
                VM,
                name,
                compute.VirtualMachineRunCommand(
                    location=LOCATION,
                    source=compute.VirtualMachineRunCommandScriptSource(script=f"# {name}"),
                    parameters=give(plain),
                    protected_parameters=give(protected),
                    timeout_in_seconds=600,
                    async_execution=False,
                    treat_failure_as_deployment_failure=False,
                ),
            )
        )
        ran = commands.get_by_virtual_machine(TARGET, VM, name, expand="instanceView")
        assert ran.instance_view.execution_state == "Succeeded", ran.instance_view
        assert ran.protected_parameters is None, "a secret must not be shown again"
        return ran.instance_view.output

    def forget(self, name: str) -> None:
        self.azure.ended(self.azure.compute.virtual_machine_run_commands.begin_delete(TARGET, VM, name))

    def clean_up(self) -> None:
        azure = self.azure
        for name in ["switch-connection", "iisreset", "probe"]:
            self.forget(f"rehost-{name}-smarthotel")
        self.machine.remove()
        self.data.remove()
        azure.ended(azure.network.virtual_networks.begin_delete(NETWORKING, replication.TEST[0]))
        left = {r.name for r in azure.resources.resources.list_by_resource_group(FAILOVER)}
        assert not left, left
        azure.ended(azure.resources.resource_groups.begin_delete(FAILOVER))


def main() -> None:
    control, ca, machine, data = sys.argv[1:]
    azure = Azure(Lab(control, ca))
    scenario = Scenario(azure, REPLICATION[machine](azure), DATABASES[data](azure))
    scenario.run()
    print(json.dumps({"steps": scenario.done, "requests": azure.lab.requests, "pollers": azure.pollers}))


main()
