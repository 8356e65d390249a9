package main

// Reading properties as a real vCenter does, where version 0.24 of the simulator falls short: pages of at most 100 objects
// with tokens, collected when they are asked for; updates of at most 100 objects, with versions that count; properties that
// an older API does not know are refused; and sessions that end in the middle.

import (
	"strconv"
	"strings"
	"sync"

	"github.com/google/uuid"
	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/mo"
	"github.com/vmware/govmomi/vim25/soap"
	"github.com/vmware/govmomi/vim25/types"
)

// Objects in one answer at most, as observed on real vCenters.
const pageSize = 100

// Calls after which a session ends; 0 is never.
var maxCalls int64

// The version claimed, when one is.
var claimed []int

// Properties that came with a version (vSphere API reference).
var since = map[string]string{"config.bootOptions.efiSecureBootEnabled": "6.5", "config.keyId": "6.5"}

// The simulator's structure comes first and by value: the property collector walks down the first fields.
type collector struct {
	simulator.PropertyCollector
	mu      sync.Mutex
	left    map[string]rest
	tokens  int
	version int
	updates []types.PropertyFilterUpdate
	kinds   map[string]bool
}

// What a truncated read has not told yet.
type rest struct {
	properties []types.PropertySpec
	objects    []types.ObjectSpec
	max        int
}

func extendCollector() {
	instance := simulator.Map.Get(types.ManagedObjectReference{Type: "ServiceInstance", Value: "ServiceInstance"}).(*simulator.ServiceInstance)
	c := &collector{}
	c.Self = instance.Content.PropertyCollector
	simulator.Map.Put(c)
}

func numbers(version string) []int {
	var all []int
	for _, part := range strings.Split(version, ".") {
		n, _ := strconv.Atoi(part)
		all = append(all, n)
	}
	return all
}

func older(a, b []int) bool {
	for i := range b {
		if i >= len(a) || a[i] != b[i] {
			return i >= len(a) || a[i] < b[i]
		}
	}
	return false
}

// The first property that the claimed version does not know.
func unknown(specs []types.PropertySpec) types.BaseMethodFault {
	for _, spec := range specs {
		for _, path := range spec.PathSet {
			if v, ok := since[path]; ok && claimed != nil && older(claimed, numbers(v)) {
				return &types.InvalidProperty{Name: path}
			}
		}
	}
	return nil
}

// Ends a session that has made its calls.
func ended(ctx *simulator.Context) bool {
	if ctx.Session != nil && maxCalls > 0 && ctx.Session.CallCount > maxCalls {
		simulator.Map.SessionManager().Logout(ctx, nil)
		ctx.Session = nil
	}
	return ctx.Session == nil
}

func notAuthenticated(this types.ManagedObjectReference) *soap.Fault {
	return simulator.Fault("", &types.NotAuthenticated{NoPermission: types.NoPermission{Object: this, PrivilegeId: "System.View"}})
}

func (c *collector) RetrievePropertiesEx(ctx *simulator.Context, r *types.RetrievePropertiesEx) soap.HasFault {
	if ended(ctx) {
		for _, spec := range r.SpecSet {
			for _, o := range spec.ObjectSet {
				if o.Obj.Type == "ContainerView" {
					return &methods.RetrievePropertiesExBody{Fault_: notAuthenticated(o.Obj)}
				}
			}
		}
		// Of other objects the simulator tells every property missing, as a real vCenter does.
		return c.PropertyCollector.RetrievePropertiesEx(ctx, r)
	}
	inner, left := *r, rest{max: pageSize}
	inner.SpecSet = append([]types.PropertyFilterSpec{}, r.SpecSet...)
	for i := range inner.SpecSet {
		properties := inner.SpecSet[i].PropSet
		if fault := unknown(properties); fault != nil {
			return &methods.RetrievePropertiesExBody{Fault_: simulator.Fault("", fault)}
		}
		left.properties = append(left.properties, properties...)
		// Only which objects, for now.
		inner.SpecSet[i].PropSet = nil
		for _, p := range properties {
			inner.SpecSet[i].PropSet = append(inner.SpecSet[i].PropSet, types.PropertySpec{Type: p.Type})
		}
	}
	if m := int(r.Options.MaxObjects); m > 0 && m < left.max {
		left.max = m
	}
	answer := c.PropertyCollector.RetrievePropertiesEx(ctx, &inner)
	body := answer.(*methods.RetrievePropertiesExBody)
	if body.Res != nil && body.Res.Returnval != nil {
		for _, o := range body.Res.Returnval.Objects {
			left.objects = append(left.objects, types.ObjectSpec{Obj: o.Obj})
		}
		body.Res.Returnval = c.page(ctx, left)
	}
	return body
}

func (c *collector) page(ctx *simulator.Context, left rest) *types.RetrieveResult {
	result := &types.RetrieveResult{}
	n := left.max
	if len(left.objects) > n {
		c.mu.Lock()
		if c.left == nil {
			c.left = map[string]rest{}
		}
		// Small numbers, "0" among them, as of real servers.
		result.Token = strconv.Itoa(c.tokens)
		c.tokens++
		c.left[result.Token] = rest{left.properties, left.objects[n:], left.max}
		c.mu.Unlock()
	} else {
		n = len(left.objects)
	}
	// What was removed meanwhile is left out.
	there := true
	answer := c.PropertyCollector.RetrievePropertiesEx(ctx, &types.RetrievePropertiesEx{SpecSet: []types.PropertyFilterSpec{{
		PropSet: left.properties, ObjectSet: left.objects[:n], ReportMissingObjectsInResults: &there,
	}}})
	if body := answer.(*methods.RetrievePropertiesExBody); body.Res != nil && body.Res.Returnval != nil {
		result.Objects = body.Res.Returnval.Objects
	}
	return result
}

