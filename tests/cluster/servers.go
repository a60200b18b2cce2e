package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"time"

	"github.com/kubectl-gitops/kubectl-gitops/tests/cluster/internal/servers"
	"github.com/kubectl-gitops/kubectl-gitops/tests/cluster/internal/supervisor"
)

const parentCheck = 200 * time.Millisecond

func serve(args []string) error {
	flags := flag.NewFlagSet("servers", flag.ContinueOnError)
	host := flags.String("host", "127.0.0.1", "address to listen on")
	parent := flags.Int("parent", 0, "process id: end when that process does")
	folder, _, err := parse(flags, args)
	if err != nil {
		return err
	}
	ctx, cancel := interruptible()
	defer cancel()
	if *parent != 0 {
		process, err := supervisor.Identify(*parent)
		if err != nil {
			return fmt.Errorf("--parent: %w", err)
		}
		go endWith(ctx, process, cancel)
	}
	err = servers.Run(ctx, servers.Options{Folder: string(folder), Host: *host, Out: os.Stdout})
	if errors.Is(ctx.Err(), context.Canceled) {
		return nil
	}
	return err
}

func endWith(ctx context.Context, process supervisor.Identity, end func()) {
	ticker := time.NewTicker(parentCheck)
	defer ticker.Stop()
	for process.Alive() {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
	end()
}
