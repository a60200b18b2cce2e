//go:build demo

package main

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/spf13/pflag"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/discovery/cached/memory"
	"k8s.io/client-go/informers"
	coreinformers "k8s.io/client-go/informers/core/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/metadata/metadatainformer"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/restmapper"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/util/flowcontrol"
	"k8s.io/controller-manager/pkg/clientbuilder"
	"k8s.io/controller-manager/pkg/informerfactory"
	"k8s.io/klog/v2"
	"k8s.io/kubernetes/pkg/controller/certificates/rootcacertpublisher"
	"k8s.io/kubernetes/pkg/controller/clusterroleaggregation"
	"k8s.io/kubernetes/pkg/controller/daemon"
	"k8s.io/kubernetes/pkg/controller/deployment"
	"k8s.io/kubernetes/pkg/controller/endpointslice"
	"k8s.io/kubernetes/pkg/controller/garbagecollector"
	"k8s.io/kubernetes/pkg/controller/namespace"
	"k8s.io/kubernetes/pkg/controller/nodelifecycle"
	"k8s.io/kubernetes/pkg/controller/replicaset"
	"k8s.io/kubernetes/pkg/controller/serviceaccount"
	"k8s.io/kubernetes/pkg/controller/statefulset"
)

// variant lists the components as the demo needs them: Kubernetes' own controllers, but not all of them, and no scheduler
// that looks at anything, for nodes that are all alike and never full. What is not linked is a quarter of the time that
// the whole binary takes to build: volumes, kubelet, kube-proxy, the scheduler. Tests and bench take the whole one.
func variant() []command {
	return []command{
		{"kube-controller-manager", "", controllers},
		{"kube-scheduler", "", scheduler},
	}
}

// settings reads those flags of the real components that matter here.
func settings(args []string) (config *rest.Config, authority []byte, err error) {
	flags := pflag.NewFlagSet("demo", pflag.ContinueOnError)
	flags.ParseErrorsAllowlist.UnknownFlags = true
	path := flags.String("kubeconfig", "", "")
	authorityFile := flags.String("root-ca-file", "", "")
	if err := flags.Parse(args); err != nil {
		return nil, nil, err
	}
	if config, err = clientcmd.BuildConfigFromFlags("", *path); err != nil {
		return nil, nil, fmt.Errorf("--kubeconfig: %w", err)
	}
	config.QPS = -1
	if *authorityFile != "" {
		if authority, err = os.ReadFile(*authorityFile); err != nil {
			return nil, nil, fmt.Errorf("--root-ca-file: %w", err)
		}
	}
	return config, authority, nil
}

// controllers runs some of Kubernetes' own, each with its own ServiceAccount, as kube-controller-manager does.
func controllers(args []string) error {
	config, authority, err := settings(args)
	if err != nil {
		return err
	}
	ctx, cancel := interruptible()
	defer cancel()
	root, err := kubernetes.NewForConfig(config)
	if err != nil {
		return err
	}
	clients := clientbuilder.NewDynamicClientBuilder(rest.AnonymousClientConfig(config), root.CoreV1(),
		metav1.NamespaceSystem)
	shared := informers.NewSharedInformerFactory(root, 0)
	apps, core := shared.Apps().V1(), shared.Core().V1()
	client := func(name string) kubernetes.Interface { return clients.ClientOrDie(name) }

	deployments, err := deployment.NewDeploymentController(ctx, apps.Deployments(), apps.ReplicaSets(), core.Pods(),
		client("deployment-controller"))
	if err != nil {
		return fmt.Errorf("deployments: %w", err)
	}
	replicaSets := replicaset.NewReplicaSetController(ctx, apps.ReplicaSets(), core.Pods(),
		client("replicaset-controller"), replicaset.BurstReplicas)
	statefulSets := statefulset.NewStatefulSetController(ctx, core.Pods(), apps.StatefulSets(),
		core.PersistentVolumeClaims(), apps.ControllerRevisions(), client("statefulset-controller"))
	daemonSets, err := daemon.NewDaemonSetsController(ctx, apps.DaemonSets(), apps.ControllerRevisions(), core.Pods(),
		core.Nodes(), client("daemon-set-controller"), flowcontrol.NewBackOff(time.Second, time.Minute))
	if err != nil {
		return fmt.Errorf("daemon sets: %w", err)
	}
	slices := endpointslice.NewController(ctx, core.Pods(), core.Services(), core.Nodes(),
		shared.Discovery().V1().EndpointSlices(), 100, client("endpointslice-controller"), 0)
	accounts, err := serviceaccount.NewServiceAccountsController(klog.FromContext(ctx), core.ServiceAccounts(),
		core.Namespaces(), client("service-account-controller"), serviceaccount.DefaultServiceAccountsControllerOptions())
	if err != nil {
		return fmt.Errorf("service accounts: %w", err)
	}
	authorities, err := rootcacertpublisher.NewPublisher(core.ConfigMaps(), core.Namespaces(),
		client("root-ca-cert-publisher"), authority)
	if err != nil {
		return fmt.Errorf("root certificates: %w", err)
	}
	roles := clusterroleaggregation.NewClusterRoleAggregation(shared.Rbac().V1().ClusterRoles(),
		client("clusterrole-aggregation-controller").RbacV1())
	// It takes the taint off a node that became ready. A busy machine must not look like a lost node.
	nodes, err := nodelifecycle.NewNodeLifecycleController(ctx, shared.Coordination().V1().Leases(), core.Pods(),
		core.Nodes(), apps.DaemonSets(), client("node-controller"), 5*time.Second, time.Minute, time.Hour, 0.1, 0.01, 50, 0.55)
	if err != nil {
		return fmt.Errorf("nodes: %w", err)
	}
	namespaces, err := namespaceController(ctx, clients, core.Namespaces())
	if err != nil {
		return fmt.Errorf("namespaces: %w", err)
	}
	started := make(chan struct{})
	collect, err := garbageCollector(ctx, clients, shared, started)
	if err != nil {
		return fmt.Errorf("garbage collector: %w", err)
	}
	shared.Start(ctx.Done())
	close(started)
	for _, run := range []func(){
		func() { deployments.Run(ctx, 5) },
		func() { replicaSets.Run(ctx, 5) },
		func() { statefulSets.Run(ctx, 5) },
		func() { daemonSets.Run(ctx, 2) },
		func() { slices.Run(ctx, 5) },
		func() { accounts.Run(ctx, 1) },
		func() { authorities.Run(ctx, 1) },
		func() { roles.Run(ctx, 1) },
		func() { nodes.Run(ctx) },
		func() { namespaces.Run(ctx, 5) },
		collect,
	} {
		go run()
	}
	<-ctx.Done()
	return nil
}

