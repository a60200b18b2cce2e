package cluster

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/kubectl-gitops/kubectl-gitops/tests/cluster/internal/supervisor"
)

// The box is a set of private namespaces in which everything of a cluster with real pods runs. Its first process is
// `gitops-cluster box`: when that ends, the kernel ends every process, container, mount and network of the box. Only
// control groups are left for the guard to remove.

const boxNamespaces = unix.CLONE_NEWNET | unix.CLONE_NEWNS | unix.CLONE_NEWPID | unix.CLONE_NEWIPC | unix.CLONE_NEWUTS

// containerdSocket is inside the box, where /run is private.
const containerdSocket = "/run/containerd.sock"

// checkReal says what is missing for real pods before anything is begun.
func checkReal(o *Options) error {
	if os.Geteuid() != 0 {
		return errors.New("real pods need root: run as root, or use --pods fake")
	}
	if o.Port != 0 {
		return errors.New("--port is for clusters with fake pods: with real pods the API server has an address of its own")
	}
	for _, program := range []string{containerdPath, runcPath, filepath.Join(networkPlugins, "bridge")} {
		if _, err := os.Stat(program); err != nil {
			return fmt.Errorf("real pods need %s: install containerd, runc, containernetworking-plugins and iptables", program)
		}
	}
	for _, hidden := range []string{"/run/", "/var/run/", "/var/log/", "/var/lib/cni/", "/var/lib/kubelet/"} {
		if len(o.Folder) > len(hidden) && string(o.Folder)[:len(hidden)] == hidden {
			return fmt.Errorf("--dir must not be below %s, which the cluster replaces for itself", hidden)
		}
	}
	return nil
}

// boxProcess describes the box to the guard. The function returned is called once the box has ended.
func boxProcess(folder Folder, state *State, self string) (supervisor.Process, func(), error) {
	read, write, err := os.Pipe()
	if err != nil {
		return supervisor.Process{}, nil, fmt.Errorf("make a pipe to the box: %w", err)
	}
	process := supervisor.Process{
		Name: "box", Path: self, Args: []string{"box", "--dir=" + string(folder)}, Env: environment(folder),
		Log: folder.log("box"), Once: true, Cloneflags: boxNamespaces, Inherit: read,
		Started: func(pid int) error {
			if err := connect(state, pid); err != nil {
				return err
			}
			if state.Box, err = supervisor.Identify(pid); err != nil {
				return err
			}
			if err := folder.save(state); err != nil {
				return err
			}
			if _, err := write.WriteString("connected\n"); err != nil {
				return fmt.Errorf("tell the box that it is connected: %w", err)
			}
			return nil
		},
	}
	return process, func() { _ = read.Close(); _ = write.Close() }, nil
}

// Box is the first process of the box.
func Box(folder Folder) error {
	state, err := folder.Load()
	if err != nil {
		return err
	}
	if os.Getpid() != 1 {
		return errors.New("only the guard starts this, in namespaces of its own")
	}
	if err := unix.Sethostname([]byte(nodeName)); err != nil {
		return fmt.Errorf("set the host name: %w", err)
	}
	if err := privateMounts(folder); err != nil {
		return err
	}
	if err := awaitConnection(); err != nil {
		return err
	}
	if err := configureInside(state); err != nil {
		return err
	}
	self, err := os.Executable()
	if err != nil {
		return fmt.Errorf("find this program: %w", err)
	}
	node, err := nodeProcesses(folder, state, self)
	if err != nil {
		return err
	}
	set := &supervisor.Set{
		Processes: append(controlPlane(folder, state, self), node...),
		Held:      folder.held(), Ready: folder.readyFile(), Note: note,
		Done: func() string { return "" },
	}
	return set.Run()
}

// awaitConnection waits until the guard has put the network device into the box.
func awaitConnection() error {
	const inherited = 3
	pipe := os.NewFile(inherited, "pipe from the guard")
	defer pipe.Close()
	first := make([]byte, 1)
	if _, err := io.ReadFull(pipe, first); err != nil {
		return fmt.Errorf("the guard ended before it connected the box: %w", err)
	}
	return nil
}

// privateMounts hides the paths that the kubelet, containerd, runc and network plugins have built in, and the three
// kernel settings that the kubelet would change for the whole machine.
func privateMounts(folder Folder) error {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("make the mounts private: %w", err)
	}
	if err := unix.Mount("proc", "/proc", "proc", 0, ""); err != nil {
		return fmt.Errorf("mount /proc: %w", err)
	}
	for _, path := range []string{"/run", "/var/log", "/var/lib/cni"} {
		if err := os.MkdirAll(path, 0o755); err != nil {
			return err
		}
		if err := unix.Mount("box", path, "tmpfs", 0, "mode=755"); err != nil {
			return fmt.Errorf("mount a private %s: %w", path, err)
		}
	}
	if err := os.MkdirAll("/run/lock", 0o755); err != nil {
		return err
	}
	// The paths below it become socket names, which must be short; its volumes can be large.
	const kubelet = "/var/lib/kubelet"
	for _, path := range []string{kubelet, folder.path("node", "kubelet")} {
		if err := os.MkdirAll(path, 0o755); err != nil {
			return err
		}
	}
	if err := unix.Mount(folder.path("node", "kubelet"), kubelet, "", unix.MS_BIND, ""); err != nil {
		return fmt.Errorf("mount a private %s: %w", kubelet, err)
	}
	if err := unix.Mount("", kubelet, "", unix.MS_SHARED, ""); err != nil {
		return fmt.Errorf("share %s with containers: %w", kubelet, err)
	}
	settings := map[string]string{"vm/overcommit_memory": "1", "kernel/panic": "10", "kernel/panic_on_oops": "1"}
	for name, value := range settings {
		file := folder.path("node", "settings", filepath.Base(name))
		if err := write(file, []byte(value+"\n"), 0o644); err != nil {
			return err
		}
		if err := unix.Mount(file, filepath.Join("/proc/sys", name), "", unix.MS_BIND, ""); err != nil {
			return fmt.Errorf("hide /proc/sys/%s: %w", name, err)
		}
	}
	return nil
}

// setting writes a kernel setting that is private to the box's network namespace.
func setting(name, value string) error {
	path := filepath.Join("/proc/sys", name)
	file, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	defer file.Close()
	if _, err := file.WriteString(value); err != nil {
		return fmt.Errorf("set %s: %w", path, err)
	}
	return nil
}
