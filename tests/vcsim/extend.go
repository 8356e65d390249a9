package main

// What version 0.24 of the simulator lacks and a real vCenter does: pages of at most 100 objects with tokens, the ids of
// new roles, permissions merged per principal and refused for unknown ones, and machines with a guest in them.

import (
	"fmt"
	"strings"
	"sync"

	"github.com/google/uuid"
	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/soap"
	"github.com/vmware/govmomi/vim25/types"
)

// Objects in one answer at most, as observed on real vCenters.
const pageSize = 100

// The simulator's structure comes first and by value: the property collector walks down the first fields.
type pagingCollector struct {
	simulator.PropertyCollector
	mu   sync.Mutex
	left map[string]rest
}

type rest struct {
	objects []types.ObjectContent
	max     int
}

func (c *pagingCollector) cut(objects []types.ObjectContent, max int) *types.RetrieveResult {
	result := &types.RetrieveResult{Objects: objects}
	if len(objects) > max {
		result.Objects, result.Token = objects[:max], uuid.New().String()
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.left == nil {
			c.left = map[string]rest{}
		}
		c.left[result.Token] = rest{objects[max:], max}
	}
	return result
}

func (c *pagingCollector) take(token string) (rest, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	page, ok := c.left[token]
	delete(c.left, token)
	return page, ok
}

func (c *pagingCollector) RetrievePropertiesEx(ctx *simulator.Context, r *types.RetrievePropertiesEx) soap.HasFault {
	answer := c.PropertyCollector.RetrievePropertiesEx(ctx, r)
	if body, ok := answer.(*methods.RetrievePropertiesExBody); ok && body.Res != nil && body.Res.Returnval != nil {
		max := pageSize
		if m := int(r.Options.MaxObjects); m > 0 && m < max {
			max = m
		}
		body.Res.Returnval = c.cut(body.Res.Returnval.Objects, max)
	}
	return answer
}

func (c *pagingCollector) ContinueRetrievePropertiesEx(ctx *simulator.Context, r *types.ContinueRetrievePropertiesEx) soap.HasFault {
	page, ok := c.take(r.Token)
	if !ok {
		return &methods.ContinueRetrievePropertiesExBody{Fault_: simulator.Fault("", &types.InvalidArgument{InvalidProperty: "token"})}
	}
	return &methods.ContinueRetrievePropertiesExBody{
		Res: &types.ContinueRetrievePropertiesExResponse{Returnval: *c.cut(page.objects, page.max)},
	}
}

func (c *pagingCollector) CancelRetrievePropertiesEx(ctx *simulator.Context, r *types.CancelRetrievePropertiesEx) soap.HasFault {
	if _, ok := c.take(r.Token); !ok {
		return &methods.CancelRetrievePropertiesExBody{Fault_: simulator.Fault("", &types.InvalidArgument{InvalidProperty: "token"})}
	}
	return &methods.CancelRetrievePropertiesExBody{Res: &types.CancelRetrievePropertiesExResponse{}}
}

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
	collector := &pagingCollector{}
	collector.Self = types.ManagedObjectReference{Type: "PropertyCollector", Value: "propertyCollector"}
	simulator.Map.Put(collector)

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
		vm.Config.ExtraConfig = append(vm.Config.ExtraConfig, &types.OptionValue{Key: "guestinfo.rehost.readiness", Value: "rdp=1"})
	}
}
