package main

// What version 0.24 of the simulator lacks and a real vCenter does: the ids of new roles, permissions merged per principal
// and refused for unknown ones, and machines with a guest in them. What is read in pages is in
// collector.go, work in guests in guest.go.

import (
	"fmt"
	"strings"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/soap"
	"github.com/vmware/govmomi/vim25/types"
)

type authorization struct {
	simulator.AuthorizationManager
}

func (a *authorization) AddAuthorizationRole(r *types.AddAuthorizationRole) soap.HasFault {
	answer := a.AuthorizationManager.AddAuthorizationRole(r)
	if body, ok := answer.(*methods.AddAuthorizationRoleBody); ok && body.Res != nil {
		for _, role := range a.RoleList {
			if role.Name == r.Name {
				body.Res.Returnval = role.RoleId
			}
		}
	}
	return answer
}

func (a *authorization) SetEntityPermissions(r *types.SetEntityPermissions) soap.HasFault {
	var merged []types.Permission
	current := a.RetrieveEntityPermissions(&types.RetrieveEntityPermissions{Entity: r.Entity}).(*methods.RetrieveEntityPermissionsBody)
	for _, old := range current.Res.Returnval {
		replaced := false
		for _, p := range r.Permission {
			replaced = replaced || p.Principal == old.Principal && p.Group == old.Group
		}
		if !replaced {
			merged = append(merged, old)
		}
	}
	for i := range r.Permission {
		r.Permission[i].Entity = &r.Entity
		found := false
		for _, u := range simulator.DefaultUserGroup {
			found = found || u.Principal == r.Permission[i].Principal && u.Group == r.Permission[i].Group
		}
		if !found {
			return &methods.SetEntityPermissionsBody{
				Fault_: simulator.Fault("", &types.UserNotFound{Principal: r.Permission[i].Principal}),
			}
		}
	}
	r.Permission = append(merged, r.Permission...)
	return a.AuthorizationManager.SetEntityPermissions(r)
}

func extend() {
	extendCollector()

	reference := *simulator.Map.Get(types.ManagedObjectReference{Type: "ServiceInstance", Value: "ServiceInstance"}).(*simulator.ServiceInstance).Content.AuthorizationManager
	original := simulator.Map.Get(reference).(*simulator.AuthorizationManager)
	// The maps of the original are shared by this copy.
	manager := &authorization{AuthorizationManager: *original}
	simulator.Map.Put(manager)

	for i, e := range simulator.Map.All("VirtualMachine") {
		vm := e.(*simulator.VirtualMachine)
		address := fmt.Sprintf("10.%d.%d.%d", 20+i/62500, i/250%250, 1+i%250)
		name := strings.ToLower(strings.ReplaceAll(vm.Name, "_", "-")) + ".contoso.com"
		vm.Config.GuestId, vm.Config.GuestFullName = "windows9Server64Guest", "Microsoft Windows Server 2016 (64-bit)"
		vm.Config.Firmware = []string{"bios", "efi"}[i%2]
		secure := i%4 == 1
		vm.Config.BootOptions = &types.VirtualMachineBootOptions{EfiSecureBootEnabled: &secure}
		vm.Guest.GuestId, vm.Guest.GuestFullName = vm.Config.GuestId, vm.Config.GuestFullName
		vm.Guest.HostName, vm.Guest.IpAddress = name, address
		vm.Guest.ToolsRunningStatus = "guestToolsRunning"
		vm.Summary.Guest.HostName, vm.Summary.Guest.IpAddress = name, address
		vm.Summary.Config.GuestId, vm.Summary.Config.GuestFullName = vm.Config.GuestId, vm.Config.GuestFullName
		vm.Guest.ToolsVersion, vm.Guest.ToolsVersionStatus2 = "11297", "guestToolsNeedUpgrade"
		ready, can, cannot := true, true, false
		vm.Guest.GuestOperationsReady, vm.Capability.ChangeTrackingSupported = &ready, &can
		vm.Config.ChangeTrackingEnabled, vm.Runtime.ConsolidationNeeded = &cannot, &cannot
		vm.Config.Annotation = "R&D <" + vm.Name + ">"
		vm.Guest.Disk = []types.GuestDiskInfo{{DiskPath: "C:\\", Capacity: 64 << 30, FreeSpace: 40 << 30}}
		vm.Guest.Net = []types.GuestNicInfo{{
			Network: "DC0_DVPG0", MacAddress: "00:50:56:00:00:01", Connected: true, DeviceConfigId: 4000,
			IpAddress: []string{address, "fe80::1"},
			IpConfig: &types.NetIpConfigInfo{IpAddress: []types.NetIpConfigInfoIpAddress{
				{IpAddress: address, PrefixLength: 24, Origin: "manual", State: "preferred"},
				{IpAddress: "fe80::1", PrefixLength: 64, Origin: "linklayer", State: "preferred"},
			}},
		}}
		vm.Config.ExtraConfig = append(vm.Config.ExtraConfig, &types.OptionValue{Key: "guestinfo.rehost.readiness", Value: "rdp=1"})
	}
}