func (c *collector) take(token string) (rest, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	left, ok := c.left[token]
	delete(c.left, token)
	return left, ok
}

func (c *collector) ContinueRetrievePropertiesEx(ctx *simulator.Context, r *types.ContinueRetrievePropertiesEx) soap.HasFault {
	if ended(ctx) {
		return &methods.ContinueRetrievePropertiesExBody{Fault_: notAuthenticated(r.This)}
	}
	left, ok := c.take(r.Token)
	if !ok {
		return &methods.ContinueRetrievePropertiesExBody{Fault_: simulator.Fault("", &types.InvalidArgument{InvalidProperty: "token"})}
	}
	return &methods.ContinueRetrievePropertiesExBody{
		Res: &types.ContinueRetrievePropertiesExResponse{Returnval: *c.page(ctx, left)},
	}
}

func (c *collector) CancelRetrievePropertiesEx(ctx *simulator.Context, r *types.CancelRetrievePropertiesEx) soap.HasFault {
	if _, ok := c.take(r.Token); !ok {
		return &methods.CancelRetrievePropertiesExBody{Fault_: simulator.Fault("", &types.InvalidArgument{InvalidProperty: "token"})}
	}
	return &methods.CancelRetrievePropertiesExBody{Res: &types.CancelRetrievePropertiesExResponse{}}
}

func (c *collector) CreatePropertyCollector(ctx *simulator.Context, r *types.CreatePropertyCollector) soap.HasFault {
	own := &collector{}
	own.Self = types.ManagedObjectReference{Type: "PropertyCollector", Value: "session[" + ctx.Session.Key + "]" + uuid.New().String()}
	ctx.Session.Put(own)
	return &methods.CreatePropertyCollectorBody{Res: &types.CreatePropertyCollectorResponse{Returnval: own.Self}}
}

func (c *collector) CreateFilter(ctx *simulator.Context, r *types.CreateFilter) soap.HasFault {
	if fault := unknown(r.Spec.PropSet); fault != nil {
		return &methods.CreateFilterBody{Fault_: simulator.Fault("", fault)}
	}
	c.mu.Lock()
	if c.kinds == nil {
		c.kinds = map[string]bool{"ContainerView": true}
	}
	for _, p := range r.Spec.PropSet {
		c.kinds[p.Type] = true
	}
	c.mu.Unlock()
	return c.PropertyCollector.CreateFilter(ctx, r)
}

// Changes of objects that no filter asks for would be looked at one by one.
func (c *collector) UpdateObject(o mo.Reference, changes []types.PropertyChange) {
	c.mu.Lock()
	asked := c.kinds[o.Reference().Type]
	c.mu.Unlock()
	if asked {
		c.PropertyCollector.UpdateObject(o, changes)
	}
}

func (c *collector) WaitForUpdatesEx(ctx *simulator.Context, r *types.WaitForUpdatesEx) soap.HasFault {
	if ended(ctx) {
		return &methods.WaitForUpdatesExBody{Fault_: notAuthenticated(r.This)}
	}
	c.mu.Lock()
	known, more := r.Version == strconv.Itoa(c.version), len(c.updates) > 0
	c.mu.Unlock()
	if r.Version != "" && !known {
		return &methods.WaitForUpdatesExBody{Fault_: simulator.Fault("", &types.InvalidCollectorVersion{})}
	}
	if more && known {
		return &methods.WaitForUpdatesExBody{Res: &types.WaitForUpdatesExResponse{Returnval: c.cut()}}
	}
	inner := *r
	if r.Version == "" {
		c.again(ctx)
	} else {
		inner.Version = "-"
	}
	answer := c.PropertyCollector.WaitForUpdatesEx(ctx, &inner)
	if r.Version == "" {
		simulator.Map.AddHandler(c)
	}
	if body := answer.(*methods.WaitForUpdatesExBody); body.Res != nil && body.Res.Returnval != nil {
		c.mu.Lock()
		c.updates = body.Res.Returnval.FilterSet
		c.mu.Unlock()
		body.Res.Returnval = c.cut()
	}
	return answer
}

// Tells everything from the beginning.
func (c *collector) again(ctx *simulator.Context) {
	c.updates = nil
	for _, ref := range append([]types.ManagedObjectReference{}, c.Filter...) {
		filter := ctx.Session.Get(ref).(*simulator.PropertyFilter)
		spec, partial := filter.Spec, filter.PartialUpdates
		filter.DestroyPropertyFilter(ctx, &types.DestroyPropertyFilter{This: ref})
		c.PropertyCollector.CreateFilter(ctx, &types.CreateFilter{Spec: spec, PartialUpdates: partial})
	}
}

// The next updates, of at most a page of objects.
func (c *collector) cut() *types.UpdateSet {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.version++
	set := &types.UpdateSet{Version: strconv.Itoa(c.version)}
	for room := pageSize; room > 0 && len(c.updates) > 0; {
		first := &c.updates[0]
		n := len(first.ObjectSet)
		if n > room {
			n = room
		}
		set.FilterSet = append(set.FilterSet, types.PropertyFilterUpdate{Filter: first.Filter, ObjectSet: first.ObjectSet[:n]})
		room -= n
		if first.ObjectSet = first.ObjectSet[n:]; len(first.ObjectSet) == 0 {
			c.updates = c.updates[1:]
		}
	}
	if len(c.updates) > 0 {
		more := true
		set.Truncated = &more
	}
	return set
}
