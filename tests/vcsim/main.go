// Command vcsim serves VMware's vCenter simulator for our tests.
//
// Debian packages the simulator as a library only, without its command: this is the command, with what the tests need
// and no more. Nothing is downloaded to build it (see `cargo xtask test`). It prints one line, `ready URL`, when it
// serves, and stops on SIGTERM or when its standard input closes, so that it never outlives the test that started it.
package main

import (
	"crypto/tls"
	"flag"
	"fmt"
	"io"
	"log"
	"net/url"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"

	"github.com/vmware/govmomi/simulator"
)

func main() {
	model := simulator.VPX()
	esx := flag.Bool("esx", false, "a stand-alone ESXi host instead of a vCenter; of the sizes only -vm counts")
	version := flag.String("apiversion", "", "version of the API that it claims, and whose properties it knows: 6.0, 8.0.3.0")
	flag.IntVar(&model.DelayConfig.Delay, "delay", 0, "milliseconds before each answer")
	flag.Int64Var(&maxCalls, "calls", 0, "a session ends in the middle of a read or watch after so many calls; 0 is never")
	listen := flag.String("l", "127.0.0.1:0", "address and port; port 0 is any free one")
	certificate := flag.String("tlscert", "", "PEM file of the certificate (Go's own RSA-1024 test certificate is refused by rustls)")
	key := flag.String("tlskey", "", "PEM file of the certificate's key")
	user := flag.String("username", "administrator@vsphere.local", "the only user")
	password := flag.String("password", "", "that user's password")
	flag.IntVar(&model.Datacenter, "dc", model.Datacenter, "datacenters")
	flag.IntVar(&model.Cluster, "cluster", model.Cluster, "clusters per datacenter")
	flag.IntVar(&model.ClusterHost, "host", model.ClusterHost, "hosts per cluster")
	flag.IntVar(&model.Host, "standalone-host", 0, "hosts without a cluster per datacenter")
	flag.IntVar(&model.Machine, "vm", model.Machine, "machines per cluster")
	flag.IntVar(&model.Datastore, "ds", model.Datastore, "datastores per datacenter")
	flag.IntVar(&model.Portgroup, "pg", model.Portgroup, "port groups per datacenter")
	flag.DurationVar(&simulator.SessionIdleTimeout, "idle", 0, "sessions end after this long without a request; 0 is never")
	guestHost := flag.String("guesthost", "", "files of guests are handed over at localhost, which vCenter knows by its own certificate (own) or by this PEM file")
	flag.Parse()
	if *certificate == "" || *key == "" || *password == "" {
		log.Fatal("vcsim: -tlscert, -tlskey and -password are required")
	}

	// The tests measure the client: the simulator shall not spend half of its time collecting garbage.
	debug.SetGCPercent(800)
	pair, err := tls.LoadX509KeyPair(*certificate, *key)
	if err != nil {
		log.Fatal("vcsim: ", err)
	}
	if *esx {
		host := simulator.ESX()
		host.Machine, host.DelayConfig = model.Machine, model.DelayConfig
		model = host
	}
	if *version != "" {
		claimed = numbers(*version)
		about := &model.ServiceContent.About
		about.ApiVersion, about.Version = *version, *version
	}
	if err := model.Create(); err != nil {
		log.Fatal("vcsim: ", err)
	}
	extend()
	var hosts []byte
	if *guestHost != "" {
		if *guestHost == "own" {
			*guestHost = *certificate
		}
		if hosts, err = os.ReadFile(*guestHost); err != nil {
			log.Fatal("vcsim: ", err)
		}
	}
	if err := extendGuests(model.Service, hosts); err != nil {
		log.Fatal("vcsim: ", err)
	}
	model.Service.Listen = &url.URL{Host: *listen, User: url.UserPassword(*user, *password)}
	model.Service.TLS = &tls.Config{Certificates: []tls.Certificate{pair}}
	server := model.Service.NewServer()
	if hosts != nil {
		guest.host = "localhost:" + server.URL.Port()
	}
	ready := *server.URL
	ready.User = nil
	fmt.Println("ready", ready.String())

	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGTERM, syscall.SIGINT)
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		stop <- syscall.SIGTERM
	}()
	<-stop
	server.Close()
	model.Remove()
	_ = os.RemoveAll(guest.folder)
}
