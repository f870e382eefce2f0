// The stargz snapshotter as a daemon of its own, for `.ci/modern`: its command is in no published module, and its
// service is.
//
// Usage: stargz SETTINGS ROOT SOCKET
package main

import (
	"context"
	"log"
	"net"
	"os"

	snapshotsapi "github.com/containerd/containerd/api/services/snapshots/v1"
	"github.com/containerd/containerd/v2/contrib/snapshotservice"
	"github.com/containerd/stargz-snapshotter/service"
	"github.com/pelletier/go-toml/v2"
	"google.golang.org/grpc"
)

func main() {
	settings, root, socket := os.Args[1], os.Args[2], os.Args[3]
	if err := serve(settings, root, socket); err != nil {
		log.Fatal(err)
	}
}

func serve(settings, root, socket string) error {
	text, err := os.ReadFile(settings)
	if err != nil {
		return err
	}
	var config service.Config
	if err := toml.Unmarshal(text, &config); err != nil {
		return err
	}
	snapshotter, err := service.NewStargzSnapshotterService(context.Background(), root, &config)
	if err != nil {
		return err
	}
	listener, err := net.Listen("unix", socket)
	if err != nil {
		return err
	}
	server := grpc.NewServer()
	snapshotsapi.RegisterSnapshotsServer(server, snapshotservice.FromSnapshotter(snapshotter))
	return server.Serve(listener)
}