func namespaceController(
	ctx context.Context, clients clientbuilder.ControllerClientBuilder, informer coreinformers.NamespaceInformer,
) (*namespace.NamespaceController, error) {
	config, err := clients.Config("namespace-controller")
	if err != nil {
		return nil, err
	}
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return nil, err
	}
	objects, err := metadata.NewForConfig(config)
	if err != nil {
		return nil, err
	}
	resources := client.Discovery().ServerPreferredNamespacedResources
	return namespace.NewNamespaceController(ctx, client, objects, resources, informer, 5*time.Minute,
		corev1.FinalizerKubernetes), nil
}

func garbageCollector(
	ctx context.Context, clients clientbuilder.ControllerClientBuilder, shared informers.SharedInformerFactory,
	started <-chan struct{},
) (func(), error) {
	const name = "generic-garbage-collector"
	config, err := clients.Config(name)
	if err != nil {
		return nil, err
	}
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return nil, err
	}
	objects, err := metadata.NewForConfig(config)
	if err != nil {
		return nil, err
	}
	mapper := restmapper.NewDeferredDiscoveryRESTMapper(memory.NewMemCacheClient(client.Discovery()))
	factory := informerfactory.NewInformerFactory(shared, metadatainformer.NewSharedInformerFactory(objects, 0))
	graph := garbagecollector.NewDependencyGraphBuilder(ctx, objects, mapper,
		garbagecollector.DefaultIgnoredResources(), factory, started)
	collector, err := garbagecollector.NewComposedGarbageCollector(ctx, client, objects, mapper, graph)
	if err != nil {
		return nil, err
	}
	return func() {
		go wait.Until(mapper.Reset, 30*time.Second, ctx.Done())
		go collector.Sync(ctx, client.Discovery(), 30*time.Second)
		collector.Run(ctx, 5, 30*time.Second)
	}, nil
}

// scheduler gives each pod the next node.
func scheduler(args []string) error {
	config, _, err := settings(args)
	if err != nil {
		return err
	}
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return err
	}
	ctx, cancel := interruptible()
	defer cancel()
	shared := informers.NewSharedInformerFactory(client, time.Minute)
	nodes, next := shared.Core().V1().Nodes().Lister(), 0
	bind := func(object any) {
		pod, ok := object.(*corev1.Pod)
		if !ok || pod.Spec.NodeName != "" || pod.DeletionTimestamp != nil {
			return
		}
		// Without a node the next resync tries again.
		list, err := nodes.List(labels.Everything())
		if err != nil || len(list) == 0 {
			return
		}
		next++
		binding := &corev1.Binding{
			ObjectMeta: metav1.ObjectMeta{Name: pod.Name, Namespace: pod.Namespace, UID: pod.UID},
			Target:     corev1.ObjectReference{Kind: "Node", Name: list[next%len(list)].Name},
		}
		if err := client.CoreV1().Pods(pod.Namespace).Bind(ctx, binding, metav1.CreateOptions{}); err != nil {
			fmt.Fprintf(os.Stderr, "bind %s/%s: %v\n", pod.Namespace, pod.Name, err)
		}
	}
	_, err = shared.Core().V1().Pods().Informer().AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    bind,
		UpdateFunc: func(_, object any) { bind(object) },
	})
	if err != nil {
		return err
	}
	shared.Start(ctx.Done())
	<-ctx.Done()
	return nil
}
