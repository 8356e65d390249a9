package main

// Guest operations, which version 0.24 of the simulator has only for machines in containers: the account is checked, files lie
// in a folder of this computer, and /bin/sh runs scripts for real. Files are handed over at `*`, as a stand-alone host
// does, or at another name of this computer with a certificate of a host, as a vCenter does.

import (
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/mo"
	"github.com/vmware/govmomi/vim25/soap"
	"github.com/vmware/govmomi/vim25/types"
)

const guestUser, guestPassword = "Administrator", "Gu&st<pw>\"é"

// All guests are one: its folder, its addresses of files, its processes.
var guest struct {
	sync.Mutex
	folder    string
	tickets   map[string]string
	processes map[int64]*types.GuestProcessInfo
	next      int64
	// Host and port of the addresses; empty is `*`.
	host string
}

func signIn(auth types.BaseGuestAuthentication) *soap.Fault {
	if a, ok := auth.(*types.NamePasswordAuthentication); ok && a.Username == guestUser && a.Password == guestPassword {
		return nil
	}
	return simulator.Fault("", &types.InvalidGuestLogin{})
}

// A path that is none of the guest's is not found.
func own(path string) *soap.Fault {
	if strings.HasPrefix(filepath.Clean(path), guest.folder+"/") {
		return nil
	}
	return missing(path)
}

func missing(path string) *soap.Fault {
	return simulator.Fault("", &types.FileNotFound{FileFault: types.FileFault{File: path}})
}

func ticket(path string) string {
	guest.Lock()
	defer guest.Unlock()
	token := uuid.New().String()
	guest.tickets[token] = path
	host := "*"
	if guest.host != "" {
		host = guest.host
	}
	return "https://" + host + "/guestFile?id=1&token=" + url.QueryEscape(token)
}

// Takes or gives a file at an address with a ticket, which is good once.
func guestFile(w http.ResponseWriter, r *http.Request) {
	guest.Lock()
	path, ok := guest.tickets[r.URL.Query().Get("token")]
	delete(guest.tickets, r.URL.Query().Get("token"))
	guest.Unlock()
	if _, session := r.Header["Cookie"]; !ok || session {
		http.Error(w, "no ticket, or a session where none belongs", http.StatusForbidden)
		return
	}
	if r.Method == http.MethodPut {
		content, err := io.ReadAll(r.Body)
		if err == nil {
			err = os.WriteFile(path, content, 0o600)
		}
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
		}
		return
	}
	http.ServeFile(w, r, path)
}

type authManager struct{ mo.GuestAuthManager }

func (m *authManager) ValidateCredentialsInGuest(r *types.ValidateCredentialsInGuest) soap.HasFault {
	body := &methods.ValidateCredentialsInGuestBody{Fault_: signIn(r.Auth)}
	if body.Fault_ == nil {
		body.Res = &types.ValidateCredentialsInGuestResponse{}
	}
	return body
}

type fileManager struct{ mo.GuestFileManager }

func (m *fileManager) CreateTemporaryDirectoryInGuest(r *types.CreateTemporaryDirectoryInGuest) soap.HasFault {
	body := &methods.CreateTemporaryDirectoryInGuestBody{Fault_: signIn(r.Auth)}
	if body.Fault_ == nil {
		path, err := os.MkdirTemp(guest.folder, r.Prefix+"*"+r.Suffix)
		if err != nil {
			body.Fault_ = missing(path)
		} else {
			body.Res = &types.CreateTemporaryDirectoryInGuestResponse{Returnval: path}
		}
	}
	return body
}

func (m *fileManager) DeleteDirectoryInGuest(r *types.DeleteDirectoryInGuest) soap.HasFault {
	body := &methods.DeleteDirectoryInGuestBody{Fault_: signIn(r.Auth)}
	if body.Fault_ == nil {
		body.Fault_ = own(r.DirectoryPath)
	}
	if body.Fault_ == nil {
		remove := os.Remove
		if r.Recursive {
			remove = os.RemoveAll
		}
		if remove(r.DirectoryPath) != nil {
			body.Fault_ = missing(r.DirectoryPath)
		} else {
			body.Res = &types.DeleteDirectoryInGuestResponse{}
		}
	}
	return body
}

