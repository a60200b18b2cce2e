package main

import (
	"errors"
	"flag"
	"fmt"
	"net/url"
	"os"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"go.etcd.io/etcd/server/v3/embed"
	_ "k8s.io/client-go/plugin/pkg/client/auth" // kubectl's credential plugins
	"k8s.io/component-base/cli"
	"k8s.io/component-base/logs"
	kubectlcmd "k8s.io/kubectl/pkg/cmd"
	kubectlutil "k8s.io/kubectl/pkg/cmd/util"
	apiserverapp "k8s.io/kubernetes/cmd/kube-apiserver/app"
	kwokconfig "sigs.k8s.io/kwok/pkg/config"
	kwokcmd "sigs.k8s.io/kwok/pkg/kwok/cmd"
	kwoklog "sigs.k8s.io/kwok/pkg/log"
	kwoksignals "sigs.k8s.io/kwok/pkg/utils/signals"
)

// etcd runs one member that keeps its data in a folder and never syncs it to disk: the data lives as long as the test.
func etcd(args []string) error {
	flags := flag.NewFlagSet("etcd", flag.ContinueOnError)
	folder := flags.String("data-dir", "", "folder of the data")
	client := flags.String("client-url", "", "address for clients")
	peer := flags.String("peer-url", "", "address for peers (there are none, but etcd wants one)")
	if err := flags.Parse(args); err != nil {
		return err
	}
	clientURL, err := url.Parse(*client)
	if err != nil {
		return fmt.Errorf("--client-url: %w", err)
	}
	peerURL, err := url.Parse(*peer)
	if err != nil {
		return fmt.Errorf("--peer-url: %w", err)
	}
	config := embed.NewConfig()
	config.Dir = *folder
	config.ListenClientUrls = []url.URL{*clientURL}
	config.AdvertiseClientUrls = []url.URL{*clientURL}
	config.ListenPeerUrls = []url.URL{*peerURL}
	config.AdvertisePeerUrls = []url.URL{*peerURL}
	config.InitialCluster = config.Name + "=" + peerURL.String()
	config.LogLevel = "error"
	config.UnsafeNoFsync = true
	server, err := embed.StartEtcd(config)
	if err != nil {
		return fmt.Errorf("start in %s: %w", *folder, err)
	}
	if err := <-server.Err(); err != nil {
		return err
	}
	return errors.New("stopped by itself")
}

func apiserver(args []string) error {
	return runComponent("kube-apiserver", args, apiserverapp.NewAPIServerCommand)
}

// runComponent gives a component the command line that it would have as a program of its own, and ends the process.
func runComponent(name string, args []string, build func() *cobra.Command) error {
	os.Args = append([]string{name}, args...)
	os.Exit(cli.Run(build()))
	return nil
}

func kubectl(args []string) error {
	os.Args = append([]string{"kubectl"}, args...)
	if _, err := logs.GlogSetter(kubectlcmd.GetLogVerbosity(os.Args)); err != nil {
		return err
	}
	if err := cli.RunNoErrOutput(kubectlcmd.NewDefaultKubectlCommand()); err != nil {
		kubectlutil.CheckErr(err)
	}
	return nil
}

// kwok plays the part of all kubelets of a cluster with fake pods.
func kwok(args []string) error {
	os.Args = append([]string{"kwok"}, args...)
	flags := pflag.NewFlagSet("global", pflag.ContinueOnError)
	flags.ParseErrorsAllowlist.UnknownFlags = true
	flags.Usage = func() {}
	ctx, _ := kwoklog.InitFlags(kwoksignals.SetupSignalContext(), flags)
	ctx, err := kwokconfig.InitFlags(ctx, flags)
	if err != nil {
		return err
	}
	root := kwokcmd.NewCommand(ctx)
	root.Version = "" // its --version would clash with the one that Kubernetes declares for the whole program
	root.PersistentFlags().AddFlagSet(flags)
	return root.ExecuteContext(ctx)
}
