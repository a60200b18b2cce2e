package cluster

import (
	"fmt"
	"os"

	"github.com/kubectl-gitops/kubectl-gitops/tests/cluster/internal/supervisor"
)

const (
	nodeName       = "node-1"
	containerdPath = "/usr/bin/containerd"
	ctrPath        = "/usr/bin/ctr"
	runcPath       = "/usr/sbin/runc"
	networkPlugins = "/usr/lib/cni"

	// workloadImage holds the one program that the project's own test containers run; without arguments it only waits,
	// which is all that a pod's sandbox needs.
	workloadImage = "gitops.test/workload:1"
)

// nodeProcesses lists containerd, kubelet and kube-proxy, and writes their configuration.
func nodeProcesses(folder Folder, state *State, self string) ([]supervisor.Process, error) {
	files := map[string]string{
		folder.path("node", "containerd.toml"):         containerdConfig(folder),
		folder.path("node", "cni", "10-pods.conflist"): networkConfig(folder, state),
		folder.path("node", "kubelet.yaml"):            kubeletConfig(folder, state),
		folder.path("node", "proxy.yaml"):              proxyConfig(folder, state),
	}
	for path, content := range files {
		if err := write(path, []byte(content), 0o644); err != nil {
			return nil, err
		}
	}
	kubelet := afterAPI(state, component(folder, self, "kubelet", []string{
		"--config=" + folder.path("node", "kubelet.yaml"),
		"--kubeconfig=" + folder.client("node"),
		"--hostname-override=" + nodeName,
		"--node-ip=" + state.APIAddress,
	}))
	apiAnswers := kubelet.Wait
	kubelet.Wait = func() bool {
		_, err := os.Stat(containerdSocket)
		return err == nil && apiAnswers()
	}
	containerd := supervisor.Process{
		Name: "containerd", Path: containerdPath, Args: []string{"--config=" + folder.path("node", "containerd.toml")},
		Log: folder.log("containerd"), Env: environment(folder),
	}
	proxy := afterAPI(state, component(folder, self, "kube-proxy", []string{
		"--config=" + folder.path("node", "proxy.yaml"),
		"--hostname-override=" + nodeName,
	}))
	return []supervisor.Process{containerd, kubelet, proxy}, nil
}

// containerdConfig: version 2 is read by containerd 1.6 and migrated by 2.x. restrict_oom_score_adj: without
// CAP_SYS_RESOURCE runc may not lower its score, and every sandbox would fail.
func containerdConfig(folder Folder) string {
	return fmt.Sprintf(`version = 2
disabled_plugins = ["io.containerd.internal.v1.opt"]
root = %[1]q
state = "/run/containerd"
[grpc]
  address = %[2]q
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = %[3]q
  restrict_oom_score_adj = true
  disable_apparmor = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = %[4]q
    conf_dir = %[5]q
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "overlayfs"
  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
    BinaryName = %[6]q
    SystemdCgroup = false
`, folder.path("node", "containerd"), containerdSocket, workloadImage, networkPlugins, folder.path("node", "cni"), runcPath)
}

func networkConfig(folder Folder, state *State) string {
	return fmt.Sprintf(`{"cniVersion": "0.4.0", "name": "pods", "plugins": [
 {"type": "bridge", "bridge": "cni0", "isGateway": true, "ipMasq": false, "hairpinMode": true,
  "ipam": {"type": "host-local", "dataDir": %q, "ranges": [[{"subnet": %q}]], "routes": [{"dst": "0.0.0.0/0"}]}},
 {"type": "portmap", "capabilities": {"portMappings": true}}
]}
`, folder.path("node", "addresses"), podRange(state))
}

// kubeletConfig: clusterDNS names an address where nothing listens, so that look-ups fail at once instead of asking the
// machine's resolver. Disk pressure is switched off: a developer's full disk must not evict pods.
func kubeletConfig(folder Folder, state *State) string {
	return fmt.Sprintf(`apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
address: %[1]s
cgroupRoot: /%[2]s
cgroupDriver: cgroupfs
clusterDNS: [%[1]s]
clusterDomain: cluster.local
tlsCertFile: %[3]s
tlsPrivateKeyFile: %[4]s
authentication:
  anonymous: {enabled: false}
  webhook: {enabled: true}
  x509: {clientCAFile: %[5]s}
authorization: {mode: Webhook}
containerRuntimeEndpoint: unix://%[6]s
failCgroupV1: false
failSwapOn: false
enforceNodeAllocatable: []
imageGCHighThresholdPercent: 100
imageGCLowThresholdPercent: 99
evictionHard: {memory.available: "50Mi", nodefs.available: "0%%", imagefs.available: "0%%", nodefs.inodesFree: "0%%"}
resolvConf: ""
healthzPort: 0
serializeImagePulls: false
maxPods: 200
`, state.APIAddress, cgroupName(state.Slot), folder.cert("kubelet"), folder.key("kubelet"), folder.cert("ca"), containerdSocket)
}

// proxyConfig leaves the connection tracking settings alone: they belong to the machine.
func proxyConfig(folder Folder, state *State) string {
	return fmt.Sprintf(`apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
mode: iptables
clientConnection: {kubeconfig: %s}
clusterCIDR: %s
conntrack: {maxPerCore: 0, min: 0, tcpCloseWaitTimeout: 0s, tcpEstablishedTimeout: 0s}
healthzBindAddress: 127.0.0.1:10256
metricsBindAddress: 127.0.0.1:10249
`, folder.client("proxy"), podRange(state))
}
