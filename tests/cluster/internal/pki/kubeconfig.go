package pki

import (
	"encoding/base64"
	"fmt"
)

// Kubeconfig returns a kubeconfig that needs no other file.
func (a *Authority) Kubeconfig(server string, client Pair) []byte {
	encoded := base64.StdEncoding.EncodeToString
	return fmt.Appendf(nil, `apiVersion: v1
kind: Config
clusters:
- name: gitops-test
  cluster:
    server: %s
    certificate-authority-data: %s
users:
- name: user
  user:
    client-certificate-data: %s
    client-key-data: %s
contexts:
- name: gitops-test
  context: {cluster: gitops-test, user: user}
current-context: gitops-test
`, server, encoded(a.Certificate), encoded(client.Certificate), encoded(client.Key))
}
