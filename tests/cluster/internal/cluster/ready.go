package cluster

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
)

const pollInterval = 50 * time.Millisecond

// waitReady returns when a first manifest would be accepted and its pods would run.
func waitReady(ctx context.Context, folder Folder, state *State, images []string, say func(string, ...any)) error {
	config, err := clientcmd.BuildConfigFromFlags("", folder.Kubeconfig())
	if err != nil {
		return fmt.Errorf("read %s: %w", folder.Kubeconfig(), err)
	}
	config.QPS = -1
	config.Timeout = 5 * time.Second
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return fmt.Errorf("make a client: %w", err)
	}
	nodes := state.Nodes
	if state.Pods == Real {
		nodes = 1
		if err := importImages(ctx, folder, state, images, say); err != nil {
			return err
		}
	}
	var last error
	poll := func(what string, done func() (bool, error)) error {
		err := wait.PollUntilContextCancel(ctx, pollInterval, true, func(context.Context) (bool, error) {
			var ok bool
			ok, last = done()
			return ok && last == nil, nil
		})
		if err != nil {
			return fmt.Errorf("%s: %w (last answer: %w)", what, err, orNone(last))
		}
		return nil
	}
	if err := poll("wait for the API server", func() (bool, error) {
		return true, client.RESTClient().Get().AbsPath("/readyz").Do(ctx).Error()
	}); err != nil {
		return err
	}
	say("API server ready")
	if state.Pods == Fake {
		if err := createFakeNodes(ctx, client, state.Nodes); err != nil {
			return err
		}
	}
	if err := poll("wait for the default ServiceAccount", func() (bool, error) {
		_, err := client.CoreV1().ServiceAccounts("default").Get(ctx, "default", metav1.GetOptions{})
		return true, err
	}); err != nil {
		return err
	}
	if err := poll("wait for ConfigMap kube-root-ca.crt", func() (bool, error) {
		_, err := client.CoreV1().ConfigMaps("default").Get(ctx, "kube-root-ca.crt", metav1.GetOptions{})
		return true, err
	}); err != nil {
		return err
	}
	say("controllers work")
	return poll("wait for the nodes", func() (bool, error) {
		list, err := client.CoreV1().Nodes().List(ctx, metav1.ListOptions{})
		if err != nil {
			return false, err
		}
		usable := 0
		for _, node := range list.Items {
			if ready(&node) && len(node.Spec.Taints) == 0 {
				usable++
			}
		}
		return usable == nodes, nil
	})
}

func ready(node *corev1.Node) bool {
	for _, condition := range node.Status.Conditions {
		if condition.Type == corev1.NodeReady {
			return condition.Status == corev1.ConditionTrue
		}
	}
	return false
}

func orNone(err error) error {
	if err == nil {
		return fmt.Errorf("not yet")
	}
	return err
}
