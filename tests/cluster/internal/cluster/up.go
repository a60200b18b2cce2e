package cluster

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"syscall"
	"time"

	"github.com/kubectl-gitops/kubectl-gitops/tests/cluster/internal/supervisor"
)

// Options say what cluster to start.
type Options struct {
	Folder Folder
	Pods   Pods
	// Port of the API server; 0 takes a free one.
	Port int
	// Nodes is the number of fake nodes.
	Nodes int
	// Audit writes a line per API request to logs/audit.log.
	Audit bool
	// Parent ends the cluster when this process ends; 0 for none.
	Parent int
	// Images are archives to import into a cluster with real pods.
	Images []string
	// Timeout bounds the whole start.
	Timeout time.Duration
	// Progress receives one line per step.
	Progress io.Writer
}

// attempts: a port found free may be taken by somebody else before the component binds it.
const attempts = 3

// Up starts a cluster and returns when it is ready. When it fails nothing stays but the logs.
func Up(ctx context.Context, options Options) error {
	ctx, cancel := context.WithTimeout(ctx, options.Timeout)
	defer cancel()
	say := progress(options.Progress)
	if options.Folder.guarded() {
		if _, err := os.Stat(options.Folder.readyFile()); err == nil {
			say("already running")
			return nil
		}
		return fmt.Errorf("a cluster in %s is just being started by another command", options.Folder)
	}
	if err := options.check(); err != nil {
		return err
	}
	for attempt := 1; ; attempt++ {
		err := start(ctx, options, say)
		if err == nil {
			return nil
		}
		tail := options.Folder.tails()
		if downErr := Down(options.Folder); downErr != nil {
			err = errors.Join(err, downErr)
		}
		if attempt == attempts || ctx.Err() != nil || options.Port != 0 || !addressInUse(tail) {
			return fmt.Errorf("%w\n%s", err, tail)
		}
		say("a port was taken meanwhile: trying others")
	}
}

func (o *Options) check() error {
	switch o.Pods {
	case Fake:
		if len(o.Images) > 0 {
			return errors.New("--image is for clusters with real pods: fake pods need no image")
		}
		return nil
	case Real:
		return checkReal(o)
	default:
		return fmt.Errorf("--pods %s: want fake or real", o.Pods)
	}
}

// start does one attempt.
func start(ctx context.Context, options Options, say func(string, ...any)) error {
	folder := options.Folder
	if err := Down(folder); err != nil { // what a crash may have left
		return err
	}
	if err := os.RemoveAll(folder.path("logs")); err != nil {
		return err
	}
	if err := os.MkdirAll(folder.path("logs"), 0o755); err != nil {
		return fmt.Errorf("--dir: %w", err)
	}
	state, err := newState(options)
	if err != nil {
		return err
	}
	if err := folder.save(state); err != nil {
		return err
	}
	if err := writeCredentials(folder, state); err != nil {
		return err
	}
	if state.Audit {
		if err := write(folder.path("pki", "audit-policy.yaml"), []byte(auditPolicy), 0o644); err != nil {
			return err
		}
	}
	say("starting the control plane at %s", state.Server())
	ended, err := startGuard(folder)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	go func() {
		cancel(fmt.Errorf("the cluster's guard ended: %w", <-ended))
	}()
	if err := waitReady(ctx, folder, state, options.Images, say); err != nil {
		if cause := context.Cause(ctx); cause != nil {
			return fmt.Errorf("%w (%w)", cause, err)
		}
		return err
	}
	if err := write(folder.readyFile(), nil, 0o644); err != nil {
		return err
	}
	say("ready")
	return nil
}

func newState(options Options) (*State, error) {
	starter, err := supervisor.Identify(os.Getpid())
	if err != nil {
		return nil, err
	}
	state := &State{
		Pods: options.Pods, Nodes: options.Nodes, Audit: options.Audit, Starter: starter,
		APIAddress: "127.0.0.1", HostAddress: "127.0.0.1",
	}
	if options.Parent != 0 {
		parent, err := supervisor.Identify(options.Parent)
		if err != nil {
			return nil, fmt.Errorf("--parent: %w", err)
		}
		state.Parent = &parent
	}
	if options.Pods == Real {
		if err := reserveSlot(state); err != nil {
			return nil, err
		}
		state.EtcdPort, state.PeerPort, state.APIPort = 2379, 2380, 6443 // of its own network namespace
	} else {
		ports, err := freePorts(3)
		if err != nil {
			return nil, err
		}
		state.EtcdPort, state.PeerPort, state.APIPort = ports[0], ports[1], ports[2]
	}
	if options.Port != 0 {
		state.APIPort = options.Port
	}
	return state, nil
}

// startGuard starts the process that outlives this command. The channel gets a value when it ends before that.
func startGuard(folder Folder) (<-chan error, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("find this program: %w", err)
	}
	log, err := os.Create(folder.log("guard"))
	if err != nil {
		return nil, err
	}
	defer log.Close()
	command := exec.Command(self, "guard", "--dir="+string(folder))
	command.Stdout, command.Stderr = log, log
	command.Dir = string(folder)
	command.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := command.Start(); err != nil {
		return nil, fmt.Errorf("start the guard: %w", err)
	}
	ended := make(chan error, 1)
	go func() {
		err := command.Wait()
		if err == nil {
			err = errors.New("without an error")
		}
		ended <- err
	}()
	return ended, nil
}

func progress(to io.Writer) func(string, ...any) {
	began := time.Now()
	return func(format string, values ...any) {
		fmt.Fprintf(to, "%5.1fs %s\n", time.Since(began).Seconds(), fmt.Sprintf(format, values...))
	}
}
