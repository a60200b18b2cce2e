package cluster

import (
	"fmt"
	"net"
	"os"
	"time"

	"github.com/kubectl-gitops/kubectl-gitops/tests/cluster/internal/supervisor"
)

// controlPlane lists etcd, API server, controller manager and scheduler. RBAC, TLS and all default admission plugins
// are on, as in a cluster that people run; only what would slow tests down (client-side rate limits, leader election)
// is off.
func controlPlane(folder Folder, state *State, self string) []supervisor.Process {
	etcd := fmt.Sprintf("http://127.0.0.1:%d", state.EtcdPort)
	bind := "127.0.0.1"
	if state.Pods == Real {
		bind = "0.0.0.0" // of its own network namespace
	}
	apiserver := []string{
		"--etcd-servers=" + etcd,
		"--bind-address=" + bind,
		fmt.Sprintf("--secure-port=%d", state.APIPort),
		"--advertise-address=" + state.APIAddress,
		"--cert-dir=" + folder.path("pki"),
		"--tls-cert-file=" + folder.cert("apiserver"),
		"--tls-private-key-file=" + folder.key("apiserver"),
		"--client-ca-file=" + folder.cert("ca"),
		"--service-account-key-file=" + folder.cert("tokens"),
		"--service-account-signing-key-file=" + folder.key("tokens"),
		"--service-account-issuer=https://kubernetes.default.svc.cluster.local",
		"--service-cluster-ip-range=" + serviceRange(state),
		"--authorization-mode=Node,RBAC",
		"--allow-privileged",
	}
	switch state.Pods {
	case Real:
		apiserver = append(apiserver,
			"--kubelet-client-certificate="+folder.cert("apiserver-to-kubelet"),
			"--kubelet-client-key="+folder.key("apiserver-to-kubelet"),
			"--kubelet-certificate-authority="+folder.cert("ca"),
			"--kubelet-preferred-address-types=InternalIP",
		)
	case Fake:
		// Endpoints may not be loopback addresses, and no pod connects anyway.
		apiserver = append(apiserver, "--endpoint-reconciler-type=none")
	}
	if state.Audit {
		apiserver = append(apiserver,
			"--audit-policy-file="+folder.path("pki", "audit-policy.yaml"),
			"--audit-log-path="+folder.path("logs", "audit.log"),
		)
	}
	controllerManager := []string{
		"--kubeconfig=" + folder.client("controller-manager"),
		"--authentication-kubeconfig=" + folder.client("controller-manager"),
		"--authorization-kubeconfig=" + folder.client("controller-manager"),
		"--service-account-private-key-file=" + folder.key("tokens"),
		"--root-ca-file=" + folder.cert("ca"),
		"--cluster-signing-cert-file=" + folder.cert("ca"),
		"--cluster-signing-key-file=" + folder.key("ca"),
		"--use-service-account-credentials",
		"--leader-elect=false",
		"--secure-port=0",
		"--kube-api-qps=1000", "--kube-api-burst=2000",
	}
	if state.Pods == Fake {
		// A busy machine must not look like a lost node.
		controllerManager = append(controllerManager, "--node-monitor-grace-period=1h")
	}
	return []supervisor.Process{
		{
			Name: "etcd", Path: self, Log: folder.log("etcd"), Env: environment(folder),
			Args: []string{
				"etcd", "--data-dir=" + folder.path("etcd"), "--client-url=" + etcd,
				fmt.Sprintf("--peer-url=http://127.0.0.1:%d", state.PeerPort),
			},
		},
		component(folder, self, "kube-apiserver", apiserver),
		afterAPI(state, component(folder, self, "kube-controller-manager", controllerManager)),
		afterAPI(state, component(folder, self, "kube-scheduler", []string{
			"--kubeconfig=" + folder.client("scheduler"),
			"--authentication-kubeconfig=" + folder.client("scheduler"),
			"--authorization-kubeconfig=" + folder.client("scheduler"),
			"--leader-elect=false",
			"--secure-port=0",
			"--kube-api-qps=1000", "--kube-api-burst=2000",
		})),
	}
}

const auditPolicy = `apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules: [{level: Metadata}]
`

func component(folder Folder, self, name string, args []string) supervisor.Process {
	return supervisor.Process{
		Name: name, Path: self, Args: append([]string{name}, args...),
		Log: folder.log(name), Env: environment(folder),
	}
}

// afterAPI holds a process back until the API server takes connections: started earlier, it would only compete for the
// processor and then give up.
func afterAPI(state *State, process supervisor.Process) supervisor.Process {
	address := net.JoinHostPort(state.APIAddress, fmt.Sprint(state.APIPort))
	process.Wait = func() bool {
		connection, err := net.DialTimeout("tcp", address, 100*time.Millisecond)
		if err != nil {
			return false
		}
		_ = connection.Close()
		return true
	}
	return process
}

// environment keeps a cluster away from the settings of the person who starts it.
func environment(folder Folder) []string {
	return []string{
		"HOME=" + folder.path("node"),
		"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
		"TMPDIR=" + os.TempDir(),
	}
}

// serviceRange is private to the cluster; on a cluster with fake pods nothing listens there.
func serviceRange(state *State) string {
	return fmt.Sprintf("10.96.%d.0/24", state.Slot)
}
