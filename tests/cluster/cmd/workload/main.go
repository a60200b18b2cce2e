// Command workload is the one program in the project's test containers. Without arguments it waits for a signal and
// collects orphans, as the first process of a pod must; its first argument names something else to do.
package main

import (
	"fmt"
	"net/http"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"
)

func main() {
	arguments := append(os.Args[1:], "wait")
	var err error
	switch rest := arguments[1:]; arguments[0] {
	case "wait":
		wait()
	case "web":
		err = web()
	case "echo":
		fmt.Println(strings.Join(rest[:len(rest)-1], " "))
	case "exit":
		var code int
		if code, err = strconv.Atoi(rest[0]); err == nil {
			for _, line := range rest[1 : len(rest)-1] {
				fmt.Println(line)
			}
			fmt.Println("ending with code", code)
			os.Exit(code)
		}
	default:
		err = fmt.Errorf("no command %q: want wait, web, echo TEXT or exit CODE [LINE...]", arguments[0])
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func wait() {
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT, syscall.SIGCHLD)
	for received := range signals {
		if received != syscall.SIGCHLD {
			return
		}
		for {
			if pid, err := syscall.Wait4(-1, nil, syscall.WNOHANG, nil); pid <= 0 || err != nil {
				break
			}
		}
	}
}

// web answers on $ADDR, else :8080, with 200 on every path, and logs each request.
func web() error {
	address := os.Getenv("ADDR")
	if address == "" {
		address = ":8080"
	}
	name, err := os.Hostname()
	if err != nil {
		return err
	}
	server := &http.Server{
		Addr:              address,
		ReadHeaderTimeout: 5 * time.Second,
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			fmt.Println(r.Method, r.URL.Path)
			fmt.Fprintln(w, "hello from", name, os.Getenv("VERSION"))
		}),
	}
	fmt.Println("listening on", address)
	return server.ListenAndServe()
}
