package cluster

import (
	"strings"
	"testing"
)

func TestComponentNameKnowsOnlyItsOwnCluster(t *testing.T) {
	const folder = "/home/me/one"
	for _, c := range []struct {
		name, line, want string
	}{
		{"the guard", "/cache/gitops-cluster guard --dir=/home/me/one", "guard"},
		{"a component", "/cache/gitops-cluster kube-apiserver --v=2 --cert-dir=/home/me/one/pki", "kube-apiserver"},
		{"containerd", "/usr/bin/containerd --config=/home/me/one/node/containerd.toml", "containerd"},
		{"the guard of a folder whose name begins alike", "/cache/gitops-cluster guard --dir=/home/me/one-more", ""},
		{"a component of another cluster", "gitops-cluster kwok --config=/home/me/two/kwok/stages.yaml", ""},
		{"an editor of one of its files", "vi /home/me/one/cluster.json", ""},
		{"another program with the same flag", "tar --directory=/home/me/one", ""},
		{"the machine's own containerd", "/usr/bin/containerd", ""},
		{"the folder as a plain word", "gitops-cluster kubectl apply /home/me/one", ""},
		{"a kernel thread", "", ""},
	} {
		line := strings.ReplaceAll(c.line, " ", "\x00") + "\x00"
		if got := componentName([]byte(line), folder); got != c.want {
			t.Errorf("%s: got %q, want %q", c.name, got, c.want)
		}
	}
}
