package cluster

import (
	"fmt"
	"net"

	"github.com/kubectl-gitops/kubectl-gitops/tests/cluster/internal/pki"
)

// writeCredentials makes the cluster's authority, certificates, ServiceAccount key and kubeconfigs.
func writeCredentials(folder Folder, state *State) error {
	authority, err := pki.NewAuthority("gitops-test-ca")
	if err != nil {
		return err
	}
	serviceIP, err := firstAddress(serviceRange(state))
	if err != nil {
		return err
	}
	server, err := authority.Server("kube-apiserver", "localhost", "kubernetes", "kubernetes.default",
		"kubernetes.default.svc", "kubernetes.default.svc.cluster.local", "127.0.0.1", serviceIP, state.APIAddress)
	if err != nil {
		return err
	}
	tokens, err := pki.TokenKey()
	if err != nil {
		return err
	}
	pairs := map[string]pki.Pair{
		"ca":        {Certificate: authority.Certificate, Key: authority.Key},
		"apiserver": server,
		"tokens":    tokens,
	}
	if state.Pods == Real {
		if pairs["kubelet"], err = authority.Server(nodeName, nodeName, "127.0.0.1", state.APIAddress); err != nil {
			return err
		}
		if pairs["apiserver-to-kubelet"], err = authority.Client("kube-apiserver-kubelet-client", "system:masters"); err != nil {
			return err
		}
	}
	for name, pair := range pairs {
		if err := write(folder.cert(name), pair.Certificate, 0o644); err != nil {
			return err
		}
		if err := write(folder.key(name), pair.Key, 0o600); err != nil {
			return err
		}
	}
	users := []struct{ file, user, group string }{
		{folder.client("controller-manager"), "system:kube-controller-manager", ""},
		{folder.client("scheduler"), "system:kube-scheduler", ""},
		{folder.client("proxy"), "system:kube-proxy", ""},
		{folder.client("node"), "system:node:" + nodeName, "system:nodes"},
		{folder.client("kwok"), "kwok", "system:masters"},
		{folder.Kubeconfig(), "admin", "system:masters"},
	}
	for _, u := range users {
		var groups []string
		if u.group != "" {
			groups = []string{u.group}
		}
		pair, err := authority.Client(u.user, groups...)
		if err != nil {
			return err
		}
		if err := write(u.file, authority.Kubeconfig(state.Server(), pair), 0o600); err != nil {
			return err
		}
	}
	return nil
}

// firstAddress is the one that the API server gives the Service `kubernetes`.
func firstAddress(cidr string) (string, error) {
	_, network, err := net.ParseCIDR(cidr)
	if err != nil {
		return "", fmt.Errorf("service range: %w", err)
	}
	address := network.IP.To4()
	address[3]++
	return address.String(), nil
}
