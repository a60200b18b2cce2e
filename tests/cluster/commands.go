package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/kubectl-gitops/kubectl-gitops/tests/cluster/internal/cluster"
	"github.com/kubectl-gitops/kubectl-gitops/tests/cluster/internal/image"
)

// list is a flag that can be given more than once.
type list []string

func (l *list) String() string { return strings.Join(*l, ",") }

func (l *list) Set(value string) error {
	*l = append(*l, value)
	return nil
}

// interruptible ends when the person presses Ctrl-C.
func interruptible() (context.Context, context.CancelFunc) {
	return signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
}

// parse reads flags, of which --dir is one; it returns the folder and the remaining words.
func parse(flags *flag.FlagSet, args []string) (cluster.Folder, []string, error) {
	dir := flags.String("dir", "", "folder of the cluster's files")
	if err := flags.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			os.Exit(0)
		}
		os.Exit(2)
	}
	folder, err := cluster.NewFolder(*dir)
	return folder, flags.Args(), err
}

func up(args []string) error {
	flags := flag.NewFlagSet("up", flag.ContinueOnError)
	options := cluster.Options{Progress: os.Stderr}
	var images list
	pods := flags.String("pods", string(cluster.Fake), "what runs pods: fake (nothing, they become Ready) or real (containers; needs root)")
	flags.IntVar(&options.Port, "port", 0, "port of the API server on 127.0.0.1 (fake pods; default: a free one)")
	flags.IntVar(&options.Nodes, "nodes", 4, "number of fake nodes, each with room for 2000 pods")
	flags.BoolVar(&options.Audit, "audit", false, "write one line per API request to DIR/logs/audit.log")
	flags.IntVar(&options.Parent, "parent", 0, "process id: the cluster ends when that process does")
	flags.Var(&images, "image", "image archive to import (real pods; can be repeated)")
	flags.DurationVar(&options.Timeout, "timeout", 3*time.Minute, "give up after this time")
	folder, _, err := parse(flags, args)
	if err != nil {
		return err
	}
	options.Folder, options.Pods, options.Images = folder, cluster.Pods(*pods), images
	if options.Pods == cluster.Real {
		bundled, err := cluster.BundledImages()
		if err != nil {
			return err
		}
		options.Images = append(bundled, options.Images...)
	}
	ctx, cancel := interruptible()
	defer cancel()
	if err := cluster.Up(ctx, options); err != nil {
		return err
	}
	fmt.Printf("KUBECONFIG=%s\n", folder.Kubeconfig())
	return nil
}

func down(args []string) error {
	folder, _, err := parse(flag.NewFlagSet("down", flag.ContinueOnError), args)
	if err != nil {
		return err
	}
	return cluster.Down(folder)
}

func guard(args []string) error {
	folder, _, err := parse(flag.NewFlagSet("guard", flag.ContinueOnError), args)
	if err != nil {
		return err
	}
	return cluster.Guard(folder)
}

func box(args []string) error {
	folder, _, err := parse(flag.NewFlagSet("box", flag.ContinueOnError), args)
	if err != nil {
		return err
	}
	return cluster.Box(folder)
}

func hold(args []string) error {
	folder, names, err := parse(flag.NewFlagSet("hold", flag.ContinueOnError), args)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	return cluster.Hold(ctx, folder, names)
}

func release(args []string) error {
	folder, names, err := parse(flag.NewFlagSet("release", flag.ContinueOnError), args)
	if err != nil {
		return err
	}
	return cluster.Release(folder, names)
}

func loadImage(args []string) error {
	folder, archives, err := parse(flag.NewFlagSet("load-image", flag.ContinueOnError), args)
	if err != nil {
		return err
	}
	if len(archives) == 0 {
		return errors.New("name one or more image archives")
	}
	ctx, cancel := interruptible()
	defer cancel()
	return cluster.ImportImages(ctx, folder, archives)
}

func buildImage(args []string) error {
	flags := flag.NewFlagSet("image", flag.ContinueOnError)
	var entrypoint, labels list
	layers := []image.Layer{{}}
	last := func() *image.Layer { return &layers[len(layers)-1] }
	options := image.Options{Labels: map[string]string{}}
	flags.StringVar(&options.Name, "name", "", "name and tag of the image")
	flags.StringVar(&options.Out, "out", "", "archive to write")
	flags.BoolVar(&options.Push, "push", false, "upload it to the registry in its name, with the credentials of docker login")
	flags.StringVar(&options.User, "user", "65532", "user that the container runs as")
	flags.Func("file", "SOURCE:/path/in/the/image (can be repeated)", func(value string) error {
		last().Files = append(last().Files, value)
		return nil
	})
	flags.Func("program", "the same, with the shared libraries it is loaded with", func(value string) error {
		last().Programs = append(last().Programs, value)
		return nil
	})
	flags.BoolFunc("layer", "what follows goes into a layer of its own", func(string) error {
		layers = append(layers, image.Layer{})
		return nil
	})
	flags.Var(&labels, "label", "NAME=VALUE (can be repeated)")
	flags.Var(&entrypoint, "entrypoint", "program and arguments to run (repeat for each word)")
	if err := flags.Parse(args); err != nil {
		return err
	}
	for _, label := range labels {
		name, value, ok := strings.Cut(label, "=")
		if !ok {
			return fmt.Errorf("--label %s: want NAME=VALUE", label)
		}
		options.Labels[name] = value
	}
	options.Layers, options.Entrypoint = layers, entrypoint
	ctx, cancel := interruptible()
	defer cancel()
	digest, err := image.Write(ctx, options)
	if err != nil {
		return err
	}
	fmt.Println(digest)
	return nil
}
