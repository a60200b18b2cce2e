package cluster

import (
	"context"
	_ "embed"
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	nodefast "sigs.k8s.io/kwok/kustomize/stage/node/fast"
	nodeheartbeat "sigs.k8s.io/kwok/kustomize/stage/node/heartbeat-with-lease"
	podfast "sigs.k8s.io/kwok/kustomize/stage/pod/fast"

	"github.com/kubectl-gitops/kubectl-gitops/tests/cluster/internal/supervisor"
)

// outcomes are this project's own stages: pods that ask, by an annotation, not to become Ready.
//
//go:embed outcomes.yaml
var outcomes string

// fakeNodes lists the process that plays all kubelets. kwok has no stages of its own; its published ones make nodes and
// pods Ready at once, complete the pods of Jobs, and remove deleted pods.
func fakeNodes(folder Folder, state *State, self string) (supervisor.Process, error) {
	stages := strings.Join([]string{
		nodefast.DefaultNodeInit, nodeheartbeat.DefaultNodeHeartbeatWithLease,
		podfast.DefaultPodReady, podfast.DefaultPodComplete, podfast.DefaultPodDelete, outcomes,
	}, "\n---\n")
	config := folder.path("kwok", "stages.yaml")
	if err := write(config, []byte(stages), 0o644); err != nil {
		return supervisor.Process{}, err
	}
	return afterAPI(state, component(folder, self, "kwok", []string{
		"--kubeconfig=" + folder.client("kwok"),
		"--config=" + config,
		"--manage-all-nodes",
		"--cidr=10.244.0.0/16",
		"--node-ip=" + state.HostAddress,
		"--node-lease-duration-seconds=40",
	})), nil
}

// createFakeNodes makes nodes with room for thousands of pods and no taint, so that any manifest can be scheduled.
func createFakeNodes(ctx context.Context, client kubernetes.Interface, count int) error {
	room := corev1.ResourceList{
		corev1.ResourceCPU:              resource.MustParse("1k"),
		corev1.ResourceMemory:           resource.MustParse("4Ti"),
		corev1.ResourceEphemeralStorage: resource.MustParse("4Ti"),
		corev1.ResourcePods:             resource.MustParse("2000"),
	}
	for number := 1; number <= count; number++ {
		name := fmt.Sprintf("node-%d", number)
		node := &corev1.Node{
			ObjectMeta: metav1.ObjectMeta{
				Name: name,
				Labels: map[string]string{
					corev1.LabelHostname:             name,
					corev1.LabelOSStable:             "linux",
					corev1.LabelArchStable:           "amd64",
					corev1.LabelTopologyZone:         fmt.Sprintf("zone-%d", number),
					"node-role.kubernetes.io/worker": "",
				},
			},
			Status: corev1.NodeStatus{Allocatable: room, Capacity: room},
		}
		_, err := client.CoreV1().Nodes().Create(ctx, node, metav1.CreateOptions{})
		if err != nil && !errors.IsAlreadyExists(err) {
			return fmt.Errorf("create node %s: %w", name, err)
		}
	}
	return nil
}