func (m *fileManager) InitiateFileTransferToGuest(r *types.InitiateFileTransferToGuest) soap.HasFault {
	body := &methods.InitiateFileTransferToGuestBody{Fault_: signIn(r.Auth)}
	if body.Fault_ == nil {
		body.Fault_ = own(r.GuestFilePath)
	}
	if body.Fault_ == nil {
		body.Res = &types.InitiateFileTransferToGuestResponse{Returnval: ticket(r.GuestFilePath)}
	}
	return body
}

func (m *fileManager) InitiateFileTransferFromGuest(r *types.InitiateFileTransferFromGuest) soap.HasFault {
	body := &methods.InitiateFileTransferFromGuestBody{Fault_: signIn(r.Auth)}
	if body.Fault_ != nil {
		return body
	}
	file, err := os.Stat(r.GuestFilePath)
	if err != nil || own(r.GuestFilePath) != nil {
		body.Fault_ = missing(r.GuestFilePath)
		return body
	}
	body.Res = &types.InitiateFileTransferFromGuestResponse{Returnval: types.FileTransferInformation{
		Attributes: &types.GuestPosixFileAttributes{}, Size: file.Size(), Url: ticket(r.GuestFilePath),
	}}
	return body
}

type processManager struct{ mo.GuestProcessManager }

func (m *processManager) StartProgramInGuest(r *types.StartProgramInGuest) soap.HasFault {
	body := &methods.StartProgramInGuestBody{Fault_: signIn(r.Auth)}
	if body.Fault_ != nil {
		return body
	}
	spec := r.Spec.GetGuestProgramSpec()
	if _, err := os.Stat(spec.ProgramPath); err != nil {
		body.Fault_ = missing(spec.ProgramPath)
		return body
	}
	guest.Lock()
	defer guest.Unlock()
	guest.next++
	process := &types.GuestProcessInfo{Name: spec.ProgramPath, Pid: guest.next, Owner: guestUser, CmdLine: spec.Arguments, StartTime: time.Now()}
	guest.processes[process.Pid] = process
	// VMware Tools give a program and its arguments to a shell in Linux, too.
	command := exec.Command("/bin/sh", "-c", spec.ProgramPath+" "+spec.Arguments)
	go func() {
		_ = command.Run()
		guest.Lock()
		defer guest.Unlock()
		now := time.Now()
		process.EndTime, process.ExitCode = &now, int32(command.ProcessState.ExitCode())
	}()
	body.Res = &types.StartProgramInGuestResponse{Returnval: process.Pid}
	return body
}

func (m *processManager) ListProcessesInGuest(r *types.ListProcessesInGuest) soap.HasFault {
	body := &methods.ListProcessesInGuestBody{Fault_: signIn(r.Auth)}
	if body.Fault_ == nil {
		guest.Lock()
		defer guest.Unlock()
		body.Res = &types.ListProcessesInGuestResponse{}
		for _, pid := range r.Pids {
			if p, ok := guest.processes[pid]; ok {
				body.Res.Returnval = append(body.Res.Returnval, *p)
			}
		}
	}
	return body
}

// Puts the managers in the place of the simulator's own. `certificate` is that of the hosts, when files are handed over there.
func extendGuests(service *simulator.Service, certificate []byte) error {
	instance := simulator.Map.Get(types.ManagedObjectReference{Type: "ServiceInstance", Value: "ServiceInstance"}).(*simulator.ServiceInstance)
	operations := simulator.Map.Get(*instance.Content.GuestOperationsManager).(*simulator.GuestOperationsManager)
	auth, file, process := &authManager{}, &fileManager{}, &processManager{}
	auth.Self = types.ManagedObjectReference{Type: "GuestAuthManager", Value: "guestOperationsAuthManager"}
	file.Self, process.Self = *operations.FileManager, *operations.ProcessManager
	operations.AuthManager = &auth.Self
	simulator.Map.Put(auth)
	simulator.Map.Put(file)
	simulator.Map.Put(process)
	if certificate != nil {
		for _, e := range simulator.Map.All("HostSystem") {
			host := e.(*simulator.HostSystem)
			host.Config.Certificate = certificate
		}
	}
	folder, err := os.MkdirTemp("", "vcsim-guest-")
	if err != nil {
		return fmt.Errorf("a folder for the guest: %w", err)
	}
	guest.folder, guest.tickets, guest.processes = folder, map[string]string{}, map[int64]*types.GuestProcessInfo{}
	service.ServeMux = http.NewServeMux()
	service.ServeMux.HandleFunc("/guestFile", guestFile)
	return nil
}
