//go:build !demo

package main

import (
	"context"

	"github.com/spf13/cobra"
	controllermanagerapp "k8s.io/kubernetes/cmd/kube-controller-manager/app"
	proxyapp "k8s.io/kubernetes/cmd/kube-proxy/app"
	schedulerapp "k8s.io/kubernetes/cmd/kube-scheduler/app"
	kubeletapp "k8s.io/kubernetes/cmd/kubelet/app"
)

// variant lists the components that the binary of the demo does without (see demo.go).
func variant() []command {
	return []command{
		{"kube-controller-manager", "", controllerManager},
		{"kube-scheduler", "", scheduler},
		{"kubelet", "", kubelet},
		{"kube-proxy", "", proxy},
	}
}

func controllerManager(args []string) error {
	return runComponent("kube-controller-manager", args, controllermanagerapp.NewControllerManagerCommand)
}

func scheduler(args []string) error {
	return runComponent("kube-scheduler", args, func() *cobra.Command { return schedulerapp.NewSchedulerCommand() })
}

func kubelet(args []string) error {
	return runComponent("kubelet", args, func() *cobra.Command { return kubeletapp.NewKubeletCommand(context.Background()) })
}

func proxy(args []string) error {
	return runComponent("kube-proxy", args, proxyapp.NewProxyCommand)
}
